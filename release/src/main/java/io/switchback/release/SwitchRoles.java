package io.switchback.release;

import io.switchback.fleet.FleetSpec;
import java.util.List;

/**
 * What a verdict wants done at the servers themselves before clients are let go, by the leader or, where that is gone, by any node. Each part changes nothing where it
 * is done already. For one thread at a time.
 */
sealed interface SwitchRoles extends AutoCloseable permits SwitchServers, LeftFleet {

    /** Opens the connections that it will take, while there is time. */
    void connectAhead();

    /** COMMIT: the fleet that clients go to takes their writes. {@code decided}: what the decision says of it; empty where a loss was accepted. */
    void commit(List<SourceBase> decided);

    /** ABORT: the fleet where clients were takes their writes again. */
    void abort();

    @Override
    void close();

    static SwitchRoles of(SwitchPart part, FleetSpec fleetA, FleetSpec fleetB) {
        return switch (part.link()) {
            case RELAY -> new SwitchServers(part.token(), fleetA, fleetB);
            case APPLY, SCAN -> new LeftFleet(part, fleetA);
        };
    }
}
