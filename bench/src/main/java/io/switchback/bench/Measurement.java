package io.switchback.bench;

import io.switchback.bench.SideBySide.Row;
import io.switchback.bench.SideBySide.Run;
import io.switchback.bench.SideBySide.Side;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** A command of {@code bench/run} that sets up servers and nodes of its own and prints tables for RESULTS.md. For one thread. */
abstract class Measurement implements Callable<Integer> {
    private static final int RUNS = 3;
    private static final double SECONDS_PER_RUN = 3;
    private static final double SECONDS_PER_QUICK_RUN = 0.5;

    /** The first 400,000 requests are the compiler's (see RESULTS.md); of each operation at each of these pipelines. */
    private static final long WARM_UP_REQUESTS = 500_000;

    private static final long QUICK_WARM_UP_REQUESTS = 100_000;
    private static final List<Integer> WARM_UP_PIPELINES = List.of(1, 16);
    private static final List<Integer> QUICK_WARM_UP_PIPELINES = List.of(16);

    /** How much fewer of those that name ten keys each. */
    private static final int WARM_UP_PER_LARGE = 4;

    private final PrintStream out = System.out;
    private final Map<String, Object> results = new LinkedHashMap<>();
    private final Path launcher;

    @Option(names = "--quick", description = "within a minute, for a first look")
    private boolean quick;

    @Option(names = "--json", paramLabel = "FILE", description = "writes the figures for a program as well")
    private @Nullable Path json;

    Measurement(Path launcher) {
        this.launcher = launcher;
    }

    /** Measures what it is for; {@code folder} is deleted afterwards. */
    abstract void measure(Path folder);

    @Override
    public Integer call() throws IOException {
        Path folder = Files.createTempDirectory("switchback-bench-");
        Machine.description().forEach((name, text) -> say("%-10s %s", name, text));
        say("%-10s %s", "server", server());
        note("machine", Machine.description());
        note("server", server().toString());
        try {
            measure(folder);
        } finally {
            Bench.delete(folder);
        }
        if (json != null) {
            Bench.write(json, results, out);
        }
        return 0;
    }

    /** Which servers all of them are. */
    static ServerBinary server() {
        return Bench.older();
    }

    /** A node in front of these servers. */
    NodeProcess node(Path folder, String cache) {
        return NodeProcess.start(launcher, folder, cache);
    }

    boolean isQuick() {
        return quick;
    }

    /** A line of what is printed. */
    void say(String format, Object... values) {
        out.printf(Locale.ROOT, format + "%n", values);
    }

    /** For the file that {@code --json} names. */
    void note(String name, Object figures) {
        results.put(name, figures);
    }

    /** Warms all ways up, measures each case by all of them, and prints a table in which the first way is what the others are beside. */
    List<Row> sideBySide(List<Side> sides, List<Case> cases) {
        LoadTool tool = LoadTool.find();
        warmUp(tool, sides, cases);
        SideBySide measured = new SideBySide(
                tool,
                sides,
                quick ? 1 : RUNS,
                quick ? SECONDS_PER_QUICK_RUN : SECONDS_PER_RUN,
                quick ? Duration.ZERO : SideBySide.QUIET_LIMIT);
        say(
                "%n50 connections, %d run(s) each in turn, medians; times until the first answers of a pipeline; CPU is processor seconds per million requests.%n",
                quick ? 1 : RUNS);
        say(
                "| case | way | requests/s | p50 ms | p99 ms | CPU of the node | CPU of the servers | requests/s beside the first way | CPU of the node beside it |");
        say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        List<Row> all = new ArrayList<>();
        for (Case what : cases) {
            List<Row> rows = measured.measure(what);
            Run first = rows.getFirst().medians();
            rows.forEach(row -> print(row, first));
            all.addAll(rows);
        }
        say("");
        return all;
    }

    private void warmUp(LoadTool tool, List<Side> sides, List<Case> cases) {
        List<Case> kinds = cases.stream()
                .map(Case::operation)
                .distinct()
                .flatMap(operation -> (quick ? QUICK_WARM_UP_PIPELINES : WARM_UP_PIPELINES)
                        .stream()
                                .map(pipeline -> new Case(
                                        operation, pipeline, cases.getFirst().valueBytes())))
                .toList();
        long requests = quick ? QUICK_WARM_UP_REQUESTS : WARM_UP_REQUESTS;
        for (Side side : sides) {
            if (side.proxy().isPresent()) {
                say("%-10s %s", "warm up", side.name());
                kinds.forEach(kind ->
                        tool.run(side.way(), kind, kind.isOfManyKeys() ? requests / WARM_UP_PER_LARGE : requests));
            }
        }
    }

    private void print(Row row, Run first) {
        Run run = row.medians();
        boolean proxied = run.proxySeconds() > 0;
        say(
                "| %s | %s%s | %.0f | %.2f | %.2f | %s | %.2f | %.2f | %s |",
                row.what(),
                row.side(),
                row.disturbed() > 0 ? " (disturbed " + row.disturbed() + ")" : "",
                run.requestsPerSecond(),
                run.p50Ms(),
                run.p99Ms(),
                proxied ? String.format(Locale.ROOT, "%.2f", run.proxySeconds()) : "",
                run.serverSeconds(),
                run.requestsPerSecond() / first.requestsPerSecond(),
                proxied ? String.format(Locale.ROOT, "%.2f", run.proxySeconds() / first.proxySeconds()) : "");
    }

    /** One way's figure of a case divided by another's. */
    static double ratio(List<Row> rows, Case what, Side of, Side by, ToDoubleFunction<Run> figure) {
        return figure(rows, what, of, figure) / figure(rows, what, by, figure);
    }

    private static double figure(List<Row> rows, Case what, Side side, ToDoubleFunction<Run> figure) {
        return rows.stream()
                .filter(row -> row.what().equals(what) && row.side().equals(side.name()))
                .mapToDouble(row -> figure.applyAsDouble(row.medians()))
                .findFirst()
                .orElseThrow();
    }
}
