package io.switchback.fleet;

import java.util.List;
import java.util.Optional;

/** Where a fleet's servers are, as was last seen. */
public sealed interface Topology {
    /**
     * One primary, and those that follow it.
     *
     * @param replicas those that are up
     */
    record Replicated(Endpoint primary, List<Endpoint> replicas) implements Topology {
        public Replicated {
            replicas = List.copyOf(replicas);
        }
    }

    /** What is known without asking anybody: of a single server, all that there is to know. */
    static Optional<Topology> ofItself(FleetSpec fleet) {
        return switch (fleet.address()) {
            case FleetAddress.Standalone(Endpoint server) -> Optional.of(new Replicated(server, List.of()));
            case FleetAddress.Sentinel _, FleetAddress.Cluster _ -> Optional.empty();
        };
    }
}
