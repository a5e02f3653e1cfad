package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisCluster;

/**
 * No client ever reads from the replicas of a cluster older than it has written, or read over the same connection, nor misses a key, while replicas are late, slots move to and fro, replicas take their
 * primaries' places, and switches lead from the cluster to one server and back.
 */
class ClusterReplicaHistoryTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Executor THREADS = task -> Thread.ofPlatform().start(task);
    private static final ReplicaSettings SETTINGS = ReplicaSettings.of(Duration.ofMillis(300));
    private static final int CLIENTS = 5;
    private static final int KEYS_EACH = 4;
    /** Those of one more client, which writes all the time and reads nothing, come last. */
    private static final int KEYS = (CLIENTS + 1) * KEYS_EACH;

    private static final int ROUNDS = 3;
    private static final int SLOTS_A_ROUND = 5;
    /** Of a client: it writes at first, and then only reads for longer than a replica may lag. */
    private static final int OPERATIONS_A_BURST = 600;

    private static final int WRITES_A_BURST = 15;

    private final AtomicBoolean over = new AtomicBoolean();
    private final AtomicLong reads = new AtomicLong();
    private boolean isClusterInUse = true;

    @Test
    void nobodyReadsBackwards(@TempDir Path many, @TempDir Path one) {
        try (RealCluster cluster = RealCluster.start(ProxyFixture.binary(), many, 3, 1);
                RealServer server = ProxyFixture.server(one)) {
            BackendRoute first = ClusterFixture.route("blue", cluster, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(first);
                    FleetWatch who = ClusterFixture.watch(proxy, first);
                    ReplicaWatch _ = ReplicaFleet.watch(proxy, first.fleet(), SETTINGS, who::seen);
                    JedisCluster past = new JedisCluster(new HashSet<HostAndPort>(cluster.endpoints()));
                    Jedis pastToServer = server.client()) {
                for (int key = 0; key < KEYS; key++) {
                    past.set(name(key), "0");
                }
                ReplicaFleet.awaitInUse(proxy, 3);
                List<CompletableFuture<Void>> threads = new ArrayList<>();
                for (int i = 0; i < CLIENTS; i++) {
                    int number = i;
                    threads.add(CompletableFuture.runAsync(
                            () -> client(proxy, number, new Random(20261130 + number)), THREADS));
                }
                threads.add(CompletableFuture.runAsync(() -> onlyWrite(proxy), THREADS));
                threads.add(CompletableFuture.runAsync(() -> delay(cluster.nodes(), new Random(7)), THREADS));
                long fromReplicas = 0;
                try {
                    for (int round = 0; round < ROUNDS; round++) {
                        awaitReads();
                        moveSlots(cluster, round);
                        awaitReads();
                        fromReplicas += proxy.replicaCounts().reads();
                        RealServer leaving = cluster.primaryOf(RealCluster.slotOf(name(round)));
                        cluster.failover(cluster.replicasOf(leaving).getFirst());
                        awaitReads();
                        switchTo(proxy, ProxyFixture.route("green", server, 2 + 2L * round), past, pastToServer);
                        awaitReads();
                        switchTo(proxy, ClusterFixture.route("blue", cluster, 3 + 2L * round), past, pastToServer);
                    }
                    Await.until(
                            LIMIT,
                            "replicas answer",
                            () -> over.get() || proxy.replicaCounts().reads() > 100);
                } finally {
                    over.set(true);
                    threads.forEach(CompletableFuture::join);
                }
                assertThat(fromReplicas).isGreaterThan(reads.get() / 50);
            }
        }
    }

    private static String name(int key) {
        return "key-" + key;
    }

    private void awaitReads() {
        long until = reads.get() + 3_000;
        Await.until(LIMIT, "clients go on", () -> over.get() || reads.get() >= until);
    }

    /** One server after the other stands still for a moment: a replica is late then, a primary has others wait. */
    private void delay(List<RealServer> servers, Random random) {
        try {
            while (!over.get()) {
                RealServer server = servers.get(random.nextInt(servers.size()));
                server.stop();
                try {
                    TimeUnit.MILLISECONDS.sleep(random.nextInt(60));
                } finally {
                    server.resume();
                }
                TimeUnit.MILLISECONDS.sleep(random.nextInt(60));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** To another shard, and most of them back at once. */
    private void moveSlots(RealCluster cluster, int round) {
        for (int i = 0; i < SLOTS_A_ROUND; i++) {
            int slot = RealCluster.slotOf(name((round * SLOTS_A_ROUND + i) * 7 % KEYS));
            RealServer from = cluster.primaryOf(slot);
            RealServer to = cluster.primaryOf((slot + RealCluster.SLOTS / 2) % RealCluster.SLOTS);
            if (from == to) {
                continue;
            }
            cluster.beginMove(slot, to);
            cluster.moveKeys(slot, to, 100);
            long until = reads.get() + 300; // while it is on its way
            Await.until(LIMIT, "clients go on", () -> over.get() || reads.get() >= until);
            cluster.finishMove(slot, from, to);
            if (i % 2 == 0) {
                cluster.moveSlot(slot, from);
            }
        }
    }

    /** What links would do, the test does itself: while clients are held, the next fleet gets what the former has. */
    private void switchTo(CacheProxy proxy, BackendRoute next, JedisCluster cluster, Jedis server) {
        proxy.openAhead(next).join();
        assertThat(ProxyFixture.hold(proxy, 10_000)).isInstanceOf(HoldOutcome.Held.class);
        for (int key = 0; key < KEYS; key++) {
            if (isClusterInUse) {
                server.set(name(key), cluster.get(name(key)));
            } else {
                cluster.set(name(key), server.get(name(key)));
            }
        }
        isClusterInUse = !isClusterInUse;
        proxy.letGo(next).join();
    }

    private void client(CacheProxy proxy, int number, Random random) {
        long[] seen = new long[KEYS];
        int operation = 0;
        try (RawClient client = ProxyFixture.client(proxy)) {
            while (!over.get()) {
                // In turn, so that there is always somebody who has not just written.
                if ((operation + number * OPERATIONS_A_BURST / CLIENTS) % OPERATIONS_A_BURST < WRITES_A_BURST) {
                    int key = number * KEYS_EACH + random.nextInt(KEYS_EACH);
                    seen[key] = write(client, random, key);
                }
                readSome(client, random, number, seen);
                operation++;
            }
        } finally {
            over.set(true);
        }
    }

    private void onlyWrite(CacheProxy proxy) {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; !over.get(); i++) {
                Reply reply = client.call("INCR", name(CLIENTS * KEYS_EACH + i % KEYS_EACH));
                assertThat(reply.isError()).as("%s", reply).isFalse();
            }
        } finally {
            over.set(true);
        }
    }

    private static long write(RawClient client, Random random, int key) {
        Reply reply = switch (random.nextInt(4)) {
            case 0 -> client.call("EVAL", "return redis.call('INCR', KEYS[1])", "1", name(key));
            case 1 -> {
                client.call("MULTI");
                client.call("INCR", name(key));
                yield first(client.call("EXEC"));
            }
            default -> client.call("INCR", name(key));
        };
        assertThat(reply.isError()).as("%s", reply).isFalse();
        return Long.parseLong(reply.text());
    }

    /** One after the other, or several in one pipeline; a few from primaries alone, and a few of what is not there. */
    private void readSome(RawClient client, Random random, int number, long[] seen) {
        int count = random.nextInt(4) == 0 ? 8 : 1;
        int[] keys = random.ints(count, 0, KEYS).toArray();
        int none = random.nextInt(20) == 0 ? random.nextInt(count) : -1;
        for (int i = 0; i < count; i++) {
            if (i == none) {
                client.send("GET", "none-" + keys[i]);
            }
            switch (random.nextInt(100)) {
                case 0, 1, 2 -> client.send("MGET", name(keys[i]));
                case 3, 4, 5, 6, 7 -> client.send("GETRANGE", name(keys[i]), "0", "20");
                default -> client.send("GET", name(keys[i]));
            }
        }
        for (int i = 0; i < count; i++) {
            if (i == none) {
                assertThat(client.reply()).isEqualTo(new Reply.Nil());
            }
            Reply reply = first(client.reply());
            assertThat(reply.isError()).as("%s", reply).isFalse();
            assertThat(reply.text())
                    .as("client %s reads %s", number, name(keys[i]))
                    .isNotEmpty();
            long value = Long.parseLong(reply.text());
            assertThat(value)
                    .as("client %s reads %s again", number, name(keys[i]))
                    .isGreaterThanOrEqualTo(seen[keys[i]]);
            seen[keys[i]] = value;
        }
        reads.addAndGet(count);
    }

    private static Reply first(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> each) ? each.getFirst() : reply;
    }
}
