package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetWatch;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What clients were told, held against what the cluster has in the end, while slots move and replicas take their primaries' places. */
class ClusterHistoryTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int CLIENTS = 8;
    private static final long BETWEEN = 2_000;
    private static final int ROUNDS = 3;
    private static final int SLOTS_A_ROUND = 8;

    @Test
    void nothingIsLostTwiceOrOutOfOrderWhileSlotsMoveAndPrimariesChange(@TempDir Path folder) {
        try (RealCluster cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 1)) {
            BackendRoute route = ClusterFixture.route("blue", cluster, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(route);
                    FleetWatch _ = ClusterFixture.watch(proxy, route)) {
                Endpoint face = proxy.addresses().getFirst();
                LoadHistory history;
                try (Load load =
                        Load.start(LoadSettings.on(face.host(), face.port()).withClients(CLIENTS))) {
                    load.awaitAnswers(BETWEEN, LIMIT);
                    for (int round = 0; round < ROUNDS; round++) {
                        List<Integer> slots = withKeys(cluster);
                        List<RealServer> primaries = slots.stream()
                                .map(cluster::primaryOf)
                                .distinct()
                                .toList();
                        for (int slot : slots) {
                            RealServer from = cluster.primaryOf(slot);
                            RealServer to = primaries.stream()
                                    .filter(primary -> primary != from)
                                    .findFirst()
                                    .orElseThrow();
                            cluster.moveSlot(slot, to);
                        }
                        load.awaitAnswers(BETWEEN, LIMIT);
                        RealServer leaving = primaries.get(round % primaries.size());
                        cluster.failover(cluster.replicasOf(leaving).getFirst());
                        load.awaitAnswers(BETWEEN, LIMIT);
                    }
                    history = load.stop();
                }
                assertThat(history.total().errors()).isZero();
                try (Jedis through = new Jedis(face.host(), face.port(), Math.toIntExact(LIMIT.toMillis()))) {
                    CheckReport report = HistoryChecker.check(history, through);
                    assertThat(report.clean()).as("%s", report).isTrue();
                    assertThat(report.checked()).isGreaterThan(BETWEEN / 2);
                }
            }
        }
    }

    /** Slots that hold keys, of several shards. */
    private static List<Integer> withKeys(RealCluster cluster) {
        return IntStream.range(0, RealCluster.SLOTS)
                .map(i -> i * 4_099 % RealCluster.SLOTS) // all of them, and not one shard's first
                .filter(slot ->
                        cluster.primaryOf(slot).number("CLUSTER", "COUNTKEYSINSLOT", Integer.toString(slot)) > 0)
                .limit(SLOTS_A_ROUND)
                .boxed()
                .toList();
    }
}
