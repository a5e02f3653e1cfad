package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SlowServer;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** A new fleet that turns out to be slow, and what the release's file says to do then: go back, stand still, or report. */
final class GatesTest {
    private static final Duration SLOW = Duration.ofMillis(100);
    private static final String RELEASE = "r";

    @TempDir
    private Path folder;

    @Test
    void aBreachedGateRollsBackByItselfAndLosesNothing() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            LoadHistory history;
            try (Load load = load(fleets)) {
                observe(fleets, "rollback");
                try (SlowServer _ = new SlowServer(fleets.green, SLOW)) {
                    ReleaseStatus back = fleets.awaitStatus(RELEASE, Status.ROLLED_BACK);
                    assertThat(back.side()).isEqualTo(Side.OLD);
                    assertThat(back.detail()).contains("gate art breached").contains("us on the new fleet");
                }
                load.awaitAnswers(100, TwoFleets.STEP_LIMIT);
                history = load.stop();
            }
            assertThat(history.total().errors()).isZero();
            assertThat(history.total().reconnects()).isZero();
            try (Jedis client = fleets.client()) {
                CheckReport check = HistoryChecker.check(history, client);
                assertThat(check.clean()).as("%s", check).isTrue();
            }
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
        }
    }

    @Test
    void aBreachedGateThatShallPauseLeavesTheTrafficWhereItIsWithTheWayBackOpen() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Load load = load(fleets)) {
                observe(fleets, "pause");
                try (SlowServer _ = new SlowServer(fleets.green, SLOW)) {
                    ReleaseStatus paused = fleets.awaitStatus(RELEASE, Status.PAUSED);
                    assertThat(paused.side()).isEqualTo(Side.NEW);
                    assertThat(paused.step()).isEqualTo(Step.OBSERVE);
                    assertThat(paused.detail()).contains("gate art breached");
                }
                load.awaitAnswers(100, TwoFleets.STEP_LIMIT);
                assertThat(fleets.status(RELEASE).caches().getFirst().wayBack()).isEqualTo(ReleaseStatus.WayBack.OPEN);
                assertThat(fleets.status(RELEASE).side()).isEqualTo(Side.NEW);
                fleets.order(RELEASE, Order.Kind.RESUME);
                fleets.awaitObserving(RELEASE);
                assertThat(load.stop().total().errors()).isZero();
            }
        }
    }

    @Test
    void aBreachedGateThatShallOnlyBeReportedIsAWarningAndTheReleaseGoesOn() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Load load = load(fleets)) {
                observe(fleets, "report");
                try (SlowServer _ = new SlowServer(fleets.green, SLOW)) {
                    ReleaseStatus on = fleets.await(RELEASE, "going on", now -> now.step() == Step.FINISH);
                    assertThat(on.side()).isEqualTo(Side.NEW);
                    assertThat(on.status()).isEqualTo(Status.RUNNING);
                    assertThat(on.warnings()).anyMatch(warning -> warning.contains("gate art breached"));
                }
                fleets.order(RELEASE, Order.Kind.FINISH);
                fleets.awaitStatus(RELEASE, Status.FINISHED);
                assertThat(load.stop().total().errors()).isZero();
            }
        }
    }

    private static Load load(TwoFleets fleets) {
        return Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                .withClients(4)
                .withOperationsPerSecond(400)
                .withKeys(200));
    }

    private static void observe(TwoFleets fleets, String onBreach) {
        // Five times slower is what a busy machine does not make of this by itself, and a server that stands still
        // does.
        fleets.begin(ReleaseFile.parse(RELEASE, """
                release: r
                moves:
                  - { cache: sessions, to: green }
                gates:
                  art: { max-ratio: 5 }
                  p99: off
                  errors: off
                  lag: { max: 10m }
                  samples-min: 20
                hold: { limit: 5s }
                on-breach: %s
                """.formatted(onBreach)));
        fleets.awaitObserving(RELEASE);
    }
}
