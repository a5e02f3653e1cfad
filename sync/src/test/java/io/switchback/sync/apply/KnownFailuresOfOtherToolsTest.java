package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.endpoint;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.source.Backlog;
import io.switchback.sync.verify.Difference;
import io.switchback.sync.verify.Verification;
import io.switchback.sync.verify.VerificationReport;
import io.switchback.sync.verify.VerificationSettings;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import io.switchback.testkit.values.EveryForm;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What other tools that carry a cache's data are known to fail in, each as a test of links that apply, which work as such tools do. docs/testing.md names the tests that show the same of
 * relays and of whole releases.
 */
class KnownFailuresOfOtherToolsTest {
    @TempDir
    Path folder;

    // ------------------------------------------------------------------------------------------------------- copies

    @Test
    void aKeyWhoseTimeEndsWhileTheSnapshotIsInFlightStaysGone() {
        try (RealServer source = startDiskless("source");
                RealServer target = start("target")) {
            source.call("CONFIG", "SET", "rdb-key-save-delay", "15000"); // 210 keys: three seconds
            source.call(
                    "EVAL",
                    "for i = 0, 149 do redis.call('SET', 'lasting' .. i, 'v') end for i = 0, 9 do"
                            + " for _, kind in ipairs({'gone', 'again', 'kept', 'longer', 'counted'}) do"
                            + " redis.call('SET', kind .. i, '5', 'PX', '2000') end"
                            + " redis.call('RPUSH', 'list' .. i, 'a') redis.call('PEXPIRE', 'list' .. i, '2000') end",
                    "0");
            try (ApplyLink link = open(source, target, 1, new Heard())) {
                Await.until(
                        LIMIT,
                        "the snapshot is being made",
                        () -> source.info("persistence", "rdb_bgsave_in_progress")
                                .equals("1"));
                long inTime = source.number(
                        "EVAL",
                        "local n = 0 for i = 0, 9 do n = n + redis.call('PERSIST', 'kept' .. i)"
                                + " redis.call('PEXPIRE', 'longer' .. i, '1000000')"
                                + " redis.call('INCR', 'counted' .. i) redis.call('PERSIST', 'counted' .. i)"
                                + " redis.call('RPUSH', 'list' .. i, 'b') redis.call('PERSIST', 'list' .. i) end"
                                + " return n",
                        "0");
                assertThat(inTime).as("before their time").isEqualTo(10);
                Await.until(LIMIT, "their time is over", () -> source.number("EXISTS", "gone0", "again0") == 0);
                assertThat(link.status().phase())
                        .as("the snapshot is in flight")
                        .isEqualTo(Phase.COPYING);
                IntStream.range(0, 10).forEach(i -> source.call("APPEND", "again" + i, "x"));
                streams(link);
                drain(source, link);
                equal(List.of(source), List.of(target), false);
                for (int i = 0; i < 10; i++) {
                    assertThat(target.number("EXISTS", "gone" + i)).isZero();
                    assertThat(target.call("GET", "again" + i)).isEqualTo("x");
                    assertThat(target.call("GET", "kept" + i)).isEqualTo("5");
                    assertThat(target.number("PTTL", "longer" + i)).isBetween(900_000L, 1_000_000L);
                    assertThat(target.call("GET", "counted" + i)).isEqualTo("6");
                    assertThat(target.call("LRANGE", "list" + i, "0", "-1")).isEqualTo(List.of("a", "b"));
                }
            }
        }
    }

