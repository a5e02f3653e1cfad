package io.switchback.bench;

import io.switchback.bench.ThroughputBench.Row;
import io.switchback.bench.ThroughputBench.Target;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code bench/run peers}: what Switchback costs beside other proxies, in one run on one machine. */
@Command(
        name = "bench/run peers",
        description =
                "What Switchback costs beside nutcracker and HAProxy (those that are installed), in front of one server.",
        mixinStandardHelpOptions = true)
final class PeerBench implements Callable<Integer> {
    private static final int RUNS = 3;
    private static final double SECONDS_PER_RUN = 3;
    private static final List<Case> WARM_UP = List.of(new Case("get", 1, 64), new Case("set", 16, 64));
    private static final long WARM_UP_REQUESTS = 1_000_000;
    private static final int KEYS = 100_000;
    private static final long GARBAGE_REQUESTS = 3_000_000;

    private static final String SMALL = "key:000000000001";
    private static final int SMALL_BYTES = 64;
    private static final String LARGE = "large";
    private static final int LARGE_BYTES = 1024 * 1024;
    private static final int LARGE_ASKED = 300;
    private static final Duration LAZY_FOR = Duration.ofSeconds(3);

    private static final int ALONE_REQUESTS = 20_000;
    /** With so many a young generation that little has been put into is in use, and what opens connections is compiled. */
    private static final int CLIENTS_BEFORE = 4_000;

    private static final int CLIENTS_MORE = 5_000;
    private static final Duration SETTLE = Duration.ofSeconds(2);

    private final PrintStream out = System.out;
    private final Map<String, Object> results = new LinkedHashMap<>();
    private final Path launcher;

    @Option(names = "--all", description = "SET, values of 1 KiB and mixed commands as well, not only GET of 64 bytes")
    private boolean all;

    @Option(names = "--json", paramLabel = "FILE", description = "writes the figures for a program as well")
    private @Nullable Path json;

    PeerBench(Path launcher) {
        this.launcher = launcher;
    }

    @Override
    public Integer call() throws IOException {
        Path folder = Files.createTempDirectory("switchback-bench-");
        ServerBinary binary = Bench.older();
        results.put("machine", Machine.description());
        Machine.description().forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        out.printf("%-10s %s%n", "server", binary);
        List<AutoCloseable> started = new ArrayList<>();
        try (RealServer server = RealServer.start(binary, folder.resolve("server"), "--maxclients", "15000");
                RealServer other = RealServer.start(binary, folder.resolve("other"));
                NodeProcess node = NodeProcess.start(launcher, folder.resolve("node"), server, other)) {
            List<Target> targets = new ArrayList<>(List.of(new Target("switchback", node.port(), node.processId())));
            List.of(Peer.nutcracker(folder, server.port()), Peer.haproxy(folder, server.port()))
                    .forEach(peer -> peer.ifPresent(one -> {
                        started.add(one);
                        targets.add(one.target());
                    }));
            Target direct = new Target("direct", server.port(), server.pid());
            memory(targets);
            throughput(direct, targets);
            garbage(targets.getFirst());
            idle(targets); // behind the load, since a heap that has not been used yet grows by that alone
            alone(direct, targets);
            slowReader(server, targets);
            memory(targets);
        } finally {
            started.forEach(PeerBench::close);
            Bench.delete(folder);
        }
        if (json != null) {
            Bench.write(json, results, out);
        }
        return 0;
    }

    private static void close(AutoCloseable one) {
        try {
            one.close();
        } catch (Exception e) {
            throw new IllegalStateException("A peer cannot be ended", e);
        }
    }

    private static long residentKib(Target target) {
        return Machine.memoryKib(target.processId(), "VmRSS");
    }

    private void memory(List<Target> targets) {
        out.printf("%nResident memory:");
        targets.forEach(target -> out.printf(" %s %d MB", target.name(), residentKib(target) / 1024));
        out.println();
    }

    /** How much memory a connection takes that has asked once and asks no more, of the later ones of many. */
    private void idle(List<Target> targets) {
        out.printf("%nResident memory of an idle connection, of %d beside %d:%n", CLIENTS_MORE, CLIENTS_BEFORE);
        for (Target target : targets) {
            List<BenchClient> clients = new ArrayList<>();
            try {
                connect(clients, target, CLIENTS_BEFORE);
                long before = residentKib(target);
                connect(clients, target, CLIENTS_MORE);
                double each = (residentKib(target) - before) / (double) CLIENTS_MORE;
                out.printf(Locale.ROOT, "  %-12s %.1f KiB%n", target.name(), each);
                results.put("idleKib " + target.name(), each);
            } finally {
                clients.forEach(BenchClient::close);
            }
            Pause.of(SETTLE);
        }
    }

    private static void connect(List<BenchClient> clients, Target target, int count) {
        for (int i = 0; i < count; i++) {
            BenchClient client = new BenchClient(target.port());
            clients.add(client);
            client.askNanos(BenchClient.get("none"), "$-1\r\n".length());
        }
        Pause.of(SETTLE);
    }

