package io.switchback.commit;

import io.switchback.commit.ParticipantAction.Acknowledge;
import io.switchback.commit.ParticipantAction.AcknowledgePreCommit;
import io.switchback.commit.ParticipantAction.Apply;
import io.switchback.commit.ParticipantAction.AskPeers;
import io.switchback.commit.ParticipantAction.Hold;
import io.switchback.commit.ParticipantAction.Settle;
import io.switchback.commit.ParticipantAction.TellPeer;
import io.switchback.commit.ParticipantAction.VoteNo;
import io.switchback.commit.ParticipantAction.VoteYes;
import io.switchback.commit.ParticipantEvent.Held;
import io.switchback.commit.ParticipantEvent.HoldFailed;
import io.switchback.commit.ParticipantEvent.PeerAsks;
import io.switchback.commit.ParticipantEvent.PeerSays;
import io.switchback.commit.ParticipantEvent.PreCommitAsked;
import io.switchback.commit.ParticipantEvent.PrepareAsked;
import io.switchback.commit.ParticipantEvent.RegisterSays;
import io.switchback.commit.ParticipantEvent.Restarted;
import io.switchback.commit.ParticipantEvent.TimedOut;
import io.switchback.commit.ParticipantEvent.Told;
import io.switchback.commit.ParticipantState.BringingAlong;
import io.switchback.commit.ParticipantState.Finished;
import io.switchback.commit.ParticipantState.Holding;
import io.switchback.commit.ParticipantState.Initial;
import io.switchback.commit.ParticipantState.Inquiring;
import io.switchback.commit.ParticipantState.Open;
import io.switchback.commit.ParticipantState.PreCommitted;
import io.switchback.commit.ParticipantState.Prepared;
import io.switchback.commit.ParticipantState.Settling;
import io.switchback.commit.ParticipantState.Voted;
import io.switchback.ledger.Verdict;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A participant of two-phase or three-phase commit with a decision register (docs/commit.md; Skeen, "Nonblocking Commit Protocols", for
 * the pre-commit and the termination rules). Pure: no thread, no clock, no I/O.
 *
 * <p>Invariants: <ul>
 * <li>Between VoteYes and Apply lies a word of the register: read here, brought by a coordinator, or by a peer that had it from there.
 *     A peer's wish is no such word, and nobody can hear it: a standing says what was logged or recorded.
 * <li>Yes or no is said once. Who was restarted and does not find its yes in its log does not vote again, since it may have said no;
 *     so whoever aborted alone never meets a pre-commit or a COMMIT.
 * <li>Who has sent the register the wish ABORT does not become pre-committed any more, and who is pre-committed never wishes ABORT:
 *     once all are pre-committed and no ABORT is on its way, only COMMIT can be recorded.
 * </ul>
 *
 * <p>Why a time-out may end in a wish though others may know better: a wish decides nothing if the register has spoken, and if it has
 * not, nobody has applied anything that it could contradict.
 */
public final class Participant {
    private Participant() {}

    /**
     * What a participant does in a state when an event meets it.
     *
     * @throws ProtocolViolation if the event cannot happen in this state however messages are lost, repeated and reordered
     */
    public static Step<ParticipantState, ParticipantAction> next(ParticipantState state, ParticipantEvent event) {
        return switch (event) {
            case PrepareAsked(Seat seat) -> prepareAsked(state, seat);
            case Held(SwitchId id) -> held(state, id);
            case HoldFailed(SwitchId id, String reason) -> holdFailed(state, id, reason);
            case PreCommitAsked(SwitchId id) -> preCommitAsked(state, id, event);
            case Told(SwitchId id, Verdict verdict) -> told(state, id, verdict, event);
            case RegisterSays(SwitchId id, Verdict verdict) -> told(state, id, verdict, event);
            case PeerAsks(SwitchId id, String peer, Standing standing) -> peerAsks(state, id, peer, standing, event);
            case PeerSays(SwitchId id, String peer, Standing standing) -> learned(state, id, peer, standing, event);
            case TimedOut() -> timedOut(state);
            case Restarted restarted -> restarted(state, restarted);
        };
    }

    private static Step<ParticipantState, ParticipantAction> prepareAsked(ParticipantState state, Seat seat) {
        SwitchId id = seat.id();
        return switch (age(state, id)) {
            case OVER -> Step.to(state, new VoteNo(id, "it is over here, or began before this process"));
            case NEWER ->
                state instanceof Open open
                        ? Step.to(
                                state,
                                new VoteNo(id, "the switch " + open.seat().id() + " is not over here"))
                        : Step.to(new Holding(seat), new Hold(id));
            case THIS ->
                switch (state) {
                    case Prepared _ -> Step.to(state, new VoteYes(id));
                    case Finished finished ->
                        Step.to(state, new VoteNo(id, "it is over here: it ended with " + finished.verdict()));
                    // Holding will answer. The others have waited for too long to say yes once more; a coordinator that
                    // still needs it aborts.
                    case Holding _, Inquiring _, PreCommitted _, BringingAlong _, Settling _, Initial _ ->
                        Step.to(state);
                };
        };
    }

