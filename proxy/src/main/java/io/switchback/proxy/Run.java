package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.RequestScanner;
import java.util.BitSet;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Commands of one client that were sent together over one connection, and what has come back.
 *
 * <p>Owned by the event loop of the connection. Invariant: it holds one reference to {@link #request}, given back by
 * {@link #release} once it is answered or has been given up. Nobody may keep one that is answered: it becomes another one ({@link Runs}).
 */
final class Run {
    private static final int NAME_BYTES_MAX = 32;

    /** Whose commands; null for the proxy's own. */
    @Nullable
    ClientSession session;
    /** The commands' bytes, kept to be able to send them again and to name them. Its own indices may have moved. */
    ByteBuf request;
    /** Its readable bytes when it was made. */
    int requestBytes;
    /** How many commands, and so replies. None for a reply of the proxy's own that waits for its turn. */
    int commands;

    ReplySink sink;
    long sentAtNanos;
    /** How often these commands have been sent, this time included; the earlier ones went over connections that broke. */
    int attempt;
    /** Whether it may have changed something: its replies may have to be kept. */
    boolean writes;
    /** Counted among the commands that clients wait for. */
    boolean counted;
    /** The client has asked for no replies (CLIENT REPLY). */
    boolean silent;
    /** Its response time tells how fast the fleet is; not so where the command waits for something. */
    boolean timed = true;
    /** It is part of what a client has under way at a cluster ({@link ClusterLane}): its replies are looked at one by one. */
    boolean isPart;
    /** Its sink is told of each reply by itself, as that of a part is. */
    boolean oneByOne;

    /** Whether bytes of its replies have come, and are kept until its writes are confirmed. */
    boolean begun;

    boolean kept;
    /** How many of its replies end in what is kept. */
    int repliesKept;

    /** Where it is one command that is about scripts: told what is answered. */
    @Nullable
    ScriptCommand script;

    /** A large command, of which nobody has the whole: {@link #request} is its beginning. */
    boolean inPieces;
    /** The server does not have all of it yet. */
    boolean endIsMissing;

    /** Which commands have certainly not run, from {@link #deliveredBefore} on; null where its replies are delivered. */
    @Nullable
    BitSet notRun;
    /** So many replies had been delivered when the first came that said that its command had not run. */
    int deliveredBefore;

    int errorsBefore;

    /** It was sent before, and has certainly not run since then; 0 for any other. */
    long notRunSinceNanos;

    /** Over which connection to a replica it was sent; null for any other. */
    @Nullable
    BackendConnection overReplica;
    /** Everything that the primary had answered until then that replica had as this was sent. */
    long hasAllUntilNanos;

    int answered;
    int errors;
    boolean partial;
    /** Of its replies, as far as they have come. */
    long replyBytes;

    /** The key of the command whose reply is to be measured ({@link KeyTraffic}); null where none is. */
    HeavyKeys.@Nullable Entry measured;

    @Nullable
    CommandRule measuredBy;
    /** Which of its commands that is, how long it is, and what the replies before had. */
    int measuredCommand;

    long measuredBytes;
    long measuredFrom;
    /** What the replies had that have ended, or a little more; and what was last seen of a large one. */
    long replyFrom;

    long seenBytes;

    /** Commands that change nothing. */
    Run(@Nullable ClientSession session, ByteBuf request, int commands, ReplySink sink, long sentAtNanos, int attempt) {
        this(session, request, commands, sink, sentAtNanos, attempt, false);
    }

    Run(
            @Nullable ClientSession session,
            ByteBuf request,
            int commands,
            ReplySink sink,
            long sentAtNanos,
            int attempt,
            boolean writes) {
        this.session = session;
        this.request = request;
        this.requestBytes = request.readableBytes();
        this.commands = commands;
        this.sink = sink;
        this.sentAtNanos = sentAtNanos;
        this.attempt = attempt;
        this.writes = writes;
    }

    /** An answered one is made another one: plain commands of a client, sent for the first time. */
    Run again(ClientSession client, ByteBuf bytes, int count, long now, boolean mayWrite) {
        session = client;
        request = bytes;
        requestBytes = bytes.readableBytes();
        commands = count;
        sink = client;
        sentAtNanos = now;
        attempt = 1;
        writes = mayWrite;
        counted = false;
        silent = false;
        timed = true;
        isPart = false;
        oneByOne = false;
        begun = false;
        kept = false;
        repliesKept = 0;
        script = null;
        inPieces = false;
        endIsMissing = false;
        notRun = null;
        deliveredBefore = 0;
        notRunSinceNanos = 0;
        answered = 0;
        errors = 0;
        partial = false;
        replyBytes = 0;
        measured = null;
        replyFrom = 0;
        seenBytes = 0;
        return this;
    }

    /** A reply of the proxy's own, which takes the bytes over. */
    static Run local(ClientSession session, ByteBuf reply) {
        return new Run(session, reply, 0, session, 0, 1);
    }

    boolean isLocal() {
        return commands == 0;
    }

    /** From now on its replies are not delivered: a command before it, or of it, is to be sent again first. */
    void setAside() {
        if (notRun == null) {
            notRun = new BitSet();
            deliveredBefore = answered;
            errorsBefore = errors;
        }
    }

    /** As it is to be told lost: what was delivered is answered, the rest is not. */
    void endAside() {
        if (notRun != null) {
            answered = deliveredBefore;
            errors = errorsBefore;
            partial = false;
        }
    }

    /** How many replies are to be looked at next, together. */
    int wanted() {
        if (isPart || oneByOne) {
            return 1;
        }
        if (measured != null && answered <= measuredCommand) {
            return Math.max(1, measuredCommand - answered);
        }
        return commands - answered;
    }

    boolean isAnswered() {
        return answered == commands;
    }

    void release() {
        request.release();
    }

    /** The first command that is not answered, and who waits for it how long, for a person; {@code unread} where it is the client that is slow. */
    String describe(long nowNanos, boolean unread) {
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int index = 0;
        for (int i = 0; i < answered; i++) {
            scanner.next(request, index);
            index = scanner.end();
        }
        scanner.next(request, index);
        String name = request.toString(
                index + scanner.nameOffset(), Math.min(NAME_BYTES_MAX, scanner.nameLength()), US_ASCII);
        return "client " + (session == null ? "?" : session.address())
                + (endIsMissing
                        ? " is still sending "
                        : unread ? " does not read the reply to " : " waits for the reply to ")
                + name.toUpperCase(Locale.ROOT)
                + (endIsMissing ? ", begun " : ", sent ") + (nowNanos - sentAtNanos) / 1_000_000 + " ms ago";
    }
}
