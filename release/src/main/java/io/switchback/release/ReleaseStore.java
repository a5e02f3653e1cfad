package io.switchback.release;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.switchback.environment.Environment;
import io.switchback.ledger.Entry;
import io.switchback.ledger.Journal;
import io.switchback.ledger.JournalEntry;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Numbers;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * The releases as the ledger keeps them. Everything that it writes is durable when the call returns. Thread-safe; the state
 * and the caches of a release are written by that release's thread alone.
 *
 * <p>Paths: {@code releases/NAME/file}, {@code .../started}, {@code .../state}, {@code .../order}, {@code .../caches/CACHE}; {@code
 * owners/CACHE} names the release that has a cache, so that a second one is refused; {@code armed/NAME/NODE/CACHE} says which process
 * of a node has acknowledged that a cache is in that release. Whoever leads a release uses the ledger of its {@link Claim}.
 */
final class ReleaseStore {
    private static final ObjectMapper JSON =
            new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

    /** Each lost attempt means that somebody else has given an order, or that one was carried out. */
    private static final int ORDER_ATTEMPTS_MAX = 1_000;

    private final Ledger ledger;
    private final Journal journal;
    private final Environment environment;

    ReleaseStore(Ledger ledger, Environment environment) {
        this.ledger = ledger;
        this.journal = new Journal(ledger);
        this.environment = environment;
    }

    /**
     * Registers a release together with the claim of who leads it, all or nothing; refuses a name that is taken and a cache that another release has. A name whose
     * release ended in its check is free again, since that release has changed nothing.
     */
    void create(ReleaseFile file, List<CacheRecord> caches, Operation claim, String who) {
        List<Operation> operations = new ArrayList<>();
        operations.add(claim);
        String state = path(file.name(), "state");
        byte[] first = bytes(ReleaseState.first(file.name()));
        operations.add(ledger.read(state)
                .filter(entry -> value(entry.value(), ReleaseState.class).endedInItsCheck())
                .<Operation>map(entry -> new Operation.Replace(state, first, entry.version()))
                .orElseGet(() -> new Operation.Create(state, first)));
        operations.add(new Operation.Put(path(file.name(), "file"), bytes(file.sourceText())));
        operations.add(new Operation.Put(
                path(file.name(), "started"), bytes(environment.now().toString())));
        if (order(file.name()).isPresent()) {
            operations.add(new Operation.Delete(path(file.name(), "order")));
        }
        for (CacheRecord cache : caches) {
            operations.add(new Operation.Put(path(file.name(), "caches/" + cache.cache()), bytes(cache)));
            operations.add(new Operation.Create("owners/" + cache.cache(), bytes(file.name())));
        }
        if (ledger.transact(operations) instanceof Outcome.Conflict) {
            caches.forEach(cache -> demandFree(cache.cache(), file.name()));
            demandNew(file.name());
            throw new ReleaseException(
                    ReleaseException.Code.BUSY,
                    "release \"" + file.name()
                            + "\" could not be started: something else was begun at the same time; say it again");
        }
        journal(file.name(), who, "start", "release started", Map.of());
    }

    /** Refuses a cache that another release has. */
    void demandFree(String cache, String release) {
        owner(cache).filter(other -> !other.equals(release)).ifPresent(other -> {
            throw new ReleaseException(
                    ReleaseException.Code.BUSY,
                    "cache \"" + cache + "\" is in release \"" + other + "\" already; finish or abort that one first");
        });
    }

    /** The names of all releases that the ledger knows, the latest last. */
    List<String> names() {
        return ledger.list("releases").stream()
                .map(Entry::path)
                .filter(path -> path.endsWith("/state"))
                .map(path -> path.split("/", -1)[1])
                .sorted(Comparator.comparing(this::startedAt))
                .toList();
    }

    /** The names of the releases that have not ended: each has at least one cache. */
    Set<String> open() {
        Set<String> owners = new TreeSet<>();
        ledger.list("owners").forEach(entry -> owners.add(value(entry.value(), String.class)));
        owners.removeIf(
                release -> state(release).filter(now -> !now.status().ended()).isEmpty());
        return owners;
    }

    /** The epoch for a release of an earlier Switchback, which did not write it down. */
    private Instant startedAt(String release) {
        return read(path(release, "started"), String.class).map(Instant::parse).orElse(Instant.EPOCH);
    }

    ReleaseFile file(String release) {
        return ReleaseFile.parse(
                release,
                read(path(release, "file"), String.class)
                        .orElseThrow(() -> new ReleaseException(
                                ReleaseException.Code.UNKNOWN, "there is no release \"" + release + "\"")));
    }

    Optional<ReleaseState> state(String release) {
        return read(path(release, "state"), ReleaseState.class);
    }

    void save(ReleaseState state) {
        put(path(state.release(), "state"), state);
    }

    /** Saves the last state of a release and lets its caches free, all or nothing. */
    void end(ReleaseState state, List<String> caches) {
        forgetArmed(state.release());
        List<Operation> operations = new ArrayList<>();
        operations.add(new Operation.Put(path(state.release(), "state"), bytes(state)));
        for (String cache : caches) {
            if (owner(cache).filter(state.release()::equals).isPresent()) {
                operations.add(new Operation.Delete("owners/" + cache));
            }
        }
        ledger.transact(operations);
    }

    // ---- armed

    /** A node acknowledges that a cache is in a release. */
    void arm(String release, String cache, Member node) {
        put(armed(release) + "/" + node.node() + "/" + cache, node.incarnation());
    }

