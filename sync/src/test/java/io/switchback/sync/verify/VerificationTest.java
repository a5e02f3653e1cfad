package io.switchback.sync.verify;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReservedKeys;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.verify.Difference.Kind;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** Real servers, filled alike and then with one difference, or with writers and expiry under way. */
class VerificationTest {
    private static final VerificationSettings QUICK =
            VerificationSettings.defaults().withLagBound(Duration.ofMillis(120));
    private static final Duration LIMIT = Duration.ofSeconds(20);

    /** One for all: two servers that are filled one after the other are filled alike. */
    private static final long EXPIRES_AT_MS = System.currentTimeMillis() + 2_000_000;

    @TempDir
    Path folder;

    /** Every type, in two databases, with and without times to live, small and in more than one chunk. */
    private static void fill(RealServer server) {
        try (Jedis client = server.client()) {
            for (int database : new int[] {0, 3}) {
                client.select(database);
                client.set("string", "value");
                client.set("binary".getBytes(java.nio.charset.StandardCharsets.UTF_8), new byte[] {0, 1, -1, 13, 10});
                client.set("big string", "x".repeat(3 * KeyComparison.CHUNK_BYTES + 5));
                client.set("with expiry", "value");
                client.pexpireAt("with expiry", EXPIRES_AT_MS);
                client.rpush("list", "a", "b", "a");
                client.sadd("set", "a", "b", "c", "1");
                client.hset("hash", "f", "v");
                client.hset("hash", "g", "w");
                client.zadd("zset", 1.5, "a");
                client.zadd("zset", Double.POSITIVE_INFINITY, "b");
                client.zadd("zset", Double.NEGATIVE_INFINITY, "c");
                client.zadd("zset", 163.6298406207514, "d");
                client.zadd("zset", -0.0, "e");
                stream(client);
            }
            client.select(0);
            big(client);
            client.set(ReservedKeys.TOKEN, "only here " + server.port());
        }
    }

    private static void stream(Jedis client) {
        call(client, "XADD", "stream", "5-1", "f", "v");
        call(client, "XADD", "stream", "6-1", "f", "v", "g", "w");
        call(client, "XGROUP", "CREATE", "stream", "group", "0");
        call(client, "XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1", "STREAMS", "stream", ">");
    }

    private static void big(Jedis client) {
        Pipeline pipeline = client.pipelined();
        for (int i = 0; i < 2 * KeyComparison.CHUNK_ELEMENTS + 50; i++) {
            pipeline.rpush("big list", "element " + i);
            pipeline.sadd("big set", "member " + i);
            pipeline.hset("big hash", "field " + i, "value " + i);
            pipeline.zadd("big zset", i / 3.0, "member " + i);
            pipeline.xadd(
                    "big stream",
                    redis.clients.jedis.params.XAddParams.xAddParams().id("7-" + (i + 1)),
                    java.util.Map.of("f", "v"));
        }
        for (int i = 0; i < 1000; i++) {
            pipeline.set("key " + i, "value " + i);
        }
        pipeline.sync();
    }

    private static Object call(Jedis client, String... words) {
        return java.util.Objects.requireNonNullElse(io.switchback.testkit.Replies.call(client, words), "");
    }

    private static VerificationReport verify(VerificationSettings settings, RealServer source, RealServer target) {
        return Verification.run(
                settings, fleet(source), fleet(target), Environment.system(), progress -> {}, () -> false);
    }

    private static FleetSpec fleet(RealServer server) {
        return new FleetSpec(server.binary().name(), new Endpoint(server.host(), server.port()), Optional.empty());
    }

    private RealServer start(ServerBinary binary, String name) {
        return RealServer.start(binary, folder.resolve(name), "--repl-diskless-sync-delay", "0");
    }

