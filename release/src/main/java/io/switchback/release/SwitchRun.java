package io.switchback.release;

import io.switchback.commit.Coordinator;
import io.switchback.commit.CoordinatorAction;
import io.switchback.commit.CoordinatorEvent;
import io.switchback.commit.CoordinatorState;
import io.switchback.commit.Durability;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.Decision;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.release.ReleaseState.PendingSwitch;
import io.switchback.release.SwitchMessages.Acknowledgement;
import io.switchback.release.SwitchMessages.Heard;
import io.switchback.release.SwitchMessages.PreCommit;
import io.switchback.release.SwitchMessages.Prepare;
import io.switchback.release.SwitchMessages.Tell;
import io.switchback.release.SwitchMessages.Vote;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.release.SwitchRegister.Evidence;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Drives one switch: the coordinator of {@code commit} over the participants of all nodes, and the write-once register of the
 * ledger. It does so from the beginning, or from where the ledger says that another process has stopped.
 *
 * <p>The thread that calls {@link #run} is the coordinator's; answers reach it by a queue. A participant that has voted and hears nothing
 * within the hold limit settles the matter in the register by itself, so that a coordinator that hangs cannot hold clients for
 * ever.
 */
final class SwitchRun {
    private static final Logger LOG = LoggerFactory.getLogger(SwitchRun.class);

    /** What is left of the hold limit for the way from the decision to letting go. */
    private static final double SHARE_BEFORE_DECISION = 0.8;

    private final PendingSwitch of;
    private final Nodes nodes;
    private final SwitchRegister register;
    private final Duration holdLimit;
    private final List<CacheSwitch> caches;
    private final Hooks hooks;
    private final Environment environment;
    private final BlockingQueue<CoordinatorEvent> inbox = new LinkedBlockingQueue<>();
    private final Map<String, Duration> took = new LinkedHashMap<>();
    private final AtomicLong heldNanos = new AtomicLong();
    private @Nullable Evidence evidence;
    private @Nullable List<Routes.Found> lookedAhead;
    private String reason = "";
    private long beganNanos;
    private long toldNanos;

    /**
     * What a switch needs of the release that it belongs to.
     *
     * @param preCommitted makes durable what the fence has found
     * @param answers whether a node is there at all; one that is not is told by the register when it is back
     * @param stopping whether this process ends
     */
    record Hooks(
            java.util.function.Consumer<Evidence> preCommitted, Predicate<String> answers, BooleanSupplier stopping) {}

    /**
     * How a switch ended.
     *
     * @param at when clients began to be held
     * @param held from the first command that was parked to the last one of the node that was slowest
     * @param evidence what a commit rests on
     */
    record Report(
            Verdict verdict,
            String reason,
            Instant at,
            Duration held,
            Map<String, Duration> took,
            @Nullable Evidence evidence) {}

    SwitchRun(
            PendingSwitch of,
            Nodes nodes,
            SwitchRegister register,
            Duration holdLimit,
            List<CacheSwitch> caches,
            Hooks hooks,
            Environment environment) {
        this.of = of;
        this.nodes = nodes;
        this.register = register;
        this.holdLimit = holdLimit;
        this.caches = caches;
        this.hooks = hooks;
        this.environment = environment;
        this.evidence = of.preCommitted();
    }

    /** From the beginning; the caches and the nodes are ready. */
    Report begin() throws InterruptedException {
        lookedAhead = register.lookAhead(
                caches.stream().map(cache -> cache.cache().name()).toList());
        return run(new CoordinatorState.Initial(of.terms()), new CoordinatorEvent.Begin());
    }

    /** From where the ledger says that it stands. */
    Report goOn() throws InterruptedException {
        Optional<Decision> decision = register.read(of.id());
        decision.ifPresent(this::decided);
        CoordinatorState logged = of.preCommitted() == null
                ? new CoordinatorState.Initial(of.terms())
                : new CoordinatorState.PreCommitting(of.terms(), Set.of());
        return run(logged, new CoordinatorEvent.Restarted(decision.map(Decision::verdict)));
    }

    /**
     * @throws FleetException if a verdict could not be carried out at the fleets
     * @throws LedgerException if the register does not answer
     */
    private Report run(CoordinatorState from, CoordinatorEvent first) throws InterruptedException {
        Instant at = environment.now();
        beganNanos = environment.nanoTime();
        Deadline deadline = Deadline.in(
                environment,
                holdLimit.multipliedBy((long) (SHARE_BEFORE_DECISION * 100)).dividedBy(100));
        CoordinatorState state = from;
        CoordinatorEvent event = first;
        while (true) {
            io.switchback.commit.Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
            state = step.state();
            if (state instanceof CoordinatorState.PreCommitting && step.durability() == Durability.FORCED) {
                hooks.preCommitted().accept(Objects.requireNonNull(evidence, "the fence comes before the pre-commit"));
            }
            for (CoordinatorAction action : othersFirst(step.actions())) {
                act(action, deadline);
            }
            Optional<Verdict> verdict = ended(state, event);
            if (verdict.isPresent()) {
                caches.forEach(cache -> cache.took().forEach((what, time) -> took.merge(what, time, Duration::plus)));
                return new Report(verdict.get(), reason, at, Duration.ofNanos(heldNanos.get()), took, evidence);
            }
            event = next(state, deadline);
        }
    }

    /** Everybody has acknowledged; or whoever has not does not answer at all, and will ask the register. */
    private Optional<Verdict> ended(CoordinatorState state, CoordinatorEvent event) {
        return switch (state) {
            case CoordinatorState.Done done -> Optional.of(done.verdict());
            case CoordinatorState.Finishing finishing
            when event instanceof CoordinatorEvent.TimedOut -> {
                boolean nobodyIsLeft = of.participants().stream()
                        .filter(one -> !finishing.acknowledged().contains(one))
                        .noneMatch(one -> hooks.answers().test(SwitchMessages.nodeOf(one)));
                yield nobodyIsLeft || hooks.stopping().getAsBoolean()
                        ? Optional.of(finishing.verdict())
                        : Optional.empty();
            }
            case CoordinatorState open -> Optional.empty();
        };
    }

    /**
     * This node's own participant is asked last. It does what it is asked at once and on this thread; the others would be held, and let go, only after
     * it.
     */
    private List<CoordinatorAction> othersFirst(List<CoordinatorAction> actions) {
        return actions.stream()
                .sorted(Comparator.comparing(this::isForThisNode))
                .toList();
    }

    private boolean isForThisNode(CoordinatorAction action) {
        return switch (action) {
            case CoordinatorAction.AskToPrepare(String participant) -> isOwn(participant);
            case CoordinatorAction.PreCommit(String participant) -> isOwn(participant);
            case CoordinatorAction.Tell(String participant, Verdict _) -> isOwn(participant);
            case CoordinatorAction.Fence _, CoordinatorAction.WriteDecision _, CoordinatorAction.Forget _ -> false;
        };
    }

    private boolean isOwn(String participant) {
        return SwitchMessages.nodeOf(participant).equals(nodes.self().node());
    }

    private void act(CoordinatorAction action, Deadline deadline) {
        switch (action) {
            case CoordinatorAction.AskToPrepare(String participant) ->
                ask(
                        participant,
                        SwitchMessages.PREPARE,
                        new Prepare(of.release(), of.number(), SwitchMessages.cacheOf(participant)),
                        Vote.class,
                        vote -> vote.no().isEmpty()
                                ? new CoordinatorEvent.VotedYes(participant)
                                : new CoordinatorEvent.VotedNo(participant, vote.no()),
                        failure -> new CoordinatorEvent.VotedNo(participant, failure));
            case CoordinatorAction.Fence() -> {
                took.put("hold", Duration.ofNanos(environment.nanoTime() - beganNanos));
                inbox.add(fence(deadline));
            }
            case CoordinatorAction.PreCommit(String participant) ->
                ask(
                        participant,
                        SwitchMessages.PRE_COMMIT,
                        new PreCommit(
                                of.release(),
                                of.number(),
                                SwitchMessages.cacheOf(participant),
                                Objects.requireNonNull(evidence)),
                        Heard.class,
                        heard -> heard.over()
                                ? new CoordinatorEvent.Acknowledged(participant)
                                : new CoordinatorEvent.PreCommitAcknowledged(participant),
                        failure -> null);
            case CoordinatorAction.WriteDecision(Verdict wanted, String why) -> {
                long asked = environment.nanoTime();
                Verdict recorded = decide(wanted, why);
                took.put("decide", Duration.ofNanos(environment.nanoTime() - asked));
                inbox.add(new CoordinatorEvent.Decided(recorded));
            }
            case CoordinatorAction.Tell(String participant, Verdict verdict) -> tell(participant, verdict);
            case CoordinatorAction.Forget() -> took.put("let go", Duration.ofNanos(environment.nanoTime() - toldNanos));
        }
    }

    /** Asks, and has the answer come as an event; {@code otherwise} is what a missing answer means, null where the time-out does. */
    @SuppressWarnings("FutureReturnValueIgnored") // every end of it is an event, or left to the time-out
    private <A> void ask(
            String participant,
            String subject,
            Object question,
            Class<A> type,
            Function<A, CoordinatorEvent> answered,
            Function<String, @Nullable CoordinatorEvent> otherwise) {
        nodes.ask(SwitchMessages.nodeOf(participant), subject, ReleaseStore.bytes(question), holdLimit)
                .thenApply(bytes -> answered.apply(ReleaseStore.value(bytes, type)))
                .exceptionally(failure -> {
                    LOG.info(
                            "switch {}: {} does not answer {}: {}",
                            of.id(),
                            participant,
                            subject,
                            failure.getMessage());
                    return otherwise.apply(String.valueOf(failure.getMessage()));
                })
                .thenAccept(event -> {
                    if (event != null) {
                        inbox.add(event);
                    }
                });
    }

    private CoordinatorEvent next(CoordinatorState state, Deadline deadline) throws InterruptedException {
        boolean undecided = !(state instanceof CoordinatorState.Finishing);
        Duration wait = undecided ? deadline.remaining() : holdLimit;
        CoordinatorEvent event = inbox.poll(wait.toNanos(), TimeUnit.NANOSECONDS);
        return event != null
                ? event
                : new CoordinatorEvent.TimedOut(
                        undecided
                                ? "not every node has answered within " + holdLimit
                                : "an acknowledgement is missing");
    }

    private CoordinatorEvent fence(Deadline deadline) {
        try {
            List<CacheEvidence> found = new ArrayList<>();
            for (CacheSwitch cache : caches) {
                found.add(cache.fence(deadline));
            }
            evidence = new Evidence(of.participants().stream().sorted().toList(), of.membership(), found);
            return deadline.passed()
                    ? new CoordinatorEvent.FenceFailed("fence and drain took longer than the hold limit allows")
                    : new CoordinatorEvent.Fenced();
        } catch (RuntimeException e) {
            LOG.warn("switch {}: the fence failed", of.id(), e);
            return new CoordinatorEvent.FenceFailed(String.valueOf(e.getMessage()));
        }
    }

    private Verdict decide(Verdict wanted, String why) {
        try {
            Decision recorded = wanted == Verdict.COMMIT ? commit(why) : register.abort(of.id(), why);
            decided(recorded);
            return recorded.verdict();
        } catch (LedgerException e) {
            return presumeAbort(wanted, why, e);
        }
    }

    private Decision commit(String why) {
        Evidence known = Objects.requireNonNull(evidence, "a commit rests on evidence");
        List<Routes.Found> found = lookedAhead;
        return found == null ? register.commit(of.id(), why, known) : register.commit(of.id(), why, known, found);
    }

    /**
     * Where the ledger takes no writes (a full disk) the register stays empty, which means abort as well: nobody but this thread
     * would have written a commit, it will not do so any more, and whoever reads an empty register after a restart settles it with abort. So
     * clients are let go on the old fleet now, not when the disk has room. A ledger of which nobody knows what it has written
     * last is another matter, and so is a switch in which others may commit.
     */
    private Verdict presumeAbort(Verdict wanted, String why, LedgerException e) {
        boolean nothingWasWritten = e.code() == LedgerException.Code.STORAGE;
        if (wanted == Verdict.COMMIT || !nothingWasWritten || of.preCommitted() != null) {
            throw e;
        }
        LOG.warn("switch {}: the abort is not written down yet", of.id(), e);
        reason = why;
        return Verdict.ABORT;
    }

    private void decided(Decision recorded) {
        reason = recorded.reason();
        if (recorded.verdict() == Verdict.COMMIT) {
            evidence = SwitchRegister.evidence(recorded);
        }
    }

    /** The fleets have their roles before anybody is told, or clients would meet a read-only server. */
    private void tell(String participant, Verdict verdict) {
        if (toldNanos == 0) {
            for (CacheSwitch cache : caches) {
                switch (verdict) {
                    case COMMIT ->
                        cache.commit(Objects.requireNonNull(evidence)
                                .of(cache.cache().name()));
                    case ABORT -> cache.abort();
                }
            }
            toldNanos = environment.nanoTime();
        }
        Tell question = new Tell(
                of.release(),
                of.number(),
                SwitchMessages.cacheOf(participant),
                verdict,
                true,
                verdict == Verdict.COMMIT ? evidence : null);
        ask(
                participant,
                SwitchMessages.TELL,
                question,
                Acknowledgement.class,
                acknowledged -> {
                    heldNanos.accumulateAndGet(acknowledged.heldNanos(), Math::max);
                    return new CoordinatorEvent.Acknowledged(participant);
                },
                failure -> null);
    }
}
