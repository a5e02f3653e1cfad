package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import org.jspecify.annotations.Nullable;

/** CLIENT TRACKING and CLIENT CACHING: asked on the session's own connection, over which its commands go as long as it tracks. */
final class ClientTracking extends AskingOperation {
    private final byte[][] command;
    private final boolean tracks;

    private ClientTracking(ClientSession session, byte[][] command, boolean tracks) {
        super(session);
        this.command = command;
        this.tracks = tracks;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        boolean tracks = SessionCommands.word(command, 1).equals("TRACKING");
        for (int i = 2; tracks && i < command.length; i++) {
            if (SessionCommands.word(command, i).equals("REDIRECT")) {
                return new SessionCommands.Refuse(
                        "ERR switchback: CLIENT TRACKING with REDIRECT is not supported yet; without it, in RESP3, it is");
            }
        }
        if (tracks && session.tracking.isFull()) {
            return new SessionCommands.Refuse("ERR switchback: CLIENT TRACKING was said " + Tracking.COMMANDS_MAX
                    + " times; turn it off before you turn it on anew");
        }
        return new SessionCommands.Perform(new ClientTracking(session, command, tracks));
    }

    private boolean turnsOff() {
        return tracks && command.length > 2 && SessionCommands.word(command, 2).equals("OFF");
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
        session.subscriptions.feed(connection); // what is invalidated comes over it
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (!isError(reply)) {
            if (turnsOff()) {
                session.tracking.off();
            } else if (tracks) {
                session.tracking.on(command);
            } else {
                session.tracking.ofNext(command);
            }
        }
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
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
