package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import redis.clients.jedis.Jedis;

/** The main job, end to end, on real servers: there, back, there again, and finish, with nothing copied after the first time. */
final class MainJobTest {

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0} to {1}")
    @CsvSource({
        "redis-7.0, valkey-9.1",
        "redis-7.0, redis-8.0",
        "redis-6.0, redis-7.0",
        "redis-6.0, valkey-9.1",
        "valkey-8.1, valkey-9.1"
    })
    void aCacheGoesThereAndBackAndThereAgain(String old, String fresh) {
        thereAndBack(Servers.require(old), Servers.require(fresh));
    }

    @Test
    void aCacheGoesThereAndBackBetweenEmbeddedServers() {
        thereAndBack(ServerBinary.embedded(), ServerBinary.embedded());
    }

    private void thereAndBack(ServerBinary old, ServerBinary fresh) {
        try (TwoFleets fleets = TwoFleets.start(old, fresh, folder)) {
            fleets.startNode();
            try (Jedis client = new Jedis("127.0.0.1", fleets.port())) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release("r", ""));
                fleets.awaitObserving("r");
                client.incr("counter");
                assertThat(client.get("before")).isEqualTo("1");
                assertThat(fleets.green.text("GET", "counter")).isEqualTo("1");
                client.swapDB(0, 1); // takes the reserved keys along
                client.select(1);
                client.move("before", 0);
                client.move("counter", 0);
                client.select(0);
                assertThat(client.dbSize())
                        .as("keys, the reserved ones not counted")
                        .isEqualTo(2);

                fleets.order("r", Order.Kind.ROLLBACK);
                fleets.awaitStatus("r", Status.ROLLED_BACK);
                assertThat(client.incr("counter")).isEqualTo(2);
                assertThat(client.dbSize()).isEqualTo(2);
                assertThat(fleets.blue.text("GET", "counter")).isEqualTo("2");

                fleets.order("r", Order.Kind.RESUME);
                fleets.awaitObserving("r");
                assertThat(client.incr("counter")).isEqualTo(3);

                fleets.order("r", Order.Kind.FINISH);
                ReleaseStatus finished = fleets.awaitStatus("r", Status.FINISHED);
                assertThat(finished.switches()).as("each at the first attempt").hasSize(3);
                assertThat(client.incr("counter")).isEqualTo(4);
                assertThat(client.dbSize()).isEqualTo(2);
                assertThat(fleets.green.text("GET", "counter")).isEqualTo("4");
                assertThat(finished.warnings()).noneMatch(warning -> warning.contains("put back"));
            }
            assertThat(fleets.blue.info("stats", "sync_full")).as("copies made").isEqualTo("1");
            assertThat(fleets.green.info("stats", "sync_full"))
                    .as("copies made on the way back")
                    .isEqualTo("0");
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            assertThat(String.valueOf(fleets.blue.call("CONFIG", "GET", "masterauth")))
                    .isEqualTo("[masterauth, ]");
            for (RealServer server : List.of(fleets.blue, fleets.green)) {
                assertThat(String.valueOf(server.call("KEYS", "switchback:*")))
                        .isEqualTo(server == fleets.blue ? "[switchback:reserved:left]" : "[]");
                assertThat(String.valueOf(server.call("INFO", "keyspace")))
                        .as("what is left in other databases")
                        .contains("db0")
                        .doesNotContain("db1");
            }
        }
    }
}
