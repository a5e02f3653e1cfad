package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyScanner;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongBinaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * One reply out of those of several shards to one command. The first error is the reply of all. Without state; the replies are the caller's, what
 * comes out of them as well.
 */
final class JoinedReplies {
    private JoinedReplies() {}

    /** The first error; null without one. */
    static @Nullable ByteBuf error(List<ByteBuf> replies) {
        for (ByteBuf reply : replies) {
            if (AskingOperation.isError(reply)) {
                return reply.retainedDuplicate();
            }
        }
        return null;
    }

    /** They all say the same. */
    static ByteBuf first(List<ByteBuf> replies) {
        ByteBuf error = error(replies);
        return error != null ? error : replies.getFirst().retainedDuplicate();
    }

    /** They are numbers. */
    static ByteBuf sum(List<ByteBuf> replies) {
        ByteBuf error = error(replies);
        if (error != null) {
            return error;
        }
        long sum = 0;
        for (ByteBuf reply : replies) {
            sum += number(reply);
        }
        return Wire.number(sum);
    }

    /** 0 where it is no number. */
    static long number(ByteBuf reply) {
        return read(reply) instanceof Reply.Int(long value) ? value : 0;
    }

    static Reply read(ByteBuf reply) {
        return FilteringOperation.read(reply, 1)[0];
    }

    /** The elements of an array, as they came; none where it is none. They live as long as the reply does. */
    static List<ByteBuf> elements(ByteBuf reply) {
        List<ByteBuf> elements = new ArrayList<>();
        byte type = reply.getByte(reply.readerIndex());
        if (type != '*' && type != '~') {
            return elements;
        }
        ReplyScanner scanner = new ReplyScanner();
        int index = reply.indexOf(reply.readerIndex(), reply.writerIndex(), (byte) '\n') + 1;
        while (index < reply.writerIndex()) {
            int end = scanner.scan(reply, index, reply.writerIndex(), 1);
            elements.add(reply.slice(index, end - index));
            index = end;
        }
        return elements;
    }

    static ByteBuf array(List<ByteBuf> elements) {
        ByteBuf out = Unpooled.buffer();
        out.writeCharSequence("*" + elements.size() + "\r\n", US_ASCII);
        for (ByteBuf element : elements) {
            out.writeBytes(element, element.readerIndex(), element.readableBytes());
        }
        return out;
    }

    /** Their arrays, one behind the other, without what is Switchback's own; what several have is there once where it is {@code distinct}. */
    static ByteBuf concatenated(List<ByteBuf> replies, boolean distinct) {
        ByteBuf error = error(replies);
        if (error != null) {
            return error;
        }
        Map<ByteBuffer, Reply> seen = new LinkedHashMap<>();
        List<Reply> all = new ArrayList<>();
        for (ByteBuf reply : replies) {
            if (read(reply) instanceof Reply.Array(List<Reply> elements)) {
                for (Reply element : elements) {
                    boolean isNew = !distinct
                            || !(element instanceof Reply.Bulk(byte[] bytes))
                            || seen.put(ByteBuffer.wrap(bytes), element) == null;
                    if (isNew && (distinct || KeysOperation.isVisible(element))) {
                        all.add(element);
                    }
                }
            }
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        KeysOperation.writeArray(out, all);
        return Unpooled.wrappedBuffer(out.toByteArray());
    }

    /** Arrays of one length, of which the numbers that stand at one place are joined, and other elements are those of the first. */
    static ByteBuf numbers(List<ByteBuf> replies, LongBinaryOperator join) {
        ByteBuf error = error(replies);
        if (error != null) {
            return error;
        }
        List<ByteBuf> joined = new ArrayList<>(elements(replies.getFirst()));
        for (ByteBuf reply : replies.subList(1, replies.size())) {
            List<ByteBuf> elements = elements(reply);
            for (int i = 0; i < Math.min(joined.size(), elements.size()); i++) {
                if (joined.get(i).getByte(joined.get(i).readerIndex()) == ':') {
                    joined.set(i, Wire.number(join.applyAsLong(number(joined.get(i)), number(elements.get(i)))));
                }
            }
        }
        return array(joined);
    }
}
