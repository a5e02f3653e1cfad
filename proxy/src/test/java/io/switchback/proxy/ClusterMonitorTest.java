package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** MONITOR in front of a cluster: the lines of all shards. */
class ClusterMonitorTest {
    private RealCluster cluster;
    private RealServer server;
    private CacheProxy proxy;
    private FleetWatch watch;

    @BeforeEach
    void start(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder.resolve("cluster"), 2, 0);
        server = ProxyFixture.server(folder.resolve("one"));
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
    }

    @AfterEach
    void stop() {
        watch.close();
        proxy.close();
        cluster.close();
        server.close();
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static void seesNext(RawClient monitor, String end) {
        String line = monitor.reply().text();
        while (!line.contains(end)) {
            line = monitor.reply().text();
        }
    }

    private static boolean isMonitored(RealServer node) {
        return node.text("CLIENT", "LIST").contains("cmd=monitor");
    }

    private static void awaitMonitored(List<RealServer> nodes, boolean monitored) {
        Await.until(
                ClusterFixture.LIMIT,
                "they are monitored: " + monitored,
                () -> nodes.stream().allMatch(node -> isMonitored(node) == monitored));
    }

    @Test
    void theLinesOfAllShardsComeAlsoOfOneThatComesLater() {
        try (RawClient monitor = client();
                RawClient client = client()) {
            assertThat(monitor.text("MONITOR")).isEqualTo("OK");
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "k");
                client.text("SET", key, "x".repeat(50_000));
                seesNext(monitor, "\"SET\" \"" + key + "\" \"xx");
            }
            RealServer later = cluster.addPrimary();
            cluster.moveSlot(RealCluster.slotOf("later"), later);
            awaitMonitored(cluster.nodes(), true);
            client.text("SET", "later", "1");
            seesNext(monitor, "\"SET\" \"later\" \"1\"");
            monitor.send("GET", "k");
            seesNext(monitor, "monitors may use PING");
            monitor.send("RESET");
            seesNext(monitor, "RESET");
            awaitMonitored(cluster.nodes(), false);
            assertThat(monitor.text("GET", "later")).isEqualTo("1");
        }
    }

    @Test
    void aSwitchLeadsItToTheOtherFleetsLinesThereAndBack() {
        try (RawClient monitor = client();
                RawClient client = client()) {
            assertThat(monitor.text("MONITOR")).isEqualTo("OK");
            for (int epoch = 2; epoch <= 5; epoch++) {
                boolean toServer = epoch % 2 == 0;
                BackendRoute next = toServer
                        ? ProxyFixture.route("green", server, epoch)
                        : ClusterFixture.route("blue", cluster, epoch);
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                proxy.letGo(next).join();
                awaitMonitored(List.of(server), toServer);
                awaitMonitored(cluster.nodes(), !toServer);
                for (RealServer node : cluster.nodes()) {
                    String key = cluster.keyOn(node, "s") + epoch;
                    client.text("SET", key, "1");
                    seesNext(monitor, "\"SET\" \"" + key + "\" \"1\"");
                }
            }
        }
        awaitMonitored(cluster.nodes(), false);
    }

    @Test
    void whereOneServerRefusesItNoneIsMonitored() {
        cluster.nodes().forEach(node -> node.call("ACL", "SETUSER", "watcher", "on", ">secret", "~*", "+@all"));
        cluster.nodes().getLast().call("ACL", "SETUSER", "watcher", "-monitor");
        try (RawClient monitor = client()) {
            assertThat(monitor.text("AUTH", "watcher", "secret")).isEqualTo("OK");
            assertThat(monitor.text("MONITOR")).startsWith("-NOPERM");
            awaitMonitored(cluster.nodes(), false);
            assertThat(monitor.text("GET", "k")).isEmpty();
            cluster.nodes().getLast().call("ACL", "SETUSER", "watcher", "+monitor");
            assertThat(monitor.text("MONITOR")).isEqualTo("OK");
            cluster.nodes().getLast().call("CLIENT", "KILL", "USER", "watcher");
            assertThat(monitor.readUntil("never")).endsWith("(closed)");
            awaitMonitored(cluster.nodes(), false);
        }
    }
}
