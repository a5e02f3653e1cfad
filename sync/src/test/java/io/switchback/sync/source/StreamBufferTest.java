package io.switchback.sync.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.testkit.Await;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** What is held of a stream while nobody takes it. */
class StreamBufferTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final long STREAM_BYTES = StreamBuffer.HELD_BYTES_MAX + (8L << 20);

    private final AtomicLong given = new AtomicLong();

    /** So many bytes, of which each is known by its place; in pieces of any size. */
    private final InputStream stream = new InputStream() {
        private final Random random = new Random(1);

        @Override
        public int read() {
            throw new UnsupportedOperationException();
        }

        @Override
        public int read(byte[] into, int offset, int length) {
            long at = given.get();
            int count = (int) Math.min(STREAM_BYTES - at, 1 + random.nextInt(length));
            if (count <= 0) {
                return -1;
            }
            for (int i = 0; i < count; i++) {
                into[offset + i] = at(at + i);
            }
            given.addAndGet(count);
            return count;
        }
    };

    private static byte at(long place) {
        return (byte) (place * 31 + (place >> 16));
    }

    private StreamBuffer filled() {
        StreamBuffer buffer = new StreamBuffer();
        Thread.ofPlatform()
                .daemon()
                .start(() -> buffer.fill(new WireInput(stream, SourceConnection.COMMAND_BYTES_MAX)));
        Await.until(LIMIT, "it is full", () -> buffer.heldBytes() >= StreamBuffer.HELD_BYTES_MAX);
        return buffer;
    }

    @Test
    void nothingMoreIsReadThanFitsAndAllOfItComesOutInOrder() throws IOException {
        StreamBuffer buffer = filled();
        assertThat(buffer.heldBytes()).isEqualTo(StreamBuffer.HELD_BYTES_MAX);
        assertThat(given.get()).isBetween(StreamBuffer.HELD_BYTES_MAX, StreamBuffer.HELD_BYTES_MAX + 128 * 1024);

        byte[] chunk = new byte[50_000];
        long taken = 0;
        for (int count = buffer.read(chunk, 0, chunk.length); count >= 0; ) {
            for (int i = 0; i < count; i++) {
                if (chunk[i] != at(taken + i)) {
                    throw new AssertionError("another byte at " + (taken + i));
                }
            }
            taken += count;
            count = buffer.read(chunk, 0, chunk.length);
        }
        assertThat(taken).isEqualTo(STREAM_BYTES);
    }

    @Test
    void whoeverWaitsForItIsLetGoWhenItIsClosed() {
        StreamBuffer empty = new StreamBuffer();
        Thread closing = Thread.ofPlatform().start(empty::close);
        assertThatThrownBy(() -> empty.read(new byte[1], 0, 1)).isInstanceOf(IOException.class);
        Await.until(LIMIT, "closed", () -> !closing.isAlive());

        StreamBuffer full = filled();
        full.close();
        assertThatThrownBy(() -> full.read(new byte[1], 0, 1)).isInstanceOf(IOException.class);
    }
}
