package io.switchback.simulation;

import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * A relay link in the process of one node: the replica of its source and the primary of its target. Where its target stands is asked of
 * the target at each connection; what is in flight when the node dies or stops arrives all the same, if the target still follows it.
 */
final class SimLink {
    private final World world;
    private final SimNode owner;
    private final SimServer source;
    private final SimServer target;
    private final String label;
    private final Deque<SimServer.Item> inFlight = new ArrayDeque<>();
    private @Nullable Base base;
    private boolean admitting;
    private boolean frozen;
    private boolean closed;
    private boolean connected;
    private int connection;
    private int sourceRun;
    private String sourceId = "";
    private int targetRun;
    /** Offset of the source up to which everything was sent to the target. */
    private long sent;

    private long lastArrival;

    SimLink(World world, SimNode owner, SimServer source, SimServer target) {
        this.world = world;
        this.owner = owner;
        this.source = source;
        this.target = target;
        this.label = "link " + source.name() + target.name() + world.nextLink() + " of " + owner.name();
        tick();
    }

    SimNode owner() {
        return owner;
    }

    SimServer source() {
        return source;
    }

    boolean frozen() {
        return frozen;
    }

    boolean streaming() {
        return connected && !frozen && !closed;
    }

    /** From now on its target is let in, and continues from there. */
    void admit(Base from) {
        base = from;
        admitting = true;
    }

    /** When this returns nothing of it reaches a server any more. */
    void close() {
        if (!closed) {
            closed = true;
            disconnect();
            world.trace(owner.name(), () -> "closes " + label);
        }
    }

    void freeze() {
        frozen = true;
    }

    /** Whether the target has applied all that was sent. */
    boolean atRest() {
        return connected && inFlight.isEmpty() && target.offset() == targetOffsetOf(sent);
    }

    boolean applied(long sourceOffset) {
        return connected && target.offset() >= targetOffsetOf(sourceOffset);
    }

    long targetOffsetOf(long sourceOffset) {
        Base from = base;
        if (from == null) {
            throw new Failure(Failure.Code.STEP_FAILED, label + " has no base");
        }
        return sourceOffset - from.sourceOffset() + from.targetOffset();
    }

    private void disconnect() {
        connected = false;
        connection++;
        inFlight.clear();
    }

    private void tick() {
        if (closed) {
            return;
        }
        if (!owner.stopped()) {
            turn();
        }
        owner.later(world.between(1_000, 6_000), this::tick);
    }

    private void turn() {
        Base from = base;
        // A server that is promoted closes the connections of its replicas, so that they learn its new id.
        if (connected && (!canReach() || !source.id().equals(sourceId))) {
            disconnect();
        }
        if (!connected && admitting && from != null && !frozen && canReach()) {
            connect(from);
        }
        if (connected && !frozen) {
            while (sent < source.offset()) {
                sent++;
                send(source.at(sent));
            }
        }
    }

    /** Whether the target was told to follow this face: the node's address, and the port that the ledger remembers for this direction. */
    boolean isFollowed() {
        SimLink followed = target.follows();
        return followed != null && followed.owner == owner && followed.source == source;
    }

    private boolean canReach() {
        return isFollowed()
                && !target.primary()
                && source.up()
                && target.up()
                && (!connected || (sourceRun == source.run() && targetRun == target.run()))
                && !world.network().cut(owner.name(), source.name())
                && !world.network().cut(owner.name(), target.name());
    }

    private void connect(Base from) {
        long asked = target.offset() - from.targetOffset() + from.sourceOffset();
        Base known = from.afterPromotion(source);
        if (!target.id().equals(from.targetId()) || target.offset() < from.targetOffset()) {
            throw new LawBroken("L6: " + label + " does not know " + target.name() + " at offset " + target.offset()
                    + " of " + target.id() + "; it begins at " + from);
        }
        if (!source.knows(known.sourceId(), asked)) {
            throw new LawBroken("L6: " + source.name() + " at " + source.offset() + " of " + source.id()
                    + " does not continue " + known.sourceId() + " from " + asked + " for " + label);
        }
        base = known;
        sent = asked;
        sourceRun = source.run();
        sourceId = source.id();
        targetRun = target.run();
        connected = true;
        target.streamOf(this);
        world.trace(owner.name(), () -> label + " streams from offset " + asked);
    }

    private void send(SimServer.Item item) {
        inFlight.add(item);
        int mine = connection;
        lastArrival = Math.max(lastArrival + 1, world.now() + world.between(100, 2_000));
        // Not the node's: what the kernel has is delivered.
        world.at(lastArrival - world.now(), () -> arrive(mine));
    }

    private void arrive(int mine) {
        if (mine != connection) {
            return;
        }
        if (!isFollowed()
                || !target.takesStreamOf(this)
                || target.primary()
                || !target.up()
                || target.run() != targetRun) {
            disconnect();
            return;
        }
        SimServer.Item item = inFlight.removeFirst();
        world.laws().linkWrites(this, target);
        target.apply(item);
    }

    String where() {
        return label + (connected ? " connected" : "") + (frozen ? " frozen" : "") + (closed ? " closed" : "")
                + (admitting ? " admitting" : "") + ", " + inFlight.size() + " in flight, sent up to " + sent;
    }

    @Override
    public String toString() {
        return label;
    }
}
