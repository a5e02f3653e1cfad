package io.switchback.simulation;

import io.switchback.ledger.Decisions;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What a node does for clients: a route, a hold, one connection to each fleet, commands that are parked or unanswered. A command is taken
 * up and sent in two events, so that a node can be stopped with it in hand. A new connection is made, then the ledger is asked for the route and
 * for a switch under way, and only then it carries commands.
 */
final class DataPlane {
    private static final long CLIENT_MICROS_MIN = 4_000;
    private static final long CLIENT_MICROS_MAX = 60_000;
    private static final long AGAIN_MICROS = 30_000;
    private static final int PARKED_MAX = 200;

    /** A client's command: a unique write, an increment, or a read. */
    record Command(long id, SimServer.@Nullable Kind write) {}

    /** A connection of this process to a fleet's server. */
    static final class Connection {
        final SimServer server;
        int run;
        final Set<Command> unanswered = new HashSet<>();
        /** When it reached the server: what is killed there later is this one too. */
        long openedAt;

        boolean broken;

        long lastArrival;

        Connection(SimServer server) {
            this.server = server;
            this.run = server.run();
        }
    }

    private final World world;
    private final SimNode node;
    private final int process;
    private final Deque<Command> parked = new ArrayDeque<>();
    private final Map<SimServer, Connection> connections = new HashMap<>();
    private @Nullable Connection ahead;
    private boolean opening;
    private boolean held;
    private Route route;
    private int round;
    private @Nullable Consumer<String> holding;

    DataPlane(World world, SimNode node, Route route, boolean held) {
        this.world = world;
        this.node = node;
        this.process = node.incarnation();
        this.route = route;
        this.held = held;
        later(world.between(0, CLIENT_MICROS_MAX), this::client);
    }

    Route route() {
        return route;
    }

    boolean held() {
        return held;
    }

    private void client() {
        if (world.clientsGoOn()) {
            take(world.nextCommand());
            later(world.between(CLIENT_MICROS_MIN, CLIENT_MICROS_MAX) * world.nodeCount(), this::client);
        }
    }

    private void take(Command command) {
        Connection connection = connections.get(fleet());
        if (held || connection == null) {
            if (parked.size() < PARKED_MAX) {
                parked.add(command);
            }
            if (!held) {
                open();
            }
            return;
        }
        connection.unanswered.add(command);
        later(world.between(0, 150), () -> send(connection, command));
    }

    private SimServer fleet() {
        return world.server(route.fleet());
    }

    /** The bytes leave the node, whatever has become of the hold since. */
    private void send(Connection connection, Command command) {
        if (connection.broken) {
            return;
        }
        if (world.network().cut(node.name(), connection.server.name())) {
            later(world.between(1_000, AGAIN_MICROS), () -> broken(connection));
            if (world.chance(0.5)) {
                return;
            }
        }
        connection.lastArrival = Math.max(connection.lastArrival + 1, world.now() + world.between(150, 1_500));
        if (world.late()) {
            connection.lastArrival += world.between(1_000, 300_000);
        }
        world.at(connection.lastArrival - world.now(), () -> arrive(connection, command));
    }

    private void arrive(Connection connection, Command command) {
        SimServer server = connection.server;
        boolean killed = connection.openedAt <= server.killedAt();
        if (!server.up() || server.run() != connection.run || killed) {
            later(world.between(100, 1_000), () -> broken(connection));
            return;
        }
        boolean done = execute(connection, command);
        world.at(
                world.between(150, 1_500),
                () -> later(0, () -> {
                    if (connection.unanswered.remove(command)) {
                        if (done && command.write() != null) {
                            world.laws().acknowledged(command.id(), node);
                        }
                        answered();
                    }
                }));
    }

    private boolean execute(Connection connection, Command command) {
        SimServer server = connection.server;
        SimServer.Kind write = command.write();
        if (write == null) {
            // Nobody hears the answer where the process, or its end of the connection, is gone.
            if (node.incarnation() == process && !connection.broken) {
                world.laws().read(server, connection, node);
            }
            return true;
        }
        if (!server.primary()) {
            return false;
        }
        world.laws().clientWrites(server, node, connection);
        server.apply(new SimServer.Item(write, command.id(), null));
        return true;
    }

