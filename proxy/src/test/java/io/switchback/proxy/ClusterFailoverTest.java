package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Primaries of a cluster that change or die. */
class ClusterFailoverTest {
    private static final int CLIENTS = 4;

    private RealCluster cluster;
    private CacheProxy proxy;
    private FleetWatch watch;

    @BeforeEach
    void start(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 1);
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
    }

    @AfterEach
    void stop() {
        watch.close();
        proxy.close();
        cluster.close();
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    /** The primary waits for its replica: nothing acknowledged is lost, and nobody hears of it. */
    @Test
    void aReplicaTakesItsPrimarysPlaceUnderLoad() throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        List<String> failures = new CopyOnWriteArrayList<>();
        Map<String, Long> counts = new ConcurrentHashMap<>();
        List<Thread> threads = new ArrayList<>();
        List<String> keys = cluster.nodes().stream()
                .limit(3)
                .map(node -> cluster.keyOn(node, "n"))
                .toList();
        for (int i = 0; i < CLIENTS; i++) {
            int id = i;
            threads.add(Thread.ofPlatform().start(() -> count(id, keys, stop, failures, counts)));
        }
        try {
            for (String key : keys) {
                RealServer primary = cluster.primaryOf(RealCluster.slotOf(key));
                cluster.failover(cluster.replicasOf(primary).getFirst());
            }
        } finally {
            stop.set(true);
            for (Thread thread : threads) {
                thread.join();
            }
        }
        assertThat(failures).isEmpty();
        assertThat(counts).hasSize(CLIENTS * keys.size());
        try (RawClient client = client()) {
            counts.forEach((key, count) -> assertThat(client.text("GET", key)).isEqualTo("" + count));
        }
    }

    private void count(int id, List<String> keys, AtomicBoolean stop, List<String> failures, Map<String, Long> counts) {
        try (RawClient client = client()) {
            long n = 0;
            while (!stop.get() && failures.isEmpty()) {
                n++;
                for (String key : keys) {
                    client.send("INCR", "{" + key + "}" + id);
                    client.send("GET", "{" + key + "}" + id);
                }
                for (String key : keys) {
                    String incremented = client.reply().text();
                    String read = client.reply().text();
                    if (!incremented.equals("" + n) || !read.equals("" + n)) {
                        failures.add(key + " should be " + n + " and is " + incremented + ", " + read);
                    }
                }
            }
            for (String key : keys) {
                counts.put("{" + key + "}" + id, n);
            }
        } catch (RuntimeException e) {
            failures.add(e.toString());
        }
    }

    /** A primary that hands over ends its subscriptions; they are begun anew at its successor. With one that dies messages may be lost, and its subscribers are told by their end. */
    @Test
    void shardChannelsFollowTheirPrimaryAndEndWithOneThatDies() {
        List<String> channels = cluster.nodes().stream()
                .limit(3)
                .map(node -> cluster.keyOn(node, "c"))
                .toList();
        try (RawClient client = client();
                RawClient other = client()) {
            channels.forEach(channel -> client.text("SSUBSCRIBE", channel));
            RealServer former = cluster.primaryOf(RealCluster.slotOf(channels.getFirst()));
            RealServer successor = cluster.replicasOf(former).getFirst();
            cluster.failover(successor);
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is subscribed at the successor",
                    () -> String.valueOf(successor.call("PUBSUB", "SHARDCHANNELS"))
                            .contains(channels.getFirst()));
            for (String channel : channels) {
                other.text("SPUBLISH", channel, "x");
                assertThat(client.reply().text()).isEqualTo("[smessage, " + channel + ", x]");
            }
            assertThat(client.hasReplyWithin(50)).isFalse();
            successor.kill();
            assertThat(client.readToEnd()).isEmpty();
        }
    }

    @Test
    void readsAndWritesFindTheSuccessorOfADeadPrimary() {
        String key = cluster.keyOn(cluster.nodes().getFirst(), "k");
        int slot = RealCluster.slotOf(key);
        try (RawClient client = client()) {
            client.text("SET", key, "1");
            cluster.nodes().getFirst().call("WAIT", "1", "10000");
            RealServer killed = cluster.primaryOf(slot);
            killed.kill();
            cluster.awaitSuccessor(slot, killed);
            assertThat(client.text("GET", key)).isEqualTo("1");
            assertThat(client.text("INCR", key)).isEqualTo("2");
            client.text("MULTI");
            client.text("INCR", key);
            assertThat(client.text("EXEC")).isEqualTo("[3]");
        }
    }

    /** The pieces for one server are sent together, and lost together; that of the other one has been answered. */
    @Test
    void aSplitWriteOfWhichSomePiecesAreLostIsNotSentAgain() {
        RealServer dying = cluster.nodes().get(0);
        String lost = cluster.keyOn(dying, "lost");
        String alsoLost = cluster.keyOn(dying, "also");
        String kept = cluster.keyOn(cluster.nodes().get(1), "kept");
        int slot = RealCluster.slotOf(lost);
        try (RawClient client = client()) {
            assertThat(client.text("MSET", lost, "1", kept, "1", alsoLost, "1")).isEqualTo("OK");
            dying.call("WAIT", "1", "10000");
            dying.stop();
            client.send("MSET", lost, "2", kept, "2", alsoLost, "2");
            Await.until(
                    Duration.ofSeconds(20),
                    "the other server has its piece",
                    () -> "2".equals(cluster.nodes().get(1).call("GET", kept)));
            dying.kill();
            assertThat(client.reply().text())
                    .contains("the connection to fleet blue")
                    .contains("may or may not have run");
            cluster.awaitSuccessor(slot, dying);
            assertThat(client.text("MGET", lost, kept, alsoLost)).isEqualTo("[1, 2, 1]");
        }
    }

    /** Without a successor the cluster says that it is down: for as long as that is waited for, and then so it is told. */
    @Test
    void aClusterThatIsDownIsSaidToBeDown() {
        RealServer dead = cluster.nodes().getFirst();
        String gone = cluster.keyOn(dead, "k");
        String there = cluster.keyOn(cluster.nodes().get(1), "k");
        RealServer replica = cluster.replicasOf(dead).getFirst();
        try (RawClient client = client()) {
            client.text("SET", there, "1");
            replica.kill();
            dead.kill();
            Await.until(
                    ClusterFixture.LIMIT,
                    "the cluster is down",
                    () -> String.valueOf(cluster.nodes().get(1).call("CLUSTER", "INFO"))
                            .contains("cluster_state:fail"));
            assertThat(client.text("SET", there, "2")).startsWith("-CLUSTERDOWN");
            assertThat(client.text("SET", gone, "2")).startsWith("-");
            assertThat(client.text("PING")).isEqualTo("PONG");
        }
        assertThat(proxy.load().limitsReached().get(Limit.REDIRECTIONS)).isPositive();
    }
}
