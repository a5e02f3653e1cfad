package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Slots that move: no client hears of MOVED, ASK and TRYAGAIN, and each keeps the order of its commands. */
class ClusterRedirectTest {
    private static final int LOAD_CLIENTS = 4;
    private static final int LOAD_KEYS = 40;

    private static RealCluster cluster;
    private CacheProxy proxy;

    @BeforeAll
    static void startCluster(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 0);
    }

    @AfterAll
    static void stopCluster() {
        cluster.close();
    }

    @BeforeEach
    void start() {
        proxy = ClusterFixture.toldOnce(cluster);
    }

    @AfterEach
    void stop() {
        proxy.close();
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static RealServer node(int i) {
        return cluster.nodes().get(i);
    }

    /** A slot of the first node's, moved to the second one; back at the end. */
    private static void withMoved(String key, Runnable then) {
        int slot = RealCluster.slotOf(key);
        RealServer from = cluster.primaryOf(slot);
        RealServer to = from == node(0) ? node(1) : node(0);
        cluster.moveSlot(slot, to);
        try {
            then.run();
        } finally {
            cluster.moveSlot(slot, from);
        }
    }

    @Test
    void whatHasMovedIsFoundWhereItIs() {
        String moved = cluster.keyOn(node(0), "m");
        String stays = cluster.keyOn(node(2), "s");
        try (RawClient client = client()) {
            client.text("SET", moved, "1");
            withMoved(moved, () -> {
                for (int i = 0; i < 10; i++) {
                    client.send("SET", stays, "x" + i);
                    client.send("INCR", moved);
                    client.send("GET", stays);
                    client.send("INCR", moved);
                    client.send("GET", moved);
                }
                for (int i = 0; i < 10; i++) {
                    assertThat(client.reply().text()).isEqualTo("OK");
                    assertThat(client.reply().text()).isEqualTo("" + (2 * i + 2));
                    assertThat(client.reply().text()).isEqualTo("x" + i);
                    assertThat(client.reply().text()).isEqualTo("" + (2 * i + 3));
                    assertThat(client.reply().text()).isEqualTo("" + (2 * i + 3));
                }
            });
        }
    }

    /** MOVED with errors of other kinds around it, replies switched off, and a command that the server does not take. */
    @Test
    void onlyWhatWasNotRunIsSentAgain() {
        String moved = cluster.keyOn(node(0), "m");
        try (RawClient client = client()) {
            withMoved(moved, () -> {
                client.send("SET", moved, "text");
                client.send("INCR", moved);
                client.send("CLIENT", "REPLY", "OFF");
                client.send("SET", moved, "5");
                client.send("CLIENT", "REPLY", "ON");
                client.send("INCR", moved);
                client.send("NOSUCHCOMMAND");
                client.send("GET", moved);
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).startsWith("ERR value is not an integer");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("6");
                assertThat(client.reply().text()).startsWith("ERR unknown command");
                assertThat(client.reply().text()).isEqualTo("6");
            });
        }
        assertThat(proxy.traffic().fleets().get("blue")).isNotNull();
    }

    @Test
    void splitCommandsAndScansFollowTheirSlots() {
        String moved = cluster.keyOn(node(0), "m");
        String stays = cluster.keyOn(node(2), "s");
        try (RawClient client = client()) {
            withMoved(moved, () -> {
                assertThat(client.text("MSET", moved, "1", stays, "2")).isEqualTo("OK");
                assertThat(client.text("MGET", stays, moved, "none")).isEqualTo("[2, 1, ]");
                client.text("DEL", moved);
            });
            withMoved(moved, () -> {
                client.text("HSET", moved, "f", "v");
                assertThat(client.text("HSCAN", moved, "0")).isEqualTo("[0, [f, v]]");
                assertThat(client.text("DEL", stays, moved)).isEqualTo("2");
            });
        }
    }

    @Test
    void aSlotIsMovedStepByStep() {
        String tag = "{" + cluster.keyOn(node(0), "t") + "}";
        int slot = RealCluster.slotOf(tag);
        try (RawClient client = client()) {
            for (int i = 0; i < 10; i++) {
                client.text("SET", tag + i, "v" + i);
            }
            cluster.beginMove(slot, node(1));
            cluster.moveKeys(slot, node(1), 5);
            for (int i = 0; i < 10; i++) {
                client.send("GET", tag + i);
                client.send("APPEND", tag + i, "!");
                client.send("GET", tag + i);
            }
            for (int i = 0; i < 10; i++) {
                assertThat(client.reply().text()).isEqualTo("v" + i);
                assertThat(client.reply().text()).isEqualTo("3");
                assertThat(client.reply().text()).isEqualTo("v" + i + "!");
            }
            assertThat(client.text("SET", tag + "new", "1")).isEqualTo("OK");
            assertThat(node(1).number("DBSIZE")).isEqualTo(6);
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("INCR", tag + "new")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[2]");
            cluster.moveKeys(slot, node(1), Integer.MAX_VALUE);
            cluster.finishMove(slot, node(0), node(1));
            for (int i = 0; i < 10; i++) {
                assertThat(client.text("GET", tag + i)).isEqualTo("v" + i + "!");
            }
            assertThat(client.text("GET", tag + "new")).isEqualTo("2");
        } finally {
            ClusterFixture.home(cluster, slot);
        }
    }

    /** What is found out meanwhile leads the next commands, but not past those that are still on their way to the former server. */
    @Test
    void whatIsFoundOutMeanwhileDoesNotChangeTheOrder() {
        String moved = cluster.keyOn(node(0), "m");
        String slow = cluster.keyOn(node(0), "slow");
        Topology.Sharded found = ClusterFixture.topology(cluster.nodes());
        found.shardOfSlot()[RealCluster.slotOf(moved)] = 1;
        try (RawClient client = client()) {
            withMoved(moved, () -> {
                client.send("EVAL", HoldTest.SLOW_WRITE, "1", slow, "300");
                client.send("INCR", moved);
                Await.until(ClusterFixture.LIMIT, "they are sent", () -> proxy.commandsUnanswered() == 2);
                proxy.topology("blue", found);
                client.send("SET", moved, "7");
                client.send("GET", moved);
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("7");
            });
        }
    }

    /** Two keys of one slot, of which one has been moved: the server says TRYAGAIN until the other one has been too. */
    @Test
    void aCommandForKeysOnBothSidesWaitsForTheEndOfTheMove() {
        String tag = "{" + cluster.keyOn(node(0), "t") + "}";
        int slot = RealCluster.slotOf(tag);
        try (RawClient client = client()) {
            client.text("MSET", tag + "a", "1", tag + "b", "2");
            cluster.beginMove(slot, node(1));
            cluster.moveKeys(slot, node(1), 1);
            client.send("MGET", tag + "a", tag + "b");
            client.send("SET", "after", "x");
            assertThat(client.hasReplyWithin(200)).isFalse();
            client.send("SET", tag + "a", "later");
            client.send("SET", tag + "b", "later");
            assertThat(client.hasReplyWithin(50)).isFalse();
            cluster.moveKeys(slot, node(1), 1);
            cluster.finishMove(slot, node(0), node(1));
            assertThat(client.reply().text()).isEqualTo("[1, 2]");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.text("MGET", tag + "a", tag + "b")).isEqualTo("[later, later]");
        } finally {
            ClusterFixture.home(cluster, slot);
        }
    }

    /** What comes later in a pipeline for the same key, and is run, must not be undone by what comes before it and was not. */
    @Test
    void aCommandThatWouldComeTooLateIsNotRun() {
        String tag = "{" + cluster.keyOn(node(0), "t") + "}";
        int slot = RealCluster.slotOf(tag);
        try (RawClient client = client()) {
            client.text("MSET", tag + "a", "0", tag + "b", "0");
            cluster.beginMove(slot, node(1));
            cluster.moveKeys(slot, node(1), 1);
            String left = String.valueOf(node(0).call("CLUSTER", "GETKEYSINSLOT", Integer.toString(slot), "10"));
            String stays = tag + (left.contains(tag + "a") ? "a" : "b");
            ByteArrayOutputStream both = new ByteArrayOutputStream();
            both.writeBytes(CommandEncoder.encode("MSET", tag + "a", "1", tag + "b", "1"));
            both.writeBytes(CommandEncoder.encode("SET", stays, "2"));
            client.sendRaw(both.toByteArray());
            String first = client.reply().text();
            assertThat(client.reply().text()).isEqualTo("OK");
            cluster.moveKeys(slot, node(1), Integer.MAX_VALUE);
            cluster.finishMove(slot, node(0), node(1));
            assertThat(client.text("GET", stays)).isEqualTo("2");
            assertThat(first).startsWith("TRYAGAIN switchback:");
        } finally {
            ClusterFixture.home(cluster, slot);
        }
    }

    @Test
    void whatHasAConnectionOfItsOwnFollowsItsSlotToo() {
        String moved = cluster.keyOn(node(0), "m");
        try (RawClient client = client();
                RawClient other = client()) {
            withMoved(moved, () -> {
                client.send("MULTI");
                client.send("INCR", moved);
                client.send("INCR", moved);
                client.send("EXEC");
                client.send("GET", moved);
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("[1, 2]");
                assertThat(client.reply().text()).isEqualTo("2");
            });
            withMoved(moved, () -> {
                assertThat(client.text("WATCH", moved)).isEqualTo("OK");
                client.text("MULTI");
                client.text("INCR", moved);
                assertThat(client.text("EXEC")).isEqualTo("[3]");
                client.text("DEL", moved);
            });
            withMoved(moved, () -> {
                client.send("BLPOP", moved, "20");
                awaitBlocked();
                other.text("RPUSH", moved, "x");
                assertThat(client.reply().text()).isEqualTo("[" + moved + ", x]");
            });
            withMoved(moved, () -> {
                client.send("SSUBSCRIBE", moved);
                assertThat(client.reply().text()).isEqualTo("[ssubscribe, " + moved + ", 1]");
                assertThat(other.text("SPUBLISH", moved, "x")).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("[smessage, " + moved + ", x]");
                client.send("SUNSUBSCRIBE", moved);
                client.reply();
            });
        }
    }

    /** Its server ends the subscription; the client hears nothing of that, and goes on hearing what is published, also while it waits for something else. */
    @Test
    void aShardChannelFollowsItsSlot() {
        String moved = cluster.keyOn(node(0), "c");
        List<String> stay = List.of(cluster.keyOn(node(0), "d"), cluster.keyOn(node(2), "d"));
        try (RawClient client = client();
                RawClient other = client()) {
            client.text("HELLO", "3");
            client.text("SSUBSCRIBE", moved);
            stay.forEach(channel -> client.text("SSUBSCRIBE", channel));
            withMoved(moved, () -> {
                awaitHeard(client, other, moved);
                client.send("BLPOP", "list", "20");
                awaitBlocked();
            });
            awaitHeard(client, other, moved);
            stay.forEach(channel -> awaitHeard(client, other, channel));
            other.text("RPUSH", "list", "x");
            assertThat(client.reply().text()).isEqualTo("[list, x]");
            assertThat(client.text("SUNSUBSCRIBE", moved)).isEqualTo("[sunsubscribe, " + moved + ", 2]");
            assertThat(other.text("SPUBLISH", moved, "x")).isEqualTo("0");
            client.send("SUNSUBSCRIBE");
            assertThat(client.reply().text()).endsWith(", 1]");
            assertThat(client.reply().text()).endsWith(", 0]");
        }
    }

    private static void awaitHeard(RawClient client, RawClient publisher, String channel) {
        Await.until(
                ClusterFixture.LIMIT,
                channel + " has its subscriber",
                () -> publisher.text("SPUBLISH", channel, "x").equals("1"));
        assertThat(client.reply().text()).isEqualTo("[smessage, " + channel + ", x]");
    }

    /** A transaction whose slot is moved between its queue and EXEC is queued again; what was watched is lost, as after a conflict. */
    @Test
    void aTransactionIsTakenAlongWhenItsSlotMoves() {
        String key = cluster.keyOn(node(0), "m");
        try (RawClient client = client();
                RawClient watching = client()) {
            client.text("MULTI");
            assertThat(client.text("INCR", key)).isEqualTo("QUEUED");
            watching.text("WATCH", key);
            watching.text("MULTI");
            watching.text("SET", key, "never");
            withMoved(key, () -> {
                assertThat(client.text("INCR", key)).isEqualTo("QUEUED");
                assertThat(client.text("EXEC")).isEqualTo("[1, 2]");
                assertThat(watching.call("EXEC")).isEqualTo(new Reply.Nil());
                assertThat(watching.text("GET", key)).isEqualTo("2");
            });
        }
    }

    @Test
    void aWaitingCommandIsTakenAlongWhenItsSlotMoves() {
        String key = cluster.keyOn(node(0), "l");
        try (RawClient client = client();
                RawClient other = client()) {
            client.send("BLPOP", key, "20");
            awaitBlocked();
            withMoved(key, () -> {
                awaitBlocked();
                assertThat(other.text("RPUSH", key, "x")).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("[" + key + ", x]");
            });
        }
    }

    private static void awaitBlocked() {
        Await.until(
                ClusterFixture.LIMIT,
                "a command waits",
                () -> cluster.nodes().stream()
                        .anyMatch(node -> "1".equals(node.info("clients").get("blocked_clients"))));
    }

    @Test
    void aWalkOverAllKeysMissesNoneWhenSlotsMoveBetweenItsSteps() {
        try (RawClient client = client()) {
            Set<String> keys = new TreeSet<>();
            for (int i = 0; i < 300; i++) {
                client.text("SET", "s" + i, "x");
                keys.add("s" + i);
            }
            // One that is at the last shard when the walk begins, and at the first one when that has been walked.
            String late = keys.stream()
                    .filter(key -> cluster.primaryOf(RealCluster.slotOf(key)) == node(2))
                    .findFirst()
                    .orElseThrow();
            int slot = RealCluster.slotOf(late);
            Set<String> seen = new TreeSet<>();
            String cursor = "0";
            int steps = 0;
            do {
                Reply reply = client.call("SCAN", cursor, "COUNT", "30");
                cursor = ClusterTest.elements(reply).getFirst().text();
                seen.addAll(ClusterTest.texts(ClusterTest.elements(reply).get(1)));
                if (++steps == 8) {
                    cluster.moveSlot(slot, node(0));
                    client.text("GET", late); // so that the proxy hears of it
                }
            } while (!cursor.equals("0"));
            assertThat(steps).isGreaterThan(8);
            assertThat(seen).isEqualTo(keys);
            cluster.moveSlot(slot, node(2));
        }
    }

    /**
     * Clients that count, each for itself and each key for itself, in pipelines, while slots move to and fro: no count is missed, none comes twice, and what
     * was written is read.
     */
    @Test
    void underLoadNothingIsLostRepeatedOrOutOfOrder() throws Exception {
        FleetWatch watch = ClusterFixture.watch(proxy, ClusterFixture.route("blue", cluster, 1));
        AtomicBoolean stop = new AtomicBoolean();
        List<String> failures = new CopyOnWriteArrayList<>();
        List<Thread> threads = new ArrayList<>();
        Map<String, Long> counts = new ConcurrentHashMap<>();
        for (int i = 0; i < LOAD_CLIENTS; i++) {
            int id = i;
            threads.add(Thread.ofPlatform().start(() -> count(id, stop, counts, failures)));
        }
        try {
            Set<Integer> slots = new HashSet<>();
            for (int key = 0; key < LOAD_KEYS; key++) {
                slots.add(RealCluster.slotOf(loadKey(0, key)));
                slots.add(RealCluster.slotOf(loadKey(1, key)));
            }
            for (int slot : slots) {
                RealServer from = cluster.primaryOf(slot);
                RealServer to = node((cluster.nodes().indexOf(from) + 1) % 3);
                cluster.moveSlot(slot, to);
                cluster.moveSlot(slot, from);
            }
        } finally {
            stop.set(true);
            for (Thread thread : threads) {
                thread.join();
            }
            watch.close();
        }
        assertThat(failures).isEmpty();
        try (RawClient client = client()) {
            counts.forEach((key, count) -> assertThat(client.text("GET", key)).isEqualTo("" + count));
        }
        assertThat(counts).hasSize(LOAD_CLIENTS * LOAD_KEYS);
        assertThat(proxy.commandsUnanswered()).isZero();
    }

    private static String loadKey(int client, int key) {
        return "count:" + client + ":" + key;
    }

    private void count(int id, AtomicBoolean stop, Map<String, Long> counts, List<String> failures) {
        Map<String, Long> mine = new TreeMap<>();
        try (RawClient client = client()) {
            while (!stop.get() && failures.isEmpty()) {
                for (int key = 0; key < LOAD_KEYS; key++) {
                    client.send("INCR", loadKey(id, key));
                    client.send("GET", loadKey(id, key));
                    client.send("MGET", loadKey(id, key), loadKey(id, (key + 1) % LOAD_KEYS));
                    client.send("INCR", loadKey(id, key));
                }
                for (int key = 0; key < LOAD_KEYS; key++) {
                    String name = loadKey(id, key);
                    long before = mine.getOrDefault(name, 0L);
                    List<String> replies = IntStream.range(0, 4)
                            .mapToObj(i -> client.reply().text())
                            .toList();
                    mine.put(name, before + 2);
                    boolean right = replies.get(0).equals("" + (before + 1))
                            && replies.get(1).equals("" + (before + 1))
                            && replies.get(2).startsWith("[" + (before + 1) + ", ")
                            && replies.get(3).equals("" + (before + 2));
                    if (!right) {
                        failures.add(name + " stood at " + before + " and was answered " + replies);
                    }
                }
            }
        } catch (RuntimeException e) {
            failures.add(e.toString());
        }
        counts.putAll(mine);
    }
}
