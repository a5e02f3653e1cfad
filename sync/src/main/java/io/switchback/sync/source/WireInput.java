package io.switchback.sync.source;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The bytes that come from one side of a link, taken as lines, as commands or as they are; for one thread.
 *
 * <p>Invariant: {@code consumed()} counts exactly the bytes given out, so it is an offset of the stream. A command is given
 * out whole or not at all; it may be as large as {@code commandBytesMax} and no larger.
 */
public final class WireInput {
    public static final int LINE_BYTES_MAX = 64 * 1024;
    public static final int ARGUMENTS_MAX = 1024 * 1024;
    private static final int BUFFER_BYTES = 64 * 1024;

    private final InputStream in;
    private final int commandBytesMax;
    private byte[] buffer = new byte[BUFFER_BYTES];
    private int start;
    private int end;
    private long consumed;
    private int commandStart;
    private Waiting beforeWaiting = () -> {};

    public WireInput(InputStream in, int commandBytesMax) {
        this.in = in;
        this.commandBytesMax = commandBytesMax;
    }

    /** To be done before a read that may have to wait: what was put off until then must not be put off longer. */
    @FunctionalInterface
    public interface Waiting {
        void run() throws IOException;
    }

    /** Has {@code action} done before each read from the connection. */
    public void beforeWaiting(Waiting action) {
        beforeWaiting = action;
    }

    /** How many bytes were given out so far. */
    public long consumed() {
        return consumed;
    }

    /** What there is, at least one byte unless the stream has ended (-1). */
    public int read(byte[] into, int length) throws IOException {
        return read(into, 0, length);
    }

    /** As {@link #read(byte[], int)}, to a place within {@code into}. */
    public int read(byte[] into, int offset, int length) throws IOException {
        if (start == end) {
            int count = in.read(into, offset, length);
            consumed += Math.max(0, count);
            return count;
        }
        int count = Math.min(length, end - start);
        System.arraycopy(buffer, start, into, offset, count);
        take(count);
        return count;
    }

    /** A line without its end ({@code \r\n}, or {@code \n} alone: a keep-alive gives an empty line). */
    public String readLine() throws IOException {
        int scanned = 0;
        while (true) {
            for (int i = start + scanned; i < end; i++) {
                if (buffer[i] == '\n') {
                    int length = i - start;
                    boolean carriageReturn = length > 0 && buffer[i - 1] == '\r';
                    String line = new String(buffer, start, carriageReturn ? length - 1 : length, ISO_8859_1);
                    take(length + 1);
                    return line;
                }
            }
            scanned = end - start;
            if (scanned >= LINE_BYTES_MAX) {
                throw new IOException("a line of more than " + LINE_BYTES_MAX + " bytes");
            }
            fill();
        }
    }

    /**
     * The next command, waiting for all of it. No arguments: an empty line, which keeps a connection alive and counts as a
     * byte or two of the stream. Null: the stream has ended between commands.
     */
    public byte @Nullable [][] readCommand() throws IOException {
        int wanted = 1;
        while (true) {
            if (end - start >= wanted) {
                Parse parse = parse();
                if (parse.arguments != null) {
                    commandStart = start;
                    take(parse.bytes);
                    return parse.arguments;
                }
                wanted = parse.bytes;
            }
            if (wanted > commandBytesMax) {
                throw new IOException("a command of at least " + wanted + " bytes; the limit is " + commandBytesMax);
            }
            boolean between = start == end;
            if (!more()) {
                if (between) {
                    return null;
                }
                throw new EOFException("the other side closed the connection within a command");
            }
        }
    }

    /** The bytes of the command that was read last, as they came; good until the next read. */
    public void copyCommandTo(ByteSink sink) throws IOException {
        sink.write(buffer, commandStart, start - commandStart);
    }

    /** Takes bytes. */
    @FunctionalInterface
    public interface ByteSink {
        void write(byte[] bytes, int offset, int length) throws IOException;
    }

    /** A command and its size, or null and the least size that is known to be needed. */
    private static final class Parse {
        final byte @Nullable [][] arguments;
        final int bytes;

