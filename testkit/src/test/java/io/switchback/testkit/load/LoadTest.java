package io.switchback.testkit.load;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.Replies;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisConnectionException;

/** The load and its checker: that a truthful server passes, and that every kind of untruth is seen. */
class LoadTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    @TempDir
    Path folder;

    private RealServer server;

    @BeforeEach
    void startServer() {
        server = RealServer.start(ServerBinary.any(), folder);
    }

    @AfterEach
    void stopServer() {
        server.close();
    }

    private LoadSettings settings() {
        return LoadSettings.on(server.host(), server.port())
                .withClients(4)
                .withKeys(200)
                .withOperationsPerSecond(0);
    }

    private LoadHistory someLoad(LoadSettings settings) {
        try (Load load = Load.start(settings)) {
            load.awaitAnswers(6_000, LIMIT);
            return load.stop();
        }
    }

    private CheckReport check(LoadHistory history) {
        try (Jedis client = server.client()) {
            return HistoryChecker.check(history, client);
        }
    }

    @Test
    void anUndisturbedServerHoldsEverythingThatItAcknowledged() {
        LoadHistory history = someLoad(settings().withDatabases(0, 3, 7).withPreload(true));
        CheckReport report = check(history);
        assertThat(report.clean()).as(report.toString()).isTrue();
        assertThat(report.unknown()).isZero();
        assertThat(report.checked()).isGreaterThan(200);
        assertThat(report.found()).isEqualTo(report.checked());
        assertThat(report.acknowledged()).isGreaterThan(report.checked());
        assertThat(history.total().errors()).isZero();
        assertThat(history.total().reconnects()).isZero();
        assertThat(server.info("keyspace")).containsKeys("db0", "db3", "db7");
    }

    @Test
    void aLoadKeepsToItsRate() {
        try (Load load = Load.start(settings().withOperationsPerSecond(500))) {
            load.awaitAnswers(250, LIMIT);
            LoadSnapshot begin = load.snapshot();
            load.awaitAnswers(500, LIMIT);
            LoadSnapshot seen = load.snapshot().since(begin);
            // An upper bound only: how slow a machine may be is nobody's promise.
            assertThat(seen.answers() * 1_000_000_000L / (load.snapshot().atNanos() - begin.atNanos()))
                    .isLessThan(600);
        }
    }

    /** Something that can go wrong with data, planted on the server behind the clients' backs. */
    record Fault(String name, BiConsumer<Jedis, Set<String>> planting) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Fault> losses() {
        return List.of(
                new Fault("a string is gone", (jedis, keys) -> jedis.del(one(keys, "string"))),
                new Fault("a string is an older one", (jedis, keys) -> makeOlder(jedis, one(keys, "string"))),
                new Fault("a string is cut short", (jedis, keys) -> {
                    String key = one(keys, "string");
                    String value = Objects.requireNonNull(jedis.get(key));
                    jedis.set(key, value.substring(0, value.length() - 1));
                }),
                new Fault("a time to live is gone", (jedis, keys) -> jedis.persist(one(keys, "expiring"))),
                new Fault("a time to live is too short", (jedis, keys) -> jedis.expire(one(keys, "expiring"), 3_500)),
                new Fault("half of a pair is older", (jedis, keys) -> makeOlder(jedis, one(keys, "pair"))),
                new Fault("a field is gone", (jedis, keys) -> {
                    String key = one(keys, "hash");
                    jedis.hdel(key, jedis.hkeys(key).iterator().next());
                }),
                new Fault("a score is older", (jedis, keys) -> {
                    String key = one(keys, "zset");
                    jedis.zincrby(key, -1, jedis.zrange(key, 0, 0).getFirst());
                }),
                new Fault("an increment is lost", (jedis, keys) -> jedis.decr(one(keys, "counter"))),
                new Fault("an element is lost", (jedis, keys) -> jedis.lpop(one(keys, "list"))));
    }

    /** Puts the value of the client's very first write in the place of the last. */
    private static void makeOlder(Jedis jedis, String key) {
        String value = Objects.requireNonNull(jedis.get(key));
        int client = Integer.parseInt(value.substring(0, value.indexOf('.')));
        jedis.set(key, new Names("any", client, value.length()).value(1));
    }

    private static String one(Set<String> keys, String kind) {
        return keys.stream()
                .filter(key -> key.contains(":" + kind + ":"))
                .sorted()
                .findFirst()
                .orElseThrow(() -> new AssertionError("The load wrote no key of kind " + kind));
    }

    @ParameterizedTest
    @MethodSource("losses")
    void everyLossIsSeen(Fault fault) {
        LoadHistory history = someLoad(settings());
        try (Jedis client = server.client()) {
            fault.planting.accept(client, client.keys("*"));
        }
        CheckReport report = check(history);
        assertThat(report.lost()).as(report.toString()).isEqualTo(1);
        assertThat(report.found()).isEqualTo(report.checked() - 1);
        assertThat(report.examples()).hasSize(1);
        assertThat(report.clean()).isFalse();
        assertThat(report.lossProbability().estimate()).isPositive();
    }

    @Test
    void whatIsDoneTwiceIsSeen() {
        LoadHistory history = someLoad(settings());
        try (Jedis client = server.client()) {
            client.incr(one(client.keys("*"), "counter"));
            String list = one(client.keys("*"), "list");
            client.rpush(list, Objects.requireNonNull(client.lindex(list, -1)));
        }
        CheckReport report = check(history);
        assertThat(report.twice()).as(report.toString()).isEqualTo(2);
        assertThat(report.lost()).isZero();
        assertThat(report.clean()).isFalse();
    }

    @Test
    void elementsThatChangedPlacesAreSeen() {
        LoadHistory history = someLoad(settings());
        try (Jedis client = server.client()) {
            String list = one(client.keys("*"), "list");
            List<String> elements = client.lrange(list, 0, 1);
            client.lset(list, 0, elements.get(1));
            client.lset(list, 1, elements.get(0));
        }
        CheckReport report = check(history);
        assertThat(report.outOfOrder()).as(report.toString()).isEqualTo(1);
        assertThat(report.lost()).isZero();
        assertThat(report.clean()).isFalse();
    }

    @Test
    void aDeletedKeyThatCameBackIsSeen() {
        LoadHistory history = someLoad(settings());
        // Which clients end with a deletion is chance.
        ClientRecord record = history.records().stream()
                .filter(one -> deleted(one).isPresent())
                .findFirst()
                .orElseThrow();
        int deleted = deleted(record).getAsInt();
        Registers strings = record.registers(RegisterKind.STRING);
        server.call("SET", record.names.string(deleted, strings.generation(deleted)), record.names.value(1));
        CheckReport report = check(history);
        assertThat(report.cameBack()).as(report.toString()).isEqualTo(1);
        assertThat(report.clean()).isFalse();
    }

    private static OptionalInt deleted(ClientRecord record) {
        Registers strings = record.registers(RegisterKind.STRING);
        return IntStream.range(0, strings.slots())
                .filter(slot -> strings.acknowledged(slot) == Registers.GONE)
                .findFirst();
    }

    @Test
    void aClientThatReadsAnOlderValueThanItWroteNoticesAtOnce() {
        try (Load load = Load.start(settings().withKeys(4));
                Jedis client = server.client()) {
            load.awaitAnswers(500, LIMIT);
            Await.until(LIMIT, "a stale read", () -> {
                client.keys("*:string:*").forEach(key -> client.set(key, "0.1." + "v".repeat(60)));
                return load.snapshot().staleReads() > 0;
            });
        }
    }

    @Test
    void anIncrementThatIsDoneTwiceIsNoticedAtOnceAndCounted() {
        try (Load load = Load.start(settings().withKeys(4))) {
            load.awaitAnswers(500, LIMIT);
            try (Jedis client = server.client()) {
                client.incr(one(client.keys("*"), "counter"));
            }
            Await.until(LIMIT, "the counter's jump", () -> load.snapshot().staleReads() > 0);
            CheckReport report = check(load.stop());
            assertThat(report.twice()).as(report.toString()).isEqualTo(1);
            assertThat(report.lost()).isZero();
        }
    }

    @Test
    void aServerThatForgotEverythingIsFoundOut() {
        LoadHistory history = someLoad(settings());
        server.kill();
        server.restart();
        CheckReport report = check(history);
        assertThat(report.lost()).as(report.toString()).isEqualTo(report.checked());
        assertThat(report.lossProbability().upperBound95()).isEqualTo(1);
    }

    @Test
    void killedConnectionsAreErrorsAndWhatTheyCarriedIsUnknownNotLost() {
        try (Load load = Load.start(settings());
                Jedis client = server.client()) {
            load.awaitAnswers(500, LIMIT);
            Await.until(LIMIT, "reconnects", () -> {
                Replies.call(client, "CLIENT", "KILL", "TYPE", "normal");
                return load.snapshot().reconnects() > 10;
            });
            load.awaitAnswers(500, LIMIT);
            LoadHistory history = load.stop();
            CheckReport report = check(history);
            assertThat(history.total().errors()).isPositive();
            assertThat(report.unknown()).isPositive();
            assertThat(report.clean()).as(report.toString()).isTrue();
        }
    }

    @Test
    void errorRepliesAreCountedAndTheConnectionIsKept() {
        try (Load load = Load.start(settings())) {
            load.awaitAnswers(500, LIMIT);
            server.call("CONFIG", "SET", "maxmemory", "1");
            Await.until(LIMIT, "errors", () -> load.snapshot().errors() > 20);
            server.call("CONFIG", "SET", "maxmemory", "0");
            load.awaitAnswers(500, LIMIT);
            LoadHistory history = load.stop();
            CheckReport report = check(history);
            assertThat(history.total().reconnects()).isZero();
            assertThat(report.clean()).as(report.toString()).isTrue();
        }
    }

    @Test
    void aStallIsThePauseOfItsWindowAndOfNoOther() {
        try (Load load = Load.start(settings().withOperationsPerSecond(2_000))) {
            load.awaitAnswers(1_000, LIMIT);
            long from = System.nanoTime();
            LoadWindow stalled = load.during(Duration.ofMillis(20), () -> {
                server.stop();
                long since = System.nanoTime();
                Await.until(LIMIT, "a third of a second", () -> System.nanoTime() - since > 350_000_000L);
                server.resume();
            });
            long to = System.nanoTime();
            load.awaitAnswers(500, LIMIT);
            LoadHistory history = load.stop();
            assertThat(stalled.longestPause()).isGreaterThanOrEqualTo(Duration.ofMillis(300));
            assertThat(stalled.errors()).isZero();
            assertThat(history.longestPauseOutside(List.of(new TimeWindow(from, to).widened(Duration.ofMillis(50)))))
                    .isLessThan(stalled.longestPause());
        }
    }

    @Test
    void aLoadThatCannotConnectSaysSo() {
        int port = server.port();
        server.close();
        assertThatThrownBy(() -> Load.start(LoadSettings.on("127.0.0.1", port)))
                .isInstanceOf(JedisConnectionException.class);
        server.restart();
    }
}
