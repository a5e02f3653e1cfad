package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/** CLIENT CAPA: the server's own answer, to a capability that there is none of, since the connection is one that others use. */
final class ClientCapabilities extends FilteringOperation {
    private static final byte[] NO_CAPABILITY = "none".getBytes(StandardCharsets.US_ASCII);

    private final byte[][] asked;

    private ClientCapabilities(ClientSession session, byte[][] asked) {
        super(session);
        this.asked = asked;
    }

    static SessionCommands.Verdict judge(ClientSession session, byte[][] command) {
        byte[][] asked = command.clone();
        for (int i = 2; i < asked.length; i++) {
            asked[i] = NO_CAPABILITY;
        }
        return new SessionCommands.Perform(new ClientCapabilities(session, asked));
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(asked), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        finish(reply.retain());
    }
}