    private static Step<ParticipantState, ParticipantAction> held(ParticipantState state, SwitchId id) {
        return state instanceof Holding(Seat seat) && seat.id().equals(id)
                ? Step.forced(new Prepared(seat), new VoteYes(id))
                // Of a hold that was given up, here or in a former process: whoever gave it up has let go.
                : Step.to(state);
    }

    private static Step<ParticipantState, ParticipantAction> holdFailed(
            ParticipantState state, SwitchId id, String reason) {
        return state instanceof Holding(Seat seat) && seat.id().equals(id) ? abortAlone(id, reason) : Step.to(state);
    }

    /**
     * It has not voted, so it may; the tombstone keeps the answer of the hold from becoming a yes. Lazily: if the record is lost,
     * the ledger says that the switch is open, and the next process does not vote in it.
     */
    private static Step<ParticipantState, ParticipantAction> abortAlone(SwitchId id, String reason) {
        return Step.lazily(
                new Finished(id, Verdict.ABORT, false), new Apply(id, Verdict.ABORT), new VoteNo(id, reason));
    }

    private static Step<ParticipantState, ParticipantAction> preCommitAsked(
            ParticipantState state, SwitchId id, ParticipantEvent event) {
        return switch (age(state, id)) {
            // A coordinator that comes too late; it will look into the register.
            case OVER -> Step.to(state, new Acknowledge(id));
            // A pre-commit says that all have voted yes, and nobody has done so here.
            case NEWER -> throw impossible(state, event);
            case THIS ->
                switch (state) {
                    case Voted voted
                    when voted.seat().protocol() == Protocol.TWO_PHASE -> throw impossible(state, event);
                    case Prepared(Seat seat) -> preCommit(seat);
                    case Inquiring(Seat seat, Set<String> _) -> preCommit(seat);
                    case PreCommitted _, BringingAlong _ -> Step.to(state, new AcknowledgePreCommit(id));
                    case Settling(Seat _, Verdict wish) ->
                        switch (wish) {
                            case COMMIT -> Step.to(state, new AcknowledgePreCommit(id));
                            // Its wish may be recorded any moment: what it acknowledged now would not hold.
                            case ABORT -> Step.to(state);
                        };
                    case Finished finished when finished.recorded() -> Step.to(state, new Acknowledge(id));
                    case Initial _, Holding _, Finished _ -> throw impossible(state, event);
                };
        };
    }

    private static Step<ParticipantState, ParticipantAction> preCommit(Seat seat) {
        return Step.forced(new PreCommitted(seat), new AcknowledgePreCommit(seat.id()));
    }

    /** What the register holds, from whomever. */
    private static Step<ParticipantState, ParticipantAction> told(
            ParticipantState state, SwitchId id, Verdict verdict, ParticipantEvent event) {
        return switch (age(state, id)) {
            // Its coordinator wants to finish.
            case OVER -> Step.to(state, new Acknowledge(id));
            case NEWER -> toldUnasked(state, id, verdict, event);
            case THIS ->
                switch (state) {
                    case Holding _ when verdict == Verdict.ABORT -> finish(id, verdict);
                    case Voted _ -> finish(id, verdict);
                    case Finished finished
                    when finished.verdict() == verdict ->
                        finished.recorded()
                                ? Step.to(state, new Acknowledge(id))
                                : Step.forced(new Finished(id, verdict, true), new Acknowledge(id));
                    // Two words of one register; or a COMMIT without a yes from here.
                    case Initial _, Holding _, Finished _ -> throw impossible(state, event);
                };
        };
    }

    /**
     * The end of a switch that did not begin here: its abort has overtaken its prepare, and becomes the tombstone by which that is
     * refused; nothing is held, so there is nothing to let go. It cannot have been committed, without a yes from here.
     */
    private static Step<ParticipantState, ParticipantAction> toldUnasked(
            ParticipantState state, SwitchId id, Verdict verdict, ParticipantEvent event) {
        if (verdict == Verdict.COMMIT) {
            throw impossible(state, event);
        }
        return state instanceof Open
                ? Step.to(state, new Acknowledge(id))
                : Step.forced(new Finished(id, verdict, true), new Acknowledge(id));
    }

    private static Step<ParticipantState, ParticipantAction> finish(SwitchId id, Verdict verdict) {
        return Step.forced(new Finished(id, verdict, true), new Apply(id, verdict), new Acknowledge(id));
    }

