package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerTls;
import io.switchback.testkit.Servers;
import io.switchback.testkit.TestCertificates;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;

/** The main job again: between servers that speak nothing but TLS, and that follow over it or not, and between Unix sockets. */
final class TlsReleaseTest {
    @TempDir
    private Path folder;

    private static String nodeFile(String listener, String blue, String green) {
        return """
                node: test-1
                ledger: embedded:./data
                caches:
                  sessions:
                    listen: "127.0.0.1:0"
                    active: blue
                    %s
                    fleets:
                      blue: %s
                      green: %s
                """.formatted(listener, blue, green);
    }

    private RealServer server(String name, String kind, TestCertificates authority, boolean follows) {
        return RealServer.startWithTls(
                Servers.require(kind),
                folder.resolve(name),
                new ServerTls(authority, authority.issue(name), true, follows));
    }

    private static String fleet(RealServer server, String tls) {
        return "{ standalone: \"127.0.0.1:" + server.port() + "\", tls: " + tls + " }";
    }

    private static String tls(TestCertificates authority, TestCertificates.Pair node) {
        return "{ ca: \"file:" + authority.authority() + "\", cert: \"file:" + node.certificate() + "\", key: \"file:"
                + node.key() + "\" }";
    }

    private static void thereAndBack(TwoFleets fleets, Jedis client) {
        client.set("before", "1");
        fleets.begin(TwoFleets.release("r", ""));
        fleets.awaitObserving("r");
        assertThat(client.incr("counter")).isEqualTo(1);
        assertThat(client.get("before")).isEqualTo("1");
        assertThat(fleets.green.text("GET", "counter")).isEqualTo("1");

        fleets.order("r", Order.Kind.ROLLBACK);
        fleets.awaitStatus("r", Status.ROLLED_BACK);
        assertThat(client.incr("counter")).isEqualTo(2);
        assertThat(fleets.blue.text("GET", "counter")).isEqualTo("2");

        fleets.order("r", Order.Kind.RESUME);
        fleets.awaitObserving("r");
        assertThat(client.incr("counter")).isEqualTo(3);

        fleets.order("r", Order.Kind.FINISH);
        fleets.awaitStatus("r", Status.FINISHED);
        assertThat(client.incr("counter")).isEqualTo(4);
        assertThat(fleets.green.text("GET", "counter")).isEqualTo("4");
        assertThat(fleets.blue.info("stats", "sync_full")).as("copies made").isEqualTo("1");
    }

    @ParameterizedTest(name = "{0} to {1}, which follow over TLS: {2}")
    @CsvSource({"redis-6.0, valkey-9.1, true", "redis-7.0, redis-8.0, true", "redis-7.0, valkey-9.1, false"})
    void aCacheGoesThereAndBackBetweenServersThatSpeakTlsOnly(String old, String fresh, boolean follow) {
        TestCertificates authority = TestCertificates.in(folder.resolve("ca"));
        TestCertificates.Pair node = authority.issue("node");
        RealServer blue = server("blue", old, authority, follow);
        RealServer green = server("green", fresh, authority, follow);
        String tls = tls(authority, node);
        String listener = "tls: { cert: \"file:" + node.certificate() + "\", key: \"file:" + node.key()
                + "\", clients: \"file:" + authority.authority() + "\" }";
        try (TwoFleets fleets =
                TwoFleets.of(blue, green, folder, nodeFile(listener, fleet(blue, tls), fleet(green, tls)))) {
            fleets.startNode();
            DefaultJedisClientConfig overTls = DefaultJedisClientConfig.builder()
                    .timeoutMillis(30_000)
                    .ssl(true)
                    .sslSocketFactory(authority
                            .client(Optional.of(authority.issue("client")))
                            .getSocketFactory())
                    .build();
            try (Jedis client = new Jedis(new HostAndPort("127.0.0.1", fleets.port()), overTls)) {
                thereAndBack(fleets, client);
            }
            ReleaseStatus ended = fleets.status("r");
            assertThat(ended.warnings().stream().anyMatch(warning -> warning.contains("comes to it in the clear")))
                    .isEqualTo(!follow);
        }
    }

    @Test
    void aServerThatFollowsOverTlsIsRefusedWhereTheNodeHasNoCertificateForIt() {
        TestCertificates authority = TestCertificates.in(folder.resolve("ca"));
        RealServer blue = RealServer.start(Servers.require("redis-7.0"), folder.resolve("blue"));
        RealServer green = RealServer.startWithTls(
                Servers.require("valkey-9.1"),
                folder.resolve("green"),
                new ServerTls(authority, authority.issue("green"), false, true));
        String plain = "{ standalone: \"127.0.0.1:" + blue.port() + "\" }";
        String trusting = "{ ca: \"file:" + authority.authority() + "\" }";
        try (TwoFleets fleets = TwoFleets.of(blue, green, folder, nodeFile("", plain, fleet(green, trusting)))) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ""));
            ReleaseStatus failed = fleets.awaitStatus("r", Status.FAILED);
            assertThat(failed.toString())
                    .contains("127.0.0.1:" + green.port() + " has tls-replication yes")
                    .contains("give fleet green tls: { cert: file:PATH, key: file:PATH }");
        }
    }

    @Test
    void aServerThatIsNotTrustedIsNamedByTheCheck() {
        TestCertificates authority = TestCertificates.in(folder.resolve("ca"));
        TestCertificates stranger = TestCertificates.in(folder.resolve("stranger"));
        RealServer blue = RealServer.start(Servers.require("redis-7.0"), folder.resolve("blue"));
        RealServer green = RealServer.startWithTls(
                Servers.require("valkey-9.1"),
                folder.resolve("green"),
                new ServerTls(authority, authority.issue("green"), false, false));
        String plain = "{ standalone: \"127.0.0.1:" + blue.port() + "\" }";
        String trusting = "{ ca: \"file:" + stranger.authority() + "\" }";
        try (TwoFleets fleets = TwoFleets.of(blue, green, folder, nodeFile("", plain, fleet(green, trusting)))) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ""));
            assertThat(fleets.awaitStatus("r", Status.FAILED).toString())
                    .contains("127.0.0.1:" + green.port() + " cannot be reached: the certificate \"CN=green\"")
                    .contains("is signed by nobody whom " + stranger.authority() + " names");
        }
    }

    @Test
    void aCacheGoesThereAndBackBetweenUnixSockets() {
        String[] sockets = {
            folder.resolve("blue.sock").toString(), folder.resolve("green.sock").toString()
        };
        RealServer blue =
                RealServer.start(Servers.require("redis-7.0"), folder.resolve("blue"), "--unixsocket", sockets[0]);
        RealServer green =
                RealServer.start(Servers.require("valkey-9.1"), folder.resolve("green"), "--unixsocket", sockets[1]);
        try (TwoFleets fleets = TwoFleets.of(
                blue,
                green,
                folder,
                nodeFile(
                        "",
                        "{ standalone: \"unix:" + sockets[0] + "\" }",
                        "{ standalone: \"unix:" + sockets[1] + "\" }"))) {
            fleets.startNode();
            try (Jedis client = fleets.client()) {
                thereAndBack(fleets, client);
            }
            assertThat(fleets.status("r").warnings())
                    .anyMatch(warning -> warning.contains("must share this node's network"));
        }
    }
}
