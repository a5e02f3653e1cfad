package io.switchback.clients;

import io.switchback.server.TwoFleets;
import io.switchback.testkit.Await;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.ConnectionPool;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.JedisSentineled;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.UnifiedJedis;
import redis.clients.jedis.csc.CacheConfig;
import redis.clients.jedis.csc.CacheFactory;
import redis.clients.jedis.util.JedisClusterCRC16;
import redis.clients.jedis.util.Pool;

/** Jedis: pools of connections, in RESP3 with its client-side cache. */
final class JedisLibrary implements Library {
    private static final int CONNECTIONS_MAX = 16;
    private static final int TIMEOUT_MS = 30_000;
    private static final Duration LIMIT = Duration.ofMillis(TIMEOUT_MS);
    /** As the cache is named. */
    private static final String PRIMARY = "sessions";

    private final RedisProtocol protocol;
    private final Mode mode;
    private final UnifiedJedis pool;
    private final @Nullable UnifiedJedis cachedPool;
    private final ConcurrentLinkedQueue<JedisPubSub> subscriptions = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<String> ended = new ConcurrentLinkedQueue<>();

    JedisLibrary(int port, Mode mode, RedisProtocol protocol) {
        this.protocol = protocol;
        this.mode = mode;
        this.pool = pool(port, null);
        this.cachedPool = protocol == RedisProtocol.RESP3
                ? pool(port, CacheFactory.getCache(CacheConfig.builder().build()))
                : null;
    }

    /** Of which nothing is tried twice. */
    private UnifiedJedis pool(int port, redis.clients.jedis.csc.@Nullable Cache cache) {
        HostAndPort node = new HostAndPort("127.0.0.1", port);
        JedisClientConfig settings = DefaultJedisClientConfig.builder()
                .protocol(protocol)
                .timeoutMillis(TIMEOUT_MS)
                .build();
        ConnectionPoolConfig size = new ConnectionPoolConfig();
        size.setMaxTotal(CONNECTIONS_MAX);
        size.setMaxIdle(CONNECTIONS_MAX);
        size.setTimeBetweenEvictionRuns(Duration.ofMillis(-1)); // nothing is closed for being idle
        return switch (mode) {
            case ONE_SERVER ->
                cache == null ? new JedisPooled(node, settings, size) : new JedisPooled(node, settings, cache, size);
            case SENTINELS ->
                cache == null
                        ? new JedisSentineled(PRIMARY, settings, size, Set.of(node), settings)
                        : new JedisSentineled(PRIMARY, settings, cache, size, Set.of(node), settings);
            case CLUSTER ->
                cache == null
                        ? new JedisCluster(Set.of(node), settings, 1, LIMIT, size)
                        : new JedisCluster(Set.of(node), settings, cache, 1, LIMIT, size);
        };
    }

    /** In a cluster a transaction is of one slot, and begins with the connection of whoever has it. */
    private AbstractTransaction transaction(String key, boolean begins) {
        return pool instanceof JedisCluster cluster
                ? new Transaction(cluster.getConnectionFromSlot(JedisClusterCRC16.getSlot(key)), begins, true)
                : pool.transaction(begins);
    }

    @Override
    public String name() {
        return "jedis-resp" + protocol.version() + mode.suffix();
    }

    @Override
    public long increment(String key) {
        return pool.incr(key);
    }

    @Override
    public void publish(String channel, String message) {
        pool.publish(channel, message);
    }

    @Override
    public void subscribe(String channel, Consumer<String> heard) {
        listen(heard, listener -> pool.subscribe(listener, channel));
    }

    @Override
    public void subscribeToPattern(String pattern, Consumer<String> heard) {
        listen(heard, listener -> pool.psubscribe(listener, pattern));
    }

    private void listen(Consumer<String> heard, Consumer<JedisPubSub> whileSubscribed) {
        CountDownLatch subscribed = new CountDownLatch(1);
        JedisPubSub listener = new JedisPubSub() {
            @Override
            public void onMessage(String channel, String message) {
                heard.accept(message);
            }

            @Override
            public void onPMessage(String pattern, String channel, String message) {
                heard.accept(message);
            }

            @Override
            public void onSubscribe(String channel, int channels) {
                subscribed.countDown();
            }

            @Override
            public void onPSubscribe(String pattern, int channels) {
                subscribed.countDown();
            }
        };
        subscriptions.add(listener);
        Thread.ofPlatform().daemon().start(() -> {
            try {
                whileSubscribed.accept(listener);
            } catch (RuntimeException e) {
                ended.add("a subscription: " + e);
            }
        });
        Await.until(TwoFleets.STEP_LIMIT, "subscribed", () -> subscribed.getCount() == 0);
    }

    @Override
    public void push(String queue, String element) {
        pool.rpush(queue, element);
    }

    @Override
    public String take(String queue) {
        return pool.blpop(0, queue).get(1);
    }

    @Override
    public List<Long> incrementTogether(String one, String other) {
        try (AbstractTransaction transaction = transaction(one, true)) {
            Response<Long> left = transaction.incr(one);
            Response<Long> right = transaction.incr(other);
            transaction.exec();
            return List.of(left.get(), right.get());
        }
    }

    @Override
    public boolean incrementUnlessChanged(String key, Runnable meanwhile) {
        try (AbstractTransaction transaction = transaction(key, false)) {
            transaction.watch(key);
            String now = pool.get(key);
            meanwhile.run();
            transaction.multi();
            transaction.set(key, Long.toString(now == null ? 1 : Long.parseLong(now) + 1));
            return transaction.exec() != null;
        }
    }

    @Override
    public @Nullable Cache cache() {
        UnifiedJedis cached = cachedPool;
        return cached == null
                ? null
                : new Cache() {
                    @Override
                    public void write(String key, String value) {
                        pool.set(key, value);
                    }

                    @Override
                    public @Nullable String read(String key) {
                        return cached.get(key);
                    }

                    @Override
                    public @Nullable String readFromServer(String key) {
                        return pool.get(key);
                    }

                    @Override
                    public long hits() {
                        return cached.getCache().getStats().getHitCount();
                    }
                };
    }

    @Override
    public List<String> disconnections() {
        long lost = Stream.of(pool, cachedPool)
                .filter(Objects::nonNull)
                .flatMap(JedisLibrary::pools)
                .mapToLong(Pool::getDestroyedCount)
                .sum();
        if (lost > 0) {
            ended.add(lost + " connections of a pool");
        }
        return List.copyOf(ended);
    }

    @Override
    public void close() {
        for (JedisPubSub listener : subscriptions) {
            if (listener.getSubscribedChannels() > 0) {
                listener.unsubscribe();
                listener.punsubscribe();
            }
        }
        if (cachedPool != null) {
            cachedPool.close();
        }
        pool.close();
    }

    /** That of a primary which sentinels have named is not to be had. */
    private static Stream<ConnectionPool> pools(UnifiedJedis of) {
        return switch (of) {
            case JedisPooled one -> Stream.of((ConnectionPool) one.getPool());
            case JedisCluster cluster -> cluster.getClusterNodes().values().stream();
            default -> Stream.empty();
        };
    }
}
