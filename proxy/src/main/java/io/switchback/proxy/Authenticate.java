package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Credential;
import org.jspecify.annotations.Nullable;

/**
 * AUTH: proven by the server itself, on a connection that is used for nothing else and so may be anybody; from then on the
 * client's commands go over connections that are authenticated as that user. A client that is subscribed to something may only be the
 * same user again, as clients do whose passwords are tokens: it does so on its own connection where that brings messages, lest it misses one. (Those that bring
 * shard channels stay as they are: the server has granted them.)
 */
final class Authenticate extends AskingOperation {
    private final byte[][] command;
    private boolean onItsOwn;

    /** {@code command} is AUTH with a password, or with a user and a password. */
    Authenticate(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return connection(session);
    }

    static @Nullable BackendConnection connection(ClientSession session) {
        return session.subscriptions.needOwnConnection()
                ? session.own().current()
                : session.loop().backends().shared(ConnectionKey.PROVING, session);
    }

    /** Whether a client may not be that user now. */
    static boolean isTooLate(ClientSession session, Credential credential) {
        return !session.subscriptions.isEmpty() && !credential.user().equals(session.identity.user());
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(ConnectionKey.PROVING);
    }

    @Override
    void send(BackendConnection connection) {
        onItsOwn = session.own().is(connection);
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        session.forgetUpstream();
        if (!isError(reply)) {
            session.proven(credential(command, 1), onItsOwn);
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }

    /** The credential in the last words of a command, from {@code index} on. */
    static Credential credential(byte[][] command, int index) {
        return command.length - index == 1
                ? new Credential(Credential.DEFAULT_USER, Wire.secret(command[index]))
                : new Credential(Wire.secret(command[index]), Wire.secret(command[index + 1]));
    }
}
