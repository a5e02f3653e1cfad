package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.release.Order;
import io.switchback.release.ReleaseEngine;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.Jedis;

/** The laws over several nodes on one ledger in a real ensemble: one switch moves all of them, forward and back, under load. */
final class SeveralNodesTest {
    private static final Duration SOME_TRAFFIC = Duration.ofSeconds(30);
    private static final int NODES = 3;

    @TempDir
    private static Path ensembleFolder;

    private static ZooKeeperEnsemble ensemble;

    @TempDir
    private Path folder;

    @BeforeAll
    static void startEnsemble() {
        ensemble = ZooKeeperEnsemble.start(3, ensembleFolder);
    }

    @AfterAll
    static void stopEnsemble() {
        ensemble.close();
    }

    private SeveralNodes start(int count) {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
        return SeveralNodes.start(old, fresh, ensemble, count, folder);
    }

    @ParameterizedTest
    @ValueSource(strings = {"two-phase", "three-phase"})
    void aSwitchMovesTheClientsOfAllNodesAndNoneOfThemNoticesMoreThanAPause(String protocol) {
        try (SeveralNodes nodes = start(NODES)) {
            List<Load> loads = new ArrayList<>();
            List<LoadHistory> histories = new ArrayList<>();
            ReleaseStatus last;
            try {
                for (int number = 1; number <= NODES; number++) {
                    loads.add(Load.start(LoadSettings.on("127.0.0.1", nodes.port(number))
                            .withClients(6)
                            .withOperationsPerSecond(800)
                            .withKeys(500)
                            .withDatabases(number - 1)
                            .withPreload(true)));
                }
                // Orders are given to other nodes than the one that leads, and each is asked in turn where it stands.
                nodes.begin(1, TwoFleets.release("r", "hold: { limit: 5s }\ncommit: " + protocol));
                nodes.awaitObserving(2, "r");
                loads.forEach(load -> load.awaitAnswers(1_000, SOME_TRAFFIC));
                nodes.order(3, "r", Order.Kind.ROLLBACK);
                nodes.awaitStatus(1, "r", Status.ROLLED_BACK);
                loads.forEach(load -> load.awaitAnswers(1_000, SOME_TRAFFIC));
                nodes.order(2, "r", Order.Kind.RESUME);
                last = nodes.awaitObserving(3, "r");
                loads.forEach(load -> load.awaitAnswers(1_000, SOME_TRAFFIC));
                loads.forEach(load -> histories.add(load.stop()));
            } finally {
                loads.forEach(Load::close);
            }
            for (int number = 1; number <= NODES; number++) {
                LoadHistory history = histories.get(number - 1);
                try (Jedis client = nodes.client(number % NODES + 1)) {
                    CheckReport check = HistoryChecker.check(history, client);
                    assertThat(check.clean())
                            .as("clients of node %s: %s; %s", number, check, last.switches())
                            .isTrue();
                    assertThat(check.checked()).isGreaterThan(500);
                }
                assertThat(history.total().errors())
                        .as("errors that clients saw")
                        .isZero();
                assertThat(history.total().reconnects())
                        .as("connections that clients lost")
                        .isZero();
                assertThat(nodes.node(number)
                                .proxy(SeveralNodes.CACHE)
                                .route()
                                .fleet()
                                .name())
                        .isEqualTo("green");
            }
            assertThat(last.switches().stream().filter(one -> one.verdict().equals("commit")))
                    .hasSize(3);
            assertThat(nodes.blue.info("stats", "sync_full")).isEqualTo("1");
            assertThat(nodes.green.info("stats", "sync_full")).isEqualTo("0");
            nodes.order(2, "r", Order.Kind.FINISH);
            nodes.awaitStatus(3, "r", Status.FINISHED);
        }
    }

    @Test
    void aNodeThatJoinsDuringAReleaseGoesWhereTheOthersAreAndTakesPartFromThenOn() {
        try (SeveralNodes nodes = start(2)) {
            nodes.begin(1, TwoFleets.release("r", "hold: { limit: 5s }"));
            nodes.awaitObserving(2, "r");
            nodes.startNode(3);
            try (Jedis first = nodes.client(1);
                    Jedis joined = nodes.client(3)) {
                first.set("written-by", "first");
                assertThat(joined.get("written-by")).isEqualTo("first");
                assertThat(nodes.node(3)
                                .proxy(SeveralNodes.CACHE)
                                .route()
                                .fleet()
                                .name())
                        .isEqualTo("green");
                nodes.order(3, "r", Order.Kind.ROLLBACK);
                nodes.awaitStatus(3, "r", Status.ROLLED_BACK);
                joined.set("written-by", "joined");
                assertThat(nodes.blue.text("GET", "written-by")).isEqualTo("joined");
            }
        }
    }

