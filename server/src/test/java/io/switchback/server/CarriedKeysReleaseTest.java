package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.LinkChoice;
import io.switchback.release.LinkKind;
import io.switchback.release.Order;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * Releases that carry some keys alone, and some by other names: there and back while clients write and read what is carried, of which they see nothing but the switches; the others of both fleets stay as they
 * are.
 */
class CarriedKeysReleaseTest {
    private static final int RENAMED = 200;
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(60);
    private static final String KEYS =
            "{ except: [\"cold:*\", \"new:*\"], databases: [0], rename: { \"old:\": \"new:\" } }";

    @TempDir
    private Path folder;

    private static ServerBinary binary(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    private static ReleaseFile release(String name, String keys, String more) {
        return TwoFleets.release(name, ", keys: " + keys, "hold: { limit: 5s }\n" + more);
    }

    @Test
    void fromOneDatabaseOfAServerToAClusterAndBack() {
        thereAndBack(
                SomeFleet.single(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.cluster(binary("valkey-9.1"), fresh, 3, 0),
                LinkKind.APPLY,
                "green is a cluster");
    }

    @Test
    void fromAClusterToOneOfAnotherSizeAndBack() {
        thereAndBack(
                SomeFleet.cluster(binary("redis-7.0"), folder.resolve("blue"), 3, 0),
                fresh -> SomeFleet.cluster(binary("redis-8.0"), fresh, 4, 0),
                LinkKind.APPLY,
                "blue is a cluster");
    }

    @Test
    void betweenServersOfWhichEachCouldFollowTheOther() {
        thereAndBack(
                SomeFleet.single(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.single(binary("valkey-9.1"), fresh),
                LinkKind.APPLY,
                "a relay passes the stream as it is");
    }

    @Test
    void betweenServersThatLetNobodyFollowAndBack() {
        thereAndBack(
                SomeFleet.managed(binary("redis-7.0"), folder.resolve("blue")),
                fresh -> SomeFleet.managed(binary("valkey-9.1"), fresh),
                LinkKind.SCAN,
                "does not let this user follow it");
    }

    private void thereAndBack(SomeFleet old, Function<Path, SomeFleet> fresh, LinkKind kind, String because) {
        try (SomeFleet blue = old;
                SomeFleet green = fresh.apply(folder.resolve("green"));
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            boolean databases = !(blue instanceof SomeFleet.ClusterFleet);
            fleets.startNode();
            at(blue, "cold:1", "blue");
            at(blue, "new:1", "blue");
            if (databases) {
                try (Jedis client = blue.primaries().getFirst().client()) {
                    client.select(3);
                    client.set("three", "blue");
                    client.set("old:1", "blue");
                }
            }
            at(green, "cold:1", "green");
            at(green, "old:1", "green");
            LoadHistory history;
            ReleaseStatus last;
            try (Jedis client = fleets.client();
                    Load load = Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                            .withClients(6)
                            .withOperationsPerSecond(1_500)
                            .withKeys(1_000)
                            .withPreload(true))) {
                for (int i = 2; i <= RENAMED; i++) {
                    client.set("old:" + i, "0");
                }
                fleets.begin(release("r", KEYS, ""));
                for (int round = 1; round <= 2; round++) {
                    ReleaseStatus now = fleets.awaitObserving("r");
                    clientsHaveChangedTheirNames(client, "new:", "old:", "green", round - 1);
                    writeByName(client, "new:", round);
                    client.set("cold:2", "green alone");
                    load.awaitAnswers(1_500, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.ROLLBACK);
                    fleets.awaitStatus("r", Status.ROLLED_BACK);
                    assertThat(now.warnings()).anyMatch(text -> text.contains("by their new names alone"));
                    clientsHaveChangedTheirNames(client, "old:", "new:", "blue", round);
                    assertThat(client.get("cold:2")).isNull();
                    writeByName(client, "old:", round);
                    load.awaitAnswers(1_500, SOME_TRAFFIC);
                    fleets.order("r", Order.Kind.RESUME);
                }
                last = fleets.awaitObserving("r");
                load.awaitAnswers(1_500, SOME_TRAFFIC);
                history = load.stop();
                clientsHaveChangedTheirNames(client, "new:", "old:", "green", 2);
            }
            LinkChoice choice = Objects.requireNonNull(last.caches().getFirst().choice());
            assertThat(choice.kind()).isEqualTo(kind);
            assertThat(choice.because()).contains(because);
            CheckReport check;
            try (Jedis client = fleets.client()) {
                check = HistoryChecker.check(history, client);
            }
            LawsUnderLoadTest.nobodyNoticed(check, history, last, 5);
            fleets.order("r", Order.Kind.FINISH);
            fleets.awaitStatus("r", Status.FINISHED);
            if (databases) {
                try (Jedis client = blue.primaries().getFirst().client()) {
                    client.select(3);
                    assertThat(client.get("three") + client.get("old:1")).isEqualTo("blueblue");
                }
            }
        }
    }

    /** What is carried is there by these names with what was written last, what is not is the fleet's own. */
    private static void clientsHaveChangedTheirNames(
            Jedis client, String names, String otherNames, String fleet, int round) {
        for (int i = 2; i <= RENAMED; i++) {
            assertThat(client.get(names + i)).as(names + i).isEqualTo(Integer.toString(round));
            assertThat(client.get(otherNames + i)).as(otherNames + i).isNull();
        }
        assertThat(client.get(otherNames + 1)).isEqualTo(fleet);
        assertThat(client.get(names + 1)).isNull();
        assertThat(client.get("cold:1")).isEqualTo(fleet);
    }

    private static void writeByName(Jedis client, String names, int round) {
        for (int i = 2; i <= RENAMED; i++) {
            client.set(names + i, Integer.toString(round));
        }
    }

    private static void at(SomeFleet fleet, String key, String value) {
        RealServer owner = fleet instanceof SomeFleet.ClusterFleet(var cluster, var _)
                ? cluster.primaryOf(io.switchback.testkit.RealCluster.slotOf(key))
                : fleet.primaries().getFirst();
        owner.call("SET", key, value);
    }

    @Test
    void whatStandsInTheWayIsSaidByTheCheck() {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.single(binary("redis-7.0"), folder.resolve("green"), "--databases", "4");
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            at(blue, "old:1", "blue");
            at(green, "mine", "green");
            at(green, "new:1", "green");
            String keys = "{ only: \"old:*\", rename: { \"old:\": \"new:\" } }";
            fleets.begin(release("taken", keys, ""));
            assertThat(fleets.awaitStatus("taken", Status.FAILED).detail())
                    .contains("has 4 databases")
                    .contains(
                            "holds keys already by names that keys would be carried to, such as new:1 of database 0 (old:1");
            fleets.begin(release("databases", "{ databases: [0, 7] }", ""));
            assertThat(fleets.awaitStatus("databases", Status.FAILED).detail())
                    .contains("keys.databases names [7], and fleet green has 4 databases");
            fleets.begin(release(
                    "r",
                    "{ only: \"old:*\", databases: [0, 1], rename: { \"old:\": \"new:\" } }",
                    "overwrite-target: true"));
            fleets.awaitObserving("r");
            RealServer fresh = green.primaries().getFirst();
            assertThat(fresh.call("GET", "new:1")).isEqualTo("blue");
            assertThat(fresh.call("GET", "mine")).isEqualTo("green");
            fleets.order("r", Order.Kind.ROLLBACK);
            fleets.awaitStatus("r", Status.ROLLED_BACK);
            fleets.order("r", Order.Kind.ABORT);
            fleets.awaitStatus("r", Status.ABORTED);
            assertThat(fresh.call("GET", "mine")).isEqualTo("green");
            assertThat(blue.primaries().getFirst().call("GET", "old:1")).isEqualTo("blue");
        }
    }

    @Test
    void aClusterHasNoOtherDatabaseThatCouldBeCarried() {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.cluster(binary("valkey-9.1"), folder.resolve("green"), 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            try (Jedis client = blue.primaries().getFirst().client()) {
                client.select(3);
                client.set("three", "blue");
            }
            fleets.begin(release("named", "{ databases: [0, 3] }", ""));
            assertThat(fleets.awaitStatus("named", Status.FAILED).detail())
                    .contains("keys.databases names [3], and fleet green is a cluster, which has database 0 alone");
            fleets.begin(release("unsaid", "{ except: \"x\" }", ""));
            assertThat(fleets.awaitStatus("unsaid", Status.FAILED).detail())
                    .contains("has keys in db3", "leave them behind by keys: { databases: [0] }");
            assertThat(List.of(String.valueOf(blue.primaries().getFirst().call("CONFIG", "GET", "repl-backlog-ttl"))))
                    .allMatch(text -> text.contains("3600"));
        }
    }
}
