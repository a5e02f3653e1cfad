package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.cluster;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.endpoint;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.RandomWrites;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Who may write over a link, and how a switch ends one: from outside, and within its stream. */
class LinkOwnersTest {
    private static final int CLIENTS = 4;
    private static final long BETWEEN = 2_000;
    private static final int ROUNDS = 5;
    private static final String NAME = "link";

    @TempDir
    Path folder;

    static Stream<ServerBinary> servers() {
        return ServerBinary.matrix().isEmpty() ? Stream.of(ServerBinary.any()) : ServerBinary.matrix().stream();
    }

    @Test
    void theLaterOfTwoOwnersShutsOutTheFormer() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            Heard formerHeard = new Heard();
            ApplyLink former = open(source, spec("target", target), 1, formerHeard);
            try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                streams(former);
                Heard laterHeard = new Heard();
                try (ApplyLink later = open(source, spec("target", target), 2, laterHeard)) {
                    streams(later);
                    Await.until(LIMIT, "the former owner hears of it", () -> formerHeard.broken != null);
                    assertThat(formerHeard.broken).contains("a newer owner has taken the link over (\"2 open ");
                    writeOn(writes);
                    // Not even if it wakes up only now, with all that it had then.
                    Heard awakeHeard = new Heard();
                    ApplyLink awake = open(source, spec("target", target), 1, awakeHeard);
                    Await.until(LIMIT, "it finds the newer one", () -> awakeHeard.broken != null);
                    assertThat(awakeHeard.broken).contains("a newer owner has taken the link over");
                    awake.stop();
                    writeOn(writes);
                    writes.end();
                    drain(source, later);
                    equal(List.of(source), List.of(target), false);
                    assertThat(laterHeard.broken).isNull();
                }
            } finally {
                former.stop();
            }
        }
    }

    @Test
    void nothingOfALinkThatIsShutOutReachesItsTarget() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            shutsOut(source, spec("target", target), List.of(target));
        }
    }

    @Test
    void nothingOfALinkThatIsShutOutReachesACluster() throws Exception {
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 3, 0)) {
            shutsOut(source, cluster("target", target), target.nodes());
        }
    }

    private void shutsOut(RealServer source, FleetSpec target, List<RealServer> servers) throws Exception {
        Heard heard = new Heard();
        try (ApplyLink link = open(source, target, 5, heard);
                RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
            streams(link);
            writeOn(writes);
            assertThatThrownBy(() -> ApplyLink.shutOut(target, NAME, Token.open(4, "older")))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("newer owner");
            writeOn(writes);
            assertThat(heard.broken).isNull();
            ApplyLink.shutOut(target, NAME, Token.open(6, "switch"));
            Map<String, String> then = lasting(servers);
            writeOn(writes);
            Await.until(LIMIT, "the link hears of it", () -> heard.broken != null);
            assertThat(heard.broken).contains("a newer owner has taken the link over (\"6 open switch\"");
            assertThat(lasting(servers)).isEqualTo(then);
            Heard again = new Heard();
            ApplyLink former = open(source, target, 5, again);
            Await.until(LIMIT, "it finds who has shut it out", () -> again.broken != null);
            assertThat(lasting(servers)).isEqualTo(then);
            former.stop();
        }
        Heard next = new Heard();
        try (ApplyLink link = open(source, target, 6, next)) {
            streams(link);
            drain(source, link);
            equal(List.of(source), servers, false);
            assertThat(next.copies).hasValue(0);
        }
    }

    /** Lists, sets and streams, of which no client gives any a time to live. */
    private static Map<String, String> lasting(List<RealServer> servers) {
        Map<String, String> contents = Contents.of(servers, false);
        contents.keySet().removeIf(key -> !key.matches("(l|set|x)[0-9]+"));
        return contents;
    }

    @ParameterizedTest
    @MethodSource("servers")
    void aNoteInTheStreamIsWhereAnOlderOwnerStops(ServerBinary binary) throws Exception {
        try (RealServer source = RealServer.start(
                        binary,
                        folder.resolve("source"),
                        "--repl-backlog-size",
                        "64mb",
                        "--repl-ping-replica-period",
                        "3600");
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            FleetSpec fleet = spec("target", target);
            Heard heard = new Heard();
            try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                for (int i = 1; i <= ROUNDS; i++) {
                    try (ApplyLink link = open(source, fleet, i, heard)) {
                        streams(link);
                        writeOn(writes);
                        source.call("SET", "before", Integer.toString(i));
                        long end = leave(source, NAME, i + 1);
                        source.call("SET", "behind", Integer.toString(i));
                        endsThere(link, end, i + 1);
                        assertThat(target.call("GET", "before")).isEqualTo(Integer.toString(i));
                        assertThat(target.call("GET", "behind")).isEqualTo(i == 1 ? null : Integer.toString(i - 1));
                    }
                    // Whoever has the same token as then comes to the same place.
                    try (ApplyLink again = open(source, fleet, i, heard)) {
                        Await.until(LIMIT, "it stops again", again::isFrozen);
                        assertThat(target.call("GET", "behind")).isEqualTo(i == 1 ? null : Integer.toString(i - 1));
                    }
                }
            }
            assertThatThrownBy(() -> leave(source, NAME, ROUNDS))
                    .isInstanceOf(FleetException.class)
                    .hasMessageContaining("somebody else has taken over");
            try (ApplyLink link = open(source, fleet, ROUNDS + 1, heard)) {
                streams(link);
                drain(source, link);
                equal(List.of(source), List.of(target), false);
                // Without clients, the offset is the source's own.
                long end = leave(source, NAME, ROUNDS + 2);
                assertThat(end).isEqualTo(Long.parseLong(source.info("replication", "master_repl_offset")));
                endsThere(link, end, ROUNDS + 2);
            }
            assertThat(heard.broken).isNull();
            assertThat(heard.copies).hasValue(1);
        }
    }

    private static void endsThere(ApplyLink link, long end, long by) {
        assertThat(link.awaitApplied(end, Deadline.in(Environment.system(), LIMIT)))
                .as("%s", link.status())
                .isTrue();
        assertThat(link.isFrozen()).isTrue();
        assertThat(link.status().phase()).isEqualTo(Phase.CLOSED);
        assertThat(link.status().detail()).contains("ended by \"" + by + " open");
        assertThat(link.awaitApplied(Long.MAX_VALUE, Deadline.in(Environment.system(), LIMIT)))
                .isFalse();
    }

    @Test
    void aLinkThatWasEndedBeforeItBeganLeavesItsTargetAsItIs() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            target.call("SET", "key", "value");
            leave(source, NAME, 2);
            try (ApplyLink link = open(source, spec("target", target), 1, new Heard())) {
                Await.until(LIMIT, "it has stopped", link::isFrozen);
                assertThat(link.status().detail()).contains("ended by \"2 open");
                assertThat(target.call("GET", "key")).isEqualTo("value");
            }
            try (ApplyLink link = open(source, spec("target", target), 2, new Heard())) {
                streams(link);
                assertThat(target.call("GET", "key")).isNull();
            }
        }
    }

    @Test
    void aLinkThatIsForgottenHasNoKeysLeft() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 2, 0)) {
            try (ApplyLink link = open(source, cluster("target", target), 1, new Heard())) {
                streams(link);
                int slot = RealCluster.slotOf("moved");
                target.moveSlot(
                        slot,
                        target.nodes().getFirst() == target.primaryOf(slot)
                                ? target.nodes().get(1)
                                : target.nodes().getFirst());
            }
            try (ServerConnection connection = connect(source)) {
                ApplyLink.begin(connection, NAME);
                ApplyLink.leave(connection, ApplyLink.NO_SLOT, NAME, Token.open(3, "switch"), OtherClients.KEPT);
                ApplyLink.leave(connection, ApplyLink.NO_SLOT, "another", Token.open(3, "switch"), OtherClients.KEPT);
            }
            for (RealServer node : target.nodes()) {
                assertThat((List<?>) node.call("KEYS", "switchback:*")).hasSize(2);
            }
            ApplyLink.forget(cluster("target", target), List.of("unknown", NAME));
            ApplyLink.forget(spec("source", source), List.of(NAME, "unknown"));
            for (RealServer node : target.nodes()) {
                assertThat((List<?>) node.call("KEYS", "*")).isEmpty();
            }
            assertThat(source.call("KEYS", "*")).isEqualTo(List.of("switchback:reserved:apply-left:another"));
        }
    }

    private static long leave(RealServer source, String name, long by) {
        try (ServerConnection connection = connect(source)) {
            return ApplyLink.leave(connection, ApplyLink.NO_SLOT, name, Token.open(by, "switch"), OtherClients.KEPT);
        }
    }

    private static ServerConnection connect(RealServer server) {
        return ServerConnection.open(endpoint(server), Optional.empty(), Duration.ofSeconds(10));
    }

    private static void writeOn(RandomWrites writes) {
        long until = writes.written() + BETWEEN;
        Await.until(LIMIT, "clients write on", () -> writes.written() > until);
    }

    private static ApplyLink open(RealServer source, FleetSpec target, long owner, Heard heard) {
        return ApplyLink.open(
                new ApplySettings(
                        NAME,
                        "secret",
                        Token.open(owner, "owner"),
                        spec("source", source),
                        target,
                        new LinkStart.FullCopy(Optional.empty()),
                        Optional.empty()),
                Environment.system(),
                heard);
    }
}
