package io.switchback.commit;

import io.switchback.commit.ParticipantAction.Acknowledge;
import io.switchback.commit.ParticipantAction.Apply;
import io.switchback.commit.ParticipantAction.Hold;
import io.switchback.commit.ParticipantAction.SettleWithAbort;
import io.switchback.commit.ParticipantAction.VoteNo;
import io.switchback.commit.ParticipantAction.VoteYes;
import io.switchback.commit.ParticipantEvent.Held;
import io.switchback.commit.ParticipantEvent.HoldFailed;
import io.switchback.commit.ParticipantEvent.PrepareAsked;
import io.switchback.commit.ParticipantEvent.RegisterSays;
import io.switchback.commit.ParticipantEvent.Restarted;
import io.switchback.commit.ParticipantEvent.TimedOut;
import io.switchback.commit.ParticipantEvent.Told;
import io.switchback.commit.ParticipantState.Finished;
import io.switchback.commit.ParticipantState.Holding;
import io.switchback.commit.ParticipantState.Initial;
import io.switchback.commit.ParticipantState.Prepared;
import io.switchback.ledger.Verdict;
import java.util.Optional;

/**
 * A participant of two-phase commit with a decision register (docs/commit.md). Pure: no thread, no clock, no I/O.
 *
 * <p>Invariant: between VoteYes and Apply lies a word of the register, brought by a coordinator or read.
 */
public final class Participant {
    private Participant() {}

