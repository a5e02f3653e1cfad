package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * A whole push message, as far as the proxy looks into it. Source: https://redis.io/docs/latest/develop/pubsub/.
 *
 * @param kind its first element, such as {@code message} or {@code subscribe}
 * @param strings the strings behind that, up to the first element that is none; a nil ends them too
 */
record PushMessage(String kind, List<ByteBuffer> strings) {
    /** More are of no interest; the last of the longest kind (pmessage) is the message itself. */
    private static final int STRINGS_MAX = 3;

    /** Reads it from the bytes of a whole message; the buffer is the caller's. */
    static PushMessage read(ByteBuf message) {
        int[] index = {message.readerIndex() + 1};
        int elements = number(message, index);
        List<ByteBuffer> read = new ArrayList<>(STRINGS_MAX + 1);
        while (read.size() < Math.min(elements, STRINGS_MAX + 1)
                && (message.getByte(index[0]) == '$' || message.getByte(index[0]) == '+')) {
            boolean bulk = message.getByte(index[0]) == '$';
            index[0]++;
            byte[] bytes;
            if (bulk) {
                int length = number(message, index);
                if (length < 0) {
                    break;
                }
                bytes = new byte[length];
            } else {
                int end = message.indexOf(index[0], message.writerIndex(), (byte) '\r');
                bytes = new byte[end - index[0]];
            }
            message.getBytes(index[0], bytes);
            index[0] += bytes.length + 2;
            read.add(ByteBuffer.wrap(bytes));
        }
        return read.isEmpty()
                ? new PushMessage("", List.of())
                : new PushMessage(
                        US_ASCII.decode(read.getFirst().duplicate()).toString(), read.subList(1, read.size()));
    }

    private static int number(ByteBuf message, int[] index) {
        boolean negative = message.getByte(index[0]) == '-';
        int i = negative ? index[0] + 1 : index[0];
        int value = 0;
        for (byte b = message.getByte(i); b != '\r'; b = message.getByte(++i)) {
            value = value * 10 + (b - '0');
        }
        index[0] = i + 2;
        return negative ? -1 : value;
    }

    /** Whether it answers (un)subscribing. */
    boolean isConfirmation() {
        return kind.endsWith("subscribe");
    }

    /** Whether it is something that was published. */
    boolean isPublished() {
        return kind.equals("message") || kind.equals("pmessage") || kind.equals("smessage");
    }

    /** The channel that it was published to. */
    ByteBuffer channel() {
        return strings.get(kind.equals("pmessage") ? 1 : 0);
    }
}
