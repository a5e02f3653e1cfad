package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.fleet.Topology;
import io.switchback.proxy.CacheProxy;
import io.switchback.server.NodeFile.CacheSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * The watches of a cache's fleets that are not single servers: of all of them, so that a switch finds the other one known. Each has a thread of its own
 * ({@link FleetWatch}), and tells the proxy. Where reads may go to replicas, each fleet has a watch of those as well ({@link ReplicaWatch}), which looks
 * while the fleet is in use.
 */
final class FleetWatches implements AutoCloseable {
    private final List<FleetWatch> watches = new ArrayList<>();
    private final Map<String, ReplicaWatch> replicas = new ConcurrentHashMap<>();

    private FleetWatches() {}

    /** Begins to watch; a fleet that cannot be seen yet has its clients wait. */
    static FleetWatches start(CacheSettings cache, CacheProxy proxy, Environment environment) {
        FleetWatches all = new FleetWatches();
        cache.replicas().ifPresent(settings -> proxy.readFromReplicas(settings, all::lookAtReplicas));
        for (FleetSpec fleet : cache.fleets().values()) {
            switch (fleet.address()) {
                case FleetAddress.Standalone _ -> // it is where the file says
                    all.watchReplicas(cache, fleet, proxy, environment, () -> Topology.ofItself(fleet));
                case FleetAddress.Sentinel _, FleetAddress.Cluster _, FleetAddress.Shard _ -> {
                    FleetWatch watch = FleetWatch.start(
                            cache.name(), fleet, environment, topology -> proxy.topology(fleet.name(), topology));
                    proxy.watchedBy(fleet.name(), watch::lookSoon);
                    all.watches.add(watch);
                    all.watchReplicas(cache, fleet, proxy, environment, watch::seen);
                }
            }
        }
        return all;
    }

    private void watchReplicas(
            CacheSettings cache,
            FleetSpec fleet,
            CacheProxy proxy,
            Environment environment,
            Supplier<Optional<Topology>> topology) {
        if (cache.replicas().isEmpty()) {
            return;
        }
        String name = fleet.name();
        replicas.put(
                name,
                ReplicaWatch.start(
                        cache.name(),
                        fleet,
                        cache.replicas().get().lagMax(),
                        environment,
                        () -> proxy.route().fleet().name().equals(name),
                        topology,
                        seen -> proxy.replicas(name, seen)));
    }

    private void lookAtReplicas(String fleet) {
        ReplicaWatch watch = replicas.get(fleet);
        if (watch != null) {
            watch.lookSoon();
        }
    }

    @Override
    public void close() {
        replicas.values().forEach(ReplicaWatch::close);
        watches.forEach(FleetWatch::close);
    }
}
