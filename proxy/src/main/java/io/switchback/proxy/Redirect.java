package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * CLIENT TRACKING with REDIRECT: what one client has read is invalidated at another one, its target. Source:
 * https://redis.io/docs/latest/develop/reference/client-side-caching/.
 *
 * <p>Ids of clients are the proxy's, and the target need not have a connection to the server at all. So beside the own connection of the
 * client that tracks there is a companion, which speaks RESP3, and which the server is told to redirect to. What comes over it is handed
 * to the target, on the target's event loop. Only a client that is its own target has no companion: the server is told the own connection,
 * over which invalidations keep their place between the replies.
 *
 * <p>In front of a cluster each shard's primary has a companion of its own beside the connection over which the client's commands go there ({@link ShardTracking}), also where the client is
 * its own target, and whatever it speaks: a server pushes nothing over a connection of RESP2. What comes over a companion there is told at once, and again once the client that tracks has the
 * replies to all that it had sent until then: one of them may be the value that was changed.
 *
 * <p>Owned by the event loop of the client that tracks. An invalidation that is lost is a stale read for as long as the target lives,
 * one too many costs a read. So where the connections are gone, or too much is on its way, the target is told to forget everything; and
 * where they are gone the client's next command waits until it has been told ({@link #isForgetting}): what it is answered may be newer. One batch is on its way to the target's loop at a time;
 * that loop's tasks keep their order, so what came over a former companion never comes behind that.
 *
 * <p>Where the client redirects to somebody else, or does not track any more, what the server has sent over a companion until it took that may still be on its way. It is told to this target, who may have what
 * it is about, and to nobody else: a companion is closed once it has answered a PING that was sent behind ({@link Companion#end}).
 *
 * <p>Where the target is gone, the companions are closed. The rest the servers do: each tells the client at the next invalidation, as it
 * does where a real target is gone.
 */
final class Redirect implements Flushable {
    private static final long UNKNOWN_ID = -1;
    /** What a client of RESP2 has in its place. */
    private static final byte[] AS_PUBLISHED =
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n".getBytes(US_ASCII);

    private static final int HEADER_BYTES = ">2\r\n$10\r\ninvalidate\r\n".length();

    private final ClientSession session;
    private final ClientSession target;
    /** By the servers beside whose connections they are; null where the fleet is no cluster. */
    private final Map<@Nullable Endpoint, Companion> companions = new HashMap<>(1);

    private List<ByteBuf> waiting = new ArrayList<>();
    private long bytesWaiting;
    private boolean underWay;
    private boolean flushAsked;
    /** Whether the target is to forget everything, since connections are gone: among what waits, and among what is under way. */
    private boolean forgetsNext;

    private boolean forgetsNow;
    private boolean targetGone;
    private boolean over;

    /** On the target's event loop; from then on it belongs to that of the session. */
    Redirect(ClientSession session, ClientSession target) {
        this.session = session;
        this.target = target;
    }

    /** What the proxy calls the target. */
    long targetId() {
        return target.identity.id();
    }

    boolean isToItself() {
        return target == session;
    }

    // --- the connections that servers are told of

    private Companion companion(@Nullable Endpoint server) {
        return companions.computeIfAbsent(server, Companion::new);
    }

    /** Whether it stands, and the server's name for it is known. If not, that is seen to, and the session resumed, or {@link #takeFailure} says why not. */
    boolean isReady(@Nullable Endpoint server) {
        return companion(server).isReady();
    }

    /** Why {@link #isReady} will not be; said once. */
    @Nullable
    String takeFailure(@Nullable Endpoint server) {
        return companion(server).takeFailure();
    }

    /** The server's name for it, once it {@link #isReady}. */
    byte[] serverId(@Nullable Endpoint server) {
        return companion(server).name();
    }

    /** The server has taken the id; whether what has it still stands. */
    boolean isPlaced(@Nullable Endpoint server) {
        Companion companion = companion(server);
        if (targetGone) {
            companion.discard();
            return true;
        }
        return companion.isNamed();
    }

    /** One connection beside one over which commands go; or the own connection of a client that is its own target, in front of no cluster. */
    private final class Companion {
        private final @Nullable Endpoint server;
        private final OwnConnection own = new OwnConnection(session);
        private @Nullable Feed feed;
        private @Nullable BackendConnection asked;
        /** The one of which the server was told last. */
        private @Nullable BackendConnection named;

        private @Nullable String failure;

        Companion(@Nullable Endpoint server) {
            this.server = server;
        }

        private boolean isOwnOfSession() {
            return server == null && isToItself();
        }

        private @Nullable BackendConnection current() {
            return isOwnOfSession() ? session.own().current() : own.current();
        }

        private boolean isReady() {
            BackendConnection connection = isOwnOfSession()
                    ? session.own().get()
                    : own.get(session.key(Protocol.RESP3).at(server));
            if (connection == null || connection.clientId() > 0) {
                return connection != null;
            }
            if (asked != connection) {
                asked = connection;
                ask(connection, new IdAnswer(this, connection), "CLIENT", "ID");
            }
            return false;
        }

        private void ask(BackendConnection connection, ReplySink answer, String... command) {
            connection.send(new Run(
                    null, Wire.command(command), 1, answer, session.loop().nanoTime(), 1));
        }

        private @Nullable String takeFailure() {
            String said = failure == null ? own.takeFailure() : failure;
            failure = null;
            return said;
        }

        private byte[] name() {
            BackendConnection connection = current();
            if (connection == null) {
                throw new IllegalStateException("there is no connection to redirect to");
            }
            named = connection;
            return Long.toString(connection.clientId()).getBytes(US_ASCII);
        }

        private boolean isNamed() {
            return isOwnOfSession() || (named != null && own.is(named));
        }

        /** With another one that may change. */
        private void failed(String why) {
            discard();
            failure = why;
        }

        private void discard() {
            forget();
            own.discard();
        }

        private void forget() {
            asked = null;
            failure = null;
            Feed unfinished = feed;
            feed = null;
            if (unfinished != null) {
                unfinished.release();
            }
        }

        /** Closes it behind what its server has sent until now. Whether there is something to wait for. */
        private boolean end() {
            BackendConnection connection = own.current();
            if (connection == null || !connection.isOpen()) {
                own.clientGone();
                return false;
            }
            ask(connection, new End(this), "PING");
            return true;
        }
    }

    private final class IdAnswer implements ReplySink {
        private final Companion companion;
        private final BackendConnection connection;
        private final ByteBuf reply = Unpooled.buffer();

        IdAnswer(Companion companion, BackendConnection connection) {
            this.companion = companion;
            this.connection = connection;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            reply.writeBytes(in, index, length);
        }

        @Override
        public void answered(Run run) {
            Reply id = FilteringOperation.read(reply, 1)[0];
            reply.release();
            if (id instanceof Reply.Int(long number)) {
                connection.clientId(number);
            } else {
                connection.clientId(UNKNOWN_ID);
                companion.failed("ERR switchback: REDIRECT needs the right to CLIENT ID: " + id.text());
            }
            session.loop().resumeLater(session);
        }

        @Override
        public void lost(Run run, String why) {
            reply.release();
            session.loop().resumeLater(session);
        }
    }

    /** What was said last over a companion, by which time all that its server had to say has come. */
    private final class End implements ReplySink {
        private final Companion companion;

        End(Companion companion) {
            this.companion = companion;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {}

        @Override
        public void answered(Run run) {
            ended();
        }

        @Override
        public void lost(Run run, String why) {
            if (!targetGone) {
                forgetEverything();
            }
            ended();
        }

        private void ended() {
            companion.discard();
            companions.remove(companion.server);
            if (companions.isEmpty()) {
                session.tracking.ended(Redirect.this);
            }
        }
    }

    boolean isOver(BackendConnection connection) {
        return over(connection) != null;
    }

    private @Nullable Companion over(BackendConnection connection) {
        for (Companion companion : companions.values()) {
            if (companion.own.is(connection)) {
                return companion;
            }
        }
        return null;
    }

    /** Beside whose connection that companion is; null in front of no cluster. */
    @Nullable
    Endpoint serverOf(BackendConnection connection) {
        Companion companion = over(connection);
        return companion == null ? null : companion.server;
    }

    /** The one in front of no cluster broke, before anything was redirected to it. */
    void failed(String why) {
        companion(null).failed(session.lostMessage(why));
    }

    /** The one beside that server's connection is to be had anew. */
    void connectionGone(@Nullable Endpoint server) {
        Companion companion = companions.get(server);
        if (companion != null) {
            companion.discard();
        }
    }

    // --- what comes

    /** Part of a push message has come over a companion. The buffer is the caller's. */
    void receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        Companion companion = over(from);
        if (companion == null) {
            return;
        }
        Feed now = companion.feed;
        if (now == null) {
            now = new Feed(from, session.loop().limits().outputBytesPerClientMax(), tooLong -> from.close());
            companion.feed = now;
        }
        ByteBuf message = now.whole(in, index, length, ends);
        if (message == null) {
            return;
        }
        if (!PushMessage.read(message).kind().equals("invalidate")) {
            message.release();
        } else if (companion.server == null) {
            tell(message);
        } else {
            session.shardTracking.tell(message, this);
        }
    }

    /** The target can keep nothing of what it has: what the server knew of it is gone. */
    void forgetEverything() {
        if (!targetGone) {
            forgetsNext = !isToItself();
            tell(everything());
            flushNow();
        } else if (session.identity.protocol() == Protocol.RESP3) {
            session.push(
                    Unpooled.copiedBuffer(">2\r\n$21\r\ntracking-redir-broken\r\n:" + targetId() + "\r\n", US_ASCII));
        }
    }

    private ByteBuf everything() {
        return Tracking.forgetEverything(session.identity.protocol());
    }

    /** Takes the message over. */
    void tell(ByteBuf message) {
        if (isToItself()) {
            session.invalidated(message, true);
        } else if (targetGone) {
            message.release();
        } else {
            waiting.add(message);
            bytesWaiting += message.readableBytes();
            if (bytesWaiting > session.loop().limits().outputBytesPerClientPause()) {
                session.loop().reached(Limit.INVALIDATIONS);
                dropWaiting();
                waiting.add(everything());
            }
            if (!flushAsked) {
                flushAsked = true;
                session.loop().flushLater(this);
            }
        }
    }

    @Override
    public void flushNow() {
        flushAsked = false;
        if (underWay || waiting.isEmpty()) {
            return;
        }
        List<ByteBuf> batch = waiting;
        waiting = new ArrayList<>();
        bytesWaiting = 0;
        underWay = true;
        forgetsNow = forgetsNext;
        forgetsNext = false;
        target.loop().execute(() -> {
            batch.forEach(message -> target.invalidated(message, true));
            session.loop().execute(this::taken);
        });
    }

    private void taken() {
        underWay = false;
        forgetsNow = false;
        flushNow();
        session.loop().resumeLater(session);
    }

    /** Connections are gone, and the target has not been told yet. */
    boolean isForgetting() {
        return forgetsNow || forgetsNext;
    }

    private void dropWaiting() {
        waiting.forEach(ByteBuf::release);
        waiting.clear();
        bytesWaiting = 0;
    }

    // --- endings

    /** The target leaves. On its event loop. */
    void targetCloses() {
        session.loop().execute(this::targetGone);
    }

    private void targetGone() {
        targetGone = true;
        forgetsNext = false;
        dropWaiting();
        companions.forEach((server, companion) -> {
            if (server == null
                    ? session.tracking.isPlacedOver(this)
                    : session.shardTracking.isPlacedOver(this, server)) {
                companion.discard();
            }
        });
        session.loop().resumeLater(session);
    }

    /** Nothing is redirected any more, but what has been. Then {@link Tracking#ended}. */
    void end() {
        if (!over) {
            over = true;
            List.copyOf(companions.values()).stream()
                    .filter(companion -> !companion.end())
                    .forEach(companion -> companions.remove(companion.server));
            if (companions.isEmpty()) {
                session.tracking.ended(this);
            }
            target.loop().execute(() -> target.redirectedNoLonger(this));
        }
    }

    // --- what is seen of it

    /** What the server says of tracking, with the proxy's id of the target. */
    ByteBuf withTargetId(ByteBuf reply) {
        String text = Wire.text(ByteBufUtil.getBytes(reply));
        return Unpooled.copiedBuffer(
                text.replaceFirst("(redirect\r\n|redir-broken\r\n):[0-9]+\r\n", "$1:" + targetId() + "\r\n"),
                StandardCharsets.ISO_8859_1);
    }

    /** An invalidation as a client of RESP2 has it that is subscribed to something. Takes the message over. */
    static ByteBuf asPublished(ByteBuf message) {
        ByteBuf published = message.alloc().buffer(AS_PUBLISHED.length + message.readableBytes() - HEADER_BYTES);
        published.writeBytes(AS_PUBLISHED).writeBytes(message.skipBytes(HEADER_BYTES));
        message.release();
        return published;
    }
}
