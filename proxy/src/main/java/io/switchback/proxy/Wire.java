package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Protocol;

/** The few replies that the proxy makes itself, and the commands that it sends on its own account, as bytes. */
final class Wire {
    private Wire() {}

    static ByteBuf ok() {
        return status("OK");
    }

    static ByteBuf status(String text) {
        return Unpooled.copiedBuffer("+" + text + "\r\n", UTF_8);
    }

    /** An error; {@code text} begins with its code, such as ERR. Line breaks would end it early, so they become blanks. */
    static ByteBuf error(String text) {
        return Unpooled.copiedBuffer("-" + text.replace('\r', ' ').replace('\n', ' ') + "\r\n", ISO_8859_1);
    }

    static ByteBuf number(long value) {
        return Unpooled.copiedBuffer(":" + value + "\r\n", UTF_8);
    }

    static ByteBuf nilArray(Protocol protocol) {
        return nil(protocol, "*-1\r\n");
    }

    static ByteBuf nilBulk(Protocol protocol) {
        return nil(protocol, "$-1\r\n");
    }

    private static ByteBuf nil(Protocol protocol, String inResp2) {
        return Unpooled.copiedBuffer(protocol == Protocol.RESP2 ? inResp2 : "_\r\n", UTF_8);
    }

    /** A text for people: a bulk string, in RESP3 one that says so. */
    static ByteBuf verbatim(Protocol protocol, byte[] text) {
        return protocol == Protocol.RESP2
                ? bulk(text)
                : Unpooled.wrappedBuffer(
                        ("=" + (text.length + 4) + "\r\ntxt:").getBytes(UTF_8), text, "\r\n".getBytes(UTF_8));
    }

    static ByteBuf bulk(byte[] bytes) {
        return Unpooled.wrappedBuffer(("$" + bytes.length + "\r\n").getBytes(UTF_8), bytes, "\r\n".getBytes(UTF_8));
    }

    static ByteBuf command(byte[]... arguments) {
        return Unpooled.wrappedBuffer(CommandEncoder.encode(arguments));
    }

    static ByteBuf command(String... arguments) {
        return Unpooled.wrappedBuffer(CommandEncoder.encode(arguments));
    }

    /** The bytes as text, for names and messages: every byte is one character. */
    static String text(byte[] bytes) {
        return new String(bytes, ISO_8859_1);
    }

    /** Bytes of a user name or password, as text that is encoded to the same bytes again wherever they are UTF-8. */
    static String secret(byte[] bytes) {
        return new String(bytes, UTF_8);
    }
}
