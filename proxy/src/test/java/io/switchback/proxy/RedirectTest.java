package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetSpec;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** CLIENT TRACKING with REDIRECT: word for word as at the server, both clients on one event loop and on two, through switches and faults. */
class RedirectTest {
    /** By the names of their servers. */
    private static final Map<String, RealCluster> CLUSTERS = new HashMap<>();

    @TempDir
    static Path clusters;

    private static final Duration LIMIT = Duration.ofSeconds(10);

    private static final String INVALIDATE = "__redis__:invalidate";
    private static final String FORGET_ALL = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n";

    @AfterAll
    static void stopClusters() {
        CLUSTERS.values().forEach(RealCluster::close);
        CLUSTERS.clear();
    }

    private static String forget(String key) {
        return "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$" + key.length() + "\r\n" + key + "\r\n";
    }

    /** Two servers, a proxy before the first, and clients of it: one that tracks, its target, and another one. */
    private record Setup(
            RealServer first, RealServer second, CacheProxy proxy, RawClient client, RawClient target, RawClient other)
            implements AutoCloseable {
        static Setup of(ServerBinary binary, Path folder, int loops, ProxyLimits limits) {
            RealServer first = RealServer.start(binary, folder.resolve("first"));
            RealServer second = RealServer.start(binary, folder.resolve("second"));
            CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1), limits, loops);
            return new Setup(
                    first,
                    second,
                    proxy,
                    ProxyFixture.client(proxy),
                    ProxyFixture.client(proxy),
                    ProxyFixture.client(proxy));
        }

        String track(String... how) {
            List<String> command =
                    new ArrayList<>(List.of("CLIENT", "TRACKING", "ON", "REDIRECT", target.text("CLIENT", "ID")));
            command.addAll(List.of(how));
            return client.text(command.toArray(String[]::new));
        }

        /** As client libraries do it. */
        void trackIntoSubscribedTarget() {
            String id = target.text("CLIENT", "ID");
            assertThat(target.text("SUBSCRIBE", INVALIDATE)).contains("subscribe");
            assertThat(client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id)).isEqualTo("OK");
        }

        void switchOver() {
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
        }

        void isTold(String key) {
            // The connection of others may just have been killed, too.
            Await.until(
                    LIMIT,
                    "it is changed",
                    () -> other.text("SET", key, "changed").equals("OK"));
            assertThat(target.rawReply()).isEqualTo(forget(key));
        }

        /** The server's connections but the one that asks. */
        List<String> connections(RealServer server) {
            try (Jedis asking = server.client()) {
                String own = "id=" + asking.clientId() + " ";
                return Stream.of(asking.clientList().split("\n"))
                        .filter(line -> !line.startsWith(own))
                        .toList();
            }
        }

        @Override
        public void close() {
            client.close();
            target.close();
            other.close();
            proxy.close();
            first.close();
            second.close();
        }
    }

    private static List<DynamicTest> everywhere(Path folder, ProxyLimits limits, Consumer<Setup> body) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            for (int loops : List.of(1, 2)) {
                tests.add(DynamicTest.dynamicTest(binary.name() + ", event loops: " + loops, () -> {
                    try (Setup setup = Setup.of(binary, folder.resolve(binary.name() + loops), loops, limits)) {
                        body.accept(setup);
                    }
                }));
            }
        }
        return tests;
    }

    private static List<DynamicTest> everywhere(Path folder, Consumer<Setup> body) {
        return everywhere(folder, ProxyLimits.DEFAULT, body);
    }

    // --- word for word

    /** What one server says, clients hear of the proxy in front of it, and of one in front of a cluster. */
    private static List<DynamicTest> sameAsTheServer(Path folder, Consumer<Conversation> talk) {
        List<DynamicTest> tests = new ArrayList<>(everywhere(folder, setup -> {
            String direct = directly(setup.first, talk);
            // So that what the proxy calls its clients is not what the server calls its connections.
            for (int i = 0; i < 9; i++) {
                setup.first.call("PING");
            }
            try (Conversation conversation =
                    new Conversation(setup.proxy.addresses().getFirst(), false)) {
                talk.accept(conversation);
                assertThat(conversation.written()).isEqualTo(direct);
            }
        }));
        for (ServerBinary binary : ServerBinary.found()) {
            for (int loops : List.of(1, 2)) {
                tests.add(DynamicTest.dynamicTest(
                        "cluster of " + binary.name() + ", event loops: " + loops,
                        () -> sameOfCluster(binary, folder, loops, talk)));
            }
        }
        return tests;
    }

    private static void sameOfCluster(ServerBinary binary, Path folder, int loops, Consumer<Conversation> talk) {
        RealCluster cluster = CLUSTERS.computeIfAbsent(
                binary.name(), name -> RealCluster.start(binary, clusters.resolve(name), 3, 0));
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
        try (RealServer server = RealServer.start(binary, folder.resolve(binary.name() + "-direct" + loops));
                CacheProxy proxy =
                        ProxyFixture.proxy(ClusterFixture.route("blue", cluster, 1), ProxyLimits.DEFAULT, loops)) {
            proxy.topology("blue", ClusterFixture.topology(cluster.nodes()));
            try (Conversation conversation = new Conversation(proxy.addresses().getFirst(), true)) {
                String direct = directly(server, talk);
                talk.accept(conversation);
                assertThat(conversation.written()).isEqualTo(direct);
            }
        }
    }

    private static String directly(RealServer server, Consumer<Conversation> talk) {
        try (Conversation conversation = new Conversation(ProxyFixture.endpoint(server), false)) {
            talk.accept(conversation);
            return conversation.written();
        } finally {
            server.call("FLUSHALL");
        }
    }

    @TestFactory
    List<DynamicTest> whatIsWrongWithTheWordsTheServerSays(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join();
            int target = talk.join();
            for (String id : List.of("0", "-1", "007", "1x", "", "99999999", "99999999999999999999")) {
                talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", id);
                talk.say(client, "CLIENT", "TRACKING", "OFF", "REDIRECT", id);
            }
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT");
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target, "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target, "PREFIX", "x");
            talk.say(client, "CLIENT", "TRACKING", "ON", "PREFIX", "REDIRECT", "7");
            talk.say(client, "CLIENT", "TRACKING", "MAYBE", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "GETREDIR");
            talk.say(client, "CLIENT", "TRACKINGINFO");
            talk.say(client, "CLIENT", "TRACKING", "OFF", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "GETREDIR");
            talk.say(client, "CLIENT", "GETREDIR", "x");
            talk.say(client, "CLIENT", "TRACKINGINFO");
            talk.say(client, "CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "5000000");
            talk.say(client, "CLIENT", "GETREDIR");
            talk.say(client, "CLIENT", "TRACKING", "OFF", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "GETREDIR");
        });
    }

    @TestFactory
    List<DynamicTest> aTargetOfRespTwoHearsWhileItIsSubscribedToAnything(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join();
            int target = talk.join();
            int other = talk.join();
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target);
            for (List<String> subscription : List.of(
                    List.of("SUBSCRIBE", INVALIDATE), List.of("SUBSCRIBE", "news"), List.of("PSUBSCRIBE", "n*"))) {
                talk.say(target, subscription.toArray(String[]::new));
                // Of one shard, so that it is one that says so.
                talk.say(client, "MGET", "{x}a", "{x}b");
                talk.say(other, "MSET", "{x}a", "1", "{x}b", "2");
                talk.hears(target);
                talk.hears(target);
                talk.say(client, "GET", "a");
                talk.say(other, "FLUSHALL");
                talk.hears(target);
                String leaves = subscription.getFirst().replace("SUB", "UNSUB");
                talk.say(target, leaves);
                talk.say(client, "GET", "a");
                talk.say(other, "SET", "a", "3");
                talk.hearsNothing(target);
            }
            talk.say(target, "PING");
        });
    }

    @TestFactory
    List<DynamicTest> aTargetOfRespThreeHearsAlways(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join();
            int target = talk.join("HELLO", "3");
            int other = talk.join();
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target);
            talk.say(client, "GET", "a");
            talk.say(other, "SET", "a", "1");
            talk.hears(target);
            talk.say(client, "GET", "a");
            talk.say(other, "FLUSHALL");
            talk.hears(target);
            talk.say(target, "GET", "a");
            talk.say(client, "CLIENT", "TRACKING", "OFF");
            talk.say(client, "GET", "a");
            talk.say(other, "SET", "a", "2");
            talk.hearsNothing(target);
        });
    }

    @TestFactory
    List<DynamicTest> theOtherModesGoAlongWithIt(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join("HELLO", "3");
            int target = talk.join();
            int other = talk.join();
            talk.say(target, "SUBSCRIBE", INVALIDATE);
            talk.say(
                    client,
                    "CLIENT",
                    "TRACKING",
                    "ON",
                    "BCAST",
                    "PREFIX",
                    "redirect",
                    "REDIRECT",
                    "#" + target,
                    "NOLOOP");
            talk.say(client, "SET", "redirect:1", "own");
            talk.say(other, "SET", "redirect:2", "other's");
            talk.hears(target);
            talk.say(client, "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "more", "REDIRECT", "#" + target);
            talk.say(client, "CLIENT", "TRACKINGINFO");
            talk.say(client, "SET", "more:1", "own");
            talk.hears(target);
            talk.say(client, "CLIENT", "TRACKING", "OFF");
            talk.say(client, "CLIENT", "TRACKING", "ON", "OPTIN", "REDIRECT", "#" + target);
            talk.say(client, "GET", "a");
            talk.say(client, "CLIENT", "CACHING", "YES");
            talk.say(client, "GET", "b");
            talk.say(other, "MSET", "a", "1", "b", "2");
            talk.hears(target);
            talk.hearsNothing(target);
            // Without REDIRECT now.
            talk.say(client, "CLIENT", "TRACKING", "ON", "OPTIN");
            talk.say(client, "CLIENT", "GETREDIR");
            talk.say(client, "CLIENT", "CACHING", "YES");
            talk.say(client, "GET", "b");
            talk.say(other, "SET", "b", "3");
            talk.hears(client);
            talk.hearsNothing(target);
        });
    }

    @TestFactory
    List<DynamicTest> aClientMayBeItsOwnTarget(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join("HELLO", "3");
            int other = talk.join();
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + client);
            talk.say(client, "CLIENT", "TRACKINGINFO");
            talk.say(client, "GET", "a");
            talk.say(other, "SET", "a", "1");
            talk.hears(client);
            int second = talk.join();
            talk.say(second, "CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", "#" + second);
            talk.say(other, "SET", "a", "2");
            talk.hearsNothing(second);
            talk.say(second, "SUBSCRIBE", "news");
            talk.say(other, "SET", "a", "3");
            talk.hears(second);
        });
    }

    @TestFactory
    List<DynamicTest> aClientHearsThatItsTargetIsGone(@TempDir Path folder) {
        return sameAsTheServer(folder, talk -> {
            int client = talk.join("HELLO", "3");
            int target = talk.join();
            int other = talk.join();
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + target);
            talk.say(client, "MGET", "a", "b", "c");
            talk.leaves(target);
            talk.hearsNothing(client); // by which time it is seen to be gone
            talk.say(client, "CLIENT", "GETREDIR");
            talk.say(other, "SET", "a", "1");
            talk.hears(client);
            talk.say(other, "SET", "b", "1");
            talk.hears(client);
            talk.say(client, "CLIENT", "TRACKINGINFO");
            int next = talk.join();
            talk.say(next, "SUBSCRIBE", "news");
            talk.say(client, "CLIENT", "TRACKING", "ON", "REDIRECT", "#" + next);
            talk.say(client, "CLIENT", "TRACKINGINFO");
            talk.say(other, "SET", "c", "1");
            talk.hears(next);
        });
    }

    /** So that what is invalidated comes between the replies where it came at the server. */
    @TestFactory
    List<DynamicTest> aClientThatIsItsOwnTargetHasOneConnection(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.target.text("HELLO", "3");
            String id = setup.target.text("CLIENT", "ID");
            setup.target.text("CLIENT", "TRACKING", "ON");
            int connections = setup.connections(setup.first).size();
            assertThat(setup.target.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                    .isEqualTo("OK");
            assertThat(setup.connections(setup.first)).hasSize(connections);
        });
    }

    @Test
    void aClientOfAnotherNodeIsNobody(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy one = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                CacheProxy other = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                RawClient client = ProxyFixture.client(one);
                RawClient target = ProxyFixture.client(other)) {
            String id = target.text("CLIENT", "ID");
            assertThat(client.text("CLIENT", "ID")).isNotEqualTo(id);
            assertThat(client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                    .isEqualTo("-ERR The client ID you want redirect to does not exist");
            assertThat(client.text("CLIENT", "KILL", "ID", id)).isEqualTo("0");
            assertThat(client.text("CLIENT", "UNBLOCK", id)).isEqualTo("0");
            assertThat(Long.parseLong(id)).isLessThan(1L << 53);
        }
    }

    /** Where the target's event loop has no time, the client that tracks waits. */
    @TestFactory
    List<DynamicTest> theNextCommandWaitsUntilTheTargetHasBeenTold(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.target.text("HELLO", "3");
            assertThat(setup.track()).isEqualTo("OK");
            setup.client.text("GET", "k");
            setup.other.text("PING");
            Set<Thread> loops = ConcurrentHashMap.newKeySet();
            setup.proxy.guard(command -> {
                loops.add(Thread.currentThread());
                return "ERR refused";
            });
            setup.client.text("SET", "k", "1");
            setup.target.text("SET", "k", "1");
            boolean onTwoLoops = loops.size() == 2;
            CountDownLatch hasTime = new CountDownLatch(1);
            CountDownLatch hasNone = new CountDownLatch(1);
            setup.proxy.guard(command -> {
                hasNone.countDown();
                await(hasTime);
                return "ERR refused";
            });
            setup.target.send("SET", "k", "1");
            await(hasNone);
            setup.client.send("PING");
            if (onTwoLoops) {
                assertThat(setup.client.reply().text()).isEqualTo("PONG");
            }
            killOneOf(setup, "resp=3");
            if (onTwoLoops) {
                assertThat(waitsSoon(setup.client))
                        .as("once the proxy has noticed the loss")
                        .isTrue();
            }
            hasTime.countDown();
            assertThat(setup.target.reply().isError()).isTrue();
            assertThat(setup.target.rawReply()).isEqualTo(">2\r\n$10\r\ninvalidate\r\n$-1\r\n");
            setup.client.reply();
        });
    }

    private static boolean waitsSoon(RawClient client) {
        for (int i = 0; i < 20; i++) {
            client.send("GET", "k");
            if (!client.hasReplyWithin(300)) {
                return true;
            }
            client.reply();
        }
        return false;
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    // --- switches and faults

    @TestFactory
    List<DynamicTest> aSwitchMakesTheTargetForgetEverythingAndTracksOn(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.trackIntoSubscribedTarget();
            setup.client.text("GET", "k");
            setup.proxy
                    .openAhead(ProxyFixture.route("new", setup.second, 2), "")
                    .join();
            int ahead = setup.connections(setup.second).size();
            setup.switchOver();
            assertThat(setup.client.text("GET", "k")).isEmpty();
            // Before the client's next command was answered.
            assertThat(setup.target.rawReply()).isEqualTo(FORGET_ALL);
            assertThat(setup.connections(setup.second))
                    .as("none is opened late")
                    .hasSize(ahead);
            setup.isTold("k");
            assertThat(setup.client.text("CLIENT", "GETREDIR")).isEqualTo(setup.client.text("CLIENT", "GETREDIR"));
            assertThat(setup.connections(setup.first)).isEmpty();
        });
    }

    @TestFactory
    List<DynamicTest> theLossOfEitherConnectionMakesTheTargetForgetEverything(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.trackIntoSubscribedTarget();
            for (String ofCompanion : List.of("resp=3", "resp=2", "resp=3")) {
                setup.client.text("GET", "k");
                killOneOf(setup, ofCompanion);
                assertThat(setup.target.rawReply()).isEqualTo(FORGET_ALL);
                setup.client.text("GET", "k");
                setup.isTold("k");
            }
        });
    }

    /** The companion speaks RESP3; of those that speak RESP2 all are killed. Redis 6.0 does not say which is which: there all are. */
    private static void killOneOf(Setup setup, String with) {
        for (String line : setup.connections(setup.first)) {
            if ((line.contains(with) || !line.contains("resp=")) && !line.contains(" sub=1")) {
                setup.first.call("CLIENT", "KILL", "ID", line.replaceFirst("id=([0-9]+) .*", "$1"));
            }
        }
    }

    @TestFactory
    List<DynamicTest> theLossOfTheCompanionLeavesATransactionWhole(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.trackIntoSubscribedTarget();
            assertThat(setup.client.text("MULTI")).isEqualTo("OK");
            assertThat(setup.client.text("INCR", "n")).isEqualTo("QUEUED");
            assertThat(setup.client.text("GET", "k")).isEqualTo("QUEUED");
            killOneOf(setup, "resp=3");
            assertThat(setup.target.rawReply()).isEqualTo(FORGET_ALL);
            assertThat(setup.client.text("EXEC")).isEqualTo("[1, ]");
            setup.isTold("k");
            assertThat(setup.other.text("GET", "n")).isEqualTo("1");
        });
    }

    /** It was meant for the target that there was, and the server does not know of it any more. */
    @Test
    void whatWasOnItsWayToAFormerTargetIsToldToIt(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                HeldWire wire = new HeldWire(ProxyFixture.endpoint(server), "\r\nID\r\n");
                CacheProxy proxy = ProxyFixture.proxy(
                        new BackendRoute(new FleetSpec("old", wire.endpoint(), Optional.empty()), 1));
                RawClient client = ProxyFixture.client(proxy);
                RawClient target = ProxyFixture.client(proxy)) {
            target.text("HELLO", "3");
            String id = target.text("CLIENT", "ID");
            for (String change : List.of("ON", "OFF")) {
                assertThat(client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                        .isEqualTo("OK");
                client.text("GET", "k");
                wire.hold();
                server.call("SET", "k", "1");
                assertThat(client.text("CLIENT", "TRACKING", change)).isEqualTo("OK");
                wire.letGo();
                assertThat(target.rawReply()).isEqualTo(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
            }
        }
    }

    @TestFactory
    List<DynamicTest> nothingIsLeftOfIt(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.trackIntoSubscribedTarget();
            assertThat(setup.client.text("CLIENT", "TRACKING", "OFF")).isEqualTo("OK");
            setup.client.text("GET", "k");
            setup.other.text("SET", "k", "1");
            assertThat(setup.target.hasReplyWithin(100)).isFalse();
            int connections = setup.connections(setup.first).size();
            String id = setup.other.text("CLIENT", "ID");
            for (int i = 0; i < 20; i++) {
                assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                        .isEqualTo("OK");
                assertThat(setup.client.text("CLIENT", "TRACKING", i % 2 == 0 ? "OFF" : "ON"))
                        .isEqualTo("OK");
            }
            // Its own, of which the end has not come to the server, may be one more; the last companion is closed once
            // it is quiet.
            Await.until(
                    Duration.ofSeconds(5),
                    "no companion is left",
                    () -> setup.connections(setup.first).size() <= connections + 1);
            assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                    .isEqualTo("OK");
            setup.client.leave();
            Await.until(
                    Duration.ofSeconds(5),
                    "the companion is gone with its client",
                    () -> setup.connections(setup.first).stream().noneMatch(line -> line.contains("cmd=client")));
        });
    }

    @TestFactory
    List<DynamicTest> afterASwitchAClientHearsThatItsTargetIsGone(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.client.text("HELLO", "3");
            String id = setup.target.text("CLIENT", "ID");
            assertThat(setup.track()).isEqualTo("OK");
            setup.client.text("GET", "k");
            setup.target.leave();
            setup.client.hasReplyWithin(100);
            setup.switchOver();
            String broken = ">2\r\n$21\r\ntracking-redir-broken\r\n:" + id + "\r\n";
            assertThat(setup.client.rawReply()).isEqualTo(broken);
            setup.client.text("GET", "k");
            setup.other.text("SET", "k", "1");
            assertThat(setup.client.rawReply()).isEqualTo(broken);
        });
    }

    @TestFactory
    List<DynamicTest> whatIsTooMuchAtOnceBecomesOneMessage(@TempDir Path folder) {
        return everywhere(
                folder, new Limits().outputBytesPerClient(1000, 20_000_000).build(), setup -> {
                    setup.trackIntoSubscribedTarget();
                    StringBuilder reads = new StringBuilder();
                    StringBuilder writes = new StringBuilder();
                    for (int i = 0; i < 1000; i++) {
                        reads.append("GET key:").append(i).append("\r\n");
                        writes.append("SET key:").append(i).append(" 1\r\n");
                    }
                    setup.client.sendRaw(reads.toString());
                    for (int i = 0; i < 1000; i++) {
                        setup.client.reply();
                    }
                    setup.other.sendRaw(writes.toString());
                    for (int i = 0; i < 1000; i++) {
                        setup.other.reply();
                    }
                    setup.client.text("GET", "last");
                    setup.other.text("SET", "last", "1");
                    boolean all = false;
                    int told = 0;
                    for (String next = setup.target.rawReply();
                            !next.equals(forget("last"));
                            next = setup.target.rawReply()) {
                        all |= next.equals(FORGET_ALL);
                        told++;
                    }
                    assertThat(all || told == 1000)
                            .as("%d messages, everything: %s", told, all)
                            .isTrue();
                    assertThat(all).isTrue();
                    assertThat(setup.proxy.load().limitsReached().get(Limit.INVALIDATIONS))
                            .isPositive();
                });
    }

    /** What other connections bring does not come in the middle of a reply. */
    @TestFactory
    List<DynamicTest> anInvalidationWaitsForTheEndOfALargeReply(@TempDir Path folder) {
        return everywhere(folder, setup -> {
            setup.target.text("HELLO", "3");
            assertThat(setup.track()).isEqualTo("OK");
            String large = "x".repeat(30_000_000);
            setup.other.text("SET", "large", large);
            setup.client.text("GET", "k");
            setup.target.send("GET", "large");
            assertThat(setup.target.hasReplyWithin(5000)).isTrue(); // it has begun, and is not read
            setup.other.text("SET", "k", "1");
            setup.other.text("PING");
            assertThat(setup.target.text("PING")).isEqualTo(large);
            assertThat(setup.target.rawReply()).isEqualTo(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
            assertThat(setup.target.reply().text()).isEqualTo("PONG");
        });
    }
}
