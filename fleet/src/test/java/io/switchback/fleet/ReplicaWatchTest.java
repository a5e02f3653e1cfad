package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Who the replicas of a fleet are, and what is said of them. */
class ReplicaWatchTest {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final Duration LAG_MAX = Duration.ofMillis(300);

    @TempDir
    Path folder;

    private final AtomicReference<@Nullable ReplicaReport> last = new AtomicReference<>();

    static List<ServerBinary> everyServer() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : matrix;
    }

    private static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    private ReplicaWatch watch(RealServer primary) {
        FleetSpec fleet = new FleetSpec("one", endpoint(primary), Optional.empty());
        return ReplicaWatch.start(
                "c", fleet, LAG_MAX, Environment.system(), () -> true, () -> Topology.ofItself(fleet), last::set);
    }

    private static RealServer replica(ServerBinary binary, Path folder, RealServer primary) {
        return RealServer.start(binary, folder, "--replicaof", primary.host(), Integer.toString(primary.port()));
    }

    private RealServer primary(ServerBinary binary) {
        return RealServer.start(binary, folder.resolve("primary"), "--repl-diskless-sync-delay", "0");
    }

    private void await(String what, Predicate<ReplicaReport> condition) {
        Await.until(LIMIT, what, () -> {
            ReplicaReport report = last.get();
            return report != null && condition.test(report);
        });
    }

    private void awaitProblem(Endpoint replica, String problem) {
        await(
                replica + " has the problem " + problem,
                report -> report.replicas().stream()
                        .anyMatch(one ->
                                one.server().equals(replica) && one.problem().contains(problem)));
    }

    private void awaitWell(Endpoint replica) {
        await(
                replica + " is well",
                report -> report.replicas().stream()
                        .anyMatch(one -> one.server().equals(replica)
                                && one.problem().isEmpty()
                                && one.isFollowing()
                                && one.hasAllUntilNanos().isPresent()));
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void theReplicasOfASingleServerAreThoseThatHaveAnAddressAndSayThatTheyAre(ServerBinary binary) throws IOException {
        try (RealServer primary = primary(binary);
                RealServer replica = replica(binary, folder.resolve("replica"), primary);
                Socket link = new Socket(primary.host(), primary.port());
                ReplicaWatch _ = watch(primary)) {
            // As a link attaches: without a port.
            link.getOutputStream().write("PSYNC ? -1\r\n".getBytes(StandardCharsets.US_ASCII));
            Thread.ofVirtual().start(() -> swallow(link));
            Await.until(
                    LIMIT,
                    "both are attached",
                    () -> primary.info("replication", "connected_slaves").equals("2"));
            awaitWell(endpoint(replica));
            long before = Environment.system().nanoTime();
            primary.call("SET", "k", "v");
            await(
                    "it has what was written",
                    report -> report.replicas().size() == 1
                            && report.replicas().getFirst().hasAllUntilNanos().orElse(before) - before > 0);
            assertThat(replica.call("GET", "k")).isEqualTo("v");

            replica.stop();
            await(
                    "it is known for nothing any more",
                    report -> report.replicas().stream()
                            .allMatch(one -> one.hasAllUntilNanos().isEmpty()));
            replica.resume();
            awaitWell(endpoint(replica));
        }
    }

    private static void swallow(Socket link) {
        try {
            byte[] bytes = new byte[64 * 1024];
            while (link.getInputStream().read(bytes) >= 0) {
                link.getOutputStream().write("REPLCONF ACK 0\r\n".getBytes(StandardCharsets.US_ASCII));
            }
        } catch (IOException e) {
            // It was closed.
        }
    }

    @Test
    void whatSpeaksAgainstAReplicaIsNamed() {
        ServerBinary binary = ServerBinary.any();
        try (RealServer primary = primary(binary);
                RealServer replica = replica(binary, folder.resolve("replica"), primary);
                RealServer stranger = RealServer.start(binary, folder.resolve("stranger"));
                ReplicaWatch _ = watch(primary)) {
            awaitWell(endpoint(replica));
            // It says that it is at the stranger's address.
            replica.call("CONFIG", "SET", "replica-announce-port", Integer.toString(stranger.port()));
            replica.call("REPLICAOF", "NO", "ONE");
            replica.call("REPLICAOF", primary.host(), Integer.toString(primary.port()));
            awaitProblem(endpoint(stranger), "it says that it is a primary");
            replica.call("CONFIG", "SET", "replica-announce-port", "0");
            replica.call("REPLICAOF", "NO", "ONE");
            replica.call("REPLICAOF", primary.host(), Integer.toString(primary.port()));
            awaitWell(endpoint(replica));

            // It follows nobody who is there: its primary does not name it any more.
            replica.call("REPLICAOF", primary.host(), "1");
            awaitProblem(endpoint(replica), "it follows another primary, or this one not yet");
            replica.call("REPLICAOF", primary.host(), Integer.toString(primary.port()));
            awaitWell(endpoint(replica));

            primary.kill();
            await(
                    "the primary is silent, and whom it had is known",
                    report -> report.primaryIsSilent()
                            && report.replicas().stream()
                                    .anyMatch(one -> one.server().equals(endpoint(replica))
                                            && one.hasAllUntilNanos().isPresent()));
        }
    }

    @Test
    void theReplicasOfAWatchedPrimaryAreThoseThatTheSentinelsName() {
        try (RealSentinels servers = RealSentinels.start(ServerBinary.any(), folder, 2)) {
            FleetSpec fleet = new FleetSpec(
                    "watched",
                    new FleetAddress.Sentinel(
                            servers.endpoints().stream()
                                    .map(one -> new Endpoint(one.getHost(), one.getPort()))
                                    .toList(),
                            servers.primaryName(),
                            Optional.empty()),
                    Optional.empty());
            try (FleetWatch who = FleetWatch.start("c", fleet, Environment.system(), any -> {});
                    ReplicaWatch _ = ReplicaWatch.start(
                            "c", fleet, LAG_MAX, Environment.system(), () -> true, who::seen, last::set)) {
                for (RealServer replica : servers.replicas()) {
                    awaitWell(endpoint(replica));
                }
                RealServer first = servers.primary();
                RealServer second = servers.failover();
                servers.awaitFollowing();
                awaitWell(endpoint(first));
                await(
                        "it is told of the next primary",
                        report -> report.primary().equals(endpoint(second)));
            }
        }
    }
}
