package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Credential;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Nobody's commands run with another's rights, and everybody's database and name are their own. */
class IdentityTest {
    private RealServer server;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder, "--requirepass", "secret");
        server.call("ACL", "SETUSER", "reader", "on", ">r", "~*", "+@read", "+select", "+ping");
        server.call("ACL", "SETUSER", "writer", "on", ">w", "~w:*", "+@all");
        // One loop, so that all clients of a kind share one connection.
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
    }

    @AfterEach
    void stop() {
        proxy.close();
        server.close();
    }

    @Test
    void everyUserHasItsOwnRightsAndNobodyElses() {
        try (RawClient nobody = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy);
                RawClient writer = ProxyFixture.client(proxy);
                RawClient owner = ProxyFixture.client(proxy)) {
            assertThat(reader.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(writer.text("AUTH", "writer", "w")).isEqualTo("OK");
            assertThat(owner.text("AUTH", "secret")).isEqualTo("OK");
            for (int i = 0; i < 20; i++) {
                assertThat(nobody.text("GET", "w:k")).startsWith("-NOAUTH");
                assertThat(reader.text("SET", "w:k", "v")).startsWith("-NOPERM");
                assertThat(writer.text("SET", "w:k", "v" + i)).isEqualTo("OK");
                assertThat(writer.text("GET", "other")).startsWith("-NOPERM");
                assertThat(reader.text("GET", "w:k")).isEqualTo("v" + i);
                assertThat(owner.text("SET", "other", "x")).isEqualTo("OK");
            }
            assertThat(proxy.credentialsInUse())
                    .containsExactlyInAnyOrder(
                            new Credential("reader", "r"),
                            new Credential("writer", "w"),
                            new Credential("default", "secret"));
        }
    }

    /** As the servers have it: any password is right for a default user that has none. */
    @Test
    void aPasswordThatTheServerDoesNotWantIsTakenWhereTheServerTakesIt(@TempDir Path folder) {
        try (RealServer open = ProxyFixture.server(folder.resolve("open"));
                RealServer next = ProxyFixture.server(folder.resolve("next"));
                CacheProxy ofOpen = ProxyFixture.proxy(ProxyFixture.route("old", open, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(ofOpen);
                RawClient resp3 = ProxyFixture.client(ofOpen)) {
            assertThat(client.text("AUTH", "any")).startsWith("-ERR AUTH <password> called without any password");
            assertThat(client.text("AUTH", "default", "any")).isEqualTo("OK");
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            assertThat(client.raw("BLPOP", "none", "0.01")).isEqualTo("*-1\r\n");
            assertThat(resp3.call("HELLO", "3", "AUTH", "default", "any").isError())
                    .isFalse();
            assertThat(resp3.text("GET", "k")).isEqualTo("v");
            BackendRoute second = ProxyFixture.route("new", next, 2);
            ofOpen.openAhead(second).join();
            ProxyFixture.hold(ofOpen, 2000);
            ofOpen.letGo(second).join();
            assertThat(client.text("SET", "k", "v2")).isEqualTo("OK");
            assertThat(resp3.text("GET", "k")).isEqualTo("v2");
        }
    }

    /** What the proxy refuses by itself too: whoever has given no password is told no more than by the server. */
    @TestFactory
    List<DynamicTest> beforeAPasswordEveryCommandIsAnsweredInTheServersWords(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (RealServer closed =
                                RealServer.start(binary, folder.resolve(binary.name()), "--requirepass", "secret");
                        CacheProxy ofClosed =
                                ProxyFixture.proxy(ProxyFixture.route("old", closed, 1), ProxyLimits.DEFAULT, 1)) {
                    for (String command : List.of(
                            "SELECT x",
                            "SELECT 1",
                            "CLIENT SETNAME \u0001",
                            "CLIENT LIST bad",
                            "CLIENT REPLY x",
                            "CLIENT NO-EVICT x",
                            "CLIENT TRACKING ON",
                            "SHUTDOWN",
                            "CLUSTER RESET",
                            "GET switchback:reserved:x",
                            "SUBSCRIBE a",
                            "UNSUBSCRIBE",
                            "MONITOR",
                            "MULTI",
                            "WATCH k",
                            "BLPOP a 0",
                            "WAIT 0 0",
                            "KEYS *",
                            "EVAL x 0",
                            "SCRIPT KILL",
                            "HELLO 9",
                            "HELLO 3",
                            "PING")) {
                        try (RawClient direct = new RawClient(ProxyFixture.endpoint(closed));
                                RawClient nobody = ProxyFixture.client(ofClosed)) {
                            assertThat(nobody.raw(command.split(" ")))
                                    .as(command)
                                    .isEqualTo(direct.raw(command.split(" ")));
                        }
                    }
                }
            }));
        }
        return tests;
    }

    @Test
    void nothingIsAnsweredBeforeAPasswordThatTheServerWouldNotAnswer() {
        try (RawClient nobody = ProxyFixture.client(proxy);
                RawClient another = ProxyFixture.client(proxy)) {
            for (String[] command : new String[][] {
                {"CLIENT", "ID"},
                {"CLIENT", "SETNAME", "n"},
                {"CLIENT", "GETNAME"},
                {"CLIENT", "INFO"},
                {"CLIENT", "LIST"},
                {"CLIENT", "REPLY", "ON"},
                {"CLIENT", "NO-EVICT", "ON"},
                {"CLIENT", "SETINFO", "LIB-NAME", "n"},
                {"SUBSCRIBE", "c"},
                {"UNSUBSCRIBE", "c"},
                {"UNSUBSCRIBE"},
                {"SELECT", "0"},
                {"SELECT", "1"},
                {"WAIT", "0", "0"},
                {"PING"}
            }) {
                assertThat(nobody.text(command)).as(String.join(" ", command)).startsWith("-NOAUTH");
            }
            assertThat(nobody.text("RESET")).isEqualTo("RESET");
            assertThat(another.text("QUIT")).isEqualTo("OK");
            assertThat(nobody.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(nobody.call("CLIENT", "GETNAME")).isEqualTo(new Reply.Nil());
            assertThat(nobody.text("CLIENT", "SETNAME", "n")).isEqualTo("OK");
            assertThat(nobody.text("RESET")).isEqualTo("RESET");
            assertThat(nobody.text("CLIENT", "GETNAME")).startsWith("-NOAUTH");
        }
    }

    @Test
    void aWrongPasswordGetsTheServersErrorAndChangesNothing() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("AUTH", "reader", "wrong")).startsWith("-WRONGPASS");
            assertThat(client.text("GET", "k")).startsWith("-NOAUTH");
            assertThat(client.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(client.text("AUTH", "default", "wrong")).startsWith("-WRONGPASS");
            assertThat(client.call("GET", "k")).isEqualTo(new Reply.Nil());
        }
    }

    @Test
    void aPasswordIsProvenEachTimeSoAnOldOneNoLongerLetsIn() {
        try (RawClient before = ProxyFixture.client(proxy);
                RawClient after = ProxyFixture.client(proxy)) {
            assertThat(before.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(before.call("GET", "k")).isEqualTo(new Reply.Nil());
            server.call("ACL", "SETUSER", "reader", "resetpass", ">new");
            assertThat(after.text("AUTH", "reader", "r")).startsWith("-WRONGPASS");
            assertThat(after.text("AUTH", "reader", "new")).isEqualTo("OK");
            assertThat(after.call("GET", "k")).isEqualTo(new Reply.Nil());
        }
    }

    @Test
    void aPipelineThatAuthenticatesFirstRunsAsThatUser() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("GET", "w:k");
            client.send("AUTH", "writer", "w");
            client.send("SET", "w:k", "v");
            client.send("AUTH", "reader", "r");
            client.send("SET", "w:k", "x");
            client.send("GET", "w:k");
            assertThat(client.reply().text()).startsWith("NOAUTH");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).startsWith("NOPERM");
            assertThat(client.reply().text()).isEqualTo("v");
        }
    }

    @Test
    void helloAuthenticatesAndNames() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("HELLO", "4")).startsWith("-NOPROTO");
            assertThat(client.text("HELLO", "3")).startsWith("-NOAUTH");
            assertThat(client.text("HELLO", "2")).startsWith("-NOAUTH");
            assertThat(client.text("HELLO", "3", "AUTH", "reader", "bad")).startsWith("-WRONGPASS");
            assertThat(client.text("HELLO", "2", "AUTH", "reader", "bad")).startsWith("-WRONGPASS");
            assertThat(client.text("HELLO", "2", "AUTH", "writer", "w", "SETNAME", "me"))
                    .contains("version");
            assertThat(client.text("CLIENT", "GETNAME")).isEqualTo("me");
            assertThat(client.text("SET", "w:1", "x")).isEqualTo("OK");
            assertThat(client.text("RESET")).isEqualTo("RESET");
            assertThat(client.text("SET", "w:1", "x")).startsWith("-NOAUTH");
        }
    }

    @Test
    void eachClientHasItsRepliesInTheProtocolThatItChose() {
        try (RawClient two = ProxyFixture.client(proxy);
                RawClient three = ProxyFixture.client(proxy)) {
            two.text("AUTH", "secret");
            assertThat(two.raw("HGETALL", "h")).isEqualTo("*0\r\n");
            assertThat(three.raw("HELLO", "3", "AUTH", "default", "secret"))
                    .startsWith("%")
                    .contains("$5\r\nproto\r\n:3\r\n");
            assertThat(three.raw("HGETALL", "h")).isEqualTo("%0\r\n");
            assertThat(three.raw("GET", "none")).isEqualTo("_\r\n");
            assertThat(three.raw("CLIENT", "GETNAME")).isEqualTo("_\r\n");
            assertThat(three.raw("CLIENT", "INFO")).startsWith("=").contains(" resp=3 ");
            assertThat(three.raw("HELLO")).contains("$2\r\nid\r\n" + three.raw("CLIENT", "ID"));
            three.text("WATCH", "w");
            two.text("SET", "w", "1");
            three.text("MULTI");
            assertThat(three.raw("EXEC")).isEqualTo("_\r\n");
            three.text("WATCH", "w");
            assertThat(three.raw("HELLO", "2")).startsWith("*");
            three.text("MULTI");
            assertThat(three.raw("EXEC")).isEqualTo("*-1\r\n");
            assertThat(three.raw("HGETALL", "h")).isEqualTo("*0\r\n");
            three.text("HELLO", "3");
            assertThat(three.text("RESET")).isEqualTo("RESET");
            three.text("AUTH", "secret");
            assertThat(three.raw("HGETALL", "h")).isEqualTo("*0\r\n");
        }
    }

    @Test
    void aClientThatWantsNoRepliesGetsNoneAndItsCommandsRun() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("AUTH", "secret");
            String[][] conversation = {
                {"CLIENT", "REPLY", "SKIP"},
                {"SET", "k", "1"},
                {"GET", "k"},
                {"CLIENT", "REPLY", "SKIP"},
                {"CLIENT", "GETNAME"},
                {"ECHO", "a"},
                {"CLIENT", "REPLY", "SKIP"},
                {"NOSUCH"},
                {"CLIENT", "REPLY", "OFF"},
                {"INCR", "k"},
                {"SELECT", "1"},
                {"SELECT", "0"},
                {"MULTI"},
                {"INCR", "k"},
                {"EXEC"},
                {"KEYS", "*"},
                {"CLIENT", "REPLY", "ON"},
                {"GET", "k"},
                {"CLIENT", "REPLY", "x"}
            };
            for (String[] command : conversation) {
                client.send(command);
            }
            for (String expected : new String[] {"1", "a", "OK", "3", "ERR syntax error"}) {
                assertThat(client.reply().text()).isEqualTo(expected);
            }
        }
    }

    @Test
    void clientsOfEveryLoopAreListedAndKilledByWhoMay() {
        server.call("ACL", "SETUSER", "limited", "on", ">l", "+get", "+client|id", "~*");
        List<RawClient> others = new ArrayList<>();
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient limited = ProxyFixture.client(proxy)) {
            client.text("AUTH", "secret");
            limited.text("AUTH", "limited", "l");
            for (int i = 0; i < 6; i++) {
                RawClient other = ProxyFixture.client(proxy);
                others.add(other);
                other.text("AUTH", "reader", "r");
                other.text("CLIENT", "SETNAME", "other-" + i);
            }
            String list = client.text("CLIENT", "LIST");
            assertThat(list).contains(" flags=N ");
            assertThat(list.lines()).hasSize(8).allMatch(line -> line.matches("id=\\d+ addr=127.0.0.1:\\d+ .*"));
            assertThat(list).contains("name=other-5", "user=reader", "addr=127.0.0.1:" + client.localPort());
            String id = others.getFirst().text("CLIENT", "ID");
            assertThat(client.text("CLIENT", "LIST", "ID", id))
                    .contains("name=other-0")
                    .hasLineCount(1);
            assertThat(client.text("CLIENT", "LIST", "TYPE", "x")).isEqualTo("-ERR Unknown client type 'x'");
            assertThat(limited.text("CLIENT", "LIST")).startsWith("-NOPERM");
            assertThat(limited.text("CLIENT", "KILL", "ID", id)).startsWith("-NOPERM");

            assertThat(client.text("CLIENT", "KILL", "ID", id)).isEqualTo("1");
            assertThat(others.getFirst().readToEnd()).isEmpty();
            assertThat(client.text("CLIENT", "KILL", "127.0.0.1:1")).isEqualTo("-ERR No such client");
            assertThat(client.text(
                            "CLIENT", "KILL", "127.0.0.1:" + others.get(1).localPort()))
                    .isEqualTo("OK");
            assertThat(client.text("CLIENT", "KILL", "USER", "reader", "TYPE", "normal"))
                    .isEqualTo("4");
            assertThat(others.get(5).readToEnd()).isEmpty();
            assertThat(client.text("CLIENT", "KILL", "USER", "default", "SKIPME", "no"))
                    .isEqualTo("1");
            assertThat(client.readToEnd()).isEmpty();
        } finally {
            others.forEach(RawClient::close);
        }
    }

    @Test
    void everySessionHasItsOwnDatabaseAndName() {
        try (RawClient zero = ProxyFixture.client(proxy);
                RawClient five = ProxyFixture.client(proxy)) {
            zero.text("AUTH", "secret");
            five.text("AUTH", "secret");
            assertThat(five.text("SELECT", "5")).isEqualTo("OK");
            five.text("SET", "k", "five");
            zero.text("SET", "k", "zero");
            assertThat(five.text("GET", "k")).isEqualTo("five");
            assertThat(zero.text("GET", "k")).isEqualTo("zero");
            assertThat(five.text("SELECT", "99")).isEqualTo("-ERR DB index is out of range");
            assertThat(five.text("SELECT", "-1")).isEqualTo("-ERR DB index is out of range");
            assertThat(five.text("SELECT", "x")).isEqualTo("-ERR value is not an integer or out of range");
            assertThat(five.text("GET", "k")).isEqualTo("five");
            assertThat(five.text("CLIENT", "SETNAME", "five")).isEqualTo("OK");
            assertThat(zero.call("CLIENT", "GETNAME")).isEqualTo(new Reply.Nil());
            assertThat(five.text("CLIENT", "GETNAME")).isEqualTo("five");
            assertThat(five.text("CLIENT", "ID")).isNotEqualTo(zero.text("CLIENT", "ID"));
            assertThat(five.text("CLIENT", "SETINFO", "lib-name", "mine")).isEqualTo("OK");
            assertThat(five.text("CLIENT", "INFO")).contains("name=five", "db=5", "lib-name=mine", "user=default");
        }
    }

    @Test
    void whatWouldReachOthersIsRefusedByName() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("AUTH", "secret");
            for (String[] command : new String[][] {
                {"FAILOVER"},
                {"DEBUG", "SEGFAULT"},
                {"SHUTDOWN", "NOSAVE"},
                {"REPLICAOF", "NO", "ONE"},
                {"PSYNC", "?", "-1"},
                {"DEBUG", "RELOAD"},
                {"SCRIPT", "DEBUG", "YES"}
            }) {
                assertThat(client.text(command)).as(String.join(" ", command)).startsWith("-ERR switchback: ");
            }
            assertThat(client.text("NOSUCHCOMMAND", "x")).startsWith("-ERR unknown command 'NOSUCHCOMMAND'");
            assertThat(client.text("XREAD", "COUNT", "1", "STREAMS", "BLOCK", "0"))
                    .isEmpty();
            assertThat(client.text("PUBLISH", "c", "m")).isEqualTo("0");
            assertThat(client.text("PING")).isEqualTo("PONG");
        }
    }

    /** What each kind of client is called, as by the server itself. */
    @Test
    void theFlagsOfAClientAreThoseThatTheServerWouldShow() {
        List<List<String>> kinds = List.of(
                List.of("PING"),
                List.of("SUBSCRIBE", "channel"),
                List.of("MULTI"),
                List.of("BLPOP", "nothing-here", "0"),
                List.of("MONITOR"));
        for (List<String> kind : kinds) {
            String[] words = kind.toArray(String[]::new);
            try (RawClient through = ProxyFixture.client(proxy);
                    RawClient direct = new RawClient(ProxyFixture.endpoint(server));
                    RawClient beside = ProxyFixture.client(proxy);
                    RawClient besideDirect = new RawClient(ProxyFixture.endpoint(server))) {
                List.of(through, direct, beside, besideDirect).forEach(client -> client.text("AUTH", "secret"));
                through.text("CLIENT", "SETNAME", "shown");
                direct.text("CLIENT", "SETNAME", "direct");
                through.send(words);
                direct.send(words);
                Await.until(
                        Duration.ofSeconds(10),
                        "both are alike as " + kind,
                        () -> flags(beside.text("CLIENT", "LIST"), "shown")
                                .equals(flags(besideDirect.text("CLIENT", "LIST"), "direct")));
                assertThat(flags(beside.text("CLIENT", "LIST"), "shown"))
                        .isEqualTo(
                                kind.equals(List.of("PING"))
                                        ? "N"
                                        : Map.of("SUBSCRIBE", "P", "MULTI", "x", "BLPOP", "b", "MONITOR", "O")
                                                .get(kind.getFirst()));
            }
        }
    }

    private static String flags(String list, String name) {
        return list.lines()
                .filter(line -> line.contains(" name=" + name + " "))
                .map(line -> line.replaceFirst(".* flags=([^ ]*) .*", "$1"))
                .findFirst()
                .orElse("gone");
    }
}
