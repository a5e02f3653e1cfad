package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.ProtectionState;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.Servers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisException;

/** {@code protect: sync}: what is acknowledged while the way back is open is on both fleets. */
final class ProtectedWritesTest {
    private static final int WRITERS = 8;
    private static final int WRITES_TOGETHER = 10;
    private static final int LARGE_VALUES = 600;
    private static final int LARGE_BYTES = 64 * 1024;
    private static final int ACKNOWLEDGED_MIN = 500;
    private static final int ACKNOWLEDGED_SPAN = 3_000;

    @TempDir
    private Path folder;

    static Stream<String> pairs() {
        return Stream.of(
                "redis-7.0 to valkey-9.1",
                "redis-6.0 to redis-7.0",
                "redis-7.0 to redis-7.0",
                "valkey-9.1 to redis-7.0");
    }

    private TwoFleets start(String pair, String onStall) {
        String[] names = pair.split(" to ", -1);
        TwoFleets fleets = TwoFleets.start(Servers.require(names[0]), Servers.require(names[1]), folder);
        fleets.startNode();
        fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\nprotect: sync\non-stall: " + onStall));
        fleets.awaitObserving("r");
        return fleets;
    }

    private static void awaitProtection(TwoFleets fleets, ProtectionState wanted) {
        fleets.await("r", "protection " + wanted, now -> now.caches().getFirst().protection() == wanted);
    }

    /** L1, where the fleet in use dies without warning. */
    @ParameterizedTest
    @MethodSource("pairs")
    void everyAcknowledgedWriteIsOnTheOldFleetWhenTheNewOneIsKilled(String pair) {
        try (TwoFleets fleets = start(pair, "hold")) {
            everyAcknowledgedWriteIsOnTheOldFleetWhen(fleets, fleets.green::kill);
        }
    }

