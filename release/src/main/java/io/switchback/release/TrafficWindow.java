package io.switchback.release;

import io.switchback.proxy.FleetTraffic;
import io.switchback.release.ReleaseState.Baseline;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import org.HdrHistogram.Histogram;

/**
 * How one fleet answered one node over the last few samples: a ring of cumulative snapshots whose ends are subtracted. For one thread.
 */
final class TrafficWindow {
    private static final Histogram NONE = new Histogram(3);

    private final int snapshotsMax;
    private final Deque<FleetTraffic> snapshots = new ArrayDeque<>();

    /** Covers the time between the oldest of {@code snapshotsMax} snapshots and the newest. */
    TrafficWindow(int snapshotsMax) {
        this.snapshotsMax = snapshotsMax;
    }

    void add(FleetTraffic cumulative) {
        if (snapshots.size() == snapshotsMax) {
            snapshots.removeFirst();
        }
        snapshots.addLast(cumulative);
    }

    /** Forgets everything: what follows is another time. */
    void clear() {
        snapshots.clear();
    }

    /** Whether it covers all the time that it can. */
    boolean isFull() {
        return snapshots.size() == snapshotsMax;
    }

    /** What happened between the two ends. */
    FleetTraffic traffic() {
        FleetTraffic first = snapshots.peekFirst();
        FleetTraffic last = snapshots.peekLast();
        if (first == null || last == null || last.requests() <= first.requests()) {
            return new FleetTraffic(0, 0, 0, NONE);
        }
        Histogram latencies = last.latencyMicros().copy();
        latencies.subtract(first.latencyMicros());
        return new FleetTraffic(
                last.requests() - first.requests(),
                last.errors() - first.errors(),
                last.sumNanos() - first.sumNanos(),
                latencies);
    }

    /** How a fleet answered over all nodes' windows. */
    static Baseline measured(Collection<TrafficWindow> windows) {
        long requests = 0;
        long errors = 0;
        long sumNanos = 0;
        Histogram latencies = new Histogram(NONE);
        latencies.setAutoResize(true);
        for (TrafficWindow window : windows) {
            FleetTraffic one = window.traffic();
            requests += one.requests();
            errors += one.errors();
            sumNanos += one.sumNanos();
            latencies.add(one.latencyMicros());
        }
        return requests == 0
                ? new Baseline(0, 0, 0, 0)
                : new Baseline(
                        requests,
                        sumNanos / 1000.0 / requests,
                        latencies.getValueAtPercentile(99),
                        errors / (double) requests);
    }
}
