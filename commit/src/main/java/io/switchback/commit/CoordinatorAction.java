package io.switchback.commit;

import io.switchback.ledger.Verdict;

/** What a coordinator wants done. All of it may be done twice. */
public sealed interface CoordinatorAction {
    /** Send, with the participant's seat; may be lost. */
    record AskToPrepare(String participant) implements CoordinatorAction {}

    /** Fence the fleet in use and drain the link; answer Fenced or FenceFailed. */
    record Fence() implements CoordinatorAction {}

    /** Three-phase: send, with what the fence found (whoever has it can write COMMIT); may be lost. */
    record PreCommit(String participant) implements CoordinatorAction {}

    /**
     * Create-if-absent in the register, together with what this coordinator knows; answer Decided with what stands there afterwards. Try
     * again until it answers.
     */
    record WriteDecision(Verdict wanted, String reason) implements CoordinatorAction {}

    /** Send; may be lost, the time-out sends it again. */
    record Tell(String participant, Verdict verdict) implements CoordinatorAction {}

    /** The switch is over; what was kept of it for going on can go. The decision in the register stays. */
    record Forget() implements CoordinatorAction {}
}
