package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReplicaWatch;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** No client ever reads older than it has written, or read over the same connection, whatever replicas are late. */
class ReplicaHistoryTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final ReplicaSettings SETTINGS = ReplicaSettings.of(Duration.ofMillis(250));
    private static final Executor THREADS = task -> Thread.ofPlatform().start(task);

    private static final int CLIENTS = 6;
    private static final int OPERATIONS = 5_000;

    @TestFactory
    List<DynamicTest> nobodyReadsBackwardsWhileReplicasAreLate(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (boolean remembers : List.of(false, true)) {
            tests.add(DynamicTest.dynamicTest(
                    remembers ? "replicas and memory" : "replicas",
                    () -> history(folder.resolve("memory-" + remembers), remembers, 20261129)));
        }
        return tests;
    }

    private static void history(Path folder, boolean remembers, long seed) throws Exception {
        AtomicBoolean over = new AtomicBoolean();
        try (ReplicaFleet fleet = new ReplicaFleet(folder, 3);
                CacheProxy proxy = ProxyFixture.proxy(fleet.route("old", 1))) {
            if (remembers) {
                proxy.remember(new MemorySettings(1024 * 1024, Duration.ofSeconds(1)));
            }
            try (ReplicaWatch _ = ReplicaFleet.watch(proxy, proxy.route().fleet(), SETTINGS)) {
                ReplicaFleet.awaitInUse(proxy, 3);
                List<CompletableFuture<Void>> delays = new ArrayList<>();
                for (int i = 0; i < 3; i++) {
                    Random random = new Random(seed + 100 + i);
                    HeldWire wire = fleet.wire(i);
                    RealServer replica = fleet.replicas.get(i);
                    delays.add(CompletableFuture.runAsync(() -> delay(wire, replica, random, over), THREADS));
                }
                List<CompletableFuture<Void>> clients = new ArrayList<>();
                for (int i = 0; i < CLIENTS; i++) {
                    int number = i;
                    clients.add(CompletableFuture.runAsync(
                            () -> client(proxy, number, new Random(seed + number)), THREADS));
                }
                try {
                    clients.forEach(CompletableFuture::join);
                } finally {
                    over.set(true);
                    delays.forEach(CompletableFuture::join);
                }
                ReplicaCounts counts = proxy.replicaCounts();
                // Who has just been answered from memory is ahead of every replica.
                assertThat(counts.reads()).as("%s", counts).isGreaterThan(remembers ? 0 : OPERATIONS / 10);
                assertThat(counts.atPrimaryForOwn()).as("%s", counts).isPositive();
                if (remembers) {
                    assertThat(proxy.memoryCounts().hits()).isPositive();
                }
            }
        }
    }

    /** Its stream comes late, by a little or by more than is allowed; now and then it stands still as a whole. */
    private static void delay(HeldWire wire, RealServer replica, Random random, AtomicBoolean over) {
        try {
            while (!over.get()) {
                boolean whole = random.nextInt(20) == 0;
                if (whole) {
                    replica.stop();
                } else {
                    wire.hold();
                }
                TimeUnit.MILLISECONDS.sleep(random.nextInt(10) == 0 ? 400 : random.nextInt(60));
                if (whole) {
                    replica.resume();
                } else {
                    wire.letGo();
                }
                TimeUnit.MILLISECONDS.sleep(random.nextInt(40));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            replica.resume();
            wire.letGo();
        }
    }

    /** Each client writes one key, in bursts with long pauses between, and reads all. */
    private static void client(CacheProxy proxy, int number, Random random) {
        long[] seen = new long[CLIENTS];
        long written = 0;
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < OPERATIONS; i++) {
                int key = random.nextInt(CLIENTS);
                String name = "key-" + key;
                if (i % 1000 < 20) {
                    written++;
                    assertThat(client.text("SET", "key-" + number, Long.toString(written)))
                            .isEqualTo("OK");
                    seen[number] = written;
                }
                long value = read(client, random, name);
                assertThat(value)
                        .as("client %s, operation %s, %s", number, i, name)
                        .isGreaterThanOrEqualTo(seen[key]);
                seen[key] = value;
                if (random.nextInt(200) == 0) {
                    pause(random.nextInt(30));
                }
            }
        }
    }

    private static void pause(int millis) {
        try {
            TimeUnit.MILLISECONDS.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static long read(RawClient client, Random random, String name) {
        Reply reply = switch (random.nextInt(200)) {
            case 0 -> client.call("EVAL", "return redis.call('GET', KEYS[1])", "1", name); // from the primary alone
            case 1, 2, 3 -> client.call("GETRANGE", name, "0", "-1");
            default -> random.nextBoolean() ? client.call("GET", name) : first(client.call("MGET", name));
        };
        assertThat(reply.isError()).as("%s", reply).isFalse();
        return reply instanceof Reply.Nil || reply.text().isEmpty() ? 0 : Long.parseLong(reply.text());
    }

    private static Reply first(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> each) ? each.getFirst() : reply;
    }

    /** Under sentinels, whose primary dies with everything replicated. */
    @Test
    void readsGoOnThroughAFailoverAndNobodyReadsBackwards(@TempDir Path folder) throws InterruptedException {
        AtomicBoolean over = new AtomicBoolean();
        AtomicLong written = new AtomicLong();
        AtomicInteger reads = new AtomicInteger();
        List<CompletableFuture<Void>> readers = new ArrayList<>();
        try (RealSentinels servers = RealSentinels.start(ProxyFixture.binary(), folder, 2)) {
            FleetSpec fleet = ProxyFixture.fleet("watched", servers);
            ProxyLimits patient =
                    new Limits().failoverWait(Duration.ofSeconds(30)).build();
            ReplicaSettings settings = new ReplicaSettings(
                    Duration.ofMillis(500), Duration.ofSeconds(30), 0.5, Optional.empty(), Map.of());
            try (CacheProxy proxy = ProxyFixture.proxy(new BackendRoute(fleet, 1), patient, ProxyFixture.LOOPS);
                    FleetWatch who = FleetWatch.start(
                            "sessions", fleet, Environment.system(), seen -> proxy.topology(fleet.name(), seen))) {
                proxy.watchedBy(fleet.name(), who::lookSoon);
                proxy.readFromReplicas(settings, any -> {});
                try (ReplicaWatch _ = ReplicaWatch.start(
                                "sessions",
                                fleet,
                                settings.lagMax(),
                                Environment.system(),
                                () -> true,
                                who::seen,
                                seen -> proxy.replicas(fleet.name(), seen));
                        RawClient writer = ProxyFixture.client(proxy)) {
                    ReplicaFleet.awaitInUse(proxy, 2);
                    writeOne(writer, written);
                    for (int i = 0; i < 4; i++) {
                        readers.add(CompletableFuture.runAsync(
                                () -> {
                                    try (RawClient client = ProxyFixture.client(proxy)) {
                                        long seen = 0;
                                        while (!over.get()) {
                                            String read = client.text("GET", "k");
                                            assertThat(read).matches("[0-9]+");
                                            assertThat(Long.parseLong(read)).isGreaterThanOrEqualTo(seen);
                                            seen = Long.parseLong(read);
                                            reads.incrementAndGet();
                                        }
                                    }
                                },
                                THREADS));
                    }
                    for (int round = 0; round < 50; round++) {
                        writeOne(writer, written);
                    }
                    Await.until(
                            LIMIT,
                            "replicas answer",
                            () -> proxy.replicaCounts().reads() > 100);
                    RealServer former = servers.primary();
                    long all = written.get();
                    Await.until(
                            LIMIT,
                            "everything is everywhere",
                            () -> servers.replicas().stream()
                                    .allMatch(replica -> Long.toString(all).equals(replica.call("GET", "k"))));
                    former.kill();
                    int atDeath = reads.get();
                    Await.until(
                            LIMIT,
                            "reads go on without a primary",
                            () -> reads.get() > atDeath + 100
                                    || readers.stream().anyMatch(CompletableFuture::isDone));
                    servers.awaitSuccessor(former);
                    for (int round = 0; round < 50; round++) {
                        writeOne(writer, written);
                    }
                    Await.until(
                            LIMIT,
                            "the replica of the next primary answers",
                            () -> proxy.replicaCounts().replicas().values().stream()
                                    .anyMatch(one -> one.isInUse() && one.reads() > 0));
                    over.set(true);
                    readers.forEach(CompletableFuture::join);
                } finally {
                    over.set(true);
                }
            }
        }
    }

    private static void writeOne(RawClient writer, AtomicLong written) {
        long next = written.incrementAndGet();
        assertThat(writer.text("SET", "k", Long.toString(next))).isEqualTo("OK");
    }
}
