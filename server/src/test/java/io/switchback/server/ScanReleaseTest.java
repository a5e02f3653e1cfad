package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** Releases over links that scan: when they look at every key, and what the check refuses. */
class ScanReleaseTest {
    @TempDir
    private Path folder;

    @Test
    void theWayBackIsOpenedWithoutAWalkAndANodeThatStartsAgainWalks() {
        try (SomeFleet blue = SomeFleet.managed(ServerBinary.any(), folder.resolve("blue"));
                SomeFleet green = SomeFleet.managed(ServerBinary.any(), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("gone", "x");
                client.set("kept", "x");
                fleets.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
                fleets.awaitObserving("r");
                client.set("kept", "y");
            }
            RealServer inUse = green.primaries().getFirst();
            assertThat(inUse.info("commandstats"))
                    .as("a walk asks which keys there are")
                    .doesNotContainKey("cmdstat_exists");
            fleets.stopNode();
            inUse.call("DEL", "gone"); // nobody hears it
            inUse.call("SET", "late", "x");
            fleets.startNode();
            fleets.awaitObserving("r");
            assertThat(inUse.info("commandstats")).containsKey("cmdstat_exists");
            fleets.order("r", Order.Kind.ROLLBACK);
            fleets.awaitStatus("r", Status.ROLLED_BACK);
            try (Jedis client = fleets.client()) {
                assertThat(client.get("kept")).isEqualTo("y");
                assertThat(client.get("late")).isEqualTo("x");
                assertThat(client.exists("gone")).isFalse();
            }
        }
    }

    @Test
    void theCheckRefusesWhatLinksThatScanCannotKeep() {
        try (SomeFleet blue = SomeFleet.managed(ServerBinary.any(), folder.resolve("blue"));
                SomeFleet green = SomeFleet.managed(
                        ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            green.primaries().getFirst().call("ACL", "SETUSER", SwitchbackUser.SCAN.name(), "-client|tracking");
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", "protect: sync"));
            assertThat(fleets.awaitStatus("r", Status.FAILED).detail())
                    .contains("protect: sync cannot be kept by links that scan", "links need to be told of changes");
        }
    }
}
