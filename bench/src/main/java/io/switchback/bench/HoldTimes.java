package io.switchback.bench;

import io.switchback.bench.HoldTimesRun.LedgerKind;
import io.switchback.bench.HoldTimesRun.Outcome;
import io.switchback.bench.HoldTimesRun.Setup;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code bench/run hold-times}: for how long switches hold clients, by the number of nodes and the kind of ledger, and what for. */
@Command(
        name = "bench/run hold-times",
        description =
                "For how long switches over several nodes hold clients, split into nodes, drain, servers and ledger, on this machine.",
        mixinStandardHelpOptions = true,
        footer = {"", "Of 100 and 1,000 nodes, simulated: ./switchback simulate --hold-times"})
final class HoldTimes implements Callable<Integer> {
    private static final int MISTAKE = 2;
    private static final List<Integer> RATES = List.of(6_000, 4_000, 3_000, 2_000, 1_000, 500);

    private final PrintStream out = System.out;

    @Option(
            names = "--nodes",
            split = ",",
            paramLabel = "N",
            description = "how many; default ${DEFAULT-VALUE}",
            defaultValue = "1,3,10")
    private List<Integer> nodes = List.of();

    @Option(
            names = "--ledger",
            split = ",",
            paramLabel = "KIND",
            description = "embedded (for one node alone), zookeeper (three members); default ${DEFAULT-VALUE}",
            defaultValue = "embedded,zookeeper")
    private List<LedgerKind> ledgers = List.of();

    @Option(
            names = "--switches",
            paramLabel = "N",
            description = "of each setup, every other one back; default ${DEFAULT-VALUE}",
            defaultValue = "50")
    private int switches;

    @Option(
            names = "--rate",
            paramLabel = "N",
            description =
                    "requests a second over all nodes; without it the highest of some that leaves a third of the machine idle")
    private @Nullable Integer rate;

    @Option(names = "--json", paramLabel = "FILE", description = "writes the figures for a program as well")
    private @Nullable Path json;

    @Override
    public Integer call() throws IOException {
        if (switches < 1 || (rate != null && rate < 1) || nodes.stream().anyMatch(count -> count < 1)) {
            out.println("bench/run hold-times: --nodes, --switches and --rate are at least 1");
            return MISTAKE;
        }
        Map<String, String> machine = Machine.description();
        machine.forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        ServerBinary older = Bench.older();
        ServerBinary newer = Bench.newer();
        out.printf("%-10s %s, %s%n", "servers", older, newer);
        List<Outcome> outcomes = new ArrayList<>();
        int failures = 0;
        Path folder = Files.createTempDirectory("switchback-hold-times-");
        for (Setup setup : setups()) {
            out.printf("%n%d node(s), %s:%n", setup.nodes(), name(setup.ledger()));
            Path own = folder.resolve(name(setup.ledger()) + "-" + setup.nodes());
            try {
                Outcome outcome = new HoldTimesRun(setup, older, newer, out).measure(own);
                outcomes.add(outcome);
                print(outcome);
            } catch (RuntimeException | AssertionError e) {
                // The other setups say what they say all the same.
                failures++;
                out.println("given up: " + e);
            }
        }
        print(outcomes);
        if (json != null) {
            Map<String, Object> results = new LinkedHashMap<>();
            results.put("machine", machine);
            results.put("servers", List.of(older.toString(), newer.toString()));
            results.put("holdTimes", outcomes);
            Bench.write(json, results, out);
        }
        if (failures > 0) {
            out.println("the logs of what was given up are in " + folder);
            return 1;
        }
        Bench.delete(folder);
        return 0;
    }

    /** An embedded ledger is one node's. */
    private List<Setup> setups() {
        List<Integer> rates = rate == null ? RATES : List.of(rate);
        List<Setup> setups = new ArrayList<>();
        for (LedgerKind ledger : ledgers) {
            for (int count : nodes) {
                if (ledger == LedgerKind.ZOOKEEPER || count == 1) {
                    setups.add(new Setup(count, ledger, switches, rates));
                }
            }
        }
        return setups;
    }

    private void print(List<Outcome> outcomes) {
        out.println();
        out.println("Milliseconds, median / worst; held is of the node that held for the longest in each switch.");
        out.println();
        out.println(
                "| nodes | ledger | switches | requests/s | idle | held | nodes | drain | servers | ledger | rest | asked | told |");
        out.println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        for (Outcome one : outcomes) {
            out.printf(
                    Locale.ROOT,
                    "| %d | %s | %d | %.0f | %.0f %% | %s | %s | %s | %s | %s | %s | %s | %s |%n",
                    one.nodes(),
                    name(one.ledger()),
                    one.each().size(),
                    one.requestsPerSecond(),
                    one.idleShare() * 100,
                    of(one, HeldSwitch::held),
                    of(one, HeldSwitch::nodes),
                    of(one, HeldSwitch::drain),
                    of(one, HeldSwitch::servers),
                    of(one, HeldSwitch::ledger),
                    of(one, HeldSwitch::rest),
                    of(one, HeldSwitch::asked),
                    of(one, HeldSwitch::told));
        }
        out.println();
        out.println("100 and 1,000 nodes, simulated: ./switchback simulate --hold-times");
    }

    /** At once, in case that the next setup takes all with it. */
    private void print(Outcome one) {
        out.printf(
                Locale.ROOT,
                "%d node(s), %s: held %s ms (median / longest of any node); switches given up and tried again %d;"
                        + " requests %d, errors %d, connections lost %d%n",
                one.nodes(),
                name(one.ledger()),
                of(one, HeldSwitch::held),
                one.givenUp(),
                one.requests(),
                one.errors(),
                one.connectionsLost());
    }

    private static Spread of(Outcome outcome, ToDoubleFunction<HeldSwitch> part) {
        return Spread.of(outcome.each(), part);
    }

    private static String name(LedgerKind ledger) {
        return ledger.name().toLowerCase(Locale.ROOT);
    }
}
