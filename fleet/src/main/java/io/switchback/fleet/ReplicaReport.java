package io.switchback.fleet;

import java.util.List;
import java.util.OptionalLong;

/**
 * How far the replicas of a fleet have come, as was last seen. Moments are those of the environment's monotonic clock.
 *
 * @param primary whom they follow
 * @param primaryIsSilent it does not answer; one that answers and is no primary (any more) is not silent
 * @param primaryAnsweredNanos the moment before it was asked what it answered last, as a primary; of no meaning before that
 * @param replicas those that the fleet is known to have, whether they are of use or not
 */
public record ReplicaReport(
        Endpoint primary, boolean primaryIsSilent, long primaryAnsweredNanos, List<Replica> replicas) {
    public ReplicaReport {
        replicas = List.copyOf(replicas);
    }

    /**
     * One of them.
     *
     * @param askedNanos the moment before it was asked for what is said here
     * @param hasAllUntilNanos everything that the primary had answered until then it has; empty where that is not known, or too long ago
     * @param isFollowing whether it says that its link to the primary is up
     * @param behindBytes of the primary's stream, as the primary was last seen; -1 where that is not known
     * @param problem why it is of no use, for a person; empty where nothing is known against it
     */
    public record Replica(
            Endpoint server,
            long askedNanos,
            OptionalLong hasAllUntilNanos,
            boolean isFollowing,
            long behindBytes,
            String problem) {}
}
