package io.switchback.sync;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * The checksum at the end of an RDB file: CRC-64 with the polynomial of Jones, reflected, beginning at 0. The check value of
 * "123456789" is e9c6d914c4b8d9ca.
 */
public final class Crc64 {
    private static final long POLYNOMIAL_REFLECTED = 0x95AC9329AC4BC9B5L;
    private static final int SLICES = 8;
    private static final long[][] TABLES = tables();
    private static final long[] T0 = TABLES[0];
    private static final long[] T1 = TABLES[1];
    private static final long[] T2 = TABLES[2];
    private static final long[] T3 = TABLES[3];
    private static final long[] T4 = TABLES[4];
    private static final long[] T5 = TABLES[5];
    private static final long[] T6 = TABLES[6];
    private static final long[] T7 = TABLES[7];
    private static final VarHandle EIGHT = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

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
    public static long update(long crc, byte[] bytes, int offset, int length) {
        long value = crc;
        int at = offset;
        int end = offset + length;
        // Eight bytes a turn: a snapshot passes at the speed of the network, and this is on its way.
        for (; end - at >= SLICES; at += SLICES) {
            value ^= (long) EIGHT.get(bytes, at);
            value = T7[(int) value & 0xff]
                    ^ T6[(int) (value >>> 8) & 0xff]
                    ^ T5[(int) (value >>> 16) & 0xff]
                    ^ T4[(int) (value >>> 24) & 0xff]
                    ^ T3[(int) (value >>> 32) & 0xff]
                    ^ T2[(int) (value >>> 40) & 0xff]
                    ^ T1[(int) (value >>> 48) & 0xff]
                    ^ T0[(int) (value >>> 56)];
        }
        for (; at < end; at++) {
            value = T0[(int) (value ^ bytes[at]) & 0xff] ^ (value >>> 8);
        }
        return value;
    }
}
