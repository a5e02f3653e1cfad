package io.switchback.testkit.load;

import io.switchback.testkit.Await;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.exceptions.JedisException;

/**
 * Publishers that number their messages, and subscribers that write down what they hear, until they are stopped. Whoever loses the connection comes back.
 *
 * <p>A subscriber that is not disconnected may miss nothing and hear nothing twice or out of order: what it heard of a publisher between a subscription
 * and its end has every message that was acknowledged between the first and the last of them, once. One that is still there at the end has heard the last.
 *
 * <p>Started and stopped by one thread.
 */
public final class MessageLoad implements AutoCloseable {
    private static final int PUBLISH_EVERY_MS = 10;
    private static final int COME_BACK_AFTER_MS = 100;
    private static final Duration LAST_LIMIT = Duration.ofSeconds(60);

    private final String run =
            "messages-" + Integer.toString(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE), Character.MAX_RADIX);
    private final List<Publisher> publishers = new ArrayList<>();
    private final List<Subscriber> subscribers = new ArrayList<>();
    private final List<Thread> threads = new ArrayList<>();
    private final int timeoutMillis;
    private volatile boolean publishing = true;
    private volatile boolean listening = true;

    private MessageLoad(Duration timeout) {
        this.timeoutMillis = Math.toIntExact(timeout.toMillis());
    }

    /** What came of it. */
    public record Result(long published, long heard, int stays, List<String> problems) {}

    /** At each of these addresses one publishes, and two listen to all: by the channels' names in RESP3, by a pattern in RESP2. */
    public static MessageLoad start(List<HostAndPort> addresses, Duration timeout) {
        MessageLoad load = new MessageLoad(timeout);
        for (HostAndPort address : addresses) {
            load.publishers.add(load.new Publisher(address, load.run + ":" + load.publishers.size()));
        }
        for (HostAndPort address : addresses) {
            load.subscribers.add(load.new Subscriber(address, RedisProtocol.RESP3));
            load.subscribers.add(load.new Subscriber(address, RedisProtocol.RESP2));
        }
        load.subscribers.forEach(load::run);
        load.awaitSubscribed();
        load.publishers.forEach(load::run);
        return load;
    }

    private void awaitSubscribed() {
        Await.until(LAST_LIMIT, "all are subscribed", () -> subscribers.stream().allMatch(Subscriber::isThere));
    }

    private void run(Runnable client) {
        threads.add(Thread.ofVirtual().start(client));
    }

    private Jedis client(HostAndPort address, RedisProtocol protocol) {
        return new Jedis(
                address,
                DefaultJedisClientConfig.builder()
                        .protocol(protocol)
                        .timeoutMillis(timeoutMillis)
                        .build());
    }

    private final class Publisher implements Runnable {
        private final HostAndPort address;
        private final String channel;
        /** Guarded by itself, as {@link #next} is. */
        private final BitSet acknowledged = new BitSet();

        private int next;

        Publisher(HostAndPort address, String channel) {
            this.address = address;
            this.channel = channel;
        }

        @Override
        public void run() {
            while (publishing) {
                try (Jedis client = client(address, RedisProtocol.RESP2)) {
                    while (publishing) {
                        publish(client);
                        LockSupport.parkNanos(
                                Duration.ofMillis(PUBLISH_EVERY_MS).toNanos());
                    }
                } catch (JedisException e) {
                    LockSupport.parkNanos(Duration.ofMillis(COME_BACK_AFTER_MS).toNanos());
                }
            }
        }

        /** One whose answer did not come may have been heard, or not. */
        private void publish(Jedis client) {
            int number;
            synchronized (acknowledged) {
                number = next++;
            }
            client.publish(channel, Integer.toString(number));
            synchronized (acknowledged) {
                acknowledged.set(number);
            }
        }

        /** The number of one more, which has been acknowledged. */
        int last() {
            int[] number = {-1};
            Await.until(LAST_LIMIT, "a last message of " + address, () -> {
                try (Jedis client = client(address, RedisProtocol.RESP2)) {
                    publish(client);
                    synchronized (acknowledged) {
                        number[0] = next - 1;
                    }
                    return true;
                } catch (JedisException e) {
                    return false;
                }
            });
            return number[0];
        }

        BitSet acknowledged() {
            synchronized (acknowledged) {
                return (BitSet) acknowledged.clone();
            }
        }
    }

    /** From a subscription to its end. */
    private static final class Stay extends JedisPubSub {
        /** By channel; guarded by this. */
        private final Map<String, List<Integer>> heard = new HashMap<>();

        private volatile boolean subscribed;

        @Override
        public synchronized void onMessage(String channel, String message) {
            heard.computeIfAbsent(channel, any -> new ArrayList<>()).add(Integer.valueOf(message));
        }

        @Override
        public void onPMessage(String pattern, String channel, String message) {
            onMessage(channel, message);
        }

        @Override
        public void onSubscribe(String channel, int channels) {
            subscribed = true;
        }

        @Override
        public void onPSubscribe(String pattern, int channels) {
            subscribed = true;
        }

        synchronized List<Integer> heardOf(String channel) {
            return List.copyOf(heard.getOrDefault(channel, List.of()));
        }

        synchronized boolean hasHeard(String channel, int number) {
            List<Integer> numbers = heard.getOrDefault(channel, List.of());
            return !numbers.isEmpty() && numbers.getLast() >= number;
        }
    }

    private final class Subscriber implements Runnable {
        private final HostAndPort address;
        private final RedisProtocol protocol;
        /** Guarded by itself. */
        private final List<Stay> stays = new ArrayList<>();

        private volatile @Nullable Stay current;

        Subscriber(HostAndPort address, RedisProtocol protocol) {
            this.address = address;
            this.protocol = protocol;
        }

        boolean isThere() {
            Stay now = current;
            return now != null && now.subscribed;
        }

        @Override
        public void run() {
            while (listening) {
                Stay stay = new Stay();
                try (Jedis client = client(address, protocol)) {
                    synchronized (stays) {
                        stays.add(stay);
                    }
                    current = stay;
                    if (protocol == RedisProtocol.RESP2) {
                        client.psubscribe(stay, run + ":*");
                    } else {
                        client.subscribe(
                                stay,
                                publishers.stream().map(one -> one.channel).toArray(String[]::new));
                    }
                } catch (JedisException e) {
                    current = null;
                    LockSupport.parkNanos(Duration.ofMillis(COME_BACK_AFTER_MS).toNanos());
                }
            }
        }

        List<Stay> stays() {
            synchronized (stays) {
                return List.copyOf(stays);
            }
        }

        /** Has heard this, by a connection that it still has. */
        boolean hasHeard(String channel, int number) {
            Stay now = current;
            return now != null && now.hasHeard(channel, number);
        }

        void end() {
            Stay now = current;
            if (now != null && now.isSubscribed()) {
                if (protocol == RedisProtocol.RESP2) {
                    now.punsubscribe();
                } else {
                    now.unsubscribe();
                }
            }
        }

        @Override
        public String toString() {
            return "the subscriber of " + protocol + " at " + address;
        }
    }

    /** Ends it, once everybody has heard the last message, and says what was not as promised. */
    public Result stop() {
        publishing = false;
        List<String> problems = new ArrayList<>();
        awaitSubscribed();
        Map<Publisher, Integer> last = new HashMap<>();
        publishers.forEach(publisher -> last.put(publisher, publisher.last()));
        for (Subscriber subscriber : subscribers) {
            last.forEach((publisher, number) -> {
                try {
                    Await.until(LAST_LIMIT, "the last message", () -> subscriber.hasHeard(publisher.channel, number));
                } catch (AssertionError e) {
                    problems.add(subscriber + " has not heard the last message of " + publisher.address);
                }
            });
        }
        close();
        long heard = 0;
        int stays = 0;
        for (Subscriber subscriber : subscribers) {
            for (Stay stay : subscriber.stays()) {
                stays++;
                for (Publisher publisher : publishers) {
                    List<Integer> numbers = stay.heardOf(publisher.channel);
                    heard += numbers.size();
                    problem(publisher.acknowledged(), numbers)
                            .forEach(what -> problems.add(subscriber + ", of " + publisher.address + ": " + what));
                }
            }
        }
        long published = publishers.stream()
                .mapToLong(publisher -> publisher.acknowledged().cardinality())
                .sum();
        return new Result(published, heard, stays, problems);
    }

    /** What is wrong with what was heard of one publisher without a break. */
    static List<String> problem(BitSet acknowledged, List<Integer> heard) {
        List<String> problems = new ArrayList<>();
        for (int i = 1; i < heard.size(); i++) {
            int before = heard.get(i - 1);
            int now = heard.get(i);
            if (now == before) {
                problems.add("message " + now + " was heard twice");
            } else if (now < before) {
                problems.add("message " + now + " was heard after " + before);
            } else {
                int lost = acknowledged.nextSetBit(before + 1);
                if (lost >= 0 && lost < now) {
                    problems.add("message " + lost + " was not heard, between " + before + " and " + now);
                }
            }
        }
        return problems;
    }

    @Override
    public void close() {
        publishing = false;
        listening = false;
        subscribers.forEach(subscriber -> {
            try {
                subscriber.end();
            } catch (JedisException e) {
                // Its connection is gone, so it ends by itself.
            }
        });
        try {
            for (Thread thread : threads) {
                thread.join(Duration.ofMillis(timeoutMillis).plus(Duration.ofSeconds(10)));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
