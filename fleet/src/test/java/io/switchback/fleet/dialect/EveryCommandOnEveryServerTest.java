package io.switchback.fleet.dialect;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.Scenario;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Runs every write command that a real server has, with its usual options, records what comes down the server's stream, and
 * lets every other server that this machine has apply the translation of it, as a client's commands and as a stream.
 *
 * <p>It fails where a command passes that the target does not take, where the effect is another one, and where something
 * closes the way that did not before.
 */
class EveryCommandOnEveryServerTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    /** A relative time is made absolute when it is translated, here after all of the recording. */
    private static final long RECORDING_MS_MAX = 60_000;

    private static final long PTTL_SLACK_MS = 300;

    /** Write commands without a scenario: they need a cluster, another server, or only exist for debugging. */
    private static final Set<String> WITHOUT_SCENARIO = Set.of("MIGRATE", "CLUSTER FLUSHSLOT");

    @TempDir
    Path folder;

    static Stream<String> sources() {
        return ServerBinary.found().stream().map(ServerBinary::name);
    }

    @ParameterizedTest
    @MethodSource("sources")
    void everyWriteCommandOfTheServerIsInTheTableAndHasAScenario(String source) throws Exception {
        Set<String> scenarios = new HashSet<>();
        for (Scenario scenario : Scenario.all()) {
            for (String command : scenario.commands()) {
                String[] words = command.replace("&", "").split(" ", -1);
                scenarios.add(words[0]);
                scenarios.add(words[0] + (words.length > 1 ? " " + words[1] : ""));
            }
        }
        try (RealServer server = start(source, "source");
                ServerConnection connection = connect(server)) {
            Dialect dialect = Dialect.read(connection);
            TargetRules rules = TargetRules.between(dialect, dialect);
            for (String name : writeCommands(dialect)) {
                if (WITHOUT_SCENARIO.contains(name)) {
                    continue;
                }
                assertThat(scenarios.contains(name))
                        .as("a scenario for " + name)
                        .isTrue();
                assertThat(rules.find(words(name.equals("BITOP") ? "BITOP AND" : name)))
                        .as("a rule for " + name)
                        .isNotNull();
            }
        }
    }

    private static List<String> writeCommands(Dialect dialect) {
        List<String> names = new ArrayList<>();
        for (String name : dialect.commands().names()) {
            CommandShape shape = dialect.commands().shape(name).orElseThrow();
            if (name.equals("xgroup") && shape.subcommands().isEmpty()) {
                names.addAll(List.of("XGROUP CREATE", "XGROUP SETID", "XGROUP DESTROY", "XGROUP DELCONSUMER"));
            } else if (shape.subcommands().isEmpty()) {
                if (shape.writes()) {
                    names.add(name.toUpperCase(java.util.Locale.ROOT));
                }
            } else {
                shape.subcommands().forEach((subcommand, subshape) -> {
                    if (subshape.writes()) {
                        names.add((name + " " + subcommand).toUpperCase(java.util.Locale.ROOT));
                    }
                });
            }
        }
        return names;
    }

    @ParameterizedTest
    @MethodSource("sources")
    void whatComesDownTheStreamHasTheSameEffectOnEveryOtherServer(String source) throws Exception {
        Set<String> closed = new TreeSet<>();
        try (RealServer server = start(source, "source");
                RecordedStream recorded = new RecordedStream(server);
                ServerConnection connection = recorded.connect()) {
            Dialect sourceDialect = Dialect.read(connection);
            for (ServerBinary target : ServerBinary.found()) {
                compare(recorded, connection, sourceDialect, target, closed);
            }
        }
        Path seen = Path.of("target", "closes-the-way");
        Files.createDirectories(seen);
        Files.write(
                seen.resolve(source + ".txt"),
                closed.stream().map(line -> source + " to " + line).toList());
        assertThat(closed).containsExactlyInAnyOrderElementsOf(expectedToClose(source));
    }

    private void compare(
            RecordedStream recorded,
            ServerConnection source,
            Dialect sourceDialect,
            ServerBinary target,
            Set<String> closed)
            throws Exception {
        List<byte[][]> translated = new ArrayList<>();
        Set<String> excluded = new HashSet<>();
        if (!sourceDialect.version().isAtLeast(7, 0)) {
            // From 7.0 on, XCLAIM of an entry that is no longer in the stream ends its being pending; before, it
            // stayed. The
            // servers' own replication differs there, too.
            recorded.effects().keySet().stream()
                    .filter(scenario -> scenario.text().contains("XDEL $a 5-1 ; X"))
                    .forEach(scenario -> excluded.add(scenario.keyPrefix()));
        }
        String pair = sourceDialect.version() + " to " + target;
        try (RealServer asPrimary = start(target.name(), target.name() + "-primary");
                RealServer asFollower = start(target.name(), target.name() + "-follower");
                ServerConnection client = connect(asPrimary);
                ServerConnection follower = connect(asFollower)) {
            Dialect targetDialect = Dialect.read(client);
            StreamTranslator translator = StreamTranslator.between(sourceDialect, targetDialect);
            recorded.effects().forEach((scenario, effects) -> {
                boolean inside = false;
                for (byte[][] effect : effects) {
                    inside |= Words.is(effect[0], "MULTI");
                    Translation translation =
                            translator.translate(effect, inside, EveryCommandOnEveryServerTest::nowMs);
                    Translation again = translator.translate(effect, inside, EveryCommandOnEveryServerTest::nowMs);
                    assertThat(lengths(again)).as("lengths of " + text(effect)).isEqualTo(lengths(translation));
                    inside &= !Words.is(effect[0], "EXEC");
                    switch (translation) {
                        case Translation.Unchanged() -> translated.add(effect);
                        case Translation.Rewritten(List<byte[][]> commands) -> translated.addAll(commands);
                        case Translation.Impossible(String why) -> {
                            excluded.add(scenario.keyPrefix());
                            closed.add(target.name() + ": " + why.replaceAll("(\\d+\\.\\d+)\\.\\d+", "$1"));
                        }
                    }
                }
            });
            List<String> refused = new ArrayList<>();
            List<Reply> replies = client.pipeline(translated);
            for (int i = 0; i < replies.size(); i++) {
                noteErrors(replies.get(i), text(translated.get(i)), refused);
            }
            if (!translator
                    .passesUntouched()) { // from its primary a server takes some words that it refuses to clients
                assertThat(refused).as(pair + ": refused by the target").isEmpty();
                assertSame(source, client, excluded, pair + " as a client's commands", sourceDialect);
            }

            try (StreamPrimary primary = new StreamPrimary(translated)) {
                follower.demand("REPLICAOF", "127.0.0.1", Integer.toString(primary.port()));
                Await.until(
                        LIMIT,
                        pair + ": the whole stream applied",
                        () -> asFollower
                                        .info("replication", "master_link_status")
                                        .equals("up")
                                && asFollower
                                        .info("replication")
                                        .getOrDefault("slave_repl_offset", "0")
                                        .equals(Long.toString(primary.endOffset())));
                assertSame(source, follower, excluded, pair + " as a stream", sourceDialect);
            }
        }
    }

    private static void assertSame(
            ServerConnection source,
            ServerConnection target,
            Set<String> excluded,
            String pair,
            Dialect sourceDialect) {
        Map<String, Long> sourceExpiries = new TreeMap<>();
        Map<String, Long> targetExpiries = new TreeMap<>();
        Map<String, String> expected = CanonicalValue.readAll(source, sourceExpiries);
        Map<String, String> actual = CanonicalValue.readAll(target, targetExpiries);
        expected.keySet().removeIf(key -> isOf(key, excluded));
        actual.keySet().removeIf(key -> isOf(key, excluded));
        assertThat(differences(expected, actual)).as(pair).isEmpty();
        long slackMs = sourceDialect.version().isAtLeast(7, 0) ? PTTL_SLACK_MS : RECORDING_MS_MAX;
        expected.keySet().forEach(key -> {
            long at = sourceExpiries.getOrDefault(key, -1L);
            assertThat(targetExpiries.get(key))
                    .as(pair + ": expiry of " + key)
                    .isBetween(at < 0 ? -1 : at - PTTL_SLACK_MS, at < 0 ? -1 : at + slackMs);
        });
    }

    private static List<String> differences(Map<String, String> expected, Map<String, String> actual) {
        Set<String> keys = new TreeSet<>(expected.keySet());
        keys.addAll(actual.keySet());
        return keys.stream()
                .filter(key -> !String.valueOf(expected.get(key)).equals(actual.get(key)))
                .map(key -> key + " " + Scenario.all().get(number(key)).text() + "\n    is " + expected.get(key)
                        + "\n    came as " + actual.get(key))
                .toList();
    }

    private static int number(String key) {
        return Integer.parseInt(key.substring(key.indexOf("/s") + 2, key.indexOf(':')));
    }

    private static boolean isOf(String key, Set<String> prefixes) {
        return prefixes.contains(key.substring(key.indexOf('/') + 1, key.indexOf(':') + 1));
    }

    private static void noteErrors(Reply reply, String command, List<String> refused) {
        switch (reply) {
            case Reply.Failure(String message) -> refused.add(command + ": " + message);
            case Reply.Array(List<Reply> elements) ->
                elements.forEach(element -> noteErrors(element, command, refused));
            default -> {}
        }
    }

    private static List<List<Integer>> lengths(Translation translation) {
        return translation instanceof Translation.Rewritten(List<byte[][]> commands)
                ? commands.stream()
                        .map(command ->
                                Arrays.stream(command).map(word -> word.length).toList())
                        .toList()
                : List.of();
    }

    private static String text(byte[][] command) {
        return Arrays.stream(command).map(word -> new String(word, ISO_8859_1)).collect(Collectors.joining(" "));
    }

    private static byte[][] words(String text) {
        return Arrays.stream(text.split(" ", -1))
                .map(word -> word.getBytes(ISO_8859_1))
                .toArray(byte[][]::new);
    }

    /** What closes the way from this source to the servers that this machine has. */
    private static List<String> expectedToClose(String source) throws Exception {
        Set<String> here = sources().collect(Collectors.toSet());
        try (var file = EveryCommandOnEveryServerTest.class.getResourceAsStream("closes-the-way.txt")) {
            return new String(java.util.Objects.requireNonNull(file).readAllBytes(), ISO_8859_1)
                    .lines()
                    .filter(line -> line.startsWith(source + " to "))
                    .map(line -> line.substring((source + " to ").length()))
                    .filter(line -> here.contains(line.substring(0, line.indexOf(':'))))
                    .toList();
        }
    }

    private RealServer start(String name, String subfolder) {
        return RealServer.start(
                ServerBinary.named(name).orElseThrow(),
                folder.resolve(subfolder),
                "--repl-diskless-sync",
                "yes",
                "--repl-diskless-sync-delay",
                "0");
    }

    private static ServerConnection connect(RealServer server) {
        return ServerConnection.open(new Endpoint(server.host(), server.port()), Optional.empty(), LIMIT);
    }

    private static long nowMs() {
        return Environment.system().now().toEpochMilli();
    }
}
