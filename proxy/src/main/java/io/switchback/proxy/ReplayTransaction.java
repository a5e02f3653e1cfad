package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.RequestScanner;
import org.jspecify.annotations.Nullable;

/**
 * Brings an open MULTI to another connection: MULTI again, then the queue again. Replies that the client has already are
 * not given to it a second time.
 *
 * <p>The queue is sent only once MULTI was answered by OK: otherwise its commands would run at once. Where a hold begins in
 * between, the queue waits for its end, and where that ended in a switch, for the next replay.
 */
final class ReplayTransaction extends AskingOperation {
    private boolean begun;

    ReplayTransaction(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (!begun) {
            if (session.loop().isSharded() && !findPlace()) {
                return null;
            }
            return session.own().get();
        }
        BackendConnection own = session.own().current();
        if (own == null) {
            finish(); // the session finds its transaction without a connection, and begins another replay
        }
        return own;
    }

    /** In front of a cluster: where it has to go. */
    private boolean findPlace() {
        Transaction transaction = session.transaction;
        if (!transaction.isTime()) {
            return false;
        }
        if (transaction.slot < 0) {
            transaction.slot = slotOfQueue();
        }
        Endpoint asked = transaction.retries(session).next();
        session.ownAt(asked != null ? asked : session.lane().server(transaction.slot));
        return true;
    }

    /** Of the first command that has one: what was queued at a fleet that was no cluster may be of several, which the cluster has to say. */
    private int slotOfQueue() {
        ByteBuf queue = session.transaction.queue();
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int index = queue.readerIndex();
        for (int i = 0; i < session.transaction.commands; i++) {
            scanner.next(queue, index);
            CommandRule rule = CommandTable.find(queue, index + scanner.nameOffset(), scanner.nameLength());
            int slot = session.lane().slot(queue, index, rule);
            if (slot >= 0) {
                return slot;
            }
            index = scanner.end();
        }
        return CommandKeys.NO_SLOT;
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void failed(String failure) {
        session.refuse(failure, Math.max(1, session.transaction.commands - session.transaction.answered));
        // The client still believes in its transaction: what it sends next must not run outside of one.
        session.closeAfterReplies();
    }

    @Override
    void send(BackendConnection connection) {
        if (begun) {
            sendQueue(connection);
            finish();
        } else {
            if (session.loop().isSharded()
                    && session.transaction.retries(session).asks()) {
                // Before MULTI it is good for all that comes up to EXEC.
                session.ask(connection, Wire.command("ASKING"), 1, new Swallowed(session));
            }
            session.ask(connection, this, Wire.command("MULTI"), 1);
        }
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            failed("ERR switchback: MULTI was refused when the transaction was brought to another connection");
            finish();
            return;
        }
        begun = true;
        askNext();
    }

    private void sendQueue(BackendConnection connection) {
        Transaction transaction = session.transaction;
        ByteBuf queue = Unpooled.copiedBuffer(transaction.queue());
        int boundary = endOf(queue, transaction.answered);
        int owed = transaction.commands - transaction.answered;
        if (transaction.answered > 0) {
            ReplySink sink = session.loop().isSharded() ? new QueuedReplies(session, true) : new Swallowed(session);
            session.ask(connection, queue.retainedSlice(0, boundary), transaction.answered, sink);
        }
        if (owed > 0) {
            session.sendQueued(connection, queue.retainedSlice(boundary, queue.writerIndex() - boundary), owed);
        }
        queue.release();
        transaction.placed = true;
    }

    private static int endOf(ByteBuf queue, int commands) {
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int index = 0;
        for (int i = 0; i < commands; i++) {
            scanner.next(queue, index);
            index = scanner.end();
        }
        return index;
    }

    @Override
    void lost(String why) {
        finish(); // as above: another replay
    }
}