    @Test
    void aReleaseWhoseLeaderLeavesIsLedByAnotherNodeWhereItStood() {
        try (SeveralNodes nodes = start(NODES)) {
            nodes.begin(1, TwoFleets.release("r", "hold: { limit: 5s }"));
            nodes.awaitObserving(1, "r");
            nodes.stopNode(1);
            nodes.awaitObserving(2, "r");
            assertThat(nodes.green.info("stats", "sync_full"))
                    .as("copies made for the way back")
                    .isEqualTo("0");
            try (Jedis client = nodes.client(3)) {
                client.set("key", "of the new fleet");
                nodes.order(3, "r", Order.Kind.ROLLBACK);
                nodes.awaitStatus(3, "r", Status.ROLLED_BACK);
                assertThat(client.get("key")).isEqualTo("of the new fleet");
                assertThat(nodes.blue.text("GET", "key")).isEqualTo("of the new fleet");
            }
            Await.until(
                    TwoFleets.STEP_LIMIT,
                    "the new fleet to follow",
                    () -> nodes.green.info("replication", "role").equals("slave"));
        }
    }

    @Test
    void anOrderThatIsGivenTwiceIsOneOrderAndBothAnswersSaySo() {
        try (SeveralNodes nodes = start(2)) {
            nodes.begin(1, TwoFleets.release("r", "hold: { limit: 5s }"));
            nodes.awaitObserving(1, "r");
            nodes.blue.stop();
            try {
                // The way back does not open while its fleet is silent, so the order waits.
                Order first = new Order(Order.Kind.ROLLBACK, false, "alice");
                Order second = new Order(Order.Kind.ROLLBACK, false, "bob");
                assertThat(nodes.node(1).releases().order("r", first)).isEqualTo(first);
                assertThat(nodes.node(2).releases().order("r", second))
                        .as("what bob is told")
                        .isEqualTo(first);
            } finally {
                nodes.blue.resume();
            }
            nodes.awaitStatus(2, "r", Status.ROLLED_BACK);
            assertThat(nodes.node(2).releases().journal("r").stream()
                            .filter(entry -> entry.what().equals("rollback")))
                    .hasSize(1);
        }
    }

    @Test
    void aNodeThatIsNotThereIsRemovedByAPersonAndOneThatIsThereIsNot() {
        try (SeveralNodes nodes = start(2)) {
            assertThatThrownBy(() -> nodes.node(1).releases().removeNode("node-2"))
                    .hasMessageContaining("is there and serves");
            assertThatThrownBy(() -> nodes.node(1).releases().removeNode("node-9"))
                    .hasMessageContaining("there is no node");
            nodes.stopNode(2);
            assertThat(nodes.node(1).releases().nodes())
                    .extracting(ReleaseEngine.NodeStatus::node)
                    .containsExactly("node-1");
            assertThat(LastRoute.read(NodeFile.read(nodes.nodeFile(2)))
                            .getFirst()
                            .fleet())
                    .isEqualTo("blue");
        }
    }

    @Test
    void aProcessWhoseNameIsTakenEnds() {
        try (SeveralNodes nodes = start(1)) {
            Node first = nodes.node(1);
            // As on another machine, where somebody has forgotten to change the name.
            try (Node second = Node.start(NodeFile.read(nodes.nodeFile(1, "elsewhere")), Environment.system())) {
                assertThat(first.ended().orTimeout(30, TimeUnit.SECONDS).join()).contains("node-1");
                assertThat(second.ended().isDone()).isFalse();
            }
        }
    }

    @Test
    void aLedgerThatWasWipedIsRefused() {
        try (SeveralNodes nodes = start(1)) {
            nodes.stopNode(1);
            assertThatThrownBy(() -> Node.start(NodeFile.read(nodes.nodeFileOnAnotherLedger(1)), Environment.system()))
                    .isInstanceOf(NodeException.class)
                    .hasMessageContaining("wiped");
        }
    }
}