    private void throughput(Target direct, List<Target> targets) {
        LoadTool tool = LoadTool.find();
        for (Target target : targets) {
            for (Case what : WARM_UP) {
                tool.run(target.port(), what, KEYS, WARM_UP_REQUESTS);
            }
        }
        out.printf(
                "%n50 connections, %d runs each in turn with runs straight to the server, medians; CPU is processor seconds per million requests%n%n",
                RUNS);
        out.printf(
                "%-24s %-12s %9s %9s %8s %8s %8s%n", "case", "through", "req/s", "x direct", "p50 ms", "p99 ms", "CPU");
        List<Row> rows = new ArrayList<>();
        List<Case> cases = new ArrayList<>(ThroughputBench.allCases().stream()
                .filter(what -> all
                        || (what.valueBytes() == SMALL_BYTES && what.operation().equals("get")))
                .toList());
        if (all && tool.mixing().isPresent()) {
            for (int batches : List.of(1, 4)) {
                cases.add(new Case(Case.MIXED, batches * LoadTool.MIX_COMMANDS, SMALL_BYTES));
            }
        }
        for (Case what : cases) {
            for (Target target : targets) {
                ThroughputBench bench = new ThroughputBench(tool, direct, target, RUNS, SECONDS_PER_RUN);
                rows.addAll(bench.measure(List.of(what), row -> print(target, row)));
            }
        }
        results.put("throughput", rows);
    }

    /** How much memory a request takes that is not used again, by the collections of the young generation that it leads to. */
    private void garbage(Target node) {
        LoadTool tool = LoadTool.find();
        out.printf("%nGarbage that a request makes in switchback, at most:%n");
        for (Case what : List.of(new Case("get", 1, SMALL_BYTES), new Case("get", 16, SMALL_BYTES))) {
            YoungGeneration before = YoungGeneration.of(node.processId());
            tool.run(node.port(), what, KEYS, GARBAGE_REQUESTS);
            YoungGeneration after = YoungGeneration.of(node.processId());
            double bytes = (after.collections() - before.collections() + 1) * after.edenBytes() / GARBAGE_REQUESTS;
            out.printf(Locale.ROOT, "  %-24s %.1f bytes%n", what, bytes);
            results.put("garbageBytes " + what, bytes);
        }
    }

    private void print(Target target, Row row) {
        out.printf(
                Locale.ROOT,
                "%-24s %-12s %9.0f %9.2f %8.2f %8.2f %8.2f%s%n",
                row.what(),
                target.name(),
                row.proxied().requestsPerSecond(),
                row.ratio(),
                row.proxied().p50Ms(),
                row.proxied().p99Ms(),
                row.proxied().proxySeconds(),
                row.disturbed() > 0 ? "  (disturbed " + row.disturbed() + ")" : "");
    }

    /** One client that waits for each reply: what a proxy adds to it. */
    private void alone(Target direct, List<Target> targets) {
        List<Target> both = new ArrayList<>(List.of(direct));
        both.addAll(targets);
        Map<String, List<Double>> medians = new LinkedHashMap<>();
        for (int run = 0; run < RUNS; run++) {
            for (Target target : both) {
                medians.computeIfAbsent(target.name(), name -> new ArrayList<>())
                        .add(aloneMicros(target));
            }
        }
        out.printf("%nOne connection, one request at a time, median of %d:%n", RUNS);
        double straight = middle(medians.getOrDefault(direct.name(), List.of()));
        medians.forEach((name, micros) -> {
            out.printf(
                    Locale.ROOT,
                    "  %-12s %.1f µs, %.1f more than direct%n",
                    name,
                    middle(micros),
                    middle(micros) - straight);
            results.put("aloneMicros " + name, middle(micros));
        });
    }

    private static double middle(List<Double> values) {
        return values.stream().sorted().skip(values.size() / 2).findFirst().orElse(0.0);
    }

    private static double aloneMicros(Target target) {
        byte[] command = BenchClient.get(SMALL);
        int replyBytes = ("$" + SMALL_BYTES + "\r\n\r\n").length() + SMALL_BYTES;
        long[] nanos = new long[ALONE_REQUESTS];
        try (BenchClient client = new BenchClient(target.port())) {
            for (int i = 0; i < nanos.length; i++) {
                nanos[i] = client.askNanos(command, replyBytes);
            }
        }
        Arrays.sort(nanos);
        return nanos[nanos.length / 2] / 1e3;
    }

    /** A client that asks for much and reads nothing: by how much a proxy grows, and how long others wait. */
    private void slowReader(RealServer server, List<Target> targets) {
        server.call("SET", LARGE, "x".repeat(LARGE_BYTES));
        server.call("SET", SMALL, "x".repeat(SMALL_BYTES));
        out.printf(
                "%nA client asks for %d values of 1 MiB and reads nothing for %d s:%n",
                LARGE_ASKED, LAZY_FOR.toSeconds());
        for (Target target : targets) {
            long before = residentKib(target);
            long worst = 0;
            byte[] one = BenchClient.get(LARGE);
            byte[] many = new byte[one.length * LARGE_ASKED];
            for (int i = 0; i < LARGE_ASKED; i++) {
                System.arraycopy(one, 0, many, i * one.length, one.length);
            }
            try (BenchClient lazy = new BenchClient(target.port());
                    BenchClient other = new BenchClient(target.port())) {
                lazy.send(many);
                long end = System.nanoTime() + LAZY_FOR.toNanos();
                while (System.nanoTime() - end < 0) {
                    worst = Math.max(
                            worst, other.askNanos(BenchClient.get(SMALL), SMALL_BYTES + "$64\r\n\r\n".length()));
                    Pause.of(Duration.ofMillis(1));
                }
            }
            long grown = (residentKib(target) - before) / 1024;
            out.printf(
                    Locale.ROOT,
                    "  %-12s grows by %d MB, others wait %.1f ms at worst%n",
                    target.name(),
                    grown,
                    worst / 1e6);
            results.put("slowReader " + target.name(), Map.of("grownMb", grown, "worstMs", worst / 1e6));
            Pause.of(SETTLE);
        }
    }
}
