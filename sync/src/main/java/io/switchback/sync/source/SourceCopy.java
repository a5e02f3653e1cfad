package io.switchback.sync.source;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ServerConnection;
import java.io.EOFException;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A copy that a source has begun: the snapshot, and the stream that follows it. Over one connection the one comes behind the other. Where the source offers it, the snapshot comes
 * over a connection of its own, and the stream meanwhile over the first one, where it is read into a {@link StreamBuffer}: then the source need not hold what is written while it is
 * copied. Valkey calls that dual-channel-replication-enabled (8.0), Redis repl-rdb-channel (8.0); both ways are told apart by the source's answer.
 *
 * <p>For the thread that copies. All of it is closed with the first connection.
 */
public final class SourceCopy {
    /** What of the stream is held at most while a snapshot comes over a connection of its own; then nothing more of it is read, and the source holds the rest. */
    public static final long STREAM_HELD_BYTES_MAX = StreamBuffer.HELD_BYTES_MAX;

    /** What a source that has two channels wants to be told; others pass it over. Only whoever takes a snapshot that ends with a mark may say it. */
    private static final List<String> TWO_CHANNELS = List.of("dual-channel", "rdb-channel-repl");

    private static final String CAPABLE_OF_A_MARK = "eof";
    private static final String WITH_ITS_OWN_SNAPSHOT = "+FULLRESYNC";
    private static final String VALKEY = "+DUALCHANNELSYNC";
    private static final String VALKEY_SNAPSHOT = "$ENDOFF:";
    private static final String REDIS = "+RDBCHANNELSYNC";

    private static final Duration LOOK_MAX = Duration.ofSeconds(1);

    private static final Logger LOG = LoggerFactory.getLogger(SourceCopy.class);

    private final SourceConnection main;
    private final FleetSpec source;
    private final @Nullable SourceConnection beside;
    private final WireInput stream;
    private final String sourceId;
    private final long offset;
    private final long cutsBefore;

    /**
     * How a link asks.
     *
     * @param announcedName what the source calls it
     * @param capabilities  of whoever takes the snapshot
     * @param version       that the snapshot is written for, where it matters
     * @param answerMax     to connect, and to be answered
     * @param silenceMax    of the source, once it was asked for a copy
     */
    public record Request(
            String announcedName,
            List<String> capabilities,
            Optional<String> version,
            Duration answerMax,
            Duration silenceMax) {}

    /** Where the snapshot stands in the source's stream. */
    private record Begun(String sourceId, long offset) {}

    private SourceCopy(
            SourceConnection main,
            @Nullable SourceConnection beside,
            FleetSpec source,
            WireInput stream,
            Begun begun,
            long cutsBefore) {
        this.main = main;
        this.beside = beside;
        this.source = source;
        this.stream = stream;
        this.sourceId = begun.sourceId();
        this.offset = begun.offset();
        this.cutsBefore = cutsBefore;
    }

    /**
     * Asks for a copy, and returns when the source has begun it.
     *
     * @param waiting done whenever the source says that it is not so far yet
     * @param reading the thread that reads the stream while the snapshot comes, where they come apart
     */
    public static SourceCopy ask(
            SourceConnection main,
            FleetSpec source,
            Request request,
            WireInput.Waiting waiting,
            Thread.Builder.OfPlatform reading)
            throws IOException {
        long cuts = cuts(main.info());
        main.announce(request.announcedName());
        List<String> capabilities = new ArrayList<>(request.capabilities());
        if (capabilities.contains(CAPABLE_OF_A_MARK)) {
            capabilities.addAll(TWO_CHANNELS);
        }
        main.psync("?", -1, capabilities, request.version());
        main.silenceMax(request.silenceMax());
        String answer = line(main.input(), waiting);
        if (answer.startsWith(WITH_ITS_OWN_SNAPSHOT)) {
            return new SourceCopy(main, null, source, main.input(), begun(answer), cuts);
        }
        boolean valkey = answer.equals(VALKEY);
        if (!valkey && !answer.startsWith(REDIS)) {
            throw new IOException("the source answered " + answer);
        }
        SourceConnection beside = main.beside(request.answerMax());
        beside.announce(request.announcedName());
        Begun begun = valkey
                ? besideValkey(main, beside, request, waiting)
                : besideRedis(beside, answer.substring(REDIS.length()).strip(), request, waiting);
        return new SourceCopy(main, beside, source, buffered(main, reading), begun, cuts);
    }

