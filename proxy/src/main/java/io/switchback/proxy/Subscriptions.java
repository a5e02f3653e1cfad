package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.Topology;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a client is subscribed to, and how that goes along with a switch: no message is lost, none comes twice, and those of one
 * publisher keep their order.
 *
 * <p>Owned by the session's event loop. The client's own connection speaks RESP3 whatever the client speaks, since there a message
 * cannot be taken for a reply; for a client of RESP2 the first byte of each is changed.
 *
 * <p>Before a switch the same is subscribed to at the fleet that comes next ({@link #openAhead}). It is a replica until then, so what
 * is published at the fleet in use comes there as well, through the link. Once all nodes hold and nothing more is published, the
 * switch publishes a mark at the fleet in use, to the channel {@link ReservedKeys#SWITCH_CHANNEL}. It passes the link behind
 * everything that was published before. So of the feed from the fleet in use everything up to the mark is for the client (what comes
 * behind it, once that fleet follows, was published at the other one), and of the feed from the next fleet everything behind it. What
 * comes behind a mark is kept until the switch has ended one way or the other.
 *
 * <p>Where a user may not read that channel, or the switch could not publish, the feed ahead counts from the moment at which the client is
 * let go: what clients of other nodes published between the promotion and that moment is lost.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class Subscriptions {
    private static final Logger LOG = LoggerFactory.getLogger(Subscriptions.class);
    private static final ByteBuffer MARKS = ByteBuffer.wrap(ReservedKeys.SWITCH_CHANNEL.getBytes(UTF_8));

    private static final ByteBuffer NO_MARK = ByteBuffer.allocate(0);
    /** A mark that has not come so long after clients were let go does not come any more. */
    private static final long MARK_LIMIT_MS = 5_000;

    /** The three kinds, each with its own pair of commands. */
    enum Kind {
        CHANNEL("subscribe", "unsubscribe"),
        PATTERN("psubscribe", "punsubscribe"),
        SHARD("ssubscribe", "sunsubscribe");

        final String adding;
        final String removing;

        Kind(String adding, String removing) {
            this.adding = adding;
            this.removing = removing;
        }
    }

    private final ClientSession session;
    /** Of the kinds of which there is something, since most clients never subscribe. */
    private Map<Kind, Set<ByteBuffer>> names = Map.of();

    private int count;
    private long nameBytes;

    private @Nullable Feed current;
    /** Of the fleet that was left, until its mark has come. */
    private @Nullable Feed former;

    private @Nullable Feed ahead;
    private @Nullable BackendOpening opening;
    /** What the switch that is under way will publish; empty without one, or where it cannot. */
    private ByteBuffer mark = NO_MARK;
    /** Both feeds were let read the marks. */
    private boolean expectsMark;
    /** The feed in use is subscribed to the channel of the marks. */
    private boolean seesMarks;

    Subscriptions(ClientSession session) {
        this.session = session;
    }

    // --- what is subscribed to

    boolean isEmpty() {
        return count == 0;
    }

    Set<ByteBuffer> names(Kind kind) {
        Set<ByteBuffer> set = names.get(kind);
        return set == null ? Set.of() : Collections.unmodifiableSet(set);
    }

    long nameBytes() {
        return nameBytes;
    }

    void add(Kind kind, ByteBuffer name) {
        if (names.isEmpty()) {
            names = new EnumMap<>(Kind.class);
        }
        if (names.computeIfAbsent(kind, none -> new LinkedHashSet<>()).add(name)) {
            count++;
            nameBytes += name.remaining();
        }
    }

    void remove(Kind kind, ByteBuffer name) {
        Set<ByteBuffer> set = names.get(kind);
        if (set != null && set.remove(name)) {
            count--;
            nameBytes -= name.remaining();
        }
    }

    /** What servers count in their answers: channels and patterns together, shard channels for themselves. */
    int shown(Kind kind) {
        return kind == Kind.SHARD
                ? names(kind).size()
                : names(Kind.CHANNEL).size() + names(Kind.PATTERN).size();
    }

    static ByteBuf command(String name, Iterable<ByteBuffer> arguments) {
        List<byte[]> command = new ArrayList<>();
        command.add(name.getBytes(US_ASCII));
        for (ByteBuffer argument : arguments) {
            command.add(bytes(argument));
        }
        return Wire.command(command.toArray(byte[][]::new));
    }

    // --- the feed in use

    /** The feed that comes over the session's own connection. */
    Feed feed(BackendConnection own) {
        Feed now = current;
        if (now == null || now.connection != own) {
            if (now != null) {
                now.release();
            }
            now = newFeed(own);
            current = now;
            seesMarks = false;
        }
        return now;
    }

    private Feed newFeed(BackendConnection connection) {
        return new Feed(connection, session.loop().limits().outputBytesPerClientMax(), this::overflows);
    }

    private void overflows(Feed feed) {
        LOG.warn("client {} is closed: too many bytes of messages wait for it", session.address());
        session.close();
    }

    /** Whether the session's own connection carries the subscriptions. */
    boolean areOn(@Nullable BackendConnection own) {
        Feed now = current;
        return isEmpty() || (now != null && now.connection == own);
    }

    /** All of it, for a connection that has none of it yet; {@code ended} hears what the server refused, or "". */
    void subscribe(Feed feed, @Nullable ClientSession counted, Consumer<String> ended) {
        Subscribing all = new Subscribing(feed, ended);
        for (Kind kind : Kind.values()) {
            commands(kind.adding, names(kind)).forEach(some -> all.add(kind.adding, some, counted));
        }
        all.complete();
    }

    /** The names that go with one such command each: a cluster takes shard channels of one slot at a time. */
    private static Collection<Set<ByteBuffer>> commands(String command, Set<ByteBuffer> names) {
        if (!command.equals(Kind.SHARD.adding) && !command.equals(Kind.SHARD.removing)) {
            return names.isEmpty() ? List.of() : List.of(names);
        }
        Map<Integer, Set<ByteBuffer>> bySlot = new TreeMap<>();
        for (ByteBuffer name : names) {
            bySlot.computeIfAbsent(KeySlot.of(bytes(name)), none -> new LinkedHashSet<>())
                    .add(name);
        }
        return bySlot.values();
    }

    private static byte[] bytes(ByteBuffer name) {
        byte[] bytes = new byte[name.remaining()];
        name.duplicate().get(bytes);
        return bytes;
    }

    /** Commands that nobody has sent but the proxy, and their answers. */
    private final class Subscribing {
        private final Feed feed;
        private final Consumer<String> ended;
        private String refusal = "";
        private int open = 1;

        Subscribing(Feed feed, Consumer<String> ended) {
            this.feed = feed;
            this.ended = ended;
            session.loop().bringingBegan();
        }

        void add(String command, Set<ByteBuffer> of, @Nullable ClientSession counted) {
            open++;
            Feed.Asked asked = new Feed.Asked(of.size()) {
                private final StringBuilder said = new StringBuilder();

                @Override
                void confirmed(PushMessage message) {}

                @Override
                public void receive(Run run, ByteBuf in, int index, int length) {
                    said.append(in.toString(index, length, UTF_8));
                }

                @Override
                public void answered(Run run) {
                    feed.ended(this);
                    if (!said.isEmpty()) {
                        refusal = said.toString().strip();
                    }
                    if (counted != null) {
                        counted.operationRepliedTo(run);
                    }
                    complete();
                }

                @Override
                public void lost(Run run, String why) {
                    refusal = "-ERR the connection was lost: " + why;
                    if (counted != null) {
                        counted.operationRepliedTo(run);
                    }
                    complete();
                }
            };
            feed.asks(asked);
            Run run = new Run(
                    counted, command(command, of), 1, asked, session.loop().nanoTime(), 1);
            if (counted != null) {
                counted.ask(feed.connection, run);
            } else {
                feed.connection.send(run);
            }
        }

        void complete() {
            open--;
            if (open == 0) {
                session.loop().bringingEnded();
                ended.accept(refusal.isEmpty() ? "" : refusal.substring(1));
            }
        }
    }

    /** Part of a push message has come, perhaps the last one. The buffer is the caller's. */
    void receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        Feed feed = feedOver(from);
        ByteBuf whole = feed == null ? null : feed.whole(in, index, length, ends);
        if (feed == null || whole == null) {
            return;
        }
        PushMessage message = PushMessage.read(whole);
        if (!message.isConfirmation() && !message.isPublished()) {
            if (feed == current) {
                session.tracking.received(message, whole);
            } else {
                whole.release(); // the client has been told to forget everything
            }
        } else if (message.isConfirmation()) {
            // Where nobody had asked, the server has ended a subscription by itself, and says so.
            if (feed.confirms(message) || feed != current) {
                whole.release();
            } else {
                session.push(whole);
            }
        } else if (message.channel().equals(MARKS)) {
            boolean ours = message.strings().getLast().equals(mark);
            whole.release();
            if (ours && !feed.hasHeardOf(mark)) {
                marked(feed);
            }
        } else {
            published(feed, whole);
        }
    }

    private @Nullable Feed feedOver(BackendConnection connection) {
        for (Feed feed : new Feed[] {current, former, ahead}) {
            if (feed != null && feed.connection == connection) {
                return feed;
            }
        }
        return null;
    }

    /** Takes the bytes over. */
    private void published(Feed feed, ByteBuf message) {
        boolean waits = feed == current && (feed.marked || feed.awaitsMark || former != null);
        if (waits || (feed == ahead && feed.marked)) {
            feed.keep(message);
        } else if (feed == ahead || feed.marked) {
            message.release(); // the other one brings it
        } else {
            session.push(message);
        }
    }

    private void marked(Feed feed) {
        if (feed == former) {
            formerEnded();
        } else if (feed.awaitsMark) {
            feed.awaitsMark = false;
            feed.dropKept(); // the fleet that was left had brought it
        } else {
            feed.marked = true;
        }
    }

    /** The last message of the fleet that was left has come; now those of the other one. */
    private void formerEnded() {
        Feed ended = former;
        former = null;
        if (ended != null) {
            drop(ended);
        }
        Feed now = current;
        if (now != null && !now.awaitsMark) {
            now.give(session::push);
        }
    }

    private void marksAreOverdue(Feed since) {
        if (since == current && (since.awaitsMark || former != null)) {
            LOG.warn("client {}: a switch has not been marked; messages may have come twice", session.address());
            since.awaitsMark = false;
            formerEnded();
        }
    }

    private static void drop(Feed feed) {
        feed.release();
        feed.connection.own(null);
        feed.connection.close();
    }

    /** A connection of this client's is gone; whether the client is to be told that messages may be missing. */
    boolean connectionClosed(BackendConnection connection) {
        Feed gone = feedOver(connection);
        if (gone == null) {
            return false;
        }
        if (gone == former) {
            formerEnded();
            return false;
        }
        gone.release();
        if (gone == ahead) {
            LOG.warn("client {}: its subscriptions at the fleet that comes next are lost", session.address());
            ahead = null;
            return false;
        }
        current = null;
        // In a hold the switch may have done it, and its end says where the client is subscribed next.
        return !isEmpty() && !session.loop().isHolding();
    }

    // --- a switch

    /**
     * Subscribes at the next fleet as well, and looks out for the mark on both. {@code told} hears why that cannot be done, or "".
     */
    void openAhead(BackendRoute next, String expected, Consumer<String> told) {
        // A client that leaves meanwhile is no reason to give a switch up.
        Consumer<String> ended = refusal -> told.accept(session.isClosed() ? "" : refusal);
        formerEnded();
        closeAhead();
        mark = ByteBuffer.wrap(expected.getBytes(UTF_8));
        expectsMark = mark.hasRemaining();
        if (current != null) {
            current.forgetMarks();
        }
        lookOutForMarks();
        ConnectionKey at = keyAt(next.fleet());
        if (at == null) {
            ended.accept("client " + session.address()
                    + " is subscribed to shard channels (SSUBSCRIBE) that are of several shards of fleet "
                    + next.fleet().name()
                    + ", and one connection has those of one; it has to unsubscribe, or be disconnected (CLIENT KILL)");
            return;
        }
        BackendOpening begun = new BackendOpening(session.loop(), at, next, new BackendOpening.Result() {
            @Override
            public void opened(BackendConnection connection) {
                opening = null;
                session.loop().backends().openedFor(session, connection);
                Feed feed = newFeed(connection);
                ahead = feed;
                // The marks first: a user who may not read them is told so, and gets the messages all the same.
                subscribeToMarks(feed);
                subscribe(feed, null, ended);
            }

            @Override
            public void failed(String error) {
                opening = null;
                ended.accept(error);
            }

            @Override
            public void superseded() {
                failed("the route has changed");
            }

            @Override
            public boolean isWanted() {
                return !session.isClosed();
            }
        });
        opening = begun;
        begun.start();
    }

    /** Over what all of it can be subscribed to: in a cluster, where there are shard channels, at their shard. Null where they are of several. */
    private @Nullable ConnectionKey keyAt(FleetSpec fleet) {
        ConnectionKey any = session.key(Protocol.RESP3);
        Set<ByteBuffer> channels = names(Kind.SHARD);
        if (channels.isEmpty() || !(session.loop().topology(fleet) instanceof Topology.Sharded cluster)) {
            return any;
        }
        Set<Endpoint> servers = new HashSet<>();
        for (ByteBuffer channel : channels) {
            Topology.Shard shard = cluster.shardOf(KeySlot.of(bytes(channel)));
            if (shard != null) {
                servers.add(shard.primary());
            }
        }
        return switch (servers.size()) {
            case 0 -> any;
            case 1 -> any.at(servers.iterator().next());
            default -> null;
        };
    }

    private void lookOutForMarks() {
        Feed now = current;
        if (now != null && !seesMarks) {
            seesMarks = true;
            now.connection.spoil(); // nobody else shall have to hear of marks
            subscribeToMarks(now);
        }
    }

    private void subscribeToMarks(Feed feed) {
        Subscribing marks = new Subscribing(feed, refusal -> {
            if (!refusal.isEmpty() && !session.isClosed()) {
                expectsMark = false;
                LOG.warn(
                        "client {} may miss messages of other nodes' clients within a switch: its user may not read channel {}: {}",
                        session.address(),
                        ReservedKeys.SWITCH_CHANNEL,
                        refusal);
            }
        });
        marks.add(Kind.CHANNEL.adding, Set.of(MARKS), null);
        marks.complete();
    }

    boolean isAhead() {
        return ahead != null || opening != null;
    }

    /** What has been subscribed to, or no longer is, since {@link #openAhead}. */
    void tellAhead(String command, Set<ByteBuffer> changed) {
        Feed feed = ahead;
        if (feed != null && !changed.isEmpty()) {
            Subscribing one = new Subscribing(feed, refusal -> {
                if (!refusal.isEmpty()) {
                    LOG.warn(
                            "client {}: the fleet that comes next refuses {}: {}", session.address(), command, refusal);
                }
            });
            commands(command, changed).forEach(some -> one.add(command, some, null));
            one.complete();
        }
    }

    /** The switch is given up, or over: what came behind the mark at the fleet in use was published there. */
    void closeAhead() {
        BackendOpening unfinished = opening;
        opening = null;
        if (unfinished != null) {
            unfinished.giveUp();
        }
        Feed unused = ahead;
        ahead = null;
        if (unused != null) {
            drop(unused);
        }
        Feed now = current;
        if (now != null && former == null && !now.awaitsMark) {
            mark = NO_MARK; // should it still come, it says nothing any more
            now.marked = false;
            now.give(session::push);
        }
    }

    /**
     * The route is the next one now. The session's own connection is the one that was opened ahead; null where there is none, and
     * all is to be subscribed to anew.
     */
    @Nullable
    BackendConnection routeChanged() {
        BackendOpening unfinished = opening;
        opening = null;
        if (unfinished != null) {
            unfinished.giveUp();
        }
        Feed left = current;
        Feed next = ahead;
        ahead = null;
        if (next != null && !next.connection.key.at(null).equals(session.key(Protocol.RESP3))) {
            drop(next); // the client has selected another database meanwhile
            next = null;
        }
        current = next;
        if (left != null) {
            if (next == null || left.marked || !expectsMark) {
                drop(left);
            } else {
                left.connection.outlivesRoute();
                former = left;
            }
        }
        if (next == null) {
            return null;
        }
        seesMarks = true;
        next.awaitsMark = expectsMark && !next.marked;
        next.marked = false;
        if (former != null || next.awaitsMark) {
            Feed since = next;
            session.loop().executor().schedule(() -> marksAreOverdue(since), MARK_LIMIT_MS, TimeUnit.MILLISECONDS);
        } else {
            next.give(session::push);
        }
        return next.connection;
    }

    /** RESET: nothing is subscribed to any more. */
    void clear() {
        names = Map.of();
        count = 0;
        nameBytes = 0;
        clientGone();
        Feed last = current;
        current = null;
        if (last != null) {
            last.release();
        }
    }

    /** What was asked over the feed in use is answered there for as long as its connection lives. */
    void clientGone() {
        closeAhead();
        Feed last = former;
        former = null;
        if (last != null) {
            drop(last);
        }
        Feed now = current;
        if (now != null && session.own().is(now.connection)) {
            now.dropKept();
        } else if (now != null) {
            now.release();
            current = null;
        }
    }
}
