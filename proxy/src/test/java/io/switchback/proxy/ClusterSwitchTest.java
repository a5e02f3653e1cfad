package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Switches between one server and a cluster, and back. */
class ClusterSwitchTest {
    private RealServer server;
    private RealCluster cluster;
    private CacheProxy proxy;
    private FleetWatch watch;

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path many) {
        server = ProxyFixture.server(one);
        cluster = RealCluster.start(ProxyFixture.binary(), many, 3, 0);
        proxy = ProxyFixture.proxy(toServer(1));
        watch = ClusterFixture.watch(proxy, toCluster(2));
    }

    @AfterEach
    void stop() {
        watch.close();
        proxy.close();
        cluster.close();
        server.close();
    }

    private BackendRoute toServer(long epoch) {
        return ProxyFixture.route("blue", server, epoch);
    }

    private BackendRoute toCluster(long epoch) {
        return ClusterFixture.route("green", cluster, epoch);
    }

    private void switchTo(BackendRoute next) {
        proxy.openAhead(next).join();
        assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(next).join();
    }

    @Test
    void commandsThatArriveInAHoldGoToTheOtherFleetInOrder() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 10; i++) {
                client.text("SET", "k" + i, "server");
            }
            for (int epoch = 2; epoch < 8; epoch++) {
                boolean forward = epoch % 2 == 0;
                BackendRoute next = forward ? toCluster(epoch) : toServer(epoch);
                proxy.openAhead(next).join();
                for (int i = 0; i < 10; i++) {
                    client.send("SET", "before" + i, "x");
                }
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                for (int i = 0; i < 10; i++) {
                    client.send("SET", "k" + i, (forward ? "cluster" : "server") + epoch);
                    client.send("GET", "k" + i);
                }
                proxy.letGo(next).join();
                for (int i = 0; i < 10; i++) {
                    assertThat(client.reply().text()).isEqualTo("OK");
                }
                for (int i = 0; i < 10; i++) {
                    assertThat(client.reply().text()).isEqualTo("OK");
                    assertThat(client.reply().text()).isEqualTo((forward ? "cluster" : "server") + epoch);
                }
            }
        }
        assertThat(server.text("GET", "k3")).isEqualTo("server7");
        assertThat(cluster.primaryOf(RealCluster.slotOf("k3")).text("GET", "k3"))
                .isEqualTo("cluster6");
    }

    /** It would be passed on in pieces to one server, and in a cluster nobody has it any more when that says MOVED. */
    @Test
    void aLargeCommandThatWaitsForASwitchGoesToTheShardOfItsKey() {
        String value = "x".repeat(4 * LargeCommand.ARGUMENT_BYTES);
        List<RawClient> clients = new ArrayList<>();
        try {
            List<String> keys = cluster.nodes().stream()
                    .map(node -> cluster.keyOn(node, "large"))
                    .toList();
            proxy.openAhead(toCluster(2)).join();
            for (String key : keys) {
                RawClient client = ProxyFixture.client(proxy);
                clients.add(client);
                client.send("SET", key, value);
            }
            assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(toCluster(2)).join();
            for (int i = 0; i < keys.size(); i++) {
                assertThat(clients.get(i).reply().text()).isEqualTo("OK");
                assertThat(cluster.nodes().get(i).number("STRLEN", keys.get(i))).isEqualTo(value.length());
            }
        } finally {
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void aTransactionGoesAlongBothWays() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            assertThat(client.text("INCR", "n")).isEqualTo("QUEUED");
            switchTo(toCluster(2));
            assertThat(client.text("INCR", "n")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[1, 2]");
            client.text("MULTI");
            switchTo(toServer(3));
            assertThat(client.text("INCR", "n")).isEqualTo("QUEUED");
            switchTo(toCluster(4));
            switchTo(toServer(5));
            assertThat(client.text("EXEC")).isEqualTo("[1]");
            client.text("WATCH", "n");
            switchTo(toCluster(6));
            client.text("MULTI");
            client.text("INCR", "n");
            assertThat(client.text("EXEC")).isEmpty();
            assertThat(client.text("GET", "n")).isEqualTo("2");
        }
    }

    /** One server takes shard channels of any slots in one command; a cluster those of one slot. */
    @Test
    void shardChannelsOfSeveralSlotsOfAShardGoAlongBothWays() {
        RealServer node = cluster.nodes().get(2);
        String one = cluster.keyOn(node, "one");
        String other = cluster.keyOn(node, "other");
        assertThat(RealCluster.slotOf(one)).isNotEqualTo(RealCluster.slotOf(other));
        try (RawClient subscriber = ProxyFixture.client(proxy);
                RawClient publisher = ProxyFixture.client(proxy)) {
            subscriber.send("SSUBSCRIBE", one, other);
            assertThat(subscriber.reply().text()).isEqualTo("[ssubscribe, " + one + ", 1]");
            assertThat(subscriber.reply().text()).isEqualTo("[ssubscribe, " + other + ", 2]");
            for (int epoch = 2; epoch < 6; epoch++) {
                switchTo(epoch % 2 == 0 ? toCluster(epoch) : toServer(epoch));
                for (String channel : List.of(one, other)) {
                    assertThat(publisher.text("SPUBLISH", channel, "m" + epoch)).isEqualTo("1");
                    assertThat(subscriber.reply().text()).isEqualTo("[smessage, " + channel + ", m" + epoch + "]");
                }
            }
        }
    }

    @Test
    void aWaitingCommandAndASubscriptionGoAlongBothWays() {
        try (RawClient waiting = ProxyFixture.client(proxy);
                RawClient subscriber = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            waiting.send("BLPOP", "list", "30");
            subscriber.send("SUBSCRIBE", "news");
            subscriber.reply();
            Await.until(
                    ClusterFixture.LIMIT,
                    "it waits",
                    () -> "1".equals(server.info("clients").get("blocked_clients")));
            switchTo(toCluster(2));
            other.text("PUBLISH", "news", "1");
            assertThat(subscriber.reply().text()).isEqualTo("[message, news, 1]");
            assertThat(waiting.hasReplyWithin(50)).isFalse();
            switchTo(toServer(3));
            other.text("PUBLISH", "news", "2");
            assertThat(subscriber.reply().text()).isEqualTo("[message, news, 2]");
            switchTo(toCluster(4));
            other.text("RPUSH", "list", "x");
            assertThat(waiting.reply().text()).isEqualTo("[list, x]");
        }
    }

    /** A client walks all keys while switches come in between: each fleet has all of them. */
    @Test
    void aWalkBeginsAgainAndMissesNothing() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            TreeSet<String> keys = new TreeSet<>();
            for (int i = 0; i < 200; i++) {
                keys.add("s" + i);
                client.text("SET", "s" + i, "x");
                cluster.primaryOf(RealCluster.slotOf("s" + i)).call("SET", "s" + i, "x");
            }
            TreeSet<String> seen = new TreeSet<>();
            String cursor = "0";
            int steps = 0;
            do {
                var reply = ClusterTest.elements(client.call("SCAN", cursor, "COUNT", "10"));
                cursor = reply.getFirst().text();
                seen.addAll(ClusterTest.texts(reply.get(1)));
                steps++;
                if (steps == 5) {
                    switchTo(toCluster(2));
                } else if (steps == 12) {
                    switchTo(toServer(3));
                } else if (steps == 18) {
                    switchTo(toCluster(4));
                }
            } while (!cursor.equals("0"));
            assertThat(seen).isEqualTo(keys);
            assertThat(steps).isGreaterThan(18);
        }
    }

    @Test
    void aScriptThatWasLoadedIsAtEveryShard() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            String sha = client.text("SCRIPT", "LOAD", "return KEYS[1]");
            switchTo(toCluster(2));
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "k");
                assertThat(client.text("EVALSHA", sha, "1", key)).isEqualTo(key);
            }
        }
    }

    /** What a cluster cannot do for a client that has it from the server ends the client's connection, and says so in the log. */
    @Test
    void aClientThatDoesNotTouchIsClosedByASwitchToACluster(@TempDir Path folder) {
        Optional<ServerBinary> modern = ServerBinary.named("redis-8.0");
        assumeTrue(modern.isPresent());
        try (RealServer knows = RealServer.start(modern.orElseThrow(), folder);
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            switchTo(ProxyFixture.route("grey", knows, 2));
            assertThat(client.text("CLIENT", "NO-TOUCH", "ON")).isEqualTo("OK");
            switchTo(toCluster(3));
            client.readToEnd();
            assertThat(other.text("SET", "k", "v")).isEqualTo("OK");
        }
    }
}
