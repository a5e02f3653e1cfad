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

/** DEBUG, where the server allows it: as there, unnoticed by others, and not to end the server or its replication. */
class DebugTest {
    private static RealServer start(ServerBinary binary, Path folder) {
        return binary.name().startsWith("redis-6.")
                ? RealServer.start(binary, folder)
                : RealServer.start(binary, folder, "--enable-debug-command", "yes");
    }

    @TestFactory
    List<DynamicTest> itIsAnsweredAsByTheServerAndItsConnectionGoesToNobody(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (RealServer server = start(binary, folder.resolve(binary.name()));
                        CacheProxy proxy =
                                ProxyFixture.proxy(ProxyFixture.route("old", server, 1), ProxyLimits.DEFAULT, 1);
                        RawClient client = ProxyFixture.client(proxy);
                        RawClient other = ProxyFixture.client(proxy);
                        RawClient direct = new RawClient(ProxyFixture.endpoint(server))) {
                    for (String protocol : List.of("2", "3")) {
                        client.call("HELLO", protocol);
                        direct.call("HELLO", protocol);
                        for (String[] command : new String[][] {
                            {"SET", "k", "v"},
                            {"DEBUG"},
                            {"DEBUG", "HELP"},
                            {"DEBUG", "STRUCTSIZE"},
                            {"DEBUG", "DIGEST-VALUE", "k"},
                            {"DEBUG", "SDSLEN", "k"},
                            {"DEBUG", "SLEEP", "0"},
                            {"DEBUG", "no-such"},
                            {"DEBUG", "PROTOCOL", "attrib"},
                            {"DEBUG", "PROTOCOL", "map"},
                            {"GET", "k"},
                        }) {
                            assertThat(client.raw(command))
                                    .as(String.join(" ", command))
                                    .isEqualTo(direct.raw(command));
                            assertThat(other.text("ECHO", "x")).isEqualTo("x");
                        }
                    }
                    client.call("HELLO", "2");
                    assertThat(client.text("DEBUG", "PROTOCOL", "push"))
                            .isEqualTo("-ERR RESP2 is not supported by this command");
                    String process = server.text("INFO", "server").replaceAll("(?s).*run_id:([0-9a-f]+).*", "$1");
                    for (String word : List.of(
                            "SEGFAULT",
                            "panic",
                            "ASSERT",
                            "OOM",
                            "RESTART",
                            "CRASH-AND-RECOVER",
                            "CHANGE-REPL-ID",
                            "REPLICATE",
                            "POPULATE",
                            "RELOAD",
                            "LOADAOF",
                            "FLUSHALL")) {
                        assertThat(client.text("DEBUG", word, "1"))
                                .startsWith("-ERR switchback: DEBUG " + word.toUpperCase(java.util.Locale.ROOT)
                                        + " is refused: it ");
                    }
                    assertThat(server.text("INFO", "server")).contains(process);
                    assertThat(client.text("GET", "k")).isEqualTo("v");
                    // None is kept for somebody else: of all connections that were DEBUG's, none is left.
                    assertThat(server.text("CLIENT", "LIST")).doesNotContain("cmd=debug");
                    client.text("WATCH", "k");
                    assertThat(client.text("DEBUG", "SLEEP", "0")).isEqualTo("OK");
                    server.call("SET", "k", "other");
                    client.text("MULTI");
                    assertThat(client.raw("EXEC")).isEqualTo("*-1\r\n");
                    assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
                }
            }));
        }
        return tests;
    }
}
