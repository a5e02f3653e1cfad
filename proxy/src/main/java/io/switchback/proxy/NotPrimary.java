package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import java.util.List;

/**
 * The errors by which a server says that it has not run a command because it is no primary that takes commands: it follows another one, has
 * just begun to, or is loading its data. As the servers word them (their {@code server.c}: roslaveerr, masterdownerr, loadingerr; {@code
 * blocked.c}; EXECABORT quotes them).
 */
final class NotPrimary {
    private static final List<String> WORDS = List.of(
            "-READONLY ",
            "-MASTERDOWN ",
            "-LOADING ",
            "-UNBLOCKED force unblock from blocking operation, instance state changed",
            "-EXECABORT Transaction discarded because of: READONLY ",
            "-EXECABORT Transaction discarded because of: MASTERDOWN ",
            "-EXECABORT Transaction discarded because of: LOADING ");
    private static final byte[][] BEGINNINGS =
            WORDS.stream().map(word -> word.getBytes(US_ASCII)).toArray(byte[][]::new);

    private NotPrimary() {}

    /** The line is given without its end. */
    static boolean isSaidBy(String error) {
        return WORDS.stream().anyMatch(error::startsWith);
    }

    /** As {@link #isSaidBy(String)}, of {@code length} bytes at {@code index}. */
    static boolean isSaidBy(ByteBuf in, int index, int length) {
        for (byte[] beginning : BEGINNINGS) {
            if (beginsWith(in, index, length, beginning)) {
                return true;
            }
        }
        return false;
    }

    private static boolean beginsWith(ByteBuf in, int index, int length, byte[] beginning) {
        if (length < beginning.length) {
            return false;
        }
        for (int i = 0; i < beginning.length; i++) {
            if (in.getByte(index + i) != beginning[i]) {
                return false;
            }
        }
        return true;
    }
}
