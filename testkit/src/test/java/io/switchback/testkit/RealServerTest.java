package io.switchback.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;

class RealServerTest {
    @TempDir
    Path folder;

    static List<ServerBinary> everyServer() {
        return ServerBinary.found();
    }

    @ParameterizedTest
    @MethodSource("everyServer")
    void everyServerThatIsFoundStartsAndIsTheProcessThatWasStarted(ServerBinary binary) {
        Process process;
        try (RealServer server = RealServer.start(binary, folder)) {
            process = server.process();
            assertThat(server.text("PING")).isEqualTo("PONG");
            assertThat(server.info("server", "process_id")).isEqualTo(Long.toString(server.pid()));
            String versionField = binary.isValkey() ? "valkey_version" : "redis_version";
            assertThat(server.info("server", versionField)).isEqualTo(binary.version());
            assertThat(server.call("CONFIG", "GET", "save")).isEqualTo(List.of("save", ""));
            assertThat(server.call("CONFIG", "GET", "bind")).isEqualTo(List.of("bind", "127.0.0.1"));
        }
        assertThat(process.isAlive()).isFalse();
    }

    @Test
    void severalServersRunSideBySideEachWithItsOwnData() {
        try (RealServer one = RealServer.start(ServerBinary.embedded(), folder.resolve("one"));
                RealServer two = RealServer.start(ServerBinary.embedded(), folder.resolve("two"))) {
            one.call("SET", "key", "one");
            two.call("SET", "key", "two");
            assertThat(one.text("GET", "key")).isEqualTo("one");
            assertThat(two.text("GET", "key")).isEqualTo("two");
            assertThat(one.port()).isNotEqualTo(two.port());
        }
    }

    @Test
    void argumentsWinOverTheDefaultsAndOutliveARestart() {
        try (RealServer server = RealServer.start(
                ServerBinary.embedded(),
                folder,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--maxmemory",
                "7mb")) {
            server.call("SET", "key", "kept");
            int port = server.port();
            server.kill();
            assertThat(server.process().isAlive()).isFalse();
            assertThatThrownBy(() -> server.call("PING")).isInstanceOf(JedisConnectionException.class);
            server.restart();
            assertThat(server.port()).isEqualTo(port);
            assertThat(server.text("GET", "key")).isEqualTo("kept");
            assertThat(server.call("CONFIG", "GET", "maxmemory")).isEqualTo(List.of("maxmemory", "7340032"));
        }
    }

    @Test
    void aPasswordProtectedServerIsReadyAndRefusesStrangers() {
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder, "--requirepass", "secret");
                Jedis stranger = new Jedis(server.host(), server.port())) {
            assertThat(server.text("PING")).isEqualTo("PONG");
            assertThatThrownBy(stranger::ping).isInstanceOf(JedisDataException.class);
        }
    }

    @Test
    void aStoppedServerDoesNotAnswerUntilItIsResumed() {
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder);
                Jedis impatient = new Jedis(server.host(), server.port(), 200)) {
            impatient.ping();
            server.stop();
            assertThatThrownBy(impatient::ping).isInstanceOf(JedisConnectionException.class);
            server.resume();
            assertThat(server.text("PING")).isEqualTo("PONG");
        }
    }

    @Test
    void aStoppedServerCanBeClosed() {
        RealServer server = RealServer.start(ServerBinary.embedded(), folder);
        server.stop();
        server.close();
        assertThat(server.process().isAlive()).isFalse();
    }

    @Test
    void aServerWithAConfigurationFileKeepsWhatWasRewritten() {
        try (RealServer server = RealServer.startWithConfigFile(
                ServerBinary.embedded(),
                folder,
                "--repl-backlog-size",
                "2mb",
                "--client-output-buffer-limit",
                "replica",
                "0",
                "0",
                "0")) {
            server.call("CONFIG", "SET", "maxmemory", "9mb");
            server.call("CONFIG", "REWRITE");
            server.restart();
            assertThat(server.call("CONFIG", "GET", "maxmemory")).isEqualTo(List.of("maxmemory", "9437184"));
        }
    }

    @Test
    void aServerThatCannotStartSaysWhyAtOnce() {
        assertThatThrownBy(() -> RealServer.start(ServerBinary.embedded(), folder, "--no-such-setting", "1"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("no-such-setting");
    }

    @Test
    void aTakenPortIsNotMistakenForOurs() {
        try (RealServer first = RealServer.start(ServerBinary.embedded(), folder.resolve("first"))) {
            assertThatThrownBy(() -> RealServer.start(
                            ServerBinary.embedded(),
                            folder.resolve("second"),
                            "--port",
                            Integer.toString(first.port())))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("Address already in use");
        }
    }

    @Test
    void theLogOfAServerIsKept() {
        try (RealServer server = RealServer.start(ServerBinary.embedded(), folder)) {
            Await.until(Duration.ofSeconds(10), "the log", () -> server.log().contains("Ready to accept connections"));
            assertThat(Files.exists(folder.resolve("server.log"))).isTrue();
        }
    }
}
