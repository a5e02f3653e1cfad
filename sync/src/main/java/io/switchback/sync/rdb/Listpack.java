package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The elements of a listpack (the servers' listpack.c), checked as far as the server would check them; for one thread. */
final class Listpack implements PackedElements {
    private static final int END = 0xff;
    private static final int COUNT_UNKNOWN = 0xffff;
    private static final int HEADER_BYTES = 6;

    /** What the entry's length takes behind it: n bytes below the n-th of these, and at it one more by some of the servers. */
    private static final long[] BACK_LENGTHS = {127, 16383, 2097151, 268435455};

    private final StringBytes in;
    private final long count;
    private long taken;
    private boolean ended;

    /** Where {@link #next} found a number, and {@link #number} is to give it. */
    private boolean numeric;

    private long number;

    Listpack(StringBytes in) throws IOException {
        this.in = in;
        long all = in.remaining();
        long bytes = in.littleEndian(4);
        if (bytes != all || bytes <= HEADER_BYTES) {
            throw in.malformed("a listpack of " + bytes + " bytes in a string of " + all);
        }
        this.count = in.littleEndian(2);
    }

    @Override
    public byte @Nullable [] next() throws IOException {
        byte[] element = element();
        return element == null && numeric ? Long.toString(number).getBytes(ISO_8859_1) : element;
    }

    /** The next one, which must be a number. */
    long demandNumber() throws IOException {
        byte[] element = element();
        if (element == null && numeric) {
            return number;
        }
        if (element != null) {
            try {
                return Long.parseLong(new String(element, ISO_8859_1));
            } catch (NumberFormatException e) {
                throw in.malformed("expected a number in a listpack");
            }
        }
        throw in.malformed("a listpack ends where one more number must be");
    }

    @Override
    public RdbFormatException malformed(String what) {
        return in.malformed(what);
    }

    /** Null: a number, or the end. */
    private byte @Nullable [] element() throws IOException {
        numeric = false;
        if (ended) {
            return null;
        }
        int first = in.unsignedByte();
        if (first == END) {
            finish();
            return null;
        }
        taken++;
        if (first < 0x80) {
            return number(first, 1);
        }
        if (first < 0xc0) {
            return string(first & 0x3f, 1);
        }
        if (first < 0xe0) {
            int value = (first & 0x1f) << 8 | in.unsignedByte();
            return number(value >= 1 << 12 ? value - (1 << 13) : value, 2);
        }
        if (first < 0xf0) {
            return string((first & 0x0f) << 8 | in.unsignedByte(), 2);
        }
        return switch (first) {
            case 0xf0 -> string(in.littleEndian(4), 5);
            case 0xf1 -> number((short) in.littleEndian(2), 3);
            case 0xf2 -> number(in.littleEndian(3) << 40 >> 40, 4);
            case 0xf3 -> number(in.littleEndian(4) << 32 >> 32, 5);
            case 0xf4 -> number(in.littleEndian(8), 9);
            default -> throw in.malformed("no element of a listpack begins with " + first);
        };
    }

    private byte @Nullable [] number(long value, int bytes) throws IOException {
        number = value;
        numeric = true;
        backLength(bytes);
        return null;
    }

    private byte[] string(long length, int head) throws IOException {
        byte[] bytes = in.bytes(length);
        backLength(head + length);
        return bytes;
    }

    /** The entry's own length stands behind it, to be read from its end. */
    private void backLength(long length) throws IOException {
        int bytes = 1;
        while (bytes <= BACK_LENGTHS.length && length > BACK_LENGTHS[bytes - 1]) {
            bytes++;
        }
        int first = in.unsignedByte();
        if (first == 0 && bytes > 1 && length == BACK_LENGTHS[bytes - 1]) {
            bytes++;
        }
        boolean right = first == length >>> (7 * (bytes - 1));
        for (int i = bytes - 2; i >= 0; i--) {
            right &= in.unsignedByte() == ((length >>> (7 * i) & 0x7f) | 0x80);
        }
        if (!right) {
            throw in.malformed("an element of a listpack whose length is not what stands behind it");
        }
    }

    private void finish() throws IOException {
        ended = true;
        if (count != COUNT_UNKNOWN && count != taken) {
            throw in.malformed("a listpack of " + taken + " elements that says " + count);
        }
        in.finish();
    }
}
