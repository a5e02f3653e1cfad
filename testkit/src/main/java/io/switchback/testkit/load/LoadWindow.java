package io.switchback.testkit.load;

import java.time.Duration;

/**
 * What all clients saw within a {@link TimeWindow}, to within 10 ms at its ends.
 *
 * @param answers operations that were answered within it
 * @param errors operations that ended within it in an error or without an answer
 * @param sumMicros the sum of the answered ones' response times
 * @param longestPauseMicros the longest that any client waited for an answer, where any part of the wait lies in the window
 */
public record LoadWindow(long answers, long errors, long sumMicros, long longestPauseMicros) {

    /** The average response time of what was answered. */
    public Duration art() {
        return answers == 0 ? Duration.ZERO : Duration.ofNanos(sumMicros * 1_000 / answers);
    }

    /** As {@link #longestPauseMicros}. */
    public Duration longestPause() {
        return Duration.ofNanos(longestPauseMicros * 1_000);
    }

    LoadWindow and(LoadWindow other) {
        return new LoadWindow(
                answers + other.answers,
                errors + other.errors,
                sumMicros + other.sumMicros,
                Math.max(longestPauseMicros, other.longestPauseMicros));
    }
}
