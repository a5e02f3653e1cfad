package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.LinkKind;
import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.RequiresServers;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.StreamEntryID;

/** By which kind of link a release's fleets are joined, where its file says so and where it does not. */
@RequiresServers({"redis-7.0", "valkey-9.1"})
final class LinkChoiceTest {
    /** With it an element takes 16,383 bytes of a listpack, of which Valkey 9 writes the length otherwise than all before it. */
    private static final String ELEMENT = "e".repeat(16_378);

    @TempDir
    private Path folder;

    /** Down the relay this value would end the new server's process; so would it down the servers' own replication. */
    @Test
    void aFileMayAskForLinksThatApplyWhereARelayWouldNotDo() {
        try (SomeFleet blue = server("redis-7.0");
                SomeFleet green = server("valkey-9.1");
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            try (Jedis old = new Jedis("127.0.0.1", blue.primaries().getFirst().port())) {
                old.xadd("stream", new StreamEntryID(1), Map.of("field", ELEMENT));
                old.rpush("list", "a", ELEMENT);
            }
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ", link: apply", ""));
            assertThat(fleets.awaitObserving("r").caches().getFirst().choice()).satisfies(choice -> {
                assertThat(choice.kind()).isEqualTo(LinkKind.APPLY);
                assertThat(choice.because()).isEqualTo("the release's file asks for it");
            });
            assertThat(fleets.status("r").warnings()).noneMatch(warning -> warning.contains("16378"));
            try (Jedis client = fleets.client()) {
                assertThat(client.lrange("list", 0, -1)).containsExactly("a", ELEMENT);
                client.rpush("list", "b");
                fleets.order("r", Order.Kind.ROLLBACK);
                fleets.awaitStatus("r", Status.ROLLED_BACK);
                assertThat(client.lrange("list", 0, -1)).containsExactly("a", ELEMENT, "b");
                assertThat(client.xrange("stream", "-", "+").getFirst().getFields())
                        .isEqualTo(Map.of("field", ELEMENT));
            }
        }
    }

    @Test
    void theCheckOfARelayWarnsOfValuesThatTheNewServerWouldNotSurvive() {
        try (TwoFleets fleets = TwoFleets.start(binary("redis-7.0"), binary("valkey-9.1"), folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ""));
            assertThat(fleets.awaitObserving("r").warnings())
                    .anyMatch(warning -> warning.contains("exactly 16378 bytes") && warning.contains("link: apply"));
        }
    }

    @Test
    void aLinkThatTheFleetsDoNotAllowIsAProblemOfTheCheck() {
        try (SomeFleet blue = SomeFleet.single(binary("redis-7.0"), folder.resolve("blue"));
                SomeFleet green = SomeFleet.cluster(binary("valkey-9.1"), folder.resolve("green"), 2, 0);
                TwoFleets fleets = SomeFleet.between(blue, green, folder)) {
            fleets.startNode();
            fleets.begin(TwoFleets.release("r", ", link: relay", ""));
            assertThat(fleets.awaitStatus("r", Status.FAILED).detail())
                    .contains("link: relay")
                    .contains("fleet green is a cluster, which cannot follow another fleet")
                    .contains("leave link out");
            RealServer old = blue.primaries().getFirst();
            assertThat(old.info("replication", "connected_slaves")).isEqualTo("0");
        }
    }

    /** Whose user may do anything: what a relay asks for as well as what links that apply do. */
    private SomeFleet server(String version) {
        RealServer server = RealServer.start(binary(version), folder.resolve(version));
        return new SomeFleet() {
            @Override
            public String yaml() {
                return "{ standalone: \"127.0.0.1:" + server.port() + "\" }";
            }

            @Override
            public List<RealServer> primaries() {
                return List.of(server);
            }

            @Override
            public void close() {
                server.close();
            }
        };
    }

    private static ServerBinary binary(String name) {
        return ServerBinary.named(name).orElseThrow();
    }
}
