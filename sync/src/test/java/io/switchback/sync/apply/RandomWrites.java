package io.switchback.sync.apply;

import io.switchback.testkit.RealServer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisMovedDataException;
import redis.clients.jedis.params.XReadGroupParams;

/** Clients that write everything to few keys, so that effects on the same keys stand close together; they end when this is closed. */
final class RandomWrites implements AutoCloseable {
    private static final int KEYS = 40;
    /** So that the stream soon grows past what a window covers. */
    private static final int VALUE_REPEATS = 25;

    private final List<Thread> threads = new ArrayList<>();
    private final AtomicLong written = new AtomicLong();
    private final String tag;
    private volatile boolean stopped;
    private volatile @Nullable Throwable failure;

    /** @param tag a hash tag for keys that are used together; "" where slots do not matter */
    RandomWrites(RealServer server, int clients, String tag) {
        this(() -> server, false, clients, tag);
    }

    /** Clients that follow their keys to whoever has them by now. */
    RandomWrites(Supplier<RealServer> owner, int clients, String tag) {
        this(owner, true, clients, tag);
    }

    private RandomWrites(Supplier<RealServer> server, boolean following, int clients, String tag) {
        this.tag = tag;
        for (int i = 0; i < clients; i++) {
            long seed = i + 1L;
            threads.add(Thread.ofPlatform().start(() -> write(server, following, new Random(seed))));
        }
    }

    long written() {
        return written.get();
    }

    private void write(Supplier<RealServer> server, boolean following, Random random) {
        try {
            while (!stopped) {
                try {
                    write(server.get(), random);
                } catch (JedisConnectionException | IllegalStateException e) {
                    if (!following) {
                        throw e;
                    }
                }
            }
        } catch (RuntimeException e) {
            failure = e;
        }
    }

    private void write(RealServer server, Random random) {
        try (Jedis client = server.client()) {
            while (!stopped) {
                try {
                    one(client, random);
                } catch (JedisMovedDataException e) {
                    return; // the keys are somebody else's now
                } catch (JedisDataException e) {
                    // Refused by the server: no such key, say. Nothing of it comes down the stream.
                }
                written.incrementAndGet();
            }
        }
    }

    private void one(Jedis client, Random random) {
        String n = tag + random.nextInt(KEYS);
        String m = tag + random.nextInt(KEYS);
        String value = Long.toHexString(random.nextLong()).repeat(VALUE_REPEATS);
        switch (random.nextInt(34)) {
            case 0 -> client.set("s" + n, value);
            case 1, 2 -> client.incr("c" + n);
            case 3 -> client.append("s" + n, value);
            case 4, 5 -> client.rpush("l" + n, value);
            case 6 -> client.lpop("l" + n);
            case 7 -> client.sadd("set" + n, value, "a", "b");
            case 8 -> client.spop("set" + n);
            case 9, 10 -> client.hincrBy("h" + n, "n", 1);
            case 11 -> client.hset("h" + n, value, value);
            case 12 -> client.hdel("h" + n, "n");
            case 13 -> client.zadd("z" + n, random.nextInt(100), value);
            case 14 -> client.zincrby("z" + n, 1.5, "m");
            case 15 -> client.pexpire("c" + n, 30 + random.nextInt(200));
            case 16 -> client.pexpire("h" + n, 30 + random.nextInt(200));
            case 17 -> client.expire("s" + n, 1000);
            case 18 -> client.persist("c" + n);
            case 19 -> client.del("l" + n, "z" + m);
            case 20 -> client.rename("c" + n, "c" + m);
            case 21 -> client.sunionstore("set" + n, "set" + m, "set" + n);
            case 22 -> client.mset("s" + n, value, "s" + m, value);
            case 23 -> {
                try (var transaction = client.multi()) {
                    transaction.incr("c" + n);
                    transaction.rpush("l" + n, value);
                    transaction.hincrBy("h" + m, "n", 1);
                    transaction.exec();
                }
            }
            case 24 ->
                client.eval(
                        "redis.call('INCR', KEYS[1]); redis.call('RPUSH', KEYS[2], ARGV[1])",
                        List.of("c" + n, "l" + n),
                        List.of(value));
            case 25 -> client.rpoplpush("l" + n, "l" + m);
            case 26 -> client.xadd("x" + n, StreamEntryID.NEW_ENTRY, Map.of("f", value));
            case 27 -> client.xgroupCreate("x" + n, "g", new StreamEntryID(), true);
            case 28 ->
                client.xreadGroup(
                        "g",
                        "me",
                        XReadGroupParams.xReadGroupParams().count(1),
                        Map.of("x" + n, StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY));
            case 29 -> client.psetex("c" + n, 20 + random.nextInt(100), "7");
            case 30 -> client.smove("set" + n, "set" + m, "a");
            case 31 -> client.setrange("s" + n, 3, "xyz");
            case 32 -> client.zunionstore("z" + n, "z" + n, "z" + m);
            default -> client.del("x" + n, "h" + n);
        }
    }

    /** Ends them all, and waits for it. */
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
    }

    @Override
    public void close() {
        end();
        if (failure != null) {
            throw new AssertionError("a client ended early", failure);
        }
    }
}