    /** Each of its primaries has a link of its own, and one reply may be of all of them. */
    @Test
    void everyAcknowledgedWriteIsOnTheOldFleetWhenTheNewOneIsAClusterThatIsKilled() {
        try (SomeFleet blue = SomeFleet.single(Servers.require("redis-7.0"), folder.resolve("blue"));
                SomeFleet.ClusterFleet green =
                        SomeFleet.cluster(Servers.require("valkey-9.1"), folder.resolve("green"), 3, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\nprotect: sync\nfleet-loss: { then: wait }"));
            fleets.awaitObserving("r");
            everyAcknowledgedWriteIsOnTheOldFleetWhen(
                    fleets, () -> green.cluster().nodes().forEach(RealServer::kill));
        }
    }

    /** Where the replica takes over, clients go on; what was acknowledged before is on the old fleet at that moment. */
    @Test
    void everyAcknowledgedWriteIsOnTheOldFleetWhenAPrimaryOfTheNewClusterDies() {
        try (SomeFleet blue = SomeFleet.single(Servers.require("redis-7.0"), folder.resolve("blue"));
                SomeFleet.ClusterFleet green =
                        SomeFleet.cluster(Servers.require("redis-7.0"), folder.resolve("green"), 3, 1);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\nprotect: sync"));
            fleets.awaitObserving("r");
            RealServer first = green.cluster().primaryOf(0);
            everyAcknowledgedWriteIsOnTheOldFleetWhen(fleets, first::kill);
            green.cluster().awaitSuccessor(0, first);
            try (Jedis client = fleets.client()) {
                Await.until(TwoFleets.STEP_LIMIT, "writes to be served again", () -> isServed(client));
            }
        }
    }

    private static boolean isServed(Jedis client) {
        try {
            return client.mset("served:{a}", "1", "served:{b}", "1").equals("OK");
        } catch (JedisDataException e) {
            return false; // for a moment whoever comes is told that a write was lost, or that nobody is there
        }
    }

    private static void everyAcknowledgedWriteIsOnTheOldFleetWhen(TwoFleets fleets, Runnable dies) {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        awaitProtection(fleets, ProtectionState.ON);
        Acknowledged acknowledged = new Acknowledged();
        List<CompletableFuture<Void>> writers = new ArrayList<>();
        for (int i = 0; i < WRITERS; i++) {
            int writer = i;
            int port = fleets.port();
            writers.add(CompletableFuture.runAsync(
                    () -> write(port, writer, acknowledged),
                    task -> Thread.ofVirtual().start(task)));
        }
        long enough = (long) ACKNOWLEDGED_MIN + random.nextInt(ACKNOWLEDGED_SPAN);
        Await.until(TwoFleets.STEP_LIMIT, enough + " writes", () -> acknowledged.count.get() >= enough);
        dies.run();
        acknowledged.isOver = true;
        writers.forEach(CompletableFuture::join);
        List<String> missing = new ArrayList<>();
        try (Jedis old = fleets.blue.client()) {
            acknowledged.writes.forEach((key, value) -> {
                if (!value.equals(old.get(key))) {
                    missing.add(key);
                }
            });
        }
        assertThat(missing)
                .as("of %d acknowledged writes, on the old fleet; seed %d", acknowledged.writes.size(), seed)
                .isEmpty();
    }

    /** What clients were told was done, until a server died; where another one takes its place, they go on without an error. */
    private static final class Acknowledged {
        final Map<String, String> writes = new ConcurrentHashMap<>();
        final AtomicLong count = new AtomicLong();
        volatile boolean isOver;

        void add(String key, String value) {
            if (!isOver) {
                writes.put(key, value);
                count.incrementAndGet();
            }
        }
    }

    /** Writes until it is over, or the first error: alone, several together, in transactions, by script. */
    private static void write(int port, int writer, Acknowledged acknowledged) {
        try (Jedis client = new Jedis("127.0.0.1", port, 30_000)) {
            for (int i = 0; !acknowledged.isOver; i++) {
                String key = "w" + writer + "-" + i;
                switch (writer % 4) {
                    case 0 -> {
                        client.set(key, "v" + i);
                        acknowledged.add(key, "v" + i);
                    }
                    case 1 -> together(client, key, acknowledged);
                    case 2 -> {
                        Transaction transaction = client.multi();
                        transaction.set(key, "v" + i);
                        transaction.get(key);
                        transaction.exec();
                        acknowledged.add(key, "v" + i);
                    }
                    default -> {
                        client.eval("return redis.call('set', KEYS[1], ARGV[1])", 1, key, "v" + i);
                        acknowledged.add(key, "v" + i);
                    }
                }
            }
        } catch (JedisException e) {
            // The server is dead: what this writer had asked for last may or may not have been done.
        }
    }

    private static void together(Jedis client, String key, Acknowledged acknowledged) {
        Pipeline pipeline = client.pipelined();
        List<Response<String>> replies = new ArrayList<>();
        for (int j = 0; j < WRITES_TOGETHER; j++) {
            replies.add(pipeline.set(key + "-" + j, "x" + j));
            pipeline.get(key + "-" + j);
        }
        pipeline.sync();
        for (int j = 0; j < WRITES_TOGETHER; j++) {
            replies.get(j).get(); // an error is thrown here
            acknowledged.add(key + "-" + j, "x" + j);
        }
    }

    /** More than sockets hold is still in the new fleet's own memory when it dies. */
    @Test
    void whatTheLinkHadNotPassedWhenTheNewFleetIsKilledWasNotAcknowledged() {
        try (TwoFleets fleets = start("redis-7.0 to valkey-9.1", "hold");
                Jedis client = fleets.client()) {
            awaitProtection(fleets, ProtectionState.ON);
            fleets.blue.stop();
            List<Response<String>> replies = new ArrayList<>();
            CompletableFuture<Void> asked = CompletableFuture.runAsync(
                    () -> {
                        Pipeline pipeline = client.pipelined();
                        for (int i = 0; i < LARGE_VALUES; i++) {
                            replies.add(pipeline.set(("large" + i).getBytes(UTF_8), new byte[LARGE_BYTES]));
                        }
                        pipeline.sync();
                    },
                    task -> Thread.ofVirtual().start(task));
            Await.until(
                    TwoFleets.STEP_LIMIT,
                    "the new fleet to have done them all",
                    () -> fleets.green.number("EXISTS", "large" + (LARGE_VALUES - 1)) == 1);
            fleets.green.kill();
            asked.exceptionally(closed -> null).join();
            fleets.blue.resume();
            List<Integer> missing = new ArrayList<>();
            for (int i = 0; i < LARGE_VALUES; i++) {
                if (isAcknowledged(replies.get(i)) && fleets.blue.number("EXISTS", "large" + i) == 0) {
                    missing.add(i);
                }
            }
            assertThat(missing).as("acknowledged, and not on the old fleet").isEmpty();
        }
    }

    private static boolean isAcknowledged(Response<String> reply) {
        try {
            return "OK".equals(reply.get());
        } catch (JedisException | IllegalStateException e) {
            return false;
        }
    }

    @Test
    void withHoldClientsWaitForAnOldFleetThatStandsStillAndGetTheirRepliesThen() {
        try (TwoFleets fleets = start("redis-7.0 to valkey-9.1", "hold");
                Jedis client = fleets.client()) {
            client.set("before", "1");
            fleets.blue.stop();
            CompletableFuture<String> written = CompletableFuture.supplyAsync(
                    () -> client.set("key", "1"), task -> Thread.ofVirtual().start(task));
            awaitProtection(fleets, ProtectionState.WAITING);
            assertThat(written).isNotDone();
            try (Jedis reader = fleets.client()) {
                assertThat(reader.get("before")).isEqualTo("1");
            }
            fleets.blue.resume();
            assertThat(written.join()).isEqualTo("OK");
            assertThat(fleets.blue.text("GET", "key")).isEqualTo("1");
            awaitProtection(fleets, ProtectionState.ON);
        }
    }

    @Test
    void withAsyncClientsGoOnWithoutAnOldFleetThatStandsStillAndTheJournalSaysSo() {
        try (TwoFleets fleets = start("redis-7.0 to valkey-9.1", "async");
                Jedis client = fleets.client()) {
            fleets.blue.stop();
            assertThat(client.set("key", "1")).isEqualTo("OK");
            awaitProtection(fleets, ProtectionState.SUSPENDED);
            journalSays(fleets, "acknowledged although they are on the new fleet alone");
            fleets.blue.resume();
            awaitProtection(fleets, ProtectionState.ON);
            assertThat(client.set("key", "2")).isEqualTo("OK");
            assertThat(fleets.blue.text("GET", "key")).isEqualTo("2");
            journalSays(fleets, "what is acknowledged is on both fleets");
        }
    }

    /** A way back that is closed can confirm nothing: clients are not stopped for it. */
    @Test
    void whereTheWayBackIsClosedClientsAreServedUnprotectedAndTheJournalSaysSo() {
        try (TwoFleets fleets = start("redis-7.0 to valkey-9.1", "hold");
                Jedis client = fleets.client()) {
            client.set("before", "1");
            // Somebody makes the old fleet a primary behind our back.
            fleets.blue.call("REPLICAOF", "NO", "ONE");
            fleets.await(
                    "r", "a closed way back", now -> now.caches().getFirst().wayBack() == ReleaseStatus.WayBack.CLOSED);
            assertThat(client.set("key", "1")).isEqualTo("OK");
            awaitProtection(fleets, ProtectionState.OFF);
            journalSays(fleets, "the way back is closed");
        }
    }

    private static void journalSays(TwoFleets fleets, String what) {
        Await.until(
                Duration.ofSeconds(20),
                "the journal to say: " + what,
                () -> fleets.node().releases().journal("r").stream()
                        .anyMatch(entry -> entry.toString().contains(what)));
    }

    @Test
    void aRollbackEndsProtectionAndTheNextCutoverBeginsItAgain() {
        try (TwoFleets fleets = start("redis-7.0 to valkey-9.1", "hold");
                Jedis client = fleets.client()) {
            for (int i = 0; i < 3; i++) {
                awaitProtection(fleets, ProtectionState.ON);
                byte[] key = ("key" + i).getBytes(UTF_8);
                assertThat(client.set(key, key)).isEqualTo("OK");
                fleets.order("r", io.switchback.release.Order.Kind.ROLLBACK);
                fleets.awaitStatus("r", io.switchback.release.ReleaseState.Status.ROLLED_BACK);
                awaitProtection(fleets, ProtectionState.OFF);
                fleets.order("r", io.switchback.release.Order.Kind.RESUME);
                fleets.awaitObserving("r");
            }
            fleets.order("r", io.switchback.release.Order.Kind.FINISH);
            fleets.awaitStatus("r", io.switchback.release.ReleaseState.Status.FINISHED);
            assertThat(client.set("after", "1")).isEqualTo("OK");
        }
    }
}
