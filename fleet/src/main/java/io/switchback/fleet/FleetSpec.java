package io.switchback.fleet;

import java.util.Arrays;
import java.util.Optional;

/**
 * One deployment that serves a cache, as the node's file names it.
 *
 * @param credential of the node itself
 * @param tls empty for connections in the clear
 */
public record FleetSpec(String name, FleetAddress address, Optional<Credential> credential, Optional<FleetTls> tls) {
    /** In the clear. */
    public FleetSpec(String name, FleetAddress address, Optional<Credential> credential) {
        this(name, address, credential, Optional.empty());
    }

    /** A single server, in the clear. */
    public FleetSpec(String name, Endpoint server, Optional<Credential> credential) {
        this(name, new FleetAddress.Standalone(server), credential);
    }

    /** Where its one server listens; only for a fleet that is one server. */
    public Endpoint endpoint() {
        if (address instanceof FleetAddress.Standalone(Endpoint server)) {
            return server;
        }
        throw new IllegalStateException("fleet " + name + " is not one server but " + address);
    }

    /** The same fleet, for somebody else than the node. */
    public FleetSpec as(Credential other) {
        return new FleetSpec(name, address, Optional.of(other), tls);
    }

    /** The same fleet over TLS. */
    public FleetSpec over(FleetTls with) {
        return new FleetSpec(name, address, credential, Optional.of(with));
    }

    /** One shard of this cluster: the primary that has {@code slot}, whoever that is by now. Only for a cluster. */
    public FleetSpec shard(int slot) {
        if (address instanceof FleetAddress.Cluster cluster) {
            return new FleetSpec(name, new FleetAddress.Shard(cluster, slot), credential, tls);
        }
        throw new IllegalStateException("fleet " + name + " is no cluster but " + address);
    }

    /** Whether its data is spread over several primaries. */
    public boolean isCluster() {
        return address instanceof FleetAddress.Cluster;
    }

    /**
     * The server that is the primary now. Where others know that, they are asked, and it blocks; a {@link FleetException} that it cannot be reached where
     * nobody is. Not for a cluster, which has several.
     */
    public Endpoint primaryNow() {
        if (address instanceof FleetAddress.Standalone(Endpoint server)) {
            return server;
        }
        if (topologyNow() instanceof Topology.Replicated(Endpoint primary, var _)) {
            return primary;
        }
        throw new FleetException(
                FleetException.Code.REFUSED, "fleet " + name + " is a cluster, which has several primaries");
    }

    /** Where its servers are now. Blocks; a {@link FleetException} that it cannot be reached where nobody says that, or where nobody has some slot. */
    public Topology topologyNow() {
        try (FleetSight sight = FleetSight.of(this)) {
            Sighting sighting = sight.look();
            Topology seen = sighting.topology().orElse(null);
            if (seen != null && isWhole(seen)) {
                return seen;
            }
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    "fleet " + name + " (" + address + ") "
                            + (seen == null
                                    ? isCluster() ? "does not say where its servers are" : "has no primary now"
                                    : "has slots that nobody serves")
                            + ": " + String.join("; ", sighting.problems()));
        }
    }

    private static boolean isWhole(Topology seen) {
        return !(seen instanceof Topology.Sharded(var _, int[] shardOfSlot))
                || Arrays.stream(shardOfSlot).noneMatch(shard -> shard < 0);
    }

    /** Where its servers are found, for a person: the one server's address, or who is asked. */
    public String where() {
        return address.toString();
    }
}