    static Stream<Arguments> pairs() {
        List<Arguments> pairs = new ArrayList<>();
        List<ServerBinary> found = ServerBinary.found();
        for (ServerBinary source : found) {
            for (ServerBinary target : found) {
                pairs.add(Arguments.of(source.name(), target.name()));
            }
        }
        return pairs.stream();
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void equalFleetsOfAnyTwoVersionsHaveNoDifference(String source, String target) {
        try (RealServer here = start(Servers.require(source), "source");
                RealServer there = start(Servers.require(target), "target")) {
            fill(here);
            fill(there);
            VerificationReport report = verify(QUICK, here, there);
            assertThat(report.differences()).isEmpty();
            assertThat(report.holds()).isTrue();
            assertThat(report.keysMoving()).isZero();
            assertThat(report.keysChecked()).isEqualTo(here.number("DBSIZE") - 1 + 9);
        }
    }

    record Planted(int database, String key, Kind kind, List<List<String>> commands) {
        @Override
        public String toString() {
            return kind + " in database " + database + ": " + commands;
        }
    }

    private static Planted planted(int database, String key, Kind kind, String... commands) {
        return new Planted(
                database,
                key,
                kind,
                Stream.of(commands)
                        .map(command -> List.of(command.split("_", -1)))
                        .toList());
    }

    static Stream<Planted> differences() {
        String last = "member " + (2 * KeyComparison.CHUNK_ELEMENTS + 49);
        return Stream.of(
                planted(0, "string", Kind.VALUE, "SET_string_valuE"),
                planted(3, "string", Kind.VALUE, "SET_string_valuE"),
                planted(0, "big string", Kind.VALUE, "SETRANGE_big string_" + 3 * KeyComparison.CHUNK_BYTES + "_y"),
                planted(0, "list", Kind.VALUE, "LSET_list_2_x"),
                planted(0, "big list", Kind.VALUE, "LSET_big list_-1_x"),
                planted(0, "set", Kind.VALUE, "SREM_set_c", "SADD_set_x"),
                planted(0, "big set", Kind.VALUE, "SREM_big set_" + last, "SADD_big set_x"),
                planted(0, "hash", Kind.VALUE, "HSET_hash_g_x"),
                planted(0, "big hash", Kind.VALUE, "HSET_big hash_field 77_x"),
                planted(0, "zset", Kind.VALUE, "ZADD_zset_1.5000000000000002_a"),
                planted(0, "zset", Kind.VALUE, "ZADD_zset_1e308_b"),
                planted(0, "big zset", Kind.VALUE, "ZADD_big zset_9999_" + last),
                planted(0, "stream", Kind.VALUE, "XDEL_stream_6-1"),
                planted(3, "stream", Kind.VALUE, "XADD_stream_7-1_f_v", "XDEL_stream_7-1"),
                planted(0, "stream", Kind.VALUE, "XACK_stream_group_5-1"),
                planted(0, "stream", Kind.VALUE, "XCLAIM_stream_group_other_0_5-1"),
                planted(0, "stream", Kind.VALUE, "XGROUP_SETID_stream_group_6-1"),
                planted(0, "stream", Kind.VALUE, "XGROUP_CREATE_stream_second_0"),
                planted(0, "big stream", Kind.VALUE, "XDEL_big stream_7-2050", "XADD_big stream_8-1_f_v"),
                planted(0, "with expiry", Kind.TIME_TO_LIVE, "PEXPIRE_with expiry_999999"),
                planted(0, "with expiry", Kind.TIME_TO_LIVE, "PERSIST_with expiry"),
                planted(0, "list", Kind.TIME_TO_LIVE, "EXPIRE_list_10000"),
                planted(0, "key 500", Kind.MISSING, "DEL_key 500"),
                planted(3, "set", Kind.MISSING, "DEL_set"),
                planted(0, "key 1000", Kind.EXTRA, "SET_key 1000_v"),
                planted(7, "new", Kind.EXTRA, "SET_new_v"),
                planted(0, "list", Kind.TYPE, "DEL_list", "SET_list_a"));
    }

    @ParameterizedTest
    @MethodSource("differences")
    void onePlantedDifferenceIsFound(Planted planted) {
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target");
                Jedis client = there.client()) {
            fill(here);
            fill(there);
            client.select(planted.database());
            planted.commands().forEach(command -> call(client, command.toArray(String[]::new)));
            VerificationReport report = verify(QUICK, here, there);
            assertThat(report.differenceCount()).isEqualTo(1);
            assertThat(report.holds()).isFalse();
            Difference difference = report.differences().getFirst();
            assertThat(difference.database()).isEqualTo(planted.database());
            assertThat(difference.key()).isEqualTo(planted.key());
            assertThat(difference.kind()).as(difference.what()).isEqualTo(planted.kind());
        }
    }

