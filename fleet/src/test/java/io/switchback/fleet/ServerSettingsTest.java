package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.ServerSettings.Setting;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Settings and facts of every version that is there. */
class ServerSettingsTest {
    @TempDir
    Path folder;

    static Stream<String> versions() {
        return TestServer.versions();
    }

    @ParameterizedTest
    @MethodSource("versions")
    void settingsAreChangedAndPutBack(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            String limits = ServerSettings.read(connection, "client-output-buffer-limit");
            List<Setting> plan = ServerSettings.plan(
                    connection,
                    Map.of(
                            "repl-backlog-size",
                            "64mb",
                            "client-output-buffer-limit",
                            "replica 0 0 0",
                            "databases",
                            "16"));
            assertThat(plan).hasSize(2);

            ServerSettings.apply(connection, plan);
            assertThat(ServerSettings.read(connection, "repl-backlog-size")).isEqualTo("67108864");
            assertThat(ServerSettings.read(connection, "client-output-buffer-limit"))
                    .contains("slave 0 0 0")
                    .contains("pubsub 33554432 8388608 60");
            assertThat(ServerSettings.plan(connection, Map.of("repl-backlog-size", "64mb")))
                    .isEmpty();

            assertThat(ServerSettings.restore(connection, plan)).isEmpty();
            assertThat(ServerSettings.restore(connection, plan)).isEmpty();
            assertThat(ServerSettings.read(connection, "client-output-buffer-limit"))
                    .isEqualTo(limits);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aSettingThatSomebodyChangedMeanwhileIsLeftAlone(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            List<Setting> plan =
                    ServerSettings.plan(connection, Map.of("repl-backlog-ttl", "0", "masterauth", "the-link"));
            ServerSettings.apply(connection, plan);
            connection.demand("CONFIG", "SET", "repl-backlog-ttl", "17");
            connection.demand("CONFIG", "SET", "masterauth", "somebody");

            List<String> leftAlone = ServerSettings.restore(connection, plan);

            assertThat(leftAlone).hasSize(2).anyMatch(line -> line.contains("repl-backlog-ttl") && line.contains("17"));
            assertThat(leftAlone).noneMatch(line -> line.contains("the-link") || line.contains("somebody\""));
            assertThat(plan.toString()).doesNotContain("the-link");
            assertThat(ServerSettings.read(connection, "repl-backlog-ttl")).isEqualTo("17");
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void whatTheServerRefusesIsNamed(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            assertThatThrownBy(() -> ServerSettings.plan(connection, Map.of("no-such-thing", "1")))
                    .hasMessageContaining("no-such-thing");
            assertThatThrownBy(() ->
                            ServerSettings.apply(connection, List.of(new Setting("repl-backlog-size", "1", "many"))))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("repl-backlog-size");
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void settingsAndRoleLastOnlyWithAConfigFile(String version) throws Exception {
        Path other = Files.createDirectory(folder.resolve("other"));
        try (TestServer with = TestServer.startWithConfigFile(version, folder);
                TestServer without = TestServer.start(version, other);
                ServerConnection a = with.connect();
                ServerConnection b = without.connect()) {
            a.demand("REPLICAOF", "127.0.0.1", "1");
            assertThat(ServerSettings.makeLasting(a)).isTrue();
            assertThat(Files.readString(folder.resolve("server.conf"))).contains("replicaof 127.0.0.1 1");
            assertThat(ServerSettings.makeLasting(b)).isFalse();
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aServerSaysWhatItIs(String version) throws Exception {
        try (TestServer server = TestServer.start(
                        version, folder, "--maxmemory", "64mb", "--appendonly", "yes", "--databases", "5");
                ServerConnection connection = server.connect()) {
            ServerInfo info = ServerInfo.read(connection);
            assertThat(info.version().toString().replace(' ', '-')).startsWith(version);
            assertThat(info.version().isAtLeast(6, 0)).isTrue();
            assertThat(info.version().isAtLeast(99, 0)).isFalse();
            assertThat(info.maxMemoryBytes()).isEqualTo(64 << 20);
            assertThat(info.databases()).isEqualTo(5);
            assertThat(info.appendOnly()).isTrue();
            assertThat(info.snapshots()).isFalse();
            assertThat(info.clusterMode()).isFalse();
            assertThat(info.configFile()).isEmpty();
            assertThat(info.runId()).hasSize(40);
            assertThat(info.evictionPolicy()).isEqualTo("noeviction");
        }
    }

    @org.junit.jupiter.api.Test
    void reservedKeysAreKnownByTheirPrefix() {
        assertThat(ReservedKeys.isReserved(
                        ReservedKeys.marker("sessions").getBytes(java.nio.charset.StandardCharsets.UTF_8)))
                .isTrue();
        assertThat(ReservedKeys.isReserved("switchback:other".getBytes(java.nio.charset.StandardCharsets.UTF_8)))
                .isFalse();
    }
}
