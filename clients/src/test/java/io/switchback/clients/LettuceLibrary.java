package io.switchback.clients;

import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisChannelHandler;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisConnectionStateListener;
import io.lettuce.core.RedisURI;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.sync.RedisClusterCommands;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.sentinel.api.StatefulRedisSentinelConnection;
import io.lettuce.core.support.caching.CacheAccessor;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Lettuce: one connection that all threads share, others for who waits, subscribes or watches; RESP3 with client-side caching. */
final class LettuceLibrary implements Library {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    /** As the cache is named. */
    private static final String PRIMARY = "sessions";
    /** Within a transaction, so that switches find some that are open. */
    private static final long WITHIN_NANOS = 2_000_000;

    private final ProtocolVersion protocol;
    private final Mode mode;
    private final RedisURI node;
    private final AbstractRedisClient client;
    private final RedisClusterCommands<String, String> shared;
    /** Transactions and waiting belong to a connection: one for each thread. */
    private final Map<Thread, RedisCommands<String, String>> own = new ConcurrentHashMap<>();

    private final ConcurrentLinkedQueue<String> disconnections = new ConcurrentLinkedQueue<>();
    private volatile boolean closing;

    LettuceLibrary(int port, Mode mode, ProtocolVersion protocol) {
        this.protocol = protocol;
        this.mode = mode;
        RedisURI.Builder address = mode == Mode.SENTINELS
                ? RedisURI.Builder.sentinel("127.0.0.1", port, PRIMARY)
                : RedisURI.Builder.redis("127.0.0.1", port);
        this.node = address.withTimeout(TIMEOUT).build();
        if (mode == Mode.CLUSTER) {
            RedisClusterClient cluster = RedisClusterClient.create(node);
            cluster.setOptions(
                    ClusterClientOptions.builder().protocolVersion(protocol).build());
            cluster.getPartitions(); // which it asks for over a connection that it closes itself
            this.client = cluster;
        } else {
            RedisClient single = RedisClient.create(node);
            single.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
            this.client = single;
        }
        Set<RedisChannelHandler<?, ?>> counted = ConcurrentHashMap.newKeySet();
        client.addListener(new RedisConnectionStateListener() {
            @Override
            public void onRedisConnected(RedisChannelHandler<?, ?> connection, SocketAddress to) {
                // A sentinel it asks over a connection that it closes itself.
                if (!(connection instanceof StatefulRedisSentinelConnection)) {
                    counted.add(connection);
                }
            }

            @Override
            public void onRedisDisconnected(RedisChannelHandler<?, ?> connection) {
                if (!closing && counted.contains(connection)) {
                    disconnections.add("disconnected: " + connection);
                }
            }
        });
        this.shared = client instanceof RedisClusterClient cluster
                ? cluster.connect().sync()
                : connect().sync();
    }

    /** To the node; in a cluster to the only one that there is. */
    private StatefulRedisConnection<String, String> connect() {
        return client instanceof RedisClusterClient cluster
                ? cluster.connect().getConnection(node.getHost(), node.getPort())
                : ((RedisClient) client).connect();
    }

    private RedisCommands<String, String> ownConnection() {
        return own.computeIfAbsent(Thread.currentThread(), thread -> connect().sync());
    }

    @Override
    public String name() {
        return "lettuce-" + (protocol == ProtocolVersion.RESP3 ? "resp3" : "resp2") + mode.suffix();
    }

    @Override
    public long increment(String key) {
        return shared.incr(key);
    }

    @Override
    public void publish(String channel, String message) {
        shared.publish(channel, message);
    }

    @Override
    public void subscribe(String channel, Consumer<String> heard) {
        listening(heard).sync().subscribe(channel);
    }

    @Override
    public void subscribeToPattern(String pattern, Consumer<String> heard) {
        listening(heard).sync().psubscribe(pattern);
    }

    private StatefulRedisPubSubConnection<String, String> listening(Consumer<String> heard) {
        StatefulRedisPubSubConnection<String, String> connection = client instanceof RedisClusterClient cluster
                ? cluster.connectPubSub()
                : ((RedisClient) client).connectPubSub();
        connection.addListener(new RedisPubSubAdapter<>() {
            @Override
            public void message(String channel, String message) {
                heard.accept(message);
            }

            @Override
            public void message(String pattern, String channel, String message) {
                heard.accept(message);
            }
        });
        return connection;
    }

    @Override
    public void push(String queue, String element) {
        shared.rpush(queue, element);
    }

    @Override
    public String take(String queue) {
        return ownConnection().blpop(0, queue).getValue();
    }

    @Override
    public List<Long> incrementTogether(String one, String other) {
        RedisCommands<String, String> commands = ownConnection();
        commands.multi();
        commands.incr(one);
        LockSupport.parkNanos(WITHIN_NANOS);
        commands.incr(other);
        TransactionResult result = commands.exec();
        return List.of(result.<Long>get(0), result.<Long>get(1));
    }

    @Override
    public boolean incrementUnlessChanged(String key, Runnable meanwhile) {
        RedisCommands<String, String> commands = ownConnection();
        commands.watch(key);
        String now = commands.get(key);
        meanwhile.run();
        commands.multi();
        commands.set(key, Long.toString(now == null ? 1 : Long.parseLong(now) + 1));
        return !commands.exec().wasDiscarded();
    }

    @Override
    public @Nullable Cache cache() {
        return protocol == ProtocolVersion.RESP3 ? new Tracked(shared, connect()) : null;
    }

    @Override
    public List<String> disconnections() {
        return List.copyOf(disconnections);
    }

    @Override
    public void close() {
        closing = true;
        client.shutdown(Duration.ZERO, TIMEOUT);
    }

    /**
     * The library's frontend of a cache over CLIENT TRACKING. When it is told to forget everything (FLUSHALL, or a switch) it
     * looks for names of keys and fails, so that whoever uses it must clear the cache, as is done here.
     */
    private static final class Tracked implements Library.Cache {
        private final RedisClusterCommands<String, String> writing;
        private final Map<String, String> kept = new ConcurrentHashMap<>();
        private final AtomicLong hits = new AtomicLong();
        private final CacheFrontend<String, String> frontend;

        Tracked(RedisClusterCommands<String, String> writing, StatefulRedisConnection<String, String> reading) {
            this.writing = writing;
            reading.addListener(message -> {
                if (message.getType().equals("invalidate")
                        && message.getContent().get(1) == null) {
                    kept.clear();
                }
            });
            this.frontend =
                    ClientSideCaching.enable(CacheAccessor.forMap(kept), reading, TrackingArgs.Builder.enabled());
        }

        @Override
        public void write(String key, String value) {
            writing.set(key, value);
        }

        @Override
        public @Nullable String read(String key) {
            if (kept.containsKey(key)) {
                hits.incrementAndGet();
            }
            return frontend.get(key);
        }

        @Override
        public @Nullable String readFromServer(String key) {
            return writing.get(key);
        }

        @Override
        public long hits() {
            return hits.get();
        }
    }
}
