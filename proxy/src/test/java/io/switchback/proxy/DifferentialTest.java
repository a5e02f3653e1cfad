package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandRule.Treatment;
import io.switchback.resp.CommandTable;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** The real server is the reference: what it answers directly, byte for byte, the proxy must answer. */
class DifferentialTest {
    private static final Set<String> NOT_COMPARABLE = Set.of(
            // They tell of the server, of the moment or of chance, end it, or change what the rest of the corpus meets.
            "info",
            "time",
            "lastsave",
            "memory",
            "latency",
            "slowlog",
            "commandlog",
            "lolwut",
            "acl",
            "module",
            "config",
            "save",
            "bgsave",
            "bgrewriteaof",
            "pfselftest",
            "pfdebug",
            "migrate",
            "role",
            "randomkey",
            "srandmember",
            "spop",
            "hrandfield",
            "zrandmember",
            "vrandmember",
            "swapdb",
            "command",
            "object",
            "function");

    @TestFactory
    List<DynamicTest> everyPlainCommandOfEveryServerIsAnsweredAlike(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            for (Protocol protocol : Protocol.values()) {
                String name = binary.name() + "-" + protocol;
                tests.add(DynamicTest.dynamicTest(name, () -> compare(binary, protocol, folder.resolve(name))));
            }
        }
        return tests;
    }

    private static void compare(ServerBinary binary, Protocol protocol, Path folder) {
        try (RealServer direct = RealServer.start(binary, folder.resolve("direct"));
                RealServer behind = RealServer.start(binary, folder.resolve("behind"));
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", behind, 1));
                RawClient toServer = new RawClient(ProxyFixture.endpoint(direct));
                RawClient toProxy = ProxyFixture.client(proxy)) {
            String version = Integer.toString(protocol.version());
            assertThat(toServer.call("HELLO", version).isError()).isFalse();
            assertThat(toProxy.call("HELLO", version).isError()).isFalse();
            int compared = 0;
            for (CommandRule rule : CommandTable.rules()) {
                boolean plain = rule.treatment() == Treatment.PLAIN
                        || rule.treatment() == Treatment.SCRIPT
                        || rule.name().startsWith("xread")
                        || (rule.treatment() == Treatment.FILTERED
                                && rule.name().endsWith("scan"));
                if (!plain || rule.name().contains("|") || NOT_COMPARABLE.contains(rule.name())) {
                    continue;
                }
                List<String[]> commands = corpus(rule.name());
                for (String[] command : commands) {
                    toServer.send(command);
                    toProxy.send(command);
                }
                for (String[] command : commands) {
                    assertThat(toProxy.rawReply()).as(String.join(" ", command)).isEqualTo(toServer.rawReply());
                    compared++;
                }
            }
            assertThat(compared).isGreaterThan(1500);
        }
    }

    /** Each command with none to six arguments, over keys of every type, so that most errors and many results occur. */
    private static List<String[]> corpus(String name) {
        List<String[]> commands = new ArrayList<>();
        // What sets a time to live gets a long one, lest a key ends on one of the two servers only.
        String number = name.contains("ex") ? "1000000" : "1";
        for (String[] setup : new String[][] {
            {"SET", "string", "10"},
            {"DEL", "list", "hash", "set", "zset", "stream", "none"},
            {"RPUSH", "list", "a", "b"},
            {"HSET", "hash", "a", "1"},
            {"SADD", "set", "1", "2"},
            {"ZADD", "zset", "1", "a", "2", "b"},
            {"XADD", "stream", "1-1", "a", "b"}
        }) {
            commands.add(setup);
        }
        for (String key : new String[] {"string", "list", "hash", "set", "zset", "stream", "none"}) {
            List<String> command = new ArrayList<>(List.of(name.toUpperCase(Locale.ROOT)));
            if (key.equals("string")) {
                commands.add(command.toArray(String[]::new));
            }
            for (String argument : new String[] {key, number, "a", "2", "b\r\n\0\377", "3"}) {
                command.add(argument);
                commands.add(command.toArray(String[]::new));
            }
        }
        return commands;
    }

    @Test
    void theTableKnowsEveryCommandOfEveryServer(@TempDir Path folder) {
        for (ServerBinary binary : ServerBinary.found()) {
            try (RealServer server = RealServer.start(binary, folder.resolve(binary.name()));
                    RawClient client = new RawClient(ProxyFixture.endpoint(server))) {
                for (Reply command : ((Reply.Array) client.call("COMMAND")).elements()) {
                    String name = ((Reply.Array) command).elements().getFirst().text();
                    assertThat(CommandTable.find(name))
                            .as(name + " of " + binary.name())
                            .isNotNull();
                }
            }
        }
    }

    @Test
    void malformedFramesGetTheSameBytesAndTheSameEnd(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1))) {
            String before = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
            for (String bad : List.of(
                    "*x\r\n",
                    "*01\r\n",
                    "*2147483648\r\n",
                    "*99999999999999999999\r\n",
                    "*1\r\n$-1\r\n",
                    "*1\r\n$536870913\r\n",
                    "*1\r\n$ 1\r\n",
                    "*1\r\n:1\r\n",
                    "*1\r\n\r\n",
                    "*1\r\n\377\r\n",
                    "SET \"a\r\n",
                    "SET 'a'b\r\n",
                    "*" + "1".repeat(70_000),
                    "*1\r\n$" + "1".repeat(70_000),
                    "x".repeat(70_000))) {
                String name = bad.substring(0, Math.min(20, bad.length()));
                assertThat(converse(proxy.addresses().getFirst(), before + bad))
                        .as(name)
                        .isEqualTo(converse(ProxyFixture.endpoint(server), before + bad))
                        .contains("Protocol error");
            }
        }
    }

    private static String converse(Endpoint endpoint, String bytes) {
        try (RawClient client = new RawClient(endpoint)) {
            client.sendRaw(bytes);
            return client.readToEnd();
        }
    }

    @Test
    void aMalformedFrameDisturbsNobodyElse(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient good = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 50; i++) {
                try (RawClient bad = ProxyFixture.client(proxy)) {
                    bad.sendRaw("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1x\r\n");
                    good.send("ECHO", "m" + i);
                    assertThat(bad.readToEnd()).isEqualTo("-ERR Protocol error: invalid bulk length\r\n");
                    assertThat(good.reply().text()).isEqualTo("m" + i);
                }
            }
            assertThat(server.number("DBSIZE")).isZero();
        }
    }

    /** Whatever a server may say, those who share the connection that it says it over go on. */
    @Test
    void repliesOfAnyShapeDisturbNobodyElse(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient odd = ProxyFixture.client(proxy);
                RawClient direct = new RawClient(ProxyFixture.endpoint(server));
                RawClient other = ProxyFixture.client(proxy)) {
            for (String script : List.of(
                    "return redis.status_reply(string.rep('x', 3 * 1024 * 1024))",
                    "return redis.error_reply(string.rep('x', 3 * 1024 * 1024))",
                    "local t = {} for i = 1, 200 do t = {t} end return t",
                    "local t = {} for i = 1, 100000 do t = {t} end return t")) {
                odd.send("EVAL", script, "0");
                direct.send("EVAL", script, "0");
                for (int i = 0; i < 100; i++) {
                    other.send("INCR", "counter");
                }
                odd.send("ECHO", "the-end");
                direct.send("ECHO", "the-end");
                String expected = direct.readUntil("the-end\r\n");
                assertThat(odd.readUntil("the-end\r\n")).as(script).isEqualTo(expected);
                for (int i = 0; i < 100; i++) {
                    assertThat(other.rawReply()).as(script).startsWith(":");
                }
            }
        }
    }

    @Test
    void cursorsAndFiltersAreTakenAsTheServerTakesThem(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy);
                RawClient direct = new RawClient(ProxyFixture.endpoint(server))) {
            for (String cursor :
                    List.of("18446744073709551615", "18446744073709551616", "99999999999999999999", "-1")) {
                assertThat(client.text("SCAN", cursor)).as(cursor).isEqualTo(direct.text("SCAN", cursor));
            }
            // Of each kind the last one counts, as where servers take more than one.
            assertThat(client.text("CLIENT", "LIST", "TYPE", "pubsub", "TYPE", "normal"))
                    .contains(" addr=127.0.0.1:" + client.localPort() + " ");
        }
    }

    @Test
    void inlineCommandsAreTakenAsTheServerTakesThem(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1))) {
            String lines = "SET k \"a b\\x41\"\r\n\r\nget k\nPING 'it\\'s'\r\nNOSUCH\r\nSELECT 1\r\nGET k\r\nQUIT\r\n";
            String expected = converse(ProxyFixture.endpoint(server), lines);
            assertThat(converse(proxy.addresses().getFirst(), lines)
                            .replaceAll("-ERR unknown command 'NOSUCH'.*", "-?"))
                    .isEqualTo(expected.replaceAll("-ERR unknown command 'NOSUCH'.*", "-?"));
        }
    }

    @Test
    void aPipelineCutAtEveryByteIsAnsweredAlike(@TempDir Path folder) {
        String pipeline = new String(CommandEncoder.encode("SET", "k", "a\r\nb"), ISO_8859_1)
                + new String(CommandEncoder.encode("GET", "k"), ISO_8859_1)
                + new String(CommandEncoder.encode("SELECT", "0"), ISO_8859_1)
                + "PING x\r\n"
                + new String(CommandEncoder.encode("MULTI"), ISO_8859_1)
                + new String(CommandEncoder.encode("GET", "k"), ISO_8859_1)
                + new String(CommandEncoder.encode("EXEC"), ISO_8859_1)
                + new String(CommandEncoder.encode("QUIT"), ISO_8859_1);
        String expected = "+OK\r\n$4\r\na\r\nb\r\n+OK\r\n$1\r\nx\r\n+OK\r\n+QUEUED\r\n*1\r\n$4\r\na\r\nb\r\n+OK\r\n";
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1))) {
            for (int cut = 1; cut < pipeline.length(); cut++) {
                try (RawClient client = ProxyFixture.client(proxy)) {
                    client.sendRaw(pipeline.substring(0, cut));
                    client.sendRaw(pipeline.substring(cut));
                    assertThat(client.readToEnd()).as("cut at " + cut).isEqualTo(expected);
                }
            }
        }
    }
}
