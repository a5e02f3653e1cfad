package io.switchback.simulation;

import io.switchback.commit.Protocol;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A release's switches over several nodes, forward and back, under a seed (docs/simulation.md): leaders and participants with the real
 * state machines, a ledger, two fleets, links, clients; and whatever can go wrong between them, at any moment. After every event that
 * could break a law the law is looked at, and in the end the release must have ended. One thread; pure but for the time it takes.
 */
public final class Simulation {
    private static final int NODES_MAX = 5;
    private static final int ORDERS_MAX = 4;

    private Simulation() {}

    /**
     * What is simulated.
     *
     * @param protocol null where the seed decides
     * @param nodes 0 where the seed decides, from one to five
     * @param bug a mistake to be made, if any
     */
    public record Setting(
            @Nullable Protocol protocol,
            int nodes,
            @Nullable PlantedBug bug) {
        /** Both protocols, one to five nodes, no mistake. */
        public static Setting bySeed() {
            return new Setting(null, 0, null);
        }

        /** The same with a mistake. */
        public Setting with(PlantedBug planted) {
            return new Setting(protocol, nodes, planted);
        }
    }

    /**
     * What came of a seed.
     *
     * @param broken the law that did not hold, beginning with its name; null where all held
     * @param trace time, who, what happened; empty unless it was asked for
     * @param holdMicrosMax the longest time for which a node held its clients in a switch that was committed
     */
    public record Result(
            long seed,
            Protocol protocol,
            int nodes,
            @Nullable String broken,
            List<String> trace,
            int commits,
            int aborts,
            int takeovers,
            int crashes,
            int stops,
            long acknowledgedWrites,
            long holdMicrosMax,
            long events) {
        /** Whether all laws held. */
        public boolean held() {
            return broken == null;
        }
    }

    /** Runs a seed. */
    public static Result run(long seed, Setting setting) {
        return run(seed, setting, false);
    }

    /** Runs a seed, and tells what happened. */
    public static Result traced(long seed, Setting setting) {
        return run(seed, setting, true);
    }

    private static Result run(long seed, Setting setting, boolean tracing) {
        // Neighbouring seeds differ in what is simulated, so that few of them see everything.
        Protocol chosen = setting.protocol();
        Protocol bySeed = Math.floorMod(seed, 2) == 0 ? Protocol.TWO_PHASE : Protocol.THREE_PHASE;
        Protocol protocol = chosen != null ? chosen : bySeed;
        int nodes = setting.nodes() > 0 ? setting.nodes() : 1 + Math.floorMod(seed / 2, NODES_MAX);
        int orders = 1 + Math.floorMod(seed / (2 * NODES_MAX), ORDERS_MAX);
        if (setting.bug() == PlantedBug.CHECKPOINT_BESIDE_BATCH) {
            return ApplyWorld.run(seed, protocol, true, tracing);
        }
        World world = new World(seed, new World.Plan(protocol, nodes, orders, true, setting.bug()), tracing);
        String broken = null;
        try {
            world.run();
        } catch (LawBroken e) {
            broken = e.getMessage();
        }
        return new Result(
                seed,
                protocol,
                nodes,
                broken,
                world.trace(),
                world.laws().commits(),
                world.laws().aborts(),
                world.takeovers(),
                world.crashes(),
                world.stops(),
                world.laws().acknowledgedWrites(),
                world.holdMicrosMax(),
                world.events());
    }

    /**
     * How long clients are held by one switch over that many nodes, where nothing fails and a message takes a fraction of a
     * millisecond up to one and a half.
     *
     * @return from the first node that held to the last that let go, in microseconds
     */
    public static long holdMicros(long seed, Protocol protocol, int nodes) {
        World world = new World(seed, new World.Plan(protocol, nodes, 1, false, null), false);
        world.run();
        return world.holdMicrosOfAll();
    }
}
