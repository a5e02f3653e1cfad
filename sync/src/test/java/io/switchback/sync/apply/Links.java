package io.switchback.sync.apply;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.sync.Link;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.SwitchbackUser;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What tests ask of apply links. */
final class Links {
    static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Optional<Credential> USER =
            Optional.of(new Credential(SwitchbackUser.APPLY.name(), SwitchbackUser.PASSWORD));

    private Links() {}

    /** Waits until the target has all that the source has written so far. */
    static void drain(RealServer source, Link link) {
        long end = Long.parseLong(source.info("replication", "master_repl_offset"));
        assertThat(link.awaitApplied(end, Deadline.in(Environment.system(), LIMIT)))
                .as("%s", link.status())
                .isTrue();
    }

    /** Fails unless both sides come to hold the same. */
    static void equal(List<RealServer> sources, List<RealServer> targets, boolean exact) {
        try {
            Await.until(
                    Duration.ofSeconds(10),
                    "both sides are equal",
                    () -> Contents.of(sources, exact).equals(Contents.of(targets, exact)));
        } catch (AssertionError e) {
            Map<String, String> expected = Contents.of(sources, exact);
            assertThat(Contents.of(targets, exact)).containsExactlyInAnyOrderEntriesOf(expected);
        }
    }

    static void streams(Link link) {
        Await.until(LIMIT, "the link streams", () -> {
            assertThat(link.status().phase()).as("%s", link.status()).isNotEqualTo(Phase.BROKEN);
            return link.status().phase() == Phase.STREAMING;
        });
    }

    /** The same server, for a user who may follow nobody, as managed services let nobody be followed. */
    static FleetSpec withoutPsync(String name, RealServer server) {
        return spec(name, server).as(new Credential(SwitchbackUser.SCAN.name(), SwitchbackUser.PASSWORD));
    }

    static FleetSpec withoutPsync(String name, RealCluster cluster) {
        return cluster(name, cluster).as(new Credential(SwitchbackUser.SCAN.name(), SwitchbackUser.PASSWORD));
    }

    static FleetSpec spec(String name, RealServer server) {
        return new FleetSpec(name, endpoint(server), USER);
    }

    static FleetSpec cluster(String name, RealCluster cluster) {
        List<Endpoint> nodes = cluster.endpoints().stream()
                .map(node -> new Endpoint(node.getHost(), node.getPort()))
                .toList();
        return new FleetSpec(name, new FleetAddress.Cluster(nodes), USER);
    }

    static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }
}
