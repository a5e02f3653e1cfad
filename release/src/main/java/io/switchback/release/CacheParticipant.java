package io.switchback.release;

import io.switchback.commit.Durability;
import io.switchback.commit.Participant;
import io.switchback.commit.ParticipantAction;
import io.switchback.commit.ParticipantEvent;
import io.switchback.commit.ParticipantState;
import io.switchback.commit.Seat;
import io.switchback.commit.Standing;
import io.switchback.commit.SwitchId;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Verdict;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.HoldOutcome;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchMessages.Acknowledgement;
import io.switchback.release.SwitchMessages.Heard;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.release.SwitchMessages.PeerAnswer;
import io.switchback.release.SwitchMessages.PeerQuestion;
import io.switchback.release.SwitchMessages.PreCommit;
import io.switchback.release.SwitchMessages.Prepare;
import io.switchback.release.SwitchMessages.Readiness;
import io.switchback.release.SwitchMessages.Tell;
import io.switchback.release.SwitchMessages.Vote;
import io.switchback.release.SwitchRegister.Evidence;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One cache on this node as a participant of switches: holds, votes, and carries the verdict out. It outlives every switch, and the
 * process by its log.
 *
 * <h2>Threads</h2>
 * Whoever brings an event (a coordinator on this node, the network, an event loop, the clock) takes it through the state
 * machine under the lock and carries the actions out, in their order, as far as that needs no waiting: clients wait for each hand-over
 * between threads. What waits for a disk, a server or the ledger is done on {@code worker}; the actions after it follow then.
 *
 * <h2>What is durable when</h2>
 * That it may have voted yes is logged while it makes itself ready, before anybody is held: the yes itself then waits for no disk. A verdict is
 * carried out before it is logged and acknowledged after ({@link ParticipantAction.Apply} says why that is safe).
 */
