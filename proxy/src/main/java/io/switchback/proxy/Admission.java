package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;

/**
 * Stands before the first command of a client without a password that Switchback answers or refuses by itself: whether such a client is served at
 * all, the server is asked by PING. What it says to other commands it says itself.
 */
final class Admission extends FilteringOperation {
    private final Operation wanted;

    private Admission(ClientSession session, Operation wanted) {
        super(session);
        this.wanted = wanted;
    }

    /** What is to be performed first so that {@code wanted} is; itself, mostly. */
    static Operation before(ClientSession session, Operation wanted) {
        return wanted.needsAdmission() && isMissing(session) ? new Admission(session, wanted) : wanted;
    }

    /** Whether nobody knows yet that the server serves this client. What lives on a connection of its own the server has granted. */
    static boolean isMissing(ClientSession session) {
        return session.identity.credential() == null && !session.identity.isAdmitted() && !session.needsOwnConnection();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command("PING"), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (reply.toString(US_ASCII).startsWith("-NOAUTH")) {
            finish(reply.retain());
        } else {
            session.identity.admitted();
            session.perform(wanted);
        }
    }
}
