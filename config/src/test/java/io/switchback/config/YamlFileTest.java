package io.switchback.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Values, and every mistake that a file can hold: with its line, its key and what was expected. */
class YamlFileTest {
    enum Colour {
        DARK_BLUE,
        GREEN,
        RED
    }

    @Test
    void everyKindOfValueIsReadAsItIsWritten() {
        YamlFile file = YamlFile.parse("a.yaml", """
                name: edge-1
                address: 127.0.0.1:6379
                six: "[::1]:6379"
                many: [a.example:1, b-2.example:65535]
                one: c:2
                bind: 0.0.0.0:0
                short: 200ms
                long: 24h
                ratio: 1.2
                share: 0.1%
                count: 5
                on: true
                colour: dark-blue
                secret: in the clear
                inner: { a: b }
                list: [{ k: v }, { k: w }]
                named: { blue: { x: 1ms }, green: { x: 2m } }
                """);
        YamlMap root = file.root();

        assertThat(root.name("name")).isEqualTo("edge-1");
        assertThat(root.hostPort("address")).isEqualTo(new HostPort("127.0.0.1", 6379));
        assertThat(root.hostPort("six")).isEqualTo(new HostPort("::1", 6379)).hasToString("[::1]:6379");
        assertThat(root.hostPorts("many"))
                .containsExactly(new HostPort("a.example", 1), new HostPort("b-2.example", 65535));
        assertThat(root.hostPorts("one")).containsExactly(new HostPort("c", 2));
        assertThat(root.bindAddress("bind")).isEqualTo(new HostPort("0.0.0.0", 0));
        assertThat(root.duration("short", Duration.ZERO)).isEqualTo(Duration.ofMillis(200));
        assertThat(root.duration("long", Duration.ZERO)).isEqualTo(Duration.ofHours(24));
        assertThat(root.ratio("ratio", 1, 100)).contains(1.2);
        assertThat(root.percent("share")).contains(0.001);
        assertThat(root.integer("count", 1, 1, 9)).isEqualTo(5);
        assertThat(root.flag("on", false)).isTrue();
        assertThat(root.choice("colour", Colour.class, Colour.RED)).isEqualTo(Colour.DARK_BLUE);
        assertThat(root.secret("secret").reveal()).isEqualTo("in the clear");
        assertThat(root.map("inner").text("a")).isEqualTo("b");
        assertThat(root.maps("list")).extracting(map -> map.text("k")).containsExactly("v", "w");
        Map<String, YamlMap> named = root.namedMaps("named");
        assertThat(named.keySet()).containsExactly("blue", "green");
        assertThat(named.values())
                .extracting(map -> map.duration("x", Duration.ZERO))
                .containsExactly(Duration.ofMillis(1), Duration.ofMinutes(2));
        file.finish();
    }

    @Test
    void whatIsLeftOutTakesItsFallback() {
        YamlFile file = YamlFile.parse("a.yaml", "present: 1");
        YamlMap root = file.root();

        assertThat(root.has("present")).isTrue();
        assertThat(root.has("a")).isFalse();
        assertThat(root.text("a", "fallback")).isEqualTo("fallback");
        assertThat(root.optionalText("a")).isEmpty();
        assertThat(root.duration("a", Duration.ofSeconds(3))).isEqualTo(Duration.ofSeconds(3));
        assertThat(root.integer("a", 7, 0, 9)).isEqualTo(7);
        assertThat(root.flag("a", true)).isTrue();
        assertThat(root.choice("a", Colour.class, Colour.RED)).isEqualTo(Colour.RED);
        assertThat(root.optionalMap("a")).isEmpty();
        assertThat(root.optionalSecret("a")).isEmpty();
        assertThat(root.ratio("a", 1, 2)).isEmpty();
        assertThat(root.percent("a")).isEmpty();
        file.finish();
    }

