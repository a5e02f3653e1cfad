package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** CLIENT PAUSE and UNPAUSE: a server that pauses its clients delays them, and nothing else. */
class PauseTest {
    @TestFactory
    List<DynamicTest> aPausedServerOnlyDelaysAndAnotherClientEndsThePause(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                Path own = folder.resolve(binary.name());
                try (RealServer server = RealServer.start(binary, own.resolve("one"));
                        RealServer unpaused = RealServer.start(binary, own.resolve("other"));
                        CacheProxy proxy =
                                ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                        RawClient client = ProxyFixture.client(proxy);
                        RawClient writer = ProxyFixture.client(proxy);
                        RawClient direct = new RawClient(ProxyFixture.endpoint(unpaused))) {
                    for (String[] wrong : new String[][] {
                        {"CLIENT", "PAUSE"},
                        {"CLIENT", "PAUSE", "x"},
                        {"CLIENT", "PAUSE", "-1"},
                        {"CLIENT", "PAUSE", "1", "x"},
                        {"CLIENT", "UNPAUSE", "x"}
                    }) {
                        assertThat(client.raw(wrong)).isEqualTo(direct.raw(wrong));
                    }
                    assertThat(client.text("CLIENT", "PAUSE", "100")).isEqualTo("OK");
                    long before = System.nanoTime();
                    assertThat(writer.text("SET", "k", "1")).isEqualTo("OK");
                    assertThat(System.nanoTime() - before).isGreaterThan(50_000_000L);

                    assumeThat(direct.text("CLIENT", "PAUSE", "1", "WRITE")).isEqualTo("OK");
                    assertThat(client.text("CLIENT", "PAUSE", "60000", "WRITE")).isEqualTo("OK");
                    assertThat(client.text("GET", "k")).isEqualTo("1");
                    writer.send("SET", "k", "2");
                    assertThat(writer.hasReplyWithin(50)).isFalse();
                    // The switch is given up, and says who waits for what; nobody is harmed.
                    assertThat(ProxyFixture.hold(proxy, 100).toString()).contains("SET");
                    assertThat(writer.hasReplyWithin(50)).isFalse();
                    assertThat(client.text("CLIENT", "UNPAUSE")).isEqualTo("OK");
                    assertThat(writer.reply().text()).isEqualTo("OK");
                    assertThat(server.text("GET", "k")).isEqualTo("2");
                    assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
                    proxy.letGo(ProxyFixture.route("old", server, 1)).join();
                    assertThat(writer.text("GET", "k")).isEqualTo("2");
                }
            }));
        }
        return tests;
    }
}
