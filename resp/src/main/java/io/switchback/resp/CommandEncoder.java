package io.switchback.resp;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;

/** Encodes commands as RESP arrays of bulk strings, for the control plane. */
public final class CommandEncoder {
    private CommandEncoder() {}

    /** The bytes of one command. */
    public static byte[] encode(byte[]... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(16 * (arguments.length + 1));
        encode(out, arguments);
        return out.toByteArray();
    }

    /** The bytes of one command whose arguments are text. */
    public static byte[] encode(String... arguments) {
        return encode(bytes(arguments));
    }

    /** Appends the bytes of one command. */
    public static void encode(ByteArrayOutputStream out, byte[]... arguments) {
        out.writeBytes(("*" + arguments.length + "\r\n").getBytes(US_ASCII));
        for (byte[] argument : arguments) {
            out.writeBytes(("$" + argument.length + "\r\n").getBytes(US_ASCII));
            out.writeBytes(argument);
            out.write('\r');
            out.write('\n');
        }
    }

    /** Text arguments as UTF-8. */
    public static byte[][] bytes(String... arguments) {
        byte[][] bytes = new byte[arguments.length][];
        for (int i = 0; i < arguments.length; i++) {
            bytes[i] = arguments[i].getBytes(UTF_8);
        }
        return bytes;
    }
}
