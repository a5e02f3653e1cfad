package io.switchback.bench;

import io.switchback.bench.LoadTool.Figures;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/**
 * Requests through the proxy against requests straight to the same server.
 *
 * <p>For each case the two are measured in turn, so that what drifts on the machine hits both alike; of the runs the median
 * counts. Work that is neither the server's nor the proxy's nor the load's is measured too: a run with too much of it is
 * repeated, and marked if that does not help.
 */
final class ThroughputBench {
    private static final int KEYS = 100_000;
    private static final int PRELOAD_BATCH = 1_000;
    private static final double FOREIGN_SHARE_MAX = 0.10;
    private static final int REPEATS_MAX = 2;

    /** How long is waited in all for a machine that is otherwise idle. */
    private static final Duration QUIET_LIMIT = Duration.ofMinutes(3);

    private static final Duration QUIET_LOOK = Duration.ofMillis(400);
    private static final long CALIBRATION_REQUESTS = 20_000;

    private final LoadTool tool;
    private final Target direct;
    private final Target proxy;
    private final int runs;
    private final double secondsPerRun;
    private long waitedNanos;

    /** Something that answers on a port, and its process. */
    record Target(String name, int port, long processId) {}

    /**
     * One run.
     *
     * @param proxySeconds processor time of the proxy per million requests; 0 for direct runs
     * @param serverSeconds processor time of the server per million requests
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

    /** The medians of a case, side by side; {@code disturbed} runs could not be had without foreign work. */
    record Row(Case what, Run direct, Run proxied, double ratio, long proxyMemoryKib, int disturbed) {}

    ThroughputBench(LoadTool tool, Target direct, Target proxy, int runs, double secondsPerRun) {
        this.tool = tool;
        this.direct = direct;
        this.proxy = proxy;
        this.runs = runs;
        this.secondsPerRun = secondsPerRun;
    }

    static List<Case> allCases() {
        List<Case> cases = new ArrayList<>();
        for (int valueBytes : List.of(64, 1024)) {
            for (String operation : List.of("get", "set")) {
                for (int pipeline : List.of(1, 16, 64)) {
                    cases.add(new Case(operation, pipeline, valueBytes));
                }
            }
        }
        return cases;
    }

    List<Row> measure(List<Case> cases, Consumer<Row> progress) {
        List<Row> rows = new ArrayList<>();
        int preloaded = 0;
        for (Case what : cases) {
            if (what.valueBytes() != preloaded) {
                preload(what.valueBytes());
                preloaded = what.valueBytes();
            }
            Row row = measure(what);
            rows.add(row);
            progress.accept(row);
        }
        return rows;
    }

    private Row measure(Case what) {
        long directRequests = calibrated(direct, what);
        long proxyRequests = calibrated(proxy, what);
        List<Run> directRuns = new ArrayList<>();
        List<Run> proxyRuns = new ArrayList<>();
        for (int i = 0; i < runs; i++) {
            directRuns.add(quietRun(direct, what, directRequests));
            proxyRuns.add(quietRun(proxy, what, proxyRequests));
        }
        Run directMedian = median(directRuns);
        Run proxyMedian = median(proxyRuns);
        int disturbed = (int) Stream.concat(directRuns.stream(), proxyRuns.stream())
                .filter(run -> run.foreignShare() > FOREIGN_SHARE_MAX)
                .count();
        return new Row(
                what,
                directMedian,
                proxyMedian,
                proxyMedian.requestsPerSecond() / directMedian.requestsPerSecond(),
                Machine.memoryKib(proxy.processId(), "VmRSS"),
                disturbed);
    }

    /** How many requests take about the wanted time, after a warm-up. */
    private long calibrated(Target target, Case what) {
        long first = CALIBRATION_REQUESTS * Math.min(what.pipeline(), 16);
        double rate = tool.run(target.port(), what, KEYS, first).requestsPerSecond();
        rate = Math.max(
                rate,
                tool.run(target.port(), what, KEYS, Math.max(first, (long) (rate * secondsPerRun / 3)))
                        .requestsPerSecond());
        return Math.max(first, (long) (rate * secondsPerRun));
    }

    private Run quietRun(Target target, Case what, long requests) {
        Run best = null;
        for (int i = 0; i <= REPEATS_MAX; i++) {
            awaitQuiet();
            Run run = run(target, what, requests);
            if (best == null || run.foreignShare() < best.foreignShare()) {
                best = run;
            }
            if (best.foreignShare() <= FOREIGN_SHARE_MAX || waitedNanos >= QUIET_LIMIT.toNanos()) {
                return best;
            }
        }
        return Objects.requireNonNull(best);
    }

    private Run run(Target target, Case what, long requests) {
        Machine.Work workBefore = Machine.work();
        double serverBefore = Machine.processSeconds(direct.processId());
        double proxyBefore = Machine.processSeconds(proxy.processId());
        double loadBefore = Machine.endedChildrenSeconds();
        long begin = System.nanoTime();
        Figures figures = tool.run(target.port(), what, KEYS, requests);
        double wallSeconds = (System.nanoTime() - begin) / 1e9;
        Machine.Work work = Machine.work().since(workBefore);
        double server = Machine.processSeconds(direct.processId()) - serverBefore;
        double proxied = Machine.processSeconds(proxy.processId()) - proxyBefore;
        double load = Machine.endedChildrenSeconds() - loadBefore;
        double millions = requests / 1e6;
        double foreign = Math.max(0, work.busySeconds() - server - proxied - load);
        return new Run(
                figures.requestsPerSecond(),
                figures.p50Ms(),
                figures.p99Ms(),
                target.equals(proxy) ? proxied / millions : 0,
                server / millions,
                work.interruptSeconds() / millions,
                foreign / (wallSeconds * Machine.processors()));
    }

    /** Waits until the machine is otherwise idle, or no more waiting is left. */
    private void awaitQuiet() {
        while (waitedNanos < QUIET_LIMIT.toNanos()) {
            Machine.Work before = Machine.work();
            Pause.of(QUIET_LOOK);
            double busy = Machine.work().since(before).busySeconds();
            if (busy / (QUIET_LOOK.toNanos() / 1e9 * Machine.processors()) <= FOREIGN_SHARE_MAX) {
                return;
            }
            waitedNanos += QUIET_LOOK.toNanos();
        }
    }

    private void preload(int valueBytes) {
        byte[] value = new byte[valueBytes];
        Arrays.fill(value, (byte) 'x');
        try (Jedis client = new Jedis("127.0.0.1", direct.port(), 20_000)) {
            for (int from = 0; from < KEYS; from += PRELOAD_BATCH) {
                Pipeline pipeline = client.pipelined();
                for (int key = from; key < from + PRELOAD_BATCH; key++) {
                    pipeline.set(
                            String.format(Locale.ROOT, "key:%012d", key).getBytes(StandardCharsets.US_ASCII), value);
                }
                pipeline.sync();
            }
        }
    }

    private static Run median(List<Run> runs) {
        return new Run(
                median(runs, Run::requestsPerSecond),
                median(runs, Run::p50Ms),
                median(runs, Run::p99Ms),
                median(runs, Run::proxySeconds),
                median(runs, Run::serverSeconds),
                median(runs, Run::interruptSeconds),
                median(runs, Run::foreignShare));
    }

    static double median(List<Run> runs, ToDoubleFunction<Run> figure) {
        double[] sorted = runs.stream().mapToDouble(figure).sorted().toArray();
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
