package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Every limit of {@link ProxyLimits}, reached. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LimitsTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final String SLOW = "local t=redis.call('TIME'); local e=t[1]*1000000+t[2]+300000;"
            + " repeat t=redis.call('TIME') until t[1]*1000000+t[2] > e; return 'slow'";

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

    private CacheProxy proxy(Limits limits) {
        return ProxyFixture.proxy(ProxyFixture.route("old", server, 1), limits.build(), 1);
    }

    /** It was counted, and no other was. */
    private static void assertReached(CacheProxy proxy, Limit... limits) {
        List<Limit> counted = new ArrayList<>();
        proxy.load().limitsReached().forEach((limit, times) -> {
            if (times > 0) {
                counted.add(limit);
            }
        });
        assertThat(counted).containsExactlyInAnyOrder(limits);
    }

    @Test
    void oneClientTooManyIsToldSoAndClosed() {
        try (CacheProxy proxy = proxy(new Limits().clientsMax(2));
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy)) {
            assertThat(one.text("PING")).isEqualTo("PONG");
            assertThat(two.text("PING")).isEqualTo("PONG");
            try (RawClient three = ProxyFixture.client(proxy)) {
                assertThat(three.readToEnd()).isEqualTo("-ERR max number of clients reached\r\n");
            }
            one.leave();
            Await.until(LIMIT, "room for one more", () -> proxy.clients() < 2);
            try (RawClient four = ProxyFixture.client(proxy)) {
                assertThat(four.text("PING")).isEqualTo("PONG");
            }
            assertReached(proxy, Limit.CLIENTS);
        }
    }

    @Test
    void anArgumentThatIsTooLongIsAProtocolError() {
        try (CacheProxy proxy = proxy(new Limits().bulkBytesMax(1000));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "x".repeat(1000))).isEqualTo("OK");
            client.send("SET", "k", "x".repeat(1001));
            assertThat(client.readToEnd()).isEqualTo("-ERR Protocol error: invalid bulk length\r\n");
            assertReached(proxy, Limit.BULK_BYTES);
        }
    }

    @Test
    void commandsThatNeverEndDoNotPileUp() {
        try (CacheProxy proxy = proxy(new Limits().receivingBytesPerLoopMax(100_000));
                RawClient fine = ProxyFixture.client(proxy);
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy)) {
            String half = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$90000\r\n" + "x".repeat(60_000);
            one.sendRaw(half);
            two.sendRaw(half);
            Await.until(LIMIT, "one of them is closed", () -> proxy.clients() == 2);
            assertThat(fine.text("PING")).isEqualTo("PONG");
            one.leave();
            two.leave();
            Await.until(LIMIT, "both are gone", () -> proxy.clients() == 1);
            assertThat(fine.text("SET", "k", "x".repeat(50_000))).isEqualTo("OK");
            assertReached(proxy, Limit.RECEIVING_BYTES);
            assertThat(proxy.load().receivingBytes()).isZero();
        }
    }

    @Test
    void whoHoldsMostOfWhatIsBeingReceivedHasToGo() {
        try (CacheProxy proxy = proxy(new Limits().receivingBytesPerLoopMax(100_000));
                RawClient most = ProxyFixture.client(proxy);
                RawClient less = ProxyFixture.client(proxy)) {
            most.sendRaw("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$90000\r\n" + "x".repeat(60_000));
            Await.until(LIMIT, "it is there", () -> proxy.load().receivingBytes() > 60_000);
            less.sendRaw("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$50000\r\n" + "x".repeat(45_000));
            assertThat(most.readToEnd()).contains("commands that are still being received take more than 100000 bytes");
            less.sendRaw("x".repeat(5_000) + "\r\n");
            assertThat(less.reply().text()).isEqualTo("OK");
            assertReached(proxy, Limit.RECEIVING_BYTES);
        }
    }

    @Test
    void whatAClientCallsItselfIsNotKeptWhereItIsTooLong() {
        String longest = "x".repeat(4_096);
        try (CacheProxy proxy = proxy(new Limits());
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("CLIENT", "SETNAME", longest)).isEqualTo("OK");
            for (String[] command : new String[][] {
                {"CLIENT", "SETNAME", longest + "x"},
                {"CLIENT", "SETINFO", "LIB-NAME", longest + "x"},
                {"CLIENT", "SETINFO", "LIB-VER", longest + "x"},
                {"HELLO", "3", "SETNAME", longest + "x"}
            }) {
                assertThat(client.text(command)).endsWith("have no more than 4096 bytes");
            }
            assertThat(client.text("CLIENT", "GETNAME")).isEqualTo(longest);
        }
    }

    @Test
    void queuesOfManyTransactionsDoNotPileUp() {
        String value = "x".repeat(30_000);
        try (CacheProxy proxy = proxy(new Limits().queuedBytesPerLoopMax(100_000));
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy);
                RawClient three = ProxyFixture.client(proxy)) {
            for (RawClient client : List.of(one, two, three)) {
                assertThat(client.text("MULTI")).isEqualTo("OK");
            }
            assertThat(one.text("SET", "a", value)).isEqualTo("QUEUED");
            assertThat(two.text("SET", "b", value)).isEqualTo("QUEUED");
            assertThat(one.text("SET", "c", value)).isEqualTo("QUEUED");
            assertThat(proxy.load().limitsReached().get(Limit.QUEUED_BYTES)).isZero();
            assertThat(two.text("SET", "d", value))
                    .startsWith("-ERR switchback: what is queued in MULTI by all clients takes 100000 bytes already");
            assertThat(two.text("EXEC")).startsWith("-EXECABORT");
            // One that is short is taken whatever the others have, and one that is refused makes room.
            assertThat(three.text("SET", "e", "short")).isEqualTo("QUEUED");
            assertThat(three.text("SET", "f", value)).isEqualTo("QUEUED");
            assertThat(one.text("EXEC")).isEqualTo("[OK, OK]");
            assertThat(three.text("EXEC")).isEqualTo("[OK, OK]");
            assertThat(server.call("GET", "b")).isNull();
            for (int i = 0; i < 10; i++) {
                try (RawClient leaves = ProxyFixture.client(proxy)) {
                    leaves.text("MULTI");
                    assertThat(leaves.text("SET", "g", value.repeat(3))).isEqualTo("QUEUED");
                    if (i % 2 == 0) {
                        assertThat(leaves.text("DISCARD")).isEqualTo("OK");
                    }
                }
                int here = i;
                Await.until(LIMIT, "it is gone, " + here, () -> proxy.clients() == 3);
            }
            assertReached(proxy, Limit.QUEUED_BYTES);
        }
    }

    @Test
    void namesThatOneClientIsSubscribedToDoNotPileUp() {
        try (CacheProxy proxy = proxy(new Limits().subscriptionBytesMax(1000));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SUBSCRIBE", "a".repeat(900))).startsWith("[subscribe");
            assertThat(client.text("PSUBSCRIBE", "b".repeat(100)))
                    .startsWith("-ERR switchback: one client may subscribe");
            client.text("UNSUBSCRIBE");
            assertThat(client.text("PSUBSCRIBE", "b".repeat(900))).startsWith("[psubscribe");
            assertReached(proxy, Limit.SUBSCRIPTION_BYTES);
        }
    }

    @Test
    void aSubscriberThatDoesNotReadIsClosedByTheServersOwnLimitWhileOthersGoOn() {
        server.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 8mb 0 0");
        String large = "x".repeat(1_000_000);
        try (CacheProxy proxy = proxy(new Limits().outputBytesPerClient(100_000, 20_000_000));
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            lazy.text("SUBSCRIBE", "news");
            for (int i = 0; i < 40; i++) {
                other.text("PUBLISH", "news", large);
            }
            Await.until(
                    LIMIT,
                    "the server closes it",
                    () -> server.text("CLIENT", "LIST", "TYPE", "pubsub").isEmpty());
            assertThat(other.text("PING")).isEqualTo("PONG");
            // As it would directly: it gets what was sent, and then the end.
            assertThat(lazy.readToEnd()).hasSizeBetween(1_000_000, 30_000_000);
            Await.until(LIMIT, "it is gone", () -> proxy.clients() == 1);
        }
    }

    @Test
    void aClientThatDoesNotReadIsNotSentForWhileOthersGoOn() {
        server.call("SET", "large", "x".repeat(1_000_000));
        // Eight replies at most come after the pause, so that the greater limit is out of reach.
        Limits limits = new Limits().outputBytesPerClient(100_000, 20_000_000).commandsInFlightPerClientMax(8);
        try (CacheProxy proxy = proxy(limits);
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 100; i++) {
                lazy.send("GET", "large");
                assertThat(other.text("ECHO", "m" + i)).isEqualTo("m" + i);
            }
            assertThat(proxy.clients()).isEqualTo(2);
            for (int i = 0; i < 100; i++) {
                assertThat(lazy.reply().text()).hasSize(1_000_000);
            }
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_PAUSE)).isPositive();
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_BYTES)).isZero();
        }
    }

    @Test
    void aClientThatDoesNotReadWhatAHoldWaitsForIsNamedAndNotClosed() {
        int large = 40_000_000;
        server.call("SET", "large", "x".repeat(large));
        try (CacheProxy proxy = proxy(new Limits().outputBytesPerClient(100_000, 20_000_000));
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            lazy.send("GET", "large");
            Await.until(LIMIT, "the reply begins", () -> lazy.hasReplyWithin(10));
            assertThat(other.text("PING")).isEqualTo("PONG");
            HoldOutcome outcome = ProxyFixture.hold(proxy, 1_000);
            assertThat(outcome).isInstanceOf(HoldOutcome.Failed.class);
            assertThat(((HoldOutcome.Failed) outcome).why())
                    .contains("client 127.0.0.1:" + lazy.localPort() + " does not read the reply to GET");
            assertThat(proxy.clients()).isEqualTo(2);
            assertThat(other.text("PING")).isEqualTo("PONG");

            CompletableFuture<HoldOutcome> again = proxy.hold(LIMIT);
            assertThat(lazy.reply().text()).hasSize(large);
            assertThat(again.join()).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("old", server, 1)).join();
            assertThat(other.text("PING")).isEqualTo("PONG");
            assertThat(lazy.text("PING")).isEqualTo("PONG");
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_BYTES)).isZero();
        }
    }

    @Test
    void aClientThatDoesNotReadWhatCannotStayAtTheServerIsClosedWhileOthersGoOn() {
        try (CacheProxy proxy = proxy(new Limits().outputBytesPerClient(100_000, 1_000_000));
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            assertThat(other.text("PING")).isEqualTo("PONG");
            assertThat(lazy.text("PING")).isEqualTo("PONG");
            server.call("SET", "large", "x".repeat(40_000_000));
            server.stop();
            try {
                lazy.send("GET", "large");
                Await.until(LIMIT, "it is sent", () -> proxy.commandsUnanswered() == 1);
                other.send("INCR", "n");
                Await.until(LIMIT, "that is sent behind it", () -> proxy.commandsUnanswered() == 2);
            } finally {
                server.resume();
            }
            assertThat(other.reply().text()).isEqualTo("1");
            Await.until(LIMIT, "the lazy one is closed", () -> proxy.clients() == 1);
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_BYTES)).isEqualTo(1);
            assertThat(other.text("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void aPipelineIsSentPieceByPiece() {
        try (CacheProxy proxy = proxy(new Limits().commandsInFlightPerClientMax(4));
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("EVAL", SLOW, "0");
            for (int i = 0; i < 1000; i++) {
                client.send("ECHO", "m" + i);
            }
            Await.until(LIMIT, "the first are sent", () -> proxy.commandsUnanswered() > 0);
            assertThat(proxy.commandsUnanswered()).isLessThanOrEqualTo(4);
            assertThat(client.reply().text()).isEqualTo("slow");
            for (int i = 0; i < 1000; i++) {
                assertThat(client.reply().text()).isEqualTo("m" + i);
            }
            assertReached(proxy, Limit.COMMANDS_IN_FLIGHT);
        }
    }

    @Test
    void aServerThatIsSlowIsNotSentMoreThanItsShare() {
        try (CacheProxy proxy = proxy(new Limits().bytesOutstandingPerBackendMax(10_000))) {
            List<RawClient> clients = new ArrayList<>();
            try (RawClient slow = ProxyFixture.client(proxy)) {
                slow.send("EVAL", SLOW, "0");
                Await.until(LIMIT, "the slow one is sent", () -> proxy.commandsUnanswered() == 1);
                for (int i = 0; i < 20; i++) {
                    clients.add(ProxyFixture.client(proxy));
                    clients.getLast().send("SET", "k" + i, "x".repeat(8_000));
                }
                assertThat(proxy.commandsUnanswered()).isLessThanOrEqualTo(3);
                for (RawClient client : clients) {
                    assertThat(client.reply().text()).isEqualTo("OK");
                }
                assertThat(slow.reply().text()).isEqualTo("slow");
                assertReached(proxy, Limit.BYTES_OUTSTANDING);
            } finally {
                clients.forEach(RawClient::close);
            }
        }
    }

    @Test
    void whatClientsSendOverConnectionsOfTheirOwnDoesNotPileUpAtAServerThatDoesNotAnswer() {
        int max = 4_000_000;
        try (CacheProxy proxy =
                        proxy(new Limits().unansweredBytesPerLoopMax(max).largeCommandsPerLoopMax(0));
                RawClient other = ProxyFixture.client(proxy)) {
            assertThat(other.text("PING")).isEqualTo("PONG");
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                clients.add(ProxyFixture.client(proxy));
                assertThat(clients.getLast().text("WATCH", "w")).isEqualTo("OK");
            }
            server.stop();
            try {
                clients.forEach(client -> client.send("SET", "k", "x".repeat(1_000_000)));
                Await.until(LIMIT, "all is received", () -> {
                    ProxyLoad load = proxy.load();
                    return load.commandsUnanswered() + load.receivingBytes() / 1_000_000 >= 10;
                });
                assertThat(proxy.commandsUnanswered()).isEqualTo(4);
                other.send("PING");
                Await.until(LIMIT, "others are served", () -> proxy.commandsUnanswered() == 5);
            } finally {
                server.resume();
            }
            clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("OK"));
            assertThat(other.reply().text()).isEqualTo("PONG");
            assertReached(proxy, Limit.UNANSWERED_BYTES, Limit.LARGE_COMMANDS);
            clients.forEach(RawClient::close);
        }
    }

    private static String[] waitFor(String key, int keys) {
        List<String> command = new ArrayList<>(List.of("BLPOP"));
        command.addAll(Collections.nCopies(keys, key));
        command.add("0");
        return command.toArray(String[]::new);
    }

    @Test
    void aCommandThatItsServerMayLetWaitForEverIsNotLong() {
        try (CacheProxy proxy = proxy(new Limits().blockingBytesMax(100_000));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text(waitFor("none", 12_000)))
                    .isEqualTo("-ERR switchback: a command that its server may let wait has no more than 100000 bytes;"
                            + " wait for fewer keys at a time");
            server.call("RPUSH", "list", "element");
            assertThat(client.text(waitFor("list", 8_000))).isEqualTo("[list, element]");
            assertReached(proxy, Limit.BLOCKING_BYTES);
        }
    }

    @Test
    void longCommandsThatWaitDoNotPileUp() {
        try (CacheProxy proxy = proxy(new Limits().performedBytesPerLoopMax(100_000));
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy);
                RawClient three = ProxyFixture.client(proxy)) {
            one.send(waitFor("list", 4_000));
            Await.until(LIMIT, "one waits", () -> blocked() == 1);
            two.send(waitFor("list", 4_000));
            Await.until(LIMIT, "both wait", () -> blocked() == 2);
            assertThat(three.text(waitFor("list", 4_000)))
                    .isEqualTo("-ERR switchback: the long commands that are kept until they are answered take 100000"
                            + " bytes already; try again, or with a shorter one");
            assertThat(three.text("MULTI")).isEqualTo("OK");
            assertThat(three.text("EXEC")).isEqualTo("[]");
            server.call("RPUSH", "list", "first", "second");
            assertThat(one.reply().text()).isEqualTo("[list, first]");
            assertThat(two.reply().text()).isEqualTo("[list, second]");
            one.send(waitFor("list", 4_000));
            Await.until(LIMIT, "one waits again", () -> blocked() == 1);
            one.leave();
            Await.until(LIMIT, "it is gone", () -> proxy.clients() == 2);
            two.send(waitFor("list", 4_000));
            three.send(waitFor("list", 4_000));
            Await.until(LIMIT, "both wait", () -> blocked() == 2);
            assertReached(proxy, Limit.PERFORMED_BYTES);
        }
    }

    private int blocked() {
        return Integer.parseInt(server.info("clients", "blocked_clients"));
    }

    @Test
    void whatAClientTracksDoesNotPileUp() {
        try (CacheProxy proxy = proxy(new Limits().trackingBytesMax(100_000));
                RawClient client = ProxyFixture.client(proxy)) {
            client.call("HELLO", "3");
            assertThat(client.text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a".repeat(60_000)))
                    .isEqualTo("OK");
            assertThat(client.text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "b".repeat(60_000)))
                    .isEqualTo("-ERR switchback: what one client says to CLIENT TRACKING may have no more than 100000"
                            + " bytes together, with 32 for each word");
            assertThat(client.text("CLIENT", "TRACKING", "OFF")).isEqualTo("OK");
            assertThat(client.text("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "b".repeat(60_000)))
                    .isEqualTo("OK");
            assertReached(proxy, Limit.TRACKING_BYTES);
        }
    }

    @Test
    void aTransactionMayNotQueueWithoutEnd() {
        for (Limits limits : List.of(new Limits().transaction(1_000_000, 3), new Limits().transaction(100, 1000))) {
            try (CacheProxy proxy = proxy(limits);
                    RawClient client = ProxyFixture.client(proxy)) {
                client.text("MULTI");
                for (int i = 0; i < 3; i++) {
                    assertThat(client.text("SET", "k", "v")).isEqualTo("QUEUED");
                }
                assertThat(client.text("SET", "k", "v"))
                        .startsWith("-ERR switchback: more is queued in one MULTI than");
                assertThat(client.text("EXEC")).startsWith("-EXECABORT");
                assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
                assertReached(proxy, Limit.TRANSACTION);
            }
        }
    }

    @Test
    void connectionsToServersAreCounted() {
        try (CacheProxy proxy =
                        proxy(new Limits().backendConnectionsPerLoopMax(1).ownConnectionsPerLoopMax(3));
                RawClient one = ProxyFixture.client(proxy);
                RawClient two = ProxyFixture.client(proxy);
                RawClient three = ProxyFixture.client(proxy);
                RawClient client = ProxyFixture.client(proxy)) {
            for (RawClient subscriber : List.of(one, two, three)) {
                subscriber.send("SUBSCRIBE", "channel");
                assertThat(subscriber.reply().text()).isEqualTo("[subscribe, channel, 1]");
            }
            assertThat(client.text("PING")).isEqualTo("PONG");
            assertThat(client.text("MULTI"))
                    .isEqualTo("-ERR switchback: no more than 3 connections of clients' own to fleet old are opened");
            assertThat(client.text("PING")).isEqualTo("PONG");
            assertReached(proxy, Limit.OWN_CONNECTIONS);
            assertThat(proxy.load().serverConnections()).isEqualTo(4);
        }
    }

    /** Each password that a server takes for whatever is said makes a connection of its own. */
    @Test
    void theConnectionThatWasNotUsedForLongestMakesRoomForAnother() {
        try (CacheProxy proxy = proxy(new Limits().backendConnectionsPerLoopMax(3))) {
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                clients.add(ProxyFixture.client(proxy));
                assertThat(clients.getLast()
                                .call("HELLO", "3", "AUTH", "default", "password" + i)
                                .isError())
                        .isFalse();
            }
            for (int i = 0; i < 16; i++) {
                assertThat(clients.get(i * 3 % 8).text("PING")).isEqualTo("PONG");
                Await.until(LIMIT, "others have gone", () -> proxy.load().serverConnections() <= 3);
            }
            assertReached(proxy);
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void aConnectionWithWhatIsUnansweredMakesNoRoom() {
        try (CacheProxy proxy = proxy(new Limits().backendConnectionsPerLoopMax(1));
                RawClient slow = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            assertThat(other.text("SELECT", "1")).isEqualTo("OK");
            assertThat(other.text("PING")).isEqualTo("PONG");
            assertThat(slow.text("PING")).isEqualTo("PONG");
            server.stop();
            try {
                slow.send("PING");
                Await.until(LIMIT, "it is sent", () -> proxy.commandsUnanswered() == 1);
                assertThat(other.text("PING"))
                        .isEqualTo("-ERR switchback: no more than 1 connections that clients share to fleet old are"
                                + " opened");
            } finally {
                server.resume();
            }
            assertThat(slow.reply().text()).isEqualTo("PONG");
            Await.until(LIMIT, "there is room", () -> other.text("PING").equals("PONG"));
            assertReached(proxy, Limit.SERVER_CONNECTIONS);
        }
    }

    @Test
    void idleConnectionsAreKeptOnlyUpToTheirLimit() {
        try (CacheProxy proxy = proxy(new Limits().idleConnectionsPerLoopMax(2))) {
            List<RawClient> clients = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                clients.add(ProxyFixture.client(proxy));
                assertThat(clients.getLast().text("MULTI")).isEqualTo("OK");
            }
            assertThat(connections()).isGreaterThanOrEqualTo(8);
            clients.forEach(client -> assertThat(client.text("EXEC")).isEqualTo("[]"));
            Await.until(LIMIT, "the rest is closed", () -> connections() <= 3);
            assertReached(proxy, Limit.IDLE_CONNECTIONS);
            clients.forEach(RawClient::close);
        }
    }

    /** Without the one that asks. */
    private int connections() {
        return Integer.parseInt(server.info("clients", "connected_clients")) - 1;
    }

    @Test
    void aReplyThatMustBeLookedThroughHasALimit() {
        server.call("EVAL", "for i=1,1000 do redis.call('SET','key'..i,i) end", "0");
        try (CacheProxy proxy = proxy(new Limits().filteredReplyBytesMax(1000));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("KEYS", "*")).startsWith("-ERR switchback: the reply has more than 1000 bytes");
            assertThat(client.text("SCAN", "0")).startsWith("[");
            assertReached(proxy, Limit.FILTERED_REPLY_BYTES);
        }
    }
}
