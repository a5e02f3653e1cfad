package io.switchback.sync.apply;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What an apply link brings to its target, while clients write, across versions and to a cluster, and after it was killed. */
class ApplyLinkTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int CLIENTS = 4;
    private static final long BEFORE_COPY = 2_000;
    private static final long WRITES = 6_000;
    private static final int KILLS = 6;

    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return Stream.of("redis-7.0 redis-6.0", "redis-6.0 redis-7.0", "valkey-9.1 redis-7.0", "redis-8.0 valkey-9.1")
                .filter(pair -> Stream.of(pair.split(" ", -1))
                        .allMatch(name -> ServerBinary.named(name).isPresent()));
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aTargetThatFollowsNobodyHasAllOfItAlsoOfALinkThatIsKilledAgainAndAgain(String pair) throws Exception {
        String[] names = pair.split(" ", -1);
        try (RealServer source = RealServer.start(
                        ServerBinary.named(names[0]).orElseThrow(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealServer target =
                        RealServer.start(ServerBinary.named(names[1]).orElseThrow(), folder.resolve("target"))) {
            follows(source, spec("target", target), List.of(target), "");
        }
    }

    @Test
    void aClusterHasAllOfItAlsoOfALinkThatIsKilledAgainAndAgain() throws Exception {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealCluster target = RealCluster.start(binary, folder.resolve("target"), 3, 0)) {
            follows(source, cluster(target), target.nodes(), "");
        }
    }

    private void follows(RealServer source, FleetSpec fleet, List<RealServer> targets, String tag) throws Exception {
        Random random = new Random(7);
        Heard heard = new Heard();
        ApplyLink link = null;
        try (RandomWrites writes = new RandomWrites(source, CLIENTS, tag)) {
            Await.until(LIMIT, "something to copy", () -> writes.written() > BEFORE_COPY);
            link = open(source, fleet, "owner-0", heard);
            streams(link);
            for (int i = 1; i <= KILLS; i++) {
                long until = writes.written() + WRITES / KILLS + random.nextInt(500);
                Await.until(LIMIT, "clients write on", () -> writes.written() > until);
                link.stop(); // as if the process were killed
                link = open(source, fleet, "owner-" + i, heard);
                streams(link);
            }
        }
        long end = Long.parseLong(source.info("replication", "master_repl_offset"));
        assertThat(link.awaitApplied(end, Deadline.in(Environment.system(), LIMIT)))
                .as("%s", link.status())
                .isTrue();
        boolean exact = Contents.saysWhenItEnds(source) && targets.stream().allMatch(Contents::saysWhenItEnds);
        equal(source, targets, exact);
        assertThat(source.info("stats", "sync_full")).isEqualTo("1");
        assertThat(heard.broken).isNull();
        link.close();
    }

    private static void equal(RealServer source, List<RealServer> targets, boolean exact) {
        try {
            Await.until(
                    Duration.ofSeconds(10),
                    "both sides are equal",
                    () -> Contents.of(List.of(source), exact).equals(Contents.of(targets, exact)));
        } catch (AssertionError e) {
            Map<String, String> expected = Contents.of(List.of(source), exact);
            assertThat(Contents.of(targets, exact)).containsExactlyInAnyOrderEntriesOf(expected);
        }
    }

    private static void streams(ApplyLink link) {
        Await.until(
                LIMIT,
                "the link streams",
                () -> {
                    assertThat(link.status().phase()).as("%s", link.status()).isNotEqualTo(Phase.BROKEN);
                    return link.status().phase() == Phase.STREAMING;
                });
    }

    private static ApplyLink open(RealServer source, FleetSpec target, String owner, LinkListener listener) {
        return ApplyLink.open(
                new ApplySettings(
                        "link", owner, spec("source", source), target, new LinkStart.FullCopy(Optional.empty())),
                Environment.system(),
                listener);
    }

    private static FleetSpec spec(String name, RealServer server) {
        return new FleetSpec(name, new Endpoint(server.host(), server.port()), Optional.empty());
    }

    private static FleetSpec cluster(RealCluster cluster) {
        List<Endpoint> nodes = cluster.endpoints().stream()
                .map(node -> new Endpoint(node.getHost(), node.getPort()))
                .toList();
        return new FleetSpec("target", new FleetAddress.Cluster(nodes), Optional.empty());
    }

    private static final class Heard implements LinkListener {
        volatile LinkBase base;
        volatile String broken;

        @Override
        public void based(LinkBase found) {
            base = found;
        }

        @Override
        public void sourceIdChanged(String id) {}

        @Override
        public void copied(BackupManifest manifest) {}

        @Override
        public void broken(String why) {
            broken = why;
        }
    }
}
