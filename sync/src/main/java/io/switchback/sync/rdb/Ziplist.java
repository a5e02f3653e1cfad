package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The elements of a ziplist (the servers' ziplist.c), which Redis below 7.0 writes; for one thread. */
final class Ziplist implements PackedElements {
    private static final int END = 0xff;
    private static final int LONG_PREVIOUS = 0xfe;
    private static final int COUNT_UNKNOWN = 0xffff;

    private final StringBytes in;
    private final long count;
    private long taken;
    private boolean ended;

    Ziplist(StringBytes in) throws IOException {
        this.in = in;
        long all = in.remaining();
        long bytes = in.littleEndian(4);
        if (bytes != all) {
            throw in.malformed("a ziplist of " + bytes + " bytes in a string of " + all);
        }
        in.littleEndian(4); // where the last entry begins
        this.count = in.littleEndian(2);
    }

    @Override
    public byte @Nullable [] next() throws IOException {
        if (ended) {
            return null;
        }
        int previous = in.unsignedByte();
        if (previous == END) {
            ended = true;
            if (count != COUNT_UNKNOWN && count != taken) {
                throw in.malformed("a ziplist of " + taken + " elements that says " + count);
            }
            in.finish();
            return null;
        }
        if (previous == LONG_PREVIOUS) {
            in.littleEndian(4);
        }
        taken++;
        int first = in.unsignedByte();
        return switch (first >>> 6) {
            case 0 -> in.bytes(first);
            case 1 -> in.bytes((first & 0x3f) << 8 | in.unsignedByte());
            case 2 -> in.bytes(bigEndian4());
            default -> Long.toString(number(first)).getBytes(ISO_8859_1);
        };
    }

    private long bigEndian4() throws IOException {
        return Integer.reverseBytes((int) in.littleEndian(4)) & 0xffffffffL;
    }

    private long number(int first) throws IOException {
        return switch (first) {
            case 0xc0 -> (short) in.littleEndian(2);
            case 0xd0 -> (int) in.littleEndian(4);
            case 0xe0 -> in.littleEndian(8);
            case 0xf0 -> in.littleEndian(3) << 40 >> 40;
            case 0xfe -> (byte) in.littleEndian(1);
            default -> {
                if (first < 0xf1 || first > 0xfd) {
                    throw in.malformed("no element of a ziplist begins with " + first);
                }
                yield first - 0xf1;
            }
        };
    }

    @Override
    public RdbFormatException malformed(String what) {
        return in.malformed(what);
    }
}
