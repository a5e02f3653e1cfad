package io.switchback.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.cli.admin.AdminClient;
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
import java.util.function.Predicate;

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

    private static final double IDLE_SHARE_MIN = 1.0 / 3;
    private static final Duration RATE_TRIAL = Duration.ofSeconds(5);
    /** Seldom, since the node shares its processors with everything else here. */
    private static final Duration POLL = Duration.ofMillis(200);

    /** What begins so soon before or after a hold is counted as its doing. */
    private static final Duration MARGIN = Duration.ofMillis(20);
    /** Where the same clients are looked at without a switch, for as long. */
    private static final Duration BEFORE = Duration.ofMillis(-300);

    private static final Duration STEP_LIMIT = Duration.ofMinutes(2);
    private static final String RELEASE = """
            release: bench
            moves:
              - { cache: bench, to: green }
            gates:
              art: { max-ratio: 1000 }
              p99: { max-ratio: 1000 }
              errors: { max-rate: 100% }
              lag: { max: 10s }
            observe: 24h
            """;

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
        AdminClient admin = node.admin();
        Map<String, Object> result = new LinkedHashMap<>();
        long began = System.nanoTime();
        try (Load load = startAtARateThatLeavesRoom(result)) {
            LoadSnapshot before = load.snapshot();
            // What the clients' own start cost them is no measure of anything.
            windows.add(new TimeWindow(began, System.nanoTime()));
            post(admin, "", RELEASE);
            moved(admin, load, "NEW", () -> {});
            for (int round = 1; round <= rounds; round++) {
                moved(admin, load, "OLD", () -> post(admin, "/bench/rollback", ""));
                moved(admin, load, "NEW", () -> post(admin, "/bench/resume", ""));
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

    private Load startAtARateThatLeavesRoom(Map<String, Object> result) {
        for (int rate : rates) {
            server.call("FLUSHALL"); // whoever was here before had keys of its own
            Load load = Load.start(LoadSettings.on("127.0.0.1", node.port())
                    .withClients(CLIENTS)
                    .withKeys(KEYS)
                    .withValueBytes(VALUE_BYTES)
                    .withOperationsPerSecond(rate)
                    .withPreload(true));
            Pause.of(RATE_TRIAL);
            LoadSnapshot from = load.snapshot();
            Machine.Work work = Machine.work();
            Pause.of(RATE_TRIAL);
            double idle = Machine.work().since(work).idleShare();
            double reached = load.snapshot().since(from).requests() / (RATE_TRIAL.toMillis() / 1000.0);
            out.printf(Locale.ROOT, "%nasked for %d requests/s: %.0f came, %.0f %% idle%n", rate, reached, idle * 100);
            if ((idle >= IDLE_SHARE_MIN && reached > rate * 0.95) || rate == rates.getLast()) {
                result.put("requestsPerSecond", reached);
                result.put("idleShare", idle);
                result.put("keys", KEYS);
                return load;
            }
            load.close();
        }
        throw new AssertionError("the last rate is taken as it is");
    }

    /** Gives the order, waits for the switch, and notes what the clients saw around it. */
    private void moved(AdminClient admin, Load load, String side, Runnable order) {
        order.run();
        long giveUpAt = System.nanoTime() + STEP_LIMIT.toNanos();
        await(admin, giveUpAt, release -> release.path("side").asText().equals(side));
        JsonNode tried = status(admin).path("switches");
        JsonNode last = tried.path(tried.size() - 1);
        double heldMs = last.path("heldMillis").asDouble();
        long began = nanoTimeOf(Instant.parse(last.path("at").asText()));
        TimeWindow window = new TimeWindow(began, began + (long) (heldMs * 1e6)).widened(MARGIN);
        LoadWindow clients = load.window(window);
        LoadWindow earlier = load.window(shifted(window, BEFORE));
        windows.add(window);
        seen.add(new Seen(
                side,
                heldMs,
                clients.longestPause().toNanos() / 1e6,
                earlier.longestPause().toNanos() / 1e6,
                clients.errors(),
                last.path("tookMillis")));
        await(
                admin,
                giveUpAt,
                release -> side.equals("OLD")
                        ? release.path("status").asText().equals("ROLLED_BACK")
                                && release.path("caches")
                                        .path(0)
                                        .path("link")
                                        .asText()
                                        .equals("streaming")
                        : release.path("caches")
                                .path(0)
                                .path("wayBack")
                                .asText()
                                .equals("OPEN"));
    }

    private static void await(AdminClient admin, long giveUpAt, Predicate<JsonNode> reached) {
        while (!reached.test(status(admin))) {
            Pause.of(POLL);
            if (System.nanoTime() - giveUpAt > 0) {
                throw new IllegalStateException("not reached: " + status(admin).toPrettyString());
            }
        }
    }

    private void summarize(Map<String, Object> result, LoadHistory history, LoadSnapshot total) {
        double[] held = seen.stream().mapToDouble(Seen::heldMs).sorted().toArray();
        double[] pauses =
                seen.stream().mapToDouble(Seen::longestPauseMs).sorted().toArray();
        double[] before =
                seen.stream().mapToDouble(Seen::pauseBeforeMs).sorted().toArray();
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
                held[held.length / 2],
                held[held.length - 1],
                pauses[pauses.length / 2],
                pauses[pauses.length - 1],
                before[before.length / 2],
                before[before.length - 1],
                elsewhereMs,
                total.requests(),
                total.errors(),
                total.reconnects());
        result.put("heldMsMedian", held[held.length / 2]);
        result.put("heldMsWorst", held[held.length - 1]);
        result.put("longestPauseMsMedian", pauses[pauses.length / 2]);
        result.put("longestPauseMsWorst", pauses[pauses.length - 1]);
        result.put("pauseBeforeMsMedian", before[before.length / 2]);
        result.put("pauseBeforeMsWorst", before[before.length - 1]);
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

    private static JsonNode status(AdminClient admin) {
        return admin.read("/v1/releases/bench");
    }

    private static void post(AdminClient admin, String path, String body) {
        admin.post("/v1/releases" + path, AdminClient.bytes(body));
    }
}
