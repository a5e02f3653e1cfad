package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.proxy.ReplicaCounts;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** A node whose file lets reads go to replicas. */
class ReplicaNodeTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    @TempDir
    private Path folder;

    @Test
    void aNodeReadsFromTheReplicasThatItsFleetHasAndShowsWhatTheyDo() throws Exception {
        ServerBinary binary = ServerBinary.any();
        try (RealServer primary = RealServer.start(
                        binary,
                        folder.resolve("primary"),
                        "--requirepass",
                        "secret",
                        "--repl-diskless-sync-delay",
                        "0");
                RealServer replica = RealServer.start(
                        binary,
                        folder.resolve("replica"),
                        "--requirepass",
                        "secret",
                        "--masterauth",
                        "secret",
                        "--replicaof",
                        primary.host(),
                        Integer.toString(primary.port()));
                RealServer green = RealServer.start(binary, folder.resolve("green"));
                Node node = Node.start(file(primary, green), Environment.system())) {
            int port = node.addresses("sessions").getFirst().port();
            primary.call("SET", "k", "v");
            Await.until(
                    LIMIT,
                    "the replica is in use",
                    () -> counts(node).replicas().values().stream().anyMatch(ReplicaCounts.One::isInUse));
            Await.until(LIMIT, "the replica answers", () -> {
                try (Jedis client = new Jedis("127.0.0.1", port)) {
                    client.auth("secret");
                    assertThat(client.get("k")).isEqualTo("v");
                }
                return counts(node).reads() > 0;
            });
            String where = "{cache=\"sessions\",replica=\"127.0.0.1:" + replica.port() + "\"}";
            assertThat(metrics(node))
                    .contains("switchback_replica_in_use" + where + " 1\n")
                    .contains("switchback_replica_lag_seconds" + where)
                    .contains("switchback_replica_reads_total" + where)
                    .contains("switchback_replica_ejections_total" + where + " 0\n")
                    .contains("switchback_reads_at_primary_total{cache=\"sessions\",why=\"own\"}");
        }
    }

    @Test
    void aNodeInFrontOfAClusterReadsFromTheReplicasOfEachShard() throws Exception {
        try (RealCluster cluster = RealCluster.start(
                        ServerBinary.any(),
                        folder.resolve("cluster"),
                        3,
                        1,
                        "--requirepass",
                        "secret",
                        "--masterauth",
                        "secret");
                Node node = Node.start(file(cluster), Environment.system())) {
            int port = node.addresses("sessions").getFirst().port();
            List<String> keys = cluster.nodes().subList(0, 3).stream()
                    .map(primary -> cluster.keyOn(primary, "k"))
                    .toList();
            try (Jedis client = new Jedis("127.0.0.1", port)) {
                client.auth("secret");
                keys.forEach(key -> client.set(key, "of " + key));
            }
            Await.until(LIMIT, "each replica answers", () -> {
                try (Jedis client = new Jedis("127.0.0.1", port)) {
                    client.auth("secret");
                    keys.forEach(key -> assertThat(client.get(key)).isEqualTo("of " + key));
                }
                return counts(node).replicas().size() == 3
                        && counts(node).replicas().values().stream().allMatch(one -> one.reads() > 0);
            });
            for (RealServer replica : cluster.nodes().subList(3, 6)) {
                assertThat(metrics(node))
                        .contains("switchback_replica_in_use{cache=\"sessions\",replica=\"127.0.0.1:" + replica.port()
                                + "\"} 1\n");
            }
        }
    }

    private NodeFile file(RealCluster cluster) throws IOException {
        return NodeFile.read(Files.writeString(folder.resolve("node.yaml"), """
                node: test-1
                admin: { listen: "127.0.0.1:0", token: t0ken }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:0"
                    active: blue
                    replicas: { max-lag: 500ms }
                    fleets:
                      blue: { cluster: [%s], password: secret }
                      green: { standalone: "127.0.0.1:1" }
                """.formatted(
                cluster.endpoints().stream().map(one -> "\"" + one + "\"").collect(Collectors.joining(", ")))));
    }

    private static ReplicaCounts counts(Node node) {
        return node.proxy("sessions").replicaCounts();
    }

    private static String metrics(Node node) throws Exception {
        URI page = URI.create("http://" + node.adminAddress().orElseThrow() + "/metrics");
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpRequest request = HttpRequest.newBuilder(page)
                    .header("Authorization", "Bearer t0ken")
                    .build();
            return client.send(request, HttpResponse.BodyHandlers.ofString()).body();
        }
    }

    private NodeFile file(RealServer primary, RealServer green) throws IOException {
        return NodeFile.read(
                Files.writeString(folder.resolve("node.yaml"), """
                node: test-1
                admin: { listen: "127.0.0.1:0", token: t0ken }
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:0"
                    active: blue
                    replicas: { max-lag: 500ms }
                    fleets:
                      blue:  { standalone: "127.0.0.1:%d", password: secret }
                      green: { standalone: "127.0.0.1:%d" }
                """.formatted(primary.port(), green.port())));
    }
}
