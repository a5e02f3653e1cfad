package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.ReferenceCountUtil;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.ReplyScanner;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
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
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class BackendConnection extends ChannelInboundHandlerAdapter implements Flushable {
    private static final Logger LOG = LoggerFactory.getLogger(BackendConnection.class);

    final ConnectionKey key;
    final BackendRoute route;
    /** Where it goes. */
    final Endpoint server;

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
    }

    /** The session that has this connection to itself; null where it is shared or kept for later. */
    @Nullable
    ClientSession owner() {
        return owner;
    }

    boolean mayBeUsedBy(ClientSession session) {
        ClientSession only = owner != null ? owner : nextOwner;
        return only == null || only == session;
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

    private void resumeWaiting() {
        waitingForRoom.forEach(loop::resumeLater);
        waitingForRoom.clear();
    }

    /** What others sent over it, before it was its owner's, is not all answered. */
    boolean carriesOthers() {
        return runsOfOthers > 0;
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

    boolean isQuiet() {
        return unanswered.isEmpty();
    }

    /** Whether another run may be sent now. */
    boolean hasRoom() {
        return open && bytesOutstanding < bytesOutstandingMax;
    }

    /** The session is resumed once there is room. */
    void awaitRoom(ClientSession session) {
        loop.reached(Limit.BYTES_OUTSTANDING);
        waitingForRoom.add(session);
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
            loop.sent(run.commands);
            run.counted = true;
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
        int index = in.readerIndex();
        int limit = in.writerIndex();
        long now = loop.nanoTime();
        usedAtNanos = now;
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
            int end = scanner.scan(in, index, limit, run.commands - run.answered);
            if (end == ReplyScanner.MALFORMED) {
                broken("it sent what is not a reply");
                return;
            }
            run.answered += scanner.completed();
            run.errors += scanner.errors();
            run.partial = scanner.insideReply();
            run.replyBytes += end - index;
            if (run.writes) {
                loop.writesAnswered(run);
            }
            run.sink.receive(run, in, index, end - index);
            if (!open) {
                return; // who received it closed this, and the run is lost
            }
            index = end;
            if (run.partial && isShared()) {
                keepFromOthersIfLarge(run);
            }
            if (run.isAnswered()) {
                unanswered.poll();
                answered(run, now);
                deliverLocals();
            }
        }
    }

    /** Others must not wait behind a large reply, nor keep the proxy from waiting until its client has read it. */
    private void keepFromOthersIfLarge(Run run) {
        ClientSession session = run.session;
        long bytes = run.replyBytes + scanner.bytesMissing();
        if (session != null
                && run.sink == session
                && bytes >= ReplySizes.LARGE_BYTES
                && bytes / (run.answered + 1) >= ReplySizes.LARGE_BYTES) {
            loop.backends().keepFromOthers(session, this);
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
     * replies over a connection that is the owner's already, nor where a hold waits for them; there memory is bounded by
     * {@link ProxyLimits#outputBytesPerClientMax}.
     */
    void pauseReading() {
        boolean awaited = runsOfOthers > 0 || (loop.isHolding() && oldestUnanswered() != null);
        if (!paused && !awaited) {
            paused = true;
            loop.pausedReading(this);
            channel.config().setAutoRead(false);
        }
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
        if (run.counted) {
            loop.settled(run.commands);
            if (run.timed) {
                traffic.answered(run.commands, run.errors, now - run.sentAtNanos);
            }
        }
        ClientSession waiting = owner;
        if (runsOfOthers > 0 && run.session != waiting && --runsOfOthers == 0 && waiting != null) {
            loop.resumeLater(waiting);
        }
        ReplySink sink = run.sink;
        sink.answered(run);
        run.release();
        if (sink == run.session) {
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
            next.sink.answered(next);
            next.release();
            next = unanswered.peek();
        }
    }

    /** Closes it; what it has not answered is lost. */
    void close() {
        giveUp("it was closed");
        channel.close();
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
        channel.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        giveUp("the server closed it");
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (cause instanceof IOException) {
            LOG.debug("a connection to fleet {} failed", route.fleet().name(), cause);
        } else {
            LOG.error(
                    "a mistake in Switchback ends a connection to fleet {}",
                    route.fleet().name(),
                    cause);
        }
        giveUp(String.valueOf(cause.getMessage()));
        channel.close();
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
        loop.backends().closed(this);
        for (Run run = unanswered.poll(); run != null; run = unanswered.poll()) {
            if (run.counted) {
                loop.settled(run.commands);
            }
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
