package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerSettings;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Followers that restart: what they come back with decides. */
class RelayRestartTest {
    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return RelayBreaksTest.pairs();
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void withASnapshotAndALastingRoleItGoesOnFromTheSnapshotWithoutACopy(String pair) {
        try (Following f = Following.start(folder, pair, Pair.WITH_CONFIG_FILES, "--repl-backlog-size", "16mb")) {
            Pair.Side b = f.servers().b;
            assertThat(ServerSettings.makeLasting(b.connection)).isTrue();
            write(f, 0, 300);
            Pair.drain(f.link(), f.servers().a);
            assertThat(b.call("SAVE")).isEqualTo("OK");
            write(f, 300, 600);
            Pair.drain(f.link(), f.servers().a);
            long copies = f.servers().a.fullSyncs();

            b.server.kill();
            write(f, 600, 700);
            b.server.restart();
            b.reconnect();

            Pair.awaitPhase(f.link(), Phase.STREAMING);
            Pair.drain(f.link(), f.servers().a);
            assertThat(b.keys()).isEqualTo(f.servers().a.keys());
            assertThat(f.servers().a.fullSyncs()).isEqualTo(copies);
            assertThat(f.heard().breaks).isEmpty();
        }
    }

    private static void write(Following f, int from, int to) {
        for (int i = from; i < to; i++) {
            f.servers().a.call("INCR", "counter");
            f.servers().a.call("SET", "key" + i, "value", "EX", "1000");
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void withoutASnapshotItIsRefusedAndTheWayBackIsClosed(String pair) throws Exception {
        try (Following f = Following.start(folder, pair, Pair.WITH_CONFIG_FILES)) {
            Pair.Side b = f.servers().b;
            ServerSettings.makeLasting(b.connection);
            write(f, 0, 10);
            Pair.drain(f.link(), f.servers().a);
            b.server.kill();
            Files.deleteIfExists(b.server.folder().resolve("dump.rdb"));
            long copies = f.servers().a.fullSyncs();
            b.server.restart();
            f.heard().awaitBroken();
            b.reconnect();
            assertThat(b.state().linkUp()).isFalse();
            assertThat(f.servers().a.fullSyncs()).isEqualTo(copies);
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void withAnAppendOnlyFileItAsksForACopyAndIsRefusedWithItsData(String pair) {
        try (Following f = Following.start(folder, pair, Pair.WITH_CONFIG_FILES, "--appendonly", "yes")) {
            Pair.Side b = f.servers().b;
            ServerSettings.makeLasting(b.connection);
            write(f, 0, 10);
            Pair.drain(f.link(), f.servers().a);
            b.server.restart();
            f.heard().awaitBroken();
            b.reconnect();
            assertThat(b.call("GET", "counter")).isEqualTo("10");
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void withoutALastingRoleItIsAPrimaryAgainAndTheLinkSaysThatItWasRestarted(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side b = f.servers().b;
            Await.until(
                    Pair.LIMIT, "the link has looked", () -> f.link().status().lagBytes() == 0);
            f.servers().a.call("SET", "key", "value");
            Pair.drain(f.link(), f.servers().a);
            b.server.restart();
            b.reconnect();
            Await.until(
                    Pair.LIMIT,
                    "the restart is said",
                    () -> f.link().status().detail().contains("restarted"));
            assertThat(b.state().role()).isEqualTo(Role.PRIMARY);
            assertThat(f.link().status().phase()).isEqualTo(Phase.WAITING_FOR_TARGET);
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aSourceThatLostItsHistoryBreaksTheLinkAndTheTargetKeepsItsData(String pair) {
        try (Following f = Following.start(folder, pair)) {
            f.servers().a.call("SET", "kept", "yes");
            Pair.drain(f.link(), f.servers().a);
            f.servers().a.server.kill();
            f.servers().a.server.restart();
            f.heard().awaitBroken();
            assertThat(f.servers().b.call("GET", "kept")).isEqualTo("yes");
            assertThat(f.servers().b.state().role()).isEqualTo(Role.REPLICA);
        }
    }
}
