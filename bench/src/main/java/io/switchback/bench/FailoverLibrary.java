package io.switchback.bench;

import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.sync.RedisClusterCommands;
import io.switchback.testkit.RealSentinels;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisSentineled;
import redis.clients.jedis.UnifiedJedis;

/**
 * A client library as an application has it: one object that its threads share. What it does when a primary dies is its own: whether it asks again,
 * how long it waits, when it looks for the next one.
 *
 * <p>All have the same limit, for a command and for all attempts at it where a library tries more than once; everything else is as the libraries have it, but that Lettuce looks at the
 * cluster anew whenever something is wrong, as its documentation advises.
 */
interface FailoverLibrary extends AutoCloseable {
    /** What {@link JedisCluster} has where nothing is said. */
    int ATTEMPTS = JedisCluster.DEFAULT_MAX_ATTEMPTS;

    /** How soon Lettuce looks at the cluster again. */
    Duration REFRESH_AT_MOST = Duration.ofSeconds(1);

    /** A write that shows afterwards how often it was done; its error is whatever the library throws. */
    long increment(String key);

    void read(String key);

    @Override
    void close();

    /** Jedis of a server, or of a node. */
    static FailoverLibrary jedis(int port, Duration limit) {
        return new Jedis(new JedisPooled(new HostAndPort("127.0.0.1", port), settings(limit)));
    }

    /** Jedis that goes straight to a cluster. */
    static FailoverLibrary jedisCluster(List<HostAndPort> nodes, Duration limit) {
        return new Jedis(new JedisCluster(Set.copyOf(nodes), settings(limit), ATTEMPTS, limit));
    }

    /** Jedis that asks sentinels. */
    static FailoverLibrary jedisSentinel(List<HostAndPort> sentinels, Duration limit) {
        return new Jedis(new JedisSentineled(
                RealSentinels.PRIMARY_NAME, settings(limit), Set.copyOf(sentinels), settings(limit)));
    }

    /** Lettuce of a server, or of a node. */
    static FailoverLibrary lettuce(int port, Duration limit) {
        return Lettuce.of(RedisClient.create(uri(new HostAndPort("127.0.0.1", port), limit)));
    }

    /** Lettuce that goes straight to a cluster. */
    static FailoverLibrary lettuceCluster(List<HostAndPort> nodes, Duration limit) {
        RedisClusterClient client = RedisClusterClient.create(
                nodes.stream().map(node -> uri(node, limit)).toList());
        client.setOptions(ClusterClientOptions.builder()
                .topologyRefreshOptions(ClusterTopologyRefreshOptions.builder()
                        .adaptiveRefreshTriggersTimeout(REFRESH_AT_MOST)
                        .enablePeriodicRefresh(REFRESH_AT_MOST)
                        .build())
                .build());
        return new Lettuce(client, client.connect().sync());
    }

    /** Lettuce that asks sentinels. */
    static FailoverLibrary lettuceSentinel(List<HostAndPort> sentinels, Duration limit) {
        RedisURI.Builder uri = RedisURI.builder()
                .withSentinelMasterId(RealSentinels.PRIMARY_NAME)
                .withTimeout(limit);
        sentinels.forEach(sentinel -> uri.withSentinel(sentinel.getHost(), sentinel.getPort()));
        return Lettuce.of(RedisClient.create(uri.build()));
    }

    private static JedisClientConfig settings(Duration limit) {
        return DefaultJedisClientConfig.builder()
                .timeoutMillis((int) limit.toMillis())
                .build();
    }

    private static RedisURI uri(HostAndPort address, Duration limit) {
        return RedisURI.builder()
                .withHost(address.getHost())
                .withPort(address.getPort())
                .withTimeout(limit)
                .build();
    }

    /** For any thread. */
    record Jedis(UnifiedJedis client) implements FailoverLibrary {
        @Override
        public long increment(String key) {
            return client.incr(key);
        }

        @Override
        public void read(String key) {
            client.get(key);
        }

        @Override
        public void close() {
            client.close();
        }
    }

    /** For any thread; {@code commands} are those of a connection that the client has opened. */
    record Lettuce(AbstractRedisClient client, RedisClusterCommands<String, String> commands)
            implements FailoverLibrary {
        private static Lettuce of(RedisClient client) {
            return new Lettuce(client, client.connect().sync());
        }

        @Override
        public long increment(String key) {
            return commands.incr(key);
        }

        @Override
        public void read(String key) {
            commands.get(key);
        }

        @Override
        public void close() {
            client.shutdown();
        }
    }
}
