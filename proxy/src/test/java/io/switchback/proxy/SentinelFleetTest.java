package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A fleet under three real sentinels, whose primary changes under load: told to, and by its death. */
class SentinelFleetTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int WRITERS = 4;
    private static final int READERS = 2;
    private static final int WRITES_BETWEEN = 200;

    @TempDir
    Path folder;

    static List<ServerBinary> versions() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : List.of(matrix.getFirst(), matrix.getLast());
    }

    /** What the clients have seen. */
    private static final class Seen {
        /** Writes that were on both replicas when WAIT said so. */
        final Set<String> durable = ConcurrentHashMap.newKeySet();

        final Set<String> errorsOfWrites = ConcurrentHashMap.newKeySet();
        final Set<String> errorsOfReads = ConcurrentHashMap.newKeySet();
        final AtomicLong written = new AtomicLong();
        final AtomicLong read = new AtomicLong();
        volatile boolean stop;
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aFailoverIsAShortWaitAndNothingThatWasReplicatedIsLost(ServerBinary binary) throws InterruptedException {
        Seen seen = new Seen();
        List<Thread> clients = new ArrayList<>();
        try (RealSentinels servers = RealSentinels.start(binary, folder, 2)) {
            FleetSpec fleet = ProxyFixture.fleet("watched", servers);
            ProxyLimits patient =
                    new Limits().failoverWait(Duration.ofSeconds(30)).build();
            try (CacheProxy proxy = ProxyFixture.proxy(new BackendRoute(fleet, 1), patient, ProxyFixture.LOOPS);
                    FleetWatch watch = FleetWatch.start(
                            "sessions",
                            fleet,
                            Environment.system(),
                            topology -> proxy.topology(fleet.name(), topology))) {
                proxy.watchedBy(fleet.name(), watch::lookSoon);
                for (int i = 0; i < WRITERS; i++) {
                    int number = i;
                    clients.add(Thread.ofPlatform().start(() -> write(proxy, number, seen)));
                }
                for (int i = 0; i < READERS; i++) {
                    clients.add(Thread.ofPlatform().start(() -> read(proxy, seen)));
                }
                goOn(seen);
                RealServer first = servers.primary();
                RealServer second = servers.failover();
                assertThat(second).isNotSameAs(first);
                goOn(seen);
                // Only what has reached all of them survives whoever is chosen.
                servers.awaitFollowing();
                goOn(seen);

                second.kill();
                RealServer third = servers.awaitSuccessor(second);
                goOn(seen);
                seen.stop = true;
                for (Thread client : clients) {
                    client.join(LIMIT);
                    assertThat(client.isAlive()).isFalse();
                }
                assertThat(seen.errorsOfReads).isEmpty();
                assertThat(seen.errorsOfWrites)
                        .allMatch(error -> error.startsWith("ERR switchback: the connection to fleet watched was lost")
                                && error.endsWith("the command may or may not have run"));
                assertThat(seen.durable).hasSizeGreaterThan(WRITES_BETWEEN);
                for (String key : seen.durable) {
                    assertThat(third.call("GET", key)).as(key).isEqualTo(key);
                }
                Await.until(LIMIT, "nothing is on its way", () -> proxy.commandsUnanswered() == 0);
            } finally {
                seen.stop = true;
                for (Thread client : clients) {
                    client.join(LIMIT);
                }
            }
        }
    }

    /** Waits until the load has gone on for a while. */
    private static void goOn(Seen seen) {
        long written = seen.written.get();
        long read = seen.read.get();
        Await.until(
                LIMIT,
                "clients write and read; errors so far: " + seen.errorsOfWrites + " " + seen.errorsOfReads,
                () -> seen.written.get() >= written + WRITES_BETWEEN && seen.read.get() >= read + WRITES_BETWEEN);
    }

    private static void write(CacheProxy proxy, int number, Seen seen) {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (long i = 0; !seen.stop; i++) {
                String key = "key-" + number + "-" + i;
                if (client.call("SET", key, key) instanceof Reply.Failure(String error)) {
                    seen.errorsOfWrites.add(error);
                    continue;
                }
                seen.written.incrementAndGet();
                // WAIT speaks of the primary that it finds: one that has replaced the one of the write says nothing
                // about it.
                boolean everywhere = client.call("WAIT", "2", "100") instanceof Reply.Int(long replicas)
                        && replicas >= 2
                        && client.call("GET", key).text().equals(key);
                if (everywhere) {
                    seen.durable.add(key);
                }
            }
        }
    }

    private static void read(CacheProxy proxy, Seen seen) {
        try (RawClient client = ProxyFixture.client(proxy)) {
            while (!seen.stop) {
                if (client.call("GET", "key-0-0") instanceof Reply.Failure(String error)) {
                    seen.errorsOfReads.add(error);
                }
                seen.read.incrementAndGet();
            }
        }
    }
}
