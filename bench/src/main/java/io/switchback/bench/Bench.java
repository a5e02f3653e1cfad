package io.switchback.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.switchback.bench.ThroughputBench.Row;
import io.switchback.bench.ThroughputBench.Target;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine;

/**
 * The benchmark that anyone can run: {@code bench/run}. Prints a table, and writes the same as JSON.
 *
 * <p>Everything runs on this machine and on the loopback: servers, proxy and load share its processors, so the figures say what
 * the proxy costs beside direct access, not what a server can do.
 */
public final class Bench {
    private static final String HOLD_TIMES = "hold-times";
    private static final String PEERS = "peers";
    private static final String SNAPSHOTS = "snapshots";
    private static final String COPY = "copy";
    private static final String CLUSTER = "cluster";
    private static final String MEMORY = "memory";
    private static final String TLS = "tls";
    private static final String FAILOVER = "failover";
    private static final int RUNS = 3;
    private static final double SECONDS_PER_RUN = 4;
    private static final double SECONDS_PER_QUICK_RUN = 1;
    private static final int ROUNDS = 20;
    private static final int QUICK_ROUNDS = 3;

    private static final String HELP = """
            Usage: bench/run [--quick] [--switches] [--rate N] [--json FILE]
                   bench/run hold-times [--help]
                   bench/run peers [--help]
                   bench/run snapshots [--help]
                   bench/run copy [--help]
                   bench/run cluster [--help]
                   bench/run memory [--help]
                   bench/run tls [--help]
                   bench/run failover [--help]

            Measures what Switchback costs beside direct access, and what clients see of switches, on this machine.

              --quick      a tenth of the time, for a first look
              --switches   only the switches
              --rate N     switches at N requests a second; without it at the highest that leaves a third of the machine idle
              --json FILE  writes the figures for a program as well

            hold-times measures for how long switches over several nodes hold clients, and what for.
            peers measures Switchback beside other proxies.
            snapshots measures how fast a snapshot is read, beside the server's own loading.
            copy measures an apply link beside the servers' own replication.
            cluster measures a cluster through a node beside one server and beside a cluster client.
            memory measures reads that a node answers from its memory beside those that it forwards.
            tls measures what TLS costs on either side of a node.
            failover measures when clients can write again after a primary was killed, and what errors they see.
            """;

    private final PrintStream out = System.out;
    private final Path launcher;
    private final boolean quick;
    private final boolean switchesOnly;
    private final List<Integer> rates;
    private final Map<String, Object> results = new LinkedHashMap<>();

    private Bench(Path launcher, boolean quick, boolean switchesOnly, List<Integer> rates) {
        this.launcher = launcher;
        this.quick = quick;
        this.switchesOnly = switchesOnly;
        this.rates = rates;
    }

    /** Arguments: {@code LAUNCHER} and those of {@link #HELP}. */
    public static void main(String[] arguments) {
        Path launcher = Path.of(arguments[0]).toAbsolutePath();
        Deque<String> options = new ArrayDeque<>(List.of(arguments).subList(1, arguments.length));
        Optional<Object> command = Optional.ofNullable(options.peek()).flatMap(name -> command(name, launcher));
        if (command.isPresent()) {
            options.remove();
            System.exit(new CommandLine(command.get())
                    .setCaseInsensitiveEnumValuesAllowed(true)
                    .execute(options.toArray(String[]::new)));
        }
        boolean quick = false;
        boolean switchesOnly = false;
        List<Integer> rates = SwitchBench.RATES;
        Path json = null;
        while (!options.isEmpty()) {
            String option = options.remove();
            switch (option) {
                case "--quick" -> quick = true;
                case "--switches" -> switchesOnly = true;
                case "--rate" -> rates = List.of(Integer.parseInt(valueOf(option, options)));
                case "--json" -> json = Path.of(valueOf(option, options));
                case "--help", "-h" -> end(System.out, "", 0);
                default -> end(System.err, "bench: there is no option " + option + "\n", 2);
            }
        }
        Bench bench = new Bench(launcher, quick, switchesOnly, rates);
        bench.run();
        if (json != null) {
            write(json, bench.results, System.out);
        }
    }

    /** The measurement of that name, which takes the arguments behind it. */
    private static Optional<Object> command(String name, Path launcher) {
        return Optional.ofNullable(
                switch (name) {
                    case HOLD_TIMES -> new HoldTimes();
                    case PEERS -> new PeerBench(launcher);
                    case SNAPSHOTS -> new SnapshotReading();
                    case COPY -> new CopyBench();
                    case CLUSTER -> new ClusterBench(launcher);
                    case MEMORY -> new MemoryBench(launcher);
                    case TLS -> new TlsBench(launcher);
                    case FAILOVER -> new FailoverBench(launcher);
                    default -> null;
                });
    }

