package io.switchback.fleet;

import java.util.List;
import java.util.Optional;

/** How a fleet's servers are found. */
public sealed interface FleetAddress {
    /** One server, which is always the primary. */
    record Standalone(Endpoint server) implements FleetAddress {
        @Override
        public String toString() {
            return server.toString();
        }
    }

    /**
     * A primary with replicas, watched by sentinels, which say who is the primary now.
     *
     * @param sentinels any of them may be asked; never empty
     * @param primary the name by which they know it
     * @param credential for the sentinels themselves, which have users of their own
     */
    record Sentinel(List<Endpoint> sentinels, String primary, Optional<Credential> credential) implements FleetAddress {
        public Sentinel {
            sentinels = List.copyOf(sentinels);
        }

        @Override
        public String toString() {
            return primary + " of the sentinels " + sentinels;
        }
    }

    /**
     * A cluster.
     *
     * @param seeds any of its nodes, from which the others are learned; never empty
     */
    record Cluster(List<Endpoint> seeds) implements FleetAddress {
        public Cluster {
            seeds = List.copyOf(seeds);
        }

        @Override
        public String toString() {
            return "the cluster of " + seeds;
        }
    }

    /**
     * One shard of a cluster: the primary that has a slot, whoever that is by now.
     *
     * @param slot one of the shard's
     */
    record Shard(Cluster cluster, int slot) implements FleetAddress {
        @Override
        public String toString() {
            return "the shard with slot " + slot + " of " + cluster;
        }
    }
}
