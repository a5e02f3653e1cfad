package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;

/** What a server understands: its version, which decides about arguments, and the commands that it says it has. */
public record Dialect(ServerVersion version, ServerCommands commands) {

    /** Asks the server. */
    public static Dialect read(ServerConnection connection) {
        return new Dialect(ServerVersion.read(connection), ServerCommands.read(connection));
    }
}
