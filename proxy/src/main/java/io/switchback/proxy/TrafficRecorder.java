package io.switchback.proxy;

import java.util.HashMap;
import java.util.Map;
import org.HdrHistogram.Histogram;

/** Counts what one loop's backends answer, by fleet. Owned by its event loop; nobody else reads it, copies are handed out. */
final class TrafficRecorder {
    private static final long LATENCY_MICROS_MAX = 60_000_000;
    private static final int SIGNIFICANT_DIGITS = 2;

    /** One fleet's counts. */
    static final class Counts {
        private final Histogram latencyMicros = new Histogram(LATENCY_MICROS_MAX, SIGNIFICANT_DIGITS);
        private long requests;
        private long errors;
        private long sumNanos;

        /** {@code commands} were answered together, each after {@code nanos}. */
        void answered(int commands, int failed, long nanos) {
            requests += commands;
            errors += failed;
            sumNanos += nanos * commands;
            latencyMicros.recordValueWithCount(Math.clamp(nanos / 1000, 0, LATENCY_MICROS_MAX), commands);
        }

        /** A command that waits for something was answered by an error; its response time says nothing about the fleet. */
        void failedAfterWaiting() {
            requests++;
            errors++;
        }

        /** The proxy itself told the client of {@code commands} that the fleet could not be reached, or was lost. */
        void notAnswered(int commands) {
            requests += commands;
            errors += commands;
        }
    }

    private final Map<String, Counts> byFleet = new HashMap<>();

    Counts of(String fleet) {
        return byFleet.computeIfAbsent(fleet, name -> new Counts());
    }

    /** Adds this loop's counts to those of others. */
    void addTo(Map<String, FleetTraffic> sums) {
        byFleet.forEach((fleet, counts) -> {
            FleetTraffic mine =
                    new FleetTraffic(counts.requests, counts.errors, counts.sumNanos, counts.latencyMicros.copy());
            sums.merge(fleet, mine, TrafficRecorder::sum);
        });
    }

    static FleetTraffic nothing() {
        return new FleetTraffic(0, 0, 0, new Histogram(LATENCY_MICROS_MAX, SIGNIFICANT_DIGITS));
    }

    private static FleetTraffic sum(FleetTraffic a, FleetTraffic b) {
        Histogram latencies = a.latencyMicros().copy();
        latencies.add(b.latencyMicros());
        return new FleetTraffic(
                a.requests() + b.requests(), a.errors() + b.errors(), a.sumNanos() + b.sumNanos(), latencies);
    }
}
