package io.switchback.testkit.load;

import java.time.Duration;

/** A stretch of time on the clock of {@link System#nanoTime}. */
public record TimeWindow(long fromNanos, long toNanos) {

    /** How long it is. */
    public Duration length() {
        return Duration.ofNanos(toNanos - fromNanos);
    }

    /** The same, longer by {@code margin} at each end. */
    public TimeWindow widened(Duration margin) {
        return new TimeWindow(fromNanos - margin.toNanos(), toNanos + margin.toNanos());
    }

    boolean touches(TimeWindow other) {
        return fromNanos - other.toNanos <= 0 && other.fromNanos - toNanos <= 0;
    }
}
