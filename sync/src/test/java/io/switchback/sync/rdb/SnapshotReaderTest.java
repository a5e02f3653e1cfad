package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.sync.Crc64;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.EveryForm;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Forms that no server at hand writes, damage, and memory. */
class SnapshotReaderTest {
    private static final ServerVersion REDIS_6 = new ServerVersion(Product.REDIS, 6, 0, 16);
    private static final ServerVersion REDIS_7_4 = new ServerVersion(Product.REDIS, 7, 4, 0);
    private static final ServerVersion REDIS_8_6 = new ServerVersion(Product.REDIS, 8, 6, 0);
    private static final ServerVersion VALKEY_9 = new ServerVersion(Product.VALKEY, 9, 1, 2);
    private static final RdbLimits COMMANDS_ONLY = new RdbLimits(0, 0, 1 << 20, 1000, 7);

    @TempDir
    Path folder;

    private static List<String> read(byte[] snapshot, ServerVersion target, RdbLimits limits) throws IOException {
        Written written = new Written();
        new SnapshotReader(new ByteArrayInputStream(snapshot), new ValueTarget(target), written, limits).read();
        return written.lines;
    }

    private static List<String> commands(byte[] snapshot, ServerVersion target) throws IOException {
        List<String> lines = read(snapshot, target, COMMANDS_ONLY);
        return lines.subList(1, lines.size());
    }

