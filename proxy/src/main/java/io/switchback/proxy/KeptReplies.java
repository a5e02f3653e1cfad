package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.ArrayDeque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Replies of one client that it must not have yet, in order: those to writes that are not confirmed, each with the look that must
 * confirm it, and all that came behind them.
 *
 * <p>Owned by its session's event loop. Invariants: the first one waits for a look; looks only grow. Bounded by those who ask
 * {@link #isFull} and {@link #bytes} before they take another command.
 */
final class KeptReplies {
    /** Past it no more of the client's commands are sent. */
    static final int PARTS_MAX = 1_024;

    /** Shorter parts are copied together, lest each holds the whole buffer that it came in. */
    private static final int COPY_BYTES_MAX = 16 * 1024;

    private static final long NO_LOOK = 0;

    private final ArrayDeque<Part> parts = new ArrayDeque<>(1);
    private long bytes;

    /** Bytes that wait for one look, with how many replies end in them; or, for no look, what only waits for its turn. */
    private static final class Part {
        final long look;
        final ByteBuf bytes;
        final boolean copied;
        int replies;
        boolean endsInside;

        Part(long look, ByteBuf bytes, boolean copied) {
            this.look = look;
            this.bytes = bytes;
            this.copied = copied;
        }
    }

    boolean isEmpty() {
        return parts.isEmpty();
    }

    long bytes() {
        return bytes;
    }

    boolean isFull() {
        return parts.size() >= PARTS_MAX;
    }

    /** Keeps replies to writes until {@code look} is confirmed. The buffer is the caller's. */
    void keep(long look, ByteBuf in, int index, int length, int replies, boolean endsInside) {
        Part part = add(look, in, index, length);
        part.replies += replies;
        part.endsInside = endsInside;
    }

    /** Keeps what need not be confirmed, behind what must be. The buffer is the caller's. */
    void queue(ByteBuf in, int index, int length) {
        add(NO_LOOK, in, index, length);
    }

    private Part add(long look, ByteBuf in, int index, int length) {
        bytes += length;
        Part last = parts.peekLast();
        if (last != null && last.look == look && last.copied && last.bytes.readableBytes() + length <= COPY_BYTES_MAX) {
            last.bytes.writeBytes(in, index, length);
            return last;
        }
        boolean copied = length < COPY_BYTES_MAX;
        ByteBuf own =
                copied ? in.alloc().buffer(length).writeBytes(in, index, length) : in.retainedSlice(index, length);
        Part part = new Part(look, own, copied);
        parts.add(part);
        return part;
    }

    /** Hands out, in order, everything up to what a later look than {@code look} must confirm. */
    void release(long look, Consumer<ByteBuf> to) {
        for (Part next = parts.peek(); next != null && next.look <= look; next = parts.peek()) {
            parts.remove();
            bytes -= next.bytes.readableBytes();
            to.accept(next.bytes);
        }
    }

    /** What became of the kept replies when nobody knows whether their writes are still there. */
    record Lost(int replies, boolean cutShort) {}

    /**
     * Hands out an error in place of each reply that was to be confirmed, and the others as they are. Where the last of them had not come in whole,
     * the client cannot be told apart what follows: its connection must be closed.
     */
    Lost lose(ByteBuf error, Consumer<ByteBuf> to) {
        int replies = 0;
        @Nullable Part last = null;
        for (Part next = parts.poll(); next != null; next = parts.poll()) {
            if (next.look == NO_LOOK) {
                to.accept(next.bytes);
                continue;
            }
            for (int i = 0; i < next.replies; i++) {
                to.accept(error.retainedDuplicate());
            }
            replies += next.replies;
            next.bytes.release();
            last = next;
        }
        bytes = 0;
        return new Lost(replies, last != null && last.endsInside);
    }

    void discard() {
        parts.forEach(part -> part.bytes.release());
        parts.clear();
        bytes = 0;
    }
}
