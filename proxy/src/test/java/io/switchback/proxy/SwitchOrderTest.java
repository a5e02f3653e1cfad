package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Clients at work while the route goes back and forth; the state is copied by hand while everything is held. */
class SwitchOrderTest {
    private static final int CLIENTS = 8;
    private static final int DEPTH = 10;
    private static final int SWITCHES = 30;

    @Test
    void everyClientReadsItsOwnWritesAndNothingIsLostOrRunTwice(@TempDir Path one, @TempDir Path two) throws Exception {
        try (RealServer first = ProxyFixture.server(one);
                RealServer second = ProxyFixture.server(two);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1));
                ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            AtomicBoolean stop = new AtomicBoolean();
            AtomicLong rounds = new AtomicLong();
            List<Future<Long>> counts = new ArrayList<>();
            for (int c = 0; c < CLIENTS; c++) {
                String key = "c" + c;
                boolean transactions = c % 4 == 3;
                counts.add(threads.submit(
                        (Callable<Long>) () -> count(ProxyFixture.client(proxy), key, transactions, stop, rounds)));
            }
            RealServer last;
            try {
                last = switchBackAndForth(proxy, first, second, rounds);
            } finally {
                stop.set(true);
            }
            List<String> counted = new ArrayList<>();
            for (int c = 0; c < CLIENTS; c++) {
                counted.add(Long.toString(counts.get(c).get()));
            }
            for (int c = 0; c < CLIENTS; c++) {
                assertThat(last.text("GET", "c" + c)).isEqualTo(counted.get(c));
            }
            assertThat(proxy.traffic().of("new").requests()).isPositive();
        }
    }

    /** The server that the route names in the end. */
    private static RealServer switchBackAndForth(
            CacheProxy proxy, RealServer first, RealServer second, AtomicLong rounds) {
        RealServer from = first;
        RealServer to = second;
        for (int epoch = 2; epoch < SWITCHES + 2; epoch++) {
            long before = rounds.get();
            Await.until(Duration.ofSeconds(20), "clients at work", () -> rounds.get() > before + CLIENTS);
            BackendRoute next = ProxyFixture.route(epoch % 2 == 0 ? "new" : "old", to, epoch);
            if (epoch % 4 < 2) {
                proxy.openAhead(next).join();
            }
            assertThat(ProxyFixture.hold(proxy, 5000)).isInstanceOf(HoldOutcome.Held.class);
            copy(from, to);
            proxy.letGo(next).join();
            RealServer swapped = from;
            from = to;
            to = swapped;
        }
        return from;
    }

    /** Counts up, and sees each of its own steps; the last number. */
    private static long count(
            RawClient client, String key, boolean transactions, AtomicBoolean stop, AtomicLong rounds) {
        long value = 0;
        try (client) {
            while (!stop.get()) {
                if (transactions) {
                    client.send("MULTI");
                }
                for (int i = 0; i < DEPTH; i++) {
                    client.send("INCR", key);
                    client.send("GET", key);
                }
                if (transactions) {
                    client.send("EXEC");
                    assertThat(client.reply().text()).isEqualTo("OK");
                    for (int i = 0; i < 2 * DEPTH; i++) {
                        assertThat(client.reply().text()).isEqualTo("QUEUED");
                    }
                    List<Reply> results = ((Reply.Array) client.reply()).elements();
                    for (int i = 0; i < DEPTH; i++) {
                        value++;
                        assertThat(results.get(2 * i).text()).isEqualTo("" + value);
                        assertThat(results.get(2 * i + 1).text()).isEqualTo("" + value);
                    }
                } else {
                    for (int i = 0; i < DEPTH; i++) {
                        value++;
                        assertThat(client.reply().text()).isEqualTo("" + value);
                        assertThat(client.reply().text()).isEqualTo("" + value);
                    }
                }
                rounds.incrementAndGet();
            }
        }
        return value;
    }

    private static void copy(RealServer from, RealServer to) {
        for (int c = 0; c < CLIENTS; c++) {
            @Nullable Object value = from.call("GET", "c" + c);
            if (value != null) {
                to.call("SET", "c" + c, value.toString());
            }
        }
    }
}
