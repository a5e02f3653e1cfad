package io.switchback.resp;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Reads replies one after another from a blocking stream, for the control plane; one thread at a time. RESP3's types are read
 * as what servers give to a client of RESP2 in their place: a map as an array of keys and values, a double as a string.
 *
 * <p>Limits: {@link #LINE_BYTES_MAX}, {@link #BULK_BYTES_MAX}, {@link #ELEMENTS_MAX}, {@link #DEPTH_MAX}; a reply past one
 * is a {@link ProtocolException}, after which the stream is of no further use.
 */
public final class ReplyReader {
    public static final int LINE_BYTES_MAX = 64 * 1024;
    public static final int BULK_BYTES_MAX = 512 * 1024 * 1024;
    public static final int ELEMENTS_MAX = 16 * 1024 * 1024;
    public static final int DEPTH_MAX = 32;
    /** {@code txt:} before a verbatim string. */
    private static final int VERBATIM_PREFIX_BYTES = 4;

    private static final int LINE_BYTES_USUAL = 64;
    /** So many digits are no overflow of a long. */
    private static final int DIGITS_SURE = 18;

    private final InputStream in;
    /** The line that was read last. */
    private byte[] line = new byte[LINE_BYTES_USUAL];

    /** Reads from {@code in}, which should be buffered: {@link UnlockedInput}. */
    public ReplyReader(InputStream in) {
        this.in = in;
    }

    /** The next reply; waits for it. */
    public Reply read() throws IOException {
        return read(0);
    }

    private Reply read(int depth) throws IOException {
        int type = in.read();
        if (type < 0) {
            throw new EOFException("the server closed the connection");
        }
        int length = fillLine();
        return switch (type) {
            case '+' -> new Reply.Simple(text(length));
            case '-' -> new Reply.Failure(text(length));
            case ':' -> new Reply.Int(number(length));
            case '$' -> bulk(number(length));
            case '*', '~', '>' -> array(number(length), depth);
            case '%' -> array(2 * number(length), depth);
            case '_' -> new Reply.Nil();
            case '#' -> new Reply.Int(text(length).equals("t") ? 1 : 0);
            case ',', '(' -> new Reply.Bulk(Arrays.copyOf(line, length));
            case '=' -> verbatim(number(length));
            case '!' -> new Reply.Failure(bulk(number(length)).text());
            case '|' -> {
                array(2 * number(length), depth);
                yield read(depth);
            }
            default -> throw new ProtocolException("expected a reply, got the type byte " + type);
        };
    }

    private Reply verbatim(long length) throws IOException {
        return bulk(length) instanceof Reply.Bulk(byte[] bytes) && bytes.length >= VERBATIM_PREFIX_BYTES
                ? new Reply.Bulk(Arrays.copyOfRange(bytes, VERBATIM_PREFIX_BYTES, bytes.length))
                : new Reply.Nil();
    }

    private Reply bulk(long length) throws IOException {
        if (length < 0) {
            return new Reply.Nil();
        }
        if (length > BULK_BYTES_MAX) {
            throw new ProtocolException("a bulk string of " + length + " bytes; the limit is " + BULK_BYTES_MAX);
        }
        byte[] bytes = in.readNBytes((int) length);
        if (bytes.length < length || in.read() != '\r' || in.read() != '\n') {
            throw new EOFException("the connection ended within a bulk string of " + length + " bytes");
        }
        return new Reply.Bulk(bytes);
    }

    private Reply array(long count, int depth) throws IOException {
        if (count < 0) {
            return new Reply.Nil();
        }
        if (count > ELEMENTS_MAX || depth >= DEPTH_MAX) {
            throw new ProtocolException("an array of " + count + " elements at depth " + depth + "; the limits are "
                    + ELEMENTS_MAX + " and " + DEPTH_MAX);
        }
        List<Reply> elements = new ArrayList<>((int) Math.min(count, 1024));
        for (long i = 0; i < count; i++) {
            elements.add(read(depth + 1));
        }
        return new Reply.Array(elements);
    }

    /** A line without its CRLF, which is consumed. */
    public String readLine() throws IOException {
        return text(fillLine());
    }

    /** Reads a line into {@link #line}, without its CRLF; its length. */
    private int fillLine() throws IOException {
        int length = 0;
        while (true) {
            int b = in.read();
            if (b < 0) {
                throw new EOFException("the server closed the connection");
            }
            if (b == '\r') {
                if (in.read() != '\n') {
                    throw new ProtocolException("a carriage return without a line feed");
                }
                return length;
            }
            if (length == LINE_BYTES_MAX) {
                throw new ProtocolException("a line of more than " + LINE_BYTES_MAX + " bytes");
            }
            if (length == line.length) {
                line = Arrays.copyOf(line, length * 2);
            }
            line[length++] = (byte) b;
        }
    }

    private String text(int length) {
        return new String(line, 0, length, UTF_8);
    }

    private long number(int length) throws ProtocolException {
        int at = length > 0 && line[0] == '-' ? 1 : 0;
        long value = 0;
        boolean isPlain = length > at && length - at <= DIGITS_SURE;
        for (int i = at; isPlain && i < length; i++) {
            int digit = line[i] - '0';
            isPlain = digit >= 0 && digit <= 9;
            value = 10 * value + digit;
        }
        if (isPlain) {
            return at == 0 ? value : -value;
        }
        try {
            return Long.parseLong(text(length));
        } catch (NumberFormatException e) {
            throw new ProtocolException("expected a number, got \"" + text(length) + "\"");
        }
    }
}