    @Test
    void allDoneIsNotSaidWithFourFifthsMissing() {
        try (RealServer source = start("source");
                RealServer target = start("target")) {
            String value = "x".repeat(10_000);
            IntStream.range(0, 1_000).forEach(i -> source.call("SET", "key" + i, value));
            long room = Long.parseLong(target.info("memory", "used_memory")) + 3_000_000;
            target.call("CONFIG", "SET", "maxmemory", Long.toString(room));
            Heard heard = new Heard();
            ApplyLink link = open(source, target, 1, heard);
            Await.until(
                    LIMIT, "it says what is wrong", () -> link.status().detail().contains("interrupted"));
            assertThat(link.status().detail()).contains("OOM");
            assertThat(link.status().phase()).isNotEqualTo(Phase.STREAMING);
            assertThat(heard.base).as("no copy is told of").isNull();
            link.stop();
            VerificationReport report = verify(source, target);
            assertThat(report.holds()).isFalse();
            assertThat(report.differenceCount()).isBetween(500L, 999L);
            assertThat(report.differences()).allMatch(one -> one.kind() == Difference.Kind.MISSING);
            target.call("CONFIG", "SET", "maxmemory", "0");
            try (ApplyLink next = open(source, target, 2, heard)) {
                streams(next);
                drain(source, next);
                assertThat(heard.base).isNotNull();
                assertThat(verify(source, target).holds()).isTrue();
            }
        }
    }

