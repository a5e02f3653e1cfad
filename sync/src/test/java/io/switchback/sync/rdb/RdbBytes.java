package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.sync.Crc64;
import java.io.ByteArrayOutputStream;

/** Writes snapshots by hand, in forms that no server at hand writes. */
final class RdbBytes {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    static RdbBytes snapshot(String magic) {
        RdbBytes bytes = new RdbBytes();
        bytes.out.writeBytes(magic.getBytes(ISO_8859_1));
        return bytes;
    }

    static RdbBytes value() {
        return new RdbBytes();
    }

    RdbBytes raw(int... values) {
        for (int value : values) {
            out.write(value);
        }
        return this;
    }

    RdbBytes raw(byte[] bytes) {
        out.writeBytes(bytes);
        return this;
    }

    RdbBytes length(long length) {
        if (length >= 0 && length < 64) {
            return raw((int) length);
        }
        raw(0x81);
        for (int shift = 56; shift >= 0; shift -= 8) {
            raw((int) (length >>> shift) & 0xff);
        }
        return this;
    }

    RdbBytes littleEndian(long value, int bytes) {
        for (int i = 0; i < bytes; i++) {
            raw((int) (value >>> (8 * i)) & 0xff);
        }
        return this;
    }

    RdbBytes bigEndian(long value) {
        return littleEndian(Long.reverseBytes(value), 8);
    }

    RdbBytes string(String text) {
        return string(text.getBytes(ISO_8859_1));
    }

    RdbBytes string(byte[] bytes) {
        return length(bytes.length).raw(bytes);
    }

    /** A listpack of short strings and numbers below 128. */
    RdbBytes listpack(Object... elements) {
        RdbBytes entries = new RdbBytes();
        for (Object element : elements) {
            if (element instanceof Integer number) {
                entries.raw(number, 1);
            } else if (element instanceof Long number) {
                entries.raw(0xf4).littleEndian(number, 8).raw(9);
            } else {
                byte[] text = element.toString().getBytes(ISO_8859_1);
                entries.raw(0x80 | text.length).raw(text).raw(text.length + 1);
            }
        }
        RdbBytes all = new RdbBytes();
        all.littleEndian(entries.out.size() + 7, 4).littleEndian(elements.length, 2);
        return string(all.raw(entries.bytes()).raw(0xff).bytes());
    }

    byte[] bytes() {
        return out.toByteArray();
    }

    /** The end of a snapshot, with its checksum. */
    byte[] end() {
        raw(RdbTypes.OPCODE_EOF);
        return littleEndian(Crc64.update(0, bytes(), 0, out.size()), 8).bytes();
    }
}
