package io.switchback.release;

import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.WayBackGuard;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Asks both fleets whether a move, and its way back, can work at all. Changes nothing on either.
 *
 * <p>Every finding is collected; a problem ends the release before anything has changed, a warning is shown and journalled.
 */
final class FleetCheck {
    /** How much larger than the old fleet's data the new fleet's memory limit must be. */
    private static final double MEMORY_ROOM = 1.1;

    private static final long CLOCKS_APART_MS_MAX = 500;

    private final MovingCache cache;
    private final boolean overwriteTarget;
    private final List<String> problems = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();

    /** What was found: sentences for a person. */
    record Findings(List<String> problems, List<String> warnings) {}

    private FleetCheck(MovingCache cache, boolean overwriteTarget) {
        this.cache = cache;
        this.overwriteTarget = overwriteTarget;
    }

    static Findings of(MovingCache cache, boolean overwriteTarget) {
        FleetCheck check = new FleetCheck(cache, overwriteTarget);
        check.kinds();
        if (!check.problems.isEmpty()) {
            return new Findings(List.copyOf(check.problems), List.of());
        }
        try (ServerConnection old = cache.connect(Side.OLD);
                ServerConnection fresh = cache.connect(Side.NEW)) {
            check.compare(old, fresh);
        } catch (FleetException e) {
            check.problem(String.valueOf(e.getMessage()));
        }
        return new Findings(List.copyOf(check.problems), List.copyOf(check.warnings));
    }

    /**
     * Sentinels take a primary that follows somebody for dead, and promote another: a relay link has to tell them for the time, which is not
     * there yet. A cluster follows nobody.
     */
    private void kinds() {
        for (Side side : Side.values()) {
            FleetSpec fleet = cache.fleet(side);
            switch (fleet.address()) {
                case FleetAddress.Standalone _ -> {
                    // What a relay link is for.
                }
                case FleetAddress.Sentinel _ ->
                    problem("fleet " + fleet.name() + " (" + fleet.where()
                            + ") is watched by sentinels, which would take it"
                            + " for dead while it follows the other fleet, and promote a replica; this version of"
                            + " Switchback serves such a fleet and does not move it: move standalone fleets only");
                case FleetAddress.Cluster _, FleetAddress.Shard _ ->
                    problem("fleet " + fleet.name() + " (" + fleet.where() + ") is a cluster, which cannot follow"
                            + " another fleet; this version of Switchback moves standalone fleets only");
            }
        }
    }

    private void compare(ServerConnection old, ServerConnection fresh) {
        ServerInfo oldInfo = ServerInfo.read(old);
        ServerInfo newInfo = ServerInfo.read(fresh);
        if (oldInfo.runId().equals(newInfo.runId())) {
            problem(cache.fleet(Side.OLD).name() + " and "
                    + cache.fleet(Side.NEW).name() + " are one and the same server (run_id " + oldInfo.runId()
                    + "); name two different ones");
            return;
        }
        roles(old, fresh);
        mayChangeRoles(old);
        mayChangeRoles(fresh);
        versions(old.endpoint() + "", oldInfo, fresh.endpoint() + "", newInfo);
        room(oldInfo, newInfo, fresh);
        settings(old, oldInfo);
        settings(fresh, newInfo);
        followsOver(old, cache.fleet(Side.OLD));
        followsOver(fresh, cache.fleet(Side.NEW));
        clocks(old, fresh);
        guard(old, fresh);
    }

    private void roles(ServerConnection old, ServerConnection fresh) {
        for (ServerConnection server : List.of(old, fresh)) {
            if (ReplicationState.read(server).role() != Role.PRIMARY) {
                problem(server.endpoint() + " is a replica; name the primary of the fleet, or make it one");
            }
        }
        if (!overwriteTarget) {
            Reply keyspace = fresh.demand("INFO", "keyspace");
            if (keyspace.text().contains("db")) {
                problem(
                        fresh.endpoint() + " holds keys already ("
                                + keyspace.text().strip().replaceAll("\\s+", " ")
                                + "), and a copy would delete them; empty it, or say overwrite-target: true in the release's file");
            }
        }
    }

    /** REPLICAOF NO ONE does nothing to a server that is a primary, but it is refused where the right is missing. */
    private void mayChangeRoles(ServerConnection server) {
        if (ReplicationState.read(server).role() == Role.PRIMARY
                && server.call("REPLICAOF", "NO", "ONE") instanceof Reply.Failure(String message)) {
            problem(server.endpoint() + " does not let this user change its role (" + message
                    + "); a relay needs REPLICAOF on both sides");
        }
    }

    private void versions(String old, ServerInfo oldInfo, String fresh, ServerInfo newInfo) {
        if (oldInfo.clusterMode() || newInfo.clusterMode()) {
            problem("a server in cluster mode cannot be moved yet; standalone servers can");
        }
        if (!loads(newInfo.version(), oldInfo.version())) {
            problem(
                    fresh + " (" + newInfo.version() + ") cannot load a snapshot of " + old + " (" + oldInfo.version()
                            + "); this version of Switchback moves to an equal or newer server of the same line, and from Redis up to 7.2 to Valkey");
        }
        if (newInfo.databases() < oldInfo.databases()) {
            problem(fresh + " has " + newInfo.databases() + " databases, " + old + " has " + oldInfo.databases()
                    + "; set databases to as many");
        }
    }

