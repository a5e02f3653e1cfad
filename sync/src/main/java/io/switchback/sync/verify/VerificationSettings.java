package io.switchback.sync.verify;

import java.time.Duration;

/**
 * How to verify.
 *
 * @param busyShareMax the share of the time in which the servers are asked, above 0; 1: as fast as it goes. They have clients to
 *     serve, one command at a time
 * @param lagBound a difference counts only if it stays for longer than this while the source's value does not change
 * @param timeToLiveTolerance by how much a time to live may differ where one side cannot say it exactly (below 7.0), beside
 *     what the reading itself took
 * @param movingLimit after so long a key that is different each time, because it changes all the time, is counted as moving
 * @param differencesMax how many differences the report names; all are counted
 * @param movingNamesMax how many moving keys the report names; all are counted
 * @param timeout for each reply
 */
public record VerificationSettings(
        double busyShareMax,
        Duration lagBound,
        Duration timeToLiveTolerance,
        Duration movingLimit,
        int differencesMax,
        int movingNamesMax,
        Duration timeout) {

    /** A quarter of the time is left to clients alone; a lag of up to a second. */
    public static VerificationSettings defaults() {
        return new VerificationSettings(
                0.75,
                Duration.ofSeconds(1),
                Duration.ofMillis(500),
                Duration.ofSeconds(15),
                100,
                20,
                Duration.ofSeconds(30));
    }

    /** The same with another share of the time. */
    public VerificationSettings withBusyShareMax(double share) {
        return new VerificationSettings(
                share, lagBound, timeToLiveTolerance, movingLimit, differencesMax, movingNamesMax, timeout);
    }

    /** The same with another tolerance of times to live that one side cannot say exactly. */
    public VerificationSettings withTimeToLiveTolerance(Duration tolerance) {
        return new VerificationSettings(
                busyShareMax, lagBound, tolerance, movingLimit, differencesMax, movingNamesMax, timeout);
    }

    /** The same with another bound of the lag. */
    public VerificationSettings withLagBound(Duration bound) {
        return new VerificationSettings(
                busyShareMax, bound, timeToLiveTolerance, movingLimit, differencesMax, movingNamesMax, timeout);
    }

    /** The same with another limit for keys that keep changing. */
    public VerificationSettings withMovingLimit(Duration limit) {
        return new VerificationSettings(
                busyShareMax, lagBound, timeToLiveTolerance, limit, differencesMax, movingNamesMax, timeout);
    }
}
