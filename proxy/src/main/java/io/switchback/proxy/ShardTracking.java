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
import java.util.Set;
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
 * <p>With REDIRECT it is the same, but that the target is told ({@link Redirect}). Each primary is told the id of a companion that stands there beside the connection over which commands go. Who is told what, and when:
 *
 * <ul>
 *   <li>What comes over a companion is told at once, as the server would: what it is about may be kept already, and the client may be slow in reading other replies. But it may be about a read whose reply the
 *       client has not got, since companions are other connections, and replies wait for their turn. So where anything is under way it is told again, as it is to a client that does not redirect, once the client has the
 *       replies to all that had been sent to any shard when it came.
 *   <li>A message names the target that the server was told when it sent it, since each {@link Redirect} has companions of its own. So the former target hears what was meant for it, also behind the answer to the command
 *       that named another one.
 *   <li>A place whose own connection breaks, or that is left (the slot map, a switch, another user): what was read there nobody tracks any more. The target is told to forget everything, behind the replies that
 *       have come from there; and the client's next command is not taken before it has been told, since it may be answered by what is newer ({@link #isForgetting}).
 *   <li>A place whose companion breaks: likewise. Its server goes on naming what is not there, and prefixes cannot be said to it again, so that the place is left for another connection once nothing is unanswered
 *       on it. What is answered there until then is read untracked; that is why everything is forgotten behind it.
 *   <li>The target goes: companions are closed, places stay. Each server then says so by itself, as of a target of its own, and the client is told with the proxy's id.
 *   <li>The client goes, or turns tracking off: what has come is told at once; what is still on its way, before its companion is closed.
 * </ul>
 *
 * <p>Owned by the session's event loop. Invariants: nothing is read for the client over a connection of {@link #places} that is not placed; where it redirects, a place is placed only while
 * the companion stands that its server was told of, or the target is gone.
 */
final class ShardTracking {
    private static final Logger LOG = LoggerFactory.getLogger(ShardTracking.class);
    /** What one that is not to be told yet takes beside its bytes, about. */
    private static final int LATE_BYTES = 64;

    private final ClientSession session;
    private final Map<Endpoint, Place> places = new HashMap<>(0);
    /** What is not to be told yet, in order. */
    private final ArrayDeque<Late> late = new ArrayDeque<>(0);

    private long lateBytes;
    /** How many of them tell a target to forget everything. */
    private int lateForgets;
    /** Of the cluster, when it was last looked at. */
    private int version;

    /**
     * Not before that part of what is under way has been given to the client; without one, once nothing that came is kept.
     *
     * @param message null where everything is to be forgotten
     * @param to who is told; null for the client itself
     */
    private record Late(@Nullable ByteBuf message, @Nullable Redirect to, ClusterLane.@Nullable Part behind) {}

    ShardTracking(ClientSession session) {
        this.session = session;
    }

    /** Whether commands go this way. */
    boolean isOn() {
        return session.tracking.isOn() && session.loop().isSharded();
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
        Redirect to = session.tracking.redirect();
        if (to == null || to.isReady(server)) {
            place.ask(connection);
        }
        return null;
    }