    /** Whether a server of version {@code reader} loads what {@code writer} dumps: their RDB versions, seen on real servers. */
    static boolean loads(ServerVersion reader, ServerVersion writer) {
        if (reader.product() == writer.product()) {
            return compare(reader, writer) >= 0;
        }
        return writer.product() == ServerVersion.Product.REDIS
                && (writer.major() < 7 || (writer.major() == 7 && writer.minor() <= 2));
    }

    private static int compare(ServerVersion one, ServerVersion other) {
        return one.major() != other.major()
                ? Integer.compare(one.major(), other.major())
                : Integer.compare(one.minor(), other.minor());
    }

    private void room(ServerInfo oldInfo, ServerInfo newInfo, ServerConnection fresh) {
        long wanted = (long) (oldInfo.usedMemoryBytes() * MEMORY_ROOM);
        if (newInfo.maxMemoryBytes() > 0 && newInfo.maxMemoryBytes() < wanted) {
            problem(fresh.endpoint() + " has maxmemory " + newInfo.maxMemoryBytes() + ", the old fleet uses "
                    + oldInfo.usedMemoryBytes() + "; give it at least " + wanted);
        }
        if (oldInfo.maxMemoryBytes() > 0 && newInfo.maxMemoryBytes() > oldInfo.maxMemoryBytes()) {
            warnings.add(
                    "the old fleet has maxmemory " + oldInfo.maxMemoryBytes() + ", the new one "
                            + newInfo.maxMemoryBytes()
                            + ": while it follows the old fleet takes in more than its limit, and after a rollback it would answer OOM or evict");
        }
        if (!oldInfo.evictionPolicy().equals(newInfo.evictionPolicy())) {
            warnings.add("the eviction policies differ: " + oldInfo.evictionPolicy() + " on the old fleet, "
                    + newInfo.evictionPolicy() + " on the new one");
        }
    }

    private void settings(ServerConnection server, ServerInfo info) {
        if (!ServerSettings.read(server, "replica-read-only")
                .toLowerCase(Locale.ROOT)
                .equals("yes")) {
            problem(server.endpoint() + " has replica-read-only no: as a follower it would take writes of its own;"
                    + " set it to yes");
        }
        Reply panics = server.demand("CONFIG", "GET", "propagation-error-behavior");
        if (panics instanceof Reply.Array(List<Reply> pair)
                && pair.size() == 2
                && !pair.get(1).text().equals("ignore")) {
            problem(server.endpoint() + " has propagation-error-behavior "
                    + pair.get(1).text()
                    + ": one command that it does not take would end its process; set it to ignore");
        }
        if (info.appendOnly()) {
            warnings.add(
                    server.endpoint() + " has appendonly yes: should it restart as a follower it asks for a full copy,"
                            + " and the way back closes; switch it off while the release is open, if you can");
        }
        if (info.configFile().isEmpty()) {
            warnings.add(
                    server.endpoint() + " was started without a config file: should it restart as a follower it comes"
                            + " up as a primary, and the way back closes");
        }
    }

    /** How the server would follow: forward the new one does, on the way back the old one. */
    private void followsOver(ServerConnection server, FleetSpec fleet) {
        // Empty from a server that was built without TLS.
        boolean overTls = server.demand("CONFIG", "GET", "tls-replication") instanceof Reply.Array(List<Reply> pair)
                && pair.size() == 2
                && pair.get(1).text().equals("yes");
        boolean hasCertificate =
                fleet.tls().filter(tls -> tls.files().identity().isPresent()).isPresent();
        if (overTls && !hasCertificate) {
            problem(server.endpoint() + " has tls-replication yes: it follows only who shows it a certificate, and this"
                    + " node has none for it; give fleet " + fleet.name() + " tls: { cert: file:PATH, key: file:PATH },"
                    + " signed by its tls-ca-cert-file, or set tls-replication to no");
        }
        if (!overTls && fleet.tls().isPresent()) {
            warnings.add(
                    server.endpoint() + " has tls-replication no: what it follows comes to it in the clear; set it to"
                            + " yes, if that network is not trusted");
        }
        if (server.endpoint().isUnix()) {
            warnings.add(
                    server.endpoint() + " is told to follow an address of the loopback interface, since it is reached"
                            + " by a Unix socket: it must share this node's network, which a container does not by itself");
        }
    }

    /** Times to live are absolute in the stream: a follower whose clock is ahead would end keys too early after a switch. */
    private void clocks(ServerConnection old, ServerConnection fresh) {
        long before = clockMs(old);
        long other = clockMs(fresh);
        long after = clockMs(old);
        long apart = Math.max(before - other, other - after);
        if (apart > CLOCKS_APART_MS_MAX) {
            warnings.add("the clocks of " + old.endpoint() + " and " + fresh.endpoint() + " are " + apart
                    + " ms apart, and keys with a time to live end by as much too early or too late after a switch;"
                    + " synchronize them");
        }
    }

    private static long clockMs(ServerConnection server) {
        List<Reply> time = ((Reply.Array) server.demand("TIME")).elements();
        return Long.parseLong(time.get(0).text()) * 1000
                + Long.parseLong(time.get(1).text()) / 1000;
    }

    private void guard(ServerConnection old, ServerConnection fresh) {
        if (!WayBackGuard.between(Dialect.read(fresh), Dialect.read(old)).refusesNothing()) {
            warnings.add(
                    "until the release is finished, commands whose effect the old fleet does not know are refused by"
                            + " name, so that the way back stays open");
        }
    }

    private void problem(String what) {
        problems.add("cache " + cache.name() + ": " + what);
    }
}
