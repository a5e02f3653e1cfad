package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufInputStream;
import io.netty.buffer.Unpooled;
import io.netty.util.concurrent.ScheduledFuture;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.Topology;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds out, for one loop, which writes the other fleet has too: replies to writes are kept until then.
 *
 * <p>Owned by its event loop. It looks at the fleet in use by ROLE, over connections of its own, one to each primary, one look at a time: that tells the
 * offset behind everything whose replies had arrived before the look was sent, and how much the link there has acknowledged. Once
 * that is at no primary below the offset of a look, all replies of that look are given out; so one look confirms many. WAIT would not do: it
 * speaks for its own connection, and counts any replica.
 *
 * <p>An offset says something only within the life of one server process: one that was restarted may have lost writes, and counts
 * anew. So no write is sent unless the connections for looks are there; and where one comes again and leads to another process,
 * all that is kept is lost, and so is what other connections had been sent there.
 *
 * <p>In front of a cluster a look is of all its primaries, since what one client waits for may be at any of them: where one of them is away, nothing is confirmed, and no write is sent. A link carries all that
 * its primary does, so it confirms there also a key whose slot is on its way. A primary whose slots all went to others, or whose place a replica has taken, confirms
 * nothing any more, and what is kept is lost: nobody knows whether the next one has all of it. (What ASK leads to a server that has no slot yet, no look is of: nothing of that server is on the other fleet before its slot has
 * come, and then the way back is closed.)
 *
 * <p>Invariants: replies kept now wait for the look after the last one that was sent ({@link #nextLook}); the offsets in {@link
 * #looks} do not fall.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class Confirmations {
    private static final Logger LOG = LoggerFactory.getLogger(Confirmations.class);

    /** Between two looks, so that they do not take the processor from what they look for. */
    private static final long LOOK_PAUSE_NANOS = TimeUnit.MICROSECONDS.toNanos(100);
    /** Between two looks that only ask whether the link has come again. */
    private static final long LOOK_PAUSE_STALLED_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private static final long STALL_CHECK_MS = 100;
    /** A primary that has not answered a look for so long may be gone. */
    private static final long LOOK_HANGS_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    /** For so long a failure to connect is told to whoever asks, before it is tried again. */
    private static final long FAILURE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);
    /** Looks that wait to be confirmed; past it the newest ones are taken together. */
    private static final int LOOKS_MAX = 1_024;
    /** INFO server has a few kilobytes, ROLE one line for each replica. */
    private static final int ANSWER_BYTES_MAX = 256 * 1024;

    private static final long EVERYTHING = Long.MAX_VALUE;

    private final ProxyLoop loop;
    private final Set<ClientOutput> keeping = Collections.newSetFromMap(new IdentityHashMap<>());
    private final ArrayDeque<Look> looks = new ArrayDeque<>();
    private final Set<ClientSession> waitingToWrite = new LinkedHashSet<>();
    private final List<CompletableFuture<Void>> waitingForReady = new ArrayList<>();

    private @Nullable Protection protection;
    private @Nullable BackendRoute route;
    /** Of a cluster by their addresses; else one, of which the fleet says where it is. */
    private final Map<Endpoint, Primary> primaries = new LinkedHashMap<>();

    private @Nullable Primary only;

    private int losses;
    private long looksSent;
    private boolean lookUnderWay;
    private long lookSentNanos;
    /** Of the look that is under way, those that have not answered. */
    private int unanswered;

    private boolean lookIsVain;
    private boolean lookScheduled;
    private boolean suspended;
    private boolean stalled;
    private @Nullable Look lookWhenSuspended;
    private long progressAtNanos;
    private @Nullable String failure;
    private long failedAtNanos;
    private @Nullable ScheduledFuture<?> stallCheck;

    /** A look that was answered: behind everything that waits for it each primary stood at that offset. */
    private record Look(long number, Map<Primary, Long> offsets) {
        boolean isConfirmed() {
            return offsets.entrySet().stream().allMatch(one -> one.getValue() <= one.getKey().acknowledged);
        }
    }

    /** One that is looked at. */
    private final class Primary {
        /** Null where the fleet says which it is. */
        private final @Nullable Endpoint server;

        private @Nullable BackendOpening opening;
        private @Nullable BackendConnection connection;
        /** The process that has answered all that is kept; empty before it is known. */
        private String runId = "";

        /** As of its last answer. */
        private long offset = -1;

        private long acknowledged = -1;

        Primary(@Nullable Endpoint server) {
            this.server = server;
        }

        boolean canBeAsked() {
            return connection != null && connection.isOpen();
        }

        void open() {
            BackendRoute to = route;
            if (to == null || opening != null || canBeAsked()) {
                return;
            }
            ConnectionKey key = ConnectionKey.of(to.fleet().credential().orElse(null), 0, Protocol.RESP2)
                    .at(server);
            Opened result = new Opened(this);
            BackendOpening begun = new BackendOpening(loop, key, to, result, false);
            result.of = begun;
            opening = begun;
            begun.start();
        }

        void close() {
            BackendOpening unfinished = opening;
            opening = null;
            if (unfinished != null) {
                unfinished.giveUp();
            }
            BackendConnection former = connection;
            connection = null;
            if (former != null) {
                former.close();
            }
        }
    }

    Confirmations(ProxyLoop loop) {
        this.loop = loop;
    }

    // --- set and lifted

    /** From when {@code next} is the route in use on, replies to writes are kept. {@code ready} completes once looks can be sent. */
    void set(BackendRoute next, Protection wanted, CompletableFuture<Void> ready) {
        if (next.epoch() < loop.route().epoch() || (route != null && next.epoch() < route.epoch())) {
            ready.completeExceptionally(new IllegalStateException(next + " has been left"));
            return;
        }
        if (protection == null || !wanted.isLike(protection) || !next.equals(route)) {
            lift();
            route = next;
            progressAtNanos = loop.nanoTime();
            stallCheck = loop.executor()
                    .scheduleWithFixedDelay(this::checkStall, STALL_CHECK_MS, STALL_CHECK_MS, TimeUnit.MILLISECONDS);
        }
        protection = wanted;
        findPrimaries();
        if (canLook()) {
            ready.complete(null);
        } else {
            waitingForReady.add(ready);
            open();
        }
    }

    /**
     * As {@link #lift()}, where it is set for that route and its fleet is still in use: nothing is confirmed any more. Where one of its primaries does not answer now, that may be for the same reason, and
     * nobody knows whether the next one has what is kept.
     */
    void lift(BackendRoute of) {
        if (!of.equals(route)) {
            return;
        }
        boolean hangs = lookUnderWay && loop.nanoTime() - lookSentNanos > LOOK_HANGS_NANOS;
        if (isActive() && (hangs || !canLook())) {
            lose("the other fleet confirms nothing any more, and a primary does not answer");
        }
        lift();
    }

    /** Nothing is kept any more, and what was is given out. */
    void lift() {
        release(EVERYTHING);
        drop();
    }

    /** Clients go elsewhere. The switch has seen to it that the other fleet has everything, or what is kept was given up before. */
    void routeChanged(BackendRoute next) {
        release(EVERYTHING);
        if (route != null && route.epoch() != next.epoch()) {
            drop();
        }
        findPrimaries();
        progressAtNanos = loop.nanoTime();
    }

    /** Slots are at other servers of the cluster in use. */
    void clusterChanged() {
        if (isActive()) {
            loop.execute(
                    this::findPrimaries); // who tells may be in the middle of what came over a connection that this
            // closes
        }
    }

    /** Another server is the primary of the fleet in use, which is no cluster: what the former one says is of no use any more. */
    void primaryIs(Endpoint server) {
        if (isActive()) {
            loop.execute(() -> askInstead(server)); // as above
        }
    }

    private void askInstead(Endpoint server) {
        Primary former = only;
        BackendConnection over = former == null ? null : former.connection;
        boolean isThere = over != null && over.server.equals(server);
        if (former == null || isThere || !isActive()) {
            return;
        }
        only = new Primary(null);
        lookUnderWay = false;
        former.close();
        if (over != null) {
            lose(over.server + " is no primary any more");
            loop.backends().closeAllTo(over.server); // what comes over these was not written to the next one
        }
        open();
    }

    private void drop() {
        if (stallCheck != null) {
            stallCheck.cancel(false);
            stallCheck = null;
        }
        protection = null;
        route = null;
        List<Primary> former = all();
        primaries.clear();
        only = null;
        former.forEach(Primary::close);
        looks.clear();
        lookUnderWay = false;
        lookWhenSuspended = null;
        suspended = false;
        stalled = false;
        failure = null;
        resumeWaiting();
        waitingForReady.forEach(one -> one.completeExceptionally(new IllegalStateException("protection was lifted")));
        waitingForReady.clear();
    }

    ProtectionState state() {
        if (!isActive()) {
            return ProtectionState.OFF;
        }
        if (suspended) {
            return ProtectionState.SUSPENDED;
        }
        return stalled ? ProtectionState.WAITING : ProtectionState.ON;
    }

    private boolean isActive() {
        return route != null && route.epoch() == loop.route().epoch();
    }

    // --- what sessions ask

    /** Whether replies to writes are to be kept now. */
    boolean keeps() {
        return !suspended && isActive();
    }

    /** Whether a write may be sent; else the session is resumed once it may, or {@link #failure} says why not. */
    boolean mayWrite(ClientSession session) {
        if (!keeps() || canLook()) {
            return true;
        }
        if (failure() == null) {
            if (waitingToWrite.isEmpty() && keeping.isEmpty()) {
                progressAtNanos = loop.nanoTime();
            }
            waitingToWrite.add(session);
            open();
        }
        return false;
    }

    /**
     * How often what servers had answered was lost before it was confirmed. Whoever has the reply to a write that its client is to get later remembers this as of when it came: where it is another one by
     * then, the client gets an error instead ({@link ClientSession#unconfirmed}).
     */
    int losses() {
        return losses;
    }

    /** What a write is answered where none may be sent because the fleet does not answer. */
    @Nullable
    String failure() {
        return failure == null || loop.nanoTime() - failedAtNanos > FAILURE_NANOS ? null : failure;
    }

    /** The look that must confirm what is kept now. */
    long nextLook() {
        return looksSent + 1;
    }

    /** The client has replies that are kept, from now on. */
    void keeping(ClientOutput output) {
        if (keeping.isEmpty() && waitingToWrite.isEmpty()) {
            progressAtNanos = loop.nanoTime();
        }
        keeping.add(output);
    }

    /** It has none any more. */
    void keepsNothing(ClientOutput output) {
        keeping.remove(output);
    }

    /** The session is gone. */
    void forget(ClientSession session) {
        waitingToWrite.remove(session);
    }

    // --- the connections for looks

    private List<Primary> all() {
        Primary one = only;
        return one == null ? List.copyOf(primaries.values()) : List.of(one);
    }

    private void findPrimaries() {
        BackendRoute to = route;
        if (to == null) {
            return;
        }
        if (!(to.fleet().address() instanceof FleetAddress.Cluster)) {
            only = only == null ? new Primary(null) : only;
            return;
        }
        List<Endpoint> now = primariesOf(to);
        if (now.isEmpty()) {
            return; // nobody has said anything yet, or no slot is known to be anywhere
        }
        for (Endpoint server : now) {
            if (!primaries.containsKey(server)) {
                Primary found = new Primary(server);
                primaries.put(server, found);
                lookUnderWay = false; // it was not of this one
                found.open();
            }
        }
        for (Primary gone : all()) {
            Endpoint server = gone.server;
            if (server != null && !now.contains(server)) {
                primaries.remove(server);
                lookUnderWay = false;
                gone.close();
                if (isActive()) {
                    lose(server + " is no primary any more");
                    loop.backends().closeAllTo(server);
                }
            }
        }
        goOnIfAllCanBeAsked();
    }

    private List<Endpoint> primariesOf(BackendRoute to) {
        ClusterMap map = loop.cluster();
        if (isActive() && map != null) {
            return map.primaries();
        }
        return loop.topology(to.fleet()) instanceof Topology.Sharded(List<Topology.Shard> shards, int[] _)
                ? shards.stream().map(Topology.Shard::primary).distinct().toList()
                : List.of();
    }

    private boolean canLook() {
        Primary one = only;
        return one == null
                ? !primaries.isEmpty() && primaries.values().stream().allMatch(Primary::canBeAsked)
                : one.canBeAsked();
    }

    private void open() {
        all().forEach(Primary::open);
    }

    private void goOnIfAllCanBeAsked() {
        if (canLook()) {
            waitingForReady.forEach(one -> one.complete(null));
            waitingForReady.clear();
            resumeWaiting();
            lookSoon();
        } else if (isWaitedFor()) {
            open(); // one that was there may have been closed meanwhile
        }
    }

    private boolean isWaitedFor() {
        return !keeping.isEmpty() || !waitingToWrite.isEmpty() || !waitingForReady.isEmpty();
    }

    /** A connection is there, and is of use once it has said which process it leads to. */
    private final class Opened implements BackendOpening.Result {
        private final Primary primary;
        private @Nullable BackendOpening of;

        Opened(Primary primary) {
            this.primary = primary;
        }

        private boolean isStale() {
            return primary.opening == null || primary.opening != of;
        }

        @Override
        public void opened(BackendConnection made) {
            if (isStale()) {
                made.close();
                return;
            }
            made.send(new Run(
                    null,
                    Wire.command("INFO", "server"),
                    1,
                    new Answer(answer -> identified(made, answer), () -> {
                        if (!isStale()) {
                            failed("ERR switchback: the server closed the connection by which writes are confirmed");
                        }
                    }),
                    loop.nanoTime(),
                    1));
        }

        private void identified(BackendConnection made, Reply answer) {
            if (isStale()) {
                made.close();
                return;
            }
            if (!(answer instanceof Reply.Bulk)) {
                made.close();
                failed("ERR switchback: writes cannot be confirmed, since INFO was refused: " + answer.text());
                return;
            }
            primary.opening = null;
            failure = null;
            ClusterMap map = loop.cluster();
            if (map != null && primary.server != null) {
                map.reached(primary.server);
            }
            String process = InfoReport.parse(made.server.toString(), answer).text("run_id");
            boolean another = !primary.runId.isEmpty() && !primary.runId.equals(process);
            primary.connection = made;
            primary.runId = process;
            primary.offset = -1;
            primary.acknowledged = -1;
            if (another && isActive()) {
                lose("its server was restarted");
                if (primary.server == null) {
                    loop.backends().closeAllTo(made.route);
                } else {
                    loop.backends().closeAllTo(primary.server);
                }
            }
            goOnIfAllCanBeAsked();
        }

        @Override
        public void failed(String error) {
            if (isStale()) {
                return;
            }
            primary.opening = null;
            if (isToComeAgain()) {
                loop.lookAgain();
                loop.executor().schedule(this::again, LOOK_PAUSE_STALLED_NANOS, TimeUnit.NANOSECONDS);
                return;
            }
            failure = error;
            failedAtNanos = loop.nanoTime();
            lose(error);
            waitingForReady.forEach(one -> one.completeExceptionally(new IllegalStateException(error)));
            waitingForReady.clear();
            resumeWaiting();
        }

        /** A primary of the cluster in use: for a while another one may take its place. */
        private boolean isToComeAgain() {
            ClusterMap map = loop.cluster();
            Endpoint server = primary.server;
            long now = loop.nanoTime();
            return isActive()
                    && map != null
                    && server != null
                    && now - map.unreachableSince(server, now) <= Retries.LIMIT_NANOS;
        }

        private void again() {
            findPrimaries();
            if (all().contains(primary)) {
                primary.open();
            }
        }

        @Override
        public void superseded() {
            failed("the route has changed");
        }
    }

    private void resumeWaiting() {
        waitingToWrite.forEach(loop::resumeLater);
        waitingToWrite.clear();
    }

    /** Collects one whole answer. */
    private static final class Answer implements ReplySink {
        private final Consumer<Reply> then;
        private final Runnable orElse;
        private final ByteBuf bytes = Unpooled.buffer();

        Answer(Consumer<Reply> then, Runnable orElse) {
            this.then = then;
            this.orElse = orElse;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (bytes.readableBytes() + length <= ANSWER_BYTES_MAX) {
                bytes.writeBytes(in, index, length);
            }
        }

        @Override
        public void answered(Run run) {
            try {
                then.accept(new ReplyReader(new ByteBufInputStream(bytes)).read());
            } catch (IOException e) {
                LOG.warn("a look at a fleet was answered by what cannot be read", e);
                orElse.run();
            }
        }

        @Override
        public void lost(Run run, String why) {
            orElse.run();
        }
    }

    // --- looks

    /** To be called once per turn of the loop, before it flushes: all replies that arrived in it are looked for together. */
    void endOfTurn() {
        if (!keeping.isEmpty() && !lookUnderWay && !lookScheduled) {
            look();
        }
    }

    private void lookSoon() {
        if (isActive() && !lookUnderWay && !lookScheduled && (suspended || !keeping.isEmpty())) {
            lookScheduled = true;
            loop.executor()
                    .schedule(
                            () -> {
                                lookScheduled = false;
                                look();
                            },
                            suspended || stalled ? LOOK_PAUSE_STALLED_NANOS : LOOK_PAUSE_NANOS,
                            TimeUnit.NANOSECONDS);
        }
    }

    private void look() {
        if (!isActive() || lookUnderWay || (keeping.isEmpty() && !suspended)) {
            return;
        }
        if (!canLook()) {
            open();
            return;
        }
        List<Primary> asked = all();
        lookUnderWay = true;
        lookIsVain = false;
        unanswered = asked.size();
        looksSent++;
        lookSentNanos = loop.nanoTime();
        asked.forEach(primary -> ask(primary, looksSent));
    }

    private void ask(Primary primary, long number) {
        BackendConnection over = Objects.requireNonNull(primary.connection, "who can be asked has one");
        over.send(new Run(
                null,
                Wire.command("ROLE"),
                1,
                new Answer(answer -> seen(primary, over, number, answer), () -> lookFailed(primary, over)),
                loop.nanoTime(),
                1));
    }

    private void lookFailed(Primary primary, BackendConnection over) {
        if (over == primary.connection) {
            lookUnderWay = false;
            over.close();
            if (!keeping.isEmpty()) {
                open();
            }
        }
    }

    private void seen(Primary primary, BackendConnection over, long number, Reply answer) {
        Protection wanted = protection;
        if (over != primary.connection || wanted == null || !lookUnderWay || number != looksSent) {
            return;
        }
        // One that is no primary (any more) confirms nothing: what is kept waits for the end of the switch, or until
        // another one takes its place.
        if (answer instanceof Reply.Array(List<Reply> role)
                && role.size() == 3
                && role.getFirst().text().equals("master")
                && role.get(1) instanceof Reply.Int(long offset)) {
            primary.offset = offset;
            primary.acknowledged = acknowledged(role.get(2), wanted.links());
        } else {
            lookIsVain = true;
        }
        unanswered--;
        if (unanswered > 0) {
            return;
        }
        lookUnderWay = false;
        if (lookIsVain) {
            loop.lookAgain();
        } else {
            seen(new Look(number, all().stream().collect(Collectors.toMap(one -> one, one -> one.offset))));
        }
        lookSoon();
    }

    /** The most that a replica of such a name has acknowledged: after a break the one before may still be there. -1 without any. */
    private static long acknowledged(Reply replicas, Set<String> names) {
        long most = -1;
        if (replicas instanceof Reply.Array(List<Reply> each)) {
            for (Reply one : each) {
                if (one instanceof Reply.Array(List<Reply> replica)
                        && replica.size() == 3
                        && names.contains(replica.getFirst().text())) {
                    most = Math.max(most, Long.parseLong(replica.get(2).text()));
                }
            }
        }
        return most;
    }

    private void seen(Look look) {
        if (suspended) {
            boolean caughtUp = lookWhenSuspended != null && lookWhenSuspended.isConfirmed();
            lookWhenSuspended = look;
            if (caughtUp) {
                suspended = false;
                stalled = false;
                LOG.info("fleet {}: the other fleet has caught up, writes are protected again", fleet());
            }
            return;
        }
        if (looks.size() == LOOKS_MAX) {
            looks.removeLast(); // what waits for that one can wait for this one
        }
        looks.add(look);
        long confirmed = -1;
        for (Look first = looks.peek(); first != null && first.isConfirmed(); first = looks.peek()) {
            confirmed = looks.remove().number();
        }
        if (confirmed >= 0) {
            progressAtNanos = loop.nanoTime();
            if (stalled) {
                stalled = false;
                LOG.info("fleet {}: writes are confirmed again", fleet());
            }
            release(confirmed);
        }
    }

    private void release(long look) {
        if (!keeping.isEmpty()) {
            List.copyOf(keeping).forEach(output -> output.release(look));
        }
        if (keeping.isEmpty()) {
            looks.clear();
        }
    }

    /** Nobody knows whether the writes whose replies are kept are still there: their clients are told so. */
    void lose(String why) {
        losses += keeps() ? 1 : 0;
        if (!keeping.isEmpty()) {
            String error = ClientSession.lostMessage(loop.route(), why);
            List.copyOf(keeping).forEach(output -> output.lose(error));
        }
        looks.clear();
    }

    // --- stalls

    private void checkStall() {
        Protection wanted = protection;
        if (wanted == null || !isActive()) {
            return;
        }
        if (suspended) {
            if (canLook()) {
                lookSoon();
            } else {
                lookUnderWay = false;
                open();
            }
            return;
        }
        boolean waits = !keeping.isEmpty() || !waitingToWrite.isEmpty();
        if (waits && !canLook()) {
            loop.lookAgain();
            open();
        } else if (lookUnderWay && loop.nanoTime() - lookSentNanos > LOOK_HANGS_NANOS) {
            loop.lookAgain(); // at a host that is gone
        }
        if (!waits || loop.nanoTime() - progressAtNanos < wanted.stall().toNanos()) {
            return;
        }
        switch (wanted.onStall()) {
            case HOLD -> {
                if (!stalled) {
                    stalled = true;
                    LOG.warn(
                            "fleet {}: for more than {} ms the other fleet has confirmed no write; clients wait"
                                    + " (on-stall: hold)",
                            fleet(),
                            wanted.stall().toMillis());
                }
            }
            case ASYNC -> suspend(wanted);
        }
    }

    private void suspend(Protection wanted) {
        suspended = true;
        lookWhenSuspended = null;
        LOG.warn(
                "fleet {}: for more than {} ms the other fleet has confirmed no write; writes are acknowledged without it"
                        + " until it has caught up (on-stall: async)",
                fleet(),
                wanted.stall().toMillis());
        release(EVERYTHING);
        resumeWaiting();
        lookSoon();
    }

    private String fleet() {
        return loop.route().fleet().name();
    }

    /** The proxy ends. */
    void close() {
        drop();
    }
}
