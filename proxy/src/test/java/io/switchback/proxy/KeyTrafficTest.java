package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** Hot and big keys are found in the traffic of real clients. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class KeyTrafficTest {
    private static final int MIB = 1024 * 1024;
    private static final int TIMEOUT_MS = 60_000;

    private RealServer server;

    @BeforeAll
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder);
    }

    @AfterAll
    void stop() {
        server.close();
    }

    @BeforeEach
    void empty() {
        server.call("FLUSHALL");
    }

    private CacheProxy proxy(int loops) {
        return ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, loops);
    }

    private static Jedis jedis(CacheProxy proxy) {
        return new Jedis(
                proxy.addresses().getFirst().host(),
                proxy.addresses().getFirst().port(),
                TIMEOUT_MS);
    }

    /** Each of so many commands names a key; the frequency of the key of rank r is proportional to 1/r. */
    private static int[] zipf(Random random, int keys, int commands) {
        double[] upTo = new double[keys];
        double sum = 0;
        for (int i = 0; i < keys; i++) {
            sum += 1.0 / (i + 1);
            upTo[i] = sum;
        }
        int[] drawn = new int[commands];
        for (int i = 0; i < commands; i++) {
            int found = Arrays.binarySearch(upTo, random.nextDouble() * sum);
            drawn[i] = Math.min(keys - 1, found < 0 ? -found - 1 : found);
        }
        return drawn;
    }

    private static HotKey hot(KeyReport report, String key) {
        return report.hot().stream()
                .filter(one -> one.key().equals(key))
                .findFirst()
                .orElseThrow();
    }

    private static List<String> names(KeyReport report, int count) {
        return report.hot().stream().limit(count).map(HotKey::key).toList();
    }

    /** In pipelines, at every depth, from several clients, over two event loops; one command of five writes. */
    @Test
    void theHottestOfManyKeysAreFoundWithTheirSharesWithinTheBoundThatIsSaid() {
        int commands = 200_000;
        int[] drawn = zipf(new Random(11), 50_000, commands);
        int[] exact = new int[50_000];
        Arrays.stream(drawn).forEach(key -> exact[key]++);
        try (CacheProxy proxy = proxy(ProxyFixture.LOOPS)) {
            List<Jedis> clients = new ArrayList<>();
            try {
                IntStream.range(0, 6).forEach(i -> clients.add(jedis(proxy)));
                int next = 0;
                for (int round = 0; next < commands; round++) {
                    Pipeline pipeline = clients.get(round % clients.size()).pipelined();
                    int depth = 1 + round * 7 % 500;
                    for (int i = 0; i < depth && next < commands; i++, next++) {
                        if (next % 5 == 0) {
                            pipeline.set("key:" + drawn[next], "x".repeat(40));
                        } else {
                            pipeline.get("key:" + drawn[next]);
                        }
                    }
                    pipeline.sync();
                }
            } finally {
                clients.forEach(Jedis::close);
            }
            KeyReport report = proxy.keys();
            assertThat(names(report, 10)).contains("key:0", "key:1", "key:2", "key:3");
            assertThat(names(report, 25))
                    .containsAll(
                            IntStream.range(0, 10).mapToObj(i -> "key:" + i).toList());
            for (int key = 0; key < 10; key++) {
                HotKey hot = hot(report, "key:" + key);
                double share = (double) exact[key] / commands;
                // Three times what is exceeded once in twenty cases.
                double bound = 3 * hot.errorPerSecond() / report.requestsPerSecond();
                assertThat(hot.share()).as("%s", hot).isBetween(share - bound, share + bound);
                assertThat(bound).isLessThan(0.1);
                assertThat(hot.command()).isEqualTo("GET");
                assertThat(hot.bytes()).isBetween(20L, 100L);
            }
            assertThat(hot(report, "key:0").writeShare()).isBetween(0.1, 0.3);
        }
    }

    /** However many commands come in one turn, as many are counted as come. */
    @Test
    void whatIsAskedForWithoutAPipelineIsCountedInFull() {
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 200; i++) {
                client.text("INCR", "n");
                client.text("HGET", "h", "f");
                client.text("HGET", "h", "f");
                client.text("PING");
            }
            KeyReport report = proxy.keys();
            assertThat(hot(report, "n").share()).isBetween(0.15, 0.35);
            assertThat(hot(report, "h").share()).isBetween(0.35, 0.65);
            assertThat(hot(report, "n").writeShare()).isEqualTo(1);
            assertThat(hot(report, "h").writeShare()).isZero();
            assertThat(hot(report, "h").command()).isEqualTo("HGET");
            assertThat(report.hot()).hasSize(2);
        }
    }

    @Test
    void keysOfTwoDatabasesAreTwo() {
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "x".repeat(20_000));
            client.text("SELECT", "3");
            client.text("SET", "k", "x".repeat(30_000));
            KeyReport report = proxy.keys();
            assertThat(report.hot().stream().map(HotKey::database)).containsExactlyInAnyOrder(0, 3);
            assertThat(report.big().stream().map(BigKey::database)).containsExactly(3, 0);
        }
    }

    @Test
    void aLargeCommandIsListedSurely() {
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            busy(client);
            assertThat(client.text("SET", "large", "x".repeat(5 * MIB))).isEqualTo("OK");
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("SET", "queued", "x".repeat(MIB))).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[OK]");
            List<BigKey> big = proxy.keys().big();
            assertThat(big.stream().map(BigKey::key)).containsExactly("large", "queued");
            assertThat(big.getFirst().command()).isEqualTo("SET");
            assertThat(big.getFirst().bytes()).isBetween(5L * MIB, 5L * MIB + 100);
            assertThat(big.getLast().bytes()).isBetween((long) MIB, MIB + 100L);
        }
    }

    /** So that only few commands are looked at. */
    private static void busy(RawClient client) {
        ByteArrayOutputStream many = new ByteArrayOutputStream();
        for (int i = 0; i < 5_000; i++) {
            many.writeBytes(CommandEncoder.encode("GET", "small:" + i));
        }
        client.sendRaw(many.toByteArray());
        for (int i = 0; i < 5_000; i++) {
            client.reply();
        }
    }

    @Test
    void aLargeReplyIsListedSurelyWhereverItStandsInAPipeline() {
        server.call("SET", "large", "x".repeat(5 * MIB));
        for (int i = 0; i < 100; i++) {
            String[] push = new String[1_002];
            Arrays.fill(push, "y".repeat(30));
            push[0] = "RPUSH";
            push[1] = "list";
            server.call(push);
        }
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            busy(client);
            ByteArrayOutputStream pipeline = new ByteArrayOutputStream();
            for (int i = 0; i < 10; i++) {
                pipeline.writeBytes(CommandEncoder.encode("GET", "small:" + i));
            }
            pipeline.writeBytes(CommandEncoder.encode("GET", "large"));
            pipeline.writeBytes(CommandEncoder.encode("GET", "behind"));
            pipeline.writeBytes(CommandEncoder.encode("LRANGE", "list", "0", "-1"));
            pipeline.writeBytes(CommandEncoder.encode("GET", "behind"));
            client.sendRaw(pipeline.toByteArray());
            for (int i = 0; i < 14; i++) {
                client.reply();
            }
            List<BigKey> big = proxy.keys().big();
            assertThat(big.stream().map(BigKey::key)).containsExactly("large", "list");
            assertThat(big.getFirst().bytes()).isBetween(5L * MIB, 5L * MIB + 100);
            assertThat(big.getFirst().command()).isEqualTo("GET");
            long bytes = 100 * 1_000 * 37L;
            assertThat(big.getLast().bytes()).isBetween(bytes * 7 / 8 - 100_000, bytes + 100);
            assertThat(big.getLast().command()).isEqualTo("LRANGE");
        }
    }

    /** The reply of the one that is looked at is told from its neighbours'. */
    @Test
    void sizesOfRepliesInAPipelineAreThoseOfTheirKeys() {
        server.call("SET", "big", "x".repeat(50_000));
        server.call("SET", "small", "x".repeat(100));
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            ByteArrayOutputStream pipeline = new ByteArrayOutputStream();
            for (int i = 0; i < 20; i++) {
                pipeline.writeBytes(CommandEncoder.encode("GET", "small"));
                pipeline.writeBytes(CommandEncoder.encode("GET", "big"));
            }
            for (int round = 0; round < 100; round++) {
                client.sendRaw(pipeline.toByteArray());
                for (int i = 0; i < 20; i++) {
                    assertThat(client.reply().text()).hasSize(100);
                    assertThat(client.reply().text()).hasSize(50_000);
                }
            }
            KeyReport report = proxy.keys();
            assertThat(report.big().stream().map(BigKey::key)).containsExactly("big");
            assertThat(report.big().getFirst().bytes()).isEqualTo(50_000 + 10);
            assertThat(hot(report, "small").bytes()).isEqualTo(100 + 8);
            assertThat(hot(report, "big").bytes()).isEqualTo(50_000 + 10);
        }
    }

    @Test
    void whatIsReadFromMemoryCountsToo() {
        server.call("SET", "k", "x".repeat(60));
        try (CacheProxy proxy = proxy(1);
                RawClient client = ProxyFixture.client(proxy)) {
            proxy.remember(new MemorySettings(MIB, Duration.ofMinutes(1)));
            for (int i = 0; i < 200; i++) {
                client.text("GET", "k");
                client.text("GET", "k");
            }
            assertThat(proxy.memoryCounts().hits()).isGreaterThan(300);
            HotKey hot = hot(proxy.keys(), "k");
            assertThat(hot.share()).isGreaterThan(0.95);
            assertThat(hot.bytes()).isEqualTo(60 + 7);
        }
    }

    @Test
    void keysOfAClusterAreFound(@TempDir Path folder) {
        try (RealCluster cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 0)) {
            BackendRoute route = ClusterFixture.route("blue", cluster, 1);
            try (CacheProxy proxy = ProxyFixture.proxy(route);
                    FleetWatch watch = ClusterFixture.watch(proxy, route);
                    RawClient client = ProxyFixture.client(proxy)) {
                assertThat(watch.seen()).isPresent();
                for (int i = 0; i < 100; i++) {
                    client.text("INCR", "n");
                    client.text("GET", "k" + i);
                }
                client.text("SET", "large", "x".repeat(MIB));
                client.text("GET", "large");
                KeyReport report = proxy.keys();
                assertThat(report.hot().getFirst().key()).isEqualTo("n");
                assertThat(report.big().getFirst().key()).isEqualTo("large");
                assertThat(report.big().getFirst().bytes()).isBetween((long) MIB, MIB + 100L);
            }
        }
    }
}
