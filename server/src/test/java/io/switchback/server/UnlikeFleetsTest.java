package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.HoldOutcome;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ApplySettings;
import io.switchback.sync.source.Backlog;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * One server and a cluster of three, of different versions, and clients that go from one to the other and back while they read and write: what apply links carry, both ways. The order of
 * a switch is kept here by hand; a release does not do it yet.
 */
class UnlikeFleetsTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Duration HOLD_LIMIT = Duration.ofSeconds(10);
    private static final int SWITCHES = 6;
    private static final long BETWEEN = 5_000;

    @TempDir
    private Path folder;

    private final List<ApplyLink> links = new ArrayList<>();

    @Test
    void clientsGoFromAServerToAClusterAndBackAgainAndAgainAndLoseNothing() throws Exception {
        ServerBinary old = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        ServerBinary fresh = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealServer server = RealServer.start(old, folder.resolve("blue"), "--repl-backlog-size", "64mb");
                RealCluster cluster =
                        RealCluster.start(fresh, folder.resolve("green"), 3, 0, "--repl-backlog-size", "64mb")) {
            FleetSpec blue = spec("blue", server);
            FleetSpec green = new FleetSpec(
                    "green",
                    new FleetAddress.Cluster(cluster.nodes().stream()
                            .map(UnlikeFleetsTest::endpoint)
                            .toList()),
                    Optional.empty());
            try (CacheProxy proxy = CacheProxy.open(
                            new ProxySettings(
                                    "sessions", "n1", List.of(new Endpoint("127.0.0.1", 0)), 1, ProxyLimits.DEFAULT),
                            new BackendRoute(blue, 1),
                            false);
                    FleetWatch watch = FleetWatch.start(
                            "sessions", green, Environment.system(), seen -> proxy.topology("green", seen))) {
                proxy.watchedBy("green", watch::lookSoon);
                Await.until(LIMIT, "the cluster is seen", () -> watch.seen().isPresent());
                for (RealServer node : cluster.nodes()) {
                    Backlog.begin(spec("node", node), LIMIT);
                }
                Endpoint face = proxy.addresses().getFirst();
                try (Load load =
                        Load.start(LoadSettings.on(face.host(), face.port()).withClients(8))) {
                    load.awaitAnswers(BETWEEN, LIMIT);
                    open("forward", blue, green, new LinkStart.FullCopy(Optional.empty()));
                    for (int i = 0; i < SWITCHES; i++) {
                        boolean forward = i % 2 == 0;
                        links.forEach(UnlikeFleetsTest::streams);
                        load.awaitAnswers(BETWEEN, LIMIT);
                        List<RealServer> from = forward ? List.of(server) : cluster.nodes();
                        List<RealServer> to = forward ? cluster.nodes() : List.of(server);
                        go(proxy, new BackendRoute(forward ? green : blue, i + 2), from, to, forward ? blue : green);
                    }
                    load.awaitAnswers(BETWEEN, LIMIT);
                    try (Jedis through = new Jedis(face.host(), face.port(), 30_000)) {
                        CheckReport report = HistoryChecker.check(load.stop(), through);
                        assertThat(report.clean()).as("%s", report).isTrue();
                        assertThat(report.checked()).isGreaterThan(BETWEEN);
                    }
                }
            } finally {
                links.forEach(ApplyLink::close);
            }
        }
    }

    /** One switch, in the order of the design: hold, drain, stop the links that wrote there, note where the way back begins, let go, open it. */
    private void go(CacheProxy proxy, BackendRoute next, List<RealServer> from, List<RealServer> to, FleetSpec left)
            throws Exception {
        proxy.openAhead(next).join();
        assertThat(proxy.hold(HOLD_LIMIT).join()).isInstanceOf(HoldOutcome.Held.class);
        for (int i = 0; i < links.size(); i++) {
            long end = state(from.get(i)).offset();
            assertThat(links.get(i).awaitApplied(end, Deadline.in(Environment.system(), LIMIT)))
                    .as("%s", links.get(i).status())
                    .isTrue();
        }
        for (ApplyLink link : links) {
            assertThat(link.freeze(Deadline.in(Environment.system(), LIMIT))).isTrue();
        }
        List<LinkBase> begins = new ArrayList<>();
        for (int i = 0; i < to.size(); i++) {
            try (ServerConnection connection =
                    ServerConnection.open(endpoint(to.get(i)), Optional.empty(), Duration.ofSeconds(5))) {
                begins.add(ApplyLink.begin(connection, name(to, i)));
            }
        }
        proxy.letGo(next).join();
        links.forEach(ApplyLink::close);
        links.clear();
        for (int i = 0; i < to.size(); i++) {
            open(name(to, i), spec("source", to.get(i)), left, new LinkStart.From(begins.get(i)));
        }
    }

    private static String name(List<RealServer> sources, int number) {
        return sources.size() == 1 ? "forward" : "reverse-" + number;
    }

    private static ReplicationState state(RealServer server) {
        try (ServerConnection connection =
                ServerConnection.open(endpoint(server), Optional.empty(), Duration.ofSeconds(5))) {
            return ReplicationState.read(connection);
        }
    }

    private void open(String name, FleetSpec source, FleetSpec target, LinkStart start) {
        links.add(ApplyLink.open(
                new ApplySettings(name, "secret", Token.open(1, "owner"), source, target, start, Optional.empty()),
                Environment.system(),
                new Broken()));
    }

    private static void streams(ApplyLink link) {
        Await.until(LIMIT, "the link streams", () -> {
            assertThat(link.status().phase()).as("%s", link.status()).isNotEqualTo(Phase.BROKEN);
            return link.status().phase() == Phase.STREAMING;
        });
    }

    private static FleetSpec spec(String name, RealServer server) {
        return new FleetSpec(name, endpoint(server), Optional.empty());
    }

    private static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    /** What a link says is in its status. */
    private static final class Broken implements LinkListener {
        @Override
        public void based(LinkBase base) {}

        @Override
        public void sourceIdChanged(String id) {}

        @Override
        public void copied(BackupManifest manifest) {}

        @Override
        public void broken(String why) {}
    }
}
