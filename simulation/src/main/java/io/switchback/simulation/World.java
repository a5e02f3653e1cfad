package io.switchback.simulation;

import io.switchback.commit.Protocol;
import io.switchback.ledger.Entry;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Everything there is, in one thread: a queue of events by simulated time, and one source of randomness that decides what is late, lost,
 * cut off, stopped, killed and restarted, and when. The same seed gives the same run, event by event.
 */
final class World {
    private static final long STORM_MICROS = 5_000_000;
    /** By when everything must have come to its end after the last fault. */
    private static final long CALM_MICROS_MAX = 40_000_000;

    private static final long EQUAL_MICROS_MAX = 5_000_000;
    private static final long LOOK_MICROS = 25_000;
    private static final long EVENTS_MAX = 3_000_000;
    private static final long EVENTS_PER_NODE_MAX = 30_000;
    private static final long HOLD_MICROS = 250_000;
    private static final long HOLD_MICROS_PER_NODE = 2_000;
    private static final int TRACE_LINES_MAX = 100_000;

    /** What is to be simulated. */
    record Plan(
            Protocol protocol,
            int nodes,
            int orders,
            boolean storm,
            @Nullable PlantedBug bug) {}

    private record Event(long at, long order, Runnable what) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            int byTime = Long.compare(at, other.at);
            return byTime != 0 ? byTime : Long.compare(order, other.order);
        }
    }

    private final Random random;
    private final Plan plan;
    private final boolean tracing;
    private final PriorityQueue<Event> events = new PriorityQueue<>();
    private final Deque<String> trace = new ArrayDeque<>();
    private final Map<String, SimNode> nodes = new HashMap<>();
    private final List<SimNode> inOrder = new ArrayList<>();
    private final SimServer a;
    private final SimServer b;
    private final SimLedger ledger;
    private final Network network;
    private final Laws laws;
    private final Map<SimNode, Long> heldSince = new HashMap<>();
    private final long faultMicros;
    private final long eventsMax;
    private long now;
    private long scheduled;
    private long eventCount;
    private long writes;
    private int links;
    private int takeovers;
    private int crashes;
    private int stops;
    private long holdMicrosMax;
    private long holdBegan = -1;
    private long holdEnded = -1;
    private boolean calm;
    private boolean draining;

    World(long seed, Plan plan, boolean tracing) {
        this.random = new Random(seed * 0x9E3779B97F4A7C15L + 0x5851F42D4C957F2DL);
        this.plan = plan;
        this.eventsMax = Math.max(EVENTS_MAX, plan.nodes() * EVENTS_PER_NODE_MAX);
        this.tracing = tracing;
        // Each seed has a weather of its own: a storm everywhere would never let a switch commit.
        Network.Weather weather = plan.storm()
                ? new Network.Weather(
                        random.nextInt(3) * 0.01,
                        random.nextInt(3) * 0.03,
                        random.nextInt(3) * 0.004,
                        random.nextInt(3) * 0.05)
                : Network.Weather.CALM;
        this.network = new Network(this, weather);
        this.ledger = new SimLedger(this);
        this.a = new SimServer(this, "A", 0);
        this.b = new SimServer(this, "B", 1_000_000);
        this.laws = new Laws(this, new Route("A", 0));
        this.faultMicros = plan.storm() ? new long[] {0, 900_000, 350_000, 120_000}[random.nextInt(4)] : 0;
        this.calm = !plan.storm();
        for (int i = 1; i <= plan.nodes(); i++) {
            SimNode node = new SimNode(this, "n" + i);
            nodes.put(node.name(), node);
            inOrder.add(node);
        }
        begin();
    }

    private void begin() {
        a.begin(true);
        b.begin(false);
        SimLedger.View first = ledger.new View();
        first.transact(new Routes(first).next(Records.CACHE, new Route("A", 1)));
        first.transact(List.of(
                new Operation.Put(Records.STATE, ledger.keep(new Records.State(false, 0, 0, null))),
                new Operation.Put(Records.BASE, ledger.keep(new Base(a.id(), a.offset(), b.id(), b.offset())))));
        for (SimNode node : inOrder) {
            at(between(0, 20_000), node::start);
        }
        at(50_000, this::expireSomething);
        if (faultMicros > 0) {
            at(between(100_000, 400_000 + faultMicros), this::fault);
        }
    }

    /** For how long clients may be held by a switch; a leader that has to ask very many takes longer. */
    long holdLimitMicros() {
        return Math.max(HOLD_MICROS, plan.nodes() * HOLD_MICROS_PER_NODE);
    }

    // ---- the run

    void run() {
        if (plan.storm()) {
            until(STORM_MICROS, () -> false);
            calmDown();
        }
        long limit = now + CALM_MICROS_MAX;
        until(limit, this::settled);
        if (!settled()) {
            throw new LawBroken("L7: the release does not end: " + where());
        }
        draining = true;
        until(now + EQUAL_MICROS_MAX, this::equal);
        if (!equal()) {
            throw new LawBroken("L1: the fleets are not equal in the end: " + difference() + "; " + where());
        }
        laws.demandNothingLost(inUse());
    }

    private void until(long end, Supplier<Boolean> reached) {
        long next = now;
        while (!events.isEmpty() && events.peek().at() <= end) {
            if (events.peek().at() >= next) {
                if (reached.get()) {
                    return;
                }
                next = events.peek().at() + LOOK_MICROS;
            }
            Event event = events.remove();
            now = event.at();
            if (++eventCount > eventsMax) {
                throw new LawBroken("L7: more than " + eventsMax + " events; " + where());
            }
            event.what().run();
        }
    }

    private void calmDown() {
        trace("--", () -> "nothing fails from here on");
        calm = true;
        network.join();
        for (SimServer server : List.of(a, b)) {
            if (!server.up()) {
                server.start();
            }
        }
        for (SimNode node : inOrder) {
            node.rate(1);
            if (!node.up()) {
                node.start();
            }
            node.wake();
        }
    }

    private boolean settled() {
        Records.State state = state();
        if (state.pending() != null || state.switchesDone() < plan.orders() || !inUse().primary()) {
            return false;
        }
        boolean served = inOrder.stream().allMatch(node -> {
            DataPlane plane = node.plane();
            NodeParticipant participant = node.participant();
            return plane != null
                    && participant != null
                    && !plane.held()
                    && !participant.isInSwitch()
                    && plane.route().equals(laws.route());
        });
        return served
                && !other().primary()
                && inOrder.stream().anyMatch(node -> {
                    Leader leader = node.leader();
                    SimLink link = leader == null ? null : leader.link();
                    return link != null && link.streaming() && link.source() == inUse();
                });
    }

    private boolean equal() {
        return a.items().equals(b.items());
    }

    private String difference() {
        int i = 0;
        while (i < Math.min(a.items().size(), b.items().size())
                && a.items().get(i).equals(b.items().get(i))) {
            i++;
        }
        return "A has " + a.items().size() + " writes, B " + b.items().size() + ", and number " + i
                + " is the first that differs";
    }

    private String where() {
        StringBuilder text = new StringBuilder("route " + laws.route() + ", " + state());
        for (SimServer server : List.of(a, b)) {
            text.append("; ")
                    .append(server.name())
                    .append(server.primary() ? " primary" : " follows " + server.follows())
                    .append(" token ")
                    .append(server.token());
        }
        for (SimNode node : inOrder) {
            DataPlane plane = node.plane();
            text.append("; ")
                    .append(node.name())
                    .append(
                            node.leader() == null
                                    ? ""
                                    : " leads " + node.leader().where())
                    .append(plane == null ? " does not serve" : " at " + plane.route() + (plane.held() ? " held" : ""))
                    .append(", ")
                    .append(node.participant());
        }
        return text.toString();
    }

    private Records.State state() {
        return ledger.value(ledger.truth(Records.STATE).map(Entry::value).orElseThrow(), Records.State.class);
    }

    private SimServer inUse() {
        return server(laws.route().fleet());
    }

    private SimServer other() {
        return inUse() == a ? b : a;
    }

    // ---- what goes wrong

    private void fault() {
        if (calm) {
            return;
        }
        SimNode node = inOrder.get(random.nextInt(inOrder.size()));
        SimNode leader =
                inOrder.stream().filter(one -> one.leader() != null).findFirst().orElse(node);
        SimNode victim = chance(0.3) ? leader : node;
        int what = random.nextInt(12);
        if (what < 3) {
            crash(victim);
        } else if (what < 6) {
            stop(victim);
        } else if (what < 10) {
            cut(victim);
        } else if (what == 10) {
            restart(chance(0.5) ? a : b);
        } else {
            victim.rate(chance(0.3) ? 0.3 + 2.5 * random.nextDouble() : 0.9 + 0.2 * random.nextDouble());
        }
        at(between(faultMicros / 3, faultMicros * 2), this::fault);
    }

    private void crash(SimNode node) {
        if (node.up()) {
            crashes++;
            node.crash();
            at(between(30_000, 1_800_000), () -> {
                if (!node.up()) {
                    node.start();
                }
            });
        }
    }

    private void stop(SimNode node) {
        if (node.up() && !node.stopped()) {
            stops++;
            node.stop();
            at(chance(0.5) ? between(5_000, 300_000) : between(300_000, 2_500_000), node::wake);
        }
    }

    private void cut(SimNode node) {
        List<String> others = new ArrayList<>(List.of(SimLedger.NAME, "A", "B"));
        inOrder.stream().filter(one -> one != node).forEach(one -> others.add(one.name()));
        long until = now + (chance(0.5) ? between(5_000, 300_000) : between(300_000, 2_000_000));
        boolean all = chance(0.2);
        String other = others.get(random.nextInt(others.size()));
        for (String one : others) {
            if (all || one.equals(other)) {
                network.cut(node.name(), one, until);
                trace("--", () -> node.name() + " and " + one + " cannot reach each other until " + until);
            }
        }
    }

    private void restart(SimServer server) {
        if (server.up()) {
            trace(server.name(), () -> "is restarted");
            server.stop();
            at(between(2_000, 300_000), () -> {
                if (!server.up()) {
                    server.start();
                }
            });
        }
    }

    /** A primary writes to its own stream whenever it finds that a key's time is over. */
    private void expireSomething() {
        for (SimServer server : List.of(a, b)) {
            if (server.up() && server.primary() && !draining && chance(0.5)) {
                server.apply(new SimServer.Item(SimServer.Kind.DELETE_EXPIRED, nextWrite(), null));
            }
        }
        at(between(500, 20_000), this::expireSomething);
    }

    // ---- what everything in it uses

    void at(long micros, Runnable what) {
        events.add(new Event(now + Math.max(0, micros), scheduled++, what));
    }

    long now() {
        return now;
    }

    Random random() {
        return random;
    }

    boolean chance(double probability) {
        return probability > 0 && random.nextDouble() < probability;
    }

    long between(long least, long most) {
        return most <= least ? least : random.nextLong(least, most);
    }

    boolean has(PlantedBug one) {
        return plan.bug() == one;
    }

    @Nullable
    PlantedBug bug() {
        return plan.bug();
    }

    Protocol protocol() {
        return plan.protocol();
    }

    int orders() {
        return plan.orders();
    }

    int nodeCount() {
        return plan.nodes();
    }

    boolean calm() {
        return calm;
    }

    boolean clientsGoOn() {
        return !draining;
    }

    /** Whether a client's bytes are held up on their way. */
    boolean late() {
        return !calm && chance(0.01);
    }

    Laws laws() {
        return laws;
    }

    Network network() {
        return network;
    }

    SimLedger ledger() {
        return ledger;
    }

    SimServer server(String name) {
        return name.equals("A") ? a : b;
    }

    SimServer fleet(boolean onB) {
        return onB ? b : a;
    }

    boolean answers(String place) {
        return place.equals(SimLedger.NAME) || server(place).up();
    }

    long nextWrite() {
        return ++writes;
    }

    int nextLink() {
        return ++links;
    }

    DataPlane.Command nextCommand() {
        int kind = random.nextInt(10);
        return new DataPlane.Command(
                nextWrite(), kind < 4 ? SimServer.Kind.SET : kind < 7 ? SimServer.Kind.INCREMENT : null);
    }

    /** To the participant of whichever process has that name when it arrives. */
    void tell(String from, String to, Consumer<NodeParticipant> what) {
        network.carryPerhapsTwice(from, to, () -> deliver(to, what));
    }

    /** As {@link #tell}, never twice. */
    void question(String from, String to, Consumer<NodeParticipant> what) {
        network.carry(from, to, () -> deliver(to, what));
    }

    private void deliver(String to, Consumer<NodeParticipant> what) {
        SimNode node = nodes.get(to);
        if (node != null) {
            node.later(0, () -> {
                NodeParticipant participant = node.participant();
                if (participant != null) {
                    what.accept(participant);
                }
            });
        }
    }

    // ---- what is counted

    void tookOver() {
        takeovers++;
    }

    void holds(SimNode node) {
        heldSince.put(node, now);
        if (holdBegan < 0) {
            holdBegan = now;
        }
    }

    void letGo(SimNode node, Verdict verdict) {
        Long since = heldSince.remove(node);
        if (since != null && verdict == Verdict.COMMIT) {
            holdMicrosMax = Math.max(holdMicrosMax, now - since);
            holdEnded = now;
        }
    }

    long holdMicrosMax() {
        return holdMicrosMax;
    }

    long holdMicrosOfAll() {
        return holdEnded - holdBegan;
    }

    int takeovers() {
        return takeovers;
    }

    int crashes() {
        return crashes;
    }

    int stops() {
        return stops;
    }

    long events() {
        return eventCount;
    }

    void trace(String who, Supplier<String> what) {
        if (tracing) {
            if (trace.size() == TRACE_LINES_MAX) {
                trace.removeFirst();
            }
            trace.add(String.format(Locale.ROOT, "%12.3f ms  %-6s  %s", now / 1e3, who, what.get()));
        }
    }

    List<String> trace() {
        return List.copyOf(trace);
    }
}
