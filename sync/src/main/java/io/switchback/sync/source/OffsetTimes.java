package io.switchback.sync.source;

import java.util.OptionalLong;

/**
 * When a server was first seen to have reached an offset of its stream. For any thread.
 *
 * <p>Bounded: when {@link #SAMPLES_MAX} are kept, every other one is forgotten, and from then on they are taken as far apart as
 * that has left them: what is kept stays spread evenly over the whole time. A time is never too early; it is late by at most the
 * distance of two samples.
 */
public final class OffsetTimes {
    public static final int SAMPLES_MAX = 4096;

    // Invariant: both rise strictly from 0 to count - 1.
    private final long[] offsets = new long[SAMPLES_MAX];
    private final long[] nanos = new long[SAMPLES_MAX];
    private int count;
    private long apartNanos;

    /** The server stood at {@code offset}; {@code atNanos} is a monotonic time after that. */
    public synchronized void seen(long offset, long atNanos) {
        if (count > 0 && offset < offsets[count - 1]) {
            count = 0; // another history
        }
        if (count > 0 && offset == offsets[count - 1]) {
            return;
        }
        if (count > 1 && atNanos - nanos[count - 2] < apartNanos) {
            count--; // the newest is always kept, in place of the one before it
        }
        if (count == SAMPLES_MAX) {
            thinOut();
        }
        offsets[count] = offset;
        nanos[count] = atNanos;
        count++;
    }

    /** When the server was first seen at {@code offset} or behind it; empty where it has not been. */
    public synchronized OptionalLong reached(long offset) {
        int index = firstAtOrBehind(offset);
        return index == count ? OptionalLong.empty() : OptionalLong.of(nanos[index]);
    }

    /** Nobody will ask for offsets before this one. */
    public synchronized void forgetBefore(long offset) {
        int keep = Math.min(firstAtOrBehind(offset), Math.max(0, count - 1));
        System.arraycopy(offsets, keep, offsets, 0, count - keep);
        System.arraycopy(nanos, keep, nanos, 0, count - keep);
        count -= keep;
        if (count < SAMPLES_MAX / 4) {
            apartNanos = 0;
        }
    }

    private int firstAtOrBehind(long offset) {
        int from = 0;
        int to = count;
        while (from < to) {
            int middle = (from + to) >>> 1;
            if (offsets[middle] < offset) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        return from;
    }

    /** The newest stays, and so does every other one before it. */
    private void thinOut() {
        int kept = 0;
        for (int i = 1; i < count; i += 2) {
            offsets[kept] = offsets[i];
            nanos[kept] = nanos[i];
            kept++;
        }
        count = kept;
        apartNanos = (nanos[count - 1] - nanos[0]) / (count - 1);
    }
}