    /** Two servers link the same vectors by other graphs, and serialize them otherwise. */
    @Test
    void vectorSetsAreComparedElementByElement() {
        ServerBinary binary = Servers.require("redis-8.0");
        int count = 350;
        try (RealServer here = start(binary, "source");
                RealServer there = start(binary, "target")) {
            for (int i = 0; i < count; i++) {
                vector(here, i);
                vector(there, count - 1 - i);
            }
            here.call("VSETATTR", "vectors", "e7", "{\"year\":1}");
            there.call("VSETATTR", "vectors", "e7", "{\"year\":1}");
            assertThat(String.valueOf(here.call("DUMP", "vectors")))
                    .isNotEqualTo(String.valueOf(there.call("DUMP", "vectors")));
            assertThat(verify(QUICK, here, there).holds()).isTrue();

            there.call("VSETATTR", "vectors", "e7", "{\"year\":2}");
            assertThat(onlyDifference(here, there)).isEqualTo("vectorset: what is said (VGETATTR) of \"e7\" differs");
            there.call("VSETATTR", "vectors", "e7", "{\"year\":1}");
            there.call("VADD", "vectors", "VALUES", "3", "1", "0", "0", "e300");
            assertThat(onlyDifference(here, there)).isEqualTo("vectorset: the vector of \"e300\" differs");
            there.call("VREM", "vectors", "e300");
            assertThat(onlyDifference(here, there)).contains("a size of 350 at the source, of 349 at the target");
            there.call("VADD", "vectors", "VALUES", "3", "1", "0", "0", "other");
            assertThat(onlyDifference(here, there)).isEqualTo("vectorset: the vector of \"e300\" is not at the target");
            there.call("DEL", "vectors");
            there.call("VADD", "vectors", "VALUES", "2", "1", "0", "e0", "NOQUANT");
            assertThat(onlyDifference(here, there)).contains("a size of");
        }
    }

    private static void vector(RealServer server, int number) {
        server.call("VADD", "vectors", "VALUES", "3", "1", Double.toString(number / 10.0), "-0.5", "e" + number);
    }

    private static String onlyDifference(RealServer here, RealServer there) {
        return verify(QUICK, here, there).differences().getFirst().what();
    }

    @Test
    void aMillisecondOfExpiryIsADifferenceWhereBothSidesKnowItExactly() {
        ServerBinary binary = Servers.require("redis-7.0");
        try (RealServer here = start(binary, "source");
                RealServer there = start(binary, "target")) {
            here.call("SET", "key", "v", "PXAT", "4000000000000");
            there.call("SET", "key", "v", "PXAT", "4000000000001");
            assertThat(verify(QUICK, here, there).differences())
                    .singleElement()
                    .extracting(Difference::kind)
                    .isEqualTo(Kind.TIME_TO_LIVE);
        }
    }

