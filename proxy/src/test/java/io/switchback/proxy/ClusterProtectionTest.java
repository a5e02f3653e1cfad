package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.Topology;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Replies to writes in front of a cluster wait for a follower of each of its primaries. Those are servers of no cluster here, which announce the names that links would and acknowledge once a second
 * (see {@link ProtectionTest}).
 */
final class ClusterProtectionTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final Duration STALL = Duration.ofMillis(300);
    private static final List<String> LINKS = List.of(
            "switchback-0123456789abcdef0123456789abcdef",
            "switchback-1123456789abcdef0123456789abcdef",
            "switchback-2123456789abcdef0123456789abcdef");
    /** Long enough for a reply that is not kept. */
    private static final int UNKEPT_MS = 300;

    @TempDir
    private Path folder;

    private RealCluster cluster;
    private final List<RealServer> followers = new ArrayList<>();
    private BackendRoute route;
    private CacheProxy proxy;
    private FleetWatch watch;
    /** A key at each primary. */
    private List<String> keys;

    @BeforeEach
    void start() {
        cluster = RealCluster.start(ProxyFixture.binary(), folder.resolve("cluster"), LINKS.size(), 1);
        List<RealServer> primaries = List.of(cluster.primaryOf(0), cluster.primaryOf(8_192), cluster.primaryOf(16_383));
        primaries.forEach(primary -> primary.call("CONFIG", "SET", "repl-diskless-sync-delay", "0"));
        for (int i = 0; i < LINKS.size(); i++) {
            followers.add(follower(primaries.get(i), LINKS.get(i)));
        }
        keys = primaries.stream().map(primary -> cluster.keyOn(primary, "k")).toList();
        route = ClusterFixture.route("new", cluster, 1);
        proxy = ProxyFixture.proxy(route, ProxyLimits.DEFAULT, 1);
        watch = ClusterFixture.watch(proxy, route);
    }

    private RealServer follower(RealServer primary, String announced) {
        RealServer started = ProxyFixture.server(
                folder.resolve("follower-" + followers.size()),
                "--replicaof",
                primary.host() + " " + primary.port(),
                "--replica-announce-ip",
                announced);
        Await.until(
                LIMIT,
                "following",
                () -> started.info("replication", "master_link_status").equals("up"));
        return started;
    }

    @AfterEach
    void end() {
        watch.close();
        proxy.close();
        followers.forEach(RealServer::close);
        cluster.close();
    }

    private void protect(OnStall onStall, List<String> links) {
        proxy.protect(route, new Protection(Set.copyOf(links), onStall, STALL)).join();
    }

    private void awaitProtection(ProtectionState wanted) {
        Await.until(LIMIT, "protection " + wanted, () -> proxy.protection() == wanted);
    }

    @Test
    void aWriteIsAnsweredOnceTheFollowerOfItsPrimaryHasItWhateverTheCommand() {
        protect(OnStall.HOLD, LINKS);
        try (RawClient writer = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            for (int i = 0; i < keys.size(); i++) {
                assertThat(writer.text("SET", keys.get(i), "1")).isEqualTo("OK");
                assertThat(followers.get(i).text("GET", keys.get(i))).isEqualTo("1");
            }
            assertThat(writer.text("MSET", keys.get(0), "2", keys.get(1), "2", keys.get(2), "2"))
                    .isEqualTo("OK");
            for (int i = 0; i < keys.size(); i++) {
                assertThat(followers.get(i).text("GET", keys.get(i))).isEqualTo("2");
            }
            assertThat(proxy.protection()).isEqualTo(ProtectionState.ON);

            followers.get(1).stop();
            writer.send("SET", keys.get(1), "3");
            writer.send("GET", keys.get(0));
            writer.send("MULTI");
            writer.send("INCR", keys.get(1));
            writer.send("EXEC");
            writer.send("MSET", keys.get(0), "5", keys.get(1), "5");
            Await.until(
                    LIMIT,
                    "the writes to be done",
                    () -> reader.text("GET", keys.get(1)).equals("5"));
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            awaitProtection(ProtectionState.WAITING);
            assertThat(reader.text("GET", keys.get(0))).isEqualTo("5");
            followers.get(1).resume();
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(writer.reply().text()).isEqualTo("2");
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(writer.reply().text()).isEqualTo("QUEUED");
            assertThat(writer.reply().text()).isEqualTo("[4]");
            assertThat(writer.reply().text()).isEqualTo("OK");
            awaitProtection(ProtectionState.ON);
            for (RealServer follower : followers) {
                theReplyThatIsJoinedOfAllShardsWaitsFor(follower, writer, reader);
            }
        }
    }

    private void theReplyThatIsJoinedOfAllShardsWaitsFor(RealServer follower, RawClient writer, RawClient reader) {
        follower.stop();
        String value = "joined, " + follower.port();
        writer.send("MSET", keys.get(0), value, keys.get(1), value, keys.get(2), value);
        for (String key : keys) {
            Await.until(
                    LIMIT,
                    "the writes to be done",
                    () -> reader.text("GET", key).equals(value));
        }
        assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
        follower.resume();
        assertThat(writer.reply().text()).isEqualTo("OK");
    }

    @Test
    void withAsyncRepliesAreGivenOutAfterAStallAndKeptAgainOnceEveryFollowerHasCaughtUp() {
        protect(OnStall.ASYNC, LINKS);
        followers.get(0).stop();
        try (RawClient writer = ProxyFixture.client(proxy)) {
            assertThat(writer.text("SET", keys.get(0), "1")).isEqualTo("OK");
            awaitProtection(ProtectionState.SUSPENDED);
            assertThat(writer.text("SET", keys.get(1), "1")).isEqualTo("OK");
            assertThat(proxy.protection()).isEqualTo(ProtectionState.SUSPENDED);
            followers.get(0).resume();
            awaitProtection(ProtectionState.ON);
            assertThat(writer.text("SET", keys.get(0), "2")).isEqualTo("OK");
            assertThat(followers.get(0).text("GET", keys.get(0))).isEqualTo("2");
        }
    }

    /** What the next primary has of it, nobody knows; nor does a link that has not come there yet confirm anything. */
    @Test
    void whatTheFollowerOfADeadPrimaryDidNotHaveIsAnsweredByAnErrorAndWritesGoOnWithItsSuccessor() {
        protect(OnStall.HOLD, LINKS);
        RealServer first = cluster.primaryOf(RealCluster.slotOf(keys.get(0)));
        followers.get(0).stop();
        try (RawClient writer = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            writer.send("SET", keys.get(0), "1");
            Await.until(
                    LIMIT,
                    "the write to be done",
                    () -> reader.text("GET", keys.get(0)).equals("1"));
            first.kill();
            assertThat(writer.reply().text()).contains("may or may not have run");
            RealServer next = cluster.awaitSuccessor(RealCluster.slotOf(keys.get(0)), first);
            writer.send("SET", keys.get(0), "2");
            writer.send("SET", keys.get(1), "2");
            Await.until(
                    LIMIT,
                    "both writes to be done",
                    () -> reader.text("GET", keys.get(1)).equals("2"));
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            followers.add(follower(next, LINKS.get(0)));
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(followers.getLast().text("GET", keys.get(0))).isEqualTo("2");
        }
    }

    /** It was answered, and waited for the reply of another shard, when its primary died with it: the next primary, which may have nothing of it, cannot confirm it. */
    @Test
    void whatADeadPrimaryHadAnsweredIsNotConfirmedByItsSuccessorThoughItsClientWaitedForAnotherShard() {
        protect(OnStall.HOLD, LINKS);
        RealServer first = cluster.primaryOf(RealCluster.slotOf(keys.get(0)));
        RealServer slow = cluster.primaryOf(RealCluster.slotOf(keys.get(1)));
        RealServer next = cluster.replicasOf(first).getFirst();
        followers.get(0).stop();
        try (RawClient inTurn = ProxyFixture.client(proxy);
                RawClient joined = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            slow.stop();
            inTurn.send("GET", keys.get(1));
            inTurn.send("INCR", keys.get(0));
            joined.send("MSET", keys.get(0), "7", keys.get(1), "7");
            Await.until(
                    LIMIT,
                    "both writes to be done",
                    () -> reader.text("GET", keys.get(0)).matches("[78]"));
            first.kill();
            next.call("CLUSTER", "FAILOVER", "TAKEOVER"); // the others are too few to be asked
            Await.until(
                    LIMIT,
                    "the next primary to be asked",
                    () -> !reader.text("GET", keys.get(0)).contains("switchback"));
            Await.until(
                    LIMIT,
                    "the former one to be forgotten",
                    () -> watch.seen().filter(Topology.Sharded.class::isInstance).stream()
                            .flatMap(seen -> seen.primaries().stream())
                            .noneMatch(ProxyFixture.endpoint(first)::equals));
            proxy.topology(route.fleet().name(), watch.seen().orElseThrow());
            assertThat(reader.text("GET", keys.get(0))).doesNotContain("switchback"); // by then the loop knows it too
            followers.add(follower(next, LINKS.get(0)));
            slow.resume();
            inTurn.reply();
            assertThat(inTurn.reply().text()).contains("was not confirmed");
            assertThat(joined.reply().text()).contains("was not confirmed");
        }
    }

    /** A shard more has a link more, which the next record of the release names. */
    @Test
    void linksThatAreNamedLaterConfirmWhatWasKeptBefore() {
        protect(OnStall.HOLD, List.of(LINKS.get(0), LINKS.get(2)));
        try (RawClient writer = ProxyFixture.client(proxy)) {
            followers.get(1).stop();
            writer.send("SET", keys.get(1), "1");
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            protect(OnStall.HOLD, LINKS);
            assertThat(writer.hasReplyWithin(UNKEPT_MS)).isFalse();
            followers.get(1).resume();
            assertThat(writer.reply().text()).isEqualTo("OK");
            assertThat(followers.get(1).text("GET", keys.get(1))).isEqualTo("1");
        }
    }
}
