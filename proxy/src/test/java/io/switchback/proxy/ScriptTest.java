package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Credential;
import io.switchback.fleet.FleetSpec;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Scripts that clients have loaded are there after a switch as well. */
class ScriptTest {
    private static final String LOADED = "return 'loaded'";
    private static final String FORGOTTEN = "return 'forgotten'";
    private static final String RUN = "return 'run'";
    private static final String IN_TRANSACTION = "return 'in transaction'";
    private static final String LIBRARY =
            "#!lua name=library\nredis.register_function('endless', function() while true do end end)";
    private static final String FAILING = "return redis.error_reply('WRONG')";
    private static final String LATE = "return 'late'";

    @TestFactory
    List<DynamicTest> aScriptThatWasLoadedIsThereAfterASwitch(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> switchOver(binary, folder.resolve(binary.name()))));
        }
        return tests;
    }

    private static void switchOver(ServerBinary binary, Path folder) {
        try (RealServer first = RealServer.start(binary, folder.resolve("first"));
                RealServer second = RealServer.start(binary, folder.resolve("second"));
                CacheProxy proxy = ProxyFixture.proxy(
                        ProxyFixture.route("old", first, 1),
                        new Limits().scriptBytesMax(40).build(),
                        1);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("EVAL", FORGOTTEN, "0")).isEqualTo("forgotten");
            String forgotten = sha(first, FORGOTTEN);
            String loaded = client.text("SCRIPT", "LOAD", LOADED);
            assertThat(client.text("EVAL", RUN, "0")).isEqualTo("run");
            client.text("EVAL", "this is no script", "0");
            BackendRoute next = ProxyFixture.route("new", second, 2);
            proxy.openAhead(next).join();
            client.text("MULTI");
            client.text("EVAL", LATE, "0");
            assertThat(client.text("EXEC")).isEqualTo("[late]");
            ProxyFixture.hold(proxy, 2000);
            proxy.letGo(next).join();
            assertThat(client.text("EVALSHA", loaded, "0")).isEqualTo("loaded");
            assertThat(client.text("EVALSHA", sha(first, RUN), "0")).isEqualTo("run");
            assertThat(client.text("EVALSHA", sha(first, LATE), "0")).isEqualTo("late");
            // More than is remembered: the oldest is forgotten, and the client told as by any server.
            assertThat(client.text("EVALSHA", forgotten, "0")).startsWith("-NOSCRIPT");
            assertThat(proxy.load().limitsReached().get(Limit.SCRIPT_BYTES)).isPositive();

            client.text("SCRIPT", "FLUSH");
            first.call("SCRIPT", "FLUSH");
            BackendRoute back = ProxyFixture.route("old", first, 3);
            proxy.openAhead(back).join();
            ProxyFixture.hold(proxy, 2000);
            proxy.letGo(back).join();
            assertThat(client.text("EVALSHA", loaded, "0")).startsWith("-NOSCRIPT");
        }
    }

    /** A fleet whose user has all rights, and a user who may read. */
    private static BackendRoute routeWithUsers(String fleet, RealServer server, long epoch, String password) {
        server.call("ACL", "SETUSER", "fleet", "on", ">right", "~*", "&*", "+@all");
        server.call("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read");
        return new BackendRoute(
                new FleetSpec(fleet, ProxyFixture.endpoint(server), Optional.of(new Credential("fleet", password))),
                epoch);
    }

    private static void lead(CacheProxy proxy, BackendRoute next) {
        proxy.openAhead(next).join();
        assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(next).join();
    }

    @Test
    void whatTheServerRefusesIsNeitherRememberedNorForgotten(@TempDir Path folder) {
        try (RealServer first = ProxyFixture.server(folder.resolve("first"));
                RealServer second = ProxyFixture.server(folder.resolve("second"));
                CacheProxy proxy =
                        ProxyFixture.proxy(routeWithUsers("old", first, 1, "right"), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy);
                RawClient reader = ProxyFixture.client(proxy)) {
            String loaded = client.text("SCRIPT", "LOAD", LOADED);
            assertThat(client.text("EVAL", FAILING, "0")).contains("WRONG");
            assertThat(reader.text("AUTH", "reader", "secret")).isEqualTo("OK");
            assertThat(reader.text("EVAL", RUN, "0")).startsWith("-NOPERM");
            assertThat(reader.text("SCRIPT", "FLUSH")).startsWith("-NOPERM");
            assertThat(client.text("SCRIPT", "FLUSH", "NONSENSE")).startsWith("-ERR");
            assertThat(client.text("MULTI")).isEqualTo("OK");
            client.text("SCRIPT", "FLUSH");
            client.text("EVAL", LATE, "0");
            assertThat(client.text("DISCARD")).isEqualTo("OK");
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("MULTI")).startsWith("-ERR");
            client.text("SCRIPT", "FLUSH", "NONSENSE");
            client.text("SCRIPT", "LOAD", IN_TRANSACTION);
            client.text("GET", "k");
            client.text("EVAL", "return {1, {'a', 'b'}}", "0");
            assertThat(client.text("EXEC")).endsWith(", [1, [a, b]]]");
            lead(proxy, routeWithUsers("new", second, 2, "right"));
            assertThat(client.text("EVALSHA", loaded, "0")).isEqualTo("loaded");
            assertThat(client.text("EVALSHA", sha(first, IN_TRANSACTION), "0")).isEqualTo("in transaction");
            assertThat(client.text("EVALSHA", sha(first, FAILING), "0")).contains("WRONG");
            assertThat(client.text("EVALSHA", sha(first, "return {1, {'a', 'b'}}"), "0"))
                    .isEqualTo("[1, [a, b]]");
            assertThat(client.text("EVALSHA", sha(first, RUN), "0")).startsWith("-NOSCRIPT");
            assertThat(client.text("EVALSHA", sha(first, LATE), "0")).startsWith("-NOSCRIPT");

            assertThat(client.text("MULTI")).isEqualTo("OK");
            client.text("SCRIPT", "FLUSH");
            assertThat(client.text("EXEC")).isEqualTo("[OK]");
            first.call("SCRIPT", "FLUSH");
            lead(proxy, routeWithUsers("old", first, 3, "right"));
            assertThat(client.text("EVALSHA", loaded, "0")).startsWith("-NOSCRIPT");
        }
    }

    @Test
    void noMoreScriptsAreKeptThanAServerKeepsAndEachIsBroughtOnce(@TempDir Path folder) {
        try (RealServer first = ProxyFixture.server(folder.resolve("first"));
                RealServer second = ProxyFixture.server(folder.resolve("second"));
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1));
                RawClient client = ProxyFixture.client(proxy)) {
            String loaded = client.text("SCRIPT", "LOAD", LOADED);
            assertThat(client.text("EVAL", RUN, "0")).isEqualTo("run");
            assertThat(client.text("EVAL", FORGOTTEN, "0")).isEqualTo("forgotten");
            String run = sha(first, RUN);
            for (int i = 0; i < 2 * Scripts.SCRIPTS_MAX; i++) {
                assertThat(client.text("EVAL", "return " + i, "0")).isEqualTo(Integer.toString(i));
                // In capitals too, as by a server.
                assertThat(client.text("EVALSHA", run.toUpperCase(Locale.ROOT), "0"))
                        .isEqualTo("run");
            }
            lead(proxy, ProxyFixture.route("new", second, 2));
            assertThat(client.text("EVALSHA", loaded, "0")).isEqualTo("loaded");
            assertThat(client.text("EVALSHA", run, "0")).isEqualTo("run");
            assertThat(client.text("EVALSHA", sha(first, FORGOTTEN), "0")).startsWith("-NOSCRIPT");
            assertThat(loads(second)).isEqualTo(Scripts.SCRIPTS_MAX);
            lead(proxy, ProxyFixture.route("old", first, 3));
            assertThat(client.text("EVAL", LATE, "0")).isEqualTo("late");
            lead(proxy, ProxyFixture.route("new", second, 4));
            assertThat(client.text("EVALSHA", sha(first, LATE), "0")).isEqualTo("late");
            assertThat(loads(second)).isEqualTo(Scripts.SCRIPTS_MAX + 1);
        }
    }

    private static long loads(RealServer server) {
        String calls = server.info("commandstats", "cmdstat_script|load");
        return Long.parseLong(calls.substring("calls=".length(), calls.indexOf(',')));
    }

    @Test
    void aScriptThatCannotBeBroughtStopsNoSwitch(@TempDir Path folder) {
        try (RealServer first = ProxyFixture.server(folder.resolve("first"));
                RealServer second = ProxyFixture.server(folder.resolve("second"));
                CacheProxy proxy =
                        ProxyFixture.proxy(routeWithUsers("old", first, 1, "right"), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            String loaded = client.text("SCRIPT", "LOAD", LOADED);
            BackendRoute next = routeWithUsers("new", second, 2, "wrong");
            proxy.openAhead(next).join();
            assertThat(client.text("EVAL", LATE, "0")).isEqualTo("late");
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(next).join();
            assertThat(client.text("EVALSHA", loaded, "0")).startsWith("-NOSCRIPT");
        }
    }

    @TestFactory
    List<DynamicTest> whatRunsForTooLongIsEndedByAClientThatSharesItsConnection(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> endWhatRuns(binary, folder.resolve(binary.name()))));
        }
        return tests;
    }

    private static void endWhatRuns(ServerBinary binary, Path folder) {
        try (RealServer server = RealServer.start(binary, folder, "--lua-time-limit", "20");
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy);
                RawClient direct = new RawClient(ProxyFixture.endpoint(server))) {
            assertThat(other.text("SCRIPT", "KILL")).startsWith("-NOTBUSY");
            client.send("EVAL", "while true do end", "0");
            awaitBusy(direct);
            assertThat(other.text("SCRIPT", "KILL")).isEqualTo("OK");
            assertThat(client.reply().isError()).isTrue();
            boolean hasFunctions = !client.text("FUNCTION", "LOAD", LIBRARY).startsWith("-");
            if (hasFunctions) {
                assertThat(other.text("FUNCTION", "KILL")).startsWith("-NOTBUSY");
                assertThat(other.text("SELECT", "1")).isEqualTo("OK");
                assertThat(client.text("SELECT", "1")).isEqualTo("OK");
                client.send("FCALL", "endless", "0");
                awaitBusy(direct);
                assertThat(other.text("FUNCTION", "KILL")).isEqualTo("OK");
                assertThat(client.reply().isError()).isTrue();
                assertThat(client.text("FUNCTION", "DELETE", "library")).isEqualTo("OK");
            }
            assertThat(client.text("PING")).isEqualTo("PONG");
            assertThat(other.text("SCRIPT", "KILL", "x")).startsWith("-ERR");
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        }
    }

    private static void awaitBusy(RawClient direct) {
        Await.until(
                Duration.ofSeconds(10),
                "the server is busy",
                () -> direct.text("PING").startsWith("-BUSY"));
    }

    private static String sha(RealServer server, String script) {
        return server.text("SCRIPT", "LOAD", script);
    }
}
