package io.switchback.clients;

import io.switchback.clients.Library.Cache;
import io.switchback.server.TwoFleets;
import io.switchback.testkit.Await;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Every kind of work that a library is tested with, each on threads of its own, as long as nobody stops it. */
final class LibraryAtWork implements Clients {
    private static final int COUNTERS = 2;
    private static final int CONSUMERS = 2;
    private static final int CONTENDERS = 2;
    private static final int CACHED_KEYS = 4;
    private static final int TURNS_MORE = 40;
    private static final int SHOWN_MAX = 20;
    /** Between two turns of one worker, so that many of them fit onto a small machine. */
    private static final long PACE_NANOS = 2_000_000;

    private static final String END = "end";
    private static final String CACHE = "cache";
    /** The one whose watched transactions always come too late. */
    private static final String LATE = "late watch";
    /** Those workers have turns of many steps. */
    private static final Set<String> SLOW = Set.of(CACHE, LATE);

    private final Library library;
    private final List<Worker> workers = new ArrayList<>();
    private final List<Thread> consumers = new ArrayList<>();
    private final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
    private volatile boolean stopping;

    private final Map<String, Long> acknowledged = new ConcurrentHashMap<>();
    private final AtomicLong published = new AtomicLong();
    private final ConcurrentLinkedQueue<Integer> heard = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<Integer> heardByPattern = new ConcurrentLinkedQueue<>();
    private final AtomicLong pushed = new AtomicLong();
    private final ConcurrentLinkedQueue<Integer> taken = new ConcurrentLinkedQueue<>();
    private final AtomicLong together = new AtomicLong();
    private final ConcurrentLinkedQueue<String> halves = new ConcurrentLinkedQueue<>();
    private final AtomicLong won = new AtomicLong();
    private final AtomicLong lost = new AtomicLong();
    private final ConcurrentLinkedQueue<String> wronglyWon = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<String> stale = new ConcurrentLinkedQueue<>();
    private final Map<String, String> lastCached = new ConcurrentHashMap<>();
    private final AtomicLong locked = new AtomicLong();
    private final @Nullable Cache cache;

    private LibraryAtWork(Library library) {
        this.library = library;
        this.cache = library.cache();
    }

    /** Owns the library from now on. */
    static LibraryAtWork start(Library library) {
        LibraryAtWork work = new LibraryAtWork(library);
        try {
            work.begin();
            return work;
        } catch (RuntimeException | Error e) {
            work.close();
            throw e;
        }
    }

    /** Something that is done again and again; it counts the turns that had an answer. */
    private final class Worker {
        final String name;
        final Runnable turn;
        final AtomicLong turns = new AtomicLong();
        final Thread thread;

        Worker(String name, Runnable turn) {
            this.name = name;
            this.turn = turn;
            this.thread = Thread.ofPlatform()
                    .daemon()
                    .name(library.name() + " " + name)
                    .unstarted(this::work);
        }

        private void work() {
            while (!stopping && failing(name, turn)) {
                turns.incrementAndGet();
                LockSupport.parkNanos(PACE_NANOS);
            }
        }
    }

    private boolean failing(String name, Runnable turn) {
        try {
            turn.run();
            return true;
        } catch (RuntimeException | AssertionError e) {
            failures.add(name + ": " + e + (e.getCause() == null ? "" : ", " + e.getCause()));
            return false;
        }
    }

    private String key(String name) {
        return library.name() + ":" + name;
    }

    private void begin() {
        library.subscribe(key("news"), message -> heard.add(Integer.valueOf(message)));
        library.subscribeToPattern(key("n*"), message -> heardByPattern.add(Integer.valueOf(message)));
        for (int i = 0; i < COUNTERS; i++) {
            String counter = key("counter-" + i);
            add("counter " + i, () -> count(counter));
        }
        add("publisher", () -> {
            library.publish(key("news"), Long.toString(published.get()));
            published.incrementAndGet();
        });
        add("producer", () -> {
            library.push(key("queue"), Long.toString(pushed.get()));
            pushed.incrementAndGet();
        });
        for (int i = 0; i < CONTENDERS; i++) {
            add("transaction " + i, this::incrementTogether);
            add(
                    "watch " + i,
                    () -> (library.incrementUnlessChanged(key("watched"), () -> {}) ? won : lost).incrementAndGet());
        }
        add(LATE, this::incrementTooLate);
        Consumer<String> underALock = library.incrementUnderALock();
        for (int i = 0; underALock != null && i < CONTENDERS; i++) {
            add("lock " + i, () -> {
                underALock.accept(key("locked"));
                locked.incrementAndGet();
            });
        }
        Cache cached = cache;
        if (cached != null) {
            add(CACHE, () -> writeAndRead(cached));
        }
        for (int i = 0; i < CONSUMERS; i++) {
            consumers.add(Thread.ofPlatform()
                    .daemon()
                    .name(library.name() + " consumer " + i)
                    .start(this::consume));
        }
        workers.forEach(worker -> worker.thread.start());
    }

