package io.switchback.bench.links;

import io.switchback.testkit.RealServer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;

/** Clients of which each increments a key of its own all the time and counts the answers, in both directions of a round. For one thread. */
final class Counting {
    private static final long PAUSE_NANOS = 1_000_000;

    private final Map<String, Long> counted = new ConcurrentHashMap<>();
    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean stopped;
    private volatile @Nullable Throwable failure;

    /** One more client, which goes on where its key was left. */
    void begin(RealServer server, String key) {
        stopped = false;
        threads.add(Thread.ofPlatform().start(() -> count(server, key)));
    }

    private void count(RealServer server, String key) {
        try (Jedis client = server.client()) {
            while (!stopped) {
                client.incr(key);
                counted.merge(key, 1L, Long::sum);
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        } catch (RuntimeException e) {
            failure = e;
        }
    }

    void end() {
        stopped = true;
        for (Thread thread : threads) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted while clients end", e);
            }
        }
        threads.clear();
        if (failure != null) {
            throw new AssertionError("a client that counts ended early", failure);
        }
    }

    long total() {
        return counted.values().stream().mapToLong(Long::longValue).sum();
    }

    /** The keys that are not what their clients have counted, with both numbers; empty where all are. */
    Map<String, String> wrong(CampaignFleet fleet) {
        Map<String, String> wrong = new TreeMap<>();
        counted.forEach((key, count) -> {
            String there = String.valueOf(fleet.ownerOf(key).call("GET", key));
            if (!there.equals(count.toString())) {
                wrong.put(key, "counted " + count + ", " + fleet.name() + " has " + there);
            }
        });
        return wrong;
    }
}
