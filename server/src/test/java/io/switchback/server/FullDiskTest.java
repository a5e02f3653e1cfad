package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** Disks that are really full: a release stops and says what to do, and clients are served all the time. */
final class FullDiskTest {
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    @Test
    void aBackupThatWouldHaveNoRoomIsSaidBeforeAnythingIsCopied() {
        try (SmallDisk _ = SmallDisk.mount(folder.resolve("data/backups"), 256);
                TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            ReleaseStatus failed = fleets.awaitStatus(RELEASE, Status.FAILED);
            assertThat(failed.step()).isEqualTo(Step.BACKUP);
            assertThat(failed.detail()).contains("make room, or move the node's data folder");
            nothingHasChanged(fleets);
            assertThat(fleets.blue.info("stats", "sync_full")).isEqualTo("0");
        }
    }

    @Test
    void aDiskThatFillsWhileTheBackupIsWrittenEndsTheReleaseAndLeavesTheTrafficAlone() {
        ServerBinary server = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (SmallDisk disk = SmallDisk.mount(folder.resolve("data/backups"), 16 * 1024);
                TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            OrdersTest.slowCopy(fleets.blue);
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.await(
                    RELEASE,
                    "copying",
                    now -> now.step() == Step.MIGRATE
                            && now.caches().getFirst().link().equals("copying"));
            disk.fill();
            ReleaseStatus failed = fleets.awaitStatus(RELEASE, Status.FAILED);
            assertThat(failed.step()).isEqualTo(Step.MIGRATE);
            assertThat(failed.detail())
                    .contains("the backup cannot be written")
                    .contains("No space left")
                    .contains("make room");
            nothingHasChanged(fleets);
        }
    }

    @Test
    void aLedgerWhoseDiskIsFullJustBeforeTheDecisionHoldsNobodyAndLeavesNobodyReadOnly() {
        aSwitchOnAFullDisk(true);
    }

    @Test
    void aLedgerWhoseDiskIsFullJustAfterTheDecisionHoldsNobodyAndLeavesNobodyReadOnly() {
        aSwitchOnAFullDisk(false);
    }

    private void aSwitchOnAFullDisk(boolean before) {
        try (SmallDisk disk = SmallDisk.mount(folder.resolve("data"), 32 * 1024);
                TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            AtomicBoolean filled = new AtomicBoolean();
            fleets.startNode(ledger -> new FullAtTheDecision(ledger, disk, before, filled));
            LoadHistory history;
            try (Load load = Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                    .withClients(4)
                    .withOperationsPerSecond(400)
                    .withKeys(200))) {
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
                fleets.await(
                        RELEASE,
                        "the disk to be full and the release to say so",
                        now -> filled.get() && now.detail().contains("Is the disk full?"));
                load.awaitAnswers(400, TwoFleets.STEP_LIMIT);
                RealServer inUse = before ? fleets.blue : fleets.green;
                assertThat(inUse.info("replication", "role")).isEqualTo("master");
                assertThat(fleets.status(RELEASE).detail()).contains("Is the disk full?");

                disk.empty();
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(100, TwoFleets.STEP_LIMIT);
                history = load.stop();
            }
            assertThat(history.total().errors()).isZero();
            assertThat(history.total().reconnects()).isZero();
            try (Jedis client = fleets.client()) {
                CheckReport check = HistoryChecker.check(history, client);
                assertThat(check.clean()).as("%s", check).isTrue();
            }
        }
    }

    @Test
    void aLedgerThatHadNoRoomForWhereTheLinkBeginsDoesNotKeepTheReleaseWaitingForEver() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            AtomicBoolean refused = new AtomicBoolean();
            fleets.startNode(ledger -> new FullForTheFirstBase(ledger, refused));
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
                fleets.awaitObserving(RELEASE);
                assertThat(refused).isTrue();
                assertThat(client.get("before")).isEqualTo("1");
            }
        }
    }

    /** L9: it needs no ledger to serve; for a release it registers once there is room. */
    @Test
    void aNodeThatStartsOnAFullDiskServes() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.stopNode();
            AtomicBoolean full = new AtomicBoolean(true);
            fleets.startNode(ledger -> new FullForMembers(ledger, full));
            try (Jedis client = fleets.client()) {
                assertThat(client.incr("served")).isEqualTo(1);
                full.set(false);
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
                fleets.awaitObserving(RELEASE);
                assertThat(client.incr("served")).isEqualTo(2);
            }
        }
    }

    private static void nothingHasChanged(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            assertThat(client.incr("served")).isEqualTo(1);
        }
        assertThat(fleets.blue.text("GET", "served")).isEqualTo("1");
        assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
        assertThat(fleets.green.info("replication", "role")).isEqualTo("master");
        assertThat(String.valueOf(fleets.green.call("CONFIG", "GET", "masterauth")))
                .isEqualTo("[masterauth, ]");
    }

    /** A ledger whose disk fills up once: between the fence and the word of commit, or between that and what follows. */
    private record FullAtTheDecision(Ledger ledger, SmallDisk disk, boolean before, AtomicBoolean filled)
            implements ForwardingLedger {
        @Override
        public Outcome transact(List<Operation> operations) {
            boolean commit = operations.size() > 1
                    && operations.stream().anyMatch(one -> one.path().startsWith("decisions/"));
            boolean fill = commit && filled.compareAndSet(false, true);
            if (fill && before) {
                fill();
            }
            Outcome outcome = ledger.transact(operations);
            if (fill && !before) {
                fill();
            }
            return outcome;
        }

        private void fill() {
            disk.fill();
            fillTheLastPage();
        }

        /** What is left of the log's last page would take a short decision. */
        private void fillTheLastPage() {
            try {
                while (true) {
                    ledger.transact(List.of(new Operation.Put("test/ballast", new byte[1])));
                }
            } catch (LedgerException full) {
                assertThat(full.code()).isEqualTo(LedgerException.Code.STORAGE);
            }
        }
    }

    /** A ledger that has no room just once: when the copy is complete and the link's base is to be remembered. */
    private record FullForTheFirstBase(Ledger ledger, AtomicBoolean refused) implements ForwardingLedger {
        @Override
        public Outcome transact(List<Operation> operations) {
            boolean base = operations.stream()
                    .anyMatch(one -> one instanceof Operation.Put put
                            && one.path().contains("/caches/")
                            && new String(put.value(), UTF_8).contains("\"base\":{"));
            if (base && refused.compareAndSet(false, true)) {
                throw new LedgerException(LedgerException.Code.STORAGE, "no room, once");
            }
            return ledger.transact(operations);
        }
    }

    /** A ledger without room for who is registered, as long as it is said to be full. */
    private record FullForMembers(Ledger ledger, AtomicBoolean full) implements ForwardingLedger {
        @Override
        public Outcome transact(List<Operation> operations) {
            if (full.get() && operations.stream().anyMatch(one -> one.path().equals("members"))) {
                throw new LedgerException(LedgerException.Code.STORAGE, "no room; Is the disk full?");
            }
            return ledger.transact(operations);
        }
    }
}
