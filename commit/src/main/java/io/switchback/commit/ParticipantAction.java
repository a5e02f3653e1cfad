package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Set;

/** What a participant wants done. All of it may be done twice. */
public sealed interface ParticipantAction {
    /** Hold; answer Held or HoldFailed. */
    record Hold(SwitchId id) implements ParticipantAction {}

    /** Send to the coordinator; may be lost. */
    record VoteYes(SwitchId id) implements ParticipantAction {}

    /** Send to the coordinator; may be lost. */
    record VoteNo(SwitchId id, String reason) implements ParticipantAction {}

    /** Send to the coordinator; may be lost. */
    record AcknowledgePreCommit(SwitchId id) implements ParticipantAction {}

    /**
     * Send to each of {@code peers}, to be met there as PeerAsks; may be lost. With PRE_COMMITTED goes what PreCommit brought, and so do the
     * answers that say it: that is how a peer is brought along.
     */
    record AskPeers(SwitchId id, Set<String> peers, Standing own) implements ParticipantAction {
        public AskPeers {
            peers = Set.copyOf(peers);
        }
    }

    /** Send, to be met there as PeerSays; may be lost. */
    record TellPeer(SwitchId id, String peer, Standing own) implements ParticipantAction {}

    /**
     * Create-if-absent of {@code wish} in the register; answer RegisterSays with what stands there. Try again until it answers, or
     * leave that to the time-out. For COMMIT, what PreCommit brought (and the log kept) is written with it.
     */
    record Settle(SwitchId id, Verdict wish) implements ParticipantAction {}

    /**
     * Let go on the side that the verdict names. This need not wait for the log, so that clients do not: whoever finds the older state
     * in the log after a crash asks the register, and applies the same again.
     */
    record Apply(SwitchId id, Verdict verdict) implements ParticipantAction {}

    /** Send to the coordinator; may be lost. */
    record Acknowledge(SwitchId id) implements ParticipantAction {}
}
