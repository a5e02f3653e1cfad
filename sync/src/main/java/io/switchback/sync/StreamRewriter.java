package io.switchback.sync;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.fleet.dialect.Translation;
import io.switchback.resp.CommandEncoder;
import io.switchback.sync.source.WireInput;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongUnaryOperator;

/**
 * Turns a source's stream into one that the target understands, command by command, and keeps the map of what both call the
 * same point; for one thread. Pure but for its sink and the times it is told: no sockets, no clock.
 *
 * <p>Invariants:
 *
 * <ul>
 *   <li>The same commands from the same point give the same number of bytes, so that a relay which was killed finds its place:
 *       it begins at the last marker that the target has applied and drops what the target has already ({@code resumeAt}).
 *   <li>What goes out is published in the map before the sink sees it.
 *   <li>A marker stands at a point where the stream is in no transaction, in one piece with what empties database 0, and is
 *       the first thing injected behind the base.
 *   <li>Nothing of a command that cannot be translated is sent.
 * </ul>
 */
final class StreamRewriter {
    /** How much of the source's stream a relay that was killed has to ask for again, at most, beyond one transaction. */
    static final int MARKER_EVERY_BYTES = 256 * 1024;

    private static final int UNKNOWN = -1;
    private static final byte[] MULTI = CommandEncoder.encode("MULTI");
    private static final byte[] EXEC = CommandEncoder.encode("EXEC");

    private final StreamTranslator translator;
    private final String link;
    private final LinkBase base;
    private final SegmentMap map;
    private final LongUnaryOperator ranAtMs;
    private final WireInput.ByteSink sink;
    private final long resumeAt;

    private int database;
    private boolean inTransaction;
    private boolean flushedInTransaction;
    private long markerSource;
    private long written;
    private long commandEnd;

    /**
     * @param from     where the stream begins: a marker, or the base
     * @param resumeAt where the target stands, at or behind {@code from}
     * @param ranAtMs  when the source ran the command that ends at an offset of its stream, in milliseconds since 1970
     */
    StreamRewriter(
            StreamTranslator translator,
            String link,
            Optional<Marker> from,
            LinkBase base,
            long resumeAt,
            LongUnaryOperator ranAtMs,
            WireInput.ByteSink sink) {
        this.translator = translator;
        this.link = link;
        this.base = base;
        this.ranAtMs = ranAtMs;
        this.sink = sink;
        this.resumeAt = resumeAt;
        this.markerSource = from.map(Marker::source).orElse((long) UNKNOWN);
        this.database = from.map(Marker::database).orElse(UNKNOWN);
        long source = from.map(Marker::source).orElse(base.sourceOffset());
        this.written = from.map(Marker::target).orElse(base.targetOffset());
        this.map = new SegmentMap(source, written);
    }

    SegmentMap map() {
        return map;
    }

    /** Whether what goes out is still what the target has already. */
    boolean isSkipping() {
        return written < resumeAt;
    }

    /** Takes one command of {@code bytes} as they came, which {@code raw} writes where they may pass. */
    void next(byte[][] command, int bytes, Raw raw) throws IOException, BrokenLinkException {
        boolean skipped = isSkipping();
        if (command.length == 0) {
            pass(bytes, raw);
        } else {
            nextCommand(command, bytes, raw);
        }
        if (skipped && commandEnd >= resumeAt && (commandEnd > resumeAt || inTransaction)) {
            throw new BrokenLinkException("the target stands at " + resumeAt
                    + ", which is within a command of the stream as it is translated now, not behind one;"
                    + " it does not have what this link has sent");
        }
    }

    /** Writes a command as it came. */
    interface Raw {
        void copyTo(WireInput.ByteSink sink) throws IOException;
    }

    private void nextCommand(byte[][] command, int bytes, Raw raw) throws IOException, BrokenLinkException {
        switch (name(command)) {
            case "PING", "REPLCONF" -> pass(bytes, raw);
            case "SELECT" -> {
                database = Integer.parseInt(new String(command[1], US_ASCII));
                pass(bytes, raw);
            }
            case "MULTI" -> {
                inTransaction = true;
                pass(bytes, raw);
            }
            case "EXEC" -> exec(bytes, raw);
            default -> translated(command, bytes, raw);
        }
    }

    private void exec(int bytes, Raw raw) throws IOException, BrokenLinkException {
        inTransaction = false;
        if (!flushedInTransaction) {
            pass(bytes, raw);
            return;
        }
        flushedInTransaction = false;
        refuseWhileSkipping();
        long sourceAtEnd = map.endSource() + bytes;
        byte[] marker = Marker.inTransaction(link, base, sourceAtEnd, map.endTarget(), bytes, knownDatabase());
        markerSource = sourceAtEnd;
        map.rewritten(bytes, marker.length + (long) bytes);
        write(marker);
        raw.copyTo(this::write);
    }

