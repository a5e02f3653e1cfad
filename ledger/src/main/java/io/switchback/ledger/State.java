package io.switchback.ledger;

import io.switchback.ledger.LogFormat.Change;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The entries in memory. Any thread reads; changes come from one thread at a time (the holder of the ledger's write lock), and
 * only what is durable already. Its own lock is held for the change of the map alone, so that no reader waits for a disk.
 */
final class State {
    private final ReadWriteLock lock = new ReentrantReadWriteLock();
    /** By path in the order of characters; values are never changed in place. */
    private final TreeMap<String, Entry> entries = new TreeMap<>();

    /** What the entries would take in a log; changed under the lock. */
    private long bytes;

    /** What a transaction would do to this state: its effects, or why it cannot be. */
    sealed interface Plan {
        /** {@code changes} is empty where the transaction only expects. */
        record Effects(List<Change> changes, long bytesAfter) implements Plan {}

        record Refusal(Outcome.Conflict conflict) implements Plan {}
    }

    Optional<Entry> read(String path) {
        return locked(() -> Optional.ofNullable(entries.get(path)));
    }

    List<Entry> list(String prefix) {
        // The character after the slash ends the range of everything that begins with "prefix/".
        return locked(() -> List.copyOf(
                entries.subMap(prefix + "/", prefix + (char) ('/' + 1)).values()));
    }

    List<Entry> all() {
        return locked(() -> List.copyOf(entries.values()));
    }

    long bytes() {
        return locked(() -> bytes);
    }

    void apply(List<Change> changes) {
        lock.writeLock().lock();
        try {
            for (Change change : changes) {
                Entry before = switch (change) {
                    case Change.Set(Entry entry) -> entries.put(entry.path(), entry);
                    case Change.Gone(String path) -> entries.remove(path);
                };
                bytes += (change instanceof Change.Set(Entry entry) ? bytesOf(entry) : 0) - bytesOf(before);
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Takes the operations in their order, each seeing what those before it did. Changes nothing. */
    Plan plan(List<Operation> operations) {
        Map<String, Optional<Entry>> touched = new HashMap<>();
        Map<String, Change> changes = new LinkedHashMap<>();
        long after = bytes();
        for (Operation operation : operations) {
            String path = operation.path();
            Entry now = touched.getOrDefault(path, read(path)).orElse(null);
            String refusal = refusal(operation, now);
            if (refusal != null) {
                return new Plan.Refusal(new Outcome.Conflict(operation, path + " " + refusal));
            }
            Entry then = effect(operation, now);
            if (!Objects.equals(then, now)) {
                touched.put(path, Optional.ofNullable(then));
                changes.put(path, then == null ? new Change.Gone(path) : new Change.Set(then));
                after += bytesOf(then) - bytesOf(now);
            }
        }
        return new Plan.Effects(new ArrayList<>(changes.values()), after);
    }

    private static @Nullable String refusal(Operation operation, @Nullable Entry now) {
        return switch (operation) {
            case Operation.Create _, Operation.ExpectAbsent _ ->
                now == null ? null : "is there already, at version " + now.version();
            case Operation.Put _ -> null;
            case Operation.Delete _ -> now == null ? "is not there" : null;
            case Operation.Replace replace -> versionRefusal(now, replace.expectedVersion());
            case Operation.Expect expect -> versionRefusal(now, expect.version());
        };
    }

    private static @Nullable String versionRefusal(@Nullable Entry now, long expected) {
        if (now == null) {
            return "is not there, expected version " + expected;
        }
        return now.version() == expected ? null : "is at version " + now.version() + ", expected " + expected;
    }

    /** The entry afterwards; the very same where the operation changes nothing. */
    private static @Nullable Entry effect(Operation operation, @Nullable Entry now) {
        return switch (operation) {
            case Operation.Create(String path, byte[] value) -> next(path, value, now);
            case Operation.Put(String path, byte[] value) -> next(path, value, now);
            case Operation.Replace(String path, byte[] value, long _) -> next(path, value, now);
            case Operation.Delete _ -> null;
            case Operation.Expect _, Operation.ExpectAbsent _ -> now;
        };
    }

    private static Entry next(String path, byte[] value, @Nullable Entry now) {
        return new Entry(path, value.clone(), now == null ? 0 : now.version() + 1);
    }

    private static long bytesOf(@Nullable Entry entry) {
        return entry == null ? 0 : Change.OVERHEAD_BYTES + entry.path().length() + entry.value().length;
    }

    private <T> T locked(Supplier<T> reading) {
        lock.readLock().lock();
        try {
            return reading.get();
        } finally {
            lock.readLock().unlock();
        }
    }
}