    @Test
    void aFieldsTimeToLiveIsCompared() {
        ServerBinary binary = Servers.require("valkey-9.1");
        try (RealServer here = start(binary, "source");
                RealServer there = start(binary, "target")) {
            for (RealServer server : List.of(here, there)) {
                server.call("HSET", "hash", "f", "v", "g", "w");
                server.call("HPEXPIREAT", "hash", "4000000000000", "FIELDS", "1", "f");
            }
            assertThat(verify(QUICK, here, there).holds()).isTrue();
            there.call("HPERSIST", "hash", "FIELDS", "1", "f");
            assertThat(verify(QUICK, here, there).differenceCount()).isEqualTo(1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"valkey-9.1", "redis-8.0"})
    void aHashOfWhichAllFieldsHaveRunOutDoesNotEndTheComparison(String name) {
        ServerBinary binary = Servers.require(name);
        try (RealServer here = RealServer.start(binary, folder.resolve("source"), "--enable-debug-command", "yes");
                RealServer there =
                        RealServer.start(binary, folder.resolve("target"), "--enable-debug-command", "yes")) {
            for (RealServer server : List.of(here, there)) {
                server.call(
                        "DEBUG", "SET-ACTIVE-EXPIRE", "0"); // so that it stays for a while, as it does on a busy server
                server.call("HSET", "hash", "f", "v");
                server.call("HPEXPIRE", "hash", "1", "FIELDS", "1", "f");
                server.call("HSET", "other", "f", "v");
            }
            Await.until(
                    Duration.ofSeconds(10),
                    "the field has run out",
                    () -> List.of().equals(here.call("HGETALL", "hash"))
                            && List.of().equals(there.call("HGETALL", "hash")));
            assertThat(here.number("EXISTS", "hash")).isEqualTo(1);
            assertThat(verify(QUICK, here, there).holds()).isTrue();
        }
    }

    @Test
    void aReplicaUnderWritesAndExpiryHasNoFalseDifference() throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            fill(here);
            there.call("REPLICAOF", here.host(), Integer.toString(here.port()));
            Await.until(
                    LIMIT,
                    "the replica is up",
                    () -> there.info("replication", "master_link_status").equals("up"));
            Thread writer = Thread.ofPlatform().start(() -> write(here, stop));
            try {
                for (int round = 0; round < 3; round++) {
                    VerificationReport report = verify(
                            VerificationSettings.defaults()
                                    .withLagBound(Duration.ofMillis(500))
                                    .withMovingLimit(Duration.ofSeconds(2)),
                            here,
                            there);
                    assertThat(report.differences()).isEmpty();
                    assertThat(report.keysChecked()).isGreaterThan(500);
                }
            } finally {
                stop.set(true);
                writer.join(LIMIT);
            }
            assertThat(writer.isAlive()).isFalse();
        }
    }

    /** All types, keys that come and go, and keys that run out while they are looked at. */
    private static void write(RealServer server, AtomicBoolean stop) {
        try (Jedis client = server.client()) {
            for (int i = 0; !stop.get(); i++) {
                int n = i % 500;
                client.incr("counter " + n % 7);
                client.psetex("short " + n, 1 + n % 100, "v");
                client.rpush("list", "e" + i);
                client.ltrim("list", -20, -1);
                client.zincrby("zset", 1.25, "a");
                client.sadd("set", "m" + n);
                client.hset("hash", "f" + n, "v" + i);
                client.set("key " + n, "value " + i);
                client.del("key " + (n + 250) % 500);
                call(client, "XADD", "stream", "*", "f", "v");
            }
        }
    }

    @Test
    void aKeyThatHasRunOutOnOneSideAndIsNotDeletedOnTheOtherIsNoDifference() {
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            // Nobody deletes these by itself: what has run out is only hidden.
            for (RealServer server : List.of(here, there)) {
                server.call("DEBUG", "SET-ACTIVE-EXPIRE", "0");
                for (int i = 0; i < 50; i++) {
                    server.call("SET", "short " + i, "v", "PX", "1");
                }
            }
            here.call("SET", "shorter", "v", "PX", "100");
            there.call("SET", "shorter", "v", "PX", "300");
            VerificationReport report = verify(QUICK.withLagBound(Duration.ofMillis(800)), here, there);
            assertThat(report.differences()).isEmpty();
            assertThat(report.complete()).isTrue();
        }
    }

    @Test
    void aKeyThatChangesAllTheTimeIsCountedAsMoving() throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            here.call("SET", "hot", "0");
            there.call("SET", "hot", "other");
            Thread writer = Thread.ofPlatform().start(() -> {
                try (Jedis client = here.client()) {
                    while (!stop.get()) {
                        client.incr("hot");
                    }
                }
            });
            try {
                VerificationReport report = verify(QUICK.withMovingLimit(Duration.ofMillis(600)), here, there);
                assertThat(report.differences()).isEmpty();
                assertThat(report.keysMoving()).isEqualTo(1);
                assertThat(report.movingKeys()).containsExactly("hot");
            } finally {
                stop.set(true);
                writer.join(LIMIT);
            }
        }
    }

    @Test
    void theReportNamesSomeDifferencesAndCountsAll() {
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            fill(here);
            VerificationReport report = verify(QUICK, here, there);
            assertThat(report.differences()).hasSize(QUICK.differencesMax());
            assertThat(report.differenceCount()).isEqualTo(report.keysChecked());
        }
    }

    @Test
    void itStopsWhenToldAndSaysThatItIsNotThrough() {
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            fill(here);
            fill(there);
            List<VerificationProgress> seen = new ArrayList<>();
            VerificationReport report = Verification.run(
                    QUICK, fleet(here), fleet(there), Environment.system(), seen::add, () -> !seen.isEmpty());
            assertThat(report.complete()).isFalse();
            assertThat(report.holds()).isFalse();
            assertThat(seen).isNotEmpty();
            assertThat(seen.getFirst().keysTotal()).isEqualTo(2 * (here.number("DBSIZE") + 9));
            assertThat(report.keysChecked()).isLessThan(here.number("DBSIZE"));
        }
    }

    @Test
    void itLeavesClientsTheirShareOfTheTime() {
        List<Duration> waits = new CopyOnWriteArrayList<>();
        AtomicLong busyMillis = new AtomicLong();
        Environment recording = new Environment() {
            // Every look at the clock takes ten milliseconds.
            @Override
            public long nanoTime() {
                return busyMillis.addAndGet(10) * 1_000_000
                        + waits.stream().mapToLong(Duration::toNanos).sum();
            }

            @Override
            public java.time.Instant now() {
                return Environment.system().now();
            }

            @Override
            public void sleep(Duration duration) {
                waits.add(duration);
            }

            @Override
            public byte[] randomBytes(int count) {
                return Environment.system().randomBytes(count);
            }
        };
        try (RealServer here = start(ServerBinary.any(), "source");
                RealServer there = start(ServerBinary.any(), "target")) {
            fill(here);
            fill(there);
            VerificationReport report = Verification.run(
                    QUICK.withBusyShareMax(0.25), fleet(here), fleet(there), recording, progress -> {}, () -> false);
            assertThat(report.holds()).isTrue();
            assertThat(waits).isNotEmpty().allSatisfy(wait -> assertThat(wait).isPositive());
            // Three times as long as they were asked, but for what is asked before the first rest and behind the last.
            assertThat(waits.stream().mapToLong(Duration::toMillis).sum())
                    .isBetween(2 * busyMillis.get(), 3 * busyMillis.get());
        }
    }

    @Test
    void aServerIsComparedWithAClusterBothWays(@TempDir Path one, @TempDir Path many) {
        try (RealServer server = RealServer.start(ServerBinary.any(), one);
                RealCluster cluster = RealCluster.start(ServerBinary.any(), many, 3, 0)) {
            FleetSpec sharded = new FleetSpec(
                    "sharded",
                    new FleetAddress.Cluster(cluster.nodes().stream()
                            .map(node -> new Endpoint(node.host(), node.port()))
                            .toList()),
                    Optional.empty());
            for (int i = 0; i < 500; i++) {
                String key = "key " + i;
                RealServer node = cluster.primaryOf(RealCluster.slotOf(key));
                for (RealServer each : List.of(server, node)) {
                    switch (i % 4) {
                        case 0 -> each.call("SET", key, "value " + i);
                        case 1 -> each.call("RPUSH", key, "a", "b");
                        case 2 -> each.call("HSET", key, "f", "v");
                        default -> {
                            each.call("XADD", key, "1-1", "f", "v");
                            each.call("XGROUP", "CREATE", key, "g", "0");
                        }
                    }
                }
            }
            VerificationReport same =
                    Verification.run(QUICK, fleet(server), sharded, Environment.system(), progress -> {}, () -> false);
            assertThat(same.differences()).isEmpty();
            assertThat(same.keysChecked()).isEqualTo(500);
            assertThat(same.complete()).isTrue();

            cluster.primaryOf(RealCluster.slotOf("key 0")).call("SET", "key 0", "other");
            cluster.primaryOf(RealCluster.slotOf("key 7")).call("XADD", "key 7", "2-1", "f", "v");
            cluster.primaryOf(RealCluster.slotOf("extra")).call("SET", "extra", "there alone");
            server.call("DEL", "key 1");
            server.call("SET", "key missing", "here alone");
            for (boolean forward : List.of(true, false)) {
                VerificationReport report = Verification.run(
                        QUICK,
                        forward ? fleet(server) : sharded,
                        forward ? sharded : fleet(server),
                        Environment.system(),
                        progress -> {},
                        () -> false);
                assertThat(report.differences())
                        .extracting(Difference::key)
                        .containsExactlyInAnyOrder("key 0", "key 7", "extra", "key 1", "key missing");
            }
        }
    }

    /** Some keys of one database, all by other names: what is not carried may differ as it likes. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void onlyWhatIsCarriedIsComparedByItsTwoNames(boolean forward) {
        CarriedKeys keys =
                new CarriedKeys(List.of(), List.of("big s*"), Set.of(0), List.of(new CarriedKeys.Rename("", "t:")));
        try (RealServer old = start(ServerBinary.any(), "old");
                RealServer fresh = start(ServerBinary.any(), "fresh");
                Jedis there = fresh.client();
                Jedis here = old.client()) {
            fill(old);
            fill(fresh);
            for (String name : there.keys("*")) {
                if (!ReservedKeys.isReserved(name.getBytes(java.nio.charset.StandardCharsets.UTF_8))) {
                    there.rename(name, "t:" + name);
                }
            }
            there.del("t:big string", "t:big stream");
            there.set("string", "the new fleet's own");
            there.set("t:big stranger", "the new fleet's own");
            here.set("big s", "stays behind");
            for (RealServer one : List.of(old, fresh)) {
                try (Jedis client = one.client()) {
                    client.select(3);
                    client.set("only " + one.binary().name() + one.port(), "x");
                    client.set("t:string", Integer.toString(one.port()));
                }
            }
            VerificationReport same = verify(keys, forward, old, fresh);
            assertThat(same.differences()).isEmpty();
            assertThat(same.holds()).isTrue();
            assertThat(same.keysChecked()).isEqualTo(here.dbSize() - 1 - 4); // reserved; big s, set, string, stream

            there.set("t:string", "other");
            there.del("t:key 500");
            there.set("t:key 1000", "v");
            there.persist("t:with expiry");
            call(there, "XACK", "t:stream", "group", "5-1");
            there.sadd("set", "not compared");
            VerificationReport report = verify(keys, forward, old, fresh);
            assertThat(report.differences())
                    .extracting(one -> one.kind() + " " + one.key())
                    .containsExactlyInAnyOrder(
                            "VALUE " + names("string", forward),
                            (forward ? "MISSING " : "EXTRA ") + names("key 500", forward),
                            (forward ? "EXTRA " : "MISSING ") + names("key 1000", forward),
                            "TIME_TO_LIVE " + names("with expiry", forward),
                            "VALUE " + names("stream", forward));
        }
    }

    private static String names(String name, boolean forward) {
        return forward ? name + " (t:" + name + " at the target)" : "t:" + name + " (" + name + " at the target)";
    }

    private static VerificationReport verify(CarriedKeys keys, boolean forward, RealServer old, RealServer fresh) {
        return Verification.run(
                QUICK,
                fleet(forward ? old : fresh),
                fleet(forward ? fresh : old),
                forward ? keys.there() : keys.back(),
                Environment.system(),
                progress -> {},
                () -> false);
    }
}