    @Test
    void allMistakesOfAFileAreReportedAtOnceEachWithLineKeyAndWhatWasExpected() {
        String problems = problemsOf("""
                node: edge 1
                caches:
                  sessions:
                    listen: "6379"
                    timeout: soon
                    colour: pink
                    ratio: -1
                    share: 5
                    count: 11
                    on: yes
                    fleets: []
                """, root -> {
            root.name("node");
            root.text("gone");
            YamlMap sessions = Objects.requireNonNull(root.namedMaps("caches").get("sessions"));
            assertThat(sessions).isNotNull();
            sessions.hostPorts("listen");
            sessions.duration("timeout", Duration.ZERO);
            sessions.choice("colour", Colour.class, Colour.RED);
            sessions.ratio("ratio", 1, 2);
            sessions.percent("share");
            sessions.integer("count", 1, 1, 10);
            sessions.flag("on", false);
            sessions.namedMaps("fleets");
        });

        assertThat(problems.lines())
                .containsExactly(
                        "node.yaml:1: node: expected a name of up to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit, found \"edge 1\"",
                        "node.yaml:1: gone: missing; expected text",
                        "node.yaml:4: caches.sessions.listen: expected host:port such as 127.0.0.1:6379, or a list of them, found \"6379\"",
                        "node.yaml:5: caches.sessions.timeout: expected a duration such as 200ms, 5s, 10m or 24h, found \"soon\"",
                        "node.yaml:6: caches.sessions.colour: expected dark-blue or green or red, found \"pink\"",
                        "node.yaml:7: caches.sessions.ratio: expected a number such as 1.2, from 1.0 to 2.0, found \"-1\"",
                        "node.yaml:8: caches.sessions.share: expected a percentage such as 0.1%, from 0% to 100%, found \"5\"",
                        "node.yaml:9: caches.sessions.count: expected a whole number from 1 to 10, found \"11\"",
                        "node.yaml:10: caches.sessions.on: expected true or false, found \"yes\"",
                        "node.yaml:11: caches.sessions.fleets: expected a map of keys, found an empty list");
    }

