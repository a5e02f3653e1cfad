package io.switchback.bench;

import io.switchback.bench.LoadTool.Way;
import io.switchback.bench.SideBySide.Row;
import io.switchback.bench.SideBySide.Run;
import io.switchback.bench.SideBySide.Side;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import picocli.CommandLine.Command;
import redis.clients.jedis.Jedis;

/** {@code bench/run memory}: what a read costs that a node answers from its memory. */
@Command(
        name = "bench/run memory",
        description = {
            "GETs of few keys that a node answers from its memory, beside those that another node forwards and beside direct access, all of"
                    + " one server.",
            "Takes about four minutes, with --quick half a one."
        },
        mixinStandardHelpOptions = true)
final class MemoryBench extends Measurement {
    private static final int HOT_KEYS = 100;
    private static final String HITS = "switchback_memory_hits_total";
    private static final String MISSES = "switchback_memory_misses_total";
    private static final double PERCENT = 100;

    MemoryBench(Path launcher) {
        super(launcher);
    }

    @Override
    void measure(Path folder) {
        String fleets = """
                active: blue
                fleets:
                  blue: { standalone: 127.0.0.1:%d }
                """;
        try (RealServer server = RealServer.start(server(), folder.resolve("server"));
                NodeProcess without = node(folder.resolve("without"), fleets.formatted(server.port()));
                NodeProcess with =
                        node(folder.resolve("with"), fleets.formatted(server.port()) + "memory: { max-mib: 64 }\n")) {
            List<Long> servers = List.of(server.pid());
            Side forwarded = new Side(
                    "forwarded", Way.plain(without.port(), HOT_KEYS), OptionalLong.of(without.processId()), servers);
            Side kept = new Side(
                    "from memory", Way.plain(with.port(), HOT_KEYS), OptionalLong.of(with.processId()), servers);
            Side direct = new Side("directly", Way.plain(server.port(), HOT_KEYS), OptionalLong.empty(), servers);
            for (int valueBytes : isQuick() ? List.of(64) : List.of(64, 1024)) {
                try (Jedis client = server.client()) {
                    ThroughputBench.preload(client, HOT_KEYS, valueBytes);
                }
                List<Case> cases = new ArrayList<>();
                for (int pipeline : List.of(1, 16, 64)) {
                    cases.add(new Case("get", pipeline, valueBytes));
                }
                double hits = with.count(HITS);
                double misses = with.count(MISSES);
                List<Row> rows = sideBySide(List.of(forwarded, kept, direct), cases);
                hits = with.count(HITS) - hits;
                misses = with.count(MISSES) - misses;
                note("sides of " + valueBytes, rows);
                note("hits of " + valueBytes, hits);
                note("misses of " + valueBytes, misses);
                say(
                        "Of %.0f reads %.2f %% were answered from memory.%n",
                        hits + misses, PERCENT * hits / (hits + misses));
                summarize(rows, cases, forwarded, kept, direct);
            }
        }
    }

    private void summarize(List<Row> rows, List<Case> cases, Side forwarded, Side kept, Side direct) {
        say("From memory; the goal is less than half of the processor time, and more requests than directly.%n");
        say("| case | node's CPU beside a forwarded one | requests/s beside direct access |");
        say("| --- | --- | --- |");
        for (Case what : cases) {
            say(
                    "| %s | %.2f | %.2f |",
                    what,
                    ratio(rows, what, kept, forwarded, Run::proxySeconds),
                    ratio(rows, what, kept, direct, Run::requestsPerSecond));
        }
        say("");
    }
}
