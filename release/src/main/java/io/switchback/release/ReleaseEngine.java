package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.ledger.Claim;
import io.switchback.ledger.JournalEntry;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Watch;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The releases as one node sees and serves them: takes part in the switches of all, leads those that it has claimed, takes
 * over those whose leader is gone, takes orders, tells where they stand.
 *
 * <p>Thread-safe. Each release that this node leads has a thread of its own ({@link ReleaseRun}): one of the platform's, because clients
 * wait for it within a switch, and a virtual one waits for a carrier that somebody else may be computing on. One more looks into the
 * ledger, when that says that something has changed and once a second.
 */
public final class ReleaseEngine implements AutoCloseable {
    /** Asked of the node that leads a release: where it stands. */
    private static final String STATUS = "release/status";

    private static final Logger LOG = LoggerFactory.getLogger(ReleaseEngine.class);
    private static final int SECRET_BYTES = 24;
    /** How long whoever gives an order waits to hear that it is carried out; most are within moments. */
    private static final Duration ORDER_WAIT = Duration.ofSeconds(3);

    private static final Duration ORDER_LOOK = Duration.ofMillis(50);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(30);
    private static final Duration LOOK = Duration.ofSeconds(1);
    private static final Duration STATUS_LIMIT = Duration.ofSeconds(2);

    private final Nodes nodes;
    private final Ledger ledger;
    private final ReleaseStore store;
    private final Presence presence;
    private final Map<String, ManagedCache> caches;
    private final NodeParticipants participants;
    private final Path backupFolder;
    private final Environment environment;
    private final Map<String, ReleaseRun> runs = new ConcurrentHashMap<>();
    private final List<Thread> threads = new ArrayList<>();
    private final Semaphore changes = new Semaphore(0);
    private final List<Watch> watches = new ArrayList<>();
    private @Nullable ServingLease servingLease;
    private volatile boolean closing;

    /** Does nothing yet; {@code ownLedger} keeps what this node's participants must not forget, and may be the common one. */
    public ReleaseEngine(
            Nodes nodes,
            Ledger ledger,
            Ledger ownLedger,
            Map<String, ManagedCache> caches,
            Path backupFolder,
            Environment environment) {
        this.nodes = nodes;
        this.ledger = ledger;
        this.store = new ReleaseStore(ledger, environment);
        this.presence = new Presence(ledger);
        this.caches = caches;
        this.participants = new NodeParticipants(caches, nodes, ledger, ownLedger, environment);
        this.backupFolder = backupFolder;
        this.environment = environment;
    }

    /** Whether the cache's proxy must not serve before this node has looked at where the cache's release stands. */
    public static boolean mustBeginHeld(Ledger ledger, Environment environment, String cache) {
        ReleaseStore store = new ReleaseStore(ledger, environment);
        return store.owner(cache)
                .flatMap(store::state)
                .filter(ReleaseState::mustBeginHeld)
                .isPresent();
    }

    /** Answers another node; does not block. */
    public CompletionStage<byte[]> answer(String subject, byte[] question) {
        if (!subject.equals(STATUS)) {
            return participants.answer(subject, question);
        }
        ReleaseRun run = runs.get(ReleaseStore.value(question, String.class));
        return run == null
                ? CompletableFuture.failedStage(new IllegalStateException("it does not lead that release"))
                : Answering.waiting(() -> ReleaseStore.bytes(run.status()));
    }

    /** This node serves only while that lease lasts. To be called before {@link #resume}, with the caches held. */
    public void serveOnlyWith(Lease lease) {
        servingLease = new ServingLease(lease, ledger, nodes, caches.values(), environment);
    }

    /** Goes on where this node stood, lets its clients go, and looks into the ledger from now on. */
    public void resume() {
        ServingLease serving = servingLease;
        if (serving != null) {
            serving.begin();
        }
        participants.resume();
        for (String path : List.of("releases", "owners", "routes", "leaders", Ledger.PRESENCE)) {
            watches.add(ledger.watch(path, changes::release));
        }
        try {
            look();
        } catch (LedgerException e) {
            LOG.warn("what the ledger asks for is done when it takes writes: {}", e.getMessage());
        }
        start("release watch", this::keepLooking);
    }

    // ---- looking ----

