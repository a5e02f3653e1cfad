package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * SCRIPT KILL and FUNCTION KILL: over a connection that nobody else uses, since what they are to end may run on one that is shared, where they
 * would wait for its end. In database 0, whichever the client's is: a server that is busy lets a connection authenticate, but not select.
 */
final class KillScript extends AskingOperation {
    private final byte[][] command;
    private final OwnConnection place;

    KillScript(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
        this.place = new OwnConnection(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        BackendConnection current = place.current();
        if (current != null
                && (!current.isOpen() || !current.route.equals(session.loop().route()))) {
            place.gone();
        }
        return place.get(ConnectionKey.of(session.identity.credential(), 0, session.identity.protocol()));
    }

    @Override
    @Nullable
    String failure() {
        return place.takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        session.forgetUpstream();
        place.leaveForGood();
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        place.leaveForGood();
        super.lost(why);
    }

    @Override
    void clientGone() {
        place.clientGone();
    }
}
