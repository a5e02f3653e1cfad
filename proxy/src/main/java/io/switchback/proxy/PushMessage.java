package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A whole push message, as far as the proxy looks into it. Source: https://redis.io/docs/latest/develop/pubsub/.
 *
 * @param kind its first element, such as {@code message} or {@code subscribe}
 * @param strings the strings behind that, up to the first element that is none; a nil ends them too
 */
record PushMessage(String kind, List<ByteBuffer> strings) {
    /** More are of no interest; the last of the longest kind (pmessage) is the message itself. */
    private static final int STRINGS_MAX = 3;
    /** What an invalidation begins with. */
    private static final byte[] INVALIDATION = ">2\r\n$10\r\ninvalidate\r\n".getBytes(US_ASCII);

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

    /**
     * The keys that are not what they were, by the bytes of a whole message; empty where that is all keys, or it says something else. The buffer is the
     * caller's.
     */
    static Optional<List<byte[]>> keysOfInvalidation(ByteBuf message) {
        PushMessage read = read(message);
        int from = message.readerIndex() + INVALIDATION.length;
        if (!read.kind().equals("invalidate") || message.getByte(from) != '*') {
            return Optional.empty();
        }
        int[] index = {from + 1};
        int count = number(message, index);
        List<byte[]> keys = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            index[0]++;
            byte[] key = new byte[number(message, index)];
            message.getBytes(index[0], key);
            index[0] += key.length + 2;
            keys.add(key);
        }
        return Optional.of(keys);
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
