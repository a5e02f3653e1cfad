package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import io.switchback.testkit.values.EveryForm;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What every server version writes of every type in every encoding is rebuilt at every other: by snapshot, with values as they stand and by
 * commands alone, and by DUMP. Equal in all that a server can be asked for, but for exactly what is reported.
 */
class EveryFormOnEveryServerTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    /** Nothing goes as it stands, and pieces are small. */
    private static final RdbLimits COMMANDS_ONLY = new RdbLimits(0, 0, 32 << 20, 1000, 7);

    /** How far a time may be off where a server tells only how much is left. */
    private static final long ABOUT_MS = 1000;

    @TempDir
    static Path folder;

    private static final Map<String, Source> SOURCES = new HashMap<>();
    private static final Map<String, RealServer> TARGETS = new HashMap<>();

    /** What was read of a source once, for all targets. */
    private record Source(
            ServerVersion version,
            byte[] snapshot,
            Map<String, Map<String, String>> content,
            List<Dump> dumps,
            String libraries) {}

    private record Dump(int database, byte[] key, byte[] payload, long expiresAtMillis) {}

    static Stream<String> pairs() {
        return ServerBinary.MATRIX_NAMES.stream()
                .flatMap(from -> ServerBinary.MATRIX_NAMES.stream().map(to -> from + " to " + to));
    }

    @AfterAll
    static void end() {
        TARGETS.values().forEach(RealServer::close);
        TARGETS.clear();
        SOURCES.clear();
    }

    private static ServerConnection connect(RealServer server) {
        return ServerConnection.open(new Endpoint(server.host(), server.port()), Optional.empty(), LIMIT);
    }

    private static RealServer start(String name, String role) {
        ServerBinary binary = Servers.require(name);
        Path own = folder.resolve(role + "-" + name);
        return name.equals("redis-6.0")
                ? RealServer.start(binary, own)
                : RealServer.start(binary, own, "--enable-debug-command", "yes");
    }

    private static Source source(String name) {
        return SOURCES.computeIfAbsent(name, EveryFormOnEveryServerTest::read);
    }

    private static Source read(String name) {
        try (RealServer server = start(name, "source");
                ServerConnection connection = connect(server)) {
            EveryForm.fill(server);
            connection.demand("SAVE");
            ServerVersion version = ServerVersion.read(connection);
            Map<String, Map<String, String>> content = WholeContent.of(connection);
            return new Source(
                    version,
                    Files.readAllBytes(server.folder().resolve("dump.rdb")),
                    content,
                    dumps(connection, version),
                    libraries(connection, version));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<Dump> dumps(ServerConnection connection, ServerVersion version) {
        List<Dump> dumps = new ArrayList<>();
        for (int database = 0; database < 16; database++) {
            connection.demand("SELECT", "" + database);
            for (Reply key : ((Reply.Array) connection.demand("KEYS", "*")).elements()) {
                byte[] name = ((Reply.Bulk) key).bytes();
                if (connection.call("DUMP".getBytes(ISO_8859_1), name) instanceof Reply.Bulk(byte[] payload)) {
                    long left = ((Reply.Int) connection.call("PTTL".getBytes(ISO_8859_1), name)).value();
                    long at = Known.since(version, 7, 0)
                            ? ((Reply.Int) connection.call("PEXPIRETIME".getBytes(ISO_8859_1), name)).value()
                            : left < 0 ? -1 : System.currentTimeMillis() + left;
                    dumps.add(new Dump(database, name, payload, at));
                }
            }
        }
        connection.demand("SELECT", "0");
        return dumps;
    }

    private static String libraries(ServerConnection connection, ServerVersion version) {
        return Known.since(version, 7, 0)
                ? connection.demand("FUNCTION", "LIST", "WITHCODE").text()
                : "[]";
    }

    private interface Reading {
        void read(Source source, ValueTarget target, Replay replay) throws IOException;
    }

    private static void check(String pair, boolean commandsOnly, Reading reading) throws IOException {
        String[] names = pair.split(" to ", -1);
        Source source = source(names[0]);
        RealServer server = TARGETS.computeIfAbsent(names[1], name -> start(name, "target"));
        try (ServerConnection connection = connect(server)) {
            ServerVersion version = ServerVersion.read(connection);
            Replay replay = new Replay(connection);
            if (Known.since(version, 7, 0)) {
                connection.demand("FUNCTION", "FLUSH");
            }
            reading.read(source, new ValueTarget(version), replay);
            replay.finish();
            Rules rules = new Rules(source, version, commandsOnly, !replay.facts.isEmpty());
            assertSame(rules.expected(), WholeContent.of(connection), rules);
            assertThat(replay.inexpressible).containsExactlyInAnyOrderEntriesOf(rules.inexpressible);
            assertThat(replay.fieldExpiries.keySet()).isEqualTo(rules.fieldTimesLost);
            if (!replay.facts.isEmpty() && Known.since(version, 7, 0)) {
                assertThat(libraries(connection, version)).isEqualTo(source.libraries());
            }
        }
    }

    private static void assertSame(
            Map<String, Map<String, String>> expected, Map<String, Map<String, String>> found, Rules rules) {
        assertThat(found.keySet()).isEqualTo(expected.keySet());
        expected.forEach((key, parts) -> {
            Map<String, String> there = Objects.requireNonNull(found.get(key));
            parts.forEach((part, text) -> {
                String other = there.getOrDefault(part, "");
                if (part.equals(WholeContent.EXPIRES)) {
                    assertThat(Math.abs(millis(other) - millis(text)))
                            .as(key + " expires, " + text + " and " + other)
                            .isLessThanOrEqualTo(text.startsWith("about") || other.startsWith("about") ? ABOUT_MS : 0);
                } else if (!rules.ignores(key, part)) {
                    assertThat(other).as(key + ": " + part).isEqualTo(text);
                }
            });
        });
    }

    private static long millis(String text) {
        return Long.parseLong(text.replace("about ", ""));
    }

    /** What must be different, and be reported. */
    private static final class Rules {
        private final Source source;
        private final ServerVersion target;
        private final boolean commandsOnly;
        private final boolean snapshot;
        final Map<String, TreeSet<String>> inexpressible = new TreeMap<>();
        final Set<String> fieldTimesLost = new TreeSet<>();

        Rules(Source source, ServerVersion target, boolean commandsOnly, boolean snapshot) {
            this.source = source;
            this.target = target;
            this.commandsOnly = commandsOnly;
            this.snapshot = snapshot;
        }

        private void lost(String key, String what) {
            inexpressible.computeIfAbsent(key, of -> new TreeSet<>()).add(what);
        }

        Map<String, Map<String, String>> expected() {
            Map<String, Map<String, String>> expected = new TreeMap<>(source.content());
            boolean counters = Known.since(target, 7, 0);
            source.content().forEach((key, parts) -> {
                if (parts.containsKey(WholeContent.FIELD_TIMES) && !Known.fieldExpiry(target)) {
                    int fields = parts.get(WholeContent.FIELD_TIMES).split(", ", -1).length;
                    lost(key, "times to live of " + fields + " fields of a hash, which " + target + " does not take");
                    fieldTimesLost.add(key);
                }
                if (key.contains("/stream:")) {
                    if (!counters && Known.since(source.version(), 7, 0) && COUNTED.contains(bare(key))) {
                        lost(key, StreamCommands.COUNTERS);
                    }
                    if (commandsOnly && GONE.containsKey(bare(key))) {
                        lost(key, GONE.get(bare(key)) + " pending entries of a stream that are gone from it");
                    }
                }
            });
            if (snapshot && !counters && Known.since(source.version(), 7, 0)) {
                lost("-1/", "the library of functions everyform: " + target + " knows no functions");
            }
            if (Known.vectorSets(source.version()) && !Known.vectorSets(target)) {
                expected.remove("0/vectors");
                lost("0/vectors", "a vector set, which " + target + " does not load");
            }
            return expected;
        }

        private static String bare(String key) {
            return key.replace("0/stream:", "").replace("small", "").replace("large", "");
        }

        boolean ignores(String key, String part) {
            boolean counters = Known.since(target, 7, 0) && Known.since(source.version(), 7, 0);
            return switch (part) {
                case WholeContent.FIELD_TIMES -> !Known.fieldExpiry(target);
                case WholeContent.COUNTERS -> !counters;
                case WholeContent.PENDING -> commandsOnly && GONE.containsKey(bare(key));
                case WholeContent.SEEN -> commandsOnly;
                case WholeContent.ACTIVE ->
                    commandsOnly || !Known.since(target, 7, 2) || !Known.since(source.version(), 7, 2);
                default -> false;
            };
        }
    }

    /** Streams that say more of themselves than a server below 7.0 could make out. */
    private static final Set<String> COUNTED = Set.of("emptied", "cut", "busy", "gone", "vanished");

    /** Streams with entries that are pending and gone, and how many. */
    private static final Map<String, Integer> GONE = Map.of("gone", 3, "vanished", 1);

    @ParameterizedTest
    @MethodSource("pairs")
    void aSnapshotIsRebuilt(String pair) throws IOException {
        check(pair, false, (source, target, replay) -> {
            SnapshotReader reader = new SnapshotReader(new ByteArrayInputStream(source.snapshot()), target, replay);
            reader.read();
            assertThat(reader.bytes()).isEqualTo(source.snapshot().length);
            assertThat(reader.rest()).isEmpty();
            assertThat(replay.keys).contains("0/expired", "0/expired-list");
            assertThat(replay.facts)
                    .containsKey(source.version().product() == Product.VALKEY ? "valkey-ver" : "redis-ver");
        });
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aSnapshotIsRebuiltByCommandsAlone(String pair) throws IOException {
        check(pair, true, (source, target, replay) -> {
            new SnapshotReader(new ByteArrayInputStream(source.snapshot()), target, replay, COMMANDS_ONLY).read();
            assertThat(replay.names.getOrDefault("RESTORE", 0L)).isLessThanOrEqualTo(1); // the vector set
        });
    }

    static Stream<String> withCounters() {
        return ServerBinary.MATRIX_NAMES.stream().filter(name -> !name.equals("redis-6.0"));
    }

    /** By commands a stream gets the numbers that the server itself makes up when it loads one of a server that has none. */
    @ParameterizedTest
    @MethodSource("withCounters")
    void countersOfASourceThatHasNoneAreThoseThatTheServerFinds(String name) throws IOException {
        Source source = source("redis-6.0");
        RealServer server = TARGETS.computeIfAbsent(name, of -> start(of, "target"));
        List<Map<String, String>> found = new ArrayList<>();
        try (ServerConnection connection = connect(server)) {
            for (RdbLimits limits : List.of(RdbLimits.DEFAULT, COMMANDS_ONLY)) {
                Replay replay = new Replay(connection);
                new SnapshotReader(
                                new ByteArrayInputStream(source.snapshot()),
                                new ValueTarget(ServerVersion.read(connection)),
                                replay,
                                limits)
                        .read();
                replay.finish();
                Map<String, String> counters = new TreeMap<>();
                WholeContent.of(connection)
                        .forEach((key, parts) -> counters.put(key, parts.getOrDefault(WholeContent.COUNTERS, "")));
                found.add(counters);
            }
        }
        assertThat(found.getLast()).isEqualTo(found.getFirst());
        assertThat(found.getFirst().get("0/stream:cutsmall")).isEqualTo("0-0 37  0 1 37");
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void whatDumpRepliesIsRebuilt(String pair) throws IOException {
        check(pair, false, (source, target, replay) -> {
            for (Dump dump : source.dumps()) {
                DumpReader.rebuild(
                        dump.database(),
                        dump.key(),
                        dump.expiresAtMillis(),
                        new ByteArrayInputStream(dump.payload()),
                        dump.payload().length,
                        source.version(),
                        target,
                        replay);
            }
        });
    }
}
