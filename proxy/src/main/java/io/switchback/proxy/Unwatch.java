package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/** UNWATCH of a session that has watched keys. */
final class Unwatch extends AskingOperation {
    Unwatch(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        Transaction transaction = session.transaction;
        if (session.own().current() == null) {
            transaction.ended();
            finish(Wire.ok());
        }
        return session.own().current();
    }

    @Override
    @Nullable
    String failure() {
        return null;
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command("UNWATCH"), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (!isError(reply)) {
            session.transaction.ended();
            session.transactionOver(true);
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        session.transaction.ended();
        finish(Wire.ok()); // nothing is watched without the connection
    }
}
