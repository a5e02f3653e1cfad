package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.RemovalCause;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Credential;
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
 * <p>Owned by its event loop, which has a memory and connections of its own for it: one for each user and database ({@link View}), in
 * RESP3 and with tracking on. Everything that is kept came over that connection, and what is not so any more is said over the same one, in order: at
 * any moment memory is what the server was when it sent the last bytes that have arrived. When the connection breaks, a hold begins or the route
 * changes, all of it is forgotten.
 *
 * <p>Why no client reads older than it has read or written: what it was answered over other connections may be ahead of that moment ({@link
 * ClientSession#isAheadOfMemory}). So a client's read is answered from memory only if nothing was sent for it elsewhere since its last answer over
 * that connection; any other read is sent over it, with nothing of the client's unanswered elsewhere, and its answer comes behind every invalidation
 * that what the client has seen could have caused. This holds for all writes, also those whose keys nobody can tell from their words.
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
    /** Of every user and database that has ever been read as; at most {@link #VIEWS_MAX}. */
    private final Map<ConnectionKey, View> views = new HashMap<>();

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

    /** The reads of one user in one database, and the connection that they go over. */
    final class View {
        final ConnectionKey key;
        private final Map<Name, List<Fill>> underWay = new HashMap<>();
        /** What has come of an invalidation. */
        private final ByteBuf pushed = Unpooled.buffer(0);

        private boolean isPushedTooLong;
        private boolean isPast;
        private long pastUntilNanos;

        View(ConnectionKey key) {
            this.key = key;
        }

        boolean isOf(@Nullable Credential identity, int database) {
            return key.database() == database && Objects.equals(key.identity(), identity);
        }

        Memory memory() {
            return Memory.this;
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

    /** {@code reply}: null where it is too long to be kept; such reads go past memory. */
    private record Answer(byte[] command, @Nullable ByteBuf reply, long askedAtNanos, long untilNanos) {
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

    /** What this user reads in this database; null where there are too many of these. */
    @Nullable
    View view(@Nullable Credential identity, int database) {
        ConnectionKey key = ConnectionKey.tracking(identity, database);
        View known = views.get(key);
        if (known == null && views.size() < VIEWS_MAX) {
            known = new View(key);
            views.put(key, known);
        }
        return known;
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
        private final View view;
        private final ByteBuf in;
        private final long now = loop.nanoTime();
        private @Nullable ByteBuf batch;
        private int count;

        Reads(ClientSession session, View view, ByteBuf in) {
            this.session = session;
            this.view = view;
            this.in = in;
        }

        /** Whether this one is answered from memory; what {@link #given} gives contains its answer then. */
        boolean give(int from, int end, int key) {
            Name name = new Name(view, argument(in, key));
            Answers of = answers.getIfPresent(name);
            Answer one = of == null ? null : of.to(in, from, end - from);
            ByteBuf reply = one == null || one.untilNanos - now <= 0 ? null : one.reply;
            if (one == null || reply == null || written.mayHaveMissed(name.key, one.askedAtNanos)) {
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

    /** Asks the fleet, for this client and to keep the answer. {@code key} is where the length line of the key begins. */
    Outcome ask(ClientSession session, View view, ByteBuf in, int from, int end, int key) {
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
        Fill same = session.isAheadOfMemory() || !session.isQuiet() ? null : underWay(view, name, in, from, end - from);
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
        if (!session.isQuiet() && !session.isUpstream(connection)) {
            return Outcome.PAST;
        }
        if (!connection.hasRoom()) {
            connection.awaitRoom(session);
            return Outcome.STUCK;
        }
        misses++;
        Fill fill = new Fill(session, name, copy(in, from, end - from), now);
        view.underWay.computeIfAbsent(name, any -> new ArrayList<>(1)).add(fill);
        session.fillsUnderWay++;
        session.sendToRemember(connection, new Run(session, in.retainedSlice(from, end - from), 1, fill, now, 1));
        connection.send(new Run(null, Wire.command(PTTL, name.key), 1, fill.timeToLive, now, 1));
        return Outcome.TAKEN;
    }

    private static final byte[] PTTL = {'P', 'T', 'T', 'L'};

    private static byte[] copy(ByteBuf in, int from, int length) {
        byte[] bytes = new byte[length];
        in.getBytes(from, bytes);
        return bytes;
    }

    private @Nullable Fill underWay(View view, Name name, ByteBuf in, int from, int length) {
        for (Fill fill : view.underWay.getOrDefault(name, List.of())) {
            if (!fill.isDropped
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
     * between as an invalidation concerns it.
     */
    final class Fill implements ReplySink {
        private final ClientSession session;
        private final Name name;
        private final byte[] command;
        private final long sentAtNanos;
        final TimeToLive timeToLive = new TimeToLive(this);
        private final List<ClientSession> waiting = new ArrayList<>(0);
        private @Nullable ByteBuf reply;
        private boolean isTooLong;
        private boolean isNilForResp2;
        private boolean isAnswered;
        private boolean isDropped;
        private boolean isOver;

        Fill(ClientSession session, Name name, byte[] command, long sentAtNanos) {
            this.session = session;
            this.name = name;
            this.command = command;
            this.sentAtNanos = sentAtNanos;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
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
            if (!isNilForResp2) {
                session.receive(run, in, index, length);
            }
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
                ByteBuf nil = Unpooled.wrappedBuffer(NIL_RESP2);
                session.receive(run, nil, 0, NIL_RESP2.length);
                nil.release();
            }
            isAnswered = true;
            if (run.errors > 0) {
                isDropped = true;
            }
            session.fillsUnderWay--;
            session.isUpToDateWithMemory();
            session.answered(run);
        }

        @Override
        public void lost(Run run, String why) {
            session.fillsUnderWay--;
            over();
            session.lost(run, why);
        }

        /** {@code millis} as PTTL says it. */
        private void timeToLiveIs(long millis) {
            long until = sentAtNanos + ageMaxNanos;
            if (millis >= 0) {
                until = sentAtNanos + Math.min(ageMaxNanos, TimeUnit.MILLISECONDS.toNanos(millis));
            }
            if (!isDropped && (reply != null || isTooLong)) {
                keep(name, new Answer(command, reply == null ? null : reply.retainedDuplicate(), sentAtNanos, until));
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
            return reply.getByte(0) == '_' && who.identity.protocol() == Protocol.RESP2
                    ? Unpooled.wrappedBuffer(NIL_RESP2)
                    : reply.copy();
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
        if (view == null) {
            return; // no read has ever gone over it
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
        if (view != null) {
            view.pushed.clear();
            view.isPushedTooLong = false;
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
