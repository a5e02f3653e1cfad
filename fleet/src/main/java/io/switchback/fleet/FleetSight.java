package io.switchback.fleet;

import java.time.Duration;

/**
 * Looks where a fleet's servers are, by asking those that should know.
 *
 * <p>For one thread at a time. A look ends within a few times {@link #ANSWER_LIMIT}, whoever is silent, because all are asked at once.
 */
public sealed interface FleetSight extends AutoCloseable
        permits SentinelSight, ClusterSight, ShardSight, StandaloneSight {
    /** For so long one that is asked may take to connect, and as long again for each answer. */
    Duration ANSWER_LIMIT = Duration.ofMillis(700);

    /** Looks now. Blocks. */
    Sighting look();

    /** Ends the connections that it keeps. */
    @Override
    void close();

    /** That of this fleet's kind, with nothing seen yet. */
    static FleetSight of(FleetSpec fleet) {
        return switch (fleet.address()) {
            case FleetAddress.Standalone(Endpoint server) -> new StandaloneSight(server);
            case FleetAddress.Sentinel sentinel -> new SentinelSight(fleet, sentinel);
            case FleetAddress.Cluster cluster -> new ClusterSight(fleet, cluster);
            case FleetAddress.Shard(FleetAddress.Cluster cluster, int slot) ->
                new ShardSight(new ClusterSight(fleet, cluster), slot);
        };
    }
}