    @Test
    void aKeyThatNobodyAskedForIsAMistakeWithTheNearestKnownOne() {
        assertThat(problemsOf("lsiten: a:1\nquite-different: 2\ninner:\n  x: 1\n  y: 1\n", root -> {
                            root.bindAddresses("listen");
                            root.map("inner").text("x");
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:1: listen: missing; expected host:port such as 127.0.0.1:6379, or a list of them",
                        "node.yaml:1: lsiten: unknown key; did you mean \"listen\"?",
                        "node.yaml:2: quite-different: unknown key; known here: listen, inner",
                        "node.yaml:5: inner.y: unknown key; known here: x");
    }

    @Test
    void aMapThatIsAskedForTwiceIsOneAndKnowsAllThatWasAskedOfIt() {
        YamlFile file = YamlFile.parse("n.yaml", "a: { b: { c: 1, d: 2 } }");

        assertThat(file.root().map("a").map("b").text("c")).isEqualTo("1");
        assertThat(file.root().namedMaps("a").values())
                .extracting(map -> map.text("d"))
                .containsExactly("2");
        file.finish();
    }

    @Test
    void aMapThatIsNoneIsOneMistakeAndNotOneForEachOfItsKeys() {
        assertThat(problemsOf("a: 1\n", root -> {
                            root.map("a").map("b").text("c");
                            root.map("gone").namedMaps("names");
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:1: a: expected a map of keys, found \"1\"",
                        "node.yaml:1: gone: missing; expected a map of keys");
    }

    @Test
    void anEmptyValueIsNotTakenForTextAndAQuotedOneIs() {
        assertThat(problemsOf("a:\nb: ~\nc: 'null'\nd: ''\n", root -> {
                            root.text("a");
                            root.text("b");
                            assertThat(root.text("c")).isEqualTo("null");
                            root.text("d");
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:1: a: expected text, found nothing",
                        "node.yaml:2: b: expected text, found nothing",
                        "node.yaml:4: d: expected text, found \"\"");
    }

    @Test
    void aKeyGivenTwiceIsAMistakeWithBothLines() {
        assertThat(problemsOf("a: 1\na: 2\n", root -> root.text("a")))
                .isEqualTo("node.yaml:2: a: given twice, first in line 1");
    }

    @Test
    void eachItemOfAListIsJudgedOnItsOwnLine() {
        assertThat(problemsOf("a:\n  - x:1\n  - nonsense\n  - y:99999\nb: []\n", root -> {
                            assertThat(root.hostPorts("a")).containsExactly(new HostPort("x", 1));
                            root.hostPorts("b");
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:3: a: expected host:port such as 127.0.0.1:6379, found \"nonsense\"",
                        "node.yaml:4: a: expected host:port such as 127.0.0.1:6379, found \"y:99999\"",
                        "node.yaml:5: b: expected host:port such as 127.0.0.1:6379, or a list of them, found an empty list");
    }

    @Test
    void aHostAndPortAreTakenOnlyWhereTheyAreOne() {
        for (String good :
                List.of("a:1", "a.b-c:65535", "10.0.0.1:80", "[::1]:1", "[fe80::1%eth0]:1", "under_score:1")) {
            assertThat(HostPort.parse(good, 1)).as(good).map(HostPort::toString).contains(good);
        }
        for (String bad : List.of(
                "",
                "a",
                "a:",
                ":1",
                "a:0",
                "a:65536",
                "a:999999",
                "a:-1",
                "::1:1",
                "[::1]",
                "a b:1",
                "http://a:1",
                "a:1/2",
                "-a:1",
                "[x]:1")) {
            assertThat(HostPort.parse(bad, 1)).as(bad).isEmpty();
        }
    }

    @Test
    void aBoundIsPartOfWhatIsExpected() {
        assertThat(problemsOf("a: 1ms\nb: 2h\nc: 999999999999h\n", root -> {
                            root.duration("a", Duration.ZERO, Duration.ofMillis(10), Duration.ofSeconds(90));
                            root.duration("b", Duration.ZERO, Duration.ofHours(3), Duration.ofDays(3650));
                            root.duration("c", Duration.ZERO);
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:1: a: expected a duration such as 200ms, 5s, 10m or 24h, from 10ms to 90s, found \"1ms\"",
                        "node.yaml:2: b: expected a duration such as 200ms, 5s, 10m or 24h, at least 3h, found \"2h\"",
                        "node.yaml:3: c: expected a duration such as 200ms, 5s, 10m or 24h, found \"999999999999h\"");
    }

    @Test
    void whatDoesNothingYetIsRefusedByNameAndLine() {
        assertThat(problemsOf("services: {}\ncolour: red\n", root -> {
                            root.unsupported("services");
                            root.unsupported("absent");
                            root.choice("colour", Colour.class, Colour.GREEN, Set.of(Colour.RED));
                        })
                        .lines())
                .containsExactly(
                        "node.yaml:1: services: not supported yet by this version",
                        "node.yaml:2: colour: red is not supported yet by this version; expected dark-blue or green");
    }

    @Test
    void secretsComeFromTheEnvironmentOrAFileBesideAndAreNeverShown(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve("token"), "from-file\n");
        Path path = folder.resolve("node.yaml");
        Files.writeString(path, "a: env:BLUE\nb: file:token\nc: clear-text\n");
        YamlFile file = YamlFile.read(path, Map.of("BLUE", "from-env")::get);

        Secret a = file.root().secret("a");
        Secret b = file.root().secret("b");
        Secret c = file.root().secret("c");
        file.finish();

        assertThat(a.reveal()).isEqualTo("from-env");
        assertThat(b.reveal()).isEqualTo("from-file");
        assertThat(List.of(a, b, c))
                .asString()
                .doesNotContain("from-", "clear-text")
                .contains("env:BLUE", "file:token");
    }

    @Test
    void aSecretThatIsNotThereIsAMistakeOfTheFile(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve("empty"), "\n");
        Path path = folder.resolve("node.yaml");
        Files.writeString(path, "a: env:GONE\nb: file:gone\nc: file:empty\nd: env:BLANK\ne: [s3cret]\nf: \"env:\"\n");
        YamlFile file = YamlFile.read(path, Map.of("BLANK", "")::get);
        for (String key : List.of("a", "b", "c", "d", "e", "f", "g")) {
            var _ = file.root().secret(key);
        }

        String problems = messageOf(file::finish);

        assertThat(problems)
                .contains(":1: a: the environment variable \"GONE\" is not set")
                .contains(":2: b: the secret's file " + folder.resolve("gone") + " cannot be read")
                .contains(":3: c: the secret's file " + folder.resolve("empty") + " is empty")
                .contains(":4: d: the environment variable \"BLANK\" is empty")
                .contains(":5: e: expected a secret: env:NAME, file:PATH, or the secret itself, found a list")
                .contains(":6: f: the environment variable \"\" is not set")
                .contains(":1: g: missing; expected a secret")
                .doesNotContain("s3cret");
        assertThat(problems.lines()).hasSize(7);
    }

    @Test
    void aFileThatCannotBeReadSaysWhy(@TempDir Path folder) throws IOException {
        assertThatThrownBy(() -> YamlFile.read(folder.resolve("gone.yaml")))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("gone.yaml: no such file");
        assertThatThrownBy(() -> YamlFile.read(folder))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("cannot be read");
        Path large = Files.write(folder.resolve("large.yaml"), new byte[YamlFile.FILE_BYTES_MAX + 1]);
        assertThatThrownBy(() -> YamlFile.read(large))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("expected at most");
        Path garbled = Files.write(folder.resolve("garbled.yaml"), new byte[] {'a', ':', ' ', (byte) 0xff});
        assertThatThrownBy(() -> YamlFile.read(garbled))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("is not UTF-8 text");
    }

    @Test
    void whatIsNoYamlIsSaidWithItsLine() {
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: 1\n\tb: 2\n")))
                .hasMessageStartingWith("n.yaml:2: not valid YAML");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: [1\n")))
                .hasMessageStartingWith("n.yaml:2: not valid YAML");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", ""))).hasMessage("n.yaml: the file is empty");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "# only a remark\n")))
                .hasMessage("n.yaml: the file is empty");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "- a\n")))
                .hasMessageStartingWith("n.yaml:1: expected keys with values");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: 1\n---\nb: 2\n")))
                .hasMessageContaining("not valid YAML");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: \u0000"))).hasMessageContaining("not valid YAML");
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: *gone"))).hasMessageContaining("not valid YAML");
    }

    @Test
    void deepNestingAndAliasesThatHoldThemselvesDoNoHarm() {
        assertThat(failureOf(() -> YamlFile.parse("n.yaml", "a: " + "[".repeat(100_000)))
                        .getMessage())
                .contains("nested deeper than 32 levels");
        assertThat(problemsOf(
                        "a: &a { b: *a, c: 1 }\n",
                        root -> root.map("a").map("b").text("c")))
                .contains("c: unknown key");
    }

    @Test
    void noCutOfAFileEndsInAnythingButValuesOrMistakes() {
        String text = "a: { b: [x:1, y:2], c: 'q' }\nd:\n  - { e: &e 5ms }\n  - { e: *e }\n";
        for (int cut = 0; cut <= text.length(); cut++) {
            String part = text.substring(0, cut);
            try {
                YamlFile file = YamlFile.parse("n.yaml", part);
                YamlMap a = file.root().map("a");
                var b = a.hostPorts("b");
                var c = a.text("c");
                file.root().maps("d").forEach(map -> map.duration("e", Duration.ZERO));
                file.finish();
                assertThat(b).hasSize(2);
                assertThat(c).isEqualTo("q");
            } catch (ConfigException expected) {
                assertThat(expected.problems()).isNotEmpty();
            }
        }
    }

    private static String problemsOf(String text, Consumer<YamlMap> reading) {
        YamlFile file = YamlFile.parse("node.yaml", text);
        reading.accept(file.root());
        return messageOf(file::finish);
    }

    private static String messageOf(ThrowingCallable call) {
        return Objects.requireNonNull(failureOf(call).getMessage());
    }

    private static ConfigException failureOf(ThrowingCallable call) {
        return Objects.requireNonNull(catchThrowableOfType(ConfigException.class, call), "nothing was refused");
    }
}
