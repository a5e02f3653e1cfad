package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import org.junit.jupiter.api.Test;

class ReplyScannerTest {
    private static final String STREAM = String.join(
            "\r\n",
            "+OK",
            "-ERR no",
            ":-42",
            "$5\r\na\r\nb+",
            "$-1",
            "$0\r\n",
            "*-1",
            "*0",
            "*3\r\n*2\r\n:1\r\n$1\r\nx\r\n*1\r\n*0\r\n-ERR nested",
            "-WRONGTYPE x",
            "_",
            "#t",
            ",1.5",
            "(12345678901234567890",
            "=7\r\ntxt:abc",
            "!5\r\nERR x",
            "~2\r\n+a\r\n+b",
            "%1\r\n+k\r\n*1\r\n%0",
            "|1\r\n+ttl\r\n:3\r\n$1\r\nv",
            "*2\r\n|1\r\n+a\r\n%1\r\n+b\r\n+c\r\n:1\r\n|0\r\n:2",
            "");
    private static final int REPLIES = 20;
    private static final int ERRORS = 3;

    private static ByteBuf bytes(String text) {
        return Unpooled.copiedBuffer(text, ISO_8859_1);
    }

    @Test
    void repliesAndErrorsAreCountedOneByOne() {
        ByteBuf in = bytes(STREAM);
        ReplyScanner scanner = new ReplyScanner();
        int index = 0;
        int errors = 0;
        for (int i = 0; i < REPLIES; i++) {
            index = scanner.scan(in, index, in.writerIndex(), 1);
            assertThat(scanner.completed()).isOne();
            assertThat(scanner.insideReply()).isFalse();
            errors += scanner.errors();
        }
        assertThat(index).isEqualTo(STREAM.length());
        assertThat(errors).isEqualTo(ERRORS);
    }

    @Test
    void theCountIsTheSameHoweverTheBytesAreCut() {
        for (int cut = 0; cut <= STREAM.length(); cut++) {
            ReplyScanner scanner = new ReplyScanner();
            ByteBuf in = bytes(STREAM);
            assertThat(scanner.scan(in, 0, cut, REPLIES)).isEqualTo(cut);
            int before = scanner.completed();
            int errors = scanner.errors();
            assertThat(scanner.scan(in, cut, STREAM.length(), REPLIES - before)).isEqualTo(STREAM.length());
            assertThat(before + scanner.completed()).isEqualTo(REPLIES);
            assertThat(errors + scanner.errors()).isEqualTo(ERRORS);
            assertThat(scanner.insideReply()).isFalse();
        }
    }

    @Test
    void theCountIsTheSameByteByByte() {
        ReplyScanner scanner = new ReplyScanner();
        ByteBuf in = bytes(STREAM);
        int replies = 0;
        for (int i = 0; i < STREAM.length(); i++) {
            assertThat(scanner.scan(in, i, i + 1, 1)).isEqualTo(i + 1);
            replies += scanner.completed();
        }
        assertThat(replies).isEqualTo(REPLIES);
    }

    @Test
    void itStopsAfterWhatIsWanted() {
        ReplyScanner scanner = new ReplyScanner();
        ByteBuf in = bytes("+a\r\n+b\r\n+c\r\n");
        assertThat(scanner.scan(in, 0, in.writerIndex(), 2)).isEqualTo(8);
        assertThat(scanner.completed()).isEqualTo(2);
    }

    @Test
    void nestingIsFollowedUpToItsLimitAndNotBeyond() {
        String deep = "*1\r\n".repeat(ReplyScanner.DEPTH_MAX) + ":1\r\n";
        ReplyScanner scanner = new ReplyScanner();
        ByteBuf in = bytes(deep);
        assertThat(scanner.scan(in, 0, in.writerIndex(), 1)).isEqualTo(deep.length());
        assertThat(scanner.completed()).isOne();
        ByteBuf deeper = bytes("*1\r\n" + deep);
        assertThat(new ReplyScanner().scan(deeper, 0, deeper.writerIndex(), 1)).isEqualTo(ReplyScanner.MALFORMED);
    }

    @Test
    void whatIsNoReplyIsSaidToBeNone() {
        for (String bad : new String[] {"x", "$a\r\n", "$\r\n", "*1x\r\n", "$--1\r\n", "$9999999999999\r\n"}) {
            ByteBuf in = bytes(bad);
            assertThat(new ReplyScanner().scan(in, 0, in.writerIndex(), 1))
                    .as(bad)
                    .isEqualTo(ReplyScanner.MALFORMED);
        }
    }

    @Test
    void aLineIsAsLongAsTheServerMakesIt() {
        ReplyScanner scanner = new ReplyScanner();
        ByteBuf piece = bytes("+" + "x".repeat(1_000_000));
        for (int i = 0; i < 5; i++) {
            assertThat(scanner.scan(piece, i == 0 ? 0 : 1, piece.writerIndex(), 1))
                    .isEqualTo(piece.writerIndex());
        }
        ByteBuf end = bytes("\r\n:1\r\n");
        assertThat(scanner.scan(end, 0, end.writerIndex(), 1)).isEqualTo(2);
        assertThat(scanner.completed()).isOne();
    }

    @Test
    void aPushMessageIsNoReplyHoweverTheBytesAreCut() {
        String stream = "+a\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n>1\r\n-x\r\n*1\r\n+b\r\n";
        for (int piece = 1; piece <= stream.length(); piece++) {
            ReplyScanner scanner = new ReplyScanner();
            ByteBuf in = bytes(stream);
            StringBuilder replies = new StringBuilder();
            StringBuilder pushes = new StringBuilder();
            int counted = 0;
            int errors = 0;
            int index = 0;
            while (index < stream.length()) {
                int limit = Math.min(stream.length(), (index / piece + 1) * piece);
                boolean push = scanner.isPush(in, index);
                int end = push ? scanner.scanPush(in, index, limit) : scanner.scan(in, index, limit, 9);
                (push ? pushes : replies).append(stream, index, end);
                counted += push ? 0 : scanner.completed();
                errors += scanner.errors();
                index = end;
            }
            assertThat(replies).as("pieces of " + piece).hasToString("+a\r\n*1\r\n+b\r\n");
            assertThat(pushes).hasToString(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n>1\r\n-x\r\n");
            assertThat(counted).isEqualTo(2);
            assertThat(errors).isZero();
            assertThat(scanner.insidePush()).isFalse();
            assertThat(scanner.insideReply()).isFalse();
        }
    }

    @Test
    void aPushWithinAReplyIsNone() {
        ByteBuf in = bytes("*1\r\n>1\r\n+x\r\n");
        assertThat(new ReplyScanner().scan(in, 0, in.writerIndex(), 1)).isEqualTo(ReplyScanner.MALFORMED);
    }
}