final class CacheParticipant implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(CacheParticipant.class);

    /** How long after a failure a server or the ledger is asked again. */
    private static final Duration RETRY = Duration.ofMillis(500);
    /** How long clients are held by a verdict that cannot be carried out because servers do not answer. */
    private static final Duration VERDICT_HOLD_MAX = Duration.ofSeconds(5);
    /** How long a participant that was started again waits for others before it asks again. */
    private static final Duration HOLD_LIMIT_AFTER_RESTART = Duration.ofMillis(500);
    /** For so long a node that was made ready waits to be asked; who made it ready may be gone, and nobody says so then. */
    private static final Duration READY_KEPT = Duration.ofSeconds(30);
    /**
     * What of the hold limit, in tenths, is left to clients' commands to be answered. Less than what the leader waits for, which would else give up
     * before it is told which command it was.
     */
    private static final int TENTHS_UNTIL_QUIET = 7;
    /** How long a peer may take to answer. */
    private static final Duration PEER_LIMIT = Duration.ofMillis(500);

    private final String name;
    private final ManagedCache cache;
    private final Nodes nodes;
    private final Ledger ledger;
    private final SwitchRegister register;
    private final ParticipantLog log;
    private final Environment environment;
    private final Worker worker;
    private final ScheduledExecutorService clock;
    private final Guarding guarding;
    private final Protecting protecting;

    // Everything below is guarded by this object's lock.
    private ParticipantState state;
    /** The switch that this node was made ready for, or was in when it was started; until its end is acknowledged. */
    private @Nullable Part part;

    private final Queue<Supplier<CompletionStage<?>>> actions = new ArrayDeque<>();
    private boolean acting;
    private long timer;
    private boolean closed;
    private final Waiting<Vote> votes = new Waiting<>();
    private final Waiting<Heard> preCommits = new Waiting<>();
    private final Waiting<Acknowledgement> acknowledgements = new Waiting<>();
    private final Map<String, List<CompletableFuture<PeerAnswer>>> peers = new HashMap<>();

    /** This node's part in one switch. Its fields are touched by the actions, one after the other. */
    private static final class Part {
        final SwitchPart of;
        final Seat seat;
        final SwitchRoles roles;
        final Duration holdLimit;
        final boolean fromAnswers;
        volatile long readyAtNanos;
        volatile boolean rolesChanged;
        volatile @Nullable Evidence evidence;
        volatile long holdAtNanos;
        volatile long heldNanos;

        Part(SwitchPart of, Seat seat, SwitchRoles roles, Duration holdLimit, boolean fromAnswers, long readyAtNanos) {
            this.readyAtNanos = readyAtNanos;
            this.of = of;
            this.seat = seat;
            this.roles = roles;
            this.holdLimit = holdLimit;
            this.fromAnswers = fromAnswers;
        }

        List<SourceBase> bases() {
            Evidence known = evidence;
            return known == null ? List.of() : known.of(of.cache()).bases();
        }
    }

    /** Who waits for an answer to do with a switch. */
    private static final class Waiting<T> {
        private final Map<SwitchId, List<CompletableFuture<T>>> bySwitch = new HashMap<>();

        CompletableFuture<T> add(SwitchId id) {
            CompletableFuture<T> one = new CompletableFuture<>();
            bySwitch.computeIfAbsent(id, any -> new ArrayList<>()).add(one);
            return one;
        }

        List<CompletableFuture<T>> take(SwitchId id) {
            List<CompletableFuture<T>> all = bySwitch.remove(id);
            return all == null ? List.of() : all;
        }
    }

    CacheParticipant(
            ManagedCache cache,
            Nodes nodes,
            Ledger ledger,
            Ledger ownLedger,
            Environment environment,
            ScheduledExecutorService clock) {
        this.name = SwitchMessages.participant(nodes.self().node(), cache.name());
        this.cache = cache;
        this.nodes = nodes;
        this.ledger = ledger;
        this.register = new SwitchRegister(ledger);
        this.log = new ParticipantLog(ownLedger, name);
        this.environment = environment;
        this.clock = clock;
        this.worker = new Worker("participant " + name);
        this.guarding = new Guarding(cache.proxy());
        this.protecting = new Protecting(cache, ledger, environment);
        this.state = log.state();
    }

    String cacheName() {
        return cache.name();
    }

    /** Whether it is in a switch, or being made ready for one. */
    synchronized boolean isInSwitch() {
        Part ready = part;
        return state instanceof ParticipantState.Open || (ready != null && isKept(ready));
    }

    private boolean isKept(Part ready) {
        return environment.nanoTime() - ready.readyAtNanos < READY_KEPT.toNanos();
    }

    // ---- what coordinators and peers ask; any thread

    /** Blocks; for a thread that may. */
    CompletionStage<Readiness> makeReady(MakeReady asked) {
        return CompletableFuture.supplyAsync(() -> new Readiness(readyFor(asked)), worker);
    }

    CompletionStage<Vote> prepare(Prepare asked) {
        CompletableFuture<Vote> vote;
        Part ready;
        synchronized (this) {
            ready = part;
            if (ready == null || !ready.of.id().equals(asked.id())) {
                return CompletableFuture.completedFuture(new Vote(name + " was not made ready for " + asked.id()));
            }
            if (!isInSwitch()) {
                // It may have gone elsewhere since, and could not lead its clients back to where that switch began.
                return CompletableFuture.completedFuture(new Vote(name + " was made ready for " + asked.id()
                        + " more than " + READY_KEPT.toSeconds() + " s ago; whoever asked then was given up"));
            }
            ready.readyAtNanos =
                    environment.nanoTime(); // so that nobody leads the clients elsewhere before it is in the switch
            vote = votes.add(asked.id());
        }
        on(new ParticipantEvent.PrepareAsked(ready.seat));
        return vote;
    }

    CompletionStage<Heard> preCommit(PreCommit asked) {
        CompletableFuture<Heard> heard;
        synchronized (this) {
            keep(asked.id(), asked.evidence());
            heard = preCommits.add(asked.id());
        }
        on(new ParticipantEvent.PreCommitAsked(asked.id()));
        return heard;
    }

    CompletionStage<Acknowledgement> tell(Tell told) {
        CompletableFuture<Acknowledgement> acknowledged;
        synchronized (this) {
            Part of = part;
            if (of != null && of.of.id().equals(told.id())) {
                of.rolesChanged |= told.rolesChanged();
            }
            keep(told.id(), told.evidence());
            acknowledged = acknowledgements.add(told.id());
        }
        on(new ParticipantEvent.Told(told.id(), told.verdict()));
        return acknowledged;
    }

    CompletionStage<PeerAnswer> peer(PeerQuestion asked) {
        CompletableFuture<PeerAnswer> answer = new CompletableFuture<>();
        synchronized (this) {
            keep(asked.id(), asked.evidence());
            peers.computeIfAbsent(key(asked.id(), asked.asking()), any -> new ArrayList<>())
                    .add(answer);
        }
        List<ParticipantAction> said = on(new ParticipantEvent.PeerAsks(asked.id(), asked.asking(), asked.standing()));
        if (said.stream().noneMatch(action -> action instanceof ParticipantAction.TellPeer)) {
            answerPeer(asked.id(), asked.asking(), new PeerAnswer(null, null));
        }
        return answer;
    }

    private static String key(SwitchId id, String peer) {
        return id + " " + peer;
    }

    private void keep(SwitchId id, @Nullable Evidence evidence) {
        Part of = part;
        if (evidence != null && of != null && of.of.id().equals(id)) {
            of.evidence = evidence;
        }
    }

    private void answerPeer(SwitchId id, String peer, PeerAnswer answer) {
        List<CompletableFuture<PeerAnswer>> waiting;
        synchronized (this) {
            waiting = peers.remove(key(id, peer));
        }
        if (waiting != null) {
            waiting.forEach(one -> one.complete(answer));
        }
    }

    // ---- getting ready; on the worker

    private String readyFor(MakeReady asked) {
        Deadline deadline = Deadline.in(environment, asked.limit());
        SwitchPart of = asked.part();
        Part before;
        synchronized (this) {
            if (state instanceof ParticipantState.Open open) {
                return name + " is still in switch " + open.seat().id();
            }
            // Asked late: by a leader that was stopped, or over a network that was slow.
            if (of.number() <= lastNumber() || (part != null && part.of.number() > of.number())) {
                return name + " knows of a later switch than " + of.id();
            }
            before = part;
            part = null;
        }
        if (before != null) {
            before.roles.close();
        }
        long epoch = cache.proxy().route().epoch();
        if (epoch != of.epoch()) {
            return name + " is at epoch " + epoch + " of its route, and the switch begins at " + of.epoch();
        }
        SwitchRoles roles = SwitchRoles.of(of, cache.fleet(of.fromFleet()), cache.fleet(of.toFleet()));
        Part made =
                new Part(of, asked.seat(name), roles, asked.holdLimit(), asked.fromAnswers(), environment.nanoTime());
        try {
            connectAhead(made, asked.mark(), deadline);
            log.write(new ParticipantState.Prepared(made.seat), null);
        } catch (FleetException | ReleaseException | LedgerException e) {
            cache.proxy().closeAhead();
            roles.close();
            return name + ": " + e.getMessage();
        }
        synchronized (this) {
            if (closed) {
                roles.close();
                return name + " is stopping";
            }
            part = made;
        }
        return "";
    }

    /** Of the switches that are over here. */
    private synchronized long lastNumber() {
        return switch (state) {
            case ParticipantState.Initial(long overUpTo) -> overUpTo;
            case ParticipantState.Finished finished -> finished.id().number();
            case ParticipantState.Open open -> open.seat().id().number();
        };
    }

    private void connectAhead(Part made, String mark, Deadline deadline) {
        SwitchPart of = made.of;
        if (of.acceptLoss()) {
            return;
        }
        made.roles.connectAhead();
        FleetSpec next = cache.fleet(of.toFleet());
        List<Endpoint> primaries = next.topologyNow().primaries();
        for (Credential credential : cache.proxy().credentialsInUse()) {
            for (Endpoint primary : primaries) {
                ServerConnection.open(primary, Optional.of(credential), next.tls(), MovingCache.SERVER_TIMEOUT)
                        .close();
            }
        }
        if (of.to() == Side.NEW) {
            guarding.set(next, cache.fleet(of.fromFleet()));
        }
        BackendRoute ahead = new BackendRoute(next, of.epoch() + 1);
        try {
            CompletableFuture<Void> protectedAhead =
                    of.to() == Side.NEW ? protecting.setAhead(of.release(), ahead) : DONE;
            CompletableFuture.allOf(protectedAhead, cache.proxy().openAhead(ahead, mark))
                    .orTimeout(deadline.remaining().toMillis(), TimeUnit.MILLISECONDS)
                    .join();
        } catch (CompletionException e) {
            throw new ReleaseException(
                    ReleaseException.Code.STEP_FAILED,
                    "connections for clients cannot be opened to fleet " + next.name() + ": "
                            + (e.getCause() instanceof TimeoutException
                                    ? cache.proxy().largeCommandUnderWay().orElse("it took too long")
                                    : String.valueOf(e.getCause())));
        }
    }

    // ---- the state machine

    /** Takes an event through the state machine and begins what it wants done. */
    private List<ParticipantAction> on(ParticipantEvent event) {
        List<ParticipantAction> wanted;
        synchronized (this) {
            if (closed) {
                return List.of();
            }
            io.switchback.commit.Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            boolean changed = !step.state().equals(state);
            state = step.state();
            wanted = step.actions();
            if (!(state instanceof ParticipantState.Voted)) {
                // That of the vote before must not end the hold of the next switch.
                timer++;
            } else if (changed || event instanceof ParticipantEvent.TimedOut) {
                startTimer();
            }
            enqueue(step);
        }
        carryOut();
        return wanted;
    }

    private void enqueue(io.switchback.commit.Step<ParticipantState, ParticipantAction> step) {
        actions.add(() -> carryOut(step));
    }

    /** What others notice comes after the log; letting go does not wait for it. */
    private CompletionStage<?> carryOut(io.switchback.commit.Step<ParticipantState, ParticipantAction> step) {
        CompletionStage<?> last = DONE;
        boolean logged = false;
        for (ParticipantAction action : step.actions()) {
            if (!logged && !(action instanceof ParticipantAction.Apply)) {
                logged = true;
                last = last.thenCompose(done -> write(step));
            }
            last = last.thenCompose(done -> act(action));
        }
        return logged ? last : last.thenCompose(done -> write(step));
    }

    /** Carries out one step after the other, each when the one before it is complete. */
    private void carryOut() {
        while (true) {
            Supplier<CompletionStage<?>> next;
            synchronized (this) {
                if (acting || actions.isEmpty()) {
                    return;
                }
                acting = true;
                next = actions.remove();
            }
            CompletableFuture<?> done = next.get().toCompletableFuture();
            if (!done.isDone()) {
                unattended(done.handle((result, failure) -> {
                    ended(failure);
                    carryOut();
                    return null;
                }));
                return;
            }
            ended(done.isCompletedExceptionally() ? done.exceptionNow() : null);
        }
    }

    private void ended(@Nullable Throwable failure) {
        if (failure != null) {
            LOG.warn("{}: an action of a switch failed; it is tried again when the time is over", name, failure);
        }
        synchronized (this) {
            acting = false;
        }
    }

    private CompletionStage<?> write(io.switchback.commit.Step<ParticipantState, ParticipantAction> step) {
        if (step.durability() == Durability.NONE) {
            return DONE;
        }
        ParticipantState reached = step.state();
        Evidence evidence = evidence();
        if (log.has(reached, evidence)) {
            return DONE;
        }
        CompletableFuture<Void> written = CompletableFuture.runAsync(() -> log.write(reached, evidence), worker);
        return reached instanceof ParticipantState.Finished finished
                ? written.exceptionally(failure -> notLogged(finished, failure))
                : written;
    }

    /** It is carried out already; a later process finds the older state, and asks the register again. */
    private @Nullable Void notLogged(ParticipantState.Finished finished, Throwable failure) {
        LOG.warn("{}: the end of {} is not in the log", name, finished.id(), failure);
        return null;
    }

    private static final CompletableFuture<Void> DONE = CompletableFuture.completedFuture(null);

    private synchronized @Nullable Evidence evidence() {
        return part == null ? null : part.evidence;
    }

    private synchronized @Nullable Part part(SwitchId id) {
        return part != null && part.of.id().equals(id) ? part : null;
    }

    @SuppressWarnings("FutureReturnValueIgnored") // it only hands over to the worker
    private void startTimer() {
        long mine = ++timer;
        Part of = part;
        Duration limit = of == null ? HOLD_LIMIT_AFTER_RESTART : of.holdLimit;
        clock.schedule(() -> worker.execute(() -> timeIsOver(mine)), limit.toNanos(), TimeUnit.NANOSECONDS);
    }

    private void timeIsOver(long started) {
        synchronized (this) {
            if (started != timer) {
                return;
            }
        }
        on(new ParticipantEvent.TimedOut());
    }

    /** What goes wrong in something that nobody waits for is told. */
    @SuppressWarnings("FutureReturnValueIgnored") // this is where it ends
    private void unattended(CompletionStage<?> task) {
        task.whenComplete((done, failure) -> {
            if (failure != null) {
                LOG.error("{}: a mistake in Switchback, or something that cannot happen", name, failure);
            }
        });
    }

    private CompletionStage<?> act(ParticipantAction action) {
        return switch (action) {
            case ParticipantAction.Hold(SwitchId id) -> hold(id);
            case ParticipantAction.VoteYes(SwitchId id) -> answer(votes, id, new Vote(""));
            case ParticipantAction.VoteNo(SwitchId id, String reason) ->
                answer(votes, id, new Vote(name + ": " + reason));
            case ParticipantAction.AcknowledgePreCommit(SwitchId id) -> answer(preCommits, id, new Heard(false));
            case ParticipantAction.AskPeers(SwitchId id, var asked, Standing own) -> {
                asked.forEach(peer -> askPeer(id, peer, own));
                yield DONE;
            }
            case ParticipantAction.TellPeer(SwitchId id, String peer, Standing own) -> {
                answerPeer(id, peer, new PeerAnswer(own, evidence()));
                yield DONE;
            }
            case ParticipantAction.Settle(SwitchId id, Verdict wish) ->
                CompletableFuture.runAsync(() -> settle(id, wish), worker);
            case ParticipantAction.Apply(SwitchId id, Verdict verdict) -> apply(id, verdict);
            case ParticipantAction.Acknowledge(SwitchId id) -> acknowledge(id);
        };
    }

    private <T> CompletionStage<?> answer(Waiting<T> waiting, SwitchId id, T with) {
        List<CompletableFuture<T>> all;
        synchronized (this) {
            all = waiting.take(id);
        }
        all.forEach(one -> one.complete(with));
        return DONE;
    }

    /** Does not wait for the hold, which others may end. */
    private CompletionStage<?> hold(SwitchId id) {
        Part of = part(id);
        if (of == null) {
            on(new ParticipantEvent.HoldFailed(id, "it was not made ready"));
            return DONE;
        }
        of.holdAtNanos = environment.nanoTime();
        CompletableFuture<HoldOutcome> holding =
                cache.proxy().hold(of.holdLimit.multipliedBy(TENTHS_UNTIL_QUIET).dividedBy(10));
        if (!of.fromAnswers) {
            cache.proxy().giveUpUnanswered();
        }
        unattended(holding.thenAccept(outcome -> on(
                switch (outcome) {
                    case HoldOutcome.Held _ -> new ParticipantEvent.Held(id);
                    case HoldOutcome.Failed(String why) -> new ParticipantEvent.HoldFailed(id, why);
                })));
        return DONE;
    }

    private void askPeer(SwitchId id, String peer, Standing own) {
        PeerQuestion question = new PeerQuestion(id.release(), id.number(), peer, name, own, evidence());
        unattended(nodes.ask(SwitchMessages.nodeOf(peer), SwitchMessages.PEER, ReleaseStore.bytes(question), PEER_LIMIT)
                .handle((bytes, failure) -> {
                    if (failure == null) {
                        heard(id, peer, ReleaseStore.value(bytes, PeerAnswer.class));
                    } else {
                        LOG.debug("{}: {} does not say where it stands: {}", name, peer, failure.getMessage());
                    }
                    return null;
                }));
    }

    private void heard(SwitchId id, String peer, PeerAnswer answer) {
        Standing theirs = answer.standing();
        if (theirs != null) {
            synchronized (this) {
                keep(id, answer.evidence());
            }
            on(new ParticipantEvent.PeerSays(id, peer, theirs));
        }
    }

    private void settle(SwitchId id, Verdict wish) {
        String why = name + " held and heard nothing";
        Evidence evidence = evidence();
        Decision decision = wish == Verdict.COMMIT && evidence != null
                ? commitCaughtUp(id, why, evidence)
                : register.abort(id.toString(), why);
        if (decision.verdict() == Verdict.COMMIT) {
            synchronized (this) {
                keep(id, SwitchRegister.evidence(decision));
            }
        }
        on(new ParticipantEvent.RegisterSays(id, decision.verdict()));
    }

    private Decision commitCaughtUp(SwitchId id, String why, Evidence evidence) {
        // The routes that the commit replaces are read first, and a look that lags behind would find none to replace.
        ledger.catchUp();
        Optional<Decision> recorded = register.read(id.toString());
        return recorded.orElseGet(() -> register.commit(id.toString(), why, evidence));
    }

    // ---- carrying the verdict out

    private CompletionStage<?> apply(SwitchId id, Verdict verdict) {
        Part of = part(id);
        if (of == null) {
            return DONE;
        }
        if (of.rolesChanged) {
            return letGo(of, verdict);
        }
        return CompletableFuture.runAsync(() -> changeRoles(of, verdict), worker)
                .thenCompose(done -> letGo(of, verdict));
    }

    /** Sees to it that the fleet which clients are about to meet is a primary; gives up where it does not answer for too long. */
    private void changeRoles(Part of, Verdict verdict) {
        Deadline enough = Deadline.in(environment, VERDICT_HOLD_MAX);
        while (true) {
            try {
                switch (verdict) {
                    case COMMIT -> of.roles.commit(of.bases());
                    case ABORT -> of.roles.abort();
                }
                return;
            } catch (FleetException | ReleaseException e) {
                LOG.warn("{}: {} of {} cannot be carried out yet", name, verdict, of.of.id(), e);
                if (enough.passed() || of.of.acceptLoss()) {
                    LOG.error("{}: clients are let go all the same; the release completes switch {}", name, of.of.id());
                    return;
                }
            }
            try {
                environment.sleep(RETRY);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private CompletionStage<?> letGo(Part of, Verdict verdict) {
        SwitchPart switched = of.of;
        boolean commit = verdict == Verdict.COMMIT;
        if (commit && switched.acceptLoss()) {
            cache.proxy().giveUpKept();
        }
        FleetSpec fleet = cache.fleet(commit ? switched.toFleet() : switched.fromFleet());
        return cache.proxy()
                .letGo(new BackendRoute(fleet, switched.epoch() + (commit ? 1 : 0)))
                .thenRun(() -> {
                    if (of.holdAtNanos != 0) {
                        of.heldNanos = environment.nanoTime() - of.holdAtNanos;
                    }
                });
    }

    private CompletionStage<?> acknowledge(SwitchId id) {
        Part of = part(id);
        List<CompletableFuture<Acknowledgement>> waiting;
        List<CompletableFuture<Heard>> late;
        List<CompletableFuture<Vote>> unanswered;
        synchronized (this) {
            unanswered = votes.take(id);
            waiting = acknowledgements.take(id);
            late = preCommits.take(id);
            if (of != null) {
                part = null;
            }
        }
        if (of != null) {
            // First: whoever hears that it is over may close this.
            disposeLater(of);
        }
        waiting.forEach(one -> one.complete(new Acknowledgement(of == null ? 0 : of.heldNanos)));
        late.forEach(one -> one.complete(new Heard(true)));
        unanswered.forEach(one -> one.complete(new Vote(name + ": " + id + " is over here")));
        return DONE;
    }

    private void disposeLater(Part of) {
        try {
            worker.execute(() -> dispose(of));
        } catch (RejectedExecutionException e) {
            dispose(of); // the node ends, and nothing else is done there any more
        }
    }

    private void dispose(Part of) {
        of.roles.close();
        if (!isInSwitch()) {
            cache.proxy().closeAhead();
        }
    }

    // ---- a node that starts, and one that has missed something; for a thread that may block

    /**
     * Goes on where a former process of this node, or the ledger, says that this participant may stand. The proxy is held until then.
     *
     * @param open its part in the switch that the ledger says is under way with it
     */
    void resume(Optional<MakeReady> open, long lastNumber) {
        Optional<Decision> decision =
                open.flatMap(one -> register.read(one.part().id().toString()));
        Optional<Seat> seat =
                open.filter(one -> one.participants().contains(name)).map(one -> one.seat(name));
        synchronized (this) {
            if (seat.isPresent()) {
                MakeReady known = open.orElseThrow();
                SwitchRoles roles = SwitchRoles.of(
                        known.part(),
                        cache.fleet(known.part().fromFleet()),
                        cache.fleet(known.part().toFleet()));
                part = new Part(known.part(), seat.get(), roles, known.holdLimit(), true, environment.nanoTime());
                part.evidence = decision.filter(one -> one.verdict() == Verdict.COMMIT)
                        .map(SwitchRegister::evidence)
                        .or(log::evidence)
                        .orElse(null);
            }
        }
        seat.flatMap(any -> open)
                .map(MakeReady::part)
                .filter(one -> one.to() == Side.NEW)
                .ifPresent(this::protectAhead);
        on(new ParticipantEvent.Restarted(seat, decision.map(Decision::verdict), lastNumber));
    }

    /** A fleet that does not answer is not waited for: no client may write there before it does. */
    private void protectAhead(SwitchPart switched) {
        BackendRoute ahead = new BackendRoute(cache.fleet(switched.toFleet()), switched.epoch() + 1);
        unattended(protecting.setAhead(switched.release(), ahead).exceptionally(failure -> {
            LOG.warn("{}: writes to {} cannot be confirmed yet: {}", name, ahead, failure.getMessage());
            return null;
        }));
    }

    /**
     * Leads the clients to where the ledger says that the cache is, where this node has missed how it came there.
     *
     * @return whether they are there
     */
    boolean adopt(BackendRoute route, Duration limit) {
        if (isInSwitch()) {
            return false;
        }
        CompletableFuture<HoldOutcome> holding = cache.proxy().hold(limit);
        if (cache.proxy().hasLapsed()) {
            // What was sent before may be answered by a fleet that others have left.
            cache.proxy().giveUpUnanswered();
        }
        HoldOutcome outcome = holding.join();
        if (outcome instanceof HoldOutcome.Failed(String why)) {
            LOG.warn("{}: it cannot change to {} yet: {}", name, route, why);
            return false;
        }
        // What the switch that was missed has waited for is not known here.
        cache.proxy().giveUpKept();
        cache.proxy().letGo(route).join();
        LOG.info("{}: goes to fleet {} now, epoch {}", name, route.fleet().name(), route.epoch());
        return true;
    }

    Protecting protecting() {
        return protecting;
    }

    Guarding guarding() {
        return guarding;
    }

    @Override
    public void close() {
        Part open;
        synchronized (this) {
            closed = true;
            timer++;
            open = part;
        }
        worker.close();
        if (open != null) {
            open.roles.close();
        }
    }
}