    private void translated(byte[][] command, int bytes, Raw raw) throws IOException, BrokenLinkException {
        long end = map.endSource() + bytes;
        Translation translation = translator.translate(command, inTransaction, () -> ranAtMs.applyAsLong(end));
        Optional<byte[]> rewritten = switch (translation) {
            case Translation.Unchanged() -> Optional.empty();
            case Translation.Rewritten(List<byte[][]> commands) -> Optional.of(encoded(commands));
            case Translation.Impossible(String why) ->
                throw new BrokenLinkException("a command of the stream cannot be put into the target's words: " + why);
        };
        if (!empties(command)) {
            if (rewritten.isEmpty()) {
                pass(bytes, raw);
            } else {
                rewrite(bytes, rewritten.get());
            }
        } else if (inTransaction) {
            flushedInTransaction = true;
            if (rewritten.isEmpty()) {
                pass(bytes, raw);
            } else {
                rewrite(bytes, rewritten.get());
            }
        } else {
            flush(bytes, rewritten.orElse(CommandEncoder.encode(command)));
        }
    }

    private void pass(int bytes, Raw raw) throws IOException, BrokenLinkException {
        byte[] marker = dueMarker(bytes, bytes);
        if (marker.length == 0) {
            map.passed(bytes);
        } else {
            map.passedAndInjected(bytes, marker.length);
        }
        raw.copyTo(this::write);
        commandEnd = written;
        write(marker);
    }

    private void rewrite(int bytes, byte[] commands) throws IOException, BrokenLinkException {
        byte[] marker = dueMarker(bytes, commands.length);
        map.rewrittenAndInjected(bytes, commands.length, marker.length);
        write(commands);
        commandEnd = written;
        write(marker);
    }

    /** What empties database 0 takes the marker with it: it is written again in the same transaction. */
    private void flush(int bytes, byte[] commands) throws IOException, BrokenLinkException {
        refuseWhileSkipping();
        long sourceAtEnd = map.endSource() + bytes;
        long targetBefore = map.endTarget() + MULTI.length + commands.length;
        byte[] marker = Marker.inTransaction(link, base, sourceAtEnd, targetBefore, EXEC.length, knownDatabase());
        markerSource = sourceAtEnd;
        map.rewritten(bytes, MULTI.length + (long) commands.length + marker.length + EXEC.length);
        write(MULTI);
        write(commands);
        write(marker);
        write(EXEC);
    }

    /** The marker that is to follow a command, or nothing. The first follows the first SELECT. */
    private byte[] dueMarker(int sourceBytes, int targetBytes) throws BrokenLinkException {
        long source = map.endSource() + sourceBytes;
        long target = map.endTarget() + targetBytes;
        boolean first = markerSource == UNKNOWN;
        if (inTransaction || database == UNKNOWN || (!first && source - markerSource < MARKER_EVERY_BYTES)) {
            return new byte[0];
        }
        if (target < resumeAt) {
            if (first) {
                throw new BrokenLinkException(markerGone());
            }
            // Behind the last marker that the target has, it has been sent none: this is the stream that it has
            // already.
            return new byte[0];
        }
        markerSource = source;
        return Marker.alone(link, base, source, target, database);
    }

    private void refuseWhileSkipping() throws BrokenLinkException {
        if (isSkipping()) {
            throw new BrokenLinkException(markerGone());
        }
    }

    private String markerGone() {
        return "the target has applied more of the stream than its marker says, and a relay that was stopped cannot tell how"
                + " much: the marker was removed or is an old one";
    }

    private int knownDatabase() throws BrokenLinkException {
        if (database == UNKNOWN) {
            throw new BrokenLinkException("the source's stream changes data before it has selected a database");
        }
        return database;
    }

    /** Whether the command removes the marker, or moves it to where it is not looked for. */
    private boolean empties(byte[][] command) {
        return switch (name(command)) {
            case "FLUSHALL" -> true;
            case "FLUSHDB" -> database == 0;
            case "SWAPDB" -> command.length > 2 && isZero(command[1]) != isZero(command[2]);
            default -> false;
        };
    }

    private static boolean isZero(byte[] number) {
        return new String(number, US_ASCII).equals("0");
    }

    private static byte[] encoded(List<byte[][]> commands) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        commands.forEach(command -> CommandEncoder.encode(out, command));
        return out.toByteArray();
    }

    private void write(byte[] bytes) throws IOException {
        write(bytes, 0, bytes.length);
    }

    /** Sends what lies behind {@code resumeAt}. */
    private void write(byte[] bytes, int offset, int length) throws IOException {
        long behind = written + length - resumeAt;
        int skip = behind >= length ? 0 : (int) (length - Math.max(0, behind));
        written += length;
        if (skip < length) {
            sink.write(bytes, offset + skip, length - skip);
        }
    }

    private static String name(byte[][] command) {
        return new String(command[0], US_ASCII).toUpperCase(Locale.ROOT);
    }
}
