package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.proxy.Subscriptions.Kind;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * SUBSCRIBE, UNSUBSCRIBE and their like, over the session's own connection; of shard channels in front of a cluster, over the one to their shard. Each name is answered for itself, as the server's answer
 * to it comes; the count in it is the proxy's own, since the server counts the channel of the marks as well, and no shard's what others bring.
 */
final class Subscribe extends AskingOperation {
    private final Kind kind;
    private final boolean adds;
    private final byte[][] command;
    private final Set<ByteBuffer> changed = new LinkedHashSet<>();
    private final Retries retries;
    /** Of what was sent, how much is unanswered. */
    private int open;

    private boolean refused;
    private boolean goesElsewhere;

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
        if (isOfShards()) {
            return adds ? connectionOfSlot() : connectionOfNames();
        }
        session.ownAt(null); // channels and patterns any server brings
        return session.own().get(Protocol.RESP3);
    }

    private boolean isOfShards() {
        return kind == Kind.SHARD && session.loop().isSharded();
    }

    /** Its channels are of one slot, as the keys of a command are. */
    private @Nullable BackendConnection connectionOfSlot() {
        Endpoint server = session.subscriptions.server(ByteBuffer.wrap(command[1]));
        return server == null ? null : session.subscriptions.connection(server);
    }

    /** Any that brings some of them. */
    private @Nullable BackendConnection connectionOfNames() {
        for (ByteBuffer name : names()) {
            Feed feed = session.subscriptions.bringing(name);
            if (feed != null) {
                return feed.connection;
            }
        }
        names().forEach(this::answerRemoved);
        complete();
        return null;
    }

    /** Those that the command is about. */
    private List<ByteBuffer> names() {
        return command.length == 1
                ? List.copyOf(session.subscriptions.names(kind))
                : Arrays.stream(command).skip(1).map(ByteBuffer::wrap).toList();
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
        if (!isOfShards()) {
            return session.own().takeFailure();
        }
        boolean isNowhere = adds && session.subscriptions.server(ByteBuffer.wrap(command[1])) == null;
        return isNowhere ? "CLUSTERDOWN Hash slot not served" : session.subscriptions.takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        if (isOfShards() && !adds) {
            removeAtTheirShards();
            return;
        }
        Feed feed = isOfShards()
                ? session.subscriptions.feedAt(connection.server, connection)
                : session.subscriptions.feed(connection);
        // Without names it means all; those are named here, since the marks are to go on.
        List<ByteBuffer> names = names();
        send(feed, names, command.length == 1 ? Subscribing.command(name(), names) : Wire.command(command));
    }

    private void send(Feed feed, Collection<ByteBuffer> names, ByteBuf bytes) {
        Asked asked = new Asked(feed, names);
        open++;
        feed.asks(asked);
        session.ask(
                feed.connection,
                new Run(session, bytes, 1, asked, session.loop().nanoTime(), 1));
    }

    /** Each where it comes from; what comes from nowhere the client is not subscribed to. */
    private void removeAtTheirShards() {
        Map<Feed, Set<ByteBuffer>> byFeed = new LinkedHashMap<>();
        for (ByteBuffer name : names()) {
            Feed feed = session.subscriptions.bringing(name);
            if (feed == null) {
                answerRemoved(name);
            } else {
                byFeed.computeIfAbsent(feed, none -> new LinkedHashSet<>()).add(name);
            }
        }
        byFeed.forEach((feed, names) -> {
            if (names.containsAll(feed.shardChannels())) {
                // Where a slot has just moved, it is no error that its channels are not there any more.
                send(feed, names, Subscribing.command(name(), List.of()));
                return;
            }
            for (Set<ByteBuffer> some : Subscribing.commands(kind, names)) {
                send(feed, some, Subscribing.command(name(), some));
            }
        });
    }

    private void answerRemoved(ByteBuffer name) {
        changed.add(name);
        session.subscriptions.remove(kind, name);
        answer(name);
    }

    private void complete() {
        session.loop().backends().subscribed(session, kind, adds, changed);
        session.subscriptions.leaveUnused(!refused);
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(!refused);
        }
        finish();
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
        private final Collection<ByteBuffer> names;
        private @Nullable ByteBuf refusal;

        Asked(Feed feed, Collection<ByteBuffer> names) {
            super(name(), names);
            this.feed = feed;
            this.names = names;
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
            if (!session.loop().isSharded()) {
                refused = true;
                session.receive(run, in, index, length);
                return;
            }
            if (refusal == null) {
                refusal = in.alloc().buffer(length);
            }
            refusal.writeBytes(in, index, length);
        }

        /** What the server says in place of confirming them: that the slot is elsewhere, or why not. */
        private void refused(Run run, ByteBuf said) {
            NotExecuted answer = isOfShards() ? NotExecuted.read(said, feed.connection.server) : null;
            if (adds && answer != null && retries.again(answer)) {
                goesElsewhere = true;
            } else if (!adds && answer != null && answer.kind() == NotExecuted.Kind.MOVED) {
                names.forEach(Subscribe.this::answerRemoved); // with the slot the server has lost its subscribers
            } else {
                refused = true;
                session.receive(run, said, said.readerIndex(), said.readableBytes());
            }
        }

        @Override
        public void answered(Run run) {
            feed.ended(this);
            ByteBuf said = refusal;
            refusal = null;
            if (said != null) {
                refused(run, said);
                said.release();
            }
            open--;
            session.operationRepliedTo(run);
            if (open > 0) {
                return;
            }
            if (goesElsewhere) {
                goesElsewhere = false;
                askNext();
            } else {
                complete();
            }
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
