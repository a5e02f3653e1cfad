package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.unix.DomainSocketAddress;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.InlineCommand;
import io.switchback.resp.KeyPlaces;
import io.switchback.resp.Protocol;
import io.switchback.resp.RequestScanner;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.util.Deque;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client: takes its commands in order, has them answered in order.
 *
 * <p>Owned by one event loop. Everything happens in {@link #pump}, which goes on with the client's commands until there are
 * none, or until something must be waited for; whoever brings that about calls {@link ProxyLoop#resumeLater}. What is not
 * taken stays in {@link #received} as it came, and reading stops, so that a client that cannot be served is slowed down and
 * not buffered.
 *
 * <p>Invariants: all runs of a client that are not answered are on one connection ({@link #upstream}), except where the fleet is a
 * cluster: there they are in the {@link ClusterLane}, or belong to one operation. Nothing is sent
 * while the loop holds; no command is taken while an {@link Operation} is under way.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class ClientSession extends ChannelInboundHandlerAdapter implements ReplySink {
    private static final Logger LOG = LoggerFactory.getLogger(ClientSession.class);

    /** A command of no more is performed however much there is of others, lest those keep everybody from MULTI. */
    private static final int ALWAYS_PERFORMED_BYTES = 16 * 1024;

    private static final @Nullable CommandRule EVALSHA = CommandTable.find("evalsha");
    private static final @Nullable CommandRule EVALSHA_RO = CommandTable.find("evalsha_ro");

    private final ProxyLoop loop;
    private final Channel channel;
    private final String address;
    private final RequestScanner scanner;
    private final ClientOutput output;
    private final ReceivedBytes received = new ReceivedBytes();
    private final LostCommands lost = new LostCommands(this);

    final SessionIdentity identity;
    final Transaction transaction;
    final Subscriptions subscriptions = new Subscriptions(this);
    final Tracking tracking = new Tracking(this);
    final ShardTracking shardTracking = new ShardTracking(this);
    final ConnectionModes modes = new ConnectionModes();
    final Monitor monitor = new Monitor(this);
    private final ReplySizes replySizes = new ReplySizes();

    private @Nullable BackendConnection upstream;
    /** What is under way at the shards of a cluster; null for a client that has never been in front of one. */
    private @Nullable ClusterLane lane;
    /** Where the connection of this client's own has to lead in a cluster; null where any server will do. */
    private @Nullable Endpoint ownServer;

    private @Nullable Operation operation;
    /** Brings what lives on the own connection to another one. */
    private @Nullable Operation replay;
    /** A command that goes on as it comes. */
    private @Nullable LargeCommand large;

    private int runsUnanswered;
    private int commandsInFlight;
    private int receivingBytes;
    /** Of the command that {@link #operation} keeps, where it is long. */
    private int performedBytes;

    private boolean pumping;
    private boolean closed;
    private boolean resumable;
    private final OwnConnection own = new OwnConnection(this);
    private Set<Redirect> redirects = Set.of();

    /** CLIENT REPLY OFF, and SKIP for the next command. */
    private boolean repliesOff;

    private boolean skipsNext;
    /** The command that was taken last gets no reply. */
    private boolean silent;
    /** A large command that was collected waits for the own connection. */
    private boolean largeIsNext;
    /** Reads of this client's that are under way to be kept. */
    int fillsUnderWay;
    /** When it had its last answer from elsewhere than what is kept comes from: see {@link Memory}. */
    private long seen;

    private Memory.@Nullable View memoryView;

    // Of use where reads may go to replicas, and kept only there: see Replicas.
    /** What it has seen of the fleet in use; of a cluster only what is not kept shard by shard ({@link ClusterLane}). */
    private final ReadPlace reads = new ReadPlace();
    /** Whether, and when, its last write was answered. */
    private boolean hasWritten;

    private long wroteNanos;
    /** What the command that is being sent is about, where that is scripts. */
    private @Nullable ScriptCommand script;

    ClientSession(ProxyLoop loop, Channel channel, long id) {
        this.loop = loop;
        this.transaction = new Transaction(loop);
        this.channel = channel;
        SocketAddress from = channel.remoteAddress();
        this.address = shown(from instanceof InetSocketAddress ? from : channel.localAddress());
        this.output = new ClientOutput(loop, channel, address, this::resumeWhereStuck);
        this.scanner = new RequestScanner(loop.limits().bulkBytesMax(), SessionCommands.RESERVED);
        this.identity = new SessionIdentity(id, loop.nanoTime());
    }

    // --- what comes from the client

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        ByteBuf in = (ByteBuf) message;
        if (output.hasEnded() || closed) {
            in.release();
            return;
        }
        received.add(in, context.alloc());
        pump();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (output.isReading()) {
            readOn();
            loop.resumeLater(this);
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        closed();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (Encryption.isOfNetwork(cause)) {
            LOG.debug("client {} failed", address, cause);
        } else {
            LOG.error("a mistake in Switchback ends the connection of client {}", address, cause);
        }
        channel.close();
    }

    private void closed() {
        if (closed) {
            return;
        }
        closed = true;
        output.discardKept();
        loop.confirmations().forget(this);
        received.release();
        loop.receivingBytesChanged(-receivingBytes);
        receivingBytes = 0;
        lost.discard();
        if (lane != null) {
            lane.clientGone();
        }
        if (operation != null) {
            operation.clientGone();
        }
        if (large != null) {
            large.clientGone();
            large = null;
        }
        subscriptions.clientGone();
        monitor.off();
        readOn();
        own.clientGone();
        tracking.off();
        redirects.forEach(Redirect::targetCloses);
        redirects = Set.of();
        operation = null;
        notePerformed(0);
        replay = null;
        transaction.ended();
        loop.closed(this);
    }

    /** Goes on with this client's commands as far as possible. */
    void pump() {
        if (pumping || closed) {
            return;
        }
        pumping = true;
        try {
            while (!closed && !output.hasEnded() && step()) {
                // each step takes one thing on
            }
        } finally {
            pumping = false;
        }
        if (!closed) {
            received.trim();
            noteReceiving();
            boolean wantsMore =
                    !output.hasEnded() && (!stuck || !received.bytes().isReadable() || readsOnWhileItWaits());
            if (channel.config().isAutoRead() != wantsMore) {
                channel.config().setAutoRead(wantsMore);
            }
        }
    }

    /**
     * Whoever waits for an element may leave, which is noticed by reading what it has sent behind the command; or, where that is much, by
     * asking the system.
     */
    private boolean readsOnWhileItWaits() {
        if (!(operation instanceof Waiting waiting)) {
            return false;
        }
        boolean readsOn = received.bytes().readableBytes() < Waiting.READ_ON_BYTES_MAX;
        if (!readsOn) {
            waiting.watchClient();
        }
        return readsOn;
    }

    /** Whether the last step ended for another reason than that there are no more whole commands. */
    private boolean stuck;

    private boolean step() {
        stuck = true;
        LargeCommand begun = large;
        if (begun != null && begun.hasBegun()) {
            return goOn(begun); // a hold waits for its end
        }
        if (loop.isHolding() || loop.hasLapsed()) {
            return false;
        }
        if (loop.isSharded()) {
            subscriptions.keepUp();
        }
        // These first, since an EXEC that waits can only go over a connection that has the queue.
        if (replay == null && !subscriptions.areOn(own.current())) {
            replay = new Resubscribe(this);
        }
        if (replay == null && !loop.isSharded() && tracking.mustBeAsked()) {
            replay = new TrackAgain(this);
        }
        if (replay == null && modes.mustBeSaid()) {
            replay = new ModesAgain(this);
        }
        if (replay == null && monitor.mustBeAsked()) {
            replay = monitor.asking(true);
        }
        if (transaction.misplaced && replay == null) {
            if (!isQuiet()) {
                return false;
            }
            transaction.misplaced = false;
            leaveForAnother();
        }
        // In front of a cluster it stays nowhere until it is known which shard it is for.
        if (replay == null && transaction.open && !transaction.placed && (transaction.wanted || !loop.isSharded())) {
            replay = new ReplayTransaction(this);
        }
        if (replay != null) {
            if (replay.proceed()) {
                replay = null;
                return true;
            }
            return false;
        }
        // What an operation waits for may be here: its reply must not come before these.
        if (!lost.isEmpty()) {
            return lost.next();
        }
        ClusterLane underWay = lane;
        if (underWay != null && underWay.bars()) {
            return false;
        }
        if (!keepsReplies() && shardTracking.hasLate() && (underWay == null || !underWay.isUnderWay())) {
            shardTracking.givenAll();
        }
        if (shardTracking.isOn()) {
            shardTracking.keepUp();
        }
        if (operation != null) {
            if (operation.proceed()) {
                operation = null;
                notePerformed(0);
                return true;
            }
            return false;
        }
        if (tracking.isForgetting()) {
            return false;
        }
        if (large != null) {
            return goOn(large);
        }
        if (!output.isReading() || (underWay != null && underWay.isFull())) {
            loop.reached(Limit.OUTPUT_PAUSE);
            return false;
        }
        if (commandsInFlight >= inFlightMax()) {
            loop.reached(Limit.COMMANDS_IN_FLIGHT);
            return false;
        }
        boolean ownIsOfUse = needsOwnConnection() || largeIsNext || !replySizes.areSmall();
        if (own.current() != null && runsUnanswered == 0 && !ownIsOfUse) {
            leaveOwnConnection(true);
        }
        return take();
    }

    private boolean goOn(LargeCommand command) {
        LargeCommand.Outcome outcome = command.proceed(received.bytes());
        if (command.hasBegun()) {
            skipsNext = false;
        }
        stuck = outcome != LargeCommand.Outcome.NEEDS_BYTES;
        return switch (outcome) {
            case ON -> true;
            case NEEDS_BYTES, WAITS -> false;
            case OVER, COLLECT -> {
                large = null;
                yield true;
            }
        };
    }

    private int inFlightMax() {
        return replySizes.inFlightMax(
                loop.limits().commandsInFlightPerClientMax(), loop.limits().outputBytesPerClientPause());
    }

    /** Takes the next run of plain commands, or the next other one. */
    private boolean take() {
        ByteBuf in = received.bytes();
        int start = in.readerIndex();
        int from = start;
        int commands = 0;
        int commandsMax = skipsNext || tracking.isSaidOfNext() ? 1 : inFlightMax() - commandsInFlight;
        boolean guarded = loop.guard() != null;
        boolean restricted = isRestricted() || monitor.isOn();
        boolean writes = false;
        // Within a transaction each one is looked at, lest it is for another shard.
        boolean sharded = loop.isSharded();
        ClusterLane toShards = sharded && !transaction.open ? lane() : null;
        Memory memory = restricted || !mayReadFromMemory() ? null : loop.memory();
        Replicas replicas = sharded ? null : loop.replicas();
        boolean mayGoToReplica = false;
        BackendConnection toReplica = null;
        while (true) {
            RequestScanner.Outcome outcome = scanner.next(in, from);
            if (outcome == RequestScanner.Outcome.COMMAND) {
                CommandRule rule = CommandTable.find(in, from + scanner.nameOffset(), scanner.nameLength());
                noteUse(rule, in, from);
                boolean plain = rule != null
                        && rule.treatment() == CommandRule.Treatment.PLAIN
                        && (!guarded || rule.repeatable())
                        && !restricted
                        && !scanner.marked()
                        && scanner.end() - from < LargeCommand.ARGUMENT_BYTES;
                if (plain && memory != null && commands == 0 && Memory.keeps(rule) && scanner.arguments() > 1) {
                    switch (takeFromMemory(memory, in, from)) {
                        case TAKEN -> {
                            return true;
                        }
                        case STUCK -> {
                            scanner.reset();
                            return false;
                        }
                        case PAST -> {
                            memory = null;
                            scanner.reset();
                            continue;
                        }
                    }
                }
                if (plain && sharded && rule != null) {
                    plain = toShards != null
                            && commands < commandsMax
                            && toShards.takes(in, from, scanner, rule, commands == 0);
                    if (!plain && commands == 0 && toShards != null && toShards.waitsForReplica()) {
                        scanner.reset();
                        return false;
                    }
                }
                if (plain && replicas != null) {
                    if (commands == 0 && Replicas.mayAnswer(rule)) {
                        mayGoToReplica = true;
                        toReplica = replica(replicas);
                        if (toReplica == null && reads.waits()) {
                            scanner.reset();
                            return false;
                        }
                    } else if (toReplica != null) {
                        plain = Replicas.mayAnswer(rule);
                    }
                }
                if (plain && commands < commandsMax) {
                    if (toShards != null) {
                        loop.shardBatch().took(from, scanner.end());
                    }
                    commands++;
                    writes |= rule == null || !rule.repeatable();
                    from = scanner.end();
                    continue;
                }
                if (commands > 0) {
                    return sendRun(in, start, from, commands, writes, toReplica, mayGoToReplica);
                }
                return takeOne(in, from, scanner.end(), rule, scanner.marked());
            }
            if (commands > 0) {
                if (outcome != RequestScanner.Outcome.INCOMPLETE) {
                    scanner.reset();
                }
                return sendRun(in, start, from, commands, writes, toReplica, mayGoToReplica);
            }
            switch (outcome) {
                case NOTHING -> {
                    skipsNext = false; // to the server this too is what comes next
                    from = scanner.end();
                    start = from;
                    in.readerIndex(from);
                }
                case INLINE -> {
                    return takeInline(in, from, scanner.end());
                }
                case MALFORMED -> {
                    if (scanner.error().equals(RequestScanner.INVALID_BULK_LENGTH)) {
                        loop.reached(Limit.BULK_BYTES);
                    }
                    return endWith(scanner.error());
                }
                case INCOMPLETE -> {
                    large = largeCommand(in, from, restricted);
                    stuck = false;
                    return large != null;
                }
                case COMMAND -> throw new AssertionError("handled above");
            }
        }
    }

    // --- reading from replicas

    /** The connection to a replica over which the next read goes; null where it goes to the primary, or {@link ReadPlace#waits}. */
    private @Nullable BackendConnection replica(Replicas replicas) {
        long now = loop.nanoTime();
        if (!mayReadFrom(replicas, now)) {
            reads.waitsNoLonger();
            return null;
        }
        return reads.choose(this, replicas, isQuiet(), now);
    }

    /** Whether its next read may go to a replica: it has not just written, and nothing that it has asked for speaks against it. */
    boolean mayReadFrom(Replicas replicas, long now) {
        return mayReadElsewhere() && !(hasWritten && replicas.hasJustWritten(wroteNanos, now));
    }

    /** Whether nothing that it has asked for binds its next read to the primary: of what replicas or memory may answer. */
    private boolean mayReadElsewhere() {
        return !repliesOff
                && !skipsNext
                && !transaction.open
                && !needsOwnConnection()
                && subscriptions.isEmpty()
                && !shardTracking.isOn()
                && own.current() == null
                && !replySizes.areLarge();
    }

    /** Sends a run to a replica; or to the primary, where {@code toReplica} is null. */
    private boolean sendRun(
            ByteBuf in,
            int start,
            int end,
            int commands,
            boolean writes,
            @Nullable BackendConnection toReplica,
            boolean mightHaveGone) {
        if (toReplica == null) {
            boolean taken = sendRun(in, start, end, commands, writes);
            Replicas replicas = loop.replicas();
            if (taken && mightHaveGone && replicas != null) {
                replicas.atPrimary(commands, replicas.isAnyOfUse(loop.nanoTime()));
            }
            return taken;
        }
        if (toReplica != upstream && !isQuiet()) {
            scanner.reset();
            return false; // replies of two connections could overtake each other
        }
        silent = false;
        ask(toReplica, loop.runs().plain(this, in.retainedSlice(start, end - start), commands, loop.nanoTime(), false));
        noteObstacles(in, start, commands);
        in.readerIndex(end);
        return true;
    }

    /** It has just been told something that the server of its last answer need not know: what it reads next must not be older. */
    void hasSeenNow() {
        if (loop.replicas() != null) {
            reads.seen(loop.nanoTime(), null);
        }
    }

    private void noteSeen(Run run) {
        reads.seen(loop.nanoTime(), run.overReplica);
        if (run.writes) {
            hasWrittenNow();
        }
    }

    private void hasWrittenNow() {
        hasWritten = true;
        wroteNanos = loop.nanoTime();
    }

    /** What it has seen of the fleet in use as a whole. */
    ReadPlace reads() {
        return reads;
    }

    // --- reading from memory

    private boolean mayReadFromMemory() {
        return loop.memory() != null && mayReadElsewhere();
    }

    /** Where what this client reads of keys of that slot is kept, or in front of no cluster all that it reads. */
    private Memory.@Nullable View memoryView(Memory memory, int slot) {
        if (slot >= 0) {
            Endpoint server = lane().server(slot);
            return server == null ? null : lane().view(memory, server);
        }
        Memory.View known = memoryView;
        if (known == null || known.isOver() || !known.isOf(identity.credential(), identity.database())) {
            known = memory.view(identity.credential(), identity.database(), null);
            memoryView = known;
        }
        return known;
    }

    /** The read at {@code from}, which the scanner has found, and those that follow it. */
    private Memory.Outcome takeFromMemory(Memory memory, ByteBuf in, int from) {
        if (isAskedElsewhere()) {
            return Memory.Outcome.PAST;
        }
        silent = false;
        int next = from;
        int slot = slotOfRead(in, from);
        Memory.View view = memoryView(memory, slot);
        Memory.Reads reads = memory.new Reads(this, in);
        while (view != null && reads.give(view, slot, next, scanner.end(), keyOfRead(next))) {
            next = scanner.end();
            if (reads.isFull() || !isReadToBeKept(in, next)) {
                break;
            }
            if (slot >= 0) {
                slot = slotOfRead(in, next);
                view = memoryView(memory, slot);
            }
        }
        ByteBuf given = reads.given();
        if (given != null) {
            hasSeenNow();
            int count = reads.count();
            loop.keyTraffic().answered(in, from, count, identity.database(), given.readableBytes() / count);
            reply(given);
            in.readerIndex(next);
            return Memory.Outcome.TAKEN;
        }
        if (view == null) {
            return Memory.Outcome.PAST;
        }
        int end = scanner.end();
        Memory.Outcome outcome = memory.ask(this, view, slot, in, from, end, keyOfRead(from));
        if (outcome == Memory.Outcome.TAKEN) {
            loop.keyTraffic().answered(in, from, 1, identity.database(), 0);
            in.readerIndex(end);
        }
        return outcome;
    }

    /** Something of it is unanswered that has not been sent to be kept. */
    private boolean isAskedElsewhere() {
        if (isQuiet()) {
            return false;
        }
        return loop.isSharded() ? !lane().hasOnlyReadsToBeKept() : upstream == null || !upstream.key.tracks();
    }

    /** Of the key of the read that the scanner has found there; none in front of no cluster. */
    private int slotOfRead(ByteBuf in, int from) {
        return loop.isSharded() ? loop.keys().slot(in, from, scanner, KeyPlaces.FIRST) : CommandKeys.NO_SLOT;
    }

    private int keyOfRead(int from) {
        return from + scanner.nameOffset() + scanner.nameLength() + 2;
    }

    /** Looks at the next command; where it is none of these, the scanner is left to begin there. */
    private boolean isReadToBeKept(ByteBuf in, int from) {
        RequestScanner.Outcome outcome = scanner.next(in, from);
        if (outcome == RequestScanner.Outcome.COMMAND) {
            return Memory.keeps(CommandTable.find(in, from + scanner.nameOffset(), scanner.nameLength()))
                    && scanner.arguments() > 1
                    && !scanner.marked()
                    && scanner.end() - from < LargeCommand.ARGUMENT_BYTES;
        }
        if (outcome != RequestScanner.Outcome.INCOMPLETE) {
            scanner.reset();
        }
        return false;
    }

    /** When it had its last answer from elsewhere than what is kept comes from. */
    long seen() {
        return seen;
    }

    private void hasSeenElsewhere() {
        Memory memory = loop.memory();
        if (memory != null) {
            seen = memory.nextMoment();
        }
    }

    boolean isUpstream(BackendConnection connection) {
        return upstream == connection;
    }

    /** The unfinished command, where it is not to be collected before it is sent. */
    private @Nullable LargeCommand largeCommand(ByteBuf in, int from, boolean restricted) {
        int bytes = scanner.bytesOfUnfinishedArgument();
        if (bytes < LargeCommand.ARGUMENT_BYTES || restricted) {
            return null;
        }
        if (loop.isSharded() && !transaction.open) {
            return null; // its server may not be the one to which it has to go in the end
        }
        if (!subscriptions.isEmpty()) {
            return null; // to that connection the subscriptions send something at any time, and refused is a large
            // command by its end
        }
        CommandRule rule = CommandTable.find(in, from + scanner.nameOffset(), scanner.nameLength());
        if (transaction.open) {
            Limit passed = transaction.limitPassedBy(bytes, 1);
            if (passed == null) {
                return null;
            }
            loop.reached(passed);
            return beginLarge(LargeCommand.refused(this, scanner, in, from, queueLimit(passed)));
        }
        if (rule == null || !LargeCommand.mayBePassedOn(loop, rule, scanner)) {
            return null;
        }
        if (scanner.wholeArguments() > 1) {
            noteUse(rule, in, from);
        }
        loop.keyTraffic().sawLargeBegin(rule, in, from, scanner, identity.database());
        if (loop.largeCommands().areMany()) {
            loop.reached(Limit.LARGE_COMMANDS);
            return null;
        }
        return beginLarge(LargeCommand.passedOn(this, rule, scanner, in, from));
    }

    /** EVALSHA runs a script that others may be forgotten before. */
    @SuppressWarnings("ReferenceEquality") // every command is asked, and the table has one rule of a name
    private void noteUse(@Nullable CommandRule rule, ByteBuf in, int from) {
        boolean namesScript = rule != null && (rule == EVALSHA || rule == EVALSHA_RO);
        if (namesScript && RequestScanner.hasArguments(in, from)) {
            loop.scripts().used(RequestScanner.copyArguments(in, from, 2)[1], loop.nanoTime());
        }
    }

    private LargeCommand beginLarge(LargeCommand command) {
        silent = repliesOff || skipsNext;
        return command;
    }

    /** A command that has been swallowed is answered. */
    void refuseLarge(String why) {
        if (transaction.open) {
            transaction.refused = true;
        }
        refuse(why, 1);
    }

    private boolean sendRun(ByteBuf in, int start, int end, int commands, boolean writes) {
        silent = repliesOff || skipsNext;
        if (loop.isSharded() && !transaction.open) {
            return sendToShard(in, start, end, commands, writes);
        }
        Limit passed = transaction.open ? transaction.limitPassedBy(end - start, commands) : null;
        if (passed != null) {
            if (!isQuiet()) {
                scanner.reset();
                return false;
            }
            transaction.refused = true;
            loop.reached(passed);
            refuse(queueLimit(passed), commands);
            in.readerIndex(end);
            return true;
        }
        boolean writesNow = writes && !transaction.open; // in a transaction it is EXEC that writes
        boolean mayWrite = !writesNow || loop.confirmations().mayWrite(this);
        BackendConnection connection = mayWrite ? upstream() : null;
        if (connection == null) {
            String failure = mayWrite
                    ? loop.backends().failure(key())
                    : loop.confirmations().failure();
            if (failure == null) {
                scanner.reset();
                return false;
            }
            if (!isQuiet()) {
                scanner.reset();
                return false;
            }
            loop.routeTraffic().notAnswered(commands);
            refuse(failure, commands);
            in.readerIndex(end);
            skipsNext = false;
            return true;
        }
        if (transaction.open) {
            transaction.keep(in, start, end - start, commands);
        }
        Run run = loop.runs().plain(this, in.retainedSlice(start, end - start), commands, loop.nanoTime(), writesNow);
        run.script = script;
        if (loop.isSharded()) {
            run.sink = new QueuedReplies(this); // the slot may have been moved
        }
        ask(connection, run);
        noteObstacles(in, start, commands);
        in.readerIndex(end);
        skipsNext = false;
        tracking.nextIsSent();
        return true;
    }

    private void noteObstacles(ByteBuf in, int start, int commands) {
        ObstacleWatch watch = loop.obstacles();
        if (watch != null) {
            watch.sent(this, in, start, commands);
        }
    }

    /** It is in that database from now on. */
    void selected(int database) {
        identity.selected(database);
        shardTracking.connectionsGone();
        ObstacleWatch watch = loop.obstacles();
        if (watch != null) {
            watch.selected(database);
        }
    }

    private boolean sendToShard(ByteBuf in, int start, int end, int commands, boolean writes) {
        if (fillsUnderWay > 0) { // what goes over another connection could be run before these
            scanner.reset();
            return false;
        }
        ClusterLane to = lane();
        boolean mayWrite = !writes || loop.confirmations().mayWrite(this);
        boolean toSeveral = commands > 1 && loop.shardBatch().servers() > 1;
        BackendConnection connection =
                !mayWrite ? null : toSeveral ? loop.shardBatch().connection(0) : to.targetConnection();
        if (connection != null && toSeveral) {
            to.send(loop.shardBatch(), in, start, writes);
        } else if (connection != null) {
            to.send(connection, in.retainedSlice(start, end - start), commands, writes);
        } else {
            String failure =
                    mayWrite ? to.failure(to.target()) : loop.confirmations().failure();
            if (failure == null || !isQuiet()) {
                scanner.reset();
                return false;
            }
            loop.routeTraffic().notAnswered(commands);
            refuse(failure, commands);
        }
        in.readerIndex(end);
        skipsNext = false;
        return true;
    }

    /** Sends a part of what is under way at a cluster: so many commands of this client's. */
    void sendPart(BackendConnection connection, Run run, int commands) {
        upstream = connection;
        runsUnanswered++;
        commandsInFlight += commands;
        connection.send(run);
    }

    /** What a part has brought has come. */
    void partCame(Run run) {
        if (run.writes && loop.replicas() != null) {
            hasWrittenNow();
        }
    }

    /** The client has the replies to a part, or somebody else sees to them. {@code fromElsewhere} than what is kept comes from. */
    void partEnded(int commands, boolean fromElsewhere) {
        runsUnanswered--;
        commandsInFlight -= commands;
        if (fromElsewhere) {
            hasSeenElsewhere();
        }
        if (stuck && !closed) {
            loop.resumeLater(this);
        }
    }

    /** Bytes of the replies to the part whose turn it is. {@code ended}: how many replies end in them, where they must be kept until they are confirmed; else -1. */
    void passOn(ByteBuf in, int index, int length, int ended, boolean endsInside) {
        if (closed) {
            return;
        }
        if (ended >= 0) {
            output.keep(in, index, length, ended, endsInside);
        } else {
            output.pass(in, index, length, endsInside);
        }
        BackendConnection from = own.current();
        if (from != null && !from.isShared() && !output.isReading()) {
            from.pauseReading(output.isFull());
        }
        if (!output.isReading()) {
            shardTracking.pauseReading(output.isFull());
        }
    }

    void learn(Run run) {
        replySizes.learn(run.commands, run.replyBytes);
    }

    /** What the command that is being sent is about, where that is scripts. */
    @Nullable
    ScriptCommand script() {
        return script;
    }

    boolean isSilent() {
        return silent;
    }

    LostCommands lostCommands() {
        return lost;
    }

    /** The own connection, where it leads there, brings more than can be kept. */
    void pauseOwn(Endpoint server) {
        BackendConnection from = own.current();
        if (from != null && from.server.equals(server)) {
            from.pauseReading(output.isFull());
        }
        shardTracking.pauseReading(output.isFull());
    }

    /** What comes over that connection is this client's alone, and it does not keep up. */
    void pauseReadingOf(BackendConnection from) {
        if (!from.isShared() && from.mayBeUsedBy(this)) {
            from.pauseReading(output.isFull());
        }
    }

    boolean readsReplies() {
        return output.isReading();
    }

    void readOnOwn() {
        BackendConnection from = own.current();
        if (from != null && output.isReading()) {
            from.readOn();
        }
        if (output.isReading()) {
            shardTracking.readOn();
        }
    }

    void closeForOutput(long bytes) {
        loop.reached(Limit.OUTPUT_BYTES);
        LOG.warn("client {} is closed: {} bytes of replies wait for their turn", address, bytes);
        output.close();
    }

    void closeInsideReply(@Nullable String why) {
        LOG.info(
                "client {} is closed: it has part of a reply, and the connection that carried it broke: {}",
                address,
                why);
        output.close();
    }

    private String queueLimit(Limit passed) {
        ProxyLimits limits = loop.limits();
        return passed == Limit.TRANSACTION
                ? "ERR switchback: more is queued in one MULTI than " + limits.transactionBytesMax() + " bytes or "
                        + limits.transactionCommandsMax() + " commands"
                : "ERR switchback: what is queued in MULTI by all clients takes " + limits.queuedBytesPerLoopMax()
                        + " bytes already; try again, or with less in one MULTI";
    }

    /** Sends commands of an open transaction, already in its queue, whose replies the client has not had. */
    void sendQueued(BackendConnection connection, ByteBuf commands, int count) {
        ReplySink sink = loop.isSharded() ? new QueuedReplies(this) : this;
        ask(connection, new Run(this, commands, count, sink, loop.nanoTime(), 1));
    }

    /** CLIENT REPLY: what comes next is answered, or not. */
    void replies(boolean on) {
        repliesOff = !on;
        silent = !on;
    }

    void skipReplyToNext() {
        skipsNext = !repliesOff;
        silent = true;
    }

    /** Sends commands, and gives their replies to the run's sink. */
    void ask(BackendConnection connection, Run run) {
        run.silent = silent;
        send(connection, run);
    }

    /** As {@link #ask(BackendConnection, Run)}, for a run that says itself whether it is silent. */
    void send(BackendConnection connection, Run run) {
        upstream = connection;
        runsUnanswered++;
        commandsInFlight += run.commands;
        if (run.writes && loop.replicas() != null) {
            hasWrittenNow();
        }
        connection.send(run);
    }

    /**
     * A large command that was collected goes over a connection of this client's own: one that the server does not take, since its own
     * limit is lower than the proxy's, must not end the connection of others.
     */
    private boolean sendLarge(ByteBuf in, int from, int end, boolean writes) {
        if (!isQuiet()) {
            return false;
        }
        boolean taken;
        if (loop.isSharded() && !transaction.open) {
            ownAt(lane().target());
        }
        if (own.get() != null) {
            taken = sendRun(in, from, end, 1, writes);
        } else {
            String failure = own.takeFailure();
            taken = failure != null;
            if (failure != null) {
                loop.routeTraffic().notAnswered(1);
                refuse(failure, 1);
                in.readerIndex(end);
                skipsNext = false;
            }
        }
        largeIsNext = !taken;
        return taken;
    }

    /** Takes a command that needs a closer look. */
    private boolean takeOne(ByteBuf in, int from, int end, @Nullable CommandRule rule, boolean marked) {
        byte[][] command = RequestScanner.copyArguments(in, from);
        silent = repliesOff || skipsNext;
        largeIsNext = false;
        SessionCommands.Verdict verdict =
                withinLimits(SessionCommands.judge(this, command, rule, marked, loop.guard()), end - from);
        switch (verdict) {
            case SessionCommands.Send(ScriptCommand about) -> {
                boolean writes = rule == null || !rule.repeatable();
                if (loop.isSharded()) {
                    if (transaction.open && !isPlaced(in, from, rule)) {
                        return true; // a connection to its shard comes first
                    }
                    lane().take(in, from, rule);
                }
                largeIsNext = !needsOwnConnection() && !shardTracking.isOn() && LargeCommand.isLarge(command);
                script = about;
                boolean taken = largeIsNext ? sendLarge(in, from, end, writes) : sendRun(in, from, end, 1, writes);
                script = null;
                return taken;
            }
            case SessionCommands.Refuse(String why, boolean toAnybody) -> {
                if (!toAnybody && Admission.isMissing(this)) {
                    in.readerIndex(end);
                    skipsNext = false;
                    perform(Admission.before(this, new LocalOperation(this, () -> refuse(why, 1))));
                    return true;
                }
                // Within MULTI nothing but the server's replies stands in the connection's queue: it may have to be
                // replayed.
                if (transaction.open && !isQuiet()) {
                    return false;
                }
                in.readerIndex(end);
                if (transaction.open) {
                    transaction.refused = true;
                }
                refuse(why, 1);
                skipsNext = false;
                return true;
            }
            case SessionCommands.Perform(Operation wanted) -> {
                in.readerIndex(end);
                skipsNext = false;
                notePerformed(end - from);
                ObstacleWatch watch = loop.obstacles();
                if (watch != null && rule != null) {
                    watch.performed(this, rule, command);
                }
                perform(Admission.before(this, wanted));
                return true;
            }
            case SessionCommands.Close() -> {
                channel.close();
                return false;
            }
        }
    }

    /** What is performed is kept until it is answered, which may be never. */
    private SessionCommands.Verdict withinLimits(SessionCommands.Verdict verdict, int bytes) {
        if (bytes <= ALWAYS_PERFORMED_BYTES || !(verdict instanceof SessionCommands.Perform(Operation wanted))) {
            return verdict;
        }
        int blockingMax = loop.limits().blockingBytesMax();
        if (wanted instanceof Waiting && bytes > blockingMax) {
            loop.reached(Limit.BLOCKING_BYTES);
            return new SessionCommands.Refuse("ERR switchback: a command that its server may let wait has no more than "
                    + blockingMax + " bytes; wait for fewer keys at a time");
        }
        if (!loop.mayPerform(bytes)) {
            loop.reached(Limit.PERFORMED_BYTES);
            return new SessionCommands.Refuse(
                    "ERR switchback: the long commands that are kept until they are answered take "
                            + loop.limits().performedBytesPerLoopMax()
                            + " bytes already; try again, or with a shorter one");
        }
        return verdict;
    }

    private void notePerformed(int bytes) {
        int counted = bytes <= ALWAYS_PERFORMED_BYTES ? 0 : bytes;
        if (counted != performedBytes) {
            loop.performedBytesChanged(counted - performedBytes);
            performedBytes = counted;
        }
    }

    private boolean takeInline(ByteBuf in, int from, int end) {
        Optional<byte[][]> split = InlineCommand.split(in, from, end);
        if (split.isEmpty()) {
            return endWith("Protocol error: unbalanced quotes in request");
        }
        byte[][] command = split.get();
        if (command.length == 0) {
            skipsNext = false;
            in.readerIndex(end);
            return true;
        }
        ByteBuf encoded = Wire.command(command);
        try {
            CommandRule rule = CommandTable.find(Wire.text(command[0]));
            boolean taken = takeOne(encoded, 0, encoded.writerIndex(), rule, SessionCommands.namesReservedKey(command));
            if (encoded.readerIndex() > 0) {
                in.readerIndex(end);
            }
            return taken;
        } finally {
            encoded.release();
        }
    }

    /**
     * Whether the transaction is where a command of its queue has to go. The first one with keys decides; it, or one without keys, is waited for with the connection.
     */
    private boolean isPlaced(ByteBuf in, int from, @Nullable CommandRule rule) {
        int slot = lane().slot(in, from, rule);
        if (slot >= 0 && transaction.slot < 0) {
            transaction.slot = slot;
            Endpoint server = lane().server(slot);
            BackendConnection current = own.current();
            if (transaction.placed && current != null && !current.server.equals(server)) {
                transaction.misplaced = true;
                transaction.placed = false;
            }
        }
        boolean isPlaced = transaction.placed && !transaction.misplaced;
        transaction.wanted = true;
        if (!isPlaced) {
            scanner.reset();
        }
        return isPlaced;
    }

    /** It is what comes next, before this client's next command. */
    void perform(Operation wanted) {
        operation = wanted;
        if (lane != null) {
            lane.forgetConnections(); // it may become somebody else
        }
    }

    // --- where commands go

    ConnectionKey key() {
        return key(identity.protocol());
    }

    ConnectionKey key(Protocol protocol) {
        return ConnectionKey.of(identity.credential(), identity.database(), protocol);
    }

    /** To a server of a cluster; null for one that the fleet has to name. */
    ConnectionKey key(@Nullable Endpoint server) {
        return new ConnectionKey(
                server, identity.credential(), identity.database(), identity.protocol(), false, false, false);
    }

    /** Of the connection of its own. */
    ConnectionKey ownKey(Protocol protocol) {
        return new ConnectionKey(
                loop.isSharded() ? ownServer : null,
                identity.credential(),
                identity.database(),
                protocol,
                false,
                false,
                false);
    }

    /** Where the own connection has to lead from now on, in a cluster; null where any server will do. */
    void ownAt(@Nullable Endpoint server) {
        ownServer = server;
    }

    /** Whether the own connection leads where it has to. */
    boolean isOwnWhereItHasToBe(BackendConnection connection) {
        return !loop.isSharded() || ownServer == null || ownServer.equals(connection.server);
    }

    /** What is under way at the shards of the cluster in use. */
    ClusterLane lane() {
        ClusterLane made = lane;
        if (made == null) {
            made = new ClusterLane(this);
            lane = made;
        }
        return made;
    }

    /** Why {@link #upstream} gave no connection; null where it is still to come. */
    @Nullable
    String failure() {
        return loop.isSharded()
                ? lane().failure(lane().server(CommandKeys.NO_SLOT))
                : loop.backends().failure(key());
    }

    /** The connection for this client's commands if one can be sent now; else null, and the session is resumed once it may. */
    @Nullable
    BackendConnection upstream() {
        BackendConnection connection = upstream;
        if (loop.isSharded() && !transaction.open) {
            return lane().connection(lane().server(CommandKeys.NO_SLOT));
        }
        if (own.current() != null || needsOwnConnection()) {
            connection = own.current();
            if (connection == null || connection.isLeft()) {
                return null; // nothing of it may go over a shared connection; it is brought to another one first
            }
        } else if (connection == null
                || !connection.isOpen()
                || !connection.mayBeUsedBy(this)
                || connection.key.tracks()
                || connection.replica != null) {
            connection = loop.backends().shared(key(), this);
            if (connection == null) {
                return null;
            }
        }
        if (connection != upstream && runsUnanswered > 0) {
            return null; // replies of two connections could overtake each other
        }
        if (!connection.hasRoom()) {
            connection.awaitRoom(this);
            return null;
        }
        return connection;
    }

    /** The next command of this client must find its connection anew. */
    void forgetUpstream() {
        if (runsUnanswered > 0) {
            throw new IllegalStateException("commands are unanswered on the connection");
        }
        upstream = null;
    }

    /** Sends a command on an operation's behalf and gives it the whole reply. */
    void ask(BackendConnection connection, Operation asking, ByteBuf commands, int count) {
        ask(
                connection,
                commands,
                count,
                new CollectedReply(asking, loop.limits().filteredReplyBytesMax()));
    }

    /** As {@link #ask(BackendConnection, Operation, ByteBuf, int)}, for a reply that need not be kept as a whole. */
    void ask(BackendConnection connection, ByteBuf commands, int count, ReplySink sink) {
        ask(connection, commands, count, sink, false);
    }

    /** As {@link #ask(BackendConnection, ByteBuf, int, ReplySink)}; {@code writes} where it may change something. */
    void ask(BackendConnection connection, ByteBuf commands, int count, ReplySink sink, boolean writes) {
        ask(connection, new Run(this, commands, count, sink, loop.nanoTime(), 1, writes));
    }

    /** What an operation asked for has been answered or is lost. */
    void operationRepliedTo(Run run) {
        settled(run);
        loop.resumeLater(this);
    }

    /** Nothing that this client sent is unanswered. */
    boolean isQuiet() {
        return runsUnanswered == 0;
    }

    ProxyLoop loop() {
        return loop;
    }

    String address() {
        return address;
    }

    /** Where the client has connected to. */
    String localAddress() {
        return shown(channel.localAddress());
    }

    /** Where cluster clients are to connect to: by what this one has, where nothing else is to be said. */
    Endpoint announcedAddress() {
        return loop.settings()
                .announce()
                .orElseGet(() ->
                        channel.localAddress() instanceof InetSocketAddress internet && internet.getAddress() != null
                                ? new Endpoint(internet.getAddress().getHostAddress(), internet.getPort())
                                : loop.settings().listen().getFirst());
    }

    long ageSeconds() {
        return (loop.nanoTime() - identity.sinceNanos()) / 1_000_000_000L;
    }

    /** As the server shows it. Who comes by a Unix socket has no address but that socket's. */
    private static String shown(@Nullable SocketAddress address) {
        return switch (address) {
            case InetSocketAddress internet
            when internet.getAddress() != null -> internet.getAddress().getHostAddress() + ":" + internet.getPort();
            case DomainSocketAddress unix -> unix.path() + ":0";
            case UnixDomainSocketAddress unix -> unix.getPath() + ":0";
            case null, default -> "?";
        };
    }

    /** The server has accepted this user, whom the own connection {@code isToo}. */
    void proven(Credential credential, boolean isToo) {
        if (credential.equals(identity.credential())) {
            return;
        }
        identity.proven(credential);
        shardTracking.connectionsGone();
        BackendConnection connection = own.current();
        if (isToo && connection != null) {
            connection.spoil(); // its key says another password
        } else {
            leaveForAnother();
        }
        loop.backends().authenticatedAgain(this);
    }

    void chosen(Protocol protocol) {
        if (identity.protocol() != protocol) {
            identity.chosen(protocol);
            shardTracking.connectionsGone();
            if (subscriptions.isEmpty()) {
                leaveForAnother();
            }
        }
    }

    /** Its own connection is of no use any more; what that watched cannot be taken along. */
    void leaveForAnother() {
        if (own.current() != null) {
            forgottenByServer();
            leaveOwnConnection(false);
        }
    }

    /** MULTI or WATCH is over. What else lives on the own connection stays there, where it is {@code clean}. */
    void transactionOver(boolean clean) {
        if (!needsOwnConnection()) {
            leaveOwnConnection(clean);
        } else if (!clean) {
            leaveForAnother();
        }
    }

    /** EXEC ran, with SELECT in its queue: before anything else it is found out which of these, the last first, has succeeded. */
    void databaseIsOneOf(Deque<Integer> candidates) {
        replay = new DatabaseAfterTransaction(this, candidates);
    }

    /** A client of RESP2 that has subscribed may use few commands, as at the server. */
    boolean isRestricted() {
        return identity.protocol() == Protocol.RESP2 && !subscriptions.isEmpty();
    }

    void resetIdentity() {
        identity.reset();
    }

    // --- what goes to the client

    /** Answers {@code commands} commands by an error, in their turn. */
    void refuse(String why, int commands) {
        for (int i = 0; i < commands; i++) {
            reply(Wire.error(why));
        }
    }

    /** A reply of the proxy's own, which is taken over, in its turn. */
    void reply(ByteBuf reply) {
        if (silent) {
            reply.release();
        } else {
            replyInTurn(reply);
        }
    }

    /** What the client is told of a write that was answered, and lost before it was confirmed. */
    ByteBuf unconfirmed() {
        loop.routeTraffic().notAnswered(1);
        return Wire.error(lostMessage("what it had answered was not confirmed"));
    }

    /**
     * The reply to a write that servers have answered, which is taken over; kept until it is confirmed. Nothing else may be under way.
     *
     * @param losses {@link Confirmations#losses} as of when it came, or the first part of it
     */
    void replyToWrite(ByteBuf reply, int losses) {
        if (silent) {
            reply.release();
        } else {
            replyToWriteNow(reply, losses);
        }
    }

    /** As {@link #replyToWrite}, whatever the command that was taken last is. */
    void replyToWriteNow(ByteBuf reply, int losses) {
        if (losses != loop.confirmations().losses()) {
            reply.release();
            replyInTurn(unconfirmed());
            return;
        }
        if (closed || !loop.confirmations().keeps()) {
            replyInTurn(reply);
            return;
        }
        output.keep(reply, reply.readerIndex(), reply.readableBytes(), 1, false);
        reply.release();
    }

    /** As {@link #reply}, whatever the command that was taken last is. */
    void replyInTurn(ByteBuf reply) {
        if (closed) {
            reply.release();
            return;
        }
        ClusterLane underWay = lane;
        if (underWay != null && underWay.isUnderWay()) {
            runsUnanswered++;
            underWay.addLocal(reply);
            return;
        }
        BackendConnection connection = upstream;
        if (runsUnanswered > 0 && connection != null) {
            runsUnanswered++;
            connection.enqueueLocal(Run.local(this, reply));
        } else {
            output.write(reply);
        }
    }

    /** Part of a push message of this client's has come. The buffer is the caller's. */
    void pushed(BackendConnection from, ByteBuf in, int index, int length, boolean ends) {
        if (!tracking.receive(from, in, index, length, ends) && !shardTracking.receive(from, in, index, length, ends)) {
            subscriptions.receive(from, in, index, length, ends);
        }
    }

    /**
     * What this client, or one that redirects to it, has read is not so any more. A client of RESP2 hears of it where it is subscribed to
     * something, as at the servers. Takes the message over.
     */
    void invalidated(ByteBuf message, boolean redirected) {
        if (identity.protocol() == Protocol.RESP3) {
            push(message);
        } else if (redirected && !subscriptions.isEmpty()) {
            push(Redirect.asPublished(message));
        } else {
            message.release();
        }
    }

    /** A push message as RESP3 has it, whole, which is taken over: what RESP2 has in its place differs in the first byte. */
    void push(ByteBuf message) {
        if (closed) {
            message.release();
            return;
        }
        if (identity.protocol() == Protocol.RESP2) {
            message.setByte(message.readerIndex(), '*');
        }
        output.push(message);
        BackendConnection from = own.current();
        if (!output.isReading() && from != null) {
            from.pauseReading(output.isFull());
        }
        if (!output.isReading()) {
            subscriptions.pauseReading(output.isFull());
        }
    }

    /** Whole lines of what the server is asked for by others. The buffer is the caller's. */
    void monitored(ByteBuf in, int index, int length) {
        if (closed) {
            return;
        }
        output.pass(in, index, length, false);
        BackendConnection from = own.current();
        if (!output.isReading() && from != null) {
            from.pauseReading(output.isFull());
        }
        if (!output.isReading()) {
            monitor.pauseReading(output.isFull());
        }
    }

    private void readOn() {
        BackendConnection from = own.current() == null ? upstream : own.current();
        if (from != null) {
            from.readOn();
        }
        if (lane != null) {
            lane.readOn();
        }
        shardTracking.readOn();
        subscriptions.readOn();
        monitor.readOn();
    }

    /** Replies have come that the client has not been given, beside those in the {@link ClusterLane}. */
    boolean keepsReplies() {
        return operation instanceof ScatteredOperation || !lost.isEmpty();
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        if (run.script != null) {
            run.script.receive(in, index, length);
        }
        if (closed || run.silent) {
            return;
        }
        if (!run.begun) {
            run.begun = true;
            run.kept = run.writes;
        }
        // What has once been passed on is not kept later: a client must not have half a reply and then an error.
        run.kept &= loop.confirmations().keeps();
        if (run.kept) {
            output.keep(in, index, length, run.answered - run.repliesKept, run.partial);
            run.repliesKept = run.answered;
        } else {
            output.pass(in, index, length, run.partial);
        }
        BackendConnection from = upstream;
        if (from != null && !from.isShared() && from.mayBeUsedBy(this) && !output.isReading()) {
            from.pauseReading(output.isFull());
        }
    }

    @Override
    public void answered(Run run) {
        if (run.isLocal()) {
            output.write(run.request.retain());
        } else {
            replySizes.learn(run.commands, run.replyBytes);
            if (run.script != null) {
                run.script.answered(loop);
            }
            if (transaction.open) {
                transaction.answered += run.commands;
                transaction.failed |= run.errors > 0;
            }
        }
        settled(run);
    }

    @Override
    public void lost(Run run, String why) {
        if (!closed && run.partial) {
            LOG.info(
                    "client {} is closed: it has part of a reply, and the connection that carried it broke: {}",
                    address,
                    why);
            output.close();
        } else if (!closed && transaction.open && !run.isLocal()) {
            transaction.answered += run.answered;
            transaction.failed |= run.errors > 0;
        } else if (!closed) {
            lost.add(run, why);
        }
        settled(run);
        loop.resumeLater(this);
    }

    /** What a client is told whose command may or may not have run. */
    String lostMessage(String why) {
        return lostMessage(loop.route(), why);
    }

    static String lostMessage(BackendRoute route, String why) {
        return "ERR switchback: the connection to fleet " + route.fleet().name() + " was lost (" + why
                + "); the command may or may not have run";
    }

    private void settled(Run run) {
        runsUnanswered--;
        commandsInFlight -= run.commands;
        if (loop.replicas() != null) {
            noteSeen(run);
        }
        if (!run.isLocal() && !(run.sink instanceof Memory.Fill)) {
            hasSeenElsewhere();
        }
        if (stuck && !closed) {
            loop.resumeLater(this);
        }
    }

    /** A protocol error, as the server words it, after the replies that are due; then the end. */
    boolean endWith(String error) {
        if (!isQuiet()) {
            scanner.reset();
            return false;
        }
        output.write(Wire.error("ERR " + error));
        closeAfterReplies();
        return false;
    }

    /** Sends the replies that are written, then closes. */
    void closeAfterReplies() {
        output.endAfterReplies();
    }

    // --- limits and the switch

    private void noteReceiving() {
        int now = received.bytes().capacity() > 0 && received.bytes().isReadable()
                ? received.bytes().readableBytes()
                : 0;
        loop.receivingBytesChanged(now - receivingBytes);
        receivingBytes = now;
        if (now > 0 && (!stuck || isBlocked())) {
            loop.closeLargestReceiverIfTooMuch();
        }
    }

    int receivingBytes() {
        return receivingBytes;
    }

    /** Too much is being received, and most of it from this client. */
    void closeAsLargestReceiver() {
        LOG.warn(
                "client {} is closed: too much is being received, and most of it, {} bytes, from it",
                address,
                receivingBytes);
        received.release();
        loop.receivingBytesChanged(-receivingBytes);
        receivingBytes = 0;
        if (isQuiet()) {
            output.write(Wire.error("ERR switchback: commands that are still being received take more than "
                    + loop.limits().receivingBytesPerLoopMax() + " bytes, and this client's take most of that"));
            closeAfterReplies();
        } else {
            close();
        }
    }

    /** The route is another one now: what this client had on connections of the old one is made up for on the new one. */
    void routeChanged() {
        Endpoint server = null;
        if (subscriptions.isEmpty()) {
            own.routeChanged();
            subscriptions.clear(); // it may have unsubscribed since
        } else {
            if (subscriptions.comeOver(own.current())) {
                own.gone(); // subscriptions see to it
            } else {
                own.routeChanged();
            }
            BackendConnection next = subscriptions.routeChanged();
            if (next != null) {
                server = next.key.server();
                own.opened(next);
            }
        }
        forgottenByServer();
        shardTracking.connectionsGone();
        monitor.routeChanged();
        forgetUpstream();
        hasSeenNow();
        reads.waitsNoLonger();
        lost.routeChanged();
        ownServer = server;
        transaction.slot = CommandKeys.NO_SLOT;
        if (lane != null) {
            lane.forgetConnections();
        }
        if (loop.isSharded() && modes.needConnection()) {
            LOG.warn(
                    "client {} is closed: what it has asked of its connection (CLIENT NO-TOUCH or IMPORT-SOURCE) cannot be had of a cluster, which is in use now",
                    address);
            loop.execute(this::close);
        }
    }

    /** The own connection is gone, and with it what the server kept for it. */
    private void forgottenByServer() {
        transaction.watchGone();
        transaction.placed = false;
        modes.connectionGone();
        monitor.connectionGone();
        tracking.connectionsGone();
    }

    /** Whether something of this client lives on a connection of its own. */
    boolean needsOwnConnection() {
        return transaction.needsConnection()
                || subscriptions.needOwnConnection()
                || (tracking.isOn() && !loop.isSharded())
                || modes.needConnection()
                || (monitor.isOn() && !loop.isSharded());
    }

    /** The other client leads nothing here any more. */
    void redirectedNoLonger(Redirect redirect) {
        if (!redirects.isEmpty()) {
            redirects.remove(redirect);
        }
    }

    /** The other client, which tracks, leads its invalidations here from now on. */
    Redirect redirectedBy(ClientSession other) {
        Redirect redirect = new Redirect(other, this);
        if (redirects.isEmpty()) {
            redirects = new HashSet<>();
        }
        redirects.add(redirect);
        return redirect;
    }

    /** Whether a command of this client's waits at the server. */
    boolean isBlocked() {
        return operation instanceof Waiting;
    }

    /** Another client wants the waiting of this one's command to end; {@code caller} is given the reply to that. */
    void unblock(boolean byError, Consumer<ByteBuf> caller) {
        if (!closed && operation instanceof Waiting blocked) {
            blocked.unblockFor(byError, caller);
        } else {
            caller.accept(Wire.number(0));
        }
    }

    /** The connection of this client's own, with which it can do what others must not meet. */
    OwnConnection own() {
        return own;
    }

    /** Whether the connection, which it shares, can be its own. */
    boolean mayKeep(BackendConnection connection) {
        boolean isInUse = loop.isSharded() ? connection.key.server() != null : upstream == connection;
        return !closed && isInUse && connection.key.equals(key(connection.key.server())) && own.isNone();
    }

    void ownConnectionClosed(BackendConnection connection) {
        boolean messagesAreMissing = subscriptions.connectionClosed(connection);
        if (closed) {
            return;
        }
        if (messagesAreMissing) {
            LOG.info("client {} is closed: the connection that brought its messages broke", address);
            close();
        }
        if (shardTracking.closed(connection)) {
            return;
        }
        if (monitor.closed(connection)) {
            LOG.info("client {} is closed: a connection that it monitors over broke", address);
            close();
            return;
        }
        if (tracking.companionClosed(connection)) {
            if (!subscriptions.isEmpty()) {
                LOG.info("client {} is closed: the connection that brought its invalidations broke", address);
                close();
            }
            loop.resumeLater(this);
        }
        if (own.is(connection)) {
            if (monitor.isOn()) {
                LOG.info("client {} is closed: the connection that it monitors over broke", address);
                close();
            }
            own.gone();
            hasSeenNow(); // what was pushed over it, too
            hasSeenElsewhere();
            forgottenByServer();
            loop.resumeLater(this);
        }
    }

    /** Gives the own connection back, or closes it where it must not be used by others. The client must be quiet. */
    void leaveOwnConnection(boolean clean) {
        hasSeenNow(); // what was pushed over it, too
        hasSeenElsewhere();
        forgetUpstream();
        ownServer = null;
        subscriptions.ownIsLeft();
        own.leave(clean);
    }

    /** Less is kept from this client. */
    private void resumeWhereStuck() {
        if (!closed && output.isReading()) {
            readOn();
        }
        if (stuck && !closed) {
            loop.resumeLater(this);
        }
    }

    boolean markResumable() {
        boolean before = resumable;
        resumable = true;
        return !before;
    }

    void resume() {
        resumable = false;
        pump();
    }

    boolean isClosed() {
        return closed;
    }

    /** Whether the client has ended the connection behind what it is not read any further than. */
    boolean hasLeft() {
        return Transport.isEnded(channel);
    }

    void close() {
        Encryption.closeNow(channel);
    }
}
