package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.LinkKind;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.ReleaseStatus.WayBack;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.Jedis;

/** L6: a way back that a relay cannot keep open is opened again by itself, by links that apply; what keeps it from that is said ({@link WayBackClosesTest} is the other half). */
final class WayBackReopensTest {
    private static final String RELEASE = "r";
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(30);
    private static final int KEYS = 1_000;

    @TempDir
    private Path folder;

    private TwoFleets fleets(ServerBinary blue, ServerBinary green) {
        TwoFleets fleets = TwoFleets.start(blue, green, folder);
        fleets.writeNodeFile(0, SwitchbackUser.RELAY_OR_APPLY, "");
        return fleets;
    }

    private static ServerBinary binary(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    /** The old one is older, so that what it is given has to be put into its words. */
    @ParameterizedTest
    @ValueSource(strings = {"redis-6.0", "redis-7.0"})
    void anOldFleetThatWasRestartedWithoutItsDataAndItsRoleIsFilledAgainAndLedBackTo(String old) {
        try (TwoFleets fleets = fleets(binary(old), binary("valkey-9.1"))) {
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            assertThat(kind(fleets)).isEqualTo(LinkKind.RELAY);
            try (Load load = load(fleets)) {
                fleets.blue.restart();
                awaitWayBack(fleets, WayBack.CLOSED);
                awaitWayBack(fleets, WayBack.OPEN);
                assertThat(kind(fleets)).isEqualTo(LinkKind.APPLY);
                load.awaitAnswers(500, SOME_TRAFFIC);
                goThereAndBackAgain(fleets, load);
            }
            demandFilled(fleets);
            fleets.order(RELEASE, Order.Kind.FINISH);
            fleets.awaitStatus(RELEASE, Status.FINISHED);
            demandPutBack(fleets.blue, "switchback:reserved:left");
            demandPutBack(fleets.green);
        }
    }

    @Test
    void anOldFleetThatWasAwayForTooLongIsFilledAgainAndKeepsNothingThatIsGone() {
        try (TwoFleets fleets = fleets(binary("redis-6.0"), binary("redis-7.0"))) {
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            fleets.green.call("CONFIG", "SET", "repl-backlog-size", "16384");
            fleets.blue.stop();
            try (Jedis client = fleets.client()) {
                fleets.green.call("CLIENT", "KILL", "TYPE", "replica");
                client.set("gone", "x");
                client.del("gone", "key:0");
                String large = "x".repeat(10_000);
                for (int i = 0; i < 300; i++) {
                    client.set("missed:" + i, large);
                }
                client.set("key:0", "value:0");
                client.del("key:1");
            } finally {
                fleets.blue.resume();
            }
            awaitWayBack(fleets, WayBack.CLOSED);
            fleets.order(RELEASE, Order.Kind.ROLLBACK); // waits for it
            ReleaseStatus back = fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            assertThat(back.side()).isEqualTo(Side.OLD);
            assertThat(fleets.blue.number("EXISTS", "missed:299")).isEqualTo(1);
            assertThat(fleets.blue.number("EXISTS", "key:1")).isZero();
            assertThat(fleets.blue.text("GET", "key:0")).isEqualTo("value:0");
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            demandPutBack(fleets.blue);
            demandPutBack(fleets.green);
        }
    }

    /** It remembers whom it has followed, and comes back as a replica of nobody, with nothing. */
    @Test
    void anOldFleetThatKnowsItsRoleAndHasLostItsDataFollowsNobodyAnyMoreAlsoAfterTheNextRestart() {
        try (TwoFleets fleets = TwoFleets.startWithConfigFiles(binary("redis-7.0"), binary("redis-8.0"), folder)) {
            fleets.writeNodeFile(0, SwitchbackUser.RELAY_OR_APPLY, "");
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            fleets.blue.kill();
            fleets.blue.restart();
            awaitWayBack(fleets, WayBack.CLOSED);
            awaitWayBack(fleets, WayBack.OPEN);
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            fleets.blue.kill();
            fleets.blue.restart();
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            awaitWayBack(fleets, WayBack.CLOSED);
            awaitWayBack(fleets, WayBack.OPEN);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    @Test
    void anOldFleetThatSomebodyMadeAPrimaryIsFilledAgainOnlyOnceAPersonHasSaidSo() {
        try (TwoFleets fleets = fleets(binary("redis-7.0"), binary("valkey-8.1"))) {
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            fleets.blue.call("REPLICAOF", "NO", "ONE");
            fleets.blue.call("SET", "theirs", "1");
            fleets.await(
                    RELEASE,
                    "the way back closed, and left so",
                    now -> now.caches().getFirst().wayBackDetail().contains("say pause, and resume"));
            fleets.order(RELEASE, Order.Kind.PAUSE);
            fleets.awaitStatus(RELEASE, Status.PAUSED);
            assertThat(fleets.blue.text("GET", "theirs")).isEqualTo("1");
            fleets.order(RELEASE, Order.Kind.RESUME);
            awaitWayBack(fleets, WayBack.OPEN);
            assertThat(fleets.blue.number("EXISTS", "theirs")).isZero();
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    @Test
    void whatItsUserMayNotDoIsSaidBeforeAndAllowedLaterWithoutAnotherOrder() {
        ServerBinary server = binary("redis-7.0");
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) { // with the rights for a relay alone
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            assertThat(fleets.status(RELEASE).warnings())
                    .anyMatch(warning -> warning.contains("opened again only once this user may write")
                            && warning.contains("docs/rights.md"));
            fleets.blue.restart();
            fleets.await(
                    RELEASE,
                    "its rights asked for",
                    now -> now.caches().getFirst().wayBackDetail().contains("does not let this user write"));
            assertThat(kind(fleets)).isEqualTo(LinkKind.RELAY);
            for (RealServer one : List.of(fleets.blue, fleets.green)) {
                one.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "+@write", "+@scripting");
            }
            awaitWayBack(fleets, WayBack.OPEN);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    @Test
    void aNewFleetThatHasLostItsDataIsNotCopiedOverTheOldOne() throws IOException {
        try (TwoFleets fleets = fleets(binary("redis-7.0"), binary("valkey-9.1"))) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }\nfleet-loss: { then: wait }"));
            fleets.awaitObserving(RELEASE);
            fleets.green.kill();
            Files.delete(folder.resolve("green/dump.rdb")); // that in which it got the copy
            fleets.green.restart();
            ReleaseStatus kept = fleets.await(
                    RELEASE,
                    "the old fleet's data kept",
                    now -> now.caches().getFirst().wayBackDetail().contains("seems to have lost its data"));
            assertThat(kept.caches().getFirst().wayBack()).isEqualTo(WayBack.CLOSED);
            assertThat(kind(fleets)).isEqualTo(LinkKind.RELAY);
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    /** Its dump is older than what it was killed with, and the old fleet has all of it. */
    @Test
    void aNewFleetThatComesBackWithAnOlderDumpIsNotCopiedOverTheOldOneUnasked() {
        try (TwoFleets fleets = fleets(binary("redis-7.0"), binary("redis-8.0"))) {
            fleets.startNode();
            fill(fleets);
            fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }\nfleet-loss: { then: wait }"));
            fleets.awaitObserving(RELEASE);
            fleets.green.call("SAVE");
            try (Jedis client = fleets.client()) {
                client.set("later", "1");
                Await.until(SOME_TRAFFIC, "the old fleet to have it", () -> fleets.blue.number("EXISTS", "later") == 1);
            }
            fleets.green.kill();
            fleets.green.restart();
            fleets.await(
                    RELEASE,
                    "a person asked",
                    now -> now.caches().getFirst().wayBackDetail().contains("may have lost what fleet blue still has"));
            assertThat(kind(fleets)).isEqualTo(LinkKind.RELAY);
            assertThat(fleets.green.number("EXISTS", "later")).isZero();
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
            try (Jedis client = fleets.client()) {
                assertThat(client.get("later")).isEqualTo("1");
            }
        }
    }

    /** The way back had been closed before, and the copy had not begun. */
    @Test
    void anOldFleetThatIsGivenAnotherRoleWhileItWaitsToBeFilledAgainIsLeftAlone() {
        ServerBinary server = binary("redis-7.0");
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) { // with the rights for a relay alone
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            fleets.green.call("CONFIG", "SET", "repl-backlog-size", "16384");
            fleets.blue.stop();
            try (Jedis client = fleets.client()) {
                fleets.green.call("CLIENT", "KILL", "TYPE", "replica");
                for (int i = 0; i < 300; i++) {
                    client.set("missed:" + i, "x".repeat(10_000));
                }
            } finally {
                fleets.blue.resume();
            }
            awaitDetail(fleets, "does not let this user write");
            fleets.blue.call("REPLICAOF", "127.0.0.1", Integer.toString(fleets.blue.port() + 1));
            awaitDetail(fleets, "follows somebody else");
            fleets.blue.call("REPLICAOF", "NO", "ONE");
            fleets.blue.call("SET", "theirs", "1");
            awaitDetail(fleets, "was made a primary");
            for (RealServer one : List.of(fleets.blue, fleets.green)) {
                one.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "+@write", "+@scripting");
            }
            fleets.order(RELEASE, Order.Kind.PAUSE);
            fleets.awaitStatus(RELEASE, Status.PAUSED);
            assertThat(fleets.blue.text("GET", "theirs")).isEqualTo("1");
            fleets.order(RELEASE, Order.Kind.RESUME);
            awaitWayBack(fleets, WayBack.OPEN);
            assertThat(fleets.blue.number("EXISTS", "theirs")).isZero();
        }
    }

    /** Also where the one before it has not come to free the old fleet's server of its role. */
    @Test
    void aNodeThatEndsWhileItFillsTheOldFleetAgainIsFollowedByOneThatDoes() {
        try (TwoFleets fleets = TwoFleets.startWithConfigFiles(binary("redis-7.0"), binary("redis-8.0"), folder)) {
            fleets.writeNodeFile(0, SwitchbackUser.RELAY_OR_APPLY, "");
            fleets.startNode();
            fill(fleets);
            observe(fleets);
            String face = fleets.blue.info("replication", "master_port");
            fleets.green.call("CONFIG", "SET", "rdb-key-save-delay", "10000");
            fleets.blue.kill();
            fleets.blue.restart();
            awaitWayBack(fleets, WayBack.COPYING);
            fleets.stopNode();
            fleets.green.call("CONFIG", "SET", "rdb-key-save-delay", "0");
            fleets.blue.call("REPLICAOF", "127.0.0.1", face);
            fleets.startNode();
            assertThat(fleets.status(RELEASE).caches().getFirst().wayBack()).isNotEqualTo(WayBack.OPEN);
            awaitWayBack(fleets, WayBack.OPEN);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            demandFilled(fleets);
        }
    }

    // ---- what the tests have in common

    private static void observe(TwoFleets fleets) {
        fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
        fleets.awaitObserving(RELEASE);
    }

    private static void awaitWayBack(TwoFleets fleets, WayBack wanted) {
        fleets.await(
                RELEASE,
                "the way back " + wanted,
                now -> now.caches().getFirst().wayBack() == wanted);
    }

    private static void awaitDetail(TwoFleets fleets, String what) {
        fleets.await(
                RELEASE,
                "the way back closed: " + what,
                now -> now.caches().getFirst().wayBackDetail().contains(what));
    }

    private static LinkKind kind(TwoFleets fleets) {
        return Objects.requireNonNull(fleets.status(RELEASE).caches().getFirst().choice())
                .kind();
    }

    private static Load load(TwoFleets fleets) {
        return Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                .withClients(4)
                .withOperationsPerSecond(500)
                .withKeys(200));
    }

    private static void goThereAndBackAgain(TwoFleets fleets, Load load) {
        fleets.order(RELEASE, Order.Kind.ROLLBACK);
        fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
        load.awaitAnswers(500, SOME_TRAFFIC);
        assertThat(fleets.blue.number("DBSIZE")).isGreaterThanOrEqualTo(KEYS);
        fleets.order(RELEASE, Order.Kind.RESUME);
        fleets.awaitObserving(RELEASE);
        load.awaitAnswers(500, SOME_TRAFFIC);
        LoadHistory history = load.stop();
        assertThat(history.total().errors()).isZero();
        assertThat(history.total().reconnects()).isZero();
        try (Jedis client = fleets.client()) {
            CheckReport check = HistoryChecker.check(history, client);
            assertThat(check.clean()).as("%s", check).isTrue();
        }
    }

    private static void demandPutBack(RealServer server, String... left) {
        try (Jedis client = server.client()) {
            assertThat(client.keys("switchback:reserved:*")).containsExactlyInAnyOrder(left);
            assertThat(client.configGet("repl-backlog-ttl")).containsEntry("repl-backlog-ttl", "3600");
            assertThat(client.configGet("masterauth")).containsEntry("masterauth", "");
        }
        assertThat(server.info("replication", "role")).isEqualTo("master");
        Await.until(
                SOME_TRAFFIC,
                "nobody to follow it",
                () -> server.info("replication", "connected_slaves").equals("0"));
    }

    private static void fill(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            for (int i = 0; i < KEYS; i++) {
                client.set("key:" + i, "value:" + i);
            }
        }
    }

    private static void demandFilled(TwoFleets fleets) {
        try (Jedis client = fleets.client()) {
            for (int i = 0; i < KEYS; i++) {
                assertThat(client.get("key:" + i)).isEqualTo("value:" + i);
            }
        }
    }
}
