package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
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
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.Jedis;

/** Two real servers and the file of a node between them, for tests; the node runs in this process, or in one of its own. */
public final class TwoFleets implements AutoCloseable {
    static final String CACHE = "sessions";
    public static final Duration STEP_LIMIT = Duration.ofSeconds(60);

    public final RealServer blue;
    public final RealServer green;
    final Path folder;
    private @Nullable Node node;

    private TwoFleets(RealServer blue, RealServer green, Path folder) {
        this.blue = blue;
        this.green = green;
        this.folder = folder;
    }

    public static TwoFleets start(ServerBinary blue, ServerBinary green, Path folder) {
        return start(blue, green, folder, new String[0], new String[0]);
    }

    static TwoFleets start(
            ServerBinary blue, ServerBinary green, Path folder, String[] blueArguments, String[] greenArguments) {
        RealServer old = RealServer.start(blue, folder.resolve("blue"), blueArguments);
        try {
            RealServer fresh = RealServer.start(green, folder.resolve("green"), greenArguments);
            TwoFleets fleets = new TwoFleets(old, fresh, folder);
            fleets.writeNodeFile(0);
            return fleets;
        } catch (RuntimeException e) {
            old.close();
            throw e;
        }
    }

    /** Two servers that are there already, which it closes, and a node's file of the caller's. */
    static TwoFleets of(RealServer blue, RealServer green, Path folder, String nodeFile) {
        TwoFleets fleets = new TwoFleets(blue, green, folder);
        fleets.write("node.yaml", nodeFile);
        return fleets;
    }

    /** As {@link #start}, where both servers can write their role and settings into a file of their own. */
    static TwoFleets startWithConfigFiles(ServerBinary blue, ServerBinary green, Path folder) {
        RealServer old = RealServer.startWithConfigFile(blue, folder.resolve("blue"));
        try {
            TwoFleets fleets =
                    new TwoFleets(old, RealServer.startWithConfigFile(green, folder.resolve("green")), folder);
            fleets.writeNodeFile(0);
            return fleets;
        } catch (RuntimeException e) {
            old.close();
            throw e;
        }
    }

    /** The node's file; port 0 takes any, a fixed one lets clients find a node that was started again. */
    Path writeNodeFile(int port) {
        return writeNodeFile(port, "");
    }

    /** As {@link #writeNodeFile(int)}; {@code more} is one more key of the cache. */
    Path writeNodeFile(int port, String more) {
        return writeNodeFile(port, SwitchbackUser.between(blue.binary(), green.binary()), more);
    }

    /** Likewise, with another user of the fleets than the one who has the rights that the release needs, and no more. */
    Path writeNodeFile(int port, SwitchbackUser user, String more) {
        return write("node.yaml", """
                node: test-1
                admin: { listen: "127.0.0.1:0", token: secret-of-the-test }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:%d"
                    active: blue
                    fleets:
                      blue: { standalone: "127.0.0.1:%d", %s }
                      green: { standalone: "127.0.0.1:%d", %s }
                    %s
                """.formatted(port, blue.port(), user.yaml(), green.port(), user.yaml(), more));
    }

    Path write(String name, String text) {
        try {
            return Files.writeString(folder.resolve(name), text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    NodeFile nodeFile() {
        return NodeFile.read(folder.resolve("node.yaml"));
    }

    public Node startNode() {
        Node started = Node.start(nodeFile(), Environment.system());
        node = started;
        return started;
    }

    /** As {@link #startNode}, with something between the node and its ledger. */
    Node startNode(UnaryOperator<Ledger> between) {
        NodeFile file = nodeFile();
        Ledger ledger = EmbeddedLedger.open(file.dataFolder(), Environment.system());
        Node started = Node.start(file, Environment.system(), between.apply(ledger));
        node = started;
        return started;
    }

    void stopNode() {
        Node running = node;
        node = null;
        if (running != null) {
            running.close();
        }
    }

    Node node() {
        return Objects.requireNonNull(node);
    }

    public int port() {
        return node().addresses(CACHE).getFirst().port();
    }

    /** A release's file with patient gates, so that a noisy machine decides nothing. */
    public static ReleaseFile release(String name, String more) {
        return release(name, "", more);
    }

    /** Likewise; {@code move} is what is said of the move beside its cache and fleet, behind a comma. */
    static ReleaseFile release(String name, String move, String more) {
        return ReleaseFile.parse(name, """
                release: %s
                moves:
                  - { cache: sessions, to: green%s }
                gates:
                  art: { max-ratio: 1000 }
                  p99: { max-ratio: 1000 }
                  lag: { max: 10s }
                  samples-min: 1
                observe: 1h
                %s
                """.formatted(name, move, more));
    }

    /** A client of the cache, as an application would have it. */
    Jedis client() {
        return new Jedis("127.0.0.1", port(), 30_000);
    }

    public void begin(ReleaseFile file) {
        node().releases().start(file, "test");
    }

    public void order(String release, Order.Kind kind) {
        node().releases().order(release, new Order(kind, false, "test"));
    }

    void rollbackAcceptingLoss(String release) {
        node().releases().order(release, new Order(Order.Kind.ROLLBACK, true, "test"));
    }

    ReleaseStatus status(String release) {
        return node().releases().status(release).orElseThrow();
    }

    ReleaseStatus await(String release, String what, Predicate<ReleaseStatus> reached) {
        try {
            Await.until(STEP_LIMIT, what, () -> {
                ReleaseStatus now = status(release);
                boolean there = reached.test(now);
                if (!there && now.status() == Status.FAILED) {
                    throw new AssertionError("the release failed instead of: " + what);
                }
                return there;
            });
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + "; it stands at " + status(release), e);
        }
        return status(release);
    }

    public ReleaseStatus awaitObserving(String release) {
        return await(
                release,
                "observing with the way back open",
                now -> now.step() == Step.OBSERVE
                        && now.side() == Side.NEW
                        && now.caches().getFirst().wayBack() == ReleaseStatus.WayBack.OPEN);
    }

    public ReleaseStatus awaitStatus(String release, Status status) {
        return await(release, status.title(), now -> now.status() == status);
    }

    @Override
    public void close() {
        stopNode();
        green.close();
        blue.close();
    }
}
