package io.switchback.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.ledger.Operation.Delete;
import io.switchback.ledger.Operation.Put;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The crash question of {@link EmbeddedLedger}, asked at every operation on the disk: the process ends there, or the power is cut, or the
 * operation fails, while transactions run and logs are compacted.
 */
class LedgerCrashTest {
    private static final int TRANSACTIONS = 40;
    /** So small that a run compacts several times. */
    private static final long COMPACTION_LOG_BYTES_MIN = 400;

    @TempDir
    private Path folder;

    private int folders;

    @Test
    void aProcessThatEndsAtAnyOperationHasLostNothingThatItAcknowledged() throws IOException {
        int ended = endEverywhere(false, 3);

        assertThat(ended).isGreaterThan(3 * TRANSACTIONS * 2);
    }

    @Test
    void aPowerCutAtAnyOperationHasLostNothingThatWasAcknowledged() throws IOException {
        int ended = endEverywhere(true, 6);

        assertThat(ended).isGreaterThan(6 * TRANSACTIONS * 2);
    }

    @Test
    void anOperationThatFailsLosesNothingAndLeavesNothingBehind() throws IOException {
        for (long seed = 1; seed <= 5; seed++) {
            for (int failAt = 1; ; failAt++) {
                Run run = new Run("seed " + seed + ", failed at operation " + failAt, seed, freshFolder());
                run.disk.failAt(failAt);
                run.openAndWork();
                boolean reached = run.disk.operations() >= failAt;
                run.restartAndCheck(false);
                run.openAndWork();
                run.restartAndCheck(true);
                if (!reached) {
                    break;
                }
            }
        }
    }

    @Test
    void afterAFailedForceNothingIsTakenUntilTheLedgerIsOpenedAgain() throws IOException {
        Run run = new Run("failed force", 1, freshFolder());
        EmbeddedLedger ledger = run.open();
        ledger.transact(List.of(new Put("a", new byte[] {1})));
        // A transaction writes, then forces.
        run.disk.failAt(2);

        assertThat(codeOf(ledger, new Put("a", new byte[] {2}))).isEqualTo(LedgerException.Code.BROKEN);
        assertThat(codeOf(ledger, new Put("a", new byte[] {3}))).isEqualTo(LedgerException.Code.BROKEN);
        assertThat(ledger.read("a")).contains(new Entry("a", new byte[] {1}, 0));
        ledger.close();

        try (EmbeddedLedger again = run.open()) {
            assertThat(again.transact(List.of(new Put("b", new byte[] {1})))).isEqualTo(new Outcome.Done());
        }
    }

    private static LedgerException.Code codeOf(Ledger ledger, Operation operation) {
        try {
            ledger.transact(List.of(operation));
            throw new AssertionError("nothing was refused");
        } catch (LedgerException e) {
            return e.code();
        }
    }

    private int endEverywhere(boolean powerCut, int seeds) throws IOException {
        int ended = 0;
        for (long seed = 1; seed <= seeds; seed++) {
            for (int cutAt = 1; ; cutAt++) {
                Run run = new Run("seed " + seed + ", ended at operation " + cutAt, seed, freshFolder());
                run.disk.cutAt(cutAt);
                boolean cut = run.openAndWork();
                run.restartAndCheck(powerCut);
                // Again while it recovers from the first.
                run.disk.cutAt(1 + (int) ((seed + cutAt) % 7));
                run.openAndWork();
                run.restartAndCheck(powerCut);
                run.openAndWork();
                run.restartAndCheck(true);
                if (!cut) {
                    break;
                }
                ended++;
            }
        }
        return ended;
    }

    private Path freshFolder() throws IOException {
        return Files.createDirectory(folder.resolve("ledger-" + folders++));
    }

