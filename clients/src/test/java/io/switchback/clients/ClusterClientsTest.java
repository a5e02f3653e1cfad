package io.switchback.clients;

import static org.assertj.core.api.Assertions.assertThat;

import io.lettuce.core.RedisURI;
import io.lettuce.core.SetArgs;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.sync.RedisAdvancedClusterCommands;
import io.lettuce.core.cluster.pubsub.StatefulRedisClusterPubSubConnection;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxySettings;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisCluster;

/** The cluster clients of libraries take the node for a cluster of one, while slots of the cluster behind it move. */
class ClusterClientsTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int KEYS = 100;

    private static RealCluster cluster;
    private static CacheProxy proxy;
    private static FleetWatch watch;

    @BeforeAll
    static void start(@TempDir Path folder) throws IOException {
        cluster = RealCluster.start(ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder, 3, 0);
        List<Endpoint> seeds = cluster.nodes().stream()
                .map(node -> new Endpoint(node.host(), node.port()))
                .toList();
        FleetSpec fleet = new FleetSpec("blue", new FleetAddress.Cluster(seeds), Optional.empty());
        proxy = CacheProxy.open(
                new ProxySettings("sessions", "n1", List.of(new Endpoint("127.0.0.1", 0))),
                new BackendRoute(fleet, 1),
                false);
        watch = FleetWatch.start("sessions", fleet, Environment.system(), seen -> proxy.topology("blue", seen));
        proxy.watchedBy("blue", watch::lookSoon);
        Await.until(LIMIT, "the cluster is seen", () -> watch.seen().isPresent());
    }

    @AfterAll
    static void stop() {
        watch.close();
        proxy.close();
        cluster.close();
    }

    private static Endpoint address() {
        return proxy.addresses().getFirst();
    }

    /** Of some keys, to the next node and back. */
    private static void moveSlots(String prefix) {
        for (int i = 0; i < 5; i++) {
            int slot = RealCluster.slotOf(prefix + i);
            RealServer from = cluster.primaryOf(slot);
            RealServer to = cluster.nodes().get((cluster.nodes().indexOf(from) + 1) % 3);
            cluster.moveSlot(slot, to);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = ProtocolVersion.class,
            names = {"RESP2", "RESP3"})
    void lettuce(ProtocolVersion protocol) throws InterruptedException {
        String prefix = "lettuce:" + protocol + ":";
        RedisClusterClient client = RedisClusterClient.create(
                RedisURI.create(address().host(), address().port()));
        client.setOptions(
                ClusterClientOptions.builder().protocolVersion(protocol).build());
        try (StatefulRedisClusterConnection<String, String> connection = client.connect();
                StatefulRedisClusterPubSubConnection<String, String> subscriber = client.connectPubSub()) {
            assertThat(client.getPartitions()).hasSize(1);
            RedisAdvancedClusterCommands<String, String> commands = connection.sync();
            LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
            subscriber.addListener(new RedisPubSubAdapter<>() {
                @Override
                public void message(String channel, String message) {
                    heard.add(message);
                }
            });
            subscriber.sync().subscribe(prefix + "news");
            Map<String, String> values = new HashMap<>();
            for (int i = 0; i < KEYS; i++) {
                values.put(prefix + i, "v" + i);
                commands.set(prefix + i, "first", SetArgs.Builder.ex(1_000));
            }
            moveSlots(prefix);
            assertThat(commands.mset(values)).isEqualTo("OK");
            moveSlots(prefix);
            values.forEach((key, value) -> assertThat(commands.get(key)).isEqualTo(value));
            assertThat(commands.mget(values.keySet().toArray(String[]::new))).hasSize(KEYS);
            assertThat(commands.keys(prefix + "*")).hasSize(KEYS);
            commands.publish(prefix + "news", "x");
            assertThat(heard.poll(LIMIT.toSeconds(), TimeUnit.SECONDS)).isEqualTo("x");
            client.refreshPartitions();
            assertThat(client.getPartitions()).hasSize(1);
            assertThat(commands.del(values.keySet().toArray(String[]::new))).isEqualTo(KEYS);
        } finally {
            client.shutdown();
        }
    }

    @Test
    void jedis() {
        String prefix = "jedis:";
        try (JedisCluster client = new JedisCluster(
                Set.of(new HostAndPort(address().host(), address().port())))) {
            for (int i = 0; i < KEYS; i++) {
                client.set(prefix + i, "v" + i);
            }
            moveSlots(prefix);
            for (int i = 0; i < KEYS; i++) {
                assertThat(client.incr(prefix + "n")).isEqualTo(i + 1);
                assertThat(client.get(prefix + i)).isEqualTo("v" + i);
            }
            moveSlots(prefix);
            assertThat(client.mget("{" + prefix + "}1", "{" + prefix + "}2")).containsExactly(null, null);
            assertThat(client.getClusterNodes()).hasSize(1);
        }
    }
}
