package io.switchback.simulation;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The order in which the fence's steps are taken, within the hold and before the decision; the same as in the code that does it to
 * real servers. Pure. Between any two of the steps anything may happen.
 */
final class FenceSequence {
    /** One step; each is a question to one server or to the link, and its answer. */
    enum FenceStep {
        /** A's offset is read, and B has applied it. */
        DRAIN,
        /**
         * In one transaction that the token guards: A's last offset, A follows the reverse link's face, and where there are nodes that do
         * not take part, clients' connections are killed at A.
         */
        FOLLOW,
        /** What came between the drain and the fence has been applied at B too. */
        DRAIN_REST,
        /** The forward link lets nothing pass, and nothing is on its way. */
        FREEZE,
        /** B stands where A ended; that is where the way back begins. */
        READ_TARGET,
        /** A mistake: the register has not spoken. */
        PROMOTE
    }

    private FenceSequence() {}

    static List<FenceStep> steps(@Nullable PlantedBug bug) {
        List<FenceStep> steps = new ArrayList<>(List.of(
                FenceStep.DRAIN, FenceStep.FOLLOW, FenceStep.DRAIN_REST, FenceStep.FREEZE, FenceStep.READ_TARGET));
        if (bug == null) {
            return steps;
        }
        switch (bug) {
            case TARGET_READ_BEFORE_FREEZE -> {
                steps.remove(FenceStep.READ_TARGET);
                steps.add(steps.indexOf(FenceStep.DRAIN_REST), FenceStep.READ_TARGET);
            }
            case LINK_NOT_FROZEN -> {
                steps.remove(FenceStep.FREEZE);
                steps.remove(FenceStep.DRAIN_REST);
            }
            case OFFSET_BEFORE_FENCE -> steps.remove(FenceStep.DRAIN_REST);
            case NO_FENCE -> steps.remove(FenceStep.FOLLOW);
            case PROMOTED_BEFORE_DECISION -> steps.add(FenceStep.PROMOTE);
            default -> {}
        }
        return steps;
    }
}
