package io.switchback.sync.apply;

import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSight;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Topology;
import java.util.Optional;

/**
 * Looks whether a shard still has the slots that its link was opened for. A key that moves to another shard is deleted in one stream and restored in another, and no link
 * knows which comes first: none can follow it.
 *
 * <p>Any thread; one looks at a time. Who has a slot may be unclear for a moment, while a primary changes: only what two looks in a row have shown counts.
 */
final class ShardWatch implements AutoCloseable {
    private final SlotSet slots;
    private final String where;
    private final FleetSight sight;

    ShardWatch(FleetSpec source, FleetAddress.Cluster cluster, SlotSet slots) {
        this.slots = slots;
        this.where = source.name() + " (" + source.where() + ")";
        this.sight = FleetSight.of(new FleetSpec(source.name(), cluster, source.credential(), source.tls()));
    }

    /** What has moved, as a sentence; empty where nothing has, or nobody says so. Blocks. */
    synchronized Optional<String> moved() {
        Optional<String> seen = look();
        return seen.isPresent() && seen.equals(look()) ? seen : Optional.empty();
    }

    private Optional<String> look() {
        if (!(sight.look().topology().orElse(null) instanceof Topology.Sharded topology)) {
            return Optional.empty();
        }
        int shard = topology.shardOfSlot()[slots.first()];
        if (shard < 0) {
            return Optional.empty();
        }
        SlotSet now = topology.slotsOf(shard);
        for (int slot = slots.first(); slot >= 0; slot = slots.next(slot + 1)) {
            int owner = topology.shardOfSlot()[slot];
            if (owner >= 0 && owner != shard) {
                return Optional.of(sentence(
                        "slot " + slot + " has gone to "
                                + topology.shards().get(owner).primary(),
                        now));
            }
        }
        for (int slot = now.first(); slot >= 0; slot = now.next(slot + 1)) {
            if (!slots.contains(slot)) {
                return Optional.of(sentence("slot " + slot + " has come", now));
            }
        }
        return Optional.empty();
    }

    private String sentence(String what, SlotSet now) {
        return "the shard's slots have moved, and the link cannot follow them: " + what + "; " + where + " had " + slots
                + " and has " + now + "; it is to be copied again";
    }

    @Override
    public synchronized void close() {
        sight.close();
    }
}
