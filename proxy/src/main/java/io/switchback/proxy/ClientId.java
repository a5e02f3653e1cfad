package io.switchback.proxy;

import java.util.OptionalLong;

/** The id of a client, as clients write it. */
final class ClientId {
    private ClientId() {}

    /** As strictly as the servers: what they take for no number is none. */
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
