package io.switchback.testkit.load;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import redis.clients.jedis.exceptions.JedisException;

/**
 * Several real clients that write unique values, read them again, and remember every answer, until they are stopped.
 *
 * <p>May be asked by any thread how it goes; started and stopped by one. What a client remembers is bounded: the last write of
 * each key, not every write.
 */
public final class Load implements AutoCloseable {
    private static final Duration PRELOAD_LIMIT = Duration.ofMinutes(5);
    private static final Duration STOP_GRACE = Duration.ofSeconds(10);

    private final LoadSettings settings;
    private final List<ClientRecord> records = new ArrayList<>();
    private final List<LoadClient> clients = new ArrayList<>();
    private final List<Thread> threads = new ArrayList<>();

    private Load(LoadSettings settings) {
        this.settings = settings;
    }

    /** Connects all clients and sets them going; throws a {@link JedisException} where one cannot connect. */
    public static Load start(LoadSettings settings) {
        Load load = new Load(settings);
        // Runs do not meet: each has names of its own.
        String run =
                "load-" + Integer.toString(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE), Character.MAX_RADIX);
        CountDownLatch ready = new CountDownLatch(settings.clients());
        long originNanos = System.nanoTime();
        try {
            for (int i = 0; i < settings.clients(); i++) {
                ClientRecord record = new ClientRecord(
                        new Names(run, i, settings.valueBytes()),
                        settings.databases().get(i % settings.databases().size()),
                        settings.keys() / settings.clients(),
                        originNanos);
                LoadClient client = new LoadClient(settings, record, i, ready);
                load.records.add(record);
                load.clients.add(client);
                load.threads.add(Thread.ofPlatform().daemon().name("load-" + i).unstarted(client));
            }
            load.threads.forEach(Thread::start);
            if (!ready.await(PRELOAD_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new IllegalStateException("The keys were not written within " + PRELOAD_LIMIT.toSeconds() + " s");
            }
            return load;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            load.close();
            throw new IllegalStateException("Interrupted while the load was starting", e);
        } catch (RuntimeException e) {
            load.close();
            throw e;
        }
    }

    /** What all clients have seen up to now. */
    public LoadSnapshot snapshot() {
        return snapshot(records);
    }

    static LoadSnapshot snapshot(List<ClientRecord> records) {
        long now = System.nanoTime();
        return records.stream()
                .map(record -> record.timeline.snapshot(now))
                .reduce(LoadSnapshot::and)
                .orElseThrow();
    }

    /** What all clients saw within a window that is not over for more than about ten minutes. */
    public LoadWindow window(TimeWindow window) {
        return window(records, window);
    }

    static LoadWindow window(List<ClientRecord> records, TimeWindow window) {
        long now = System.nanoTime();
        return records.stream()
                .map(record -> record.timeline.window(window, now))
                .reduce(new LoadWindow(0, 0, 0, 0), LoadWindow::and);
    }

    /** Does something and says what the clients saw meanwhile, a margin before and after included. */
    public LoadWindow during(Duration margin, Runnable action) {
        long from = System.nanoTime();
        action.run();
        TimeWindow window = new TimeWindow(from, System.nanoTime()).widened(margin);
        sleepUntil(window.toNanos());
        return window(window);
    }

    /** Waits until the clients have been answered this many times more; an {@link AssertionError} once the limit has passed. */
    public void awaitAnswers(long count, Duration limit) {
        long wanted = answers() + count;
        long giveUpAt = System.nanoTime() + limit.toNanos();
        await(() -> answers() >= wanted, giveUpAt, count + " more answers");
    }

    private long answers() {
        return records.stream().mapToLong(record -> record.timeline.answers()).sum();
    }

    private static void await(Supplier<Boolean> condition, long giveUpAtNanos, String what) {
        while (!condition.get()) {
            if (System.nanoTime() - giveUpAtNanos > 0) {
                throw new AssertionError("In time there were not " + what);
            }
            sleepUntil(System.nanoTime() + 5_000_000);
        }
    }

    private static void sleepUntil(long nanos) {
        long left = nanos - System.nanoTime();
        if (left > 0) {
            try {
                TimeUnit.NANOSECONDS.sleep(left);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("Interrupted while waiting for the load", e);
            }
        }
    }

    /** Lets every client finish what it has begun, and hands over what they remember. */
    public LoadHistory stop() {
        end();
        threads.stream().filter(Thread::isAlive).findFirst().ifPresent(thread -> {
            throw new IllegalStateException(thread.getName() + " does not end");
        });
        return new LoadHistory(settings, records);
    }

    /** Stops the clients, where they are not stopped yet. */
    @Override
    public void close() {
        end();
    }

    private void end() {
        clients.forEach(LoadClient::stop);
        long giveUpAt = System.nanoTime() + settings.timeout().plus(STOP_GRACE).toNanos();
        try {
            for (Thread thread : threads) {
                thread.join(Duration.ofNanos(Math.max(1_000_000, giveUpAt - System.nanoTime())));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
