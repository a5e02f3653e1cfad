package io.switchback.sync;

/**
 * The checksum at the end of an RDB file: CRC-64 with the polynomial of Jones, reflected, beginning at 0. The check value of
 * "123456789" is e9c6d914c4b8d9ca.
 */
final class Crc64 {
    private static final long POLYNOMIAL_REFLECTED = 0x95AC9329AC4BC9B5L;
    private static final int SLICES = 8;
    private static final long[][] TABLES = tables();

    private Crc64() {}

    private static long[][] tables() {
        long[][] tables = new long[SLICES][256];
        for (int i = 0; i < 256; i++) {
            long crc = i;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc >>> 1) ^ ((crc & 1) == 0 ? 0 : POLYNOMIAL_REFLECTED);
            }
            tables[0][i] = crc;
        }
        for (int slice = 1; slice < SLICES; slice++) {
            for (int i = 0; i < 256; i++) {
                long before = tables[slice - 1][i];
                tables[slice][i] = tables[0][(int) before & 0xff] ^ (before >>> 8);
            }
        }
        return tables;
    }

    /** The checksum of what {@code crc} stands for followed by these bytes. */
    static long update(long crc, byte[] bytes, int offset, int length) {
        long value = crc;
        int at = offset;
        int end = offset + length;
        // Eight bytes a turn: a snapshot passes at the speed of the network, and this is on its way.
        for (; end - at >= SLICES; at += SLICES) {
            for (int i = 0; i < SLICES; i++) {
                value ^= (bytes[at + i] & 0xffL) << (8 * i);
            }
            long next = 0;
            for (int i = 0; i < SLICES; i++) {
                next ^= TABLES[SLICES - 1 - i][(int) (value >>> (8 * i)) & 0xff];
            }
            value = next;
        }
        for (; at < end; at++) {
            value = TABLES[0][(int) (value ^ bytes[at]) & 0xff] ^ (value >>> 8);
        }
        return value;
    }
}
