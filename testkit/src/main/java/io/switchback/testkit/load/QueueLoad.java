package io.switchback.testkit.load;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.params.XAddParams;
import redis.clients.jedis.params.XReadParams;
import redis.clients.jedis.resps.StreamEntry;

/**
 * Producers that push elements of their own to a list and add them to a stream; consumers that wait for the list's (BLPOP), and readers that wait for the stream's (XREAD BLOCK), until they are stopped. Whoever
 * loses the connection comes back.
 *
 * <p>No element may be popped twice, and each that was acknowledged has been popped or is still there, but for one at most of each BLPOP whose answer did not come. A reader, which asks for what is behind
 * its last entry, reads what the stream has, each entry once.
 *
 * <p>Started and stopped by one thread.
 */
public final class QueueLoad implements AutoCloseable {
    private static final int PRODUCE_EVERY_MS = 10;
    private static final int COME_BACK_AFTER_MS = 100;
    private static final int POP_SECONDS = 2;
    private static final int READ_MILLIS = 1_000;
    private static final int ENTRIES_MAX = 100;

    private final String run =
            "queue-" + Integer.toString(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE), Character.MAX_RADIX);
    private final String list = run + ":list";
    private final String stream = run + ":stream";
    private final List<Thread> producers = new ArrayList<>();
    private final List<Thread> consumers = new ArrayList<>();
    private final Collection<String> pushed = new ConcurrentLinkedQueue<>();
    private final Collection<String> added = new ConcurrentLinkedQueue<>();
    private final Collection<String> popped = new ConcurrentLinkedQueue<>();
    private final AtomicInteger popsWithoutAnswer = new AtomicInteger();
    private final List<List<String>> reads = new ArrayList<>();
    private final int timeoutMillis;
    private volatile boolean producing = true;
    private volatile boolean consuming = true;

    private QueueLoad(Duration timeout) {
        this.timeoutMillis = Math.toIntExact(timeout.toMillis());
    }

    /** What came of it. */
    public record Result(long produced, long popped, int popsWithoutAnswer, List<String> problems) {}

    /** At each of these addresses there are a producer, two consumers and a reader. */
    public static QueueLoad start(List<HostAndPort> addresses, Duration timeout) {
        QueueLoad load = new QueueLoad(timeout);
        for (int i = 0; i < addresses.size(); i++) {
            HostAndPort address = addresses.get(i);
            String prefix = "p" + i + "-";
            List<String> read = new ArrayList<>();
            load.reads.add(read);
            load.producers.add(Thread.ofVirtual().start(() -> load.produce(address, prefix)));
            load.consumers.add(Thread.ofVirtual().start(() -> load.consume(address)));
            load.consumers.add(Thread.ofVirtual().start(() -> load.consume(address)));
            load.consumers.add(Thread.ofVirtual().start(() -> load.read(address, read)));
        }
        return load;
    }

    private Jedis client(HostAndPort address) {
        return new Jedis(
                address,
                DefaultJedisClientConfig.builder().timeoutMillis(timeoutMillis).build());
    }

    private static void comeBackLater() {
        LockSupport.parkNanos(Duration.ofMillis(COME_BACK_AFTER_MS).toNanos());
    }

    private void produce(HostAndPort address, String prefix) {
        int next = 0;
        while (producing) {
            try (Jedis client = client(address)) {
                while (producing) {
                    String element = prefix + next++;
                    client.rpush(list, element);
                    pushed.add(element);
                    client.xadd(stream, Map.of("n", element), XAddParams.xAddParams());
                    added.add(element);
                    LockSupport.parkNanos(Duration.ofMillis(PRODUCE_EVERY_MS).toNanos());
                }
            } catch (JedisException e) {
                comeBackLater();
            }
        }
    }

    private void consume(HostAndPort address) {
        while (consuming) {
            try (Jedis client = client(address)) {
                client.ping(); // it stands
                pop(client);
            } catch (JedisException e) {
                comeBackLater();
            }
        }
    }

    private void pop(Jedis client) {
        while (consuming) {
            try {
                @Nullable List<String> answer = client.blpop(POP_SECONDS, list);
                if (answer != null) {
                    popped.add(answer.get(1));
                }
            } catch (JedisException e) {
                popsWithoutAnswer.incrementAndGet();
                throw e;
            }
        }
    }

    private void read(HostAndPort address, List<String> read) {
        StreamEntryID last = new StreamEntryID(0, 0);
        while (consuming) {
            try (Jedis client = client(address)) {
                while (consuming) {
                    @Nullable
                    List<Map.Entry<String, List<StreamEntry>>> answer = client.xread(
                            XReadParams.xReadParams().block(READ_MILLIS).count(ENTRIES_MAX), Map.of(stream, last));
                    for (StreamEntry entry : answer == null
                            ? List.<StreamEntry>of()
                            : answer.getFirst().getValue()) {
                        read.add(entry.getID() + " " + entry.getFields().get("n"));
                        last = entry.getID();
                    }
                }
            } catch (JedisException e) {
                comeBackLater();
            }
        }
    }

    /** Ends it and says what was not as promised; {@code server} is a connection to the fleet in use. */
    public Result stop(Jedis server) {
        end();
        List<String> entries = new ArrayList<>();
        Set<String> inStream = new HashSet<>();
        for (StreamEntry entry : server.xrange(stream, "-", "+")) {
            String element = entry.getFields().get("n");
            entries.add(entry.getID() + " " + element);
            inStream.add(element);
        }
        List<String> problems =
                new ArrayList<>(ofQueue(pushed, popped, server.lrange(list, 0, -1), popsWithoutAnswer.get()));
        added.stream()
                .filter(element -> !inStream.contains(element))
                .forEach(element -> problems.add("entry " + element + " was acknowledged, and the stream lacks it"));
        reads.forEach(read -> problems.addAll(ofReader(entries, read)));
        return new Result(pushed.size(), popped.size(), popsWithoutAnswer.get(), problems);
    }

    /** What is wrong with a queue of which {@code left} is there. */
    static List<String> ofQueue(
            Collection<String> acknowledged,
            Collection<String> popped,
            Collection<String> left,
            int popsWithoutAnswer) {
        List<String> problems = new ArrayList<>();
        Map<String, Integer> times = new HashMap<>();
        popped.forEach(element -> times.merge(element, 1, Integer::sum));
        left.forEach(element -> times.merge(element, 1, Integer::sum));
        times.forEach((element, count) -> {
            if (count > 1) {
                problems.add("element " + element + " was popped, or popped and still there, " + count + " times");
            }
        });
        List<String> missing = acknowledged.stream()
                .filter(element -> !times.containsKey(element))
                .toList();
        if (missing.size() > popsWithoutAnswer) {
            problems.add(missing.size() + " elements are neither popped nor there, of which " + popsWithoutAnswer
                    + " may have been popped without an answer: " + missing.subList(0, Math.min(5, missing.size())));
        }
        return problems;
    }

    /** What is wrong with what a reader has read of a stream that has {@code entries}: it may not have read the last ones. */
    static List<String> ofReader(List<String> entries, List<String> read) {
        for (int i = 0; i < read.size(); i++) {
            if (i >= entries.size() || !entries.get(i).equals(read.get(i))) {
                return List.of("a reader has read \"" + read.get(i) + "\" as entry " + i + ", where the stream has "
                        + (i < entries.size() ? "\"" + entries.get(i) + "\"" : "no more"));
            }
        }
        return List.of();
    }

    private void end() {
        try {
            producing = false;
            for (Thread producer : producers) {
                producer.join(Duration.ofMillis(timeoutMillis).plus(Duration.ofSeconds(10)));
            }
            consuming = false;
            for (Thread consumer : consumers) {
                consumer.join(Duration.ofMillis(timeoutMillis).plus(Duration.ofSeconds(10)));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        end();
    }
}
