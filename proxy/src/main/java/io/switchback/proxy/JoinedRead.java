package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.List;

/** A read of which the same is under way for another client: it waits for that answer. Should there be none, it asks for itself, past memory. */
final class JoinedRead extends Operation {
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
    boolean proceed() {
        if (!fill.isOver()) {
            return false;
        }
        ByteBuf answer = fill.answerFor(session);
        fill.leave(session);
        if (answer == null) {
            session.lostCommands().addFirst(List.of(LostCommands.Lost.again(command, 1, false, false, null)));
        } else {
            command.release();
            session.hasSeenNow();
            session.reply(answer);
        }
        return true;
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("it has asked for nothing");
    }

    @Override
    void lost(String why) {
        throw new IllegalStateException("it has asked for nothing");
    }

    @Override
    void clientGone() {
        fill.leave(session);
        command.release();
    }
}
