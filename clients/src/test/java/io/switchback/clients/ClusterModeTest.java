package io.switchback.clients;

import io.switchback.server.SomeFleet;
import io.switchback.testkit.RequiresServers;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;

/** Cluster clients of libraries take the node for a cluster of one, while the cache moves between three shards and two. */
@RequiresServers("redis-8.0")
final class ClusterModeTest extends PromisesInMode {
    ClusterModeTest() {
        super(Mode.CLUSTER);
    }

    @Override
    SomeFleet fleet(ServerBinary binary, Path folder) {
        return SomeFleet.cluster(binary, folder, folder.endsWith("blue") ? 3 : 2, 0);
    }
}
