package io.switchback.release;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.sync.apply.ApplyLink;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The fleet that a switch leaves, where links apply: the notes in its stream that it is left, and the connections that are killed there. For one thread at a time.
 */
final class LeftFleet implements SwitchRoles {
    private static final Logger LOG = LoggerFactory.getLogger(LeftFleet.class);

    private final SwitchPart part;
    private final FleetSpec fleet;
    private final List<ServerConnection> primaries = new ArrayList<>();
    private final List<ServerConnection> replicas = new ArrayList<>();
    private @Nullable Topology topology;

    LeftFleet(SwitchPart part, FleetSpec fleet) {
        this.part = part;
        this.fleet = fleet;
    }

    /** Finds its servers, connects to them and sees that its primaries answer, unless that is done. */
    void connect() {
        if (topology != null) {
            return;
        }
        Topology seen = fleet.topologyNow();
        try {
            for (Endpoint primary : seen.primaries()) {
                ServerConnection server = MovingCache.connect(fleet, primary);
                primaries.add(server);
                server.call("PING"); // one that hangs takes connections
            }
        } catch (FleetException e) {
            close();
            throw e;
        }
        List<Endpoint> others = new ArrayList<>(seen.servers());
        others.removeAll(seen.primaries());
        for (Endpoint replica : others) {
            try {
                replicas.add(MovingCache.connect(fleet, replica));
            } catch (FleetException e) {
                LOG.info("{} is left out of a fence: {}", replica, e.getMessage());
            }
        }
        topology = seen;
    }

    /** As it was seen by {@link #connect}. */
    Topology topology() {
        Topology seen = topology;
        if (seen == null) {
            throw new IllegalStateException("connect comes first");
        }
        return seen;
    }

    /** Its shards, in the order of {@link #primaries}. */
    List<String> shards() {
        return ApplyLinks.shards(topology());
    }

    List<ServerConnection> primaries() {
        return primaries;
    }

    /**
     * Writes the note at every primary, unless one of a newer token is there; and has others' connections killed, at replicas too, which may become primaries.
     *
     * @return where each primary's stream stands behind the note
     */
    List<Long> leave(Token token, OtherClients others) {
        String whole =
                MovingCache.linkName(part.release(), part.cache(), part.to().other());
        List<String> shards = shards();
        List<Long> ends = new ArrayList<>();
        try {
            if (others == OtherClients.KILLED) {
                replicas.forEach(LeftFleet::killOthers);
            }
            for (int shard = 0; shard < shards.size(); shard++) {
                String slots = shards.get(shard);
                int slot = SourceBase.parse(slots).map(set -> set.first()).orElse(ApplyLink.NO_SLOT);
                ends.add(ApplyLink.leave(primaries.get(shard), slot, ApplyLinks.name(whole, slots), token, others));
            }
        } catch (FleetException e) {
            close(); // another attempt looks anew
            throw e;
        }
        return ends;
    }

    private static void killOthers(ServerConnection server) {
        server.demand("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
        server.demand("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes");
    }

    @Override
    public void connectAhead() {
        connect();
    }

    /** The fleet that clients go to takes writes all the time. */
    @Override
    public void commit(List<SourceBase> decided) {}

    @Override
    public void abort() {
        connect();
        leave(part.token().close(), OtherClients.KEPT);
    }

    @Override
    public void close() {
        primaries.forEach(ServerConnection::close);
        replicas.forEach(ServerConnection::close);
        primaries.clear();
        replicas.clear();
        topology = null;
    }
}
