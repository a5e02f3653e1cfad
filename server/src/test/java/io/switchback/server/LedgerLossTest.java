package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What nodes do that lose the ledger: serve, or hold, as their files say; and what the others may do then. */
final class LedgerLossTest {
    private static final String RELEASE = "r";
    private static final int SERVES = 1;
    private static final int HOLDS = 2;

    private ZooKeeperEnsemble ensemble;
    private SeveralNodes nodes;

    @BeforeEach
    void start(@TempDir Path members, @TempDir Path folder) {
        ensemble = ZooKeeperEnsemble.start(1, members);
        nodes = SeveralNodes.start(ServerBinary.any(), ServerBinary.any(), ensemble, 0, folder);
        nodes.holdsWithoutLedger(HOLDS);
        nodes.startNode(SERVES);
    }

    @AfterEach
    void stop() {
        nodes.close();
        ensemble.close();
    }

    private static ReleaseFile release() {
        return TwoFleets.release(RELEASE, "hold: { limit: 5s }\nfleet-loss: { after: 1s, hung-after: 1s }");
    }

    @Test
    void withoutTheLedgerOneNodeServesAndTheOtherHoldsUntilItIsBack() {
        nodes.startNode(HOLDS);
        nodes.begin(SERVES, release());
        nodes.awaitObserving(HOLDS, RELEASE);
        assertThat(nodes.node(SERVES).releases().journal(RELEASE))
                .as("as long as the ledger hears of it, it is asked as any other node")
                .anyMatch(entry -> entry.what().endsWith(" begins")
                        && entry.details().getOrDefault("participants", "").contains("node-" + HOLDS + "/"));
        try (Jedis served = nodes.client(SERVES);
                Jedis held = nodes.client(HOLDS)) {
            assertThat(held.incr("held")).isEqualTo(1);
            // It has its connection; a new one would wait for the ledger's word, as that of every armed node does.
            assertThat(served.incr("served")).isEqualTo(1);
            ensemble.stop(0);
            CompletableFuture<Long> waits;
            try {
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the node to be unsure of its lease",
                        () -> nodes.node(HOLDS).proxy(SeveralNodes.CACHE).hasLapsed());
                waits = CompletableFuture.supplyAsync(() -> held.incr("held"));
                for (int i = 2; i <= 100; i++) {
                    assertThat(served.incr("served")).isEqualTo(i);
                }
                assertThat(nodes.green.call("GET", "held")).isEqualTo("1");
                assertThat(waits.isDone()).isFalse();
            } finally {
                ensemble.resume(0);
            }
            assertThat(waits.join()).isEqualTo(2);
            assertThat(held.get("served")).isEqualTo("100");
        }
    }

    /** It could not be asked, and nothing could be fenced at a fleet that is dead; but it certainly holds. */
    @Test
    void aFleetThatDiesIsLeftWithoutANodeThatHoldsOnceTheLedgerHearsNoMoreOfIt() {
        try (ServingNode stopped = nodes.startProcess(HOLDS, release())) {
            nodes.begin(SERVES, release());
            nodes.awaitObserving(SERVES, RELEASE);
            try (Jedis client = nodes.client(SERVES);
                    Jedis sleepers = new Jedis("127.0.0.1", stopped.port(), 60_000)) {
                sleepers.set("written", "before");
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the old fleet to have it",
                        () -> nodes.blue.number("EXISTS", "written") == 1);
                stopped.stop();
                CompletableFuture<String> asked;
                try {
                    nodes.green.stop();
                    asked = CompletableFuture.supplyAsync(() -> sleepers.get("written"));
                    nodes.awaitStatus(SERVES, RELEASE, Status.ABORTED);
                    assertThat(nodes.status(SERVES, RELEASE).side()).isEqualTo(Side.OLD);
                    client.set("written", "after");
                } finally {
                    // The fleet that was left lives again, and would answer.
                    nodes.green.resume();
                    stopped.resume();
                }
                assertThat(asked.join()).isEqualTo("after");
            }
        }
    }
}
