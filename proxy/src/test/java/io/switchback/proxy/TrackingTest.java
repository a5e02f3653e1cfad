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

/** Server-assisted client-side caching: as at the server, and through a switch and the loss of a connection without a stale read. */
class TrackingTest {
    private static final String FORGET_ALL = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

    private static String forget(String key) {
        return ">2\r\n$10\r\ninvalidate\r\n*1\r\n$" + key.length() + "\r\n" + key + "\r\n";
    }

    private record Setup(RealServer first, RealServer second, CacheProxy proxy) implements AutoCloseable {
        static Setup of(ServerBinary binary, Path folder) {
            RealServer first = RealServer.start(binary, folder.resolve("first"));
            RealServer second = RealServer.start(binary, folder.resolve("second"));
            return new Setup(
                    first, second, ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1));
        }

        RawClient tracker(String... how) {
            RawClient client = ProxyFixture.client(proxy);
            client.text("HELLO", "3");
            List<String> command = new ArrayList<>(List.of("CLIENT", "TRACKING", "ON"));
            command.addAll(List.of(how));
            assertThat(client.text(command.toArray(String[]::new))).isEqualTo("OK");
            return client;
        }

        void switchOver() {
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
        }

        @Override
        public void close() {
            proxy.close();
            first.close();
            second.close();
        }
    }

    private interface Body {
        void run(Setup setup);
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
    List<DynamicTest> aChangeOfWhatWasReadIsTold(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = setup.tracker();
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                other.text("SET", "k", "1");
                assertThat(client.text("GET", "k")).isEqualTo("1");
                other.text("SET", "k", "2");
                assertThat(client.rawReply()).isEqualTo(forget("k"));
                assertThat(client.text("GET", "k")).isEqualTo("2");
                assertThat(client.text("CLIENT", "TRACKINGINFO")).contains("on");
                assertThat(client.text("CLIENT", "TRACKING", "OFF")).isEqualTo("OK");
                other.text("SET", "k", "3");
                assertThat(client.text("GET", "k")).isEqualTo("3");
                assertThat(client.text("CLIENT", "CACHING", "YES")).startsWith("-ERR");
            }
        });
    }

    @TestFactory
    List<DynamicTest> aSwitchMakesTheClientForgetEverythingAndTracksOn(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            setup.first.call("SET", "k", "1");
            setup.second.call("SET", "k", "1");
            try (RawClient client = setup.tracker();
                    RawClient prefixes = setup.tracker("BCAST", "PREFIX", "k");
                    RawClient optIn = setup.tracker("OPTIN");
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                assertThat(client.text("GET", "k")).isEqualTo("1");
                assertThat(optIn.text("CLIENT", "CACHING", "YES")).isEqualTo("OK");
                setup.switchOver();
                for (RawClient each : List.of(client, prefixes, optIn)) {
                    assertThat(each.rawReply()).isEqualTo(FORGET_ALL);
                    // What was said before the switch of the next command holds after it.
                    assertThat(each.text("GET", "k")).isEqualTo("1");
                }
                other.text("SET", "k", "2");
                for (RawClient each : List.of(client, prefixes, optIn)) {
                    assertThat(each.rawReply()).isEqualTo(forget("k"));
                    assertThat(each.text("GET", "k")).isEqualTo("2");
                }
            }
        });
    }

    @TestFactory
    List<DynamicTest> theLossOfTheConnectionMakesTheClientForgetEverything(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = setup.tracker();
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                client.text("GET", "k");
                setup.first.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
                assertThat(client.rawReply()).isEqualTo(FORGET_ALL);
                client.text("GET", "k");
                other.text("PING");
                setup.first.call("SET", "k", "2");
                assertThat(client.rawReply()).isEqualTo(forget("k"));
            }
        });
    }

    @TestFactory
    List<DynamicTest> aTransactionLeavesTrackingWhereItIs(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = setup.tracker();
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                for (String end : List.of("EXEC", "DISCARD", "UNWATCH")) {
                    other.text("SET", "k", end);
                    assertThat(client.text("GET", "k")).isEqualTo(end);
                    assertThat(client.text("WATCH", "other")).isEqualTo("OK");
                    if (!end.equals("UNWATCH")) {
                        assertThat(client.text("MULTI")).isEqualTo("OK");
                    }
                    assertThat(client.text(end)).isIn("OK", "[]");
                    other.text("SET", "k", "changed");
                    assertThat(client.rawReply()).isEqualTo(forget("k"));
                    assertThat(client.text("GET", "k")).isEqualTo("changed");
                    // Of which nothing comes to whoever gets a connection next.
                    assertThat(other.text("WATCH", "other")).isEqualTo("OK");
                    assertThat(other.text("UNWATCH")).isEqualTo("OK");
                    other.text("SET", "k", end);
                    assertThat(client.rawReply()).isEqualTo(forget("k"));
                }
            }
        });
    }
}
