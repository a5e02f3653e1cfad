package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.RequestScanner.Outcome;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class RequestScannerTest {
    private static final int BULK_BYTES_MAX = 1024;
    private static final String MARK = "switchback:reserved:";
    private static final String STREAM = String.join(
            "\r\n",
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\0",
            "*0",
            "PING \"x y\"",
            "*-1",
            "*2\r\n$3\r\nGET\r\n$21\r\nswitchback:reserved:x",
            "",
            "*2\r\n$4\r\nECHO\r\n$0\r\n",
            "");

    /** What a scan found, in words. */
    private static List<String> scan(List<String> pieces) {
        RequestScanner scanner = new RequestScanner(BULK_BYTES_MAX, MARK);
        ByteBuf in = Unpooled.buffer();
        List<String> found = new ArrayList<>();
        for (String piece : pieces) {
            in.writeBytes(piece.getBytes(ISO_8859_1));
            Outcome outcome = scanner.next(in, in.readerIndex());
            while (outcome != Outcome.INCOMPLETE) {
                if (outcome == Outcome.MALFORMED) {
                    found.add("error " + scanner.error());
                    return found;
                }
                String name = outcome == Outcome.COMMAND
                        ? " " + in.toString(in.readerIndex() + scanner.nameOffset(), scanner.nameLength(), ISO_8859_1)
                                + "/" + scanner.arguments() + (scanner.marked() ? " marked" : "")
                        : "";
                found.add(outcome + name + " " + (scanner.end() - in.readerIndex()));
                in.readerIndex(scanner.end());
                outcome = scanner.next(in, in.readerIndex());
            }
            // What is behind may go at any time, so that nothing may depend on where the bytes lie.
            in.discardReadBytes();
        }
        return found;
    }

    @Test
    void commandsAreFoundWithTheirNamesAndLengths() {
        assertThat(scan(List.of(STREAM)))
                .containsExactly(
                        "COMMAND SET/3 31",
                        "NOTHING 4",
                        "INLINE 12",
                        "NOTHING 5",
                        "COMMAND GET/2 marked 41",
                        "INLINE 2",
                        "COMMAND ECHO/2 20");
    }

    @Test
    void theSameIsFoundHoweverTheBytesAreCut() {
        List<String> whole = scan(List.of(STREAM));
        for (int cut = 0; cut <= STREAM.length(); cut++) {
            assertThat(scan(List.of(STREAM.substring(0, cut), STREAM.substring(cut))))
                    .isEqualTo(whole);
        }
        assertThat(scan(STREAM.chars().mapToObj(c -> String.valueOf((char) c)).toList()))
                .isEqualTo(whole);
    }

    @Test
    void malformedCommandsGetTheServersWords() {
        assertThat(scan(List.of("*x\r\n"))).containsExactly("error Protocol error: invalid multibulk length");
        assertThat(scan(List.of("*01\r\n"))).containsExactly("error Protocol error: invalid multibulk length");
        assertThat(scan(List.of("*2147483648\r\n"))).containsExactly("error Protocol error: invalid multibulk length");
        assertThat(scan(List.of("*1048577\r\n"))).containsExactly("error Protocol error: invalid multibulk length");
        assertThat(scan(List.of("*1048576\r\n"))).isEmpty();
        assertThat(scan(List.of("*1\r\n$-1\r\n"))).containsExactly("error Protocol error: invalid bulk length");
        assertThat(scan(List.of("*1\r\n$1025\r\n"))).containsExactly("error Protocol error: invalid bulk length");
        assertThat(scan(List.of("*1\r\n$ 1\r\n"))).containsExactly("error Protocol error: invalid bulk length");
        assertThat(scan(List.of("*1\r\n:1\r\n"))).containsExactly("error Protocol error: expected '$', got ':'");
        assertThat(scan(List.of("*1\r\n\r\n"))).containsExactly("error Protocol error: expected '$', got ' '");
        assertThat(scan(List.of("*" + "1".repeat(65536))))
                .containsExactly("error Protocol error: too big mbulk count string");
        assertThat(scan(List.of("*1\r\n$" + "1".repeat(65536))))
                .containsExactly("error Protocol error: too big bulk count string");
        assertThat(scan(List.of("x".repeat(65537)))).containsExactly("error Protocol error: too big inline request");
    }

    @Test
    void aMalformedCommandIsFoundHoweverTheBytesAreCut() {
        for (String bad : List.of(
                "*1\r\n$4\r\nPING\r\n*2x\r\n", "*1\r\n$4\r\nPING\r\n*1\r\n+OK\r\n", "*2\r\n$3\r\nGET\r\n$99999\r\n")) {
            List<String> whole = scan(List.of(bad));
            assertThat(whole.getLast()).startsWith("error");
            for (int cut = 0; cut <= bad.length(); cut++) {
                assertThat(scan(List.of(bad.substring(0, cut), bad.substring(cut))))
                        .isEqualTo(whole);
            }
        }
    }

    @Test
    void theArgumentsOfACommandCanBeCopied() {
        ByteBuf in = Unpooled.copiedBuffer("junk*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\na\r\nb\0\r\n", ISO_8859_1);
        byte[][] arguments = RequestScanner.copyArguments(in, 4);
        assertThat(arguments.length).isEqualTo(3);
        assertThat(new String(arguments[0], ISO_8859_1)).isEqualTo("SET");
        assertThat(arguments[1]).isEmpty();
        assertThat(new String(arguments[2], ISO_8859_1)).isEqualTo("a\r\nb\0");
    }
}
