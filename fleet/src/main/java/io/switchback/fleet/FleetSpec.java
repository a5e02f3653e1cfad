package io.switchback.fleet;

import java.util.Optional;

/** One deployment that serves a cache, as the node's file names it. */
public record FleetSpec(String name, FleetAddress address, Optional<Credential> credential) {
    /** A single server. */
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
}
