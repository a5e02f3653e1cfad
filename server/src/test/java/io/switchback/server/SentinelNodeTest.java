package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** A node whose file names a fleet that sentinels watch. */
class SentinelNodeTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    @TempDir
    private Path folder;

    @Test
    void aNodeFindsThePrimaryServesItAndFollowsIt() throws IOException {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealSentinels blue = RealSentinels.start(binary, folder.resolve("blue"), 1, "--requirepass", "secret");
                RealServer green = RealServer.start(binary, folder.resolve("green"));
                Node node = Node.start(file(blue, green), Environment.system());
                Jedis client = new Jedis(
                        "127.0.0.1", node.addresses("sessions").getFirst().port(), 30_000)) {
            client.auth("secret");
            assertThat(client.set("key", "first")).isEqualTo("OK");
            assertThat(blue.primary().text("GET", "key")).isEqualTo("first");

            RealServer next = blue.failover();
            blue.awaitFollowing(); // until then the former primary takes writes that nobody else gets
            assertThat(client.set("key", "second")).isEqualTo("OK");
            Await.until(LIMIT, "the next primary has it", () -> "second".equals(next.call("GET", "key")));

            assertThat(client.get("key")).isEqualTo("second");
        }
    }

    private NodeFile file(RealSentinels blue, RealServer green) throws IOException {
        String sentinels =
                blue.endpoints().stream().map(one -> "\"" + one + "\"").collect(Collectors.joining(", "));
        return NodeFile.read(Files.writeString(folder.resolve("node.yaml"), """
                node: test-1
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:0"
                    active: blue
                    fleets:
                      blue:
                        sentinel: { primary: cache, sentinels: [%s] }
                        password: secret
                      green: { standalone: "127.0.0.1:%d" }
                """.formatted(sentinels, green.port())));
    }
}
