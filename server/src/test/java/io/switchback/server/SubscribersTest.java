package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.JedisShardedPubSub;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.RedisProtocol;

/** Subscribers while releases go forward and back: each hears every message once, in the order in which they were published. */
final class SubscribersTest {
    private static final int ROUNDS = 3;
    private static final int PUBLISH_EVERY_MS = 1;
    private static final String CHANNEL = "news";
    private static final int SHARD_CHANNELS = 6;

    @TempDir
    private Path folder;

    private final ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
    private final List<Listener> listeners = new ArrayList<>();
    private volatile boolean ended;

    private static final class Listener extends JedisPubSub {
        final List<Integer> heard = new CopyOnWriteArrayList<>();
        volatile boolean subscribed;

        @Override
        public void onMessage(String channel, String message) {
            heard.add(Integer.valueOf(message));
        }

        @Override
        public void onPMessage(String pattern, String channel, String message) {
            heard.add(Integer.valueOf(message));
        }

        @Override
        public void onSubscribe(String channel, int channels) {
            subscribed = true;
        }

        @Override
        public void onPSubscribe(String pattern, int channels) {
            subscribed = true;
        }
    }

    /** Subscribes to one channel after the other, as a cluster has it. */
    private static final class ShardListener extends JedisShardedPubSub {
        final Map<String, List<Integer>> heard = new ConcurrentHashMap<>();
        private final List<String> channels;
        volatile int ended;

        ShardListener(List<String> channels) {
            this.channels = channels;
        }

        @Override
        public void onSMessage(String channel, String message) {
            heard.computeIfAbsent(channel, none -> new CopyOnWriteArrayList<>()).add(Integer.valueOf(message));
        }

        @Override
        public void onSSubscribe(String channel, int count) {
            if (count < channels.size()) {
                ssubscribe(channels.get(count));
            }
        }

        @Override
        public void onSUnsubscribe(String channel, int count) {
            ended = channels.size() - count;
        }
    }

