package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/** A read of which the same is under way for another client: it waits for that answer. Should there be none, it asks for itself. */
final class JoinedRead extends AskingOperation {
    private final Memory.Fill fill;
    private final ByteBuf command;

    /** Takes the command's bytes over. */
    JoinedRead(ClientSession session, Memory.Fill fill, ByteBuf command) {
        super(session);
        this.fill = fill;
        this.command = command;
        fill.await(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (!fill.isOver()) {
            return null;
        }
        ByteBuf answer = fill.answerFor(session);
        if (answer == null) {
            return session.upstream();
        }
        fill.leave(session);
        command.release();
        session.hasSeenNow();
        finish(answer);
        return null;
    }

    @Override
    @Nullable
    String failure() {
        return fill.isOver() ? session.loop().backends().failure(session.key()) : null;
    }

    @Override
    void failed(String failure) {
        leave();
        super.failed(failure);
    }

    @Override
    void send(BackendConnection connection) {
        fill.leave(session);
        session.ask(
                connection, new Run(session, command, 1, session, session.loop().nanoTime(), 1));
        finish();
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("the session itself has asked");
    }

    @Override
    void clientGone() {
        if (!isDone() && !isAsked()) {
            leave();
        }
    }

    private void leave() {
        fill.leave(session);
        command.release();
    }
}
