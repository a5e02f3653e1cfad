package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisException;

/** The fleet in use dies: the release ends on the one that lives, by itself, and says what is not confirmed there. */
class FleetLossTest {
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    ServerBinary old() {
        return ServerBinary.any();
    }

    ServerBinary fresh() {
        return ServerBinary.any();
    }

    private static String release(String more) {
        return "hold: { limit: 5s }\nfleet-loss: { after: 1s, hung-after: 1s" + more + " }";
    }

    @Test
    void aNewFleetThatDiesWhileItIsObservedIsLeftForTheOldOne() {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, release("")));
            fleets.awaitObserving(RELEASE);
            try (Jedis client = fleets.client()) {
                client.set("confirmed", "1");
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the old fleet to have it",
                        () -> fleets.blue.number("EXISTS", "confirmed") == 1);
            }
            fleets.green.kill();
            ReleaseStatus ended = fleets.awaitStatus(RELEASE, Status.ABORTED);
            assertThat(ended.side()).isEqualTo(Side.OLD);
            assertThat(ended.detail()).contains("green").contains("has answered no node");
            assertThat(ended.warnings()).anyMatch(warning -> warning.contains("not confirmed there"));
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            try (Jedis client = fleets.client()) {
                assertThat(client.get("confirmed")).isEqualTo("1");
                assertThat(client.incr("served")).isEqualTo(1);
            }
        }
    }

    @Test
    void anOldFleetThatHangsWhileTheNewOneFollowsIsLeftForTheNewOne() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, release("")));
            fleets.awaitObserving(RELEASE);
            fleets.order(RELEASE, Order.Kind.ROLLBACK);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            try (Jedis client = fleets.client()) {
                client.set("confirmed", "1");
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the new fleet to have it",
                        () -> fleets.green.number("EXISTS", "confirmed") == 1);
            }
            fleets.blue.stop();
            try {
                ReleaseStatus ended = fleets.awaitStatus(RELEASE, Status.FINISHED);
                assertThat(ended.side()).isEqualTo(Side.NEW);
                assertThat(fleets.green.info("replication", "role")).isEqualTo("master");
                try (Jedis client = fleets.client()) {
                    assertThat(client.get("confirmed")).isEqualTo("1");
                    assertThat(client.incr("served")).isEqualTo(1);
                }
            } finally {
                fleets.blue.resume();
            }
        }
    }

    /** One long command of any client looks like this. */
    @Test
    void aFleetThatIsBusyIsNotTakenForDead() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(
                    RELEASE, "on-breach: report\nhold: { limit: 5s }\nfleet-loss: { after: 1s, hung-after: 1h }"));
            fleets.awaitObserving(RELEASE);
            fleets.green.stop();
            try {
                fleets.await(
                        RELEASE,
                        "somebody to notice",
                        now -> now.status() != Status.RUNNING
                                || now.warnings().stream().anyMatch(warning -> warning.contains("takes connections")));
            } finally {
                fleets.green.resume();
            }
            ReleaseStatus seen = fleets.status(RELEASE);
            assertThat(seen.status()).isEqualTo(Status.RUNNING);
            assertThat(seen.side()).isEqualTo(Side.NEW);
            assertThat(seen.warnings())
                    .anyMatch(warning -> warning.contains("green") && warning.contains("is left after 3600000 ms"));
            try (Jedis client = fleets.client()) {
                assertThat(client.incr("served")).isEqualTo(1);
            }
            fleets.green.kill();
            assertThat(fleets.awaitStatus(RELEASE, Status.ABORTED).side()).isEqualTo(Side.OLD);
        }
    }

    /** The switch cannot be undone at a server that is silent; that must not keep the release from leaving it. */
    @Test
    void aFleetThatHangsWhenItIsAboutToBeLeftAnywayIsLeftAllTheSame() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, release("")));
            fleets.awaitObserving(RELEASE);
            fleets.green.stop();
            try {
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                ReleaseStatus ended = fleets.awaitStatus(RELEASE, Status.ABORTED);
                assertThat(ended.side()).isEqualTo(Side.OLD);
                assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
                try (Jedis client = fleets.client()) {
                    assertThat(client.incr("served")).isEqualTo(1);
                }
            } finally {
                fleets.green.resume();
            }
        }
    }

    /** Where nothing happens by itself, a person's word is heard, also in the middle of a switch that cannot be undone. */
    @Test
    void whoAcceptsTheLossIsHeardInTheMiddleOfASwitch() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, release(", then: wait")));
            fleets.awaitObserving(RELEASE);
            fleets.green.stop();
            try {
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                fleets.await(
                        RELEASE, "the switch to be stuck", now -> now.detail().contains("waits to close switch"));
                fleets.node().releases().order(RELEASE, new Order(Order.Kind.ROLLBACK, true, "test"));
                ReleaseStatus ended = fleets.awaitStatus(RELEASE, Status.ABORTED);
                assertThat(ended.side()).isEqualTo(Side.OLD);
                try (Jedis client = fleets.client()) {
                    assertThat(client.incr("served")).isEqualTo(1);
                }
            } finally {
                fleets.green.resume();
            }
        }
    }

    /** It dies once it is decided that clients belong there, before it is a primary. */
    @Test
    void aFleetThatDiesAsTheSwitchToItIsDecidedIsLeftForTheOneBefore() {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode(ledger -> new AfterDecision(ledger, fleets.green::kill));
            fleets.begin(TwoFleets.release(RELEASE, release("")));
            ReleaseStatus ended = fleets.awaitStatus(RELEASE, Status.ABORTED);
            assertThat(ended.side()).isEqualTo(Side.OLD);
            assertThat(ended.warnings()).anyMatch(warning -> warning.contains("not confirmed there"));
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            try (Jedis client = fleets.client()) {
                assertThat(client.incr("served")).isEqualTo(1);
            }
        }
    }

    /** Has something happen right after the first commit of a switch is in the ledger. */
    private static final class AfterDecision implements ForwardingLedger {
        private final Ledger ledger;
        private final Runnable then;
        private final AtomicBoolean done = new AtomicBoolean();

        AfterDecision(Ledger ledger, Runnable then) {
            this.ledger = ledger;
            this.then = then;
        }

        @Override
        public Outcome transact(List<Operation> operations) {
            Outcome outcome = ledger.transact(operations);
            boolean moves =
                    operations.stream().anyMatch(operation -> operation.path().startsWith("decisions/"))
                            && operations.stream()
                                    .anyMatch(operation -> operation.path().startsWith("routes/"));
            if (moves && done.compareAndSet(false, true)) {
                then.run();
            }
            return outcome;
        }

        @Override
        public Ledger ledger() {
            return ledger;
        }
    }

    @Test
    void whereItIsToldToWaitClientsAreNotMoved() {
        try (TwoFleets fleets = TwoFleets.start(old(), fresh(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, release(", then: wait")));
            fleets.awaitObserving(RELEASE);
            fleets.green.kill();
            fleets.await(
                    RELEASE,
                    "the way back to be seen as gone",
                    now -> now.caches().getFirst().wayBack() != ReleaseStatus.WayBack.OPEN);
            try (Jedis client = fleets.client()) {
                Await.until(TwoFleets.STEP_LIMIT, "clients to be told", () -> isRefused(client));
            }
            assertThat(fleets.status(RELEASE).side()).isEqualTo(Side.NEW);
            assertThat(fleets.status(RELEASE).status()).isEqualTo(Status.RUNNING);
        }
    }

    private static boolean isRefused(Jedis client) {
        try {
            client.get("any");
            return false;
        } catch (JedisException e) {
            return String.valueOf(e.getMessage()).contains("cannot be reached");
        }
    }
}
