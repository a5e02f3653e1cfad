package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Optional;

/** What happens to a participant. */
public sealed interface ParticipantEvent {
    record PrepareAsked(Seat seat) implements ParticipantEvent {}

    /** The hold that was asked for stands. */
    record Held(SwitchId id) implements ParticipantEvent {}

    /** The hold that was asked for could not be had; it was let go already. */
    record HoldFailed(SwitchId id, String reason) implements ParticipantEvent {}

    /** A coordinator says that all have voted yes and the fence stands. The driver keeps what comes with it for the log. */
    record PreCommitAsked(SwitchId id) implements ParticipantEvent {}

    /** A coordinator says what the register holds. */
    record Told(SwitchId id, Verdict verdict) implements ParticipantEvent {}

    /** Nothing was heard for too long. */
    record TimedOut() implements ParticipantEvent {}

    /** The register itself was read. */
    record RegisterSays(SwitchId id, Verdict verdict) implements ParticipantEvent {}

    /** A peer has heard nothing for too long; it says where it stands itself. */
    record PeerAsks(SwitchId id, String peer, Standing standing) implements ParticipantEvent {}

    /** A peer answers. */
    record PeerSays(SwitchId id, String peer, Standing standing) implements ParticipantEvent {}

    /**
     * The process is new. It holds from its start, until this was answered; and it reads the routes after these. The state that this meets
     * is the last that was logged here, or {@code Initial(0)} where the log is lost.
     *
     * @param open this participant's seat in the switch in which it may have voted yes: the one that the ledger says is under way with it
     * @param registered what the register holds for that
     * @param lastNumber the last number that was drawn for a switch
     */
    record Restarted(Optional<Seat> open, Optional<Verdict> registered, long lastNumber) implements ParticipantEvent {}
}
