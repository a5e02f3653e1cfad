package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.Topology;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One loop's connections to the fleet in use: for each {@link ConnectionKey} one that its clients share, and those that a
 * session has to itself.
 *
 * <p>Owned by its event loop. Connections are opened when they are first asked for; who asked waits, and is resumed when it
 * is there or has failed. Before a switch as many as are in use are opened to the fleet that comes next ({@link #openAhead}),
 * so that nobody waits for them when it has come.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class Backends {
    private static final Logger LOG = LoggerFactory.getLogger(Backends.class);

    /** For so long a failure to connect is told to whoever asks, before it is tried again. */
    private static final long FAILURE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);
    /** A replica that does not take a user is not asked again for so long. */
    private static final long REFUSED_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final String UNREACHABLE = "ERR switchback: ";
    /** A connection that nobody has used for so long is closed. */
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(60);

    /** For so long clients wait for another connection, lest they wait for a large reply to somebody else. */
    private static final long REPLACEMENT_MS = 50;
    /** So long after a connection could not be replaced in time it is not tried again. */
    private static final long REPLACE_AGAIN_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final long SWEEP_SECONDS = 10;

    private final ProxyLoop loop;
    private final Map<ConnectionKey, Slot> shared = new HashMap<>();
    private final Map<ConnectionKey, ArrayDeque<BackendConnection>> idle = new HashMap<>();
    private final Set<BackendConnection> all = new LinkedHashSet<>();
    /** Those of {@link #all} that go to a route which is not in use yet. */
    private final List<BackendConnection> ahead = new ArrayList<>();

    private final List<BackendOpening> openingAhead = new ArrayList<>();
    /** Where a switch is about to lead, and what it will publish; null without one. */
    private @Nullable BackendRoute routeAhead;

    private String markAhead = "";
    /** One for each of the servers to which a switch is about to lead. */
    private final List<ScriptsAhead> scriptsAhead = new ArrayList<>();

    /** Of {@link #all}, those that make room for others, and are closed where nobody has used them by the next turn. */
    private final Set<BackendConnection> leaving = new HashSet<>();

    private int openingShared;
    private int openingOwn;
    private int idleCount;

    private static final class Slot {
        @Nullable
        BackendConnection connection;

        boolean opening;
        /** Another connection is being opened, so that one session can have this one to itself. */
        boolean replacing;

        long replaceAgainAtNanos = Long.MIN_VALUE;

        @Nullable
        String failure;

        long failedAtNanos;
        /** To a replica: for so long it is not tried again. */
        long failureNanos;

        final Set<ClientSession> waiting = new LinkedHashSet<>();

        boolean mayReplace(long nowNanos) {
            return !replacing && (replaceAgainAtNanos == Long.MIN_VALUE || nowNanos - replaceAgainAtNanos >= 0);
        }
    }

    Backends(ProxyLoop loop) {
        this.loop = loop;
        loop.executor().scheduleWithFixedDelay(this::sweep, SWEEP_SECONDS, SWEEP_SECONDS, TimeUnit.SECONDS);
    }

    // --- shared connections

    /** The shared connection; or null, and then either {@link #failure} says why or the session is resumed later. */
    @Nullable
    BackendConnection shared(ConnectionKey key, ClientSession session) {
        Slot slot = shared.computeIfAbsent(key, any -> new Slot());
        if (slot.connection != null && slot.connection.mayBeUsedBy(session)) {
            return slot.connection;
        }
        if (slot.opening || slot.connection != null) {
            slot.waiting.add(session);
            return null;
        }
        if (failure(key) != null) {
            return null;
        }
        slot.waiting.add(session);
        slot.failure = null;
        slot.opening = true;
        open(key, false, new SharedOpened(slot));
        return slot.connection;
    }

    // --- connections to replicas

    /**
     * The connection to a replica that those with this key share, where it is there. Where it is not, it is opened, and nobody waits for that, nor does a hold:
     * there is the primary.
     */
    @Nullable
    BackendConnection atReplica(ConnectionKey key, Replica replica) {
        Slot slot = shared.computeIfAbsent(key, any -> new Slot());
        BackendConnection known = slot.connection;
        if (known != null && known.replica == replica) {
            return known;
        }
        boolean waits = slot.failure != null && loop.nanoTime() - slot.failedAtNanos < slot.failureNanos;
        boolean isLeftOut = replica.isEjected() && !isControl(key);
        if (known != null || slot.opening || waits || isLeftOut) {
            return null;
        }
        if (!isRoom(false, loop.limits().backendConnectionsPerLoopMax())) {
            loop.reached(Limit.SERVER_CONNECTIONS);
            return null;
        }
        slot.opening = true;
        openingShared++;
        new BackendOpening(loop, key, loop.route(), new ReplicaOpened(slot, replica), false).start();
        return null;
    }

    private boolean isControl(ConnectionKey key) {
        return key.at(null).equals(controlKey(loop.route()));
    }

    private final class ReplicaOpened implements BackendOpening.Result {
        private final Slot slot;
        private final Replica replica;

        ReplicaOpened(Slot slot, Replica replica) {
            this.slot = slot;
            this.replica = replica;
        }

        @Override
        public void opened(BackendConnection connection) {
            openingShared--;
            slot.opening = false;
            slot.failure = null;
            if (connection.replica != replica || !connection.route.equals(loop.route())) {
                connection.close(); // it is none of this fleet's any more
                return;
            }
            connection.stands();
            slot.connection = connection;
            all.add(connection);
        }

        @Override
        public void failed(String error) {
            openingShared--;
            slot.opening = false;
            slot.failure = error;
            slot.failedAtNanos = loop.nanoTime();
            boolean isRefused = !error.startsWith(UNREACHABLE);
            slot.failureNanos = isRefused ? REFUSED_NANOS : FAILURE_NANOS;
            if (!isRefused) {
                replica.failed(loop.nanoTime());
            }
        }

        @Override
        public void superseded() {
            openingShared--;
            slot.opening = false;
        }
    }

    /** The replica is none of the fleet's any more. */
    void closeReplica(Replica replica) {
        replica.isGone();
        for (BackendConnection one : List.copyOf(all)) {
            if (one.replica == replica) {
                if (one.isInsideReply()) {
                    leaves(one);
                    one.closeOnceQuiet();
                } else {
                    one.close();
                }
            }
        }
    }

    /** What the replica has not answered is asked for elsewhere; but for the rest of a reply that has begun. */
    void takeBackFrom(Replica replica) {
        for (BackendConnection one : List.copyOf(all)) {
            if (one.replica == replica && one.oldestUnanswered() != null && !one.isInsideReply()) {
                one.close();
            }
        }
    }

    /**
     * A large reply comes from a replica: the others get another connection, over which they ask again, and this one is closed once its client has what is
     * on its way.
     */
    void leaveTo(ClientSession session, BackendConnection connection) {
        if (connection.isShared()) {
            leaves(connection);
            connection.letOthersAskAgain(session);
            connection.own(session);
            connection.closeOnceQuiet();
        }
    }

    /** Connections that are there, in use or not. */
    int count() {
        return all.size();
    }

    /** What commands that need this connection are answered; null where it has not just failed. */
    @Nullable
    String failure(ConnectionKey key) {
        Slot slot = shared.get(key);
        if (slot == null || slot.failure == null || loop.nanoTime() - slot.failedAtNanos > FAILURE_NANOS) {
            return null;
        }
        return slot.failure;
    }

    private final class SharedOpened implements BackendOpening.Result {
        private final Slot slot;

        SharedOpened(Slot slot) {
            this.slot = slot;
        }

        @Override
        public void opened(BackendConnection connection) {
            slot.opening = false;
            slot.failure = null;
            slot.connection = connection;
            all.add(connection);
            resumeWaiting(slot);
        }

        @Override
        public void failed(String error) {
            slot.opening = false;
            slot.failure = error;
            slot.failedAtNanos = loop.nanoTime();
            resumeWaiting(slot);
        }

        @Override
        public void superseded() {
            slot.opening = false;
            resumeWaiting(slot);
        }
    }

    /** Opens one that is to be a session's {@code own}, or shared. */
    private void open(ConnectionKey key, boolean own, BackendOpening.Result result) {
        int max = own ? loop.limits().ownConnectionsPerLoopMax() : loop.limits().backendConnectionsPerLoopMax();
        if (!isRoom(own, max)) {
            loop.reached(own ? Limit.OWN_CONNECTIONS : Limit.SERVER_CONNECTIONS);
            result.failed("ERR switchback: no more than " + max
                    + (own ? " connections of clients' own" : " connections that clients share")
                    + " to fleet " + loop.route().fleet().name() + " are opened");
            return;
        }
        openingChanged(own, 1);
        new BackendOpening(loop, key, loop.route(), new BackendOpening.Result() {
                    @Override
                    public void opened(BackendConnection connection) {
                        openingChanged(own, -1);
                        result.opened(connection);
                    }

                    @Override
                    public void failed(String error) {
                        openingChanged(own, -1);
                        result.failed(error);
                    }

                    @Override
                    public void superseded() {
                        openingChanged(own, -1);
                        result.superseded();
                    }

                    @Override
                    public boolean isWanted() {
                        return result.isWanted();
                    }
                })
                .start();
    }

    private void openingChanged(boolean own, int by) {
        openingOwn += own ? by : 0;
        openingShared += own ? 0 : by;
    }

    /** Whether one more may be opened, for which others may have to go. */
    private boolean isRoom(boolean own, int max) {
        if (all.size() + openingOwn + openingShared < max) {
            return true;
        }
        long there = (own ? openingOwn : openingShared)
                + all.stream()
                        .filter(one -> (one.owner() != null) == own
                                && one.route.equals(loop.route())
                                && !leaving.contains(one))
                        .count();
        while (there >= max && !own && leaveLongestUnused()) {
            there--;
        }
        return there < max;
    }

    /** In this turn somebody may have been given it already, so it is closed in the next one. */
    private boolean leaveLongestUnused() {
        BackendConnection longest = null;
        for (BackendConnection one : all) {
            if (isUnused(one) && !leaving.contains(one) && (longest == null || one.isUnusedForLongerThan(longest))) {
                longest = one;
            }
        }
        if (longest == null) {
            return false;
        }
        BackendConnection left = longest;
        leaving.add(left);
        loop.execute(() -> {
            leaving.remove(left);
            if (isUnused(left)) {
                left.close();
            }
        });
        return true;
    }

    private boolean isUnused(BackendConnection one) {
        return one.isOpen()
                && one.isShared()
                && one.isQuiet()
                && one.route.equals(loop.route())
                && !mayBeAllThereIs(one);
    }

    /** While new ones have to wait for the ledger's word, what is there is kept. */
    private boolean mayBeAllThereIs(BackendConnection connection) {
        return loop.routeCheck() != null && isShared(connection);
    }

    // --- connections of one session

    /** Gets the session a connection of its own. */
    void dedicate(ClientSession session, ConnectionKey key, OwnConnection to) {
        ArrayDeque<BackendConnection> free = idle.get(key);
        BackendConnection connection = free == null ? null : free.poll();
        if (connection != null) {
            idleCount--;
            connection.own(session);
            to.opened(connection);
            return;
        }
        open(key, true, new BackendOpening.Result() {
            @Override
            public void opened(BackendConnection opened) {
                all.add(opened);
                if (to.isWanted()) {
                    opened.own(session);
                    to.opened(opened);
                } else {
                    giveBack(opened);
                }
            }

            @Override
            public void failed(String error) {
                to.failed(error);
            }

            @Override
            public void superseded() {
                to.notOpened();
            }

            @Override
            public boolean isWanted() {
                return to.isWanted();
            }
        });
    }

    /**
     * Large replies come over the connection that this session shares with others. They get another one, for which they wait a little, and
     * the session has this one to itself until its replies are small again.
     */
    void keepFromOthers(ClientSession session, BackendConnection connection) {
        Slot slot = shared.get(connection.key);
        if (slot == null
                || slot.connection != connection
                || !session.own().isNone()
                || !slot.mayReplace(loop.nanoTime())) {
            return;
        }
        ArrayDeque<BackendConnection> free = idle.get(connection.key);
        BackendConnection replacement = free == null ? null : free.poll();
        if (replacement != null) {
            idleCount--;
            replaced(slot, session, connection, replacement);
            return;
        }
        slot.replacing = true;
        connection.nextOwner(session);
        loop.executor().schedule(() -> notReplacedYet(slot, connection), REPLACEMENT_MS, TimeUnit.MILLISECONDS);
        open(connection.key, false, new BackendOpening.Result() {
            @Override
            public void opened(BackendConnection opened) {
                slot.replacing = false;
                if (slot.connection == connection && session.mayKeep(connection)) {
                    all.add(opened);
                    replaced(slot, session, connection, opened);
                } else {
                    connection.nextOwner(null);
                    takeIntoUse(opened);
                    resumeWaiting(slot);
                }
            }

            @Override
            public void failed(String error) {
                LOG.debug("clients go on sharing a connection with large replies: {}", error);
                superseded();
            }

            @Override
            public void superseded() {
                slot.replacing = false;
                slot.replaceAgainAtNanos = loop.nanoTime() + REPLACE_AGAIN_NANOS;
                connection.nextOwner(null);
                resumeWaiting(slot);
            }
        });
    }

    private void replaced(
            Slot slot, ClientSession session, BackendConnection connection, BackendConnection replacement) {
        slot.connection = replacement;
        connection.letOthersAskAgain(session);
        connection.own(session);
        session.own().opened(connection);
        resumeWaiting(slot);
    }

    /** The others wait no longer, but the opening goes on. */
    private void notReplacedYet(Slot slot, BackendConnection connection) {
        if (slot.replacing && slot.connection == connection) {
            connection.nextOwner(null);
            resumeWaiting(slot);
        }
    }

    private void resumeWaiting(Slot slot) {
        slot.waiting.forEach(loop::resumeLater);
        slot.waiting.clear();
    }

    /** A session needs this connection no longer; it is clean: no MULTI, no WATCH, nothing that blocks, the database of its key. */
    void giveBack(BackendConnection connection) {
        connection.own(null);
        if (!connection.isOpen() || connection.isLeft()) {
            return; // what is left closes by itself
        }
        boolean areEnough = idleCount >= loop.limits().idleConnectionsPerLoopMax();
        if (areEnough || connection.route.epoch() != loop.route().epoch()) {
            if (areEnough) {
                loop.reached(Limit.IDLE_CONNECTIONS);
            }
            connection.close();
            return;
        }
        idle.computeIfAbsent(connection.key, any -> new ArrayDeque<>()).push(connection);
        idleCount++;
    }

    // --- ahead of a switch

    /**
     * Opens to {@code next} what the clients that are here use now, so that a switch finds it there: one for each shared
     * connection of theirs, and one for each that a client has had to itself, as far as that many may be kept idle. Those of an
     * earlier call are closed. What clients are subscribed to is subscribed to there as well. {@code done} completes once all are
     * there and no large command is under way, or with what the first that failed was told.
     */
    void openAhead(BackendRoute next, String mark, CompletableFuture<Void> done) {
        closeAhead();
        routeAhead = next;
        markAhead = mark;
        List<ClientSession> subscribed = loop.sessions().stream()
                .filter(session -> !session.subscriptions.isEmpty())
                .toList();
        Set<ConnectionKey> inUse = openKeys();
        Set<ConnectionKey> used = new LinkedHashSet<>();
        loop.sessions().forEach(session -> used.add(session.key()));
        used.retainAll(inUse);
        List<ConnectionKey> wanted = new ArrayList<>();
        used.forEach(key -> wanted.addAll(atEachServer(key, next)));
        // To a cluster these are opened when they are needed: which of its servers they will lead to nobody knows.
        if (!(loop.topology(next.fleet()) instanceof Topology.Sharded)) {
            all.stream()
                    .filter(connection -> connection.owner() == null
                            ? used.contains(connection.key.at(null)) && !isShared(connection)
                            : !isFeed(connection))
                    .limit(loop.limits().idleConnectionsPerLoopMax())
                    .forEach(connection -> wanted.add(connection.key.at(null)));
        }
        for (ConnectionKey key : atEachServer(controlKey(next), next)) {
            ScriptsAhead scripts = new ScriptsAhead(loop, this, key);
            scripts.begin(next);
            scriptsAhead.add(scripts);
        }
        Countdown countdown = new Countdown(wanted.size() + subscribed.size() + 1, done);
        loop.largeCommands().prepareSwitch(countdown::largeCommandsEnded);
        subscribed.forEach(session -> session.subscriptions.openAhead(next, mark, countdown::subscribed));
        for (ConnectionKey key : wanted) {
            BackendOpening opening = new BackendOpening(loop, key, next, countdown);
            openingAhead.add(opening);
            opening.start();
        }
    }

    /** What shared connections there are, whatever servers they lead to. */
    private Set<ConnectionKey> openKeys() {
        Set<ConnectionKey> open = new HashSet<>();
        shared.forEach((key, slot) -> {
            if (isOpen(slot)) {
                open.add(key.at(null));
            }
        });
        return open;
    }

    /** The connections that clients of this key will share there: one, or one for each shard. */
    private List<ConnectionKey> atEachServer(ConnectionKey key, BackendRoute next) {
        return loop.topology(next.fleet()) instanceof Topology.Sharded sharded
                ? sharded.shards().stream()
                        .map(shard -> key.at(shard.primary()))
                        .toList()
                : List.of(key.at(null));
    }

    /** The fleet's own user, who may do what a client's may not. */
    static ConnectionKey controlKey(BackendRoute route) {
        return ConnectionKey.of(route.fleet().credential().orElse(null), 0, Protocol.RESP2);
    }

    /** Brings the scripts that are remembered, for all loops; behind {@link #openAhead} on every one of them. */
    void bringScripts(CompletableFuture<Void> done) {
        List<CompletableFuture<Void>> each = new ArrayList<>();
        for (ScriptsAhead scripts : List.copyOf(scriptsAhead)) {
            CompletableFuture<Void> one = new CompletableFuture<>();
            each.add(one);
            scripts.bringAll(one);
        }
        CompletableFuture.allOf(each.toArray(CompletableFuture<?>[]::new)).thenRun(() -> done.complete(null));
    }

    /** A client has loaded a script ({@code loaded}), or run it from its text. */
    void scriptSeen(byte[] body, boolean loaded) {
        Scripts.Script script = loop.scripts().remember(body, loaded, loop.nanoTime());
        if (script != null) {
            List.copyOf(scriptsAhead).forEach(scripts -> scripts.seen(script));
        }
    }

    private void endScriptsAhead() {
        List<ScriptsAhead> former = List.copyOf(scriptsAhead);
        scriptsAhead.clear();
        former.forEach(ScriptsAhead::end);
    }

    /** A connection to where a switch is about to lead. */
    void openedAhead(BackendConnection connection) {
        all.add(connection);
        ahead.add(connection);
    }

    /** What is subscribed to is opened by the subscriptions themselves. */
    private static boolean isFeed(BackendConnection connection) {
        ClientSession owner = connection.owner();
        return owner != null && !owner.subscriptions.isEmpty() && !owner.tracking.isCompanion(connection);
    }

    /** A connection that was opened for a session beside its own. */
    void openedFor(ClientSession session, BackendConnection connection) {
        connection.own(session);
        all.add(connection);
    }

    /** The session has changed what it is subscribed to; so it is where a switch is about to lead. */
    void subscribed(ClientSession session, Subscriptions.Kind kind, boolean adds, Set<ByteBuffer> changed) {
        if (session.subscriptions.isAhead()) {
            session.subscriptions.tellAhead(kind, adds, changed);
        } else {
            subscribeAhead(session);
        }
    }

    private void subscribeAhead(ClientSession session) {
        BackendRoute next = routeAhead;
        if (next != null && !session.subscriptions.isEmpty()) {
            session.subscriptions.openAhead(next, markAhead, refusal -> {
                if (!refusal.isEmpty()) {
                    LOG.warn("client {} cannot subscribe where a switch leads: {}", session.address(), refusal);
                }
            });
        }
    }

    /** Its subscriptions where a switch is about to lead are those of the password that was. */
    void authenticatedAgain(ClientSession session) {
        if (session.subscriptions.isAhead()) {
            session.subscriptions.closeAhead();
            subscribeAhead(session);
        }
    }

    private static boolean isOpen(@Nullable Slot slot) {
        return slot != null && slot.connection != null;
    }

    private boolean isShared(BackendConnection connection) {
        Slot slot = shared.get(connection.key);
        return slot != null && slot.connection == connection;
    }

    /** Collects what is opened ahead. */
    private final class Countdown implements BackendOpening.Result {
        private final CompletableFuture<Void> done;
        private int missing;

        Countdown(int missing, CompletableFuture<Void> done) {
            this.missing = missing;
            this.done = done;
            completeIfAllThere();
        }

        @Override
        public void opened(BackendConnection connection) {
            openedAhead(connection);
            missing--;
            completeIfAllThere();
        }

        void largeCommandsEnded() {
            missing--;
            completeIfAllThere();
        }

        void subscribed(String refusal) {
            if (refusal.isEmpty()) {
                missing--;
                completeIfAllThere();
            } else {
                failed(refusal);
            }
        }

        @Override
        public void failed(String error) {
            done.completeExceptionally(new IllegalStateException(error));
        }

        @Override
        public void superseded() {
            failed("the route has changed");
        }

        private void completeIfAllThere() {
            if (missing == 0) {
                done.complete(null);
            }
        }
    }

    /** Gives up what was opened, or is being opened, ahead. */
    void closeAhead() {
        loop.largeCommands().switchIsOver();
        routeAhead = null;
        endScriptsAhead();
        loop.sessions().forEach(session -> session.subscriptions.closeAhead());
        List<BackendOpening> unfinished = List.copyOf(openingAhead);
        openingAhead.clear();
        unfinished.forEach(BackendOpening::giveUp);
        List.copyOf(ahead).forEach(BackendConnection::close);
    }

    /** The first of a key is what clients share, the others are kept until somebody needs one. */
    private void takeIntoUse(BackendConnection connection) {
        all.add(connection);
        Slot slot = shared.computeIfAbsent(connection.key, any -> new Slot());
        if (slot.connection == null) {
            slot.connection = connection;
        } else {
            giveBack(connection);
        }
    }

    // --- fleets whose primary changes

    /** Another server has become the fleet's primary: what goes to the former one is left. */
    void primaryIs(String fleet, Endpoint primary) {
        List.copyOf(all).stream()
                .filter(one -> one.key.server() == null
                        && one.route.fleet().name().equals(fleet)
                        && !one.server.equals(primary))
                .forEach(BackendConnection::leave);
        // What was said of the former one is not true of this one.
        shared.forEach((key, slot) -> {
            if (key.server() == null) {
                slot.failure = null;
            }
        });
    }

    /** Nobody gets that connection any more; who shared it, gets another one. */
    void leaves(BackendConnection connection) {
        Slot slot = shared.get(connection.key);
        if (slot != null && slot.connection == connection) {
            slot.connection = null;
            resumeWaiting(slot);
        }
        ArrayDeque<BackendConnection> free = idle.get(connection.key);
        if (free != null && free.remove(connection)) {
            idleCount--;
        }
    }

    // --- endings

    /** A session is gone. */
    void forget(ClientSession session) {
        shared.values().forEach(slot -> slot.waiting.remove(session));
    }

    /** A connection is gone. */
    void closed(BackendConnection connection) {
        all.remove(connection);
        ahead.remove(connection);
        Slot slot = shared.get(connection.key);
        if (slot != null && slot.connection == connection) {
            slot.connection = null;
            resumeWaiting(slot); // some may have waited for another one
        }
        ArrayDeque<BackendConnection> free = idle.get(connection.key);
        if (free != null && free.remove(connection)) {
            idleCount--;
        }
        ClientSession owner = connection.owner();
        if (owner != null) {
            owner.ownConnectionClosed(connection);
        }
        Memory memory = loop.memory();
        if (memory != null && connection.key.tracks()) {
            memory.closed(connection);
        }
    }

    /** Closes every connection to that route that there is; what it has not answered is lost. */
    void closeAllTo(BackendRoute route) {
        List.copyOf(all).stream().filter(one -> one.route.equals(route)).forEach(BackendConnection::close);
    }

    /** Likewise, to one server of the fleet in use. */
    void closeAllTo(Endpoint server) {
        List.copyOf(all).stream().filter(one -> one.server.equals(server)).forEach(BackendConnection::close);
    }

    /** Closes every connection to the fleet in use; what it has not answered is lost, as when its server dies. */
    void giveUpUnanswered() {
        List.copyOf(all).forEach(BackendConnection::close);
    }

    /**
     * The route is another one. What was opened ahead of it is in use from now on; the other connections, which have nothing
     * unanswered, are closed once the sessions have been resumed.
     */
    void routeChanged() {
        List<BackendConnection> opened =
                ahead.stream().filter(one -> one.route.equals(loop.route())).toList();
        routeAhead = null;
        endScriptsAhead();
        openingAhead.clear();
        ahead.removeAll(opened);
        List<BackendConnection> kept = all.stream()
                .filter(one -> one.route.equals(loop.route()) || one.doesOutliveRoute())
                .toList();
        List<BackendConnection> former = new ArrayList<>(all);
        former.removeAll(kept);
        Set<ConnectionKey> sharedKeys = openKeys();
        forget();
        all.addAll(kept);
        for (BackendConnection connection : opened) {
            if (sharedKeys.contains(connection.key.at(null))) {
                takeIntoUse(connection);
            } else {
                giveBack(connection);
            }
        }
        loop.execute(() -> former.forEach(BackendConnection::close));
    }

    /** The proxy ends. */
    void close() {
        List<BackendConnection> former = List.copyOf(all);
        forget();
        former.forEach(BackendConnection::close);
    }

    private void forget() {
        shared.values().forEach(slot -> slot.waiting.forEach(loop::resumeLater));
        shared.clear();
        idle.clear();
        idleCount = 0;
        all.clear();
    }

    private void sweep() {
        long before = loop.nanoTime() - IDLE_NANOS;
        for (BackendConnection connection : List.copyOf(all)) {
            if (connection.owner() == null && connection.idleSince(before) && !mayBeAllThereIs(connection)) {
                connection.close();
            }
        }
        shared.values().removeIf(slot -> slot.connection == null && !slot.opening && slot.waiting.isEmpty());
        idle.values().removeIf(ArrayDeque::isEmpty);
    }

    /** The command of a client that waits longest for its reply, in words. */
    String describeOldest() {
        Run oldest = null;
        boolean unread = false;
        for (BackendConnection connection : all) {
            Run run = connection.oldestUnanswered();
            if (run != null && (oldest == null || run.sentAtNanos - oldest.sentAtNanos < 0)) {
                oldest = run;
                unread = connection.isPaused();
            }
        }
        return oldest == null ? "a command is unanswered" : oldest.describe(loop.nanoTime(), unread);
    }
}