    /**
     * What a participant does in a state when an event meets it.
     *
     * @throws ProtocolViolation if the event cannot happen in this state however messages are lost, repeated and reordered
     */
    public static Step<ParticipantState, ParticipantAction> next(ParticipantState state, ParticipantEvent event) {
        if (event instanceof Restarted restarted) {
            return restarted(state, restarted);
        }
        return switch (state) {
            case Initial initial -> initial(initial, event);
            case Holding holding -> holding(holding, event);
            case Prepared prepared -> prepared(prepared, event);
            case Finished finished -> finished(finished, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> initial(Initial state, ParticipantEvent event) {
        return switch (event) {
            case PrepareAsked(SwitchId id) -> asked(state, id, state.overUpTo(), "it began before this process");
            case Told(SwitchId id, Verdict verdict) -> toldUnasked(state, id, verdict, state.overUpTo(), event);
            case RegisterSays(SwitchId id, Verdict verdict) -> toldUnasked(state, id, verdict, state.overUpTo(), event);
            case TimedOut() -> Step.to(state);
            // Of a hold that a former process began: this one holds nothing.
            case Held _, HoldFailed _ -> Step.to(state);
            case Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> asked(
            ParticipantState state, SwitchId id, long overUpTo, String why) {
        return id.number() > overUpTo ? Step.to(new Holding(id), new Hold(id)) : Step.to(state, new VoteNo(id, why));
    }

    /**
     * The end of a switch that did not begin here. An older one: its coordinator wants to finish. A newer one: its abort has overtaken its
     * prepare, and becomes the tombstone by which that is refused; nothing is held, so there is nothing to let go. It cannot have been
     * committed, without a yes from here.
     */
    private static Step<ParticipantState, ParticipantAction> toldUnasked(
            ParticipantState state, SwitchId id, Verdict verdict, long overUpTo, ParticipantEvent event) {
        if (id.number() <= overUpTo) {
            return Step.to(state, new Acknowledge(id));
        }
        return switch (verdict) {
            case ABORT -> Step.to(new Finished(id, verdict), new Acknowledge(id));
            case COMMIT -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> holding(Holding state, ParticipantEvent event) {
        return switch (event) {
            case Held(SwitchId id) ->
                id.equals(state.id()) ? Step.to(new Prepared(id), new VoteYes(id)) : Step.to(state);
            case HoldFailed(SwitchId id, String reason) ->
                id.equals(state.id())
                        ? Step.to(new Finished(id, Verdict.ABORT), new Apply(id, Verdict.ABORT), new VoteNo(id, reason))
                        : Step.to(state);
            case Told(SwitchId id, Verdict verdict) -> toldWhileHolding(state, id, verdict, event);
            case RegisterSays(SwitchId id, Verdict verdict) -> toldWhileHolding(state, id, verdict, event);
            // It has not voted, so it may abort alone; the tombstone keeps the answer of the hold from becoming a yes.
            case TimedOut() ->
                Step.to(
                        new Finished(state.id(), Verdict.ABORT),
                        new Apply(state.id(), Verdict.ABORT),
                        new VoteNo(state.id(), "the hold took too long"));
            case PrepareAsked(SwitchId id) -> id.equals(state.id()) ? Step.to(state) : refuse(state, id, state.id());
            case Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> toldWhileHolding(
            Holding state, SwitchId id, Verdict verdict, ParticipantEvent event) {
        if (!id.equals(state.id())) {
            return toldOfAnother(state, id, verdict, event);
        }
        return switch (verdict) {
            case ABORT -> finish(id, verdict);
            // Nobody can have counted a yes that was not given.
            case COMMIT -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> prepared(Prepared state, ParticipantEvent event) {
        return switch (event) {
            case Told(SwitchId id, Verdict verdict) ->
                id.equals(state.id()) ? finish(id, verdict) : toldOfAnother(state, id, verdict, event);
            case RegisterSays(SwitchId id, Verdict verdict) ->
                id.equals(state.id()) ? finish(id, verdict) : toldOfAnother(state, id, verdict, event);
            case TimedOut() -> Step.to(state, new SettleWithAbort(state.id()));
            case PrepareAsked(SwitchId id) ->
                id.equals(state.id()) ? Step.to(state, new VoteYes(id)) : refuse(state, id, state.id());
            case Held _, HoldFailed _ -> Step.to(state);
            case Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> finished(Finished state, ParticipantEvent event) {
        return switch (event) {
            case PrepareAsked(SwitchId id) ->
                asked(
                        state,
                        id,
                        state.id().number(),
                        "it is over here: " + state.id() + " ended with " + state.verdict());
            case Told(SwitchId id, Verdict verdict) -> toldAgain(state, id, verdict, event);
            case RegisterSays(SwitchId id, Verdict verdict) -> toldAgain(state, id, verdict, event);
            case TimedOut() -> Step.to(state);
            // The answer of a hold that was given up: whoever gave it up has let go.
            case Held _, HoldFailed _ -> Step.to(state);
            case Restarted _ -> throw impossible(state, event);
        };
    }

    private static Step<ParticipantState, ParticipantAction> toldAgain(
            Finished state, SwitchId id, Verdict verdict, ParticipantEvent event) {
        if (id.equals(state.id()) && verdict != state.verdict()) {
            throw impossible(state, event);
        }
        return toldUnasked(state, id, verdict, state.id().number(), event);
    }

    /** While another switch is under way here: an older one is over, a newer one can only have been aborted. */
    private static Step<ParticipantState, ParticipantAction> toldOfAnother(
            ParticipantState state, SwitchId id, Verdict verdict, ParticipantEvent event) {
        long present = state instanceof Prepared(SwitchId prepared)
                ? prepared.number()
                : ((Holding) state).id().number();
        if (id.number() > present && verdict == Verdict.COMMIT) {
            throw impossible(state, event);
        }
        return Step.to(state, new Acknowledge(id));
    }

    private static Step<ParticipantState, ParticipantAction> finish(SwitchId id, Verdict verdict) {
        return Step.to(new Finished(id, verdict), new Apply(id, verdict), new Acknowledge(id));
    }

    private static Step<ParticipantState, ParticipantAction> refuse(
            ParticipantState state, SwitchId id, SwitchId present) {
        return Step.to(state, new VoteNo(id, "the switch " + present + " is not over here"));
    }

    private static ProtocolViolation impossible(ParticipantState state, ParticipantEvent event) {
        return new ProtocolViolation("participant", state, event);
    }

    private static Step<ParticipantState, ParticipantAction> restarted(ParticipantState state, Restarted event) {
        if (state instanceof Finished(SwitchId id, Verdict verdict)
                && event.open().equals(Optional.of(id))
                && event.registered().isPresent()
                && !event.registered().equals(Optional.of(verdict))) {
            throw impossible(state, event);
        }
        return event.open()
                .map(id -> event.registered()
                        .map(verdict -> finish(id, verdict))
                        // It may have voted yes, so it cannot end this alone; and it cannot know whether it did, so it
                        // does not wait.
                        .orElseGet(() -> Step.to(new Prepared(id), new SettleWithAbort(id))))
                .orElseGet(() -> Step.to(new Initial(event.lastNumber())));
    }
}
