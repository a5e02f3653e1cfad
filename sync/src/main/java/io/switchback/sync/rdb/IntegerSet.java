package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The members of a set of integers (the servers' intset.c); for one thread. */
final class IntegerSet implements PackedElements {
    private final StringBytes in;
    private final int width;
    private long left;

    IntegerSet(StringBytes in) throws IOException {
        this.in = in;
        long all = in.remaining();
        this.width = (int) in.littleEndian(4);
        this.left = in.littleEndian(4);
        if ((width != 2 && width != 4 && width != 8) || in.remaining() != left * width) {
            throw in.malformed("a set of " + left + " integers of " + width + " bytes in a string of " + all);
        }
    }

    @Override
    public byte @Nullable [] next() throws IOException {
        if (left == 0) {
            in.finish();
            return null;
        }
        left--;
        int unused = 64 - 8 * width;
        return Long.toString(in.littleEndian(width) << unused >> unused).getBytes(ISO_8859_1);
    }

    @Override
    public RdbFormatException malformed(String what) {
        return in.malformed(what);
    }
}
