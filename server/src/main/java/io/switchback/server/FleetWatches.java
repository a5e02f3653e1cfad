package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.proxy.CacheProxy;
import io.switchback.server.NodeFile.CacheSettings;
import java.util.ArrayList;
import java.util.List;

/**
 * The watches of a cache's fleets that are not single servers: of all of them, so that a switch finds the other one known. Each has a thread of its own
 * ({@link FleetWatch}), and tells the proxy.
 */
final class FleetWatches implements AutoCloseable {
    private final List<FleetWatch> watches = new ArrayList<>();

    private FleetWatches() {}

    /** Begins to watch; a fleet that cannot be seen yet has its clients wait. */
    static FleetWatches start(CacheSettings cache, CacheProxy proxy, Environment environment) {
        FleetWatches all = new FleetWatches();
        for (FleetSpec fleet : cache.fleets().values()) {
            switch (fleet.address()) {
                case FleetAddress.Standalone _ -> {
                    // It is where the file says.
                }
                case FleetAddress.Sentinel _, FleetAddress.Cluster _ -> {
                    FleetWatch watch = FleetWatch.start(
                            cache.name(), fleet, environment, topology -> proxy.topology(fleet.name(), topology));
                    proxy.watchedBy(fleet.name(), watch::lookSoon);
                    all.watches.add(watch);
                }
            }
        }
        return all;
    }

    @Override
    public void close() {
        watches.forEach(FleetWatch::close);
    }
}
