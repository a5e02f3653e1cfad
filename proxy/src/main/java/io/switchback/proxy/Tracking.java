package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a client has asked of server-assisted client-side caching (CLIENT TRACKING), to ask for it again on another connection. Owned by
 * the session's event loop. Source: https://redis.io/docs/latest/develop/reference/client-side-caching/.
 *
 * <p>The server remembers by connection what a client has read. With the connection that is gone; the client is then told to forget
 * everything, as by FLUSHALL, before its next command is sent.
 */
final class Tracking {
    /** Each may add prefixes; nobody needs so many. */
    static final int COMMANDS_MAX = 64;

    private final List<byte[][]> commands = new ArrayList<>();
    /** CLIENT CACHING, said of the next command, which has not been sent. */
    private byte @Nullable [][] ofNext;
    /** The session's own connection has been asked. */
    boolean placed;

    boolean isOn() {
        return !commands.isEmpty();
    }

    boolean isFull() {
        return commands.size() >= COMMANDS_MAX;
    }

    /** It was asked for, and granted. */
    void on(byte[][] command) {
        commands.add(command);
        placed = true;
    }

    void off() {
        commands.clear();
        ofNext = null;
        placed = false;
    }

    void ofNext(byte[][] command) {
        ofNext = command;
    }

    void nextIsSent() {
        ofNext = null;
    }

    int count() {
        return commands.size() + (ofNext == null ? 0 : 1);
    }

    /** All of it, for another connection. */
    ByteBuf again() {
        ByteBuf all = Unpooled.buffer();
        List<byte[][]> wanted = new ArrayList<>(commands);
        byte[][] next = ofNext;
        if (next != null) {
            wanted.add(next);
        }
        for (byte[][] command : wanted) {
            ByteBuf one = Wire.command(command);
            all.writeBytes(one);
            one.release();
        }
        return all;
    }

    /** The push message by which a client forgets everything. */
    static ByteBuf forgetEverything() {
        return Unpooled.copiedBuffer(">2\r\n$10\r\ninvalidate\r\n_\r\n", StandardCharsets.US_ASCII);
    }
}
