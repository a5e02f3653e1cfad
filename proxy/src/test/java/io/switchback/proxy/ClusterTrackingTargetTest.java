package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.Topology;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * CLIENT TRACKING with REDIRECT in front of a cluster: whatever becomes of shards, connections and fleets, the target keeps nothing that is not so any more without being told. What it is told
 * word for word: {@link RedirectTest}.
 */
class ClusterTrackingTargetTest {
    private static final String INVALIDATE = "__redis__:invalidate";

    private static RealCluster cluster;
    private static RealCluster second;
    private static RealServer server;

    @BeforeAll
    static void startServers(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder.resolve("cluster"), 3, 0);
        second = RealCluster.start(ProxyFixture.binary(), folder.resolve("second"), 2, 0);
        server = ProxyFixture.server(folder.resolve("one"));
    }

    @AfterAll
    static void stopServers() {
        cluster.close();
        second.close();
        server.close();
    }

    private static void forgetKeys() {
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
        second.nodes().forEach(node -> node.call("FLUSHALL"));
        server.call("FLUSHALL");
    }

    /** A proxy in front of the cluster, and clients of it: one that tracks, its target, and another one. */
    private static final class Setup implements AutoCloseable {
        private final CacheProxy proxy;
        private final FleetWatch watch;
        private final Protocol ofClient;
        private final Protocol ofTarget;
        private final RawClient client;
        private final RawClient target;
        private final RawClient other;
        private final String targetId;

        Setup(RealCluster before, int loops, ProxyLimits limits, Protocol ofClient, Protocol ofTarget) {
            BackendRoute route = ClusterFixture.route("blue", before, 1);
            this.proxy = ProxyFixture.proxy(route, limits, loops);
            this.watch = ClusterFixture.watch(proxy, route);
            this.ofClient = ofClient;
            this.ofTarget = ofTarget;
            this.client = client();
            this.target = client();
            this.other = client();
            client.text("HELLO", "" + ofClient.version());
            target.text("HELLO", "" + ofTarget.version());
            this.targetId = target.text("CLIENT", "ID");
            if (ofTarget == Protocol.RESP2) {
                assertThat(target.text("SUBSCRIBE", INVALIDATE)).contains("subscribe");
            }
        }

        RawClient client() {
            return ProxyFixture.client(proxy);
        }

        void track(String... how) {
            List<String> command = new ArrayList<>(List.of("CLIENT", "TRACKING", "ON", "REDIRECT", targetId));
            command.addAll(List.of(how));
            assertThat(client.text(command.toArray(String[]::new))).isEqualTo("OK");
        }

        private String start() {
            return ofTarget == Protocol.RESP2
                    ? "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
                    : ">2\r\n$10\r\ninvalidate\r\n";
        }

        String forget(String key) {
            return start() + "*1\r\n$" + key.length() + "\r\n" + key + "\r\n";
        }

        /** In the words of who tracks. */
        String forgetAll() {
            return start() + (ofClient == Protocol.RESP2 ? "$-1\r\n" : "_\r\n");
        }

        /** The value is read, changed by another client, and the target told of that, and of nothing else. */
        void isTold(String key) {
            client.text("GET", key);
            assertThat(other.text("SET", key, "changed")).isEqualTo("OK");
            assertThat(target.rawReply()).isEqualTo(forget(key));
        }

        void switchTo(BackendRoute next) {
            proxy.openAhead(next).join();
            assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(next).join();
        }

        @Override
        public void close() {
            client.close();
            target.close();
            other.close();
            watch.close();
            proxy.close();
        }
    }

    private static List<DynamicTest> everywhere(RealCluster before, ProxyLimits limits, Consumer<Setup> body) {
        return Stream.of(new Object[][] {
                    {1, Protocol.RESP2, Protocol.RESP2},
                    {2, Protocol.RESP2, Protocol.RESP3},
                    {1, Protocol.RESP3, Protocol.RESP3},
                    {2, Protocol.RESP3, Protocol.RESP2}
                })
                .map(each -> DynamicTest.dynamicTest(
                        "event loops: " + each[0] + ", client: " + each[1] + ", target: " + each[2], () -> {
                            forgetKeys();
                            try (Setup setup =
                                    new Setup(before, (int) each[0], limits, (Protocol) each[1], (Protocol) each[2])) {
                                body.accept(setup);
                            }
                        }))
                .toList();
    }

    private static List<DynamicTest> everywhere(Consumer<Setup> body) {
        return everywhere(cluster, ProxyLimits.DEFAULT, body);
    }

    private static List<String> keys(String prefix) {
        return cluster.nodes().stream().map(node -> cluster.keyOn(node, prefix)).toList();
    }

    // --- who is told what

    @TestFactory
    List<DynamicTest> aChangeOfWhatWasReadAtAnyShardIsTold() {
        return everywhere(setup -> {
            setup.track();
            keys("k").forEach(setup::isTold);
            assertThat(setup.client.text("CLIENT", "GETREDIR")).isEqualTo(setup.targetId);
            assertThat(setup.client.text("CLIENT", "TRACKINGINFO")).contains("redirect, " + setup.targetId);
            assertThat(setup.client.text("CLIENT", "TRACKING", "OFF")).isEqualTo("OK");
            for (String key : keys("k")) {
                setup.client.text("GET", key);
                setup.other.text("SET", key, "again");
            }
            assertThat(setup.target.hasReplyWithin(100)).isFalse();
        });
    }

    @TestFactory
    List<DynamicTest> whatIsReadOfSeveralShardsAtOnceIsTrackedAtEach() {
        return everywhere(setup -> {
            setup.track();
            List<String> keys = keys("m");
            setup.client.text("MGET", keys.get(0), keys.get(1), keys.get(2));
            for (String key : keys) {
                setup.other.text("SET", key, "1");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
            }
        });
    }

    /** A target that is told only before would keep what the client gets afterwards; one that is told only afterwards would wait for a slow client. */
    @TestFactory
    List<DynamicTest> aTargetIsToldAtOnceAndOnceTheClientHasWhatItIsAbout() {
        return everywhere(setup -> {
            setup.track();
            List<String> keys = keys("o");
            cluster.nodes().get(1).call("SET", keys.get(1), "old");
            long before = reads(cluster.nodes().get(1));
            setup.client.send("EVAL", HoldTest.SLOW_WRITE, "1", keys.get(0), "1000");
            setup.client.send("GET", keys.get(1));
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is read",
                    () -> reads(cluster.nodes().get(1)) > before);
            cluster.nodes().get(1).call("SET", keys.get(1), "new");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forget(keys.get(1)));
            assertThat(setup.client.hasReplyWithin(1)).as("its replies").isFalse();
            assertThat(setup.target.rawReply()).isEqualTo(setup.forget(keys.get(1)));
            assertThat(setup.client.hasReplyWithin(100)).as("both replies").isTrue();
            assertThat(setup.client.rawReply()).isEqualTo("+OK\r\n");
            assertThat(setup.client.hasReplyWithin(100)).as("both replies").isTrue();
            assertThat(setup.client.rawReply()).isEqualTo("$3\r\nold\r\n");
        });
    }

    private static long reads(RealServer node) {
        String line = node.info("commandstats").getOrDefault("cmdstat_get", "calls=0,");
        return Long.parseLong(line.substring(line.indexOf('=') + 1, line.indexOf(',')));
    }

    @TestFactory
    List<DynamicTest> broadcastsComeFromEveryShardAlsoOverNewConnections() {
        return everywhere(setup -> {
            setup.track("BCAST", "PREFIX", "b", "PREFIX", "c", "NOLOOP");
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "b");
                setup.client.text("SET", key, "own");
                setup.other.text("SET", "x" + key, "1");
                setup.other.text("SET", key, "1");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
                for (boolean ofCompanion : List.of(true, false)) {
                    killOthers(node, line -> isCompanion(line) == ofCompanion);
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
                    // Without a command of the client's.
                    Await.until(
                            ClusterFixture.LIMIT,
                            "it is known there again",
                            () -> "1".equals(node.info("clients").get("tracking_clients"))
                                    && node.text("CLIENT", "LIST")
                                            .lines()
                                            .anyMatch(ClusterTrackingTargetTest::isCompanion));
                    node.call("SET", key, "2");
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
                }
            }
        });
    }

    @TestFactory
    List<DynamicTest> whatIsSaidOfTheNextCommandHoldsWhereThatGoes() {
        return everywhere(setup -> {
            setup.track("OPTIN");
            for (String key : keys("i")) {
                String next = key + "{" + key + "}";
                setup.client.text("GET", key);
                assertThat(setup.client.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
                setup.client.text("GET", next);
                setup.other.text("MSET", key, "1", next, "1");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forget(next));
            }
            assertThat(setup.target.hasReplyWithin(50)).isFalse();
        });
    }

    @TestFactory
    List<DynamicTest> anotherTargetIsToldFromThenOn() {
        return everywhere(setup -> {
            setup.track();
            List<String> keys = keys("a");
            keys.forEach(key -> setup.client.text("GET", key));
            try (RawClient next = setup.client()) {
                String id = next.text("CLIENT", "ID");
                next.text("HELLO", "3");
                assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id))
                        .isEqualTo("OK");
                for (String key : keys) {
                    setup.other.text("SET", key, "1");
                    assertThat(next.rawReply()).contains(key);
                }
                assertThat(setup.client.text("CLIENT", "GETREDIR")).isEqualTo(id);
                assertThat(setup.target.hasReplyWithin(50)).isFalse();
            }
        });
    }

    /** Those that have agreed know a target that counts no more than for the one that has not. */
    @TestFactory
    List<DynamicTest> whatOneShardRefusesCountsForNone() {
        return everywhere(setup -> {
            setup.track();
            keys("r").forEach(setup::isTold);
            keys("r").forEach(key -> setup.client.text("GET", key));
            RealServer refuses = cluster.nodes().get(2);
            refuses.call("ACL", "SETUSER", "default", "-client|tracking");
            try {
                assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id(setup.other)))
                        .startsWith("-NOPERM");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
                drain(setup.target);
                keys("r").forEach(setup::isTold);
                assertThat(setup.client.text("CLIENT", "GETREDIR")).isEqualTo(setup.targetId);
            } finally {
                refuses.call("ACL", "SETUSER", "default", "+@all");
            }
        });
    }

    /** It was meant for the target that there was, and no other server knows of it any more. */
    @TestFactory
    List<DynamicTest> whatWasOnItsWayToAFormerTargetIsToldToIt() {
        return everywhere(setup -> {
            RealServer node = cluster.nodes().getFirst();
            String key = cluster.keyOn(node, "w");
            for (String change : List.of("ON", "OFF")) {
                try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(node), "\r\nID\r\n")) {
                    setup.watch.close();
                    setup.proxy.topology("blue", behind(wire));
                    setup.client.text("CLIENT", "TRACKING", "OFF");
                    setup.track();
                    setup.client.text("GET", key);
                    wire.hold();
                    node.call("SET", key, "1");
                    assertThat(setup.client.text("CLIENT", "TRACKING", change)).isEqualTo("OK");
                    wire.letGo();
                    assertThat(setup.target.rawReply()).as("%s", change).isEqualTo(setup.forget(key));
                    setup.client.text("CLIENT", "TRACKING", "OFF");
                }
            }
        });
    }

    private static Topology behind(HeldWire wire) {
        List<Topology.Shard> shards = new ArrayList<>();
        shards.add(new Topology.Shard(wire.endpoint(), List.of()));
        cluster.nodes().stream()
                .skip(1)
                .map(ProxyFixture::endpoint)
                .forEach(at -> shards.add(new Topology.Shard(at, List.of())));
        return new Topology.Sharded(
                shards, ClusterFixture.topology(cluster.nodes()).shardOfSlot());
    }

    @TestFactory
    List<DynamicTest> whatIsTooMuchAtOnceBecomesOneMessage() {
        return everywhere(
                cluster, new Limits().outputBytesPerClient(1000, 20_000_000).build(), setup -> {
                    setup.track();
                    String busy = cluster.keyOn(cluster.nodes().get(0), "t");
                    String tag = cluster.keyOn(cluster.nodes().get(1), "t");
                    for (int i = 0; i < 100; i++) {
                        setup.client.text("GET", "{" + tag + "}" + i);
                    }
                    setup.client.send("EVAL", HoldTest.SLOW_WRITE, "1", busy, "1500");
                    Await.until(
                            ClusterFixture.LIMIT,
                            "it runs",
                            () -> isBusy(cluster.nodes().get(0)));
                    for (int i = 0; i < 100; i++) { // one by one, so that telling them at once is not too much
                        assertThat(setup.other.text("SET", "{" + tag + "}" + i, "1"))
                                .isEqualTo("OK");
                    }
                    Await.until(
                            ClusterFixture.LIMIT,
                            "it is too much",
                            () -> setup.proxy.load().limitsReached().getOrDefault(Limit.INVALIDATIONS, 0L) > 0);
                    assertThat(setup.client.hasReplyWithin(1))
                            .as("it is noticed while the others are kept")
                            .isFalse();
                    assertThat(setup.client.reply().text()).isEqualTo("OK");
                    setup.client.text("GET", busy);
                    setup.other.text("SET", busy, "1");
                    List<String> told = new ArrayList<>();
                    while (!told.contains(setup.forget(busy))) {
                        told.add(setup.target.rawReply());
                    }
                    assertThat(told).contains(setup.forgetAll());
                });
    }

    private static boolean isBusy(RealServer node) {
        try (RawClient asking = new RawClient(ProxyFixture.endpoint(node))) {
            asking.send("PING");
            return !asking.hasReplyWithin(30);
        }
    }

    // --- connections that break

    /** Both at once, so that each in its turn may name, or be named by, what is gone: nobody is closed for that. */
    @TestFactory
    List<DynamicTest> theLossOfAllConnectionsIsMadeUpFor() {
        return everywhere(setup -> {
            setup.track("BCAST", "PREFIX", "b");
            for (int i = 0; i < 20; i++) {
                RealServer node = cluster.nodes().get(i % 3);
                String key = cluster.keyOn(node, "b");
                killOthers(node, line -> true);
                assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
                Await.until(ClusterFixture.LIMIT, "a change is told", () -> {
                    node.call("SET", key, "2");
                    while (setup.target.hasReplyWithin(20)) {
                        if (setup.target.rawReply().equals(setup.forget(key))) {
                            return true;
                        }
                    }
                    return false;
                });
                drain(setup.target);
            }
            assertThat(setup.client.text("PING")).isEqualTo("PONG");
        });
    }

    /** Those of the proxy's clients that fit, but for the one that brings what a target is subscribed to. */
    private static void killOthers(RealServer node, Predicate<String> fits) {
        try (Jedis asking = node.client()) {
            String own = "id=" + asking.clientId() + " ";
            Stream.of(asking.clientList().split("\n"))
                    .filter(line -> !line.startsWith(own) && line.contains(" sub=0 ") && fits.test(line))
                    .forEach(line -> node.call("CLIENT", "KILL", "ID", line.replaceFirst("id=([0-9]+) .*", "$1")));
        }
    }

    private static boolean isCompanion(String line) {
        return line.contains("cmd=client|id ") || line.contains("cmd=client ");
    }

    @TestFactory
    List<DynamicTest> theLossOfAnyConnectionMakesTheTargetForgetEverything() {
        return everywhere(setup -> {
            setup.track();
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "l");
                setup.isTold(key);
                for (boolean ofCompanion : List.of(true, false, true)) {
                    setup.client.text("GET", key);
                    killOthers(node, line -> isCompanion(line) == ofCompanion);
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
                    setup.client.text("GET", key);
                    Await.until(
                            ClusterFixture.LIMIT,
                            "others have a connection again",
                            () -> setup.other.text("SET", key, "1").equals("OK"));
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
                }
            }
            for (String key : keys("l")) {
                setup.isTold(key);
            }
        });
    }

    /** Its place is left for another connection; what is on its way there may run. */
    @TestFactory
    List<DynamicTest> theLossOfACompanionLosesNoCommand() {
        return everywhere(setup -> {
            setup.track("BCAST", "PREFIX", "p");
            RealServer node = cluster.nodes().get(1);
            String key = cluster.keyOn(node, "n");
            node.call("CLIENT", "PAUSE", "20000", "WRITE");
            setup.client.send("INCR", key);
            Await.until(
                    ClusterFixture.LIMIT,
                    "it waits there",
                    () -> node.text("CLIENT", "LIST")
                            .lines()
                            .anyMatch(line ->
                                    line.contains("flags=") && line.contains("b") && line.contains("cmd=incr")));
            killOthers(node, ClusterTrackingTargetTest::isCompanion);
            Await.until(
                    ClusterFixture.LIMIT,
                    "it is gone",
                    () -> node.text("CLIENT", "LIST").lines().noneMatch(ClusterTrackingTargetTest::isCompanion));
            node.call("CLIENT", "UNPAUSE");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
            assertThat(setup.client.reply().text()).isEqualTo("1");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
            assertThat(setup.client.text("INCR", key)).isEqualTo("2");
            for (String each : keys("p")) {
                setup.other.text("SET", each, "1");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forget(each));
            }
        });
    }

    /** Where the target's event loop has no time, the client that tracks waits: what it is answered next may be newer. */
    @TestFactory
    List<DynamicTest> theNextCommandWaitsUntilTheTargetHasBeenTold() {
        return everywhere(setup -> {
            setup.track();
            List<String> keys = keys("h");
            setup.client.text("GET", keys.get(0));
            if (setup.ofTarget == Protocol.RESP2) {
                return; // it may say nothing that its loop could be kept by
            }
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
            if (onTwoLoops) {
                assertThat(setup.client.text("GET", keys.get(1))).isEmpty();
            }
            killOthers(cluster.nodes().get(0), line -> true);
            if (onTwoLoops) {
                // Of another shard, whose connection stands.
                assertThat(waitsSoon(setup.client, keys.get(1)))
                        .as("once the proxy has noticed the loss")
                        .isTrue();
            }
            hasTime.countDown();
            assertThat(setup.target.reply().isError()).isTrue();
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
        });
    }

    private static boolean waitsSoon(RawClient client, String key) {
        for (int i = 0; i < 20; i++) {
            client.send("GET", key);
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

    @TestFactory
    List<DynamicTest> behindATransactionEverythingIsForgotten() {
        return everywhere(setup -> {
            setup.track();
            String key = keys("x").get(1);
            setup.client.text("MULTI");
            setup.client.text("GET", key);
            assertThat(setup.client.text("EXEC")).isEqualTo("[]");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
            setup.isTold(key);
        });
    }

    @TestFactory
    List<DynamicTest> anotherUserIsTrackedAsWell() {
        cluster.nodes().forEach(node -> node.call("ACL", "SETUSER", "second", "on", ">secret", "~*", "+@all"));
        return everywhere(setup -> {
            setup.track();
            keys("u").forEach(setup::isTold);
            assertThat(setup.client.text("AUTH", "second", "secret")).isEqualTo("OK");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
            keys("u").forEach(setup::isTold);
        });
    }

    @TestFactory
    List<DynamicTest> whoMayNotAskForAnIdIsToldSo() {
        cluster.nodes()
                .forEach(node -> node.call("ACL", "SETUSER", "third", "on", ">secret", "~*", "+@all", "-client|id"));
        return everywhere(setup -> {
            setup.track();
            keys("u").forEach(setup::isTold);
            assertThat(setup.client.text("AUTH", "third", "secret")).isEqualTo("OK");
            assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
            assertThat(setup.client.text("GET", keys("u").get(0))).contains("REDIRECT needs the right to CLIENT ID");
            assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", setup.targetId))
                    .contains("REDIRECT needs the right to CLIENT ID");
            assertThat(setup.client.text("CLIENT", "TRACKING", "OFF"))
                    .contains("REDIRECT needs the right to CLIENT ID");
        });
    }

    // --- slots and primaries that change

    @TestFactory
    List<DynamicTest> aSlotThatMovesMakesTheTargetForgetAndIsTrackedWhereItIsThen() {
        return everywhere(setup -> {
            RealServer from = cluster.nodes().get(0);
            RealServer to = cluster.nodes().get(2);
            String key = cluster.keyOn(from, "s");
            int slot = RealCluster.slotOf(key);
            for (String how : List.of("", "BCAST")) {
                setup.client.text("CLIENT", "TRACKING", "OFF");
                setup.track(how.isEmpty() ? new String[0] : new String[] {how, "PREFIX", "s"});
                setup.other.text("SET", key, "1");
                assertThat(setup.client.text("GET", key)).isEqualTo("1");
                drain(setup.target);
                cluster.moveSlot(slot, to);
                try {
                    String told = setup.target.rawReply();
                    assertThat(told).isIn(setup.forgetAll(), setup.forget(key));
                    assertThat(setup.client.text("GET", key)).isEqualTo("1");
                    while (!told.equals(setup.forgetAll())) {
                        told = setup.target.rawReply();
                    }
                    drain(setup.target);
                    assertThat(setup.client.text("GET", key)).isEqualTo("1");
                    setup.other.text("SET", key, "2");
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
                } finally {
                    cluster.moveSlot(slot, from);
                }
            }
        });
    }

    private static void drain(RawClient client) {
        while (client.hasReplyWithin(100)) {
            client.rawReply();
        }
    }

    @TestFactory
    List<DynamicTest> aFailoverMakesTheTargetForgetAndIsTrackedAtTheNewPrimary(@TempDir Path folder) {
        RealCluster replicated = RealCluster.start(ProxyFixture.binary(), folder, 3, 1);
        List<DynamicTest> tests = new ArrayList<>(everywhere(replicated, ProxyLimits.DEFAULT, setup -> {
            for (String how : List.of("OPTOUT", "BCAST")) {
                setup.client.text("CLIENT", "TRACKING", "OFF");
                drain(setup.target);
                setup.track(how);
                String key = replicated.keyOn(replicated.primaryOf(0), "f");
                setup.other.text("SET", key, "old");
                assertThat(setup.client.text("GET", key)).isEqualTo("old");
                replicated.failover(
                        replicated.replicasOf(replicated.primaryOf(0)).getFirst());
                while (!setup.target.rawReply().equals(setup.forgetAll())) {
                    // of BCAST it was told by SET
                }
                assertThat(setup.client.text("GET", key)).isEqualTo("old");
                drain(setup.target);
                assertThat(setup.client.text("GET", key)).isEqualTo("old");
                setup.other.text("SET", key, "new");
                assertThat(setup.target.rawReply()).isEqualTo(setup.forget(key));
            }
        }));
        tests.add(DynamicTest.dynamicTest("end", replicated::close));
        return tests;
    }

    // --- switches

    @TestFactory
    List<DynamicTest> aSwitchMakesTheTargetForgetEverythingAndTracksOnThereAndBack() {
        return everywhere(setup -> {
            BackendRoute other = ClusterFixture.route("green", second, 2);
            try (FleetWatch watch = ClusterFixture.watch(setup.proxy, other);
                    RawClient broadcasts = setup.client()) {
                setup.track();
                broadcasts.text("HELLO", "3");
                assertThat(broadcasts.text(
                                "CLIENT",
                                "TRACKING",
                                "ON",
                                "BCAST",
                                "PREFIX",
                                "never",
                                "REDIRECT",
                                "" + id(broadcasts)))
                        .isEqualTo("OK");
                List<BackendRoute> way = List.of(
                        other,
                        ProxyFixture.route("grey", server, 3),
                        ClusterFixture.route("blue", cluster, 4),
                        ProxyFixture.route("grey", server, 5),
                        ClusterFixture.route("green", second, 6),
                        ClusterFixture.route("blue", cluster, 7));
                for (BackendRoute next : way) {
                    keys("w").forEach(setup::isTold);
                    keys("w").forEach(key -> setup.client.text("GET", key));
                    setup.switchTo(next);
                    setup.client.text("GET", keys("w").getFirst());
                    // Before the client's next command was answered.
                    assertThat(setup.target.hasReplyWithin(50)).isTrue();
                    assertThat(setup.target.rawReply()).isEqualTo(setup.forgetAll());
                    assertThat(setup.client.text("CLIENT", "GETREDIR")).isEqualTo(setup.targetId);
                    assertThat(broadcasts.rawReply()).contains("invalidate");
                    setup.other.text("SET", "never", "1");
                    assertThat(broadcasts.rawReply()).contains("never");
                }
                keys("w").forEach(setup::isTold);
                assertThat(watch.seen()).isPresent();
            }
        });
    }

    private static String id(RawClient client) {
        return client.text("CLIENT", "ID");
    }

    // --- all of it at once

    /** What an application has kept that reads by one client, and hears of changes by another one. */
    private static final class Kept {
        private final Map<String, String> values = new HashMap<>();
        /** Reads that are under way, of which no change has been heard since they began. */
        private final Map<String, Object> reads = new HashMap<>();

        void read(String key, RawClient client) {
            Object mark = new Object();
            synchronized (this) {
                if (values.containsKey(key)) {
                    return;
                }
                reads.put(key, mark);
            }
            Reply reply = client.call("GET", key);
            synchronized (this) {
                if (reads.remove(key, mark) && !reply.isError()) {
                    values.put(key, reply.text());
                }
            }
        }

        synchronized void told(String message, boolean all) {
            if (all) {
                values.clear();
                reads.clear();
            }
            for (String word : message.split("\r\n", -1)) {
                values.remove(word);
                reads.remove(word);
            }
        }

        synchronized Map<String, String> all() {
            return Map.copyOf(values);
        }
    }

    @TestFactory
    List<DynamicTest> whatIsKeptInTheEndIsSo() {
        return everywhere(setup -> {
            long seed = System.nanoTime();
            Random random = new Random(seed);
            List<String> keys = Stream.of("e", "f", "g", "h")
                    .flatMap(prefix -> keys(prefix).stream())
                    .toList();
            int slot = RealCluster.slotOf(keys.getFirst());
            BackendRoute[] routes = {
                ClusterFixture.route("blue", cluster, 1),
                ClusterFixture.route("green", second, 1),
                ProxyFixture.route("grey", server, 1)
            };
            Kept kept = new Kept();
            AtomicBoolean over = new AtomicBoolean();
            setup.track();
            List<Thread> threads = new ArrayList<>();
            try (FleetWatch watch = ClusterFixture.watch(setup.proxy, routes[1]);
                    RawClient asking = setup.client()) {
                threads.add(Thread.ofPlatform().start(() -> {
                    while (!over.get()) {
                        if (setup.target.hasReplyWithin(20)) {
                            String message = setup.target.rawReply();
                            kept.told(message, message.equals(setup.forgetAll()));
                        }
                    }
                }));
                for (int round = 0; round < 12; round++) {
                    AtomicBoolean roundIsOver = new AtomicBoolean();
                    long ofReader = random.nextLong();
                    Thread reader = Thread.ofPlatform().start(() -> {
                        Random next = new Random(ofReader);
                        while (!roundIsOver.get()) {
                            kept.read(keys.get(next.nextInt(keys.size())), setup.client);
                        }
                    });
                    Random next = new Random(random.nextLong());
                    for (int i = 0; i < 150; i++) {
                        setup.other.call("SET", keys.get(next.nextInt(keys.size())), round + ":" + i);
                        if (i == 75) {
                            disturb(setup, random, routes, slot, round + 2);
                        }
                    }
                    roundIsOver.set(true);
                    reader.join();
                    Await.until(
                            ClusterFixture.LIMIT,
                            "what is kept is so, seed " + seed + ", round " + round,
                            () -> kept.all().entrySet().stream()
                                    .allMatch(one ->
                                            asking.text("GET", one.getKey()).equals(one.getValue())));
                }
                assertThat(watch.seen()).isPresent();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            } finally {
                over.set(true);
                ClusterFixture.home(cluster, slot);
            }
            threads.forEach(ClusterTrackingTargetTest::join);
        });
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void disturb(Setup setup, Random random, BackendRoute[] routes, int slot, int epoch) {
        RealServer node = cluster.nodes().get(random.nextInt(3));
        switch (random.nextInt(4)) {
            case 0 -> killOthers(node, ClusterTrackingTargetTest::isCompanion);
            case 1 -> killOthers(node, line -> true);
            case 2 ->
                cluster.moveSlot(slot, cluster.nodes().get((cluster.nodes().indexOf(cluster.primaryOf(slot)) + 1) % 3));
            default -> {
                BackendRoute to = routes[random.nextInt(routes.length)];
                setup.switchTo(new BackendRoute(to.fleet(), epoch));
            }
        }
    }

    // --- endings

    @TestFactory
    List<DynamicTest> aClientHearsThatItsTargetIsGone() {
        return everywhere(setup -> {
            setup.track();
            List<String> keys = keys("g");
            keys.forEach(key -> setup.client.text("GET", key));
            setup.target.leave();
            Await.until(ClusterFixture.LIMIT, "it is gone", () -> setup.proxy.clients() == 2);
            String broken = ">2\r\n$21\r\ntracking-redir-broken\r\n:" + setup.targetId + "\r\n";
            for (String key : keys.reversed()) {
                RealServer node = cluster.primaryOf(RealCluster.slotOf(key));
                Await.until(
                        ClusterFixture.LIMIT,
                        "the companion is closed",
                        () -> node.text("CLIENT", "LIST").lines().noneMatch(ClusterTrackingTargetTest::isCompanion));
                setup.other.text("SET", key, "1");
                if (setup.ofClient == Protocol.RESP3) {
                    assertThat(setup.client.rawReply()).isEqualTo(broken);
                }
                // Whichever shard has noticed.
                assertThat(setup.client.text("CLIENT", "TRACKINGINFO")).contains("broken_redirect");
            }
            if (setup.ofClient == Protocol.RESP3) {
                setup.switchTo(ClusterFixture.route("blue", cluster, 2));
                assertThat(setup.client.rawReply()).isEqualTo(broken);
                setup.client.text("GET", keys.get(1));
                setup.other.text("SET", keys.get(1), "2");
                assertThat(setup.client.rawReply()).isEqualTo(broken);
            }
            try (RawClient next = setup.client()) {
                next.text("HELLO", "3");
                assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", id(next)))
                        .isEqualTo("OK");
                setup.client.text("GET", keys.get(2));
                setup.other.text("SET", keys.get(2), "3");
                assertThat(next.rawReply()).contains(keys.get(2));
            }
        });
    }

    @TestFactory
    List<DynamicTest> nothingIsLeftOfIt() {
        return everywhere(setup -> {
            for (int i = 0; i < 20; i++) {
                setup.track();
                assertThat(setup.client.text("CLIENT", "TRACKING", i % 2 == 0 ? "OFF" : "ON"))
                        .isEqualTo("OK");
            }
            awaitNoCompanion();
            setup.track();
            setup.client.leave();
            awaitNoCompanion();
        });
    }

    private static void awaitNoCompanion() {
        for (RealServer node : cluster.nodes()) {
            Await.until(
                    ClusterFixture.LIMIT,
                    "no companion is left",
                    () -> node.text("CLIENT", "LIST").lines().noneMatch(ClusterTrackingTargetTest::isCompanion));
        }
    }

    @Test
    void aClientOfAnotherNodeIsNobody() {
        try (Setup setup = new Setup(cluster, 1, ProxyLimits.DEFAULT, Protocol.RESP2, Protocol.RESP3);
                Setup another = new Setup(cluster, 1, ProxyLimits.DEFAULT, Protocol.RESP2, Protocol.RESP3)) {
            assertThat(setup.client.text("CLIENT", "TRACKING", "ON", "REDIRECT", another.targetId))
                    .isEqualTo("-ERR The client ID you want redirect to does not exist");
            assertThat(setup.client.text("GET", "k")).isEmpty();
        }
    }
}
