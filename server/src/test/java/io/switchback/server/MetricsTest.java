package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.Limit;
import io.switchback.testkit.ServerBinary;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What a node tells Prometheus. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MetricsTest {
    private static final Pattern SAMPLE =
            Pattern.compile("([a-z_]+\\{[a-z]+=\"[^\"]*\"(?:,[a-z]+=\"[^\"]*\")*}) ([0-9.]+)");

    private TwoFleets fleets;

    @BeforeAll
    void start(@TempDir Path folder) {
        fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder);
        fleets.startNode();
    }

    @AfterAll
    void stop() {
        fleets.close();
    }

    private HttpResponse<String> get(String token) throws Exception {
        URI page = URI.create("http://" + fleets.node().adminAddress().orElseThrow() + "/metrics");
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpRequest request = HttpRequest.newBuilder(page)
                    .header("Authorization", "Bearer " + token)
                    .build();
            return client.send(request, HttpResponse.BodyHandlers.ofString());
        }
    }

    private Map<String, Double> samples() throws Exception {
        HttpResponse<String> answer = get("secret-of-the-test");
        assertThat(answer.headers().firstValue("Content-Type")).contains("text/plain; version=0.0.4; charset=utf-8");
        return answer.body()
                .lines()
                .filter(line -> !line.startsWith("# HELP switchback_") && !line.startsWith("# TYPE switchback_"))
                .map(line -> {
                    Matcher sample = SAMPLE.matcher(line);
                    assertThat(sample.matches()).as(line).isTrue();
                    return sample;
                })
                .collect(Collectors.toMap(sample -> sample.group(1), sample -> Double.valueOf(sample.group(2))));
    }

    @Test
    void countsWhatClientsDoAndMeet() throws Exception {
        Map<String, Double> before = samples();
        try (Jedis client = new Jedis("127.0.0.1", fleets.port())) {
            client.set("k", "v");
            client.incr("n");
            assertThat(client.multi().exec()).isEmpty();
            Map<String, Double> now = samples();
            assertThat(now).containsEntry("switchback_clients{cache=\"sessions\"}", 1.0);
            assertThat(now).containsEntry("switchback_memory_hits_total{cache=\"sessions\"}", 0.0);
            assertThat(now).containsEntry("switchback_route_epoch{cache=\"sessions\",fleet=\"blue\"}", 1.0);
            assertThat(now.get("switchback_server_connections{cache=\"sessions\"}"))
                    .isPositive();
            String requests = "switchback_requests_total{cache=\"sessions\",fleet=\"blue\"}";
            assertThat(now.get(requests)).isGreaterThanOrEqualTo(before.getOrDefault(requests, 0.0) + 4);
            assertThat(now.get("switchback_requests_total{cache=\"sessions\",fleet=\"green\"}"))
                    .isZero();
            assertThat(now.get("switchback_request_seconds_sum{cache=\"sessions\",fleet=\"blue\"}"))
                    .isPositive();
            assertThat(now.get("switchback_request_seconds{cache=\"sessions\",fleet=\"blue\",quantile=\"0.99\"}"))
                    .isBetween(0.000_001, 10.0);
        }
    }

    @Test
    void everyLimitIsThere() throws Exception {
        Map<String, Double> samples = samples();
        for (Limit limit : Limit.values()) {
            assertThat(samples)
                    .containsEntry(
                            "switchback_limit_reached_total{cache=\"sessions\",limit=\"" + limit.title() + "\"}", 0.0);
        }
    }

    @Test
    void nobodyReadsItWithoutTheToken() throws Exception {
        assertThat(get("guessed").statusCode()).isEqualTo(401);
    }
}
