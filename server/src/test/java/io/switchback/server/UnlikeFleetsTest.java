package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.LinkChoice;
import io.switchback.release.LinkKind;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** The laws, held by releases between fleets of which neither can follow the other: there and back, again and again, while clients write and read. */
class UnlikeFleetsTest {
    private static final int ROUNDS = 2;
    private static final int WRITERS = 6;
    private static final long PAUSE_MS = 20;
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(60);

    @TempDir
    private Path folder;

    private static ServerBinary binary(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    @Test
    void fromOneServerToAClusterAndBack() {
        thereAndBack(
                SomeFleet.single(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.cluster(binary("valkey-9.1"), fresh, 3, 0),
                "green is a cluster");
    }

    @Test
    void fromAClusterToOneOfAnotherSizeAndBack() {
        thereAndBack(
                SomeFleet.cluster(binary("redis-7.0"), folder.resolve("blue"), 3, 0),
                fresh -> SomeFleet.cluster(binary("redis-8.0"), fresh, 4, 0),
                "blue is a cluster");
    }

    @Test
    void betweenFleetsUnderSentinelsAndBack() {
        thereAndBack(
                SomeFleet.watched(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.watched(binary("valkey-9.1"), fresh),
                "is watched by sentinels");
    }

    @Test
    void downToAnOlderVersionAndBack() {
        thereAndBack(
                SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue")),
                fresh -> SomeFleet.single(binary("redis-7.0"), fresh),
                "cannot load a snapshot of");
    }

    @Test
    void downToAnOlderVersionAndBackWhereAcknowledgedWritesMustBeOnBothFleets() {
        thereAndBack(
                SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue")),
                fresh -> SomeFleet.single(binary("redis-7.0"), fresh),
                LinkKind.APPLY,
                "cannot load a snapshot of",
                "protect: sync");
    }

    @Test
    void betweenServersThatLetNobodyFollowAndBack() {
        thereAndBack(
                SomeFleet.managed(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.managed(binary("valkey-9.1"), fresh),
                LinkKind.SCAN,
                "does not let this user follow it");
    }

    @Test
    void downToAnOlderServerThatLetsNobodyFollowAndBack() {
        thereAndBack(
                SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue")),
                fresh -> SomeFleet.managed(binary("redis-6.0"), fresh),
                LinkKind.SCAN,
                "does not let this user follow it");
    }

    /** The fleet that comes next takes no writes for a moment, again and again: what was acknowledged last is still on its way whenever a hold begins. */
    @Test
    void aSwitchWaitsForWhatTheLinksHaveNotAppliedYet() throws Exception {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.cluster(binary("valkey-9.1"), folder.resolve("green"), 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            AtomicBoolean stop = new AtomicBoolean();
            List<FutureTask<Integer>> writing = IntStream.range(0, WRITERS)
                    .mapToObj(i -> new FutureTask<>(() -> writeAndReadAgain(fleets, "writer-" + i, stop)))
                    .toList();
            List<Thread> threads =
                    writing.stream().map(Thread.ofVirtual()::start).toList();
            try {
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
                fleets.awaitObserving("r");
                for (int round = 1; round <= 2 * ROUNDS; round++) {
                    pausing(blue, () -> {
                        fleets.order("r", Order.Kind.ROLLBACK);
                        fleets.awaitStatus("r", Status.ROLLED_BACK);
                    });
                    pausing(green, () -> {
                        fleets.order("r", Order.Kind.RESUME);
                        fleets.awaitObserving("r");
                    });
                }
            } finally {
                stop.set(true);
                for (Thread thread : threads) {
                    thread.join();
                }
            }
            for (FutureTask<Integer> writer : writing) {
                assertThat(writer.get()).as("values written, each read again").isGreaterThan(100);
            }
        }
    }

    private static void pausing(SomeFleet fleet, Runnable switching) throws InterruptedException {
        AtomicBoolean over = new AtomicBoolean();
        Thread pulse = Thread.ofVirtual().start(() -> {
            while (!over.get()) {
                fleet.primaries().forEach(server -> server.call("CLIENT", "PAUSE", Long.toString(PAUSE_MS), "WRITE"));
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2 * PAUSE_MS));
            }
        });
        try {
            switching.run();
        } finally {
            over.set(true);
            pulse.join();
        }
    }

    private static int writeAndReadAgain(TwoFleets fleets, String key, AtomicBoolean stop) {
        int written = 0;
        try (Jedis client = fleets.client()) {
            while (!stop.get()) {
                written++;
                client.set(key, Integer.toString(written));
                assertThat(client.get(key))
                        .as("the value that was acknowledged last")
                        .isEqualTo(Integer.toString(written));
            }
        }
        return written;
    }

    private void thereAndBack(SomeFleet old, Function<Path, SomeFleet> fresh, String because) {
        thereAndBack(old, fresh, LinkKind.APPLY, because);
    }

    private void thereAndBack(SomeFleet old, Function<Path, SomeFleet> fresh, LinkKind kind, String because) {
        thereAndBack(old, fresh, kind, because, "protect: async");
    }

    private void thereAndBack(
            SomeFleet old, Function<Path, SomeFleet> fresh, LinkKind kind, String because, String protect) {
        try (SomeFleet blue = old;
                SomeFleet green = fresh.apply(folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            LoadHistory history;
            ReleaseStatus last;
            try (Load load = Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                    .withClients(8)
                    .withOperationsPerSecond(2_000)
                    .withKeys(2_000)
                    .withPreload(true))) {
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\n" + protect));
                for (int round = 1; round <= ROUNDS; round++) {
                    fleets.awaitObserving("r");
                    load.awaitAnswers(2_000, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.ROLLBACK);
                    fleets.awaitStatus("r", Status.ROLLED_BACK);
                    load.awaitAnswers(2_000, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.RESUME);
                }
                last = fleets.awaitObserving("r");
                load.awaitAnswers(2_000, SOME_TRAFFIC);
                history = load.stop();
            }
            LinkChoice choice = Objects.requireNonNull(last.caches().getFirst().choice());
            assertThat(choice.kind()).isEqualTo(kind);
            assertThat(choice.because()).contains(because);
            CheckReport check;
            try (Jedis client = fleets.client()) {
                check = HistoryChecker.check(history, client);
            }
            LawsUnderLoadTest.nobodyNoticed(check, history, last, 2 * ROUNDS + 1);
            fleets.order("r", Order.Kind.ROLLBACK);
            fleets.awaitStatus("r", Status.ROLLED_BACK);
            try (Jedis client = fleets.client()) {
                check = HistoryChecker.check(history, client);
            }
            assertThat(check.clean()).as("after the last rollback: %s", check).isTrue();
            fleets.order("r", Order.Kind.ABORT);
            fleets.awaitStatus("r", Status.ABORTED);
            nothingIsLeft(blue);
            nothingIsLeft(green);
        }
    }

    private static void nothingIsLeft(SomeFleet fleet) {
        for (RealServer primary : fleet.primaries()) {
            try (Jedis server = primary.client()) {
                Set<String> left = server.keys("switchback:reserved:*");
                assertThat(left).as("reserved keys at %s", primary).isEmpty();
                assertThat(server.configGet("repl-backlog-ttl").get("repl-backlog-ttl"))
                        .isEqualTo("3600");
            }
        }
    }
}
