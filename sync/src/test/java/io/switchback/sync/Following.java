package io.switchback.sync;

import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.Optional;

/** A pair whose {@code b} follows {@code a} by a link that has a base: also where {@code b} is the older one. */
record Following(Pair servers, RelayLink link, LinkBase base, Pair.Heard heard) implements AutoCloseable {

    /** "redis-7.0 to valkey-9.1": to an older server by a copy the other way and a switch, as the way back is. */
    static Following start(Path folder, String pair, String... options) {
        String[] names = pair.split(" to ", -1);
        ServerBinary source = RelayCycleTest.binary(names[0]);
        ServerBinary target = RelayCycleTest.binary(names[1]);
        if (pair.startsWith("redis-")) {
            Pair servers = new Pair(source, target, folder, options);
            Pair.Heard heard = new Pair.Heard();
            RelayLink link = servers.copied("forward", servers.a, servers.b, heard, Optional.empty());
            return new Following(servers, link, heard.bases.getFirst(), heard);
        }
        Pair servers = new Pair(target, source, folder, options);
        RelayLink forward = servers.copied("forward", servers.a, servers.b, new Pair.Heard(), Optional.empty());
        Pair.Switched switched = servers.switchOver(servers.a, servers.b, forward);
        Pair.awaitPhase(switched.link(), Phase.STREAMING);
        return new Following(servers.swapped(), switched.link(), switched.base(), switched.heard());
    }

    @Override
    public void close() {
        servers.close();
    }
}