    @Test
    void everyMessageIsHeardOnceAndInOrder() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (TwoFleets fleets = TwoFleets.start(old, fresh, folder)) {
            List<Integer> all = thereAndBack(fleets);
            for (Listener listener : listeners) {
                assertThat(listener.heard).isEqualTo(all);
            }
        }
    }

    /** No link carries messages there, and within a cluster one message may overtake another. */
    @Test
    void everyMessageIsHeardOnceBetweenAServerAndACluster() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (SomeFleet blue = SomeFleet.single(old, folder.resolve("blue"));
                SomeFleet green = SomeFleet.cluster(fresh, folder.resolve("green"), 3, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            List<Integer> all = thereAndBack(fleets);
            for (Listener listener : listeners) {
                assertThat(listener.heard).containsExactlyInAnyOrderElementsOf(all);
            }
        }
    }

    /** One client has channels of every shard on either side, over one connection of its own. */
    @Test
    void everyMessageOfEveryShardIsHeardOnceAndInOrderBetweenClusters() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (SomeFleet blue = SomeFleet.cluster(old, folder.resolve("blue"), 3, 0);
                SomeFleet green = SomeFleet.cluster(fresh, folder.resolve("green"), 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            List<String> channels = IntStream.range(0, SHARD_CHANNELS)
                    .mapToObj(i -> "shard-" + i)
                    .toList();
            List<ShardListener> heard = new ArrayList<>();
            List<Thread> threads = new ArrayList<>();
            for (RedisProtocol protocol : RedisProtocol.values()) {
                ShardListener listener = new ShardListener(channels);
                heard.add(listener);
                threads.add(connected(
                        fleets, protocol, client -> listener.proceed(client.getConnection(), channels.getFirst())));
            }
            Await.until(
                    Duration.ofSeconds(10),
                    "all are subscribed",
                    () -> heard.stream().allMatch(one -> one.getSubscribedChannels() == SHARD_CHANNELS));
            AtomicInteger published = new AtomicInteger();
            Thread publisher = Thread.ofVirtual()
                    .start(() -> publish(fleets, published, (client, message) -> {
                        for (String channel : channels) {
                            client.sendCommand(Protocol.Command.SPUBLISH, channel, message);
                        }
                    }));
            switches(fleets, published);
            publisher.join();
            List<Integer> all = IntStream.range(0, published.get()).boxed().toList();
            for (ShardListener listener : heard) {
                Await.until(
                        Duration.ofSeconds(10),
                        "the last messages",
                        () -> listener.heard.values().stream().allMatch(one -> one.contains(all.size() - 1)));
                listener.sunsubscribe();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertThat(failures).isEmpty();
            for (ShardListener listener : heard) {
                assertThat(listener.heard.keySet()).containsExactlyInAnyOrderElementsOf(channels);
                listener.heard.forEach(
                        (channel, messages) -> assertThat(messages).as(channel).isEqualTo(all));
                assertThat(listener.ended).isEqualTo(SHARD_CHANNELS); // each by its own command, and never before
            }
        }
    }

    /** What was published. */
    private List<Integer> thereAndBack(TwoFleets fleets) throws Exception {
        fleets.startNode();
        List<Thread> threads = new ArrayList<>();
        for (RedisProtocol protocol : RedisProtocol.values()) {
            for (boolean byPattern : new boolean[] {false, true}) {
                Listener listener = new Listener();
                listeners.add(listener);
                threads.add(listen(fleets, protocol, byPattern, listener));
            }
        }
        Await.until(
                Duration.ofSeconds(10),
                "all are subscribed",
                () -> listeners.stream().allMatch(one -> one.subscribed));
        AtomicInteger published = new AtomicInteger();
        Thread publisher = Thread.ofVirtual()
                .start(() -> publish(fleets, published, (client, message) -> client.publish(CHANNEL, message)));
        switches(fleets, published);
        publisher.join();
        List<Integer> all = IntStream.range(0, published.get()).boxed().toList();
        for (Listener listener : listeners) {
            Await.until(
                    Duration.ofSeconds(10),
                    "the last message",
                    () -> listener.heard.size() >= all.size() && listener.heard.contains(all.size() - 1));
            listener.unsubscribe();
            listener.punsubscribe();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertThat(failures).isEmpty();
        return all;
    }

    private void switches(TwoFleets fleets, AtomicInteger published) throws Exception {
        fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
        for (int round = 1; round <= ROUNDS; round++) {
            fleets.awaitObserving("r");
            awaitMore(published);
            fleets.order("r", Order.Kind.ROLLBACK);
            fleets.awaitStatus("r", Status.ROLLED_BACK);
            awaitMore(published);
            fleets.order("r", Order.Kind.RESUME);
        }
        fleets.awaitObserving("r");
        awaitMore(published);
        ended = true;
    }

    private Thread listen(TwoFleets fleets, RedisProtocol protocol, boolean byPattern, Listener listener) {
        return connected(fleets, protocol, client -> {
            if (byPattern) {
                client.psubscribe(listener, "n*");
            } else {
                client.subscribe(listener, CHANNEL);
            }
        });
    }

    private Thread connected(TwoFleets fleets, RedisProtocol protocol, Consumer<Jedis> listens) {
        return Thread.ofPlatform().start(() -> {
            try (Jedis client = new Jedis(
                    new HostAndPort("127.0.0.1", fleets.port()),
                    DefaultJedisClientConfig.builder()
                            .protocol(protocol)
                            .timeoutMillis(60_000)
                            .build())) {
                listens.accept(client);
            } catch (RuntimeException e) {
                failures.add(e);
            }
        });
    }

    private void publish(TwoFleets fleets, AtomicInteger published, BiConsumer<Jedis, String> by) {
        try (Jedis client = fleets.client()) {
            while (!ended) {
                by.accept(client, Integer.toString(published.get()));
                published.incrementAndGet();
                Thread.sleep(PUBLISH_EVERY_MS);
            }
        } catch (RuntimeException | InterruptedException e) {
            failures.add(e);
        }
    }

    private static void awaitMore(AtomicInteger published) {
        int before = published.get();
        Await.until(Duration.ofSeconds(30), "more messages", () -> published.get() > before + 300);
    }
}
