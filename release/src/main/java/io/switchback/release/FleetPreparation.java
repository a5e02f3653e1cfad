package io.switchback.release;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.ServerSettings.Setting;
import io.switchback.fleet.Topology;
import io.switchback.release.CacheRecord.SetOnServer;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a release changes on the servers for its time, and puts back: settings that keep the links alive, and in the end the
 * role of the fleet that is not in use and the reserved keys. What was there before is in the ledger before it is changed.
 */
final class FleetPreparation {
    /** Bytes of stream kept for a link that is away, for each second of {@code outage}, where no rate was measured. */
    private static final long STREAM_BYTES_PER_SECOND_MIN = 1024 * 1024;

    private static final Logger LOG = LoggerFactory.getLogger(FleetPreparation.class);
    private static final long BACKLOG_BYTES_MAX = 1024L * 1024 * 1024;

    private final ReleaseFile file;
    private final Standing standing;

    FleetPreparation(ReleaseFile file, Standing standing) {
        this.file = file;
        this.standing = standing;
    }

    /** Sets what the links need, also at servers that have come since, or were started again. Repeatable: what is set already is left out, and what was there first is remembered. */
    void prepare(MovingCache cache) {
        for (Side side : Side.values()) {
            prepare(cache, side);
        }
    }

    /** As {@link #prepare(MovingCache)}, of the fleet of one side: the other one need not answer. */
    void prepare(MovingCache cache, Side side) {
        List<SetOnServer> known = settings(cache, side);
        List<SetOnServer> planned = plan(cache, side, known);
        if (planned.size() > known.size()) {
            cache.remember(record -> side == Side.OLD
                    ? record.withSettings(planned, record.newSettings())
                    : record.withSettings(record.oldSettings(), planned));
        }
        FleetSpec fleet = cache.fleet(side);
        for (Endpoint server : fleet.topologyNow().servers()) {
            List<Setting> wanted = of(server, planned);
            if (!wanted.isEmpty()) {
                try (ServerConnection connection = MovingCache.connect(fleet, server)) {
                    ServerSettings.apply(connection, wanted);
                }
            }
        }
    }

    private static List<SetOnServer> settings(MovingCache cache, Side side) {
        CacheRecord record = cache.remembered();
        return side == Side.OLD ? record.oldSettings() : record.newSettings();
    }

    private static List<Setting> of(Endpoint server, List<SetOnServer> settings) {
        return settings.stream()
                .filter(one -> one.server().equals(server.toString()))
                .map(SetOnServer::setting)
                .toList();
    }

    /** What is known, and what is to be set at servers that are not. A fleet's replicas as well: one of them may become the primary while the release is open. */
    private List<SetOnServer> plan(MovingCache cache, Side side, List<SetOnServer> known) {
        if (cache.kind() == LinkKind.SCAN) {
            return known; // nobody follows a stream, and such servers' settings are their owners'
        }
        FleetSpec fleet = cache.fleet(side);
        List<SetOnServer> settings = new ArrayList<>(known);
        for (Endpoint server : fleet.topologyNow().servers()) {
            if (known.stream().anyMatch(one -> one.server().equals(server.toString()))) {
                continue;
            }
            try (ServerConnection connection = MovingCache.connect(fleet, server)) {
                Map<String, String> wanted = new LinkedHashMap<>();
                if (cache.kind() == LinkKind.RELAY) {
                    wanted.putAll(followerSettings(cache.remembered().secret()));
                }
                wanted.putAll(streamSettings(connection, side == Side.OLD));
                ServerSettings.plan(connection, wanted)
                        .forEach(setting -> settings.add(new SetOnServer(server.toString(), setting)));
            }
        }
        return settings;
    }

    /** For a server that follows a relay, or will on the way back. */
    private static Map<String, String> followerSettings(String secret) {
        Map<String, String> wanted = new LinkedHashMap<>();
        wanted.put("masterauth", secret);
        wanted.put("masteruser", "");
        wanted.put("min-replicas-to-write", "0");
        wanted.put("replica-serve-stale-data", "yes");
        wanted.put("repl-disable-tcp-nodelay", "no");
        return wanted;
    }

    /** For one whose stream a link reads, or will on the way back. */
    private Map<String, String> streamSettings(ServerConnection server, boolean isCopied) {
        Map<String, String> wanted = new LinkedHashMap<>();
        wanted.put("repl-backlog-ttl", "0");
        long backlog = Math.min(
                BACKLOG_BYTES_MAX,
                STREAM_BYTES_PER_SECOND_MIN * Math.max(1, file.outage().toSeconds()));
        if (Long.parseLong(ServerSettings.read(server, "repl-backlog-size")) < backlog) {
            wanted.put("repl-backlog-size", Long.toString(backlog));
        }
        if (isCopied) {
            // Nobody else waits to share the copy, so that there is nothing to wait for.
            wanted.put("repl-diskless-sync-delay", "0");
        }
        return wanted;
    }

