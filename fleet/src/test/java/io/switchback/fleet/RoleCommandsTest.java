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

    private static final Token FIRST = Token.open(7, "release.7");
    private static final Token SECOND = Token.open(8, "release.8");

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
            RoleCommands.writeToken(connection, FIRST);
            connection.demand("SET", "key", "value");

            RoleChange change = RoleCommands.follow(connection, NOWHERE, FIRST);

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
    void clientsCanBeKilledInTheSameInstantSoThatNoneMeetsTheReplica(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection client = server.connect();
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, FIRST);
            client.demand("SET", "key", "value");

            assertThat(RoleCommands.follow(connection, NOWHERE, FIRST, RoleCommands.OtherClients.KILLED))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.after().role()).isEqualTo(Role.REPLICA));

            assertThat(ReplicationState.read(connection).role()).isEqualTo(Role.REPLICA);
            assertThatThrownBy(() -> client.call("GET", "key")).isInstanceOf(FleetException.class);
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
            RoleCommands.writeToken(primary, FIRST);
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

            RoleChange change = RoleCommands.promote(replica, FIRST);

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
            RoleCommands.writeToken(late, FIRST);
            RoleCommands.writeToken(successor, SECOND);

            assertThat(RoleCommands.follow(late, NOWHERE, FIRST))
                    .isInstanceOfSatisfying(
                            RoleChange.Refused.class,
                            refused -> assertThat(refused.why())
                                    .contains(SECOND.text())
                                    .contains(FIRST.text()));
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.PRIMARY);
            // The refused command leaves no WATCH behind on the connection.
            assertThat(RoleCommands.follow(successor, NOWHERE, SECOND)).isInstanceOf(RoleChange.Changed.class);
            assertThat(RoleCommands.promote(late, FIRST)).isInstanceOf(RoleChange.Refused.class);
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.REPLICA);
            assertThat(RoleCommands.promote(late, SECOND)).isInstanceOf(RoleChange.Changed.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aTokenThatMovesBetweenTheLookAndTheCommandRefusesItToo(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection late = server.connect();
                ServerConnection successor = server.connect()) {
            RoleCommands.writeToken(late, FIRST);
            TokenWatch watch = RoleCommands.watch(late, FIRST);

            RoleCommands.writeToken(successor, SECOND);

            assertThat(watch.follow(NOWHERE, RoleCommands.OtherClients.KEPT)).isInstanceOf(RoleChange.Refused.class);
            assertThatThrownBy(watch::promote).hasMessageContaining("spent");
            assertThatThrownBy(() -> RoleCommands.watch(late, FIRST)).isInstanceOf(FleetException.class);
            assertThat(ReplicationState.read(late).role()).isEqualTo(Role.PRIMARY);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void noTokenIsOlderThanEveryToken(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder, "--requirepass", "secret");
                ServerConnection connection = server.connect()) {
            assertThat(RoleCommands.token(connection)).isEmpty();
            assertThatThrownBy(() -> RoleCommands.watch(connection, FIRST))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("has not reached");
            RoleCommands.writeToken(connection, FIRST);
            assertThat(RoleCommands.token(connection)).contains(FIRST);
            assertThat(RoleCommands.follow(connection, NOWHERE, FIRST)).isInstanceOf(RoleChange.Changed.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void anOlderTokenIsNotTakenAndANewerOneIs(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, FIRST.close());
            assertThatThrownBy(() -> RoleCommands.writeToken(connection, FIRST))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("taken over");
            RoleCommands.writeToken(connection, SECOND);
            assertThatThrownBy(() -> RoleCommands.offerToken(connection, FIRST.close()))
                    .isInstanceOf(FleetException.class);
            assertThat(RoleCommands.offerToken(connection, SECOND)).isEqualTo(RoleCommands.Offer.TAKEN);
            assertThat(RoleCommands.token(connection)).contains(SECOND);
            RoleCommands.follow(connection, NOWHERE, SECOND);
            assertThat(RoleCommands.offerToken(connection, SECOND.close())).isEqualTo(RoleCommands.Offer.READ_ONLY);
            assertThat(RoleCommands.promote(connection, FIRST)).isInstanceOf(RoleChange.Refused.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aReplicaThatMissedTheTokenOfALaterTermFollowsItAllTheSame(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, FIRST);
            RoleCommands.follow(connection, NOWHERE, FIRST);
            assertThat(RoleCommands.follow(connection, new Endpoint("127.0.0.1", 2), SECOND))
                    .isInstanceOf(RoleChange.Changed.class);
        }
    }

    @ParameterizedTest
    @MethodSource("versions")
    void aRepeatedCommandWithTheSameTokenChangesNothingMore(String version) throws Exception {
        try (TestServer server = TestServer.start(version, folder);
                ServerConnection connection = server.connect()) {
            RoleCommands.writeToken(connection, FIRST);
            ReplicationState before = ReplicationState.read(connection);
            assertThat(RoleCommands.promote(connection, FIRST))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.before()).isEqualTo(Role.PRIMARY));
            assertThat(ReplicationState.read(connection)).isEqualTo(before);
            RoleCommands.follow(connection, NOWHERE, FIRST);
            assertThat(RoleCommands.follow(connection, NOWHERE, FIRST))
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
            RoleCommands.writeToken(admin, FIRST);
            try (ServerConnection weak = ServerConnection.open(
                    server.fleet.endpoint(), Optional.of(new Credential("weak", "w")), Duration.ofSeconds(5))) {
                assertThatThrownBy(() -> RoleCommands.follow(weak, NOWHERE, FIRST))
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
                RoleCommands.writeToken(connection, FIRST);
            }
            long written = ReplicationState.read(connection).offset();
            assertThat(written).isPositive();
            RoleCommands.follow(connection, NOWHERE, FIRST);
            assertThat(RoleCommands.promote(connection, FIRST))
                    .isInstanceOfSatisfying(
                            RoleChange.Changed.class,
                            changed -> assertThat(changed.offsetAtChange()).isEqualTo(written));
        }
    }
}
