package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.CommandEncoder;
import io.switchback.sync.source.SourceConnection;
import io.switchback.sync.source.WireInput;
import io.switchback.testkit.Await;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** How far ahead a stream is read that nobody applies. */
class StreamReadingTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int MIB = 1024 * 1024;
    private static final int COMMANDS = 24;

    /** A SET of so many bytes, made when it is read. */
    private static InputStream command(int bytes) {
        return new InputStream() {
            private InputStream made = InputStream.nullInputStream();
            private boolean begun;

            @Override
            public int read() throws IOException {
                throw new IOException("only many at once");
            }

            @Override
            public int read(byte[] into, int offset, int length) throws IOException {
                if (!begun) {
                    begun = true;
                    made = new ByteArrayInputStream(
                            CommandEncoder.encode("SET".getBytes(US_ASCII), new byte[] {'k'}, new byte[bytes]));
                }
                return made.read(into, offset, length);
            }
        };
    }

    private static WireInput input(List<InputStream> commands) {
        return new WireInput(
                new SequenceInputStream(Collections.enumeration(commands)), SourceConnection.COMMAND_BYTES_MAX);
    }

    private static void comesToAStop(Thread reader) {
        Await.until(LIMIT, "the reader waits", () -> reader.getState() == Thread.State.WAITING);
    }

    @Test
    void largeCommandsAreReadAheadUpToABudget() throws Exception {
        int size = 10 * MIB;
        WireInput input =
                input(IntStream.range(0, COMMANDS).mapToObj(i -> command(size)).toList());
        StreamReading reading = new StreamReading(input, 0);
        Thread reader = Thread.ofPlatform().daemon().start(reading::run);
        int taken = 0;
        while (true) {
            if (taken < COMMANDS - 8) {
                comesToAStop(reader);
                // What is taken counts as held, and one more command is read and waits to be handed over.
                long ahead = input.consumed() - (long) Math.max(0, taken - 1) * size;
                assertThat(ahead).isLessThanOrEqualTo(StreamReading.HELD_BYTES_MAX + size + MIB);
            }
            StreamReading.Batch batch = Objects.requireNonNull(reading.next(LIMIT));
            taken += batch.commands().size();
            if (batch.end() != null) {
                break;
            }
        }
        assertThat(taken).isEqualTo(COMMANDS);
        reader.join();
    }

    @Test
    void aCommandThatIsLargerThanTheBudgetPassesAlone() throws Exception {
        int size = (int) StreamReading.HELD_BYTES_MAX + MIB;
        StreamReading reading = new StreamReading(input(List.of(command(size), command(1), command(size))), 0);
        Thread reader = Thread.ofPlatform().daemon().start(reading::run);
        for (int i = 0; i < 3; i++) {
            StreamReading.Batch batch = Objects.requireNonNull(reading.next(LIMIT));
            assertThat(batch.commands()).hasSize(1);
            assertThat(batch.commands().getFirst().words()[2]).hasSize(i == 1 ? 1 : size);
        }
        assertThat(Objects.requireNonNull(reading.next(LIMIT)).end()).hasMessageContaining("ended its stream");
        reader.join();
    }
}
