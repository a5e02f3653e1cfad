package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** SELECT: the server's own answer, on a connection that has that database already, or on the client's own. */
final class SelectDatabase extends AskingOperation {
    private final int database;

    private SelectDatabase(ClientSession session, int database) {
        super(session);
        this.database = database;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        // Never sent as it is over a connection that others use: what is a number is decided here, as strictly as
        // there.
        Optional<Integer> number = number(command[1]);
        if (number.isPresent()) {
            return new SessionCommands.Perform(new SelectDatabase(session, number.get()));
        }
        return new SessionCommands.Refuse(
                isLong(command[1])
                        ? "ERR value is out of range, value must between " + Integer.MIN_VALUE + " and "
                                + Integer.MAX_VALUE
                        : "ERR value is not an integer or out of range");
    }

    /** The database that this names, if it can name one. */
    static Optional<Integer> number(byte[] text) {
        try {
            return isLong(text) ? Optional.of(Integer.parseInt(Wire.text(text))) : Optional.empty();
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    private static boolean isLong(byte[] text) {
        try {
            return Long.toString(Long.parseLong(Wire.text(text))).equals(Wire.text(text));
        } catch (NumberFormatException e) {
            return false;
        }
    }

    private ConnectionKey key() {
        return ConnectionKey.of(session.identity.credential(), database, session.identity.protocol());
    }

    @Override
    @Nullable
    BackendConnection connection() {
        BackendConnection own = session.own().current();
        return own != null ? own : session.loop().backends().shared(key(), session);
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(key());
    }

    @Override
    void send(BackendConnection connection) {
        if (session.own().is(connection)) {
            connection.spoil();
        }
        session.ask(connection, this, Wire.command("SELECT", Integer.toString(database)), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (!isError(reply)) {
            session.selected(database);
        }
        session.forgetUpstream();
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }
}
