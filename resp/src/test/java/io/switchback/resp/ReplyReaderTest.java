package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@link ReplyReader} and the {@link UnlockedInput} below it, and {@link CommandEncoder}, whose bytes are replies of an array of strings, too. */
final class ReplyReaderTest {
    private static final String ALL = String.join(
            "\r\n",
            "+OK",
            "-ERR no",
            ":42",
            ":-7",
            ":9223372036854775807",
            ":-9223372036854775808",
            "$3\r\na\r\n",
            "$0\r\n",
            "$-1",
            "*-1",
            "*2\r\n:1\r\n*1\r\n+x",
            "%1\r\n+k\r\n#t",
            "_",
            ",1.5",
            "=6\r\ntxt:ab",
            "|1\r\n+a\r\n+b\r\n:3",
            "");

    private static final List<Reply> DECODED = List.of(
            new Reply.Simple("OK"),
            new Reply.Failure("ERR no"),
            new Reply.Int(42),
            new Reply.Int(-7),
            new Reply.Int(Long.MAX_VALUE),
            new Reply.Int(Long.MIN_VALUE),
            new Reply.Bulk("a\r\n".getBytes(UTF_8)),
            new Reply.Bulk(new byte[0]),
            new Reply.Nil(),
            new Reply.Nil(),
            new Reply.Array(List.of(new Reply.Int(1), new Reply.Array(List.of(new Reply.Simple("x"))))),
            new Reply.Array(List.of(new Reply.Simple("k"), new Reply.Int(1))),
            new Reply.Nil(),
            new Reply.Bulk("1.5".getBytes(UTF_8)),
            new Reply.Bulk("ab".getBytes(UTF_8)),
            new Reply.Int(3));

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 1_000_000})
    void repliesAreTheSameHoweverTheirBytesCome(int atOnce) throws IOException {
        ReplyReader reader = new ReplyReader(new UnlockedInput(pieces(ALL, atOnce)));
        for (Reply expected : DECODED) {
            assertThat(reader.read()).isEqualTo(expected);
        }
        assertThatThrownBy(reader::read).isInstanceOf(EOFException.class);
    }

    @Test
    void aLargeStringIsReadPastTheBuffer() throws IOException {
        String value = "v".repeat(3 * UnlockedInput.BUFFER_BYTES + 1);
        ReplyReader reader = new ReplyReader(new UnlockedInput(
                pieces("$" + value.length() + "\r\n" + value + "\r\n+after\r\n", UnlockedInput.BUFFER_BYTES)));
        assertThat(reader.read().text()).isEqualTo(value);
        assertThat(reader.read()).isEqualTo(new Reply.Simple("after"));
    }

    @ParameterizedTest
    @ValueSource(strings = {":\r\n", ":-\r\n", ":1a\r\n", ":92233720368547758080\r\n", "$x\r\n", "?1\r\n", "+a\rb\r\n"})
    void whatIsNoReplyIsRefused(String bytes) {
        ReplyReader reader = new ReplyReader(new UnlockedInput(pieces(bytes, 100)));
        assertThatThrownBy(reader::read).isInstanceOf(ProtocolException.class);
    }

    @Test
    void aLineHasALimit() {
        String line = "x".repeat(ReplyReader.LINE_BYTES_MAX + 1);
        ReplyReader reader = new ReplyReader(new UnlockedInput(pieces("+" + line + "\r\n", 4096)));
        assertThatThrownBy(reader::read).isInstanceOf(ProtocolException.class).hasMessageContaining("line");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 9, 10, 99, 100, 12_345})
    void whatIsEncodedIsWhatIsReadBack(int length) throws IOException {
        byte[] argument = "a".repeat(length).getBytes(UTF_8);
        byte[][] command = new byte[11][];
        Arrays.fill(command, argument);
        ByteArrayOutputStream twice = new ByteArrayOutputStream();
        CommandEncoder.encode(twice, command);
        twice.writeBytes(CommandEncoder.encode(command));
        ReplyReader reader = new ReplyReader(new ByteArrayInputStream(twice.toByteArray()));
        for (int i = 0; i < 2; i++) {
            assertThat(reader.read())
                    .isInstanceOfSatisfying(
                            Reply.Array.class,
                            read -> assertThat(read.elements())
                                    .hasSize(command.length)
                                    .allMatch(one -> one.equals(new Reply.Bulk(argument))));
        }
    }

    /** So many bytes at a time, as a network may give them. */
    private static InputStream pieces(String text, int atOnce) {
        return new ByteArrayInputStream(text.getBytes(ISO_8859_1)) {
            @Override
            public synchronized int read(byte[] bytes, int offset, int length) {
                return super.read(bytes, offset, Math.min(length, atOnce));
            }
        };
    }
}
