package io.switchback.release;

import io.switchback.commit.Coordinator;
import io.switchback.commit.CoordinatorAction;
import io.switchback.commit.CoordinatorEvent;
import io.switchback.commit.CoordinatorState;
import io.switchback.commit.Participant;
import io.switchback.commit.ParticipantAction;
import io.switchback.commit.ParticipantEvent;
import io.switchback.commit.ParticipantState;
import io.switchback.commit.Protocol;
import io.switchback.commit.Standing;
import io.switchback.commit.SwitchId;
import io.switchback.commit.Terms;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.proxy.HoldOutcome;
import io.switchback.release.CacheSwitch.Evidence;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Drives one switch: the coordinator of {@code commit} over this node's participants, one for each cache, and the write-once
 * register of {@code ledger}.
 *
 * <p>The thread that calls {@link #run} is the coordinator's; each participant has a thread of its own and does one
 * thing at a time. They talk by queues, as they would by messages between machines, and the state machines decide. A
 * participant that has voted and hears nothing within the hold limit settles the matter in the register by itself, so that a
 * coordinator that hangs cannot hold clients for ever.
 */
final class SwitchRun {
    private static final Logger LOG = LoggerFactory.getLogger(SwitchRun.class);

    /** What is left of the hold limit for the way from the decision to letting go. */
    private static final double SHARE_BEFORE_DECISION = 0.8;

    private final SwitchId id;
    private final Ledger ledger;
    private final String node;
    private final Duration holdLimit;
    private final List<CacheSwitch> caches;
    private final Environment environment;
    private final BlockingQueue<CoordinatorEvent> inbox = new LinkedBlockingQueue<>();
    private final Map<String, LocalParticipant> participants = new LinkedHashMap<>();
    private final Map<String, Evidence> evidence = new ConcurrentHashMap<>();
    private @Nullable Throwable applyFailure;

    /**
     * How a switch ended.
     *
     * @param at when clients began to be held
     * @param held from the first command that was parked to the last cache that was let go
     * @param failure what went wrong while the verdict was carried out; the switch has to be completed once more
     */
    record Report(
            Verdict verdict,
            String reason,
            Instant at,
            Duration held,
            Map<String, Duration> took,
            @Nullable Throwable failure) {}

    SwitchRun(
            SwitchId id,
            Ledger ledger,
            String node,
            Duration holdLimit,
            List<CacheSwitch> caches,
            Environment environment) {
        this.id = id;
        this.ledger = ledger;
        this.node = node;
        this.holdLimit = holdLimit;
        this.caches = caches;
        this.environment = environment;
    }

    /** Runs the switch to its end. The caches are prepared already. */
    Report run() throws InterruptedException {
        for (CacheSwitch cache : caches) {
            String name = node + "/" + cache.cache().name();
            participants.put(name, new LocalParticipant(name, cache));
        }
        Instant at = environment.now();
        long began = environment.nanoTime();
        Deadline deadline = Deadline.in(
                environment,
                holdLimit.multipliedBy((long) (SHARE_BEFORE_DECISION * 100)).dividedBy(100));
        Terms terms = new Terms(id, Protocol.TWO_PHASE, participants.keySet());
        CoordinatorState state = new CoordinatorState.Initial(terms);
        String reason = "";
        CoordinatorEvent event = new CoordinatorEvent.Begin();
        Map<String, Duration> took = new LinkedHashMap<>();
        try {
            while (true) {
                io.switchback.commit.Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
                state = step.state();
                for (CoordinatorAction action : step.actions()) {
                    switch (action) {
                        case CoordinatorAction.AskToPrepare(String participant) ->
                            participant(participant).tell(new ParticipantEvent.PrepareAsked(terms.seat(participant)));
                        case CoordinatorAction.Fence() -> {
                            took.put("hold", Duration.ofNanos(environment.nanoTime() - began));
                            inbox.add(fence(deadline));
                        }
                        case CoordinatorAction.PreCommit(String participant) ->
                            participant(participant).tell(new ParticipantEvent.PreCommitAsked(id));
                        case CoordinatorAction.WriteDecision(Verdict wanted, String why) -> {
                            long asked = environment.nanoTime();
                            Decision decision = decide(wanted, why);
                            reason = decision.reason();
                            took.put("decide", Duration.ofNanos(environment.nanoTime() - asked));
                            inbox.add(new CoordinatorEvent.Decided(decision.verdict()));
                        }
                        case CoordinatorAction.Tell(String participant, Verdict verdict) ->
                            participant(participant).tell(new ParticipantEvent.Told(id, verdict));
                        case CoordinatorAction.Forget() -> {}
                    }
                }
                if (state instanceof CoordinatorState.Done done) {
                    caches.forEach(
                            cache -> cache.took().forEach((what, time) -> took.merge(what, time, Duration::plus)));
                    return new Report(
                            done.verdict(),
                            reason,
                            at,
                            Duration.ofNanos(caches.stream()
                                            .mapToLong(CacheSwitch::letGoAtNanos)
                                            .max()
                                            .orElse(began)
                                    - began),
                            took,
                            applyFailure);
                }
                event = next(state, deadline);
            }
        } finally {
            participants.values().forEach(LocalParticipant::end);
        }
    }

    private CoordinatorEvent next(CoordinatorState state, Deadline deadline) throws InterruptedException {
        boolean undecided = state instanceof CoordinatorState.Preparing || state instanceof CoordinatorState.Fencing;
        Duration wait = undecided ? deadline.remaining() : holdLimit;
        CoordinatorEvent event = inbox.poll(wait.toNanos(), TimeUnit.NANOSECONDS);
        return event != null
                ? event
                : new CoordinatorEvent.TimedOut(
                        undecided ? "not every node could hold within " + deadline : "an acknowledgement is missing");
    }

    private CoordinatorEvent fence(Deadline deadline) {
        try {
            for (CacheSwitch cache : caches) {
                evidence.put(cache.cache().name(), cache.fence(deadline));
            }
            return deadline.passed()
                    ? new CoordinatorEvent.FenceFailed("fence and drain took longer than the hold limit allows")
                    : new CoordinatorEvent.Fenced();
        } catch (RuntimeException e) {
            LOG.warn("switch {}: the fence failed", id, e);
            return new CoordinatorEvent.FenceFailed(String.valueOf(e.getMessage()));
        }
    }

    /** Writes the register, together with the routes that a commit brings; returns what stands there. */
    private Decision decide(Verdict wanted, String why) {
        return decide(ledger, id.toString(), wanted, why, caches, List.copyOf(evidence.values()));
    }

    static Decision decide(
            Ledger ledger, String id, Verdict wanted, String why, List<CacheSwitch> caches, List<Evidence> evidence) {
        List<Operation> routes = new ArrayList<>();
        if (wanted == Verdict.COMMIT) {
            Routes known = new Routes(ledger);
            for (CacheSwitch cache : caches) {
                routes.addAll(known.next(cache.cache().name(), cache.routeAfterCommit()));
            }
        }
        return new Decisions(ledger)
                .decide(id, wanted, why, ReleaseStore.bytes(evidence.toArray(Evidence[]::new)), routes);
    }

    private LocalParticipant participant(String name) {
        return java.util.Objects.requireNonNull(participants.get(name), name);
    }

    private Evidence evidenceOf(CacheSwitch cache) {
        Evidence own = evidence.get(cache.cache().name());
        if (own != null) {
            return own;
        }
        return evidenceIn(
                new Decisions(ledger).read(id.toString()).orElseThrow(),
                cache.cache().name());
    }

    static Evidence evidenceIn(Decision decision, String cache) {
        for (Evidence one : ReleaseStore.value(decision.evidenceJson(), Evidence[].class)) {
            if (one.cache().equals(cache)) {
                return one;
            }
        }
        throw new IllegalStateException("the decision " + decision + " says nothing of cache " + cache);
    }

    /** One cache on this node: holds, votes, and carries the verdict out. Its state is touched on its own thread alone. */
    private final class LocalParticipant {
        private final String name;
        private final CacheSwitch cache;
        private final BlockingQueue<ParticipantEvent> inbox = new LinkedBlockingQueue<>();
        private final Thread thread;
        private volatile boolean ended;

        LocalParticipant(String name, CacheSwitch cache) {
            this.name = name;
            this.cache = cache;
            this.thread =
                    Thread.ofPlatform().daemon().name("participant " + name).start(this::work);
        }

        void tell(ParticipantEvent event) {
            inbox.add(event);
        }

        void end() {
            ended = true;
            thread.interrupt();
        }

        private void work() {
            ParticipantState state = new ParticipantState.Initial(id.number() - 1);
            try {
                while (!ended) {
                    ParticipantEvent event = state instanceof ParticipantState.Voted
                            ? inbox.poll(holdLimit.toNanos(), TimeUnit.NANOSECONDS)
                            : inbox.take();
                    io.switchback.commit.Step<ParticipantState, ParticipantAction> step =
                            Participant.next(state, event == null ? new ParticipantEvent.TimedOut() : event);
                    state = step.state();
                    for (ParticipantAction action : step.actions()) {
                        try {
                            act(action);
                        } catch (RuntimeException e) {
                            // The register could not be asked. Whoever has voted asks again when it has waited once
                            // more.
                            LOG.warn("switch {}: {} could not {}; it tries again", id, name, action, e);
                        }
                    }
                }
            } catch (InterruptedException e) {
                // The switch is over; nothing is left to do for it here.
                Thread.currentThread().interrupt();
            }
        }

        private void act(ParticipantAction action) {
            switch (action) {
                case ParticipantAction.Hold(SwitchId of) -> {
                    HoldOutcome outcome = cache.hold(holdLimit).join();
                    tell(
                            switch (outcome) {
                                case HoldOutcome.Held held -> new ParticipantEvent.Held(of);
                                case HoldOutcome.Failed(String why) -> new ParticipantEvent.HoldFailed(of, why);
                            });
                }
                case ParticipantAction.VoteYes yes -> SwitchRun.this.inbox.add(new CoordinatorEvent.VotedYes(name));
                case ParticipantAction.VoteNo(SwitchId of, String why) ->
                    SwitchRun.this.inbox.add(new CoordinatorEvent.VotedNo(name, why));
                case ParticipantAction.AcknowledgePreCommit _ ->
                    SwitchRun.this.inbox.add(new CoordinatorEvent.PreCommitAcknowledged(name));
                case ParticipantAction.AskPeers ask ->
                    ask.peers()
                            .forEach(
                                    peer -> participant(peer).tell(new ParticipantEvent.PeerAsks(id, name, ask.own())));
                case ParticipantAction.TellPeer(SwitchId of, String peer, Standing own) ->
                    participant(peer).tell(new ParticipantEvent.PeerSays(of, name, own));
                case ParticipantAction.Settle(SwitchId of, Verdict wish) ->
                    tell(new ParticipantEvent.RegisterSays(
                            of,
                            decide(wish, name + " held for " + holdLimit + " and heard nothing")
                                    .verdict()));
                case ParticipantAction.Apply(SwitchId of, Verdict verdict) -> apply(verdict);
                case ParticipantAction.Acknowledge acknowledge ->
                    SwitchRun.this.inbox.add(new CoordinatorEvent.Acknowledged(name));
            }
        }

        private void apply(Verdict verdict) {
            try {
                switch (verdict) {
                    case COMMIT -> cache.commit(evidenceOf(cache));
                    case ABORT -> cache.abort();
                }
            } catch (RuntimeException e) {
                LOG.error("switch {}: {} could not be carried out on {}; it is tried again", id, verdict, name, e);
                applyFailure = e;
            }
        }
    }
}
