package io.switchback.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RealSentinelsTest {
    @TempDir
    Path folder;

    static List<ServerBinary> everyServer() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : matrix;
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void sentinelsOfEveryVersionMakeAnotherServerThePrimaryWhenToldAndWhenItDies(ServerBinary binary) {
        List<RealServer> all;
        try (RealSentinels fleet = RealSentinels.start(binary, folder, 2, "--requirepass", "secret")) {
            all = Stream.concat(fleet.servers().stream(), fleet.sentinels().stream())
                    .toList();
            RealServer first = fleet.primary();
            first.call("SET", "key", "value");
            RealServer second = fleet.failover();
            assertThat(second).isNotSameAs(first);
            fleet.awaitFollowing();
            assertThat(fleet.replicas()).hasSize(2).contains(first);
            second.call("SET", "key", "newer");
            fleet.replicas()
                    .forEach(replica -> Await.until(
                            Duration.ofSeconds(10),
                            "the write comes down",
                            () -> replica.text("GET", "key").equals("newer")));

            second.kill();
            RealServer third = fleet.awaitSuccessor(second);
            assertThat(third.text("GET", "key")).isEqualTo("newer");
        }
        assertThat(all).hasSize(6).noneMatch(server -> server.process().isAlive());
    }
}