    /** The snapshot's connection is told from others by what it says; the stream's says then that it belongs to it, and asks from the snapshot's place on. */
    private static Begun besideValkey(
            SourceConnection main, SourceConnection beside, Request request, WireInput.Waiting waiting)
            throws IOException {
        beside.replconf("rdb-only", "1", "rdb-channel", "1");
        beside.psync("?", -1, request.capabilities(), request.version());
        beside.silenceMax(request.silenceMax());
        String answer = line(beside.input(), waiting);
        // Offset, id, a database (the stream selects one anew), and the connection's number.
        String[] words = answer.split(" ", -1);
        if (words.length < 4 || !words[0].startsWith(VALKEY_SNAPSHOT)) {
            throw new IOException("the source answered " + answer);
        }
        Begun begun = new Begun(words[1], number(words[0].substring(VALKEY_SNAPSHOT.length()), answer));
        main.ask("REPLCONF", "set-rdb-client-id", words[3]);
        demand(main, "+OK");
        main.ask("PSYNC", begun.sourceId(), Long.toString(begun.offset() + 1));
        demand(main, "+CONTINUE");
        // The answer to PSYNC comes behind, and says the same.
        Begun same = begun(line(beside.input(), waiting));
        if (!same.equals(begun)) {
            throw new IOException("the source has begun " + same + ", after it had announced " + begun);
        }
        return begun;
    }

    /** The snapshot's connection names the stream's, over which the stream begins by itself. */
    private static Begun besideRedis(SourceConnection beside, String mainId, Request request, WireInput.Waiting waiting)
            throws IOException {
        // Without the first the stream would gather for this connection too.
        beside.replconf("rdb-only", "1", "rdb-channel", "1", "main-ch-client-id", mainId);
        beside.psync("?", -1, request.capabilities(), request.version());
        beside.silenceMax(request.silenceMax());
        return begun(line(beside.input(), waiting));
    }

    private static Begun begun(String answer) throws IOException {
        String[] words = answer.split(" ", -1);
        if (words.length != 3 || !words[0].equals(WITH_ITS_OWN_SNAPSHOT)) {
            throw new IOException("the source answered " + answer);
        }
        return new Begun(words[1], number(words[2], answer));
    }

    private static long number(String text, String answer) throws IOException {
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new IOException("the source answered " + answer, e);
        }
    }

    private static String line(WireInput input, WireInput.Waiting waiting) throws IOException {
        String line = input.readLine();
        while (line.isEmpty()) {
            waiting.run();
            line = input.readLine();
        }
        return line;
    }

    private static void demand(SourceConnection main, String expected) throws IOException {
        String answer = main.input().readLine();
        if (!answer.startsWith(expected)) {
            throw new IOException("the source answered " + answer);
        }
    }

    private static WireInput buffered(SourceConnection main, Thread.Builder.OfPlatform reading) {
        StreamBuffer buffer = new StreamBuffer();
        main.closesWith(buffer);
        reading.start(() -> buffer.fill(main.input()));
        return new WireInput(buffer, SourceConnection.COMMAND_BYTES_MAX);
    }

    /** The source's history. */
    public String sourceId() {
        return sourceId;
    }

    /** Up to where the source's stream is in the snapshot. */
    public long offset() {
        return offset;
    }

    /** Whether the stream comes while the snapshot does. */
    public boolean hasTwoChannels() {
        return beside != null;
    }

    /** The snapshot is loaded: a connection of its own, which the source has ended or will end, is done with. */
    public void loaded() {
        if (beside != null) {
            try {
                beside.close();
            } catch (IOException e) {
                LOG.debug("closing {} failed; its descriptor is released all the same", beside, e);
            }
        }
    }

    /** The snapshot, from the line that announces it on. */
    public WireInput snapshot() {
        return beside != null ? beside.input() : main.input();
    }

    /** What follows the snapshot, once that was read to its end. */
    public WireInput stream() {
        return stream;
    }

    /** Why the copy ended before its end, in words that say what to do where the source has cut it off. */
    public String whyEnded(IOException end) {
        String why = String.valueOf(end.getMessage());
        long cuts = -1;
        try (ServerConnection connection = ServerConnection.open(source, LOOK_MAX)) {
            cuts = cuts(InfoReport.read(connection));
        } catch (FleetException e) {
            return why;
        }
        boolean counts = cuts >= 0;
        // One that does not count leaves nothing else than to look at who has ended it.
        if (counts ? cuts <= cutsBefore : !(end instanceof EOFException)) {
            return why;
        }
        String toDo = "raise it at the source, or let the copy go faster (copy in the release's file)"
                + (hasTwoChannels()
                        ? ""
                        : ", or let the source send both at once (dual-channel-replication-enabled of Valkey 8.0,"
                                + " repl-rdb-channel of Redis 8.0)");
        return !counts
                ? why + "; if its log says that output buffer limits were overcome, what was written meanwhile is more"
                        + " than client-output-buffer-limit replica lets it hold: " + toDo
                : why + "; it has cut off who did not read in time: what was written meanwhile is more than"
                        + " client-output-buffer-limit replica lets it hold: " + toDo;
    }

    /** What the source's data take in its memory, which a snapshot of them is below; -1 where it does not say (before 4.0). */
    public static long dataBytes(InfoReport info) {
        return info.number("used_memory_dataset", -1);
    }

    /** How many connections it has closed for what it held for them; -1 where it does not count (before 7.4). */
    private static long cuts(InfoReport info) {
        return info.number("client_output_buffer_limit_disconnections", -1);
    }
}
