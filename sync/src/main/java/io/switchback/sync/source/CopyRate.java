package io.switchback.sync.source;

import java.time.Duration;

/**
 * How many bytes a second a copy may take at this moment, where its source's latency decides: halved when that is too long, raised slowly while it is not. One thread says
 * what the source has answered, any may read.
 *
 * <p>A single slow answer says little (this process may have stood still), so two in a row count as one.
 */
final class CopyRate {
    /** Where nothing else limits it. */
    static final long BYTES_PER_SECOND_MAX = 4L << 30;

    private static final long BYTES_PER_SECOND_FIRST = 64L << 20;
    /** Of a rate, at each answer that is in time: doubled after some four seconds. */
    private static final double RAISED_BY = 0.02;

    private final long latencyNanosMax;
    private final long most;
    private boolean lastWasSlow; // the saying thread alone
    private volatile long bytesPerSecond;

    CopyRate(Duration latencyMax, long most) {
        this.latencyNanosMax = latencyMax.toNanos();
        this.most = most;
        this.bytesPerSecond = Math.min(most, BYTES_PER_SECOND_FIRST);
    }

    /** The source has answered, after so long. */
    void answered(long nanos) {
        if (nanos <= latencyNanosMax) {
            lastWasSlow = false;
            bytesPerSecond = Math.min(most, bytesPerSecond + (long) (bytesPerSecond * RAISED_BY));
        } else if (lastWasSlow) {
            lastWasSlow = false;
            bytesPerSecond = Math.max(CopyLimits.BYTES_PER_SECOND_MIN, bytesPerSecond / 2);
        } else {
            lastWasSlow = true;
        }
    }

    long bytesPerSecond() {
        return bytesPerSecond;
    }
}
