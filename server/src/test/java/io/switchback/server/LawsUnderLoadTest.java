package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.MemoryCounts;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * The laws, held against switches forward and back under load: many real clients write unique values and read them again, and
 * every acknowledged write is looked up afterwards. Nothing lost or twice (L1), no error and no closed connection (L2), own
 * writes read (L4), no second copy (L6).
 */
final class LawsUnderLoadTest {
    private static final int ROUNDS = 3;
    private static final int LARGE_BYTES = 4 * 1024 * 1024;
    /** Between two large values, lest the backlog turns over before a way back is open. */
    private static final Duration LARGE_EVERY = Duration.ofMillis(10);

    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(30);

    @TempDir
    private Path folder;

    @Test
    void noSwitchLosesRepeatsOrReordersAWriteAndNoClientSeesMoreThanAPause() {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
        thereAndBackUnderLoad(old, fresh, "");
    }

    @Test
    void theSameHoldsWhereAcknowledgedWritesMustBeOnBothFleets() {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
        thereAndBackUnderLoad(old, fresh, "protect: sync");
    }

    @Test
    void theSameHoldsWhereTheStreamIsTranslatedAndTheServerCutsItsReplicas() {
        ServerBinary old = ServerBinary.named("redis-6.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        thereAndBackUnderLoad(old, fresh, "");
    }

    @Test
    void theSameHoldsWhereReadsMayBeAnsweredFromMemory() {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
        MemoryCounts counts = thereAndBackUnderLoad(old, fresh, "", "memory: { max-mib: 8, max-age: 1m }");
        assertThat(counts.hits()).as("reads from memory").isGreaterThan(100);
    }

    private void thereAndBackUnderLoad(ServerBinary old, ServerBinary fresh, String more) {
        assertThat(thereAndBackUnderLoad(old, fresh, more, "").misses()).isZero();
    }

    private MemoryCounts thereAndBackUnderLoad(ServerBinary old, ServerBinary fresh, String more, String ofCache) {
        try (TwoFleets fleets = TwoFleets.start(old, fresh, folder)) {
            fleets.writeNodeFile(0, ofCache);
            fleets.startNode();
            LoadHistory history;
            ReleaseStatus last;
            try (Load load = Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                    .withClients(16)
                    .withOperationsPerSecond(3_000)
                    .withKeys(2_000)
                    .withDatabases(0, 3)
                    .withPreload(true))) {
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\n" + more));
                for (int round = 1; round <= ROUNDS; round++) {
                    fleets.awaitObserving("r");
                    load.awaitAnswers(2_000, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.ROLLBACK);
                    fleets.awaitStatus("r", Status.ROLLED_BACK);
                    load.awaitAnswers(2_000, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.RESUME);
                }
                last = fleets.awaitObserving("r");
                load.awaitAnswers(2_000, SOME_TRAFFIC);
                history = load.stop();
            }
            CheckReport check;
            try (Jedis client = new Jedis("127.0.0.1", fleets.port(), 30_000)) {
                check = HistoryChecker.check(history, client);
            }
            nobodyNoticed(check, history, last, 2 * ROUNDS + 1);
            assertThat(fleets.blue.info("stats", "sync_full")).isEqualTo("1");
            assertThat(fleets.green.info("stats", "sync_full")).isEqualTo("0");
            theFollowerHasEverythingToo(fleets, history);
            return fleets.node().proxy(TwoFleets.CACHE).memoryCounts();
        }
    }

