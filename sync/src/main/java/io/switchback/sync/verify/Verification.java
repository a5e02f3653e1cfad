package io.switchback.sync.verify;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.resp.Reply;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.verify.Difference.Kind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Compares two fleets while both move: keys, types, values, times to live, in all databases, both ways. It only reads.
 *
 * <p>Where not all keys are carried, the others are none of either side's, and everything is called by the source's name ({@link Side}).
 *
 * <p>The source is walked with SCAN and each key compared; then the target is walked for keys that the source lacks. What is
 * unlike at first sight becomes a suspect, and is looked at again and again: it is cleared once both sides are the same,
 * becomes a difference once it has stayed for longer than the lag may be while the source's value did not change, and is
 * counted as moving where the source's value keeps changing. A key that has run out is gone for readers of either side,
 * deleted or not, so that none of this needs the servers to have deleted it.
 *
 * <p>Blocks the caller. {@link #LANES} lanes look at a page each, one of them on the caller's thread; suspects are settled by the caller alone. Memory: for each lane {@link
 * #BATCH_KEYS} keys at a time ({@link BatchComparison}); {@link #SUSPECTS_MAX} suspects, and those of the pages under way.
 */
public final class Verification {
    /** Servers take some 16 KiB of one connection at a time, so that no client waits behind much more than a round of these. */
    static final int BATCH_KEYS = 256;

    /** So that some compare while others are answered. */
    private static final int LANES = 3;

    static final int SUSPECTS_MAX = 10_000;

    /**
     * How often within the lag's bound a suspect is looked at again. A key that goes to and fro between two values can show the
     * source the same one each time; that the target lags behind at every look gets unlikely with their number.
     */
    private static final int LOOKS_PER_LAG_BOUND = 10;

    private static final Duration PAUSE_MIN = Duration.ofMillis(10);

    /** A cursor with which a walk begins, and which the last page gives. */
    private static final String FIRST = "0";

    private static final Executor THREADS =
            task -> Thread.ofVirtual().name("verification").start(task);

    private final VerificationSettings settings;
    private final CarriedKeys.Way carried;
    /** The first is the caller's own, which settles suspects as well. */
    private final List<BatchComparison> lanes;

    private final BusyShare busyShare;
    private final Environment environment;
    private final Consumer<VerificationProgress> progress;
    private final BooleanSupplier stop;
    private final long startNanos;

    /** Guards what lanes change together: suspects, and what was counted. */
    private final Object counting = new Object();

    private final List<Suspect> suspects = new ArrayList<>();
    private final List<Difference> differences = new ArrayList<>();
    private final List<String> movingKeys = new ArrayList<>();
    private final SortedSet<String> notes = new TreeSet<>();
    private long keysTotal;
    private long keysSeen;
    private long keysChecked;
    private long differenceCount;
    private long keysMoving;

    /** A key that was unlike. Mutable: what the source had at the last look, and since when. */
    private static final class Suspect {
        final int database;
        final byte[] key;
        final long firstSeenNanos;
        long sourceDigest;
        long unchangedSinceNanos;
        boolean looked;

        Suspect(int database, byte[] key, long nowNanos) {
            this.database = database;
            this.key = key;
            this.firstSeenNanos = nowNanos;
            this.unchangedSinceNanos = nowNanos;
        }
    }

    private Verification(
            VerificationSettings settings,
            CarriedKeys.Way carried,
            List<BatchComparison> lanes,
            Environment environment,
            Consumer<VerificationProgress> progress,
            BooleanSupplier stop) {
        this.settings = settings;
        this.carried = carried;
        this.lanes = lanes;
        this.busyShare = new BusyShare(settings.busyShareMax(), environment);
        this.environment = environment;
        this.progress = progress;
        this.stop = stop;
        this.startNanos = environment.nanoTime();
    }

    /** Compares all keys, by the same names, as below. */
    public static VerificationReport run(
            VerificationSettings settings,
            FleetSpec source,
            FleetSpec target,
            Environment environment,
            Consumer<VerificationProgress> progress,
            BooleanSupplier stop) {
        return run(settings, source, target, CarriedKeys.Way.ALL, environment, progress, stop);
    }

    /**
     * Compares until all is compared, or {@code stop} says so (asked between batches). {@code progress} is told after every batch; both are called by one thread at a time, which
     * need not be the caller's.
     *
     * @param carried which keys are compared, and by which names the target has them
     * @throws FleetException where a side cannot be reached or refuses a read
     */
    public static VerificationReport run(
            VerificationSettings settings,
            FleetSpec source,
            FleetSpec target,
            CarriedKeys.Way carried,
            Environment environment,
            Consumer<VerificationProgress> progress,
            BooleanSupplier stop) {
        List<BatchComparison> lanes = new ArrayList<>();
        try {
            lanes.add(lane(
                    Side.source(source, carried, settings.timeout()),
                    () -> Side.target(target, carried, settings.timeout()),
                    settings,
                    environment));
            while (lanes.size() < LANES) {
                BatchComparison first = lanes.getFirst();
                lanes.add(lane(first.source.another(), first.target::another, settings, environment));
            }
            return new Verification(settings, carried, lanes, environment, progress, stop).run();
        } finally {
            lanes.forEach(BatchComparison::close);
        }
    }

    private static BatchComparison lane(
            Side source, Supplier<Side> target, VerificationSettings settings, Environment environment) {
        try {
            return new BatchComparison(source, target.get(), settings, environment);
        } catch (FleetException e) {
            source.close();
            throw e;
        }
    }

    private VerificationReport run() {
        Side source = lanes.getFirst().source;
        Side target = lanes.getFirst().target;
        Map<Integer, Long> databases = new TreeMap<>(source.keysByDatabase());
        target.keysByDatabase().forEach((database, keys) -> databases.merge(database, keys, Long::sum));
        keysTotal = databases.values().stream().mapToLong(Long::longValue).sum();
        boolean complete = true;
        for (int database : databases.keySet()) {
            if (!source.has(database) || !target.has(database)) {
                notes.add("database " + database
                        + " has keys, and one of the fleets is a cluster, which has database 0 alone");
                complete = false;
                continue;
            }
            complete = complete
                    && walk(new Walk(database, lane -> lane.source) {
                        @Override
                        void look(BatchComparison lane, List<byte[]> keys) {
                            lane.compare(keys, key -> suspect(database, key));
                            synchronized (counting) {
                                keysChecked += keys.size();
                            }
                        }
                    })
                    && walk(new Walk(database, lane -> lane.target) {
                        @Override
                        void look(BatchComparison lane, List<byte[]> keys) {
                            lane.findExtras(keys, key -> suspect(database, key));
                        }
                    });
        }
        complete = complete && settle();
        Map<String, Long> notComparable = new HashMap<>();
        for (BatchComparison lane : lanes) {
            lane.notComparable().forEach((type, count) -> notComparable.merge(type, count, Long::sum));
            notes.addAll(lane.notes());
        }
        return new VerificationReport(
                keysChecked, differences, differenceCount, keysMoving, movingKeys, notComparable, notes, complete);
    }

    // Walking

    /** All keys of one side in one database, page by page: each page is some lane's, and only the place of the next one is common to them. */
    private abstract class Walk {
        final int database;
        private final Function<BatchComparison, Side> walked;
        private int server; // this and the following: guarded by this
        private String cursor = FIRST;
        private @Nullable RuntimeException failure;

        Walk(int database, Function<BatchComparison, Side> walked) {
            this.database = database;
            this.walked = walked;
        }

        /** What is done with keys of a page. */
        abstract void look(BatchComparison lane, List<byte[]> keys);

        synchronized boolean isOver() {
            Side side = walked.apply(lanes.getFirst());
            return server == (side.has(database) ? side.servers() : 0);
        }

        /** The next page, by the lane's own connection; null where there is none now. */
        private synchronized @Nullable List<Reply> next(BatchComparison lane) {
            if (failure != null || isOver() || suspectsAreFull() || stop.getAsBoolean()) {
                return null;
            }
            lane.select(database);
            List<Reply> page = KeyComparison.elements(walked.apply(lane).scan(server, cursor, BATCH_KEYS));
            cursor = page.getFirst().text();
            if (cursor.equals(FIRST)) {
                server++;
            }
            return KeyComparison.elements(page.get(1));
        }

        private synchronized void fail(RuntimeException e) {
            if (failure == null) {
                failure = e;
            } else {
                failure.addSuppressed(e);
            }
        }

        synchronized void throwFailure() {
            if (failure != null) {
                throw failure;
            }
        }

        /** Takes pages until there is none. */
        void work(BatchComparison lane) {
            try {
                boolean more = true;
                while (more) {
                    busyShare.begin();
                    try {
                        more = lookAtNext(lane);
                    } finally {
                        busyShare.end();
                    }
                }
            } catch (RuntimeException e) {
                fail(e); // the other lanes stop, and the caller throws it
            }
        }

        private boolean lookAtNext(BatchComparison lane) {
            List<Reply> found = next(lane);
            if (found == null) {
                return false;
            }
            List<byte[]> keys = new ArrayList<>();
            for (Reply name : found) {
                byte @Nullable [] key = walked.apply(lane).sourceName(KeyComparison.bytes(name));
                if (key != null) {
                    keys.add(key);
                }
            }
            // A page may hold more than was asked for.
            for (int from = 0; from < keys.size(); from += BATCH_KEYS) {
                look(lane, keys.subList(from, Math.min(keys.size(), from + BATCH_KEYS)));
            }
            synchronized (counting) {
                keysSeen += found.size();
                report();
            }
            return true;
        }
    }

    /** To its end, by all lanes; false where it was stopped. */
    private boolean walk(Walk walk) {
        while (!walk.isOver()) {
            busyShare.start();
            List<CompletableFuture<Void>> others = lanes.stream()
                    .skip(1)
                    .map(lane -> CompletableFuture.runAsync(() -> walk.work(lane), THREADS))
                    .toList();
            walk.work(lanes.getFirst());
            others.forEach(CompletableFuture::join);
            walk.throwFailure();
            if (stop.getAsBoolean() || (suspectsAreFull() && !settle())) {
                return false;
            }
        }
        return true;
    }

    private void suspect(int database, byte[] key) {
        synchronized (counting) {
            suspects.add(new Suspect(database, key, environment.nanoTime()));
        }
    }

    private boolean suspectsAreFull() {
        synchronized (counting) {
            return suspects.size() >= SUSPECTS_MAX;
        }
    }

    // Suspects

    /** Looks at the suspects until none is left; false where it was stopped. */
    private boolean settle() {
        Duration pause = settings.lagBound().dividedBy(LOOKS_PER_LAG_BOUND);
        pause = pause.compareTo(PAUSE_MIN) < 0 ? PAUSE_MIN : pause;
        while (!suspects.isEmpty()) {
            for (Iterator<Suspect> each = suspects.iterator(); each.hasNext(); ) {
                if (stop.getAsBoolean()) {
                    return false;
                }
                if (isSettled(each.next())) {
                    each.remove();
                }
            }
            report();
            if (!suspects.isEmpty()) {
                BusyShare.sleep(environment, pause);
            }
        }
        return !stop.getAsBoolean();
    }

    private boolean isSettled(Suspect suspect) {
        BatchComparison lane = lanes.getFirst();
        lane.select(suspect.database);
        KeyComparison.Result result = lane.comparison.compare(suspect.key);
        @Nullable Kind kind = result.kind();
        if (kind == null) {
            if (!result.comparable()) {
                lane.notComparable().merge(result.type(), 1L, Long::sum);
            }
            return true;
        }
        long nowNanos = environment.nanoTime();
        if (!suspect.looked || suspect.sourceDigest != result.sourceDigest()) {
            suspect.looked = true;
            suspect.sourceDigest = result.sourceDigest();
            suspect.unchangedSinceNanos = nowNanos;
        }
        if (nowNanos - suspect.unchangedSinceNanos > settings.lagBound().toNanos()) {
            differenceCount++;
            if (differences.size() < settings.differencesMax()) {
                differences.add(new Difference(suspect.database, names(suspect), kind, result.what()));
            }
            return true;
        }
        if (nowNanos - suspect.firstSeenNanos > settings.movingLimit().toNanos()) {
            keysMoving++;
            if (movingKeys.size() < settings.movingNamesMax()) {
                movingKeys.add(KeyText.of(suspect.key));
            }
            return true;
        }
        return false;
    }

    /** By which name either side has it. */
    private String names(Suspect suspect) {
        byte @Nullable [] there = carried.target(suspect.database, suspect.key);
        return there == null || Arrays.equals(there, suspect.key)
                ? KeyText.of(suspect.key)
                : KeyText.of(suspect.key) + " (" + KeyText.of(there) + " at the target)";
    }

    private void report() {
        long tookNanos = environment.nanoTime() - startNanos;
        Optional<Duration> left = keysSeen == 0
                ? Optional.empty()
                : Optional.of(
                        Duration.ofNanos((long) (tookNanos / (double) keysSeen * Math.max(0, keysTotal - keysSeen))));
        progress.accept(new VerificationProgress(keysSeen, Math.max(keysTotal, keysSeen), left, differenceCount));
    }
}
