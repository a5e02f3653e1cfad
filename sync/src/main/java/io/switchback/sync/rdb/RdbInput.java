package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.sync.Crc64;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a snapshot or payload, counted and summed up as they are taken; for one thread.
 *
 * <p>From {@link #mark} on what is taken is kept, up to a limit, so that a value can be walked over first and then either be passed on as it
 * stands or be read again from its beginning. What is held: one buffer, or as much as the mark's limit. A length in the input reserves
 * no memory: it grows with what has come.
 */
final class RdbInput {
    private static final int BUFFER_BYTES = 128 * 1024;
    private static final int SPARE_BYTES = 64;
    private static final int NO_MARK = -1;
    private static final int GROWTH_BYTES = 1024 * 1024;

    /** A walk went past the limit of its mark. Flow of control, not an error: it has no trace and is never seen outside. */
    static final class PastMark extends IOException {
        private static final long serialVersionUID = 1;

        private PastMark() {
            super("past the mark");
        }

        @Override
        public synchronized Throwable fillInStackTrace() {
            return this;
        }
    }

    private final PastMark pastMark = new PastMark();
    private final InputStream in;
    private final String whatItIs;
    private long unreadMax;
    private byte[] buffer;

    /** Invariant: {@code summed <= position <= end}, and {@code summed <= marked <= position} where there is a mark. */
    private long longestSkipped;

    private int position;

    private int end;
    private int marked = NO_MARK;
    private int markedMax;

    /** Up to here the bytes of the buffer are part of {@code crc}. */
    private int summed;

    private long crc;

    /** Bytes of the input before the buffer's first. */
    private long before;

    private byte @Nullable [] window;

    /** {@code bytesMax}: no more than this is taken from {@code in}. {@code whatItIs} is for messages. */
    RdbInput(InputStream in, long bytesMax, String whatItIs) {
        this.in = in;
        this.unreadMax = bytesMax;
        this.buffer = new byte[(int) Math.min(BUFFER_BYTES, bytesMax + SPARE_BYTES)];
        this.whatItIs = whatItIs;
    }

    /** How many bytes were taken. */
    long offset() {
        return before + position;
    }

    /** The checksum of all that was taken. */
    long checksum() {
        sum(position);
        return crc;
    }

    RdbFormatException malformed(String what) {
        return new RdbFormatException(offset(), what);
    }

    /** What was read from the stream and not taken. */
    byte[] rest() {
        return Arrays.copyOfRange(buffer, position, end);
    }

    // A mark

    /** Of the strings that were skipped since the last mark, the length of the longest, as it is when it is not compressed. */
    long longestSkipped() {
        return longestSkipped;
    }

    void mark(int bytesMax) {
        longestSkipped = 0;
        marked = position;
        markedMax = bytesMax;
    }

    /** Back to the mark, which is gone then. */
    void reset() {
        position = marked;
        marked = NO_MARK;
    }

    /** The bytes since the mark, behind {@code head} free bytes and before {@code tail} more; the mark is gone then. */
    byte[] takeMarked(int head, int tail) {
        int length = position - marked;
        byte[] taken = new byte[head + length + tail];
        System.arraycopy(buffer, marked, taken, head, length);
        marked = NO_MARK;
        return taken;
    }

    int sinceMark() {
        return position - marked;
    }

    /** The bytes since the mark, where they lie: good until the next byte is taken. */
    byte[] buffer() {
        return buffer;
    }

    int markedAt() {
        return marked;
    }

    void dropMark() {
        marked = NO_MARK;
    }

    // Plain bytes

    int unsignedByte() throws IOException {
        need(1);
        return buffer[position++] & 0xff;
    }

    long littleEndian(int bytes) throws IOException {
        need(bytes);
        long value = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            value = value << 8 | (buffer[position + i] & 0xff);
        }
        position += bytes;
        return value;
    }

    private long bigEndian(int bytes) throws IOException {
        need(bytes);
        long value = 0;
        for (int i = 0; i < bytes; i++) {
            value = value << 8 | (buffer[position + i] & 0xff);
        }
        position += bytes;
        return value;
    }

    void skip(long bytes) throws IOException {
        if (marked != NO_MARK && bytes > (long) markedMax - (position - marked)) {
            throw pastMark;
        }
        long left = bytes;
        while (left > 0) {
            need(1);
            int step = (int) Math.min(left, end - position);
            position += step;
            left -= step;
        }
    }

    void read(byte[] into, int offset, int length) throws IOException {
        int done = 0;
        while (done < length) {
            need(1);
            int step = Math.min(length - done, end - position);
            System.arraycopy(buffer, position, into, offset + done, step);
            position += step;
            done += step;
        }
    }

    byte[] bytes(long length) throws IOException {
        if (length < 0 || length > RdbLimits.ELEMENT_BYTES_MAX) {
            throw malformed("a string of " + Long.toUnsignedString(length) + " bytes; the limit is "
                    + RdbLimits.ELEMENT_BYTES_MAX);
        }
        int wanted = (int) length;
        byte[] bytes = new byte[Math.min(wanted, GROWTH_BYTES)];
        int done = 0;
        while (true) {
            read(bytes, done, bytes.length - done);
            done = bytes.length;
            if (done == wanted) {
                return bytes;
            }
            bytes = Arrays.copyOf(bytes, (int) Math.min(wanted, 2L * done));
        }
    }

    // Lengths and strings

    /** A length; -1 - n for the special encoding n. */
    private long lengthOrEncoding() throws IOException {
        int first = unsignedByte();
        return switch (first >>> 6) {
            case 0 -> first;
            case 1 -> (first & 0x3f) << 8 | unsignedByte();
            case 2 -> {
                if (first == 0x80) {
                    yield bigEndian(4);
                }
                if (first == 0x81) {
                    yield unsignedLengthOf8();
                }
                throw malformed("no length begins with " + first);
            }
            default -> -1L - (first & 0x3f);
        };
    }

    private long unsignedLengthOf8() throws IOException {
        long length = bigEndian(8);
        if (length < 0) {
            throw malformed("a length of " + Long.toUnsignedString(length));
        }
        return length;
    }

    /** A length or count, below 2^63. */
    long length() throws IOException {
        long length = lengthOrEncoding();
        if (length < 0) {
            throw malformed("expected a length, found a string's encoding");
        }
        return length;
    }

    /** A number in the form of a length, of all 64 bits. */
    long number() throws IOException {
        need(1);
        if ((buffer[position] & 0xff) == 0x81) {
            position++;
            return bigEndian(8);
        }
        return length();
    }

    /** Skips a number in the form of a length. */
    void skipNumber() throws IOException {
        number();
    }

    /** A whole string, of whatever encoding. */
    byte[] string() throws IOException {
        long length = lengthOrEncoding();
        if (length >= 0) {
            return bytes(length);
        }
        if (length == -1L - StringBytes.ENCODING_LZF) {
            StringBytes lzf = StringBytes.compressed(this);
            byte[] bytes = lzf.bytes(lzf.remaining());
            lzf.finish();
            return bytes;
        }
        return integer(length);
    }

    /** The bytes of a string, one after the other. */
    StringBytes open() throws IOException {
        long length = lengthOrEncoding();
        if (length >= 0) {
            return StringBytes.plain(this, length);
        }
        if (length == -1L - StringBytes.ENCODING_LZF) {
            return StringBytes.compressed(this);
        }
        return StringBytes.of(this, integer(length));
    }

    private byte[] integer(long encoding) throws IOException {
        long value = switch ((int) (-1L - encoding)) {
            case 0 -> (byte) littleEndian(1);
            case 1 -> (short) littleEndian(2);
            case 2 -> (int) littleEndian(4);
            default -> throw malformed("no string has the encoding " + (-1L - encoding));
        };
        return Long.toString(value).getBytes(ISO_8859_1);
    }

    void skipString() throws IOException {
        long length = lengthOrEncoding();
        if (length >= 0) {
            longestSkipped = Math.max(longestSkipped, length);
            skip(length);
        } else if (length == -1L - StringBytes.ENCODING_LZF) {
            long compressed = length();
            longestSkipped = Math.max(longestSkipped, length());
            skip(compressed);
        } else {
            int encoding = (int) (-1L - length);
            if (encoding > 2) {
                throw malformed("no string has the encoding " + encoding);
            }
            skip(1L << encoding);
        }
    }

    /** Room for the bytes of one compressed string at a time. */
    byte[] window() {
        byte[] room = window;
        if (room == null) {
            room = new byte[StringBytes.WINDOW_BYTES];
            window = room;
        }
        return room;
    }

    // The buffer

    /** So many bytes, a few, lie in the buffer. */
    private void need(int bytes) throws IOException {
        if (end - position < bytes) {
            fill(bytes);
        }
        if (marked != NO_MARK && position + bytes - marked > markedMax) {
            throw pastMark;
        }
    }

    private void fill(int wanted) throws IOException {
        int keep = marked == NO_MARK ? position : marked;
        boolean used = position == end && (marked == NO_MARK || buffer.length - end < buffer.length / 4);
        if (used || buffer.length - position < wanted) {
            makeRoom(keep, wanted);
        }
        while (end - position < wanted) {
            int room = (int) Math.min(buffer.length - end, unreadMax);
            int count = room == 0 ? -1 : in.read(buffer, end, room);
            if (count < 0) {
                throw new EOFException(
                        whatItIs + " ends after " + (before + end) + " bytes, within what it says to hold");
            }
            end += count;
            unreadMax -= count;
        }
    }

    /** What is kept moves to the buffer's beginning; the buffer grows as far as a mark asks, and shrinks again without one. */
    private void makeRoom(int keep, int wanted) {
        sum(keep);
        int held = end - keep;
        byte[] next = buffer;
        long least = (long) (position - keep) + Math.max(wanted, held - (position - keep));
        if (marked == NO_MARK && buffer.length > BUFFER_BYTES && least <= BUFFER_BYTES) {
            next = new byte[BUFFER_BYTES];
        } else if (least > buffer.length - buffer.length / 4) {
            next = new byte[(int) Math.min(2L * buffer.length, Integer.MAX_VALUE - 8)];
        }
        System.arraycopy(buffer, keep, next, 0, held);
        buffer = next;
        before += keep;
        position -= keep;
        end -= keep;
        summed -= keep;
        if (marked != NO_MARK) {
            marked = 0;
        }
    }

    private void sum(int upTo) {
        if (upTo > summed) {
            crc = Crc64.update(crc, buffer, summed, upTo - summed);
            summed = upTo;
        }
    }
}
