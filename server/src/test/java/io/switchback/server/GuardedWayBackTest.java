package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.Await;
import io.switchback.testkit.Replies;
import io.switchback.testkit.Servers;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisDataException;

/** While a way back to an older server is open, what could not be carried there is refused by name; after finish it passes. */
final class GuardedWayBackTest {
    private static final String RELEASE = "r";
    private static final String[] COMMAND = {"HEXPIRE", "hash", "1000", "FIELDS", "1", "field"};
    private static final String[] OPTION = {
        "GEORADIUS", "places", "15", "37", "200", "km", "COUNT", "1", "ANY", "STORE", "near"
    };

    @TempDir
    private Path folder;

    @Test
    void aCommandOrAnOptionThatTheOlderServerDoesNotKnowIsRefusedByNameUntilTheReleaseIsFinished() {
        try (TwoFleets fleets = TwoFleets.start(Servers.require("redis-6.0"), Servers.require("valkey-9.1"), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.hset("hash", "field", "1");
                client.geoadd("places", 15, 37, "here");
                fleets.begin(TwoFleets.release(RELEASE, ""));
                fleets.awaitObserving(RELEASE);

                refused(client, COMMAND, "HEXPIRE");
                refused(client, OPTION, "ANY");
                // Nothing of them is on either side, the connection goes on, and what the old one can have passes.
                assertThat(client.exists("near")).isFalse();
                client.hset("hash", "field", "2");

                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
                assertThat(client.hget("hash", "field")).isEqualTo("2");
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                refused(client, COMMAND, "HEXPIRE");

                fleets.stopNode();
                fleets.startNode();
                try (Jedis again = fleets.client()) {
                    refused(again, COMMAND, "HEXPIRE");
                }
                fleets.awaitObserving(RELEASE);
            }
            try (Jedis client = fleets.client()) {
                fleets.order(RELEASE, Order.Kind.FINISH);
                fleets.awaitStatus(RELEASE, Status.FINISHED);
                // Each node hears of the end from the ledger, this one too.
                Await.until(Duration.ofSeconds(10), "the guard goes with the release", () -> isTaken(client));
                assertThat(String.valueOf(Replies.call(client, COMMAND))).isEqualTo("[1]");
                assertThat(Replies.call(client, OPTION)).isEqualTo(1L);
            }
        }
    }

    private static boolean isTaken(Jedis client) {
        try {
            Replies.call(client, COMMAND);
            return true;
        } catch (JedisDataException e) {
            assertThat(e).hasMessageContaining("finish the release to use it");
            return false;
        }
    }

    private static void refused(Jedis client, String[] command, String name) {
        assertThatThrownBy(() -> Replies.call(client, command))
                .isInstanceOf(JedisDataException.class)
                .hasMessageStartingWith("ERR switchback: ")
                .hasMessageContaining(name)
                .hasMessageContaining("6.0")
                .hasMessageContaining("finish");
    }
}
