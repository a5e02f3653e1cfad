package io.switchback.commit;

import io.switchback.ledger.Verdict;

/** What a participant wants done. All of it may be done twice. */
public sealed interface ParticipantAction {
    /** Hold; answer Held or HoldFailed. */
    record Hold(SwitchId id) implements ParticipantAction {}

    /** Send; may be lost. */
    record VoteYes(SwitchId id) implements ParticipantAction {}

    /** Send; may be lost. */
    record VoteNo(SwitchId id, String reason) implements ParticipantAction {}

    /** Create-if-absent of ABORT in the register; answer RegisterSays with what stands there. Try again until it answers. */
    record SettleWithAbort(SwitchId id) implements ParticipantAction {}

    /** Let go on the side that the verdict names. */
    record Apply(SwitchId id, Verdict verdict) implements ParticipantAction {}

    /** Send; may be lost. */
    record Acknowledge(SwitchId id) implements ParticipantAction {}
}
