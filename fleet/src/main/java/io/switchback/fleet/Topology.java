package io.switchback.fleet;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Where a fleet's servers are, as was last seen. */
public sealed interface Topology {
    /** The hash slots of a cluster (Redis Cluster specification, "Key distribution model"). */
    int SLOTS = 16384;

    /**
     * One primary, and those that follow it.
     *
     * @param replicas those that are up
     */
    record Replicated(Endpoint primary, List<Endpoint> replicas) implements Topology {
        public Replicated {
            replicas = List.copyOf(replicas);
        }

        @Override
        public String toString() {
            return "primary " + primary + " with replicas " + replicas;
        }
    }

    /**
     * A cluster.
     *
     * @param shards those that have slots, in the order of their first slot
     * @param shardOfSlot for each of {@link #SLOTS} slots its shard's place in {@code shards}, or -1 where nobody has it; not to be changed
     */
    @SuppressWarnings("ArrayRecordComponent") // looked into for every command
    record Sharded(List<Shard> shards, int[] shardOfSlot) implements Topology {
        public Sharded {
            shards = List.copyOf(shards);
            if (shardOfSlot.length != SLOTS) {
                throw new IllegalArgumentException("a cluster has " + SLOTS + " slots, not " + shardOfSlot.length);
            }
        }

        /** Who has the slot; null where nobody is known to. */
        public @Nullable Shard shardOf(int slot) {
            int at = shardOfSlot[slot];
            return at < 0 ? null : shards.get(at);
        }

        /** The slots of the shard at that place. */
        public SlotSet slotsOf(int shard) {
            BitSet slots = new BitSet(SLOTS);
            for (int slot = 0; slot < SLOTS; slot++) {
                slots.set(slot, shardOfSlot[slot] == shard);
            }
            return new SlotSet(slots);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Sharded(List<Shard> otherShards, int[] otherSlots)
                    && shards.equals(otherShards)
                    && Arrays.equals(shardOfSlot, otherSlots);
        }

        @Override
        public int hashCode() {
            return shards.hashCode();
        }

        @Override
        public String toString() {
            return "a cluster of " + shards;
        }
    }

    /** One primary of a cluster with the slots that are its, and those that follow it. */
    record Shard(Endpoint primary, List<Endpoint> replicas) {
        public Shard {
            replicas = List.copyOf(replicas);
        }

        @Override
        public String toString() {
            return primary + " with replicas " + replicas;
        }
    }

    /** The primaries: one, or that of each shard. */
    default List<Endpoint> primaries() {
        return switch (this) {
            case Replicated(Endpoint primary, var _) -> List.of(primary);
            case Sharded(List<Shard> shards, var _) ->
                shards.stream().map(Shard::primary).toList();
        };
    }

    /** The primary that has the slot; of a fleet that is no cluster the one there is. A {@link FleetException} where nobody has it. */
    default Endpoint primaryOf(int slot) {
        return switch (this) {
            case Replicated(Endpoint primary, var _) -> primary;
            case Sharded sharded -> {
                Shard shard = sharded.shardOf(slot);
                if (shard == null) {
                    throw new FleetException(FleetException.Code.UNREACHABLE, "nobody has slot " + slot);
                }
                yield shard.primary();
            }
        };
    }

    /** All servers that are known, primaries first. */
    default List<Endpoint> servers() {
        List<Endpoint> servers = new ArrayList<>(primaries());
        switch (this) {
            case Replicated(var _, List<Endpoint> replicas) -> servers.addAll(replicas);
            case Sharded(List<Shard> shards, var _) -> shards.forEach(shard -> servers.addAll(shard.replicas()));
        }
        return servers;
    }

    /** What is known without asking anybody: of a single server, all that there is to know. */
    static Optional<Topology> ofItself(FleetSpec fleet) {
        return switch (fleet.address()) {
            case FleetAddress.Standalone(Endpoint server) -> Optional.of(new Replicated(server, List.of()));
            case FleetAddress.Sentinel _, FleetAddress.Cluster _, FleetAddress.Shard _ -> Optional.empty();
        };
    }
}
