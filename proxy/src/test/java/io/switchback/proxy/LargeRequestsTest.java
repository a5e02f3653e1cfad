package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * Commands with large arguments go through as they come: they do not fill the proxy, nobody waits behind them, and nothing of them is
 * ever run but the whole.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LargeRequestsTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int MIB = 1024 * 1024;
    /** Far less than what the tests send. */
    private static final long RECEIVING_BYTES_MAX = MIB;

    private static final String LARGE = "x".repeat(4 * MIB);
    private static final CommandGuard NO_GET_OPTION = command ->
            Arrays.stream(command).anyMatch(word -> new String(word, UTF_8).equals("GET")) ? "ERR not now: GET" : null;

    private RealServer server;
    private RealServer next;

    @BeforeAll
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder);
        next = ProxyFixture.server(folder);
    }

    @AfterAll
    void stop() {
        server.close();
        next.close();
    }

    @BeforeEach
    void clear() {
        for (RealServer one : List.of(server, next)) {
            one.call("FLUSHALL");
        }
    }

    private CacheProxy proxy() {
        return proxy(new Limits());
    }

    private CacheProxy proxy(Limits limits) {
        return ProxyFixture.proxy(
                ProxyFixture.route("old", server, 1),
                limits.receivingBytesPerLoopMax(RECEIVING_BYTES_MAX).build(),
                1);
    }

    private static byte[] half(byte[] command) {
        return Arrays.copyOf(command, command.length / 2);
    }

    private static byte[] rest(byte[] command) {
        return Arrays.copyOfRange(command, command.length / 2, command.length);
    }

    private static byte[] set(String key) {
        return CommandEncoder.encode("SET", key, LARGE);
    }

    /** Small enough to be sent by a client whom nobody reads from. */
    private static byte[] setLater() {
        return CommandEncoder.encode("SET", "later", "x".repeat(LargeCommand.ARGUMENT_BYTES));
    }

    /** The first half of a SET is at the server. */
    private static void beginSet(CacheProxy proxy, RawClient client) {
        client.sendRaw(half(set("k")));
        Await.until(LIMIT, "it is under way", () -> proxy.largeCommandUnderWay().isPresent());
    }

    private static void othersGoOn(RawClient other) {
        for (int i = 0; i < 200; i++) {
            assertThat(other.text("ECHO", "m" + i)).isEqualTo("m" + i);
        }
    }

    @Test
    void theyGoThroughWhateverTheirSizeAndInTheirTurn() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("APPEND", "k", "before");
            client.sendRaw(CommandEncoder.encode("APPEND", "k", "y".repeat(64 * MIB)));
            client.send("APPEND", "k", "behind");
            client.sendRaw(CommandEncoder.encode("MSET", "a", LARGE, "b", "small", "c", LARGE));
            client.send("GET", "b");
            assertThat(client.reply().text()).isEqualTo("6");
            assertThat(client.reply().text()).isEqualTo(String.valueOf(6 + 64 * MIB));
            assertThat(client.reply().text()).isEqualTo(String.valueOf(6 + 64 * MIB + 6));
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("small");
            assertThat(server.text("GETRANGE", "k", "0", "6")).isEqualTo("beforey");
            assertThat(server.text("GETRANGE", "k", "-7", "-1")).isEqualTo("ybehind");
            assertThat(server.number("STRLEN", "c")).isEqualTo(LARGE.length());
        }
    }

    @Test
    void nobodyWaitsForOneWhoSendsSlowly() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient slow = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            othersGoOn(other);
            slow.sendRaw(rest(set("k")));
            assertThat(slow.reply().text()).isEqualTo("OK");
            assertThat(server.number("STRLEN", "k")).isEqualTo(LARGE.length());
        }
    }

    @Test
    void whatAClientLeavesUnfinishedDoesNotRun() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy)) {
            try (RawClient leaving = ProxyFixture.client(proxy)) {
                beginSet(proxy, leaving);
            }
            Await.until(
                    LIMIT, "it is given up", () -> proxy.largeCommandUnderWay().isEmpty());
            assertThat(proxy.commandsUnanswered()).isZero();
            assertThat(other.text("EXISTS", "k")).isEqualTo("0");
        }
    }

    @Test
    void reservedNamesAreFoundInWhatComesLate() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("MSET", "a", LARGE, "switchback:reserved:x", "1", "b", LARGE);
            client.send("MSET", "a", LARGE, "switchback:reserved:x", "1");
            client.send("EXISTS", "a");
            assertThat(client.reply().text()).contains("switchback:reserved:");
            assertThat(client.reply().text()).contains("switchback:reserved:");
            assertThat(client.reply().text()).isEqualTo("0");
        }
    }

    @Test
    void theGuardSeesOptionsBehindALargeValue() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            proxy.guard(NO_GET_OPTION);
            client.send("SET", "k", LARGE, "GET");
            client.send("EXISTS", "k");
            client.sendRaw(set("k"));
            assertThat(client.reply().text()).isEqualTo("ERR not now: GET");
            assertThat(client.reply().text()).isEqualTo("0");
            assertThat(client.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aHoldWaitsForTheirEndAndNoneBeginsMeanwhile() {
        try (CacheProxy proxy = proxy();
                RawClient slow = ProxyFixture.client(proxy);
                RawClient later = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            CompletableFuture<HoldOutcome> held = proxy.hold(LIMIT);
            later.sendRaw(half(setLater()));
            assertThat(later.hasReplyWithin(50)).isFalse();
            assertThat(held).isNotDone();
            slow.sendRaw(rest(set("k")));
            assertThat(held.join()).isInstanceOf(HoldOutcome.Held.class);
            assertThat(slow.reply().text()).isEqualTo("OK");
            proxy.letGo(ProxyFixture.route("new", next, 2)).join();
            later.sendRaw(rest(setLater()));
            assertThat(later.reply().text()).isEqualTo("OK");
            assertThat(server.call("KEYS", "*")).isEqualTo(List.of("k"));
            assertThat(next.call("KEYS", "*")).isEqualTo(List.of("later"));
        }
    }

    @Test
    void aHoldThatIsGivenUpSaysWhoIsSending() {
        try (CacheProxy proxy = proxy();
                RawClient slow = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            assertThat(ProxyFixture.hold(proxy, 100).toString()).contains("is still sending SET");
            slow.sendRaw(rest(set("k")));
            assertThat(slow.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aSwitchIsPreparedOnceNoneIsUnderWayWhileOtherCommandsGoOn() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient slow = ProxyFixture.client(proxy);
                RawClient later = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            CompletableFuture<Void> prepared = proxy.openAhead(ProxyFixture.route("new", next, 2));
            later.sendRaw(setLater());
            othersGoOn(other);
            assertThat(prepared).isNotDone();
            assertThat(proxy.largeCommandUnderWay().orElseThrow()).contains("is still sending a large command");
            slow.sendRaw(rest(set("k")));
            prepared.join();
            assertThat(later.hasReplyWithin(50)).isFalse();
            proxy.closeAhead();
            assertThat(later.reply().text()).isEqualTo("OK");
            assertThat(server.number("DBSIZE")).isEqualTo(2);
        }
    }

    @Test
    void aServerThatDoesNotReadIsNotSentMore() throws InterruptedException {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            byte[] command = CommandEncoder.encode("SET", "k", "x".repeat(96 * MIB));
            client.sendRaw(half(command));
            Await.until(
                    LIMIT, "it is under way", () -> proxy.largeCommandUnderWay().isPresent());
            server.stop();
            CompletableFuture<Void> sent = CompletableFuture.runAsync(() -> client.sendRaw(rest(command)));
            Thread.sleep(500);
            assertThat(sent).isNotDone();
            server.resume();
            assertThat(client.reply().text()).isEqualTo("OK");
        } finally {
            server.resume();
        }
    }

    @Test
    void aReadThatIsLostBehindItsEndIsNotSentAgain() {
        server.call("SADD", "s", "m");
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            byte[] command = CommandEncoder.encode("SISMEMBER", "s", LARGE);
            client.sendRaw(half(command));
            Await.until(
                    LIMIT, "it is under way", () -> proxy.largeCommandUnderWay().isPresent());
            server.call("CLIENT", "PAUSE", "5000", "ALL");
            client.sendRaw(rest(command));
            Await.until(
                    LIMIT,
                    "the server has it",
                    () -> proxy.largeCommandUnderWay().isEmpty());
            proxy.giveUpUnanswered();
            assertThat(client.reply().text()).endsWith("the command may or may not have run");
        }
    }

    @Test
    void aConnectionThatBreaksMeansThatItHasNotRun() {
        try (CacheProxy proxy = proxy();
                RawClient slow = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            Await.until(
                    LIMIT, "that is noticed", () -> proxy.largeCommandUnderWay().isEmpty());
            slow.sendRaw(rest(set("k")));
            slow.send("EXISTS", "k");
            assertThat(slow.reply().text()).contains("before it had all of the command, which has not run");
            assertThat(slow.reply().text()).isEqualTo("0");
        }
    }

    @Test
    void aConnectionThatBreaksBehindItsEndMeansThatNobodyKnows() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            beginSet(proxy, client);
            server.call("CLIENT", "PAUSE", String.valueOf(LIMIT.toMillis()), "WRITE");
            client.sendRaw(rest(set("k")));
            Await.until(
                    LIMIT,
                    "the server has it",
                    () -> proxy.largeCommandUnderWay().isEmpty());
            proxy.giveUpUnanswered();
            client.send("ECHO", "next");
            assertThat(client.reply().text()).endsWith("the command may or may not have run");
            server.call("CLIENT", "UNPAUSE");
            assertThat(client.reply().text()).isEqualTo("next");
        }
    }

    @Test
    void whatIsNoCommandInWhatComesLateEndsTheConnectionAsAtTheServer() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            client.sendRaw("*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$" + LARGE.length() + "\r\n" + LARGE + "\r\n:1\r\n");
            assertThat(client.readUntil("(closed)"))
                    .isEqualTo("-ERR Protocol error: expected '$', got ':'\r\n(closed)");
            assertThat(other.text("EXISTS", "k")).isEqualTo("0");
        }
    }

    @Test
    void oneThatNoTransactionCanQueueIsSwallowedAndEndsTheTransaction() {
        try (CacheProxy proxy = proxy(new Limits().transaction(2 * MIB, 10));
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("MULTI");
            client.send("SET", "a", "1");
            client.sendRaw(set("k"));
            client.send("EXEC");
            client.send("DBSIZE");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("QUEUED");
            assertThat(client.reply().text()).contains("more is queued in one MULTI");
            assertThat(client.reply().text()).startsWith("EXECABORT");
            assertThat(client.reply().text()).isEqualTo("0");
        }
    }

    @Test
    void watchesAndSubscriptionsOfTheClientAreKept() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            client.text("WATCH", "w");
            client.sendRaw(set("k"));
            assertThat(client.reply().text()).isEqualTo("OK");
            other.text("SET", "w", "1");
            client.text("MULTI");
            client.text("SET", "w", "2");
            client.send("EXEC");
            assertThat(client.rawReply()).isEqualTo("*-1\r\n");
            assertThat(other.text("GET", "w")).isEqualTo("1");
        }
    }

    /** While a switch is prepared something else is sent over the connection that brings the messages. */
    @Test
    void thatOfASubscriberIsCollected() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            client.text("HELLO", "3");
            client.text("SUBSCRIBE", "news");
            client.sendRaw(half(setLater()));
            othersGoOn(other);
            proxy.openAhead(ProxyFixture.route("new", next, 2), "mark").join();
            client.sendRaw(rest(setLater()));
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(server.number("STRLEN", "later")).isEqualTo(LargeCommand.ARGUMENT_BYTES);
            other.text("PUBLISH", "news", "1");
            assertThat(client.reply().text()).isEqualTo("[message, news, 1]");
        }
    }

    @Test
    void silenceIsKept() {
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("CLIENT", "REPLY", "SKIP");
            client.sendRaw(set("k"));
            client.send("STRLEN", "k");
            assertThat(client.reply().text()).isEqualTo(String.valueOf(LARGE.length()));
        }
    }

    @Test
    void pastTheirNumberTheyAreCollectedWithinTheLimitOfThat() {
        try (CacheProxy proxy = proxy(new Limits().largeCommandsPerLoopMax(1));
                RawClient slow = ProxyFixture.client(proxy);
                RawClient client = ProxyFixture.client(proxy);
                RawClient tooLarge = ProxyFixture.client(proxy)) {
            beginSet(proxy, slow);
            client.send("SET", "smaller", "x".repeat(LargeCommand.ARGUMENT_BYTES));
            assertThat(client.reply().text()).isEqualTo("OK");
            tooLarge.sendAsFarAsItIsRead("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$" + LARGE.length() + "\r\n" + LARGE);
            assertThat(tooLarge.readUntil("bytes\r\n"))
                    .contains("commands that are still being received take more than");
            slow.sendRaw(rest(set("k")));
            assertThat(slow.reply().text()).isEqualTo("OK");
            assertThat(proxy.load().limitsReached().get(Limit.LARGE_COMMANDS)).isPositive();
            assertThat(proxy.load().limitsReached().get(Limit.RECEIVING_BYTES)).isEqualTo(1);
        }
    }

    @Test
    void whoWaitedWhileTheyBecameManyIsCollected() {
        try (CacheProxy proxy = proxy(new Limits().largeCommandsPerLoopMax(1));
                RawClient slow = ProxyFixture.client(proxy);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(slow.text("PING")).isEqualTo("PONG");
            assertThat(client.text("PING")).isEqualTo("PONG");
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            slow.sendRaw(half(set("k")));
            Await.until(LIMIT, "the first waits", () -> proxy.load().receivingBytes() > 0);
            long first = proxy.load().receivingBytes();
            client.send("CLIENT", "REPLY", "SKIP");
            client.sendRaw(half(setLater()));
            Await.until(LIMIT, "the second waits", () -> proxy.load().receivingBytes() > first);
            proxy.letGo(ProxyFixture.route("old", server, 1)).join();
            client.sendRaw(rest(setLater()));
            assertThat(client.text("STRLEN", "later")).isEqualTo(String.valueOf(LargeCommand.ARGUMENT_BYTES));
            slow.sendRaw(rest(set("k")));
            assertThat(slow.reply().text()).isEqualTo("OK");
        }
    }

    /** A server may take less than the proxy does, and ends a connection that brings more. */
    @Test
    void oneThatIsCollectedAndTheServerDoesNotTakeHarmsNobodyElse() {
        String large = "x".repeat(2 * MIB);
        server.call("CONFIG", "SET", "proto-max-bulk-len", String.valueOf(MIB));
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient other = ProxyFixture.client(proxy)) {
            int counted = 0;
            proxy.guard(command -> null); // it looks into payloads
            for (String[] command : new String[][] {
                {"EVAL", large, "0"},
                {"RESTORE", "k", "0", large},
                {"XREAD", "STREAMS", large, "0"}
            }) {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    assertThat(client.text("PING")).isEqualTo("PONG");
                    server.stop();
                    other.send("INCR", "n");
                    client.send(command);
                    Await.until(LIMIT, "both are sent", () -> proxy.commandsUnanswered() == 2);
                    other.send("INCR", "n");
                    Await.until(LIMIT, "all are sent", () -> proxy.commandsUnanswered() == 3);
                    server.resume();
                    assertThat(other.reply().text()).isEqualTo(String.valueOf(++counted));
                    assertThat(other.reply().text()).isEqualTo(String.valueOf(++counted));
                    assertThat(client.reply().text()).startsWith("ERR Protocol error: invalid bulk length");
                    assertThat(client.text("PING")).isEqualTo("PONG");
                }
            }
        } finally {
            server.call("CONFIG", "SET", "proto-max-bulk-len", String.valueOf(512 * MIB));
        }
    }

    @Test
    void scriptsArePassedOnWithTheirLargeArgumentsAndRememberedForTheSwitch() {
        String script = "return redis.call('SET', KEYS[1], ARGV[1])";
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("EVAL", script, "1", "k", LARGE)).isEqualTo("OK");
            assertThat(server.number("STRLEN", "k")).isEqualTo(LARGE.length());
            assertThat(client.text("EVAL", script, "1", "switchback:reserved:x", LARGE))
                    .contains("switchback:reserved:");
            String sha = server.text("SCRIPT", "LOAD", script);
            proxy.openAhead(ProxyFixture.route("new", next, 2)).join();
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("new", next, 2)).join();
            assertThat(client.text("EVALSHA", sha, "1", "k", "short")).isEqualTo("OK");
            assertThat(next.text("GET", "k")).isEqualTo("short");
        }
    }

    @Test
    void aPayloadIsPassedOnInPiecesButWhereAGuardLooksIntoIt() {
        byte[] value = new byte[2 * MIB];
        new Random(1).nextBytes(value); // a payload of one letter would be small
        byte[] payload;
        try (Jedis direct = server.client()) {
            direct.set("k".getBytes(UTF_8), value);
            payload = direct.dump("k");
        }
        byte[] restore =
                CommandEncoder.encode("RESTORE".getBytes(UTF_8), "to".getBytes(UTF_8), "0".getBytes(UTF_8), payload);
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            client.sendRaw(half(restore));
            Await.until(
                    LIMIT, "it is under way", () -> proxy.largeCommandUnderWay().isPresent());
            client.sendRaw(rest(restore));
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(server.number("STRLEN", "to")).isEqualTo(value.length);

            proxy.guard(command -> command[3].length == payload.length ? "ERR not now: all of it was seen" : null);
            client.sendRaw(restore);
            assertThat(client.reply().text()).isEqualTo("ERR not now: all of it was seen");
        }
    }

    @Test
    void whatOthersWouldShareTakesNoLargeArgument() {
        String large = "x".repeat(LargeCommand.ARGUMENT_BYTES);
        try (CacheProxy proxy = proxy();
                RawClient client = ProxyFixture.client(proxy)) {
            for (String[] command : new String[][] {
                {"KEYS", large},
                {"SCAN", "0", "MATCH", large},
                {"AUTH", large},
                {"HELLO", "2", "AUTH", "default", large},
                {"CLIENT", "KILL", "USER", large}
            }) {
                assertThat(client.text(command)).endsWith("with an argument of 262144 bytes or more is not supported");
            }
            assertThat(client.text("WATCH", large)).isEqualTo("OK");
            assertThat(client.text("UNWATCH")).isEqualTo("OK");
        }
    }
}
