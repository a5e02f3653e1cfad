package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** CLIENT TRACKING in front of a cluster: every shard says what has changed, and no client keeps what is not so any more. */
class ClusterTrackingTest {
    private static final String FORGET_ALL = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

    private static RealCluster cluster;
    private static RealServer server;

    private CacheProxy proxy;
    private FleetWatch watch;

    @BeforeAll
    static void startServers(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder.resolve("cluster"), 3, 0);
        server = ProxyFixture.server(folder.resolve("one"));
    }

    @AfterAll
    static void stopServers() {
        cluster.close();
        server.close();
    }

    @BeforeEach
    void start() {
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
    }

    @AfterEach
    void stop() {
        watch.close();
        proxy.close();
    }

    private static String forget(String key) {
        return ">2\r\n$10\r\ninvalidate\r\n*1\r\n$" + key.length() + "\r\n" + key + "\r\n";
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private RawClient tracker(String... how) {
        RawClient client = client();
        client.text("HELLO", "3");
        List<String> command = new ArrayList<>(List.of("CLIENT", "TRACKING", "ON"));
        command.addAll(List.of(how));
        assertThat(client.text(command.toArray(String[]::new))).isEqualTo("OK");
        return client;
    }

    private static List<String> keys(String prefix) {
        return cluster.nodes().stream().map(node -> cluster.keyOn(node, prefix)).toList();
    }

    @Test
    void aChangeOfWhatWasReadAtAnyShardIsTold() {
        try (RawClient client = tracker();
                RawClient other = client()) {
            for (String key : keys("k")) {
                other.text("SET", key, "1");
                assertThat(client.text("GET", key)).isEqualTo("1");
                other.text("SET", key, "2");
                assertThat(client.rawReply()).isEqualTo(forget(key));
                assertThat(client.text("GET", key)).isEqualTo("2");
            }
            assertThat(client.text("CLIENT", "TRACKINGINFO")).contains("on");
            assertThat(client.text("CLIENT", "TRACKING", "OFF")).isEqualTo("OK");
            for (String key : keys("k")) {
                other.text("SET", key, "3");
                assertThat(client.text("GET", key)).isEqualTo("3");
            }
        }
    }

    @Test
    void whatIsReadOfSeveralShardsAtOnceIsTrackedAtEach() {
        List<String> keys = keys("m");
        try (RawClient client = tracker();
                RawClient other = client()) {
            other.text("MSET", keys.get(0), "1", keys.get(1), "1", keys.get(2), "1");
            assertThat(client.text("MGET", keys.get(0), keys.get(1), keys.get(2)))
                    .isEqualTo("[1, 1, 1]");
            for (String key : keys) {
                other.text("SET", key, "2");
                assertThat(client.rawReply()).isEqualTo(forget(key));
            }
        }
    }

    /** The value that the client gets last is the old one: it would keep that if it had heard before that it is old. */
    @Test
    void anInvalidationDoesNotOvertakeTheReplyThatItIsAbout() {
        List<String> keys = keys("o");
        try (RawClient client = tracker()) {
            cluster.nodes().get(1).call("SET", keys.get(1), "old");
            long before = calls(cluster.nodes().get(1));
            client.send("EVAL", HoldTest.SLOW_WRITE, "1", keys.get(0), "400");
            client.send("GET", keys.get(1));
            client.send("ECHO", "end");
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is read",
                    () -> calls(cluster.nodes().get(1)) > before);
            cluster.nodes().get(1).call("SET", keys.get(1), "new");
            assertThat(client.rawReply()).isEqualTo("+OK\r\n");
            assertThat(client.rawReply()).isEqualTo("$3\r\nold\r\n");
            List<String> rest = List.of(client.rawReply(), client.rawReply());
            assertThat(rest).containsExactlyInAnyOrder("$3\r\nend\r\n", forget(keys.get(1)));
        }
    }

    /** Likewise of what is joined out of the replies of several shards. */
    @Test
    void norAJoinedOne() {
        List<String> keys = keys("j");
        try (RawClient client = tracker();
                RawClient busy = client()) {
            cluster.nodes().get(1).call("SET", keys.get(1), "old");
            busy.send("EVAL", HoldTest.SLOW_WRITE, "1", keys.get(0), "400");
            busy.send("PING");
            Await.until(
                    ClusterFixture.LIMIT,
                    "its shard is busy",
                    () -> isBusy(cluster.nodes().get(0)));
            long before = calls(cluster.nodes().get(1), "mget");
            client.send("MGET", keys.get(0), keys.get(1));
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is read",
                    () -> calls(cluster.nodes().get(1), "mget") > before);
            cluster.nodes().get(1).call("SET", keys.get(1), "new");
            assertThat(client.rawReply()).contains("old");
            assertThat(client.rawReply()).isEqualTo(forget(keys.get(1)));
        }
    }

    private static boolean isBusy(RealServer node) {
        try (RawClient asking = new RawClient(ProxyFixture.endpoint(node))) {
            asking.send("PING");
            return !asking.hasReplyWithin(30);
        }
    }

    private static long calls(RealServer node) {
        return calls(node, "get");
    }

    private static long calls(RealServer node, String command) {
        String line = node.info("commandstats").getOrDefault("cmdstat_" + command, "calls=0,");
        return Long.parseLong(line.substring(line.indexOf('=') + 1, line.indexOf(',')));
    }

    @Test
    void broadcastsComeFromEveryShardWhetherReadThereOrNot() {
        try (RawClient client = tracker("BCAST", "PREFIX", "b", "PREFIX", "c", "NOLOOP");
                RawClient other = client()) {
            for (String key : keys("b")) {
                other.text("SET", key, "1");
                assertThat(client.rawReply()).isEqualTo(forget(key));
                other.text("SET", "x" + key, "1");
                assertThat(client.text("SET", key, "own")).isEqualTo("OK");
                assertThat(client.text("PING")).isEqualTo("PONG");
            }
            assertThat(client.text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "bb"))
                    .startsWith("-ERR Prefix");
            assertThat(client.text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "d", "NOLOOP"))
                    .isEqualTo("OK");
            for (String key : keys("d")) {
                other.text("SET", key, "1");
                assertThat(client.rawReply()).isEqualTo(forget(key));
            }
        }
    }

    @Test
    void whatIsSaidOfTheNextCommandHoldsWhereThatGoes() {
        try (RawClient optIn = tracker("OPTIN");
                RawClient optOut = tracker("OPTOUT");
                RawClient other = client()) {
            for (String key : keys("i")) {
                String second = key + "{" + key + "}";
                other.text("MSET", key, "1", second, "1");
                assertThat(optIn.text("GET", key)).isEqualTo("1");
                assertThat(optIn.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
                optIn.send("GET", second);
                optIn.send("GET", key);
                assertThat(optOut.text("CLIENT", "CACHING", "NO")).isEqualTo("OK");
                optOut.send("GET", second);
                optOut.send("GET", key);
                for (RawClient each : List.of(optIn, optOut)) {
                    assertThat(each.reply().text()).isEqualTo("1");
                    assertThat(each.reply().text()).isEqualTo("1");
                }
                other.text("SET", key, "2");
                other.text("SET", second, "2");
                assertThat(optIn.rawReply()).isEqualTo(forget(second));
                assertThat(optOut.rawReply()).isEqualTo(forget(key));
                assertThat(optIn.text("PING")).isEqualTo("PONG");
                assertThat(optOut.text("PING")).isEqualTo("PONG");
            }
            List<String> keys = keys("n");
            other.text("MSET", keys.get(0), "1", keys.get(1), "1");
            assertThat(optIn.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
            assertThat(optIn.text("MGET", keys.get(0), keys.get(1))).isEqualTo("[1, 1]");
            other.text("SET", keys.get(0), "2");
            assertThat(optIn.rawReply()).isEqualTo(forget(keys.get(0)));
            other.text("SET", keys.get(1), "2");
            assertThat(optIn.rawReply()).isEqualTo(forget(keys.get(1)));
            // Said of the first of two, which goes to another shard than the second.
            for (int first = 0; first < 3; first++) {
                String second = keys.get((first + 1) % 3);
                assertThat(optOut.text("CLIENT", "CACHING", "NO")).isEqualTo("OK");
                optOut.text("STRLEN", keys.get(first));
                optOut.text("STRLEN", second);
                other.text("SET", keys.get(first), "3");
                other.text("SET", second, "4");
                assertThat(optOut.rawReply()).isEqualTo(forget(second));
            }
        }
    }

    /** What was said before is said again to that server in front of it. */
    @Test
    void whatIsSaidOfTheNextCommandMayBeSaidOfOneThatGoesOverANewConnection() {
        try (RawClient optIn = tracker("OPTIN");
                RawClient other = client()) {
            RealServer node = cluster.nodes().getFirst();
            String key = cluster.keyOn(node, "q");
            optIn.text("GET", key);
            node.call("CLIENT", "KILL", "TYPE", "normal");
            assertThat(optIn.rawReply()).isEqualTo(FORGET_ALL);
            assertThat(optIn.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
            assertThat(optIn.text("GET", key)).isEmpty();
            assertThat(other.text("SET", key, "1")).isEqualTo("OK");
            assertThat(optIn.rawReply()).isEqualTo(forget(key));
        }
    }

    @Test
    void whatTheServersRefuseIsRefusedInTheirWords() {
        try (RawClient client = client();
                RawClient direct =
                        new RawClient(ProxyFixture.endpoint(cluster.nodes().getFirst()))) {
            for (String[] command : new String[][] {
                {"CLIENT", "TRACKING"},
                {"CLIENT", "TRACKING", "x"},
                {"CLIENT", "TRACKING", "ON", "PREFIX", "x"},
                {"CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT"},
                {"CLIENT", "CACHING", "YES"},
                {"CLIENT", "TRACKING", "ON", "OPTIN"},
                {"CLIENT", "CACHING", "NO"},
                {"CLIENT", "TRACKING", "ON", "BCAST"},
                {"CLIENT", "TRACKING", "OFF"},
                {"CLIENT", "CACHING", "YES"}
            }) {
                assertThat(client.text(command)).as(String.join(" ", command)).isEqualTo(direct.text(command));
            }
        }
    }

    @Test
    void behindATransactionEverythingIsForgotten() {
        String key = keys("t").get(1);
        try (RawClient client = tracker();
                RawClient other = client()) {
            client.text("MULTI");
            client.text("GET", key);
            client.send("EXEC");
            assertThat(client.reply().text()).isEqualTo("[]");
            assertThat(client.rawReply()).isEqualTo(FORGET_ALL);
            assertThat(client.call("GET", key)).isEqualTo(new Reply.Nil());
            other.text("SET", key, "1");
            assertThat(client.rawReply()).isEqualTo(forget(key));
        }
    }

    @Test
    void aSlotThatMovesMakesTheClientForgetAndIsTrackedWhereItIsThen() {
        RealServer from = cluster.nodes().get(0);
        RealServer to = cluster.nodes().get(2);
        String key = cluster.keyOn(from, "s");
        int slot = RealCluster.slotOf(key);
        try (RawClient client = tracker();
                RawClient other = client()) {
            other.text("SET", key, "1");
            assertThat(client.text("GET", key)).isEqualTo("1");
            cluster.moveSlot(slot, to);
            try {
                assertThat(client.rawReply()).isIn(FORGET_ALL, forget(key));
                client.send("GET", key);
                String reply = client.rawReply();
                while (reply.startsWith(">")) {
                    reply = client.rawReply();
                }
                assertThat(reply).isEqualTo("$1\r\n1\r\n");
                client.send("ECHO", "x");
                reply = client.rawReply();
                while (reply.startsWith(">")) {
                    reply = client.rawReply(); // it was sent again, and so is to be forgotten
                }
                assertThat(client.text("GET", key)).isEqualTo("1");
                other.text("SET", key, "2");
                assertThat(client.rawReply()).isEqualTo(forget(key));
            } finally {
                cluster.moveSlot(slot, from);
            }
        }
    }

    /** Nobody tells the proxy, so that a server has to. What CLIENT CACHING has said is not said again to the one where the slot is. */
    @Test
    void whatWasReadAnewElsewhereIsForgotten() {
        RealServer from = cluster.nodes().get(0);
        RealServer to = cluster.nodes().get(2);
        String key = cluster.keyOn(from, "r");
        int slot = RealCluster.slotOf(key);
        from.call("SET", key, "1");
        try (CacheProxy unwatched =
                ProxyFixture.proxy(ClusterFixture.route("blue", cluster, 1), ProxyLimits.DEFAULT, 1)) {
            unwatched.topology("blue", ClusterFixture.topology(cluster.nodes()));
            try (RawClient client = ProxyFixture.client(unwatched);
                    RawClient idle = ProxyFixture.client(unwatched)) {
                for (RawClient each : List.of(client, idle)) {
                    each.text("HELLO", "3");
                    assertThat(each.text("CLIENT", "TRACKING", "ON", "OPTIN")).isEqualTo("OK");
                }
                cluster.moveSlot(slot, to);
                assertThat(client.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
                client.send("GET", key);
                client.send("ECHO", "end");
                List<String> replies = new ArrayList<>();
                while (!replies.contains("$3\r\nend\r\n")) {
                    replies.add(client.rawReply());
                }
                int value = replies.indexOf("$1\r\n1\r\n");
                assertThat(replies.subList(value + 1, replies.size())).contains(FORGET_ALL);
                assertThat(idle.rawReply()).isEqualTo(FORGET_ALL); // as the slot is elsewhere
            } finally {
                cluster.moveSlot(slot, from);
            }
        }
    }

    @Test
    void aConnectionThatBreaksMakesTheClientForgetAndIsReplaced() {
        try (RawClient client = tracker();
                RawClient everything = tracker("BCAST");
                RawClient other = client()) {
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "d");
                assertThat(client.call("GET", key)).isEqualTo(new Reply.Nil());
                node.call("CLIENT", "KILL", "TYPE", "normal");
                assertThat(client.rawReply()).isEqualTo(FORGET_ALL);
                assertThat(everything.rawReply()).isEqualTo(FORGET_ALL);
                assertThat(client.call("GET", key)).isEqualTo(new Reply.Nil());
                // Without having said anything since.
                Await.until(
                        ClusterFixture.LIMIT,
                        "both are known there again",
                        () -> "2".equals(node.info("clients").get("tracking_clients")));
                other.text("SET", key, "1");
                assertThat(client.rawReply()).isEqualTo(forget(key));
                assertThat(everything.rawReply()).isEqualTo(forget(key));
            }
        }
    }

    @Test
    void aSwitchMakesTheClientForgetEverythingAndTracksOnThereAndBack() {
        try (RawClient client = tracker();
                RawClient prefixes = tracker("BCAST", "PREFIX", "w");
                RawClient optIn = tracker("OPTIN");
                RawClient other = client()) {
            List<RawClient> all = List.of(client, prefixes, optIn);
            String key = keys("w").get(2);
            for (int epoch = 2; epoch <= 5; epoch++) {
                assertThat(client.text("GET", key)).isIn("", "4", "5");
                assertThat(optIn.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
                BackendRoute next = epoch % 2 == 0
                        ? ProxyFixture.route("green", server, epoch)
                        : ClusterFixture.route("blue", cluster, epoch);
                proxy.openAhead(next).join();
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                proxy.letGo(next).join();
                for (RawClient each : all) {
                    assertThat(each.rawReply()).isEqualTo(FORGET_ALL);
                    assertThat(each.text("GET", key)).isIn("", "4", "5");
                }
                other.text("SET", key, "4");
                for (RawClient each : all) {
                    assertThat(each.rawReply()).isEqualTo(forget(key));
                    assertThat(each.text("GET", key)).isEqualTo("4");
                }
                other.text("SET", key, "5");
                assertThat(client.rawReply()).isEqualTo(forget(key));
                assertThat(prefixes.rawReply()).isEqualTo(forget(key));
            }
        }
    }

    /** It may still run, and would come behind the switch. */
    @Test
    void aHoldWaitsForWhatAClientHasSentThatIsGone() {
        RealServer node = cluster.nodes().get(1);
        String key = cluster.keyOn(node, "g");
        try (RawClient client = tracker()) {
            client.send("EVAL", HoldTest.SLOW_WRITE, "1", key, "600");
            Await.until(ClusterFixture.LIMIT, "it runs", () -> isBusy(node));
        }
        Await.until(ClusterFixture.LIMIT, "its client is gone", () -> proxy.clients() == 0);
        assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
        assertThat(isBusy(node)).isFalse();
        assertThat(node.text("GET", key)).isEqualTo("slow");
    }

    @Test
    void anotherUserIsTrackedAsWell() {
        cluster.nodes().forEach(node -> node.call("ACL", "SETUSER", "second", "on", ">secret", "~*", "+@all"));
        String key = keys("u").get(1);
        try (RawClient client = tracker();
                RawClient other = client()) {
            client.call("GET", key);
            client.send("AUTH", "second", "secret");
            assertThat(List.of(client.rawReply(), client.rawReply())).containsExactlyInAnyOrder(FORGET_ALL, "+OK\r\n");
            client.call("GET", key);
            other.text("SET", key, "1");
            assertThat(client.rawReply()).isEqualTo(forget(key));
            client.send("RESET");
            assertThat(client.reply().text()).isEqualTo("RESET");
            assertThat(client.text("GET", key)).isEqualTo("1");
            other.text("SET", key, "2");
            assertThat(client.text("GET", key)).isEqualTo("2");
        }
    }
}
