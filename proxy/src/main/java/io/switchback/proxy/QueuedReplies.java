package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import org.jspecify.annotations.Nullable;

/**
 * The replies to commands of a transaction in front of a cluster: QUEUED, or errors. Where one says that the slot is elsewhere, the client gets
 * none of them: the transaction is brought there, and the commands are queued again ({@link ReplayTransaction}). Owned by the session's event loop.
 */
final class QueuedReplies implements ReplySink {
    private final ClientSession session;
    /** The client has had them already. */
    private final boolean swallows;

    private ByteBuf replies = Unpooled.EMPTY_BUFFER;

    QueuedReplies(ClientSession session) {
        this(session, false);
    }

    QueuedReplies(ClientSession session, boolean swallows) {
        this.session = session;
        this.swallows = swallows;
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        if (replies.capacity() == 0) {
            replies = in.alloc().buffer(length);
        }
        replies.writeBytes(in, index, length);
    }

    @Override
    public void answered(Run run) {
        Transaction transaction = session.transaction;
        BackendConnection own = session.own().current();
        NotExecuted answer = run.errors == 0 || own == null ? null : firstNotExecuted(own);
        if (transaction.open && (transaction.misplaced || (answer != null && mayMove(answer)))) {
            transaction.misplaced = true;
            transaction.placed = false;
            session.operationRepliedTo(run);
        } else if (swallows) {
            session.operationRepliedTo(run);
        } else {
            session.receive(run, replies, replies.readerIndex(), replies.readableBytes());
            session.answered(run);
        }
        replies.release();
    }

    private boolean mayMove(NotExecuted answer) {
        return session.transaction.retries(session).again(answer);
    }

    /** Each reply is a line. */
    private @Nullable NotExecuted firstNotExecuted(BackendConnection own) {
        int from = replies.readerIndex();
        while (from < replies.writerIndex()) {
            int end = replies.indexOf(from, replies.writerIndex(), (byte) '\n') + 1;
            if (end <= 0) {
                return null;
            }
            NotExecuted answer = NotExecuted.read(replies.slice(from, end - from), own.server);
            if (answer != null) {
                return answer;
            }
            from = end;
        }
        return null;
    }

    @Override
    public void lost(Run run, String why) {
        replies.release();
        if (swallows) {
            session.operationRepliedTo(run);
            return;
        }
        run.answered = 0; // the client has had none of them
        run.errors = 0;
        run.partial = false;
        session.lost(run, why);
    }
}
