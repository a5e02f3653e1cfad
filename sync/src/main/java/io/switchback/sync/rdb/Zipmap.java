package io.switchback.sync.rdb;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Fields and values of a zipmap (the servers' zipmap.c), in turn: small hashes of servers of long ago; for one thread. */
final class Zipmap implements PackedElements {
    private static final int END = 0xff;
    private static final int LONG = 0xfe;

    private final StringBytes in;
    private boolean value;
    private boolean ended;

    Zipmap(StringBytes in) throws IOException {
        this.in = in;
        in.unsignedByte(); // how many, as far as it fits
    }

    @Override
    public byte @Nullable [] next() throws IOException {
        if (ended) {
            return null;
        }
        int first = in.unsignedByte();
        if (first == END) {
            if (value) {
                throw in.malformed("a zipmap ends behind a field");
            }
            ended = true;
            in.finish();
            return null;
        }
        long length = first == LONG ? in.littleEndian(4) : first;
        int unused = value ? in.unsignedByte() : 0;
        byte[] bytes = in.bytes(length);
        in.skip(unused);
        value = !value;
        return bytes;
    }

    @Override
    public RdbFormatException malformed(String what) {
        return in.malformed(what);
    }
}
