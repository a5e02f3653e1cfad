package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Credential;
import org.jspecify.annotations.Nullable;

/**
 * AUTH: proven by the server itself, on a connection that is used for nothing else and so may be anybody; from then on the
 * client's commands go over connections that are authenticated as that user.
 */
final class Authenticate extends AskingOperation {
    private final byte[][] command;

    /** {@code command} is AUTH with a password, or with a user and a password. */
    Authenticate(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.loop().backends().shared(ConnectionKey.PROVING, session);
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(ConnectionKey.PROVING);
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        session.forgetUpstream();
        if (!isError(reply)) {
            session.proven(credential(command, 1));
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
