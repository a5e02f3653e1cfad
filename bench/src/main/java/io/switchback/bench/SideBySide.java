package io.switchback.bench;

import io.switchback.bench.LoadTool.Figures;
import io.switchback.bench.LoadTool.Way;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/**
 * Several ways to the same kind of data, measured in turn, so that what drifts on the machine hits all alike; of each one's runs the
 * median counts. For one thread.
 *
 * <p>Work that is neither the servers' nor a node's nor the load's is measured too: a run with too much of it is repeated, and
 * marked if that does not help.
 */
final class SideBySide {
    private static final double FOREIGN_SHARE_MAX = 0.10;
    private static final int REPEATS_MAX = 2;
    private static final double NANOS = 1e9;
    private static final double MILLION = 1e6;

    /** How long is waited in all for a machine that is otherwise idle, for those that do not say so themselves. */
    static final Duration QUIET_LIMIT = Duration.ofMinutes(3);

    private static final Duration QUIET_LOOK = Duration.ofMillis(400);
    private static final long CALIBRATION_REQUESTS = 20_000;
    /** Of a run; shorter ones have a shorter one. */
    private static final double SECONDS_OF_WHOLE_CALIBRATION = 2;

    private static final int PIPELINE_OF_CALIBRATION_MAX = 16;

    private final LoadTool tool;
    private final List<Side> sides;
    private final Set<Long> processes = new LinkedHashSet<>();
    private final int runs;
    private final double secondsPerRun;
    private final Duration quietLimit;
    private long waitedNanos;

    /**
     * One of the ways.
     *
     * @param proxy the process of what is between the clients and the servers, where there is something
     * @param servers their processes
     */
    record Side(String name, Way way, OptionalLong proxy, List<Long> servers) {}

    /**
     * One run, or the medians of several.
     *
     * @param p50Ms until the first answers of a pipeline have come, as the tool counts
     * @param p99Ms likewise
     * @param proxySeconds processor time of the proxy per million requests; 0 where there is none
     * @param serverSeconds processor time of the servers per million requests
     * @param interruptSeconds the kernel's, per million requests
     * @param foreignShare the share of the machine that was used by anything else
     */
    record Run(
            double requestsPerSecond,
            double p50Ms,
            double p99Ms,
            double proxySeconds,
            double serverSeconds,
            double interruptSeconds,
            double foreignShare) {}

    /** The medians of a case by one way; {@code disturbed} runs could not be had without foreign work. */
    record Row(Case what, String side, Run medians, int disturbed) {}

    /** {@code quietLimit}: how long is waited in all for a machine that is otherwise idle. */
    SideBySide(LoadTool tool, List<Side> sides, int runs, double secondsPerRun, Duration quietLimit) {
        this.tool = tool;
        this.sides = List.copyOf(sides);
        this.runs = runs;
        this.secondsPerRun = secondsPerRun;
        this.quietLimit = quietLimit;
        for (Side side : sides) {
            side.proxy().ifPresent(processes::add);
            processes.addAll(side.servers());
        }
    }

    /** One row for each way, in their order. */
    List<Row> measure(Case what) {
        List<Long> requests =
                sides.stream().map(side -> calibrated(side.way(), what)).toList();
        List<List<Run>> taken = new ArrayList<>();
        sides.forEach(side -> taken.add(new ArrayList<>()));
        for (int run = 0; run < runs; run++) {
            for (int i = 0; i < sides.size(); i++) {
                taken.get(i).add(quietRun(sides.get(i), what, requests.get(i)));
            }
        }
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < sides.size(); i++) {
            List<Run> own = taken.get(i);
            int disturbed = (int) own.stream()
                    .filter(run -> run.foreignShare() > FOREIGN_SHARE_MAX)
                    .count();
            rows.add(new Row(what, sides.get(i).name(), medians(own), disturbed));
        }
        return rows;
    }

    /** How many requests take about the wanted time, after a warm-up. */
    private long calibrated(Way way, Case what) {
        long first = CALIBRATION_REQUESTS * Math.min(what.pipeline(), PIPELINE_OF_CALIBRATION_MAX);
        first = (long) Math.max(what.pipeline(), first * Math.min(1, secondsPerRun / SECONDS_OF_WHOLE_CALIBRATION));
        double rate = tool.run(way, what, first).requestsPerSecond();
        rate = Math.max(
                rate,
                tool.run(way, what, Math.max(first, (long) (rate * secondsPerRun / 3)))
                        .requestsPerSecond());
        return Math.max(first, (long) (rate * secondsPerRun));
    }

    private Run quietRun(Side side, Case what, long requests) {
        Run best = null;
        for (int i = 0; i <= REPEATS_MAX; i++) {
            awaitQuiet();
            Run run = run(side, what, requests);
            if (best == null || run.foreignShare() < best.foreignShare()) {
                best = run;
            }
            if (best.foreignShare() <= FOREIGN_SHARE_MAX || waitedNanos >= quietLimit.toNanos()) {
                return best;
            }
        }
        return Objects.requireNonNull(best);
    }

    private Run run(Side side, Case what, long requests) {
        Machine.Work workBefore = Machine.work();
        double knownBefore = seconds(processes);
        double serverBefore = seconds(side.servers());
        double proxyBefore = proxySeconds(side);
        double loadBefore = Machine.endedChildrenSeconds();
        long begin = System.nanoTime();
        Figures figures = tool.run(side.way(), what, requests);
        double wallSeconds = (System.nanoTime() - begin) / NANOS;
        Machine.Work work = Machine.work().since(workBefore);
        double known = seconds(processes) - knownBefore;
        double load = Machine.endedChildrenSeconds() - loadBefore;
        double millions = requests / MILLION;
        double foreign = Math.max(0, work.busySeconds() - known - load);
        return new Run(
                figures.requestsPerSecond(),
                figures.p50Ms(),
                figures.p99Ms(),
                (proxySeconds(side) - proxyBefore) / millions,
                (seconds(side.servers()) - serverBefore) / millions,
                work.interruptSeconds() / millions,
                foreign / (wallSeconds * Machine.processors()));
    }

    private static double proxySeconds(Side side) {
        return side.proxy().isPresent() ? Machine.processSeconds(side.proxy().getAsLong()) : 0;
    }

    private static double seconds(Iterable<Long> processes) {
        double sum = 0;
        for (long process : processes) {
            sum += Machine.processSeconds(process);
        }
        return sum;
    }

    /** Waits until the machine is otherwise idle, or no more waiting is left. */
    private void awaitQuiet() {
        while (waitedNanos < quietLimit.toNanos()) {
            Machine.Work before = Machine.work();
            Pause.of(QUIET_LOOK);
            double busy = Machine.work().since(before).busySeconds();
            if (busy / (QUIET_LOOK.toNanos() / NANOS * Machine.processors()) <= FOREIGN_SHARE_MAX) {
                return;
            }
            waitedNanos += QUIET_LOOK.toNanos();
        }
    }

    private static Run medians(List<Run> runs) {
        return new Run(
                median(runs, Run::requestsPerSecond),
                median(runs, Run::p50Ms),
                median(runs, Run::p99Ms),
                median(runs, Run::proxySeconds),
                median(runs, Run::serverSeconds),
                median(runs, Run::interruptSeconds),
                median(runs, Run::foreignShare));
    }

    private static double median(List<Run> runs, ToDoubleFunction<Run> figure) {
        double[] sorted = runs.stream().mapToDouble(figure).sorted().toArray();
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
