package io.switchback.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.LoadSnapshot;
import io.switchback.testkit.load.LoadWindow;
import io.switchback.testkit.load.TimeWindow;
import java.io.PrintStream;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What clients see of switches forward and back: the longest pause of any client around each, beside the longest that the same
 * clients saw without one in the same run, and their errors. For one thread.
 */
final class SwitchBench {
    private static final int KEYS = 100_000;
    private static final int VALUE_BYTES = 64;
    private static final int CLIENTS = 16;
    /** In requests a second, tried one after the other. */
    static final List<Integer> RATES = List.of(20_000, 15_000, 10_000, 7_000, 5_000, 3_000);

    /** What begins so soon before or after a hold is counted as its doing. */
    private static final Duration MARGIN = Duration.ofMillis(20);
    /** Where the same clients are looked at without a switch, for as long. */
    private static final Duration BEFORE = Duration.ofMillis(-300);

    /** What a release has where its file says nothing. */
    private static final String HOLD_LIMIT = "500ms";

    private final NodeProcess node;
    private final RealServer server;
    private final int rounds;
    private final List<Integer> rates;
    private final PrintStream out;
    private final List<TimeWindow> windows = new ArrayList<>();
    private final List<Seen> seen = new ArrayList<>();

    /** One switch: for how long the node held, what the clients saw around it, and in as long a time shortly before it. */
    record Seen(String to, double heldMs, double longestPauseMs, double pauseBeforeMs, long errors, JsonNode took) {}

    SwitchBench(NodeProcess node, RealServer server, int rounds, List<Integer> rates, PrintStream out) {
        this.node = node;
        this.server = server;
        this.rounds = rounds;
        this.rates = rates;
        this.out = out;
    }

    Map<String, Object> measure() {
        Map<String, Object> result = new LinkedHashMap<>();
        long began = System.nanoTime();
        LoadSettings clients = LoadSettings.on("127.0.0.1", node.port())
                .withClients(CLIENTS)
                .withKeys(KEYS)
                .withValueBytes(VALUE_BYTES)
                .withPreload(true);
        try (SteadyLoad steady = SteadyLoad.thatLeavesRoom(List.of(clients), server, rates, out)) {
            result.put("requestsPerSecond", steady.requestsPerSecond());
            result.put("idleShare", steady.idleShare());
            result.put("keys", KEYS);
            Load load = steady.loads().getFirst();
            LoadSnapshot before = load.snapshot();
            // What the clients' own start cost them is no measure of anything.
            windows.add(new TimeWindow(began, System.nanoTime()));
            DrivenRelease release = new DrivenRelease(node.admin(), "bench", HOLD_LIMIT);
            moved(load, release.forward());
            for (int round = 1; round <= rounds; round++) {
                moved(load, release.back());
                moved(load, release.forward());
                out.printf(
                        Locale.ROOT,
                        "round %2d of %d:%n  %s%n  %s%n",
                        round,
                        rounds,
                        seen.get(seen.size() - 2),
                        seen.getLast());
            }
            LoadHistory history = load.stop();
            LoadSnapshot total = history.total().since(before);
            summarize(result, history, total);
        }
        return result;
    }

    /** Notes what the clients saw around the last of these switches, which a release's status shows. */
    private void moved(Load load, List<JsonNode> tried) {
        JsonNode last = tried.getLast();
        double heldMs = last.path("heldMillis").asDouble();
        long began = nanoTimeOf(Instant.parse(last.path("at").asText()));
        TimeWindow window = new TimeWindow(began, began + (long) (heldMs * 1e6)).widened(MARGIN);
        LoadWindow clients = load.window(window);
        LoadWindow earlier = load.window(shifted(window, BEFORE));
        windows.add(window);
        seen.add(new Seen(
                last.path("to").asText(),
                heldMs,
                clients.longestPause().toNanos() / 1e6,
                earlier.longestPause().toNanos() / 1e6,
                clients.errors(),
                last.path("tookMillis")));
    }

    private void summarize(Map<String, Object> result, LoadHistory history, LoadSnapshot total) {
        Spread held = Spread.of(seen, Seen::heldMs);
        Spread pauses = Spread.of(seen, Seen::longestPauseMs);
        Spread before = Spread.of(seen, Seen::pauseBeforeMs);
        double elsewhereMs = history.longestPauseOutside(windows).toNanos() / 1e6;
        out.printf(
                Locale.ROOT,
                "%n%d switches at %.0f requests/s with %d keys:%n"
                        + "  held by the node         median %.1f ms, worst %.1f ms%n"
                        + "  longest pause of clients median %.1f ms, worst %.1f ms%n"
                        + "  as long a time before each  median %.1f ms, worst %.1f ms%n"
                        + "  longest pause of the same clients without a switch: %.1f ms%n"
                        + "  requests %d, errors %d, connections lost %d%n",
                seen.size(),
                ((Number) result.getOrDefault("requestsPerSecond", 0)).doubleValue(),
                KEYS,
                held.median(),
                held.worst(),
                pauses.median(),
                pauses.worst(),
                before.median(),
                before.worst(),
                elsewhereMs,
                total.requests(),
                total.errors(),
                total.reconnects());
        result.put("heldMsMedian", held.median());
        result.put("heldMsWorst", held.worst());
        result.put("longestPauseMsMedian", pauses.median());
        result.put("longestPauseMsWorst", pauses.worst());
        result.put("pauseBeforeMsMedian", before.median());
        result.put("pauseBeforeMsWorst", before.worst());
        result.put("longestPauseMsWithoutSwitch", elsewhereMs);
        result.put("requests", total.requests());
        result.put("errors", total.errors());
        result.put("connectionsLost", total.reconnects());
        result.put("each", seen);
    }

    /** The clocks of both processes are this machine's. */
    private static long nanoTimeOf(Instant instant) {
        return System.nanoTime() - Duration.between(instant, Instant.now()).toNanos();
    }

    private static TimeWindow shifted(TimeWindow window, Duration by) {
        return new TimeWindow(window.fromNanos() + by.toNanos(), window.toNanos() + by.toNanos());
    }
}
