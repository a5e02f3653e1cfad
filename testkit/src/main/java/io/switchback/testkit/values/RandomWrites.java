package io.switchback.testkit.values;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.Replies;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisMovedDataException;
import redis.clients.jedis.params.XReadGroupParams;

/** Clients that write everything to few keys, so that effects on the same keys stand close together; they end when this is closed. */
public final class RandomWrites implements AutoCloseable {
    private static final int KEYS = 40;
    /** So that the stream soon grows past what a window covers. */
    private static final int VALUE_REPEATS = 25;

    private final List<Thread> threads = new ArrayList<>();
    private final AtomicLong written = new AtomicLong();
    private final String tag;
    private final Extent extent;
    private volatile boolean stopped;
    private volatile @Nullable Throwable failure;

    /**
     * What they write, and how fast.
     *
     * @param seed of the first client; the next ones have the next
     * @param pauseNanos between two writes of a client; 0: none
     * @param newer also what servers came to know later, as far as this one does; a server that is older refuses it
     * @param fieldTimes also times to live of fields of hashes
     */
    public record Extent(long seed, long pauseNanos, boolean newer, boolean fieldTimes) {
        /** As fast as it goes, what every server knows. */
        public static final Extent PLAIN = new Extent(1, 0, false, false);
    }

    /** @param tag a hash tag for keys that are used together; "" where slots do not matter */
    public RandomWrites(RealServer server, int clients, String tag) {
        this(() -> server, false, clients, tag, Extent.PLAIN);
    }

    /** The same, of another extent. */
    public RandomWrites(RealServer server, int clients, String tag, Extent extent) {
        this(() -> server, false, clients, tag, extent);
    }

    /** Clients that follow their keys to whoever has them by now. */
    public RandomWrites(Supplier<RealServer> owner, int clients, String tag) {
        this(owner, true, clients, tag, Extent.PLAIN);
    }

    private RandomWrites(Supplier<RealServer> server, boolean following, int clients, String tag, Extent extent) {
        this.tag = tag;
        this.extent = extent;
        for (int i = 0; i < clients; i++) {
            long seed = extent.seed() + i;
            threads.add(Thread.ofPlatform().start(() -> write(server, following, new Random(seed))));
        }
    }

    /** Commands so far, those that were refused among them. */
    public long written() {
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
                    if (extent.newer() && random.nextInt(4) == 0) {
                        newer(client, random);
                    } else {
                        one(client, random);
                    }
                } catch (JedisMovedDataException e) {
                    return; // the keys are somebody else's now
                } catch (JedisDataException e) {
                    // Refused by the server: no such key, say. Nothing of it comes down the stream.
                }
                written.incrementAndGet();
                if (extent.pauseNanos() > 0) {
                    LockSupport.parkNanos(extent.pauseNanos());
                }
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

    private void newer(Jedis client, Random random) {
        String n = tag + random.nextInt(KEYS);
        String m = tag + random.nextInt(KEYS);
        String value = Long.toHexString(random.nextLong());
        String time = Integer.toString(random.nextInt(3) == 0 ? 1_000_000 : 30 + random.nextInt(200));
        switch (random.nextInt(extent.fieldTimes() ? 28 : 24)) {
            case 0 -> call(client, "LMOVE", "l" + n, "l" + m, "LEFT", "RIGHT");
            case 1 -> call(client, "COPY", "s" + n, "s" + m, "REPLACE");
            case 2 -> call(client, "ZRANGESTORE", "z" + n, "z" + m, "0", "5");
            case 3 -> call(client, "GETEX", "c" + n, "PX", time);
            case 4 -> call(client, "GETDEL", "c" + n);
            case 5 -> call(client, "SET", "s" + n, value, "PX", time, "GET");
            case 6 -> call(client, "SET", "s" + n, value, "KEEPTTL");
            case 7 -> call(client, "XAUTOCLAIM", "x" + n, "g", "other", "0", "0", "COUNT", "3");
            case 8 -> call(client, "ZADD", "z" + n, "GT", "CH", "50", "m");
            case 9 -> call(client, "XADD", "x" + n, "MAXLEN", "5", "*", "f", value);
            case 10 -> call(client, "XTRIM", "x" + n, "MAXLEN", "2");
            case 11 -> call(client, "SETBIT", "b" + n, Integer.toString(random.nextInt(300)), "1");
            case 12 -> call(client, "BITFIELD", "b" + n, "INCRBY", "u8", "8", "3");
            case 13 -> call(client, "BITOP", "XOR", "b" + n, "b" + m, "b" + n);
            case 14 -> call(client, "PFADD", "p" + n, value);
            case 15 -> call(client, "PFMERGE", "p" + n, "p" + m);
            case 16 -> call(client, "GEOADD", "g" + n, "13.3", "38.1", "here", "15.0", "37.5", value);
            case 17 -> call(client, "SORT", "set" + n, "ALPHA", "LIMIT", "0", "5", "STORE", "l" + n);
            case 18 -> call(client, "INCRBYFLOAT", "f" + n, "1.5");
            case 19 -> call(client, "HINCRBYFLOAT", "h" + n, "n", "0.5");
            case 20 -> call(client, "EXPIRE", "l" + n, "1000", "NX");
            case 21 -> call(client, "ZDIFFSTORE", "z" + n, "2", "z" + n, "z" + m);
            case 22 -> call(client, "LTRIM", "l" + n, "0", "50");
            case 23 -> call(client, "XACK", "x" + n, "g", "0-1");
            case 24, 25 -> call(client, "HPEXPIRE", "h" + n, time, "FIELDS", "1", "n");
            case 26 -> call(client, "HPERSIST", "h" + n, "FIELDS", "1", "n");
            default -> call(client, "HSETEX", "h" + n, "PX", time, "FIELDS", "1", "e", value);
        }
    }

    private static void call(Jedis client, String... words) {
        Replies.call(client, words);
    }

    /** Ends them all, and waits for it. */
    public void end() {
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
