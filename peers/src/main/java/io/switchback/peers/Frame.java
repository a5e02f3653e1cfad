package io.switchback.peers;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;

/**
 * What goes over a connection between nodes, without the length before it (4 bytes, big-endian). The first three introduce the two sides to each
 * other; each later one is followed by the code of its direction, its number on that connection and its bytes, so that none can
 * be forged, repeated, left out or put elsewhere.
 *
 * <pre>
 * caller              called
 * Hello(name, nonce) -->
 *                    <-- Welcome(name, nonce, code of both names and nonces)
 * Proof(code)        -->
 * Question(id, ...)  -->
 *                    <-- Answer(id, ...) or Failure(id, text)
 * </pre>
 */
sealed interface Frame {
    /** Of a frame with everything in it. */
    int BYTES_MAX = 1024 * 1024;
    /** Of a name or a subject. */
    int NAME_BYTES_MAX = 256;

    record Hello(String name, byte[] nonce) implements Frame {}

    record Welcome(String name, byte[] nonce, byte[] code) implements Frame {}

    record Proof(byte[] code) implements Frame {}

    record Question(long id, String subject, byte[] body) implements Frame {}

    record Answer(long id, byte[] body) implements Frame {}

    record Failure(long id, String why) implements Frame {}

    /** A frame that is none, or is too long. */
    final class Malformed extends Exception {
        private static final long serialVersionUID = 1;

        Malformed(String why) {
            super(why);
        }
    }

    static byte[] bytes(Frame frame) {
        ByteBuf out = Unpooled.buffer();
        switch (frame) {
            case Hello(String name, byte[] nonce) -> {
                out.writeByte(1);
                part(out, name.getBytes(UTF_8));
                part(out, nonce);
            }
            case Welcome(String name, byte[] nonce, byte[] code) -> {
                out.writeByte(2);
                part(out, name.getBytes(UTF_8));
                part(out, nonce);
                part(out, code);
            }
            case Proof(byte[] code) -> {
                out.writeByte(3);
                part(out, code);
            }
            case Question(long id, String subject, byte[] body) -> {
                out.writeByte(4).writeLong(id);
                part(out, subject.getBytes(UTF_8));
                part(out, body);
            }
            case Answer(long id, byte[] body) -> {
                out.writeByte(5).writeLong(id);
                part(out, body);
            }
            case Failure(long id, String why) -> {
                out.writeByte(6).writeLong(id);
                part(out, why.getBytes(UTF_8));
            }
        }
        byte[] bytes = new byte[out.readableBytes()];
        out.readBytes(bytes);
        return bytes;
    }

    static Frame parse(byte[] bytes) throws Malformed {
        ByteBuf in = Unpooled.wrappedBuffer(bytes);
        try {
            byte kind = in.readByte();
            Frame frame = switch (kind) {
                case 1 -> new Hello(name(in), part(in));
                case 2 -> new Welcome(name(in), part(in), part(in));
                case 3 -> new Proof(part(in));
                case 4 -> new Question(in.readLong(), name(in), part(in));
                case 5 -> new Answer(in.readLong(), part(in));
                case 6 -> new Failure(in.readLong(), new String(part(in), UTF_8));
                default -> throw new Malformed("a frame of the unknown kind " + kind);
            };
            if (in.isReadable()) {
                throw new Malformed(in.readableBytes() + " bytes too many in a frame of kind " + kind);
            }
            return frame;
        } catch (IndexOutOfBoundsException e) {
            throw new Malformed("a frame that ends within one of its parts");
        }
    }

    private static void part(ByteBuf out, byte[] part) {
        out.writeInt(part.length).writeBytes(part);
    }

    private static byte[] part(ByteBuf in) throws Malformed {
        int length = in.readInt();
        if (length < 0 || length > in.readableBytes()) {
            throw new Malformed("a part of " + length + " bytes where " + in.readableBytes() + " are left");
        }
        byte[] part = new byte[length];
        in.readBytes(part);
        return part;
    }

    private static String name(ByteBuf in) throws Malformed {
        byte[] name = part(in);
        if (name.length > NAME_BYTES_MAX) {
            throw new Malformed("a name of " + name.length + " bytes");
        }
        return new String(name, UTF_8);
    }
}