    @Test
    void oneHugeSortedSetDoesNotFillTheMemory() throws Exception {
        try (RealServer source = startDiskless("source");
                RealServer target = start("target")) {
            long members = 700_000; // some 75 bytes each in the snapshot; a link's filters leave half of its heap
            for (long from = 0; from < members; from += 20_000) {
                source.call(
                        "EVAL",
                        "for i = ARGV[1], ARGV[1] + 19999 do redis.call('ZADD', 'huge', i, 'member ' .. i ..'"
                                + " of a set that is larger than what the link may hold') end",
                        "0",
                        Long.toString(from));
            }
            Process link = new ProcessBuilder(
                            ProcessHandle.current().info().command().orElse("java"),
                            "-XX:+UseSerialGC",
                            "-Xmx64m",
                            "-cp",
                            System.getProperty("java.class.path"),
                            LinkInASmallHeap.class.getName(),
                            Integer.toString(source.port()),
                            Integer.toString(target.port()))
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve("link.log").toFile())
                    .start();
            try {
                Await.until(LIMIT, "the link's process to end", () -> !link.isAlive());
                assertThat(link.exitValue())
                        .as(Files.readString(folder.resolve("link.log")))
                        .isZero();
            } finally {
                link.destroyForcibly();
            }
            assertThat(target.number("ZCARD", "huge")).isEqualTo(members);
            assertThat(target.call("ZSCORE", "huge", member(members - 1))).isEqualTo(Long.toString(members - 1));
            assertThat(source.info("stats", "sync_full")).isEqualTo("1");
        }
    }

    private static String member(long number) {
        return "member " + number + " of a set that is larger than what the link may hold";
    }

    /** Copies, waits until it flows, and ends. */
    static final class LinkInASmallHeap {
        private LinkInASmallHeap() {}

        public static void main(String[] ports) {
            Heard heard = new Heard();
            try (ApplyLink link = KnownFailuresOfOtherToolsTest.open(
                    new Endpoint("127.0.0.1", Integer.parseInt(ports[0])),
                    new Endpoint("127.0.0.1", Integer.parseInt(ports[1])),
                    1,
                    heard,
                    new LinkStart.FullCopy(Optional.empty()))) {
                streams(link);
            }
            System.exit(heard.broken == null && heard.copies.get() == 1 ? 0 : 1);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"valkey-9.1", "redis-8.0"})
    void theWayDownDoesNotEndInBadDataFormat(String name) {
        ServerBinary newer = Servers.require(name);
        ServerBinary older = Servers.require("redis-6.0");
        try (RealServer source = RealServer.start(newer, folder.resolve("source"), "--enable-debug-command", "yes");
                RealServer target = RealServer.start(older, folder.resolve("target"))) {
            EveryForm.fill(source);
            try (ApplyLink link = open(source, target, 1, new Heard())) {
                streams(link);
                source.call("SET", "after", "the copy");
                drain(source, link);
                assertThat(target.log()).doesNotContain("Bad data format");
                VerificationReport report = verify(source, target);
                assertThat(report.keysChecked()).isGreaterThan(150);
                assertThat(report.differences())
                        .allMatch(one ->
                                one.key().startsWith("fieldtimes:") || one.key().equals("vectors"));
                assertThat(link.status().detail())
                        .as("what is missing is said")
                        .contains("times to live of", "the library of functions everyform");
                assertThat(source.info("stats", "sync_full")).isEqualTo("1");
            }
        }
    }

    // -------------------------------------------------------------------------------------------------- the stream

    @Test
    void aCommandNewerThanTheTargetIsCarriedAsState() {
        ServerBinary newer = Servers.require("valkey-9.1");
        ServerBinary older = Servers.require("redis-6.0");
        try (RealServer source = RealServer.start(newer, folder.resolve("source"));
                RealServer target = RealServer.start(older, folder.resolve("target"));
                ApplyLink link = open(source, target, 1, new Heard())) {
            streams(link);
            source.call("HSET", "hash", "f", "1", "g", "2");
            source.call("HEXPIRE", "hash", "1000", "FIELDS", "1", "f"); // 6.0 has no words for it
            source.call("HINCRBY", "hash", "f", "4");
            source.call("RPUSH", "list", "a");
            drain(source, link);
            equal(List.of(source), List.of(target), false);
            assertThat(link.status().phase()).isEqualTo(Phase.STREAMING);
            assertThat(link.status().detail()).contains("times to live of 1 fields of a hash");
        }
    }

    @Test
    void aCommandNewerThanTheLinkDoesNotEndIt() {
        // The server knows a command that nobody else does, as one does whose version came out after the link's.
        try (RealServer source = RealServer.start(
                        ServerBinary.any(), folder.resolve("source"), "--rename-command", "APPEND", "NEWCMD");
                RealServer target = start("target")) {
            Heard heard = new Heard();
            ApplyLink link = open(source, target, 1, heard);
            streams(link);
            source.call("SET", "key", "before");
            drain(source, link);
            source.call("NEWCMD", "key", ", and behind");
            source.call("SET", "later", "x");
            Await.until(LIMIT, "it is said", () -> heard.broken != null);
            assertThat(heard.broken).contains("NEWCMD came down the stream");
            assertThat(link.status().phase()).isEqualTo(Phase.BROKEN);
            assertThat(link.status().detail()).contains("NEWCMD");
            // Neither passed over nor the end of anything: the target stands before it.
            assertThat(target.call("GET", "key")).isEqualTo("before");
            assertThat(target.number("EXISTS", "later")).isZero();
            link.stop();
            // Whoever copies again has all of it.
            ApplyLink.forget(spec("target", target), List.of("link"));
            try (ApplyLink next = open(source, target, 2, new Heard())) {
                streams(next);
                drain(source, next);
                equal(List.of(source), List.of(target), false);
            }
        }
    }

    @Test
    void incrementsNeverDiverge() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealServer target = start("target")) {
            AtomicLong counted = new AtomicLong();
            AtomicBoolean stop = new AtomicBoolean();
            Thread client = Thread.ofPlatform().start(() -> {
                try (var jedis = source.client()) {
                    while (!stop.get()) {
                        counted.set(jedis.incr("counter"));
                    }
                }
            });
            ApplyLink link = open(source, target, 1, new Heard());
            for (int i = 2; i <= 6; i++) {
                streams(link);
                long until = counted.get() + 1_000;
                Await.until(LIMIT, "the client goes on", () -> counted.get() > until);
                link.stop();
                link = open(source, target, i, new Heard());
            }
            streams(link);
            stop.set(true);
            client.join();
            drain(source, link);
            assertThat(target.call("GET", "counter")).isEqualTo(Long.toString(counted.get()));
            assertThat(verify(source, target).holds()).isTrue();
            // And what has diverged all the same does not go unseen.
            target.call("INCR", "counter");
            assertThat(verify(source, target).differences())
                    .singleElement()
                    .matches(one -> one.key().equals("counter") && one.kind() == Difference.Kind.VALUE);
            link.stop();
        }
    }

    @Test
    void resumesWithoutACopy() {
        try (RealServer source = start("source");
                RealServer target = start("target")) {
            source.call("SET", "early", "x");
            for (int i = 1; i <= 5; i++) {
                Heard heard = new Heard();
                ApplyLink link = open(source, target, i, heard);
                streams(link);
                source.call("RPUSH", "list", Integer.toString(i));
                if (i % 2 == 0) {
                    drain(source, link);
                }
                link.stop();
                source.call("RPUSH", "list", "away");
                assertThat(heard.broken).isNull();
            }
            try (ApplyLink link = open(source, target, 6, new Heard())) {
                streams(link);
                drain(source, link);
                equal(List.of(source), List.of(target), false);
                assertThat(target.number("LLEN", "list")).isEqualTo(10);
                assertThat(source.info("stats", "sync_full")).isEqualTo("1");
            }
        }
    }

    // ------------------------------------------------------------------------------------------------- the way back

    @Test
    void thePositionOfTheWayBackIsTakenBeforeTrafficMoves() throws IOException {
        try (RealServer old = start("old");
                RealServer fresh = start("fresh")) {
            old.call("SET", "counter", "41");
            Backlog.begin(spec("fresh", fresh), LIMIT);
            ApplyLink forward = open(old, fresh, 1, new Heard());
            streams(forward);
            drain(old, forward);
            forward.close();
            LinkBase base;
            try (ServerConnection server =
                    ServerConnection.open(endpoint(fresh), Optional.empty(), Duration.ofSeconds(10))) {
                base = ApplyLink.begin(server, "back");
            }
            // Traffic has moved; only much later somebody opens the link back.
            fresh.call("INCR", "counter");
            fresh.call("SELECT", "0");
            IntStream.range(0, 100).forEach(i -> fresh.call("RPUSH", "list", "written there " + i));
            long snapshots = Long.parseLong(fresh.info("stats", "sync_full"));
            try (ApplyLink back = open(endpoint(fresh), endpoint(old), 1, new Heard(), new LinkStart.From(base))) {
                streams(back);
                drain(fresh, back);
                equal(List.of(fresh), List.of(old), false);
                assertThat(old.call("GET", "counter")).isEqualTo("42");
                assertThat(old.number("LLEN", "list")).isEqualTo(100);
                assertThat(fresh.info("stats", "sync_full")).isEqualTo(Long.toString(snapshots));
            }
        }
    }

    private RealServer startDiskless(String name) {
        return RealServer.start(
                ServerBinary.any(),
                folder.resolve(name),
                "--repl-diskless-sync",
                "yes",
                "--repl-diskless-sync-delay",
                "0");
    }

    private RealServer start(String name) {
        return RealServer.start(ServerBinary.any(), folder.resolve(name));
    }

    private static VerificationReport verify(RealServer source, RealServer target) {
        return Verification.run(
                VerificationSettings.defaults().withBusyShareMax(1).withLagBound(Duration.ofMillis(200)),
                spec("source", source),
                spec("target", target),
                Environment.system(),
                progress -> {},
                () -> false);
    }

    private static ApplyLink open(RealServer source, RealServer target, long owner, Heard heard) {
        return open(endpoint(source), endpoint(target), owner, heard, new LinkStart.FullCopy(Optional.empty()));
    }

    private static ApplyLink open(Endpoint source, Endpoint target, long owner, Heard heard, LinkStart start) {
        return ApplyLink.open(
                new ApplySettings(
                        start instanceof LinkStart.From ? "back" : "link",
                        "secret",
                        Token.open(owner, "owner"),
                        new FleetSpec("source", source, Optional.empty()),
                        new FleetSpec("target", target, Optional.empty()),
                        start,
                        Optional.empty()),
                Environment.system(),
                heard);
    }
}
