package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;

/**
 * What a session with MULTI or WATCH needs to go on over another connection: whether it watches, and the queue.
 *
 * <p>Owned by its session's event loop. Invariants: {@link #queue} holds exactly the commands that the client sent after
 * MULTI and that were passed on, in order; {@link #answered} of them have been answered to the client.
 */
final class Transaction {
    /** MULTI was answered by OK, and neither EXEC nor DISCARD has come since. */
    boolean open;
    /** MULTI and the queue are on the session's own connection; else they have to be brought there. */
    boolean placed;
    /** WATCH was answered by OK, and nothing has ended it since. */
    boolean watching;
    /** What was watched is not any more, since the connection is another one: EXEC must answer nil. */
    boolean watchLost;
    /** The proxy refused a command within MULTI: EXEC must answer EXECABORT. */
    boolean refused;
    /** The server answered a command within MULTI by an error; it knows by itself what that means for EXEC. */
    boolean failed;
    /** SELECT is in the queue: EXEC may change the client's database. */
    boolean selects;
    /** Something that loads, runs or flushes scripts is in the queue. */
    boolean hasScripts;

    int commands;
    int answered;
    private ByteBuf queue = Unpooled.EMPTY_BUFFER;

    /** Whether the session's commands must go over its own connection. */
    boolean needsConnection() {
        return open || watching;
    }

    int queueBytes() {
        return queue.readableBytes();
    }

    ByteBuf queue() {
        return queue;
    }

    /** Remembers commands that are being sent. */
    void keep(ByteBuf source, int index, int length, int count) {
        if (queue.capacity() == 0) {
            queue = source.alloc().heapBuffer(Math.max(256, length));
        }
        queue.writeBytes(source, index, length);
        commands += count;
    }

    /** What is watched cannot be watched any longer. */
    void watchGone() {
        if (watching) {
            watching = false;
            watchLost = true;
        }
    }

    /** EXEC, DISCARD or RESET: nothing is queued or watched any more. */
    void ended() {
        open = false;
        placed = false;
        watching = false;
        watchLost = false;
        refused = false;
        failed = false;
        selects = false;
        hasScripts = false;
        commands = 0;
        answered = 0;
        queue.release();
        queue = Unpooled.EMPTY_BUFFER;
    }
}
