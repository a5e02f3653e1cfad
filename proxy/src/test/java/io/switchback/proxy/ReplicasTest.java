package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReplicaReport;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.SlowServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Reads go to replicas as long as these have what their client has seen, and are no older than the cache allows. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ReplicasTest {
    private static final Duration LIMIT = ReplicaFleet.LIMIT;
    /** A replica whose stream is kept back stays in use for longer than a test takes: what is not read from it is not for another reason. */
    private static final ReplicaSettings PATIENT = ReplicaSettings.of(Duration.ofSeconds(60));

    private static final ReplicaSettings STRICT = ReplicaSettings.of(Duration.ofMillis(400));
    private static final Executor THREADS = task -> Thread.ofVirtual().start(task);

    private ReplicaFleet fleet;

    @BeforeAll
    void start(@TempDir Path folder) {
        fleet = new ReplicaFleet(folder, 2);
    }

    @AfterAll
    void stop() {
        fleet.close();
    }

    @BeforeEach
    void clear() {
        fleet.primary.call("FLUSHALL");
        fleet.primary.call("SET", "k", "1");
        fleet.awaitSame();
    }

    @AfterEach
    void goOn() {
        fleet.letGo();
        fleet.replicas.forEach(RealServer::resume);
    }

    private static CacheProxy proxy(BackendRoute route) {
        return ProxyFixture.proxy(route, ProxyLimits.DEFAULT, 1);
    }

    private ReplicaWatch watch(CacheProxy proxy, ReplicaSettings settings) {
        ReplicaWatch watch = ReplicaFleet.watch(proxy, proxy.route().fleet(), settings);
        ReplicaFleet.awaitInUse(proxy, 2);
        return watch;
    }

    /** A client whose last answer came from a replica. */
    private static RawClient atReplica(CacheProxy proxy) {
        RawClient client = ProxyFixture.client(proxy);
        Await.until(LIMIT, "a replica answers", () -> {
            long before = proxy.replicaCounts().reads();
            assertThat(client.call("GET", "k").isError()).isFalse();
            return proxy.replicaCounts().reads() > before;
        });
        return client;
    }

    @Test
    void readsGoToReplicasAndWritesToThePrimary() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            atReplica(proxy).close();
            long atPrimary = ReplicaFleet.calls(fleet.primary, "get");
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                RawClient client = ProxyFixture.client(proxy);
                clients.add(client);
                assertThat(client.text("GET", "k")).isEqualTo("1");
            }
            assertThat(ReplicaFleet.calls(fleet.primary, "get")).isEqualTo(atPrimary);
            fleet.replicas.forEach(
                    replica -> assertThat(ReplicaFleet.calls(replica, "get")).isPositive());
            // One pipeline of both: every answer in its place, and the client's own.
            RawClient first = clients.getFirst();
            StringBuilder commands = new StringBuilder();
            for (int i = 0; i < 100; i++) {
                commands.append(new String(CommandEncoder.encode("GET", "k"), UTF_8));
                commands.append(new String(CommandEncoder.encode("SET", "k", "v" + i), UTF_8));
                commands.append(new String(CommandEncoder.encode("MGET", "k", "none"), UTF_8));
                commands.append(new String(CommandEncoder.encode("ECHO", "e" + i), UTF_8));
            }
            first.sendRaw(commands.toString());
            for (int i = 0; i < 100; i++) {
                assertThat(first.reply().text()).isEqualTo(i == 0 ? "1" : "v" + (i - 1));
                assertThat(first.reply().text()).isEqualTo("OK");
                assertThat(first.rawReply()).startsWith("*2\r\n").contains("\r\nv" + i + "\r\n");
                assertThat(first.reply().text()).isEqualTo("e" + i);
            }
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void whoHasWrittenOrSeenWhatReplicasDoNotHaveReadsAtThePrimary() {
        String[][] ahead = {
            {"SET", "k", "2"},
            {"DUMP", "k"},
            {"EVAL", "return redis.call('GET', 'k')", "0"},
            {"SORT_RO", "none", "BY", "nosort", "GET", "k"}
        };
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            for (String[] command : ahead) {
                fleet.letGo();
                fleet.primary.call("SET", "k", "1");
                fleet.awaitSame();
                try (RawClient client = atReplica(proxy);
                        RawClient stranger = atReplica(proxy)) {
                    fleet.hold();
                    fleet.primary.call("SET", "k", "2");
                    assertThat(stranger.text("GET", "k"))
                            .as("it is not known there")
                            .isEqualTo("1");
                    assertThat(client.call(command).isError()).isFalse();
                    for (int i = 0; i < 20; i++) {
                        assertThat(client.text("GET", "k"))
                                .as("after %s", (Object) command)
                                .isEqualTo("2");
                    }
                    assertThat(stranger.text("GET", "k")).as("still").isEqualTo("1");
                }
            }
        }
    }

    @Test
    void whoReadsFromAReplicaThatIsAheadGoesToNoneThatIsBehind() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            bothHaveAnswered(proxy);
            fleet.wire(0).hold();
            fleet.primary.call("SET", "k", "2");
            Await.until(
                    LIMIT, "one has it", () -> "2".equals(fleet.replicas.get(1).call("GET", "k")));
            List<RawClient> clients = new ArrayList<>();
            int behind = 0;
            for (int i = 0; i < 20; i++) {
                clients.add(ProxyFixture.client(proxy));
            }
            for (RawClient client : clients) {
                String seen = client.text("GET", "k");
                for (int i = 0; i < 20; i++) {
                    String now = client.text("GET", "k");
                    assertThat(now).isGreaterThanOrEqualTo(seen);
                    seen = now;
                }
                behind += seen.equals("1") ? 1 : 0;
            }
            assertThat(behind)
                    .as("of those that have not seen it some are still behind")
                    .isBetween(1, 19);
            // Those at the one that is ahead lose it.
            fleet.replicas.get(1).call("CLIENT", "KILL", "TYPE", "normal");
            for (RawClient client : clients) {
                String seen = client.text("GET", "k");
                for (int i = 0; i < 20; i++) {
                    assertThat(client.text("GET", "k")).isGreaterThanOrEqualTo(seen);
                }
                client.close();
            }
        }
    }

    @Test
    void whatWasReadFromMemoryIsNotOlderAtAReplicaAfterwards() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            proxy.remember(new MemorySettings(1024 * 1024, Duration.ofMinutes(10)));
            try (ReplicaWatch _ = watch(proxy, PATIENT)) {
                Await.until(LIMIT, "a replica answers", () -> {
                    client.call("MGET", "k");
                    return proxy.replicaCounts().reads() > 0;
                });
                assertThat(client.text("GET", "k")).isEqualTo("1");
                // What is known of replicas goes on beyond that.
                long before = proxy.replicaCounts().reads();
                Await.until(LIMIT, "replicas have what the other one has seen", () -> {
                    other.call("GET", "k");
                    other.call("MGET", "k");
                    return proxy.replicaCounts().reads() > before;
                });
                fleet.hold();
                fleet.primary.call("SET", "k", "2");
                Await.until(
                        LIMIT,
                        "the other one has the new one",
                        () -> other.text("GET", "k").equals("2"));
                assertThat(client.text("GET", "k")).isEqualTo("2");
                assertThat(client.raw("MGET", "k")).isEqualTo("*1\r\n$1\r\n2\r\n");
            }
        }
    }

    @Test
    void whatIsToldOfAnotherFleetOrPrimaryIsNotBelieved() {
        Endpoint elsewhere = fleet.endpoint(0);
        long now = Environment.system().nanoTime();
        ReplicaReport.Replica replica =
                new ReplicaReport.Replica(fleet.endpoint(1), now, OptionalLong.of(now), true, 0, "");
        try (CacheProxy proxy = proxy(fleet.route("old", 1))) {
            proxy.readFromReplicas(PATIENT, any -> {});
            proxy.replicas("old", new ReplicaReport(elsewhere, false, now, List.of(replica)));
            proxy.replicas(
                    "new", new ReplicaReport(ProxyFixture.endpoint(fleet.primary), false, now, List.of(replica)));
            assertThat(proxy.replicaCounts().replicas()).isEmpty();
            proxy.replicas(
                    "old", new ReplicaReport(ProxyFixture.endpoint(fleet.primary), false, now, List.of(replica)));
            assertThat(proxy.replicaCounts().replicas()).containsOnlyKeys(fleet.endpoint(1));
        }
    }

    @Test
    void whoOnlyReadsComesBackFromThePrimary() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, STRICT);
                RawClient client = atReplica(proxy)) {
            client.call("SET", "k", "2");
            assertThat(client.text("GET", "k")).isEqualTo("2");
            long before = proxy.replicaCounts().reads();
            // Without a pause between two reads.
            Await.until(LIMIT, "a replica answers again", () -> {
                for (int i = 0; i < 100; i++) {
                    assertThat(client.text("GET", "k")).isEqualTo("2");
                }
                return proxy.replicaCounts().reads() > before;
            });
        }
    }

    @Test
    void aReplicaThatLagsAnswersNobodyUntilItHasCaughtUp() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, STRICT)) {
            fleet.hold();
            fleet.primary.call("SET", "k", "2");
            ReplicaFleet.awaitInUse(proxy, 0);
            long reads = proxy.replicaCounts().reads();
            for (int i = 0; i < 20; i++) {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    assertThat(client.text("GET", "k")).isEqualTo("2");
                }
            }
            assertThat(proxy.replicaCounts().reads()).isEqualTo(reads);
            assertThat(proxy.replicaCounts().atPrimaryForNone()).isGreaterThanOrEqualTo(20);
            fleet.letGo();
            ReplicaFleet.awaitInUse(proxy, 2);
            atReplica(proxy).close();
        }
    }

    @Test
    void aReplicaThatStopsKeepsNobodyWaitingAndItsLateAnswersAreNotBelieved() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, STRICT)) {
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                clients.add(atReplica(proxy));
            }
            fleet.replicas.forEach(RealServer::stop);
            fleet.primary.call("SET", "k", "2");
            clients.forEach(client -> client.send("GET", "k"));
            clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("2"));
            fleet.replicas.forEach(RealServer::resume);
            clients.forEach(client -> {
                assertThat(client.text("GET", "k")).isEqualTo("2");
                client.close();
            });
            ReplicaFleet.awaitInUse(proxy, 2);
        }
    }

    /** The answer is there, but nobody looks at it in time. */
    @Test
    void whatAReplicaSaysIsNotBelievedWhenItComesTooLate(@TempDir Path folder) {
        try (RealServer primary = ProxyFixture.server(folder.resolve("p"), "--repl-diskless-sync-delay", "0");
                RealServer replica = ProxyFixture.server(
                        folder.resolve("r"), "--replicaof", "127.0.0.1", Integer.toString(primary.port()));
                HeldWire wire = new HeldWire(ProxyFixture.endpoint(replica), "GET");
                CacheProxy proxy = proxy(ProxyFixture.route("old", primary, 1))) {
            replica.call(
                    "CONFIG",
                    "SET",
                    "replica-announce-port",
                    Integer.toString(wire.endpoint().port()));
            replica.call("REPLICAOF", "NO", "ONE");
            replica.call("REPLICAOF", "127.0.0.1", Integer.toString(primary.port()));
            primary.call("SET", "k", "1");
            // The watch goes on hearing from it: its questions go over other connections.
            try (ReplicaWatch _ = ReplicaFleet.watch(proxy, proxy.route().fleet(), STRICT)) {
                ReplicaFleet.awaitInUse(proxy, 1);
                try (RawClient client = atReplica(proxy)) {
                    wire.hold();
                    client.send("GET", "k");
                    Await.until(LIMIT, "the replica has answered", () -> ReplicaFleet.calls(replica, "get") > 1);
                    assertThat(client.hasReplyWithin(600)).isFalse();
                    primary.call("SET", "k", "2");
                    wire.letGo();
                    assertThat(client.reply().text()).isEqualTo("2");
                }
            }
        }
    }

    @Test
    void aHoldWaitsForNoReplicaAndNothingGoesToTheFormerFleetAfterwards(@TempDir Path folder) {
        try (RealServer next = ProxyFixture.server(folder);
                CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            next.call("SET", "k", "3");
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                clients.add(atReplica(proxy));
            }
            List<RawClient> idle = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                idle.add(atReplica(proxy));
            }
            fleet.replicas.forEach(RealServer::stop);
            clients.forEach(client -> client.send("GET", "k"));
            Await.until(LIMIT, "the reads are sent", () -> proxy.commandsUnanswered() == clients.size());
            assertThat(ProxyFixture.hold(proxy, 500)).isInstanceOf(HoldOutcome.Held.class);
            fleet.replicas.forEach(RealServer::resume);
            clients.forEach(client -> assertThat(client.hasReplyWithin(1)).isFalse());
            idle.forEach(client -> client.send("STRLEN", "k"));
            idle.forEach(client -> assertThat(client.hasReplyWithin(1)).isFalse());
            long before = fleet.callsOfReplicas("strlen");
            proxy.letGo(ProxyFixture.route("new", next, 2)).join();
            clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("3"));
            idle.forEach(client -> {
                assertThat(client.rawReply()).isEqualTo(":1\r\n");
                client.close();
            });
            for (int i = 0; i < 10; i++) {
                clients.forEach(client -> assertThat(client.raw("STRLEN", "k")).isEqualTo(":1\r\n"));
                try (RawClient another = ProxyFixture.client(proxy)) {
                    assertThat(another.text("GET", "k")).isEqualTo("3");
                    assertThat(another.raw("STRLEN", "k")).isEqualTo(":1\r\n");
                }
            }
            assertThat(fleet.callsOfReplicas("strlen")).isEqualTo(before);
            assertThat(proxy.replicaCounts().replicas()).isEmpty();
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void whatWaitsForTheEndOfASwitchGoesToTheNextFleet(@TempDir Path folder) {
        try (RealServer next = ProxyFixture.server(folder);
                CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            next.call("SET", "k", "3");
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                clients.add(atReplica(proxy));
            }
            assertThat(ProxyFixture.hold(proxy, 2_000)).isInstanceOf(HoldOutcome.Held.class);
            long before = fleet.callsOfReplicas("strlen");
            clients.forEach(client -> {
                client.send("STRLEN", "k");
                assertThat(client.hasReplyWithin(5)).isFalse();
            });
            proxy.letGo(ProxyFixture.route("new", next, 2)).join();
            clients.forEach(client -> {
                assertThat(client.rawReply()).isEqualTo(":1\r\n");
                client.close();
            });
            assertThat(fleet.callsOfReplicas("strlen")).isEqualTo(before);
        }
    }

    @Test
    void theReplicasOfTheNextFleetAreReadFromOnceTheyAreKnown(@TempDir Path folder) {
        try (ReplicaFleet next = new ReplicaFleet(folder, 1);
                CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, STRICT);
                ReplicaWatch _ =
                        ReplicaFleet.another(proxy, next.route("new", 2).fleet(), STRICT);
                RawClient client = atReplica(proxy)) {
            next.primary.call("SET", "k", "3");
            next.awaitSame();
            assertThat(proxy.replicaCounts().replicas()).hasSize(2);
            assertThat(ProxyFixture.hold(proxy, 2_000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(next.route("new", 2)).join();
            assertThat(client.text("GET", "k")).isEqualTo("3");
            Await.until(LIMIT, "the next fleet's replica answers", () -> {
                assertThat(client.text("GET", "k")).isEqualTo("3");
                return proxy.replicaCounts().reads() > 0;
            });
            assertThat(proxy.replicaCounts().replicas()).containsOnlyKeys(next.endpoint(0));
        }
    }

    @Test
    void anErrorOfAReplicaNobodySees() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT);
                RawClient client = atReplica(proxy)) {
            fleet.replicas.forEach(replica -> replica.call("ACL", "SETUSER", "default", "-strlen"));
            try {
                for (int round = 0; round < 5; round++) {
                    for (String command : List.of("GET", "STRLEN", "GET", "EXISTS", "STRLEN", "LLEN", "GET")) {
                        client.send(command, "k");
                    }
                    for (String expected : List.of("$1\r\n1", ":1", "$1\r\n1", ":1", ":1", "-WRONGTYPE", "$1\r\n1")) {
                        assertThat(client.rawReply()).startsWith(expected);
                    }
                }
                assertThat(client.raw("STRLEN", "k")).isEqualTo(":1\r\n");
                assertThat(proxy.replicaCounts().replicas().values().stream()
                                .mapToLong(ReplicaCounts.One::askedAgain)
                                .sum())
                        .isPositive();
            } finally {
                fleet.replicas.forEach(replica -> replica.call("ACL", "SETUSER", "default", "+strlen"));
            }
        }
    }

    @Test
    void aLargeAnswerKeepsNobodyElseWaitingAndStaysAtTheReplicaUntilItIsRead() {
        fleet.primary.call("SETRANGE", "large", Integer.toString(20 * 1024 * 1024), "x");
        fleet.awaitSame();
        ProxyLimits limits =
                new Limits().outputBytesPerClient(64 * 1024, 4 * 1024 * 1024).build();
        try (CacheProxy proxy = ProxyFixture.proxy(fleet.route("old", 1), limits, 1);
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            List<RawClient> others = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                others.add(atReplica(proxy));
            }
            List<RawClient> slow = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                slow.add(atReplica(proxy));
            }
            slow.forEach(client -> client.send("GET", "large"));
            for (int i = 0; i < 20; i++) {
                others.forEach(other -> assertThat(other.text("GET", "k")).isEqualTo("1"));
            }
            slow.forEach(client -> {
                assertThat(client.reply().text()).hasSize(20 * 1024 * 1024 + 1);
                client.close();
            });
            others.forEach(RawClient::close);
            Await.until(LIMIT, "all is answered", () -> proxy.commandsUnanswered() == 0);
        }
    }

    @Test
    void withoutAPrimaryReadsGoOnForAsLongAsTheCacheAllows(@TempDir Path folder) {
        for (Duration without : List.of(Duration.ofMinutes(1), Duration.ZERO)) {
            try (ReplicaFleet dying = new ReplicaFleet(folder.resolve("d" + without.toSeconds()), 2);
                    CacheProxy proxy = proxy(dying.route("old", 1))) {
                dying.primary.call("SET", "k", "1");
                dying.awaitSame();
                ReplicaSettings settings =
                        new ReplicaSettings(Duration.ofMillis(400), without, 0.5, Optional.empty(), Map.of());
                try (ReplicaWatch _ = ReplicaFleet.watch(proxy, proxy.route().fleet(), settings)) {
                    ReplicaFleet.awaitInUse(proxy, 2);
                    try (RawClient reader = atReplica(proxy);
                            RawClient writer = ProxyFixture.client(proxy)) {
                        dying.hold();
                        writer.call("SET", "k", "2");
                        dying.primary.kill();
                        assertThat(writer.call("SET", "k", "3").isError()).isTrue();
                        if (without.isZero()) {
                            ReplicaFleet.awaitInUse(proxy, 0);
                            assertThat(reader.call("GET", "k").isError()).isTrue();
                        } else {
                            Await.until(
                                    LIMIT,
                                    "the links are down",
                                    () -> dying.replicas.stream()
                                            .allMatch(replica -> "down"
                                                    .equals(replica.info("replication")
                                                            .get("master_link_status"))));
                            for (int i = 0; i < 100; i++) {
                                assertThat(reader.text("GET", "k")).isEqualTo("1");
                            }
                            try (RawClient another = ProxyFixture.client(proxy)) {
                                assertThat(another.text("GET", "k")).isEqualTo("1");
                            }
                        }
                        // Whose own write no replica is known to have gets no older answer.
                        assertThat(writer.call("GET", "k").isError()).isTrue();
                    }
                }
            }
        }
    }

    @Test
    void replicasOfTheSameZoneArePreferred() {
        ReplicaSettings near = new ReplicaSettings(
                Duration.ofSeconds(60),
                Duration.ZERO,
                0.5,
                Optional.of("a"),
                Map.of(fleet.endpoint(0), "a", fleet.endpoint(1), "b"));
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, near)) {
            atReplica(proxy).close();
            Await.until(LIMIT, "both have been connected to", () -> {
                atReplica(proxy).close();
                return one(proxy, 0).reads() > 0;
            });
            long far = one(proxy, 1).reads();
            for (int i = 0; i < 20; i++) {
                atReplica(proxy).close();
            }
            assertThat(one(proxy, 1).reads()).isEqualTo(far);
            try {
                // It cannot be asked any more.
                fleet.replicas.get(0).call("REPLICAOF", "NO", "ONE");
                ReplicaFleet.awaitInUse(proxy, 1);
                atReplica(proxy).close();
                assertThat(one(proxy, 1).reads()).isGreaterThan(far);
            } finally {
                fleet.replicas
                        .get(0)
                        .call(
                                "REPLICAOF",
                                "127.0.0.1",
                                Integer.toString(fleet.wire(0).endpoint().port()));
                ReplicaFleet.awaitInUse(proxy, 2);
            }
        }
    }

    @Test
    void aSlowReplicaIsLeftOutAndComesBackWhenItIsFastAgain() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT)) {
            AtomicBoolean over = new AtomicBoolean();
            List<CompletableFuture<Void>> readers = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                readers.add(CompletableFuture.runAsync(
                        () -> {
                            try (RawClient client = ProxyFixture.client(proxy)) {
                                while (!over.get()) {
                                    assertThat(client.text("GET", "k")).isEqualTo("1");
                                }
                            }
                        },
                        THREADS));
            }
            Await.until(
                    LIMIT,
                    "both answer",
                    () -> one(proxy, 0).reads() > 500 && one(proxy, 1).reads() > 500);
            try (SlowServer _ = new SlowServer(fleet.replicas.get(0), Duration.ofMillis(60))) {
                Await.until(LIMIT, "it is left out", () -> one(proxy, 0).ejections() > 0);
            } catch (AssertionError e) {
                over.set(true);
                throw e;
            }
            long before = one(proxy, 0).reads();
            Await.until(
                    LIMIT,
                    "it is read from again",
                    () -> one(proxy, 0).isInUse() && one(proxy, 0).reads() > before);
            over.set(true);
            readers.forEach(CompletableFuture::join);
            assertThat(one(proxy, 1).ejections()).isZero();
        }
    }

    private void bothHaveAnswered(CacheProxy proxy) {
        Await.until(LIMIT, "both have answered", () -> {
            atReplica(proxy).close();
            return one(proxy, 0).reads() > 0 && one(proxy, 1).reads() > 0;
        });
    }

    private ReplicaCounts.One one(CacheProxy proxy, int replica) {
        return proxy.replicaCounts()
                .replicas()
                .getOrDefault(fleet.endpoint(replica), new ReplicaCounts.One(0, 0, 0, Optional.empty(), false));
    }

    /** Started anew it is empty until it has had a whole copy. */
    @Test
    void aReplicaThatDiesAndIsStartedAnewIsNoticedByNobody() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, STRICT)) {
            AtomicBoolean over = new AtomicBoolean();
            List<CompletableFuture<Void>> readers = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                readers.add(CompletableFuture.runAsync(
                        () -> {
                            try (RawClient client = ProxyFixture.client(proxy)) {
                                while (!over.get()) {
                                    assertThat(client.text("GET", "k")).isEqualTo("1");
                                }
                            }
                        },
                        THREADS));
            }
            try {
                for (int round = 0; round < 3; round++) {
                    long before = one(proxy, 0).reads();
                    Await.until(LIMIT, "it answers", () -> one(proxy, 0).reads() > before + 50);
                    fleet.replicas.get(0).kill();
                    ReplicaFleet.awaitInUse(proxy, 1);
                    fleet.replicas.get(0).restart();
                    ReplicaFleet.awaitInUse(proxy, 2);
                }
            } finally {
                over.set(true);
            }
            readers.forEach(CompletableFuture::join);
        }
    }

    @Test
    void aUserWhomReplicasDoNotKnowReadsAtThePrimary() {
        fleet.primary.call("ACL", "SETUSER", "ann", "on", ">secret", "+@all", "~*");
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT);
                RawClient ann = ProxyFixture.client(proxy)) {
            assertThat(ann.text("AUTH", "ann", "secret")).isEqualTo("OK");
            for (int i = 0; i < 50; i++) {
                assertThat(ann.text("GET", "k")).isEqualTo("1");
            }
            ReplicaFleet.awaitInUse(proxy, 2);
            atReplica(proxy).close();
        } finally {
            fleet.primary.call("ACL", "DELUSER", "ann");
        }
    }

    @Test
    void whatNeedsAConnectionOfItsOwnOrTheProxyStaysAtThePrimary() {
        try (CacheProxy proxy = proxy(fleet.route("old", 1));
                ReplicaWatch _ = watch(proxy, PATIENT);
                RawClient client = atReplica(proxy)) {
            fleet.hold();
            fleet.primary.call("SET", "k", "2");
            assertThat(client.text("GET", "k")).isEqualTo("1");
            client.call("MULTI");
            client.call("GET", "k");
            assertThat(client.raw("EXEC")).isEqualTo("*1\r\n$1\r\n2\r\n");
            assertThat(client.text("GET", "k")).isEqualTo("2");
        }
    }
}
