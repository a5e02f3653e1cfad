package io.switchback.fleet;

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

    /**
     * The server that is the primary now. Where sentinels watch it, that is asked for, and blocks; a {@link FleetException} that it cannot be reached where
     * nobody is. Not for a cluster, which has several.
     */
    public Endpoint primaryNow() {
        return switch (address) {
            case FleetAddress.Standalone(Endpoint server) -> server;
            case FleetAddress.Sentinel _ -> {
                try (FleetSight sight = FleetSight.of(this)) {
                    Sighting sighting = sight.look();
                    if (sighting.topology().orElse(null) instanceof Topology.Replicated(Endpoint primary, var _)) {
                        yield primary;
                    }
                    throw new FleetException(
                            FleetException.Code.UNREACHABLE,
                            "fleet " + name + " (" + address + ") has no primary now: "
                                    + String.join("; ", sighting.problems()));
                }
            }
            case FleetAddress.Cluster _ ->
                throw new FleetException(
                        FleetException.Code.REFUSED, "fleet " + name + " is a cluster, which has several primaries");
        };
    }

    /** Where its servers are found, for a person: the one server's address, or who is asked. */
    public String where() {
        return address.toString();
    }
}
