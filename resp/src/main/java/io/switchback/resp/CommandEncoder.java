package io.switchback.resp;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;

/** Encodes commands as RESP arrays of bulk strings, for the control plane. */
public final class CommandEncoder {
    private static final int CRLF_BYTES = 2;

    private CommandEncoder() {}

    /** The bytes of one command. */
    public static byte[] encode(byte[]... arguments) {
        long length = headerBytes(arguments.length);
        for (byte[] argument : arguments) {
            length += headerBytes(argument.length) + argument.length + CRLF_BYTES;
        }
        byte[] bytes = new byte[Math.toIntExact(length)];
        int at = header(bytes, 0, '*', arguments.length);
        for (byte[] argument : arguments) {
            at = header(bytes, at, '$', argument.length);
            System.arraycopy(argument, 0, bytes, at, argument.length);
            at = lineEnd(bytes, at + argument.length);
        }
        return bytes;
    }

    private static int headerBytes(int number) {
        return 1 + digits(number) + CRLF_BYTES;
    }

    private static int digits(int number) {
        int digits = 1;
        for (long power = 10; power <= number; power *= 10) {
            digits++;
        }
        return digits;
    }

    /** Where it ends. */
    private static int header(byte[] bytes, int at, char kind, int number) {
        bytes[at] = (byte) kind;
        int end = at + 1 + digits(number);
        int rest = number;
        for (int place = end - 1; place > at; place--) {
            bytes[place] = (byte) ('0' + rest % 10);
            rest /= 10;
        }
        return lineEnd(bytes, end);
    }

    private static int lineEnd(byte[] bytes, int at) {
        bytes[at] = '\r';
        bytes[at + 1] = '\n';
        return at + CRLF_BYTES;
    }

    /** The bytes of one command whose arguments are text. */
    public static byte[] encode(String... arguments) {
        return encode(bytes(arguments));
    }

    /** Appends the bytes of one command. */
    public static void encode(ByteArrayOutputStream out, byte[]... arguments) {
        out.writeBytes(encode(arguments));
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
