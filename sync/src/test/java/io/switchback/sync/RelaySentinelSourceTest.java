package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.net.InetAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A link whose source is watched by sentinels goes on at the next primary, from where it was. */
class RelaySentinelSourceTest {
    @TempDir
    Path folder;

    static List<ServerBinary> sources() {
        List<ServerBinary> matrix = ServerBinary.matrix();
        return matrix.isEmpty() ? List.of(ServerBinary.any()) : List.of(matrix.getFirst(), matrix.getLast());
    }

    @ParameterizedTest
    @MethodSource("sources")
    void afterTheDeathOfItsPrimaryTheLinkGoesOnWithoutASecondCopy(ServerBinary binary) {
        Pair.Heard heard = new Pair.Heard();
        try (RealSentinels source = RealSentinels.start(binary, folder.resolve("source"), 2);
                RealServer target = RealServer.start(binary, folder.resolve("target"))) {
            target.call("CONFIG", "SET", "masterauth", Pair.SECRET);
            RelayLink link = open(source, target, heard);
            try {
                RealServer first = source.primary();
                first.call("SET", "before", "x");
                link.admit();
                target.call(
                        "REPLICAOF",
                        link.face().host(),
                        Integer.toString(link.face().port()));
                Pair.awaitPhase(link, Phase.STREAMING);
                write(source, link, target, 1);

                // Stopped before it dies, so that all that follow it have the same of its stream.
                first.stop();
                RealServer second = source.awaitSuccessor(first);
                first.kill();
                source.awaitFollowing();
                write(source, link, target, 2);

                assertThat(heard.breaks).isEmpty();
                assertThat(target.text("GET", "before")).isEqualTo("x");
                assertThat(heard.bases).hasSize(1); // one copy, from which all goes on
                assertThat(heard.ids).hasSize(1); // of the history that went on from the first
                assertThat(second).isNotSameAs(first);
            } finally {
                link.stop();
            }
        }
    }

    /** Writes to whoever is the primary, and waits until the target and all replicas have it: what none of them has, a failover loses. */
    private static void write(RealSentinels source, RelayLink link, RealServer target, int number) {
        RealServer primary = source.primary();
        for (int i = 0; i < 100; i++) {
            primary.call("INCR", "counter");
        }
        primary.call("SET", "round", Integer.toString(number));
        for (RealServer replica : source.replicas()) {
            Await.until(
                    Pair.LIMIT,
                    replica + " has it",
                    () -> Integer.toString(number).equals(replica.call("GET", "round")));
        }
        try (ServerConnection connection =
                ServerConnection.open(new Endpoint(primary.host(), primary.port()), Optional.empty(), Pair.LIMIT)) {
            Await.until(
                    Pair.LIMIT,
                    "the link streams from the primary",
                    () -> link.status().phase() == Phase.STREAMING);
            long written = ReplicationState.read(connection).offset();
            assertThat(link.awaitApplied(written, Deadline.in(Pair.ENVIRONMENT, Pair.LIMIT)))
                    .as(link.status()::toString)
                    .isTrue();
        }
        assertThat(target.text("GET", "round")).isEqualTo(Integer.toString(number));
        assertThat(target.text("GET", "counter")).isEqualTo(Integer.toString(100 * number));
    }

    private static RelayLink open(RealSentinels source, RealServer target, Pair.Heard heard) {
        FleetSpec from = new FleetSpec(
                "watched",
                new FleetAddress.Sentinel(
                        source.endpoints().stream()
                                .map(one -> new Endpoint(one.getHost(), one.getPort()))
                                .toList(),
                        source.primaryName(),
                        Optional.empty()),
                Optional.empty());
        FleetSpec to = new FleetSpec("next", new Endpoint(target.host(), target.port()), Optional.empty());
        try (ServerConnection one = ServerConnection.open(from, Pair.LIMIT);
                ServerConnection other = ServerConnection.open(to, Pair.LIMIT)) {
            return RelayLink.open(
                    new LinkSettings(
                            "forward",
                            from,
                            to,
                            InetAddress.getLoopbackAddress(),
                            0,
                            Pair.SECRET,
                            new LinkStart.FullCopy(Optional.empty()),
                            StreamTranslator.between(Dialect.read(one), Dialect.read(other))),
                    Pair.ENVIRONMENT,
                    heard);
        }
    }
}
