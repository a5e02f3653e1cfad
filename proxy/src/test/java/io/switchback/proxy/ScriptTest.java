package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Scripts that clients have loaded are there after a switch as well. */
class ScriptTest {
    private static final String LOADED = "return 'loaded'";
    private static final String RUN = "return 'run'";
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
                        new Limits().scriptBytesMax(60).build(),
                        1);
                RawClient client = ProxyFixture.client(proxy)) {
            String forgotten = client.text("SCRIPT", "LOAD", "return 'forgotten'");
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

    private static String sha(RealServer server, String script) {
        return server.text("SCRIPT", "LOAD", script);
    }
}
