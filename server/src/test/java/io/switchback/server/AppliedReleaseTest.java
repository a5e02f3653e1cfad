package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.ReleaseStatus.WayBack;
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
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What happens to a release whose links apply where its fleets do not stand still, or cannot be joined. */
final class AppliedReleaseTest {
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(30);

    @TempDir
    private Path folder;

    private SomeFleet.ClusterFleet cluster(String name, int primaries, int replicas) {
        return SomeFleet.cluster(
                ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any),
                folder.resolve(name),
                primaries,
                replicas);
    }

    private SomeFleet single(String name) {
        return SomeFleet.single(ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder.resolve(name));
    }

    @Test
    void primariesOfBothFleetsMayChangeWhileTheWayBackIsOpen() {
        try (SomeFleet.ClusterFleet blue = cluster("blue", 2, 1);
                SomeFleet.ClusterFleet green = cluster("green", 2, 1);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            try (Load load = Load.start(
                    LoadSettings.on("127.0.0.1", fleets.port()).withClients(4).withOperationsPerSecond(1_000))) {
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
                fleets.awaitObserving("r");
                for (SomeFleet.ClusterFleet fleet : new SomeFleet.ClusterFleet[] {green, blue}) {
                    RealServer first = fleet.cluster().primaryOf(0);
                    fleet.cluster().failover(fleet.cluster().replicasOf(first).getFirst());
                }
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                fleets.order("r", Order.Kind.ROLLBACK);
                fleets.awaitStatus("r", Status.ROLLED_BACK);
                load.awaitAnswers(1_000, SOME_TRAFFIC);
                fleets.order("r", Order.Kind.RESUME);
                fleets.awaitObserving("r");
                LoadHistory history = load.stop();
                assertThat(counted(fleets)).as("keys that clients see").isEqualTo(listed(fleets));
                try (Jedis client = fleets.client()) {
                    CheckReport check = HistoryChecker.check(history, client);
                    assertThat(check.clean()).as("%s", check).isTrue();
                }
            }
        }
    }

    private static long counted(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            return client.dbSize();
        }
    }

    private static long listed(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            return client.keys("*").size();
        }
    }

    @Test
    void aSlotThatMovesClosesTheWayBackWhichIsSaid() {
        try (SomeFleet blue = single("blue");
                SomeFleet.ClusterFleet green = cluster("green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
            fleets.awaitObserving("r");
            green.cluster().moveSlot(7, green.cluster().nodes().get(1));
            ReleaseStatus closed = fleets.await(
                    "r", "the way back closed", now -> now.caches().getFirst().wayBack() == WayBack.CLOSED);
            assertThat(closed.caches().getFirst().wayBackDetail())
                    .contains("slot")
                    .contains("--accept-loss");
            try (Jedis client = fleets.client()) {
                client.set("after", "the move");
                fleets.rollbackAcceptingLoss("r");
                fleets.await("r", "the old fleet in use", now -> now.side() == Side.OLD);
                client.set("after", "the rollback");
                assertThat(blue.primaries().getFirst().text("GET", "after")).isEqualTo("the rollback");
            }
        }
    }

    /** An order must not open the link again as if nothing had been: it would lead everybody to an empty fleet. */
    @Test
    void anOldFleetThatHasLostItsDataIsNoWayBack() {
        try (SomeFleet blue = single("blue");
                SomeFleet.ClusterFleet green = cluster("green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
                fleets.awaitObserving("r");
                RealServer old = blue.primaries().getFirst();
                old.kill();
                old.restart();
                fleets.await(
                        "r",
                        "the way back closed",
                        now -> now.caches().getFirst().wayBack() == WayBack.CLOSED);
                fleets.order("r", Order.Kind.ROLLBACK);
                fleets.await("r", "the order heard", now -> now.detail().contains("waits for the way back"));
                fleets.order("r", Order.Kind.PAUSE);
                ReleaseStatus still = fleets.awaitStatus("r", Status.PAUSED);
                assertThat(still.side()).isEqualTo(Side.NEW);
                assertThat(still.caches().getFirst().wayBack()).isIn(WayBack.CLOSED, WayBack.COPYING);
                assertThat(still.caches().getFirst().wayBackDetail()).contains("no rollback goes there");
                assertThat(client.get("before")).isEqualTo("1");
                fleets.order("r", Order.Kind.RESUME);
                fleets.order("r", Order.Kind.FINISH);
                fleets.awaitStatus("r", Status.FINISHED);
            }
        }
    }

    @Test
    void whatCannotBeMovedIsNamedByTheCheckAndChangesNothing() {
        try (SomeFleet blue = single("blue");
                SomeFleet.ClusterFleet green = cluster("green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            RealServer server = blue.primaries().getFirst();
            try (Jedis client = server.client()) {
                client.select(3);
                client.set("key", "value");
            }
            fleets.begin(TwoFleets.release("databases", ""));
            assertThat(fleets.awaitStatus("databases", Status.FAILED).detail())
                    .contains("has keys in db3", "a cluster has database 0 alone");
            server.call("FLUSHALL");

            green.cluster().beginMove(7, green.cluster().nodes().get(1));
            fleets.begin(TwoFleets.release("moving", ""));
            assertThat(fleets.awaitStatus("moving", Status.FAILED).detail()).contains("are being moved", "7");
            assertThat(server.info("replication", "connected_slaves")).isEqualTo("0");
            assertThat(String.valueOf(server.call("CONFIG", "GET", "repl-backlog-ttl")))
                    .contains("3600");
        }
    }

    @Test
    void whatAClusterWouldRefuseIsFoundInTheTrafficBeforeClientsFindIt() throws Exception {
        try (SomeFleet blue = single("blue");
                SomeFleet.ClusterFleet green = cluster("green", 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            AtomicBoolean stop = new AtomicBoolean();
            Thread sending = Thread.ofVirtual().start(() -> {
                try (Jedis client = fleets.client()) {
                    while (!stop.get()) {
                        client.msetnx("a", "1", "b", "2");
                    }
                }
            });
            try {
                fleets.begin(TwoFleets.release("refused", ""));
                assertThat(fleets.awaitStatus("refused", Status.FAILED).detail())
                        .contains("clients of node test-1 sent MSETNX", "of several slots, such as a and b");
            } finally {
                stop.set(true);
                sending.join();
            }
            fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
            fleets.awaitObserving("r");
            fleets.order("r", Order.Kind.ROLLBACK);
            fleets.awaitStatus("r", Status.ROLLED_BACK);
            try (Jedis client = fleets.client()) {
                client.msetnx("c", "1", "d", "2");
            }
            fleets.order("r", Order.Kind.RESUME);
            assertThat(fleets.awaitStatus("r", Status.PAUSED).detail())
                    .contains("clients send what the new fleet would refuse", "MSETNX", "such as c and d");
            fleets.order("r", Order.Kind.RESUME);
            fleets.awaitObserving("r");
        }
    }

    @Test
    void aClusterThatIsNamedAsOneServerIsRefused() {
        try (SomeFleet blue = single("blue");
                SomeFleet.ClusterFleet cluster = cluster("green", 1, 0);
                TwoFleets fleets = TwoFleets.of(
                        blue.primaries().getFirst(),
                        cluster.primaries().getFirst(),
                        folder,
                        SomeFleet.nodeFile(blue, new Misnamed(cluster)))) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ""));
            assertThat(fleets.awaitStatus("r", Status.FAILED).detail())
                    .contains("is in cluster mode; name fleet green by cluster:");
        }
    }

    /** A node of a cluster, named as if it were alone. */
    private record Misnamed(SomeFleet.ClusterFleet fleet) implements SomeFleet {
        @Override
        public String yaml() {
            return "{ standalone: \"127.0.0.1:" + fleet.primaries().getFirst().port() + "\" }";
        }

        @Override
        public List<RealServer> primaries() {
            return fleet.primaries();
        }

        @Override
        public void close() {}
    }
}
