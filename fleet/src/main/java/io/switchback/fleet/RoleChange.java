package io.switchback.fleet;

/** What became of a guarded change of a server's role. */
public sealed interface RoleChange {

    /**
     * The server took the command, all in one transaction.
     *
     * @param offsetAtChange the server's replication offset at that instant; nothing can have come between
     * @param before         what it was until then; what it was told may thus have been true already
     * @param after          how it stood right after it; of a new primary {@code id} and {@code secondOffset} are exact, its
     *                       {@code offset} may include what clients have written since
     */
    record Changed(long offsetAtChange, ReplicationState.Role before, ReplicationState after) implements RoleChange {}

    /** Nothing was changed: the token was not the expected one, or moved while the command was on its way. */
    record Refused(String why) implements RoleChange {}
}
