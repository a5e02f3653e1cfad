package io.switchback.clients;

import io.switchback.server.TwoFleets;
import io.switchback.testkit.Await;
import io.switchback.testkit.RequiresServers;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.csc.CacheConfig;

/** Jedis: pools of connections, in RESP2 and RESP3, there with its client-side cache, which it refuses to have with any other server. */
@RequiresServers("redis-8.0")
final class JedisTest extends PromisesToClients {
    @Override
    String oldServer() {
        return "redis-8.0";
    }

    @Override
    String newServer() {
        return "redis-8.0";
    }

    @Override
    void start(int port, List<Clients> started) {
        for (RedisProtocol protocol : RedisProtocol.values()) {
            started.add(LibraryAtWork.start(new Pools(port, protocol)));
        }
    }

    private static final class Pools implements Library {
        private static final int CONNECTIONS_MAX = 16;
        private static final int TIMEOUT_MS = 30_000;

        private final RedisProtocol protocol;
        private final JedisPooled pool;
        private final @Nullable JedisPooled cachedPool;
        private final ConcurrentLinkedQueue<JedisPubSub> subscriptions = new ConcurrentLinkedQueue<>();
        private final ConcurrentLinkedQueue<String> ended = new ConcurrentLinkedQueue<>();

        Pools(int port, RedisProtocol protocol) {
            this.protocol = protocol;
            HostAndPort node = new HostAndPort("127.0.0.1", port);
            JedisClientConfig settings = DefaultJedisClientConfig.builder()
                    .protocol(protocol)
                    .timeoutMillis(TIMEOUT_MS)
                    .build();
            ConnectionPoolConfig size = new ConnectionPoolConfig();
            size.setMaxTotal(CONNECTIONS_MAX);
            size.setMaxIdle(CONNECTIONS_MAX);
            this.pool = new JedisPooled(node, settings, size);
            this.cachedPool = protocol == RedisProtocol.RESP3
                    ? new JedisPooled(node, settings, CacheConfig.builder().build(), size)
                    : null;
        }

        @Override
        public String name() {
            return "jedis-resp" + protocol.version();
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
            try (AbstractTransaction transaction = pool.multi()) {
                Response<Long> left = transaction.incr(one);
                Response<Long> right = transaction.incr(other);
                transaction.exec();
                return List.of(left.get(), right.get());
            }
        }

        @Override
        public boolean incrementUnlessChanged(String key, Runnable meanwhile) {
            try (AbstractTransaction transaction = pool.transaction(false)) {
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
            JedisPooled cached = cachedPool;
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
            long lost = pool.getPool().getDestroyedCount()
                    + (cachedPool == null ? 0 : cachedPool.getPool().getDestroyedCount());
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
    }
}
