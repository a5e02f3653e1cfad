package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetSpec;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Reads that are answered from memory are what the server would say, and nobody reads older than what he has seen or written. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MemoryTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    /** Longer than a test takes: what is forgotten has been forgotten for another reason. */
    private static final Duration LONG = Duration.ofMinutes(10);

    /** One for each task: the common pool may have but one. */
    private static final Executor THREADS = task -> Thread.ofVirtual().start(task);

    private static final long MIB = 1024 * 1024;

    private RealServer server;
    private RealServer next;

    @BeforeAll
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder.resolve("one"));
        next = ProxyFixture.server(folder.resolve("two"));
    }

    @AfterAll
    void stop() {
        server.close();
        next.close();
    }

    @BeforeEach
    void clear() {
        server.call("FLUSHALL");
        next.call("FLUSHALL");
    }

    private CacheProxy proxy() {
        return proxy(server, MIB, LONG, 1);
    }

    private static CacheProxy proxy(RealServer server, long bytesMax, Duration ageMax, int loops) {
        CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, loops);
        proxy.remember(new MemorySettings(bytesMax, ageMax));
        return proxy;
    }

    private static long readsAt(RealServer server, String command) {
        return server.info("commandstats")
                .getOrDefault("cmdstat_" + command, "calls=0,")
                .transform(line -> Long.parseLong(line.substring("calls=".length(), line.indexOf(','))));
    }

    /** Reads until the answer comes from memory. */
    private static void remembered(CacheProxy proxy, RawClient client, String... command) {
        Await.until(LIMIT, "it is read from memory", () -> {
            long before = proxy.memoryCounts().hits();
            client.raw(command);
            return proxy.memoryCounts().hits() > before;
        });
    }

    @TestFactory
    List<DynamicTest> aKeptAnswerIsTheServersAndTheServerIsNotAsked(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        List<ServerBinary> all = ServerBinary.matrix().isEmpty() ? ServerBinary.found() : ServerBinary.matrix();
        for (ServerBinary binary : all) {
            for (String protocol : List.of("2", "3")) {
                tests.add(DynamicTest.dynamicTest(binary.name() + " RESP" + protocol, () -> {
                    try (RealServer one = RealServer.start(binary, folder.resolve(binary.name() + protocol));
                            CacheProxy proxy = proxy(one, MIB, LONG, 1)) {
                        keptAnswersAreTheServers(one, proxy, protocol);
                    }
                }));
            }
        }
        return tests;
    }

    private static void keptAnswersAreTheServers(RealServer one, CacheProxy proxy, String protocol) {
        one.call("SET", "string", "v\r\nw");
        one.call("HSET", "hash", "a", "1", "b", "2");
        one.call("RPUSH", "list", "x", "", "z");
        one.call("SADD", "set", "a");
        one.call("ZADD", "zset", "1", "a");
        String[][] reads = {
            {"GET", "string"},
            {"GET", "none"},
            {"get", "string"},
            {"STRLEN", "string"},
            {"GETRANGE", "string", "1", "2"},
            {"HGET", "hash", "a"},
            {"HGET", "hash", "none"},
            {"HGET", "none", "none"},
            {"HSTRLEN", "hash", "b"},
            {"HEXISTS", "hash", "a"},
            {"HLEN", "hash"},
            {"HKEYS", "hash"},
            {"HVALS", "hash"},
            {"HVALS", "none"},
            {"LLEN", "list"},
            {"LINDEX", "list", "2"},
            {"LINDEX", "list", "7"},
            {"LRANGE", "list", "0", "-1"},
            {"SCARD", "set"},
            {"SISMEMBER", "set", "a"},
            {"ZCARD", "zset"},
            {"GETBIT", "string", "1"},
            {"BITCOUNT", "string"},
            {"TYPE", "string"},
            {"TYPE", "none"}
        };
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient direct = new RawClient(ProxyFixture.endpoint(one))) {
            client.call("HELLO", protocol);
            direct.call("HELLO", protocol);
            for (String[] read : reads) {
                assertThat(client.raw(read)).as("%s", (Object) read).isEqualTo(direct.raw(read));
                remembered(proxy, client, read);
                long before = readsAt(one, read[0].toLowerCase(java.util.Locale.ROOT));
                String again = client.raw(read);
                assertThat(readsAt(one, read[0].toLowerCase(java.util.Locale.ROOT)))
                        .isEqualTo(before);
                assertThat(again).as("%s from memory", (Object) read).isEqualTo(direct.raw(read));
            }
            // In one pipeline, from memory and not, each answer stands in its place.
            StringBuilder commands = new StringBuilder();
            StringBuilder expected = new StringBuilder();
            Random random = new Random(7);
            for (int i = 0; i < 500; i++) {
                String[] read = random.nextInt(4) == 0
                        ? new String[] {"GETRANGE", "string", "0", Integer.toString(i % 40)}
                        : random.nextInt(4) == 0 ? new String[] {"ECHO", "m" + i} : reads[random.nextInt(reads.length)];
                commands.append(new String(CommandEncoder.encode(read), UTF_8));
                expected.append(direct.raw(read));
            }
            client.sendRaw(commands.toString());
            for (int i = 0; i < 500; i++) {
                String reply = client.rawReply();
                assertThat(expected.toString()).startsWith(reply);
                expected.delete(0, reply.length());
            }
        }
    }

    @Test
    void whatIsWrittenByWhomeverIsForgotten() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            String[] changes = {"SET", "INCR", "APPEND", "EXPIRE", "DEL"};
            for (String change : changes) {
                server.call("SET", "k", "1");
                remembered(proxy, client, "GET", "k");
                if (change.equals("DEL")) {
                    server.call("DEL", "k");
                } else if (change.equals("EXPIRE")) {
                    server.call("PEXPIRE", "k", "1");
                } else {
                    server.call(change.equals("INCR") ? new String[] {"INCR", "k"} : new String[] {change, "k", "9"});
                }
                String now = change.matches("DEL|EXPIRE") ? "-" : server.text("GET", "k");
                Await.until(LIMIT, "it hears of " + change, () -> {
                    String read = client.raw("GET", "k");
                    return read.equals(now.equals("-") ? "$-1\r\n" : "$" + now.length() + "\r\n" + now + "\r\n");
                });
            }
            server.call("SET", "k", "1");
            remembered(proxy, other, "GET", "k");
            server.call("FLUSHALL");
            Await.until(LIMIT, "all is forgotten", () -> other.raw("GET", "k").equals("$-1\r\n"));
        }
    }

    @Test
    void aClientReadsItsOwnWritesAtOnceWhateverItWroteWith() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy);
                RawClient second = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 300; i++) {
                String value = "v" + i;
                client.text("GET", "k");
                second.text("GET", "k");
                switch (i % 4) {
                    case 0 -> client.call("SET", "k", value);
                    case 1 -> client.call("EVAL", "return redis.call('SET', 'k', ARGV[1])", "0", value);
                    case 2 -> {
                        client.call("MULTI");
                        client.call("SET", "k", value);
                        client.call("EXEC");
                    }
                    default -> client.call("MSET", "other", "1", "k", value);
                }
                // Over another connection of the same application, and over the same one.
                assertThat(second.text("GET", "k")).as("round %s, elsewhere", i).isEqualTo(value);
                assertThat(client.text("GET", "k")).as("round %s", i).isEqualTo(value);
                assertThat(client.text("GET", "k")).as("round %s, again", i).isEqualTo(value);
            }
            assertThat(proxy.memoryCounts().hits()).isPositive();
        }
    }

    /** What the server says of changes comes late here: then a client must be ahead of memory by what it has seen or written. */
    @Test
    void whoIsAheadOfMemoryIsNotAnsweredFromIt() {
        String[][] seen = {
            {"MGET", "k"}, {"SET", "k", "3"}, {"INCR", "k"}, {"EVAL", "return redis.call('INCR', 'k')", "0"}
        };
        for (String[] ahead : seen) {
            server.call("SET", "k", "1");
            try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(server), "TRACKING");
                    CacheProxy proxy = ProxyFixture.proxy(
                            new BackendRoute(new FleetSpec("old", wire.endpoint(), Optional.empty()), 1));
                    RawClient client = ProxyFixture.client(proxy)) {
                proxy.remember(new MemorySettings(MIB, LONG));
                remembered(proxy, client, "GET", "k");
                wire.hold();
                server.call("SET", "k", "2");
                assertThat(client.text("GET", "k")).as("nobody knows better").isEqualTo("1");
                client.call(ahead);
                client.send("GET", "k");
                assertThat(client.hasReplyWithin(100))
                        .as("%s from memory", (Object) ahead)
                        .isFalse();
                wire.letGo();
                assertThat(client.reply().text())
                        .isEqualTo(server.text("GET", "k"))
                        .isNotEqualTo("1");
            }
        }
    }

    /** As above, of what the same application has written over another connection, which may be another event loop's. */
    @Test
    void nobodyIsAnsweredFromMemoryWhatThisNodeHasSeenWritten() {
        String[][] writes = {
            {"SET", "k", "2"},
            {"MSET", "x", "1", "k", "2"},
            {"UNLINK", "x", "k"},
            {"EVAL", "return redis.call('INCR', 'k')", "0"},
            {"FLUSHALL"}
        };
        for (String[] write : writes) {
            server.call("SET", "k", "1");
            try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(server), "TRACKING");
                    CacheProxy proxy = ProxyFixture.proxy(
                            new BackendRoute(new FleetSpec("old", wire.endpoint(), Optional.empty()), 1));
                    RawClient client = ProxyFixture.client(proxy)) {
                proxy.remember(new MemorySettings(MIB, LONG));
                remembered(proxy, client, "GET", "k");
                wire.hold();
                for (int i = 0; i < 4; i++) {
                    try (RawClient other = ProxyFixture.client(proxy)) {
                        assertThat(other.call(write).isError()).isFalse();
                    }
                }
                client.send("GET", "k");
                assertThat(client.hasReplyWithin(100))
                        .as("%s from memory", (Object) write)
                        .isFalse();
                wire.letGo();
                assertThat(client.rawReply()).isNotEqualTo("$1\r\n1\r\n");
            }
        }
    }

    /** What comes behind in a pipeline, and is known, is older than what the server is still to say of the same key. */
    @Test
    void whatIsBeingAskedOfAKeyIsNotOlderThanWhatComesBehindIt() {
        server.call("SET", "k", "1");
        try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(server), "TRACKING");
                CacheProxy proxy = ProxyFixture.proxy(
                        new BackendRoute(new FleetSpec("old", wire.endpoint(), Optional.empty()), 1));
                RawClient client = ProxyFixture.client(proxy)) {
            proxy.remember(new MemorySettings(MIB, LONG));
            remembered(proxy, client, "GETRANGE", "k", "0", "9");
            wire.hold();
            server.call("SET", "k", "2");
            client.send("GET", "k");
            client.send("GETRANGE", "k", "0", "9");
            assertThat(client.hasReplyWithin(50)).isFalse();
            wire.letGo();
            assertThat(client.reply().text()).isEqualTo("2");
            assertThat(client.reply().text()).isEqualTo("2");
        }
    }

    @Test
    void aReadWithoutAKeyIsTheServersMatter() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            client.sendRaw("*1\r\n$3\r\nGET\r\n");
            assertThat(client.rawReply()).startsWith("-ERR wrong number of arguments");
            client.sendRaw("*1\r\n$4\r\nHGET\r\n*1\r\n$4\r\nPING\r\n");
            assertThat(client.rawReply()).startsWith("-ERR wrong number of arguments");
            assertThat(client.reply().text()).isEqualTo("PONG");
        }
    }

    @TestFactory
    List<DynamicTest> nobodyReadsBackwardsUnderLoad() {
        return List.of(1, 2).stream()
                .map(loops -> DynamicTest.dynamicTest(loops + " event loops", () -> {
                    try (CacheProxy proxy = proxy(server, MIB, LONG, loops)) {
                        readersAndWriters(proxy);
                        assertThat(proxy.memoryCounts().hits()).isGreaterThan(100);
                    }
                }))
                .toList();
    }

    /** A writer counts two keys up together; every reader must see each of them grow only, and the second never behind what it saw of the first. */
    private void readersAndWriters(CacheProxy proxy) {
        AtomicLong written = new AtomicLong();
        AtomicBoolean over = new AtomicBoolean();
        server.call("MSET", "first", "0", "second", "0");
        CompletableFuture<Void> writer = CompletableFuture.runAsync(
                () -> {
                    try (RawClient client = ProxyFixture.client(proxy)) {
                        for (int i = 1; i <= 1500; i++) {
                            client.call("SET", "second", Integer.toString(i));
                            client.call("SET", "first", Integer.toString(i));
                            written.set(i);
                            for (int pause = 0; pause < 3; pause++) {
                                client.call("ECHO", "x");
                            }
                        }
                    } finally {
                        over.set(true);
                    }
                },
                THREADS);
        List<CompletableFuture<Void>> readers = new ArrayList<>();
        for (int r = 0; r < 4; r++) {
            boolean past = r == 0;
            readers.add(CompletableFuture.runAsync(
                    () -> {
                        try (RawClient client = ProxyFixture.client(proxy)) {
                            long firstSeen = 0;
                            long secondSeen = 0;
                            for (int i = 0; !over.get(); i++) {
                                long known = written.get();
                                if (past && i % 5 == 0) {
                                    // By a command that goes past memory.
                                    client.send("MGET", "first");
                                    String seen = client.rawReply().replaceAll("(?s).*\r\n(\\d+)\r\n", "$1");
                                    firstSeen = Math.max(firstSeen, Long.parseLong(seen));
                                }
                                long first = Long.parseLong(client.text("GET", "first"));
                                long second = Long.parseLong(client.text("GET", "second"));
                                assertThat(first).as("of the first").isGreaterThanOrEqualTo(Math.max(firstSeen, known));
                                assertThat(second)
                                        .as("of the second")
                                        .isGreaterThanOrEqualTo(Math.max(secondSeen, first));
                                firstSeen = first;
                                secondSeen = second;
                            }
                        }
                    },
                    THREADS));
        }
        writer.join();
        readers.forEach(CompletableFuture::join);
    }

    @Test
    void manyWhoMissTheSameAskTheFleetOnce() {
        server.call("SET", "k", "v");
        try (CacheProxy proxy = proxy()) {
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                clients.add(ProxyFixture.client(proxy));
            }
            // The connection is there, and nothing of the key.
            remembered(proxy, clients.getFirst(), "GET", "other");
            long before = readsAt(server, "get");
            server.stop();
            try {
                clients.forEach(client -> client.send("GET", "k"));
                Await.until(LIMIT, "the others wait", () -> proxy.memoryCounts().joined() == clients.size() - 1);
            } finally {
                server.resume();
            }
            clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("v"));
            assertThat(readsAt(server, "get")).isEqualTo(before + 1);
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void whoWaitsForAnotherClientsReadThatBreaksAsksForItself() {
        server.call("SET", "k", "v");
        try (CacheProxy proxy = proxy();
                RawClient first = ProxyFixture.client(proxy);
                RawClient second = ProxyFixture.client(proxy);
                RawClient leaving = ProxyFixture.client(proxy)) {
            remembered(proxy, first, "GET", "other");
            server.stop();
            try {
                first.send("GET", "k");
                second.send("GET", "k");
                leaving.send("GET", "k");
                Await.until(LIMIT, "they wait", () -> proxy.memoryCounts().joined() == 2);
                leaving.leave();
                Await.until(LIMIT, "one has left", () -> proxy.load().clients() == 2);
                proxy.giveUpUnanswered();
            } finally {
                server.resume();
            }
            assertThat(first.reply().text()).isEqualTo("v");
            assertThat(second.reply().text()).isEqualTo("v");
        }
    }

    @Test
    void withItsConnectionAllIsForgotten() {
        server.call("SET", "k", "v");
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            remembered(proxy, client, "GET", "k");
            server.call("CLIENT", "KILL", "TYPE", "normal");
            Await.until(LIMIT, "it is forgotten", () -> proxy.memoryCounts().keys() == 0);
            server.call("SET", "k", "w");
            assertThat(client.text("GET", "k")).isEqualTo("w");
        }
    }

    @Test
    void nothingIsTakenAcrossAHold() {
        server.call("SET", "k", "old");
        next.call("SET", "k", "new");
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            remembered(proxy, client, "GET", "k");
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            assertThat(proxy.memoryCounts().keys()).isZero();
            client.send("GET", "k");
            assertThat(client.hasReplyWithin(50)).as("held").isFalse();
            proxy.letGo(ProxyFixture.route("new", next, 2)).join();
            assertThat(client.reply().text()).isEqualTo("new");
            remembered(proxy, client, "GET", "k");
            assertThat(client.text("GET", "k")).isEqualTo("new");
        }
    }

    @Test
    void aKeysTimeToLiveIsKeptToByItself() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            server.call("SET", "k", "v", "PX", "1000");
            remembered(proxy, client, "GET", "k");
            // Servers delete late, and say so late: this one says nothing at all.
            server.stop();
            try {
                Await.until(LIMIT, "it is not answered from memory any more", () -> {
                    client.send("GET", "k");
                    boolean answered = client.hasReplyWithin(1000);
                    if (answered) {
                        assertThat(client.reply().text()).isEqualTo("v");
                    }
                    return !answered;
                });
            } finally {
                server.resume();
            }
            assertThat(client.rawReply()).isEqualTo("$-1\r\n");
        }
    }

    @Test
    void whatOneUserMayReadIsNotKeptForAnother() {
        server.call("ACL", "SETUSER", "reader", "on", ">r", "~*", "+@all");
        server.call("ACL", "SETUSER", "stranger", "on", ">s", "~mine*", "+@all");
        server.call("SET", "k", "secret");
        try (CacheProxy proxy = proxy(server, MIB, Duration.ofMillis(100), 1);
                RawClient reader = ProxyFixture.client(proxy);
                RawClient stranger = ProxyFixture.client(proxy)) {
            assertThat(reader.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(stranger.text("AUTH", "stranger", "s")).isEqualTo("OK");
            remembered(proxy, reader, "GET", "k");
            assertThat(stranger.text("GET", "k")).startsWith("-NOPERM");
            // A right that is taken away is missing once what was kept is too old.
            server.call("ACL", "SETUSER", "reader", "resetkeys", "~other");
            Await.until(LIMIT, "it is noticed", () -> reader.text("GET", "k").startsWith("-NOPERM"));
        } finally {
            server.call("ACL", "DELUSER", "reader", "stranger");
        }
    }

    @Test
    void aUserWithoutTheRightToTrackReadsPastMemory() {
        server.call("ACL", "SETUSER", "plain", "on", ">p", "~*", "+@all", "-client|tracking");
        server.call("SET", "k", "v");
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("AUTH", "plain", "p")).isEqualTo("OK");
            for (int i = 0; i < 10; i++) {
                assertThat(client.text("GET", "k")).isEqualTo("v");
            }
            assertThat(proxy.memoryCounts().hits()).isZero();
        } finally {
            server.call("ACL", "DELUSER", "plain");
        }
    }

    @Test
    void noMoreIsKeptThanMayBeAndNothingThatIsLarge() {
        try (CacheProxy proxy = proxy(server, 256 * 1024, LONG, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 1000; i++) {
                server.call("SET", "k" + i, "x".repeat(1000));
                client.text("GET", "k" + i);
            }
            assertThat(proxy.memoryCounts().misses()).isGreaterThan(900);
            assertThat(proxy.memoryCounts().bytes()).isBetween(1000L, 256L * 1024);
            server.call("SET", "large", "x".repeat(Memory.ANSWER_BYTES_MAX));
            for (int i = 0; i < 5; i++) {
                assertThat(client.text("GET", "large")).hasSize(Memory.ANSWER_BYTES_MAX);
            }
            assertThat(proxy.memoryCounts().hits()).isZero();
        }
    }
}
