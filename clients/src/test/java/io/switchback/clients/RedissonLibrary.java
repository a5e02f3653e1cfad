package io.switchback.clients;

import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.redisson.Redisson;
import org.redisson.api.BatchOptions;
import org.redisson.api.RAtomicLong;
import org.redisson.api.RBatch;
import org.redisson.api.RFuture;
import org.redisson.api.RLocalCachedMap;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.api.options.LocalCachedMapOptions;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.BaseMasterSlaveServersConfig;
import org.redisson.config.Config;
import org.redisson.config.Protocol;
import org.redisson.config.ReadMode;
import org.redisson.config.SubscriptionMode;
import org.redisson.connection.ConnectionListener;

/** Redisson: objects in place of commands. */
final class RedissonLibrary implements Library {
    private static final int CONNECTIONS = 12;
    private static final int TIMEOUT_MS = 30_000;
    private static final int LONG_MS = 300_000;

    private final Protocol protocol;
    private final Mode mode;
    private final RedissonClient client;
    /** Reads what {@code client} writes into its maps. */
    private final RedissonClient reader;

    private final ConcurrentLinkedQueue<String> disconnections = new ConcurrentLinkedQueue<>();
    private volatile boolean closing;

    RedissonLibrary(int port, Mode mode, Protocol protocol) {
        this.protocol = protocol;
        this.mode = mode;
        this.client = Redisson.create(config(port));
        this.reader = Redisson.create(config(port));
    }

    /** Nothing is tried twice, and nothing closed for being idle. */
    @SuppressWarnings("deprecation") // what a listener must have, still
    private Config config(int port) {
        Config config = new Config();
        config.setProtocol(protocol);
        config.setCodec(StringCodec.INSTANCE);
        config.setConnectionListener(new ConnectionListener() {
            @Override
            public void onConnect(InetSocketAddress address) {}

            @Override
            public void onDisconnect(InetSocketAddress address) {
                // A sentinel it asks over connections that it closes itself, at the same address; what the node counts
                // shows the others.
                if (!closing && mode != Mode.SENTINELS) {
                    disconnections.add("disconnected from " + address);
                }
            }
        });
        String address = "redis://127.0.0.1:" + port;
        switch (mode) {
            case ONE_SERVER ->
                config.useSingleServer()
                        .setAddress(address)
                        .setConnectionPoolSize(CONNECTIONS)
                        .setConnectionMinimumIdleSize(CONNECTIONS)
                        .setSubscriptionConnectionMinimumIdleSize(1)
                        .setIdleConnectionTimeout(LONG_MS)
                        .setRetryAttempts(0)
                        .setTimeout(TIMEOUT_MS);
            case SENTINELS ->
                primaryAlone(config.useSentinelServers()
                        .setMasterName("sessions")
                        .addSentinelAddress(address)
                        .setCheckSentinelsList(false));
            case CLUSTER -> primaryAlone(config.useClusterServers().addNodeAddress(address));
        }
        return config;
    }

    private static void primaryAlone(BaseMasterSlaveServersConfig<?> config) {
        config.setReadMode(ReadMode.MASTER)
                .setSubscriptionMode(SubscriptionMode.MASTER)
                .setMasterConnectionPoolSize(CONNECTIONS)
                .setMasterConnectionMinimumIdleSize(CONNECTIONS)
                .setSubscriptionConnectionMinimumIdleSize(1)
                .setIdleConnectionTimeout(LONG_MS)
                .setRetryAttempts(0)
                .setTimeout(TIMEOUT_MS);
    }

    @Override
    public String name() {
        return "redisson-" + (protocol == Protocol.RESP3 ? "resp3" : "resp2") + mode.suffix();
    }

    @Override
    public long increment(String key) {
        return client.getAtomicLong(key).incrementAndGet();
    }

    @Override
    public void publish(String channel, String message) {
        client.getTopic(channel).publish(message);
    }

    @Override
    public void subscribe(String channel, Consumer<String> heard) {
        client.getTopic(channel).addListener(String.class, (name, message) -> heard.accept(message));
    }

    @Override
    public void subscribeToPattern(String pattern, Consumer<String> heard) {
        client.getPatternTopic(pattern).addListener(String.class, (matched, channel, message) -> heard.accept(message));
    }

    @Override
    public void push(String queue, String element) {
        client.<String>getBlockingQueue(queue).offer(element);
    }

    @Override
    public String take(String queue) {
        try {
            return client.<String>getBlockingQueue(queue).take();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while taking from " + queue, e);
        }
    }

    /**
     * Sent as a whole by EXEC. The mode that queues at the server as it goes along (REDIS_WRITE_ATOMIC) is of no use here:
     * Redisson 4.7.0 writes MULTI twice where two commands of a batch wait for the same connection, which Valkey 9 answers
     * by EXECABORT.
     */
    @Override
    public List<Long> incrementTogether(String one, String other) {
        RBatch batch =
                client.createBatch(BatchOptions.defaults().executionMode(BatchOptions.ExecutionMode.IN_MEMORY_ATOMIC));
        RFuture<Long> left = batch.getAtomicLong(one).incrementAndGetAsync();
        RFuture<Long> right = batch.getAtomicLong(other).incrementAndGetAsync();
        batch.execute();
        return List.of(
                left.toCompletableFuture().join(), right.toCompletableFuture().join());
    }

    @Override
    public boolean incrementUnlessChanged(String key, Runnable meanwhile) {
        RAtomicLong counter = client.getAtomicLong(key);
        long now = counter.get();
        meanwhile.run();
        return counter.compareAndSet(now, now + 1);
    }

    @Override
    public Cache cache() {
        return new NearMap(map(client), map(reader));
    }

    @Override
    public Consumer<String> incrementUnderALock() {
        return key -> {
            // In front of a cluster it has a shard channel of another shard than the topic of the map below.
            RLock lock = client.getLock(key + "-guard");
            lock.lock();
            try {
                String now = client.<String>getBucket(key).get();
                client.getBucket(key).set(Long.toString(now == null ? 1 : Long.parseLong(now) + 1));
            } finally {
                lock.unlock();
            }
        };
    }

    private RLocalCachedMap<String, String> map(RedissonClient of) {
        return of.getLocalCachedMap(LocalCachedMapOptions.<String, String>name(name() + ":map")
                .codec(StringCodec.INSTANCE)
                .syncStrategy(LocalCachedMapOptions.SyncStrategy.INVALIDATE));
    }

    @Override
    public List<String> disconnections() {
        return List.copyOf(disconnections);
    }

    @Override
    public void close() {
        closing = true;
        reader.shutdown();
        client.shutdown();
    }

    /** A map whose reader keeps what it has read, until a message says that it has changed. */
    private record NearMap(
            RLocalCachedMap<String, String> writer, RLocalCachedMap<String, String> reader, AtomicLong found)
            implements Library.Cache {
        NearMap(RLocalCachedMap<String, String> writer, RLocalCachedMap<String, String> reader) {
            this(writer, reader, new AtomicLong());
        }

        @Override
        public void write(String key, String value) {
            writer.fastPut(key, value);
        }

        @Override
        public @Nullable String read(String key) {
            if (reader.getCachedMap().containsKey(key)) {
                found.incrementAndGet();
            }
            return reader.get(key);
        }

        @Override
        public @Nullable String readFromServer(String key) {
            return writer.readAllMap().get(key);
        }

        @Override
        public long hits() {
            return found.get();
        }
    }
}
