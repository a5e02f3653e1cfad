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
}
