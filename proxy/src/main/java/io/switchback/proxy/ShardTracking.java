package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import io.switchback.resp.ReplyScanner;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * CLIENT TRACKING in front of a cluster: while a client tracks, what it asks a shard for goes over a connection of its own to that shard's primary, which has been told all that the client has said to
 * CLIENT TRACKING. So the shard says over it, in order, what has changed of what was read over it.
 *
 * <p>The client gets that in an order that is as good: not before a reply that came before it ({@link #tell}), and such a reply may be kept until others of other shards have come. Later does no harm: an invalidation
 * that is lost, or comes before the reply that it is about, is a stale read for as long as the client lives, one too many costs a read. For the same reason the client is told to forget everything where a
 * connection is gone, where a command was sent again, and behind what it has read over another connection (EXEC, a command that waits).
 *
 * <p>Owned by the session's event loop. Invariant: nothing is read for the client over a connection of {@link #places} that is not placed. REDIRECT is refused.
 */
final class ShardTracking {
    private static final Logger LOG = LoggerFactory.getLogger(ShardTracking.class);

    private final ClientSession session;
    private final Map<Endpoint, Place> places = new HashMap<>(0);
    /** What is not to be told yet, in order. */
    private final ArrayDeque<Late> late = new ArrayDeque<>(0);

    private long lateBytes;
    /** Of the cluster, when it was last looked at. */
    private int version;

    /** Not before that part of what is under way has been given to the client; without one, once nothing that came is kept. */
    private record Late(ByteBuf message, ClusterLane.@Nullable Part behind) {}

    ShardTracking(ClientSession session) {
        this.session = session;
    }

    /** Whether commands go this way. Who redirects does not come before a cluster. */
    boolean isOn() {
        return session.tracking.isOn()
                && session.tracking.redirect() == null
                && session.loop().isSharded();
    }

    // --- the connections

    /** Over which commands go to that server; null where it cannot be had now: the session is resumed when it can, or {@link #takeFailure} says why not. */
    @Nullable
    BackendConnection connection(Endpoint server) {
        Place place = place(server);
        BackendConnection connection = place.connection();
        if (connection == null || place.isPlaced(connection)) {
            return connection;
        }
        place.ask(connection);
        return null;
    }

    /** Why there is none; said once. */
    @Nullable
    String takeFailure(Endpoint server) {
        Place place = places.get(server);
        return place == null ? null : place.own.takeFailure();
    }

    Place place(Endpoint server) {
        ClusterMap map = session.loop().cluster();
        if (places.isEmpty() && map != null) {
            version = map.version(); // before that there was nothing to forget
        }
        return places.computeIfAbsent(server, Place::new);
    }

    /**
     * The cluster may be another one than it was: then those who are no primaries any more are left, and the client forgets what it had from them and of slots that are elsewhere. Where
     * it has said BCAST, it wants to hear of changes that it has not read: every shard is asked as soon as it can be. */
    void keepUp() {
        ClusterMap map = session.loop().cluster();
        if (map == null) {
            return;
        }
        if (version != map.version()) {
            version = map.version();
            changed(map.primaries());
        }
        if (!session.tracking.hasSaid("BCAST")) {
            return;
        }
        for (Endpoint server : map.primaries()) {
            BackendConnection connection = connection(server);
            if (connection == null && takeFailure(server) != null) {
                session.loop().lookAgain();
                Retries.resumeInAMoment(session);
            }
        }
    }

    private void changed(List<Endpoint> primaries) {
        boolean anyWasPlaced = false;
        for (Endpoint server : List.copyOf(places.keySet())) {
            Place place = place(server);
            anyWasPlaced |= place.placedOver != null;
            if (!primaries.contains(server) && place.isQuiet()) {
                place.discard();
                places.remove(server);
            }
        }
        if (anyWasPlaced) {
            forgetEverything();
        }
    }

    /** One shard's primary. */
    final class Place {
        private final Endpoint server;
        private final OwnConnection own = new OwnConnection(session);
        private @Nullable BackendConnection placedOver;
        private @Nullable BackendConnection askedOver;
        private @Nullable Feed feed;

        private Place(Endpoint server) {
            this.server = server;
        }

        /** It, whatever has been said over it. */
        @Nullable
        BackendConnection connection() {
            BackendConnection current = own.current();
            if (current != null && !current.isOpen()) {
                own.gone();
            }
            return own.get(session.key(server));
        }

        @Nullable
        String takeFailure() {
            return own.takeFailure();
        }

        /** Nothing of the client's is unanswered there. */
        boolean isQuiet() {
            BackendConnection connection = own.current();
            return connection == null || connection.oldestUnanswered() == null;
        }

        boolean isPlaced(BackendConnection connection) {
            return placedOver == connection;
        }

        /** It is being told something, of which it is not known yet what becomes of it. */
        boolean isBeingAsked(BackendConnection connection) {
            return askedOver == connection && placedOver != connection;
        }

        /** It is told all there is to be told by somebody else. */
        void asked(BackendConnection connection) {
            askedOver = connection;
        }

        /** It has been told all there is to be told. */
        void placed(BackendConnection connection) {
            placedOver = connection;
        }

        private void ask(BackendConnection connection) {
            if (askedOver == connection) {
                return;
            }
            askedOver = connection;
            connection.spoil();
            connection.send(new Run(
                    null,
                    session.tracking.again(false),
                    session.tracking.commands(),
                    new Again(this, connection),
                    session.loop().nanoTime(),
                    1));
        }

        private void closed() {
            own.gone();
            placedOver = null;
            askedOver = null;
            release();
        }

        private void discard() {
            own.discard();
            closed();
        }

        private void clientGone() {
            own.clientGone();
            closed();
        }

        private void release() {
            Feed unfinished = feed;
            feed = null;
            if (unfinished != null) {
                unfinished.release();
            }
        }
    }

    /** The replies to all that was said before, which the client has had. */
    private final class Again implements ReplySink {
        private final Place place;
        private final BackendConnection connection;
        private @Nullable String refusal;

        Again(Place place, BackendConnection connection) {
            this.place = place;
            this.connection = connection;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (in.getByte(index) == '-' && refusal == null) {
                refusal = in.toString(index, length, UTF_8).strip();
            }
        }

        @Override
        public void answered(Run run) {
            if (session.isClosed()) {
                return;
            }
            if (refusal != null) {
                LOG.warn(
                        "client {} is closed: what it has read cannot be tracked any more: {}",
                        session.address(),
                        refusal);
                session.close();
                return;
            }
            if (place.askedOver == connection) {
                place.placed(connection);
            }
            session.loop().resumeLater(session);
        }

        @Override
        public void lost(Run run, String why) {
            session.loop().resumeLater(session);
        }
    }

    /** A connection of the session's is gone; whether it was one of these. */
    boolean closed(BackendConnection connection) {
        for (Place place : places.values()) {
            if (place.own.is(connection)) {
                boolean wasPlaced = place.isPlaced(connection);
                place.closed();
                if (wasPlaced) {
                    forgetEverything();
                }
                session.loop().resumeLater(session);
                return true;
            }
        }
        return false;
    }

    /** What that server was told last it has refused: where it was told other things in front of it, it is told these anew. */
    private void tellAnew(Endpoint server) {
        Place place = place(server);
        BackendConnection connection = place.own.current();
        if (connection != null && !place.isPlaced(connection)) {
            place.discard();
        }
    }

    /** The session is somebody else from now on, or the route is another one. */
    void connectionsGone() {
        boolean anyWasPlaced = false;
        for (Place place : places.values()) {
            anyWasPlaced |= place.placedOver != null;
            place.discard();
        }
        places.clear();
        if (anyWasPlaced) {
            forgetEverything();
        }
    }

    /** The client does not track any more, or is gone. */
    void off() {
        // What has been sent counts as sent until it is answered, also where nobody waits for it.
        places.values().forEach(session.isClosed() ? Place::clientGone : Place::discard);
        places.clear();
        if (session.isClosed()) {
            late.forEach(one -> one.message().release());
            late.clear();
            lateBytes = 0;
        }
    }

    void pauseReading(boolean isFull) {
        for (Place place : places.values()) {
            BackendConnection connection = place.own.current();
            if (connection != null) {
                connection.pauseReading(isFull);
            }
        }
    }

    void readOn() {
        for (Place place : places.values()) {
            BackendConnection connection = place.own.current();
            if (connection != null) {
                connection.readOn();
            }
        }
    }

    // --- what comes

    /** Whether part of a push message has come over one of these. The buffer is the caller's. */
    boolean receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        for (Place place : places.values()) {
            if (place.own.is(from)) {
                Feed feed = place.feed;
                if (feed == null) {
                    feed = new Feed(from, session.loop().limits().outputBytesPerClientMax(), tooLong -> from.close());
                    place.feed = feed;
                }
                ByteBuf message = feed.whole(in, index, length, ends);
                if (message != null && PushMessage.read(message).kind().equals("invalidate")) {
                    tell(message);
                } else if (message != null) {
                    message.release();
                }
                return true;
            }
        }
        return false;
    }

    /** Behind everything that has come: an answer may be among it of which no server tells what becomes of it. */
    void forgetEverything() {
        tell(Tracking.forgetEverything(Protocol.RESP3));
    }

    /** Takes the message over. */
    private void tell(ByteBuf message) {
        if (session.isClosed()) {
            message.release();
            return;
        }
        ClusterLane.Part last = session.lane().lastPart();
        if (last == null && late.isEmpty() && !session.keepsReplies()) {
            session.invalidated(message, false);
            return;
        }
        late.add(new Late(message, last));
        lateBytes += message.readableBytes();
        if (lateBytes > session.loop().limits().outputBytesPerClientPause()) {
            session.loop().reached(Limit.INVALIDATIONS);
            late.forEach(one -> one.message().release());
            late.clear();
            ByteBuf everything = Tracking.forgetEverything(Protocol.RESP3);
            lateBytes = everything.readableBytes();
            late.add(new Late(everything, last));
        }
        session.loop().resumeLater(session);
    }

    /** The client has the replies to that part, or somebody else sees to them. */
    void given(ClusterLane.Part part) {
        while (!late.isEmpty() && late.element().behind() == part) {
            give();
        }
    }

    /** Nothing that came is kept. */
    void givenAll() {
        while (!late.isEmpty()) {
            give();
        }
    }

    private void give() {
        ByteBuf message = late.remove().message();
        lateBytes -= message.readableBytes();
        session.invalidated(message, false);
    }

    boolean hasLate() {
        return !late.isEmpty();
    }

    // --- what is asked by the client

    /** CLIENT TRACKING and CLIENT CACHING: every shard's primary is told, and all have to agree. */
    static final class Asking extends Operation {
        private final byte[][] command;
        private final boolean caches;
        private final Map<Endpoint, Answer> answers = new HashMap<>();
        private int version;
        private boolean begun;
        private boolean done;

        Asking(ClientSession session, byte[][] command) {
            super(session);
            this.command = command;
            this.caches = SessionCommands.word(command, 1).equals("CACHING");
        }

        @Override
        boolean proceed() {
            if (done) {
                return true;
            }
            ClusterMap map = session.loop().cluster();
            if (!session.isQuiet()) {
                return false;
            }
            if (map == null) {
                return handOver();
            }
            if (begun && version == map.version() && !answers.isEmpty()) {
                return areAllThere(map) && finish();
            }
            answers.values().forEach(Answer::release);
            answers.clear();
            List<Endpoint> servers = servers(map);
            for (Endpoint server : servers) {
                Place place = session.shardTracking.place(server);
                BackendConnection connection = place.connection();
                if (connection == null) {
                    String failure = place.takeFailure();
                    return failure != null && finish(Wire.error(failure));
                }
                if (place.isBeingAsked(connection)) {
                    return false;
                }
            }
            begun = true;
            version = map.version();
            servers.forEach(this::send);
            return false;
        }

        /** What is said of the next command is asked of one server alone: it is said again in front of that command. */
        private List<Endpoint> servers(ClusterMap map) {
            List<Endpoint> all = map.primaries();
            return caches && !all.isEmpty() ? all.subList(0, 1) : all;
        }

        private boolean handOver() {
            if (ClientTracking.judge(session, command) instanceof SessionCommands.Perform(Operation next)) {
                session.perform(next);
                session.loop().resumeLater(session);
            }
            return false;
        }

        private void send(Endpoint server) {
            Place place = session.shardTracking.place(server);
            BackendConnection connection = place.connection();
            if (connection == null) {
                return; // it was there a moment ago
            }
            connection.spoil();
            place.asked(connection);
            int before = place.isPlaced(connection) ? 0 : session.tracking.commands();
            Answer answer = new Answer(connection, before);
            answers.put(server, answer);
            ByteBuf all = before == 0 ? Unpooled.buffer() : session.tracking.again(false);
            ByteBuf one = Wire.command(command);
            all.writeBytes(one);
            one.release();
            int count = before + 1;
            if (caches) {
                ByteBuf ping = Wire.command("PING"); // uses it up: the next command may go elsewhere
                all.writeBytes(ping);
                ping.release();
                count++;
            }
            session.ask(connection, all, count, answer);
        }

        private boolean areAllThere(ClusterMap map) {
            boolean all = answers.size() == servers(map).size()
                    && answers.values().stream().allMatch(answer -> answer.reply != null);
            if (!all) {
                answers.values().forEach(Answer::release);
                answers.clear(); // a connection broke: once more
                session.loop().resumeLater(session);
            }
            return all;
        }

        private boolean finish() {
            ByteBuf error = null;
            for (Answer answer : answers.values()) {
                ByteBuf reply = answer.reply;
                if (reply != null && AskingOperation.isError(reply)) {
                    error = reply;
                }
            }
            ByteBuf said = error != null ? error : answers.values().iterator().next().reply;
            ByteBuf reply = said == null ? Wire.ok() : said.retainedDuplicate();
            boolean off = !caches
                    && command.length > 2
                    && SessionCommands.word(command, 2).equals("OFF");
            if (error == null && off) {
                session.tracking.off();
            } else if (error == null && caches) {
                session.tracking.ofNext(command);
            } else if (error == null) {
                session.tracking.onAtShards(command);
                answers.forEach(
                        (server, answer) -> session.shardTracking.place(server).placed(answer.connection));
            }
            if (!session.tracking.isOn()) {
                session.shardTracking.off();
            } else if (error != null) {
                answers.keySet().forEach(session.shardTracking::tellAnew);
            }
            answers.values().forEach(Answer::release);
            answers.clear();
            return finish(reply);
        }

        private boolean finish(ByteBuf reply) {
            session.forgetUpstream();
            done = true;
            session.reply(reply);
            return true;
        }

        /** Of one server; the reply to the command itself is kept. */
        private final class Answer implements ReplySink {
            private final BackendConnection connection;
            private final int before;
            private final ByteBuf coming = Unpooled.buffer();
            private @Nullable ByteBuf reply;

            Answer(BackendConnection connection, int before) {
                this.connection = connection;
                this.before = before;
            }

            @Override
            public void receive(Run run, ByteBuf in, int index, int length) {
                coming.writeBytes(in, index, length);
            }

            @Override
            public void answered(Run run) {
                session.operationRepliedTo(run);
                if (done) {
                    coming.release(); // its client is gone
                    return;
                }
                ReplyScanner scanner = new ReplyScanner();
                int from = coming.readerIndex();
                for (int i = 0; i < before; i++) {
                    from = scanner.scan(coming, from, coming.writerIndex(), 1);
                }
                int end = scanner.scan(coming, from, coming.writerIndex(), 1);
                reply = coming.readerIndex(from).writerIndex(end);
            }

            @Override
            public void lost(Run run, String why) {
                session.operationRepliedTo(run);
                session.loop().lookAgain();
                coming.release();
            }

            private void release() {
                ByteBuf had = reply;
                reply = null;
                if (had != null) {
                    had.release();
                }
            }
        }

        @Override
        void clientGone() {
            done = true;
            answers.values().forEach(Answer::release);
            answers.clear();
        }

        @Override
        void replied(Run run, ByteBuf reply) {
            throw new IllegalStateException("each server has its own reply");
        }

        @Override
        void lost(String why) {
            throw new IllegalStateException("each server is lost for itself");
        }
    }
}
