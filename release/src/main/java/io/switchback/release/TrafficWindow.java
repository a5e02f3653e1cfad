package io.switchback.release;

import io.switchback.proxy.FleetTraffic;
import io.switchback.release.ReleaseState.Baseline;
import java.util.ArrayDeque;
import java.util.Deque;
import org.HdrHistogram.Histogram;

/**
 * How one fleet answered over the last few samples: a ring of cumulative snapshots whose ends are subtracted. For one thread.
 */
final class TrafficWindow {
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

    Baseline measured() {
        if (snapshots.size() < 2) {
            return new Baseline(0, 0, 0, 0);
        }
        return between(snapshots.getFirst(), snapshots.getLast());
    }

    /** What happened between two snapshots of one fleet. */
    static Baseline between(FleetTraffic earlier, FleetTraffic later) {
        long requests = later.requests() - earlier.requests();
        if (requests <= 0) {
            return new Baseline(0, 0, 0, 0);
        }
        Histogram latencies = later.latencyMicros().copy();
        latencies.subtract(earlier.latencyMicros());
        return new Baseline(
                requests,
                (later.sumNanos() - earlier.sumNanos()) / 1000.0 / requests,
                latencies.getValueAtPercentile(99),
                (later.errors() - earlier.errors()) / (double) requests);
    }
}
