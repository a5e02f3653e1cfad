package io.switchback.sync.verify;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

final class BusyShareTest {
    private static final int LANES = 3;
    private static final int PAGES = 200;
    private static final long PAGE_NANOS = 4_000_000;

    private final AtomicLong now = new AtomicLong();
    private final AtomicInteger asking = new AtomicInteger();
    private final AtomicLong restedNanos = new AtomicLong();
    private final AtomicInteger askedWhileResting = new AtomicInteger();

    @Test
    void nobodyAsksWhileTheServersAreLeftAlone() {
        BusyShare share = new BusyShare(0.75, clock());
        share.start();
        List<CompletableFuture<Void>> lanes = new ArrayList<>();
        for (int i = 0; i < LANES; i++) {
            lanes.add(CompletableFuture.runAsync(() -> ask(share)));
        }
        lanes.forEach(CompletableFuture::join);
        assertThat(askedWhileResting).hasValue(0);
        // A quarter of all of the time, but for what came behind the last rest.
        long busy = now.get() - restedNanos.get();
        assertThat(restedNanos.get()).isBetween(busy / 3 - 10 * PAGE_NANOS, busy / 3);
    }

    @Test
    void allOfTheTimeIsAllOfTheTime() {
        BusyShare share = new BusyShare(1, clock());
        share.start();
        ask(share);
        assertThat(restedNanos).hasValue(0);
    }

    private void ask(BusyShare share) {
        for (int page = 0; page < PAGES; page++) {
            share.begin();
            asking.incrementAndGet();
            now.addAndGet(PAGE_NANOS);
            asking.decrementAndGet();
            share.end();
        }
    }

    private Environment clock() {
        Environment system = Environment.system();
        return new Environment() {
            @Override
            public long nanoTime() {
                return now.get();
            }

            @Override
            public Instant now() {
                return system.now();
            }

            @Override
            public byte[] randomBytes(int count) {
                return system.randomBytes(count);
            }

            @Override
            public void sleep(Duration duration) {
                askedWhileResting.addAndGet(asking.get());
                restedNanos.addAndGet(duration.toNanos());
                now.addAndGet(duration.toNanos());
                askedWhileResting.addAndGet(asking.get());
            }
        };
    }
}
