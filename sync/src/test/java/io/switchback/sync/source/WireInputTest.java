package io.switchback.sync.source;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Framing, with the input split wherever it can be. */
class WireInputTest {
    private static final String STREAM =
            "*1\r\n$4\r\nPING\r\n\n*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\nPING\r\n\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n11\r\n";

    private static List<String> commands(WireInput input) throws IOException {
        List<String> commands = new ArrayList<>();
        long before = 0;
        byte @Nullable [][] command = input.readCommand();
        while (command != null) {
            ByteArrayOutputStream raw = new ByteArrayOutputStream();
            input.copyCommandTo(raw::write);
            assertThat(raw.toString(ISO_8859_1)).isEqualTo(STREAM.substring((int) before, (int) input.consumed()));
            List<String> words = new ArrayList<>();
            for (byte[] argument : command) {
                words.add(new String(argument, ISO_8859_1));
            }
            commands.add(words.toString());
            before = input.consumed();
            command = input.readCommand();
        }
        return commands;
    }

    private static InputStream split(byte[] bytes, int at) {
        return new SequenceInputStream(
                new ByteArrayInputStream(bytes, 0, at), new ByteArrayInputStream(bytes, at, bytes.length - at));
    }

    @Test
    void commandsAreTheSameWhereverTheInputIsSplit() throws IOException {
        byte[] bytes = STREAM.getBytes(ISO_8859_1);
        for (int at = 0; at <= bytes.length; at++) {
            WireInput input = new WireInput(split(bytes, at), 1024);
            assertThat(commands(input))
                    .containsExactly("[PING]", "[]", "[SET, k\r\n, ]", "[PING]", "[]", "[SELECT, 11]");
            assertThat(input.consumed()).isEqualTo(bytes.length);
        }
    }

    @Test
    void anInputThatEndsWithinACommandIsAnErrorAndBetweenCommandsIsNot() throws IOException {
        byte[] bytes = "*2\r\n$6\r\nSELECT\r\n$2\r\n11\r\n".getBytes(ISO_8859_1);
        for (int length = 1; length < bytes.length; length++) {
            WireInput input = new WireInput(new ByteArrayInputStream(bytes, 0, length), 1024);
            assertThatThrownBy(input::readCommand).isInstanceOf(EOFException.class);
        }
        assertThat(new WireInput(new ByteArrayInputStream(new byte[0]), 1024).readCommand())
                .isNull();
    }

    @Test
    void whatIsLargerThanTheLimitIsRefusedBeforeItIsRead() {
        WireInput input = new WireInput(new ByteArrayInputStream("*1\r\n$999999999\r\nx".getBytes(ISO_8859_1)), 1024);
        assertThatThrownBy(input::readCommand).isInstanceOf(IOException.class).hasMessageContaining("1024");
        WireInput numbers = new WireInput(new ByteArrayInputStream("*1\r\n$-5\r\nx".getBytes(ISO_8859_1)), 1024);
        assertThatThrownBy(numbers::readCommand).isInstanceOf(IOException.class);
    }

    @Test
    void aLargeCommandGrowsTheBufferAndTheNextOnesAreStillRight() throws IOException {
        String large = "x".repeat(3_000_000);
        String stream = "*2\r\n$3\r\nGET\r\n$3000000\r\n" + large + "\r\n*1\r\n$4\r\nPING\r\n";
        WireInput input = new WireInput(new ByteArrayInputStream(stream.getBytes(ISO_8859_1)), 10_000_000);
        assertThat(Objects.requireNonNull(input.readCommand())[1]).hasSize(3_000_000);
        assertThat(input.readCommand()).hasDimensions(1, 4);
        assertThat(input.consumed()).isEqualTo(stream.length());
    }

    @Test
    void linesAndBytesMayBeTakenInTurn() throws IOException {
        WireInput input =
                new WireInput(new ByteArrayInputStream("\n+FULLRESYNC x 1\r\nabcdef".getBytes(ISO_8859_1)), 1024);
        assertThat(input.readLine()).isEmpty();
        assertThat(input.readLine()).isEqualTo("+FULLRESYNC x 1");
        byte[] rest = new byte[4];
        assertThat(input.read(rest, 4)).isEqualTo(4);
        assertThat(new String(rest, ISO_8859_1)).isEqualTo("abcd");
        assertThat(input.read(rest, 4)).isEqualTo(2);
        assertThat(input.read(rest, 4)).isEqualTo(-1);
    }
}
