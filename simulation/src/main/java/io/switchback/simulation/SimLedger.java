package io.switchback.simulation;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.ledger.Entry;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.ledger.Watch;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The ledger: entries with versions, one transaction after the other, and sessions that run out by its own clock. Each process sees it
 * through a {@link View} whose reads lag as an ensemble's do, so that what others do between a read and a transaction is there without
 * a step between the two. What the entries mean is the real code's, which works on a view.
 */
final class SimLedger {
    static final String NAME = "ledger";
    private static final long SESSION_MICROS_MAX = 900_000;

    private final World world;
    private final TreeMap<String, Entry> entries = new TreeMap<>();
    private final List<Map<String, Optional<Entry>>> history = new ArrayList<>();
    private final Map<String, Session> sessions = new HashMap<>();
    private final List<Object> kept = new ArrayList<>();

    private record Session(String incarnation, long heardAt) {}

    SimLedger(World world) {
        this.world = world;
    }

    /** A value of the simulation as an entry's bytes; valid JSON. */
    byte[] keep(Object value) {
        kept.add(value);
        return Integer.toString(kept.size() - 1).getBytes(UTF_8);
    }

    <T> T value(byte[] bytes, Class<T> type) {
        return type.cast(kept.get(Integer.parseInt(new String(bytes, UTF_8))));
    }

    void heard(SimNode node, String incarnation) {
        sessions.put(node.name(), new Session(incarnation, world.now()));
    }

    /** The entry as it is, for the laws. */
    Optional<Entry> truth(String path) {
        return Optional.ofNullable(entries.get(path));
    }

    private Outcome commit(List<Operation> operations) {
        Map<String, Optional<Entry>> changes = new HashMap<>();
        for (Operation operation : operations) {
            String path = operation.path();
            Entry now = changes.containsKey(path) ? changes.get(path).orElse(null) : entries.get(path);
            String why = refusal(operation, now);
            if (!why.isEmpty()) {
                return new Outcome.Conflict(operation, path + " " + why);
            }
            switch (operation) {
                case Operation.Create(String _, byte[] value) -> changes.put(path, Optional.of(next(path, value, now)));
                case Operation.Put(String _, byte[] value) -> changes.put(path, Optional.of(next(path, value, now)));
                case Operation.Replace(String _, byte[] value, long _) ->
                    changes.put(path, Optional.of(next(path, value, now)));
                case Operation.Delete _ -> changes.put(path, Optional.empty());
                case Operation.Expect _, Operation.ExpectAbsent _ -> {}
            }
        }
        if (!changes.isEmpty()) {
            world.laws().recorded(changes);
            changes.forEach((path, entry) ->
                    entry.ifPresentOrElse(present -> entries.put(path, present), () -> entries.remove(path)));
            history.add(changes);
        }
        return new Outcome.Done();
    }

    private static String refusal(Operation operation, @Nullable Entry now) {
        return switch (operation) {
            case Operation.Create _, Operation.ExpectAbsent _ -> now == null ? "" : "is there already";
            case Operation.Put _ -> "";
            case Operation.Delete _ -> now == null ? "is not there" : "";
            case Operation.Replace replace -> atVersion(now, replace.expectedVersion());
            case Operation.Expect expect -> atVersion(now, expect.version());
        };
    }

    private static String atVersion(@Nullable Entry now, long expected) {
        return now != null && now.version() == expected ? "" : "is not at version " + expected;
    }

    private static Entry next(String path, byte[] value, @Nullable Entry now) {
        return new Entry(path, value, now == null ? 0 : now.version() + 1);
    }

    /** One process' way to the ledger. Its calls are made where the ledger is; the ways there and back are the script's. */
    final class View implements Ledger {
        private final Map<String, Entry> seen = new HashMap<>();
        private int seenUpTo;
        private int generation;
        private int fence;

        int generation() {
            return generation;
        }

        /** A call of that generation was given up: the next ones make sure that it comes no more. */
        void giveUp(int given) {
            if (generation == given) {
                generation++;
            }
        }

        boolean admits(int of) {
            fence = Math.max(fence, of);
            return of == fence;
        }

        private void seeUpTo(int end) {
            while (seenUpTo < end) {
                history.get(seenUpTo)
                        .forEach((path, entry) ->
                                entry.ifPresentOrElse(present -> seen.put(path, present), () -> seen.remove(path)));
                seenUpTo++;
            }
        }

        private void look() {
            int behind = history.size() - seenUpTo;
            if (behind > 0) {
                seeUpTo(seenUpTo + (world.chance(0.25) ? (int) world.between(0, behind) : behind));
            }
        }

        @Override
        public Optional<Entry> read(String path) {
            look();
            return Optional.ofNullable(seen.get(path));
        }

        @Override
        public List<Entry> list(String prefix) {
            look();
            return seen.entrySet().stream()
                    .filter(one -> one.getKey().startsWith(prefix + "/"))
                    .sorted(Map.Entry.comparingByKey())
                    .map(Map.Entry::getValue)
                    .toList();
        }

        @Override
        public Outcome transact(List<Operation> operations) {
            Outcome outcome = commit(operations);
            catchUp();
            return outcome;
        }

        @Override
        public void catchUp() {
            seeUpTo(history.size());
        }

        @Override
        public Map<String, byte[]> announced() {
            Map<String, byte[]> there = new TreeMap<>();
            sessions.forEach((name, session) -> {
                if (world.now() - session.heardAt() < SESSION_MICROS_MAX) {
                    there.put(name, session.incarnation().getBytes(UTF_8));
                }
            });
            return there;
        }

        @Override
        public String id() {
            return NAME;
        }

        @Override
        public Watch watch(String path, Runnable changed) {
            throw new LedgerException(LedgerException.Code.CLOSED, "nodes look for themselves here");
        }

        @Override
        public Lease announce(String name, byte[] value) {
            throw new LedgerException(LedgerException.Code.CLOSED, "sessions are made by heartbeats here");
        }

        @Override
        public void close() {}
    }
}
