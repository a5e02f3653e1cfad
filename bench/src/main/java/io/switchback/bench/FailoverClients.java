package io.switchback.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BiFunction;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Threads of one application that write and read at fixed times by one library, and note what came of it. What is asked of it is asked by one
 * thread; the clients have threads of their own.
 *
 * <p>Each writer has a key that nobody else writes, so that the number an INCR answers says whether an earlier one was done twice.
 */
final class FailoverClients implements AutoCloseable {
    static final int WRITERS = 4;
    static final int READERS = 2;
    private static final Duration INTERVAL = Duration.ofMillis(10);
    private static final Duration END_LIMIT = Duration.ofSeconds(15);
    private static final Pattern DIGITS = Pattern.compile("\\d+");
    private static final int MESSAGE_CHARACTERS_MAX = 120;
    private static final double NANOS_PER_MILLI = 1e6;

    private final String way;
    private final FailoverLibrary library;
    private final List<Client> clients = new ArrayList<>();
    private volatile boolean ended;

    /** One command. {@code error} is empty where it worked. */
    private record Attempt(long endNanos, String error) {
        boolean worked() {
            return error.isEmpty();
        }
    }

    /**
     * What the clients saw of one kill; times from when the process was gone.
     *
     * @param firstWriteMs until the first write worked
     * @param lastWriterMs until the first write of each writer had worked
     * @param firstReadMs until the first read worked
     * @param twice writes of which a client saw one success, and which were done more than once
     * @param messages the errors by their words, without numbers
     */
    record Seen(
            double firstWriteMs,
            double lastWriterMs,
            double firstReadMs,
            int writeErrors,
            int readErrors,
            long twice,
            Map<String, Integer> messages) {}

    /** {@code keys} gives each writer one that begins with what it is given; a reader reads those of the writers. */
    FailoverClients(String way, FailoverLibrary library, BiFunction<String, Integer, String> keys) {
        this.way = way;
        this.library = library;
        List<String> written = new ArrayList<>();
        for (int i = 0; i < WRITERS; i++) {
            written.add(keys.apply(way.replace(' ', '-'), i));
            clients.add(new Client(written.getLast(), true));
        }
        for (int i = 0; i < READERS; i++) {
            clients.add(new Client(written.get(i), false));
        }
        clients.forEach(client -> client.thread.start());
    }

    String way() {
        return way;
    }

    /** Forgets what was seen so far. */
    void forget() {
        clients.forEach(client -> {
            client.attempts.clear();
            client.twice = 0;
        });
    }

    /** Whether each client has had a command that worked and ended after that moment. */
    boolean isServedSince(long nanos) {
        return clients.stream().allMatch(client -> client.firstAfter(nanos) < Long.MAX_VALUE);
    }

    /**
     * What was seen since {@link #forget}.
     *
     * @param goneNanos when the primary was gone
     * @param fromNanos what ended earlier was on its way before
     */
    Seen seen(long goneNanos, long fromNanos) {
        Map<String, Integer> messages = new TreeMap<>();
        clients.stream().flatMap(Client::errors).forEach(message -> messages.merge(message, 1, Integer::sum));
        long[] writes = clients.stream()
                .filter(client -> client.writes)
                .mapToLong(client -> client.firstAfter(fromNanos))
                .sorted()
                .toArray();
        long read = clients.stream()
                .filter(client -> !client.writes)
                .mapToLong(client -> client.firstAfter(fromNanos))
                .min()
                .orElseThrow();
        return new Seen(
                millis(writes[0], goneNanos),
                millis(writes[writes.length - 1], goneNanos),
                millis(read, goneNanos),
                errors(true),
                errors(false),
                clients.stream().mapToLong(client -> client.twice).sum(),
                messages);
    }

    private int errors(boolean writes) {
        return (int) clients.stream()
                .filter(client -> client.writes == writes)
                .flatMap(Client::errors)
                .count();
    }

    private static double millis(long nanos, long since) {
        return nanos == Long.MAX_VALUE ? Double.POSITIVE_INFINITY : (nanos - since) / NANOS_PER_MILLI;
    }

    /** One thread with its key. */
    private final class Client {
        private final String key;
        private final boolean writes;
        private final Queue<Attempt> attempts = new ConcurrentLinkedQueue<>();
        private final Thread thread = Thread.ofPlatform().daemon().unstarted(this::run);
        private volatile long twice;

        Client(String key, boolean writes) {
            this.key = key;
            this.writes = writes;
        }

        private void run() {
            long known = -1; // what the last INCR answered; after an error nobody knows
            long next = System.nanoTime();
            while (!ended) {
                try {
                    if (writes) {
                        long value = library.increment(key);
                        // A new primary may be behind: what it has lost is not what was done twice.
                        if (known >= 0 && value > known + 1) {
                            addTwice(value - known - 1);
                        }
                        known = value;
                    } else {
                        library.read(key);
                    }
                    attempts.add(new Attempt(System.nanoTime(), ""));
                } catch (RuntimeException e) {
                    known = -1;
                    if (!ended) {
                        attempts.add(new Attempt(System.nanoTime(), words(e)));
                    }
                }
                next = Math.max(next + INTERVAL.toNanos(), System.nanoTime());
                LockSupport.parkNanos(next - System.nanoTime());
            }
        }

        /** By the thread alone, and not while {@link #forget} is called: then nothing fails. */
        private void addTwice(long more) {
            long before = twice;
            twice = before + more;
        }

        private static String words(RuntimeException error) {
            String text = error.getClass().getSimpleName() + ": " + error.getMessage();
            String plain = DIGITS.matcher(text.lines().findFirst().orElse("")).replaceAll("N");
            return plain.substring(0, Math.min(plain.length(), MESSAGE_CHARACTERS_MAX));
        }

        long firstAfter(long nanos) {
            return attempts.stream()
                    .filter(attempt -> attempt.worked() && attempt.endNanos() - nanos > 0)
                    .mapToLong(Attempt::endNanos)
                    .findFirst()
                    .orElse(Long.MAX_VALUE);
        }

        Stream<String> errors() {
            return attempts.stream().filter(attempt -> !attempt.worked()).map(Attempt::error);
        }
    }

    @Override
    public void close() {
        ended = true;
        library.close();
        for (Client client : clients) {
            try {
                client.thread.join(END_LIMIT);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
