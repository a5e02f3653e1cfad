package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Set;
import java.util.stream.Collectors;

/** States, events and actions in few words, without the switch that they are about; for traces and tables. */
final class Words {
    private Words() {}

    static String text(CoordinatorState state) {
        return switch (state) {
            case CoordinatorState.Initial _ -> "Initial";
            case CoordinatorState.Preparing _ -> "Preparing";
            case CoordinatorState.Fencing _ -> "Fencing";
            case CoordinatorState.PreCommitting _ -> "PreCommitting";
            case CoordinatorState.Deciding deciding -> "Deciding (wants " + deciding.wanted() + ")";
            case CoordinatorState.Finishing finishing -> "Finishing " + finishing.verdict();
            case CoordinatorState.Done done -> "Done with " + done.verdict();
        };
    }

    static String text(CoordinatorEvent event) {
        return switch (event) {
            case CoordinatorEvent.Begin() -> "Begin";
            case CoordinatorEvent.VotedYes(String participant) -> "VotedYes(" + participant + ")";
            case CoordinatorEvent.VotedNo(String participant, String _) -> "VotedNo(" + participant + ")";
            case CoordinatorEvent.Fenced() -> "Fenced";
            case CoordinatorEvent.FenceFailed _ -> "FenceFailed";
            case CoordinatorEvent.PreCommitAcknowledged(String participant) ->
                "PreCommitAcknowledged(" + participant + ")";
            case CoordinatorEvent.TimedOut _ -> "TimedOut";
            case CoordinatorEvent.Decided(Verdict verdict) -> "Decided(" + verdict + ")";
            case CoordinatorEvent.Acknowledged(String participant) -> "Acknowledged(" + participant + ")";
            case CoordinatorEvent.Restarted restarted ->
                "Restarted, register "
                        + restarted
                                .registered()
                                .map(verdict -> "says " + verdict)
                                .orElse("empty");
        };
    }

    static String text(CoordinatorAction action) {
        return switch (action) {
            case CoordinatorAction.AskToPrepare(String participant) -> "AskToPrepare(" + participant + ")";
            case CoordinatorAction.Fence() -> "Fence";
            case CoordinatorAction.PreCommit(String participant) -> "PreCommit(" + participant + ")";
            case CoordinatorAction.WriteDecision(Verdict wanted, String _) -> "WriteDecision(" + wanted + ")";
            case CoordinatorAction.Tell(String participant, Verdict verdict) ->
                "Tell(" + participant + ", " + verdict + ")";
            case CoordinatorAction.Forget() -> "Forget";
        };
    }

    static String text(ParticipantState state) {
        return switch (state) {
            case ParticipantState.Initial _ -> "Initial";
            case ParticipantState.Holding _ -> "Holding";
            case ParticipantState.Prepared _ -> "Prepared";
            case ParticipantState.Inquiring(Seat _, Set<String> unheard) -> "Inquiring, " + names(unheard) + " unheard";
            case ParticipantState.PreCommitted _ -> "PreCommitted";
            case ParticipantState.BringingAlong(Seat _, Set<String> behind) ->
                "BringingAlong, " + names(behind) + " behind";
            case ParticipantState.Settling(Seat _, Verdict wish) -> "Settling (wants " + wish + ")";
            case ParticipantState.Finished finished ->
                finished.recorded() ? "Finished " + finished.verdict() : "Aborted alone";
        };
    }

    static String text(ParticipantEvent event) {
        return switch (event) {
            case ParticipantEvent.PrepareAsked _ -> "PrepareAsked";
            case ParticipantEvent.Held _ -> "Held";
            case ParticipantEvent.HoldFailed _ -> "HoldFailed";
            case ParticipantEvent.PreCommitAsked _ -> "PreCommitAsked";
            case ParticipantEvent.Told(SwitchId _, Verdict verdict) -> "Told(" + verdict + ")";
            case ParticipantEvent.TimedOut() -> "TimedOut";
            case ParticipantEvent.RegisterSays(SwitchId _, Verdict verdict) -> "RegisterSays(" + verdict + ")";
            case ParticipantEvent.PeerAsks(SwitchId _, String peer, Standing standing) ->
                "PeerAsks(" + peer + ", " + standing + ")";
            case ParticipantEvent.PeerSays(SwitchId _, String peer, Standing standing) ->
                "PeerSays(" + peer + ", " + standing + ")";
            case ParticipantEvent.Restarted restarted ->
                restarted.open().isEmpty()
                        ? "Restarted, nothing open"
                        : "Restarted, register "
                                + restarted
                                        .registered()
                                        .map(verdict -> "says " + verdict)
                                        .orElse("empty");
        };
    }

    static String text(ParticipantAction action) {
        return switch (action) {
            case ParticipantAction.Hold _ -> "Hold";
            case ParticipantAction.VoteYes _ -> "VoteYes";
            case ParticipantAction.VoteNo _ -> "VoteNo";
            case ParticipantAction.AcknowledgePreCommit _ -> "AcknowledgePreCommit";
            case ParticipantAction.AskPeers(SwitchId _, Set<String> peers, Standing own) ->
                "AskPeers(" + names(peers) + ", " + own + ")";
            case ParticipantAction.TellPeer(SwitchId _, String peer, Standing own) ->
                "TellPeer(" + peer + ", " + own + ")";
            case ParticipantAction.Settle(SwitchId _, Verdict wish) -> "Settle(" + wish + ")";
            case ParticipantAction.Apply(SwitchId _, Verdict verdict) -> "Apply(" + verdict + ")";
            case ParticipantAction.Acknowledge _ -> "Acknowledge";
        };
    }

    static SwitchId id(ParticipantAction action) {
        return switch (action) {
            case ParticipantAction.Hold(SwitchId id) -> id;
            case ParticipantAction.VoteYes(SwitchId id) -> id;
            case ParticipantAction.VoteNo(SwitchId id, String _) -> id;
            case ParticipantAction.AcknowledgePreCommit(SwitchId id) -> id;
            case ParticipantAction.AskPeers ask -> ask.id();
            case ParticipantAction.TellPeer tell -> tell.id();
            case ParticipantAction.Settle(SwitchId id, Verdict _) -> id;
            case ParticipantAction.Apply(SwitchId id, Verdict _) -> id;
            case ParticipantAction.Acknowledge(SwitchId id) -> id;
        };
    }

    private static String names(Set<String> some) {
        return some.stream().sorted().collect(Collectors.joining("+"));
    }
}
