package io.switchback.release;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.ServerConnection;
import io.switchback.release.FleetCheck.Findings;
import io.switchback.release.FleetCheck.Primary;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.Reply;
import io.switchback.sync.apply.ApplyLink;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** What links that apply ask of the fleets, beyond what any link does. Changes nothing. */
final class ApplyCheck {
    /** Shards of the source times primaries of the target: each link has a connection, a thread and a queue for each of these. */
    static final int LANES_MAX = 1_024;

    private final MovingCache cache;
    private final ReleaseFile file;
    private final Findings findings;

    ApplyCheck(MovingCache cache, ReleaseFile file, Findings findings) {
        this.cache = cache;
        this.file = file;
        this.findings = findings;
    }

    void look(List<Primary> old, List<Primary> fresh) {
        common(old, fresh);
    }

    /** Where links can only scan. */
    void lookWhereNobodyFollows(List<Primary> old, List<Primary> fresh) {
        common(old, fresh);
        for (Side side : Side.values()) {
            (side == Side.OLD ? old : fresh).forEach(one -> tells(cache.fleet(side), one.endpoint()));
        }
        if (file.protect() == Protect.SYNC) {
            findings.problem(
                    "protect: sync cannot be kept by links that scan, since they know no offsets; say protect: async");
        }
        findings.warn(
                "the links scan: no backup is written beside, transactions arrive key by key, and a link whose connection"
                        + " breaks looks at every key again, until when there is no switch and no way back (docs/scan.md)");
    }

    /** Over a connection of its own, since it is told things from then on. */
    private void tells(FleetSpec fleet, Endpoint primary) {
        try (ServerConnection server = MovingCache.connect(fleet, primary)) {
            server.demand("HELLO", "3");
            server.demand("CLIENT", "TRACKING", "ON", "BCAST");
        } catch (FleetException e) {
            findings.problem(e.getMessage()
                    + "; where nobody may follow, links need to be told of changes (CLIENT TRACKING in RESP3,"
                    + " since Redis 6.0), on both fleets");
        }
    }

    private void common(List<Primary> old, List<Primary> fresh) {
        if (old.size() * fresh.size() > LANES_MAX) {
            findings.problem(old.size() + " shards and " + fresh.size() + " would be joined by "
                    + old.size() * fresh.size() + " connections of links, and " + LANES_MAX
                    + " are the limit (docs/limits.md); a fleet of fewer, larger shards would do");
        }
        Stream.concat(old.stream(), fresh.stream())
                .flatMap(one -> whyNotWritten(one.server()).stream())
                .forEach(why -> findings.problem(why + ", as links that apply or scan do (docs/rights.md)"));
        for (Side side : Side.values()) {
            FleetSpec fleet = cache.fleet(side);
            ApplyLink.slotsMoving(fleet)
                    .ifPresent(moving -> findings.problem(
                            moving + ", and links cannot follow that; start the release once they stand still"));
        }
        if (cache.fleet(Side.NEW).isCluster()) {
            oneDatabaseIsEnough(old);
        }
    }

    private void oneDatabaseIsEnough(List<Primary> old) {
        for (Primary one : old) {
            List<String> others = Keyspace.keysByDatabase(one.server()).keySet().stream()
                    .filter(database -> database != 0 && cache.carriedKeys().hasDatabase(database))
                    .map(database -> "db" + database)
                    .toList();
            if (!others.isEmpty()) {
                findings.problem(one.endpoint() + " has keys in " + String.join(", ", others)
                        + ", and a cluster has database 0 alone; move them there, or to a fleet of their own, or leave them behind"
                        + " by keys: { databases: [0] }");
            }
        }
    }

    /** Asked in a way that changes nothing, also at a replica. */
    static Optional<String> whyNotWritten(ServerConnection server) {
        return server.call("PERSIST", ReservedKeys.TOKEN) instanceof Reply.Failure(String message)
                        && message.startsWith("NOPERM")
                ? Optional.of(
                        server.endpoint() + " does not let this user write all that clients may (" + message + ")")
                : Optional.empty();
    }

    /** A link asks for the stream as a replica does; REPLCONF needs the same right as PSYNC, and changes nothing. */
    static Optional<String> whyNotFollowed(ServerConnection server) {
        return server.call("REPLCONF", "capa", "psync2") instanceof Reply.Failure(String message)
                ? Optional.of(server.endpoint() + " does not let this user follow it (" + message + ")")
                : Optional.empty();
    }
}
