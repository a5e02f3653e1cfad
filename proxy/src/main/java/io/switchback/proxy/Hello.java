package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * HELLO with protocol version 2 or none: its AUTH is proven as by {@link Authenticate}, its SETNAME is kept here, and the
 * server is asked the rest over the connection that the client then has.
 */
final class Hello extends AskingOperation {
    private final byte @Nullable [][] auth;
    private final @Nullable String name;
    private boolean authenticated;

    private Hello(ClientSession session, byte @Nullable [][] auth, @Nullable String name) {
        super(session);
        this.auth = auth;
        this.name = name;
    }

    static Verdict judge(ClientSession session, byte[][] command) {
        if (command.length == 1) {
            return new SessionCommands.Perform(new Hello(session, null, null));
        }
        String version = Wire.text(command[1]);
        if (!version.equals("2")) {
            // 3 is what client libraries ask for first; they go on with 2 when they hear this.
            return version.matches("0|-?[1-9][0-9]{0,17}")
                    ? new SessionCommands.Refuse("NOPROTO unsupported protocol version")
                    : new SessionCommands.Refuse("ERR Protocol version is not an integer or out of range");
        }
        byte @Nullable [][] auth = null;
        String name = null;
        int i = 2;
        while (i < command.length) {
            String option = SessionCommands.word(command, i);
            if (option.equals("AUTH") && i + 2 < command.length) {
                auth = new byte[][] {command[i], command[i + 1], command[i + 2]};
                i += 3;
            } else if (option.equals("SETNAME") && i + 1 < command.length) {
                name = Wire.text(command[i + 1]);
                i += 2;
            } else {
                return new SessionCommands.Refuse("ERR Syntax error in HELLO option '" + Wire.text(command[i]) + "'");
            }
        }
        if (name != null && !ClientCommands.isPrintable(name)) {
            return new SessionCommands.Refuse(ClientCommands.badName("Client names"));
        }
        return new SessionCommands.Perform(new Hello(session, auth, name));
    }

    private boolean proves() {
        return auth != null && !authenticated;
    }

    private ConnectionKey key() {
        return proves() ? ConnectionKey.PROVING : session.key();
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.loop().backends().shared(key(), session);
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(key());
    }

    @Override
    void send(BackendConnection connection) {
        byte[][] credentials = auth;
        session.ask(
                connection,
                this,
                credentials != null && !authenticated ? Wire.command(credentials) : Wire.command("HELLO", "2"),
                1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        session.forgetUpstream();
        byte[][] credentials = auth;
        if (isError(reply)) {
            finish(reply.retain());
        } else if (credentials != null && !authenticated) {
            authenticated = true;
            session.proven(Authenticate.credential(credentials, 1));
            askNext();
        } else {
            if (name != null) {
                session.identity.named(name);
            }
            finish(reply.retain());
        }
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }
}
