package io.switchback.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Routes;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The command line: help, mistakes, exit codes. */
final class MainTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @TempDir
    private Path folder;

    @Test
    void helpTeachesEveryCommand() {
        assertThat(run("--help")).isZero();
        assertThat(out.toString(UTF_8)).contains("serve", "release", "where", "demo", "A first look");
        assertThat(run("--version")).isZero();
        assertThat(run("release", "--help")).isZero();
        assertThat(out.toString(UTF_8)).contains("rollback", "finish", "resume", "abort", "follow", "journal");
    }

    @ParameterizedTest
    @ValueSource(strings = {"serve", "release", "node", "cache", "where", "demo", "simulate"})
    void everyCommandHasItsHelp(String command) {
        assertThat(run(command, "--help")).as(err.toString(UTF_8)).isZero();
        assertThat(out.toString(UTF_8)).contains("Usage: switchback " + command);
    }

    @Test
    void helpGoesAsDeepAsTheCommands() {
        assertThat(run("help", "release", "start")).isZero();
        assertThat(out.toString(UTF_8))
                .contains("Usage: switchback release start")
                .contains("--follow");
        assertThat(run("help", "serve")).isZero();
        assertThat(out.toString(UTF_8)).contains("Usage: switchback serve");
    }

    @Test
    void simulateSaysWhatItDidAndThatAllLawsHeld() {
        assertThat(run("simulate", "--seeds", "20")).as(out.toString(UTF_8)).isZero();
        assertThat(out.toString(UTF_8)).contains("20");
        assertThat(run("simulate", "--seed", "3", "--nodes", "2")).isZero();
        assertThat(run("simulate", "--protocol", "one-phase")).isEqualTo(Main.MISTAKE);
    }

    @Test
    void anUnknownCommandIsAMistakeThatIsNamed() {
        assertThat(run("demmo")).isEqualTo(Main.MISTAKE);
        assertThat(err.toString(UTF_8)).contains("demmo");
    }

    @Test
    void everyMistakeOfANodesFileIsShownWithItsLine() throws IOException {
        Path file = Files.writeString(folder.resolve("node.yaml"), """
                node: edge-1
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: nowhere
                    active: blue
                    fleets:
                      blue: { standalone: 127.0.0.1:7001, colour: red }
                """);
        assertThat(run("serve", file.toString())).isEqualTo(Main.MISTAKE);
        assertThat(err.toString(UTF_8))
                .contains("node.yaml:5")
                .contains("listen")
                .contains("colour");
    }

    @Test
    void aNodeThatDoesNotRunIsSaidToBeOutOfReach() throws IOException {
        Path file = nodeFile();
        assertThat(run("release", "status", "--node", file.toString())).isEqualTo(Main.UNREACHABLE);
        assertThat(err.toString(UTF_8)).contains("no node answers").contains("switchback serve");
    }

    @Test
    void whereTellsTheFilesActiveFleetBeforeANodeHasEverRun() throws IOException {
        Path file = nodeFile();
        assertThat(run("where", file.toString())).isEqualTo(1);
        assertThat(out.toString(UTF_8))
                .contains("fleet blue at 127.0.0.1:7001")
                .contains("only what the file says")
                .doesNotContain("straight there");
    }

    @Test
    void whereTellsTheLedgersFleetAndWhatToTypeThere() throws IOException {
        Path file = nodeFile();
        try (Ledger ledger = EmbeddedLedger.open(folder.resolve("data"), Environment.system())) {
            new Routes(ledger).begin("sessions", "green");
        }
        assertThat(run("where", file.toString())).isZero();
        assertThat(out.toString(UTF_8))
                .contains("fleet green at 127.0.0.1:7002")
                .contains("redis-cli -h 127.0.0.1 -p 7002 REPLICAOF NO ONE");
    }

    @Test
    void whereSaysWhatToTypeAsTheFleetIsReached() throws IOException {
        Path file = Files.writeString(folder.resolve("node.yaml"), """
                node: edge-1
                ledger: embedded:./data
                caches:
                  local: { listen: "127.0.0.1:1", active: a, fleets: { a: { standalone: "unix:/run/a.sock" } } }
                  many: { listen: "127.0.0.1:2", active: b, fleets: { b: { cluster: ["127.0.0.1:7003"] } } }
                """);
        try (Ledger ledger = EmbeddedLedger.open(folder.resolve("data"), Environment.system())) {
            new Routes(ledger).begin("local", "a");
            new Routes(ledger).begin("many", "b");
        }
        assertThat(run("where", file.toString())).isZero();
        assertThat(out.toString(UTF_8))
                .contains("redis-cli -s /run/a.sock REPLICAOF NO ONE")
                .contains("fleet b is under sentinels or a cluster")
                .doesNotContain("-h the cluster");
    }

    @Test
    void whereNeedsNoSecrets() throws IOException {
        Path file = Files.writeString(folder.resolve("node.yaml"), """
                node: edge-1
                admin: { listen: "127.0.0.1:1", token: "file:not-there" }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: 127.0.0.1:6379
                    active: blue
                    fleets:
                      blue:  { standalone: 127.0.0.1:7001, password: "env:SWITCHBACK_TEST_NOT_SET" }
                """);
        run("where", file.toString());
        assertThat(out.toString(UTF_8)).contains("fleet blue at 127.0.0.1:7001");
        assertThat(run("serve", file.toString())).isEqualTo(Main.MISTAKE);
        assertThat(err.toString(UTF_8)).contains("not-there").contains("SWITCHBACK_TEST_NOT_SET");
    }

    @Test
    void aReleaseFileThatIsNotThereIsAMistakeAndNamed() throws IOException {
        Path file = nodeFile();
        assertThat(run("release", "start", "--node", file.toString(), "nope.yaml"))
                .isEqualTo(2);
        assertThat(err.toString(UTF_8)).contains("nope.yaml").doesNotContain("Exception");
    }

    private Path nodeFile() throws IOException {
        return Files.writeString(folder.resolve("node.yaml"), """
                node: edge-1
                admin: { listen: "127.0.0.1:1", token: secret }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: 127.0.0.1:6379
                    active: blue
                    fleets:
                      blue:  { standalone: 127.0.0.1:7001 }
                      green: { standalone: 127.0.0.1:7002 }
                """);
    }

    private int run(String... arguments) {
        return Main.run(new PrintStream(out, true, UTF_8), new PrintStream(err, true, UTF_8), arguments);
    }
}
