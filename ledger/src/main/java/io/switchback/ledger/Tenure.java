package io.switchback.ledger;

import java.time.Duration;
import java.util.OptionalLong;

/**
 * How long a session with an ensemble certainly lasts, on this process' clock. Any thread; pure arithmetic.
 *
 * <p>The ensemble expires a session when its leader has not heard of it for the session timeout T. What does the leader hear? It hears
 * of the session's beginning and of every reconnection directly. Of everything else it hears through the server that the client is
 * connected to, which notes who has spoken and reports that with its answer to the leader's next ping; <em>a write that it passes
 * on is no report</em>. Pings come every half tick, and T is at least two ticks (the servers' default for the smallest timeout), so every
 * T/4 or more often. They go down the same ordered stream as the leader's commits. So once a write is confirmed that was sent T/4
 * after another one had been confirmed, that other one is reported ({@code heard}): a ping lay between them. The write itself may
 * never be, if the server dies right now. A new leader counts from its own beginning, which only lengthens.
 *
 * <p>Therefore, at the confirmation of a write sent at {@code s}: the session lasts at least until {@code heard + T} on the
 * ensemble's clock. Held is claimed until the earlier of {@code s + 2/3 T} and {@code heard + 11/12 T} on ours. The twelfth that is
 * kept back is for clocks whose rates differ, far more than any do. In a steady row of writes, each T/4 after the one before, the two are equal.
 *
 * <p>All times are taken <em>before</em> sending, so nothing that stops this process (SIGSTOP, a long collection, a slow disk) can make the
 * claim longer; the clock goes on meanwhile. It does not while the whole machine is suspended, which no machine with a node on it should be.
 */
final class Tenure {
    /** Writes no closer than this (T divided by it) tell that the earlier one was reported; also how often they are sent. */
    static final int REPORT_DIVISOR = 4;

    private final long reportNanos;
    private final long heldAfterSentNanos;
    private final long heldAfterHeardNanos;

    /** A time not after one at which the leader has heard of the session. */
    private long heard;
    /** Of the last confirmed write that can become {@code heard}. */
    private OptionalLong lastSent = OptionalLong.empty();

    private long lastConfirmed;
    private long until;

    /**
     * @param begunAfter a time that is certainly before the session began; the later, the sooner something is held
     * @param now the present time: nothing is held yet
     */
    Tenure(Duration timeout, long begunAfter, long now) {
        long nanos = timeout.toNanos();
        this.reportNanos = nanos / REPORT_DIVISOR;
        this.heldAfterSentNanos = nanos * 2 / 3;
        this.heldAfterHeardNanos = nanos * 11 / 12;
        this.heard = begunAfter;
        this.until = now;
    }

    /** A write through a quorum was confirmed. */
    synchronized void confirmed(long sent, long confirmed) {
        if (lastSent.isEmpty() || sent - lastConfirmed >= reportNanos) {
            if (lastSent.isPresent()) {
                heard = lastSent.getAsLong();
            }
            lastSent = OptionalLong.of(sent);
            lastConfirmed = confirmed;
        }
        long bySent = sent + heldAfterSentNanos;
        long byHeard = heard + heldAfterHeardNanos;
        until = bySent - byHeard < 0 ? bySent : byHeard;
    }

    /** The connection is gone, for now or for ever: nothing is held. */
    synchronized void suspended(long now) {
        if (until - now > 0) {
            until = now;
        }
    }

    /** The session goes on over a new connection: the leader was asked, after everything that was confirmed before. */
    synchronized void reconnected() {
        if (lastSent.isPresent()) {
            heard = lastSent.getAsLong();
        }
    }

    synchronized long untilNanos() {
        return until;
    }

    boolean holds(long now) {
        return untilNanos() - now > 0;
    }
}
