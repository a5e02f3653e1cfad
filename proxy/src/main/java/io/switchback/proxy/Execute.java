package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.RequestScanner;
import org.jspecify.annotations.Nullable;

/**
 * EXEC. Passed on, except where it must not succeed: after something was refused in the transaction, after a watch that was
 * lost, or with a command in the queue that has since come under a guard.
 */
final class Execute extends AskingOperation implements ReplySink {
    private byte firstByte;

    Execute(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        Transaction transaction = session.transaction;
        if (transaction.refused || transaction.watchLost || queueIsGuarded()) {
            boolean aborted = transaction.failed || transaction.refused || !transaction.watchLost;
            transaction.ended();
            session.transactionOver(false); // the server discards the queue with it
            finish(
                    aborted
                            ? Wire.error("EXECABORT Transaction discarded because of previous errors.")
                            : Wire.nilArray(session.identity.protocol()));
            return null;
        }
        return session.loop().confirmations().mayWrite(session) ? session.own().current() : null;
    }

    private boolean queueIsGuarded() {
        CommandGuard guard = session.loop().guard();
        if (guard == null) {
            return false;
        }
        ByteBuf queue = session.transaction.queue();
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int index = queue.readerIndex();
        for (int i = 0; i < session.transaction.commands; i++) {
            scanner.next(queue, index);
            if (guard.refusal(RequestScanner.copyArguments(queue, index)) != null) {
                return true;
            }
            index = scanner.end();
        }
        return false;
    }

    @Override
    @Nullable
    String failure() {
        // Without its connection the session replays the transaction first.
        return session.own().current() == null
                ? null
                : session.loop().confirmations().failure();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, Wire.command("EXEC"), 1, this, true);
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        if (firstByte == 0) {
            firstByte = in.getByte(index);
        }
        session.receive(run, in, index, length);
    }

    @Override
    public void answered(Run run) {
        session.operationRepliedTo(run);
        session.transaction.ended();
        // Whatever it was that the server refused, the connection is not given to anybody else.
        session.transactionOver(firstByte != '-');
        finish();
    }

    @Override
    public void lost(Run run, String why) {
        session.operationRepliedTo(run);
        session.transaction.ended();
        if (run.partial) {
            finish();
            session.close();
        } else {
            lost(why);
        }
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("the reply goes to the client as it comes");
    }
}