    /**
     * Makes the fleet that is not in use a primary of its own again, takes the reserved keys away and puts the settings back.
     * A server that does not answer keeps what it has: the release ends all the same, and says so.
     */
    void undo(MovingCache cache, Side inUse) {
        if (cache.remembered().choice() == null) {
            return; // nothing was begun
        }
        CacheRecord record = cache.remembered();
        boolean prepared =
                !record.oldSettings().isEmpty() || !record.newSettings().isEmpty();
        for (Side side : Side.values()) {
            List<SetOnServer> settings = settings(cache, side);
            try {
                try {
                    if (cache.wasRelayed()) {
                        releaseFollower(cache, side, inUse);
                    }
                    if (cache.kind() != LinkKind.RELAY) {
                        forgetLinks(cache, side, inUse);
                    }
                } finally {
                    restore(cache.fleet(side), settings);
                }
            } catch (FleetException e) {
                if (!prepared) {
                    LOG.debug("{}: nothing was set there", cache.fleet(side).name(), e);
                    continue;
                }
                standing.warn(cache.fleet(side).name() + " could not be put back: " + e.getMessage()
                        + (settings.isEmpty() ? "" : "; what was set on it: " + settings));
            }
        }
    }

    private void restore(FleetSpec fleet, List<SetOnServer> settings) {
        List<Endpoint> servers = fleet.topologyNow().servers();
        for (Endpoint server : servers) {
            List<Setting> own = of(server, settings);
            if (!own.isEmpty()) {
                try (ServerConnection connection = MovingCache.connect(fleet, server)) {
                    ServerSettings.restore(connection, own).forEach(standing::warn);
                }
            }
        }
        List<String> known = servers.stream().map(Endpoint::toString).toList();
        settings.stream()
                .filter(one -> !known.contains(one.server()))
                .forEach(one -> standing.warn(one.server() + " is none of fleet " + fleet.name()
                        + "'s servers now, or does not answer, and keeps what was set on it: " + one.setting()));
    }

    private void releaseFollower(MovingCache cache, Side side, Side inUse) {
        try (ServerConnection server = cache.connect(side)) {
            if (side == inUse) {
                deleteReservedKeys(server, cache);
            } else {
                release(server, cache);
                if (side == Side.OLD && ReplicationState.read(server).role() == Role.PRIMARY) {
                    noteThatItWasLeft(server, cache);
                }
            }
        }
    }

    private static void forgetLinks(MovingCache cache, Side side, Side inUse) {
        ApplyLinks.forget(cache, side);
        FleetSpec fleet = cache.fleet(side);
        Topology topology = fleet.topologyNow();
        try (ServerConnection server = MovingCache.connect(fleet, topology.primaryOf(RoleCommands.TOKEN_SLOT))) {
            server.demand("DEL", ReservedKeys.TOKEN);
        }
        if (side == Side.OLD && inUse == Side.NEW) {
            int slot = KeySlot.of(ReservedKeys.LEFT.getBytes(StandardCharsets.UTF_8));
            try (ServerConnection server = MovingCache.connect(fleet, topology.primaryOf(slot))) {
                noteThatItWasLeft(server, cache);
            }
        }
    }

    /** A node that starts with an empty ledger would believe its file, and send clients back there. */
    private static void noteThatItWasLeft(ServerConnection server, MovingCache cache) {
        server.demand("SELECT", "0");
        server.demand(
                "SET",
                ReservedKeys.LEFT,
                "release " + cache.releaseName() + " has moved the clients of cache " + cache.name() + " to fleet "
                        + cache.fleet(Side.NEW).name());
    }

    private void release(ServerConnection server, MovingCache cache) {
        if (!cache.isFollower(server)) {
            deleteReservedKeys(server, cache);
            return;
        }
        switch (RoleCommands.promote(server, cache.token())) {
            case RoleChange.Changed changed -> deleteReservedKeys(server, cache);
            case RoleChange.Refused(String why) -> standing.warn(server.endpoint() + " was left a replica: " + why);
        }
    }

    private static void deleteReservedKeys(ServerConnection server, MovingCache cache) {
        // The names are few and known, so nothing is searched for. They were written to database 0, which may be
        // another one by now (SWAPDB).
        for (int database : Keyspace.keysByDatabase(server).keySet()) {
            server.demand("SELECT", Integer.toString(database));
            Reply reply = server.call(
                    "DEL",
                    ReservedKeys.TOKEN,
                    ReservedKeys.marker(cache.linkName(Side.OLD)),
                    ReservedKeys.marker(cache.linkName(Side.NEW)));
            if (reply instanceof Reply.Failure(String message)) {
                throw new FleetException(
                        FleetException.Code.REFUSED, server.endpoint() + " keeps its reserved keys: " + message);
            }
        }
    }
}
