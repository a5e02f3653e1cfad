package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.release.CopyCheck.BufferLimit;
import io.switchback.sync.source.CopyLimits;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** Whether it is said beforehand that a server cannot hold what is written while it is copied. */
class CopyCheckTest {
    private static final long MIB = 1 << 20;

    @TempDir
    Path folder;

    @Test
    void replicasHaveLimitsUnderEitherName() {
        BufferLimit expected = new BufferLimit(256 * MIB, 64 * MIB, 60);
        assertThat(BufferLimit.parse("normal 0 0 0 replica 268435456 67108864 60 pubsub 33554432 8388608 60"))
                .isEqualTo(expected);
        assertThat(BufferLimit.parse("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"))
                .isEqualTo(expected);
        assertThat(BufferLimit.parse("")).isEqualTo(new BufferLimit(0, 0, 0));
    }

    @Test
    void aCopyIsCutOffByWhateverIsReachedFirst() {
        BufferLimit limit = new BufferLimit(256 * MIB, 64 * MIB, 60);
        assertThat(limit.reachedBy(60, MIB, 0)).isEmpty();
        assertThat(limit.reachedBy(300, MIB, 0)).hasValue(256 * MIB);
        // Above 64 MiB from second 64 on, and for 60 s from there.
        assertThat(limit.reachedBy(120, MIB, 0)).isEmpty();
        assertThat(limit.reachedBy(125, MIB, 0)).hasValue(64 * MIB);
        assertThat(limit.reachedBy(300, MIB, 300 * MIB)).isEmpty();
        assertThat(new BufferLimit(0, 0, 0).reachedBy(1e9, 100 * MIB, 0)).isEmpty();
        assertThat(limit.atLeast(1024 * MIB).reachedBy(300, MIB, 0)).isEmpty();
        assertThat(new BufferLimit(0, 0, 0).atLeast(MIB)).isEqualTo(new BufferLimit(0, 0, 0));
    }

    /** A client that writes until this is closed. */
    private static final class Writing implements AutoCloseable {
        private final Thread thread;
        private volatile boolean ended;
        private volatile boolean written;

        Writing(RealServer server) {
            thread = Thread.ofPlatform().start(() -> {
                try (Jedis client = server.client()) {
                    while (!ended) {
                        client.set("written", "x".repeat(10_000));
                        written = true;
                    }
                }
            });
        }

        boolean hasWritten() {
            return written;
        }

        @Override
        public void close() {
            ended = true;
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private List<String> warnings(RealServer server, CopyLimits limits, LinkKind kind) {
        FleetCheck.Findings findings = new FleetCheck.Findings("cache");
        try (ServerConnection connection = ServerConnection.open(
                new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(5))) {
            new CopyCheck(limits, kind, findings)
                    .look(List.of(new FleetCheck.Primary(connection, ServerInfo.read(connection))));
        }
        assertThat(findings.problems()).isEmpty();
        return findings.warnings();
    }

    @Test
    void aServerThatIsWrittenToIsNamedWithWhatToDoUnlessItsLimitIsFar() {
        CopyLimits slowly = new CopyLimits(OptionalLong.of(MIB), OptionalLong.empty(), Optional.empty());
        CopyLimits byKeys = new CopyLimits(OptionalLong.empty(), OptionalLong.of(1_000), Optional.empty());
        try (RealServer server = RealServer.start(ServerBinary.any(), folder, "--repl-backlog-size", "1mb");
                Writing writing = new Writing(server)) {
            Await.until(Duration.ofSeconds(60), "the client writes", writing::hasWritten);
            server.call("CONFIG", "SET", "client-output-buffer-limit", "replica 1048576 0 0");
            server.call("DEBUG", "POPULATE", "100000", "key", "1000");
            // What a server says of its clients is that of the last seconds.
            Await.until(
                    Duration.ofSeconds(60),
                    "the server sees that it is written to",
                    () -> Double.parseDouble(server.info("stats", "instantaneous_input_kbps")) > 100);
            assertThat(warnings(server, slowly, LinkKind.RELAY))
                    .singleElement()
                    .asString()
                    .contains("client-output-buffer-limit replica")
                    .contains(" 1.0 MiB is its limit");
            assertThat(warnings(server, byKeys, LinkKind.APPLY))
                    .singleElement()
                    .asString()
                    .contains(" may take 101 s");
            assertThat(warnings(server, byKeys, LinkKind.RELAY))
                    .singleElement()
                    .asString()
                    .contains("keys-per-second limits nothing here");
            assertThat(warnings(server, slowly, LinkKind.SCAN))
                    .as("it holds nothing for who walks over it")
                    .isEmpty();
            assertThat(warnings(server, CopyLimits.NONE, LinkKind.APPLY)).isEmpty();
            server.call("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0");
            assertThat(warnings(server, slowly, LinkKind.RELAY)).isEmpty();
        }
    }
}
