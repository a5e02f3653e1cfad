package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class InlineCommandTest {
    private static Optional<List<String>> split(String line) {
        ByteBuf in = Unpooled.copiedBuffer(line, ISO_8859_1);
        return InlineCommand.split(in, 0, in.writerIndex())
                .map(arguments -> Arrays.stream(arguments)
                        .map(argument -> new String(argument, ISO_8859_1))
                        .toList());
    }

    @Test
    void blanksSeparate() {
        assertThat(split("  SET a\tb \r\n")).contains(List.of("SET", "a", "b"));
        assertThat(split("PING\n")).contains(List.of("PING"));
        assertThat(split("\r\n")).contains(List.of());
    }

    @Test
    void quotesAreAsOnTheServers() {
        assertThat(split("SET \"a b\" 'c d'\r\n")).contains(List.of("SET", "a b", "c d"));
        assertThat(split("SET \"\\x41\\n\\q\\\"\" 'it\\'s \\n'\r\n")).contains(List.of("SET", "A\nq\"", "it's \\n"));
        assertThat(split("SET \"\" ''\r\n")).contains(List.of("SET", "", ""));
        assertThat(split("SET \"a\r\n")).isEmpty();
        assertThat(split("SET \"a\"b\r\n")).isEmpty();
        assertThat(split("SET 'a'b\r\n")).isEmpty();
    }

    @Test
    void aZeroByteEndsTheLineAsItEndsAStringInC() {
        assertThat(split("GET a\0b\r\n")).contains(List.of("GET", "a"));
    }
}
