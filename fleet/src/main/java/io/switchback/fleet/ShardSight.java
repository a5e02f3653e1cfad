package io.switchback.fleet;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Finds one shard of a cluster by a slot that it has: to who looks this way, it is a primary with replicas. */
record ShardSight(ClusterSight cluster, int slot) implements FleetSight {
    @Override
    public Sighting look() {
        Sighting seen = cluster.look();
        if (!(seen.topology().orElse(null) instanceof Topology.Sharded sharded)) {
            return seen;
        }
        Topology.Shard shard = sharded.shardOf(slot);
        if (shard == null) {
            List<String> problems = new ArrayList<>(seen.problems());
            problems.add("nobody has slot " + slot);
            return new Sighting(Optional.empty(), problems);
        }
        return new Sighting(Optional.of(new Topology.Replicated(shard.primary(), shard.replicas())), seen.problems());
    }

    @Override
    public void close() {
        cluster.close();
    }
}
