package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerStream;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import io.switchback.resp.UnlockedInput;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The one connection over which a link writes to one primary of its target: commands go out in a pipeline, in order, and every reply is looked at.
 *
 * <p>Two threads: the link's own sends, and one reads replies. Invariant: what has been sent and not been answered is in {@link #unanswered}, in order, and leaves
 * it only when its reply has been judged and its trouble, if any, has been told: so a lane that has nothing unanswered has nothing unsaid.
 */
final class Lane implements AutoCloseable {
    /** Commands that may be sent before the first of them is answered; past it the link waits. */
    static final int UNANSWERED_MAX = 16 * 1024;

    private static final int FLUSH_BYTES = 64 * 1024;
    private static final int BUFFER_KEPT_BYTES = 1024 * 1024;
    private static final Duration CONNECT_MAX = Duration.ofSeconds(2);
    /** A primary that has answered nothing for so long is given up; a FLUSHALL or a large RESTORE takes seconds. */
    private static final Duration SILENCE_MAX = Duration.ofSeconds(60);

    private static final Duration ROOM_POLL = Duration.ofMillis(100);
    /** What PTTL answers for a key that is not there. */
    private static final long GONE = -2;

    private static final byte[] EXEC = "EXEC".getBytes(US_ASCII);
    private static final byte[] SELECT = "SELECT".getBytes(US_ASCII);

    /** Errors that say nothing of the command but of the server, or of where the slot is now: it may be otherwise soon. */
    private static final Set<String> OF_THE_SERVER = Set.of(
            "MOVED",
            "ASK",
            "TRYAGAIN",
            "CLUSTERDOWN",
            "READONLY",
            "MASTERDOWN",
            "LOADING",
            "BUSY",
            "MISCONF",
            "NOREPLICAS",
            "OOM");

    private final Endpoint server;
    private final int slot;
    private final LinkKeys keys;
    private final ServerStream stream;
    private final ReplyReader replies;
    private final OutputStream out;
    private ByteArrayOutputStream buffered = new ByteArrayOutputStream(2 * FLUSH_BYTES);
    private final ArrayBlockingQueue<Sent> unanswered = new ArrayBlockingQueue<>(UNANSWERED_MAX);
    private final Consumer<Trouble> trouble;
    private final Thread reader;
    private final long clientId;

    private int database; // the link's thread
    private boolean selected; // whether the server is known to have this database selected
    private long untilAtMost = Long.MIN_VALUE;
    private volatile @Nullable IOException failure;

    /** The target has answered a command of the stream with an error that is about the command: it would so again. */
    static final class RefusedException extends IOException {
        private static final long serialVersionUID = 1;

        RefusedException(String message) {
            super(message);
        }
    }

    /** What is expected of a reply. */
    enum Expected {
        /** Anything but an error, upon which the lane is closed: what is behind it may rest upon what was refused. */
        SUCCESS,
        /** What was queued, and no error among it; first of all the times of the keys that it is about, which must be there. */
        TRANSACTION,
        /** Whatever it is. */
        ANYTHING
    }

    /**
     * One command on its way.
     *
     * @param checked of a transaction: the keys whose times it asks for, before everything else
     */
    private record Sent(Expected expected, Place from, List<Key> checked) {}

    private Lane(
            Endpoint server, FleetSpec fleet, int slot, String link, ServerStream stream, Consumer<Trouble> trouble)
            throws IOException {
        this.server = server;
        this.slot = slot;
        this.keys = LinkKeys.of(link, slot);
        this.stream = stream;
        this.trouble = trouble;
        this.replies = new ReplyReader(new UnlockedInput(stream.input()));
        this.out = stream.output();
        if (fleet.credential().isPresent()) {
            Credential credential = fleet.credential().get();
            demand("AUTH", credential.user(), credential.password());
        }
        demand("CLIENT", "SETNAME", Ownership.clientName(link));
        this.clientId = demand("CLIENT", "ID") instanceof Reply.Int(long id) ? id : -1;
        this.reader = Thread.ofPlatform()
                .daemon()
                .name("link-" + link + "-replies-" + server)
                .unstarted(this::read);
    }

    /**
     * Connects; nothing reads replies until {@link #begin}.
     *
     * @param slot one that the primary has, or {@link LinkKeys#NO_SLOT}
     */
    static Lane open(Endpoint server, FleetSpec fleet, int slot, String link, Consumer<Trouble> trouble)
            throws IOException {
        ServerStream stream = ServerStream.open(server, fleet.tls(), CONNECT_MAX);
        try {
            return new Lane(server, fleet, slot, link, stream, trouble);
        } catch (IOException e) {
            stream.close();
            throw new IOException(
                    "the target " + server + " does not take the link's connection: " + e.getMessage(), e);
        }
    }

    Endpoint server() {
        return server;
    }

    LinkKeys keys() {
        return keys;
    }

    long clientId() {
        return clientId;
    }

    /** Asks and waits for the reply, which must be no error; only before {@link #begin}. */
    Reply demand(String... words) throws IOException {
        out.write(CommandEncoder.encode(words));
        Reply reply = replies.read();
        if (reply instanceof Reply.Failure(String message)) {
            throw new IOException(server + " refused " + words[0] + ": " + message);
        }
        return reply;
    }

    /** From here on replies are read by the lane's own thread. */
    void begin() throws IOException {
        stream.silenceMax(SILENCE_MAX);
        reader.start();
    }

    // ------------------------------------------------------------------------------------------- the link's own thread

    /** Sends one command, some time before {@link #flush} returns. */
    void send(Expected expected, Place from, byte[]... words) throws IOException {
        send(new Sent(expected, from, List.of()), words);
    }

