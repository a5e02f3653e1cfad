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

/**
 * The releases as the ledger keeps them. Everything that it writes is durable when the call returns. Thread-safe; the state
 * and the caches of a release are written by that release's thread alone.
 *
 * <p>Paths: {@code releases/NAME/file}, {@code .../started}, {@code .../state}, {@code .../order}, {@code .../caches/CACHE}; and
 * {@code owners/CACHE} names the release that has a cache, so that a second one is refused.
 */
final class ReleaseStore {
    private static final ObjectMapper JSON =
            new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

    private final Ledger ledger;
    private final Journal journal;
    private final Environment environment;

    ReleaseStore(Ledger ledger, Environment environment) {
        this.ledger = ledger;
        this.journal = new Journal(ledger);
        this.environment = environment;
    }

    /**
     * Registers a release, all or nothing; refuses a name that is taken and a cache that another release has. A name whose
     * release ended in its check is free again, since that release has changed nothing.
     */
    void create(ReleaseFile file, List<CacheRecord> caches, String who) {
        List<Operation> operations = new ArrayList<>();
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
            throw new ReleaseException(
                    ReleaseException.Code.BUSY,
                    "there is a release \"" + file.name() + "\" already; give this one another name");
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
        List<Operation> operations = new ArrayList<>();
        operations.add(new Operation.Put(path(state.release(), "state"), bytes(state)));
        for (String cache : caches) {
            if (owner(cache).filter(state.release()::equals).isPresent()) {
                operations.add(new Operation.Delete("owners/" + cache));
            }
        }
        ledger.transact(operations);
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

    Optional<Order> order(String release) {
        return read(path(release, "order"), Order.class);
    }

    void order(String release, Order order) {
        JournalEntry entry = new JournalEntry(
                0, environment.now(), order.who(), "order", order.kind().title(), Map.of());
        Outcome outcome =
                journal.append(release, entry, List.of(new Operation.Put(path(release, "order"), bytes(order))));
        if (outcome instanceof Outcome.Conflict(Operation _, String why)) {
            throw new LedgerException(
                    LedgerException.Code.CONFLICT,
                    "the order to " + order.kind().title() + " was not taken: " + why);
        }
    }

    void orderDone(String release) {
        if (order(release).isPresent()) {
            ledger.transact(List.of(new Operation.Delete(path(release, "order"))));
        }
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
