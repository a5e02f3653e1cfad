package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReplicaReport;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;

/**
 * A replica of the fleet in use as one event loop knows it: what it has, how it answers, whether it is left out.
 *
 * <p>Owned by its event loop.
 */
final class Replica {
    /** After so many failures in a row it is left out. */
    private static final int FAILURES_MAX = 3;
    /** So long it is left out for the first time, and twice as long each time after. */
    private static final long EJECTED_NANOS = TimeUnit.SECONDS.toNanos(1);

    private static final long EJECTED_MAX_NANOS = TimeUnit.SECONDS.toNanos(30);
    /** Who was of use for so long begins anew. */
    private static final long CALM_NANOS = TimeUnit.SECONDS.toNanos(60);
    /** In this time one that is back gets its whole share again. */
    private static final long SLOW_START_NANOS = TimeUnit.SECONDS.toNanos(5);

    private static final double SHARE_AT_FIRST = 0.1;
    /** What one answer counts for, beside those before it. */
    private static final double NEWEST = 0.1;

    /** Among whom it is. */
    final Replicas among;

    final Endpoint server;
    /** In the node's own zone. */
    final boolean isNear;

    private long askedNanos;
    private boolean isKnown;
    private long hasAllUntilNanos;
    private boolean isFollowing;

    private int outstanding;
    private double latencyNanos;
    private boolean isMeasured;
    /** Since it was last looked whether it is slow. */
    private long answeredLately;

    private double nanosLately;

    private int failures;
    private boolean isEjected;
    private int ejectionsInARow;
    private long ejectedUntilNanos;
    boolean isProbed;

    private boolean startsSlowly;
    private long backSinceNanos;
    private boolean wasOfUse;

    private long reads;
    private long askedAgain;
    private long ejections;

    Replica(Replicas among, Endpoint server, boolean isNear) {
        this.among = among;
        this.server = server;
        this.isNear = isNear;
    }

    // --- what it has

    void seen(ReplicaReport.Replica report, long now) {
        askedNanos = report.askedNanos();
        isFollowing = report.isFollowing();
        OptionalLong until = report.hasAllUntilNanos();
        isKnown = until.isPresent();
        hasAllUntilNanos = until.orElse(0);
        boolean isOfUse = isKnown && isFollowing;
        if (isOfUse && !wasOfUse) {
            isBack(now);
        }
        wasOfUse = isOfUse;
    }

    /** It has said that it is no good; until somebody has looked it is asked for nothing. */
    void doubt() {
        isKnown = false;
    }

    /** Whether it was seen to be one of its primary's, and has not been doubted since. */
    boolean isKnown() {
        return isKnown;
    }

    /** It is none of the fleet's any more. */
    void isGone() {
        isKnown = false;
    }

    /** Whether it was seen to follow, and to have everything that its primary had answered until {@code lagMaxNanos} before {@code then}. */
    boolean isFresh(long then, long lagMaxNanos) {
        return isKnown && isFollowing && then - hasAllUntilNanos <= lagMaxNanos;
    }

    /** As {@link #isFresh}, where it has nobody to follow. */
    boolean wasFresh(long then, long lagMaxNanos) {
        return isKnown && then - hasAllUntilNanos <= lagMaxNanos;
    }

    /** Everything that the primary had answered until then it has. */
    long hasAllUntilNanos() {
        return hasAllUntilNanos;
    }

    /** Whether what is known of it is true of the process to which this connection leads: it was asked since the connection was there. */
    boolean isSameAs(BackendConnection connection) {
        return askedNanos - connection.standsSinceNanos() > 0;
    }

    // --- how it answers

    void sent(int commands) {
        outstanding += commands;
    }

    void settled(int commands) {
        outstanding -= commands;
    }

    void answered(int commands, long nanos) {
        reads += commands;
        failures = 0;
        latencyNanos = isMeasured ? latencyNanos + (nanos - latencyNanos) * NEWEST : nanos;
        isMeasured = true;
        answeredLately += commands;
        nanosLately += (double) nanos * commands;
    }

    void askedAgain(int commands) {
        askedAgain += commands;
    }

    /** So many of the commands that it has answered the primary is asked for all the same. */
    void left(int commands) {
        reads -= commands;
        askedAgain += commands;
    }

    /** What one more read costs there: the less the better. */
    double cost(long now) {
        return (outstanding + 1) * Math.max(1, latencyNanos) / share(now);
    }

    /** How much of its share it gets: less while it has only just come back. */
    double share(long now) {
        if (!startsSlowly) {
            return 1;
        }
        double grown = (double) (now - backSinceNanos) / SLOW_START_NANOS;
        if (grown >= 1) {
            startsSlowly = false;
            return 1;
        }
        return SHARE_AT_FIRST + (1 - SHARE_AT_FIRST) * grown;
    }

    /** The mean since it was last asked for; negative where there were fewer answers than {@code min}. */
    double meanNanosLately(int min) {
        return answeredLately < min ? -1 : nanosLately / answeredLately;
    }

    /** It has had little to answer: how long that took once says less and less of how long it would take now. */
    void isHardlyAsked() {
        latencyNanos /= 2;
    }

    void forgetLately() {
        answeredLately = 0;
        nanosLately = 0;
    }

    // --- whether it is left out

    boolean isEjected() {
        return isEjected;
    }

    /** It could not be connected to, or broke a connection with something unanswered. */
    void failed(long now) {
        failures++;
        if (failures >= FAILURES_MAX && !isEjected) {
            eject(now);
        }
    }

    void eject(long now) {
        if (ejectionsInARow > 0 && now - backSinceNanos > CALM_NANOS) {
            ejectionsInARow = 0;
        }
        isEjected = true;
        isProbed = false;
        ejections++;
        ejectedUntilNanos = now + Math.min(EJECTED_MAX_NANOS, EJECTED_NANOS << Math.min(ejectionsInARow, 10));
        ejectionsInARow++;
    }

    boolean isToBeProbed(long now) {
        return isEjected && !isProbed && now - ejectedUntilNanos >= 0;
    }

    /** It has answered a probe. */
    void readmit(long now) {
        isEjected = false;
        isProbed = false;
        failures = 0;
        isMeasured = false;
        latencyNanos = 0;
        forgetLately();
        isBack(now);
    }

    private void isBack(long now) {
        startsSlowly = true;
        backSinceNanos = now;
    }

    /** It was there before anybody asked for anything: nobody has to be careful with it. */
    void startsAtOnce() {
        startsSlowly = false;
    }

    ReplicaCounts.One counts(long now, boolean isInUse) {
        Optional<Duration> lag =
                isKnown ? Optional.of(Duration.ofNanos(Math.max(0, now - hasAllUntilNanos))) : Optional.empty();
        return new ReplicaCounts.One(reads, askedAgain, ejections, lag, isInUse);
    }
}