    /** Who asks says where it stands, which may bring this one along; then it is answered. Of what is over, only the register knows. */
    private static Step<ParticipantState, ParticipantAction> peerAsks(
            ParticipantState state, SwitchId id, String peer, Standing theirs, ParticipantEvent event) {
        Step<ParticipantState, ParticipantAction> step = learned(state, id, peer, theirs, event);
        return standing(step.state(), id)
                .map(own -> {
                    List<ParticipantAction> actions = new ArrayList<>(step.actions());
                    actions.add(new TellPeer(id, peer, own));
                    return new Step<>(step.state(), step.durability(), actions);
                })
                .orElse(step);
    }

    private static Optional<Standing> standing(ParticipantState state, SwitchId id) {
        return switch (age(state, id)) {
            case OVER -> Optional.empty();
            case NEWER -> Optional.of(Standing.NOT_VOTED);
            case THIS ->
                Optional.of(
                        switch (state) {
                            case Initial _, Holding _ -> Standing.NOT_VOTED;
                            case Voted voted -> standing(voted);
                            case Finished finished when !finished.recorded() -> Standing.NOT_VOTED;
                            case Finished finished ->
                                switch (finished.verdict()) {
                                    case COMMIT -> Standing.COMMITTED;
                                    case ABORT -> Standing.ABORTED;
                                };
                        });
        };
    }

    private static Standing standing(Voted state) {
        return switch (state) {
            case Prepared _, Inquiring _ -> Standing.PREPARED;
            case PreCommitted _, BringingAlong _ -> Standing.PRE_COMMITTED;
            case Settling(Seat _, Verdict wish) ->
                switch (wish) {
                    case COMMIT -> Standing.PRE_COMMITTED;
                    case ABORT -> Standing.PREPARED;
                };
        };
    }

    /** The termination rules, one answer at a time. */
    private static Step<ParticipantState, ParticipantAction> learned(
            ParticipantState state, SwitchId id, String peer, Standing standing, ParticipantEvent event) {
        if (state instanceof Open open
                && open.seat().id().equals(id)
                && !open.seat().peers().contains(peer)) {
            throw impossible(state, event);
        }
        return switch (standing) {
            case COMMITTED -> told(state, id, Verdict.COMMIT, event);
            case ABORTED -> told(state, id, Verdict.ABORT, event);
            case PRE_COMMITTED -> learnedPreCommitted(state, id, peer, event);
            case PREPARED ->
                state instanceof Inquiring(Seat seat, Set<String> unheard)
                                && seat.id().equals(id)
                        ? heard(seat, without(unheard, peer))
                        : Step.to(state);
            // Without its yes there is no COMMIT. (If it has voted since, others may know more; the register decides.)
            case NOT_VOTED ->
                state instanceof Inquiring(Seat seat, Set<String> _)
                                && seat.id().equals(id)
                        ? settle(seat, Verdict.ABORT)
                        : Step.to(state);
        };
    }

    /** All merely prepared: nobody can have told or applied a COMMIT. */
    private static Step<ParticipantState, ParticipantAction> heard(Seat seat, Set<String> unheard) {
        return unheard.isEmpty() ? settle(seat, Verdict.ABORT) : Step.to(new Inquiring(seat, unheard));
    }

    private static Step<ParticipantState, ParticipantAction> learnedPreCommitted(
            ParticipantState state, SwitchId id, String peer, ParticipantEvent event) {
        return switch (age(state, id)) {
            case OVER -> Step.to(state);
            case NEWER -> throw impossible(state, event);
            case THIS ->
                switch (state) {
                    case Voted voted
                    when voted.seat().protocol() == Protocol.TWO_PHASE -> throw impossible(state, event);
                    case Prepared(Seat seat) -> preCommit(seat);
                    case Inquiring(Seat seat, Set<String> _) -> preCommit(seat);
                    case BringingAlong(Seat seat, Set<String> behind) -> broughtAlong(seat, without(behind, peer));
                    case PreCommitted _, Settling _ -> Step.to(state);
                    case Finished finished when finished.recorded() -> Step.to(state);
                    case Initial _, Holding _, Finished _ -> throw impossible(state, event);
                };
        };
    }

    private static Step<ParticipantState, ParticipantAction> broughtAlong(Seat seat, Set<String> behind) {
        return behind.isEmpty() ? settle(seat, Verdict.COMMIT) : Step.to(new BringingAlong(seat, behind));
    }

