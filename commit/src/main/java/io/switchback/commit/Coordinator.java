package io.switchback.commit;

import io.switchback.commit.CoordinatorAction.AskToPrepare;
import io.switchback.commit.CoordinatorAction.Fence;
import io.switchback.commit.CoordinatorAction.Forget;
import io.switchback.commit.CoordinatorAction.PreCommit;
import io.switchback.commit.CoordinatorAction.Tell;
import io.switchback.commit.CoordinatorAction.WriteDecision;
import io.switchback.commit.CoordinatorEvent.Acknowledged;
import io.switchback.commit.CoordinatorEvent.Begin;
import io.switchback.commit.CoordinatorEvent.Decided;
import io.switchback.commit.CoordinatorEvent.FenceFailed;
import io.switchback.commit.CoordinatorEvent.Fenced;
import io.switchback.commit.CoordinatorEvent.PreCommitAcknowledged;
import io.switchback.commit.CoordinatorEvent.Restarted;
import io.switchback.commit.CoordinatorEvent.TimedOut;
import io.switchback.commit.CoordinatorEvent.VotedNo;
import io.switchback.commit.CoordinatorEvent.VotedYes;
import io.switchback.commit.CoordinatorState.Deciding;
import io.switchback.commit.CoordinatorState.Done;
import io.switchback.commit.CoordinatorState.Fencing;
import io.switchback.commit.CoordinatorState.Finishing;
import io.switchback.commit.CoordinatorState.Initial;
import io.switchback.commit.CoordinatorState.PreCommitting;
import io.switchback.commit.CoordinatorState.Preparing;
import io.switchback.ledger.Verdict;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * The coordinator of two-phase or three-phase commit with a decision register (docs/commit.md; Gray and Lamport, "Consensus on Transaction
 * Commit", for why the register and not the coordinator decides). Pure: no thread, no clock, no I/O. Its log is the ledger, so any
 * process can go on where another stopped.
 *
 * <p>Invariant: Tell is sent only with what the register has said. Two coordinators for one switch are therefore safe; one is
 * enough to get on.
 *
 * <p>Once the pre-commit is logged, the wish is COMMIT: all have voted yes and the fence stands, whoever does not acknowledge holds by its own
 * vote, and those who have acknowledged will wish the same when they are left alone. A participant that heard nothing may have
 * settled the matter with ABORT meanwhile; then the register says so, and that is told.
 */
public final class Coordinator {
    private Coordinator() {}

    /**
     * What a coordinator does in a state when an event meets it.
     *
     * @throws ProtocolViolation if the event cannot happen in this state however messages are lost, repeated and reordered
     */
    public static Step<CoordinatorState, CoordinatorAction> next(CoordinatorState state, CoordinatorEvent event) {
        if (event instanceof Restarted restarted) {
            return restarted(state, restarted);
        }
        checkKnown(state, event);
        return switch (state) {
            case Initial initial -> initial(initial, event);
            case Preparing preparing -> preparing(preparing, event);
            case Fencing fencing -> fencing(fencing, event);
            case PreCommitting preCommitting -> preCommitting(preCommitting, event);
            case Deciding deciding -> deciding(deciding, event);
            case Finishing finishing -> finishing(finishing, event);
            case Done done -> done(done, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> initial(Initial state, CoordinatorEvent event) {
        return switch (event) {
            case Begin() ->
                new Step<>(
                        new Preparing(state.terms(), Set.of()),
                        Durability.FORCED,
                        state.participants().stream()
                                .sorted()
                                .<CoordinatorAction>map(AskToPrepare::new)
                                .toList());
            case VotedYes _,
                    VotedNo _,
                    Fenced _,
                    FenceFailed _,
                    PreCommitAcknowledged _,
                    TimedOut _,
                    Decided _,
                    Acknowledged _,
                    Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> preparing(Preparing state, CoordinatorEvent event) {
        return switch (event) {
            case VotedYes(String participant) -> votedYes(state, participant);
            case VotedNo(String participant, String reason) ->
                decide(state, Verdict.ABORT, participant + " voted no: " + reason);
            case TimedOut(String reason) -> decide(state, Verdict.ABORT, reason);
            case Acknowledged(String participant) ->
                decide(state, Verdict.ABORT, participant + " has ended it already");
            case Begin _, Fenced _, FenceFailed _, PreCommitAcknowledged _, Decided _, Restarted _ ->
                throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> votedYes(Preparing state, String participant) {
        Set<String> votedYes = with(state.votedYes(), participant);
        return votedYes.equals(state.participants())
                ? Step.to(new Fencing(state.terms()), new Fence())
                : Step.to(new Preparing(state.terms(), votedYes));
    }

    private static Step<CoordinatorState, CoordinatorAction> fencing(Fencing state, CoordinatorEvent event) {
        return switch (event) {
            case Fenced() ->
                switch (state.terms().protocol()) {
                    case TWO_PHASE -> decide(state, Verdict.COMMIT, "all participants hold and the fence stands");
                    case THREE_PHASE -> preCommit(state, Durability.FORCED);
                };
            case FenceFailed(String reason) -> decide(state, Verdict.ABORT, "the fence failed: " + reason);
            case TimedOut(String reason) -> decide(state, Verdict.ABORT, reason);
            // It voted yes, heard nothing, and settled the matter with abort at the register; then it was asked again.
            case VotedNo(String participant, String reason) ->
                decide(state, Verdict.ABORT, participant + " took its yes back: " + reason);
            // Likewise, and this is what it tells of itself.
            case Acknowledged(String participant) ->
                decide(state, Verdict.ABORT, participant + " has ended it already");
            case VotedYes _ -> Step.to(state);
            case Begin _, PreCommitAcknowledged _, Decided _, Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> preCommit(CoordinatorState state, Durability durability) {
        return new Step<>(
                new PreCommitting(state.terms(), Set.of()),
                durability,
                state.participants().stream()
                        .sorted()
                        .<CoordinatorAction>map(PreCommit::new)
                        .toList());
    }

    private static Step<CoordinatorState, CoordinatorAction> preCommitting(
            PreCommitting state, CoordinatorEvent event) {
        return switch (event) {
            case PreCommitAcknowledged(String participant) -> preCommitAcknowledged(state, participant);
            case TimedOut(String reason) ->
                decide(state, Verdict.COMMIT, "all participants hold and the fence stands; " + reason);
            // Both come from one that voted yes and has read in the register how it ended; this looks there too.
            case VotedNo(String participant, String reason) ->
                decide(state, Verdict.COMMIT, "all participants had voted yes; " + participant + " says: " + reason);
            case Acknowledged(String participant) ->
                decide(
                        state,
                        Verdict.COMMIT,
                        "all participants had voted yes; " + participant + " has ended it already");
            // Repeated, or late; a fence may be asked for twice.
            case VotedYes _, Fenced _, FenceFailed _ -> Step.to(state);
            case Begin _, Decided _, Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> preCommitAcknowledged(
            PreCommitting state, String participant) {
        Set<String> preCommitted = with(state.preCommitted(), participant);
        return preCommitted.equals(state.participants())
                ? decide(state, Verdict.COMMIT, "all participants are pre-committed")
                : Step.to(new PreCommitting(state.terms(), preCommitted));
    }

    private static Step<CoordinatorState, CoordinatorAction> deciding(Deciding state, CoordinatorEvent event) {
        return switch (event) {
            case Decided(Verdict verdict) -> finish(state, verdict);
            case TimedOut _ -> Step.to(state, new WriteDecision(state.wanted(), state.reason()));
            // Too late to count, and to do harm: the register decides. (A fence that comes late is undone by the
            // abort.)
            // An acknowledgement comes from one that settled the matter itself; it will be told again, and answer
            // again.
            case VotedYes _, VotedNo _, Fenced _, FenceFailed _, PreCommitAcknowledged _, Acknowledged _ ->
                Step.to(state);
            case Begin _, Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> finishing(Finishing state, CoordinatorEvent event) {
        return switch (event) {
            case Acknowledged(String participant) -> acknowledged(state, participant);
            case TimedOut _ -> new Step<>(state, Durability.NONE, tellRest(state));
            case Decided(Verdict verdict) -> same(state, state.verdict(), verdict, event);
            case VotedYes _, VotedNo _, Fenced _, FenceFailed _, PreCommitAcknowledged _ -> Step.to(state);
            case Begin _, Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<CoordinatorState, CoordinatorAction> acknowledged(Finishing state, String participant) {
        Set<String> acknowledged = with(state.acknowledged(), participant);
        return acknowledged.equals(state.participants())
                ? Step.lazily(new Done(state.terms(), state.verdict()), new Forget())
                : Step.to(new Finishing(state.terms(), state.verdict(), acknowledged));
    }

    private static Step<CoordinatorState, CoordinatorAction> done(Done state, CoordinatorEvent event) {
        return switch (event) {
            case Decided(Verdict verdict) -> same(state, state.verdict(), verdict, event);
            case VotedYes _, VotedNo _, Fenced _, FenceFailed _, PreCommitAcknowledged _, TimedOut _, Acknowledged _ ->
                Step.to(state);
            case Begin _, Restarted _ -> throw impossible(state, event);
        };
    }

    /**
     * The register knows better than any log. If it is empty, nothing was told to anybody: a switch that is pre-committed goes on
     * from there, as its participants would without a coordinator; any other is given up (presumed abort).
     */
    private static Step<CoordinatorState, CoordinatorAction> restarted(CoordinatorState logged, Restarted event) {
        Optional<Verdict> known = switch (logged) {
            case Initial _, Preparing _, Fencing _, PreCommitting _, Deciding _ -> Optional.empty();
            case Finishing finishing -> Optional.of(finishing.verdict());
            case Done done -> Optional.of(done.verdict());
        };
        if (known.isPresent() && !known.equals(event.registered())) {
            throw impossible(logged, event);
        }
        if (event.registered().isPresent()) {
            return finish(logged, event.registered().get());
        }
        return logged instanceof PreCommitting
                ? preCommit(logged, Durability.NONE)
                : decide(logged, Verdict.ABORT, "the coordinator was restarted before a decision (presumed abort)");
    }

    private static Step<CoordinatorState, CoordinatorAction> decide(
            CoordinatorState state, Verdict wanted, String reason) {
        return Step.to(new Deciding(state.terms(), wanted, reason), new WriteDecision(wanted, reason));
    }

    private static Step<CoordinatorState, CoordinatorAction> finish(CoordinatorState state, Verdict verdict) {
        Finishing finishing = new Finishing(state.terms(), verdict, Set.of());
        return new Step<>(finishing, Durability.LAZY, tellRest(finishing));
    }

    private static List<CoordinatorAction> tellRest(Finishing state) {
        return state.participants().stream()
                .filter(participant -> !state.acknowledged().contains(participant))
                .sorted()
                .<CoordinatorAction>map(participant -> new Tell(participant, state.verdict()))
                .toList();
    }

    /** The register answers again with what it said before, or it is no register. */
    private static Step<CoordinatorState, CoordinatorAction> same(
            CoordinatorState state, Verdict before, Verdict now, CoordinatorEvent event) {
        if (before != now) {
            throw impossible(state, event);
        }
        return Step.to(state);
    }

    private static void checkKnown(CoordinatorState state, CoordinatorEvent event) {
        String participant = switch (event) {
            case VotedYes yes -> yes.participant();
            case VotedNo no -> no.participant();
            case PreCommitAcknowledged acknowledged -> acknowledged.participant();
            case Acknowledged acknowledged -> acknowledged.participant();
            case Begin _, Fenced _, FenceFailed _, TimedOut _, Decided _, Restarted _ -> "";
        };
        if (!participant.isEmpty() && !state.participants().contains(participant)) {
            throw impossible(state, event);
        }
    }

    private static Set<String> with(Set<String> some, String another) {
        Set<String> more = new HashSet<>(some);
        more.add(another);
        return more;
    }

    private static ProtocolViolation impossible(CoordinatorState state, CoordinatorEvent event) {
        return new ProtocolViolation("coordinator of " + state.id(), state, event);
    }
}