    @Test
    void aSortedSetWithScoresInText() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0006")
                .raw(RdbTypes.OPCODE_SELECTDB, 3)
                .raw(RdbTypes.OPCODE_EXPIRETIME)
                .littleEndian(2_000_000_000, 4)
                .raw(RdbTypes.ZSET)
                .string("z")
                .length(5)
                .string("a")
                .string("1.5")
                .string("plus")
                .raw(254)
                .string("minus")
                .raw(255)
                .string("none")
                .raw(253)
                .string("b")
                .string("-2e10")
                .end();
        assertThat(commands(snapshot, REDIS_6))
                .containsExactly(
                        "not 3/z: 1 members of a sorted set whose score is not a number",
                        "UNLINK z",
                        "ZADD z 1.5 a inf plus -inf minus -2e10 b",
                        "PEXPIREAT z 2000000000000");
    }

    @Test
    void aHashOfLongAgo() throws IOException {
        byte[] zipmap = RdbBytes.value()
                .raw(2)
                .string("field")
                .raw(5, 0)
                .raw("value".getBytes(UTF_8))
                .raw(1)
                .raw("g".getBytes(UTF_8))
                .raw(1, 3)
                .raw("w...".getBytes(UTF_8))
                .raw(255)
                .bytes();
        byte[] snapshot = RdbBytes.snapshot("REDIS0006")
                .raw(RdbTypes.HASH_ZIPMAP)
                .string("h")
                .string(zipmap)
                .end();
        assertThat(commands(snapshot, REDIS_6)).containsExactly("UNLINK h", "HSET h field value g w");
    }

    private static byte[] fieldTimesOfReleaseCandidates() {
        return RdbBytes.snapshot("REDIS0012")
                .raw(RdbTypes.OPCODE_AUX)
                .string("redis-ver")
                .string("7.3.240")
                .raw(RdbTypes.HASH_FIELD_TIMES_BEFORE_RELEASE)
                .string("spread")
                .length(2)
                .length(4_102_444_800_000L)
                .string("f")
                .string("v")
                .length(0)
                .string("g")
                .string("w")
                .raw(RdbTypes.HASH_LISTPACK_TIMES_BEFORE_RELEASE)
                .string("packed")
                .listpack("f", "v", 4_102_444_800_001L, "g", "w", 0)
                .end();
    }

    @Test
    void timesOfFieldsInTheFormOfReleaseCandidates() throws IOException {
        byte[] snapshot = fieldTimesOfReleaseCandidates();
        assertThat(commands(snapshot, REDIS_7_4))
                .containsExactly(
                        "UNLINK spread",
                        "HSET spread f v g w",
                        "HPEXPIREAT spread 4102444800000 FIELDS 1 f",
                        "UNLINK packed",
                        "HSET packed f v g w",
                        "HPEXPIREAT packed 4102444800001 FIELDS 1 f");
        assertThat(commands(snapshot, VALKEY_9)).isEqualTo(commands(snapshot, REDIS_7_4));
        assertThat(commands(snapshot, REDIS_6))
                .contains(
                        "field f at 4102444800000",
                        "field f at 4102444800001",
                        "not 0/packed: times to live of 1 fields of a hash, which redis 6.0.16 does not take");
    }

    @Test
    void theSameTypeNumberIsAnotherThingInValkey() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("VALKEY080")
                .raw(RdbTypes.OPCODE_AUX)
                .string("valkey-ver")
                .string("9.0.0")
                .raw(RdbTypes.VALKEY_HASH_2)
                .string("h")
                .length(3)
                .string("f")
                .string("v")
                .littleEndian(4_102_444_800_000L, 8)
                .string("g")
                .string("w")
                .littleEndian(-1, 8)
                .string("past")
                .string("x")
                .littleEndian(0, 8)
                .end();
        assertThat(commands(snapshot, REDIS_7_4))
                .containsExactly(
                        "UNLINK h",
                        "HSET h f v g w past x",
                        "HPEXPIREAT h 4102444800000 FIELDS 1 f",
                        "HPEXPIREAT h 0 FIELDS 1 past");
        assertThat(read(snapshot, VALKEY_9, RdbLimits.DEFAULT).get(1)).startsWith("RESTORE h 0 ");
    }

    private static RdbBytes streamOfRedis8(int type, int unowned) {
        RdbBytes bytes = RdbBytes.snapshot("REDIS0014")
                .raw(RdbTypes.OPCODE_AUX)
                .string("redis-ver")
                .string("8.8.0")
                .raw(type)
                .string("s")
                .length(1)
                .string(RdbBytes.value().bigEndian(5).bigEndian(1).bytes())
                .listpack(2, 0, 1, "f", 0, 2, 0, 0, "v", 4, 2, 1, 0, "w", 4)
                .length(2) // entries
                .length(6)
                .length(1)
                .length(5)
                .length(1)
                .length(0)
                .length(0)
                .length(2)
                .length(1) // groups
                .string("g")
                .length(6)
                .length(1)
                .length(2)
                .length(1 + unowned) // pending
                .bigEndian(5)
                .bigEndian(1)
                .littleEndian(1000, 8)
                .length(3);
        if (unowned > 0) {
            bytes.bigEndian(6).bigEndian(1).littleEndian(2000, 8).length(1);
        }
        bytes.length(1) // consumers
                .string("c")
                .littleEndian(1, 8)
                .littleEndian(2, 8)
                .length(1)
                .bigEndian(5)
                .bigEndian(1);
        if (type == RdbTypes.STREAM_5) {
            bytes.length(unowned);
            if (unowned > 0) {
                bytes.bigEndian(6).bigEndian(1);
            }
        }
        return bytes.length(100) // producers
                .length(100)
                .length(1)
                .string("p")
                .length(1)
                .string("iid")
                .length(5)
                .length(1)
                .length(1)
                .length(0);
    }

    @Test
    void streamsOfTheNewestRedisLoseWhatOnlyItHas() throws IOException {
        byte[] four = streamOfRedis8(RdbTypes.STREAM_4, 0).end();
        List<String> commands = List.of(
                "UNLINK s",
                "XADD s 5-1 f v",
                "XADD s 6-1 f w",
                "XSETID s 6-1 ENTRIESADDED 2 MAXDELETEDID 0-0",
                "XGROUP CREATE s g 6-1 ENTRIESREAD 2",
                "XGROUP CREATECONSUMER s g c",
                "XCLAIM s g c 0 5-1 TIME 1000 RETRYCOUNT 3 FORCE JUSTID",
                "not 0/s: " + StreamCommands.PRODUCERS);
        assertThat(commands(four, VALKEY_9)).isEqualTo(commands);
        assertThat(read(four, VALKEY_9, RdbLimits.DEFAULT))
                .hasSize(3)
                .contains("not 0/s: " + StreamCommands.PRODUCERS)
                .last()
                .asString()
                .startsWith("RESTORE s 0 " + (char) RdbTypes.STREAM_3);
        assertThat(read(four, REDIS_8_6, RdbLimits.DEFAULT).get(1))
                .startsWith("RESTORE s 0 " + (char) RdbTypes.STREAM_4);
        byte[] five = streamOfRedis8(RdbTypes.STREAM_5, 1).end();
        assertThat(read(five, REDIS_8_6, RdbLimits.DEFAULT))
                .contains(commands.toArray(String[]::new))
                .contains("not 0/s: 1 pending entries of a stream that no consumer has");
        assertThat(read(streamOfRedis8(RdbTypes.STREAM_5, 0).end(), REDIS_8_6, RdbLimits.DEFAULT))
                .hasSize(3)
                .last()
                .asString()
                .startsWith("RESTORE s 0 " + (char) RdbTypes.STREAM_3);
    }

    @Test
    void whatModulesKeepIsNamedAndSteppedOver() throws IOException {
        long id = 0;
        for (char letter : "ReJSON-RL".toCharArray()) {
            id = id << 6 | "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(letter);
        }
        byte[] snapshot = RdbBytes.snapshot("REDIS0012")
                .raw(RdbTypes.OPCODE_MODULE_AUX)
                .length(id << 10 | 3)
                .raw(RdbTypes.MODULE_UNSIGNED, 2)
                .raw(RdbTypes.MODULE_STRING)
                .string("index")
                .raw(RdbTypes.MODULE_EOF)
                .raw(RdbTypes.MODULE_2)
                .string("doc")
                .length(id << 10 | 3)
                .raw(RdbTypes.MODULE_STRING)
                .string("{}")
                .raw(RdbTypes.MODULE_DOUBLE)
                .littleEndian(0, 8)
                .raw(RdbTypes.MODULE_FLOAT)
                .littleEndian(0, 4)
                .raw(RdbTypes.MODULE_SIGNED)
                .length(-1)
                .raw(RdbTypes.MODULE_EOF)
                .raw(RdbTypes.STRING)
                .string("after")
                .string("v")
                .end();
        assertThat(commands(snapshot, REDIS_7_4))
                .containsExactly(
                        "not -1/: data that the module ReJSON-RL keeps beside the keys",
                        "not 0/doc: a value of the module type ReJSON-RL, which redis 7.4.0 does not load",
                        "SET after v");
    }

    @Test
    void anOpcodeThatTheTwoProductsUseForDifferentThings() throws IOException {
        byte[] redis = RdbBytes.snapshot("REDIS0013")
                .raw(RdbTypes.OPCODE_243, 1)
                .littleEndian(77, 4)
                .raw(RdbTypes.MODULE_STRING)
                .string("note")
                .raw(RdbTypes.MODULE_EOF)
                .raw(RdbTypes.STRING)
                .string("k")
                .string("v")
                .end();
        assertThat(commands(redis, REDIS_6)).containsExactly("SET k v", "not 0/k: what a module attached to the key");
        byte[] valkey = RdbBytes.snapshot("VALKEY080")
                .raw(RdbTypes.OPCODE_243)
                .string("0123456789012345678901234567890123456789")
                .length(1)
                .length(5)
                .length(9)
                .raw(RdbTypes.STRING)
                .string("k")
                .string("v")
                .end();
        assertThat(commands(valkey, REDIS_6))
                .containsExactly(
                        "not -1/: slots that the source is being given, whose keys may not all be there yet",
                        "SET k v");
    }

    @Test
    void whatIsNotKnownIsRefusedWithItsPlace() {
        assertRefused(RdbBytes.snapshot("REDIS0016").end(), "the form REDIS0016, which is not known here, at byte 9");
        assertRefused(RdbBytes.snapshot("REDIS0004").end(), "the form REDIS0004, which is not known here, at byte 9");
        assertRefused(RdbBytes.snapshot("VALKEY081").end(), "the form VALKEY081, which is not known here");
        assertRefused(RdbBytes.snapshot("*3\r\n$3\r\nS").end(), "this is no snapshot");
        assertRefused(
                RdbBytes.snapshot("REDIS0015").raw(29).string("k").end(),
                "a value of type 29, which is not known here");
        assertRefused(
                RdbBytes.snapshot("REDIS0010")
                        .raw(RdbTypes.OPCODE_FUNCTION_BEFORE_RELEASE)
                        .end(),
                "a release candidate");
        assertRefused(
                RdbBytes.snapshot("REDIS0009")
                        .raw(RdbTypes.MODULE_BEFORE_RELEASE)
                        .string("k")
                        .end(),
                "a module in the form of before its release");
        assertRefused(
                RdbBytes.snapshot("REDIS0015").raw(242).end(), "an opcode 242, which is not known here, at byte 10");
    }

    private static void assertRefused(byte[] snapshot, String message) {
        for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
            assertThatThrownBy(() -> read(snapshot, REDIS_7_4, limits))
                    .isInstanceOf(RdbFormatException.class)
                    .hasMessageContaining(message);
        }
    }

    @Test
    void whatLiesBehindASnapshotIsGivenBack() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0009")
                .raw(RdbTypes.STRING)
                .string("k")
                .string("v")
                .end();
        byte[] more = Arrays.copyOf(snapshot, snapshot.length + 3);
        SnapshotReader reader =
                new SnapshotReader(new ByteArrayInputStream(more), new ValueTarget(REDIS_6), new Written());
        reader.read();
        assertThat(reader.bytes()).isEqualTo(snapshot.length);
        assertThat(reader.rest()).hasSize(3);
        assertThat(reader.keys()).isEqualTo(1);
    }

    @Test
    void aSnapshotWithoutAChecksumIsTaken() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0009")
                .raw(RdbTypes.OPCODE_EOF)
                .littleEndian(0, 8)
                .bytes();
        assertThat(read(snapshot, REDIS_6, RdbLimits.DEFAULT)).containsExactly("source {}");
    }

    /** A hash that says of itself when it was last used, or how often, says so at the target. */
    @Test
    void whatIsKnownOfAKeysUseGoesAlong() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0009")
                .raw(RdbTypes.OPCODE_EXPIRETIME_MS)
                .littleEndian(EveryForm.FAR_MS, 8)
                .raw(RdbTypes.OPCODE_FREQ, 200, RdbTypes.STRING)
                .string("often")
                .string("v")
                .raw(RdbTypes.OPCODE_IDLE)
                .length(5000)
                .raw(RdbTypes.STRING)
                .string("idle")
                .string("v")
                .raw(RdbTypes.STRING)
                .string("neither")
                .string("v")
                .end();
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder);
                ServerConnection connection = ServerConnection.open(
                        new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(30))) {
            ValueTarget target = new ValueTarget(ServerVersion.read(connection));
            connection.demand("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu");
            Replay replay = new Replay(connection);
            new SnapshotReader(new ByteArrayInputStream(snapshot), target, replay).read();
            replay.finish();
            assertThat(server.number("OBJECT", "FREQ", "often")).isBetween(150L, 200L);
            assertThat(server.number("OBJECT", "FREQ", "neither")).isLessThan(50);
            connection.demand("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
            Replay again = new Replay(connection);
            new SnapshotReader(new ByteArrayInputStream(snapshot), target, again).read();
            again.finish();
            assertThat(server.number("OBJECT", "IDLETIME", "idle")).isBetween(5000L, 5100L);
            assertThat(server.number("OBJECT", "IDLETIME", "neither")).isLessThan(100);
            assertThat(server.number("PTTL", "often")).isPositive();
        }
    }

    /** A key whose time had passed at the source takes the place of what the target has, and is gone at once. */
    @Test
    void aKeyThatHadExpiredIsNotBroughtToLife() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0009")
                .raw(RdbTypes.OPCODE_EXPIRETIME_MS)
                .littleEndian(1000, 8)
                .raw(RdbTypes.STRING)
                .string("text")
                .string("v")
                .raw(RdbTypes.OPCODE_EXPIRETIME_MS)
                .littleEndian(-5, 8)
                .raw(RdbTypes.LIST)
                .string("list")
                .length(2)
                .string("a")
                .string("b")
                .end();
        List<ServerBinary> servers = new ArrayList<>(ServerBinary.matrix());
        servers.add(ServerBinary.embedded());
        for (ServerBinary binary : servers) {
            try (RealServer server = RealServer.start(binary, folder.resolve("expired-" + binary.name()));
                    ServerConnection connection = ServerConnection.open(
                            new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(30))) {
                ValueTarget target = new ValueTarget(ServerVersion.read(connection));
                for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
                    Replay replay = new Replay(connection);
                    connection.demand("SET", "text", "old");
                    connection.demand("RPUSH", "list", "old");
                    new SnapshotReader(new ByteArrayInputStream(snapshot), target, replay, limits).read();
                    replay.finish();
                    assertThat(server.number("EXISTS", "text", "list"))
                            .as(binary.name())
                            .isZero();
                }
            }
        }
    }

    @Test
    void whatTheTargetHadIsReplaced() throws IOException {
        byte[] snapshot = RdbBytes.snapshot("REDIS0009")
                .raw(RdbTypes.LIST)
                .string("list")
                .length(2)
                .string("a")
                .string("b")
                .end();
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder);
                ServerConnection connection = ServerConnection.open(
                        new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(30))) {
            ValueTarget target = new ValueTarget(ServerVersion.read(connection));
            for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
                Replay replay = new Replay(connection);
                connection.demand("SET", "list", "old", "EX", "1000");
                new SnapshotReader(new ByteArrayInputStream(snapshot), target, replay, limits).read();
                replay.finish();
                assertThat(server.call("LRANGE", "list", "0", "-1")).isEqualTo(List.of("a", "b"));
                assertThat(server.number("PTTL", "list")).isEqualTo(-1);
            }
        }
    }

    /** However the bytes come: one by one, or a few at a time. */
    @Test
    void piecesOfTheInputMakeNoDifference() throws IOException {
        Random random = new Random(20_261_129);
        for (byte[] snapshot : smallSnapshots()) {
            for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY, new RdbLimits(100, 300, 1000, 50, 3))) {
                for (int pieceMax : new int[] {1, 2, 7, 100}) {
                    InputStream pieces = new ByteArrayInputStream(snapshot) {
                        @Override
                        public int read(byte[] into, int offset, int length) {
                            return super.read(into, offset, Math.min(length, 1 + random.nextInt(pieceMax)));
                        }
                    };
                    Written written = new Written();
                    new SnapshotReader(pieces, new ValueTarget(REDIS_6), written, limits).read();
                    assertThat(written.lines).isEqualTo(read(snapshot, REDIS_6, limits));
                }
            }
        }
    }

    /** Values about as large as the buffer and as what goes out whole, so that what is kept of them moves in it. */
    @Test
    void piecesOfLargeValuesMakeNoDifference() throws IOException {
        Random random = new Random(20_261_129);
        RdbBytes bytes = RdbBytes.snapshot("REDIS0009");
        for (int i = 0; i < 60; i++) {
            byte[] value = new byte[random.nextInt(75_000)];
            random.nextBytes(value);
            bytes.raw(RdbTypes.HASH)
                    .string("key" + i)
                    .length(2)
                    .string("f")
                    .string(value)
                    .string("g")
                    .string("w");
        }
        byte[] snapshot = bytes.end();
        List<String> whole = read(snapshot, REDIS_6, RdbLimits.DEFAULT);
        for (int pieceMax : new int[] {1000, 30_000, 100_000}) {
            InputStream pieces = new ByteArrayInputStream(snapshot) {
                @Override
                public int read(byte[] into, int offset, int length) {
                    return super.read(into, offset, Math.min(length, 1 + random.nextInt(pieceMax)));
                }
            };
            Written written = new Written();
            new SnapshotReader(pieces, new ValueTarget(REDIS_6), written).read();
            assertThat(written.lines.equals(whole)).isTrue();
        }
        assertThat(whole.stream().filter(line -> line.startsWith("RESTORE")).count())
                .isBetween(30L, 59L);
        for (String line : whole) {
            if (line.startsWith("RESTORE")) {
                assertThat(line.length()).isLessThan(66_000);
            }
        }
    }

    /** Each has an entry that is gone: found among ids that were put down in short form, over several blocks of them. */
    @Test
    void idsInShortFormAreFoundAgain() {
        Random random = new Random(20_261_129);
        StreamIds ids = new StreamIds(1 << 20);
        List<long[]> kept = new ArrayList<>();
        List<long[]> left = new ArrayList<>();
        long ms = 1_700_000_000_000L;
        long seq = 0;
        for (int i = 0; i < 10_000; i++) {
            boolean later = random.nextInt(3) == 0;
            ms += later ? 1 + random.nextInt(100_000) : 0;
            seq = later ? random.nextInt(5) : seq + 1 + random.nextInt(300);
            long[] id = i == 9_999 ? new long[] {-2, -1} : new long[] {ms, seq};
            if (random.nextInt(4) == 0) {
                left.add(id);
            } else {
                kept.add(id);
                ids.add(id[0], id[1]);
            }
        }
        for (int step : new int[] {1, 17, 1500}) {
            ids.rewind();
            for (int i = 0; i < kept.size(); i += step) {
                assertThat(ids.has(kept.get(i)[0], kept.get(i)[1])).isTrue();
            }
            ids.rewind();
            for (int i = 0; i < left.size(); i += step) {
                assertThat(ids.has(left.get(i)[0], left.get(i)[1])).isFalse();
            }
        }
        StreamIds few = new StreamIds(100);
        kept.forEach(id -> few.add(id[0], id[1]));
        assertThat(few.isComplete()).isFalse();
    }

    // Damage

    /** Of 6.2, with ziplists, and of what else is there. */
    private List<byte[]> smallSnapshots() throws IOException {
        List<byte[]> snapshots = new ArrayList<>();
        snapshots.add(smallSnapshot(ServerBinary.embedded()));
        for (ServerBinary binary : ServerBinary.matrix()) {
            if (List.of("redis-8.0", "valkey-9.1").contains(binary.name())) {
                snapshots.add(smallSnapshot(binary));
            }
        }
        return snapshots;
    }

    private byte[] smallSnapshot(ServerBinary binary) throws IOException {
        Path own = folder.resolve(binary.name());
        try (RealServer server = RealServer.start(binary, own)) {
            server.call("SET", "number", "70000");
            server.call("SET", "text", "text".repeat(100), "PX", "100000000");
            server.call("RPUSH", "list", "a", "7", "b".repeat(300));
            server.call("SADD", "numbers", "1", "2", "300");
            server.call("SADD", "set", "a", "b");
            server.call("ZADD", "zset", "1.5", "a", "inf", "b");
            server.call("HSET", "hash", "f", "v", "g", "w".repeat(100));
            server.call("HSET", "packed", "f", "v", "g", "12345");
            server.call("XADD", "stream", "1-1", "f", "v");
            server.call("XADD", "stream", "1-2", "f", "w", "x", "y");
            server.call("XGROUP", "CREATE", "stream", "g", "0");
            server.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream", ">");
            if (binary.name().equals("valkey-9.1") || binary.name().equals("redis-8.0")) {
                server.call("FUNCTION", "LOAD", EveryForm.LIBRARY);
                server.call("HPEXPIREAT", "hash", "" + EveryForm.FAR_MS, "FIELDS", "1", "g");
                server.call("HPEXPIREAT", "packed", "" + EveryForm.FAR_MS, "FIELDS", "1", "g");
            }
            server.text("SAVE");
            return Files.readAllBytes(own.resolve("dump.rdb"));
        }
    }

    @Test
    void aSnapshotThatEndsAnywhereIsRefused() throws IOException {
        for (byte[] snapshot : smallSnapshots()) {
            assertNoPartIsTaken(snapshot);
        }
    }

    private static void assertNoPartIsTaken(byte[] snapshot) {
        for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
            for (int length = 0; length < snapshot.length; length++) {
                byte[] part = Arrays.copyOf(snapshot, length);
                assertThatThrownBy(() -> read(part, REDIS_6, limits))
                        .as("the first " + length + " bytes")
                        .isInstanceOf(EOFException.class)
                        .hasMessageContaining("the snapshot ends after " + length + " bytes");
            }
        }
    }

    @Test
    void aSnapshotWithAnyByteChangedIsRefused() throws IOException {
        for (byte[] snapshot : smallSnapshots()) {
            assertNoChangeIsTaken(snapshot);
        }
    }

    private static void assertNoChangeIsTaken(byte[] snapshot) {
        for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
            for (int at = 0; at < snapshot.length; at++) {
                for (int change : new int[] {0x01, 0x40, 0x80, 0xff}) {
                    byte[] damaged = snapshot.clone();
                    damaged[at] ^= (byte) change;
                    assertThatThrownBy(() -> read(damaged, REDIS_7_4, limits))
                            .as("byte " + at + " changed by " + change)
                            .isInstanceOfAny(EOFException.class, RdbFormatException.class);
                }
            }
        }
    }

    @Test
    void aValueOfDumpWithAnyByteChangedIsRefused() throws IOException {
        byte[] payload = RdbBytes.value()
                .raw(RdbTypes.HASH_LISTPACK)
                .listpack("field", "value", "g", 12)
                .raw(10, 0)
                .bytes();
        byte[] whole = RdbBytes.value()
                .raw(payload)
                .littleEndian(Crc64.update(0, payload, 0, payload.length), 8)
                .bytes();
        ValueTarget target = new ValueTarget(REDIS_6);
        Written written = new Written();
        rebuild(whole, target, written);
        assertThat(written.lines).containsExactly("UNLINK k", "HSET k field value g 12");
        for (int at = 0; at < whole.length; at++) {
            byte[] damaged = whole.clone();
            damaged[at] ^= 1;
            assertThatThrownBy(() -> rebuild(damaged, target, new Written()))
                    .as("byte " + at)
                    .isInstanceOfAny(EOFException.class, RdbFormatException.class);
            byte[] part = Arrays.copyOf(whole, at);
            assertThatThrownBy(() -> rebuild(part, target, new Written()))
                    .as("the first " + at + " bytes")
                    .isInstanceOfAny(EOFException.class, RdbFormatException.class);
        }
    }

    private static void rebuild(byte[] payload, ValueTarget target, SnapshotSink sink) throws IOException {
        DumpReader.rebuild(
                0, "k".getBytes(UTF_8), -1, new ByteArrayInputStream(payload), payload.length, REDIS_7_4, target, sink);
    }

    // Memory

    /** Twenty million members, made as they are read. */
    private static final class LargeSortedSet extends InputStream {
        static final long MEMBERS = 20_000_000;
        static final long HEAP_MAX = 24L << 20;
        private final byte[] head = RdbBytes.snapshot("REDIS0011")
                .raw(RdbTypes.ZSET_2)
                .string("large")
                .length(MEMBERS)
                .bytes();
        private byte[] piece = head;
        private int at;
        private long members;
        private long checksum;
        private boolean ended;
        private final long usedBefore = usedHeap();

        @Override
        public int read() {
            throw new UnsupportedOperationException();
        }

        @Override
        public int read(byte[] into, int offset, int length) {
            if (at == piece.length && !next()) {
                return -1;
            }
            int count = Math.min(length, piece.length - at);
            System.arraycopy(piece, at, into, offset, count);
            at += count;
            return count;
        }

        private boolean next() {
            checksum = Crc64.update(checksum, piece, 0, piece.length);
            at = 0;
            if (members % 1_000_000 == 0) {
                assertThat(usedHeap() - usedBefore).isLessThan(HEAP_MAX);
            }
            if (members < MEMBERS) {
                RdbBytes more = RdbBytes.value();
                for (int i = 0; i < 1000; i++) {
                    more.string("member:" + members).littleEndian(Double.doubleToRawLongBits(members / 4.0), 8);
                    members++;
                }
                piece = more.bytes();
            } else if (!ended) {
                ended = true;
                byte[] eof = {(byte) RdbTypes.OPCODE_EOF};
                piece = RdbBytes.value()
                        .raw(eof)
                        .littleEndian(Crc64.update(checksum, eof, 0, 1), 8)
                        .bytes();
            } else {
                return false;
            }
            return true;
        }
    }

    @Test
    void aSortedSetOfTwentyMillionMembersPassesWithAFewMegabytes() throws IOException {
        AtomicLong members = new AtomicLong();
        SnapshotSink sink = new SnapshotSink() {
            @Override
            public void source(Map<String, String> facts) {}

            @Override
            public void command(int database, byte[] key, byte[][] words) {
                String name = new String(words[0], ISO_8859_1);
                if (!name.equals("ZADD")) {
                    assertThat(name).isEqualTo("UNLINK");
                    return;
                }
                assertThat(words.length).isLessThanOrEqualTo(2 + 2 * RdbLimits.DEFAULT.pieceElements());
                long first = members.getAndAdd((words.length - 2) / 2);
                assertThat(new String(words[3], ISO_8859_1)).isEqualTo("member:" + first);
                assertThat(Double.parseDouble(new String(words[2], ISO_8859_1))).isEqualTo(first / 4.0);
            }

            @Override
            public void library(byte[] code) {
                throw new AssertionError();
            }

            @Override
            public void inexpressible(int database, byte[] key, String what) {
                throw new AssertionError(what);
            }
        };
        new SnapshotReader(new LargeSortedSet(), new ValueTarget(REDIS_6), sink).read();
        assertThat(members.get()).isEqualTo(LargeSortedSet.MEMBERS);
    }

    private static long usedHeap() {
        System.gc();
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }
}