    private void keepLooking() {
        boolean reported = false;
        while (!closing) {
            try {
                if (changes.tryAcquire(LOOK.toMillis(), TimeUnit.MILLISECONDS)) {
                    changes.drainPermits();
                }
                look();
                reported = false;
            } catch (LedgerException e) {
                if (!reported && !closing) {
                    LOG.warn("the ledger does not answer; clients stay where they are: {}", e.getMessage());
                    reported = true;
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            } catch (RuntimeException e) {
                LOG.error("a mistake in Switchback; the node goes on and looks again", e);
            }
        }
    }

    private synchronized void look() {
        if (closing) {
            return;
        }
        ServingLease serving = servingLease;
        if (serving != null) {
            serving.look(participants::follow);
        }
        participants.look();
        store.open().forEach(this::look);
        runs.values().forEach(ReleaseRun::lookForOrders);
        staysRegistered();
    }

    /**
     * Registers again where a person has removed this node although it serves, or where a full disk kept it from being registered; gives
     * way to another process of its name.
     */
    private void staysRegistered() {
        Members members = new Members(ledger);
        Optional<Member> known = members.roster().member(nodes.self().node());
        if (known.equals(Optional.of(nodes.self()))) {
            return;
        }
        if (known.filter(one -> one.isAnotherProcessOf(nodes.self())).isPresent() && nodes.isShared()) {
            nodes.superseded();
            return;
        }
        LOG.warn(
                "node {} serves and is not registered: it registers again",
                nodes.self().node());
        members.join(nodes.self());
        ledger.catchUp();
    }

    /** Leads a release that nobody leads, where this node serves all of its caches; leads one no more that another has taken over. */
    private void look(String release) {
        Optional<Claim.Holder> leader = Claim.holder(ledger, release);
        ReleaseRun run = runs.get(release);
        if (run != null) {
            if (!leader.equals(Optional.of(run.leader()))) {
                runs.remove(release);
                run.stop();
            }
            return;
        }
        // A claim of this very process without a run is one whose answer was lost: it is taken over from itself.
        boolean led = leader.filter(
                        one -> !one.incarnation().equals(nodes.self().incarnation()))
                .filter(one -> presence.isThere(one.node(), one.incarnation()))
                .isPresent();
        ReleaseFile file = store.file(release);
        if (!led && file.moves().stream().allMatch(move -> caches.containsKey(move.cache()))) {
            lead(file, leader);
        }
    }

    private void lead(ReleaseFile file, Optional<Claim.Holder> former) {
        Claim.take(ledger, file.name(), former, asHolder()).ifPresent(claim -> {
            former.ifPresent(before -> LOG.info(
                    "release {} is led by node {} from now on, before by {}",
                    file.name(),
                    claim.holder().node(),
                    before.node()));
            run(file, claim);
        });
    }

    private void run(ReleaseFile file, Claim claim) {
        ReleaseStore claimed = new ReleaseStore(claim.ledger(), environment);
        Path folder = backupFolder.resolve(file.name());
        List<MovingCache> moving = file.moves().stream()
                .map(move -> new MovingCache(
                        file.name(),
                        claimed,
                        claimed.cache(file.name(), move.cache()),
                        cache(move.cache()),
                        file.protect(),
                        file.copy(),
                        move.keys(),
                        claim,
                        folder,
                        environment))
                .toList();
        ReleaseRun run = new ReleaseRun(file, nodes, claim, claimed, moving, folder, environment);
        runs.put(file.name(), run);
        start("release " + file.name(), run::work);
    }

    private void start(String name, Runnable work) {
        synchronized (threads) {
            threads.add(Thread.ofPlatform().daemon().name(name).start(work));
        }
    }

    // ---- what people ask ----

    /** Starts a release; returns at once. */
    public synchronized void start(ReleaseFile file, String who) {
        store.demandNew(file.name());
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
            records.add(CacheRecord.first(move.cache(), from, move.to(), secret));
        }
        // Together, or another node would find a release that nobody leads, and take it.
        Claim.Taking leading = Claim.taking(ledger, file.name(), asHolder());
        store.create(file, records, leading.operation(), who);
        runs.remove(file.name());
        participants.look();
        run(file, leading.claim());
    }

