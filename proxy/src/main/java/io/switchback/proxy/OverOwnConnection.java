package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A command that goes as it is over the session's own connection, since it belongs to that connection or could not be read on one that
 * others use: what they had sent before it may be waiting there for what it brings about.
 */
final class OverOwnConnection extends AskingOperation {
    private final byte[][] command;
    private final boolean spoils;
    private final Consumer<byte[][]> accepted;

    private OverOwnConnection(ClientSession session, byte[][] command, boolean spoils, Consumer<byte[][]> accepted) {
        super(session);
        this.command = command;
        this.spoils = spoils;
        this.accepted = accepted;
    }

    static SessionCommands.Verdict plain(ClientSession session, byte[][] command) {
        return new SessionCommands.Perform(new OverOwnConnection(session, command, false, same -> {}));
    }

    /** CLIENT NO-TOUCH and CLIENT IMPORT-SOURCE: where the server takes it, the session keeps it. */
    static SessionCommands.Verdict mode(ClientSession session, byte[][] command) {
        return new SessionCommands.Perform(new OverOwnConnection(session, command, false, taken -> {
            if (SessionCommands.word(taken, 2).equals("ON")) {
                session.modes.on(taken);
            } else {
                session.modes.off(taken);
            }
        }));
    }

    /** Nobody may use the connection afterwards. */
    static SessionCommands.Verdict spoiling(ClientSession session, byte[][] command) {
        return new SessionCommands.Perform(new OverOwnConnection(session, command, true, same -> {}));
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
        if (spoils) {
            connection.spoil();
            session.subscriptions.feed(connection); // it may send a push message of its own
        }
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (!isError(reply)) {
            accepted.accept(command);
        }
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
        finish(reply.retain());
    }
}
