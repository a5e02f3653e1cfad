package io.switchback.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.switchback.server.LastRoute;
import io.switchback.server.NodeFile;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code switchback where FILE}: for the worst night, when no node runs. */
@Command(
        name = "where",
        description =
                "Tells from the data folder alone, without a running node, which fleet each cache was last routed to.",
        mixinStandardHelpOptions = true,
        footer = {"", "What to do then: docs/worst-night.md."})
final class WhereCommand implements Callable<Integer> {
    private static final String UNIX = "unix:";
    /** As a fleet of several servers is named. */
    private static final String SEVERAL = " [";

    private final PrintStream out;

    @Parameters(paramLabel = "FILE", description = "the node's YAML file")
    private Path file = Path.of("node.yaml");

    @Option(names = "--json", description = "for a program")
    private boolean json;

    WhereCommand(PrintStream out) {
        this.out = out;
    }

    @Override
    public Integer call() throws JsonProcessingException {
        List<LastRoute> routes = LastRoute.read(NodeFile.readWithoutSecrets(file));
        boolean known = routes.stream().allMatch(LastRoute::fromLedger);
        if (json) {
            out.println(new ObjectMapper().writeValueAsString(routes));
            return known ? Main.DONE : Main.ENDED_OTHERWISE;
        }
        for (LastRoute route : routes) {
            out.println("cache " + route.cache() + ": fleet " + route.fleet() + " at " + route.server()
                    + (route.fromLedger()
                            ? " (epoch " + route.epoch() + ")"
                            : " (the file's active fleet: no node has ever started with this data folder)"));
        }
        if (!known) {
            out.println(
                    "That is only what the file says. If a node has ever served these caches, the data folder is another"
                            + " one: see ledger in the node's file before anybody is sent anywhere.");
            return Main.ENDED_OTHERWISE;
        }
        out.println(
                "Clients may be sent straight there. If that server refuses writes (READONLY), make it a primary again:");
        for (LastRoute route : routes) {
            if (route.server().contains(SEVERAL)) {
                out.println(
                        "  fleet " + route.fleet()
                                + " is under sentinels or a cluster, whose roles no release changes: leave them alone, and ask its sentinels (or CLUSTER NODES) where it is");
            } else {
                out.println("  " + client(route.server()) + " ROLE");
                out.println("  " + client(route.server()) + " REPLICAOF NO ONE");
            }
        }
        out.println("First make sure that no node runs any more; docs/worst-night.md says why and what then.");
        return Main.DONE;
    }

    private static String client(String server) {
        if (server.startsWith(UNIX)) {
            return "redis-cli -s " + server.substring(UNIX.length());
        }
        int colon = server.lastIndexOf(':');
        // A fleet that is not in the file any more has no address here.
        return colon < 0
                ? "redis-cli -h HOST -p PORT"
                : "redis-cli -h " + server.substring(0, colon) + " -p " + server.substring(colon + 1);
    }
}
