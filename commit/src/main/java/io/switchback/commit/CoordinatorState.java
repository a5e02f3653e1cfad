package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Set;

/** Where a coordinator stands in one switch. */
public sealed interface CoordinatorState {
    SwitchId id();

    Set<String> participants();

    /** Nothing was sent yet. */
    record Initial(SwitchId id, Set<String> participants) implements CoordinatorState {
        public Initial {
            participants = Set.copyOf(participants);
            if (participants.isEmpty()) {
                throw new IllegalArgumentException("a switch has participants");
            }
        }
    }

    /** All were asked; {@code votedYes} have answered. */
    record Preparing(SwitchId id, Set<String> participants, Set<String> votedYes) implements CoordinatorState {
        public Preparing {
            participants = Set.copyOf(participants);
            votedYes = Set.copyOf(votedYes);
        }
    }

    /** All hold; the fleet in use is being fenced and the link drained. */
    record Fencing(SwitchId id, Set<String> participants) implements CoordinatorState {
        public Fencing {
            participants = Set.copyOf(participants);
        }
    }

    /** The register was asked to record {@code wanted}; what it recorded is not known yet, and may be the other. */
    record Deciding(SwitchId id, Set<String> participants, Verdict wanted, String reason) implements CoordinatorState {
        public Deciding {
            participants = Set.copyOf(participants);
        }
    }

    /** The register has spoken; every participant is told until it has acknowledged. */
    record Finishing(SwitchId id, Set<String> participants, Verdict verdict, Set<String> acknowledged)
            implements CoordinatorState {
        public Finishing {
            participants = Set.copyOf(participants);
            acknowledged = Set.copyOf(acknowledged);
        }
    }

    /** Everybody knows. */
    record Done(SwitchId id, Set<String> participants, Verdict verdict) implements CoordinatorState {
        public Done {
            participants = Set.copyOf(participants);
        }
    }
}
