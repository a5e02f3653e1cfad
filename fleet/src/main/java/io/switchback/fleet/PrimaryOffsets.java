package io.switchback.fleet;

import java.util.OptionalLong;

/**
 * Up to which moment a replica has everything: the offsets at which its primary was seen, each with the moment before it was asked.
 *
 * <p>What a primary has answered before it was asked for its offset, stands in its stream before that offset. So a replica that has applied so much
 * has everything that the primary had answered until that moment; and it never loses it, since it applies the same stream in the same order.
 *
 * <p>Of one history of one primary; for one thread at a time. Bounded: when {@link #SAMPLES_MAX} are kept, every other one is forgotten. A moment is
 * never too late; it is too early by at most the distance of two samples.
 */
final class PrimaryOffsets {
    static final int SAMPLES_MAX = 1024;

    // Invariant: both rise strictly from 0 to count - 1.
    private final long[] offsets = new long[SAMPLES_MAX];
    private final long[] askedNanos = new long[SAMPLES_MAX];
    private int count;

    /** The primary stood at {@code offset} when it answered what it was asked at {@code atNanos}, which is later than any before. */
    void seen(long offset, long atNanos) {
        if (count > 0 && offset < offsets[count - 1]) {
            count = 0; // another history
        }
        if (count > 0 && offset == offsets[count - 1]) {
            count--; // nothing was written meanwhile: the later moment is as true
        }
        if (count == SAMPLES_MAX) {
            thinOut();
        }
        offsets[count] = offset;
        askedNanos[count] = atNanos;
        count++;
    }

    /** Until when the primary had answered nothing that a replica which has applied {@code offset} does not have; empty where that is too long ago. */
    OptionalLong hasAllUntil(long offset) {
        int from = 0;
        int to = count;
        while (from < to) {
            int middle = (from + to) >>> 1;
            if (offsets[middle] <= offset) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        return from == 0 ? OptionalLong.empty() : OptionalLong.of(askedNanos[from - 1]);
    }

    /** Where the primary was seen last; empty where it has not been. */
    OptionalLong last() {
        return count == 0 ? OptionalLong.empty() : OptionalLong.of(offsets[count - 1]);
    }

    void forget() {
        count = 0;
    }

    /** The newest stays, and so does every other one before it. */
    private void thinOut() {
        int kept = 0;
        for (int i = 1; i < count; i += 2) {
            offsets[kept] = offsets[i];
            askedNanos[kept] = askedNanos[i];
            kept++;
        }
        count = kept;
    }
}
