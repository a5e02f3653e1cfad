package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** WAIT and WAITAOF in front of a cluster speak of what was written at any shard. */
class ClusterWaitTest {
    private static RealCluster cluster;
    private static RealServer server;

    private CacheProxy proxy;
    private FleetWatch watch;

    @BeforeAll
    static void startServers(@TempDir Path folder) {
        // Replicas that do not answer for a while are neither dropped nor promoted.
        cluster = RealCluster.start(
                ServerBinary.named("valkey-8.1").orElseGet(ProxyFixture::binary),
                folder.resolve("cluster"),
                2,
                1,
                "--repl-timeout",
                "600");
        server = ProxyFixture.server(folder.resolve("one"));
    }

    @AfterAll
    static void stopServers() {
        cluster.close();
        server.close();
    }

    @BeforeEach
    void start() {
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
        primaries().forEach(ClusterWaitTest::awaitReplica);
    }

    @AfterEach
    void stop() {
        watch.close();
        proxy.close();
        replicas().forEach(RealServer::resume);
        cluster.nodes().forEach(node -> node.call("CONFIG", "SET", "appendonly", "no"));
    }

    private static List<RealServer> primaries() {
        return cluster.nodes().subList(0, 2);
    }

    private static List<RealServer> replicas() {
        return cluster.nodes().subList(2, 4);
    }

