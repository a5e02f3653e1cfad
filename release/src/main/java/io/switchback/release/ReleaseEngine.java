package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.ledger.JournalEntry;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * All releases of a node: starts them, resumes them after a restart, takes orders, tells where they stand.
 *
 * <p>Thread-safe. Each release has a thread of its own ({@link ReleaseRun}): one of the platform's, because clients wait for it
 * within a switch, and a virtual one waits for a carrier that somebody else may be computing on.
 */
public final class ReleaseEngine implements AutoCloseable {
    private static final int SECRET_BYTES = 24;
    private static final Duration STOP_LIMIT = Duration.ofSeconds(30);

    private final String node;
    private final Ledger ledger;
    private final ReleaseStore store;
    private final Map<String, ManagedCache> caches;
    private final Path backupFolder;
    private final Environment environment;
    private final Map<String, ReleaseRun> runs = new ConcurrentHashMap<>();
    private final List<Thread> threads = new ArrayList<>();

    public ReleaseEngine(
            String node, Ledger ledger, Map<String, ManagedCache> caches, Path backupFolder, Environment environment) {
        this.node = node;
        this.ledger = ledger;
        this.store = new ReleaseStore(ledger, environment);
        this.caches = caches;
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    /** Whether the cache's proxy must not serve before its release has looked at where it stands. */
    public static boolean mustBeginHeld(Ledger ledger, Environment environment, String cache) {
        ReleaseStore store = new ReleaseStore(ledger, environment);
        return store.owner(cache)
                .flatMap(store::state)
                .filter(ReleaseState::mustBeginHeld)
                .isPresent();
    }

    /** Goes on with every release that has not ended. */
    public void resume() {
        for (String name : store.names()) {
            if (store.state(name).filter(state -> !state.status().ended()).isPresent()) {
                run(store.file(name));
            }
        }
    }

    /** Starts a release; returns at once. */
    public void start(ReleaseFile file, String who) {
        List<CacheRecord> records = new ArrayList<>();
        for (CacheMove move : file.moves()) {
            ManagedCache cache = cache(move.cache());
            store.demandFree(cache.name(), file.name());
            String from =
                    new Routes(ledger).current(cache.name()).map(Route::fleet).orElseThrow();
            cache.fleet(move.to());
            if (from.equals(move.to())) {
                throw new ReleaseException(
                        ReleaseException.Code.NOT_NOW,
                        "cache \"" + move.cache() + "\" is on fleet \"" + move.to() + "\" already");
            }
            String secret = HexFormat.of().formatHex(environment.randomBytes(SECRET_BYTES));
            records.add(new CacheRecord(
                    move.cache(), from, move.to(), secret, 0, 0, null, null, List.of(), List.of(), null));
        }
        store.create(file, records, who);
        run(file);
    }

    private void run(ReleaseFile file) {
        List<MovingCache> moving = file.moves().stream()
                .map(move -> new MovingCache(
                        file.name(),
                        store,
                        store.cache(file.name(), move.cache()),
                        cache(move.cache()),
                        backupFolder.resolve(file.name()),
                        environment))
                .toList();
        ReleaseRun run =
                new ReleaseRun(file, node, ledger, store, moving, backupFolder.resolve(file.name()), environment);
        runs.put(file.name(), run);
        synchronized (threads) {
            threads.add(
                    Thread.ofPlatform().daemon().name("release " + file.name()).start(run::work));
        }
    }

    private ManagedCache cache(String name) {
        ManagedCache cache = caches.get(name);
        if (cache == null) {
            throw new ReleaseException(
                    ReleaseException.Code.UNKNOWN,
                    "this node serves no cache \"" + name + "\"; its file names " + String.join(", ", caches.keySet()));
        }
        return cache;
    }

    /** Gives a release an order; durable when this returns, carried out soon. */
    public void order(String release, Order order) {
        ReleaseRun run = runs.get(release);
        if (run == null) {
            ReleaseState state = store.state(release)
                    .orElseThrow(() -> new ReleaseException(
                            ReleaseException.Code.UNKNOWN,
                            "there is no release \"" + release + "\"; there are: " + String.join(", ", store.names())));
            throw new ReleaseException(
                    ReleaseException.Code.NOT_NOW,
                    "release \"" + release + "\" has ended: " + state.status().title());
        }
        run.order(order);
    }

    /** Where a release stands; empty where there is none of that name. */
    public Optional<ReleaseStatus> status(String release) {
        ReleaseRun run = runs.get(release);
        if (run != null) {
            return Optional.of(run.status());
        }
        return store.state(release).map(ReleaseEngine::ended);
    }

    private static ReleaseStatus ended(ReleaseState state) {
        return new ReleaseStatus(
                state.release(),
                state.status(),
                state.step(),
                state.side(),
                -1,
                state.reason(),
                List.of(),
                List.of(),
                List.of(),
                List.of());
    }

    /** All releases that the ledger knows. */
    public List<ReleaseStatus> releases() {
        return store.names().stream().flatMap(name -> status(name).stream()).toList();
    }

    /** What happened in a release, with who and when. */
    public List<JournalEntry> journal(String release) {
        return store.journal(release);
    }

    /** Stops the threads where they are; nothing of a release is undone. */
    @Override
    public void close() {
        runs.values().forEach(ReleaseRun::stop);
        synchronized (threads) {
            for (Thread thread : threads) {
                try {
                    if (!thread.join(STOP_LIMIT)) {
                        thread.interrupt();
                    }
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    return;
                }
            }
        }
    }
}
