package io.switchback.release;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.ServerSettings.Setting;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.Reply;
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

    /** Sets what the links need. Repeatable: what is set already is left out, and what was there first is remembered. */
    void prepare(MovingCache cache) {
        CacheRecord known = cache.remembered();
        if (known.oldSettings().isEmpty() && known.newSettings().isEmpty()) {
            try (ServerConnection old = cache.connect(Side.OLD);
                    ServerConnection fresh = cache.connect(Side.NEW)) {
                List<Setting> ofOld = ServerSettings.plan(old, wanted(old, known.secret(), true));
                List<Setting> ofNew = ServerSettings.plan(fresh, wanted(fresh, known.secret(), false));
                cache.remember(record -> record.withSettings(ofOld, ofNew));
            }
        }
        CacheRecord now = cache.remembered();
        try (ServerConnection old = cache.connect(Side.OLD);
                ServerConnection fresh = cache.connect(Side.NEW)) {
            ServerSettings.apply(old, now.oldSettings());
            ServerSettings.apply(fresh, now.newSettings());
        }
    }

    private Map<String, String> wanted(ServerConnection server, String secret, boolean source) {
        Map<String, String> wanted = new LinkedHashMap<>();
        wanted.put("masterauth", secret);
        wanted.put("masteruser", "");
        wanted.put("min-replicas-to-write", "0");
        wanted.put("repl-backlog-ttl", "0");
        wanted.put("replica-serve-stale-data", "yes");
        wanted.put("repl-disable-tcp-nodelay", "no");
        long backlog = Math.min(
                BACKLOG_BYTES_MAX,
                STREAM_BYTES_PER_SECOND_MIN * Math.max(1, file.outage().toSeconds()));
        if (Long.parseLong(ServerSettings.read(server, "repl-backlog-size")) < backlog) {
            wanted.put("repl-backlog-size", Long.toString(backlog));
        }
        if (source) {
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
        CacheRecord record = cache.remembered();
        boolean prepared =
                !record.oldSettings().isEmpty() || !record.newSettings().isEmpty();
        for (Side side : Side.values()) {
            List<Setting> settings = side == Side.OLD ? record.oldSettings() : record.newSettings();
            try (ServerConnection server = cache.connect(side)) {
                if (side == inUse) {
                    deleteReservedKeys(server, cache);
                } else {
                    release(server, cache);
                    if (side == Side.OLD && ReplicationState.read(server).role() == Role.PRIMARY) {
                        noteThatItWasLeft(server, cache);
                    }
                }
                ServerSettings.restore(server, settings).forEach(standing::warn);
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
        if (ReplicationState.read(server).role() != Role.REPLICA || !followsUs(server, cache)) {
            deleteReservedKeys(server, cache);
            return;
        }
        switch (RoleCommands.promote(server, cache.token())) {
            case RoleChange.Changed changed -> deleteReservedKeys(server, cache);
            case RoleChange.Refused(String why) -> standing.warn(server.endpoint() + " was left a replica: " + why);
        }
    }

    /** Whether the server follows a face of this release, and not a primary that somebody gave it since. */
    private static boolean followsUs(ServerConnection server, MovingCache cache) {
        CacheRecord record = cache.remembered();
        return ReplicationState.read(server)
                .primary()
                .filter(primary -> primary.port() == record.forwardPort() || primary.port() == record.reversePort())
                .isPresent();
    }

    private static void deleteReservedKeys(ServerConnection server, MovingCache cache) {
        // The names are few and known, so nothing is searched for. They were written to database 0, which may be
        // another
        // one by now (SWAPDB).
        List<String> databases = server.demand("INFO", "keyspace")
                .text()
                .lines()
                .filter(line -> line.startsWith("db"))
                .map(line -> line.substring("db".length(), line.indexOf(':')))
                .toList();
        for (String database : databases) {
            server.demand("SELECT", database);
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

    /** Where the server says that its memory went, for the room that a backup needs. */
    static long usedMemoryBytes(ServerConnection server) {
        return ServerInfo.read(server).usedMemoryBytes();
    }
}
