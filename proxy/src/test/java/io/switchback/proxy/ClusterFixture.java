package io.switchback.proxy;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.Topology;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** What tests in front of a cluster share: who has which slot is watched as a node does it, or said by the test. */
final class ClusterFixture {
    static final Duration LIMIT = Duration.ofSeconds(20);

    private ClusterFixture() {}

    static BackendRoute route(String fleet, RealCluster cluster, long epoch) {
        List<Endpoint> seeds =
                cluster.nodes().stream().map(ProxyFixture::endpoint).limit(3).toList();
        return new BackendRoute(new FleetSpec(fleet, new FleetAddress.Cluster(seeds), Optional.empty()), epoch);
    }

    /** Tells the proxy where the fleet's servers are, from now until it is closed. Returns once it has told it for the first time. */
    static FleetWatch watch(CacheProxy proxy, BackendRoute route) {
        String fleet = route.fleet().name();
        FleetWatch watch =
                FleetWatch.start("sessions", route.fleet(), Environment.system(), seen -> proxy.topology(fleet, seen));
        proxy.watchedBy(fleet, watch::lookSoon);
        Await.until(LIMIT, "the cluster is seen", () -> watch.seen().isPresent());
        proxy.topology(fleet, watch.seen().orElseThrow());
        return watch;
    }

    /** In front of an empty cluster that is as it was started: the proxy is told once who has what, and nothing of what happens then. */
    static CacheProxy toldOnce(RealCluster cluster) {
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
        CacheProxy proxy = ProxyFixture.proxy(route("blue", cluster, 1), ProxyLimits.DEFAULT, 1);
        proxy.topology("blue", topology(cluster.nodes()));
        return proxy;
    }

    /** Brings a slot back to the first node, however far it has come. */
    static void home(RealCluster cluster, int slot) {
        RealServer first = cluster.nodes().getFirst();
        if (cluster.primaryOf(slot) == first) {
            cluster.nodes().forEach(node -> node.call("CLUSTER", "SETSLOT", Integer.toString(slot), "STABLE"));
        } else {
            cluster.moveSlot(slot, first);
        }
    }

    /** All slots at these primaries, as evenly as a new cluster has them. */
    static Topology.Sharded topology(List<RealServer> primaries) {
        int[] shardOfSlot = new int[Topology.SLOTS];
        for (int i = 0; i < primaries.size(); i++) {
            int count = primaries.size();
            Arrays.fill(shardOfSlot, i * Topology.SLOTS / count, (i + 1) * Topology.SLOTS / count, i);
        }
        return new Topology.Sharded(
                primaries.stream()
                        .map(server -> new Topology.Shard(ProxyFixture.endpoint(server), List.of()))
                        .toList(),
                shardOfSlot);
    }
}
