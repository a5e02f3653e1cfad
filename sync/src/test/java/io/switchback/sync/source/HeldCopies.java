package io.switchback.sync.source;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CountDownLatch;

/** Copies stop where they have to wait for the first time, until they are let go; from then on nobody who copies waits for anything short any more. */
public final class HeldCopies implements Environment {
    private final Environment system = Environment.system();
    private static final Duration LONG = Duration.ofSeconds(5);

    private final CountDownLatch letGo = new CountDownLatch(1);
    private final CountDownLatch again = new CountDownLatch(1);

    /** Copies go on, as fast as they can. */
    public void letGo() {
        letGo.countDown();
    }

    /** Whoever waits before it begins a copy again waits no longer. */
    public void again() {
        again.countDown();
    }

    @Override
    public long nanoTime() {
        return system.nanoTime();
    }

    @Override
    public Instant now() {
        return system.now();
    }

    @Override
    public void sleep(Duration duration) throws InterruptedException {
        String thread = Thread.currentThread().getName();
        if (thread.endsWith("-target") || thread.endsWith("-apply")) {
            (duration.compareTo(LONG) < 0 ? letGo : again).await();
        } else {
            system.sleep(duration);
        }
    }

    @Override
    public byte[] randomBytes(int count) {
        return system.randomBytes(count);
    }
}