    private static String valueOf(String option, Deque<String> rest) {
        if (rest.isEmpty()) {
            end(System.err, "bench: " + option + " needs a value\n", 2);
        }
        return rest.remove();
    }

    private static void end(PrintStream to, String mistake, int code) {
        to.print(mistake + HELP);
        to.flush();
        System.exit(code);
    }

    private void run() {
        Path folder;
        try {
            folder = Files.createTempDirectory("switchback-bench-");
        } catch (IOException e) {
            throw new UncheckedIOException("There is no place for the benchmark's files", e);
        }
        ServerBinary older = older();
        ServerBinary newer = newer();
        results.put("machine", Machine.description());
        results.put("servers", List.of(older.toString(), newer.toString()));
        Machine.description().forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        out.printf("%-10s %s, %s%n", "servers", older, newer);
        try (RealServer blue = RealServer.start(older, folder.resolve("blue"));
                RealServer green = RealServer.start(newer, folder.resolve("green"));
                NodeProcess node = NodeProcess.start(launcher, folder.resolve("node"), blue, green)) {
            if (!switchesOnly) {
                throughput(blue, node);
            }
            switches(node, blue);
        } finally {
            delete(folder);
        }
    }

    private void throughput(RealServer server, NodeProcess node) {
        LoadTool tool = LoadTool.find();
        long idleKib = Machine.memoryKib(node.processId(), "VmRSS");
        out.printf(
                "%nThrough the proxy (p) beside direct access (d); 50 connections, %d runs each, medians;%n"
                        + "latency is of a whole pipeline; CPU is processor seconds per million requests%n%n",
                RUNS);
        out.printf(
                "%-22s %9s %9s %6s %8s %8s %8s %8s %7s %7s %8s%n",
                "case",
                "d req/s",
                "p req/s",
                "p/d",
                "d p50ms",
                "p p50ms",
                "d p99ms",
                "p p99ms",
                "p CPU",
                "d CPU",
                "p RSS MB");
        ThroughputBench bench = new ThroughputBench(
                tool,
                new Target("direct", server.port(), server.pid()),
                new Target("proxy", node.port(), node.processId()),
                RUNS,
                quick ? SECONDS_PER_QUICK_RUN : SECONDS_PER_RUN);
        List<Row> rows = bench.measure(ThroughputBench.allCases(), this::print);
        long mostKib = Machine.memoryKib(node.processId(), "VmHWM");
        out.printf(
                "%nresident memory of the proxy: %d MB when it had started, %d MB at most%n",
                idleKib / 1024, mostKib / 1024);
        results.put("throughput", rows);
        results.put("memoryKibAtStart", idleKib);
        results.put("memoryKibAtMost", mostKib);
    }

    private void switches(NodeProcess node, RealServer blue) {
        SwitchBench bench = new SwitchBench(node, blue, quick ? QUICK_ROUNDS : ROUNDS, rates, out);
        results.put("switches", bench.measure());
    }

    private void print(Row row) {
        out.printf(
                Locale.ROOT,
                "%-22s %9.0f %9.0f %6.2f %8.2f %8.2f %8.2f %8.2f %7.2f %7.2f %8d%s%n",
                row.what(),
                row.direct().requestsPerSecond(),
                row.proxied().requestsPerSecond(),
                row.ratio(),
                row.direct().p50Ms(),
                row.proxied().p50Ms(),
                row.direct().p99Ms(),
                row.proxied().p99Ms(),
                row.proxied().proxySeconds(),
                row.direct().serverSeconds(),
                row.proxyMemoryKib() / 1024,
                row.disturbed() > 0 ? "  (disturbed " + row.disturbed() + ")" : "");
    }

    static ServerBinary older() {
        return ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
    }

    static ServerBinary newer() {
        return ServerBinary.named("valkey-9.1").orElseGet(Bench::older);
    }

    static void write(Path file, Map<String, Object> results, PrintStream out) {
        try {
            new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValue(file.toFile(), results);
            out.println("written to " + file);
        } catch (IOException e) {
            throw new UncheckedIOException(file + " cannot be written", e);
        }
    }

    static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("The benchmark's files in " + folder + " cannot be deleted", e);
        }
    }
}
