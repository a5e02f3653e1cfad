package io.switchback.server;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where the ledger knows nothing of a cache, the node's file says where its clients belong; but that is as old as the file. A ledger that was
 * lost looks the same. So the fleet itself is asked whether a release has left it, or is under way.
 */
final class FirstStart {
    private static final Logger LOG = LoggerFactory.getLogger(FirstStart.class);
    private static final Duration LIMIT = Duration.ofSeconds(2);

    private FirstStart() {}

    /** Refuses a fleet that clients have left, or must not write to. One that does not answer is believed to be what the file says. */
    static void demandInUse(String cache, FleetSpec fleet) {
        try {
            Topology topology = fleet.topologyNow();
            demandNone(cache, fleet, topology, ReservedKeys.LEFT, "");
            demandNone(cache, fleet, topology, ReservedKeys.TOKEN, "a release is under way, token ");
            if (fleet.address() instanceof FleetAddress.Standalone) {
                demandPrimary(cache, fleet);
            }
        } catch (FleetException e) {
            LOG.warn(
                    "cache {}: whether clients belong on fleet {} cannot be seen: {}",
                    cache,
                    fleet.name(),
                    e.getMessage());
        }
    }

    private static void demandNone(String cache, FleetSpec fleet, Topology topology, String key, String what) {
        Endpoint primary = topology.primaryOf(KeySlot.of(key.getBytes(StandardCharsets.UTF_8)));
        try (ServerConnection server = ServerConnection.open(primary, fleet.credential(), fleet.tls(), LIMIT)) {
            if (server.demand("GET", key) instanceof Reply.Bulk found) {
                throw refused(cache, fleet, what + found.text() + " (key " + key + " there)");
            }
        }
    }

    private static void demandPrimary(String cache, FleetSpec fleet) {
        try (ServerConnection server = ServerConnection.open(fleet, LIMIT)) {
            ReplicationState state = ReplicationState.read(server);
            if (state.role() == Role.REPLICA) {
                throw refused(
                        cache,
                        fleet,
                        "it is a replica of "
                                + state.primary().map(Object::toString).orElse("another server")
                                + ", where no client can write");
            }
        }
    }

    private static NodeException refused(String cache, FleetSpec fleet, String why) {
        return new NodeException("the ledger knows nothing of cache \"" + cache + "\", and the file says active: "
                + fleet.name() + ", but fleet " + fleet.name() + " at " + fleet.address() + " says otherwise: " + why
                + ". Nothing is guessed: give the node its ledger back (the folder data), or say where clients are now"
                + " (active). If they belong on fleet " + fleet.name()
                + " all the same, make it a primary, and delete that key there");
    }
}
