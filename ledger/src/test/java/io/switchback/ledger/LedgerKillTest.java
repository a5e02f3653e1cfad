package io.switchback.ledger;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Put;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Real processes on a real disk: SIGKILL in the middle of work, and two processes at one folder. */
@Timeout(120)
class LedgerKillTest {
    private static final int ROUNDS = 5;
    private static final int ACKNOWLEDGED_MIN = 20;
    private static final int ACKNOWLEDGED_MAX = 400;

    @TempDir
    private Path folder;

    @Test
    void aProcessKilledInAStreamOfTransactionsHasLostNoneThatItAcknowledged() throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 1; round <= ROUNDS; round++) {
            String what = "seed " + seed + ", round " + round;
            int target = ACKNOWLEDGED_MIN + random.nextInt(ACKNOWLEDGED_MAX - ACKNOWLEDGED_MIN);
            Process process = child("stream");
            List<String> lines = new ArrayList<>();
            try (BufferedReader reader = process.inputReader(UTF_8)) {
                String line;
                while ((line = reader.readLine()) != null) {
                    lines.add(line);
                    if (lines.size() == target) {
                        // By its handle: the process itself would close what is still to be read.
                        assertThat(process.toHandle().destroyForcibly()).isTrue();
                    }
                }
            } finally {
                process.destroyForcibly().waitFor();
            }
            assertThat(lines).as(what).hasSizeGreaterThanOrEqualTo(target);
            // The last line may have been cut as well.
            long acknowledged = Long.parseLong(lines.get(lines.size() - 2));
            try (Ledger ledger = EmbeddedLedger.open(folder, Environment.system())) {
                long found = Long.parseLong(
                        ledger.read("stream/last").map(Entry::text).orElseThrow());
                assertThat(found).as(what).isBetween(acknowledged, acknowledged + 2);
                assertThat(ledger.read("stream/slot-" + found % Stream.SLOTS).map(Stream::numberOf))
                        .as(what)
                        .contains(found);
                for (long number = Math.max(1, found - Stream.SLOTS + 1); number <= found; number++) {
                    assertThat(ledger.read("stream/slot-" + number % Stream.SLOTS)
                                    .map(Stream::numberOf))
                            .as(what)
                            .contains(number);
                }
            }
        }
    }

    @Test
    void aSecondProcessIsRefusedAlsoAfterASecondOpeningInTheFirst() throws Exception {
        try (Ledger ledger = EmbeddedLedger.open(folder, Environment.system())) {
            assertThatThrownBy(() -> EmbeddedLedger.open(folder, Environment.system()))
                    .isInstanceOfSatisfying(
                            LedgerException.class, e -> assertThat(e.code()).isEqualTo(LedgerException.Code.LOCKED))
                    .hasMessageContaining("is in use by this process");
            assertThatThrownBy(() ->
                            EmbeddedLedger.open(folder.resolve("../" + folder.getFileName()), Environment.system()))
                    .hasMessageContaining("is in use by this process");

            assertThat(answerOf("open"))
                    .contains(
                            "LOCKED",
                            "is in use by another process",
                            "process " + ProcessHandle.current().pid());
            assertThat(ledger.transact(List.of(new Put("a", new byte[1])))).isEqualTo(new Outcome.Done());
        }
        assertThat(answerOf("open")).contains("opened");
        EmbeddedLedger.open(folder, Environment.system()).close();
    }

    private String answerOf(String mode) throws IOException, InterruptedException {
        Process process = child(mode);
        try (BufferedReader reader = process.inputReader(UTF_8)) {
            String answer = String.join("\n", reader.readAllLines());
            assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
            return answer;
        } finally {
            process.destroyForcibly();
        }
    }

    private Process child(String mode) throws IOException {
        String java = ProcessHandle.current()
                .info()
                .command()
                .orElse(System.getProperty("java.home") + File.separator + "bin/java");
        return new ProcessBuilder(
                        java,
                        "-Xmx128m",
                        "-XX:+UseSerialGC",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Stream.class.getName(),
                        mode,
                        folder.toString())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    /** What the child does: counts in transactions, and prints each number once it is acknowledged. */
    static final class Stream {
        static final int SLOTS = 8;
        private static final int FILLING = 700;

        private Stream() {}

        public static void main(String[] arguments) {
            Path folder = Path.of(arguments[1]);
            try (Ledger ledger = EmbeddedLedger.open(folder, Environment.system(), RealDisk.INSTANCE, 20_000)) {
                if (arguments[0].equals("open")) {
                    System.out.println("opened");
                    return;
                }
                count(ledger, System.out);
            } catch (LedgerException e) {
                System.out.println(e.code() + " " + e.getMessage());
            }
        }

        private static void count(Ledger ledger, PrintStream out) {
            long number = ledger.read("stream/last")
                    .map(Entry::text)
                    .map(Long::parseLong)
                    .orElse(0L);
            while (true) {
                number++;
                byte[] filled = (number + " " + "x".repeat(FILLING)).getBytes(UTF_8);
                ledger.transact(List.of(
                        new Put("stream/slot-" + number % SLOTS, filled),
                        new Put("stream/last", Long.toString(number).getBytes(UTF_8))));
                out.println(number);
                out.flush();
            }
        }

        static long numberOf(Entry entry) {
            return Long.parseLong(entry.text().substring(0, entry.text().indexOf(' ')));
        }
    }
}
