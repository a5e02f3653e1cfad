package io.switchback.release;

import io.switchback.commit.Protocol;
import io.switchback.commit.SwitchId;
import io.switchback.commit.Terms;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Where a release stands, as the ledger keeps it. Owned by the release's own thread; everybody else reads.
 *
 * <p>Invariant: {@code pendingSwitch} is written before anything of that switch happens and is removed only after its verdict
 * has been applied everywhere, so whoever starts after a crash knows which register to read.
 *
 * @param step the step under way, or the one that goes on when the release does
 * @param side which fleet takes the writes
 * @param pendingSwitch the switch that was begun and is not closed yet
 * @param baselines how the old fleet of each cache answered before the cutover, for the gates that are ratios
 * @param reason why the release stands where it stands, for a person
 */
public record ReleaseState(
        String release,
        Status status,
        Step step,
        Side side,
        @Nullable PendingSwitch pendingSwitch,
        Map<String, Baseline> baselines,
        String reason) {

    /** What a release does at the moment, or how it ended. */
    public enum Status {
        /** A step is under way. */
        RUNNING(false),
        /** Stands still where it is until {@code resume}; the link goes on. */
        PAUSED(false),
        /** The old fleet is in use again and the new one follows it: {@code resume} goes forward again, {@code abort} ends. */
        ROLLED_BACK(false),
        /** The new fleet stays; there is no way back any more. */
        FINISHED(true),
        /** Ended by a person before it finished; the old fleet is in use. */
        ABORTED(true),
        /** A step before the cutover could not succeed; the old fleet is in use, and nothing has changed for its clients. */
        FAILED(true);

        private final boolean ended;

        Status(boolean ended) {
            this.ended = ended;
        }

        /** Whether the release is over. */
        public boolean ended() {
            return ended;
        }

        /** The name as people write it. */
        public String title() {
            return name().toLowerCase(java.util.Locale.ROOT).replace('_', ' ');
        }
    }

    /** The two fleets of a move. */
    public enum Side {
        OLD,
        NEW;

        /** The one that a switch from here goes to. */
        public Side other() {
            return this == OLD ? NEW : OLD;
        }
    }

    /**
     * A switch that was begun: all that whoever finds it must know to bring it to its end.
     *
     * @param number of the switch
     * @param parts one for each cache
     * @param protocol by which it is agreed
     * @param participants who votes
     * @param membership the version of the membership from which they were taken
     * @param preCommitted what the fence found, once everybody has voted yes and before anybody is told; absent in two-phase commit
     */
    public record PendingSwitch(
            String release,
            long number,
            Side to,
            String why,
            List<SwitchPart> parts,
            Protocol protocol,
            Set<String> participants,
            long membership,
            SwitchRegister.@Nullable Evidence preCommitted) {

        SwitchId switchId() {
            return new SwitchId(release, number);
        }

        /** Its name in the register. */
        public String id() {
            return switchId().toString();
        }

        Optional<SwitchPart> part(String cache) {
            return parts.stream().filter(one -> one.cache().equals(cache)).findFirst();
        }

        /** What a participant was made ready for. */
        Optional<SwitchMessages.MakeReady> readiness(String cache) {
            return part(cache)
                    .map(one -> new SwitchMessages.MakeReady(
                            one, protocol, participants, 0, ReleaseFile.HOLD_LIMIT_DEFAULT.toMillis(), true, ""));
        }

        Terms terms() {
            return new Terms(switchId(), protocol, participants);
        }

        PendingSwitch with(SwitchRegister.Evidence evidence) {
            return new PendingSwitch(release, number, to, why, parts, protocol, participants, membership, evidence);
        }
    }

    /** How a fleet answered over a time: what the ratio gates compare with. */
    public record Baseline(long samples, double artMicros, long p99Micros, double errorRate) {}

    /** The first state of a release. */
    public static ReleaseState first(String release) {
        return new ReleaseState(release, Status.RUNNING, Step.CHECK, Side.OLD, null, Map.of(), "");
    }

    /** Whether a node that starts must not serve before the release has looked: a switch is to be closed, or a way back guarded. */
    boolean mustBeginHeld() {
        return pendingSwitch != null || (side == Side.NEW && !status.ended());
    }

    /** Whether it has ended before anything was changed. */
    boolean endedInItsCheck() {
        return status == Status.FAILED && step == Step.CHECK;
    }

    ReleaseState at(Status newStatus, Step newStep, String newReason) {
        return new ReleaseState(release, newStatus, newStep, side, pendingSwitch, baselines, newReason);
    }

    ReleaseState preCommitted(PendingSwitch known) {
        return new ReleaseState(release, status, step, side, known, baselines, reason);
    }

    ReleaseState beginning(PendingSwitch begun) {
        return new ReleaseState(release, status, step, side, begun, baselines, reason);
    }

    /**
     * Where the release stands once a switch is over: side, status and step change in one write, so that no kill can leave
     * the traffic on one fleet and the step on the other.
     */
    ReleaseState closed(PendingSwitch closing, boolean committed) {
        if (!committed) {
            return new ReleaseState(release, status, step, side, null, baselines, reason);
        }
        return switch (closing.to()) {
            case NEW -> new ReleaseState(release, Status.RUNNING, Step.OBSERVE, Side.NEW, null, baselines, "");
            case OLD ->
                new ReleaseState(release, Status.ROLLED_BACK, Step.SYNC, Side.OLD, null, baselines, closing.why());
        };
    }

    ReleaseState with(Map<String, Baseline> measured) {
        return new ReleaseState(release, status, step, side, pendingSwitch, measured, reason);
    }
}
