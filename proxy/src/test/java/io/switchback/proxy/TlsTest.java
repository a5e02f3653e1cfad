package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.FleetTls;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerTls;
import io.switchback.testkit.Servers;
import io.switchback.testkit.TestCertificates;
import io.switchback.tls.TlsContexts;
import io.switchback.tls.TlsFiles;
import java.io.IOException;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.exceptions.JedisConnectionException;

/** Clients and servers that speak TLS, one of them or both, and everything that a certificate can have wrong. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TlsTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int LARGE_BYTES = 1024 * 1024;
    private static final int ASKED = 100;
    private static final int OUTPUT_BYTES_MAX = 24 * LARGE_BYTES;

    private Path folder;
    private TestCertificates authority;
    private TestCertificates stranger;
    private TestCertificates.Pair ofNode;
    private TestCertificates.Pair ofServer;
    private RealServer server;
    private RealServer plain;

    @BeforeAll
    void start(@TempDir Path shared) {
        folder = shared;
        authority = TestCertificates.in(folder.resolve("authority"));
        stranger = TestCertificates.in(folder.resolve("stranger"));
        ofNode = authority.issue("node");
        ofServer = authority.issue("server");
        server = server(ofServer, true);
        plain = ProxyFixture.server(folder.resolve("plain"));
    }

    @AfterAll
    void stop() {
        server.close();
        plain.close();
    }

    private RealServer server(TestCertificates.Pair identity, boolean demands) {
        return RealServer.startWithTls(
                Servers.require("redis-7.0"),
                folder.resolve("server-" + identity.key().getFileName() + demands),
                new ServerTls(authority, identity, demands, false));
    }

    private static TlsFiles files(TestCertificates.Pair identity, Path trusted) {
        return new TlsFiles(
                Optional.of(new TlsFiles.Identity(identity.certificate(), identity.key())), Optional.of(trusted));
    }

    private static BackendRoute route(RealServer to, TlsFiles files, String name, long epoch) {
        FleetSpec fleet = new FleetSpec("tls", ProxyFixture.endpoint(to), Optional.empty())
                .over(new FleetTls(files, Optional.ofNullable(name.isEmpty() ? null : name)));
        return new BackendRoute(fleet, epoch);
    }

    private BackendRoute route() {
        return route(server, files(ofNode, authority.authority()), "", 1);
    }

    /** Its first address is plain, the second speaks TLS. */
    private static CacheProxy proxy(BackendRoute route, TlsFiles files, ProxyLimits limits) {
        Endpoint any = new Endpoint("127.0.0.1", 0);
        ProxySettings settings =
                new ProxySettings("sessions", "n1", List.of(any), 1, limits).with(new ListenerTls(files, List.of(any)));
        try {
            return CacheProxy.open(settings, route, false);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private CacheProxy proxy(BackendRoute route) {
        return proxy(route, files(ofNode, authority.authority()), ProxyLimits.DEFAULT);
    }

    private static Jedis jedis(CacheProxy proxy, SSLContext context, String... versions) {
        SSLParameters parameters = context.getDefaultSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        if (versions.length > 0) {
            parameters.setProtocols(versions);
        }
        return new Jedis(
                new HostAndPort("127.0.0.1", proxy.addresses().get(1).port()),
                DefaultJedisClientConfig.builder()
                        .timeoutMillis((int) LIMIT.toMillis())
                        .ssl(true)
                        .sslSocketFactory(context.getSocketFactory())
                        .sslParameters(parameters)
                        .build());
    }

    private RawClient client(CacheProxy proxy) {
        return new RawClient(
                proxy.addresses().get(1),
                authority.client(Optional.of(authority.issue("client"))).getSocketFactory());
    }

    @ParameterizedTest
    @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
    void aClientWithACertificateIsServedFromAServerThatDemandsOneToo(String version) {
        try (CacheProxy proxy = proxy(route());
                Jedis client = jedis(proxy, authority.client(Optional.of(authority.issue("client"))), version)) {
            client.set("k", version);
            assertThat(client.get("k")).isEqualTo(version);
            assertThat(server.text("GET", "k")).isEqualTo(version);
        }
    }

    @Test
    void valuesAndPipelinesOfAnySizeComeThroughWhole() {
        byte[] large = new byte[20 * LARGE_BYTES];
        for (int i = 0; i < large.length; i++) {
            large[i] = (byte) ((i * 31) >> 3);
        }
        try (CacheProxy proxy = proxy(route());
                Jedis client = jedis(proxy, authority.client(Optional.of(ofServer)))) {
            client.set("large".getBytes(java.nio.charset.StandardCharsets.UTF_8), large);
            assertThat(client.get("large".getBytes(java.nio.charset.StandardCharsets.UTF_8)))
                    .isEqualTo(large);
            Pipeline pipeline = client.pipelined();
            for (int i = 0; i < 20_000; i++) {
                pipeline.incr("counter");
            }
            List<Object> replies = pipeline.syncAndReturnAll();
            for (int i = 0; i < replies.size(); i++) {
                assertThat(replies.get(i)).isEqualTo(i + 1L);
            }
            assertThat(replies).hasSize(20_000);
        }
    }

    @Test
    void theOtherAddressStaysPlain() {
        try (CacheProxy proxy = proxy(route());
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "plain", "1")).isEqualTo("OK");
        }
        try (CacheProxy proxy = proxy(ProxyFixture.route("plain", plain, 1));
                RawClient client = client(proxy)) {
            assertThat(client.text("SET", "plain", "2")).isEqualTo("OK");
            assertThat(plain.text("GET", "plain")).isEqualTo("2");
        }
    }

    @Test
    void whoShowsNoCertificateOrAStrangersIsNotServed() {
        try (CacheProxy proxy = proxy(route())) {
            for (Optional<TestCertificates.Pair> identity :
                    List.of(Optional.<TestCertificates.Pair>empty(), Optional.of(stranger.issue("client")))) {
                SSLContext context = authority.client(identity);
                assertThatThrownBy(() -> {
                            try (Jedis client = jedis(proxy, context)) {
                                client.ping();
                            }
                        })
                        .isInstanceOf(JedisConnectionException.class);
            }
            assertThatThrownBy(() -> {
                        try (Jedis client = jedis(proxy, authority.client(Optional.of(authority.expired("client"))))) {
                            client.ping();
                        }
                    })
                    .isInstanceOf(JedisConnectionException.class);
            Await.until(LIMIT, "they are gone", () -> proxy.clients() == 0);
            try (RawClient good = client(proxy)) {
                assertThat(good.text("PING")).isEqualTo("PONG");
            }
        }
    }

    @Test
    void aClientThatSpeaksNoTlsThereIsClosedAndNobodyElse() {
        try (CacheProxy proxy = proxy(route());
                RawClient good = client(proxy);
                RawClient mistaken = new RawClient(proxy.addresses().get(1))) {
            mistaken.sendRaw("*1\r\n$4\r\nPING\r\n");
            assertThat(mistaken.readUntil("never")).endsWith("(closed)");
            assertThat(good.text("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void whatAClientDoesNotReadStaysAtTheServer() {
        server.call("SET", "large", "x".repeat(LARGE_BYTES));
        ProxyLimits limits =
                new Limits().outputBytesPerClient(LARGE_BYTES, OUTPUT_BYTES_MAX).build();
        try (CacheProxy proxy = proxy(route(), files(ofNode, authority.authority()), limits);
                RawClient other = client(proxy);
                RawClient lazy = client(proxy)) {
            lazy.sendRaw("*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n".repeat(ASKED));
            for (int i = 0; i < 400; i++) {
                assertThat(other.text("ECHO", "m" + i)).isEqualTo("m" + i);
            }
            assertThat(proxy.traffic().of("tls").requests()).isLessThan(400 + OUTPUT_BYTES_MAX / LARGE_BYTES);
            for (int i = 0; i < ASKED; i++) {
                assertThat(lazy.reply().text()).hasSize(LARGE_BYTES);
            }
        }
    }

    @Test
    void oneThatDoesNotReadWhatAHoldWaitsForIsNamedAndNotClosed() {
        server.call("SET", "huge", "x".repeat(40 * LARGE_BYTES));
        ProxyLimits limits =
                new Limits().outputBytesPerClient(100_000, OUTPUT_BYTES_MAX).build();
        try (CacheProxy proxy = proxy(route(), files(ofNode, authority.authority()), limits);
                RawClient other = client(proxy);
                RawClient greedy = client(proxy)) {
            greedy.send("GET", "huge");
            Await.until(LIMIT, "the reply begins", () -> greedy.hasReplyWithin(10));
            assertThat(other.text("PING")).isEqualTo("PONG");
            assertThat(ProxyFixture.hold(proxy, 1_000).toString()).contains("does not read the reply to GET");
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_BYTES)).isZero();
            assertThat(greedy.reply().text()).hasSize(40 * LARGE_BYTES);
        }
    }

    @Test
    void aServerThatDoesNotReadIsNotSentMore() throws InterruptedException {
        byte[] command = CommandEncoder.encode("SET", "large", "x".repeat(64 * LARGE_BYTES));
        int half = command.length / 2;
        try (RealServer stopping = server(authority.issue("stopping"), true);
                CacheProxy proxy = proxy(route(stopping, files(ofNode, authority.authority()), "", 1));
                RawClient client = client(proxy)) {
            client.sendRaw(Arrays.copyOf(command, half));
            Await.until(
                    LIMIT, "it is under way", () -> proxy.largeCommandUnderWay().isPresent());
            stopping.stop();
            CompletableFuture<Void> sent =
                    CompletableFuture.runAsync(() -> client.sendRaw(Arrays.copyOfRange(command, half, command.length)));
            Thread.sleep(1000);
            assertThat(sent).isNotDone();
            stopping.resume();
            assertThat(client.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aSwitchGoesFromAFleetInTheClearToOneOverTlsAndBack() {
        BackendRoute first = ProxyFixture.route("plain", plain, 1);
        plain.call("SET", "where", "plain");
        server.call("SET", "where", "tls");
        try (CacheProxy proxy = proxy(first);
                RawClient client = client(proxy)) {
            assertThat(client.text("GET", "where")).isEqualTo("plain");
            for (long epoch = 2; epoch < 6; epoch++) {
                BackendRoute next = epoch % 2 == 0
                        ? route(server, files(ofNode, authority.authority()), "", epoch)
                        : ProxyFixture.route("plain", plain, epoch);
                proxy.openAhead(next).join();
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                proxy.letGo(next).join();
                assertThat(client.text("GET", "where")).isEqualTo(epoch % 2 == 0 ? "tls" : "plain");
            }
        }
    }

    private static X509Certificate shown(CacheProxy proxy, SSLContext context) throws IOException {
        Endpoint at = proxy.addresses().get(1);
        try (Socket socket = context.getSocketFactory().createSocket(at.host(), at.port())) {
            ((SSLSocket) socket).startHandshake();
            return (X509Certificate) ((SSLSocket) socket).getSession().getPeerCertificates()[0];
        }
    }

    @Test
    void aNewCertificateIsForNewConnectionsAndABadOneForNone() throws IOException {
        TestCertificates.Pair replaced = authority.issue("first");
        SSLContext context = authority.client(Optional.of(authority.issue("client")));
        try (CacheProxy proxy = proxy(route(), files(replaced, authority.authority()), ProxyLimits.DEFAULT);
                RawClient before = client(proxy)) {
            assertThat(before.text("PING")).isEqualTo("PONG");
            assertThat(shown(proxy, context).getSubjectX500Principal().getName())
                    .isEqualTo("CN=first");

            TestCertificates.replace(replaced, authority.issue("second"));
            TlsContexts.look();
            assertThat(shown(proxy, context).getSubjectX500Principal().getName())
                    .isEqualTo("CN=second");
            assertThat(before.text("PING")).isEqualTo("PONG");

            TestCertificates.replace(replaced, authority.expired("third"));
            TlsContexts.look();
            assertThat(shown(proxy, context).getSubjectX500Principal().getName())
                    .isEqualTo("CN=second");
            Files.writeString(replaced.certificate(), "no certificate");
            TlsContexts.look();
            assertThat(shown(proxy, context).getSubjectX500Principal().getName())
                    .isEqualTo("CN=second");

            TestCertificates.replace(replaced, authority.issue("fourth"));
            TlsContexts.look();
            assertThat(shown(proxy, context).getSubjectX500Principal().getName())
                    .isEqualTo("CN=fourth");
            assertThat(before.text("PING")).isEqualTo("PONG");
        }
    }

    private static String answer(BackendRoute route) {
        try (CacheProxy proxy = ProxyFixture.proxy(route);
                RawClient client = ProxyFixture.client(proxy)) {
            return client.text("PING");
        }
    }

    @Test
    void whatIsWrongWithAServersCertificateIsSaidToItsClients() {
        TlsFiles files = files(ofNode, authority.authority());
        try (RealServer old = server(authority.expired("old"), true);
                RealServer early = server(authority.notYetValid("early"), true);
                RealServer other = server(authority.issue("other", "DNS:cache.example"), true)) {
            assertThat(answer(route(old, files, "", 1)))
                    .startsWith("-ERR switchback: fleet tls at " + ProxyFixture.endpoint(old))
                    .endsWith("the certificate \"CN=old\" ran out on 2021-01-01T00:00:00Z; renew it");
            assertThat(answer(route(early, files, "", 1)))
                    .contains("the certificate \"CN=early\" is not valid before 2090-01-01T00:00:00Z");
            assertThat(answer(route(other, files, "", 1)))
                    .contains("the certificate \"CN=other\" is for cache.example, not for 127.0.0.1");
            assertThat(answer(route(other, files, "cache.example", 1))).isEqualTo("PONG");
            assertThat(answer(route(other, files, "other.example", 1)))
                    .contains("is for cache.example, not for other.example");
        }
        assertThat(answer(route(server, files(ofNode, stranger.authority()), "", 1)))
                .contains(
                        "the certificate \"CN=server\", issued by CN=authority of authority, is signed by nobody whom "
                                + stranger.authority() + " names");
    }

    @Test
    void aServerThatDemandsACertificateAndIsShownNoneOrAStrangersSaysSo() {
        TlsFiles none = new TlsFiles(Optional.empty(), Optional.of(authority.authority()));
        assertThat(answer(route(server, none, "", 1)))
                .contains("does not take the certificate that it was shown")
                .contains("\"cert\" and \"key\"");
        assertThat(answer(route(server, files(stranger.issue("node"), authority.authority()), "", 1)))
                .contains("does not take the certificate that it was shown");
    }

    @Test
    void aServerThatSpeaksNoTlsIsFoundOut() {
        assertThat(answer(route(plain, files(ofNode, authority.authority()), "", 1)))
                .contains("does it speak TLS at this port?");
    }
}
