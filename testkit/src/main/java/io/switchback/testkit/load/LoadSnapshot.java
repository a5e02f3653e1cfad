package io.switchback.testkit.load;

import java.time.Duration;
import org.HdrHistogram.Histogram;

/**
 * What all clients have seen up to a moment; the difference of two is what they saw in between.
 *
 * @param atNanos the moment, on the clock of {@link System#nanoTime}
 * @param answers operations that were answered as they should be
 * @param errors operations that ended in an error, in a time-out or with the connection
 * @param reconnects how often a client had to connect again
 * @param acknowledgedWrites writes whose reply said that they were done
 * @param staleReads reads that did not show the client's own last write
 * @param wrongReplies replies that no server gives to that command
 * @param sumMicros the sum of the answered operations' response times
 * @param latencyMicros the answered operations' response times; not to be changed
 */
public record LoadSnapshot(
        long atNanos,
        long answers,
        long errors,
        long reconnects,
        long acknowledgedWrites,
        long staleReads,
        long wrongReplies,
        long sumMicros,
        Histogram latencyMicros) {

    /** All operations, answered or not. */
    public long requests() {
        return answers + errors;
    }

    /** The average response time of what was answered. */
    public Duration art() {
        return answers == 0 ? Duration.ZERO : Duration.ofNanos(sumMicros * 1_000 / answers);
    }

    /** The response time that this percentage of the answered operations did not exceed. */
    public Duration percentile(double percentage) {
        return Duration.ofNanos(latencyMicros.getValueAtPercentile(percentage) * 1_000);
    }

    /** What was seen since the earlier moment. */
    public LoadSnapshot since(LoadSnapshot earlier) {
        Histogram latencies = latencyMicros.copy();
        latencies.subtract(earlier.latencyMicros);
        return new LoadSnapshot(
                atNanos,
                answers - earlier.answers,
                errors - earlier.errors,
                reconnects - earlier.reconnects,
                acknowledgedWrites - earlier.acknowledgedWrites,
                staleReads - earlier.staleReads,
                wrongReplies - earlier.wrongReplies,
                sumMicros - earlier.sumMicros,
                latencies);
    }

    LoadSnapshot and(LoadSnapshot other) {
        Histogram latencies = latencyMicros.copy();
        latencies.add(other.latencyMicros);
        return new LoadSnapshot(
                Math.max(atNanos, other.atNanos),
                answers + other.answers,
                errors + other.errors,
                reconnects + other.reconnects,
                acknowledgedWrites + other.acknowledgedWrites,
                staleReads + other.staleReads,
                wrongReplies + other.wrongReplies,
                sumMicros + other.sumMicros,
                latencies);
    }
}
