package io.switchback.sync;

/**
 * What both sides of a translated stream call the same point: runs of bytes that pass one to one, and between two runs a
 * command that was rewritten, or a marker that has no counterpart at the source.
 *
 * <p>Thread-safe. Bounded: {@link #SEGMENTS_MAX} runs, trimmed by what the target has applied; while it is full, {@link
 * #isFull} says so, and nobody may read on.
 */
final class SegmentMap implements OffsetMap {
    static final int SEGMENTS_MAX = 1 << 18;
    private static final int SEGMENTS_FIRST = 1 << 10;

    // Rings of one size. Run i: source bytes [sourceStart, sourceEnd), at the target from targetStart on. Ascending.
    private long[] sourceStart = new long[SEGMENTS_FIRST];
    private long[] sourceEnd = new long[SEGMENTS_FIRST];
    private long[] targetStart = new long[SEGMENTS_FIRST];
    private int first;
    private int count;

    /** Both sides stand at the same point. */
    SegmentMap(long source, long target) {
        append(source, target);
    }

    /** The next {@code bytes} pass one to one. */
    synchronized void passed(long bytes) {
        sourceEnd[at(count - 1)] += bytes;
    }

    /** A command of {@code sourceBytes} has become {@code targetBytes}; either may be 0. */
    synchronized void rewritten(long sourceBytes, long targetBytes) {
        if (sourceBytes == targetBytes) {
            passed(sourceBytes);
        } else {
            append(endSource() + sourceBytes, endTarget() + targetBytes);
        }
    }

    /** {@code bytes} pass one to one, and {@code injected} ones follow, as one change for whoever looks. */
    synchronized void passedAndInjected(long bytes, long injected) {
        passed(bytes);
        rewritten(0, injected);
    }

    /** As {@link #rewritten}, with {@code injected} bytes behind it, as one change for whoever looks. */
    synchronized void rewrittenAndInjected(long sourceBytes, long targetBytes, long injected) {
        rewritten(sourceBytes, targetBytes + injected);
    }

    private void append(long source, long target) {
        if (count == sourceStart.length) {
            grow();
        }
        count++;
        int last = at(count - 1);
        sourceStart[last] = source;
        sourceEnd[last] = source;
        targetStart[last] = target;
    }

    private void grow() {
        sourceStart = grown(sourceStart);
        sourceEnd = grown(sourceEnd);
        targetStart = grown(targetStart);
        first = 0;
    }

    private long[] grown(long[] ring) {
        long[] next = new long[ring.length * 2];
        for (int i = 0; i < count; i++) {
            next[i] = ring[(first + i) & (ring.length - 1)];
        }
        return next;
    }

    /** Whether there is no room for another run until the target has applied more. */
    synchronized boolean isFull() {
        return count >= SEGMENTS_MAX - 1;
    }

    /** Forgets what lies behind a target that stands at {@code target}. */
    synchronized void trim(long target) {
        while (count > 1 && targetStart[at(1)] <= target) {
            first = at(1);
            count--;
        }
    }

    /** Up to where the source's stream was taken in. */
    synchronized long endSource() {
        return sourceEnd[at(count - 1)];
    }

    /** What the target will call that point. */
    synchronized long endTarget() {
        int last = at(count - 1);
        return targetStart[last] + sourceEnd[last] - sourceStart[last];
    }

    @Override
    public synchronized long toTarget(long source) {
        if (source > endSource()) {
            return NOT_YET;
        }
        int run = lastStart(sourceStart, source);
        if (run < 0) {
            return targetStart[at(0)]; // trimmed: applied long ago
        }
        int i = at(run);
        // Within a rewritten command there is no such point: only behind it.
        return source <= sourceEnd[i] ? targetStart[i] + source - sourceStart[i] : targetStart[at(run + 1)];
    }

    @Override
    public synchronized long toSource(long target) {
        int run = lastStart(targetStart, target);
        if (run < 0) {
            return NOT_YET;
        }
        int i = at(run);
        return Math.min(sourceEnd[i], sourceStart[i] + target - targetStart[i]);
    }

    /** The last run that starts at or before {@code offset}; -1 where all start behind it. */
    private int lastStart(long[] starts, long offset) {
        int low = 0;
        int high = count - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (starts[at(middle)] <= offset) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return high;
    }

    private int at(int index) {
        return (first + index) & (sourceStart.length - 1);
    }
}
