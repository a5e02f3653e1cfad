package io.switchback.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.LoadSnapshot;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The hold times of one number of nodes with one kind of ledger: nodes, servers and members of the ledger are processes of their own
 * on this machine, clients run on every node, and one release goes forward and back. For one thread.
 */
final class HoldTimesRun {
    private static final int LEDGER_MEMBERS = 3;
    private static final int CLIENTS = 16;
    private static final int CLIENTS_PER_NODE_MIN = 2;
    private static final int KEYS = 10_000;
    /** Long, so that the worst is measured instead of given up and tried again. */
    private static final String HOLD_LIMIT = "2s";
    /** Both compilers, as {@code switchback serve} has them, and little room, so that many fit on one machine. */
    private static final List<String> JVM = List.of("-XX:+UseSerialGC", "-Xmx128m");

    private final Setup setup;
    private final ServerBinary older;
    private final ServerBinary newer;
    private final PrintStream out;

    /** The kinds of ledger. */
    enum LedgerKind {
        EMBEDDED,
        ZOOKEEPER
    }

    /**
     * What is run.
     *
     * @param rates in requests a second over all nodes, tried one after the other until a third of the machine is idle
     */
    record Setup(int nodes, LedgerKind ledger, int switches, List<Integer> rates) {}

    /**
     * What came out.
     *
     * @param idleShare of the machine while switches were made
     * @param givenUp attempts of switches that were aborted and tried again; they are not among {@code each}
     */
    record Outcome(
            int nodes,
            LedgerKind ledger,
            double requestsPerSecond,
            double idleShare,
            int givenUp,
            long requests,
            long errors,
            long connectionsLost,
            List<HeldSwitch> each) {}

    HoldTimesRun(Setup setup, ServerBinary older, ServerBinary newer, PrintStream out) {
        this.setup = setup;
        this.older = older;
        this.newer = newer;
        this.out = out;
    }

    Outcome measure(Path folder) {
        return switch (setup.ledger()) {
            case EMBEDDED -> measure(folder, "embedded:./data");
            case ZOOKEEPER -> {
                try (ZooKeeperEnsemble ensemble =
                        ZooKeeperEnsemble.startForcing(LEDGER_MEMBERS, folder.resolve("ledger"))) {
                    yield measure(folder, "zookeeper://" + ensemble.connect() + "/bench");
                }
            }
        };
    }

    private Outcome measure(Path folder, String ledger) {
        List<ChildNode> nodes = new ArrayList<>();
        try (RealServer blue = RealServer.startWithConfigFile(older, folder.resolve("blue"));
                RealServer green = RealServer.startWithConfigFile(newer, folder.resolve("green"))) {
            for (int number = 1; number <= setup.nodes(); number++) {
                ChildNode node =
                        new ChildNode(number, ChildNode.Place.HERE, folder, ledger, blue.port(), green.port(), JVM);
                nodes.add(node);
                node.start();
                node.awaitReady();
            }
            out.println(setup.nodes() + " node(s) serve");
            try (SteadyLoad load = SteadyLoad.thatLeavesRoom(clients(nodes), blue, setup.rates(), out)) {
                return switches(nodes.getFirst(), load);
            }
        } finally {
            nodes.forEach(ChildNode::close);
        }
    }

    private List<LoadSettings> clients(List<ChildNode> nodes) {
        return nodes.stream()
                .map(node -> LoadSettings.on(node.address(), node.port())
                        .withClients(Math.max(CLIENTS_PER_NODE_MIN, CLIENTS / nodes.size()))
                        .withKeys(KEYS / nodes.size())
                        .withPreload(true))
                .toList();
    }

    private Outcome switches(ChildNode leader, SteadyLoad load) {
        DrivenRelease release = new DrivenRelease(leader.admin(), ChildNode.CACHE, HOLD_LIMIT);
        List<HeldSwitch> each = new ArrayList<>();
        int givenUp = 0;
        long requests = load.sum(LoadSnapshot::requests);
        long errors = load.sum(LoadSnapshot::errors);
        long reconnects = load.sum(LoadSnapshot::reconnects);
        Machine.Work work = Machine.work();
        while (each.size() < setup.switches()) {
            List<JsonNode> tried = each.size() % 2 == 0 ? release.forward() : release.back();
            givenUp += tried.size() - 1;
            each.add(HeldSwitch.of(tried.getLast()));
            out.printf("switch %2d of %d %s%n", each.size(), setup.switches(), each.getLast());
        }
        return new Outcome(
                setup.nodes(),
                setup.ledger(),
                load.requestsPerSecond(),
                Machine.work().since(work).idleShare(),
                givenUp,
                load.sum(LoadSnapshot::requests) - requests,
                load.sum(LoadSnapshot::errors) - errors,
                load.sum(LoadSnapshot::reconnects) - reconnects,
                each);
    }
}
