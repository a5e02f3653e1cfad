package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * CLIENT UNBLOCK: ids are the proxy's, so the client is looked for on every event loop, and its {@link Waiting} command sees to the rest.
 * Whether the user may do that, and whether the words are right, the server says: it is asked for the same of nobody.
 */
final class UnblockClient extends FilteringOperation {
    /** What no client of a server is called. */
    private static final byte[] NOBODY = "0".getBytes(StandardCharsets.US_ASCII);

    private static final byte[] NO_NUMBER = "x".getBytes(StandardCharsets.US_ASCII);

    private final byte[][] command;

    private UnblockClient(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        return command.length < 3
                ? SessionCommands.send()
                : new SessionCommands.Perform(new UnblockClient(session, command));
    }

    @Override
    void send(BackendConnection connection) {
        byte[][] ofNobody = command.clone();
        ofNobody[2] = ClientId.read(command[2]).isPresent() ? NOBODY : NO_NUMBER;
        session.ask(connection, this, Wire.command(ofNobody), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            finish(reply.retain());
            return;
        }
        long id = Long.parseLong(Wire.text(command[2]));
        session.loop()
                .all()
                .ask(
                        session.loop(),
                        clients -> clients.filter(client -> client.identity.id() == id)
                                .toList(),
                        this::found);
    }

    private void found(List<ClientSession> found) {
        if (found.isEmpty()) {
            answered(Wire.number(0));
            return;
        }
        boolean byError = command.length > 3 && SessionCommands.word(command, 3).equals("ERROR");
        ClientSession other = found.getFirst();
        other.loop()
                .execute(() -> other.unblock(byError, reply -> session.loop().execute(() -> answered(reply))));
    }

    /** Takes the reply over. */
    private void answered(ByteBuf reply) {
        finish(reply);
        session.loop().resumeLater(session);
    }
}
