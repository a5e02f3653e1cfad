package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.JournalEntry;
import io.switchback.release.LinkKind;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.ReleaseStatus.CacheStatus;
import io.switchback.release.ReleaseStatus.WayBack;
import io.switchback.release.Step;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisException;

/** L6 where the fleets themselves change while a release is open: a way back that closes is opened again by itself, and nobody is led to a fleet that is not whole. */
final class ChangingFleetsTest {
    private static final String RELEASE = "r";
    private static final String PATIENT = "hold: { limit: 5s }";
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(30);
    private static final int KEYS = 2_000;

    @TempDir
    private Path folder;

    private static ServerBinary binary(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    private SomeFleet.ClusterFleet cluster(String version, String name, int primaries, int replicas) {
        return SomeFleet.cluster(binary(version), folder.resolve(name), primaries, replicas);
    }

    private static Load load(TwoFleets fleets) {
        return Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                .withClients(4)
                .withOperationsPerSecond(1_000)
                .withKeys(KEYS)
                .withPreload(true));
    }

    @Test
    void slotsOfEitherFleetMoveAndAShardComesWhileTheOtherOneFollows() {
        try (SomeFleet.ClusterFleet blue = cluster("redis-7.0", "blue", 2, 0);
                SomeFleet.ClusterFleet green = cluster("valkey-9.1", "green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            LoadHistory history;
            try (Load load = load(fleets)) {
                fleets.begin(TwoFleets.release(RELEASE, PATIENT));
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(1_000, SOME_TRAFFIC);

                RealServer third = green.cluster().addPrimary();
                move(green.cluster(), third, 7, 8, 8_192, 16_000);
                awaitWayBack(fleets, WayBack.CLOSED);
                awaitWayBack(fleets, WayBack.OPEN);
                demandHiddenKeys(fleets);
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
                load.awaitAnswers(1_000, SOME_TRAFFIC);

                move(blue.cluster(), blue.cluster().primaryOf(0), 9_000, 9_001);
                awaitLink(fleets, "broken");
                awaitLink(fleets, "streaming");
                demandHiddenKeys(fleets);
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                history = load.stop();
            }
            demandAllThere(fleets, history);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandAllThere(fleets, history);
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            assertThat(reserved(blue)).isEmpty();
            assertThat(reserved(green)).isEmpty();
        }
    }

    @Test
    void slotsOfTheOldFleetMoveDuringTheCopyAndBehindItAndTheReleaseBeginsWithTheCopyAgain() {
        try (SomeFleet.ClusterFleet blue = cluster("valkey-9.1", "blue", 2, 0);
                SomeFleet green = SomeFleet.single(binary("redis-7.0"), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            String large = "x".repeat(100_000);
            try (Jedis client = fleets.client()) {
                for (int i = 0; i < 60; i++) {
                    client.set("large:" + i, large);
                }
            }
            LoadHistory history;
            try (Load load = load(fleets)) {
                fleets.begin(TwoFleets.release(RELEASE, PATIENT + "\ncopy: { mib-per-second: 1 }"));
                awaitLink(fleets, "copying");
                move(blue.cluster(), blue.cluster().primaryOf(0), 9_000, 9_001);
                fleets.await(RELEASE, "a copy that waits", now -> now.detail().contains("waits to copy"));
                fleets.await(RELEASE, "the copy complete", now -> now.step() == Step.SYNC);
                fleets.order(RELEASE, Order.Kind.PAUSE);
                fleets.awaitStatus(RELEASE, Status.PAUSED);
                move(blue.cluster(), blue.cluster().primaryOf(16_383), 9_000);
                awaitLink(fleets, "broken");
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                history = load.stop();
            }
            assertThat(journal(fleets)).anyMatch(what -> what.contains("goes back to the copy"));
            demandAllThere(fleets, history);
            assertThat(green.primaries().getFirst().number("STRLEN", "large:59"))
                    .isEqualTo(large.length());
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            demandAllThere(fleets, history);
            assertThat(reserved(blue)).isEmpty();
            assertThat(reserved(green)).isEmpty();
        }
    }

    /** Of three orders that want to go back none leads anybody to an empty or half filled fleet. */
    @Test
    void anOldFleetThatHasLostItsDataIsFilledAgainAndNoOrderLeadsThereBefore() {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet.ClusterFleet green = cluster("valkey-9.1", "green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT));
            fleets.awaitObserving(RELEASE);
            blue.primaries().getFirst().kill();
            blue.primaries().getFirst().restart();
            CacheStatus closed = awaitWayBack(fleets, WayBack.CLOSED);
            assertThat(closed.wayBackDetail())
                    .contains("checkpoint is gone")
                    .contains("no rollback goes there")
                    .doesNotContain("--accept-loss");
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.await(RELEASE, "the order waiting", now -> now.detail().contains("waits for the way back"));
            assertThat(fleets.status(RELEASE).side()).isEqualTo(Side.NEW);
            demandFilled(fleets);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
            assertThat(blue.primaries().getFirst().text("GET", "key:0")).isEqualTo("value:0");
        }
    }

    /** No link has left a mark there yet. */
    @Test
    void anOldFleetThatLosesItsDataBeforeTheWayBackHasBegunIsNotTakenForWhole() {
        try (SomeFleet blue = SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.single(binary("redis-7.0"), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            AtomicBoolean lost = new AtomicBoolean();
            fleets.startNode(ledger -> new WayBackClosesTest.AfterTheDecision(ledger, () -> {
                if (lost.compareAndSet(false, true)) {
                    blue.primaries().getFirst().kill();
                    blue.primaries().getFirst().restart();
                }
            }));
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT));
            assertThat(awaitWayBack(fleets, WayBack.CLOSED).wayBackDetail()).contains("no rollback goes there");
            fleets.awaitObserving(RELEASE);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    /** By its append-only file. Links go on where they can, or copy again; whichever it is, the way back leads to all of it. */
    @Test
    void serversThatAreStartedAgainWithTheirDataLeaveAWayBackToAllOfIt() {
        String[] keepsAll = {"--appendonly", "yes", "--appendfsync", "always"};
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"), keepsAll);
                SomeFleet green = SomeFleet.single(binary("valkey-9.1"), folder.resolve("green"), keepsAll);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT + "\nfleet-loss: { then: wait }"));
            fleets.awaitObserving(RELEASE);
            int number = 0;
            for (SomeFleet fleet :
                    List.of(blue, green, blue)) { // where links write, where they read, and where they write
                RealServer server = fleet.primaries().getFirst();
                server.kill();
                server.restart();
                String key = "since:" + number++;
                Await.until(TwoFleets.STEP_LIMIT, "clients are served again", () -> {
                    try (Jedis client = fleets.client()) {
                        return "OK".equals(client.set(key, "v"));
                    } catch (JedisException e) {
                        return false;
                    }
                });
                if (fleet.equals(green)) {
                    theWordIsGiven(fleets); // that all of it is there, the server cannot prove
                }
                awaitWayBack(fleets, WayBack.OPEN);
            }
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
            for (int i = 0; i < number; i++) {
                assertThat(blue.primaries().getFirst().text("GET", "since:" + i))
                        .isEqualTo("v");
            }
        }
    }

