package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Set;

/** Where a coordinator stands in one switch. */
public sealed interface CoordinatorState {
    Terms terms();

    default SwitchId id() {
        return terms().id();
    }

    default Set<String> participants() {
        return terms().participants();
    }

    /** Nothing was sent yet. */
    record Initial(Terms terms) implements CoordinatorState {}

    /** The switch is in the ledger, and all were asked; {@code votedYes} have answered. */
    record Preparing(Terms terms, Set<String> votedYes) implements CoordinatorState {
        public Preparing {
            votedYes = Set.copyOf(votedYes);
        }
    }

    /** All hold; the fleet in use is being fenced and the link drained. */
    record Fencing(Terms terms) implements CoordinatorState {}

    /**
     * Three-phase: all have voted yes, the fence stands, and both are in the log with what the fence found. All were told;
     * {@code preCommitted} have acknowledged. From here on this side only ever wishes COMMIT.
     */
    record PreCommitting(Terms terms, Set<String> preCommitted) implements CoordinatorState {
        public PreCommitting {
            preCommitted = Set.copyOf(preCommitted);
        }
    }

    /** The register was asked to record {@code wanted}; what it recorded is not known yet, and may be the other. */
    record Deciding(Terms terms, Verdict wanted, String reason) implements CoordinatorState {}

    /** The register has spoken; every participant is told until it has acknowledged. */
    record Finishing(Terms terms, Verdict verdict, Set<String> acknowledged) implements CoordinatorState {
        public Finishing {
            acknowledged = Set.copyOf(acknowledged);
        }
    }

    /** Everybody knows. */
    record Done(Terms terms, Verdict verdict) implements CoordinatorState {}
}
