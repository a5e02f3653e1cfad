package io.switchback.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.switchback.commit.Protocol;
import io.switchback.simulation.Simulation;
import io.switchback.simulation.Simulation.Result;
import io.switchback.simulation.Simulation.Setting;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code switchback simulate}: switches over several nodes under seeds, with everything that can go wrong. */
@Command(
        name = "simulate",
        description =
                "Runs switches over several nodes in a simulation that crashes, stops, cuts and delays, and checks the laws.",
        mixinStandardHelpOptions = true,
        footer = {"", "What is modelled, and what is not: docs/simulation.md."})
final class SimulateCommand implements Callable<Integer> {
    private static final int NODES_MAX = 1_000;
    private static final long PROGRESS_SEEDS = 5_000;
    private static final int[] HOLD_NODES = {1, 10, 100, 1_000};

    private final PrintStream out;

    @Option(names = "--seeds", paramLabel = "N", description = "how many; default ${DEFAULT-VALUE}")
    private long seeds = 1_000;

    @Option(names = "--from", paramLabel = "M", description = "the first; default ${DEFAULT-VALUE}")
    private long from = 1;

    @Option(names = "--seed", paramLabel = "N", description = "this one alone, with its trace")
    private @Nullable Long seed;

    @Option(names = "--nodes", paramLabel = "K", description = "how many nodes; default: one to five, by the seed")
    private int nodes;

    @Option(names = "--protocol", description = "two-phase, three-phase or both; default ${DEFAULT-VALUE}")
    private String protocol = "both";

    @Option(names = "--json", paramLabel = "FILE", description = "writes the sums there")
    private @Nullable Path json;

    @Option(
            names = "--hold-times",
            description = "how long one switch holds clients over 1 to 1,000 nodes, where nothing fails")
    private boolean holdTimes;

    SimulateCommand(PrintStream out) {
        this.out = out;
    }

    @Override
    public Integer call() throws IOException {
        Setting setting;
        switch (protocol) {
            case "both" -> setting = new Setting(null, nodes, null);
            case "two-phase" -> setting = new Setting(Protocol.TWO_PHASE, nodes, null);
            case "three-phase" -> setting = new Setting(Protocol.THREE_PHASE, nodes, null);
            default -> {
                out.println("switchback simulate: --protocol is two-phase, three-phase or both");
                return Main.MISTAKE;
            }
        }
        if (seeds < 1 || nodes < 0 || nodes > NODES_MAX) {
            out.println("switchback simulate: --seeds is at least 1, --nodes from 1 to " + NODES_MAX);
            return Main.MISTAKE;
        }
        if (holdTimes) {
            return printHoldTimes();
        }
        return seed != null ? one(seed, setting) : many(setting);
    }

    private int one(long number, Setting setting) {
        Result result = Simulation.traced(number, setting);
        result.trace().forEach(out::println);
        out.println(text(result));
        return result.held() ? Main.DONE : Main.ENDED_OTHERWISE;
    }

    private int many(Setting setting) throws IOException {
        Map<String, Object> sums = new LinkedHashMap<>();
        sums.put("from", from);
        Result broken = null;
        long run = 0;
        while (run < seeds && broken == null) {
            Result result = Simulation.run(from + run, setting);
            run++;
            add(sums, "commits", result.commits());
            add(sums, "aborts", result.aborts());
            add(sums, "takeovers", result.takeovers());
            add(sums, "crashes", result.crashes());
            add(sums, "stops", result.stops());
            add(sums, "acknowledgedWrites", result.acknowledgedWrites());
            add(sums, "events", result.events());
            broken = result.held() ? null : result;
            if (run % PROGRESS_SEEDS == 0) {
                out.println(run + " of " + seeds + " seeds: " + sums);
            }
        }
        sums.put("seeds", run);
        sums.put("broken", broken == null ? "" : text(broken));
        if (json != null) {
            new ObjectMapper().writeValue(json.toFile(), sums);
        }
        if (broken != null) {
            return one(broken.seed(), setting);
        }
        out.println("all laws held over " + run + " seeds: " + sums);
        return Main.DONE;
    }

    private static void add(Map<String, Object> sums, String name, long more) {
        sums.merge(name, more, (one, another) -> (Long) one + (Long) another);
    }

    private static String text(Result result) {
        return "seed " + result.seed() + ", " + result.protocol() + ", " + result.nodes() + " nodes: "
                + (result.broken() == null ? "all laws held" : result.broken());
    }

    private int printHoldTimes() {
        for (Protocol one : Protocol.values()) {
            for (int count : HOLD_NODES) {
                out.println(String.format(
                        Locale.ROOT,
                        "%-11s %5d nodes: %8.3f ms",
                        one,
                        count,
                        Simulation.holdMicros(1, one, count) / 1e3));
            }
        }
        return Main.DONE;
    }
}
