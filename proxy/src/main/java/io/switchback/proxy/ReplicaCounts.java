package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * What reading from replicas does, since the proxy was opened.
 *
 * @param replicas by where they listen: those of the fleet in use, as long as it is known to have them
 * @param atPrimaryForOwn reads that the primary has answered since no replica was known to have all that their client had written or read
 * @param atPrimaryForNone reads that the primary has answered since no replica was of use
 */
public record ReplicaCounts(Map<Endpoint, One> replicas, long atPrimaryForOwn, long atPrimaryForNone) {
    public ReplicaCounts {
        replicas = Map.copyOf(replicas);
    }

    /** Reads that replicas have answered. */
    public long reads() {
        return replicas.values().stream().mapToLong(One::reads).sum();
    }

    /**
     * One replica.
     *
     * @param reads that it has answered
     * @param askedAgain reads that it was sent and that went to the primary then: it gave an error, came too late, or its connection broke
     * @param ejections how often it was left out for being slow or not to be reached, by any event loop
     * @param lag how long ago it was last known to have everything; empty where that is not known
     * @param isInUse whether any event loop would read from it now
     */
    public record One(long reads, long askedAgain, long ejections, Optional<Duration> lag, boolean isInUse) {
        One plus(One other) {
            return new One(
                    reads + other.reads,
                    askedAgain + other.askedAgain,
                    ejections + other.ejections,
                    lag.isEmpty() ? other.lag : lag,
                    isInUse || other.isInUse);
        }
    }
}
