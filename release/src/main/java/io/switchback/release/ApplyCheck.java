package io.switchback.release;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.release.FleetCheck.Findings;
import io.switchback.release.FleetCheck.Primary;
import io.switchback.release.ReleaseState.Side;
import io.switchback.resp.Reply;
import io.switchback.sync.apply.ApplyLink;
import java.util.List;

/** What links that apply ask of the fleets, beyond what any link does. Changes nothing. */
final class ApplyCheck {
    private final MovingCache cache;
    private final ReleaseFile file;
    private final Findings findings;

    ApplyCheck(MovingCache cache, ReleaseFile file, Findings findings) {
        this.cache = cache;
        this.file = file;
        this.findings = findings;
    }

    void look(List<Primary> old, List<Primary> fresh) {
        for (Side side : Side.values()) {
            FleetSpec fleet = cache.fleet(side);
            ApplyLink.slotsMoving(fleet)
                    .ifPresent(moving -> findings.problem(moving
                            + ", and links cannot follow that; start the release once they stand still, and move none until"
                            + " it is finished"));
        }
        old.forEach(one -> mayBeFollowed(one.server()));
        fresh.forEach(one -> mayBeFollowed(one.server()));
        if (cache.fleet(Side.NEW).isCluster()) {
            oneDatabaseIsEnough(old);
            if (file.protect() == Protect.SYNC) {
                findings.problem("protect: sync cannot be kept in front of fleet "
                        + cache.fleet(Side.NEW).name() + ", which is a cluster; say protect: async");
            }
        }
    }

    private void oneDatabaseIsEnough(List<Primary> old) {
        for (Primary one : old) {
            List<String> others = one.server()
                    .demand("INFO", "keyspace")
                    .text()
                    .lines()
                    .filter(line -> line.startsWith("db") && !line.startsWith("db0:"))
                    .map(line -> line.substring(0, line.indexOf(':')))
                    .toList();
            if (!others.isEmpty()) {
                findings.problem(one.endpoint() + " has keys in " + String.join(", ", others)
                        + ", and a cluster has database 0 alone; move them there, or to a fleet of their own");
            }
        }
    }

    /** A link asks for the stream as a replica does; REPLCONF needs the same right as PSYNC, and changes nothing. */
    private void mayBeFollowed(ServerConnection server) {
        if (server.call("REPLCONF", "capa", "psync2") instanceof Reply.Failure(String message)) {
            findings.problem(server.endpoint() + " does not let this user follow it (" + message
                    + "); links need the rights to PSYNC and REPLCONF on both fleets");
        }
    }
}