        Parse(byte @Nullable [][] arguments, int bytes) {
            this.arguments = arguments;
            this.bytes = bytes;
        }
    }

    private Parse parse() throws IOException {
        return buffer[start] == '*' ? parseArray() : parseInline();
    }

    private Parse parseInline() throws IOException {
        int lineEnd = lineEnd(start);
        if (lineEnd < 0) {
            return incomplete();
        }
        String line = new String(buffer, start, lineEnd - start, ISO_8859_1).strip();
        List<byte[]> words = new ArrayList<>();
        if (!line.isEmpty()) {
            for (String word : line.split(" +", -1)) {
                words.add(word.getBytes(ISO_8859_1));
            }
        }
        return new Parse(words.toArray(byte[][]::new), lineEnd - start);
    }

    private Parse parseArray() throws IOException {
        int at = lineEnd(start);
        if (at < 0) {
            return incomplete();
        }
        int count = number(start, at, ARGUMENTS_MAX);
        // Grows as arguments come: a count alone must not reserve memory.
        List<byte[]> arguments = new ArrayList<>(Math.min(count, 16));
        for (int i = 0; i < count; i++) {
            int bodyStart = at < end ? lineEnd(at) : -1;
            if (bodyStart < 0) {
                return incomplete();
            }
            if (buffer[at] != '$') {
                throw new IOException("expected '$' within a command, found byte " + buffer[at]);
            }
            int length = number(at, bodyStart, commandBytesMax);
            if (end - bodyStart < length + 2) {
                return new Parse(null, saturated((long) bodyStart - start + length + 2));
            }
            arguments.add(Arrays.copyOfRange(buffer, bodyStart, bodyStart + length));
            at = bodyStart + length + 2;
        }
        return new Parse(arguments.toArray(byte[][]::new), at - start);
    }

    private Parse incomplete() {
        return new Parse(null, end - start + 1);
    }

    private static int saturated(long value) {
        return (int) Math.min(value, Integer.MAX_VALUE - 64);
    }

    /** Behind the line feed of the line that starts at {@code from}; -1 where there is none yet. */
    private int lineEnd(int from) throws IOException {
        for (int i = from; i < end; i++) {
            if (buffer[i] == '\n') {
                return i + 1;
            }
        }
        if (end - from > LINE_BYTES_MAX) {
            throw new IOException("a line of more than " + LINE_BYTES_MAX + " bytes");
        }
        return -1;
    }

    private int number(int lineStart, int lineEnd, int max) throws IOException {
        long value = 0;
        int last = lineEnd - 2;
        for (int i = lineStart + 1; i < last; i++) {
            int digit = buffer[i] - '0';
            if (digit < 0 || digit > 9 || value > max) {
                throw new IOException("expected a number of at most " + max + ", found \""
                        + new String(buffer, lineStart, Math.min(lineEnd - lineStart, 40), ISO_8859_1).strip() + "\"");
            }
            value = value * 10 + digit;
        }
        if (value > max || last <= lineStart + 1) {
            throw new IOException("expected a number of at most " + max + ", found " + value);
        }
        return (int) value;
    }

    private void take(int count) {
        start += count;
        consumed += count;
    }

    private void fill() throws IOException {
        if (!more()) {
            throw new EOFException("the other side closed the connection");
        }
    }

    /**
     * Reads once, whatever comes; false at the end. Room grows with what has come, not with what was announced: a length
     * alone reserves no memory. What a large command had needed is given back after it.
     */
    private boolean more() throws IOException {
        int held = end - start;
        if (held == 0) {
            start = 0;
            end = 0;
            if (buffer.length > BUFFER_BYTES) {
                buffer = new byte[BUFFER_BYTES];
            }
        } else if (end == buffer.length) {
            byte[] next = start > buffer.length / 2 ? buffer : new byte[saturated(2L * buffer.length)];
            System.arraycopy(buffer, start, next, 0, held);
            buffer = next;
            start = 0;
            end = held;
        }
        beforeWaiting.run();
        int count = in.read(buffer, end, buffer.length - end);
        end += Math.max(0, count);
        return count >= 0;
    }
}