    /** Values so large that the link is behind whenever the hold begins: what was acknowledged last is still on its way. */
    @Test
    void aSwitchWaitsForWhatTheLinkHasNotPassedYet() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
        try (TwoFleets fleets = TwoFleets.start(old, fresh, folder)) {
            fleets.startNode();
            AtomicBoolean stop = new AtomicBoolean();
            int port = fleets.port();
            FutureTask<Integer> writing = new FutureTask<>(() -> writeLargeValues(port, stop));
            Thread writer = Thread.ofVirtual().start(writing);
            try {
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }\noutage: 10m"));
                for (int round = 1; round <= ROUNDS; round++) {
                    fleets.awaitObserving("r");
                    fleets.order("r", Order.Kind.ROLLBACK);
                    fleets.awaitStatus("r", Status.ROLLED_BACK);
                    fleets.order("r", Order.Kind.RESUME);
                }
                fleets.awaitObserving("r");
            } finally {
                stop.set(true);
                writer.join();
            }
            assertThat(writing.get()).as("values written, each read again").isGreaterThan(10 * ROUNDS);
        }
    }

    /** Writes one value after the other, and after each sees that it is there; returns how many. */
    private static int writeLargeValues(int port, AtomicBoolean stop) {
        byte[] value = new byte[LARGE_BYTES];
        Arrays.fill(value, (byte) 'x');
        byte[] key = "large".getBytes(UTF_8);
        int written = 0;
        try (Jedis client = new Jedis("127.0.0.1", port, 30_000)) {
            while (!stop.get()) {
                byte[] number = String.format("%09d", written + 1).getBytes(UTF_8);
                System.arraycopy(number, 0, value, 0, number.length);
                client.set(key, value);
                written++;
                assertThat(client.getrange(key, 0, number.length - 1))
                        .as("the value that was acknowledged last")
                        .isEqualTo(number);
                LockSupport.parkNanos(LARGE_EVERY.toNanos());
            }
        }
        return written;
    }

    /** Nothing lost, nothing twice (L1); no error and no connection that was closed (L2); through so many switches. */
    static void nobodyNoticed(CheckReport check, LoadHistory history, ReleaseStatus last, int switches) {
        assertThat(check.clean()).as("%s; %s", check, last.switches()).isTrue();
        assertThat(check.checked()).isGreaterThan(5_000);
        assertThat(history.total().errors())
                .as("errors that clients saw; %s", last.switches())
                .isZero();
        assertThat(history.total().reconnects())
                .as("connections that clients lost")
                .isZero();
        assertThat(last.switches().stream().filter(one -> one.verdict().equals("commit")))
                .hasSize(switches);
    }

    /** L6: what the new fleet acknowledged is on the old one as well, without being asked for. */
    private static void theFollowerHasEverythingToo(TwoFleets fleets, LoadHistory history) {
        fleets.await(
                "r",
                "the old fleet to have everything",
                now -> now.caches().getFirst().lagBytes() == 0);
        try (Jedis follower = fleets.blue.client()) {
            CheckReport check = HistoryChecker.check(history, follower);
            assertThat(check.clean()).as("on the follower: %s", check).isTrue();
        }
    }

    /** L9: without a release a node needs no ledger to serve. */
    @Test
    void aNodeWithoutAReleaseServesWhenItsLedgerIsGone() throws IOException {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            deleteTree(folder.resolve("data"));
            try (Jedis client = new Jedis("127.0.0.1", fleets.port())) {
                for (int i = 0; i < 100; i++) {
                    assertThat(client.incr("served")).isEqualTo(i + 1);
                }
            }
        }
    }

    /** A release whose target does not answer, or is the wrong one, changes nothing. */
    @Test
    void aCheckThatFailsSaysWhyAndChangesNothing() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.green.call("SET", "somebody", "else's");
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ""));
            ReleaseStatus failed = fleets.awaitStatus("r", Status.FAILED);
            assertThat(failed.detail()).contains("holds keys already").contains("overwrite-target");
            assertThat(fleets.green.text("GET", "somebody")).isEqualTo("else's");
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");

            fleets.green.kill();
            fleets.begin(TwoFleets.release("again", ""));
            assertThat(fleets.awaitStatus("again", Status.FAILED).detail()).contains("cannot be reached");
            assertThat(String.valueOf(fleets.blue.call("CONFIG", "GET", "masterauth")))
                    .isEqualTo("[masterauth, ]");
        }
    }

    /** A second release on a cache that has one is refused with the first one's name. */
    @Test
    void aSecondReleaseOfTheSameCacheIsRefusedByTheNameOfTheFirst() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("first", ""));
            org.assertj.core.api.Assertions.assertThatThrownBy(() -> fleets.begin(TwoFleets.release("second", "")))
                    .hasMessageContaining("first")
                    .hasMessageContaining("sessions");
            fleets.order("first", Order.Kind.ABORT);
            fleets.awaitStatus("first", Status.ABORTED);
            assertThat(fleets.green.info("replication", "role")).isEqualTo("master");
        }
    }

    private static void deleteTree(Path tree) throws IOException {
        try (Stream<Path> files = Files.walk(tree)) {
            List<Path> deepestFirst = files.sorted(Comparator.reverseOrder()).toList();
            for (Path file : deepestFirst) {
                Files.delete(file);
            }
        }
    }
}