    /** Why there is none; said once. */
    @Nullable
    String takeFailure(Endpoint server) {
        Place place = places.get(server);
        String failure = place == null ? null : place.own.takeFailure();
        Redirect to = session.tracking.redirect();
        return failure == null && to != null ? to.takeFailure(server) : failure;
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

    /** What was said over that connection counts for nothing. */
    private void leave(Endpoint server, BackendConnection over) {
        Place place = places.get(server);
        if (place != null && place.askedOver == over) {
            place.mustBeLeft();
        }
    }

    private void changed(List<Endpoint> primaries) {
        boolean anyWasPlaced = false;
        for (Endpoint server : List.copyOf(places.keySet())) {
            Place place = place(server);
            anyWasPlaced |= place.placedOver != null;
            if (!primaries.contains(server) && place.isQuiet()) {
                place.end();
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
        /** Its server names a companion that is not there any more. */
        private boolean mustLeave;
        /** What was said over the connection before this one was refused. */
        private boolean wasRefused;

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
            if (mustLeave && isQuiet()) {
                mustLeave = false;
                own.leave(false);
            }
            return mustLeave ? null : own.get(session.key(server));
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

        /** It has been told all there is to be told; unless that was of what is not there any more. */
        void placed(BackendConnection connection) {
            if (askedOver != connection) {
                return;
            }
            Redirect to = session.tracking.redirect();
            if (to == null || to.isPlaced(server)) {
                placedOver = connection;
                wasRefused = false;
            } else {
                mustBeLeft();
            }
        }

        private void mustBeLeft() {
            boolean wasPlaced = placedOver != null;
            mustLeave |= askedOver != null;
            placedOver = null;
            askedOver = null;
            if (wasPlaced) {
                forgetEverything();
            }
        }

        private void ask(BackendConnection connection) {
            if (askedOver == connection) {
                return;
            }
            askedOver = connection;
            connection.spoil();
            Run again = new Run(
                    null,
                    session.tracking.again(server),
                    session.tracking.commands(),
                    new Again(this, connection),
                    session.loop().nanoTime(),
                    1);
            again.oneByOne = true; // each refusal is looked for
            connection.send(again);
        }

        private void closed() {
            own.gone();
            placedOver = null;
            askedOver = null;
            mustLeave = false;
            release();
        }

        private void discard() {
            own.discard();
            session.tracking.companionsGone(server);
            closed();
        }

        /** Nobody will ask for it again, nor for what is still being opened. */
        private void end() {
            discard();
            own.clientGone();
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
            boolean counts = refusal != null && place.askedOver == connection;
            if (counts && !place.wasRefused && session.tracking.redirect() != null) {
                place.discard(); // the companion may be gone, of which nothing has been heard yet
                place.wasRefused = true;
            } else if (counts) {
                LOG.warn(
                        "client {} is closed: what it has read cannot be tracked any more: {}",
                        session.address(),
                        refusal);
                session.close();
                return;
            }
            place.placed(connection);
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

    /** The companion beside the connection to that server broke. */
    void companionGone(Redirect of, Endpoint server) {
        Place place = places.get(server);
        if (place != null && of == session.tracking.redirect()) {
            place.mustBeLeft();
        }
        session.loop().resumeLater(session);
    }

    boolean isPlacedOver(Redirect which, Endpoint server) {
        Place place = places.get(server);
        return place != null && place.placedOver != null && session.tracking.redirect() == which;
    }

    /**
     * What that server was told last some have refused. Where {@code itself}, it is as it was, but for what it was told in front of it, which it is told anew. Else it has taken what does not count.
     */
    private void refused(Endpoint server, boolean itself) {
        Place place = place(server);
        BackendConnection connection = place.own.current();
        if (!itself) {
            place.mustBeLeft();
        } else if (connection != null && !place.isPlaced(connection)) {
            place.discard();
        }
    }

    /** The session is somebody else from now on, or the route is another one. */
    void connectionsGone() {
        boolean anyWasPlaced = false;
        for (Place place : places.values()) {
            anyWasPlaced |= place.placedOver != null;
            place.end();
        }
        places.clear();
        if (anyWasPlaced) {
            forgetEverything();
        }
    }

    /** The client does not track any more, or is gone. */
    void off() {
        // What has been sent counts as sent until it is answered, also where nobody waits for it.
        places.values().forEach(session.isClosed() ? Place::clientGone : Place::end);
        places.clear();
        if (session.isClosed()) {
            givenAll();
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
                if (message != null) {
                    received(message);
                }
                return true;
            }
        }
        return false;
    }

    private void received(ByteBuf message) {
        String kind = PushMessage.read(message).kind();
        if (kind.equals("invalidate")) {
            tell(message, null);
            return;
        }
        message.release();
        if (kind.equals("tracking-redir-broken") && session.tracking.redirect() != null) {
            forgetEverything(); // of the target, where that is gone, it is said instead
        }
    }

    /** Behind everything that has come: an answer may be among it of which no server tells what becomes of it. */
    void forgetEverything() {
        late(new Late(null, session.tracking.redirect(), session.lane().lastPart()));
    }

    /** What has come is told to the client, or to whom it redirects. Takes the message over. */
    void tell(ByteBuf message, @Nullable Redirect to) {
        late(new Late(message, to, session.lane().lastPart()));
    }

    private void late(Late next) {
        boolean nothingIsKept = next.behind() == null && late.isEmpty() && !session.keepsReplies();
        if (nothingIsKept || session.isClosed()) {
            tell(next);
            return;
        }
        Redirect to = next.to();
        if (to != null && !to.isToItself()) {
            ByteBuf message = next.message();
            tell(new Late(message == null ? null : message.retainedDuplicate(), to, null));
        }
        add(next);
        if (lateBytes > session.loop().limits().outputBytesPerClientPause()) {
            session.loop().reached(Limit.INVALIDATIONS);
            forgetInstead(next);
        }
        session.loop().resumeLater(session);
    }

    private void add(Late one) {
        late.add(one);
        lateBytes += bytes(one);
        lateForgets += isForgetting(one) ? 1 : 0;
    }

    private static long bytes(Late one) {
        ByteBuf message = one.message();
        return message == null ? LATE_BYTES : LATE_BYTES + message.readableBytes();
    }

    private static boolean isForgetting(Late one) {
        return one.message() == null && one.to() != null;
    }

    /** There is too much of it: whoever was to be told something forgets everything. */
    private void forgetInstead(Late last) {
        Map<@Nullable Redirect, Late> all = new HashMap<>(1);
        while (!late.isEmpty()) {
            Late one = remove();
            if (one.message() != null) {
                one.message().release();
            }
            all.put(one.to(), new Late(null, one.to(), last.behind()));
        }
        all.values().forEach(this::add);
    }

    private Late remove() {
        Late one = late.remove();
        lateBytes -= bytes(one);
        lateForgets -= isForgetting(one) ? 1 : 0;
        return one;
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
        tell(remove());
    }

    private void tell(Late one) {
        ByteBuf message = one.message();
        Redirect to = one.to();
        if (to == null) {
            session.invalidated(message == null ? Tracking.forgetEverything(Protocol.RESP3) : message, false);
        } else if (message == null) {
            to.forgetEverything();
        } else {
            to.tell(message);
        }
    }

    /** A target is to forget everything once the client has its replies. */
    boolean isForgetting() {
        return lateForgets > 0;
    }

    boolean hasLate() {
        return !late.isEmpty();
    }

    // --- what is asked by the client

    /** CLIENT TRACKING and CLIENT CACHING: every shard's primary is told, and all have to agree. */
    static final class Asking extends Operation {
        private final TrackingCommand command;
        private final Map<Endpoint, Answer> answers = new HashMap<>();
        private boolean done;

        Asking(ClientSession session, byte[][] words) {
            super(session);
            this.command = new TrackingCommand(session, words);
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
                ClientTracking.handOver(session, command);
                return false;
            }
            if (!command.knowsTarget()) {
                return false;
            }
            List<Endpoint> servers = servers(map);
            if (!answers.isEmpty() && answers.keySet().equals(Set.copyOf(servers))) {
                return areAllThere() && finish();
            }
            dropAnswers();
            boolean areReady = true;
            for (Endpoint server : servers) {
                boolean isReady = isReady(server);
                String failure = isReady ? null : takeFailure(server);
                if (failure != null) {
                    session.tracking.wants(null);
                    if (!session.tracking.isOn()) {
                        session.shardTracking.off();
                    }
                    return finish(Wire.error(failure));
                }
                areReady &= isReady;
            }
            if (!areReady) {
                return false;
            }
            servers.forEach(this::send);
            return false;
        }

        /** They count for nothing. What was said to those servers by that is asked of them again: over other connections, since it cannot be taken back. */
        private void dropAnswers() {
            answers.forEach((server, answer) -> {
                answer.release();
                session.shardTracking.leave(server, answer.connection);
            });
            answers.clear();
        }

        /** Whether it can be asked now. If not, the session is resumed when it can, or {@link #takeFailure} says why not. */
        private boolean isReady(Endpoint server) {
            Place place = session.shardTracking.place(server);
            BackendConnection connection = place.connection();
            boolean isReady = connection != null && !place.isBeingAsked(connection);
            Redirect now = session.tracking.redirect();
            if (now != null && (connection == null || !place.isPlaced(connection))) {
                isReady &= now.isReady(server);
            }
            Redirect next = command.redirect();
            if (next != null) {
                isReady &= next.isReady(server);
            }
            return isReady;
        }

        private @Nullable String takeFailure(Endpoint server) {
            String failure = session.shardTracking.takeFailure(server);
            Redirect next = command.redirect();
            return failure == null && next != null ? next.takeFailure(server) : failure;
        }

        /** What is said of the next command is asked of one server alone: it is said again in front of that command. */
        private List<Endpoint> servers(ClusterMap map) {
            List<Endpoint> all = map.primaries();
            return command.tracks() || all.isEmpty() ? all : all.subList(0, 1);
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
            ByteBuf all = before == 0 ? Unpooled.buffer() : session.tracking.again(server);
            ByteBuf one = Wire.command(command.asTheServerKnowsIt(server));
            all.writeBytes(one);
            one.release();
            int count = before + 1;
            if (!command.tracks()) {
                ByteBuf ping = Wire.command("PING"); // uses it up: the next command may go elsewhere
                all.writeBytes(ping);
                ping.release();
                count++;
            }
            session.ask(connection, all, count, answer);
        }

        private boolean areAllThere() {
            boolean all = answers.values().stream().allMatch(answer -> answer.reply != null);
            if (!all) {
                dropAnswers(); // a connection broke: once more
                session.loop().resumeLater(session);
            }
            return all;
        }

        private boolean finish() {
            ByteBuf error = null;
            for (Answer answer : answers.values()) {
                ByteBuf reply = answer.reply;
                if (reply != null && answer.isRefusal()) {
                    error = reply;
                }
            }
            ByteBuf said = error != null ? error : answers.values().iterator().next().reply;
            ByteBuf reply = said == null ? Wire.ok() : said.retainedDuplicate();
            if (error != null) {
                session.tracking.wants(null);
            } else if (command.turnsOff()) {
                session.tracking.off();
            } else if (command.tracks()) {
                session.tracking.onAtShards(command.withoutRedirect());
            } else {
                session.tracking.ofNext(command.words());
            }
            if (error == null && session.tracking.isOn()) {
                answers.forEach(
                        (server, answer) -> session.shardTracking.place(server).placed(answer.connection));
            }
            if (!session.tracking.isOn()) {
                session.shardTracking.off();
            } else if (error != null) {
                answers.forEach((server, answer) -> session.shardTracking.refused(server, answer.isRefusal()));
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

            private boolean isRefusal() {
                return reply != null && AskingOperation.isError(reply);
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
            command.abandon();
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
