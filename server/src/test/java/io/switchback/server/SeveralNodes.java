package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.release.Order;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import redis.clients.jedis.Jedis;

/** Several nodes of this process that serve one cache between two real servers, on one ledger in a real ensemble. */
final class SeveralNodes implements AutoCloseable {
    static final String CACHE = TwoFleets.CACHE;

    final RealServer blue;
    final RealServer green;
    private final Path folder;
    /** As in a node's file: where the ensemble is, and the folder of this test in it. */
    private final String ledger;

    private final Map<Integer, Node> nodes = new TreeMap<>();
    private final Set<Integer> holding = new TreeSet<>();

    private SeveralNodes(RealServer blue, RealServer green, Path folder, String ledger) {
        this.blue = blue;
        this.green = green;
        this.folder = folder;
        this.ledger = ledger;
    }

    /** Starts the servers and {@code count} nodes of this process, numbered from 1. */
    static SeveralNodes start(
            ServerBinary blue, ServerBinary green, ZooKeeperEnsemble ensemble, int count, Path folder) {
        RealServer old = RealServer.start(blue, folder.resolve("blue"));
        RealServer fresh = RealServer.start(green, folder.resolve("green"));
        SeveralNodes several = new SeveralNodes(old, fresh, folder, ensemble.connect() + "/" + folder.getFileName());
        try {
            for (int number = 1; number <= count; number++) {
                several.startNode(number);
            }
            return several;
        } catch (RuntimeException e) {
            several.close();
            throw e;
        }
    }

    /** The node that will be started with that number holds its clients where it has lost the ledger. */
    void holdsWithoutLedger(int number) {
        holding.add(number);
    }

    Node startNode(int number) {
        Node started = Node.start(NodeFile.read(nodeFile(number)), Environment.system());
        nodes.put(number, started);
        return started;
    }

    /** The file of a node; its clients connect to any free port. */
    Path nodeFile(int number) {
        return nodeFile(number, "data-" + number, ledger);
    }

    /** The same node with another folder of its own. */
    Path nodeFile(int number, String data) {
        return nodeFile(number, data, ledger);
    }

    /** The same node with its folder, where somebody else's ledger is at the address of the one that it knows. */
    Path nodeFileOnAnotherLedger(int number) {
        return nodeFile(number, "data-" + number, ledger + "-another");
    }

    /** Starts a node in a process of its own, which the caller closes; {@code release} is what it begins when it is told to. */
    ServingNode startProcess(int number, ReleaseFile release) {
        return ServingNode.start(nodeFile(number), release);
    }

    /** As {@link #startProcess(int, ReleaseFile)}, where the node reaches the ensemble at another address. */
    ServingNode startProcess(int number, ReleaseFile release, String ensemble) {
        String path = ledger.substring(ledger.indexOf('/'));
        return ServingNode.start(nodeFile(number, "data-" + number, ensemble + path), release);
    }

    private Path nodeFile(int number, String data, String onLedger) {
        try {
            return Files.writeString(folder.resolve("node-" + number + ".yaml"), """
                    node: node-%1$d
                    ledger: zookeeper://%2$s
                    data: ./%5$s
                    on-ledger-loss: %6$s
                    caches:
                      sessions:
                        listen: "127.0.0.1:0"
                        active: blue
                        fleets:
                          blue: { standalone: "127.0.0.1:%3$d", %7$s }
                          green: { standalone: "127.0.0.1:%4$d", %7$s }
                    """.formatted(
                    number,
                    onLedger,
                    blue.port(),
                    green.port(),
                    data,
                    holding.contains(number) ? "hold" : "serve",
                    SwitchbackUser.between(blue.binary(), green.binary()).yaml()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void stopNode(int number) {
        Node running = nodes.remove(number);
        if (running != null) {
            running.close();
        }
    }

    Node node(int number) {
        return java.util.Objects.requireNonNull(nodes.get(number));
    }

    int port(int number) {
        return node(number).addresses(CACHE).getFirst().port();
    }

    Jedis client(int number) {
        return new Jedis("127.0.0.1", port(number), 30_000);
    }

    void begin(int number, ReleaseFile file) {
        node(number).releases().start(file, "test");
    }

    void order(int number, String release, Order.Kind kind) {
        node(number).releases().order(release, new Order(kind, false, "test"));
    }

    ReleaseStatus status(int number, String release) {
        return node(number).releases().status(release).orElseThrow();
    }

    /** Waits until a node says that a release has come somewhere. */
    ReleaseStatus await(int number, String release, String what, Predicate<ReleaseStatus> reached) {
        try {
            Await.until(TwoFleets.STEP_LIMIT, what, () -> {
                Optional<ReleaseStatus> now = node(number).releases().status(release);
                boolean there = now.filter(reached).isPresent();
                if (!there && now.filter(one -> one.status() == Status.FAILED).isPresent()) {
                    throw new AssertionError("the release failed instead of: " + what);
                }
                return there;
            });
        } catch (AssertionError e) {
            throw new AssertionError(
                    e.getMessage() + "; it stands at " + node(number).releases().status(release), e);
        }
        return status(number, release);
    }

    ReleaseStatus awaitObserving(int number, String release) {
        return await(
                number,
                release,
                "observing with the way back open",
                now -> now.step() == Step.OBSERVE
                        && now.side() == Side.NEW
                        && !now.caches().isEmpty()
                        && now.caches().getFirst().wayBack() == ReleaseStatus.WayBack.OPEN);
    }

    ReleaseStatus awaitStatus(int number, String release, Status status) {
        return await(number, release, status.title(), now -> now.status() == status);
    }

    @Override
    public void close() {
        nodes.values().forEach(Node::close);
        // One that is asked to end waits for followers that will never come.
        green.kill();
        blue.kill();
    }
}
