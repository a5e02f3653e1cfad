package io.switchback.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.fleet.ReplicationState.Role;
import io.switchback.testkit.Await;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Changes of role on every version that is there. */
class RoleCommandsTest {
    private static final Endpoint NOWHERE = new Endpoint("127.0.0.1", 1);

    @TempDir
    Path folder;

    static Stream<String> versions() {
        return TestServer.versions();
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aPrimaryWithTheTokenFollowsAndRefusesWritesFromThenOn(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, "7/1");
            connection.demand("SET", "key", "value");

            RoleChange change = RoleCommands.follow(connection, NOWHERE, "7/1");

            ReplicationState after = ReplicationState.read(connection);
            assertThat(after.role()).isEqualTo(Role.REPLICA);
            assertThat(after.primary()).contains(NOWHERE);
            assertThat(change).isInstanceOfSatisfying(RoleChange.Changed.class, changed -> {
                assertThat(changed.before()).isEqualTo(Role.PRIMARY);
                assertThat(changed.offsetAtChange()).isEqualTo(after.offset());
                assertThat(changed.after().role()).isEqualTo(Role.REPLICA);
                assertThat(changed.after().id()).isEqualTo(after.id());
            });
            assertThat(connection.call("SET", "key", "other").text()).startsWith("READONLY");
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aReplicaWithTheTokenBecomesAPrimaryWithANewIdAndKeepsItsOffset(String version) throws Exception {
        try (TestServer first = TestServer.start(
                        version, Files.createDirectory(folder.resolve("first")), "--repl-diskless-sync-delay", "0");
                TestServer second = TestServer.start(version, Files.createDirectory(folder.resolve("second")));
                ServerConnection primary = first.connect();
                ServerConnection replica = second.connect()) {
            RoleCommands.writeToken(primary, "7/1");
            replica.demand("REPLICAOF", "127.0.0.1", "" + first.fleet.endpoint().port());
            Await.until(
                    Duration.ofSeconds(20),
                    "the replica follows",
                    () -> ReplicationState.read(replica).linkUp());
            primary.demand("SET", "key", "value");
            long written = ReplicationState.read(primary).offset();
            Await.until(
                    Duration.ofSeconds(20),
                    "the replica has it",
                    () -> ReplicationState.read(replica).offset() >= written);
            ReplicationState followed = ReplicationState.read(replica);

            RoleChange change = RoleCommands.promote(replica, "7/1");

            assertThat(change).isInstanceOfSatisfying(RoleChange.Changed.class, changed -> {
                assertThat(changed.before()).isEqualTo(Role.REPLICA);
                assertThat(changed.offsetAtChange()).isGreaterThanOrEqualTo(written);
                assertThat(changed.after().role()).isEqualTo(Role.PRIMARY);
                // Redis 6.0 writes a transaction into its own stream that holds as little as INFO: ours must not.
                assertThat(changed.after().offset()).isEqualTo(changed.offsetAtChange());
                assertThat(changed.after().id()).isNotEqualTo(followed.id());
                assertThat(changed.after().secondId()).isEqualTo(followed.id());
                assertThat(changed.after().secondOffset()).isEqualTo(changed.offsetAtChange() + 1);
            });
            assertThat(replica.demand("SET", "key", "other").text()).isEqualTo("OK");
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aLateCommandIsRefusedOnceTheTokenHasMoved(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection late = server.connect();
                ServerConnection successor = server.connect()) {
            RoleCommands.writeToken(late, "7/1");
            RoleCommands.writeToken(successor, "7/2");

            assertThat(RoleCommands.follow(late, NOWHERE, "7/1"))
                    .isInstanceOfSatisfying(
                            RoleChange.Refused.class,
                            refused -> assertThat(refused.why()).contains("7/2").contains("7/1"));
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.PRIMARY);
            // The refused command leaves no WATCH behind on the connection.
            assertThat(RoleCommands.follow(successor, NOWHERE, "7/2")).isInstanceOf(RoleChange.Changed.class);
            assertThat(RoleCommands.promote(late, "7/1")).isInstanceOf(RoleChange.Refused.class);
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.REPLICA);
            assertThat(RoleCommands.promote(late, "7/2")).isInstanceOf(RoleChange.Changed.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aTokenThatMovesBetweenTheLookAndTheCommandRefusesItToo(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection late = server.connect();
                ServerConnection successor = server.connect()) {
            RoleCommands.writeToken(late, "7/1");
            TokenWatch watch = RoleCommands.watch(late, "7/1");

            RoleCommands.writeToken(successor, "7/2");

            assertThat(watch.follow(NOWHERE)).isInstanceOf(RoleChange.Refused.class);
            assertThatThrownBy(watch::promote).hasMessageContaining("spent");
            assertThatThrownBy(() -> RoleCommands.watch(late, "7/1")).isInstanceOf(FleetException.class);
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.PRIMARY);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aServerWithAPasswordAndNoTokenYetRefuses(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder, "--requirepass", "secret");
                ServerConnection connection = server.connect()) {
            assertThat(RoleCommands.token(connection)).isEmpty();
            assertThat(RoleCommands.promote(connection, "7/1")).isInstanceOf(RoleChange.Refused.class);
            RoleCommands.writeToken(connection, "7/1");
            assertThat(RoleCommands.token(connection)).contains("7/1");
            assertThat(RoleCommands.follow(connection, NOWHERE, "7/1")).isInstanceOf(RoleChange.Changed.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aRepeatedCommandWithTheSameTokenChangesNothingMore(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, "7/1");
            ReplicationState before = ReplicationState.read(connection);
            assertThat(RoleCommands.promote(connection, "7/1"))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.before()).isEqualTo(Role.PRIMARY));
            assertThat(ReplicationState.read(connection)).isEqualTo(before);
            RoleCommands.follow(connection, NOWHERE, "7/1");
            assertThat(RoleCommands.follow(connection, NOWHERE, "7/1"))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.before()).isEqualTo(Role.REPLICA));
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aUserWithoutTheRightIsNamedAndNothingIsChanged(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection admin = server.connect()) {
            admin.demand("ACL", "SETUSER", "weak", "on", ">w", "~*", "+@all", "-replicaof");
            RoleCommands.writeToken(admin, "7/1");
            try (ServerConnection weak = ServerConnection.open(
                    server.fleet.endpoint(), Optional.of(new Credential("weak", "w")), Duration.ofSeconds(5))) {
                assertThatThrownBy(() -> RoleCommands.follow(weak, NOWHERE, "7/1"))
                        .isInstanceOf(FleetException.class)
                        .hasMessageContaining("NOPERM")
                        .hasMessageContaining("nothing was changed");
            }
            assertThat(ReplicationState.read(admin).role()).isEqualTo(Role.PRIMARY);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void theOffsetOfAPromotionIsKnownAlsoWhenTheLinkIsDown(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            // A first replica makes the server count.
            try (ServerConnection replica = server.connect()) {
                replica.call("PSYNC", "?", "-1");
                RoleCommands.writeToken(connection, "7/1");
            }
            long written = ReplicationState.read(connection).offset();
            assertThat(written).isPositive();
            RoleCommands.follow(connection, NOWHERE, "7/1");
            assertThat(RoleCommands.promote(connection, "7/1"))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.offsetAtChange()).isEqualTo(written));
        }
    }
}
