package io.switchback.fleet;

import java.util.Optional;

/**
 * Where a server stands in replication, at one moment.
 *
 * @param id               the history that the server's offset counts in
 * @param secondId         the history that it came from when it was promoted last; 40 zeros where there is none
 * @param secondOffset     up to where {@code secondId} is also its own; -1 where there is none
 * @param offset           as a primary: what it has written; as a replica: what it has <em>applied</em> (both in bytes of the
 *                         stream, PING and SELECT included)
 * @param linkUp           as a replica: whether it follows its primary's stream now; false on a primary
 * @param primary          whom it follows; empty on a primary
 * @param attachedReplicas how many replicas are attached to it, links included
 */
public record ReplicationState(
        Role role,
        String id,
        String secondId,
        long secondOffset,
        long offset,
        boolean linkUp,
        Optional<Endpoint> primary,
        int attachedReplicas) {

    /** What a server is to others. */
    public enum Role {
        PRIMARY,
        REPLICA
    }

    /** Asks a server, with INFO replication. */
    public static ReplicationState read(ServerConnection connection) {
        return of(InfoReport.read(connection, "replication"));
    }

    /** From what INFO replication said, alone or among more. */
    public static ReplicationState of(InfoReport info) {
        boolean replica = info.text("role").equals("slave");
        long written = info.number("master_repl_offset");
        boolean up = replica && info.text("master_link_status", "down").equals("up");
        long applied = info.number("slave_repl_offset", written);
        if (!up && applied <= 1) {
            // It has lost its place in its primary's stream, and says so by a 1; its data, and its own count, are as
            // before.
            applied = written;
        }
        return new ReplicationState(
                replica ? Role.REPLICA : Role.PRIMARY,
                info.text("master_replid"),
                info.text("master_replid2"),
                info.number("second_repl_offset"),
                replica ? applied : written,
                up,
                replica
                        ? Optional.of(
                                new Endpoint(info.text("master_host"), Math.toIntExact(info.number("master_port"))))
                        : Optional.empty(),
                Math.toIntExact(info.number("connected_slaves", 0)));
    }
}
