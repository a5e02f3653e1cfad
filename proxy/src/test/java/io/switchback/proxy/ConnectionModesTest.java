package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** CLIENT NO-TOUCH, IMPORT-SOURCE and CAPA: what a client turns on of its connection, and what others must not notice. */
class ConnectionModesTest {
    private static RealServer start(ServerBinary binary, Path folder, String... arguments) {
        List<String> all = new ArrayList<>(List.of("--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0"));
        all.addAll(List.of(arguments));
        return RealServer.start(binary, folder, all.toArray(String[]::new));
    }

    /** Where each read counts. */
    private static long uses(RealServer server) {
        return server.number("OBJECT", "FREQ", "k");
    }

    private static void switchTo(CacheProxy proxy, String fleet, RealServer server, long epoch) {
        assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(ProxyFixture.route(fleet, server, epoch)).join();
    }

    @TestFactory
    List<DynamicTest> noTouchIsOfOneClientAndGoesAlongWithASwitchAndALostConnection(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                Path own = folder.resolve(binary.name());
                try (RealServer first = start(binary, own.resolve("first"));
                        RealServer second = start(binary, own.resolve("second"));
                        CacheProxy proxy =
                                ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1);
                        RawClient client = ProxyFixture.client(proxy);
                        RawClient other = ProxyFixture.client(proxy);
                        RawClient direct = new RawClient(ProxyFixture.endpoint(second))) {
                    for (String[] wrong : new String[][] {
                        {"CLIENT", "NO-TOUCH"}, {"CLIENT", "NO-TOUCH", "x"}, {"CLIENT", "NO-TOUCH", "ON", "ON"},
                    }) {
                        assertThat(client.raw(wrong)).isEqualTo(direct.raw(wrong));
                    }
                    String on = direct.raw("CLIENT", "NO-TOUCH", "ON");
                    assertThat(client.raw("CLIENT", "NO-TOUCH", "ON")).isEqualTo(on);
                    assumeThat(on).isEqualTo("+OK\r\n");
                    first.call("SET", "k", "v");
                    second.call("SET", "k", "v");
                    reads(client, first, false);
                    reads(other, first, true);
                    first.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
                    reads(client, first, false);
                    client.text("SELECT", "1");
                    client.text("SELECT", "0");
                    client.text("WATCH", "k");
                    client.text("MULTI");
                    assertThat(client.text("EXEC")).isEqualTo("[]");
                    reads(client, first, false);
                    switchTo(proxy, "new", second, 2);
                    reads(client, second, false);
                    reads(other, second, true);
                    assertThat(client.text("CLIENT", "NO-TOUCH", "OFF")).isEqualTo("OK");
                    reads(client, second, true);
                    assertThat(client.text("CLIENT", "NO-TOUCH", "ON")).isEqualTo("OK");
                    assertThat(client.text("RESET")).isEqualTo("RESET");
                    reads(client, second, true);
                    reads(other, second, true);
                }
            }));
        }
        return tests;
    }

    private static void reads(RawClient client, RealServer server, boolean counted) {
        long before = uses(server);
        for (int i = 0; i < 3; i++) {
            assertThat(client.text("GET", "k")).isEqualTo("v");
        }
        assertThat(uses(server) - before).isEqualTo(counted ? 3 : 0);
    }

    @Test
    void aFleetThatDoesNotKnowItIsUsedWithoutItAndTheOneThatDoesWithItAgain(@TempDir Path folder) {
        Optional<ServerBinary> knowing = ServerBinary.named("valkey-9.1");
        Optional<ServerBinary> notKnowing = ServerBinary.named("redis-7.0");
        assumeThat(knowing).isPresent();
        assumeThat(notKnowing).isPresent();
        try (RealServer first = start(knowing.orElseThrow(), folder.resolve("first"), "--import-mode", "yes");
                RealServer second = start(notKnowing.orElseThrow(), folder.resolve("second"));
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("new", first, 1), ProxyLimits.DEFAULT, 1);
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            first.call("SET", "k", "v");
            second.call("SET", "k", "v");
            assertThat(client.text("CLIENT", "NO-TOUCH", "ON")).isEqualTo("OK");
            assertThat(client.text("CLIENT", "IMPORT-SOURCE", "ON")).isEqualTo("OK");
            other.text("PING");
            assertThat(first.text("CLIENT", "LIST")).containsPattern("flags=(IT|TI) ");
            reads(client, first, false);
            switchTo(proxy, "old", second, 2);
            reads(client, second, true);
            switchTo(proxy, "new", first, 3);
            reads(client, first, false);
            assertThat(first.text("CLIENT", "LIST")).containsPattern("flags=(IT|TI) ");
            reads(other, first, true);
            assertThat(client.text("CLIENT", "IMPORT-SOURCE", "OFF")).isEqualTo("OK");
            assertThat(first.text("CLIENT", "LIST"))
                    .doesNotContainPattern("flags=(IT|TI) ")
                    .contains("flags=T ");
        }
    }

    @TestFactory
    List<DynamicTest> capabilitiesAreAnsweredByTheServerAndReachNoConnection(@TempDir Path folder) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (RealServer server = start(binary, folder.resolve(binary.name()));
                        CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                        RawClient client = ProxyFixture.client(proxy);
                        RawClient direct = new RawClient(ProxyFixture.endpoint(server))) {
                    for (String[] command : new String[][] {
                        {"CLIENT", "CAPA", "redirect"}, {"CLIENT", "CAPA", "redirect", "more"}, {"CLIENT", "CAPA"},
                    }) {
                        assertThat(client.raw(command)).isEqualTo(direct.raw(command));
                    }
                    direct.leave();
                    assertThat(server.text("CLIENT", "LIST")).doesNotContain("capa=r");
                }
            }));
        }
        return tests;
    }
}
