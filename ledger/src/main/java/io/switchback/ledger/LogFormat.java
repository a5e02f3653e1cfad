package io.switchback.ledger;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * How a log looks on disk. Pure; big-endian.
 *
 * <pre>
 * file    header, then records up to the end of the file
 * header  "SWLEDGER" (8), version (4), salt (8), CRC32C of these 20 bytes (4); this layout stays for all versions
 * record  payload length (4), CRC32C of salt, offset, length (4), CRC32C of salt, offset, payload (4), payload
 * payload changes: kind (1), path length (2), path in UTF-8, version (8), and for an entry: value length (4), value
 * </pre>
 *
 * <p>A record is one transaction. It holds the effects, not the operations: the entries as they are afterwards, and the paths that are
 * gone, so that reading back decides nothing. The checksums cover the offset and a salt of this file's own: bytes that look like
 * a record, inside a value or left on the disk by another file, are none here.
 */
final class LogFormat {
    static final int VERSION = 1;
    static final int HEADER_BYTES = 24;
    static final int RECORD_HEADER_BYTES = 12;
    /** A transaction at all its limits: the operations' own bytes, and what stands around each. */
    static final int PAYLOAD_BYTES_MAX =
            Ledger.TRANSACTION_BYTES_MAX + Ledger.TRANSACTION_OPERATIONS_MAX * Change.OVERHEAD_BYTES;

    private static final byte[] MAGIC = "SWLEDGER".getBytes(StandardCharsets.US_ASCII);

    private LogFormat() {}

    /** One effect of a transaction. */
    sealed interface Change {
        int OVERHEAD_BYTES = 15;
        byte SET = 1;
        byte GONE = 2;

        String path();

        record Set(Entry entry) implements Change {
            @Override
            public String path() {
                return entry.path();
            }
        }

        record Gone(String path) implements Change {}
    }

    /** What stands at an offset. */
    sealed interface Found {
        record Transaction(List<Change> changes, long nextOffset) implements Found {}

        /** The end of the file, right after a record. */
        record End() implements Found {}

        /** A write that did not come to its end, and nothing after it. */
        record TornTail(long bytes) implements Found {}

        /** Not what was written, and something was written after it. */
        record Damage(String what) implements Found {}
    }

    static byte[] header(long salt) {
        ByteBuffer header =
                ByteBuffer.allocate(HEADER_BYTES).put(MAGIC).putInt(VERSION).putLong(salt);
        return header.putInt(crc(header.array(), 0, HEADER_BYTES - 4)).array();
    }

    /** The salt of a file that begins with a header of this version. */
    static long saltOf(byte[] file, String name) {
        ByteBuffer header = ByteBuffer.wrap(file);
        byte[] magic = new byte[MAGIC.length];
        if (file.length >= HEADER_BYTES) {
            header.get(magic);
        }
        if (file.length < HEADER_BYTES
                || !Arrays.equals(magic, MAGIC)
                || header.getInt(HEADER_BYTES - 4) != crc(file, 0, HEADER_BYTES - 4)) {
            throw damaged(name, 0, "its header is not that of a ledger");
        }
        int version = header.getInt();
        if (version != VERSION) {
            throw new LedgerException(
                    LedgerException.Code.NEWER_VERSION,
                    name + " is of format " + version + ", and this version of Switchback knows only " + VERSION
                            + ": run the version that wrote it, or a newer one. Nothing was changed.");
        }
        return header.getLong();
    }

    static LedgerException damaged(String name, long offset, String what) {
        return new LedgerException(
                LedgerException.Code.DAMAGED,
                name + " is damaged at offset " + offset + ": " + what
                        + ". Nothing was changed and nothing is guessed. Put back a copy of the folder if there is one. If there is none:"
                        + " ask both fleets for their ROLE to see which one takes writes, name that one as active in the node's file,"
                        + " and move the damaged folder away (keep it: all before the offset can be read); releases in it are forgotten.");
    }

    /** The bytes of a transaction that is to stand at {@code offset}. */
    static byte[] record(long salt, long offset, List<Change> changes) {
        int payload = 0;
        List<byte[]> paths = new ArrayList<>();
        for (Change change : changes) {
            byte[] path = change.path().getBytes(StandardCharsets.UTF_8);
            paths.add(path);
            payload += Change.OVERHEAD_BYTES
                    + path.length
                    + (change instanceof Change.Set(Entry entry) ? entry.value().length : 0);
        }
        ByteBuffer record = ByteBuffer.allocate(RECORD_HEADER_BYTES + payload).position(RECORD_HEADER_BYTES);
        for (int i = 0; i < changes.size(); i++) {
            put(record, changes.get(i), paths.get(i));
        }
        byte[] bytes = record.array();
        record.putInt(0, payload);
        record.putInt(4, lengthCrc(salt, offset, payload));
        record.putInt(8, payloadCrc(salt, offset, bytes, RECORD_HEADER_BYTES, payload));
        return bytes;
    }

