package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Topology.Sharded;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ClusterSightTest {
    private static final Duration LIMIT = Duration.ofSeconds(40);

    @TempDir
    Path folder;

    static List<ServerBinary> everyServer() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : matrix;
    }

    private static FleetSpec spec(RealServer... seeds) {
        return new FleetSpec(
                "sharded",
                new FleetAddress.Cluster(
                        Stream.of(seeds).map(ClusterSightTest::endpoint).toList()),
                Optional.empty());
    }

    private static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    private static @Nullable Endpoint primary(Topology topology, int slot) {
        Topology.@Nullable Shard shard = ((Sharded) topology).shardOf(slot);
        return shard == null ? null : shard.primary();
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void slotsThatMoveAndPrimariesThatChangeAreSeenFromAnyNode(ServerBinary binary) {
        List<Topology> seen = new CopyOnWriteArrayList<>();
        try (RealCluster cluster = RealCluster.start(binary, folder, 3, 1)) {
            RealServer first = cluster.nodes().get(0);
            RealServer second = cluster.nodes().get(1);
            RealServer replica = cluster.replicasOf(first).getFirst();
            try (FleetWatch watch =
                    FleetWatch.start("c", spec(cluster.nodes().get(5)), Environment.system(), seen::add)) {
                Await.until(LIMIT, "the cluster is seen", () -> !seen.isEmpty());
                Sharded whole = (Sharded) seen.getFirst();
                assertThat(whole.shards())
                        .hasSize(3)
                        .allMatch(shard -> shard.replicas().size() == 1);
                assertThat(whole.shards().getFirst())
                        .isEqualTo(new Topology.Shard(endpoint(first), List.of(endpoint(replica))));
                assertThat(Arrays.stream(whole.shardOfSlot())).allMatch(shard -> shard >= 0);

                FleetSpec shard = spec(cluster.nodes().get(5)).shard(7);
                assertThat(whole.slotsOf(0)).hasToString("0-5460");
                assertThat(shard.topologyNow())
                        .isEqualTo(new Topology.Replicated(endpoint(first), List.of(endpoint(replica))));

                cluster.moveSlot(7, second);
                assertThat(shard.primaryNow()).isEqualTo(endpoint(second));
                watch.lookSoon();
                Await.until(LIMIT, "the slot has moved", () -> endpoint(second).equals(primary(seen.getLast(), 7)));
                assertThat(primary(seen.getLast(), 6)).isEqualTo(endpoint(first));

                first.kill();
                watch.lookSoon();
                cluster.awaitSuccessor(6, first);
                watch.lookSoon();
                Await.until(
                        LIMIT,
                        "the replica has taken over",
                        () -> endpoint(replica).equals(primary(seen.getLast(), 6)));
                assertThat(watch.problems()).anyMatch(problem -> problem.contains("cannot be reached"));
            }
        }
    }

    @Test
    void nodesThatDoNotAnswerStayWhatTheyWereAndWhatIsWrongIsNamed() {
        ServerBinary binary = ServerBinary.any();
        try (RealCluster cluster = RealCluster.start(binary, folder.resolve("a"), 3, 0);
                RealCluster other = RealCluster.start(binary, folder.resolve("b"), 1, 0);
                RealServer alone = RealServer.start(binary, folder.resolve("c"))) {
            RealServer first = cluster.nodes().get(0);
            RealServer stranger = other.nodes().getFirst();
            try (FleetSight sight =
                    FleetSight.of(spec(cluster.nodes().get(0), cluster.nodes().get(1), stranger, alone))) {
                Sighting whole = sight.look();
                Sharded topology = (Sharded) whole.topology().orElseThrow();
                assertThat(topology.shards()).hasSize(3);
                assertThat(topology.shards()).noneMatch(shard -> shard.primary().equals(endpoint(stranger)));
                assertThat(String.join("\n", whole.problems()))
                        .contains(stranger.port() + "] belongs to another cluster")
                        .contains("cluster support disabled");

                first.kill();
                Sighting without = sight.look();
                assertThat(without.topology()).contains(topology);
                assertThat(String.join("\n", without.problems())).contains(endpoint(first) + " cannot be reached");
                Await.until(
                        LIMIT,
                        "the others say that the cluster is down",
                        () -> String.join("\n", sight.look().problems()).contains("says cluster_state:fail"));
                assertThat(sight.look().topology()).contains(topology);
            }
            try (FleetSight sight = FleetSight.of(spec(cluster.nodes().get(1), stranger))) {
                // Two of the cluster answer, one of the other: the greater part is it, of those that were asked.
                assertThat(sight.look().topology()).isPresent();
            }
            try (FleetSight sight = FleetSight.of(spec(alone))) {
                assertThat(sight.look().topology()).isEmpty();
            }
            RealServer second = cluster.nodes().get(1);
            second.call("CLUSTER", "DELSLOTS", "6000", "6001");
            try (FleetSight sight = FleetSight.of(spec(second))) {
                Sighting sighting = sight.look();
                assertThat(primary(sighting.topology().orElseThrow(), 6000)).isNull();
                assertThat(primary(sighting.topology().orElseThrow(), 6002)).isEqualTo(endpoint(second));
                assertThat(String.join("\n", sighting.problems()))
                        .contains("2 of its slots belong to nobody, such as 6000");
            }
        }
    }

    private static final String OK = "cluster_state:ok";

    private static ClusterSight.Word word(int port, String lines) {
        return ClusterSight.word(new Endpoint("h", port), lines, OK);
    }

    private static Endpoint ownerOf(int slot, Map<String, ClusterNode> nodes) {
        return Objects.requireNonNull(primary(ClusterSight.topology(nodes, Set.of(), new ArrayList<>()), slot));
    }

    /** Gossip lags, on replicas of 6.0 for ever where the former owner has the greater epoch. */
    @Test
    void whatANodeSaysOfItselfCountsAndNotWhatOthersSayOfIt() {
        ClusterSight.Word owner = word(1, """
                a h:1@1 myself,master - 0 0 5 connected 0-5
                b h:2@2 master - 0 0 6 connected 6-9
                """);
        ClusterSight.Word former = word(2, """
                a h:1@1 master - 0 0 5 connected 0-5
                b h:2@2 myself,master - 0 0 6 connected 6-9
                """);
        ClusterSight.Word lags = word(3, """
                a h:1@1 master - 0 0 5 connected 0-4
                b h:2@2 master - 0 0 6 connected 5-9
                c h:3@3 myself,slave b 0 0 6 connected
                """);
        for (List<ClusterSight.Word> words : List.of(List.of(owner, former, lags), List.of(lags, former, owner))) {
            assertThat(ownerOf(5, ClusterSight.merged(words, Map.of()))).isEqualTo(new Endpoint("h", 1));
        }
    }

    @Test
    void aPrimaryThatWasCutOffAndHasBeenReplacedHasNothingAnyMore() {
        ClusterSight.Word replaced = word(1, """
                a h:1@1 myself,master - 0 0 5 connected 0-9
                b h:2@2 slave a 0 0 5 connected
                """);
        ClusterSight.Word successor = word(2, """
                a h:1@1 master,fail - 0 0 5 connected
                b h:2@2 myself,master - 0 0 7 connected 0-9
                """);
        for (List<ClusterSight.Word> words : List.of(List.of(replaced, successor), List.of(successor, replaced))) {
            assertThat(ownerOf(3, ClusterSight.merged(words, Map.of()))).isEqualTo(new Endpoint("h", 2));
        }
    }

    @Test
    void aNodeThatDoesNotAnswerStaysWhatItWasLastKnownToBe() {
        ClusterSight.Word other = word(2, """
                a h:1@1 master - 0 0 5 connected 0-5
                b h:2@2 myself,master - 0 0 2 connected 6-9
                """);
        // It has moved a slot to itself since, with a new epoch, and the other has not heard of it.
        Map<String, ClusterNode> known = Map.of(
                "a", word(1, "a h:1@1 myself,master - 0 0 8 connected 0-6\n").myself());
        assertThat(ownerOf(6, ClusterSight.merged(List.of(other), known))).isEqualTo(new Endpoint("h", 1));
    }

    @Test
    void everySyntaxOfTheLinesIsRead() {
        Endpoint from = new Endpoint("10.0.0.9", 7000);
        List<ClusterNode> nodes = ClusterNode.parse(from, """
                a :7000@17000 myself,master - 0 0 3 connected 0-5 9 [10->-b] [11-<-c]
                b 10.0.0.2:7001@17001,host-b master - 0 0 4 connected 12
                c :7002@17002,host-c,,tls-port=7003,shard-id=d slave b 0 0 4 connected
                d fe80::1:7003@17003,,shard-id=e master,fail - 0 0 5 disconnected
                e :0@0 master,noaddr - 0 0 6 disconnected
                """);
        assertThat(nodes.stream().map(ClusterNode::server))
                .containsExactly(
                        Optional.of(from),
                        Optional.of(new Endpoint("10.0.0.2", 7001)),
                        Optional.of(new Endpoint("host-c", 7002)),
                        Optional.of(new Endpoint("fe80::1", 7003)),
                        Optional.empty());
        assertThat(nodes.getFirst().slots()).containsExactly(new int[] {0, 5}, new int[] {9, 9});
        assertThat(nodes.get(2).primaryId()).isEqualTo("b");
    }
}
