package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** Whoever may use the admin API is told which keys are hot and big; metrics say how hot and how big, and not which. */
class KeysTest {
    private static HttpResponse<String> get(TwoFleets fleets, String token, String path)
            throws IOException, InterruptedException {
        URI page = URI.create("http://" + fleets.node().adminAddress().orElseThrow() + path);
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpRequest request = HttpRequest.newBuilder(page)
                    .header("Authorization", "Bearer " + token)
                    .build();
            return client.send(request, HttpResponse.BodyHandlers.ofString());
        }
    }

    @Test
    void theAdminApiListsThem(@TempDir Path folder) throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = new Jedis("127.0.0.1", fleets.port(), 60_000)) {
                for (int i = 0; i < 100; i++) {
                    client.incr("counter");
                }
                client.set("blob", "x".repeat(5 * 1024 * 1024));
            }
            HttpResponse<String> answer = get(fleets, "secret-of-the-test", "/v1/caches/sessions/keys");
            assertThat(answer.statusCode()).isEqualTo(200);
            JsonNode keys = new ObjectMapper().readTree(answer.body());
            assertThat(keys.path("cache").asText()).isEqualTo("sessions");
            assertThat(keys.path("requestsPerSecond").asDouble()).isPositive();
            JsonNode hot = keys.path("hot").path(0);
            assertThat(hot.path("key").asText()).isEqualTo("counter");
            assertThat(hot.path("command").asText()).isEqualTo("INCR");
            assertThat(hot.path("share").asDouble()).isGreaterThan(0.9);
            JsonNode big = keys.path("big").path(0);
            assertThat(big.path("key").asText()).isEqualTo("blob");
            assertThat(big.path("bytes").asLong()).isGreaterThanOrEqualTo(5 * 1024 * 1024);

            HttpResponse<String> metrics = get(fleets, "secret-of-the-test", "/metrics");
            assertThat(metrics.body())
                    .contains("switchback_hot_key_requests_per_second{cache=\"sessions\",rank=\"1\"} ")
                    .contains("switchback_big_key_bytes{cache=\"sessions\",rank=\"1\"} 52")
                    .doesNotContain("counter{")
                    .doesNotContain("\"counter\"")
                    .doesNotContain("blob");
            assertThat(get(fleets, "guessed", "/v1/caches/sessions/keys").statusCode())
                    .isEqualTo(401);
            HttpResponse<String> none = get(fleets, "secret-of-the-test", "/v1/caches/other/keys");
            assertThat(none.statusCode()).isEqualTo(404);
            assertThat(none.body()).contains("there are: sessions");
        }
    }
}