    private static void awaitReplica(RealServer primary) {
        Await.until(
                ClusterFixture.LIMIT,
                "the replica is there",
                () -> primary.text("INFO", "replication").contains("state=online"));
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static void write(RawClient client, String value) {
        for (RealServer primary : primaries()) {
            assertThat(client.text("SET", cluster.keyOn(primary, "k"), value)).isEqualTo("OK");
        }
    }

    @Test
    void theShardWithTheFewestReplicasAnswers() {
        try (RawClient client = client()) {
            write(client, "1");
            assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
            for (int i = 0; i < 2; i++) {
                replicas().get(i).stop();
                write(client, "2");
                assertThat(client.text("WAIT", "1", "60")).as("shard " + i).isEqualTo("0");
                assertThat(client.text("WAIT", "0", "0")).isEqualTo("0");
                replicas().get(i).resume();
                assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
            }
        }
    }

    /** Everything is asked behind what was written: a connection that others have used before knows nothing of that. */
    @Test
    void eachWaitIsBehindWhatItsClientHasJustWritten() {
        try (RawClient client = client();
                RawClient other = client()) {
            for (int i = 0; i < 20; i++) {
                write(i % 2 == 0 ? client : other, "v" + i);
                assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
                for (int shard = 0; shard < 2; shard++) {
                    String key = cluster.keyOn(primaries().get(shard), "k");
                    try (RawClient replica =
                            new RawClient(ProxyFixture.endpoint(replicas().get(shard)))) {
                        replica.text("READONLY");
                        assertThat(replica.text("GET", key)).isEqualTo("v" + i);
                    }
                }
            }
        }
        assertThat(primaries())
                .allSatisfy(node -> assertThat(node.number("DBSIZE")).isEqualTo(1));
    }

    @Test
    void itWaitsForAsLongAsItTakesThroughHoldsToo() {
        try (RawClient client = client();
                RawClient other = client()) {
            replicas().getLast().stop();
            write(client, "1");
            client.send("WAIT", "1", "0");
            client.send("PING");
            assertThat(client.hasReplyWithin(30)).isFalse();
            assertThat(other.text("CLIENT", "LIST")).containsPattern("flags=\\S*b");
            assertThat(ProxyFixture.hold(proxy, 2_000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(proxy.route()).join();
            assertThat(other.text("SET", "other", "1")).isEqualTo("OK");
            assertThat(client.hasReplyWithin(30)).isFalse();
            replicas().getLast().resume();
            assertThat(client.reply().text()).isEqualTo("1");
            assertThat(client.reply().text()).isEqualTo("PONG");
        }
    }

    @Test
    void aSwitchTakesItAlongThereAndBack() {
        try (RawClient client = client();
                RawClient timed = client()) {
            replicas().getLast().stop();
            write(client, "1");
            client.send("WAIT", "1", "0");
            timed.send("WAIT", "1", "1000");
            assertThat(client.hasReplyWithin(30)).isFalse();
            switchTo(ProxyFixture.route("green", server, 2));
            assertThat(client.hasReplyWithin(30)).isFalse();
            Await.until(
                    ClusterFixture.LIMIT,
                    "it waits at the server",
                    () -> !"0".equals(server.info("clients").get("blocked_clients")));
            switchTo(ClusterFixture.route("blue", cluster, 3));
            assertThat(client.hasReplyWithin(30)).isFalse();
            assertThat(timed.reply().text()).isEqualTo("0");
            replicas().getLast().resume();
            assertThat(client.reply().text()).isEqualTo("1");
            assertThat(client.text("PING")).isEqualTo("PONG");
            switchTo(ProxyFixture.route("green", server, 4));
            assertThat(client.text("CLIENT", "GETNAME")).isEmpty();
            assertThat(client.text("ACL", "WHOAMI")).isEqualTo("default");
        }
    }

    private void switchTo(BackendRoute next) {
        proxy.openAhead(next).join();
        assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(next).join();
    }

    @Test
    void anotherClientMayEndIt() {
        try (RawClient client = client();
                RawClient other = client()) {
            String id = client.text("CLIENT", "ID");
            replicas().getLast().stop();
            write(client, "1");
            client.send("WAIT", "1", "0");
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is unblocked",
                    () -> other.text("CLIENT", "UNBLOCK", id).equals("1"));
            assertThat(client.reply().text()).isEqualTo("0");
            client.send("WAIT", "1", "0");
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is unblocked",
                    () -> other.text("CLIENT", "UNBLOCK", id, "ERROR").equals("1"));
            assertThat(client.reply().text()).isEqualTo("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            assertThat(other.text("CLIENT", "UNBLOCK", id)).isEqualTo("0");
            assertThat(client.text("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void whatIsWrongTheServersSay() {
        try (RawClient client = client();
                RawClient direct =
                        new RawClient(ProxyFixture.endpoint(primaries().getFirst()))) {
            for (String[] command : new String[][] {
                {"WAIT"},
                {"WAIT", "1"},
                {"WAIT", "x", "0"},
                {"WAIT", "1", "x"},
                {"WAIT", "0", "-1"},
                {"WAIT", "1", "0", "0"},
                {"WAITAOF", "1", "0", "0"},
                {"WAITAOF", "2", "0", "0"},
                {"WAITAOF", "0", "-1", "0"}
            }) {
                assertThat(client.text(command)).as(String.join(" ", command)).isEqualTo(direct.text(command));
            }
            client.text("MULTI");
            assertThat(client.text("WAIT", "0", "0")).contains("is not supported inside MULTI in front of a cluster");
        }
    }

    @Test
    void whoMayNotWaitIsToldSo() {
        primaries().forEach(node -> node.call("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-wait"));
        try (RawClient client = client()) {
            assertThat(client.text("AUTH", "reader", "secret")).isEqualTo("OK");
            assertThat(client.text("WAIT", "0", "0")).startsWith("-NOPERM");
            primaries().forEach(node -> node.call("ACL", "SETUSER", "reader", "+wait", "-set", "-del", "-multi"));
            assertThat(client.text("WAIT", "0", "0")).isIn("0", "1");
            assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
        }
    }

    @Test
    void waitAofSpeaksOfTheFilesOfAllShards() {
        try (RawClient client = client()) {
            primaries().getFirst().call("CONFIG", "SET", "appendonly", "yes");
            write(client, "1");
            assertThat(client.text("WAITAOF", "1", "0", "0")).startsWith("-ERR WAITAOF cannot be used");
            primaries().getLast().call("CONFIG", "SET", "appendonly", "yes");
            primaries()
                    .forEach(node -> Await.until(
                            ClusterFixture.LIMIT,
                            "the file is there",
                            () -> node.text("INFO", "persistence").contains("aof_rewrite_in_progress:0")
                                    && node.text("INFO", "persistence").contains("aof_enabled:1")));
            write(client, "2");
            assertThat(client.text("WAITAOF", "1", "0", "0")).isEqualTo("[1, 0]");
            primaries().getLast().call("CONFIG", "SET", "appendfsync", "no");
            write(client, "3");
            assertThat(client.text("WAITAOF", "1", "0", "100")).isEqualTo("[0, 0]");
            primaries().getLast().call("CONFIG", "SET", "appendfsync", "everysec");
            assertThat(client.text("WAITAOF", "1", "0", "0")).isEqualTo("[1, 0]");
        }
    }
}
