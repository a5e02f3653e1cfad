package io.switchback.clients;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.lettuce.core.RedisException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.switchback.environment.Environment;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.ZooKeeperLedger;
import io.switchback.server.Node;
import io.switchback.server.NodeFile;
import io.switchback.testkit.Await;
import io.switchback.testkit.Ports;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.exceptions.JedisException;

/** Two nodes of one cache, in front of a cluster, are a cluster of two to the cluster clients of libraries; one is stopped, and comes back. */
class SeveralNodesClusterTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String CACHE = "sessions";
    private static final int KEYS = 200;

    @TempDir
    private Path folder;

    private RealCluster cluster;
    private ZooKeeperEnsemble ensemble;
    private final int[] ports = {Ports.free(), Ports.free()};
    private final List<Node> nodes = new ArrayList<>();

    @BeforeEach
    void start() throws IOException {
        cluster = RealCluster.start(
                ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder.resolve("cluster"), 3, 0);
        ensemble = ZooKeeperEnsemble.start(1, folder.resolve("ledger"));
        nodes.add(startNode(0));
        nodes.add(startNode(1));
        Await.until(
                LIMIT,
                "both nodes know of each other",
                () -> addressesAt(0).size() == 2 && addressesAt(1).size() == 2);
    }

    @AfterEach
    void stop() {
        nodes.forEach(Node::close);
        ensemble.close();
        cluster.close();
    }

    private Node startNode(int number) throws IOException {
        Path file = Files.writeString(folder.resolve("node-" + number + ".yaml"), """
                node: edge-%1$d
                ledger: zookeeper://%2$s/several
                data: ./data-%1$d
                caches:
                  sessions:
                    listen: "127.0.0.1:%3$d"
                    announce: "127.0.0.1:%3$d"
                    active: blue
                    fleets:
                      blue: { cluster: ["%4$s", "%5$s"] }
                """.formatted(
                        number,
                        ensemble.connect(),
                        ports[number],
                        cluster.endpoints().get(0),
                        cluster.endpoints().get(1)));
        return Node.start(NodeFile.read(file), Environment.system());
    }

    /** As CLUSTER SLOTS of a node has them, which must give each slot to one. */
    private Set<String> addressesAt(int number) {
        try (Jedis client = new Jedis("127.0.0.1", ports[number], 10_000)) {
            Set<String> addresses = new TreeSet<>();
            long next = 0;
            for (Object one : (List<?>) client.sendCommand(Protocol.Command.CLUSTER, "SLOTS")) {
                List<?> range = (List<?>) one;
                assertThat(range.get(0)).isEqualTo(next);
                next = (Long) range.get(1) + 1;
                List<?> node = (List<?>) range.get(2);
                addresses.add(new String((byte[]) node.get(0), UTF_8) + ":" + node.get(1));
            }
            assertThat(next).isEqualTo(RealCluster.SLOTS);
            return addresses;
        }
    }

    private long requests(int number) {
        return nodes.get(number).proxy(CACHE).traffic().of("blue").requests();
    }

    /** Writes and reads many keys by {@code set}, which gives what it then reads. */
    private static void use(BiFunction<String, String, String> set, String value) {
        for (int i = 0; i < KEYS; i++) {
            assertThat(set.apply("k" + i, value + i)).isEqualTo(value + i);
        }
    }

    private static boolean canBeUsed(BiFunction<String, String, String> set) {
        try {
            use(set, "tried");
            return true;
        } catch (JedisException | RedisException e) {
            return false; // it has not noticed yet
        }
    }

    private void assertGoesOnWhileANodeIsStopped(BiFunction<String, String, String> set) throws IOException {
        use(set, "two");
        assertThat(requests(0)).isGreaterThan(KEYS / 2);
        assertThat(requests(1)).isGreaterThan(KEYS / 2);
        nodes.remove(1).close();
        Await.until(LIMIT, "the other node has all slots", () -> addressesAt(0).size() == 1);
        Await.until(LIMIT, "the client goes to the other node", () -> canBeUsed(set));
        use(set, "one");
        nodes.add(startNode(1));
        Await.until(
                LIMIT,
                "the node is told of again",
                () -> addressesAt(0).size() == 2 && addressesAt(1).size() == 2);
    }

    @Test
    void jedis() throws IOException {
        try (JedisCluster client = new JedisCluster(Set.of(new HostAndPort("127.0.0.1", ports[0])))) {
            assertThat(client.getClusterNodes()).hasSize(2);
            assertGoesOnWhileANodeIsStopped((key, value) -> {
                client.set(key, value);
                return client.get(key);
            });
        }
        try (JedisCluster client = new JedisCluster(Set.of(new HostAndPort("127.0.0.1", ports[1])))) {
            long before = requests(1);
            use(
                    (key, value) -> {
                        client.set(key, value);
                        return client.get(key);
                    },
                    "again");
            assertThat(requests(1)).isGreaterThan(before + KEYS / 2);
        }
    }

    @Test
    void lettuce() throws IOException {
        RedisClusterClient client = RedisClusterClient.create(RedisURI.create("127.0.0.1", ports[0]));
        client.setOptions(ClusterClientOptions.builder()
                .topologyRefreshOptions(ClusterTopologyRefreshOptions.builder()
                        .enablePeriodicRefresh(Duration.ofMillis(500))
                        .build())
                .build());
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            assertThat(client.getPartitions()).hasSize(2);
            assertGoesOnWhileANodeIsStopped((key, value) -> {
                connection.sync().set(key, value);
                return connection.sync().get(key);
            });
            Await.until(
                    LIMIT,
                    "it knows both nodes again",
                    () -> client.getPartitions().size() == 2);
            long before = requests(1);
            Await.until(LIMIT, "it goes to both again", () -> {
                use(
                        (key, value) -> {
                            connection.sync().set(key, value);
                            return connection.sync().get(key);
                        },
                        "again");
                return requests(1) > before + KEYS / 2;
            });
        } finally {
            client.shutdown();
        }
    }

    /** One that died stays registered; it is not told of once the ledger hears no more of it. */
    @Test
    void whoIsRegisteredAndNotThereIsNotToldOf() {
        try (Ledger ledger = ZooKeeperLedger.open(ensemble.connect() + "/several", Environment.system())) {
            Member other = new Member("edge-9", "abc", "", List.of(CACHE), Map.of(CACHE, "192.0.2.9:7000"), false);
            new Members(ledger).join(other);
            new Members(ledger)
                    .join(new Member(
                            "elsewhere", "abc", "", List.of("carts"), Map.of("carts", "192.0.2.8:7000"), false));
            Lease lease = ledger.announce("edge-9", "abc".getBytes(UTF_8));
            Await.until(
                    LIMIT,
                    "it is told of",
                    () -> addressesAt(0).size() == 3 && addressesAt(1).size() == 3);
            assertThat(addressesAt(0)).contains("192.0.2.9:7000").doesNotContain("192.0.2.8:7000");
            assertThat(new ArrayList<>(addressesAt(0))).isEqualTo(new ArrayList<>(addressesAt(1)));
            lease.close();
            Await.until(
                    LIMIT,
                    "it is not told of",
                    () -> addressesAt(0).size() == 2 && addressesAt(1).size() == 2);
            assertThat(new Members(ledger).roster().member("edge-9")).isPresent();
        }
    }

    @Test
    void bothNodesSayTheSameOfTheCluster() {
        try (Jedis first = new Jedis("127.0.0.1", ports[0]);
                Jedis second = new Jedis("127.0.0.1", ports[1])) {
            assertThat(first.clusterNodes().replace("myself,", ""))
                    .isEqualTo(second.clusterNodes().replace("myself,", ""))
                    .contains("127.0.0.1:" + ports[0] + "@")
                    .contains("connected 0-8191")
                    .contains("connected 8192-16383");
            assertThat(first.clusterNodes()).contains(first.clusterMyId() + " 127.0.0.1:" + ports[0] + "@");
            assertThat(first.clusterMyId()).isNotEqualTo(second.clusterMyId());
            assertThat(first.clusterInfo()).contains("cluster_known_nodes:2").contains("cluster_size:2");
            assertThat(first.clusterReplicas(second.clusterMyId())).isEmpty();
            assertThat(first.clusterShards()).hasSize(2);
        }
    }
}
