package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Optional;

/** What happens to a coordinator. */
public sealed interface CoordinatorEvent {
    /** Begin the switch. */
    record Begin() implements CoordinatorEvent {}

    record VotedYes(String participant) implements CoordinatorEvent {}

    record VotedNo(String participant, String reason) implements CoordinatorEvent {}

    /** The fleet in use takes no more writes, and the other has all of them. */
    record Fenced() implements CoordinatorEvent {}

    record FenceFailed(String reason) implements CoordinatorEvent {}

    /** Three-phase: the participant has the pre-commit in its log. */
    record PreCommitAcknowledged(String participant) implements CoordinatorEvent {}

    /** The time for the present state has run out. */
    record TimedOut(String reason) implements CoordinatorEvent {}

    /** The register has recorded this, now or earlier. */
    record Decided(Verdict verdict) implements CoordinatorEvent {}

    record Acknowledged(String participant) implements CoordinatorEvent {}

    /**
     * A process takes the switch up, after a crash or from another. The state that this meets is the one that the ledger gave back: the
     * last that was logged for the switch, by whomever, or Initial where only its terms are there.
     *
     * @param registered what the register holds, read after the log
     */
    record Restarted(Optional<Verdict> registered) implements CoordinatorEvent {}
}
