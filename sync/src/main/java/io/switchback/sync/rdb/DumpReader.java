package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;
import io.switchback.sync.rdb.ValueReader.Attributes;
import java.io.IOException;
import java.io.InputStream;

/** Reads a serialized value, as DUMP replies it, and gives out what rebuilds the key at a target. */
public final class DumpReader {
    private static final int VERSION_BYTES = 2;
    private static final int CHECKSUM_BYTES = 8;

    private DumpReader() {}

    /** Whether the value is a stream; where something is attached to the key that stands before its type, it may be one. */
    public static boolean mayBeStream(byte[] payload, Product source) {
        int type = payload.length == 0 ? RdbTypes.STRING : payload[0] & 0xff;
        return RdbTypes.isStream(source, type) || type == RdbTypes.OPCODE_243;
    }

    /**
     * Reads exactly {@code payloadBytes}. As with a snapshot, the checksum stands at the end: what was given out is known to be right once
     * this returns.
     *
     * @param expiresAtMillis since 1970; -1: never
     * @param source the server that was asked: types above 21 mean one thing in Redis and another in Valkey
     * @throws RdbFormatException where it is not a value as servers write it, or its bytes are not those that were written
     */
    public static void rebuild(
            int database,
            byte[] key,
            long expiresAtMillis,
            InputStream payload,
            long payloadBytes,
            ServerVersion source,
            ValueTarget target,
            SnapshotSink sink)
            throws IOException {
        rebuild(database, key, expiresAtMillis, payload, payloadBytes, source, target, sink, RdbLimits.DEFAULT);
    }

    /** As above, with other limits. */
    public static void rebuild(
            int database,
            byte[] key,
            long expiresAtMillis,
            InputStream payload,
            long payloadBytes,
            ServerVersion source,
            ValueTarget target,
            SnapshotSink sink,
            RdbLimits limits)
            throws IOException {
        RdbInput in = new RdbInput(payload, payloadBytes, "the serialized value");
        int type = in.unsignedByte();
        if (type == RdbTypes.OPCODE_243 && source.product() == Product.REDIS) {
            SnapshotReader.keyMetadata(in, new ValueWalk(in, source.product()));
            sink.inexpressible(database, key, SnapshotReader.ATTACHED);
            type = in.unsignedByte();
        }
        Attributes attributes = expiresAtMillis < 0 ? Attributes.NONE : Attributes.NONE.expiring(expiresAtMillis);
        new ValueReader(in, source, target, sink, limits).read(type, database, key, attributes);
        if (in.offset() + VERSION_BYTES + CHECKSUM_BYTES != payloadBytes) {
            throw in.malformed("a serialized value of " + payloadBytes + " bytes that ends elsewhere");
        }
        long version = in.littleEndian(VERSION_BYTES);
        boolean ofValkey = version >= RdbTypes.VALKEY_VERSION_MIN;
        if (ofValkey != (source.product() == Product.VALKEY) && type > RdbTypes.COMMON_MAX) {
            throw in.malformed("a serialized value of version " + version + " from " + source);
        }
        long computed = in.checksum();
        long stored = in.littleEndian(CHECKSUM_BYTES);
        if (stored != computed) {
            throw in.malformed("the serialized value is damaged: its checksum is " + Long.toHexString(stored)
                    + ", its bytes give " + Long.toHexString(computed));
        }
    }
}