    private void broken(Connection connection) {
        connection.broken = true;
        connection.unanswered.clear();
        connections.remove(connection.server, connection);
        answered();
    }

    private void open() {
        if (opening) {
            return;
        }
        opening = true;
        new Opening(fleet()).begin();
    }

    /** A new connection; whoever waits for it is parked. */
    private final class Opening extends Script {
        private final SimServer server;
        private final Connection connection;

        Opening(SimServer server) {
            super(DataPlane.this.world, DataPlane.this.node);
            this.server = server;
            this.connection = new Connection(server);
            ask(server.name(), () -> {
                connection.openedAt = world().now();
                connection.run = server.run();
            });
            if (!world().has(PlantedBug.NO_ROUTE_CHECK)) {
                askLedger(this::check);
            }
            then(this::use);
        }

        private void check() {
            node().ledger().catchUp();
            Route known = new Routes(node().ledger()).current(Records.CACHE).orElseThrow();
            if (!known.fleet().equals(server.name())) {
                throw new Failure(Failure.Code.STEP_FAILED, "the route has changed");
            }
            Records.Pending pending = SimNode.state(node().ledger(), world()).pending();
            if (pending != null
                    && pending.epoch() == known.epoch()
                    && !pending.participants().contains(node().name())
                    && !world().has(PlantedBug.UNDECIDED_SWITCH_NOT_SEEN)
                    && new Decisions(node().ledger())
                            .read(pending.id().toString())
                            .isEmpty()) {
                throw new Failure(Failure.Code.STEP_FAILED, "a switch is under way without this node");
            }
        }

        private void use() {
            opening = false;
            connections.put(server, connection);
            if (!held) {
                sendParked();
            }
        }

        @Override
        void failed(RuntimeException failure) {
            opening = false;
            DataPlane.this.later(AGAIN_MICROS, () -> {
                if (!held && !parked.isEmpty() && connections.get(fleet()) == null) {
                    open();
                }
            });
        }
    }

    private void sendParked() {
        for (int count = parked.size(); count > 0; count--) {
            take(parked.removeFirst());
        }
    }

    // ---- hold and let go

    /** Parks what comes; says "" when everything sent is answered, or why that did not come true; clients go on then. */
    void hold(long limit, Consumer<String> outcome) {
        Consumer<String> before = holding;
        held = true;
        int mine = ++round;
        holding = outcome;
        if (before != null) {
            before.accept("another hold has taken its place");
        }
        later(node.byItsClock(limit), () -> {
            if (mine == round && holding != null) {
                holding = null;
                held = false;
                sendParked();
                outcome.accept("not everything was answered in time");
            }
        });
        later(0, this::answered);
    }

    private void answered() {
        Consumer<String> waiting = holding;
        boolean still = connections.values().stream().anyMatch(one -> !one.unanswered.isEmpty());
        if (waiting != null && (!still || world.has(PlantedBug.VOTE_BEFORE_HOLD))) {
            holding = null;
            waiting.accept("");
        }
    }

    /** A connection that a switch will need, opened while clients are still served; at the server. */
    void openAhead(SimServer server) {
        Connection opened = new Connection(server);
        opened.openedAt = world.now();
        ahead = opened;
    }

    /** Clients go on, on that route; on connections that were opened ahead where it is another one than before. */
    void letGo(Route next, boolean decided) {
        world.laws().letGo(node, route, next);
        boolean another = !next.fleet().equals(route.fleet());
        route = next;
        held = false;
        Consumer<String> before = holding;
        holding = null;
        round++;
        if (before != null) {
            before.accept("it was let go");
        }
        Connection opened = ahead;
        if (another && decided && opened != null && opened.server == fleet()) {
            connections.put(fleet(), opened);
        }
        ahead = null;
        if (another) {
            connections.keySet().removeIf(server -> server != fleet());
        }
        sendParked();
    }

    /** Of this process alone. */
    private void later(long micros, Runnable what) {
        node.later(process, micros, what);
    }
}
