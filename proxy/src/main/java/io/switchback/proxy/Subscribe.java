package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.proxy.Subscriptions.Kind;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * SUBSCRIBE, UNSUBSCRIBE and their like, over the session's own connection. Each name is answered for itself, as the server's answer
 * to it comes; the count in it is the proxy's own, since the server counts the channel of the marks as well.
 */
final class Subscribe extends AskingOperation {
    private final Kind kind;
    private final boolean adds;
    private final byte[][] command;
    private final Set<ByteBuffer> changed = new LinkedHashSet<>();
    private final Retries retries;

    Subscribe(ClientSession session, Kind kind, boolean adds, byte[][] command) {
        super(session);
        this.kind = kind;
        this.adds = adds;
        this.command = command;
        this.retries = new Retries(session);
    }

    private String name() {
        return adds ? kind.adding : kind.removing;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (isWithoutServer()) {
            answerByItself();
            return null;
        }
        if (!retries.isTime()) {
            return null;
        }
        // Its channels are of a shard as keys are; others any server brings.
        boolean isOfShard = session.loop().isSharded() && adds && kind == Kind.SHARD;
        session.ownAt(isOfShard ? session.lane().server(KeySlot.of(command[1])) : null);
        return session.own().get(Protocol.RESP3);
    }

    /** Its connection speaks RESP3, and a server that wants a password says so to it in the words of HELLO. */
    @Override
    boolean needsAdmission() {
        return true;
    }

    @Override
    boolean isWithoutServer() {
        boolean nothing =
                command.length == 1 ? session.subscriptions.names(kind).isEmpty() : session.subscriptions.isEmpty();
        return !adds && nothing;
    }

    /** Nothing is subscribed to: so says the server for each name, or for none. */
    private void answerByItself() {
        if (command.length == 1) {
            answer(null);
        }
        for (int i = 1; i < command.length; i++) {
            answer(ByteBuffer.wrap(command[i]));
        }
        finish();
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        Feed feed = session.subscriptions.feed(connection);
        // Without names it means all; those are named here, since the marks are to go on.
        Set<ByteBuffer> all = session.subscriptions.names(kind);
        Asked asked = new Asked(feed, command.length == 1 ? all.size() : command.length - 1);
        ByteBuf bytes = command.length == 1 ? Subscriptions.command(name(), all) : Wire.command(command);
        feed.asks(asked);
        session.ask(connection, new Run(session, bytes, 1, asked, session.loop().nanoTime(), 1));
    }

    private void answer(@Nullable ByteBuffer channel) {
        byte[] kindName = name().getBytes(US_ASCII);
        byte[] bytes = channel == null ? new byte[0] : new byte[channel.remaining()];
        if (channel != null) {
            channel.duplicate().get(bytes);
        }
        session.push(Unpooled.wrappedBuffer(
                ">3\r\n".getBytes(US_ASCII),
                ("$" + kindName.length + "\r\n").getBytes(US_ASCII),
                kindName,
                (channel == null
                                ? session.identity.protocol() == Protocol.RESP2 ? "\r\n$-1" : "\r\n_"
                                : "\r\n$" + bytes.length + "\r\n")
                        .getBytes(US_ASCII),
                bytes,
                ("\r\n:" + session.subscriptions.shown(kind) + "\r\n").getBytes(US_ASCII)));
    }

    private final class Asked extends Feed.Asked {
        private final Feed feed;
        private boolean refused;
        private @Nullable ByteBuf refusal;

        Asked(Feed feed, int names) {
            super(names);
            this.feed = feed;
        }

        @Override
        void confirmed(PushMessage message) {
            if (message.strings().isEmpty()) {
                answer(null);
                return;
            }
            ByteBuffer channel = message.strings().getFirst();
            changed.add(channel);
            if (adds) {
                session.subscriptions.add(kind, channel);
            } else {
                session.subscriptions.remove(kind, channel);
            }
            answer(channel);
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            refused = true;
            if (!session.loop().isSharded()) {
                session.receive(run, in, index, length);
                return;
            }
            if (refusal == null) {
                refusal = in.alloc().buffer(length);
            }
            refusal.writeBytes(in, index, length);
        }

        /** Whether the slot is elsewhere, and is asked for there. */
        private boolean goesElsewhere(Run run) {
            ByteBuf said = refusal;
            refusal = null;
            if (said == null) {
                return false;
            }
            NotExecuted answer = NotExecuted.read(said, feed.connection.server);
            boolean goes = answer != null && session.subscriptions.isEmpty() && retries.again(answer);
            if (!goes) {
                session.receive(run, said, said.readerIndex(), said.readableBytes());
            }
            said.release();
            return goes;
        }

        @Override
        public void answered(Run run) {
            feed.ended(this);
            boolean goesElsewhere = goesElsewhere(run);
            session.operationRepliedTo(run);
            if (goesElsewhere) {
                askNext();
                return;
            }
            session.loop().backends().subscribed(session, name(), changed);
            if (!session.needsOwnConnection()) {
                session.leaveOwnConnection(!refused);
            }
            finish();
        }

        @Override
        public void lost(Run run, String why) {
            session.operationRepliedTo(run);
            finish();
            session.close(); // as the server's end would; what was subscribed to nobody can say
        }
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("it is answered by push messages");
    }

    /** A client of RESP2 that has subscribed may use few commands; null where this is one of them. */
    static @Nullable String refusalWhileSubscribed(String name) {
        return switch (name.toLowerCase(Locale.ROOT)) {
            case "subscribe",
                    "unsubscribe",
                    "psubscribe",
                    "punsubscribe",
                    "ssubscribe",
                    "sunsubscribe",
                    "ping",
                    "quit",
                    "reset" -> null;
            default ->
                (name.equalsIgnoreCase("exec") ? "EXECABORT Transaction discarded because of: " : "ERR ")
                        + "Can't execute '" + name.toLowerCase(Locale.ROOT)
                        + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
        };
    }

    /** What PING answers such a client. */
    static ByteBuf pong(byte[][] command) {
        return Unpooled.wrappedBuffer(
                Unpooled.copiedBuffer("*2\r\n$4\r\npong\r\n", US_ASCII),
                Wire.bulk(command.length > 1 ? command[1] : new byte[0]));
    }
}
