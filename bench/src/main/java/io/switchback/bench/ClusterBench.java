package io.switchback.bench;

import io.switchback.bench.LoadTool.Way;
import io.switchback.bench.SideBySide.Row;
import io.switchback.bench.SideBySide.Run;
import io.switchback.bench.SideBySide.Side;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import redis.clients.jedis.Jedis;

/** {@code bench/run cluster}: what it costs a node that there is a cluster behind it. */
@Command(
        name = "bench/run cluster",
        description = {
            "A cluster of three primaries through a node, by plain clients, beside one server through another node and beside a cluster"
                    + " client that goes straight to the primaries.",
            "Takes about twelve minutes, with --quick one."
        },
        mixinStandardHelpOptions = true)
final class ClusterBench extends Measurement {
    private static final int PRIMARIES = 3;
    private static final int KEYS = 100_000;
    private static final int KEYS_OF_A_PRIMARY = KEYS / PRIMARIES;
    private static final int VALUE_BYTES = 64;
    private static final int CLIENT_TIMEOUT_MS = 60_000;

    /** So many times as many SETs of random keys as there are keys leave two in a hundred thousand unset. */
    private static final int TIMES_TO_SET_ALL = 11;

    private static final int PRELOAD_PIPELINE = 16;

    ClusterBench(Path launcher) {
        super(launcher);
    }

    @Override
    void measure(Path folder) {
        try (RealServer single = RealServer.start(server(), folder.resolve("single"));
                RealCluster cluster = RealCluster.start(server(), folder.resolve("cluster"), PRIMARIES, 0);
                NodeProcess before = node(folder.resolve("node-of-one"), """
                        active: blue
                        fleets:
                          blue: { standalone: 127.0.0.1:%d }
                        """.formatted(single.port()));
                NodeProcess node = node(folder.resolve("node-of-cluster"), """
                        active: blue
                        fleets:
                          blue: { cluster: [%s] }
                        """.formatted(addresses(cluster)))) {
            List<Long> servers = cluster.nodes().stream().map(RealServer::pid).toList();
            List<Long> one = List.of(single.pid());
            Side standalone = new Side(
                    "one server, through a node",
                    Way.plain(before.port(), KEYS),
                    OptionalLong.of(before.processId()),
                    one);
            Side sharded = new Side(
                    "cluster, through a node",
                    Way.plain(node.port(), KEYS),
                    OptionalLong.of(node.processId()),
                    servers);
            Side straight = new Side(
                    "cluster, by a cluster client",
                    new Way(cluster.nodes().getFirst().port(), true, KEYS_OF_A_PRIMARY, List.of()),
                    OptionalLong.empty(),
                    servers);
            Side direct = new Side("one server, directly", Way.plain(single.port(), KEYS), OptionalLong.empty(), one);
            preload(before.port(), node.port(), straight.way());
            List<Case> cases = cases();
            List<Row> rows = sideBySide(List.of(standalone, sharded, straight, direct), cases);
            note("sides", rows);
            summarize(rows, cases, standalone, sharded, straight);
        }
    }

    private List<Case> cases() {
        if (isQuick()) {
            return Stream.of("get", "set", Case.MGET)
                    .map(operation -> new Case(operation, 16, VALUE_BYTES))
                    .toList();
        }
        List<Case> cases = new ArrayList<>();
        for (String operation : List.of("get", "set")) {
            for (int pipeline : List.of(1, 16, 64)) {
                cases.add(new Case(operation, pipeline, VALUE_BYTES));
            }
        }
        for (String operation : List.of(Case.MGET, Case.MSET)) {
            for (int pipeline : List.of(1, 16)) {
                cases.add(new Case(operation, pipeline, VALUE_BYTES));
            }
        }
        return cases;
    }

    private static String addresses(RealCluster cluster) {
        return cluster.nodes().stream()
                .map(node -> node.host() + ":" + node.port())
                .collect(Collectors.joining(", "));
    }

    /** Through the nodes, which know the shards of the keys; those of the cluster client by itself, as its tool alone knows their names. */
    private static void preload(int portOfOne, int portOfCluster, Way straight) {
        for (int port : List.of(portOfOne, portOfCluster)) {
            try (Jedis client = new Jedis("127.0.0.1", port, CLIENT_TIMEOUT_MS)) {
                ThroughputBench.preload(client, KEYS, VALUE_BYTES);
            }
        }
        LoadTool.find().run(straight, new Case("set", PRELOAD_PIPELINE, VALUE_BYTES), (long) TIMES_TO_SET_ALL * KEYS);
    }

    private void summarize(List<Row> rows, List<Case> cases, Side standalone, Side sharded, Side straight) {
        say(
                "The cluster through a node; the goal is 0.9 of one server's requests a second and no more than 1/0.9 of the processor time.%n");
        say(
                "| case | requests/s beside one server through a node | node's CPU beside that | requests/s beside a cluster client |");
        say("| --- | --- | --- | --- |");
        for (Case what : cases) {
            say(
                    "| %s | %.2f | %.2f | %.2f%s |",
                    what,
                    ratio(rows, what, sharded, standalone, Run::requestsPerSecond),
                    ratio(rows, what, sharded, standalone, Run::proxySeconds),
                    ratio(rows, what, sharded, straight, Run::requestsPerSecond),
                    what.isOfManyKeys() ? " (which names keys of one slot only)" : "");
        }
    }
}
