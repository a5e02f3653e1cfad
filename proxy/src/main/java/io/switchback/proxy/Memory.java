package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.RemovalCause;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Protocol;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A fleet's answers to reads of one key, given again from memory until the server says that the key has changed (CLIENT TRACKING). Source:
 * https://redis.io/docs/latest/develop/reference/client-side-caching/.
 *
 * <p>Owned by its event loop, which has a memory and connections of its own for it: one for each user, database and server ({@link View}), in
 * RESP3 and with tracking on. Everything that is kept in a view came over its connection, and what is not so any more is said over the same one, in order: at
 * any moment a view is what its server was when it sent the last bytes that have arrived. With its connection the view ends; when a hold begins or the route
 * changes, all is forgotten.
 *
 * <p>Why no client reads older than it has read or written: what it was answered over other connections may be ahead of that moment. So a client's read is
 * answered from a view only while nothing that was sent for it elsewhere is unanswered, and only if a read has been answered over the view's connection, whoever's,
 * that was sent after the client's last answer from elsewhere ({@link View#heard}, {@link ClientSession#seen}): every invalidation that what the client has seen could have caused
 * has come before that. Any other read is sent over that connection itself. This holds for all writes, also those whose keys nobody can tell from their words. A
 * key of which the client is being answered over the connection is asked for as well, since that answer may be newer, and comes first.
 *
 * <p>In front of a cluster a key is read from the view of the server that has its slot ({@link ClusterMap}), and so is never looked for where it was before:
 *
 * <ul>
 *   <li>A key that leaves its server is deleted there, and the view hears of that as of any change. A key that is not there does not leave: once its slot does, its server tells nobody
 *       that it has come to be elsewhere. So what is read of a key that is not there is not kept.
 *   <li>What was kept of a slot before it was at another server is not used when it comes back ({@link ClusterMap#moves}).
 *   <li>An answer that says that the read was not run (MOVED, ASK, and from a server that follows another one) is not kept, and says nothing of what the server has told until then: such a
 *       server does not have the slot. The read goes on as any other ({@link ClusterLane}).
 *   <li>A server whose place a replica has taken answers nothing else, so whoever has seen something of its successor is answered from the former's view no more. Its view is out of use as soon as
 *       the loop hears of the successor.
 * </ul>
 *
 * <p>Between shards there is no order: who reads of one what another application has written through another node may read of a second one what was before that, for as long as
 * an invalidation takes.
 *
 * <p>An answer is kept for {@link MemorySettings#ageMax} at most, and not beyond the key's time to live, which is asked for together with
 * it: servers delete what has run out, and say so, late. It is kept for one user alone: another one may not have the right to it.
 */
final class Memory {
    private static final Logger LOG = LoggerFactory.getLogger(Memory.class);

    /** An answer that is longer is not kept. */
    static final int ANSWER_BYTES_MAX = 64 * 1024;
    /** Different commands that read one key and whose answers are kept; one more takes the place of the oldest. */
    private static final int ANSWERS_PER_KEY_MAX = 16;
    /** An invalidation that is longer is taken as one of everything. */
    private static final int INVALIDATION_BYTES_MAX = 1024 * 1024;
    /** Reads of one client that are under way to be kept: their size is not known. */
    static final int FILLS_PER_CLIENT_MAX = 32;
    /** Answers of one turn that are put together for one client. */
    private static final int BATCH_BYTES = 64 * 1024;
    /** So long reads go past memory where its connection could not be had. */
    private static final long PAST_NANOS = 1_000_000_000L;

    private static final int VIEWS_MAX = 1024;
    /** What one kept answer takes beside its bytes and names. */
    private static final int OVERHEAD_BYTES = 200;

    /** Their key is their first argument, and their answer is the same in both protocols but for a nil. */
    private static final Set<CommandRule> KEPT = kept("get strlen getrange substr hget hstrlen hexists hlen hkeys hvals"
            + " llen lindex lrange scard sismember zcard getbit bitcount type");

    private final ProxyLoop loop;
    private final long ageMaxNanos;
    private final Cache<Name, Answers> answers;
    private final WrittenLately written;
    /** At most {@link #VIEWS_MAX}. */
    private final Map<ConnectionKey, View> views = new HashMap<>();
    /** Grows with each read that is sent to be kept, and with each answer that a client has from elsewhere: which was before which. */
    private long moment;

    private boolean unavailableSaid;

    private long hits;
    private long hitBytes;
    private long misses;
    private long joined;
    private long invalidations;

    Memory(ProxyLoop loop, long bytesMax, long ageMaxNanos, WrittenLately written) {
        this.loop = loop;
        this.written = written;
        this.ageMaxNanos = ageMaxNanos;
        this.answers = Caffeine.newBuilder()
                .maximumWeight(bytesMax)
                .<Name, Answers>weigher((name, of) -> of.bytes + name.key.length)
                .executor(Runnable::run) // on this loop
                .removalListener((name, of, cause) -> {
                    if (of != null && cause != RemovalCause.REPLACED) {
                        of.release();
                    }
                })
                .build();
    }

    private static Set<CommandRule> kept(String names) {
        Set<CommandRule> rules = Collections.newSetFromMap(new IdentityHashMap<>());
        Pattern.compile(" ").splitAsStream(names).forEach(name -> {
            CommandRule rule = CommandTable.find(name);
            if (rule == null || !rule.repeatable()) {
                throw new IllegalStateException(name + " is no command that only reads");
            }
            rules.add(rule);
        });
        return rules;
    }

    /** Whether answers to this command are kept. */
    static boolean keeps(@Nullable CommandRule rule) {
        return rule != null && KEPT.contains(rule);
    }

    // --- what is kept

    /** The reads of one user in one database of one server, and the connection that they go over: what is kept of them came over that, and ends with it. */
    static final class View {
        final ConnectionKey key;
        private final Map<Name, List<Fill>> underWay = new HashMap<>();
        /** Null before the first read. */
        private @Nullable BackendConnection connection;
        /** When the last read was sent that has been answered: all that the server had told until then has come. */
        private long heard;
        /** What has come of an invalidation. */
        private final ByteBuf pushed = Unpooled.buffer(0);

        private boolean isPushedTooLong;
        private boolean isPast;
        private long pastUntilNanos;
        private boolean isOver;

        View(ConnectionKey key) {
            this.key = key;
        }

        boolean isOf(@Nullable Credential identity, int database) {
            return key.database() == database && key.server() == null && Objects.equals(key.identity(), identity);
        }

        /** Where its connection could not be had nothing is kept. */
        private boolean endIfPast() {
            isOver |= isPast;
            return isOver;
        }

        /** Another one has to be asked for. */
        boolean isOver() {
            return isOver;
        }
    }

    /** A key, as one view knows it. */
    static final class Name {
        final View view;
        final byte[] key;
        final int hash;

        Name(View view, byte[] key) {
            this.view = view;
            this.key = key;
            this.hash = Arrays.hashCode(key) * 31 + System.identityHashCode(view);
        }

        @Override
        public int hashCode() {
            return hash;
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Name name && name.view == view && Arrays.equals(name.key, key);
        }
    }

    /** What is known of one key; at most {@link #ANSWERS_PER_KEY_MAX}. */
    private static final class Answers {
        private final List<Answer> all = new ArrayList<>(1);
        int bytes;

        @Nullable
        Answer to(ByteBuf in, int from, int length) {
            for (int i = 0; i < all.size(); i++) {
                Answer one = all.get(i);
                if (isSame(one.command, in, from, length)) {
                    return one;
                }
            }
            return null;
        }

        void add(Answer answer) {
            all.removeIf(one -> {
                boolean same = Arrays.equals(one.command, answer.command);
                if (same) {
                    forget(one);
                }
                return same;
            });
            if (all.size() == ANSWERS_PER_KEY_MAX) {
                forget(all.removeFirst());
            }
            all.add(answer);
            bytes += answer.bytes();
        }

        private void forget(Answer one) {
            bytes -= one.bytes();
            one.release();
        }

        void release() {
            all.forEach(Answer::release);
        }
    }

    /** {@code reply}: null where it is too long to be kept; such reads go past memory. {@code moves}: of the key's slot, when it was asked for. */
    private record Answer(byte[] command, @Nullable ByteBuf reply, long askedAtNanos, long untilNanos, int moves) {
        int bytes() {
            return command.length + (reply == null ? 0 : reply.readableBytes()) + OVERHEAD_BYTES;
        }

        void release() {
            if (reply != null) {
                reply.release();
            }
        }
    }

    private static boolean isSame(byte[] bytes, ByteBuf in, int from, int length) {
        if (bytes.length != length) {
            return false;
        }
        for (int i = 0; i < length; i++) {
            if (bytes[i] != in.getByte(from + i)) {
                return false;
            }
        }
        return true;
    }

    /** What this user reads in this database, of this server of a cluster or (null) of the fleet's primary; null where there are too many of these. */
    @Nullable
    View view(@Nullable Credential identity, int database, @Nullable Endpoint server) {
        ConnectionKey key = ConnectionKey.tracking(identity, database).at(server);
        View known = views.get(key);
        if (known == null && views.size() == VIEWS_MAX) {
            views.values().removeIf(View::endIfPast);
        }
        if (known == null && views.size() < VIEWS_MAX) {
            known = new View(key);
            views.put(key, known);
        }
        return known;
    }

    /** Something has been answered from elsewhere, just now: see {@link View#heard}. */
    long nextMoment() {
        return ++moment;
    }

    // --- reading

    /** What becomes of a read. */
    enum Outcome {
        /** It has been answered, or will be. */
        TAKEN,
        /** It has to wait. */
        STUCK,
        /** It goes past memory. */
        PAST
    }

    /** Reads that stand next in what a client has sent, from the first at {@code from} on. */
    final class Reads {
        private final ClientSession session;
        private final ByteBuf in;
        private final long now = loop.nanoTime();
        private @Nullable ByteBuf batch;
        private int count;

        Reads(ClientSession session, ByteBuf in) {
            this.session = session;
            this.in = in;
        }

        /** Whether this one is answered from memory; what {@link #given} gives contains its answer then. {@code slot}: of the key, in front of a cluster. */
        boolean give(View view, int slot, int from, int end, int key) {
            if (view.heard - session.seen() <= 0) {
                return false;
            }
            Name name = new Name(view, argument(in, key));
            Answers of = answers.getIfPresent(name);
            Answer one = of == null ? null : of.to(in, from, end - from);
            ByteBuf reply = one == null || one.untilNanos - now <= 0 ? null : one.reply;
            if (one == null
                    || reply == null
                    || one.moves != moves(slot)
                    || written.mayHaveMissed(name.key, one.askedAtNanos)
                    || (session.fillsUnderWay > 0 && isAskedFor(name, session))) {
                return false;
            }
            hits++;
            count++;
            hitBytes += reply.readableBytes();
            ByteBuf to = batch;
            if (to == null) {
                to = in.alloc().buffer(Math.max(256, reply.readableBytes()));
                batch = to;
            }
            if (session.identity.protocol() == Protocol.RESP2 && reply.getByte(reply.readerIndex()) == '_') {
                to.writeBytes(NIL_RESP2);
            } else {
                to.writeBytes(reply, reply.readerIndex(), reply.readableBytes());
            }
            return true;
        }

        boolean isFull() {
            return batch != null && batch.readableBytes() >= BATCH_BYTES;
        }

        /** How many were answered so. */
        int count() {
            return count;
        }

        /** The answers so far, for whoever takes them over; null where there are none. */
        @Nullable
        ByteBuf given() {
            return batch;
        }
    }

    private static final byte[] NIL_RESP2 = {'$', '-', '1', '\r', '\n'};

    /** Which the caller takes over. */
    static ByteBuf nilForResp2() {
        return Unpooled.wrappedBuffer(NIL_RESP2);
    }

    /** As {@link ClusterMap#moves}; always the same where the fleet is no cluster. */
    private int moves(int slot) {
        ClusterMap map = slot < 0 ? null : loop.cluster();
        return map == null ? 0 : map.moves(slot);
    }

    private static boolean isAskedFor(Name name, ClientSession session) {
        for (Fill fill : name.view.underWay.getOrDefault(name, List.of())) {
            if (fill.session == session) {
                return true;
            }
        }
        return false;
    }

    /** The argument whose length line begins at {@code index}, and which has come in whole. */
    private static byte[] argument(ByteBuf in, int index) {
        int at = index + 1;
        int length = 0;
        for (byte b = in.getByte(at); b != '\r'; b = in.getByte(++at)) {
            length = length * 10 + (b - '0');
        }
        byte[] argument = new byte[length];
        in.getBytes(at + 2, argument);
        return argument;
    }

    /** Asks the fleet, for this client and to keep the answer. {@code key} is where the length line of the key begins, {@code slot} its slot in front of a cluster. */
    Outcome ask(ClientSession session, View view, int slot, ByteBuf in, int from, int end, int key) {
        long now = loop.nanoTime();
        if (view.isPast) {
            if (view.pastUntilNanos - now > 0) {
                return Outcome.PAST;
            }
            view.isPast = false;
        }
        Name name = new Name(view, argument(in, key));
        Answers known = answers.getIfPresent(name);
        Answer before = known == null ? null : known.to(in, from, end - from);
        if (before != null && before.reply == null && before.untilNanos - now > 0) {
            return Outcome.PAST; // it was too long a moment ago
        }
        Fill same = session.isQuiet() ? underWay(session, name, slot, in, from, end - from) : null;
        if (same != null) {
            joined++;
            session.perform(new JoinedRead(session, same, in.copy(from, end - from)));
            return Outcome.TAKEN;
        }
        if (session.fillsUnderWay >= FILLS_PER_CLIENT_MAX) {
            return Outcome.STUCK;
        }
        BackendConnection connection = loop.backends().shared(view.key, session);
        if (connection == null) {
            String failure = loop.backends().failure(view.key);
            if (failure == null) {
                return Outcome.STUCK;
            }
            unavailable(view, now, failure);
            return Outcome.PAST;
        }
        if (slot < 0 && !session.isQuiet() && !session.isUpstream(connection)) {
            return Outcome.PAST;
        }
        if (!connection.hasRoom()) {
            connection.awaitRoom(session);
            return Outcome.STUCK;
        }
        if (view.connection != connection) {
            begin(view, connection);
        }
        misses++;
        Fill fill = new Fill(session, name, slot, copy(in, from, end - from), now);
        view.underWay.computeIfAbsent(name, any -> new ArrayList<>(1)).add(fill);
        session.fillsUnderWay++;
        ByteBuf command = in.retainedSlice(from, end - from);
        if (slot < 0) {
            session.send(connection, new Run(session, command, 1, fill, now, 1));
        } else {
            session.lane().sendToBeKept(connection, command, fill);
        }
        connection.send(new Run(null, Wire.command(PTTL, name.key), 1, fill.timeToLive, now, 1));
        return Outcome.TAKEN;
    }

    /** Over another connection than until now, if there was one: what is told over that is of no interest any more, and what came over it must not be kept. */
    private void begin(View view, BackendConnection connection) {
        forget(view);
        view.underWay.values().forEach(fills -> fills.forEach(fill -> fill.isDropped = true));
        view.pushed.clear();
        view.isPushedTooLong = false;
        view.connection = connection;
    }

    /** What PTTL answers where the key is not there. */
    private static final long NO_KEY = -2;

    private static final byte[] PTTL = {'P', 'T', 'T', 'L'};

    private static byte[] copy(ByteBuf in, int from, int length) {
        byte[] bytes = new byte[length];
        in.getBytes(from, bytes);
        return bytes;
    }

    /** One that others may have joined, and that shows all that this client has seen. */
    private @Nullable Fill underWay(ClientSession session, Name name, int slot, ByteBuf in, int from, int length) {
        for (Fill fill : name.view.underWay.getOrDefault(name, List.of())) {
            if (!fill.isDropped
                    && fill.sentAt - session.seen() > 0
                    && fill.moves == moves(slot)
                    && isSame(fill.command, in, from, length)
                    && !written.mayHaveMissed(name.key, fill.sentAtNanos)) {
                return fill;
            }
        }
        return null;
    }

    /** Its connection cannot be had: a right is missing, or the server does not know tracking. */
    private void unavailable(View view, long now, String why) {
        view.isPast = true;
        view.pastUntilNanos = now + PAST_NANOS;
        if (!unavailableSaid) {
            unavailableSaid = true;
            LOG.warn("reads go past memory, since a connection that tracks cannot be had: {}", why);
        }
    }

    /**
     * A read that is under way: its answer goes to the client that asked, and is kept once the key's time to live is known too. What comes in
     * between as an invalidation concerns it. In front of a cluster the client's answer goes through the {@link ClusterLane}, which tells this one what comes.
     */
    final class Fill implements ReplySink {
        private final ClientSession session;
        private final Name name;
        private final boolean isOfCluster;
        private final int moves;
        private final byte[] command;
        private final long sentAtNanos;
        private final long sentAt = nextMoment();
        final TimeToLive timeToLive = new TimeToLive(this);
        private final List<ClientSession> waiting = new ArrayList<>(0);
        private @Nullable ByteBuf reply;
        private boolean isTooLong;
        private boolean isNilForResp2;
        private boolean isAnswered;
        /** No server has run it. */
        private boolean isNotExecuted;

        private boolean isDropped;
        private boolean isOver;

        Fill(ClientSession session, Name name, int slot, byte[] command, long sentAtNanos) {
            this.session = session;
            this.name = name;
            this.isOfCluster = slot >= 0;
            this.moves = moves(slot);
            this.command = command;
            this.sentAtNanos = sentAtNanos;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            collect(in, index, length);
            if (!isNilForResp2) {
                session.receive(run, in, index, length);
            }
        }

        /** Bytes of its answer have come. */
        void collect(ByteBuf in, int index, int length) {
            if (reply == null && !isTooLong) {
                reply = in.alloc().buffer(length);
                isNilForResp2 = in.getByte(index) == '_' && session.identity.protocol() == Protocol.RESP2;
            }
            if (reply != null) {
                if (reply.readableBytes() + length > ANSWER_BYTES_MAX) {
                    discard();
                    isTooLong = true;
                } else {
                    reply.writeBytes(in, index, length);
                }
            }
        }

        /** What has come is a nil, which the client's protocol has in another form. */
        boolean isNilForResp2() {
            return isNilForResp2;
        }

        private void discard() {
            if (reply != null) {
                reply.release();
                reply = null;
            }
        }

        @Override
        public void answered(Run run) {
            if (isNilForResp2) {
                ByteBuf nil = nilForResp2();
                session.receive(run, nil, 0, NIL_RESP2.length);
                nil.release();
            }
            came(run.errors > 0);
            session.answered(run);
        }

        /** What has come says that it was not run. */
        void notExecuted() {
            isNotExecuted = true;
        }

        /** The whole answer has come. */
        void came(boolean isError) {
            isAnswered = true;
            if (isError || isNotExecuted) {
                isDropped = true;
            } else {
                name.view.heard = sentAt;
            }
            session.fillsUnderWay--;
        }

        @Override
        public boolean notRun(Run run) {
            return !isOfCluster; // there the lane looks at what comes
        }

        @Override
        public void lost(Run run, String why) {
            broke();
            session.lost(run, why);
        }

        /** Its connection broke before that. */
        void broke() {
            session.fillsUnderWay--;
            over();
        }

        /** {@code millis} as PTTL says it. */
        private void timeToLiveIs(long millis) {
            long until = sentAtNanos + ageMaxNanos;
            if (millis >= 0) {
                until = sentAtNanos + Math.min(ageMaxNanos, TimeUnit.MILLISECONDS.toNanos(millis));
            }
            boolean mayBeElsewhere = isOfCluster && millis == NO_KEY;
            if (!isDropped && !name.view.isOver && !mayBeElsewhere && (reply != null || isTooLong)) {
                keep(
                        name,
                        new Answer(
                                command, reply == null ? null : reply.retainedDuplicate(), sentAtNanos, until, moves));
            }
            over();
        }

        /** Nothing more comes of it; who waits for it finds the answer, or asks for itself. */
        private void over() {
            if (isOver) {
                return;
            }
            isOver = true;
            List<Fill> same = name.view.underWay.get(name);
            if (same != null && same.remove(this) && same.isEmpty()) {
                name.view.underWay.remove(name);
            }
            waiting.forEach(loop::resumeLater);
            if (waiting.isEmpty()) {
                discard();
            }
        }

        // --- for those who have joined

        void await(ClientSession who) {
            waiting.add(who);
        }

        void leave(ClientSession who) {
            if (waiting.remove(who) && waiting.isEmpty() && isOver) {
                discard();
            }
        }

        boolean isOver() {
            return isOver;
        }

        /** Its answer, which is the caller's, in the client's protocol; null where there is none that others may have. */
        @Nullable
        ByteBuf answerFor(ClientSession who) {
            if (reply == null || isDropped || !isAnswered) {
                return null;
            }
            return reply.getByte(0) == '_' && who.identity.protocol() == Protocol.RESP2 ? nilForResp2() : reply.copy();
        }
    }

    /** The answer to PTTL, which comes behind that of the read. */
    static final class TimeToLive implements ReplySink {
        private static final int BYTES_MAX = 64;

        private final Fill fill;
        private final StringBuilder text = new StringBuilder();

        TimeToLive(Fill fill) {
            this.fill = fill;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (text.length() + length <= BYTES_MAX) {
                text.append(in.toString(index, length, UTF_8));
            }
        }

        @Override
        public void answered(Run run) {
            String line = text.toString().strip();
            if (line.startsWith(":")) {
                fill.timeToLiveIs(Long.parseLong(line.substring(1)));
            } else {
                fill.over(); // a user who may not ask for it
            }
        }

        @Override
        public void lost(Run run, String why) {
            fill.over();
        }
    }

    private void keep(Name name, Answer answer) {
        Answers of = answers.getIfPresent(name);
        if (of == null) {
            of = new Answers();
        }
        of.add(answer);
        answers.put(name, of); // so that it is weighed again
    }

    // --- forgetting

    /** Part of a push message has come over a connection that tracks. The buffer is the caller's. */
    void pushed(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        View view = views.get(from.key);
        if (view == null || view.connection != from) {
            return; // nothing that is kept came over it
        }
        view.isPushedTooLong |= view.pushed.readableBytes() + length > INVALIDATION_BYTES_MAX;
        if (!view.isPushedTooLong) {
            view.pushed.writeBytes(in, index, length);
        }
        if (!ends) {
            return;
        }
        Optional<List<byte[]>> keys =
                view.isPushedTooLong ? Optional.empty() : PushMessage.keysOfInvalidation(view.pushed);
        view.isPushedTooLong = false;
        view.pushed.clear();
        if (keys.isPresent()) {
            keys.get().forEach(key -> forget(new Name(view, key)));
        } else {
            forget(view);
        }
    }

    private void forget(Name name) {
        invalidations++;
        answers.invalidate(name);
        name.view.underWay.getOrDefault(name, List.of()).forEach(Memory::drop);
    }

    /** Of one that has not been answered yet, the answer will be newer than what was said. */
    private static void drop(Fill fill) {
        if (fill.isAnswered) {
            fill.isDropped = true;
        }
    }

    private void forget(View view) {
        answers.asMap().keySet().removeIf(name -> name.view == view);
        view.underWay.values().forEach(fills -> fills.forEach(Memory::drop));
    }

    /** A connection that tracks is gone, and nobody will say any more what has changed. */
    void closed(BackendConnection connection) {
        View view = views.get(connection.key);
        if (view != null && view.connection == connection) {
            view.isOver = true;
            views.remove(connection.key);
            forget(view);
        }
    }

    /** A hold begins, the route is another one, or the proxy ends. */
    void forgetEverything() {
        views.values().forEach(this::forget);
    }

    MemoryCounts counts() {
        long kept = answers.policy().eviction().orElseThrow().weightedSize().orElse(0);
        return new MemoryCounts(hits, hitBytes, misses, joined, invalidations, kept, answers.estimatedSize());
    }
}
