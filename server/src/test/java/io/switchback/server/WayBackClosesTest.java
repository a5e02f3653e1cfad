package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.ReleaseStatus.WayBack;
import io.switchback.release.Step;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * L6, its other half: a way back that is lost is said to be lost at once, with its reason and its cost; no rollback goes there
 * by accident, and one that accepts the loss does. And one that cannot be opened is said before the traffic moves.
 */
final class WayBackClosesTest {
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    @Test
    void aFollowerThatSomebodyMadeAPrimaryClosesTheWayBackAndARollbackWaitsUntilTheLossIsAccepted() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                observe(fleets);
                fleets.blue.call("REPLICAOF", "NO", "ONE");
                assertThat(awaitClosed(fleets))
                        .contains("is a primary")
                        .contains("a rollback now would lose")
                        .contains("rollback --accept-loss");
                aRollbackWaitsAndClientsAreServed(fleets, client);
                theLossIsAccepted(fleets, client);
                assertThat(client.get("before")).isEqualTo("1");
            }
        }
    }

    @Test
    void aFollowerThatWasRestartedWithoutItsDataAndItsRoleClosesTheWayBack() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                observe(fleets);
                fleets.blue.restart();
                assertThat(awaitClosed(fleets)).contains("is a primary").contains("which may be everything");
                aRollbackWaitsAndClientsAreServed(fleets, client);
            }
        }
    }

    @Test
    void aFollowerThatComesBackEmptyButKnowsItsRoleClosesTheWayBackAndIsNotCalledAlmostEqual() {
        try (TwoFleets fleets = TwoFleets.startWithConfigFiles(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                observe(fleets);
                fleets.blue.kill();
                fleets.blue.restart();
                assertThat(awaitClosed(fleets))
                        .contains("asks for")
                        .contains("which may be everything")
                        .doesNotContain("the last ");
                aRollbackWaitsAndClientsAreServed(fleets, client);
                assertThat(client.get("before")).isEqualTo("1");
            }
        }
    }

    @Test
    void aFollowerThatWasAwayForLongerThanTheBacklogReachesClosesTheWayBackAndTheLostWritesAreCounted() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                observe(fleets);
                fleets.green.call("CONFIG", "SET", "repl-backlog-size", "16384");
                fleets.blue.stop();
                try {
                    // The link's connection to the source is cut as a network would cut it; the follower does not see
                    // it.
                    fleets.green.call("CLIENT", "KILL", "TYPE", "replica");
                    String large = "x".repeat(10_000);
                    for (int i = 0; i < 300; i++) {
                        client.set("missed:" + i, large);
                    }
                } finally {
                    fleets.blue.resume();
                }
                assertThat(awaitClosed(fleets)).contains("cannot go on").contains("bytes of the stream");
                aRollbackWaitsAndClientsAreServed(fleets, client);
                theLossIsAccepted(fleets, client);
                assertThat(client.get("before")).isEqualTo("1");
                assertThat(client.exists("missed:299")).isFalse();
            }
        }
    }

    @Test
    void afterAnAcceptedLossTheReleaseCanOnlyBeEndedAlsoByANodeThatWasStartedAgain() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            observe(fleets);
            fleets.blue.call("REPLICAOF", "NO", "ONE");
            awaitClosed(fleets);
            fleets.rollbackAcceptingLoss(RELEASE);
            fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
            fleets.stopNode();

            fleets.startNode();
            fleets.order(RELEASE, Order.Kind.RESUME);
            Await.until(
                    TwoFleets.STEP_LIMIT,
                    "the release to say that it cannot go forward: " + fleets.status(RELEASE),
                    () -> fleets.status(RELEASE).status() == Status.FAILED);
            assertThat(fleets.status(RELEASE).detail()).contains("accepted a loss");
            assertThat(fleets.green.info("replication", "role")).isEqualTo("master");
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            try (Jedis client = fleets.client()) {
                assertThat(client.incr("served")).isEqualTo(1);
            }
        }
    }

    @Test
    void aNewFleetThatIsGoneForGoodIsLeftByARollbackThatAcceptsTheLoss() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                observe(fleets);
            }
            fleets.green.kill();
            fleets.rollbackAcceptingLoss(RELEASE);
            assertThat(fleets.awaitStatus(RELEASE, Status.ROLLED_BACK).side()).isEqualTo(Side.OLD);
            try (Jedis client = fleets.client()) {
                assertThat(client.get("before")).isEqualTo("1");
                assertThat(client.incr("served")).isEqualTo(1);
            }
            fleets.order(RELEASE, Order.Kind.ABORT);
            fleets.awaitStatus(RELEASE, Status.ABORTED);
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
        }
    }

    @Test
    void aNewFleetThatAnswersNothingIsLeftLikewiseAndWhoWaitsForItIsTold() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client();
                    Jedis waiting = fleets.client();
                    ExecutorService other = Executors.newVirtualThreadPerTaskExecutor()) {
                client.set("before", "1");
                waiting.set("before", "1");
                observe(fleets);
                fleets.green.stop();
                try {
                    Future<String> lost = other.submit(() -> waiting.set("never", "answered"));
                    Await.until(
                            TwoFleets.STEP_LIMIT,
                            "it is sent to the new fleet",
                            () -> fleets.node().proxy(TwoFleets.CACHE).commandsUnanswered() > 0);
                    fleets.rollbackAcceptingLoss(RELEASE);
                    assertThat(fleets.awaitStatus(RELEASE, Status.ROLLED_BACK).side())
                            .isEqualTo(Side.OLD);
                    assertThatThrownBy(lost::get).hasMessageContaining("was lost");
                    assertThat(client.get("before")).isEqualTo("1");
                    assertThat(waiting.incr("served")).isEqualTo(1);
                } finally {
                    fleets.green.resume();
                }
            }
        }
    }

    @Test
    void aNewFleetThatLosesItsDataBetweenDecisionAndPromotionIsSaidToHaveAndTheOldOneStillHasIt() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            AtomicBoolean restarted = new AtomicBoolean();
            fleets.startNode(ledger -> new AfterTheDecision(ledger, () -> {
                if (restarted.compareAndSet(false, true)) {
                    fleets.green.restart();
                }
            }));
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 10s }"));
                assertThat(awaitClosed(fleets)).contains("may have lost data").contains("rollback --accept-loss");
                assertThat(restarted).isTrue();
                client.set("served by", "the new fleet");
                assertThat(fleets.green.text("GET", "served by")).isEqualTo("the new fleet");

                fleets.stopNode();
                fleets.startNode();
            }
            try (Jedis client = fleets.client()) {
                assertThat(awaitClosed(fleets)).contains("may have lost data");
                theLossIsAccepted(fleets, client);
                assertThat(client.get("before")).isEqualTo("1");
            }
        }
    }

    /** Does something once a decision is on the disk, before anybody acts on it. */
    record AfterTheDecision(Ledger ledger, Runnable then) implements ForwardingLedger {
        @Override
        public Outcome transact(List<Operation> operations) {
            Outcome outcome = ledger.transact(operations);
            if (operations.stream().anyMatch(operation -> operation.path().startsWith("decisions/"))) {
                then.run();
            }
            return outcome;
        }
    }

    @Test
    void anOldFleetThatIsGoneForGoodDoesNotKeepTheReleaseFromBeingFinished() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                observe(fleets);
                fleets.blue.kill();
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                fleets.await(
                        RELEASE, "waiting for the way back", now -> now.detail().contains("waits for the way back"));
                assertThat(client.incr("served")).isEqualTo(1);
                fleets.order(RELEASE, Order.Kind.FINISH);
                ReleaseStatus finished = fleets.awaitStatus(RELEASE, Status.FINISHED);
                assertThat(finished.warnings()).anyMatch(warning -> warning.contains("could not be put back"));
                assertThat(client.incr("served")).isEqualTo(2);
            }
        }
    }

    @Test
    void aPortOfALinkThatSomebodyElseHasTakenIsReplacedByAnother() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            observe(fleets);
            int port = Integer.parseInt(fleets.blue.info("replication", "master_port"));
            fleets.stopNode();
            try (ServerSocket taken = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                fleets.startNode();
                fleets.awaitObserving(RELEASE);
                assertThat(Integer.parseInt(fleets.blue.info("replication", "master_port")))
                        .isNotEqualTo(taken.getLocalPort());
            }
        }
    }

    @Test
    void aFinishThatComesWhileTheTrafficMovesBackIsDropped() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                observe(fleets);
                fleets.blue.stop();
                try {
                    client.set("not yet", "there");
                    fleets.order(RELEASE, Order.Kind.ROLLBACK);
                    fleets.await(
                            RELEASE, "moving back", now -> now.detail().contains("moves all traffic to the old fleet"));
                    fleets.order(RELEASE, Order.Kind.FINISH);
                } finally {
                    fleets.blue.resume();
                }
                fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the order to be dropped",
                        () -> fleets.node().releases().journal(RELEASE).stream()
                                .anyMatch(entry -> entry.what().contains("finish is dropped")));
                assertThat(fleets.status(RELEASE).status()).isEqualTo(Status.ROLLED_BACK);
                assertThat(client.get("not yet")).isEqualTo("there");
            }
        }
    }

    @Test
    void aWayBackThatCannotBeOpenedIsSaidBeforeTheTrafficMoves() {
        ServerBinary server = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            fleets.startNode();
            fleets.green.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "-psync");
            try (Jedis client = fleets.client()) {
                client.set("before", "1");
                fleets.begin(TwoFleets.release(RELEASE, "hold: { attempts: 1 }"));
                ReleaseStatus paused = fleets.awaitStatus(RELEASE, Status.PAUSED);
                assertThat(paused.side()).isEqualTo(Side.OLD);
                assertThat(paused.step()).isEqualTo(Step.CUTOVER);
                assertThat(paused.detail())
                        .contains("the way back cannot be opened")
                        .contains("psync");
                assertThat(paused.switches()).as("nobody was held").isEmpty();
                assertThat(client.incr("served")).isEqualTo(1);
                assertThat(fleets.blue.text("GET", "served")).isEqualTo("1");

                fleets.green.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "+psync");
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                assertThat(client.incr("served")).isEqualTo(2);
            }
        }
    }

    private static void observe(TwoFleets fleets) {
        fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
        fleets.awaitObserving(RELEASE);
    }

    private static String awaitClosed(TwoFleets fleets) {
        ReleaseStatus closed = fleets.await(
                RELEASE,
                "the way back shown as closed",
                now -> now.caches().getFirst().wayBack() == WayBack.CLOSED);
        assertThat(closed.side()).isEqualTo(Side.NEW);
        assertThat(closed.status()).isEqualTo(Status.RUNNING);
        return closed.caches().getFirst().wayBackDetail();
    }

    private static void aRollbackWaitsAndClientsAreServed(TwoFleets fleets, Jedis client) {
        fleets.order(RELEASE, Order.Kind.ROLLBACK);
        ReleaseStatus waits = fleets.await(
                RELEASE, "waiting for the way back", now -> now.detail().contains("waits for the way back"));
        assertThat(waits.side()).isEqualTo(Side.NEW);
        long served = client.incr("served");
        assertThat(fleets.green.text("GET", "served")).isEqualTo(Long.toString(served));
        assertThat(fleets.status(RELEASE).side()).isEqualTo(Side.NEW);
    }

    private static void theLossIsAccepted(TwoFleets fleets, Jedis client) {
        fleets.rollbackAcceptingLoss(RELEASE);
        ReleaseStatus back = fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
        assertThat(back.side()).isEqualTo(Side.OLD);
        client.set("after", "the loss");
        assertThat(fleets.blue.text("GET", "after")).isEqualTo("the loss");
        assertThat(fleets.green.info("replication", "role"))
                .as("the new fleet takes no more writes")
                .isEqualTo("slave");
    }
}