    /** Whether that very process has acknowledged it. */
    boolean isArmed(String release, String cache, Member node) {
        return read(armed(release) + "/" + node.node() + "/" + cache, String.class)
                .filter(node.incarnation()::equals)
                .isPresent();
    }

    private void forgetArmed(String release) {
        List<Entry> entries = ledger.list(armed(release));
        int step = Ledger.TRANSACTION_OPERATIONS_MAX / 2;
        for (int from = 0; from < entries.size(); from += step) {
            ledger.transact(entries.subList(from, Math.min(entries.size(), from + step)).stream()
                    .<Operation>map(entry -> new Operation.Delete(entry.path()))
                    .toList());
        }
    }

    private static String armed(String release) {
        return "armed/" + release;
    }

    /** What switches and terms are numbered by; each number is also a token ({@link io.switchback.fleet.Token}). */
    static Numbers switchNumbers(Ledger ledger) {
        return new Numbers(ledger, "switch");
    }

    Optional<String> owner(String cache) {
        return read("owners/" + cache, String.class);
    }

    CacheRecord cache(String release, String cache) {
        return read(path(release, "caches/" + cache), CacheRecord.class).orElseThrow();
    }

    void save(String release, CacheRecord cache) {
        put(path(release, "caches/" + cache.cache()), cache);
    }

    /** Refuses a name that a release has, unless that has ended in its check. */
    void demandNew(String name) {
        Optional<ReleaseState> known = state(name).filter(state -> !state.endedInItsCheck());
        if (known.isPresent()) {
            throw new ReleaseException(
                    ReleaseException.Code.BUSY,
                    "there is a release \"" + name + "\" already, "
                            + known.get().status().title()
                            + (known.get().status().ended()
                                    ? "; give this one another name"
                                    : ": if this is the same file, it was started before (release follow shows how it goes); else give this one another name"));
        }
    }

    Optional<Order> order(String release) {
        return read(path(release, "order"), Order.class);
    }

    /**
     * Gives an order, durably. One of the same kind that waits already stands, whoever gives it again; another kind takes the
     * place of the one that waits, unless that is being carried out and cannot be undone.
     *
     * @return the order that stands: this one, or an earlier one of its kind
     * @throws ReleaseException NOT_NOW where an order stands in whose place none can come any more
     */
    Order order(String release, Order order) {
        for (int attempt = 1; attempt <= ORDER_ATTEMPTS_MAX; attempt++) {
            Optional<Entry> waiting = ledger.read(path(release, "order"));
            Optional<Order> known = waiting.map(entry -> value(entry.value(), Order.class));
            if (known.filter(one -> one.asksTheSameAs(order)).isPresent()) {
                return known.get();
            }
            if (known.filter(Order::taken).isPresent()) {
                throw new ReleaseException(
                        ReleaseException.Code.NOT_NOW,
                        "release \"" + release + "\" cannot " + order.kind().title() + ": "
                                + known.get().kind().title() + ", which "
                                + known.get().who()
                                + " has ordered, is being carried out");
            }
            JournalEntry entry = new JournalEntry(
                    0, environment.now(), order.who(), "order", order.kind().title(), Map.of());
            Operation giving = waiting.<Operation>map(
                            before -> new Operation.Replace(before.path(), bytes(order), before.version()))
                    .orElseGet(() -> new Operation.Create(path(release, "order"), bytes(order)));
            if (journal.append(release, entry, List.of(giving)) instanceof Outcome.Done) {
                return order;
            }
            ledger.catchUp();
        }
        throw new LedgerException(
                LedgerException.Code.CONFLICT,
                "the order to " + order.kind().title() + " was not taken: others give orders without end");
    }

    /** From now on no other order takes the place of this one; false where another one has. */
    boolean orderTaken(String release, Order order) {
        Optional<Entry> waiting = ledger.read(path(release, "order"));
        return waiting.filter(entry -> value(entry.value(), Order.class).equals(order))
                .filter(entry -> ledger.transact(
                                List.of(new Operation.Replace(entry.path(), bytes(order.asTaken()), entry.version())))
                        instanceof Outcome.Done)
                .isPresent();
    }

    /** Takes an order away that was carried out; one that came meanwhile stays. */
    void orderDone(String release, Order carriedOut) {
        ledger.read(path(release, "order"))
                .filter(entry -> List.of(carriedOut, carriedOut.asTaken()).contains(value(entry.value(), Order.class)))
                .ifPresent(entry -> ledger.transact(List.of(
                        new Operation.Expect(entry.path(), entry.version()), new Operation.Delete(entry.path()))));
    }

    void journal(String release, String who, String step, String what, Map<String, String> details) {
        journal.append(release, new JournalEntry(0, environment.now(), who, step, what, details));
    }

    List<JournalEntry> journal(String release) {
        return journal.read(release);
    }

    static byte[] bytes(Object value) {
        try {
            return JSON.writeValueAsBytes(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("not a value for the ledger: " + value, e);
        }
    }

    static <T> T value(byte[] bytes, Class<T> type) {
        try {
            return JSON.readValue(bytes, type);
        } catch (IOException e) {
            throw new UncheckedIOException("the ledger holds no " + type.getSimpleName() + " here", e);
        }
    }

    private <T> Optional<T> read(String path, Class<T> type) {
        return ledger.read(path).map(entry -> value(entry.value(), type));
    }

    private void put(String path, Object value) {
        if (ledger.transact(List.of(new Operation.Put(path, bytes(value)))) instanceof Outcome.Conflict conflict) {
            throw new IllegalStateException("a plain put cannot conflict: " + conflict);
        }
    }

    private static String path(String release, String rest) {
        return "releases/" + release + "/" + rest;
    }
}
