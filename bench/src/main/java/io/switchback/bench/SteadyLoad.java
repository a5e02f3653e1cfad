package io.switchback.bench;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.LoadSnapshot;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToLongFunction;

/**
 * Clients of one or several nodes, at a rate that was found to leave a third of the machine idle where one of those tried did.
 * For one thread.
 */
record SteadyLoad(List<Load> loads, double requestsPerSecond, double idleShare) implements AutoCloseable {
    private static final double IDLE_SHARE_MIN = 1.0 / 3;
    private static final double REACHED_SHARE_MIN = 0.95;
    private static final Duration RATE_TRIAL = Duration.ofSeconds(5);

    /**
     * Tries the rates one after the other, and leaves the clients running at the first that leaves room, or else at the last.
     *
     * @param nodes the settings of the clients of each node but for the rate, of which each gets its share
     * @param server where the keys lie; emptied before each trial
     * @param rates in requests a second over all nodes, falling
     */
    static SteadyLoad thatLeavesRoom(
            List<LoadSettings> nodes, RealServer server, List<Integer> rates, PrintStream out) {
        for (int rate : rates) {
            server.call("FLUSHALL"); // whoever was here before had keys of its own
            SteadyLoad load = tried(started(nodes, rate));
            out.printf(
                    Locale.ROOT,
                    "%nasked for %d requests/s: %.0f came, %.0f %% idle%n",
                    rate,
                    load.requestsPerSecond(),
                    load.idleShare() * 100);
            boolean leavesRoom =
                    load.idleShare() >= IDLE_SHARE_MIN && load.requestsPerSecond() > rate * REACHED_SHARE_MIN;
            if (leavesRoom || rate == rates.getLast()) {
                return load;
            }
            load.close();
        }
        throw new AssertionError("the last rate is taken as it is");
    }

    private static List<Load> started(List<LoadSettings> nodes, int rate) {
        List<Load> started = new ArrayList<>();
        try {
            for (LoadSettings settings : nodes) {
                started.add(Load.start(settings.withOperationsPerSecond(Math.max(1, rate / nodes.size()))));
            }
            return started;
        } catch (RuntimeException e) {
            started.forEach(Load::close);
            throw e;
        }
    }

    private static SteadyLoad tried(List<Load> loads) {
        Pause.of(RATE_TRIAL);
        long before = sum(loads, LoadSnapshot::requests);
        Machine.Work work = Machine.work();
        Pause.of(RATE_TRIAL);
        double idle = Machine.work().since(work).idleShare();
        double reached = (sum(loads, LoadSnapshot::requests) - before) / (RATE_TRIAL.toMillis() / 1000.0);
        return new SteadyLoad(loads, reached, idle);
    }

    /** Over all clients. */
    long sum(ToLongFunction<LoadSnapshot> figure) {
        return sum(loads, figure);
    }

    private static long sum(List<Load> loads, ToLongFunction<LoadSnapshot> figure) {
        return loads.stream().map(Load::snapshot).mapToLong(figure).sum();
    }

    @Override
    public void close() {
        loads.forEach(Load::close);
    }
}
