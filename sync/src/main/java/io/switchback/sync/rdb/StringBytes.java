package io.switchback.sync.rdb;

import java.io.IOException;
import java.util.Arrays;

/**
 * The bytes of one string of a snapshot, taken one after the other, so that a large one is never held whole. Compressed ones (LZF) are
 * decompressed as they are taken: they refer back at most 8 KiB, and that much is kept. For one thread; only one is open at a
 * time, and nothing else is taken from the input until {@link #finish}.
 */
final class StringBytes {
    static final int ENCODING_LZF = 3;

    private static final int BACK_BYTES_MAX = 8 * 1024;
    private static final int RUN_BYTES_MAX = 7 + 255 + 2;
    private static final int GROWTH_BYTES = 1024 * 1024;
    static final int WINDOW_BYTES = BACK_BYTES_MAX + 64 * 1024;

    private final RdbInput in;

    /** Bytes that were not taken yet. */
    private long remaining;

    private final boolean direct;

    /** Of compressed and small ones: what was decompressed and not taken lies between the two. */
    private final byte[] window;

    private int start;
    private int end;
    private long toDecompress;
    private long compressedLeft;

    private StringBytes(RdbInput in, boolean direct, byte[] window, int end, long length, long compressed) {
        this.in = in;
        this.direct = direct;
        this.window = window;
        this.end = end;
        this.remaining = length;
        this.toDecompress = direct ? 0 : length - end;
        this.compressedLeft = compressed;
    }

    static StringBytes plain(RdbInput in, long length) {
        return new StringBytes(in, true, new byte[0], 0, length, 0);
    }

    static StringBytes of(RdbInput in, byte[] text) {
        return new StringBytes(in, false, text, text.length, text.length, 0);
    }

    /** The encoding was read; the two lengths come next. */
    static StringBytes compressed(RdbInput in) throws IOException {
        long compressed = in.length();
        long length = in.length();
        return new StringBytes(in, false, in.window(), 0, length, compressed);
    }

    long remaining() {
        return remaining;
    }

    int unsignedByte() throws IOException {
        take(1);
        if (direct) {
            return in.unsignedByte();
        }
        if (start == end) {
            decompress();
        }
        return window[start++] & 0xff;
    }

    long littleEndian(int bytes) throws IOException {
        if (direct) {
            take(bytes);
            return in.littleEndian(bytes);
        }
        long value = 0;
        for (int i = 0; i < bytes; i++) {
            value |= (long) unsignedByte() << (8 * i);
        }
        return value;
    }

    byte[] bytes(long length) throws IOException {
        if (length > RdbLimits.ELEMENT_BYTES_MAX) {
            throw in.malformed("an element of " + length + " bytes; the limit is " + RdbLimits.ELEMENT_BYTES_MAX);
        }
        if (direct) {
            take(length);
            return in.bytes(length);
        }
        if (length > remaining) {
            throw short_();
        }
        byte[] bytes = new byte[(int) Math.min(length, GROWTH_BYTES)];
        int done = 0;
        while (true) {
            read(bytes, done, bytes.length - done);
            done = bytes.length;
            if (done == length) {
                return bytes;
            }
            bytes = Arrays.copyOf(bytes, (int) Math.min(length, 2L * done));
        }
    }

    private void read(byte[] into, int offset, int length) throws IOException {
        take(length);
        int done = 0;
        while (done < length) {
            if (start == end) {
                decompress();
            }
            int step = Math.min(length - done, end - start);
            System.arraycopy(window, start, into, offset + done, step);
            start += step;
            done += step;
        }
    }

    void skip(long length) throws IOException {
        if (direct) {
            take(length);
            in.skip(length);
            return;
        }
        for (long i = 0; i < length; i++) {
            unsignedByte();
        }
    }

    /** All must have been taken. */
    void finish() throws IOException {
        if (remaining != 0) {
            throw in.malformed(remaining + " bytes too many in a value");
        }
        if (compressedLeft != 0) {
            throw in.malformed("a compressed string that is longer than it says");
        }
    }

    RdbFormatException malformed(String what) {
        return in.malformed(what);
    }

    private RdbFormatException short_() {
        return in.malformed("a value ends within an element");
    }

    private void take(long bytes) throws IOException {
        if (bytes > remaining) {
            throw short_();
        }
        remaining -= bytes;
    }

    /** Puts more into the window, which is empty but for what may be referred back to. */
    private void decompress() throws IOException {
        if (end > window.length - RUN_BYTES_MAX) {
            System.arraycopy(window, end - BACK_BYTES_MAX, window, 0, BACK_BYTES_MAX);
            start = BACK_BYTES_MAX;
            end = BACK_BYTES_MAX;
        }
        while (toDecompress > 0 && end <= window.length - RUN_BYTES_MAX) {
            int control = compressedByte();
            if (control < 32) {
                literal(control + 1);
            } else {
                repeat(control);
            }
        }
        if (start == end) {
            throw in.malformed("a compressed string that is shorter than it says");
        }
    }

    private int compressedByte() throws IOException {
        if (compressedLeft == 0) {
            throw in.malformed("a compressed string that is shorter than it says");
        }
        compressedLeft--;
        return in.unsignedByte();
    }

    private void literal(int length) throws IOException {
        if (length > compressedLeft || length > toDecompress) {
            throw in.malformed("a compressed string that is longer than it says");
        }
        in.read(window, end, length);
        compressedLeft -= length;
        end += length;
        toDecompress -= length;
    }

    private void repeat(int control) throws IOException {
        int length = control >>> 5;
        if (length == 7) {
            length += compressedByte();
        }
        length += 2;
        int from = end - ((control & 0x1f) << 8 | compressedByte()) - 1;
        if (from < 0 || length > toDecompress) {
            throw in.malformed("a compressed string that refers to what it does not have");
        }
        // Byte by byte: what is repeated may overlap what it is repeated to.
        for (int i = 0; i < length; i++) {
            window[end + i] = window[from + i];
        }
        end += length;
        toDecompress -= length;
    }
}
