package io.switchback.commit;

import io.switchback.ledger.Verdict;

/** Where a participant stands. */
public sealed interface ParticipantState {
    /**
     * In no switch. Every switch up to {@code overUpTo} is over as far as this participant is concerned: it was drawn before this process
     * began, which takes no part in it.
     */
    record Initial(long overUpTo) implements ParticipantState {}

    /** Asked to prepare; the hold is under way. */
    record Holding(SwitchId id) implements ParticipantState {}

    /** Holds, and has voted yes: only the register's verdict may end this. */
    record Prepared(SwitchId id) implements ParticipantState {}

    /** Has let go. Also the tombstone by which a late or repeated prepare of this switch, or an older one, is refused. */
    record Finished(SwitchId id, Verdict verdict) implements ParticipantState {}
}
