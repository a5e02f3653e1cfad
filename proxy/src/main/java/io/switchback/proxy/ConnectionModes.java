package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a client has turned on of its connection that changes no reply (CLIENT NO-TOUCH, CLIENT IMPORT-SOURCE), to be said again on another
 * connection. Owned by the session's event loop.
 */
final class ConnectionModes {
    /** By subcommand, so there are no more of them than modes. */
    private final Map<String, byte[][]> commands = new LinkedHashMap<>(2);

    /** They have been said to the fleet in use, which knows at least one of them. */
    private boolean inEffect;
    /** They have been said to the fleet in use. */
    private boolean placed;

    boolean mustBeSaid() {
        return !commands.isEmpty() && !placed;
    }

    /** A fleet that knows none of them can be used over connections that others use too. */
    boolean needConnection() {
        return !commands.isEmpty() && (inEffect || !placed);
    }

    void on(byte[][] command) {
        commands.put(SessionCommands.word(command, 1), command);
        placed(true);
    }

    void off(byte[][] command) {
        commands.remove(SessionCommands.word(command, 1));
    }

    void off() {
        commands.clear();
        connectionGone();
    }

    void placed(boolean anyIsKnown) {
        placed = true;
        inEffect = anyIsKnown;
    }

    void connectionGone() {
        placed = false;
        inEffect = false;
    }

    List<String> names() {
        return new ArrayList<>(commands.keySet());
    }

    /** All of them, for another connection, in the order of {@link #names}. */
    ByteBuf again() {
        ByteBuf all = Unpooled.buffer();
        for (byte[][] command : commands.values()) {
            ByteBuf one = Wire.command(command);
            all.writeBytes(one);
            one.release();
        }
        return all;
    }
}
