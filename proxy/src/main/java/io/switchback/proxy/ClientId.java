package io.switchback.proxy;

import io.switchback.environment.Environment;
import java.util.OptionalLong;

/**
 * The id of a client. Clients name each other by it (CLIENT KILL, UNBLOCK, TRACKING), and their connections may be spread over several
 * nodes: so that none is taken for another node's, each proxy begins to count elsewhere. Below 2<sup>53</sup>, as some languages want.
 */
final class ClientId {
    private static final int COUNTED_BITS = 32;
    private static final int DRAWN_BYTES = 3;
    private static final int DRAWN_BITS = 20;

    private ClientId() {}

    /** Below which no client of a proxy is called. */
    static long first(Environment environment) {
        long drawn = 0;
        for (byte b : environment.randomBytes(DRAWN_BYTES)) {
            drawn = drawn << Byte.SIZE | (b & 0xff);
        }
        return (drawn & (1 << DRAWN_BITS) - 1) << COUNTED_BITS;
    }

    /** As clients write it, and as strictly as the servers: what they take for no number is none. */
    static OptionalLong read(byte[] written) {
        String text = Wire.text(written);
        if (!text.matches("0|-?[1-9][0-9]*")) {
            return OptionalLong.empty();
        }
        try {
            return OptionalLong.of(Long.parseLong(text));
        } catch (NumberFormatException e) {
            return OptionalLong.empty();
        }
    }
}
