package io.switchback.sync.source;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Objects;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Holds what has come of a source's stream and is not taken yet: one thread fills it, one takes from it, any may close it.
 *
 * <p>Bounded: at {@link #HELD_BYTES_MAX} nothing more is read, and the source holds the rest, as it would without this buffer.
 */
final class StreamBuffer extends InputStream {
    static final long HELD_BYTES_MAX = 64L << 20;
    private static final int BLOCK_BYTES = 64 * 1024;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by lock.
    private final Deque<Block> blocks = new ArrayDeque<>();
    private @Nullable IOException end;
    private boolean closed;

    private static final class Block {
        final byte[] bytes = new byte[BLOCK_BYTES];
        int start;
        int end;
    }

    /** Reads all that comes until the source's stream ends, or this is closed; to be run by a thread of its own. */
    void fill(WireInput source) {
        byte[] chunk = new byte[BLOCK_BYTES];
        IOException why;
        try {
            int count = source.read(chunk, chunk.length);
            while (count >= 0) {
                put(chunk, count);
                count = source.read(chunk, chunk.length);
            }
            why = new EOFException("the source closed the connection");
        } catch (IOException e) {
            why = e;
        } catch (RuntimeException | OutOfMemoryError e) {
            why = new IOException("an error of Switchback's own: " + e, e);
        }
        lock.lock();
        try {
            end = why;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void put(byte[] chunk, int count) throws IOException {
        lock.lock();
        try {
            int from = 0;
            while (from < count) {
                Block last = blocks.peekLast();
                if (last == null || last.end == BLOCK_BYTES) {
                    awaitRoom();
                    last = new Block();
                    blocks.addLast(last);
                }
                int taken = Math.min(count - from, BLOCK_BYTES - last.end);
                System.arraycopy(chunk, from, last.bytes, last.end, taken);
                last.end += taken;
                from += taken;
                changed.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    /** The caller holds the lock. */
    private void awaitRoom() throws IOException {
        while ((long) blocks.size() * BLOCK_BYTES >= HELD_BYTES_MAX && !closed) {
            changed.awaitUninterruptibly();
        }
        throwIfClosed();
    }

    private void throwIfClosed() throws IOException {
        if (closed) {
            throw new IOException("closed");
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    /** At least one byte, unless the stream has ended. */
    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
        Objects.checkFromIndexSize(offset, length, into.length);
        lock.lock();
        try {
            while (!hasBytes() && end == null && !closed) {
                changed.awaitUninterruptibly();
            }
            throwIfClosed();
            Block first = blocks.peekFirst();
            if (!hasBytes() || first == null) {
                if (end instanceof EOFException || end == null) {
                    return -1;
                }
                throw new IOException(end.getMessage(), end);
            }
            int count = Math.min(length, first.end - first.start);
            System.arraycopy(first.bytes, first.start, into, offset, count);
            first.start += count;
            free(first);
            return count;
        } finally {
            lock.unlock();
        }
    }

    private boolean hasBytes() {
        Block first = blocks.peekFirst();
        return first != null && first.start < first.end;
    }

    /** The caller holds the lock. */
    private void free(Block first) {
        if (first.start < first.end) {
            return;
        }
        if (blocks.size() == 1) {
            first.start = 0;
            first.end = 0;
        } else {
            blocks.removeFirst();
            changed.signalAll();
        }
    }

    /** How much has come and is not taken. */
    long heldBytes() {
        lock.lock();
        try {
            return blocks.stream().mapToLong(block -> block.end - block.start).sum();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