    /** A ledger on a simulated disk, and what must be in it. */
    private static final class Run {
        private final String name;
        private final Random random;
        private final SimulatedDisk disk;
        private final Path folder;
        /** What every reader must find; the last of them may also be the one before. */
        private Map<String, Entry> acknowledged = new TreeMap<>();
        /** What is there if the transaction on its way came through; the same where none is. */
        private Map<String, Entry> possible = acknowledged;

        Run(String name, long seed, Path folder) {
            this.name = name;
            this.random = new Random(seed);
            this.disk = new SimulatedDisk(random);
            this.folder = folder;
        }

        EmbeddedLedger open() {
            return EmbeddedLedger.open(folder, Environment.system(), disk, COMPACTION_LOG_BYTES_MIN);
        }

        /** Opens and runs transactions; whether it was cut. Failures of storage are taken as they come. */
        boolean openAndWork() {
            EmbeddedLedger ledger;
            try {
                ledger = open();
            } catch (SimulatedDisk.Cut cut) {
                return true;
            } catch (LedgerException e) {
                assertThat(e.code()).as(name).isEqualTo(LedgerException.Code.STORAGE);
                return false;
            }
            try (ledger) {
                check(ledger);
                for (int i = 0; i < TRANSACTIONS; i++) {
                    transact(ledger);
                }
                return false;
            } catch (SimulatedDisk.Cut cut) {
                return true;
            }
        }

        private void transact(EmbeddedLedger ledger) {
            Map<String, Entry> after = new TreeMap<>(acknowledged);
            List<Operation> operations = operations(after);
            possible = after;
            try {
                assertThat(ledger.transact(operations)).as(name).isEqualTo(new Outcome.Done());
                acknowledged = after;
            } catch (LedgerException e) {
                switch (e.code()) {
                    case STORAGE -> possible = acknowledged;
                    // From here on every transaction is refused, so this one stays the one in doubt.
                    case BROKEN -> {
                        workIsRefused(ledger);
                        throw new SimulatedDisk.Cut();
                    }
                    default -> throw new AssertionError(name, e);
                }
            }
            check(ledger);
        }

        private void workIsRefused(EmbeddedLedger ledger) {
            assertThat(codeOf(ledger, new Put("refused", new byte[1]))).as(name).isEqualTo(LedgerException.Code.BROKEN);
            assertThat(entries(ledger)).as(name).isEqualTo(acknowledged);
        }

        private List<Operation> operations(Map<String, Entry> after) {
            List<Operation> operations = new ArrayList<>();
            int count = 1 + random.nextInt(3);
            for (int i = 0; i < count; i++) {
                String path = "k/" + random.nextInt(6);
                Entry now = after.get(path);
                if (now != null && random.nextInt(4) == 0) {
                    operations.add(new Delete(path));
                    after.remove(path);
                } else {
                    byte[] value = new byte[random.nextInt(40)];
                    random.nextBytes(value);
                    operations.add(new Put(path, value));
                    after.put(path, new Entry(path, value, now == null ? 0 : now.version() + 1));
                }
            }
            return operations;
        }

        void restartAndCheck(boolean powerCut) {
            restart(powerCut);
            try (EmbeddedLedger ledger = open()) {
                check(ledger);
            }
            // What was read once is there whatever comes.
            disk.restartMachine();
            try (EmbeddedLedger ledger = open()) {
                check(ledger);
            }
        }

        private void restart(boolean powerCut) {
            if (powerCut) {
                disk.restartMachine();
            } else {
                disk.restartProcess();
            }
        }

        /** The transaction in doubt is there or not; from then on it is settled. */
        private void check(Ledger ledger) {
            Map<String, Entry> found = entries(ledger);
            if (!found.equals(acknowledged)) {
                assertThat(found).as(name).isEqualTo(possible);
                acknowledged = found;
            }
            possible = acknowledged;
        }

        private static Map<String, Entry> entries(Ledger ledger) {
            Map<String, Entry> entries = new TreeMap<>();
            ledger.list("k").forEach(entry -> entries.put(entry.path(), entry));
            return entries;
        }
    }
}
