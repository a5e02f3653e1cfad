package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.Reply;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** How a link's source knows it by name, and hears from it at once what its target has applied. */
class RelayConfirmTest {
    private static final int WRITES = 60;
    /** Acknowledged once a second, the writes would take about a minute. */
    private static final Duration ALL_WRITES_MAX = Duration.ofSeconds(20);

    @TempDir
    Path folder;

    static Stream<String> versions() {
        return ServerBinary.MATRIX_NAMES.stream();
    }

    static Stream<String> pairs() {
        return Stream.of("redis-7.0 to valkey-9.1", "valkey-9.1 to redis-7.0", "redis-7.0 to redis-6.0");
    }

    /** What ROLE of the source says of the link's acknowledgements; -1 where it does not know it. */
    private static long acknowledged(Pair.Side source, String link) {
        Reply role = source.connection.demand("ROLE");
        for (Reply each : ((Reply.Array) ((Reply.Array) role).elements().get(2)).elements()) {
            List<Reply> replica = ((Reply.Array) each).elements();
            if (replica.getFirst().text().equals(RelayLink.announcedName(link, Pair.SECRET))) {
                assertThat(replica.get(1).text()).as("its port").isEqualTo("0");
                return Long.parseLong(replica.get(2).text());
            }
        }
        return -1;
    }

    @ParameterizedTest
    @MethodSource("versions")
    void everyVersionCallsTheLinkByItsNameAndNoPort(String version) {
        try (Pair servers = new Pair(RelayCycleTest.binary(version), RelayCycleTest.binary(version), folder)) {
            RelayLink link = servers.copied("forward", servers.a, servers.b, new Pair.Heard(), Optional.empty());
            link.confirmPromptly(true);
            servers.a.call("SET", "key", "value");
            long written = servers.a.state().offset();
            Await.until(Pair.LIMIT, "the confirmation", () -> acknowledged(servers.a, "forward") >= written);
            assertThat(servers.a.server.info("replication", "slave0"))
                    .contains("ip=" + RelayLink.announcedName("forward", Pair.SECRET) + ",port=0");
            servers.b.call("CLIENT", "KILL", "TYPE", "master");
            servers.a.call("SET", "key", "another");
            long later = servers.a.state().offset();
            Await.until(
                    Pair.LIMIT, "the confirmation after a break", () -> acknowledged(servers.a, "forward") >= later);
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void eachWriteIsConfirmedOnceItIsAppliedAndNotBefore(String pair) {
        try (Following f = start(pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            f.link().confirmPromptly(true);
            long begun = Pair.ENVIRONMENT.nanoTime();
            for (int i = 0; i < WRITES; i++) {
                a.call("SET", "key" + i, "value", "PX", "1000000");
                long written = a.state().offset();
                Await.until(
                        Pair.LIMIT,
                        "confirmation " + i,
                        () -> acknowledged(a, f.link().name()) >= written);
                assertThat(b.call("GET", "key" + i)).isEqualTo("value");
            }
            assertThat(Duration.ofNanos(Pair.ENVIRONMENT.nanoTime() - begun)).isLessThan(ALL_WRITES_MAX);

            b.server.stop();
            a.call("SET", "key", "while it stands still");
            long written = a.state().offset();
            Await.until(
                    Pair.LIMIT,
                    "the link to have passed it",
                    () -> f.link().status().sourceOffset() >= written);
            assertThat(acknowledged(a, f.link().name())).isLessThan(written);
            b.server.resume();
            Await.until(
                    Pair.LIMIT,
                    "the confirmation",
                    () -> acknowledged(a, f.link().name()) >= written);
            assertThat(f.link().status().phase()).isEqualTo(Phase.STREAMING);
            assertThat(b.call("GET", "key")).isEqualTo("while it stands still");
        }
    }

    private Following start(String pair) {
        if (!pair.equals("redis-7.0 to redis-6.0")) {
            return Following.start(folder, pair);
        }
        Pair servers = new Pair(RelayCycleTest.binary("redis-6.0"), RelayCycleTest.binary("redis-7.0"), folder);
        RelayLink forward = servers.copied("forward", servers.a, servers.b, new Pair.Heard(), Optional.empty());
        Pair.Switched switched = servers.switchOver(servers.a, servers.b, forward);
        Pair.awaitPhase(switched.link(), Phase.STREAMING);
        return new Following(servers.swapped(), switched.link(), switched.base(), switched.heard());
    }
}
