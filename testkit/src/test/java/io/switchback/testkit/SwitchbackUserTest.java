package io.switchback.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SwitchbackUserTest {
    private static Stream<SwitchbackUser> users() {
        return Stream.of(
                SwitchbackUser.RELAY, SwitchbackUser.APPLY, SwitchbackUser.RELAY_OR_APPLY, SwitchbackUser.SCAN);
    }

    @ParameterizedTest
    @MethodSource("users")
    void theRulesThatAreDocumentedAreThoseOfTheTests(SwitchbackUser user) throws IOException {
        assertThat(Files.readString(Path.of("..", "docs", "rights.md")))
                .contains("\nACL SETUSER " + user.name() + " on >PASSWORD " + String.join(" ", user.rules()) + "\n");
    }
}