    @Test
    void aFleetInUseThatHasLostItsDataIsNotCopiedOverTheOneThatHasThem() {
        try (SomeFleet blue = SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.single(binary("redis-7.0"), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT + "\nfleet-loss: { then: wait }"));
            fleets.awaitObserving(RELEASE);
            green.primaries().getFirst().kill();
            green.primaries().getFirst().restart();
            ReleaseStatus kept = fleets.await(
                    RELEASE,
                    "the old fleet's data kept",
                    now -> now.caches().getFirst().wayBackDetail().contains("seems to have lost its data"));
            assertThat(kept.caches().getFirst().wayBack()).isEqualTo(WayBack.CLOSED);
            assertThat(blue.primaries().getFirst().text("GET", "key:7")).isEqualTo("value:7");
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    /** What the link had been sent, and the next primary never was: the new fleet has lost it, and both are equal again. */
    @Test
    void aPrimaryOfTheFleetInUseDiesBeforeItsReplicaHasAll() {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet.ClusterFleet green = cluster("valkey-9.1", "green", 3, 1);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT));
            fleets.awaitObserving(RELEASE);
            RealServer first = green.cluster().primaryOf(0);
            RealServer replica = green.cluster().replicasOf(first).getFirst();
            String key = green.cluster().keyOn(first, "unreplicated:");
            replica.stop();
            first.call("CLIENT", "KILL", "TYPE", "replica"); // what is sent from here on is not even in its socket
            first.call("SET", key, "x");
            Await.until(
                    SOME_TRAFFIC,
                    "the old fleet to have it",
                    () -> blue.primaries().getFirst().number("EXISTS", key) == 1);
            first.kill();
            replica.resume();
            green.cluster().awaitSuccessor(0, first);
            awaitWayBack(fleets, WayBack.CLOSED);
            awaitWayBack(fleets, WayBack.OPEN);
            assertThat(blue.primaries().getFirst().number("EXISTS", key)).isZero();
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    @Test
    void aNodeThatIsKilledWhileItFillsTheOldFleetAgainIsFollowedByOneThatDoes() {
        try (SomeFleet blue = SomeFleet.single(binary("valkey-9.1"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.single(binary("redis-7.0"), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            Path nodeFile = folder.resolve("node.yaml");
            try (ServingNode first =
                    ServingNode.start(nodeFile, TwoFleets.release(RELEASE, PATIENT + "\nfleet-loss: { then: wait }"))) {
                try (Jedis client = new Jedis("127.0.0.1", first.port())) {
                    fill(client);
                }
                first.begin();
                first.awaitSaid("at OBSERVE on NEW, way back OPEN,");
                green.primaries().getFirst().call("CONFIG", "SET", "rdb-key-save-delay", "10000");
                blue.primaries().getFirst().kill();
                blue.primaries().getFirst().restart();
                first.awaitSaid("way back COPYING");
                first.kill();
            }
            green.primaries().getFirst().call("CONFIG", "SET", "rdb-key-save-delay", "0");
            fleets.startNode();
            assertThat(fleets.status(RELEASE).caches().getFirst().wayBack()).isNotEqualTo(WayBack.OPEN);
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.await(RELEASE, "the order waiting", now -> now.detail().contains("no rollback goes there"));
            demandFilled(fleets);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
            assertThat(blue.primaries().getFirst().text("GET", "key:0")).isEqualTo("value:0");
        }
    }

    @Test
    void primariesUnderSentinelsChangeOnBothSidesWhereLinksApply() {
        primariesUnderSentinelsChangeOnBothSides(
                SomeFleet.watched(binary("redis-7.0"), folder.resolve("blue")),
                SomeFleet.watched(binary("valkey-9.1"), folder.resolve("green")),
                LinkKind.APPLY);
    }

    @Test
    void primariesUnderSentinelsChangeOnBothSidesWhereLinksScan() {
        primariesUnderSentinelsChangeOnBothSides(
                SomeFleet.managedWatched(binary("redis-7.0"), folder.resolve("blue")),
                SomeFleet.managedWatched(binary("valkey-9.1"), folder.resolve("green")),
                LinkKind.SCAN);
    }

    private void primariesUnderSentinelsChangeOnBothSides(
            SomeFleet.WatchedFleet old, SomeFleet.WatchedFleet fresh, LinkKind kind) {
        try (SomeFleet.WatchedFleet blue = old;
                SomeFleet.WatchedFleet green = fresh;
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT));
            fleets.await(RELEASE, "the copy complete", now -> now.step().compareTo(Step.MIGRATE) > 0);
            failover(blue.sentinels());
            ReleaseStatus observing = fleets.awaitObserving(RELEASE);
            assertThat(Objects.requireNonNull(observing.caches().getFirst().choice())
                            .kind())
                    .isEqualTo(kind);
            LoadHistory before = someLoad(fleets);
            failover(green.sentinels());
            failover(blue.sentinels());
            awaitWayBack(fleets, WayBack.OPEN);
            LoadHistory between = someLoad(fleets);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            LoadHistory behind = someLoad(fleets);
            fleets.order(RELEASE, Order.Kind.RESUME);
            fleets.awaitObserving(RELEASE);
            demandFilled(fleets);
            demandAllThere(fleets, before);
            demandAllThere(fleets, between);
            demandAllThere(fleets, behind);
        }
    }

    private static LoadHistory someLoad(TwoFleets fleets) {
        try (Load load = load(fleets)) {
            load.awaitAnswers(1_000, SOME_TRAFFIC);
            return load.stop();
        }
    }

    /** While nobody writes, and once the replica has all: what sentinels lose else is not a release's to bring back. */
    private static void failover(RealSentinels sentinels) {
        Await.until(SOME_TRAFFIC, "the replica to have all", () -> {
            String all = sentinels.primary().info("replication", "master_repl_offset");
            return sentinels.replicas().stream()
                    .allMatch(replica -> all.equals(replica.info("replication").get("slave_repl_offset")));
        });
        sentinels.failover();
        sentinels.awaitFollowing();
    }

    @Test
    void slotsMoveBetweenClustersWhereLinksScan() {
        try (SomeFleet.ClusterFleet blue = SomeFleet.managedCluster(binary("redis-7.0"), folder.resolve("blue"), 2, 0);
                SomeFleet.ClusterFleet green =
                        SomeFleet.managedCluster(binary("valkey-9.1"), folder.resolve("green"), 3, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            LoadHistory history;
            try (Load load = load(fleets)) {
                fleets.begin(TwoFleets.release(RELEASE, PATIENT));
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                move(green.cluster(), green.cluster().primaryOf(16_383), 7, 8);
                awaitWayBack(fleets, WayBack.CLOSED);
                awaitWayBack(fleets, WayBack.OPEN);
                move(blue.cluster(), blue.cluster().primaryOf(16_383), 9); // of the target of the links
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                history = load.stop();
            }
            demandAllThere(fleets, history);
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            assertThat(reserved(blue)).isEmpty();
            assertThat(reserved(green)).isEmpty();
        }
    }

    @Test
    void aRelayThatHasFallenTooFarBehindBeforeTheCutoverCopiesAgain() {
        ServerBinary server = binary("redis-7.0");
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, PATIENT));
            fleets.await(RELEASE, "the copy complete", now -> now.step() == Step.SYNC);
            fleets.order(RELEASE, Order.Kind.PAUSE);
            fleets.awaitStatus(RELEASE, Status.PAUSED);
            fleets.blue.call("CONFIG", "SET", "repl-backlog-size", "16384");
            fleets.green.stop();
            try (Jedis client = fleets.client()) {
                fleets.blue.call("CLIENT", "KILL", "TYPE", "replica");
                String large = "x".repeat(10_000);
                for (int i = 0; i < 300; i++) {
                    client.set("missed:" + i, large);
                }
            } finally {
                fleets.green.resume();
            }
            awaitLink(fleets, "broken");
            fleets.order(RELEASE, Order.Kind.RESUME);
            fleets.awaitObserving(RELEASE);
            assertThat(journal(fleets)).anyMatch(what -> what.contains("goes back to the copy"));
            demandFilled(fleets);
            assertThat(fleets.green.number("EXISTS", "missed:299")).isEqualTo(1);
        }
    }

    // ---- what the tests have in common

    private static void theWordIsGiven(TwoFleets fleets) {
        fleets.await(
                RELEASE,
                "a person asked",
                now -> now.caches()
                        .getFirst()
                        .wayBackDetail()
                        .contains("may have lost what fleet blue still has: say pause"));
        fleets.order(RELEASE, Order.Kind.PAUSE);
        fleets.awaitStatus(RELEASE, Status.PAUSED);
        fleets.order(RELEASE, Order.Kind.RESUME);
    }

    private static void move(RealCluster cluster, RealServer to, int... slots) {
        IntStream.of(slots).forEach(slot -> cluster.moveSlot(slot, to));
    }

    private static CacheStatus awaitWayBack(TwoFleets fleets, WayBack wanted) {
        return fleets.await(
                        RELEASE,
                        "the way back " + wanted,
                        now -> now.caches().getFirst().wayBack() == wanted)
                .caches()
                .getFirst();
    }

    private static void awaitLink(TwoFleets fleets, String phase) {
        fleets.await(
                RELEASE,
                "the links " + phase,
                now -> now.caches().getFirst().link().equals(phase));
    }

    private static List<String> journal(TwoFleets fleets) {
        return fleets.node().releases().journal(RELEASE).stream()
                .map(JournalEntry::what)
                .toList();
    }

    private static void demandAllThere(TwoFleets fleets, LoadHistory history) {
        try (Jedis client = fleets.client()) {
            CheckReport check = HistoryChecker.check(history, client);
            assertThat(check.clean()).as("%s", check).isTrue();
            assertThat(check.checked()).isGreaterThan(KEYS / 4);
        }
    }

    private static void fill(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            fill(client);
        }
    }

    private static void fill(Jedis client) {
        for (int i = 0; i < KEYS; i++) {
            client.set("key:" + i, "value:" + i);
        }
    }

    private static void demandFilled(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            for (int i = 0; i < KEYS; i++) {
                assertThat(client.get("key:" + i)).isEqualTo("value:" + i);
            }
        }
    }

    /** Clients see none of the links' keys, whatever the shards that these are named by: DBSIZE counts what KEYS lists. */
    private static void demandHiddenKeys(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            Await.until(SOME_TRAFFIC, "DBSIZE to count what KEYS lists", () -> {
                Set<String> before = client.keys("*");
                long counted = client.dbSize();
                return before.stream().noneMatch(key -> key.startsWith("switchback:reserved:"))
                        && before.size() == counted
                        && before.size() == client.keys("*").size();
            });
        }
    }

    private static Set<String> reserved(SomeFleet fleet) {
        Set<String> left = new TreeSet<>();
        for (RealServer primary : fleet.primaries()) {
            try (Jedis server = primary.client()) {
                left.addAll(server.keys("switchback:reserved:*"));
            }
        }
        return left;
    }
}
