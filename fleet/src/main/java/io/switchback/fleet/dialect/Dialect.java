package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.ServerVersion;

/**
 * What a server understands: its version, which decides about arguments, the commands that it says it has, and how many
 * databases SELECT accepts.
 */
public record Dialect(ServerVersion version, ServerCommands commands, int databases) {

    /** Asks the server. */
    public static Dialect read(ServerConnection connection) {
        return new Dialect(
                ServerVersion.read(connection), ServerCommands.read(connection), ServerSettings.databases(connection));
    }
}
