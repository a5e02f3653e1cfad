package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;

/**
 * Checks the outside of an RDB file while it passes: its magic, and the CRC64 in its last eight bytes (0: its server has
 * checksums switched off). Holds eight bytes, whatever the size. For one thread.
 */
final class RdbCheck {
    private static final int CHECKSUM_BYTES = 8;
    private static final int HEADER_BYTES = 9;

    private final byte[] header = new byte[HEADER_BYTES];
    private final byte[] tail = new byte[CHECKSUM_BYTES];
    private int tailLength;
    private long crc;
    private long bytes;

    /** How many bytes have passed. */
    long bytes() {
        return bytes;
    }

    void update(byte[] chunk, int offset, int length) {
        for (int i = 0; i < length && bytes + i < HEADER_BYTES; i++) {
            header[(int) bytes + i] = chunk[offset + i];
        }
        bytes += length;
        // All but the last eight bytes seen so far belong to the checksum.
        int fromTail = Math.clamp(tailLength + (long) length - CHECKSUM_BYTES, 0, tailLength);
        crc = Crc64.update(crc, tail, 0, fromTail);
        System.arraycopy(tail, fromTail, tail, 0, tailLength - fromTail);
        tailLength -= fromTail;
        int toTail = Math.min(length, CHECKSUM_BYTES - tailLength);
        crc = Crc64.update(crc, chunk, offset, length - toTail);
        System.arraycopy(chunk, offset + length - toTail, tail, tailLength, toTail);
        tailLength += toTail;
    }

    /** Once all of it has passed. {@code name} is for the message. */
    void finish(String name) throws IOException {
        String magic = new String(header, ISO_8859_1);
        // "REDIS0011", or "VALKEY080" from Valkey 9 on.
        if (bytes < HEADER_BYTES + CHECKSUM_BYTES || !magic.matches("REDIS\\d{4}|VALKEY\\d{3}")) {
            throw new IOException(name + " is not an RDB file: " + bytes + " bytes that begin with \"" + magic + "\"");
        }
        long stored = 0;
        for (int i = CHECKSUM_BYTES - 1; i >= 0; i--) {
            stored = stored << 8 | (tail[i] & 0xff);
        }
        if (stored != 0 && stored != crc) {
            throw new IOException(name + " is damaged: its checksum is " + Long.toHexString(stored)
                    + ", its bytes give " + Long.toHexString(crc));
        }
    }
}
