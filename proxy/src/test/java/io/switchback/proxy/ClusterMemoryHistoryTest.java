package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
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
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisCluster;

/**
 * No client ever reads from memory older than it has written, or read over the same connection, nor than what this node has had written by others, while slots move to and fro, replicas take their primaries' places,
 * and switches lead from the cluster to one server and back.
 */
class ClusterMemoryHistoryTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Executor THREADS = task -> Thread.ofPlatform().start(task);
    private static final int CLIENTS = 5;
    /** Each client writes so many keys, and so do others who do not come through the proxy. */
    private static final int KEYS_EACH = 4;

    private static final int KEYS = (CLIENTS + 1) * KEYS_EACH;
    private static final int ROUNDS = 3;
    private static final int SLOTS_A_ROUND = 5;

    private final AtomicBoolean over = new AtomicBoolean();
    /** By the clients of the proxy, as far as that has been acknowledged. */
    private final AtomicLongArray written = new AtomicLongArray(KEYS);

    private final AtomicLong reads = new AtomicLong();
    /** Who writes past the proxy writes to the fleet in use alone, and not during a switch. */
    private final ReentrantReadWriteLock fence = new ReentrantReadWriteLock();

    private volatile boolean isClusterInUse = true;

    @Test
    void nobodyReadsBackwards(@TempDir Path many, @TempDir Path one) {
        try (RealCluster cluster = RealCluster.start(ProxyFixture.binary(), many, 3, 1);
                RealServer server = ProxyFixture.server(one)) {
            BackendRoute first = ClusterFixture.route("blue", cluster, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(first);
                    FleetWatch _ = ClusterFixture.watch(proxy, first);
                    JedisCluster past = new JedisCluster(new HashSet<HostAndPort>(cluster.endpoints()));
                    Jedis pastToServer = server.client()) {
                proxy.remember(new MemorySettings(1024 * 1024, Duration.ofMinutes(10)));
                for (int key = 0; key < KEYS; key++) {
                    past.set(name(key), "0");
                }
                List<CompletableFuture<Void>> clients = new ArrayList<>();
                for (int i = 0; i < CLIENTS; i++) {
                    int number = i;
                    clients.add(CompletableFuture.runAsync(
                            () -> client(proxy, number, new Random(20261130 + number)), THREADS));
                }
                clients.add(CompletableFuture.runAsync(() -> writePast(past, pastToServer), THREADS));
                try {
                    for (int round = 0; round < ROUNDS; round++) {
                        moveSlots(cluster, round);
                        awaitReads();
                        RealServer leaving = cluster.primaryOf(RealCluster.slotOf(name(round)));
                        cluster.failover(cluster.replicasOf(leaving).getFirst());
                        awaitReads();
                        switchTo(proxy, ProxyFixture.route("green", server, 2 + 2L * round), past, pastToServer);
                        awaitReads();
                        switchTo(proxy, ClusterFixture.route("blue", cluster, 3 + 2L * round), past, pastToServer);
                        awaitReads();
                    }
                } finally {
                    over.set(true);
                    clients.forEach(CompletableFuture::join);
                }
                MemoryCounts counts = proxy.memoryCounts();
                assertThat(counts.hits()).as("%s", counts).isGreaterThan(reads.get() / 10);
                assertThat(counts.joined()).as("%s", counts).isPositive();
            }
        }
    }

    private static String name(int key) {
        return "key-" + key;
    }

    private void awaitReads() {
        long until = reads.get() + 1_500;
        Await.until(LIMIT, "clients go on", () -> over.get() || reads.get() >= until);
    }

    /** To another shard, and half of them back at once. */
    private void moveSlots(RealCluster cluster, int round) {
        for (int i = 0; i < SLOTS_A_ROUND; i++) {
            int slot = RealCluster.slotOf(name((round * SLOTS_A_ROUND + i) * 7 % KEYS));
            RealServer from = cluster.primaryOf(slot);
            RealServer to = cluster.primaryOf((slot + RealCluster.SLOTS / 2) % RealCluster.SLOTS);
            if (from == to) {
                continue;
            }
            cluster.moveSlot(slot, to);
            if (i % 2 == 0) {
                awaitReads();
                cluster.moveSlot(slot, from);
            }
        }
    }

    /** What links would do, the test does itself: while clients are held, the next fleet gets what the former has. */
    private void switchTo(CacheProxy proxy, BackendRoute next, JedisCluster cluster, Jedis server) {
        proxy.openAhead(next).join();
        fence.writeLock().lock();
        try {
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
        } finally {
            fence.writeLock().unlock();
        }
    }

    private void writePast(JedisCluster cluster, Jedis server) {
        for (long i = 1; !over.get(); i++) {
            fence.readLock().lock();
            try {
                String key = name(CLIENTS * KEYS_EACH + (int) (i % KEYS_EACH));
                if (isClusterInUse) {
                    cluster.set(key, Long.toString(i));
                } else {
                    server.set(key, Long.toString(i));
                }
            } finally {
                fence.readLock().unlock();
            }
        }
    }

    private void client(CacheProxy proxy, int number, Random random) {
        long[] seen = new long[KEYS];
        try (RawClient client = ProxyFixture.client(proxy)) {
            while (!over.get()) {
                if (random.nextInt(12) == 0) {
                    int key = number * KEYS_EACH + random.nextInt(KEYS_EACH);
                    seen[key] = write(client, random, key);
                    written.set(key, seen[key]);
                }
                readSome(client, random, number, seen);
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

    /** One after the other, or several in one pipeline. */
    private void readSome(RawClient client, Random random, int number, long[] seen) {
        int count = random.nextInt(4) == 0 ? 8 : 1;
        int[] keys = random.ints(count, 0, KEYS).toArray();
        long[] atLeast = new long[count];
        for (int i = 0; i < count; i++) {
            atLeast[i] = written.get(keys[i]);
            switch (random.nextInt(10)) {
                case 0 -> client.send("MGET", name(keys[i]));
                case 1, 2 -> client.send("GETRANGE", name(keys[i]), "0", "20");
                default -> client.send("GET", name(keys[i]));
            }
        }
        for (int i = 0; i < count; i++) {
            Reply reply = first(client.reply());
            assertThat(reply.isError()).as("%s", reply).isFalse();
            long value = Long.parseLong(reply.text());
            assertThat(value)
                    .as("client %s reads %s again", number, name(keys[i]))
                    .isGreaterThanOrEqualTo(seen[keys[i]]);
            assertThat(value)
                    .as("client %s reads %s after it was written", number, name(keys[i]))
                    .isGreaterThanOrEqualTo(atLeast[i]);
            seen[keys[i]] = value;
        }
        reads.addAndGet(count);
    }

    private static Reply first(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> each) ? each.getFirst() : reply;
    }
}
