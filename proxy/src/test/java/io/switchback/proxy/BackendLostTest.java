package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A connection to a server breaks, or there is none. */
class BackendLostTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @Test
    void anUnansweredWriteGetsANamedErrorAndIsNotSentAgain(@TempDir Path folder) {
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "0")).isEqualTo("OK");
            server.call("CLIENT", "PAUSE", "60000", "WRITE");
            client.send("INCR", "k");
            Await.until(LIMIT, "the write waits at the server", () -> blocked(server));
            server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            assertThat(client.reply().text())
                    .startsWith("ERR switchback: the connection to fleet old was lost")
                    .endsWith("the command may or may not have run");
            server.call("CLIENT", "UNPAUSE");
            assertThat(client.text("GET", "k")).isEqualTo("0");
            assertThat(client.text("INCR", "k")).isEqualTo("1");
        }
    }

    private static boolean blocked(RealServer server) {
        return server.info("clients", "blocked_clients").equals("1");
    }

    @Test
    void whatOnlyReadsIsSentAgainInItsTurn(@TempDir Path folder) {
        ProxyLimits patient = new Limits().connectAttemptsMax(400).build();
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), patient, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            server.stop();
            client.send("GET", "k");
            client.send("SET", "k", "w");
            client.send("ECHO", "after");
            Await.until(LIMIT, "all are sent", () -> proxy.commandsUnanswered() == 3);
            server.kill();
            server.restart();
            assertThat(client.reply()).isEqualTo(new Reply.Nil());
            assertThat(client.reply().text()).contains("may or may not have run");
            assertThat(client.reply().text()).isEqualTo("after");
            assertThat(client.call("GET", "k")).isEqualTo(new Reply.Nil());
        }
    }

    @Test
    void whatWaitedForALostCommandIsAnsweredAfterIt(@TempDir Path folder) {
        ProxyLimits patient = new Limits().connectAttemptsMax(400).build();
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), patient, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            server.stop();
            client.send("SET", "k", "w");
            client.send("ECHO", "one");
            client.send("SELECT", "1");
            client.send("ECHO", "two");
            client.send("MULTI");
            Await.until(LIMIT, "all before SELECT are sent", () -> proxy.commandsUnanswered() == 2);
            server.kill();
            server.restart();
            assertThat(client.reply().text()).contains("may or may not have run");
            assertThat(client.reply().text()).isEqualTo("one");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("two");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.text("INCR", "k")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[1]");
        }
    }

    @Test
    void whatAFleetDoesNotAnswerCountsAsItsErrors(@TempDir Path folder) {
        RealServer server = ProxyFixture.server(folder);
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            server.kill();
            for (int i = 0; i < 10; i++) {
                assertThat(client.call("SET", "k", "w").isError()).isTrue();
            }
            assertThat(proxy.traffic().of("old").requests()).isEqualTo(11);
            assertThat(proxy.traffic().of("old").errors()).isEqualTo(10);
        } finally {
            server.close();
        }
    }

    @Test
    void aFleetThatIsNotThereIsNamedAfterABoundedNumberOfAttempts(@TempDir Path folder) {
        RealServer server = ProxyFixture.server(folder);
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("PING")).isEqualTo("PONG");
            server.kill();
            client.send("GET", "a");
            client.send("SET", "b", "c");
            client.send("SELECT", "3");
            client.send("AUTH", "x");
            client.send("MULTI");
            for (int i = 0; i < 5; i++) {
                assertThat(client.reply().text())
                        .matches("ERR switchback: (fleet old at 127.0.0.1:" + server.port()
                                + " cannot be reached: .*|the connection to fleet old was lost.*)");
            }
            assertThat(proxy.unreachableFleets()).containsExactly("old");
            assertThat(proxy.load().limitsReached().get(Limit.CONNECT_ATTEMPTS)).isPositive();
            server.restart();
            Await.until(
                    LIMIT, "the fleet is found again", () -> client.text("PING").equals("PONG"));
            assertThat(proxy.unreachableFleets()).isEmpty();
        } finally {
            server.close();
        }
    }

    @Test
    void aServerThatDoesNotAnswerTheHandshakeIsGivenUp(@TempDir Path folder) {
        ProxyLimits limits = new Limits()
                .connectTimeout(Duration.ofMillis(100))
                .connectAttemptsMax(2)
                .build();
        try (RealServer server = ProxyFixture.server(folder);
                CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), limits, 1);
                RawClient client = ProxyFixture.client(proxy)) {
            server.stop();
            assertThat(client.text("SELECT", "1")).contains("cannot be reached: it did not answer within 100 ms");
            server.resume();
        }
    }

    @Test
    void aReplyThatIsNoneEndsTheConnectionAndNotTheProxy() throws Exception {
        int givenUp = 0;
        for (String nonsense : new String[] {"HTTP/1.1 400 Bad Request\r\n", "$12x\r\n", "+OK\r\n+more\r\n"}) {
            try (ServerSocket fake = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
                Thread.ofVirtual().start(() -> answer(fake, nonsense));
                FleetSpec fleet =
                        new FleetSpec("odd", new Endpoint("127.0.0.1", fake.getLocalPort()), Optional.empty());
                try (CacheProxy proxy = ProxyFixture.proxy(new BackendRoute(fleet, 1), ProxyLimits.DEFAULT, 1);
                        RawClient client = ProxyFixture.client(proxy)) {
                    String first = client.text("SET", "k", "v");
                    assertThat(first).matches("OK|-ERR switchback: the connection to fleet odd was lost.*");
                    Await.until(LIMIT, "nothing is left over", () -> proxy.commandsUnanswered() == 0);
                    if (client.text("GET", "k").contains("was lost")) {
                        assertThat(proxy.load().limitsReached().get(Limit.READ_ATTEMPTS))
                                .isEqualTo(1);
                        givenUp++;
                    }
                }
            }
        }
        assertThat(givenUp).as("reads that were sent as often as may be").isPositive();
    }

    private static void answer(ServerSocket fake, String with) {
        while (!fake.isClosed()) {
            try (Socket socket = fake.accept()) {
                if (socket.getInputStream().read() >= 0) {
                    socket.getOutputStream().write(with.getBytes(StandardCharsets.UTF_8));
                    socket.getInputStream().skipNBytes(10);
                }
            } catch (IOException e) {
                // The proxy has closed it, or the test is over.
            }
        }
    }
}
