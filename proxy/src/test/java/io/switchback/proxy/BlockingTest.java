package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Credential;
import io.switchback.fleet.FleetSpec;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Commands that wait at their server: as there, and through a switch to a server of every version. */
class BlockingTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    /** Two servers of one version, the proxy in front of the first; each test is run for every version. */
    private record Setup(RealServer first, RealServer second, CacheProxy proxy) implements AutoCloseable {
        static Setup of(ServerBinary binary, Path folder) {
            RealServer first = RealServer.start(binary, folder.resolve("first"), "--repl-diskless-sync-delay", "0");
            RealServer second = RealServer.start(binary, folder.resolve("second"));
            return new Setup(
                    first, second, ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1));
        }

        void awaitBlocked(int clients) {
            Await.until(
                    LIMIT,
                    clients + " clients wait",
                    () -> first.text("INFO", "clients").contains("blocked_clients:" + clients + "\r\n"));
        }

        void hold() {
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        }

        void letGoOnSecond() {
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
        }

        void letGoOnFirst() {
            proxy.letGo(ProxyFixture.route("old", first, 1)).join();
        }

        @Override
        public void close() {
            proxy.close();
            first.close();
            second.close();
        }
    }

    private interface Body {
        void run(Setup setup) throws Exception;
    }

    private static List<DynamicTest> onEveryServer(Path folder, Body body) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (Setup setup = Setup.of(binary, folder.resolve(binary.name()))) {
                    body.run(setup);
                }
            }));
        }
        return tests;
    }

    @TestFactory
    List<DynamicTest> anElementIsTakenAndATimeThatIsOverIsAnsweredAsByTheServer(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient direct = new RawClient(ProxyFixture.endpoint(setup.second));
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                for (String[] command : new String[][] {
                    {"BLPOP", "none", "0.05"},
                    {"BRPOP", "none", "none2", "0.05"},
                    {"BRPOPLPUSH", "none", "to", "0.05"},
                    {"BZPOPMIN", "none", "0.05"},
                    {"XREAD", "BLOCK", "50", "STREAMS", "none", "$"},
                    {"XREAD", "COUNT", "1", "BLOCK", "50", "STREAMS", "none", "none", "0", "$"},
                    {"BLPOP", "none", "x"},
                    {"BLPOP", "none", "-1"},
                    {"BLPOP", "none"},
                    {"BLPOP"},
                    {"BLMOVE", "none", "to", "LEFT"},
                    {"XREAD", "BLOCK"},
                    {"XREAD", "BLOCK", "x", "STREAMS", "none", "$"},
                    {"XREAD", "BLOCK", "10", "STREAMS", "none"},
                    {"WAIT", "1", "50"},
                    {"WAIT", "0", "0"},
                    {"WAIT", "x", "0"},
                    {"WAIT", "1"},
                    {"SET", "string", "v"},
                    {"BLPOP", "string", "0.05"},
                    {"XREAD", "BLOCK", "50", "STREAMS", "string", "$"},
                    {"GET", "string"}
                }) {
                    assertThat(client.raw(command))
                            .as(String.join(" ", command))
                            .isEqualTo(direct.raw(command));
                }
                client.send("BLPOP", "list", "0");
                client.send("SET", "behind", "v");
                setup.awaitBlocked(1);
                assertThat(setup.first.call("GET", "behind")).isNull();
                assertThat(other.text("RPUSH", "list", "a", "b")).isEqualTo("2");
                assertThat(client.reply().text()).isEqualTo("[list, a]");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.text("BLPOP", "list", "0")).isEqualTo("[list, b]");
                client.text("MULTI");
                client.text("BLPOP", "list", "0");
                client.text("XREAD", "BLOCK", "0", "STREAMS", "none", "$");
                assertThat(((Reply.Array) client.call("EXEC")).elements())
                        .containsExactly(new Reply.Nil(), new Reply.Nil());
            }
        });
    }

    /** What a server takes for a time, {@link Blocking} does, and the same; and nothing else. */
    @TestFactory
    List<DynamicTest> aTimeIsReadAsTheServerReadsIt(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient direct = new RawClient(ProxyFixture.endpoint(setup.first))) {
                direct.text("RPUSH", "there", "a");
                direct.text("XADD", "events", "*", "f", "v");
                for (String time : ODD_TIMES) {
                    for (String[] command : new String[][] {
                        {"BRPOPLPUSH", "there", "there", time},
                        {"BLPOP", "there", time},
                        {"XREAD", "BLOCK", time, "STREAMS", "events", "0"},
                        {"WAIT", "0", time}
                    }) {
                        String answer = direct.raw(command);
                        byte[][] words = Arrays.stream(command)
                                .map(word -> word.getBytes(StandardCharsets.ISO_8859_1))
                                .toArray(byte[][]::new);
                        Blocking blocking = Blocking.of(Objects.requireNonNull(CommandTable.find(command[0])), words);
                        double nanos = Objects.requireNonNull(blocking).nanos(words);
                        if (!answer.startsWith("-")) {
                            assertThat(nanos).as(String.join(" ", command)).isGreaterThanOrEqualTo(0);
                        } else {
                            boolean isNone = Double.isNaN(nanos) || nanos < 0 || nanos > Long.MAX_VALUE;
                            assertThat(isNone)
                                    .as(String.join(" ", command) + ": " + answer)
                                    .isTrue();
                        }
                        direct.text("DEL", "there");
                        direct.text("RPUSH", "there", "a");
                    }
                }
            }
        });
    }

    private static final List<String> ODD_TIMES = List.of(
            "0",
            "0x1p-1",
            "0X1P-3",
            "0x.8",
            "0x1",
            "0x1.8p1",
            "0x",
            "0xp1",
            "1e1",
            "1E-2",
            "1e",
            "1e400",
            "+0.25",
            "+-1",
            "1.",
            ".5",
            ".",
            "-0",
            "-1",
            " 1",
            "1 ",
            "1d",
            "1f",
            "0x1p1f",
            "inf",
            "-inf",
            "INFINITY",
            "nan",
            "NaN",
            "nan(1)",
            "",
            "00.5",
            "007",
            "1_0",
            "1,5",
            "0.00001",
            "9223372036854775",
            "9223372036854775807",
            "9223372036854775808",
            "1e15",
            "1e-400");

    /** A time in an odd form is kept over a switch: what is left of it is asked for at the other server. */
    @TestFactory
    List<DynamicTest> whatIsLeftOfATimeInAnyFormIsAskedForAfterASwitch(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient monitor = new RawClient(ProxyFixture.endpoint(setup.second))) {
                client.send("BLPOP", "none", "0x64p0");
                setup.awaitBlocked(1);
                assertThat(monitor.text("MONITOR")).isEqualTo("OK");
                setup.hold();
                setup.letGoOnSecond();
                String asked = monitor.readUntil("\"BLPOP\"") + monitor.readUntil("\r\n");
                assertThat(asked).containsPattern("\"BLPOP\" \"none\" \"[0-9]{1,2}\\.[0-9]{3}\"");
                setup.second.call("RPUSH", "none", "a");
                assertThat(client.reply().text()).isEqualTo("[none, a]");
            }
        });
    }

    @TestFactory
    List<DynamicTest> waitingGoesOnAcrossASwitchAndNoElementIsLostOrTakenTwice(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            List<RawClient> waiting = new ArrayList<>();
            try (RawClient pusher = ProxyFixture.client(setup.proxy);
                    RawClient reader = ProxyFixture.client(setup.proxy)) {
                for (int i = 0; i < 5; i++) {
                    RawClient one = ProxyFixture.client(setup.proxy);
                    waiting.add(one);
                    one.send("BLPOP", "list", "0");
                    setup.awaitBlocked(i + 1);
                }
                setup.second.call("XADD", "stream", "5-1", "f", "old");
                setup.first.call("XADD", "stream", "5-1", "f", "old");
                reader.send("XREAD", "BLOCK", "0", "STREAMS", "stream", "$");
                setup.awaitBlocked(6);
                setup.hold();
                setup.awaitBlocked(0);
                // An entry that came during the switch: $ must not mean what is last by now.
                setup.second.call("XADD", "stream", "6-1", "f", "new");
                setup.letGoOnSecond();
                assertThat(reader.reply().text()).isEqualTo("[[stream, [[6-1, [f, new]]]]]");
                pusher.text("RPUSH", "list", "e0", "e1", "e2", "e3", "e4");
                assertThat(waiting.stream().map(one -> one.reply().text()))
                        .containsExactlyInAnyOrder(
                                "[list, e0]", "[list, e1]", "[list, e2]", "[list, e3]", "[list, e4]");
                assertThat(setup.first.number("EXISTS", "list")).isZero();
                assertThat(setup.second.number("EXISTS", "list")).isZero();
                assertThat(waiting.getFirst().text("PING")).isEqualTo("PONG");
            } finally {
                waiting.forEach(RawClient::close);
            }
        });
    }

    @TestFactory
    List<DynamicTest> anAbortedSwitchWaitsOnWhereItWasForTheTimeThatIsLeft(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient brief = ProxyFixture.client(setup.proxy);
                    RawClient wait = ProxyFixture.client(setup.proxy)) {
                client.send("BLPOP", "list", "0");
                brief.send("BLPOP", "none", "0.3");
                wait.send("WAIT", "1", "0");
                setup.awaitBlocked(3);
                setup.hold();
                setup.letGoOnFirst();
                setup.awaitBlocked(3);
                assertThat(brief.rawReply()).isEqualTo("*-1\r\n");
                setup.first.call("RPUSH", "list", "a");
                assertThat(client.reply().text()).isEqualTo("[list, a]");
                assertThat(wait.hasReplyWithin(20)).isFalse();
                setup.second.call("REPLICAOF", setup.first.host(), Integer.toString(setup.first.port()));
                assertThat(wait.reply().text()).isEqualTo("1");
            }
        });
    }

    @TestFactory
    List<DynamicTest> whatComesWhileTheSwitchBeginsIsDelivered(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                for (int round = 0; round < 50; round++) {
                    String element = "e" + round;
                    client.send("BLPOP", "list", "0");
                    Thread push = Thread.ofVirtual().start(() -> setup.first.call("RPUSH", "list", element));
                    setup.hold();
                    push.join();
                    setup.letGoOnFirst();
                    assertThat(client.reply().text()).isEqualTo("[list, " + element + "]");
                    assertThat(setup.first.number("EXISTS", "list")).isZero();
                }
            }
        });
    }

    @TestFactory
    List<DynamicTest> aClientThatLeavesTakesNothing(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            RawClient client = ProxyFixture.client(setup.proxy);
            client.send("BLPOP", "list", "0");
            setup.awaitBlocked(1);
            client.leave();
            setup.awaitBlocked(0);
            setup.first.call("RPUSH", "list", "a");
            assertThat(setup.first.number("LLEN", "list")).isOne();
            setup.hold();
            setup.letGoOnFirst();
        });
    }

    @TestFactory
    List<DynamicTest> waitSpeaksForWhatThisClientHasWritten(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                setup.second.call("REPLICAOF", setup.first.host(), Integer.toString(setup.first.port()));
                Await.until(
                        LIMIT,
                        "the replica is there",
                        () -> setup.first.text("INFO", "replication").contains("state=online"));
                client.text("SET", "k", "1");
                assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
                setup.second.stop();
                client.text("SET", "k", "2");
                assertThat(client.text("WAIT", "1", "100")).isEqualTo("0");
                assertThat(other.text("SET", "k2", "2")).isEqualTo("OK");
                client.send("WAIT", "1", "0");
                setup.awaitBlocked(1);
                assertThat(other.text("SET", "k2", "3")).isEqualTo("OK");
                setup.hold();
                setup.letGoOnFirst();
                assertThat(client.hasReplyWithin(20)).isFalse();
                setup.second.resume();
                assertThat(client.reply().text()).isEqualTo("1");
                assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
                assertThat(setup.second.text("GET", "k")).isEqualTo("2");
            }
        });
    }

    /** Replies to a transaction, and to a large argument, come over other connections than those of other commands. */
    @TestFactory
    List<DynamicTest> waitSpeaksForWhatWasWrittenOverAnyConnection(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                setup.second.call("REPLICAOF", setup.first.host(), Integer.toString(setup.first.port()));
                Await.until(
                        LIMIT,
                        "the replica is there",
                        () -> setup.first.text("INFO", "replication").contains("state=online"));
                List<List<String[]>> writes = List.of(
                        List.of(new String[] {"MULTI"}, new String[] {"SET", "k", "v"}, new String[] {"EXEC"}),
                        List.<String[]>of(new String[] {"SET", "k", "v".repeat(2 * LargeCommand.ARGUMENT_BYTES)}),
                        List.<String[]>of(new String[] {"EVAL", "return redis.call('INCR', KEYS[1])", "1", "n"}));
                for (List<String[]> write : writes) {
                    client.text("SET", "before", "v");
                    assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
                    setup.second.stop();
                    write.forEach(command -> assertThat(client.text(command)).doesNotStartWith("-"));
                    assertThat(client.text("WAIT", "1", "100"))
                            .as(write.getFirst()[0])
                            .isEqualTo("0");
                    setup.second.resume();
                    assertThat(client.text("WAIT", "1", "0")).isEqualTo("1");
                }
            }
        });
    }

    /** Without the right to CLIENT ID nobody could tell the server whom to unblock. */
    @TestFactory
    List<DynamicTest> whoMayDoLittleMoreThanWaitIsLedOverASwitchToo(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient nobody = ProxyFixture.client(setup.proxy);
                    RawClient watching = ProxyFixture.client(setup.proxy)) {
                for (RealServer server : List.of(setup.first, setup.second)) {
                    server.call(
                            "ACL", "SETUSER", "consumer", "on", ">secret", "~*", "+blpop", "+multi", "+exec", "+watch");
                }
                for (RawClient one : List.of(client, watching)) {
                    assertThat(one.text("AUTH", "consumer", "secret")).isEqualTo("OK");
                }
                nobody.text("PING");
                watching.text("WATCH", "watched");
                client.send("BLPOP", "list", "0");
                setup.awaitBlocked(1);
                watching.send("BLPOP", "list", "0");
                setup.awaitBlocked(2);
                nobody.send("BLPOP", "list", "0");
                setup.awaitBlocked(3);
                assertThat(setup.first.text("CLIENT", "LIST").lines())
                        .filteredOn(line -> line.contains("user=consumer") && line.contains("cmd=blpop"))
                        .hasSize(2);
                setup.first.call("RPUSH", "list", "a");
                assertThat(client.reply().text()).isEqualTo("[list, a]");
                assertThat(client.text("GET", "list")).startsWith("-NOPERM");
                client.send("BLPOP", "list", "0");
                setup.awaitBlocked(3);
                setup.hold();
                setup.letGoOnSecond();
                setup.second.call("RPUSH", "list", "b", "c", "d");
                assertThat(List.of(
                                client.reply().text(),
                                nobody.reply().text(),
                                watching.reply().text()))
                        .containsExactlyInAnyOrder("[list, b]", "[list, c]", "[list, d]");
                assertThat(client.text("GET", "list")).startsWith("-NOPERM");
                assertThat(watching.text("MULTI")).isEqualTo("OK");
                assertThat(watching.raw("EXEC")).isEqualTo("*-1\r\n");
            }
        });
    }

    @Test
    void soIsWhoGivesNoPasswordAndMayNotAskForItsId(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder)) {
            server.call("ACL", "SETUSER", "fleet", "on", ">secret", "~*", "&*", "+@all");
            server.call("ACL", "SETUSER", "default", "-client");
            BackendRoute route = new BackendRoute(
                    new FleetSpec("old", ProxyFixture.endpoint(server), Optional.of(new Credential("fleet", "secret"))),
                    1);
            try (CacheProxy proxy = ProxyFixture.proxy(route, ProxyLimits.DEFAULT, 1);
                    RawClient client = ProxyFixture.client(proxy)) {
                client.send("BLPOP", "list", "0");
                Await.until(
                        LIMIT, "it waits", () -> server.text("INFO", "clients").contains("blocked_clients:1\r\n"));
                assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
                proxy.letGo(route).join();
                server.call("RPUSH", "list", "a");
                assertThat(client.reply().text()).isEqualTo("[list, a]");
            }
        }
    }

    /** A message, which does for WAIT, is not written to the file, and without a replica counts as nothing. */
    @TestFactory
    List<DynamicTest> waitAofSpeaksOfTheFileAlsoWhereThereIsNoReplica(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                if (String.valueOf(setup.first.call("COMMAND", "INFO", "WAITAOF"))
                        .equals("[null]")) {
                    return;
                }
                assertThat(client.text("WAITAOF", "1", "0", "0")).startsWith("-ERR WAITAOF cannot be used");
                setup.first.call("CONFIG", "SET", "appendfsync", "no");
                setup.first.call("CONFIG", "SET", "appendonly", "yes");
                Await.until(
                        LIMIT,
                        "the file is there",
                        () -> setup.first.text("INFO", "persistence").contains("aof_rewrite_in_progress:0\r\n"));
                client.text("WATCH", "k");
                assertThat(other.text("SET", "other", "1")).isEqualTo("OK");
                assertThat(other.text("WAITAOF", "1", "0", "100")).isEqualTo("[0, 0]");
                assertThat(client.text("MULTI")).isEqualTo("OK");
                client.text("SET", "k", "1");
                assertThat(client.text("EXEC")).isEqualTo("[OK]");
                assertThat(client.text("WAITAOF", "1", "0", "100")).isEqualTo("[0, 0]");
                other.send("WAITAOF", "1", "0", "0");
                setup.awaitBlocked(1);
                setup.first.call("CONFIG", "SET", "appendfsync", "everysec");
                assertThat(other.reply().text()).isEqualTo("[1, 0]");
                assertThat(client.text("DBSIZE")).isEqualTo("2");
            }
        });
    }

    @Test
    void whoMayNotWaitIsToldSo(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            server.call("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-wait");
            assertThat(client.text("WAIT", "0", "0")).isEqualTo("0");
            assertThat(client.text("AUTH", "reader", "secret")).isEqualTo("OK");
            assertThat(client.text("WAIT", "0", "0")).startsWith("-NOPERM");
            assertThat(client.text("PING")).isEqualTo("PONG");
            server.call("ACL", "SETUSER", "reader", "+wait");
            assertThat(client.text("WAIT", "0", "0")).isEqualTo("0");
        }
    }

    @Test
    void whereNoConnectionIsLeftOnlyTheOneThatWaitsHearsOfIt(@TempDir Path folder) {
        ProxyLimits limits = new Limits().ownConnectionsPerLoopMax(0).build();
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), limits, 1);
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            assertThat(other.text("INCR", "n")).isEqualTo("1");
            assertThat(client.text("WAIT", "0", "0"))
                    .contains("no more than 0 connections of clients' own to fleet old are opened");
            assertThat(other.text("INCR", "n")).isEqualTo("2");
            assertThat(client.text("INCR", "n")).isEqualTo("3");
        }
    }

    /** What is left of it for others, the server alone would know: it reads on while a client waits. */
    @TestFactory
    List<DynamicTest> whoLeavesWithMuchBehindTheCommandTakesNoElement(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            // The system has room for what is past that, or it could not be told that the client has left.
            for (int bytes : new int[] {0, 300_000, BlockingCommand.READ_ON_BYTES_MAX + 32 * 1024}) {
                RawClient leaving = ProxyFixture.client(setup.proxy);
                leaving.send("BLPOP", "queue", "0");
                setup.awaitBlocked(1);
                leaving.sendRaw("*1\r\n$4\r\nPING\r\n".repeat(bytes / 14));
                leaving.leave();
                setup.awaitBlocked(0);
                try (RawClient other = ProxyFixture.client(setup.proxy)) {
                    assertThat(other.text("LPUSH", "queue", "element")).isEqualTo("1");
                    assertThat(other.text("RPOP", "queue")).isEqualTo("element");
                }
            }
        });
    }

    @Test
    void whatIsSentBehindACommandThatWaitsIsAnsweredAfterIt(@TempDir Path folder) {
        int pings = BlockingCommand.READ_ON_BYTES_MAX * 3 / 2 / 14;
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            client.send("BLPOP", "queue", "0");
            client.sendRaw("*1\r\n$4\r\nPING\r\n".repeat(pings));
            server.call("LPUSH", "queue", "element");
            assertThat(client.reply().text()).isEqualTo("[queue, element]");
            for (int i = 0; i < pings; i++) {
                assertThat(client.reply().text()).isEqualTo("PONG");
            }
        }
    }

    @TestFactory
    List<DynamicTest> whoWaitsAndLeavesTakesNobodysReplyAlong(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            RawClient waiting = ProxyFixture.client(setup.proxy);
            try (RawClient other = ProxyFixture.client(setup.proxy);
                    RawClient direct = new RawClient(ProxyFixture.endpoint(setup.first))) {
                assertThat(waiting.text("WAIT", "0", "0")).isEqualTo("0");
                assertThat(other.text("PING")).isEqualTo("PONG");
                direct.text("CLIENT", "PAUSE", "500");
                for (int i = 0; i < 10; i++) {
                    other.send("INCR", "counter");
                }
                Await.until(LIMIT, "they are sent", () -> setup.proxy.commandsUnanswered() == 10);
                waiting.send("WAIT", "1", "0");
                Await.until(LIMIT, "that is sent too", () -> setup.proxy.commandsUnanswered() == 11);
                waiting.close();
                for (int i = 1; i <= 10; i++) {
                    assertThat(other.reply().text()).isEqualTo(Integer.toString(i));
                }
                Await.until(LIMIT, "nothing is left of it", () -> setup.proxy.commandsUnanswered() == 0);
                assertThat(other.text("INCR", "counter")).isEqualTo("11");
            }
        });
    }

    @TestFactory
    List<DynamicTest> whoWaitsForMoreStreamsThanCanBeLookedAtIsToldSo(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient many = ProxyFixture.client(setup.proxy)) {
                many.text("XADD", "s", "1-1", "f", "v");
                assertThat(many.raw(readLast(4_096, "s"))).isEqualTo("*-1\r\n");
                assertThat(many.text(readLast(4_097, "s"))).contains("more than 4096 times $");
                assertThat(many.text(readLast(1, "s".repeat(LargeCommand.ARGUMENT_BYTES))))
                        .contains("for a key of 262144 bytes or more");
            }
        });
    }

    /** What is no time is told so, however long it is, and nobody waits for that. */
    @Test
    void aTimeOfManyDigitsHoldsNobodyUp(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient one = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            for (String digits : List.of("1".repeat(200_000) + "x", "0x" + "1".repeat(200_000) + "z")) {
                one.send("BLPOP", "list", digits);
                assertThat(other.text("ECHO", "still there")).isEqualTo("still there");
                assertThat(one.reply().text()).contains("timeout is not a float");
            }
        }
    }

    private static String[] readLast(int streams, String key) {
        List<String> command = new ArrayList<>(List.of("XREAD", "BLOCK", "10", "STREAMS"));
        command.addAll(Collections.nCopies(streams, key));
        command.addAll(Collections.nCopies(streams, "$"));
        return command.toArray(String[]::new);
    }

    /** What the streams have now is asked for first: once a stream, over a connection that nobody else uses, however large the last entry is. */
    @Test
    void whoWaitsForStreamsWithLargeEntriesHarmsNobody(@TempDir Path folder) {
        ProxyLimits limits = new Limits().filteredReplyBytesMax(4_096).build();
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), limits, 1);
                RawClient many = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            many.text("XADD", "s", "1-1", "f", "v".repeat(2_000_000));
            many.text("XADD", "t", "7-1", "f", "v");
            many.send("XREAD", "BLOCK", "0", "STREAMS", "s", "none", "t", "s", "$", "$", "$", "$");
            Await.until(
                    LIMIT,
                    "it waits",
                    () -> server.info("clients", "blocked_clients").equals("1"));
            assertThat(other.text("XADD", "s", "2-1", "f", "new")).isEqualTo("2-1");
            assertThat(many.reply().text()).isEqualTo("[[s, [[2-1, [f, new]]]]]");
            assertThat(server.text("INFO", "commandstats")).contains("cmdstat_xinfo|stream:calls=3,");
            String clients = server.text("CLIENT", "LIST");
            assertThat(clients).contains(" cmd=xinfo|stream ").contains(" cmd=xadd ");
        }
    }
}
