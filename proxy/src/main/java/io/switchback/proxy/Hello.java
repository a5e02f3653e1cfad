package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.switchback.proxy.SessionCommands.Verdict;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Protocol;
import org.jspecify.annotations.Nullable;

/**
 * HELLO: its AUTH is proven as by {@link Authenticate}, its SETNAME is kept here, and the server is asked the rest over the
 * connection that the client then has, which speaks the protocol that was asked for.
 */
final class Hello extends AskingOperation {
    private static final byte[] ID = "\r\n$2\r\nid\r\n:".getBytes(US_ASCII);

    private final Protocol protocol;
    private final byte @Nullable [][] auth;
    private final @Nullable String name;
    private boolean authenticated;
    private boolean onItsOwn;

    private Hello(ClientSession session, Protocol protocol, byte @Nullable [][] auth, @Nullable String name) {
        super(session);
        this.protocol = protocol;
        this.auth = auth;
        this.name = name;
    }

    static Verdict judge(ClientSession session, CommandRule rule, byte[][] command) {
        if (command.length == 1) {
            return new SessionCommands.Perform(new Hello(session, session.identity.protocol(), null, null));
        }
        String version = Wire.text(command[1]);
        if (!version.equals("2") && !version.equals("3")) {
            return isNumber(version)
                    ? SessionCommands.Refuse.misformed("NOPROTO unsupported protocol version")
                    : SessionCommands.Refuse.misformed("ERR Protocol version is not an integer or out of range");
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
                return SessionCommands.Refuse.misformed(
                        "ERR Syntax error in HELLO option '" + Wire.text(command[i]) + "'");
            }
        }
        if (auth != null && Authenticate.isTooLate(session, Authenticate.credential(auth, 1))) {
            return SessionCommands.notWhileSubscribed(rule);
        }
        String refusal = name == null ? null : ClientCommands.refusal("Client names", name);
        if (refusal != null) {
            return SessionCommands.Refuse.misformed(refusal);
        }
        return new SessionCommands.Perform(
                new Hello(session, version.equals("3") ? Protocol.RESP3 : Protocol.RESP2, auth, name));
    }

    private static boolean isNumber(String text) {
        try {
            return text.matches("0|-?[1-9][0-9]*")
                    && Long.toString(Long.parseLong(text)).equals(text);
        } catch (NumberFormatException e) {
            return false;
        }
    }

    private boolean proves() {
        return auth != null && !authenticated;
    }

    private ConnectionKey key() {
        return proves()
                ? ConnectionKey.PROVING
                : ConnectionKey.of(session.identity.credential(), session.identity.database(), protocol);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return proves()
                ? Authenticate.connection(session)
                : session.loop().backends().shared(key(), session);
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(key());
    }

    @Override
    void send(BackendConnection connection) {
        byte[][] credentials = auth;
        onItsOwn = session.own().is(connection);
        session.ask(
                connection,
                this,
                credentials != null && !authenticated
                        ? Wire.command(credentials)
                        : Wire.command("HELLO", Integer.toString(protocol.version())),
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
            session.proven(Authenticate.credential(credentials, 1), onItsOwn);
            askNext();
        } else {
            if (name != null) {
                session.identity.named(name);
            }
            session.chosen(protocol);
            finish(withOwnId(reply));
        }
    }

    /** The reply names the server's connection; to the client its id is the one that CLIENT ID tells. */
    private ByteBuf withOwnId(ByteBuf reply) {
        int at = ByteBufUtil.indexOf(Unpooled.wrappedBuffer(ID), reply);
        int end = at < 0 ? -1 : reply.indexOf(at + ID.length, reply.writerIndex(), (byte) '\r');
        if (end < 0) {
            return reply.retain();
        }
        ByteBuf own = reply.alloc().buffer(reply.readableBytes() + 20);
        own.writeBytes(reply, reply.readerIndex(), at + ID.length - reply.readerIndex());
        own.writeCharSequence(Long.toString(session.identity.id()), US_ASCII);
        return own.writeBytes(reply, end, reply.writerIndex() - end);
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            super.lost(why);
        }
    }
}
