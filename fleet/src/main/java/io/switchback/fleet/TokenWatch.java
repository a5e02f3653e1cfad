package io.switchback.fleet;

/**
 * A server that has shown the token of a switch and watches it: one change of role may be sent to it, in one round trip, and
 * the server refuses that change if anybody has moved the token meanwhile.
 *
 * <p>It stands as long as its connection does: a server that was restarted, or that has taken a full copy, no longer honours
 * it. For the thread that uses the connection; nothing else on that connection may end the watch (EXEC, DISCARD, UNWATCH).
 */
public final class TokenWatch {
    private final ServerConnection server;
    private boolean spent;

    TokenWatch(ServerConnection server) {
        this.server = server;
    }

    /** As {@link RoleCommands#follow(ServerConnection, Endpoint, Token, RoleCommands.OtherClients)}. Once. */
    public RoleChange follow(Endpoint newPrimary, RoleCommands.OtherClients others) {
        spend();
        return RoleCommands.transaction(server, newPrimary.host(), Integer.toString(newPrimary.port()), others);
    }

    /** As {@link RoleCommands#promote}. Once. */
    public RoleChange promote() {
        spend();
        return RoleCommands.transaction(server, "NO", "ONE", RoleCommands.OtherClients.KEPT);
    }

    private void spend() {
        if (spent) {
            throw new IllegalStateException("the watch on " + server.endpoint() + " was spent on a change of role");
        }
        spent = true;
    }
}
