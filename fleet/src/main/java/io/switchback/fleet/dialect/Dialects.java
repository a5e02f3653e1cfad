package io.switchback.fleet.dialect;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ServerConnection;
import io.switchback.resp.Reply;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What some servers understand, asked once and again only where a server was restarted or its commands were changed (a module):
 * the answer is long, and it is asked for around a switch, when the server and this machine have clients to serve. Thread-safe.
 */
public final class Dialects {
    private final Map<Endpoint, Known> known = new ConcurrentHashMap<>();

    private record Known(String runId, long commands, Dialect dialect) {}

    /** As {@link Dialect#read}. */
    public Dialect of(ServerConnection connection) {
        String runId = InfoReport.read(connection, "server").text("run_id");
        long commands = connection.demand("COMMAND", "COUNT") instanceof Reply.Int(long count) ? count : -1;
        Known before = known.get(connection.endpoint());
        if (before != null && before.runId.equals(runId) && before.commands == commands) {
            return before.dialect;
        }
        Dialect dialect = Dialect.read(connection);
        known.put(connection.endpoint(), new Known(runId, commands, dialect));
        return dialect;
    }
}