    private static Step<ParticipantState, ParticipantAction> timedOut(ParticipantState state) {
        return switch (state) {
            case Initial _, Finished _ -> Step.to(state);
            case Holding(Seat seat) -> abortAlone(seat.id(), "the hold took too long");
            case Prepared(Seat seat) ->
                switch (seat.protocol()) {
                    case TWO_PHASE -> settleAndAsk(seat, Verdict.ABORT);
                    case THREE_PHASE -> inquire(seat);
                };
            // Who does not answer by now cannot be waited for. With the register, a wrong guess only costs the switch.
            case Inquiring(Seat seat, Set<String> _) -> settle(seat, Verdict.ABORT);
            case PreCommitted(Seat seat) -> bringAlong(seat);
            case BringingAlong(Seat seat, Set<String> _) -> settle(seat, Verdict.COMMIT);
            case Settling(Seat seat, Verdict wish) -> settleAndAsk(seat, wish);
        };
    }

    private static Step<ParticipantState, ParticipantAction> inquire(Seat seat) {
        return seat.peers().isEmpty()
                ? settle(seat, Verdict.ABORT)
                : Step.to(new Inquiring(seat, seat.peers()), new AskPeers(seat.id(), seat.peers(), Standing.PREPARED));
    }

    private static Step<ParticipantState, ParticipantAction> bringAlong(Seat seat) {
        return seat.peers().isEmpty()
                ? settle(seat, Verdict.COMMIT)
                : Step.to(
                        new BringingAlong(seat, seat.peers()),
                        new AskPeers(seat.id(), seat.peers(), Standing.PRE_COMMITTED));
    }

    private static Step<ParticipantState, ParticipantAction> settle(Seat seat, Verdict wish) {
        return Step.to(new Settling(seat, wish), new Settle(seat.id(), wish));
    }

    /** A peer may know the outcome where the register cannot be reached from here. */
    private static Step<ParticipantState, ParticipantAction> settleAndAsk(Seat seat, Verdict wish) {
        Settling settling = new Settling(seat, wish);
        return seat.peers().isEmpty()
                ? settle(seat, wish)
                : Step.to(
                        settling,
                        new AskPeers(seat.id(), seat.peers(), standing(settling)),
                        new Settle(seat.id(), wish));
    }

    private static Step<ParticipantState, ParticipantAction> restarted(ParticipantState logged, Restarted event) {
        if (event.open().isEmpty()) {
            return Step.to(new Initial(event.lastNumber()));
        }
        Seat seat = event.open().get();
        Optional<Verdict> registered = event.registered();
        if (logged instanceof Finished finished && finished.id().equals(seat.id())) {
            return finishedBefore(finished, registered, event);
        }
        return registered
                .map(verdict -> finish(seat.id(), verdict))
                .orElseGet(() -> age(logged, seat.id()) == Age.THIS ? goOn(logged, seat) : mayHaveVoted(seat));
    }

    private static Step<ParticipantState, ParticipantAction> finishedBefore(
            Finished logged, Optional<Verdict> registered, ParticipantEvent event) {
        if (registered.isPresent() ? registered.get() != logged.verdict() : logged.recorded()) {
            throw impossible(logged, event);
        }
        return registered.isPresent()
                ? finish(logged.id(), logged.verdict())
                : abortAlone(logged.id(), "it had ended with ABORT here before a restart");
    }

    private static Step<ParticipantState, ParticipantAction> goOn(ParticipantState logged, Seat seat) {
        return switch (logged) {
            case PreCommitted _, BringingAlong _ -> bringAlong(seat);
            case Settling(Seat _, Verdict wish) -> settle(seat, wish);
            case Initial _, Holding _, Prepared _, Inquiring _, Finished _ -> mayHaveVoted(seat);
        };
    }

    /** It may have voted yes, so it cannot end this alone; and it has lost time, or its log, so it does not wait for the coordinator. */
    private static Step<ParticipantState, ParticipantAction> mayHaveVoted(Seat seat) {
        return switch (seat.protocol()) {
            case TWO_PHASE -> settle(seat, Verdict.ABORT);
            case THREE_PHASE -> inquire(seat);
        };
    }

    /** What a switch is to a participant in some state. */
    private enum Age {
        OVER,
        THIS,
        NEWER
    }

    private static Age age(ParticipantState state, SwitchId id) {
        return switch (state) {
            case Initial(long overUpTo) -> id.number() <= overUpTo ? Age.OVER : Age.NEWER;
            case Open open -> age(open.seat().id(), id);
            case Finished finished -> age(finished.id(), id);
        };
    }

    private static Age age(SwitchId present, SwitchId id) {
        return id.equals(present) ? Age.THIS : id.number() <= present.number() ? Age.OVER : Age.NEWER;
    }

    private static Set<String> without(Set<String> some, String one) {
        Set<String> fewer = new HashSet<>(some);
        fewer.remove(one);
        return fewer;
    }

    private static ProtocolViolation impossible(ParticipantState state, ParticipantEvent event) {
        return new ProtocolViolation("participant", state, event);
    }
}
