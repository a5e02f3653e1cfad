package io.switchback.ledger;

import io.switchback.environment.Environment;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;

/** The contract of every ledger, on the embedded one. */
class EmbeddedLedgerContractTest extends LedgerContract {
    @TempDir
    private Path folder;

    @Override
    protected Ledger open() {
        // A log that is compacted all the time keeps the same promises.
        return EmbeddedLedger.open(folder, Environment.system(), RealDisk.INSTANCE, 2_000);
    }
}
