package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/** MULTI or WATCH: the session gets a connection of its own, on which the server answers. */
final class BeginTransaction extends AskingOperation {
    private final byte[][] command;

    BeginTransaction(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.own().get();
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            if (!session.needsOwnConnection()) {
                session.leaveOwnConnection(true);
            }
        } else if (command.length == 1) {
            session.transaction.open = true;
            session.transaction.placed = true;
        } else {
            session.transaction.watching = true;
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }
}
