package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Optional;

/** What happens to a participant. */
public sealed interface ParticipantEvent {
    record PrepareAsked(SwitchId id) implements ParticipantEvent {}

    /** The hold that was asked for stands. */
    record Held(SwitchId id) implements ParticipantEvent {}

    /** The hold that was asked for could not be had; it was let go already. */
    record HoldFailed(SwitchId id, String reason) implements ParticipantEvent {}

    /** A coordinator says what the register holds. */
    record Told(SwitchId id, Verdict verdict) implements ParticipantEvent {}

    /** Nothing was heard for too long. */
    record TimedOut() implements ParticipantEvent {}

    /** The register itself was read. */
    record RegisterSays(SwitchId id, Verdict verdict) implements ParticipantEvent {}

    /**
     * The process is new. It holds from its start, until this was answered; and it reads the routes after these.
     *
     * @param open the switch in which it may have voted yes: the one that the ledger says is under way with this participant
     * @param registered what the register holds for that
     * @param lastNumber the last number that was drawn for a switch
     */
    record Restarted(Optional<SwitchId> open, Optional<Verdict> registered, long lastNumber)
            implements ParticipantEvent {}
}
