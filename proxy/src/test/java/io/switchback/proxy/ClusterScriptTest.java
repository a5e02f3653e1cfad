package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** In front of a cluster EVALSHA finds a script that was run or loaded over the proxy at every shard, also where the shard has lost it. */
class ClusterScriptTest {
    private static final String INCREMENT = "return redis.call('INCR', KEYS[1])";

    private static RealCluster cluster;
    private static CacheProxy proxy;
    private static FleetWatch watch;

    @BeforeAll
    static void start(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 0);
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

    @BeforeEach
    void flush() {
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
    }

    private static RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static void forgetAtServers() {
        cluster.nodes().forEach(node -> node.call("SCRIPT", "FLUSH"));
    }

    /** Its hash, as a server knows it. */
    private static String load(RawClient client, String script) {
        return client.text("SCRIPT", "LOAD", script);
    }

    private static String run(RawClient client, String script, String key) {
        return client.text("EVAL", script, "1", key);
    }

    @Test
    void whatWasRunAtOneShardIsThereAtTheOthers() {
        try (RawClient client = client()) {
            String first = cluster.keyOn(cluster.nodes().getFirst(), "n");
            String script = INCREMENT + " -- 1";
            assertThat(run(client, script, first)).isEqualTo("1");
            String sha = String.valueOf(cluster.nodes().getFirst().call("SCRIPT", "LOAD", script));
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "m");
                assertThat(client.text("EVALSHA", sha.toUpperCase(Locale.ROOT), "1", key))
                        .isEqualTo("1");
                assertThat(client.text("EVALSHA", sha, "1", key)).isEqualTo("2");
            }
        }
    }

    @Test
    void whatTheServersHaveLostIsBroughtAgainToTheOneThatIsAsked() {
        try (RawClient client = client()) {
            String sha = load(client, INCREMENT + " -- 2");
            forgetAtServers();
            RealServer node = cluster.nodes().get(1);
            assertThat(client.text("EVALSHA", sha, "1", cluster.keyOn(node, "n")))
                    .isEqualTo("1");
            assertThat(String.valueOf(node.call("SCRIPT", "EXISTS", sha))).isEqualTo("[1]");
            assertThat(String.valueOf(cluster.nodes().get(2).call("SCRIPT", "EXISTS", sha)))
                    .isEqualTo("[0]");
        }
    }

    @Test
    void inAPipelineEachRunsOnceAndInOrder() {
        try (RawClient client = client()) {
            String append = "return redis.call('APPEND', KEYS[1], ARGV[1])";
            String sha = load(client, append);
            String other = load(client, append + " -- other");
            forgetAtServers();
            List<String> keys = cluster.nodes().stream()
                    .map(node -> cluster.keyOn(node, "k"))
                    .toList();
            for (int i = 0; i < 30; i++) {
                for (String key : keys) {
                    client.send("EVALSHA", i % 3 == 1 ? other : sha, "1", key, "" + i % 10);
                }
                client.send("ECHO", "e" + i);
            }
            for (int i = 0; i < 30; i++) {
                for (String key : keys) {
                    assertThat(client.reply().text()).as(key + " " + i).isEqualTo("" + (i + 1));
                }
                assertThat(client.reply().text()).isEqualTo("e" + i);
            }
            for (String key : keys) {
                assertThat(client.text("GET", key)).isEqualTo("0123456789".repeat(3));
            }
        }
    }

    /** It would come too late. The client hears what the server has said, and may do as it does at a server. */
    @Test
    void behindItsBackNothingIsRun() {
        try (RawClient client = client()) {
            String sha = load(client, INCREMENT + " -- 3");
            String key = cluster.keyOn(cluster.nodes().get(1), "n");
            forgetAtServers();
            client.send("EVALSHA", sha, "1", key);
            client.send("SET", key, "10");
            String first = client.reply().text();
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(first).startsWith("NOSCRIPT");
            assertThat(client.text("GET", key)).isEqualTo("10");
        }
    }

    @Test
    void whatNobodyHasLoadedIsMissing() {
        try (RawClient client = client()) {
            String key = cluster.keyOn(cluster.nodes().get(1), "n");
            assertThat(client.text("EVALSHA", "0".repeat(40), "1", key)).startsWith("-NOSCRIPT");
            String sha = load(client, INCREMENT + " -- 4");
            assertThat(client.text("SCRIPT", "FLUSH")).isEqualTo("OK");
            assertThat(client.text("EVALSHA", sha, "1", key)).startsWith("-NOSCRIPT");
        }
    }

    /** A script that has run must not run again for what it says. */
    @Test
    void aScriptThatSaysSoItselfRunsOnce() {
        try (RawClient client = client()) {
            String key = cluster.keyOn(cluster.nodes().get(1), "n");
            String sha = load(
                    client, "redis.call('INCR', KEYS[1]); return redis.error_reply('NOSCRIPT No matching script.')");
            assertThat(client.text("EVALSHA", sha, "1", key)).startsWith("-NOSCRIPT");
            assertThat(client.text("GET", key)).isEqualTo("1");
        }
    }

    @Test
    void whoMayNotLoadScriptsHearsThatItIsMissing() {
        for (RealServer node : cluster.nodes()) {
            node.call("ACL", "SETUSER", "runner", "on", ">secret", "~*", "+@all", "-script");
        }
        try (RawClient client = client();
                RawClient runner = client()) {
            String key = cluster.keyOn(cluster.nodes().get(1), "n");
            String sha = load(client, INCREMENT + " -- 5");
            assertThat(runner.text("AUTH", "runner", "secret")).isEqualTo("OK");
            assertThat(runner.text("EVALSHA", sha, "1", key)).isEqualTo("1");
            forgetAtServers();
            assertThat(runner.text("EVALSHA", sha, "1", key)).startsWith("-NOSCRIPT");
            assertThat(runner.text("PING")).isEqualTo("PONG");
        }
    }
}
