package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Outcome;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus.WayBack;
import io.switchback.release.Step;
import io.switchback.testkit.Ports;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * Somebody tells the fleet that follows to follow somewhere else: a leader that was cut off and does not know yet that it leads no more, or a
 * person. Seen with bench/chaos, seed 113: the release never came to rest.
 */
final class FollowerLedAwayTest {
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    @Test
    void aFollowerThatIsLedAwayIsLedBackAndTheReleaseGoesOn() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
                fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
                fleets.order(RELEASE, Order.Kind.PAUSE);
                fleets.awaitStatus(RELEASE, Status.PAUSED);
                ledAway(fleets.green);
                client.set("while", "led away");
                // It does not let itself be told meanwhile, as one that loads a copy: that is no reason to give the
                // release up.
                fleets.green.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "-get");
                Thread.sleep(5_000);
                assertThat(fleets.status(RELEASE).status()).isEqualTo(Status.PAUSED);
                fleets.green.call("ACL", "SETUSER", SwitchbackUser.RELAY.name(), "+get");
                fleets.await(RELEASE, "the new fleet to follow again", now -> hasIt(fleets.green, "while", "led away"));
                fleets.order(RELEASE, Order.Kind.RESUME);

                fleets.awaitObserving(RELEASE);
                ledAway(fleets.blue);
                client.set("while", "led away again");
                fleets.await(
                        RELEASE, "the old fleet to follow again", now -> hasIt(fleets.blue, "while", "led away again"));
                fleets.await(
                        RELEASE, "the way back", now -> now.caches().getFirst().wayBack() == WayBack.OPEN);
                fleets.order(RELEASE, Order.Kind.ROLLBACK);
                assertThat(fleets.awaitStatus(RELEASE, Status.ROLLED_BACK).side())
                        .isEqualTo(Side.OLD);
            }
        }
    }

    @Test
    void onceTheCopyIsThereWhoeverLedBeforeIsRefusedByTheFollowerItself() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
            // Not later: a switch has a token of its own.
            fleets.order(RELEASE, Order.Kind.PAUSE);
            fleets.awaitStatus(RELEASE, Status.PAUSED);
            FleetSpec green =
                    new FleetSpec("green", new Endpoint(fleets.green.host(), fleets.green.port()), Optional.empty());
            try (ServerConnection server = ServerConnection.open(green, Duration.ofSeconds(5))) {
                fleets.await(
                        RELEASE,
                        "the term of whoever leads to reach the follower",
                        now -> RoleCommands.token(server).isPresent());
                RoleChange change = RoleCommands.follow(
                        server, new Endpoint("127.0.0.1", Ports.free()), Token.open(1, "whoever led before"));
                assertThat(change).isInstanceOf(RoleChange.Refused.class);
            }
        }
    }

    @Test
    void aLeaderAsksWhetherItLeadsBeforeItTellsAFollowerAnything() throws Exception {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            AtomicBoolean superseded = new AtomicBoolean();
            fleets.startNode(ledger -> new Superseding(ledger, superseded));
            fleets.begin(TwoFleets.release(RELEASE, ""));
            fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
            fleets.order(RELEASE, Order.Kind.PAUSE);
            fleets.awaitStatus(RELEASE, Status.PAUSED);
            superseded.set(true);
            ledAway(fleets.green);
            Thread.sleep(5_000);
            assertThat(isUp(fleets.green)).isFalse();
        }
    }

    /** Says to whoever asks nothing but whether it still leads that it does not. */
    private record Superseding(Ledger ledger, AtomicBoolean superseded) implements ForwardingLedger {
        @Override
        public Outcome transact(List<Operation> operations) {
            if (superseded.get()
                    && operations.size() == 1
                    && operations.getFirst() instanceof Operation.Expect expect
                    && expect.path().startsWith("leaders/")) {
                return new Outcome.Conflict(expect, "superseded");
            }
            return ledger.transact(operations);
        }
    }

    private static boolean isUp(RealServer follower) {
        return follower.text("INFO", "replication").contains("master_link_status:up");
    }

    private static void ledAway(RealServer follower) {
        follower.call("REPLICAOF", "127.0.0.1", Integer.toString(Ports.free()));
    }

    private static boolean hasIt(RealServer follower, String key, String value) {
        return value.equals(follower.call("GET", key));
    }
}
