package io.switchback.resp;

import io.netty.buffer.ByteBuf;

/**
 * The hash slot of a key in a cluster: CRC16 of its hash tag, or of all of it where it has none.
 *
 * <p>Source: Redis Cluster specification, "Key distribution model" and "Hash tags" (the tag stands between the first {@code {} and the first
 * {@code }} behind it, and is none where it is empty). Without state; any thread.
 */
public final class KeySlot {
    /** How many slots a cluster has. */
    public static final int SLOTS = 16384;

    /** CRC16 as XMODEM has it. */
    private static final int POLYNOMIAL = 0x1021;

    private static final int[] TABLE = new int[256];

    static {
        for (int i = 0; i < TABLE.length; i++) {
            int crc = i << 8;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc & 0x8000) != 0 ? crc << 1 ^ POLYNOMIAL : crc << 1;
            }
            TABLE[i] = crc & 0xffff;
        }
    }

    private KeySlot() {}

    /** The slot of the key of {@code length} bytes at {@code index}. */
    public static int of(ByteBuf in, int index, int length) {
        int end = index + length;
        int open = in.indexOf(index, end, (byte) '{');
        if (open >= 0) {
            int close = in.indexOf(open + 1, end, (byte) '}');
            if (close > open + 1) {
                return crc(in, open + 1, close) & (SLOTS - 1);
            }
        }
        return crc(in, index, end) & (SLOTS - 1);
    }

    private static int crc(ByteBuf in, int from, int to) {
        int crc = 0;
        for (int i = from; i < to; i++) {
            crc = (crc << 8 ^ TABLE[(crc >>> 8 ^ in.getByte(i)) & 0xff]) & 0xffff;
        }
        return crc;
    }

    /** The slot of a key. */
    public static int of(byte[] key) {
        int from = 0;
        int to = key.length;
        int open = indexOf(key, 0, '{');
        int close = open < 0 ? -1 : indexOf(key, open + 1, '}');
        if (close > open + 1) {
            from = open + 1;
            to = close;
        }
        int crc = 0;
        for (int i = from; i < to; i++) {
            crc = (crc << 8 ^ TABLE[(crc >>> 8 ^ key[i]) & 0xff]) & 0xffff;
        }
        return crc & (SLOTS - 1);
    }

    private static int indexOf(byte[] key, int from, char wanted) {
        for (int i = from; i < key.length; i++) {
            if (key[i] == wanted) {
                return i;
            }
        }
        return -1;
    }
}
