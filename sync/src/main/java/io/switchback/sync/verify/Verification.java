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
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
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
 * <p>Runs on the caller's thread and blocks it. Memory: {@link #BATCH_KEYS} keys of at most {@link #SMALL_ELEMENTS} elements or
 * {@link #SMALL_BYTES} bytes at a time, {@link #SUSPECTS_MAX} suspects, and one chunk of a big value ({@link KeyComparison}).
 */
public final class Verification {
    /** Few enough that no client waits for long behind a batch. */
    static final int BATCH_KEYS = 128;

    static final int SMALL_ELEMENTS = 128;
    static final int SMALL_BYTES = 16 * 1024;
    static final int SUSPECTS_MAX = 10_000;

    /**
     * How often within the lag's bound a suspect is looked at again. A key that goes to and fro between two values can show the
     * source the same one each time; that the target lags behind at every look gets unlikely with their number.
     */
    private static final int LOOKS_PER_LAG_BOUND = 10;

    private static final Duration PAUSE_MIN = Duration.ofMillis(10);

    private final VerificationSettings settings;
    private final CarriedKeys.Way carried;
    private final Side source;
    private final Side target;
    private final Environment environment;
    private final Consumer<VerificationProgress> progress;
    private final BooleanSupplier stop;
    private final KeyComparison comparison;
    private final long startNanos;

    private final List<Suspect> suspects = new ArrayList<>();
    private final List<Difference> differences = new ArrayList<>();
    private final List<String> movingKeys = new ArrayList<>();
    private final Map<String, Long> notComparable = new HashMap<>();
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
            Side source,
            Side target,
            Environment environment,
            Consumer<VerificationProgress> progress,
            BooleanSupplier stop) {
        this.settings = settings;
        this.carried = carried;
        this.source = source;
        this.target = target;
        this.environment = environment;
        this.progress = progress;
        this.stop = stop;
        this.comparison =
                new KeyComparison(source, target, settings.timeToLiveTolerance().toMillis(), environment, notes);
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
     * Compares until all is compared, or {@code stop} says so (asked between batches). {@code progress} is told after every batch.
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
        try (Side here = Side.source(source, carried, settings.timeout());
                Side there = Side.target(target, carried, settings.timeout())) {
            return new Verification(settings, carried, here, there, environment, progress, stop).run();
        }
    }

    private VerificationReport run() {
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
            complete =
                    complete && walk(source, database, this::compareBatch) && walk(target, database, this::findExtras);
        }
        complete = complete && settle();
        return new VerificationReport(
                keysChecked, differences, differenceCount, keysMoving, movingKeys, notComparable, notes, complete);
    }

    /** What is done with the keys of a batch, of this database. */
    private interface BatchStep {
        void accept(int database, List<byte[]> keys);
    }

    /** Calls {@code step} with all keys of a database, in batches; false where it was stopped. */
    private boolean walk(Side side, int database, BatchStep step) {
        for (int server = 0; server < (side.has(database) ? side.servers() : 0); server++) {
            if (!walk(side, server, database, step)) {
                return false;
            }
        }
        return true;
    }

    private boolean walk(Side side, int server, int database, BatchStep step) {
        String cursor = "0";
        do {
            long began = environment.nanoTime();
            select(database);
            List<Reply> page = KeyComparison.elements(side.scan(server, cursor, BATCH_KEYS));
            cursor = page.getFirst().text();
            List<Reply> found = KeyComparison.elements(page.get(1));
            List<byte[]> keys = new ArrayList<>();
            for (Reply name : found) {
                byte @Nullable [] key = side.sourceName(KeyComparison.bytes(name));
                if (key != null) {
                    keys.add(key);
                }
            }
            // A page may hold more than was asked for.
            for (int from = 0; from < keys.size(); from += BATCH_KEYS) {
                step.accept(database, keys.subList(from, Math.min(keys.size(), from + BATCH_KEYS)));
            }
            keysSeen += found.size();
            report();
            leaveRoom(environment.nanoTime() - began);
            if (stop.getAsBoolean() || (suspects.size() >= SUSPECTS_MAX && !settle())) {
                return false;
            }
        } while (!cursor.equals("0"));
        return true;
    }

    private void select(int database) {
        source.select(database);
        target.select(database);
    }

    private void findExtras(int database, List<byte[]> keys) {
        List<Reply> here = source.askAll(
                keys.stream().map(key -> Side.command("EXISTS", key)).toList());
        for (int i = 0; i < keys.size(); i++) {
            if (here.get(i).text().equals("0")) {
                suspect(database, keys.get(i));
            }
        }
    }

    private void suspect(int database, byte[] key) {
        suspects.add(new Suspect(database, key, environment.nanoTime()));
    }

    // The fast way for many small keys: a few round trips for a batch. Whoever is unlike here is only a suspect.

    private void compareBatch(int database, List<byte[]> keys) {
        keysChecked += keys.size();
        List<byte[][]> types = new ArrayList<>();
        keys.forEach(key -> types.addAll(comparison.typeAndExpiry(source, key)));
        long beforeNanos = environment.nanoTime();
        List<Reply> here = source.askAll(types);
        List<Reply> there = target.askAll(types);
        long tookMs = (environment.nanoTime() - beforeNanos) / 1_000_000;
        List<byte[]> alike = new ArrayList<>();
        List<String> typeOf = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            String type = here.get(2 * i).text();
            long expiry = ((Reply.Int) here.get(2 * i + 1)).value();
            long otherExpiry = ((Reply.Int) there.get(2 * i + 1)).value();
            if (!type.equals(there.get(2 * i).text())
                    || comparison.expiryDifference(expiry, otherExpiry, tookMs) != null) {
                suspect(database, keys.get(i));
            } else if (!type.equals("none")) {
                alike.add(keys.get(i));
                typeOf.add(type);
            }
        }
        compareValues(database, alike, typeOf);
    }

    private void compareValues(int database, List<byte[]> keys, List<String> types) {
        List<byte[]> small = new ArrayList<>();
        List<String> smallTypes = new ArrayList<>();
        List<byte[][]> sizes = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            sizes.add(Side.command(sizeCommand(types.get(i)), keys.get(i)));
        }
        List<Reply> here = source.askAll(sizes);
        for (int i = 0; i < keys.size(); i++) {
            long limit = types.get(i).equals("string") ? SMALL_BYTES : SMALL_ELEMENTS;
            if (isSimple(types.get(i)) && here.get(i) instanceof Reply.Int(long size) && size <= limit) {
                small.add(keys.get(i));
                smallTypes.add(types.get(i));
            } else {
                compareOne(database, keys.get(i));
            }
        }
        compareSmall(database, small, smallTypes);
    }

    private void compareOne(int database, byte[] key) {
        KeyComparison.Result result = comparison.compare(key);
        if (!result.comparable()) {
            notComparable.merge(result.type(), 1L, Long::sum);
        } else if (result.kind() != null) {
            suspect(database, key);
        }
    }

    private void compareSmall(int database, List<byte[]> keys, List<String> types) {
        List<byte[][]> reads = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            reads.add(read(types.get(i), keys.get(i)));
        }
        List<Reply> here = source.askAll(reads);
        List<Reply> there = target.askAll(reads);
        List<byte[]> hashes = new ArrayList<>();
        List<byte[][]> expiries = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            if (!sameValue(types.get(i), here.get(i), there.get(i))) {
                suspect(database, keys.get(i));
            } else if (types.get(i).equals("hash") && source.knowsFieldExpiry) {
                List<byte[]> fields = names(here.get(i));
                if (!fields.isEmpty()) { // else all of them have run out, and no server takes a question about none
                    hashes.add(keys.get(i));
                    expiries.add(KeyComparison.fieldExpiry(keys.get(i), fields));
                }
            }
        }
        compareFieldExpiries(database, hashes, expiries);
    }

    private void compareFieldExpiries(int database, List<byte[]> keys, List<byte[][]> questions) {
        List<Reply> here = source.askAll(questions);
        List<Reply> there = target.knowsFieldExpiry ? target.askAll(questions) : List.of();
        for (int i = 0; i < keys.size(); i++) {
            boolean same = target.knowsFieldExpiry
                    ? here.get(i).equals(there.get(i))
                    : KeyComparison.elements(here.get(i)).stream()
                            .noneMatch(at -> at instanceof Reply.Int(long ms) && ms >= 0);
            if (!same) {
                suspect(database, keys.get(i));
            }
        }
    }

    private static List<byte[]> names(Reply hash) {
        List<Reply> words = KeyComparison.elements(hash);
        List<byte[]> names = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            names.add(KeyComparison.bytes(words.get(i)));
        }
        return names;
    }

    private static boolean isSimple(String type) {
        return KeyComparison.isKnown(type) && !type.equals("stream") && !type.equals(KeyComparison.VECTOR_SET);
    }

    private static String sizeCommand(String type) {
        return switch (type) {
            case "string" -> "STRLEN";
            case "list" -> "LLEN";
            case "set" -> "SCARD";
            case "hash" -> "HLEN";
            case "zset" -> "ZCARD";
            default -> "EXISTS"; // compared one by one, whatever their size
        };
    }

    private static byte[][] read(String type, byte[] key) {
        return switch (type) {
            case "string" -> Side.command("GET", key);
            case "list" -> Side.command("LRANGE", key, "0", "-1");
            case "set" -> Side.command("SMEMBERS", key);
            case "hash" -> Side.command("HGETALL", key);
            default -> Side.command("ZRANGE", key, "0", "-1", "WITHSCORES");
        };
    }

    private static boolean sameValue(String type, Reply here, Reply there) {
        if (here.isError() || there.isError()) {
            return false; // it has become something else meanwhile
        }
        return switch (type) {
            case "set" -> KeyComparison.sameElements(here, there, 1);
            case "hash" -> KeyComparison.sameElements(here, there, 2);
            case "zset" -> KeyComparison.scoresDiffer(here, there) == null;
            default -> here.equals(there);
        };
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
                sleep(pause);
            }
        }
        return !stop.getAsBoolean();
    }

    private boolean isSettled(Suspect suspect) {
        select(suspect.database);
        KeyComparison.Result result = comparison.compare(suspect.key);
        @Nullable Kind kind = result.kind();
        if (kind == null) {
            if (!result.comparable()) {
                notComparable.merge(result.type(), 1L, Long::sum);
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

    // Pace

    private void report() {
        long tookNanos = environment.nanoTime() - startNanos;
        Optional<Duration> left = keysSeen == 0
                ? Optional.empty()
                : Optional.of(
                        Duration.ofNanos((long) (tookNanos / (double) keysSeen * Math.max(0, keysTotal - keysSeen))));
        progress.accept(new VerificationProgress(keysSeen, Math.max(keysTotal, keysSeen), left, differenceCount));
    }

    private void leaveRoom(long busyNanos) {
        if (settings.busyShareMax() < 1) {
            sleep(Duration.ofNanos((long) (busyNanos * (1 / settings.busyShareMax() - 1))));
        }
    }

    private void sleep(Duration duration) {
        try {
            environment.sleep(duration);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    "the verification was interrupted, nothing is known of the rest",
                    e);
        }
    }
}
