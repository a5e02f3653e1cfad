package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;

/**
 * What a client sent and was not taken yet. Owned by its session's event loop.
 *
 * <p>A buffer that arrives while nothing is left over is used as it is. Otherwise bytes are added to what is left, in a
 * buffer that nobody else holds, which grows by doubling: a command in many pieces is copied a bounded number of times, and
 * no memory is taken on the word of a client that announces a large one.
 */
final class ReceivedBytes {
    private static final int CAPACITY_BYTES_MIN = 512;

    private ByteBuf bytes = Unpooled.EMPTY_BUFFER;

    ByteBuf bytes() {
        return bytes;
    }

    /** Takes over the buffer. */
    void add(ByteBuf more, ByteBufAllocator allocator) {
        if (!bytes.isReadable()) {
            bytes.release();
            bytes = more;
            return;
        }
        try {
            // Slices of a buffer that others still hold may be on their way to a server: it must stay where it is.
            if (bytes.refCnt() > 1 || bytes.isReadOnly() || bytes.writableBytes() < more.readableBytes()) {
                int needed = bytes.readableBytes() + more.readableBytes();
                int capacity = (int) Math.min(Integer.MAX_VALUE, Math.max(CAPACITY_BYTES_MIN, needed * 2L));
                ByteBuf larger = allocator.buffer(capacity);
                larger.writeBytes(bytes);
                bytes.release();
                bytes = larger;
            }
            bytes.writeBytes(more);
        } finally {
            more.release();
        }
    }

    /** Gives the memory back where nothing is left. */
    void trim() {
        if (!bytes.isReadable()) {
            release();
        }
    }

    void release() {
        bytes.release();
        bytes = Unpooled.EMPTY_BUFFER;
    }
}
