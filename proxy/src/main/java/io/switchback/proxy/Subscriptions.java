package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a client is subscribed to, and how that goes along with a switch: no message is lost, none comes twice, and those of one
 * publisher to one channel keep their order.
 *
 * <p>Owned by the session's event loop. The client's own connection speaks RESP3 whatever the client speaks, since there a message
 * cannot be taken for a reply; for a client of RESP2 the first byte of each is changed.
 *
 * <p>Before a switch the same is subscribed to at the fleet that comes next ({@link #openAhead}). Where that is a replica until then, what
 * is published at the fleet in use comes there as well, through the link. Once all nodes hold and nothing more is published, the
 * switch publishes a mark at the fleet in use, to the channel {@link ReservedKeys#SWITCH_CHANNEL}. It passes the link behind
 * everything that was published before. So of the feed from the fleet in use everything up to the mark is for the client (what comes
 * behind it, once that fleet follows, was published at the other one), and of the feed from the next fleet everything behind it. What
 * comes behind a mark is kept until the switch has ended one way or the other.
 *
 * <p>Where links apply, they carry no messages, and the mark is published at both fleets: behind what clients published at the one, and before anybody may publish at
 * the other.
 *
 * <p>In front of a cluster there is a feed for each shard of which the client has shard channels ({@link Feeds}), and so there may be on either side, on both, and in other numbers. Each is
 * subscribed to the channel of the marks and is cut there for itself. What is published to a shard channel is heard at the node where it is published, without the cluster bus; so the mark
 * is published at every primary, not at one: at each it then stands behind all that was answered there, and before all that will be. (From the bus it comes once more for every other
 * primary, sooner or later; a feed takes notice of it once.) What the next fleet brings is kept until <em>all</em> feeds of the former one have ended, since a channel's former
 * feed may be any of them, and their shards are not cut alike.
 *
 * <p>Slots stand still from before the marks until the switch is decided, or it is given up ({@code ApplySwitch}), so no shard channel is without a feed at a mark. Should one move a moment later, it is
 * as always: its server ends the subscription, nobody tells the client, and it is begun anew where the slot is ({@link Resubscribe}). So is what has no feed for another reason when the route
 * changes.
 *
 * <p>A mark that does not come is not waited for longer than {@link #MARK_LIMIT_MS}: what is kept is given then, and may have come twice. Where a user may not read that channel, or the switch could not publish, the feed ahead counts
 * from the moment at which the client is
 * let go: what clients of other nodes published between the promotion and that moment is lost.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class Subscriptions {
    private static final Logger LOG = LoggerFactory.getLogger(Subscriptions.class);
    private static final ByteBuffer MARKS = ByteBuffer.wrap(ReservedKeys.SWITCH_CHANNEL.getBytes(UTF_8));

    private static final int NEVER = -1;
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

    /** Shard channels that come from no shard, in front of a cluster: they are to be subscribed to anew. */
    private Set<ByteBuffer> loose = Set.of();

    private Feeds current;
    /** Of the cluster, when it was last looked whether the feeds are where they should be. */
    private int version = NEVER;
    /** Of the fleet that was left, until their marks have come. */
    private Set<Feed> former = Set.of();

    private @Nullable FeedsAhead ahead;
    /** What the switch that is under way will publish; empty without one, or where it cannot. */
    private ByteBuffer mark = NO_MARK;
    /** All feeds were let read the marks. */
    private boolean expectsMark;

    Subscriptions(ClientSession session) {
        this.session = session;
        this.current = new Feeds(session);
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
        if (kind == Kind.SHARD) {
            noLongerLoose(List.of(name));
        }
    }

    /** What servers count in their answers: channels and patterns together, shard channels for themselves. */
    int shown(Kind kind) {
        return kind == Kind.SHARD
                ? names(kind).size()
                : names(Kind.CHANNEL).size() + names(Kind.PATTERN).size();
    }

    // --- the feeds in use

    /** The feed that comes over the session's own connection. */
    Feed feed(BackendConnection own) {
        Feed now = current.main();
        if (now == null || now.connection != own) {
            ownIsLeft();
            now = begun(own);
            current.main(now);
        }
        return now;
    }

    /** The feed of a shard, over a connection that {@link #connection} gave. */
    Feed feedAt(Endpoint server, BackendConnection connection) {
        Feed now = current.at(server);
        if (now == null || now.connection != connection) {
            now = begun(connection);
            current.put(server, now);
        }
        return now;
    }

    private Feed begun(BackendConnection connection) {
        Feed feed = newFeed(connection);
        if (ahead != null) {
            lookOutForMarks(feed);
        }
        return feed;
    }

    Feed newFeed(BackendConnection connection) {
        return new Feed(connection, session.loop().limits().outputBytesPerClientMax(), this::overflows);
    }

    private void overflows(Feed feed) {
        LOG.warn("client {} is closed: too many bytes of messages wait for it", session.address());
        session.close();
    }

    /** The session's own connection is not, or no longer, what brings messages. */
    void ownIsLeft() {
        Feed left = current.main();
        if (left != null) {
            current.main(null);
            left.release();
        }
    }

    /** Whether something of it comes over the session's own connection. */
    boolean needOwnConnection() {
        return !isEmpty() && (!session.loop().isSharded() || shown(Kind.CHANNEL) > 0);
    }

    /** Whether that connection brings messages, or has them brought. */
    boolean comeOver(@Nullable BackendConnection own) {
        Feed main = current.main();
        return main != null && main.connection == own;
    }

    /** Whether all of it has a feed; {@code own} is the session's own connection. */
    boolean areOn(@Nullable BackendConnection own) {
        return isEmpty() || (loose.isEmpty() && !areMissingOn(own));
    }

    /** Whether what comes over the session's own connection is to be subscribed to anew. */
    boolean areMissingOn(@Nullable BackendConnection own) {
        return needOwnConnection() && !comeOver(own);
    }

    /** All that comes over the session's own connection, which has none of it yet; {@code ended} hears what the server refused, or "". */
    void subscribe(BackendConnection own, Consumer<String> ended) {
        Subscribing all = new Subscribing(session, feed(own), ended);
        for (Kind kind : Kind.values()) {
            if (kind != Kind.SHARD || !session.loop().isSharded()) {
                all.add(kind, true, names(kind), session);
            }
        }
        all.complete();
    }

    // --- those of shards

    /** Where a shard channel belongs, as it is known; null where nothing is. */
    @Nullable
    Endpoint server(ByteBuffer channel) {
        return session.lane().server(Subscribing.slot(channel));
    }

    /** Over which the shard channels of that shard are subscribed to; null where it is still to come, or {@link #takeFailure} says why not. */
    @Nullable
    BackendConnection connection(Endpoint server) {
        return current.connection(server);
    }

    @Nullable
    String takeFailure() {
        return current.takeFailure();
    }

    /** The feed that brings a shard channel from its shard; null where none does. */
    @Nullable
    Feed bringing(ByteBuffer channel) {
        return current.bringing(channel);
    }

    /** One that has no feed; null where all have. */
    @Nullable
    ByteBuffer loose() {
        return loose.isEmpty() ? null : loose.iterator().next();
    }

    /** Those without a feed that belong to that shard; {@code ended} hears what the server refused, or "". */
    void subscribeLoose(Endpoint server, BackendConnection connection, Consumer<String> ended) {
        Set<ByteBuffer> some = new LinkedHashSet<>(loose);
        some.removeIf(channel -> !server.equals(server(channel)));
        new Subscribing(session, feedAt(server, connection), ended)
                .add(Kind.SHARD, true, some, null)
                .complete();
    }

    /** What brings no shard channel any more is given back, or closed where others must not use it. */
    void leaveUnused(boolean clean) {
        current.leaveUnused(clean);
    }

    private void areLoose(Iterable<ByteBuffer> channels) {
        if (loose.isEmpty()) {
            loose = new LinkedHashSet<>();
        }
        for (ByteBuffer channel : channels) {
            if (names(Kind.SHARD).contains(channel) && current.bringing(channel) == null) {
                loose.add(channel);
            }
        }
    }

    private void noLongerLoose(List<ByteBuffer> channels) {
        if (!loose.isEmpty()) {
            channels.forEach(loose::remove);
        }
    }

    /** A feed's server has ended subscriptions by itself, since the slot is elsewhere. */
    private void slotsHaveMoved(List<ByteBuffer> channels) {
        if (channels.isEmpty()) {
            return; // it had been asked to end all, and had done so already
        }
        LOG.info("client {}: a shard channel is subscribed to anew, since its slot has moved", session.address());
        areLoose(channels);
        session.loop().lookAgain();
        session.loop().resumeLater(session);
    }

    /**
     * The cluster may be another one than it was. A server that is no primary any more takes subscriptions too where it has become a replica, and brings what is published at its
     * primary, but over the cluster bus, where marks from elsewhere may overtake it. It is left.
     */
    void keepUp() {
        ClusterMap map = session.loop().cluster();
        if (isEmpty() || map == null || version == map.version()) {
            return;
        }
        boolean allAreLeft = true;
        List<Endpoint> primaries = map.primaries();
        for (Feed feed : current.ofShards()) {
            if (!primaries.contains(feed.connection.server)) {
                allAreLeft &= leave(feed);
            }
        }
        if (allAreLeft) {
            version = map.version();
        }
    }

    /** Whether that may be done now; else it is once more. */
    private boolean leave(Feed feed) {
        if (feed.isQuiet()) {
            current.remove(feed);
            areLoose(feed.shardChannels());
            drop(feed);
            return true;
        }
        return false;
    }

    void pauseReading(boolean isFull) {
        current.pauseReading(isFull);
    }

    void readOn() {
        current.readOn();
    }

    // --- what comes

    /** Part of a push message has come, perhaps the last one. The buffer is the caller's. */
    void receive(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        Feed feed = feedOver(from);
        ByteBuf whole = feed == null ? null : feed.whole(in, index, length, ends);
        if (feed == null || whole == null) {
            return;
        }
        PushMessage message = PushMessage.read(whole);
        if (!message.isConfirmation() && !message.isPublished()) {
            if (current.has(feed)) {
                session.tracking.received(message, whole);
            } else {
                whole.release(); // the client has been told to forget everything
            }
        } else if (message.isConfirmation()) {
            confirmation(feed, message, whole);
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
        Feed feed = current.over(connection);
        FeedsAhead next = ahead;
        if (feed == null && next != null) {
            feed = next.feeds().over(connection);
        }
        if (feed == null) {
            for (Feed one : former) {
                feed = one.connection == connection ? one : feed;
            }
        }
        return feed;
    }

    /** Takes the bytes over. Where nobody had asked, the server has ended a subscription by itself. */
    private void confirmation(Feed feed, PushMessage message, ByteBuf whole) {
        boolean hadAsked = feed.confirms(message);
        boolean isInUse = current.has(feed);
        boolean isOfShard = feed != current.main() && isInUse;
        FeedsAhead next = ahead;
        if (hadAsked && isOfShard && message.kind().equals(Kind.SHARD.adding)) {
            noLongerLoose(message.strings());
        } else if (!hadAsked && isOfShard && message.kind().equals(Kind.SHARD.removing)) {
            slotsHaveMoved(message.strings());
        } else if (!hadAsked && !isInUse && next != null && next.feeds().has(feed)) {
            next.lost(feed);
            drop(feed);
        }
        if (hadAsked || !isInUse || isOfShard) {
            whole.release();
        } else {
            session.push(whole);
        }
    }

    /** Takes the bytes over. */
    private void published(Feed feed, ByteBuf message) {
        boolean isInUse = current.has(feed);
        boolean isAhead = !isInUse && !former.contains(feed);
        boolean waits = isInUse && (feed.marked || feed.awaitsMark || !former.isEmpty());
        if (waits || (isAhead && feed.marked)) {
            feed.keep(message);
        } else if (isAhead || feed.marked) {
            message.release(); // the other one brings it
        } else {
            session.push(message);
        }
    }

    private void marked(Feed feed) {
        if (former.contains(feed)) {
            end(feed);
        } else if (feed.awaitsMark) {
            feed.awaitsMark = false;
            feed.dropKept(); // the fleet that was left had brought it
        } else {
            feed.marked = true;
        }
    }

    /** The last message of a feed of the fleet that was left has come; behind those of all of them come those of the other fleet. */
    private void end(Feed feed) {
        former.remove(feed);
        drop(feed);
        if (former.isEmpty()) {
            give();
        }
    }

    /** What is kept of the feeds in use is for the client, but where a mark is awaited. */
    private void give() {
        for (Feed feed : current.all()) {
            if (!feed.awaitsMark) {
                feed.give(session::push);
            }
        }
    }

    private void marksAreOverdue(Feeds since) {
        boolean areAwaited = !former.isEmpty() || since.all().stream().anyMatch(feed -> feed.awaitsMark);
        if (since == current && areAwaited) {
            LOG.warn("client {}: a switch has not been marked; messages may have come twice", session.address());
            marksAreGivenUp();
        }
    }

    /** Those of a switch that is over are not waited for any longer, lest the next one's are taken for them. */
    private void marksAreGivenUp() {
        current.all().forEach(feed -> feed.awaitsMark = false);
        List.copyOf(former).forEach(this::end);
        give();
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
        if (former.contains(gone)) {
            end(gone);
            return false;
        }
        FeedsAhead next = ahead;
        if (!current.has(gone)) {
            if (next != null) {
                next.lost(gone);
            }
            return false;
        }
        boolean isOfShard = gone != current.main();
        current.remove(gone);
        boolean isOfUse = isOfShard ? !gone.shardChannels().isEmpty() : needOwnConnection();
        if (isOfShard && session.loop().isSharded()) {
            areLoose(gone.shardChannels());
        }
        // In a hold the switch may have done it, and its end says where the client is subscribed next.
        return isOfUse && !isEmpty() && !session.loop().isHolding();
    }

    // --- a switch

    /**
     * Subscribes at the next fleet as well, and looks out for the mark on both. {@code told} hears why that cannot be done, or "".
     */
    void openAhead(BackendRoute next, String expected, Consumer<String> told) {
        // A client that leaves meanwhile is no reason to give a switch up.
        Consumer<String> ended = refusal -> told.accept(session.isClosed() ? "" : refusal);
        marksAreGivenUp();
        closeAhead();
        mark = ByteBuffer.wrap(expected.getBytes(UTF_8));
        expectsMark = mark.hasRemaining();
        for (Feed feed : current.all()) {
            feed.forgetMarks();
            lookOutForMarks(feed);
        }
        FeedsAhead begun = new FeedsAhead(session, this, next);
        ahead = begun;
        begun.open(ended);
    }

    void lookOutForMarks(Feed feed) {
        if (!feed.seesMarks) {
            feed.seesMarks = true;
            feed.connection.spoil(); // nobody else shall have to hear of marks
            subscribeToMarks(feed);
        }
    }

    private void subscribeToMarks(Feed feed) {
        Subscribing marks = new Subscribing(session, feed, refusal -> {
            if (!refusal.isEmpty() && !session.isClosed()) {
                expectsMark = false;
                LOG.warn(
                        "client {} may miss messages of other nodes' clients within a switch: its user may not read channel {}: {}",
                        session.address(),
                        ReservedKeys.SWITCH_CHANNEL,
                        refusal);
            }
        });
        marks.add(Kind.CHANNEL, true, Set.of(MARKS), null).complete();
    }

    boolean isAhead() {
        return ahead != null;
    }

    /** What has been subscribed to, or no longer is, since {@link #openAhead}. */
    void tellAhead(Kind kind, boolean adds, Set<ByteBuffer> changed) {
        FeedsAhead next = ahead;
        if (next != null) {
            next.changed(kind, adds, changed);
        }
    }

    /** The switch is given up, or over: what came behind the mark at the fleet in use was published there. */
    void closeAhead() {
        FeedsAhead unused = ahead;
        ahead = null;
        if (unused != null) {
            unused.handOver().forEach(Subscriptions::drop);
        }
        if (former.isEmpty()) {
            List<Feed> inUse = current.all();
            if (inUse.stream().noneMatch(feed -> feed.awaitsMark)) {
                mark = NO_MARK; // should it still come, it says nothing any more
            }
            inUse.stream().filter(feed -> !feed.awaitsMark).forEach(feed -> feed.marked = false);
            give();
        }
    }

    /**
     * The route is the next one now. The session's own connection is the one that was opened ahead; null where there is none, and
     * what comes over it is to be subscribed to anew.
     */
    @Nullable
    BackendConnection routeChanged() {
        FeedsAhead opened = ahead;
        ahead = null;
        List<Feed> left = current.handOver();
        Feeds next = new Feeds(session);
        if (opened != null) {
            opened.endOpenings();
            next = opened.feeds();
            next.leaveUnused(false);
            Feed main = next.main();
            // The client may have selected another database meanwhile.
            if (main != null && (!needOwnConnection() || !opened.isOf(session.key(Protocol.RESP3)))) {
                next.main(null);
                drop(main);
            }
        }
        current = next;
        version = NEVER;
        List<Feed> inUse = next.all();
        for (Feed feed : left) {
            if (inUse.isEmpty() || feed.marked || !feed.seesMarks || !expectsMark) {
                drop(feed);
            } else {
                feed.connection.outlivesRoute();
                outlives(feed);
            }
        }
        boolean awaitsMarks = false;
        for (Feed feed : inUse) {
            feed.awaitsMark = expectsMark && !feed.marked;
            feed.marked = false;
            awaitsMarks |= feed.awaitsMark;
        }
        loose = Set.of();
        if (session.loop().isSharded()) {
            areLoose(names(Kind.SHARD));
        }
        if (!former.isEmpty() || awaitsMarks) {
            Feeds since = next;
            session.loop().executor().schedule(() -> marksAreOverdue(since), MARK_LIMIT_MS, TimeUnit.MILLISECONDS);
        }
        if (former.isEmpty()) {
            give();
        }
        Feed main = next.main();
        return main == null ? null : main.connection;
    }

    private void outlives(Feed feed) {
        if (former.isEmpty()) {
            former = new LinkedHashSet<>();
        }
        former.add(feed);
        feed.connection.readOn(); // up to its mark, however slow the client is: nobody else reads it on
    }

    /** Nothing is subscribed to, and the route is another one, or the client has said RESET. */
    void clear() {
        names = Map.of();
        loose = Set.of();
        count = 0;
        nameBytes = 0;
        clientGone();
        ownIsLeft();
        current.discardShards();
    }

    /** What was asked over the feeds in use is answered there for as long as their connections live. */
    void clientGone() {
        closeAhead();
        List<Feed> last = List.copyOf(former);
        former = Set.of();
        last.forEach(Subscriptions::drop);
        Feed now = current.main();
        if (now != null && session.own().is(now.connection)) {
            now.dropKept();
        } else {
            ownIsLeft();
        }
        if (session.isClosed()) {
            current.clientGone();
        }
    }
}
