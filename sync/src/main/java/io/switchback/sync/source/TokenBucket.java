package io.switchback.sync.source;

/** Spreads what is taken over time, at a rate that may change; for one thread. Time is told to it. */
final class TokenBucket {
    /** What was not taken in time may be taken at once later, as far back as this. */
    private static final long BURST_NANOS = 50_000_000;

    private static final double SECOND_NANOS = 1e9;

    private boolean begun;
    /** When all that was taken is paid for. */
    private long paidAtNanos;

    /** Takes some; how long to wait before the next is taken, 0 or less for not at all. */
    long take(long nowNanos, long count, long perSecond) {
        long from = begun && paidAtNanos - nowNanos > -BURST_NANOS
                ? paidAtNanos
                : begun ? nowNanos - BURST_NANOS : nowNanos;
        begun = true;
        paidAtNanos = from + (long) (count * SECOND_NANOS / perSecond);
        return paidAtNanos - nowNanos;
    }
}
