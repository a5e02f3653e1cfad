package io.switchback.fleet.dialect;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The long answer is asked for once, and again where it may be another one. */
class DialectsTest {
    private final Dialects dialects = new Dialects();

    private Dialect ask(RealServer server) {
        try (ServerConnection connection = ServerConnection.open(
                new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(10))) {
            return dialects.of(connection);
        }
    }

    @Test
    void itIsAskedForOnceInEachRunOfAServer(@TempDir Path folder) {
        try (RealServer server = RealServer.start(ServerBinary.any(), folder)) {
            Dialect first = ask(server);
            assertThat(first.commands().shape("get")).isPresent();
            assertThat(ask(server)).isSameAs(first);
            server.kill();
            server.restart();
            assertThat(ask(server))
                    .isNotSameAs(first)
                    .satisfies(again -> assertThat(again.version()).isEqualTo(first.version()));
        }
    }
}
