package io.switchback.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Delete;
import io.switchback.ledger.Operation.Put;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A disk that is really full: a small file system in memory, where this process may mount one. */
class LedgerFullDiskTest {
    private static final int DISK_KIB = 128;

    @TempDir
    private Path folder;

    @BeforeEach
    void mount() throws Exception {
        assumeTrue(
                run("mount", "-t", "tmpfs", "-o", "size=" + DISK_KIB + "k", "switchback-test", folder.toString()),
                "skipped: mounting a small file system is not allowed here, so that no disk can be filled");
    }

    @AfterEach
    void unmount() throws Exception {
        run("umount", folder.toString());
    }

    @Test
    void aFullDiskLeavesTheTransactionOutAndTheLedgerUsable() throws IOException {
        byte[] value = new byte[10_000];
        int fit = 0;
        try (Ledger ledger = open()) {
            LedgerException refusal = null;
            while (refusal == null) {
                Operation operation = new Put("k/" + fit, value);
                refusal = catchThrowableOfType(LedgerException.class, () -> ledger.transact(List.of(operation)));
                fit += refusal == null ? 1 : 0;
            }
            assertThat(fit).isBetween(8, 13);
            assertThat(refusal.code()).isEqualTo(LedgerException.Code.STORAGE);
            assertThat(refusal).hasMessageContaining("Is the disk full?").hasMessageContaining("is not in it");
            assertThat(ledger.list("k")).hasSize(fit);
            String absent = "k/" + fit;

            assertThat(Objects.requireNonNull(catchThrowableOfType(
                                    LedgerException.class, () -> ledger.transact(List.of(new Put(absent, value)))))
                            .code())
                    .isEqualTo(LedgerException.Code.STORAGE);
            // A small one still fits into the rest of the last page.
            assertThat(ledger.transact(List.of(new Put("small", new byte[1])))).isEqualTo(new Outcome.Done());
            assertThat(ledger.read("small")).isPresent();
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.list("k")).hasSize(fit);
            assertThat(ledger.read("small")).isPresent();
        }
    }

    @Test
    void aCompactionThatFindsNoRoomFailsNoTransaction() throws IOException {
        byte[] value = new byte[1000];
        // The ballast leaves room for the log of all transactions, and at the time of compaction less than the entries
        // need again.
        try (Ledger ledger = EmbeddedLedger.open(folder, Environment.system(), RealDisk.INSTANCE, 30_000)) {
            for (int i = 0; i < 10; i++) {
                ledger.transact(List.of(new Put("k/" + i, value)));
            }
            Path ballast = Files.write(folder.resolve("ballast"), new byte[18 * 4096]);
            for (int i = 0; i < 38; i++) {
                assertThat(ledger.transact(List.of(new Put("k/" + i % 10, value))))
                        .isEqualTo(new Outcome.Done());
            }
            assertThat(folder.resolve("ledger.log.new")).doesNotExist();
            assertThat(Files.size(folder.resolve("ledger.log"))).isGreaterThan(45_000);

            Files.delete(ballast);
            for (int i = 0; i < 40; i++) {
                assertThat(ledger.transact(List.of(new Put("k/" + i % 10, value))))
                        .isEqualTo(new Outcome.Done());
            }
            assertThat(Files.size(folder.resolve("ledger.log"))).isLessThan(60_000);
            ledger.transact(List.of(new Delete("k/0")));
            assertThat(ledger.list("k")).hasSize(9);
        }
        try (Ledger ledger = open()) {
            assertThat(ledger.list("k")).hasSize(9);
        }
    }

    private Ledger open() {
        return EmbeddedLedger.open(folder, Environment.system());
    }

    private static boolean run(String... command) throws IOException, InterruptedException {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            return process.waitFor(20, TimeUnit.SECONDS) && process.exitValue() == 0;
        } catch (IOException noSuchCommand) {
            return false;
        }
    }
}
