package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.Unpooled;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReplicaReport;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Reads go to the replicas of the shard that has their key, as far as what these answer can be believed. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ClusterReplicasTest {
    private static final Duration LIMIT = ClusterFixture.LIMIT;
    /** Whoever has written does not come back to a replica for longer than a test takes. */
    private static final ReplicaSettings PATIENT = ReplicaSettings.of(Duration.ofSeconds(60));

    private RealCluster cluster;

    @BeforeAll
    void start(@TempDir Path folder) {
        // On a slow machine none of them takes another one's place meanwhile: the tests know who is the primary.
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 1, "--cluster-replica-no-failover", "yes");
    }

    @AfterAll
    void stop() {
        cluster.close();
    }

    @BeforeEach
    void clear() {
        primaries().forEach(primary -> primary.call("FLUSHALL"));
        awaitSame();
    }

    @AfterEach
    void goOn() {
        cluster.nodes().forEach(RealServer::resume);
    }

    private List<RealServer> primaries() {
        return cluster.nodes().subList(0, 3);
    }

    private List<RealServer> replicas() {
        return cluster.nodes().subList(3, 6);
    }

    private void set(int shard, String key, String value) {
        primaries().get(shard).call("SET", key, value);
    }

    private void awaitSame() {
        Await.until(LIMIT, "the replicas have everything", () -> {
            for (int i = 0; i < 3; i++) {
                String offset = primaries().get(i).info("replication", "master_repl_offset");
                if (!offset.equals(replicas().get(i).info("replication", "slave_repl_offset"))) {
                    return false;
                }
            }
            return true;
        });
    }

    private long calls(String command) {
        return replicas().stream()
                .mapToLong(replica -> ReplicaFleet.calls(replica, command))
                .sum();
    }

    private static ReplicaWatch watch(CacheProxy proxy, FleetWatch who, ReplicaSettings settings) {
        ReplicaWatch watch = ReplicaFleet.watch(proxy, proxy.route().fleet(), settings, who::seen);
        ReplicaFleet.awaitInUse(proxy, 3);
        return watch;
    }

    private CacheProxy proxy() {
        return ProxyFixture.proxy(ClusterFixture.route("blue", cluster, 1), ProxyLimits.DEFAULT, 1);
    }

    // --- which reads go there

    @Test
    void readsOfEachShardGoToItsReplica() {
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            keys.add(cluster.keyOn(primaries().get(i), "k"));
            set(i, keys.get(i), "value " + i);
        }
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            awaitReads(proxy, client, keys, 50);
            Map<Endpoint, ReplicaCounts.One> counts = proxy.replicaCounts().replicas();
            assertThat(counts).hasSize(3);
            replicas()
                    .forEach(replica ->
                            assertThat(ReplicaFleet.calls(replica, "get")).isGreaterThan(50));
        }
    }

    /** One after the other and several at once, until so many reads of each of them, and no less, were answered by replicas. */
    private static void awaitReads(CacheProxy proxy, RawClient client, List<String> keys, int each) {
        Await.until(LIMIT, "replicas answer", () -> {
            for (int i = 0; i < keys.size(); i++) {
                assertThat(client.text("GET", keys.get(i))).isEqualTo("value " + i);
            }
            keys.forEach(key -> client.send("GET", key));
            for (int i = 0; i < keys.size(); i++) {
                assertThat(client.reply().text()).isEqualTo("value " + i);
            }
            return proxy.replicaCounts().replicas().values().stream().allMatch(one -> one.reads() > each);
        });
    }

    @Test
    void whoHasJustWrittenReadsAtThePrimariesAndOthersDoNot() {
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            keys.add(cluster.keyOn(primaries().get(i), "w"));
            set(i, keys.get(i), "value " + i);
        }
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient reader = ProxyFixture.client(proxy);
                RawClient writer = ProxyFixture.client(proxy)) {
            awaitReads(proxy, reader, keys, 5);
            long before = proxy.replicaCounts().reads();
            assertThat(writer.text("SET", keys.get(0), "new")).isEqualTo("OK");
            for (int i = 0; i < 200; i++) {
                assertThat(writer.text("GET", keys.get(0))).isEqualTo("new");
                assertThat(writer.text("GET", keys.get(1))).isEqualTo("value 1");
            }
            assertThat(proxy.replicaCounts().reads()).isEqualTo(before);
            assertThat(reader.text("GET", keys.get(1))).isEqualTo("value 1");
            assertThat(proxy.replicaCounts().reads()).isEqualTo(before + 1);
        }
    }

    /** What is there and what is not, one key several times, of all shards: every reply in its place. */
    @Test
    void aPipelineOfWhatIsThereAndWhatIsNotIsAnsweredInOrder() {
        for (int i = 0; i < 60; i++) {
            if (i % 3 != 0) {
                String key = "p" + i;
                cluster.primaryOf(RealCluster.slotOf(key)).call("SET", key, "v" + i);
            }
        }
        RealServer ofList = cluster.primaryOf(RealCluster.slotOf("list"));
        ofList.call("DEL", "list");
        ofList.call("RPUSH", "list", "x");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            for (int round = 0; round < 20; round++) {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                for (int i = 0; i < 60; i++) {
                    all.writeBytes(CommandEncoder.encode("GET", "p" + i));
                    all.writeBytes(CommandEncoder.encode("STRLEN", "p" + i));
                    all.writeBytes(CommandEncoder.encode("GET", "p" + i));
                }
                all.writeBytes(CommandEncoder.encode("GET", "list"));
                all.writeBytes(CommandEncoder.encode("LRANGE", "list", "0", "-1"));
                all.writeBytes(CommandEncoder.encode("TYPE", "list"));
                client.sendRaw(all.toByteArray());
                for (int i = 0; i < 60; i++) {
                    String value = i % 3 == 0 ? "" : "v" + i;
                    assertThat(client.reply().text()).as("%s of %s", i, round).isEqualTo(value);
                    assertThat(client.reply()).isEqualTo(new Reply.Int(value.length()));
                    assertThat(client.reply().text()).isEqualTo(value);
                }
                assertThat(client.reply().text()).startsWith("WRONGTYPE");
                assertThat(client.reply().text()).isEqualTo("[x]");
                assertThat(client.reply().text()).isEqualTo("list");
                client.sendRaw(pipeline("GET p1", "GET p2", "GET p4"));
                assertThat(client.reply().text()
                                + client.reply().text()
                                + client.reply().text())
                        .isEqualTo("v1v2v4");
            }
            ReplicaCounts counts = proxy.replicaCounts();
            assertThat(counts.reads()).as("%s", counts).isPositive();
            assertThat(counts.replicas().values().stream()
                            .mapToLong(ReplicaCounts.One::askedAgain)
                            .sum())
                    .isPositive();
        }
    }

    /** Who asks for what is not there has seen nothing that the replica had not, and reads on there. */
    @Test
    void whatIsNotThereKeepsNobodyFromReplicas() {
        String key = cluster.keyOn(primaries().get(0), "there");
        String none = cluster.keyOn(primaries().get(0), "none");
        set(0, key, "v");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            Await.until(LIMIT, "the replica answers", () -> {
                assertThat(client.text("GET", key)).isEqualTo("v");
                return proxy.replicaCounts().reads() > 0;
            });
            long before = ReplicaFleet.calls(primaries().get(0), "get");
            long of = proxy.replicaCounts().reads();
            for (int i = 0; i < 100; i++) {
                assertThat(client.call("GET", none)).isEqualTo(new Reply.Nil());
                assertThat(client.text("GET", key)).isEqualTo("v");
            }
            assertThat(ReplicaFleet.calls(primaries().get(0), "get") - before).isLessThan(150);
            assertThat(proxy.replicaCounts().reads() - of).isGreaterThan(50);
        }
    }

    /** Each client has seen nothing before, so its first read goes to a replica. */
    @Test
    void aWriteBehindAReadThatThePrimaryHasToBeAskedForComesAfterIt() {
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT)) {
            int rounds = 20;
            String there = cluster.keyOn(primaries().get(0), "there");
            set(0, there, "v");
            Await.until(LIMIT, "a replica answers who has seen nothing", () -> {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    assertThat(client.text("GET", there)).isEqualTo("v");
                }
                return proxy.replicaCounts().reads() > 0;
            });
            for (int i = 0; i < rounds; i++) {
                String key = cluster.keyOn(primaries().get(0), "fresh-" + i + "-");
                try (RawClient client = ProxyFixture.client(proxy)) {
                    client.sendRaw(pipeline("GET " + key, "SET " + key + " 1", "GET " + key));
                    assertThat(client.reply()).isEqualTo(new Reply.Nil());
                    assertThat(client.reply().text()).isEqualTo("OK");
                    assertThat(client.reply().text()).isEqualTo("1");
                }
            }
            assertThat(askedAgain(proxy)).isGreaterThan(rounds / 2);
        }
    }

    /** Else it might be older than what the primary says, whichever keys it is about: what comes later never shows less. */
    @Test
    void whatStandsBehindAReadThatThePrimaryIsAskedForGoesThereToo() {
        RealServer primary = primaries().get(0);
        String list = cluster.keyOn(primary, "list");
        String other = cluster.keyOn(primary, "other");
        primary.call("RPUSH", list, "x");
        primary.call("RPUSH", other, "x");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT)) {
            Await.until(LIMIT, "connections are there", () -> {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    assertThat(client.call("LLEN", list)).isEqualTo(new Reply.Int(1));
                }
                return proxy.replicaCounts().reads() > 0;
            });
            long types = ReplicaFleet.calls(primary, "type");
            long lengths = ReplicaFleet.calls(primary, "llen");
            try (RawClient client = ProxyFixture.client(proxy)) {
                client.sendRaw(pipeline("LLEN " + other, "GET " + list, "TYPE " + list, "LLEN " + other));
                assertThat(client.reply()).isEqualTo(new Reply.Int(1));
                assertThat(client.reply().text()).startsWith("WRONGTYPE");
                assertThat(client.reply().text()).isEqualTo("list");
                assertThat(client.reply()).isEqualTo(new Reply.Int(1));
            }
            assertThat(ReplicaFleet.calls(primary, "type")).isEqualTo(types + 1);
            assertThat(ReplicaFleet.calls(primary, "llen")).isEqualTo(lengths + 1);
        }
    }

    /** Whom a message tells of a change reads it: a replica may not have it yet. */
    @Test
    void whoHasShardChannelsReadsFromPrimaries() {
        RealServer primary = primaries().get(0);
        String key = cluster.keyOn(primary, "told");
        set(0, key, "v");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            client.call("HELLO", "3");
            Await.until(LIMIT, "a replica answers", () -> {
                assertThat(client.text("GET", key)).isEqualTo("v");
                return proxy.replicaCounts().reads() > 0;
            });
            assertThat(client.text("SSUBSCRIBE", "channel")).isEqualTo("[ssubscribe, channel, 1]");
            long reads = ReplicaFleet.calls(primary, "get");
            for (int i = 0; i < 20; i++) {
                assertThat(client.text("GET", key)).isEqualTo("v");
            }
            assertThat(ReplicaFleet.calls(primary, "get")).isEqualTo(reads + 20);
        }
    }

    /** One that waits for a replica, and is answered otherwise meanwhile, waits no longer. */
    @Test
    void nobodyWaitsForAReplicaForEverWhereMemoryAnswersInItsPlace() {
        String hash = cluster.keyOn(primaries().get(0), "hash");
        String text = cluster.keyOn(primaries().get(1), "text");
        String third = cluster.keyOn(primaries().get(2), "third");
        primaries().get(0).call("HSET", hash, "f", "v");
        set(1, text, "v");
        set(2, third, "v");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            proxy.remember(new MemorySettings(1024 * 1024, Duration.ofMillis(200)));
            // Now and then, once a second, it waits for a replica to have what it has seen.
            Deadline enough = Deadline.in(Environment.system(), Duration.ofSeconds(4));
            while (!enough.passed()) {
                client.sendRaw(pipeline("HGETALL " + hash, "GET " + text, "MGET " + text + " " + third));
                assertThat(client.reply().text()).isEqualTo("[f, v]");
                assertThat(client.reply().text()).isEqualTo("v");
                assertThat(client.reply().text()).isEqualTo("[v, v]");
            }
        }
    }

    /** So that they come at once. */
    private static byte[] pipeline(String... commands) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (String command : commands) {
            all.writeBytes(CommandEncoder.encode(command.split(" ", -1)));
        }
        return all.toByteArray();
    }

    private static long askedAgain(CacheProxy proxy) {
        return proxy.replicaCounts().replicas().values().stream()
                .mapToLong(ReplicaCounts.One::askedAgain)
                .sum();
    }

    @Test
    void aLargeAnswerOfAReplicaComesInWhole() {
        String key = cluster.keyOn(primaries().get(1), "large");
        set(1, key, "x".repeat(6 * 1024 * 1024));
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT)) {
            Await.until(LIMIT, "a replica has sent one", () -> {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    client.send("GET", key);
                    client.send("STRLEN", key);
                    assertThat(client.reply().text()).hasSize(6 * 1024 * 1024);
                    assertThat(client.reply()).isEqualTo(new Reply.Int(6 * 1024 * 1024));
                }
                return ReplicaFleet.calls(replicas().get(1), "get") > 1;
            });
        }
    }

    // --- what is not believed

    /** A replica does not know that its primary gives a slot away. */
    @Test
    void whatAReplicaDoesNotHaveIsAskedForWhereItHasGone() {
        String moved = cluster.keyOn(primaries().get(0), "moved");
        int slot = RealCluster.slotOf(moved);
        set(0, moved, "here");
        awaitSame();
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, PATIENT);
                RawClient client = ProxyFixture.client(proxy)) {
            Await.until(LIMIT, "the replica answers", () -> {
                assertThat(client.text("GET", moved)).isEqualTo("here");
                return proxy.replicaCounts().reads() > 0;
            });
            cluster.beginMove(slot, primaries().get(1));
            try {
                cluster.moveKeys(slot, primaries().get(1), 10);
                awaitSame();
                long before = calls("get");
                for (int i = 0; i < 50; i++) {
                    assertThat(client.text("GET", moved)).isEqualTo("here");
                    assertThat(client.call("EXISTS", moved)).isEqualTo(new Reply.Int(1));
                    assertThat(client.text("TYPE", moved)).isEqualTo("string");
                }
                assertThat(calls("get")).isGreaterThan(before); // it has been asked
                cluster.finishMove(slot, primaries().get(0), primaries().get(1));
                assertThat(client.text("GET", moved)).isEqualTo("here");
            } finally {
                bringHome(slot, primaries().get(0));
            }
        }
    }

    /** The test says what there is to say of replicas, and they stand still. */
    @Test
    void afterASlotHasMovedItIsReadFromReplicasThatAreSeenToBePastThat() {
        RealServer home = primaries().get(0);
        RealServer other = primaries().get(1);
        RealServer replica = replicas().get(0);
        String key = cluster.keyOn(home, "fro");
        int slot = RealCluster.slotOf(key);
        set(0, key, "1");
        awaitSame();
        try (CacheProxy proxy = toldOnce()) {
            proxy.readFromReplicas(PATIENT, any -> {});
            try (RawClient client = ProxyFixture.client(proxy);
                    RawClient writer = ProxyFixture.client(proxy)) {
                Await.until(LIMIT, "the replica answers", () -> {
                    tell(proxy, home, replica);
                    assertThat(client.text("GET", key)).isEqualTo("1");
                    return proxy.replicaCounts().reads() > 0;
                });
                long seen = Environment.system().nanoTime();
                cluster.moveSlot(slot, other);
                assertThat(writer.text("SET", key, "2")).isEqualTo("OK"); // by which the proxy learns where it is
                assertThat(client.text("GET", key)).isEqualTo("2");
                cluster.moveSlot(slot, home);
                assertThat(writer.text("SET", key, "3")).isEqualTo("OK");
                replica.stop(); // what is sent there now, nobody gets before the test ends
                tell(proxy, home, replica, seen);
                for (int i = 0; i < 20; i++) {
                    assertThat(client.text("GET", key)).isEqualTo("3");
                }
                replica.resume();
                awaitSame();
                long before = proxy.replicaCounts().reads();
                Await.until(LIMIT, "the replica answers again", () -> {
                    tell(proxy, home, replica);
                    assertThat(client.text("GET", key)).isEqualTo("3");
                    return proxy.replicaCounts().reads() > before;
                });
            }
        } finally {
            replica.resume();
            bringHome(slot, home);
        }
    }

    @Test
    void whoHasReadAtThePrimaryReadsFromAReplicaThatIsSeenToHaveThat() {
        RealServer replica = replicas().get(0);
        String key = cluster.keyOn(primaries().get(0), "ahead");
        set(0, key, "v");
        awaitSame();
        try (CacheProxy proxy = toldOnce()) {
            proxy.readFromReplicas(PATIENT, any -> {});
            try (RawClient client = ProxyFixture.client(proxy)) {
                Await.until(LIMIT, "the replica answers", () -> {
                    tell(proxy, primaries().get(0), replica);
                    assertThat(client.text("GET", key)).isEqualTo("v");
                    return proxy.replicaCounts().reads() > 0;
                });
                replica.stop(); // what is sent there now, nobody gets before the test ends
                assertThat(client.text("MGET", key)).isEqualTo("[v]"); // no replica may answer that
                for (int i = 0; i < 20; i++) {
                    assertThat(client.text("GET", key)).isEqualTo("v");
                }
                replica.resume();
                long before = proxy.replicaCounts().reads();
                Await.until(LIMIT, "the replica answers again", () -> {
                    tell(proxy, primaries().get(0), replica);
                    assertThat(client.text("GET", key)).isEqualTo("v");
                    return proxy.replicaCounts().reads() > before;
                });
            }
        } finally {
            replica.resume();
        }
    }

    /** It follows another shard's primary by now, say. */
    @Test
    void aReplicaThatSendsElsewhereIsNotBelieved() {
        String key = cluster.keyOn(primaries().get(0), "else");
        set(0, key, "v");
        awaitSame();
        try (CacheProxy proxy = toldOnce()) {
            proxy.readFromReplicas(PATIENT, any -> {});
            try (RawClient client = ProxyFixture.client(proxy)) {
                Await.until(LIMIT, "it is asked", () -> {
                    tell(proxy, primaries().get(0), replicas().get(2));
                    assertThat(client.text("GET", key)).isEqualTo("v");
                    return proxy.replicaCounts().replicas().values().stream().anyMatch(one -> one.askedAgain() > 0);
                });
                assertThat(proxy.replicaCounts().reads()).isZero();
                assertThat(client.text("SET", key, "w")).isEqualTo("OK");
                assertThat(client.text("GET", key)).isEqualTo("w");
            }
        }
    }

    // --- one that stands still

    @Test
    void aReplicaThatStandsStillKeepsNobodyWaiting() {
        String key = cluster.keyOn(primaries().get(0), "still");
        set(0, key, "v");
        awaitSame();
        ReplicaSettings strict = ReplicaSettings.of(Duration.ofMillis(400));
        try (CacheProxy proxy = proxy();
                FleetWatch who = ClusterFixture.watch(proxy, proxy.route());
                ReplicaWatch _ = watch(proxy, who, strict);
                RawClient client = ProxyFixture.client(proxy)) {
            Await.until(LIMIT, "the replica answers", () -> {
                assertThat(client.text("GET", key)).isEqualTo("v");
                return proxy.replicaCounts().reads() > 10;
            });
            replicas().get(0).stop();
            client.sendRaw(pipeline("GET " + key, "STRLEN " + key, "GET " + key));
            assertThat(client.reply().text()).isEqualTo("v");
            assertThat(client.reply()).isEqualTo(new Reply.Int(1));
            assertThat(client.reply().text()).isEqualTo("v");
            assertThat(askedAgain(proxy)).isPositive();
        }
    }

    @Test
    void aHoldWaitsForNoReplicaAndWhatItHasNotAnsweredGoesToTheNextFleet(@TempDir Path folder) {
        RealServer replica = replicas().get(0);
        String key = cluster.keyOn(primaries().get(0), "held");
        set(0, key, "of the cluster");
        awaitSame();
        try (RealServer next = ProxyFixture.server(folder);
                CacheProxy proxy = toldOnce()) {
            next.call("SET", key, "of the next fleet");
            proxy.readFromReplicas(PATIENT, any -> {});
            try (RawClient client = ProxyFixture.client(proxy)) {
                Await.until(LIMIT, "the replica answers", () -> {
                    tell(proxy, primaries().get(0), replica);
                    assertThat(client.text("GET", key)).isEqualTo("of the cluster");
                    return proxy.replicaCounts().reads() > 0;
                });
                replica.stop();
                tell(proxy, primaries().get(0), replica);
                client.send("GET", key);
                Await.until(LIMIT, "it is sent", () -> proxy.commandsUnanswered() == 1);
                assertThat(ProxyFixture.hold(proxy, 10_000)).isInstanceOf(HoldOutcome.Held.class);
                assertThat(client.hasReplyWithin(1)).isFalse();
                proxy.letGo(ProxyFixture.route("green", next, 2)).join();
                assertThat(client.reply().text()).isEqualTo("of the next fleet");
                assertThat(client.text("GET", key)).isEqualTo("of the next fleet");
            }
        } finally {
            replica.resume();
        }
    }

    private CacheProxy toldOnce() {
        CacheProxy proxy = proxy();
        proxy.topology("blue", ClusterFixture.topology(primaries()));
        return proxy;
    }

    private void bringHome(int slot, RealServer home) {
        if (cluster.primaryOf(slot) != home) {
            cluster.moveSlot(slot, home);
        }
    }

    /** That it has everything by now. */
    private static void tell(CacheProxy proxy, RealServer primary, RealServer replica) {
        tell(proxy, primary, replica, Environment.system().nanoTime());
    }

    private static void tell(CacheProxy proxy, RealServer primary, RealServer replica, long hasAllUntilNanos) {
        long now = Environment.system().nanoTime();
        ReplicaReport.Replica one = new ReplicaReport.Replica(
                ProxyFixture.endpoint(replica), now, OptionalLong.of(hasAllUntilNanos), true, 0, "");
        proxy.replicas("blue", new ReplicaReport(ProxyFixture.endpoint(primary), false, now, List.of(one)));
    }

    // --- a primary that dies

    @Test
    void withoutAPrimaryReadsOfItsShardGoOnWhereTheCacheAllowsThat(@TempDir Path folder) {
        withoutPrimary(folder, Duration.ofMinutes(2), true);
    }

    @Test
    void withoutAPrimaryReadsOfItsShardWaitForOneWhereTheCacheDoesNotSaySo(@TempDir Path folder) {
        withoutPrimary(folder, Duration.ZERO, false);
    }

    /** Nobody takes its place, and the other shards go on. */
    private static void withoutPrimary(Path folder, Duration withoutPrimary, boolean goesOn) {
        ReplicaSettings settings =
                new ReplicaSettings(Duration.ofSeconds(1), withoutPrimary, 0.5, Optional.empty(), Map.of());
        try (RealCluster own = RealCluster.start(
                ProxyFixture.binary(),
                folder,
                3,
                1,
                "--cluster-require-full-coverage",
                "no",
                "--cluster-replica-no-failover",
                "yes")) {
            RealServer dying = own.nodes().get(0);
            String key = own.keyOn(dying, "k");
            String elsewhere = own.keyOn(own.nodes().get(1), "k");
            dying.call("SET", key, "v");
            own.nodes().get(1).call("SET", elsewhere, "w");
            dying.call("WAIT", "1", "10000");
            BackendRoute route = ClusterFixture.route("blue", own, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(route, ProxyLimits.DEFAULT, 1);
                    FleetWatch who = ClusterFixture.watch(proxy, route);
                    ReplicaWatch _ = watch(proxy, who, settings);
                    RawClient client = ProxyFixture.client(proxy);
                    RawClient writer = ProxyFixture.client(proxy)) {
                Await.until(LIMIT, "the replica answers", () -> {
                    assertThat(client.text("GET", key)).isEqualTo("v");
                    return proxy.replicaCounts().reads() > 10;
                });
                dying.kill();
                String unreachable =
                        "-ERR switchback: fleet blue at " + ProxyFixture.endpoint(dying) + " cannot be reached: ";
                // One that is under way as it dies is lost, the others wait for a primary.
                Await.until(
                        LIMIT,
                        "a write is told",
                        () -> writer.text("SET", key, "x").startsWith(unreachable));
                long before = proxy.replicaCounts().reads();
                for (int i = 0; i < 20; i++) {
                    assertThat(client.text("GET", key)).startsWith(goesOn ? "v" : unreachable);
                    assertThat(client.text("GET", elsewhere)).isEqualTo("w");
                }
                if (goesOn) {
                    assertThat(proxy.replicaCounts().reads()).isGreaterThanOrEqualTo(before + 20);
                }
            }
        }
    }

    // --- what may be asked for there

    /** Whatever is asked of a key that is not there, the answer says so; else a slot that is on its way would lead to wrong answers. */
    @Test
    void eachCommandThatAReplicaMayAnswerShowsThatItsKeyIsNotThere() {
        RealServer server = primaries().get(0);
        String none = cluster.keyOn(server, "nothing");
        for (CommandRule rule : ShardReplicas.answered()) {
            for (String hello : List.of("2", "3")) {
                try (RawClient client = new RawClient(ProxyFixture.endpoint(server))) {
                    client.call("HELLO", hello);
                    String reply = client.raw(command(rule.name(), none));
                    assertThat(ShardReplicas.isOfNoKey(Unpooled.copiedBuffer(reply, ISO_8859_1))
                                    || reply.startsWith("-ERR unknown command"))
                            .as("%s over RESP%s: %s", rule.name(), hello, reply)
                            .isTrue();
                }
            }
        }
    }

    private static String[] command(String name, String key) {
        List<String> words = new ArrayList<>(List.of(name.toUpperCase(Locale.ROOT)));
        switch (name) {
            case "sinter" -> words.addAll(List.of(key));
            case "sintercard", "zinter", "zintercard" -> words.addAll(List.of("1", key));
            case "geodist" -> words.addAll(List.of(key, "a", "b"));
            case "georadius_ro" -> words.addAll(List.of(key, "1", "1", "1", "km"));
            case "georadiusbymember_ro" -> words.addAll(List.of(key, "a", "1", "km"));
            case "geosearch" -> words.addAll(List.of(key, "FROMLONLAT", "1", "1", "BYRADIUS", "1", "km"));
            case "getbit", "hexists", "hget", "hstrlen", "lindex", "lpos", "sismember", "zrank", "zrevrank", "zscore" ->
                words.addAll(List.of(key, "1"));
            case "getrange", "lrange", "substr", "zcount", "zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore" ->
                words.addAll(List.of(key, "0", "1"));
            case "xrange" -> words.addAll(List.of(key, "-", "+"));
            case "xrevrange" -> words.addAll(List.of(key, "+", "-"));
            case "zlexcount", "zrangebylex", "zrevrangebylex" -> words.addAll(List.of(key, "-", "+"));
            default -> words.add(key);
        }
        return words.toArray(String[]::new);
    }
}
