package io.switchback.commit;

import io.switchback.ledger.Verdict;

/** What a coordinator wants done. */
public sealed interface CoordinatorAction {
    /** Send; may be lost. */
    record AskToPrepare(String participant) implements CoordinatorAction {}

    /** Fence the fleet in use and drain the link; answer Fenced or FenceFailed. */
    record Fence() implements CoordinatorAction {}

    /** Create-if-absent in the register; answer Decided with what stands there afterwards. Try again until it answers. */
    record WriteDecision(Verdict wanted, String reason) implements CoordinatorAction {}

    /** Send; may be lost, the time-out sends it again. */
    record Tell(String participant, Verdict verdict) implements CoordinatorAction {}

    /** The switch is over; what was kept of it for going on can go. The decision in the register stays. */
    record Forget() implements CoordinatorAction {}
}
