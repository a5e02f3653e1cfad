package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ServerVersion;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** All core types, all databases, times to live, large values: by the copy, and by the stream. */
class RelayDataTest {
    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return RelayBreaksTest.pairs();
    }

    private static void writeAllTypes(Pair.Side side, String suffix) {
        side.call("SET", "string" + suffix, "value");
        side.call("SET", "empty" + suffix, "");
        side.call("APPEND", "string" + suffix, "-appended");
        side.call("SETRANGE", "range" + suffix, "5", "x");
        side.call("INCRBYFLOAT", "float" + suffix, "1.5");
        side.call("SETBIT", "bits" + suffix, "9", "1");
        side.call("PFADD", "hyperloglog" + suffix, "a", "b", "c");
        side.call("RPUSH", "list" + suffix, "a", "b", "c", "d");
        side.call("LREM", "list" + suffix, "1", "b");
        side.call("SADD", "set" + suffix, "a", "b", "c", "1", "2");
        side.call("SPOP", "set" + suffix);
        side.call("SADD", "numbers" + suffix, "1", "2", "3");
        side.call("ZADD", "sorted" + suffix, "1.5", "a", "-inf", "b", "+inf", "c");
        side.call("ZINCRBY", "sorted" + suffix, "2", "a");
        side.call("HSET", "hash" + suffix, "f", "v", "g", "w");
        side.call("HINCRBY", "hash" + suffix, "n", "7");
        side.call("GEOADD", "geo" + suffix, "13.36", "38.11", "Palermo");
        side.call("XADD", "stream" + suffix, "1-1", "f", "v");
        side.call("XADD", "stream" + suffix, "1-2", "f", "w");
        side.call("XGROUP", "CREATE", "stream" + suffix, "group", "0");
        side.call("XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "stream" + suffix, ">");
        side.call("XDEL", "stream" + suffix, "1-2");
        side.call(
                "EVAL",
                "redis.call('SET', KEYS[1], 'by script'); redis.call('INCR', KEYS[2])",
                "2",
                "s" + suffix,
                "n" + suffix);
        side.call("RENAME", "s" + suffix, "renamed" + suffix);
        side.call("SET", "gone" + suffix, "x");
        side.call("DEL", "gone" + suffix);
        side.call("SET", "ttl" + suffix, "v", "PX", "7654321");
        side.call("SET", "until" + suffix, "v");
        side.call("PEXPIREAT", "until" + suffix, "4102444800123");
        side.call("HSET", "hash-ttl" + suffix, "f", "v");
        side.call("EXPIRE", "hash-ttl" + suffix, "54321");
        side.call("SETEX", "setex" + suffix, "4321", "v");
        side.call("SET", "persisted" + suffix, "v", "EX", "100");
        side.call("PERSIST", "persisted" + suffix);
        side.call("GETEX", "until" + suffix, "EX", "99999");
        side.call("COPY", "string" + suffix, "copy" + suffix);
    }

    private static void assertSame(Pair.Side a, Pair.Side b) {
        long toleranceMillis = ServerVersion.read(a.connection).isAtLeast(7, 0) ? 5 : 500;
        for (int database = 15; database >= 0; database--) {
            a.call("SELECT", "" + database);
            b.call("SELECT", "" + database);
            Map<String, String> expected = a.keys();
            assertThat(b.keys()).isEqualTo(expected);
            for (String key : expected.keySet()) {
                assertThat(expiresAt(b, key))
                        .as(key)
                        .isBetween(expiresAt(a, key) - toleranceMillis, expiresAt(a, key) + toleranceMillis);
            }
        }
    }

    /** In milliseconds since 1970, 0 for never; TIME and PTTL in one transaction, so by one clock. */
    private static long expiresAt(Pair.Side side, String key) {
        List<Reply> replies = side.connection.pipeline(List.of(
                CommandEncoder.bytes("MULTI"),
                CommandEncoder.bytes("TIME"),
                CommandEncoder.bytes("PTTL", key),
                CommandEncoder.bytes("EXEC")));
        List<Reply> results = ((Reply.Array) replies.getLast()).elements();
        List<Reply> time = ((Reply.Array) results.getFirst()).elements();
        long left = ((Reply.Int) results.getLast()).value();
        return left < 0
                ? 0
                : Long.parseLong(time.get(0).text()) * 1000
                        + Long.parseLong(time.get(1).text()) / 1000
                        + left;
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void everyTypeInEveryDatabaseArrivesAsItIs(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            for (int database = 0; database < 16; database++) {
                a.call("SELECT", "" + database);
                writeAllTypes(a, "-" + database);
            }
            a.call("SELECT", "3");
            a.call("MOVE", "string-3", "7");
            a.call("SWAPDB", "0", "5");
            a.call("SELECT", "9");
            a.call("FLUSHDB");
            Pair.drain(f.link(), a);
            assertSame(a, f.servers().b);
            assertThat(f.heard().breaks).isEmpty();
        }
    }

    /** A source below 7.0 streams relative times, and what is written while it makes its snapshot comes after it. */
    @ParameterizedTest
    @ValueSource(strings = {"redis-6.0 to redis-7.0", "embedded to embedded"})
    void aTimeToLiveThatWaitedBehindTheCopyIsNotLongerForIt(String pair) {
        try (Pair servers = new Pair(
                RelayCycleTest.binary(pair.split(" to ", -1)[0]),
                RelayCycleTest.binary(pair.split(" to ", -1)[1]),
                folder)) {
            Pair.Side a = servers.a;
            for (int i = 0; i < 300; i++) {
                a.call("SET", "key" + i, "value");
            }
            a.call("CONFIG", "SET", "rdb-key-save-delay", "10000");
            RelayLink link =
                    servers.open("slow", a, servers.b, new LinkStart.FullCopy(Optional.empty()), new Pair.Heard(), 0);
            link.admit();
            servers.b.call("REPLICAOF", link.face().host(), "" + link.face().port());
            Await.until(
                    Pair.LIMIT,
                    "the snapshot is being made",
                    () -> a.server.info("persistence", "rdb_bgsave_in_progress").equals("1"));
            a.call("SET", "late", "value", "PX", "600000");
            long writtenNanos = System.nanoTime();
            Pair.awaitPhase(link, LinkStatus.Phase.STREAMING);
            long waitedMs = (System.nanoTime() - writtenNanos) / 1_000_000;
            Pair.drain(link, a);
            assertThat(waitedMs).isGreaterThan(1000);
            assertThat(Math.abs(expiresAt(servers.b, "late") - expiresAt(a, "late")))
                    .isLessThan(waitedMs / 2);
        }
    }

    /** The first marker follows the first SELECT, others a flush: here both are written from another database than 0. */
    @ParameterizedTest
    @MethodSource("pairs")
    void theStreamGoesOnInItsDatabaseBehindWhatTheLinkHasWrittenOfItsOwn(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            a.call("SELECT", "5");
            b.call("SELECT", "5");
            a.call("SET", "first", "1");
            a.call("SET", "second", "2", "EX", "1000");
            Pair.drain(f.link(), a);
            assertThat(b.keys()).isEqualTo(a.keys()).hasSize(2);
            a.call("FLUSHALL");
            a.call("SET", "third", "3");
            Pair.drain(f.link(), a);
            a.call("CLIENT", "KILL", "TYPE", "replica");
            a.call("SET", "fourth", "4", "EX", "1000");
            Pair.awaitPhase(f.link(), Phase.STREAMING);
            Pair.drain(f.link(), a);
            assertThat(b.keys()).isEqualTo(a.keys()).hasSize(2);
            b.call("SELECT", "0");
            assertThat(b.keys()).isEmpty();
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aValueOfSeveralMegabytesPasses(String pair) {
        try (Following f = Following.start(folder, pair)) {
            f.servers().a.call("SET", "large", "0123456789".repeat(800_000));
            f.servers().a.call("APPEND", "large", "end");
            Pair.drain(f.link(), f.servers().a);
            assertThat(f.servers().b.call("GET", "large"))
                    .isEqualTo(f.servers().a.call("GET", "large"));
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aKeyThatExpiredIsNotBroughtBack(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            for (int i = 0; i < 20; i++) {
                a.call("SET", "counter" + i, "41", "PX", "60");
            }
            Await.until(
                    Pair.LIMIT,
                    "they expire",
                    () -> a.call("EXISTS", "counter0", "counter19").equals("0"));
            for (int i = 0; i < 20; i++) {
                assertThat(a.call("INCR", "counter" + i)).isEqualTo("1");
            }
            // Just before its time at the source: the target must not take it for expired and begin anew.
            a.call("SET", "late", "41", "PX", "40");
            String last = "";
            while (!a.call("EXISTS", "late").equals("0")) {
                last = a.call(
                        "EVAL",
                        "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('INCR', KEYS[1]) end return 0",
                        "1",
                        "late");
            }
            assertThat(last).isNotEmpty();
            Pair.drain(f.link(), a);
            assertThat(b.keys()).isEqualTo(a.keys());
            assertThat(b.call("GET", "counter7")).isEqualTo("1");
            assertThat(b.call("PTTL", "counter7")).isEqualTo("-1");
            assertThat(b.call("EXISTS", "late")).isEqualTo("0");
        }
    }
}
