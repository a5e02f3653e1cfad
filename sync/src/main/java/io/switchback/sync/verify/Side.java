package io.switchback.sync.verify;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.dialect.ServerCommands;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** One of the two fleets as verification reads it. For one thread. */
final class Side implements AutoCloseable {
    final ServerVersion version;
    final boolean knowsExpireTime;
    final boolean knowsFieldExpiry;
    private final ServerConnection connection;
    private int database;

    Side(FleetSpec fleet, Duration timeout) {
        this.connection = ServerConnection.open(fleet, timeout);
        try {
            this.version = ServerVersion.read(connection);
            ServerCommands commands = ServerCommands.read(connection);
            this.knowsExpireTime = commands.shape("pexpiretime").isPresent();
            this.knowsFieldExpiry = commands.shape("hpexpiretime").isPresent();
        } catch (FleetException e) {
            connection.close();
            throw e;
        }
    }

    /** Keys by database, where there are any. */
    Map<Integer, Long> keysByDatabase() {
        Map<Integer, Long> keys = new TreeMap<>();
        for (String line : connection.demand("INFO", "keyspace").text().lines().toList()) {
            // db0:keys=2,expires=0,...
            if (line.startsWith("db") && line.contains(":keys=")) {
                int colon = line.indexOf(':');
                String count = line.substring(colon + ":keys=".length(), line.indexOf(',', colon));
                keys.put(Integer.parseInt(line.substring(2, colon)), Long.parseLong(count));
            }
        }
        return keys;
    }

    void select(int database) {
        if (this.database != database) {
            connection.demand("SELECT", Integer.toString(database));
            this.database = database;
        }
    }

    /** An error other than WRONGTYPE (the key changed between two questions) ends the verification. */
    Reply ask(byte[]... command) {
        return checked(connection.call(command), command);
    }

    Reply ask(String name, byte[] key, String... arguments) {
        return ask(command(name, key, arguments));
    }

    List<Reply> askAll(List<byte[][]> commands) {
        if (commands.isEmpty()) {
            return List.of();
        }
        List<Reply> replies = connection.pipeline(commands);
        for (int i = 0; i < replies.size(); i++) {
            checked(replies.get(i), commands.get(i));
        }
        return replies;
    }

    private Reply checked(Reply reply, byte[][] command) {
        if (reply instanceof Reply.Failure failure
                && !failure.code().equals("WRONGTYPE")
                && !failure.code().equals("NOGROUP")
                && !failure.message().contains("no such key")) {
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    connection.endpoint() + " refused " + new String(command[0], UTF_8) + " for the verification: "
                            + failure.message());
        }
        return reply;
    }

    static byte[][] command(String name, byte[] key, String... arguments) {
        List<byte[]> words = new ArrayList<>(List.of(name.getBytes(UTF_8), key));
        words.addAll(List.of(CommandEncoder.bytes(arguments)));
        return words.toArray(byte[][]::new);
    }

    @Override
    public void close() {
        connection.close();
    }
}
