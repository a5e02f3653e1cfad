package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenTest {
    @Test
    void whatIsWrittenIsRead() {
        for (Token token : new Token[] {
            Token.open(1, "a.1"), Token.open(99, "of more words").close()
        }) {
            assertThat(Token.parse(token.text())).contains(token);
        }
    }

    @Test
    void aGreaterNumberOrTheSameOneClosedIsNewer() {
        Token one = Token.open(1, "z");
        Token two = Token.open(2, "a");
        assertThat(one.isOlderThan(two)).isTrue();
        assertThat(two.isOlderThan(one)).isFalse();
        assertThat(one.isOlderThan(one.close())).isTrue();
        assertThat(one.close().isOlderThan(two)).isTrue();
        assertThat(one.isOlderThan(one)).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "x", "1 open", "1 other a", "-1 open a", "9999999999999999999 open a"})
    void whatIsNoTokenIsNone(String text) {
        assertThat(Token.parse(text)).isEmpty();
    }
}
