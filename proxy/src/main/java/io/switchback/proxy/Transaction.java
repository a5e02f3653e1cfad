package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandKeys;
import org.jspecify.annotations.Nullable;

/**
 * What a session with MULTI or WATCH needs to go on over another connection: whether it watches, and the queue.
 *
 * <p>Owned by its session's event loop. Invariants: {@link #queue} holds exactly the commands that the client sent after
 * MULTI and that were passed on, in order; {@link #answered} of them have been answered to the client.
 */
final class Transaction {
    /** A queue of no more is kept however much there is of others, lest those keep everybody from MULTI. */
    private static final int ALWAYS_QUEUED_BYTES = 16 * 1024;

    /** MULTI was answered by OK, and neither EXEC nor DISCARD has come since. */
    boolean open;
    /** MULTI and the queue are on the session's own connection; else they have to be brought there. */
    boolean placed;
    /** WATCH was answered by OK, and nothing has ended it since. */
    boolean watching;
    /** The slot of its keys, in front of a cluster; negative as long as none is known. */
    int slot = CommandKeys.NO_SLOT;
    /** In front of a cluster: something is to be sent, so that it needs its place. */
    boolean wanted;
    /** Its queue was not taken where it is, and is to be brought elsewhere. */
    boolean misplaced;
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

    /** What it, or what is watched, is about, where that is looked at: see {@link ObstacleWatch}. */
    final ObstacleWatch.Slots seen = new ObstacleWatch.Slots();

    /** How often servers of a cluster have not taken it. */
    private @Nullable Retries retries;

    int commands;
    int answered;
    private final ProxyLoop loop;
    private ByteBuf queue = Unpooled.EMPTY_BUFFER;
    /** Of the queue, where it is long. */
    private int counted;

    Transaction(ProxyLoop loop) {
        this.loop = loop;
    }

    /** Whether the session's commands must go over its own connection. */
    boolean needsConnection() {
        return open || watching;
    }

    /** How often servers of a cluster have not taken it, to be counted on. */
    Retries retries(ClientSession session) {
        Retries so = retries;
        if (so == null) {
            so = new Retries(session);
            retries = so;
        }
        return so;
    }

    /** Which limit the queue would pass with so much more; null where it passes none. */
    @Nullable
    Limit limitPassedBy(int bytes, int count) {
        ProxyLimits limits = loop.limits();
        int after = queueBytes() + bytes;
        if (after > limits.transactionBytesMax() || commands + count > limits.transactionCommandsMax()) {
            return Limit.TRANSACTION;
        }
        return loop.mayQueue(countedOf(after) - counted) ? null : Limit.QUEUED_BYTES;
    }

    private static int countedOf(int bytes) {
        return bytes <= ALWAYS_QUEUED_BYTES ? 0 : bytes;
    }

    private void count() {
        int now = countedOf(queueBytes());
        loop.queuedBytesChanged(now - counted);
        counted = now;
    }

    int queueBytes() {
        return queue.readableBytes();
    }

    ByteBuf queue() {
        return queue;
    }

    /** Whether it may be brought to its place now. */
    boolean isTime() {
        return retries == null || retries.isTime();
    }

    /** Remembers commands that are being sent. */
    void keep(ByteBuf source, int index, int length, int count) {
        if (queue.capacity() == 0) {
            queue = source.alloc().heapBuffer(Math.max(256, length));
        }
        queue.writeBytes(source, index, length);
        commands += count;
        count();
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
        slot = CommandKeys.NO_SLOT;
        seen.forget();
        wanted = false;
        misplaced = false;
        retries = null;
        commands = 0;
        answered = 0;
        queue.release();
        queue = Unpooled.EMPTY_BUFFER;
        count();
    }
}
