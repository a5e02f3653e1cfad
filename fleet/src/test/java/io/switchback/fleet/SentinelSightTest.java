package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SentinelSightTest {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final Optional<Credential> SECRET = Optional.of(new Credential(Credential.DEFAULT_USER, "secret"));

    @TempDir
    Path folder;

    static List<ServerBinary> everyServer() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : matrix;
    }

    private static FleetSpec spec(RealSentinels fleet, Optional<Credential> credential) {
        return spec(fleet.sentinels(), fleet.primaryName(), credential);
    }

    private static FleetSpec spec(List<RealServer> sentinels, String name, Optional<Credential> credential) {
        return new FleetSpec(
                "watched",
                new FleetAddress.Sentinel(
                        sentinels.stream().map(SentinelSightTest::endpoint).toList(), name, Optional.empty()),
                credential);
    }

    private static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    private static Endpoint primary(Topology topology) {
        return ((Topology.Replicated) topology).primary();
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void thePrimaryIsFollowedThroughAFailoverAndThroughItsDeath(ServerBinary binary) {
        List<Topology> seen = new CopyOnWriteArrayList<>();
        try (RealSentinels fleet = RealSentinels.start(binary, folder, 2, "--requirepass", "secret");
                FleetWatch watch = FleetWatch.start("c", spec(fleet, SECRET), Environment.system(), seen::add)) {
            RealServer first = fleet.primary();
            Await.until(
                    LIMIT,
                    "primary and replicas are seen",
                    () -> !seen.isEmpty()
                            && ((Topology.Replicated) seen.getLast()).replicas().size() == 2);
            assertThat(primary(seen.getFirst())).isEqualTo(endpoint(first));

            RealServer second = fleet.failover();
            Await.until(
                    LIMIT,
                    "the new primary is seen",
                    () -> primary(seen.getLast()).equals(endpoint(second)));

            second.kill();
            RealServer third = fleet.awaitSuccessor(second);
            Await.until(
                    LIMIT,
                    "the one after it is seen",
                    () -> primary(seen.getLast()).equals(endpoint(third)));
            assertThat(watch.seen()).contains(seen.getLast());
            assertThat(spec(fleet, SECRET).primaryNow()).isEqualTo(endpoint(third));
        }
    }

    @Test
    void aSentinelThatLiesOrLagsLeadsNobodyAstray() {
        ServerBinary binary = ServerBinary.any();
        try (RealSentinels fleet = RealSentinels.start(binary, folder.resolve("a"), 1);
                RealSentinels other = RealSentinels.start(binary, folder.resolve("b"), 1)) {
            // They know a greater epoch, as those who lead a failover do.
            Endpoint strangers = endpoint(other.failover());
            // A server that is a replica is not taken for a primary, whoever says so.
            RealServer replica = fleet.replicas().getFirst();
            RealServer liar = other.sentinels().get(1);
            liar.call("SENTINEL", "REMOVE", "cache");
            liar.call("SENTINEL", "MONITOR", "cache", replica.host(), Integer.toString(replica.port()), "1");
            try (FleetSight sight = FleetSight.of(spec(List.of(liar), "cache", Optional.empty()))) {
                Sighting sighting = sight.look();
                // The sentinel itself may have found out by now, and then names the right one.
                sighting.topology()
                        .ifPresentOrElse(
                                topology -> assertThat(primary(topology)).isEqualTo(endpoint(fleet.primary())),
                                () -> assertThat(sighting.problems().getFirst()).contains("says that it is a slave"));
            }
            // One of the three addresses belongs to sentinels of another cache, which know its primary by the same
            // name.
            List<RealServer> mixed = List.of(
                    other.sentinels().getFirst(),
                    fleet.sentinels().get(0),
                    fleet.sentinels().get(1));
            try (FleetSight sight = FleetSight.of(spec(mixed, fleet.primaryName(), Optional.empty()))) {
                Sighting sighting = sight.look();
                assertThat(sighting.topology().map(SentinelSightTest::primary)).contains(endpoint(fleet.primary()));

                // Even where the real primary is gone the stranger's is not taken for it.
                RealServer primary = fleet.primary();
                primary.stop();
                Sighting without = sight.look();
                assertThat(without.topology().map(SentinelSightTest::primary)).isNotEqualTo(Optional.of(strangers));
                assertThat(String.join("\n", without.problems())).contains("the others say otherwise");
            }
        }
    }

    /** Somebody has made a replica a primary by hand and told one sentinel: its word has no greater epoch than the others'. */
    @Test
    void whoNamesAReplicaWithoutAFailoverIsNotBelievedThoughThePrimaryIsSilent() {
        try (RealSentinels fleet = RealSentinels.start(ServerBinary.any(), folder, 1);
                FleetSight sight = FleetSight.of(spec(fleet, Optional.empty()))) {
            RealServer primary = fleet.primary();
            RealServer replica = fleet.replicas().getFirst();
            assertThat(sight.look().topology().map(SentinelSightTest::primary)).contains(endpoint(primary));
            RealServer misled = fleet.sentinels().getLast();
            replica.call("REPLICAOF", "NO", "ONE");
            misled.call("SENTINEL", "REMOVE", fleet.primaryName());
            misled.call(
                    "SENTINEL", "MONITOR", fleet.primaryName(), replica.host(), Integer.toString(replica.port()), "3");
            primary.kill();
            Sighting sighting = sight.look();
            assertThat(sighting.topology()).isEmpty();
            assertThat(String.join("\n", sighting.problems())).contains("the others say otherwise");
        }
    }

    /** The one that leads a failover has promoted a replica, and the others have not heard of it: as long as the former primary takes writes it is the primary. */
    @Test
    void aSuccessorIsNotBelievedWhileTheFormerPrimarySaysThatItIsOne() {
        try (RealSentinels fleet = RealSentinels.start(ServerBinary.any(), folder, 1);
                FleetSight sight = FleetSight.of(spec(fleet, Optional.empty()))) {
            RealServer primary = fleet.primary();
            RealServer replica = fleet.replicas().getFirst();
            assertThat(sight.look().topology().map(SentinelSightTest::primary)).contains(endpoint(primary));
            // So sentinels hear nothing of each other.
            fleet.servers().forEach(server -> server.call("ACL", "SETUSER", "default", "-publish"));
            RealServer leader = fleet.sentinels().getLast();
            leader.call("SENTINEL", "FAILOVER", fleet.primaryName());
            Await.until(LIMIT, "one sentinel has promoted the replica", () -> {
                Object named = leader.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", fleet.primaryName());
                return named instanceof List<?> words
                        && Integer.toString(replica.port()).equals(String.valueOf(words.get(1)))
                        && replica.info("replication", "role").equals("master");
            });
            Sighting sighting = sight.look();
            assertThat(primary.info("replication", "role")).isEqualTo("master");
            assertThat(sighting.topology().map(SentinelSightTest::primary)).contains(endpoint(primary));
        }
    }

    @Test
    void whatIsWrongIsNamed() {
        try (RealSentinels fleet = RealSentinels.start(ServerBinary.any(), folder, 1, "--requirepass", "secret")) {
            assertThat(problems(spec(fleet.sentinels(), "nobody", SECRET)))
                    .contains("knows no primary \"nobody\"", "its sentinel ")
                    .doesNotContain("null");
            assertThat(problems(spec(fleet, Optional.empty()))).contains("NOAUTH", "user and password");
            assertThatThrownBy(() -> ServerConnection.open(spec(fleet, Optional.empty()), LIMIT))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("fleet watched (cache of the sentinels ")
                    .hasMessageContaining("has no primary now");
            fleet.sentinels().getFirst().kill();
            try (FleetSight sight = FleetSight.of(spec(fleet, SECRET))) {
                Sighting sighting = sight.look();
                assertThat(sighting.topology().map(SentinelSightTest::primary)).contains(endpoint(fleet.primary()));
                assertThat(sighting.problems()).singleElement().asString().contains("cannot be reached");
            }
        }
    }

    private static String problems(FleetSpec spec) {
        try (FleetSight sight = FleetSight.of(spec)) {
            Sighting sighting = sight.look();
            assertThat(sighting.topology()).isEmpty();
            return String.join("\n", sighting.problems());
        }
    }
}
