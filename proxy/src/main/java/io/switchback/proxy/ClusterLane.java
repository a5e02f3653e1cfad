package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.KeyPlaces;
import io.switchback.resp.KeySlot;
import io.switchback.resp.RequestScanner;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One session's commands that are under way to the shards of a cluster: sent over as many connections as there are shards, answered to the
 * client in its own order.
 *
 * <p>What a client has sent at once goes out as one {@link Part} for each server that it is about ({@link ShardBatch}); the {@link Turn}s have in which order the client
 * is to get their replies. Those whose turn it is are passed on as they come, the others
 * are kept; what is kept counts towards the limits of the client's output ({@link #isFull}). In each part the replies are
 * looked at one by one, since one may say that its command was not run ({@link NotExecuted}), or its connection may break. Then nothing more is taken from
 * the client until everything sent is answered; and what was not run is sent again in the client's order, one command after the other ({@link
 * LostCommands}), before anything else is.
 *
 * <p>So commands for one key keep their order. They are of one slot, and while something is unanswered they all go to one server: where a slot is
 * found to be at another one ({@link ClusterMap#version}) nothing is sent before all is answered. Where a later command for
 * a key has been run although an earlier one was not (a slot that comes and goes meanwhile, or whose move keeps commands of several keys waiting), the earlier one
 * would come too late: it is not sent again, and its client is told that it has not run.
 *
 * <p>Where the cache wants it, what only reads may go to a replica of its shard, where nothing else of the client's is under way ({@link ShardReplicas}). What a replica answers by an error, or as if
 * there was no key, counts as not run, and so does what stands behind it in that part; nothing else is sent until that is settled.
 *
 * <p>Owned by its session's event loop. Invariants: {@link #turns} is in the client's order; a part has turns until all its replies have been given to the client and it is
 * answered; every part is counted once in the session's unanswered runs, as long as it has turns; while the session has a transaction open or an operation under way there are none.
 */
final class ClusterLane {
    private static final String TOO_LATE =
            "TRYAGAIN switchback: the slot of this command was moved; the command has not run, and a later one of this client's for its key has";

    private static final int[] NONE = {};
    /** Room for the ends of kept replies, at first. */
    private static final int ENDS_FIRST = 16;

    private static final byte[] SCRIPT = "SCRIPT".getBytes(US_ASCII);
    private static final byte[] LOAD = "LOAD".getBytes(US_ASCII);

    private final ClientSession session;
    private final ArrayDeque<Turn> turns = new ArrayDeque<>();
    /** Of the session's user, database and protocol. */
    private final Map<Endpoint, BackendConnection> connections = new HashMap<>();
    /** Of the session's user: where what it reads of each server is kept. */
    private final Map<Endpoint, Memory.View> views = new HashMap<>(0);

    /** What the client has seen of each shard, by their primaries, where replicas may be read from: since the map of the cluster is the one that it is. */
    private final Map<Endpoint, ReadPlace> places = new HashMap<>(0);

    /** Of what is put together now: its number, the shards of which something is read, whether anything goes to a replica, and whether more may. */
    private int batchNumber;

    private final List<Endpoint> batchReads = new ArrayList<>(0);
    private boolean batchHasReplicas;
    private boolean batchReadsOnly;
    /** The command that was looked at last waits for a replica to have what the client has seen. */
    private boolean waitsForReplica;
    /** Where the commands go that were looked at last, if that is a replica. */
    private @Nullable BackendConnection toReplica;

    /** Parts that have turns and were sent to replicas. */
    private int partsAtReplicas;

    private @Nullable Endpoint target;
    private int version;
    private int unanswered;
    /** Parts that have turns, but for reads that are to be kept and replies of the proxy's own. */
    private int ordinary;
    /** Of answered parts that wait for their turn, their commands among it. */
    private long keptBytes;
    /** A command was not run, or its connection has broken. */
    private boolean troubled;
    /** What was not run has been sent again. */
    private boolean again;

    private boolean closed;

    ClusterLane(ClientSession session) {
        this.session = session;
        ClusterMap map = session.loop().cluster();
        this.version = map == null ? 0 : map.version();
    }

    /** Something is under way, or waits for its turn to be given to the client. */
    boolean isUnderWay() {
        return !turns.isEmpty();
    }

    /** Nothing may be taken from the client now; the session is resumed later. */
    boolean bars() {
        return troubled || again || partsAtReplicas > 0 || (!turns.isEmpty() && version != map().version());
    }

    /** What was sent last of what the client has not been given in full; null where nothing is under way. */
    @Nullable
    Part lastPart() {
        Turn last = turns.peekLast();
        return last == null ? null : last.part;
    }

    /** Whether all that is under way are reads that are to be kept, if anything is. */
    boolean hasOnlyReadsToBeKept() {
        return ordinary == 0;
    }

    /** More is kept than should be. */
    boolean isFull() {
        return keptBytes >= session.loop().limits().outputBytesPerClientPause();
    }

    private ClusterMap map() {
        ClusterMap map = session.loop().cluster();
        if (map == null) {
            throw new IllegalStateException("the fleet in use is no cluster");
        }
        return map;
    }

    // --- where commands go

    /**
     * Whether the plain command that was scanned last can be sent at once with those before it ({@link ShardBatch}); the {@code first} one begins anew. If not, it has to wait or needs a closer look.
     */
    boolean takes(ByteBuf in, int from, RequestScanner scanned, CommandRule rule, boolean first) {
        waitsForReplica = false;
        int slot;
        switch (rule.placement()) {
            case KEYS, SPLIT -> slot = session.loop().keys().slot(in, from, scanned, rule.keys());
            case ONE -> slot = CommandKeys.NO_SLOT;
            default -> {
                return false;
            }
        }
        if (slot == CommandKeys.SEVERAL_SLOTS) {
            return false;
        }
        Endpoint server = server(slot);
        ShardBatch batch = session.loop().shardBatch();
        ShardReplicas replicas = session.loop().shardReplicas();
        if (replicas != null) {
            boolean isRead = slot >= 0 && server != null && ShardReplicas.mayAnswer(rule, scanned.arguments());
            return takesOrWaits(replicas, batch, server, isRead, first);
        }
        if (first) {
            target = server;
            batch.begin(server);
            return true;
        }
        return server != null && !batch.isFull() && (batch.isForLast(server) || mayGoWith(batch, server));
    }

    /** As {@link #takes}, where replicas may be read from. */
    private boolean takesOrWaits(
            ShardReplicas replicas, ShardBatch batch, @Nullable Endpoint server, boolean isRead, boolean first) {
        if (first) {
            settleVersion();
            batchNumber++;
            batchReads.clear();
            batchHasReplicas = false;
            batchReadsOnly = isRead && session.isQuiet();
        } else if (!isRead && batchHasReplicas) {
            return false;
        }
        batchReadsOnly &= isRead;
        ReadPlace place = null;
        BackendConnection replica = null;
        if (batchReadsOnly && server != null) {
            place = place(server);
            replica = replica(replicas, server, place);
            if (waitsForReplica) {
                return false;
            }
        }
        Endpoint to = replica == null ? server : replica.server;
        if (first) {
            target = to;
            toReplica = replica;
            batch.begin(to);
        } else if (to == null
                || batch.isFull()
                || !(batch.isForLast(to) || batch.goesOnWith(to) || mayAdd(batch, to, replica))) {
            return false;
        }
        batchHasReplicas |= replica != null;
        if (place != null && replica == null) {
            place.goesToPrimary();
        }
        return true;
    }

    private ReadPlace place(Endpoint primary) {
        return places.computeIfAbsent(primary, any -> new ReadPlace());
    }

    /** The connection to a replica of that shard over which its reads go; null where they go to the primary, or {@link #waitsForReplica}. */
    private @Nullable BackendConnection replica(ShardReplicas replicas, Endpoint primary, ReadPlace place) {
        if (place.isChosenFor(batchNumber)) {
            return place.chosen();
        }
        Replicas ofShard = replicas.of(primary);
        long now = session.loop().nanoTime();
        BackendConnection chosen = null;
        if (ofShard == null || !session.mayReadFrom(ofShard, now)) {
            place.waitsNoLonger();
        } else {
            place.seenAlso(session.reads());
            chosen = place.choose(session, ofShard, true, now);
            waitsForReplica = place.waits();
        }
        if (!waitsForReplica) {
            place.choose(batchNumber, chosen);
            batchReads.add(primary);
        }
        return chosen;
    }

    /** Nothing was taken: the session is resumed once a replica may have what its client has seen. */
    boolean waitsForReplica() {
        return waitsForReplica;
    }

    /** What was put together is being sent. */
    private void countReads() {
        ShardReplicas replicas = session.loop().shardReplicas();
        if (replicas == null) {
            return;
        }
        for (Endpoint primary : batchReads) {
            int count = place(primary).takeAtPrimary();
            Replicas ofShard = replicas.of(primary);
            if (count > 0 && ofShard != null) {
                ofShard.atPrimary(count, ofShard.isAnyOfUse(session.loop().nanoTime()));
            }
        }
        batchReads.clear();
    }

    /** Another server than the command before is for. */
    private boolean mayGoWith(ShardBatch batch, Endpoint server) {
        return batch.goesOnWith(server) || mayAdd(batch, server, null);
    }

    private boolean mayAdd(ShardBatch batch, Endpoint server, @Nullable BackendConnection known) {
        if (target == null || session.shardTracking.isOn()) {
            return false; // what has changed is told behind the part that was sent last
        }
        if (batch.servers() == 1 && !batch.isConnected()) {
            BackendConnection first = targetConnection();
            if (first == null) {
                return false;
            }
            batch.connected(first);
        }
        BackendConnection connection = known == null ? connection(server) : known;
        return connection != null && batch.add(server, connection);
    }

    /** The command that begins there is sent alone. */
    void take(ByteBuf in, int from, @Nullable CommandRule rule) {
        toReplica = null;
        target = server(slot(in, from, rule));
    }

    /** The slot of a whole command. */
    int slot(ByteBuf in, int from, @Nullable CommandRule rule) {
        if (rule == null) {
            return CommandKeys.NO_SLOT;
        }
        CommandKeys keys = session.loop().keys();
        keys.find(in, from, rule.keys());
        return keys.slot(in);
    }

    /** As {@link #slot(ByteBuf, int, CommandRule)}. */
    int slot(byte[][] command, CommandRule rule) {
        if (rule.keys() instanceof KeyPlaces.First) {
            return command.length < 2 ? CommandKeys.NO_SLOT : KeySlot.of(command[1]);
        }
        ByteBuf encoded = Wire.command(command);
        int slot = slot(encoded, encoded.readerIndex(), rule);
        encoded.release();
        return slot;
    }

    /** A slot that nobody is known to have is asked for at any server, which says what there is to say. */
    @Nullable
    Endpoint server(int slot) {
        ClusterMap map = map();
        Endpoint server = map.server(slot);
        return server == null ? map.server(CommandKeys.NO_SLOT) : server;
    }

    /** Where the commands go that were looked at last. */
    @Nullable
    Endpoint target() {
        return target;
    }

    /** As {@link #connection}, to {@link #target}. */
    @Nullable
    BackendConnection targetConnection() {
        BackendConnection replica = toReplica;
        return replica == null ? connection(target) : replica;
    }

    /** The session's connection to that server if something can be sent now; else null, and the session is resumed later or {@link #failure} says why not. */
    @Nullable
    BackendConnection connection(@Nullable Endpoint server) {
        if (server != null && session.shardTracking.isOn()) {
            BackendConnection tracked = session.shardTracking.connection(server);
            if (tracked != null) {
                map().reached(server);
                return withRoom(tracked);
            }
            return null;
        }
        BackendConnection own = session.own().current();
        BackendConnection connection;
        if (own != null && own.server.equals(server) && !session.needsOwnConnection()) {
            connection = own; // it may have commands for the same keys
        } else {
            connection = server == null ? null : connections.get(server);
            if (connection == null || !connection.isOpen() || !connection.mayBeUsedBy(session)) {
                connection = session.loop().backends().shared(session.key(server), session);
                if (connection == null) {
                    return null;
                }
                if (server != null) {
                    connections.put(server, connection);
                }
            }
        }
        map().reached(connection.server);
        return withRoom(connection);
    }

    private @Nullable BackendConnection withRoom(BackendConnection connection) {
        if (!connection.hasRoom()) {
            connection.awaitRoom(session);
            return null;
        }
        return connection;
    }

    /** Why there is no connection; null where it is still to come: for a while another primary may be found. */
    @Nullable
    String failure(@Nullable Endpoint server) {
        ProxyLoop loop = session.loop();
        String failure = server != null && session.shardTracking.isOn()
                ? session.shardTracking.takeFailure(server)
                : loop.backends().failure(session.key(server));
        if (failure == null) {
            return null;
        }
        if (server != null) {
            map().avoid(server);
        }
        long now = loop.nanoTime();
        if (server == null || now - map().unreachableSince(server, now) > Retries.LIMIT_NANOS) {
            return failure;
        }
        loop.lookAgain();
        Retries.resumeInAMoment(session);
        return null;
    }

    /** Where what the session's user reads of that server is kept; null where there are too many of these. */
    Memory.@Nullable View view(Memory memory, Endpoint server) {
        Memory.View known = views.get(server);
        if (known == null || known.isOver()) {
            known = memory.view(session.identity.credential(), session.identity.database(), server);
            if (known != null) {
                views.put(server, known);
            }
        }
        return known;
    }

    /** The session is somebody else now, or the route is another one. */
    void forgetConnections() {
        connections.clear();
        views.clear();
        forgetPlaces();
    }

    /** Of each shard the client has seen whatever it has by now. */
    private void forgetPlaces() {
        places.clear();
        session.hasSeenNow();
    }

    // --- what is under way

    /** So many commands in a row, in the client's order, are that part's; none where it is a reply of the proxy's own. */
    private static final class Turn {
        private final Part part;
        private int left;

        Turn(Part part, int commands) {
            this.part = part;
            this.left = commands;
        }
    }

    /** Commands that were sent together to one server, and what has come back. */
    final class Part implements ReplySink {
        private final ByteBuf request;
        private final int commands;
        private final boolean writes;
        private final boolean silent;
        private final int attempt;
        /** Where they were sent; null for a reply of the proxy's own. */
        private final @Nullable Endpoint server;
        /** Which replica that is, over which connection; null where it is none. */
        private final @Nullable Replica replica;

        private final @Nullable BackendConnection overReplica;
        /** The primary of which the client is shown something. */
        private final @Nullable Endpoint primary;
        /** An error of a replica's has begun, and the client does not get it. */
        private boolean isLeft;
        /** How many answers of a replica were left. */
        private int left;
        /** A primary has answered just what a replica had. */
        private boolean saysTheSame;
        /** ASKING stands in front, whose reply is nobody's. */
        private int repliesToSkip;

        private final @Nullable Retries retries;
        /** Where it is a read that is to be kept. */
        private final Memory.@Nullable Fill fill;

        /** Where it is one command that is about scripts. */
        private final @Nullable ScriptCommand script;

        private boolean isAnswered;
        private boolean begun;
        private boolean kept;
        /** {@link Confirmations#losses} as of when the first of the replies came that the client has not been given. */
        private int losses;
        /** Why its connection broke. */
        private @Nullable String lost;
        /** How many of its commands have been answered, up to the first that was not run. */
        private int answered;
        /** To how many of these the client has been given the reply. */
        private int given;

        /** Part of a reply has been passed on. */
        private boolean passedInside;
        /** The last bytes of replies were not the end of one. */
        private boolean inside;
        /** Of the replies before that, as far as it is not their turn. */
        private @Nullable ByteBuf replies;
        /** Where in them replies end, how many do, and how many of those the client has been given. */
        private int[] ends = NONE;

        private int endsKnown;
        private int endsGiven;
        /** Part of an error. */
        private @Nullable ByteBuf error;
        /** From the first command that was not run on: its {@link NotExecuted}, or the bytes of its reply. */
        private @Nullable List<Object> outcomes;

        private @Nullable ByteBuf outcome;

        Part(
                ByteBuf request,
                int commands,
                boolean writes,
                boolean silent,
                int attempt,
                @Nullable BackendConnection over,
                @Nullable Retries retries,
                Memory.@Nullable Fill fill) {
            this.request = request;
            this.commands = commands;
            this.writes = writes;
            this.silent = silent;
            this.attempt = attempt;
            this.server = over == null ? null : over.server;
            this.replica = over == null ? null : over.replica;
            this.overReplica = replica == null ? null : over;
            this.primary = replica == null ? server : replica.among.primary();
            this.retries = retries;
            this.fill = fill;
            this.script = retries == null && commands > 0 ? session.script() : null;
            ordinary += isOrdinary() ? 1 : 0;
            partsAtReplicas += replica == null ? 0 : 1;
        }

        private boolean isOrdinary() {
            return server != null && fill == null;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            boolean begins = !inside;
            inside = run.partial;
            if (fill != null) {
                fill.collect(in, index, length); // others may wait for it
            }
            if (closed) {
                return;
            }
            if (fill != null && fill.isNilForResp2()) {
                if (!inside) {
                    ByteBuf nil = Memory.nilForResp2();
                    deliver(nil, 0, nil.readableBytes());
                    nil.release();
                }
                return;
            }
            if (repliesToSkip > 0) {
                repliesToSkip -= inside ? 0 : 1;
                return;
            }
            if (replica != null) {
                receiveFromReplica(run, in, index, length, begins);
                return;
            }
            if (retries != null && begins && !inside) {
                saysTheSame = retries.isSaidByReplicaOf(primary, version, in, index, length);
            }
            ByteBuf part = error;
            if (part == null && begins && in.getByte(index) == '-') {
                part = in.alloc().buffer(length);
                error = part;
            }
            if (part == null) {
                deliver(in, index, length);
                return;
            }
            part.writeBytes(in, index, length);
            if (!inside || part.readableBytes() > NotExecuted.BYTES_MAX) {
                error = null;
                NotExecuted answer = inside || server == null ? null : NotExecuted.read(part, server);
                if (answer == null && !inside) {
                    answer = scriptIsMissing(part);
                }
                if (answer == null) {
                    deliver(part, part.readerIndex(), part.readableBytes());
                } else {
                    notExecuted(run, answer, true);
                }
                part.release();
            }
        }

        /** Errors, and what may be said since the key is at another shard already, the client does not get. */
        private void receiveFromReplica(Run run, ByteBuf in, int index, int length, boolean begins) {
            ByteBuf part = error;
            boolean isError = begins && in.getByte(index) == '-';
            if (part == null && (isError || (begins && length <= ShardReplicas.OF_NO_KEY_BYTES_MAX))) {
                part = in.alloc().buffer(length);
                error = part;
            }
            if (part == null && !isLeft) {
                deliver(in, index, length);
                return;
            }
            if (part != null) {
                part.writeBytes(in, index, length);
                isError = part.getByte(part.readerIndex()) == '-';
                boolean isShort =
                        part.readableBytes() <= (isError ? NotExecuted.BYTES_MAX : ShardReplicas.OF_NO_KEY_BYTES_MAX);
                if (inside && isShort) {
                    return; // the rest of it says which it is
                }
                error = null;
                if (isError) {
                    doubt(part);
                    isLeft = true;
                }
                boolean isBelieved = !isError && (inside || !ShardReplicas.isOfNoKey(part));
                String said = isBelieved || isError ? "" : part.toString(ISO_8859_1);
                if (isBelieved) {
                    deliver(part, part.readerIndex(), part.readableBytes());
                } else if (!inside) {
                    isLeft = false;
                    left++;
                    notExecuted(run, NotExecuted.notBelieved(said), isError);
                }
                part.release();
            } else if (!inside) {
                isLeft = false; // the end of an error that is too long to be one of those
                left++;
                notExecuted(run, NotExecuted.notBelieved(""), true);
            }
        }

        /** Of a replica that is none of that shard's any more, or not yet, nothing more is asked until somebody has looked. */
        private void doubt(ByteBuf reply) {
            NotExecuted answer = server == null ? null : NotExecuted.read(reply, server);
            boolean isNone = answer != null
                    && (answer.kind() == NotExecuted.Kind.MOVED || answer.kind() == NotExecuted.Kind.DOWN);
            if (isNone && replica != null) {
                replica.doubt();
            }
        }

        /** EVALSHA of a script that can be brought there; null where this is another answer. */
        private @Nullable NotExecuted scriptIsMissing(ByteBuf reply) {
            NotExecuted answer = NotExecuted.readOfScript(reply);
            if (answer == null || commands == 0) {
                return null;
            }
            int number = answered + (outcomes == null ? 0 : outcomes.size());
            return scriptOf(this, beginnings(this)[number]) == null ? null : answer;
        }

        private void notExecuted(Run run, NotExecuted answer, boolean isError) {
            run.errors -= isError ? 1 : 0; // of the fleet it is none
            troubled = true;
            if (fill != null) {
                fill.notExecuted();
            }
            if (outcomes == null) {
                outcomes = new ArrayList<>();
            }
            outcomes.add(answer);
        }

        private void deliver(ByteBuf in, int index, int length) {
            if (script != null) {
                script.receive(in, index, length);
            }
            List<Object> later = outcomes;
            if (replies == null
                    && outcome == null
                    && (later == null || later.stream().noneMatch(ByteBuf.class::isInstance))) {
                losses = session.loop().confirmations().losses();
            }
            if (later != null) {
                ByteBuf so = outcome;
                if (so == null) {
                    so = in.alloc().buffer(length);
                    outcome = so;
                }
                so.writeBytes(in, index, length);
                kept(length);
                if (!inside) {
                    later.add(so);
                    outcome = null;
                }
                return;
            }
            answered += inside ? 0 : 1;
            Turn turn = turns.peek();
            if (turn != null && turn.part == this && replies == null) {
                passOn(in, index, length, inside ? 0 : 1, inside);
                if (!inside && !closed) {
                    given++;
                    turn.left--;
                    if (turn.left == 0 && given < commands) {
                        turns.remove();
                        go();
                    }
                }
                return;
            }
            ByteBuf so = replies;
            if (so == null) {
                so = in.alloc().buffer(length);
                replies = so;
            }
            so.writeBytes(in, index, length);
            if (!inside) {
                keepEnd(so.writerIndex());
            }
            kept(length);
        }

        private void keepEnd(int end) {
            if (endsKnown == ends.length) {
                ends = Arrays.copyOf(ends, Math.max(ENDS_FIRST, endsKnown * 2));
            }
            ends[endsKnown] = end;
            endsKnown++;
        }

        private void kept(int bytes) {
            keptBytes += bytes;
            if (keptBytes > session.loop().limits().outputBytesPerClientMax()) {
                session.closeForOutput(keptBytes);
            } else if (isFull() && server != null) {
                session.pauseOwn(server); // it is not the first one's, since that would have come before
                pauseReplica();
            }
        }

        private void passOn(ByteBuf in, int index, int length, int ended, boolean endsInside) {
            if (silent) {
                return;
            }
            if (writes && losses != session.loop().confirmations().losses()) {
                giveErrorsInstead(ended, endsInside);
                return;
            }
            passedInside = endsInside;
            boolean keeps = session.loop().confirmations().keeps();
            kept = begun ? kept && keeps : writes && keeps;
            begun = true;
            session.passOn(in, index, length, kept ? ended : -1, endsInside);
            if (overReplica != null && !session.readsReplies()) {
                pauseReplica();
            }
        }

        /** What was answered is lost, and nobody knows whether it will be confirmed. */
        private void giveErrorsInstead(int ended, boolean endsInside) {
            if (endsInside || passedInside) {
                session.closeInsideReply("what it had answered was not confirmed");
                return;
            }
            for (int i = 0; i < ended; i++) {
                ByteBuf error = session.unconfirmed();
                session.passOn(error, error.readerIndex(), error.readableBytes(), -1, false);
                error.release();
            }
        }

        /** Where a replica's connection has been left to this client for a large reply. */
        private void pauseReplica() {
            BackendConnection from = overReplica;
            if (from != null && !isAnswered) {
                session.pauseReadingOf(from);
            }
        }

        /** Of what is kept the client is given what it is the turn of. */
        private void give(Turn turn) {
            ByteBuf so = replies;
            if (so == null) {
                return;
            }
            replies = null; // who closes the client meanwhile does not release it
            int begin = so.readerIndex();
            int count = Math.min(turn.left, endsKnown - endsGiven);
            if (count > 0) {
                int end = ends[endsGiven + count - 1];
                passOn(so, begin, end - begin, count, false);
                so.readerIndex(end);
                endsGiven += count;
                given += count;
                turn.left -= count;
            }
            // Then the reply that has come in part, or the proxy's own.
            if (so.isReadable() && endsGiven == endsKnown && (turn.left > 0 || server == null)) {
                passOn(so, so.readerIndex(), so.readableBytes(), 0, inside);
                so.readerIndex(so.writerIndex());
            }
            keptBytes -= so.readerIndex() - begin;
            if (so.isReadable() && !closed) {
                replies = so;
            } else {
                endsKnown = 0;
                endsGiven = 0;
                so.release();
            }
        }

        /** Nothing is to be done about it any more. */
        private boolean isDone() {
            return isAnswered && lost == null && outcomes == null && given == commands;
        }

        @Override
        public void answered(Run run) {
            session.learn(run);
            if (script != null && outcomes == null) {
                script.answered(session.loop());
            }
            if (fill != null) {
                fill.came(run.errors > 0);
            }
            noteSeen(run);
            ended();
        }

        @Override
        public void lost(Run run, String why) {
            lost = why;
            troubled = true;
            if (fill != null) {
                fill.broke();
            }
            noteSeen(run);
            ended();
        }

        /** All that it has brought has come. */
        private void noteSeen(Run run) {
            if (session.loop().shardReplicas() == null) {
                return;
            }
            session.partCame(run);
            if (primary == null) {
                session.hasSeenNow(); // of a shard that is none any more
                return;
            }
            if (replica == null && saysTheSame && lost == null && outcomes == null) {
                return;
            }
            long now = session.loop().nanoTime();
            ReadPlace place = place(primary);
            place.seen(now, overReplica);
            if (replica != null && lost == null) {
                replica.left(left);
                place.left(left, now);
            }
        }

        private void ended() {
            isAnswered = true;
            unanswered--;
            if (closed) {
                release();
                return;
            }
            keptBytes += request.readableBytes();
            go();
        }

        private void release() {
            request.release();
            releaseReplies();
        }

        private void releaseReplies() {
            for (ByteBuf one : new @Nullable ByteBuf[] {replies, error, outcome}) {
                if (one != null) {
                    one.release();
                }
            }
            replies = null;
            error = null;
            outcome = null;
            if (outcomes != null) {
                outcomes.forEach(one -> {
                    if (one instanceof ByteBuf bytes) {
                        bytes.release();
                    }
                });
                outcomes = null;
            }
        }
    }

    /** Sends commands, which it takes over. */
    void send(BackendConnection connection, ByteBuf commands, int count, boolean writes) {
        send(connection, commands, count, writes, session.isSilent(), 1, null);
    }

    /** Sends one command that was not run, or whose connection broke, once more. Nothing else may be under way. */
    void sendAgain(
            BackendConnection connection,
            ByteBuf command,
            boolean writes,
            boolean silent,
            int attempt,
            @Nullable Retries retries) {
        again = true;
        send(connection, command, 1, writes, silent, attempt, retries);
    }

    private void send(
            BackendConnection connection,
            ByteBuf commands,
            int count,
            boolean writes,
            boolean silent,
            int attempt,
            @Nullable Retries retries) {
        settleVersion();
        countReads();
        // With indices of its own, since those of what is written move.
        Part part = new Part(commands.retainedDuplicate(), count, writes, silent, attempt, connection, retries, null);
        turns.add(new Turn(part, count));
        boolean asks = retries != null && retries.asks();
        ByteBuf bytes = commands;
        if (asks) {
            bytes = Unpooled.wrappedBuffer(Wire.command("ASKING"), bytes);
            part.repliesToSkip++;
        }
        byte[] body = retries == null ? null : retries.takeScript();
        if (body != null) {
            bytes = Unpooled.wrappedBuffer(Wire.command(SCRIPT, LOAD, body), bytes);
            part.repliesToSkip++;
        }
        ByteBuf caching = session.tracking.takeOfNext();
        if (caching != null) {
            bytes = Unpooled.wrappedBuffer(caching, bytes);
            part.repliesToSkip++;
        }
        ProxyLoop loop = session.loop();
        Run run = loop.runs().plain(session, bytes, count + part.repliesToSkip, loop.nanoTime(), writes);
        run.attempt = attempt;
        send(connection, part, run);
    }

    /** Sends a read that is to be kept, which it takes over, over the connection by which its server says what has changed. */
    void sendToBeKept(BackendConnection connection, ByteBuf command, Memory.Fill fill) {
        settleVersion();
        Part part = new Part(command.retainedDuplicate(), 1, false, false, 1, connection, null, fill);
        turns.add(new Turn(part, 1));
        ProxyLoop loop = session.loop();
        send(connection, part, loop.runs().plain(session, command, 1, loop.nanoTime(), false));
    }

    private void send(BackendConnection connection, Part part, Run run) {
        run.sink = part;
        run.isPart = true;
        run.silent = part.silent;
        unanswered++;
        session.sendPart(connection, run, part.commands);
    }

    private void settleVersion() {
        if (turns.isEmpty() && version != map().version()) {
            version = map().version();
            connections.clear(); // some may lead to servers that are none of the cluster's any more
            views.clear();
            forgetPlaces();
        }
    }

    /** Sends the plain commands from {@code start} on, of which the batch has where they end, to the servers that it has for them. */
    void send(ShardBatch batch, ByteBuf in, int start, boolean writes) {
        settleVersion();
        countReads();
        Part[] parts = new Part[batch.servers()];
        BackendConnection[] to = new BackendConnection[parts.length];
        for (int i = 0; i < parts.length; i++) {
            to[i] = batch.connection(i);
            parts[i] = new Part(
                    batch.commandsFor(i, in, start),
                    batch.commandsFor(i),
                    writes,
                    session.isSilent(),
                    1,
                    to[i],
                    null,
                    null);
        }
        Turn turn = null;
        for (int i = 0; i < batch.commands(); i++) {
            Part part = parts[batch.serverOf(i)];
            if (turn != null && turn.part == part) {
                turn.left++;
            } else {
                turn = new Turn(part, 1);
                turns.add(turn);
            }
        }
        ProxyLoop loop = session.loop();
        for (int i = 0; i < parts.length; i++) {
            ByteBuf bytes = parts[i].request.retainedDuplicate();
            send(to[i], parts[i], loop.runs().plain(session, bytes, parts[i].commands, loop.nanoTime(), writes));
        }
    }

    /** A reply of the proxy's own, in its turn; which is taken over. */
    void addLocal(ByteBuf reply) {
        Part part = new Part(Unpooled.EMPTY_BUFFER, 0, false, false, 1, null, null, null);
        part.isAnswered = true;
        part.replies = reply;
        keptBytes += reply.readableBytes();
        turns.add(new Turn(part, 0));
    }

    /** Gives the client what it is the turn of. */
    private void go() {
        for (Turn turn = turns.peek(); turn != null; turn = turns.peek()) {
            Part part = turn.part;
            part.give(turn);
            if (closed) {
                return;
            }
            boolean isDone = part.isDone();
            if (turn.left > 0 || (part.given == part.commands && !isDone)) {
                break;
            }
            turns.remove();
            if (isDone) {
                keptBytes -= part.request.readableBytes();
                part.release();
                session.shardTracking.given(part);
                partEnded(part);
            }
        }
        if (turns.isEmpty()) {
            again = false;
        }
        if (troubled && unanswered == 0) {
            giveUp();
        }
        session.readOnOwn();
        if (partsAtReplicas > 0 && session.readsReplies()) {
            readOn();
        }
    }

    /** The client keeps up again. */
    void readOn() {
        if (partsAtReplicas > 0) {
            for (Turn turn : turns) {
                BackendConnection from = turn.part.overReplica;
                if (from != null) {
                    from.readOn();
                }
            }
        }
    }

    private void partEnded(Part part) {
        boolean isOrdinary = part.isOrdinary();
        ordinary -= isOrdinary ? 1 : 0;
        partsAtReplicas -= part.replica == null ? 0 : 1;
        session.partEnded(part.commands, isOrdinary);
    }

    /** Those that have turns. */
    private Set<Part> parts() {
        Set<Part> all = new HashSet<>();
        turns.forEach(turn -> all.add(turn.part));
        return all;
    }

    // --- what was not run

    /** Everything sent is answered or lost, and something is to be sent again: from here on {@link LostCommands} has it, in the client's order. */
    private void giveUp() {
        for (Turn turn : turns) {
            if (turn.part.passedInside) {
                session.closeInsideReply(turn.part.lost);
                discardAll();
                return;
            }
        }
        leaveWhatReplicasSaidBehind();
        markThoseThatAreTooLate();
        List<LostCommands.Lost> rest = new ArrayList<>();
        Map<Part, Ungiven> ungiven = new HashMap<>();
        for (Turn turn : turns) {
            giveUp(turn, ungiven.computeIfAbsent(turn.part, Ungiven::new), rest);
        }
        for (Part part : parts()) {
            part.release();
            partEnded(part);
        }
        turns.clear();
        keptBytes = 0;
        troubled = false;
        again = false;
        session.lostCommands().addFirst(rest);
        session.loop().resumeLater(session);
    }

    /** The commands of a part to which the client has not been given the reply, from first to last. */
    private static final class Ungiven {
        private final int[] begins;
        private int next;
        private int nextReply;

        Ungiven(Part part) {
            begins = beginnings(part);
            next = part.given;
            nextReply = part.endsGiven;
        }
    }

    private void giveUp(Turn turn, Ungiven ungiven, List<LostCommands.Lost> rest) {
        Part part = turn.part;
        ByteBuf before = part.replies;
        if (part.server == null) {
            if (before != null && !part.silent) {
                rest.add(LostCommands.Lost.reply(before.retainedSlice()));
            }
            return;
        }
        for (int i = 0; i < turn.left; i++) {
            int number = ungiven.next++;
            int index = ungiven.begins[number];
            int length = ungiven.begins[number + 1] - index;
            List<Object> outcomes = part.outcomes;
            int at = number - part.answered;
            if (at < 0) {
                int reply = ungiven.nextReply++;
                if (before != null && !part.silent) {
                    int begin = reply == 0 ? 0 : part.ends[reply - 1];
                    rest.add(LostCommands.Lost.reply(
                            before.retainedSlice(begin, part.ends[reply] - begin), part.writes, part.losses));
                }
                continue;
            }
            switch (outcomes == null || at >= outcomes.size() ? null : outcomes.get(at)) {
                case ByteBuf reply -> {
                    if (!part.silent) {
                        rest.add(LostCommands.Lost.reply(reply.retain(), part.writes, part.losses));
                    }
                }
                case NotExecuted answer -> notRun(part, answer, index, length, rest);
                case null, default -> isLost(part, index, length, rest);
            }
        }
    }

    private void notRun(Part part, NotExecuted answer, int index, int length, List<LostCommands.Lost> rest) {
        Retries retries = part.retries == null ? new Retries(session) : part.retries;
        if (answer.kind() == NotExecuted.Kind.NO_SCRIPT) {
            byte[] body = scriptOf(part, index);
            if (body != null) {
                retries.bring(body);
            }
        }
        if (answer.kind() == NotExecuted.Kind.NOT_BELIEVED) {
            retries.wasAtReplicaOf(part.primary, version);
        }
        if (answer.kind() != NotExecuted.Kind.TOO_LATE && retries.again(answer)) {
            rest.add(LostCommands.Lost.again(
                    part.request.retainedSlice(index, length), part.attempt, part.silent, part.writes, retries));
            return;
        }
        session.loop().routeTraffic().notAnswered(1);
        if (!part.silent) {
            rest.add(LostCommands.Lost.reply(Wire.error(answer.error())));
        }
    }

    private void isLost(Part part, int index, int length, List<LostCommands.Lost> rest) {
        CommandRule rule = rule(part, index);
        if (rule != null && rule.repeatable() && session.lostCommands().mayTryAgain(part.attempt)) {
            if (part.retries != null) {
                part.retries.forgetNext(); // whether it still is asked for there, who has the slot says
            }
            rest.add(LostCommands.Lost.again(
                    part.request.retainedSlice(index, length), part.attempt + 1, part.silent, false, part.retries));
            return;
        }
        session.loop().routeTraffic().notAnswered(1);
        if (!part.silent) {
            String why = part.lost == null ? "it was closed" : part.lost;
            rest.add(LostCommands.Lost.reply(Wire.error(session.lostMessage(why))));
        }
    }

    /** What a replica has answered behind the first read that goes to the primary instead goes there too: it might be older than what that one shows. */
    private void leaveWhatReplicasSaidBehind() {
        for (Part part : parts()) {
            List<Object> outcomes = part.outcomes; // these begin with that one
            if (part.replica == null || outcomes == null) {
                continue;
            }
            outcomes.replaceAll(outcome -> {
                if (outcome instanceof ByteBuf reply) {
                    reply.release();
                    return NotExecuted.notBelieved("");
                }
                return outcome;
            });
        }
    }

    /** Commands that were not run although a later one for a key of theirs was, or may have been. */
    private void markThoseThatAreTooLate() {
        Set<ByteBuffer> run = new HashSet<>();
        CommandKeys keys = session.loop().keys();
        Map<Part, int[]> begins = new HashMap<>();
        Map<Part, Integer> behind = new HashMap<>();
        for (Iterator<Turn> backwards = turns.descendingIterator(); backwards.hasNext(); ) {
            Turn turn = backwards.next();
            Part part = turn.part;
            int[] of = begins.computeIfAbsent(part, ClusterLane::beginnings);
            int end = behind.getOrDefault(part, part.commands);
            behind.put(part, end - turn.left);
            for (int i = end - 1; i >= end - turn.left; i--) {
                List<Object> outcomes = part.outcomes;
                int at = i - part.answered;
                Object outcome = outcomes == null || at < 0 || at >= outcomes.size() ? null : outcomes.get(at);
                boolean wasNotRun = outcome instanceof NotExecuted;
                boolean isTooLate = false;
                int count = keys.find(part.request, of[i], places(part, of[i]));
                for (int key = 0; key < count; key++) {
                    ByteBuffer bytes = ByteBuffer.wrap(keys.key(part.request, key));
                    if (wasNotRun) {
                        isTooLate |= run.contains(bytes);
                    } else {
                        run.add(bytes);
                    }
                }
                boolean onlyReads = outcome instanceof NotExecuted one && one.kind() == NotExecuted.Kind.NOT_BELIEVED;
                if (isTooLate && !onlyReads && outcomes != null && outcome instanceof NotExecuted answer) {
                    outcomes.set(at, answer.tooLate(TOO_LATE));
                }
            }
        }
    }

    /** The text of the script that EVALSHA there names; null where it is not remembered, may itself say that there is none, or the command is another one. */
    private byte @Nullable [] scriptOf(Part part, int from) {
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        scanner.next(part.request, from);
        CommandRule rule = CommandTable.find(part.request, from + scanner.nameOffset(), scanner.nameLength());
        if (rule == null || !rule.name().startsWith("evalsha") || scanner.arguments() < 2) {
            return null;
        }
        byte[] body = session.loop().scripts().find(RequestScanner.copyArguments(part.request, from, 2)[1]);
        return body == null || Wire.text(body).contains("NOSCRIPT") ? null : body;
    }

    private static KeyPlaces places(Part part, int from) {
        CommandRule rule = rule(part, from);
        return rule == null ? KeyPlaces.NONE : rule.keys();
    }

    private static @Nullable CommandRule rule(Part part, int from) {
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        scanner.next(part.request, from);
        return CommandTable.find(part.request, from + scanner.nameOffset(), scanner.nameLength());
    }

    /** Where each command of a part begins, and where the last one ends. */
    private static int[] beginnings(Part part) {
        RequestScanner each = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int[] begins = new int[part.commands + 1];
        begins[0] = part.request.readerIndex();
        for (int i = 0; i < part.commands; i++) {
            each.next(part.request, begins[i]);
            begins[i + 1] = each.end();
        }
        return begins;
    }

    // --- endings

    /** Nobody waits for the replies any more. */
    void clientGone() {
        closed = true;
        readOn(); // what is under way there is read to its end, since its connection is the session's until then
        discardAll();
    }

    private void discardAll() {
        for (Part part : parts()) {
            part.releaseReplies();
            if (part.isAnswered) {
                part.request.release();
            }
        }
        turns.clear();
        connections.clear();
        views.clear();
        ordinary = 0;
        partsAtReplicas = 0;
        keptBytes = 0;
        troubled = false;
        again = false;
    }
}