    /** For a new term of this process. */
    private Claim.Holder asHolder() {
        long term = ReleaseStore.switchNumbers(ledger).next();
        return new Claim.Holder(nodes.self().node(), nodes.self().incarnation(), term);
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

    /**
     * Gives a release an order; durable when this returns, carried out soon by whichever node leads it.
     *
     * @return the order that stands: this one, or an earlier one that asks for the same and has not been carried out yet
     */
    public Order order(String release, Order order) {
        ReleaseState state = store.state(release)
                .orElseThrow(() -> new ReleaseException(
                        ReleaseException.Code.UNKNOWN,
                        "there is no release \"" + release + "\"; there are: " + String.join(", ", store.names())));
        Orders.demandFits(release, order, state);
        Order standing = store.order(release, order);
        ReleaseRun run = runs.get(release);
        if (run != null) {
            run.lookForOrders();
        }
        return standing;
    }

    /**
     * Waits until an order that was given is carried out, but not for long.
     *
     * @return the order that has taken its place, if one has
     */
    public Optional<Order> awaitOrder(String release, Order given) throws InterruptedException {
        Deadline enough = Deadline.in(environment, ORDER_WAIT);
        while (true) {
            Optional<Order> waiting = store.order(release);
            if (waiting.isEmpty() || !waiting.get().asksTheSameAs(given)) {
                return waiting;
            }
            if (enough.passed() || waiting.get().taken()) {
                return Optional.empty();
            }
            environment.sleep(ORDER_LOOK);
        }
    }

    /** The releases that the ledger knows. */
    public List<String> names() {
        return store.names();
    }

    /** Where a release stands; empty where there is none of that name. */
    public Optional<ReleaseStatus> status(String release) {
        ReleaseRun run = runs.get(release);
        if (run != null) {
            return Optional.of(run.status());
        }
        return store.state(release).map(state -> state.status().ended() ? recorded(state, state.reason()) : led(state));
    }

    /** As its leader says; where that does not answer, as the ledger has it. */
    private ReleaseStatus led(ReleaseState state) {
        String leader =
                Claim.holder(ledger, state.release()).map(Claim.Holder::node).orElse("");
        if (leader.isEmpty() || leader.equals(nodes.self().node())) {
            return recorded(state, "no node leads it at the moment");
        }
        try {
            byte[] answer = nodes.ask(leader, STATUS, ReleaseStore.bytes(state.release()), STATUS_LIMIT)
                    .join();
            return ReleaseStore.value(answer, ReleaseStatus.class);
        } catch (CompletionException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            return recorded(
                    state,
                    "node " + leader + ", which leads it, does not tell more: " + cause.getMessage()
                            + "; where it is gone, another node takes over within seconds");
        }
    }

    private static ReleaseStatus recorded(ReleaseState state, String detail) {
        return new ReleaseStatus(
                state.release(),
                state.status(),
                state.step(),
                state.side(),
                -1,
                detail,
                List.of(),
                List.of(),
                List.of(),
                List.of());
    }

    /** The nodes that are registered. */
    public List<NodeStatus> nodes() {
        return new Members(ledger)
                .roster().members().stream()
                        .map(member -> new NodeStatus(
                                member.node(), member.address(), member.caches(), presence.isThere(member)))
                        .toList();
    }

    /** Says of a node that it serves no more and never will again as it was; switches do not wait for it any longer. */
    public void removeNode(String node) {
        Members members = new Members(ledger);
        Member member = members.roster()
                .member(node)
                .orElseThrow(() -> new ReleaseException(
                        ReleaseException.Code.UNKNOWN, "there is no node \"" + node + "\" in the ledger"));
        if (presence.isThere(member)) {
            throw new ReleaseException(
                    ReleaseException.Code.NOT_NOW, "node \"" + node + "\" is there and serves; stop it first");
        }
        members.leave(member);
    }

    /**
     * A registered node.
     *
     * @param isThere whether the ledger hears of it
     */
    public record NodeStatus(String node, String address, List<String> caches, boolean isThere) {}

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
        closing = true;
        watches.forEach(Watch::close);
        changes.release();
        runs.values().forEach(ReleaseRun::stop);
        List<Thread> ending;
        synchronized (threads) {
            ending = List.copyOf(threads);
        }
        for (Thread thread : ending) {
            try {
                if (!thread.join(STOP_LIMIT)) {
                    thread.interrupt();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                break;
            }
        }
        ServingLease serving = servingLease;
        if (serving != null) {
            serving.close();
        }
        participants.close();
    }
}
