package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.Set;

/** Where a participant stands. */
public sealed interface ParticipantState {
    /**
     * In no switch. Every switch up to {@code overUpTo} is over as far as this participant is concerned: it was drawn before this process
     * began, which takes no part in it.
     */
    record Initial(long overUpTo) implements ParticipantState {}

    /** In a switch. */
    sealed interface Open extends ParticipantState {
        Seat seat();
    }

    /** Asked to prepare; the hold is under way. */
    record Holding(Seat seat) implements Open {}

    /** Holds, and has voted yes or may have: only the register's verdict ends this, and every time-out asks for it. */
    sealed interface Voted extends Open {}

    /** Has voted yes, and waits for the coordinator. */
    record Prepared(Seat seat) implements Voted {}

    /**
     * Three-phase: prepared, or restarted and perhaps prepared, and asks its peers. {@code unheard} have not answered; whoever has is merely
     * prepared.
     */
    record Inquiring(Seat seat, Set<String> unheard) implements Voted {
        public Inquiring {
            unheard = Set.copyOf(unheard);
        }
    }

    /** Three-phase: knows that all have voted yes and the fence stands, and waits for the coordinator. */
    record PreCommitted(Seat seat) implements Voted {}

    /** Three-phase: pre-committed, and brings its peers there too; {@code behind} have not said that they are. */
    record BringingAlong(Seat seat, Set<String> behind) implements Voted {
        public BringingAlong {
            behind = Set.copyOf(behind);
        }
    }

    /** The register was asked to record {@code wish}; what it recorded is not known here yet, and may be the other. */
    record Settling(Seat seat, Verdict wish) implements Voted {}

    /**
     * Has let go. Also the tombstone by which a late or repeated prepare of this switch, or an older one, is refused.
     *
     * @param recorded whether the register has said so; if not, it aborted alone, before it voted
     */
    record Finished(SwitchId id, Verdict verdict, boolean recorded) implements ParticipantState {
        public Finished {
            if (!recorded && verdict != Verdict.ABORT) {
                throw new IllegalArgumentException("nobody commits alone: " + id);
            }
        }
    }
}
