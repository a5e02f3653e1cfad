package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** MONITOR: the lines of the fleet in use, through a switch. */
class MonitorTest {
    private static void seesNext(RawClient monitor, String what) {
        String line = monitor.readUntil("\r\n");
        while (line.contains("\"CLIENT\"") || line.contains("\"INFO\"") || line.contains("\"HELLO\"")) {
            line = monitor.readUntil("\r\n");
        }
        assertThat(line).startsWith("+").contains(what);
    }

    @TestFactory
    List<DynamicTest> theLinesOfTheFleetInUseComeThroughASwitch(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                Path own = folder.resolve(binary.name());
                try (RealServer first = RealServer.start(binary, own.resolve("first"));
                        RealServer second = RealServer.start(binary, own.resolve("second"));
                        CacheProxy proxy =
                                ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1);
                        RawClient monitor = ProxyFixture.client(proxy);
                        RawClient client = ProxyFixture.client(proxy)) {
                    assertThat(monitor.text("MULTI")).isEqualTo("OK");
                    assertThat(monitor.text("MONITOR")).contains("not supported inside MULTI");
                    assertThat(monitor.text("DISCARD")).isEqualTo("OK");
                    assertThat(monitor.raw("MONITOR")).isEqualTo("+OK\r\n");
                    client.text("SET", "k", "1");
                    seesNext(monitor, "\"SET\" \"k\" \"1\"");
                    String large = "x".repeat(200_000);
                    client.text("SET", "k", large);
                    seesNext(monitor, large + "\"\r\n");
                    assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
                    proxy.letGo(ProxyFixture.route("new", second, 2)).join();
                    Await.until(
                            Duration.ofSeconds(10),
                            "it monitors the other fleet",
                            () -> second.text("CLIENT", "LIST").contains("cmd=monitor"));
                    client.text("SET", "k", "2");
                    seesNext(monitor, "\"SET\" \"k\" \"2\"");
                    assertThat(first.text("CLIENT", "LIST")).doesNotContain("cmd=monitor");
                    assertThat(monitor.text("GET", "k")).contains("monitors may use PING");
                    assertThat(monitor.text("PING")).isEqualTo("PONG");
                    assertThat(monitor.text("RESET")).isEqualTo("RESET");
                    assertThat(monitor.text("GET", "k")).isEqualTo("2");
                    assertThat(second.text("CLIENT", "LIST")).doesNotContain("cmd=monitor");
                    assertThat(monitor.text("MONITOR")).isEqualTo("OK");
                    monitor.send("QUIT");
                    assertThat(monitor.readToEnd()).endsWith("+OK\r\n");
                    Await.until(
                            Duration.ofSeconds(10),
                            "nobody monitors",
                            () -> !second.text("CLIENT", "LIST").contains("cmd=monitor"));
                }
            }));
        }
        return tests;
    }

    @Test
    void whoLeavesBeforeTheAnswerLeavesNothingBehind(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1)) {
            for (int i = 0; i < 200; i++) {
                try (RawClient monitor = ProxyFixture.client(proxy)) {
                    monitor.send("MONITOR");
                }
            }
            try (RawClient late = ProxyFixture.client(proxy)) {
                assertThat(late.text("PING")).isEqualTo("PONG");
                assertThat(late.hasReplyWithin(300)).isFalse(); // by which time the server has been asked
            }
            Await.until(
                    Duration.ofSeconds(10),
                    "nobody monitors",
                    () -> !server.text("CLIENT", "LIST").contains("cmd=monitor"));
        }
    }

    @Test
    void aLineIsAsLongAsWhatWasSent(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient monitor = ProxyFixture.client(proxy);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(monitor.text("MONITOR")).isEqualTo("OK");
            String value = "x".repeat(5_000_000);
            client.text("SET", "k", value);
            client.text("GET", "k");
            assertThat(monitor.readUntil("\"SET\" \"k\" \"" + value + "\"\r\n")).startsWith("+");
            assertThat(monitor.readUntil("\"GET\" \"k\"\r\n")).startsWith("+");
        }
    }

    @Test
    void whoReadsSlowlyIsNotReadForAndHoldsNobodyUp(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                RawClient monitor = ProxyFixture.client(proxy);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(monitor.text("MONITOR")).isEqualTo("OK");
            String value = "x".repeat(50_000);
            for (int i = 0; i < 800; i++) {
                client.text("SET", "k", value);
            }
            assertMoreWaitsForTheMonitorAtTheServer(server);
            assertThat(ProxyFixture.hold(proxy, 1000)).isInstanceOf(HoldOutcome.Held.class);
            assertMoreWaitsForTheMonitorAtTheServer(server);
            proxy.letGo(ProxyFixture.route("old", server, 1)).join();
            int seen = 0;
            while (seen < 800) {
                seen += monitor.reply().text().contains(value) ? 1 : 0;
            }
            client.text("ECHO", "last");
            seesNext(monitor, "\"ECHO\" \"last\"");
        }
    }

    private static void assertMoreWaitsForTheMonitorAtTheServer(RealServer server) {
        assertThat(server.text("CLIENT", "LIST").lines().filter(line -> line.contains("cmd=monitor")))
                .isNotEmpty()
                .noneMatch(line -> line.contains(" omem=0 "));
    }
}
