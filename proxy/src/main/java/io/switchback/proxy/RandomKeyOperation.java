package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/** RANDOMKEY, asked again while it names a reserved key. */
final class RandomKeyOperation extends FilteringOperation {
    /** With one key of a client's beside two reserved ones, the chance to miss it so often is 5 in a million millions. */
    private static final int ATTEMPTS_MAX = 64;

    private final byte[][] command;
    private int attempts;

    RandomKeyOperation(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    @Override
    void send(BackendConnection connection) {
        attempts++;
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply) || KeysOperation.isVisible(read(reply, 1)[0])) {
            finish(reply.retain());
        } else if (attempts < ATTEMPTS_MAX) {
            askNext();
        } else {
            finish(Wire.nilBulk(session.identity.protocol()));
        }
    }
}