    /**
     * Sends the end of a transaction.
     *
     * @param checked the keys whose times it has asked for, before everything else
     */
    void execute(Place from, List<Key> checked) throws IOException {
        send(new Sent(Expected.TRANSACTION, from, checked), EXEC);
    }

    private void send(Sent sent, byte[]... words) throws IOException {
        throwIfFailed();
        if (!unanswered.offer(sent)) {
            awaitRoom(sent);
        }
        CommandEncoder.encode(buffered, words);
        if (buffered.size() >= FLUSH_BYTES) {
            flush();
        }
    }

    /** Has the server select that database, if it has not. */
    void select(int wanted, Expected expected, Place from) throws IOException {
        if (!selected || database != wanted) {
            send(expected, from, SELECT, Integer.toString(wanted).getBytes(US_ASCII));
            database = wanted;
            selected = true;
        }
    }

    /** A SELECT may have been refused together with its transaction: it is not relied on. */
    void selectAgain() {
        selected = false;
    }

    /**
     * Notes that something of the stream up to {@code end} may be in the data from now on, before it is: the note precedes it in the server's own history. A window is opened
     * wider than is asked for, so that this is seldom.
     */
    void cover(long end, long windowBytes, Checkpoint known) throws IOException {
        if (end > untilAtMost) {
            note(new Checkpoint(known.sourceId(), known.applied(), end + windowBytes));
        }
    }

    /** Notes what is applied now, with the window as it is. */
    void note(String sourceId, Place applied) throws IOException {
        note(new Checkpoint(sourceId, applied, Math.max(untilAtMost, applied.offset())));
    }

    private void note(Checkpoint checkpoint) throws IOException {
        untilAtMost = checkpoint.untilAtMost();
        if (slot == LinkKeys.NO_SLOT) {
            select(0, Expected.SUCCESS, checkpoint.applied());
        }
        send(Expected.SUCCESS, checkpoint.applied(), CommandEncoder.bytes("SET", keys.checkpoint(), checkpoint.text()));
    }

    /** The window that stands at the target already. */
    void covered(long end) {
        untilAtMost = end;
    }

    long covered() {
        return untilAtMost;
    }

    private void awaitRoom(Sent sent) throws IOException {
        flush();
        try {
            while (!unanswered.offer(sent, ROOM_POLL.toMillis(), TimeUnit.MILLISECONDS)) {
                throwIfFailed();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while " + server + " was behind", e);
        }
    }

    /** Sends what is kept back. */
    void flush() throws IOException {
        if (buffered.size() > 0) {
            try {
                buffered.writeTo(out);
            } catch (IOException e) {
                throwIfFailed(); // why it was closed says more
                throw e;
            }
            if (buffered.size() > BUFFER_KEPT_BYTES) {
                buffered = new ByteArrayOutputStream(2 * FLUSH_BYTES);
            } else {
                buffered.reset();
            }
        }
    }

    void throwIfFailed() throws IOException {
        IOException why = failure;
        if (why != null) {
            throw why instanceof RefusedException
                    ? new RefusedException(String.valueOf(why.getMessage()))
                    : new IOException(why.getMessage(), why);
        }
    }

    // ------------------------------------------------------------------------------------------------------ any thread

    /** The start of the oldest that is not answered; null where all is. */
    @Nullable
    Place oldestUnanswered() {
        Sent head = unanswered.peek();
        return head == null ? null : head.from();
    }

    boolean isIdle() {
        return unanswered.isEmpty();
    }

    // --------------------------------------------------------------------------------------------------- reader thread

    private void read() {
        try {
            while (true) {
                Reply reply = replies.read();
                Sent sent = unanswered.peek();
                if (sent == null) {
                    throw new IOException("a reply that nobody has asked for: " + reply.text());
                }
                judge(sent, reply);
                if (failure != null) {
                    return; // what is unanswered stays so
                }
                unanswered.remove();
            }
        } catch (IOException e) {
            fail(new IOException("the target " + server + " broke off: " + e.getMessage(), e));
        }
    }

    private void judge(Sent sent, Reply reply) {
        switch (sent.expected()) {
            case SUCCESS -> success(reply);
            case TRANSACTION -> transaction(sent, reply);
            case ANYTHING -> {}
        }
    }

    private void success(Reply reply) {
        if (reply instanceof Reply.Failure failed) {
            String what = "the target " + server + " answered " + failed.message();
            fail(OF_THE_SERVER.contains(failed.code()) ? new IOException(what) : new RefusedException(what));
        }
    }

    private void transaction(Sent sent, Reply reply) {
        switch (reply) {
            case Reply.Array(List<Reply> elements) -> {
                elements.forEach(this::success);
                for (int i = 0; i < sent.checked().size(); i++) {
                    if (elements.get(i) instanceof Reply.Int(long left) && left == GONE) {
                        trouble.accept(new Trouble(List.of(sent.checked().get(i)), sent.from()));
                    }
                }
            }
            case Reply.Failure failed -> success(failed);
            default -> fail(new IOException("the target " + server + " answered EXEC with " + reply.text()));
        }
    }

    private void fail(IOException why) {
        if (failure == null) {
            failure = why;
        }
        close();
    }

    /** At once: what is under way may or may not be applied. */
    @Override
    public void close() {
        if (failure == null) {
            failure = new IOException("the connection to the target " + server + " was closed");
        }
        try {
            stream.close();
        } catch (IOException e) {
            // The descriptor is released all the same, and nothing else was wanted.
        }
    }
}
