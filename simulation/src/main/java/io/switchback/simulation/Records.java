package io.switchback.simulation;

import io.switchback.commit.Protocol;
import io.switchback.commit.SwitchId;
import io.switchback.commit.Terms;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What the simulated release keeps in the ledger. */
final class Records {
    static final String RELEASE = "r";
    static final String CACHE = "c";
    static final String STATE = "releases/r/state";
    static final String BASE = "releases/r/base";

    private Records() {}

    /**
     * Where the release stands.
     *
     * @param onB the fleet in use
     * @param switchesDone how many orders are carried out or given up
     * @param attempts of the present order
     */
    record State(
            boolean onB,
            int switchesDone,
            int attempts,
            @Nullable Pending pending) {
        State with(@Nullable Pending next) {
            return new State(onB, switchesDone, attempts, next);
        }
    }

    /** A switch that was begun. */
    record Pending(
            long number,
            boolean toB,
            long epoch,
            Protocol protocol,
            Set<String> participants,
            long membership,
            boolean somebodyIsMissing,
            @Nullable Evidence preCommitted) {
        SwitchId id() {
            return new SwitchId(RELEASE, number);
        }

        Terms terms() {
            return new Terms(id(), protocol, participants);
        }

        Pending with(Evidence evidence) {
            return new Pending(number, toB, epoch, protocol, participants, membership, somebodyIsMissing, evidence);
        }
    }

    /** What a commit rests on. */
    record Evidence(boolean toB, long epoch, long membership, Base base) {}
}
