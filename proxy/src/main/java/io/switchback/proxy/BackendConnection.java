package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.ReferenceCountUtil;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.ReplyScanner;
import io.switchback.tls.TlsFailure;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One connection to a server, with the runs that it was sent and has not answered.
 *
 * <p>Owned by one event loop, which is also the loop of every client that uses it. Replies are matched first in, first
 * out: the oldest run gets as many replies as it has commands, as the bytes come.
 *
 * <p>Invariant: {@link #unanswered} is in the order of sending, and each client's runs on it are in the client's order. A
 * reply of the proxy's own stands in it as a run without commands, so that it comes in its turn.
 *
 * <p>Of a fleet whose primary can change, errors are looked at one by one: by some ({@link NotPrimary}) the server says that it is no primary any
 * more and has not run the command. From the first of these on
 *
 * <ul>
 *   <li>nothing more is sent over this connection ({@link #isLeft}), and it is closed once all is answered, or lost;
 *   <li>of the client whose command that was, no reply is delivered any more: each of its commands behind has been answered likewise, or may have run, and
 *       a reply to it would come before that to the earlier one. Once all of a run is answered it is lost, and {@link LostCommands} has in
 *       their order which of its commands have certainly not run;
 *   <li>other clients, none of whose commands waits, get their replies as before.
 * </ul>
 *
 * <p>A replica's errors no client gets to see: it is the same with those, but that the connection is used on. Its answers are passed on only while they are young
 * enough ({@link Replicas}).
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class BackendConnection extends ChannelInboundHandlerAdapter implements Flushable {
    private static final Logger LOG = LoggerFactory.getLogger(BackendConnection.class);

    /** How long a server that is not the primary any more may take to answer what it was sent. */
    private static final long LEFT_MS = 1_000;

    /** More of an error is not waited for before it is looked at. */
    private static final int ERROR_BYTES_MAX = 256;

    final ConnectionKey key;
    final BackendRoute route;
    /** Where it goes. */
    final Endpoint server;
    /** Which replica that is, for reads; null where it is none. */
    final @Nullable Replica replica;

    private final ProxyLoop loop;
    private final Channel channel;
    private final TrafficRecorder.Counts traffic;
    private final ReplyScanner scanner = new ReplyScanner();
    private final ArrayDeque<Run> unanswered = new ArrayDeque<>();
    /** What came while this node might not serve: an answer of a fleet that others may have left. Bounded, as no more is read. */
    private final ArrayDeque<ByteBuf> notBelieved = new ArrayDeque<>();

    private final List<ClientSession> waitingForRoom = new ArrayList<>();
    private final long bytesOutstandingMax;

    private @Nullable ClientSession owner;
    /** Who is to own it, once the others have another one; until then they wait for that. */
    private @Nullable ClientSession nextOwner;
    /** Runs that others than the owner sent before it was the owner's. */
    private int runsOfOthers;

    private boolean paused;
    private long bytesOutstanding;
    private boolean open = true;
    /** Commands of clients have been sent over it, not only the proxy's own. */
    private boolean carriesClients;

    /** Not to be given to anybody else: it is in another database than its key says. */
    private boolean spoiled;

    private boolean outlivesRoute;
    /** Another server of the fleet can become its primary. */
    private final boolean primaryCanChange;
    /** Each answer is looked at where it begins. */
    private final boolean looksAtErrors;
    /** Its server is not the primary any more. */
    private boolean left;
    /** Of whom a command has not run that was sent over it. */
    private final Set<ClientSession> setAside = Collections.newSetFromMap(new IdentityHashMap<>(1));
    /** The beginning of an error that has not come whole. */
    private @Nullable ByteBuf errorBegun;

    private final long openedNanos;
    private long standsSinceNanos;
    /** The end of what was sent last is missing. */
    private boolean insideCommand;

    /** What the server calls it; 0 where nobody has asked. */
    private long clientId;

    private boolean flushAsked;
    private boolean closeOnceQuiet;
    private long usedAtNanos;

    BackendConnection(ProxyLoop loop, ConnectionKey key, BackendRoute route, Endpoint server, Channel channel) {
        this.loop = loop;
        this.key = key;
        this.route = route;
        this.server = server;
        this.channel = channel;
        this.traffic = loop.trafficOf(route.fleet().name());
        this.bytesOutstandingMax = loop.limits().bytesOutstandingPerBackendMax();
        this.usedAtNanos = loop.nanoTime();
        this.openedNanos = usedAtNanos;
        this.primaryCanChange = key.server() == null && Outages.canChange(route.fleet());
        this.replica = loop.replica(key, route);
        this.looksAtErrors = primaryCanChange || replica != null;
    }

    /** The session that has this connection to itself; null where it is shared or kept for later. */
    @Nullable
    ClientSession owner() {
        return owner;
    }

    boolean mayBeUsedBy(ClientSession session) {
        ClientSession only = owner != null ? owner : nextOwner;
        return !left && (only == null || only == session);
    }

    /** Anybody of its key may use it. */
    boolean isShared() {
        return owner == null && nextOwner == null;
    }

    /** Nobody else may use it any more, and {@link #own} is to follow; null where it does not. */
    void nextOwner(@Nullable ClientSession session) {
        nextOwner = session;
        if (session == null && owner == null) {
            readOn();
        }
    }

    void own(@Nullable ClientSession session) {
        owner = session;
        nextOwner = null;
        runsOfOthers = 0;
        if (session != null) {
            for (Run run : unanswered) {
                runsOfOthers += run.session == session || run.isLocal() ? 0 : 1;
            }
            resumeWaiting(); // for room on another connection
        }
        if (session == null || runsOfOthers > 0) {
            readOn();
        }
    }

    /**
     * It is about to be {@code next}'s own: what others have sent behind, and may be sent twice, they ask again over another connection, and
     * what comes for it here nobody gets. A client of whose commands one may not be sent twice waits for all of them here, lest they overtake
     * each other.
     */
    void letOthersAskAgain(ClientSession next) {
        Set<ClientSession> moving = new HashSet<>();
        Set<ClientSession> staying = new HashSet<>();
        for (Run run : unanswered) {
            if (run.session != null && run.session != next) {
                (mayBeAskedAgain(run) ? moving : staying).add(run.session);
            }
        }
        moving.removeAll(staying);
        if (moving.isEmpty()) {
            return;
        }
        List<Run> moved = new ArrayList<>();
        for (int left = unanswered.size(); left > 0; left--) {
            Run run = unanswered.remove();
            boolean moves = moving.contains(run.session);
            if (moves) {
                moved.add(run);
            }
            if (!moves) {
                unanswered.add(run);
            } else if (!run.isLocal()) {
                unanswered.add(new Run(next, Unpooled.EMPTY_BUFFER, run.commands, LeftOut.REPLIES, loop.nanoTime(), 1));
                bytesOutstanding -= run.requestBytes;
            }
        }
        for (Run run : moved) {
            if (run.counted) {
                loop.settled(run.commands, run.requestBytes);
            }
            run.sink.lost(run, "it carries a large reply to another client");
            run.release();
        }
    }

    private boolean mayBeAskedAgain(Run run) {
        boolean untouched = run.answered == 0 && !run.partial && !run.inPieces;
        return run.sink == run.session
                && (run.isLocal()
                        || (untouched
                                && !run.writes
                                && run.attempt < loop.limits().attemptsPerReadMax()));
    }

    /** For replies that somebody has asked for again elsewhere. */
    private enum LeftOut implements ReplySink {
        REPLIES;

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {}

        @Override
        public void answered(Run run) {}

        @Override
        public void lost(Run run, String why) {}
    }

    private void resumeWaiting() {
        waitingForRoom.forEach(loop::resumeLater);
        waitingForRoom.clear();
    }

    /** What others sent over it, before it was its owner's, is not all answered. */
    boolean carriesOthers() {
        return runsOfOthers > 0;
    }

    /**
     * Its server is not the fleet's primary any more: it is closed once everything sent has been answered, but within {@link #LEFT_MS}, since the
     * server may be cut off. Nothing more may be sent over it.
     */
    void leave() {
        if (!left && open) {
            left = true;
            loop.backends().leaves(this);
            resumeWaiting(); // for room on another connection
            loop.executor().schedule(this::closeLeft, LEFT_MS, TimeUnit.MILLISECONDS);
            closeOnceQuiet();
        }
    }

    private void closeLeft() {
        if (open) {
            giveUp("its server is not the primary any more, and did not answer within " + LEFT_MS + " ms");
            channel.close();
        }
    }

    boolean isLeft() {
        return left;
    }

    void spoil() {
        spoiled = true;
    }

    /** It is not closed with the others when the route changes; its session does that. */
    void outlivesRoute() {
        outlivesRoute = true;
    }

    boolean doesOutliveRoute() {
        return outlivesRoute;
    }

    boolean isSpoiled() {
        return spoiled;
    }

    /** What the server calls this connection (CLIENT ID); 0 where nobody has asked it. */
    long clientId() {
        return clientId;
    }

    void clientId(long id) {
        clientId = id;
    }

    boolean isOpen() {
        return open;
    }

    /** Who is there has been there since then at the latest. */
    long standsSinceNanos() {
        return standsSinceNanos;
    }

    /** The server has answered, or has taken the connection at least. */
    void stands() {
        standsSinceNanos = loop.nanoTime();
    }

    /** Part of a reply to a client has come. */
    boolean isInsideReply() {
        return scanner.insideReply();
    }

    boolean isQuiet() {
        return unanswered.isEmpty();
    }

    /** Whether another run may be sent now. */
    boolean hasRoom() {
        return open && bytesOutstanding < bytesOutstandingMax && (owner == null || loop.hasRoom());
    }

    /** The session is resumed once there is room. */
    void awaitRoom(ClientSession session) {
        if (owner != null && !loop.hasRoom()) {
            loop.awaitRoom(session);
            return;
        }
        loop.reached(Limit.BYTES_OUTSTANDING);
        waitingForRoom.add(session);
    }

    /** Whether it, and not the other one, was not used for longer. */
    boolean isUnusedForLongerThan(BackendConnection other) {
        return usedAtNanos - other.usedAtNanos < 0;
    }

    boolean idleSince(long nanos) {
        return unanswered.isEmpty() && usedAtNanos - nanos < 0;
    }

    /** Sends a run, which it takes over. */
    void send(Run run) {
        assert channel.eventLoop().inEventLoop();
        if (!open) {
            throw new IllegalStateException("a closed connection was asked to send");
        }
        if (insideCommand) {
            throw new IllegalStateException("something is sent in the middle of a command");
        }
        insideCommand = run.endIsMissing;
        if (run.session != null) {
            carriesClients = true;
            loop.sent(run.commands, run.requestBytes);
            run.counted = true;
            if (run.attempt == 1 && !key.tracks()) { // what memory asks for, it has said already
                loop.keyTraffic().passing(run, key.database());
            }
        }
        if (replica == null) {
            run.overReplica = null;
        } else {
            run.overReplica = this;
            run.hasAllUntilNanos = replica.hasAllUntilNanos();
            replica.sent(run.commands);
        }
        unanswered.add(run);
        bytesOutstanding += run.requestBytes;
        channel.write(run.request.retain(), channel.voidPromise());
        askFlush();
    }

    /** Sends more of the run that was sent last, whose end was missing; which it takes over. */
    void sendPiece(ByteBuf piece, boolean last) {
        if (!open) {
            throw new IllegalStateException("a closed connection was asked to send");
        }
        if (last) {
            unanswered.getLast().endIsMissing = false;
            insideCommand = false;
        }
        channel.write(piece, channel.voidPromise());
        askFlush();
    }

    /** Whether the server takes what it is sent: a large command waits until it does. */
    boolean isWritable() {
        return channel.isWritable();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        ClientSession session = owner;
        if (channel.isWritable() && session != null) {
            loop.resumeLater(session);
        }
    }

    /** Delivers a reply of the proxy's own after those to everything sent before. */
    void enqueueLocal(Run run) {
        if (unanswered.isEmpty()) {
            throw new IllegalStateException("a reply has nobody to wait for");
        }
        unanswered.add(run);
    }

    private void askFlush() {
        if (!flushAsked) {
            flushAsked = true;
            loop.flushLater(this);
        }
    }

    @Override
    public void flushNow() {
        flushAsked = false;
        if (carriesClients && loop.hasLapsed()) {
            loop.suspended(this);
        } else {
            channel.flush();
        }
    }

    /** What was not let through is, now that this node may serve again. */
    void goOn() {
        channel.flush();
        while (!notBelieved.isEmpty()) {
            take(notBelieved.remove());
        }
        channel.config().setAutoRead(!paused);
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ByteBuf in = (ByteBuf) message;
        if (open && carriesClients && loop.hasLapsed()) {
            notBelieved.add(in);
            channel.config().setAutoRead(false);
            loop.suspended(this);
        } else {
            take(in);
        }
    }

    private void take(ByteBuf in) {
        try {
            received(in);
        } finally {
            ReferenceCountUtil.release(in);
        }
    }

    private void received(ByteBuf in) {
        ByteBuf begun = errorBegun;
        if (begun != null) {
            errorBegun = null;
            begun.writeBytes(in, in.readerIndex(), in.readableBytes());
            try {
                received(begun);
            } finally {
                begun.release();
            }
            return;
        }
        int index = in.readerIndex();
        int limit = in.writerIndex();
        long now = loop.nanoTime();
        usedAtNanos = now;
        Run noted = null; // nothing is sent before all that has come is looked at
        while (index < limit && open) {
            if (scanner.isPush(in, index)) {
                index = pushed(in, index, limit);
                continue;
            }
            Run run = unanswered.peek();
            if (run == null) {
                broken("it sent a reply that nobody had asked for");
                return;
            }
            boolean begins = looksAtErrors && !scanner.insideReply();
            if (begins && run.overReplica != null && isTooOld(run, now)) {
                return;
            }
            if (begins) {
                if (in.getByte(index) == '-' && isUnfinished(in, index, limit)) {
                    errorBegun = in.alloc().buffer(ERROR_BYTES_MAX);
                    errorBegun.writeBytes(in, index, limit - index);
                    return;
                }
                if (setAside.contains(run.session)
                        || (replica == null
                                ? saysNotPrimary(run, in, index, limit)
                                : isErrorOfReplica(run, in, index, limit))) {
                    run.setAside();
                }
            }
            int wanted = run.wanted();
            boolean notRun = begins && run.notRun != null && NotPrimary.isSaidBy(in, index, limit - index);
            int end = looksAtErrors
                    ? scanner.scanToError(in, index, limit, wanted)
                    : scanner.scan(in, index, limit, wanted);
            if (end == ReplyScanner.MALFORMED) {
                broken("it sent what is not a reply");
                return;
            }
            BitSet known = run.notRun;
            if (known != null && notRun) {
                known.set(run.answered);
            }
            run.answered += scanner.completed();
            run.errors += scanner.errors();
            run.partial = scanner.insideReply();
            run.replyBytes += end - index;
            if (run.partial || run.measured != null) {
                loop.keyTraffic().replied(run, scanner, key.database());
            }
            if (run.writes && run != noted) {
                noted = run;
                loop.writesAnswered(run);
            }
            if (known == null) {
                run.sink.receive(run, in, index, end - index);
            }
            if (!open) {
                return; // who received it closed this, and the run is lost
            }
            index = end;
            if (run.partial && isShared()) {
                keepFromOthersIfLarge(run);
            }
            if (run.isAnswered()) {
                unanswered.poll();
                noted = null;
                answered(run, now);
                deliverLocals();
            }
        }
    }

    /** Of a replica, more than the cache allows for: then nothing that it says is believed until it has caught up. */
    private boolean isTooOld(Run run, long now) {
        Replica asked = replica;
        if (run.session == null || asked == null || now - run.hasAllUntilNanos <= asked.among.ageMaxNanos()) {
            return false;
        }
        giveUp("what its replica answers is too old");
        Encryption.closeNow(channel);
        return true;
    }

    /** Whether a replica answers by an error: the primary knows better whether that is one. */
    private boolean isErrorOfReplica(Run run, ByteBuf in, int index, int limit) {
        ClientSession session = run.session;
        if (session == null || run.sink != session || in.getByte(index) != '-') {
            return false;
        }
        if (replica != null && NotPrimary.isSaidBy(in, index, limit - index)) {
            replica.doubt();
        }
        setAside.add(session);
        return true;
    }

    /** All that this session had sent behind an error of a replica's has been left out; what it sends next is delivered again. */
    private void endAsideOf(@Nullable ClientSession session) {
        if (replica == null || session == null || !setAside.contains(session)) {
            return;
        }
        for (Run run : unanswered) {
            if (run.session == session) {
                return;
            }
        }
        setAside.remove(session);
    }

    private static boolean isUnfinished(ByteBuf in, int index, int limit) {
        return limit - index < ERROR_BYTES_MAX && in.indexOf(index, limit, (byte) '\n') < 0;
    }

    /** Whether the reply at {@code index} says so of a command that is to be sent again. */
    private boolean saysNotPrimary(Run run, ByteBuf in, int index, int limit) {
        if (!NotPrimary.isSaidBy(in, index, limit - index)) {
            return false;
        }
        loop.outages().denied(route.fleet(), server);
        leave();
        ClientSession session = run.session;
        if (session == null || run.inPieces) {
            return false; // nobody has it any more
        }
        boolean sentAgain = run.sink == session || run.sink.notRun(run);
        if (sentAgain) {
            setAside.add(session);
        }
        return sentAgain;
    }

    /** Others must not wait behind a large reply, nor keep the proxy from waiting until its client has read it. */
    private void keepFromOthersIfLarge(Run run) {
        ClientSession session = run.session;
        long bytes = run.replyBytes + scanner.bytesMissing();
        if (session != null
                && (run.sink == session || (run.isPart && !key.tracks()))
                && bytes >= ReplySizes.LARGE_BYTES
                && bytes / (run.answered + 1) >= ReplySizes.LARGE_BYTES) {
            if (replica == null) {
                loop.backends().keepFromOthers(session, this);
            } else {
                loop.backends().leaveTo(session, this);
            }
        }
    }

    /** The index behind what is taken. */
    private int pushed(ByteBuf in, int index, int limit) {
        ClientSession listener = owner;
        Memory memory = loop.memory();
        boolean isForMemory = key.tracks() && memory != null;
        if (listener == null && closeOnceQuiet) {
            close(); // it was left with nothing of a client's unanswered
            return limit;
        }
        if (listener == null && !isForMemory) {
            broken("it sent a push message that nobody had asked for");
            return limit;
        }
        int end = scanner.scanPush(in, index, limit);
        if (end == ReplyScanner.MALFORMED) {
            broken("it sent what is not a push message");
            return limit;
        }
        if (listener != null) {
            listener.pushed(this, in, index, end - index, !scanner.insidePush());
        } else if (memory != null) {
            memory.pushed(this, in, index, end - index, !scanner.insidePush());
        }
        return end;
    }

    /** The oldest run has been answered, by push messages in place of replies. */
    void answeredByPushes() {
        Run run = unanswered.remove();
        run.answered = run.commands;
        answered(run, loop.nanoTime());
        deliverLocals();
    }

    /**
     * Reads no more until {@link #readOn}: its owner, or the next one, who gets what it brings, does not keep up. Not where others wait for
     * replies over a connection that is the owner's already; there memory is bounded by {@link ProxyLimits#outputBytesPerClientMax}. Where a hold
     * waits for them it reads on until the output {@code isFull}: then the hold fails, and the client is not closed for it.
     */
    void pauseReading(boolean isFull) {
        boolean awaited = runsOfOthers > 0 || (!isFull && loop.isHolding() && oldestUnanswered() != null);
        if (!paused && !awaited) {
            paused = true;
            loop.pausedReading(this);
            channel.config().setAutoRead(false);
        }
    }

    /** Whether it is not read from, since its client does not keep up. */
    boolean isPaused() {
        return paused;
    }

    void readOn() {
        if (paused) {
            paused = false;
            loop.readsOn(this);
            if (notBelieved.isEmpty()) {
                channel.config().setAutoRead(true);
            }
        }
    }

    private void answered(Run run, long now) {
        bytesOutstanding -= run.requestBytes;
        if (replica != null) {
            replica.settled(run.commands);
            if (run.notRun != null) {
                replica.askedAgain(run.commands - run.deliveredBefore);
            } else if (run.counted) {
                replica.answered(run.commands, now - run.sentAtNanos);
            }
        }
        if (run.counted) {
            loop.settled(run.commands, run.requestBytes);
            if (run.timed && run.notRun == null) {
                traffic.answered(run.commands, run.errors, now - run.sentAtNanos);
            }
        }
        ClientSession waiting = owner;
        if (runsOfOthers > 0 && run.session != waiting && --runsOfOthers == 0 && waiting != null) {
            loop.resumeLater(waiting);
        }
        ReplySink sink = run.sink;
        boolean aside = run.notRun != null;
        if (aside) {
            run.endAside();
            sink.lost(run, "its server is not the primary any more");
            endAsideOf(run.session);
        } else {
            if (primaryCanChange) {
                loop.outages().answered(route.fleet(), openedNanos);
            }
            sink.answered(run);
        }
        run.release();
        if ((sink == run.session || run.isPart) && !aside) {
            loop.runs().giveBack(run);
        }
        if (!waitingForRoom.isEmpty() && bytesOutstanding < bytesOutstandingMax / 2 + 1) {
            resumeWaiting();
        }
        if (closeOnceQuiet && unanswered.isEmpty()) {
            close();
        }
    }

    private void deliverLocals() {
        Run next = unanswered.peek();
        while (next != null && next.isLocal()) {
            unanswered.poll();
            if (setAside.contains(next.session)) {
                next.sink.lost(next, "");
                endAsideOf(next.session);
            } else {
                next.sink.answered(next);
            }
            next.release();
            next = unanswered.peek();
        }
    }

    /** Closes it; what it has not answered is lost. */
    void close() {
        giveUp("it was closed");
        Encryption.closeNow(channel);
    }

    /** Closes it once everything sent has been answered. */
    void closeOnceQuiet() {
        closeOnceQuiet = true;
        if (unanswered.isEmpty()) {
            close();
        } else {
            readOn();
        }
    }

    private void broken(String why) {
        LOG.warn("a connection to fleet {} at {} is given up: {}", route.fleet().name(), server, why);
        giveUp(why);
        Encryption.closeNow(channel);
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        failedIfReplica();
        giveUp("the server closed it");
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (Encryption.isOfNetwork(cause)) {
            LOG.debug("a connection to fleet {} failed", route.fleet().name(), cause);
        } else {
            LOG.error(
                    "a mistake in Switchback ends a connection to fleet {}",
                    route.fleet().name(),
                    cause);
        }
        failedIfReplica();
        giveUp(TlsFailure.wordsOrMessage(cause));
        Encryption.closeNow(channel);
    }

    /** It broke, and was not closed here. */
    private void failedIfReplica() {
        if (replica != null && open && oldestUnanswered() != null) {
            replica.failed(loop.nanoTime());
        }
    }

    private void giveUp(String why) {
        if (!open) {
            return;
        }
        open = false;
        loop.noLongerSuspended(this);
        loop.readsOn(this);
        notBelieved.forEach(ByteBuf::release);
        notBelieved.clear();
        if (errorBegun != null) {
            errorBegun.release();
            errorBegun = null;
        }
        if (primaryCanChange && carriesClients && !left) {
            loop.outages().doubt(route.fleet());
        }
        loop.backends().closed(this);
        for (Run run = unanswered.poll(); run != null; run = unanswered.poll()) {
            if (run.counted) {
                loop.settled(run.commands, run.requestBytes);
            }
            if (replica != null) {
                replica.settled(run.commands);
                replica.askedAgain(run.counted ? run.commands - run.answered : 0);
            }
            if (setAside.contains(run.session)) {
                run.setAside();
            }
            run.endAside();
            run.sink.lost(run, why);
            run.release();
        }
        resumeWaiting();
    }

    /** The oldest run of a client that is not answered; null where there is none. */
    @Nullable
    Run oldestUnanswered() {
        for (Run run : unanswered) {
            if (run.counted) {
                return run;
            }
        }
        return null;
    }
}
