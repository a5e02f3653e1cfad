package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/** DISCARD: the transaction ends without effect. */
final class Discard extends AskingOperation {
    Discard(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (session.loop().isSharded() && !session.transaction.placed) {
            session.transaction.ended(); // it is nowhere yet
            session.transactionOver(false);
            finish(Wire.ok());
            return null;
        }
        return session.own().current();
    }

    @Override
    @Nullable
    String failure() {
        return null; // without its connection the session replays the transaction first
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command("DISCARD"), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            session.transaction.refused = true; // as at the server, to which it is a command that cannot be queued
        } else {
            session.transaction.ended();
            session.transactionOver(true);
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        session.transaction.ended();
        finish(Wire.ok()); // with the connection the server has discarded the queue
    }
}
