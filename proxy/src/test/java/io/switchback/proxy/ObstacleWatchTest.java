package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.proxy.ClusterObstacles.DatabaseUse;
import io.switchback.proxy.ClusterObstacles.Obstacle;
import io.switchback.proxy.ClusterObstacles.Why;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What clients of one server do that a cluster would not do for them is told, and nothing else; a real cluster says which is which. */
class ObstacleWatchTest {
    /** Keys of three slots, of which the third is the first one's. */
    private static final String A = "{a}1";

    private static final String B = "{b}1";
    private static final String ALSO_A = "{a}2";

    private static RealServer server;
    private static RealCluster cluster;
    private static CacheProxy proxy;
    private static CacheProxy inFrontOfCluster;
    private static FleetWatch watch;

    @BeforeAll
    static void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder.resolve("one"));
        cluster = RealCluster.start(ProxyFixture.binary(), folder.resolve("cluster"), 3, 0);
        proxy = ProxyFixture.proxy(ProxyFixture.route("blue", server, 1));
        BackendRoute route = ClusterFixture.route("green", cluster, 1);
        inFrontOfCluster = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(inFrontOfCluster, route);
    }

    @AfterAll
    static void stop() {
        watch.close();
        inFrontOfCluster.close();
        proxy.close();
        cluster.close();
        server.close();
    }

    @BeforeEach
    void watchAnew() {
        proxy.watchForCluster(false);
        proxy.watchForCluster(true);
        server.call("FLUSHALL");
    }

    /** What a client sends, and the one thing that is said of it; without a reason, nothing. */
    record Use(String commands, @Nullable Why why) {
        List<String[]> split() {
            return Stream.of(commands.split(" ; ", -1))
                    .map(command -> command.split(" ", -1))
                    .toList();
        }
    }

    static Stream<Use> uses() {
        return Stream.of(
                new Use("RENAME {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("RENAME {a}1 {a}2", null),
                new Use("SINTERSTORE {a}1 {a}2 {b}1", Why.SEVERAL_SLOTS),
                new Use("SUNION {a}1 {a}2", null),
                new Use("MSET {a}1 x {b}1 y", null),
                new Use("MGET {a}1 {b}1", null),
                new Use("DEL {a}1 {b}1", null),
                new Use("MSETNX {a}1 x {b}1 y", Why.SEVERAL_SLOTS),
                new Use("EVAL return{1} 2 {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("EVAL return{1} 2 {a}1 {a}2", null),
                new Use("EVALSHA ffffffffffffffffffffffffffffffffffffffff 2 {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("FCALL f 2 {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("BLPOP {a}1 {b}1 0.01", Why.SEVERAL_SLOTS),
                new Use("XREAD STREAMS {a}1 {b}1 0 0", Why.SEVERAL_SLOTS),
                new Use("SORT {a}1 STORE {b}1", Why.SEVERAL_SLOTS),
                new Use("SORT {a}1 BY nosort LIMIT 0 2 STORE {a}2", null),
                new Use("SORT {a}1 BY weight_*", Why.PATTERN),
                new Use("SORT {a}1 GET value_*", Why.PATTERN),
                new Use("SORT_RO {a}1 GET value_*", Why.PATTERN),
                new Use("WATCH {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("WATCH {a}1 {a}2 ; UNWATCH ; WATCH {b}1", null),
                new Use("WATCH {a}1 ; WATCH {b}1", Why.TRANSACTION),
                new Use("WATCH {a}1 ; MULTI ; SET {b}1 x ; EXEC", Why.TRANSACTION),
                new Use("MULTI ; SET {a}1 x ; SET {b}1 y ; SET {a}2 z ; EXEC", Why.TRANSACTION),
                new Use("MULTI ; MGET {a}1 {b}1 ; EXEC", Why.TRANSACTION),
                new Use("MULTI ; SET {a}1 x ; GET {a}2 ; EXEC ; MULTI ; GET {b}1 ; EXEC", null),
                new Use("MULTI ; SET {a}1 x ; DISCARD ; MULTI ; SET {b}1 x ; EXEC", null),
                new Use("MULTI ; DBSIZE ; EXEC", Why.EVERY_SHARD_IN_TRANSACTION),
                new Use("DBSIZE", null),
                new Use("KEYS x*", null),
                new Use("MOVE {a}1 1", Why.DATABASE),
                new Use("SWAPDB 0 1", Why.DATABASE),
                new Use("COPY {a}1 {a}2 DB 1", Why.DATABASE),
                new Use("COPY {a}1 {a}2", null),
                new Use("SSUBSCRIBE {a}1 {b}1", Why.SEVERAL_SLOTS),
                new Use("SSUBSCRIBE {a}1 {a}2", null),
                new Use("CLIENT IMPORT-SOURCE ON", Why.ONE_SERVER),
                new Use("CLIENT SETNAME x", null),
                new Use("SELECT 0", null),
                new Use("PUBLISH {a}1 x", null));
    }

    @ParameterizedTest
    @MethodSource("uses")
    void whatAClusterRefusesIsTold(Use use) {
        List<String> direct = replies(inFrontOfCluster, use);
        replies(proxy, use);
        ClusterObstacles told = proxy.clusterObstacles().join();
        boolean isRefused = direct.stream().anyMatch(ObstacleWatchTest::isAboutTheCluster);
        assertThat(isRefused).as("%s is answered by %s", use, direct).isEqualTo(use.why() != null);
        assertThat(told.commands().stream().map(Obstacle::why))
                .as("%s: %s", use, told)
                .containsExactlyElementsOf(Stream.ofNullable(use.why()).toList());
        assertThat(told.isEmpty()).isEqualTo(use.why() == null);
    }

    private static boolean isAboutTheCluster(String reply) {
        return reply.startsWith("-CROSSSLOT")
                || reply.contains("in front of a cluster")
                || reply.contains("in cluster mode")
                || reply.contains("Cluster mode");
    }

    private static List<String> replies(CacheProxy of, Use use) {
        List<String> replies = new ArrayList<>();
        try (RawClient client = ProxyFixture.client(of)) {
            for (String[] command : use.split()) {
                replies.add(client.text(command));
            }
        }
        return replies;
    }

    @Test
    void eachCommandOfAPipelineCountsOnceWhoeverSendsIt() {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int i = 0; i < 500; i++) {
            all.writeBytes(CommandEncoder.encode("SET", A, "x"));
            all.writeBytes(CommandEncoder.encode("RENAME", A, ALSO_A));
            all.writeBytes(CommandEncoder.encode("SUNION", "{c}", A, B));
        }
        List<RawClient> clients = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            clients.add(ProxyFixture.client(proxy)); // by turns on both event loops
        }
        for (RawClient client : clients) {
            client.sendRaw(all.toByteArray());
        }
        for (RawClient client : clients) {
            for (int i = 0; i < 1_500; i++) {
                client.reply();
            }
            client.close();
        }
        ClusterObstacles told = proxy.clusterObstacles().join();
        assertThat(told.commands()).hasSize(1);
        Obstacle obstacle = told.commands().getFirst();
        assertThat(obstacle.command()).isEqualTo("SUNION");
        assertThat(obstacle.times()).isEqualTo(2_000);
        assertThat(obstacle.keys()).containsExactly("{c}", A);
    }

    @Test
    void aTransactionThatMixesIsToldWithBothKeysAndCountsOnce() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 3; i++) {
                client.send("MULTI");
                client.send("SET", A, "x");
                client.send("INCR", "\u0001" + "k".repeat(100));
                client.send("INCR", B);
                client.send("EXEC");
            }
            for (int i = 0; i < 15; i++) {
                client.reply();
            }
        }
        Obstacle obstacle = proxy.clusterObstacles().join().commands().getFirst();
        assertThat(obstacle.command()).isEqualTo("INCR");
        assertThat(obstacle.times()).isEqualTo(3);
        assertThat(obstacle.keys()).containsExactly(A, "\\x01" + "k".repeat(63) + "... (101 bytes)");
    }

    @Test
    void databasesAreToldWithTheirClientsAlsoOfThoseThatWereThereBefore() {
        proxy.watchForCluster(false);
        try (RawClient before = ProxyFixture.client(proxy);
                RawClient after = ProxyFixture.client(proxy)) {
            before.text("SELECT", "3");
            proxy.watchForCluster(true);
            for (int i = 0; i < 5; i++) {
                after.text("SELECT", "2");
                after.text("SELECT", "0");
            }
            after.text("SELECT", "99"); // there is none
            after.send("MULTI");
            after.send("SELECT", "4");
            after.send("EXEC");
            after.send("PING");
            for (int i = 0; i < 4; i++) {
                after.reply();
            }
            assertThat(proxy.clusterObstacles().join().databases())
                    .containsExactly(new DatabaseUse(2, 0, 5), new DatabaseUse(3, 1, 0), new DatabaseUse(4, 1, 1));
        }
    }

    @Test
    void aScriptWithoutKeysIsToldAsADoubt() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("EVAL", "return redis.call('GET', 'x')", "0");
        }
        Obstacle obstacle = proxy.clusterObstacles().join().commands().getFirst();
        assertThat(obstacle.why()).isEqualTo(Why.NO_KEYS);
        assertThat(obstacle.why().isCertain()).isFalse();
    }

    @Test
    void nothingIsToldWhereItIsOff() {
        proxy.watchForCluster(false);
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("RENAME", A, B);
            client.text("SELECT", "2");
            assertThat(proxy.clusterObstacles().join().isEmpty()).isTrue();
        }
    }

    @Test
    void databasesThatAreNotKeptAreCounted(@TempDir Path folder) {
        int more = 10;
        try (RealServer wide = ProxyFixture.server(folder, "--databases", "1000");
                CacheProxy ofWide = ProxyFixture.proxy(ProxyFixture.route("blue", wide, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(ofWide)) {
            ofWide.watchForCluster(true);
            for (int i = 1; i <= ObstacleWatch.DATABASES_MAX + more; i++) {
                client.text("SELECT", "" + i);
            }
            client.text("SELECT", "1");
            client.text("SELECT", "0");
            ClusterObstacles told = ofWide.clusterObstacles().join();
            assertThat(told.databases()).hasSize(ObstacleWatch.DATABASES_MAX);
            assertThat(told.databases().getFirst()).isEqualTo(new DatabaseUse(1, 0, 2));
            assertThat(told.notKept()).isEqualTo(more);
        }
    }
}