    private static void put(ByteBuffer record, Change change, byte[] path) {
        switch (change) {
            case Change.Set(Entry entry) ->
                record.put(Change.SET)
                        .putShort((short) path.length)
                        .put(path)
                        .putLong(entry.version())
                        .putInt(entry.value().length)
                        .put(entry.value());
            case Change.Gone _ ->
                record.put(Change.GONE)
                        .putShort((short) path.length)
                        .put(path)
                        .putLong(0)
                        .putInt(0);
        }
    }

    /**
     * What stands at {@code offset} of a file, and whether a bad record is the torn end or damage before it.
     *
     * <p>At most the last write can be torn, since each is forced before the next begins. So a bad record is a torn tail
     * only if nothing was written after it: its length, where it can be trusted, reaches the end of the file or beyond; what is left is
     * no longer than one record; and no good record begins anywhere behind it.
     */
    static Found find(byte[] file, long salt, long offset) {
        int at = Math.toIntExact(offset);
        int left = file.length - at;
        if (left == 0) {
            return new Found.End();
        }
        int payload = payloadLength(file, salt, at);
        if (payload >= 0 && left >= RECORD_HEADER_BYTES + payload) {
            if (ByteBuffer.wrap(file).getInt(at + 8)
                    == payloadCrc(salt, offset, file, at + RECORD_HEADER_BYTES, payload)) {
                return new Found.Transaction(
                        changes(ByteBuffer.wrap(file, at + RECORD_HEADER_BYTES, payload)),
                        offset + RECORD_HEADER_BYTES + payload);
            }
            if (left > RECORD_HEADER_BYTES + payload) {
                return new Found.Damage(
                        "the checksum of a record of " + payload + " bytes is wrong, and more follows it");
            }
        }
        if (left > RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX) {
            return new Found.Damage(
                    "no record begins here, and " + left + " bytes follow, more than one write can leave");
        }
        for (int later = at + 1; later <= file.length - RECORD_HEADER_BYTES; later++) {
            if (isRecord(file, salt, later)) {
                return new Found.Damage(
                        "no record begins here, and one that was written later begins at offset " + later);
            }
        }
        return new Found.TornTail(left);
    }

    private static boolean isRecord(byte[] file, long salt, int at) {
        int payload = payloadLength(file, salt, at);
        return payload >= 0
                && file.length - at >= RECORD_HEADER_BYTES + payload
                && ByteBuffer.wrap(file).getInt(at + 8)
                        == payloadCrc(salt, at, file, at + RECORD_HEADER_BYTES, payload);
    }

    /** The length that a record's header at {@code at} gives, or -1 where it gives none that can be trusted. */
    private static int payloadLength(byte[] file, long salt, int at) {
        if (file.length - at < RECORD_HEADER_BYTES) {
            return -1;
        }
        int payload = ByteBuffer.wrap(file).getInt(at);
        boolean trusted = payload >= 0
                && payload <= PAYLOAD_BYTES_MAX
                && ByteBuffer.wrap(file).getInt(at + 4) == lengthCrc(salt, at, payload);
        return trusted ? payload : -1;
    }

    private static List<Change> changes(ByteBuffer payload) {
        List<Change> changes = new ArrayList<>();
        while (payload.hasRemaining()) {
            byte kind = payload.get();
            byte[] path = new byte[payload.getShort()];
            payload.get(path);
            String name = new String(path, StandardCharsets.UTF_8);
            long version = payload.getLong();
            byte[] value = new byte[payload.getInt()];
            payload.get(value);
            changes.add(
                    switch (kind) {
                        case Change.SET -> new Change.Set(new Entry(name, value, version));
                        case Change.GONE -> new Change.Gone(name);
                        // Its checksum is right, so it was written so: a mistake of this program, not of the disk.
                        default -> throw new AssertionError("a record holds a change of kind " + kind);
                    });
        }
        return changes;
    }

    private static int lengthCrc(long salt, long offset, int length) {
        return crc(
                ByteBuffer.allocate(20)
                        .putLong(salt)
                        .putLong(offset)
                        .putInt(length)
                        .array(),
                0,
                20);
    }

    private static int payloadCrc(long salt, long offset, byte[] bytes, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(ByteBuffer.allocate(16).putLong(salt).putLong(offset).flip());
        crc.update(bytes, from, length);
        return (int) crc.getValue();
    }

    private static int crc(byte[] bytes, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, length);
        return (int) crc.getValue();
    }
}
