package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.cluster;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Token;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.RandomWrites;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an apply link brings to its target, while clients write, across versions and to a cluster, and after it was killed. */
class ApplyLinkTest {
    private static final int CLIENTS = 4;
    private static final long BEFORE_COPY = 2_000;
    private static final long WRITES = 40_000;
    private static final int KILLS = 4;

    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return Stream.of("redis-7.0 redis-6.0", "redis-6.0 redis-7.0", "valkey-9.1 redis-7.0", "redis-8.0 valkey-9.1")
                .filter(pair -> Stream.of(pair.split(" ", -1))
                        .allMatch(name -> ServerBinary.named(name).isPresent()));
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aTargetThatFollowsNobodyHasAllOfItAlsoOfALinkThatIsKilledAgainAndAgain(String pair) throws Exception {
        String[] names = pair.split(" ", -1);
        try (RealServer source = RealServer.start(
                        ServerBinary.named(names[0]).orElseThrow(),
                        folder.resolve("source"),
                        "--repl-backlog-size",
                        "64mb");
                RealServer target =
                        RealServer.start(ServerBinary.named(names[1]).orElseThrow(), folder.resolve("target"))) {
            follows(source, spec("target", target), List.of(target), "");
        }
    }

    @Test
    void aClusterHasAllOfItAlsoOfALinkThatIsKilledAgainAndAgain() throws Exception {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealCluster target = RealCluster.start(binary, folder.resolve("target"), 3, 0)) {
            follows(source, cluster("target", target), target.nodes(), "");
        }
    }

    @Test
    void aClusterWhoseSlotsMoveAndWhosePrimariesChangeMeanwhileHasAllOfIt() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 3, 1)) {
            Heard heard = new Heard();
            try (ApplyLink link = open(source, cluster("target", target), 1, heard)) {
                try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                    streams(link);
                    for (int i = 0; i < 4; i++) {
                        int slot = RealCluster.slotOf("c" + i);
                        RealServer from = target.primaryOf(slot);
                        RealServer to = target.primaryOf((slot + RealCluster.SLOTS / 2) % RealCluster.SLOTS);
                        target.beginMove(slot, to);
                        long until = writes.written() + 1_000;
                        Await.until(LIMIT, "clients write on", () -> writes.written() > until);
                        target.moveKeys(slot, to, Integer.MAX_VALUE);
                        target.finishMove(slot, from, to);
                        target.failover(target.replicasOf(to).getFirst());
                    }
                }
                drain(source, link);
                List<RealServer> primaries = IntStream.range(0, 16)
                        .mapToObj(i -> target.primaryOf(i * RealCluster.SLOTS / 16))
                        .distinct()
                        .toList();
                equal(List.of(source), primaries, false);
                assertThat(source.info("stats", "sync_full")).isEqualTo("1");
                assertThat(heard.broken).isNull();
                assertThat(heard.base).isNotNull();
            }
        }
    }

    private void follows(RealServer source, FleetSpec fleet, List<RealServer> targets, String tag) throws Exception {
        Random random = new Random(7);
        Heard heard = new Heard();
        ApplyLink link;
        try (RandomWrites writes = new RandomWrites(source, CLIENTS, tag)) {
            Await.until(LIMIT, "something to copy", () -> writes.written() > BEFORE_COPY);
            link = open(source, fleet, 0, heard);
            streams(link);
            for (int i = 1; i <= KILLS; i++) {
                long until = writes.written() + WRITES / KILLS + random.nextInt(2_000);
                Await.until(LIMIT, "clients write on", () -> writes.written() > until);
                link.stop(); // as if the process were killed
                link = open(source, fleet, i, heard);
                streams(link);
            }
        }
        drain(source, link);
        boolean exact = Contents.saysWhenItEnds(source) && targets.stream().allMatch(Contents::saysWhenItEnds);
        equal(List.of(source), targets, exact);
        assertThat(source.info("stats", "sync_full")).isEqualTo("1");
        assertThat(heard.broken).isNull();
        link.close();
    }

    /** Effects that do not overwrite their key: each is run at the source before the key's time, and at the target behind it. */
    private static final List<List<String>> ON_A_KEY_THAT_IS_ABOUT_TO_GO = Stream.of(
                    "INCR string",
                    "INCRBY string 7",
                    "DECR string",
                    "INCRBYFLOAT string 1.5",
                    "APPEND string 1",
                    "SETRANGE string 2 x",
                    "SETBIT string 9 1",
                    "SET string other KEEPTTL",
                    "BITFIELD string SET u8 0 9",
                    "RPUSH list x",
                    "LPUSH list x",
                    "LSET list 0 x",
                    "LINSERT list BEFORE a x",
                    "SADD set x",
                    "SREM set a",
                    "HSET hash f x",
                    "HINCRBY hash n 1",
                    "HDEL hash f",
                    "ZADD sorted 3 x",
                    "ZINCRBY sorted 3 a",
                    "XADD stream 5-1 f x",
                    "XDEL stream 1-1",
                    "XGROUP CREATE stream g 0",
                    "PFADD loglog x")
            .map(line -> List.of(line.split(" ", -1)))
            .toList();

    @Test
    void anEffectThatComesBehindTheTimeOfItsKeyIsNotAppliedToAKeyThatTheTargetHasLetGo() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"));
                ApplyLink link = open(source, spec("target", target), 1, new Heard())) {
            streams(link);
            int number = 0;
            for (List<String> effect : ON_A_KEY_THAT_IS_ABOUT_TO_GO) {
                make(source, effect.get(1), number++);
            }
            make(source, "set", 100);
            make(source, "set", 101);
            make(source, "string", 102);
            make(source, "list", 103);
            make(source, "string", 104);
            source.call("SADD", "lasting", "a", "z");
            drain(source, link);
            target.stop();
            number = 0;
            for (List<String> effect : ON_A_KEY_THAT_IS_ABOUT_TO_GO) {
                String key = effect.get(1) + number++;
                String[] words = effect.toArray(String[]::new);
                words[1] = key;
                if (words[0].equals("XGROUP")) {
                    key = words[2] + (number - 1);
                    words[1] = "CREATE";
                    words[2] = key;
                }
                source.call(words);
                source.call("PERSIST", key);
            }
            source.call("EVAL", "redis.call('INCR', KEYS[1]) redis.call('PEXPIRE', KEYS[1], 100000)", "1", "string104");
            source.call("SUNIONSTORE", "union", "set100", "lasting");
            source.call("SMOVE", "set101", "lasting", "a");
            source.call("RENAME", "string102", "renamed");
            source.call("PERSIST", "renamed");
            source.call("RPOPLPUSH", "list103", "moved");
            long gone = source.number("PTTL", "set100");
            assertThat(gone)
                    .as("the test was too slow to come before the keys' time")
                    .isPositive();
            Await.until(LIMIT, "their time is over", () -> source.number("EXISTS", "set100") == 0);
            target.resume();
            drain(source, link);
            equal(List.of(source), List.of(target), false);
            assertThat(target.number("EXISTS", "string0")).isEqualTo(1);
        }
    }

    /** A key whose time ends soon. */
    private static void make(RealServer source, String type, int number) {
        String key = (type.equals("CREATE") ? "stream" : type) + number;
        switch (type) {
            case "string" -> source.call("SET", key, "5");
            case "list" -> source.call("RPUSH", key, "a", "b");
            case "set" -> source.call("SADD", key, "a", "b");
            case "hash" -> source.call("HSET", key, "f", "v", "n", "5");
            case "sorted" -> source.call("ZADD", key, "1", "a", "2", "b");
            case "stream", "CREATE" -> {
                source.call("XADD", key, "1-1", "f", "v");
                source.call("XADD", key, "1-2", "f", "v");
            }
            case "loglog" -> source.call("PFADD", key, "a", "b");
            default -> throw new IllegalArgumentException(type);
        }
        source.call("PEXPIRE", key, "2500");
    }

    @Test
    void whatIsOfNoKeyReachesTheTargetToo() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            target.call("SET", "left over", "x");
            source.call("SET", "early", "x");
            try (ApplyLink link = open(source, spec("target", target), 1, new Heard())) {
                streams(link);
                source.call("RPUSH", "list", "a");
                source.call("FLUSHALL");
                source.call("RPUSH", "list", "b");
                drain(source, link);
                equal(List.of(source), List.of(target), false);
                assertThat(target.call("LRANGE", "list", "0", "-1")).isEqualTo(List.of("b"));
                assertThat(target.number("EXISTS", "early", "left over")).isZero();
            }
            try (ApplyLink again = open(source, spec("target", target), 2, new Heard())) {
                streams(again);
                source.call("RPUSH", "list", "c");
                drain(source, again);
                assertThat(target.call("LRANGE", "list", "0", "-1")).isEqualTo(List.of("b", "c"));
                assertThat(source.info("stats", "sync_full")).isEqualTo("1");
            }
        }
    }

    @Test
    void aTargetThatHasLostItsDataIsNotTakenForTheOneThatItWas() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            source.call("SET", "key", "value");
            Heard heard = new Heard();
            try (ApplyLink link = open(source, spec("target", target), 1, heard)) {
                streams(link);
                target.call("FLUSHALL");
                target.call("CLIENT", "KILL", "TYPE", "normal");
                source.call("SET", "other", "value");
                Await.until(LIMIT, "it is noticed", () -> heard.broken != null);
                assertThat(heard.broken).contains("checkpoint is gone from its target");
                assertThat(link.status().phase()).isEqualTo(Phase.BROKEN);
            }
        }
    }

    @Test
    void statesThatAreTooLargeToBeHeldTogetherGoOutInParts() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "256mb");
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 3, 0);
                ApplyLink link = open(source, cluster("target", target), 1, new Heard())) {
            streams(link);
            List<String> sets = IntStream.range(0, 16).mapToObj(i -> "set" + i).toList();
            for (String set : sets) {
                source.call("SADD", set, set + "a".repeat(1_100_000), set + "b".repeat(1_100_000));
            }
            // No server of the cluster could run it, so that all its keys go as states.
            source.call(Stream.concat(Stream.of("SUNIONSTORE", "union"), sets.stream())
                    .toArray(String[]::new));
            source.call("SADD", "union", "one more");
            drain(source, link);
            assertThat(target.primaryOf(RealCluster.slotOf("union")).number("SCARD", "union"))
                    .isEqualTo(33);
            for (String set : sets) {
                assertThat(target.primaryOf(RealCluster.slotOf(set)).number("SCARD", set))
                        .isEqualTo(2);
            }
            assertThat(source.info("stats", "sync_full")).isEqualTo("1");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"yes", "no"})
    void whatIsCopiedIsABackupToo(String diskless) throws Exception {
        try (RealServer source = RealServer.start(
                        ServerBinary.any(),
                        folder.resolve("source"),
                        "--repl-diskless-sync",
                        diskless,
                        "--repl-diskless-sync-delay",
                        "0");
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            for (int i = 0; i < 2_000; i++) {
                source.call("SET", "key " + i, "value " + i);
            }
            Heard heard = new Heard();
            try (ApplyLink link = ApplyLink.open(
                    new ApplySettings(
                            "link",
                            "secret",
                            Token.open(1, "owner"),
                            spec("source", source),
                            spec("target", target),
                            new LinkStart.FullCopy(Optional.of(folder.resolve("backup"))),
                            Optional.empty()),
                    Environment.system(),
                    heard)) {
                streams(link);
                Path file = Objects.requireNonNull(heard.backup).file();
                Path restored = Files.createDirectory(folder.resolve("restored"));
                Files.copy(file, restored.resolve("dump.rdb"));
                try (RealServer server = RealServer.start(ServerBinary.any(), restored)) {
                    equal(List.of(source), List.of(server), false);
                }
                assertThat(folder.resolve("backup")).isDirectoryNotContaining("glob:**.part");
            }
        }
    }

    private static ApplyLink open(RealServer source, FleetSpec target, long owner, LinkListener listener) {
        return ApplyLink.open(
                new ApplySettings(
                        "link",
                        "secret",
                        Token.open(owner, "owner"),
                        spec("source", source),
                        target,
                        new LinkStart.FullCopy(Optional.empty()),
                        Optional.empty()),
                Environment.system(),
                listener);
    }
}
