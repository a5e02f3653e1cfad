package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.release.Order;
import io.switchback.release.ReleaseEngine;
import io.switchback.release.ReleaseException;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What people may say to a release while it is under way, and that a release which is ended leaves nothing behind. */
final class OrdersTest {
    private static final String RELEASE = "r";
    private static final int KEYS = 4_000;

    @TempDir
    private Path folder;

    @Test
    void aReleaseStandsStillWhereItIsToldToAndGoesOnFromThere() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            Map<String, String> blueBefore = settings(fleets.blue);
            Map<String, String> greenBefore = settings(fleets.green);
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
                fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
                fleets.order(RELEASE, Order.Kind.PAUSE);
                ReleaseStatus paused = fleets.awaitStatus(RELEASE, Status.PAUSED);
                assertThat(paused.side()).isEqualTo(Side.OLD);
                assertThat(paused.detail()).contains("paused by test");
                client.set("while", "paused");
                fleets.await(RELEASE, "the link to go on", now -> "paused".equals(fleets.green.call("GET", "while")));

                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                fleets.order(RELEASE, Order.Kind.PAUSE);
                assertThat(fleets.awaitStatus(RELEASE, Status.PAUSED).step()).isEqualTo(Step.OBSERVE);
                assertThat(client.incr("served")).isEqualTo(1);
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);

                fleets.order(RELEASE, Order.Kind.ABORT);
                ReleaseStatus aborted = fleets.awaitStatus(RELEASE, Status.ABORTED);
                assertThat(aborted.side()).isEqualTo(Side.OLD);
                assertThat(client.incr("served"))
                        .as("nothing was lost on the way back")
                        .isEqualTo(2);
            }
            nothingIsLeft(fleets, blueBefore, greenBefore);
        }
    }

    @Test
    void aNameWhoseCheckFailedMayBeUsedAgainAndASecondReleaseIsToldOfTheFirst() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.green.call("SET", "somebody's", "key");
            fleets.begin(TwoFleets.release(RELEASE, ""));
            assertThat(fleets.awaitStatus(RELEASE, Status.FAILED).step()).isEqualTo(Step.CHECK);
            fleets.green.call("DEL", "somebody's");
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.awaitObserving(RELEASE);

            assertThatThrownBy(() -> fleets.begin(TwoFleets.release("second", "")))
                    .hasMessageContaining("in release \"" + RELEASE + "\" already");
            fleets.order(RELEASE, Order.Kind.FINISH);
            fleets.awaitStatus(RELEASE, Status.FINISHED);
            assertThatThrownBy(() -> fleets.begin(TwoFleets.release(RELEASE, "")))
                    .hasMessageContaining("already");
        }
    }

    @Test
    void anOrderThatCannotBeUndoneLetsNoOtherTakeItsPlace() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.awaitObserving(RELEASE);
            ReleaseEngine engine = fleets.node().releases();
            Order finish = new Order(Order.Kind.FINISH, false, "one");
            Order rollback = new Order(Order.Kind.ROLLBACK, false, "another");
            // Both at once: whichever takes effect, whoever gave the other one hears of it.
            assertThat(engine.order(RELEASE, finish)).isEqualTo(finish);
            boolean refused = false;
            try {
                engine.order(RELEASE, rollback);
            } catch (ReleaseException e) {
                refused = true;
                assertThat(e).hasMessageContaining("cannot rollback").hasMessageContaining("finish");
            }
            Status end = refused ? Status.FINISHED : Status.ROLLED_BACK;
            fleets.awaitStatus(RELEASE, end);
        }
    }

    @Test
    void anAbortDuringSyncLeavesAPrimaryOfItsOwnAndEverySettingAsItWas() {
        try (TwoFleets fleets = TwoFleets.startWithConfigFiles(ServerBinary.any(), ServerBinary.any(), folder)) {
            // Values of their owner, which the release has to change for its time.
            fleets.blue.call("CONFIG", "SET", "repl-diskless-sync-delay", "3");
            fleets.blue.call("CONFIG", "SET", "repl-backlog-ttl", "1234");
            fleets.green.call("CONFIG", "SET", "masterauth", "the owner's");
            fleets.green.call("CONFIG", "SET", "replica-serve-stale-data", "no");
            Map<String, String> blueBefore = settings(fleets.blue);
            Map<String, String> greenBefore = settings(fleets.green);
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release(RELEASE, ""));
                fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
                assertThat(settings(fleets.blue))
                        .as("the release has changed something")
                        .isNotEqualTo(blueBefore);
                fleets.order(RELEASE, Order.Kind.ABORT);
                fleets.awaitStatus(RELEASE, Status.ABORTED);
                assertThat(client.get("before")).isEqualTo("1");
            }
            nothingIsLeft(fleets, blueBefore, greenBefore);
            assertThat(fleets.green.text("GET", "before")).isEqualTo("1");
            fleets.green.restart();
            assertThat(fleets.green.info("replication", "role"))
                    .as("the config file says so too")
                    .isEqualTo("master");
        }
    }

    @Test
    void anAbortInTheMiddleOfTheCopyEndsTheReleaseAndLeavesNoReplica() {
        ServerBinary server = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            slowCopy(fleets.blue);
            Map<String, String> blueBefore = settings(fleets.blue);
            Map<String, String> greenBefore = settings(fleets.green);
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.await(
                    RELEASE,
                    "copying",
                    now -> now.step() == Step.MIGRATE
                            && now.caches().getFirst().link().equals("copying"));
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            nothingIsLeft(fleets, blueBefore, greenBefore);
            assertThat(fleets.blue.number("DBSIZE")).isEqualTo(KEYS);
        }
    }

    /** Has the server write its snapshot so slowly that something can be done meanwhile. */
    static void slowCopy(RealServer server) {
        try (Jedis direct = server.client()) {
            for (int i = 0; i < KEYS; i++) {
                direct.set("key:" + i, "value:" + i);
            }
        }
        server.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
    }

    private static void nothingIsLeft(
            TwoFleets fleets, Map<String, String> blueBefore, Map<String, String> greenBefore) {
        assertThat(fleets.status(RELEASE).warnings()).noneMatch(warning -> warning.contains("put back"));
        assertThat(settings(fleets.blue)).isEqualTo(blueBefore);
        assertThat(settings(fleets.green)).isEqualTo(greenBefore);
        for (RealServer server : List.of(fleets.blue, fleets.green)) {
            assertThat(server.info("replication", "role")).isEqualTo("master");
            assertThat(server.number("EXISTS", "switchback:reserved:token")).isZero();
            boolean wasLeft = fleets.status(RELEASE).status() == Status.FINISHED && server == fleets.blue;
            assertThat(server.call("KEYS", "switchback:*"))
                    .isEqualTo(wasLeft ? List.of("switchback:reserved:left") : List.of());
        }
    }

    private static Map<String, String> settings(RealServer server) {
        Map<String, String> settings = new TreeMap<>();
        @Nullable Object reply = server.call("CONFIG", "GET", "*");
        List<?> words = (List<?>) Objects.requireNonNull(reply);
        for (int i = 0; i + 1 < words.size(); i += 2) {
            settings.put(String.valueOf(words.get(i)), String.valueOf(words.get(i + 1)));
        }
        return settings;
    }
}