    private void add(String name, Runnable turn) {
        workers.add(new Worker(name, turn));
    }

    private void count(String counter) {
        long before = acknowledged.getOrDefault(counter, 0L);
        long now = library.increment(counter);
        acknowledged.put(counter, before + 1);
        if (now != before + 1) {
            throw new AssertionError(counter + " was " + before + ", and was incremented to " + now);
        }
    }

    private void consume() {
        failing("consumer", () -> {
            for (String element = library.take(key("queue"));
                    !element.equals(END);
                    element = library.take(key("queue"))) {
                taken.add(Integer.valueOf(element));
            }
        });
    }

    private void incrementTogether() {
        List<Long> now = library.incrementTogether(key(Findings.LEFT), key(Findings.RIGHT));
        together.incrementAndGet();
        if (now.size() != 2 || !now.getFirst().equals(now.getLast())) {
            halves.add(now.toString());
        }
    }

    /**
     * Does not go on before another one's increment was acknowledged that began after it had read: it must be refused. Each of the
     * others may have had one under way before that.
     */
    private void incrementTooLate() {
        AtomicLong enough = new AtomicLong();
        boolean acknowledged = library.incrementUnlessChanged(key("watched"), () -> {
            enough.set(won.get() + CONTENDERS + 1);
            Await.until(TwoFleets.STEP_LIMIT, "others increment", () -> stopping || won.get() >= enough.get());
        });
        if (acknowledged && won.getAndIncrement() >= enough.get()) {
            wronglyWon.add("beside number " + enough);
        }
    }

    /** What is written is seen by the cached reader before long, and from then on nothing older. */
    private void writeAndRead(Cache cached) {
        for (int i = 0; i < CACHED_KEYS; i++) {
            String key = key("cached-" + i);
            long next = Long.parseLong(lastCached.getOrDefault(key, "0")) + 1;
            cached.write(key, Long.toString(next));
            Await.until(TwoFleets.STEP_LIMIT, "the cached reader sees " + next + " in " + key, () -> {
                String seen = cached.read(key);
                noOlder(key, seen);
                return Long.toString(next).equals(seen);
            });
            lastCached.put(key, Long.toString(next));
        }
        lastCached.keySet().forEach(key -> noOlder(key, cached.read(key)));
    }

    private void noOlder(String key, @Nullable String seen) {
        String known = lastCached.get(key);
        if (known != null && (seen == null || Long.parseLong(seen) < Long.parseLong(known))) {
            stale.add(key + ": " + seen + " after " + known);
        }
    }

    @Override
    public void awaitMore() {
        Map<Worker, Long> before = new LinkedHashMap<>();
        workers.forEach(worker -> before.put(worker, worker.turns.get()));
        for (Worker worker : workers) {
            long enough = Objects.requireNonNull(before.get(worker))
                    + (SLOW.contains(worker.name) ? TURNS_MORE / 10 : TURNS_MORE);
            Await.until(TwoFleets.STEP_LIMIT, library.name() + " " + worker.name + " gets on", () -> {
                if (!failures.isEmpty()) {
                    throw new AssertionError(library.name() + ": " + failures);
                }
                return worker.turns.get() >= enough;
            });
        }
    }

    @Override
    public Findings stop() {
        stopping = true;
        workers.forEach(worker -> join(worker.thread));
        for (int i = 0; i < CONSUMERS; i++) {
            failing("end", () -> library.push(key("queue"), END));
        }
        consumers.forEach(LibraryAtWork::join);
        awaitTheLast(heard, "the last message");
        awaitTheLast(heardByPattern, "the last message by a pattern");
        return new Findings(
                library.name(),
                Map.copyOf(acknowledged),
                published.intValue(),
                List.copyOf(heard),
                List.copyOf(heardByPattern),
                pushed.intValue(),
                List.copyOf(taken),
                together.get(),
                first(halves),
                won.get(),
                lost.get(),
                first(wronglyWon),
                cache == null ? 0 : cache.hits(),
                first(stale),
                Map.copyOf(lastCached),
                stored(),
                locked.get(),
                first(failures),
                library.disconnections());
    }

    private Map<String, String> stored() {
        Map<String, String> stored = new LinkedHashMap<>();
        Cache cached = cache;
        if (cached != null) {
            lastCached.keySet().forEach(key -> stored.put(key, String.valueOf(cached.readFromServer(key))));
        }
        return stored;
    }

    private void awaitTheLast(ConcurrentLinkedQueue<Integer> messages, String what) {
        failing(what, () -> Await.until(TwoFleets.STEP_LIMIT, what, () -> messages.contains(published.intValue() - 1)));
    }

    private static List<String> first(ConcurrentLinkedQueue<String> all) {
        return all.stream().limit(SHOWN_MAX).toList();
    }

    /** Bounded: what a consumer waits for may have been lost, which is then shown by what was taken. */
    private static void join(Thread thread) {
        try {
            thread.join(TwoFleets.STEP_LIMIT.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while clients were ending", e);
        }
    }

    @Override
    public void close() {
        stopping = true;
        library.close();
    }
}
