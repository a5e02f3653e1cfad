package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** In front of a cluster SCRIPT KILL, FUNCTION KILL and CLIENT PAUSE are for every shard. */
class ClusterKillTest {
    private static final String ENDLESS = "while true do end";

    private static RealCluster cluster;
    private static CacheProxy proxy;
    private static FleetWatch watch;

    @BeforeAll
    static void start(@TempDir Path folder) {
        cluster = RealCluster.start(
                ProxyFixture.binary(), folder, 3, 0, "--lua-time-limit", "20", "--cluster-node-timeout", "60000");
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
    }

    @AfterAll
    static void stop() {
        watch.close();
        proxy.close();
        cluster.close();
    }

    @AfterEach
    void letThemGoOn() {
        cluster.nodes().forEach(node -> node.call("CLIENT", "UNPAUSE"));
    }

    private static RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static void awaitBusy(RealServer node) {
        Await.until(ClusterFixture.LIMIT, "it is busy", () -> {
            try (RawClient asking = new RawClient(ProxyFixture.endpoint(node))) {
                return asking.text("PING").startsWith("-BUSY");
            }
        });
    }

    @Test
    void whatRunsAtAnyShardIsKilled() {
        try (RawClient other = client()) {
            assertThat(other.text("SCRIPT", "KILL")).startsWith("-NOTBUSY");
            assertThat(other.text("FUNCTION", "KILL")).startsWith("-NOTBUSY");
            assertThat(other.text(
                            "FUNCTION",
                            "LOAD",
                            "#!lua name=l\nredis.register_function('f', function(keys) while true do end end)"))
                    .isEqualTo("l");
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "k");
                try (RawClient running = client()) {
                    running.send("EVAL", ENDLESS, "1", key);
                    awaitBusy(node);
                    assertThat(other.text("SCRIPT", "KILL")).isEqualTo("OK");
                    assertThat(running.reply().text()).contains("killed by user");
                    running.send("FCALL", "f", "1", key);
                    awaitBusy(node);
                    assertThat(other.text("SCRIPT", "KILL")).startsWith("-BUSY");
                    assertThat(other.text("FUNCTION", "KILL")).isEqualTo("OK");
                    assertThat(running.reply().text()).contains("killed by user");
                    assertThat(running.text("PING")).isEqualTo("PONG");
                }
            }
            assertThat(other.text("SCRIPT", "KILL", "x")).startsWith("-ERR");
            assertThat(other.text("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void whatHasWrittenIsNotKilled() {
        RealServer node = cluster.nodes().get(1);
        try (RawClient other = client();
                RawClient running = client()) {
            running.send(
                    "EVAL",
                    HoldTest.SLOW_WRITE.replace("repeat", "redis.call('SET',KEYS[1],'x') repeat"),
                    "1",
                    cluster.keyOn(node, "k"),
                    "1500");
            awaitBusy(node);
            assertThat(other.text("SCRIPT", "KILL")).startsWith("-UNKILLABLE");
            assertThat(running.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aPauseIsOfAllShards() {
        try (RawClient client = client();
                RawClient other = client()) {
            assertThat(other.text("CLIENT", "PAUSE", "x")).startsWith("-ERR timeout is not an integer");
            assertThat(other.text("CLIENT", "PAUSE", "60000", "WRITE")).isEqualTo("OK");
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "p");
                client.send("SET", key, "1");
                assertThat(client.hasReplyWithin(30)).isFalse();
                // Not through the proxy: where both are clients of one event loop, what waits at the server is in
                // front.
                assertThat(node.number("EXISTS", key)).isZero();
                assertThat(other.text("CLIENT", "UNPAUSE")).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(other.text("CLIENT", "PAUSE", "60000", "WRITE")).isEqualTo("OK");
            }
            assertThat(other.text("CLIENT", "UNPAUSE")).isEqualTo("OK");
        }
    }
}
