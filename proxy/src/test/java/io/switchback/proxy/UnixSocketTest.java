package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Clients that come by a Unix socket, and servers that listen at one. */
class UnixSocketTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    @TempDir
    private Path folder;

    private Path socket;
    private RealServer server;
    private BackendRoute route;

    @BeforeEach
    void start() {
        socket = folder.resolve("clients.sock");
        String ofServer = folder.resolve("server.sock").toString();
        server = ProxyFixture.server(folder.resolve("server"), "--unixsocket", ofServer);
        route = new BackendRoute(new FleetSpec("unix", Endpoint.unix(ofServer), Optional.empty()), 1);
    }

    @AfterEach
    void stop() {
        System.clearProperty(Transport.PROPERTY);
        server.close();
    }

    private CacheProxy proxy() throws IOException {
        return CacheProxy.open(
                new ProxySettings("sessions", "n1", List.of(Endpoint.unix(socket.toString()))), route, false);
    }

    private ServerConnection client() {
        return ServerConnection.open(Endpoint.unix(socket.toString()), Optional.empty(), LIMIT);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "nio"})
    void aClientIsServedFromAServerThatListensAtOneToo(String transport) throws IOException {
        System.setProperty(Transport.PROPERTY, transport);
        try (CacheProxy proxy = proxy();
                ServerConnection client = client()) {
            assertThat(proxy.addresses()).containsExactly(Endpoint.unix(socket.toString()));
            String large = "x".repeat(8 * 1024 * 1024);
            assertThat(client.call("SET", "large", large).text()).isEqualTo("OK");
            assertThat(client.call("GET", "large").text()).isEqualTo(large);
            assertThat(client.call("CLIENT", "INFO").text()).contains("addr=" + socket + ":0");
            List<byte[][]> many = new ArrayList<>();
            for (int i = 0; i < 1000; i++) {
                many.add(io.switchback.resp.CommandEncoder.bytes("INCR", "counter"));
            }
            assertThat(client.pipeline(many).getLast().text()).isEqualTo("1000");
            assertThat(server.text("GET", "counter")).isEqualTo("1000");
            assertThat(server.text("CLIENT", "LIST")).contains("server.sock:0");
        }
        assertThat(socket).doesNotExist();
    }

    @Test
    void onlyItsOwnerMayConnectUnlessTheModeSaysOtherwise() throws IOException {
        try (CacheProxy proxy = proxy()) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                    .isEqualTo("rwx------");
            assertThat(proxy.clients()).isZero();
        }
        ProxySettings open = new ProxySettings(
                "sessions",
                "n1",
                List.of(Endpoint.unix(socket.toString())),
                1,
                ProxyLimits.DEFAULT,
                Optional.empty(),
                PosixFilePermissions.fromString("rw-rw----"));
        try (CacheProxy proxy = CacheProxy.open(open, route, false)) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                    .isEqualTo("rw-rw----");
            assertThat(proxy.clients()).isZero();
        }
    }

    @Test
    void theSocketOfAProcessThatIsGoneIsReplaced() throws IOException {
        try (ServerSocketChannel gone = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            gone.bind(UnixDomainSocketAddress.of(socket));
        }
        assertThat(socket).exists();
        try (CacheProxy proxy = proxy();
                ServerConnection client = client()) {
            assertThat(client.call("PING").text()).isEqualTo("PONG");
            assertThat(proxy.clients()).isEqualTo(1);
        }
    }

    @Test
    void whereSomebodyListensOrAFileStandsNothingIsReplaced() throws IOException {
        try (CacheProxy first = proxy();
                ServerConnection client = client()) {
            assertThatThrownBy(this::proxy)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("cannot listen on unix:" + socket)
                    .hasMessageContaining("another process listens there");
            assertThat(client.call("PING").text()).isEqualTo("PONG");
            assertThat(first.clients()).isEqualTo(1);
        }
        Files.writeString(socket, "mine");
        assertThatThrownBy(this::proxy).hasMessageContaining("a file which is no socket");
        assertThat(socket).hasContent("mine");
    }

    @Test
    void aServerThatIsNotThereIsSaidToBeSo() throws IOException {
        server.close();
        try (CacheProxy proxy = proxy();
                ServerConnection client = client()) {
            assertThat(client.call("PING").text())
                    .contains("fleet unix at unix:" + folder.resolve("server.sock") + " cannot be reached");
            assertThat(proxy.clients()).isEqualTo(1);
        }
    }
}
