package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
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
 * <p>Owned by the event loop of the client that tracks. An invalidation that is lost is a stale read for as long as the target lives,
 * one too many costs a read. So where the connections are gone, or too much is on its way, the target is told to forget everything; and
 * the client's next command waits until it has been told ({@link #hasTold}). One batch is on its way to the target's loop at a time;
 * that loop's tasks keep their order, so what came over a former companion never comes behind that.
 *
 * <p>Where the target is gone, the companion is closed. The rest the server does: it tells the client at the next invalidation, as it
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
    private final OwnConnection companion;
    private @Nullable Feed feed;
    private @Nullable BackendConnection asked;
    private @Nullable String failure;
    /** By which the server was told of it last. */
    private long serverId;

    private List<ByteBuf> waiting = new ArrayList<>();
    private long bytesWaiting;
    private boolean underWay;
    private boolean flushAsked;
    private boolean targetGone;
    private boolean over;

    /** On the target's event loop; from then on it belongs to that of the session. */
    Redirect(ClientSession session, ClientSession target) {
        this.session = session;
        this.target = target;
        this.companion = new OwnConnection(session);
    }

    /** What the proxy calls the target. */
    long targetId() {
        return target.identity.id();
    }

    boolean isToItself() {
        return target == session;
    }

    // --- the connection that the server is told of

    /** Whether it stands, and the server's name for it is known. If not, that is seen to, and the session resumed. */
    boolean isReady() {
        BackendConnection connection = isToItself() ? session.own().get() : companion.get(Protocol.RESP3);
        if (connection == null || connection.clientId() > 0) {
            return connection != null;
        }
        if (asked != connection) {
            asked = connection;
            connection.send(new Run(
                    null,
                    Wire.command("CLIENT", "ID"),
                    1,
                    new IdAnswer(connection),
                    session.loop().nanoTime(),
                    1));
        }
        return false;
    }

    private final class IdAnswer implements ReplySink {
        private final BackendConnection connection;
        private final ByteBuf reply = Unpooled.buffer();

        IdAnswer(BackendConnection connection) {
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
                failure = "ERR switchback: REDIRECT needs the right to CLIENT ID: " + id.text();
            }
            session.loop().resumeLater(session);
        }

        @Override
        public void lost(Run run, String why) {
            reply.release();
            session.loop().resumeLater(session);
        }
    }

    /** Why {@link #isReady} will not be; said once. */
    @Nullable
    String takeFailure() {
        String said = failure == null ? companion.takeFailure() : failure;
        failure = null;
        return said;
    }

    /** The server's name for it, once it {@link #isReady}. */
    byte[] serverId() {
        BackendConnection connection = isToItself() ? session.own().current() : companion.current();
        if (connection == null) {
            throw new IllegalStateException("there is no connection to redirect to");
        }
        serverId = connection.clientId();
        return Long.toString(serverId).getBytes(US_ASCII);
    }

    /** The server has taken the id; whether what has it still stands. */
    boolean isPlaced() {
        if (targetGone) {
            companion.discard();
            return true;
        }
        BackendConnection now = companion.current();
        return isToItself() || (now != null && now.clientId() == serverId);
    }

    boolean isOver(BackendConnection connection) {
        return companion.is(connection);
    }

    /** The companion broke. */
    void companionLost(String why) {
        connectionsGone();
        failure = session.lostMessage(why);
    }

    /** Both connections are to be had anew. */
    void connectionsGone() {
        asked = null;
        failure = null;
        Feed unfinished = feed;
        feed = null;
        if (unfinished != null) {
            unfinished.release();
        }
        companion.discard();
    }

    // --- what comes

    /** Part of a push message has come over the companion. The buffer is the caller's. */
    void receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        Feed now = feed;
        if (now == null) {
            now = new Feed(from, session.loop().limits().outputBytesPerClientMax(), tooLong -> from.close());
            feed = now;
        }
        ByteBuf message = now.whole(in, index, length, ends);
        if (message == null) {
            return;
        }
        if (PushMessage.read(message).kind().equals("invalidate")) {
            tell(message);
        } else {
            message.release();
        }
    }

    /** The target can keep nothing of what it has: what the server knew of it is gone. */
    void forgetEverything() {
        if (!targetGone) {
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
    private void tell(ByteBuf message) {
        if (isToItself()) {
            session.invalidated(message, true);
        } else if (over || targetGone) {
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
        target.loop().execute(() -> {
            batch.forEach(message -> target.invalidated(message, true));
            session.loop().execute(this::taken);
        });
    }

    private void taken() {
        underWay = false;
        flushNow();
        session.loop().resumeLater(session);
    }

    /** Nothing is on its way to the target. */
    boolean hasTold() {
        return !underWay && waiting.isEmpty();
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
        dropWaiting();
        if (session.tracking.isPlacedOver(this)) {
            companion.discard();
        }
        session.loop().resumeLater(session);
    }

    /** Nothing is redirected any more. */
    void end() {
        if (!over) {
            over = true;
            dropWaiting();
            connectionsGone();
            companion.clientGone();
            target.loop().execute(() -> target.redirectedNoLonger(this));
        }
    }

    // --- what is seen of it

    /** What the server says of tracking, with the proxy's id of the target. */
    ByteBuf withTargetId(ByteBuf reply) {
        String text = Wire.text(ByteBufUtil.getBytes(reply));
        return Unpooled.copiedBuffer(
                text.replaceFirst("(redirect\r\n|redir-broken\r\n):" + serverId + "\r\n", "$1:" + targetId() + "\r\n"),
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
