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
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.args.ListDirection;

/** Consumers that wait for elements of queues while releases go forward and back: each element reaches one of them, once. */
final class QueueConsumersTest {
    private static final String END = "end";
    private static final int CONSUMERS = 4;
    private static final int ROUNDS = 3;
    private static final int PRODUCE_EVERY_MS = 2;

    @TempDir
    private Path folder;

    private final Map<String, AtomicInteger> taken = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
    private volatile boolean ended;

    private interface Take {
        String from(Jedis client);
    }

    @Test
    void noElementIsLostOrTakenTwiceAndNobodyWhoWaitsIsDisturbed() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (TwoFleets fleets = TwoFleets.start(old, fresh, folder)) {
            fleets.startNode();
            List<Thread> consumers = new ArrayList<>();
            for (int i = 0; i < CONSUMERS; i++) {
                consumers.add(
                        consumer(fleets, client -> client.blpop(0, "queue").get(1)));
                consumers.add(consumer(
                        fleets,
                        client -> client.blmove("moving", "moved", ListDirection.LEFT, ListDirection.RIGHT, 0)));
            }
            AtomicInteger produced = new AtomicInteger();
            Thread producer = Thread.ofVirtual().start(() -> produce(fleets, produced));
            fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
            for (int round = 1; round <= ROUNDS; round++) {
                fleets.awaitObserving("r");
                awaitMore(produced);
                fleets.order("r", Order.Kind.ROLLBACK);
                fleets.awaitStatus("r", Status.ROLLED_BACK);
                awaitMore(produced);
                fleets.order("r", Order.Kind.RESUME);
            }
            fleets.awaitObserving("r");
            awaitMore(produced);
            ended = true;
            producer.join();
            try (Jedis client = fleets.client()) {
                for (int i = 0; i < CONSUMERS; i++) {
                    client.rpush("queue", END);
                    client.rpush("moving", END);
                }
                for (Thread consumer : consumers) {
                    consumer.join();
                }
                assertThat(failures).isEmpty();
                assertThat(taken).hasSize(2 * produced.get());
                assertThat(taken.values()).allMatch(times -> times.get() == 1);
                assertThat(client.llen("moved")).isEqualTo(produced.get() + CONSUMERS);
            }
        }
    }

    private Thread consumer(TwoFleets fleets, Take take) {
        return Thread.ofVirtual().start(() -> {
            try (Jedis client = new Jedis("127.0.0.1", fleets.port(), 30_000, 60_000)) {
                for (String element = take.from(client); !element.equals(END); element = take.from(client)) {
                    taken.computeIfAbsent(element, any -> new AtomicInteger()).incrementAndGet();
                }
            } catch (RuntimeException e) {
                failures.add(e);
            }
        });
    }

    private void produce(TwoFleets fleets, AtomicInteger produced) {
        try (Jedis client = fleets.client()) {
            while (!ended) {
                int next = produced.get();
                client.rpush("queue", "q" + next);
                client.rpush("moving", "m" + next);
                produced.incrementAndGet();
                Thread.sleep(PRODUCE_EVERY_MS);
            }
        } catch (RuntimeException | InterruptedException e) {
            failures.add(e);
        }
    }

    private static void awaitMore(AtomicInteger produced) {
        int before = produced.get();
        Await.until(Duration.ofSeconds(30), "more elements", () -> produced.get() > before + 200);
    }
}
