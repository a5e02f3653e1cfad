package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;

/** CLIENT TRACKINGINFO and GETREDIR of a client that redirects: the server's own answer names a connection of the proxy's. */
final class TrackingInfo extends FilteringOperation {
    private final Redirect redirect;
    private final byte[][] command;

    private TrackingInfo(ClientSession session, Redirect redirect, byte[][] command) {
        super(session);
        this.redirect = redirect;
        this.command = command;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        Redirect redirect = session.tracking.redirect();
        return redirect == null || command.length != 2
                ? SessionCommands.send()
                : new SessionCommands.Perform(new TrackingInfo(session, redirect, command));
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        boolean isId = reply.getByte(reply.readerIndex()) == ':';
        finish(isId ? Wire.number(redirect.targetId()) : redirect.withTargetId(reply));
    }
}
