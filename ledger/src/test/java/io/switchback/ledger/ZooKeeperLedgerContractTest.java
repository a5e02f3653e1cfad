package io.switchback.ledger;

import io.switchback.environment.Environment;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

/** The contract of every ledger, on one in an ensemble of three. */
class ZooKeeperLedgerContractTest extends LedgerContract {
    @TempDir
    private static Path folder;

    private static ZooKeeperEnsemble ensemble;
    private static final AtomicInteger LEDGERS = new AtomicInteger();

    @BeforeAll
    static void startEnsemble() {
        ensemble = ZooKeeperEnsemble.start(3, folder);
    }

    @AfterAll
    static void endEnsemble() {
        ensemble.close();
    }

    @Override
    protected Ledger open() {
        return ZooKeeperLedger.open(
                ensemble.connect() + "/contract/ledger-" + LEDGERS.incrementAndGet(), Environment.system());
    }
}
