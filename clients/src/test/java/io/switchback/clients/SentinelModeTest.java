package io.switchback.clients;

import io.switchback.server.SomeFleet;
import io.switchback.testkit.RequiresServers;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;

/** Sentinel clients of libraries take the node for a sentinel, and for the primary that it names, while the cache moves between fleets under sentinels. */
@RequiresServers("redis-8.0")
final class SentinelModeTest extends PromisesInMode {
    SentinelModeTest() {
        super(Mode.SENTINELS);
    }

    @Override
    SomeFleet fleet(ServerBinary binary, Path folder) {
        return SomeFleet.watched(binary, folder);
    }
}
