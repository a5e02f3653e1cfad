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
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** CLIENT UNBLOCK of a client of the proxy: as at the server, and together with a hold. */
class UnblockTest {
    private static final String UNBLOCKED = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";

    private record Setup(RealServer first, RealServer second, CacheProxy proxy) implements AutoCloseable {
        void awaitBlocked(int clients) {
            Await.until(
                    Duration.ofSeconds(10),
                    clients + " clients wait",
                    () -> first.text("INFO", "clients").contains("blocked_clients:" + clients + "\r\n"));
        }

        void hold() {
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
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
                Path own = folder.resolve(binary.name());
                RealServer first = RealServer.start(binary, own.resolve("first"));
                RealServer second = RealServer.start(binary, own.resolve("second"));
                try (Setup setup = new Setup(first, second, ProxyFixture.proxy(ProxyFixture.route("old", first, 1)))) {
                    body.run(setup);
                }
            }));
        }
        return tests;
    }

    @TestFactory
    List<DynamicTest> theClientGetsTheServersReplyAndWhoAskedIsToldWhetherItWaited(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            // Some of these are on the same event loop as the first, some on another.
            for (int i = 0; i < 4; i++) {
                for (String protocol : List.of("2", "3")) {
                    try (RawClient client = ProxyFixture.client(setup.proxy);
                            RawClient other = ProxyFixture.client(setup.proxy);
                            RawClient direct = new RawClient(ProxyFixture.endpoint(setup.second));
                            RawClient control = new RawClient(ProxyFixture.endpoint(setup.second))) {
                        client.call("HELLO", protocol);
                        direct.call("HELLO", protocol);
                        String id = client.text("CLIENT", "ID");
                        String directId = direct.text("CLIENT", "ID");
                        assertThat(other.text("CLIENT", "UNBLOCK", id)).isEqualTo("0");
                        for (String[] command : new String[][] {
                            {"BLPOP", "none", "0"},
                            {"BLMOVE", "none", "to", "LEFT", "LEFT", "0"},
                            {"BRPOPLPUSH", "none", "to", "0"},
                            {"BZPOPMIN", "none", "0"},
                            {"XREAD", "BLOCK", "0", "STREAMS", "none", "$"},
                            {"WAIT", "7", "0"}
                        }) {
                            if (command[0].equals("BLMOVE")
                                    && setup.first.toString().contains("6.0")) {
                                continue;
                            }
                            for (String how : List.of("", "TIMEOUT", "error")) {
                                client.send(command);
                                direct.send(command);
                                setup.awaitBlocked(1);
                                Await.until(
                                        Duration.ofSeconds(10),
                                        "it waits directly",
                                        () -> setup.second
                                                .text("INFO", "clients")
                                                .contains("blocked_clients:1\r\n"));
                                assertThat(unblock(other, id, how))
                                        .as(command[0])
                                        .isEqualTo("1");
                                assertThat(unblock(control, directId, how)).isEqualTo("1");
                                assertThat(client.rawReply())
                                        .as(String.join(" ", command) + " " + how)
                                        .isEqualTo(direct.rawReply());
                                assertThat(unblock(other, id, how)).isEqualTo("0");
                            }
                        }
                        assertThat(client.text("PING")).isEqualTo("PONG");
                        for (String[] wrong : new String[][] {
                            {"CLIENT", "UNBLOCK"},
                            {"CLIENT", "UNBLOCK", "x"},
                            {"CLIENT", "UNBLOCK", "01"},
                            {"CLIENT", "UNBLOCK", "99999999999999999999"},
                            {"CLIENT", "UNBLOCK", "-1"},
                            {"CLIENT", "UNBLOCK", "1234567", "ERROR", "more"},
                            {"CLIENT", "UNBLOCK", "1234567", "why"},
                        }) {
                            assertThat(other.raw(wrong)).isEqualTo(control.raw(wrong));
                        }
                    }
                }
            }
        });
    }

    private static String unblock(RawClient client, String id, String how) {
        return how.isEmpty() ? client.text("CLIENT", "UNBLOCK", id) : client.text("CLIENT", "UNBLOCK", id, how);
    }

    @TestFactory
    List<DynamicTest> whoMayNotIsToldSoByTheServer(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            setup.first.call("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-client");
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                String id = client.text("CLIENT", "ID");
                other.text("AUTH", "limited", "pw");
                client.send("BLPOP", "none", "0");
                setup.awaitBlocked(1);
                assertThat(other.text("CLIENT", "UNBLOCK", id)).startsWith("-NOPERM");
                assertThat(client.hasReplyWithin(50)).isFalse();
            }
        });
    }

    @TestFactory
    List<DynamicTest> anElementThatComesAtTheSameMomentIsNeitherLostNorAnsweredTwice(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                String id = client.text("CLIENT", "ID");
                for (int round = 0; round < 100; round++) {
                    String element = "e" + round;
                    String how = round % 2 == 0 ? "ERROR" : "TIMEOUT";
                    client.send("BLPOP", "list", "0");
                    setup.awaitBlocked(1);
                    Thread push = Thread.ofVirtual().start(() -> setup.first.call("RPUSH", "list", element));
                    String unblocked = other.text("CLIENT", "UNBLOCK", id, how);
                    push.join();
                    String reply = client.rawReply();
                    if (unblocked.equals("1")) {
                        assertThat(reply).isEqualTo(how.equals("ERROR") ? UNBLOCKED : "*-1\r\n");
                        assertThat(setup.first.text("LPOP", "list")).isEqualTo(element);
                    } else {
                        assertThat(reply).endsWith(element + "\r\n");
                    }
                    assertThat(setup.first.number("EXISTS", "list")).isZero();
                    assertThat(client.text("ECHO", element)).isEqualTo(element);
                }
            }
        });
    }

    /** Whatever comes first, the two clients are told the same story. */
    @TestFactory
    List<DynamicTest> aHoldThatComesAtTheSameMomentIsStillNotNoticed(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                String id = client.text("CLIENT", "ID");
                int unblocked = 0;
                for (int round = 0; round < 60; round++) {
                    String how = round % 2 == 0 ? "ERROR" : "TIMEOUT";
                    client.send("BLPOP", "list", "0");
                    setup.awaitBlocked(1);
                    Thread hold = Thread.ofVirtual().start(setup::hold);
                    if (round % 3 == 0) {
                        hold.join();
                    }
                    other.send("CLIENT", "UNBLOCK", id, how);
                    hold.join();
                    setup.letGoOnFirst();
                    if (other.reply().text().equals("1")) {
                        unblocked++;
                        assertThat(client.rawReply()).isEqualTo(how.equals("ERROR") ? UNBLOCKED : "*-1\r\n");
                    } else {
                        assertThat(client.hasReplyWithin(5)).isFalse();
                        setup.first.call("RPUSH", "list", "a");
                        assertThat(client.reply().text()).isEqualTo("[list, a]");
                    }
                    assertThat(client.text("ECHO", how)).isEqualTo(how);
                }
                assertThat(unblocked).isPositive();
            }
        });
    }
}
