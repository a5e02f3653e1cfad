package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.Servers;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Forward and back, again and again, between real servers: one full copy, and a counter that never misses or repeats. */
class RelayCycleTest {
    private static final int ROUNDS = 3;
    private static final int KEYS = 2_000;

    private static final Logger LOG = LoggerFactory.getLogger(RelayCycleTest.class);

    @TempDir
    Path folder;

    private long counter;

    static Stream<String> pairs() {
        return Stream.of(
                "embedded to embedded",
                "redis-7.0 to redis-7.0",
                "redis-7.0 to redis-8.0",
                "redis-7.0 to valkey-9.1",
                "redis-6.0 to redis-7.0",
                "redis-6.0 to valkey-9.1",
                "valkey-8.1 to valkey-9.1");
    }

    static ServerBinary binary(String name) {
        return name.equals("embedded") ? ServerBinary.embedded() : Servers.require(name);
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void severalRoundsOfCutoverAndRollbackNeedOneCopyAndLoseNothing(String pair) {
        String[] names = pair.split(" to ", -1);
        try (Pair servers = new Pair(binary(names[0]), binary(names[1]), folder)) {
            Pair.Side a = servers.a;
            Pair.Side b = servers.b;
            for (int i = 0; i < KEYS; i++) {
                a.call("SET", "key" + i, "value-" + i);
            }
            RelayLink link = servers.copied("forward", a, b, new Pair.Heard(), Optional.empty());
            increment(a, 500);
            for (int round = 0; round < ROUNDS; round++) {
                Pair.Switched cutover = servers.switchOver(a, b, link);
                increment(b, 500);
                assertThat(a.call("SET", "refused", "x")).startsWith("READONLY");
                Pair.awaitPhase(cutover.link(), Phase.STREAMING);
                increment(b, 500);
                Pair.drain(cutover.link(), b);
                assertThat(a.call("GET", "counter")).isEqualTo("" + counter);

                Pair.Switched rollback = servers.switchOver(b, a, cutover.link());
                increment(a, 500);
                Pair.awaitPhase(rollback.link(), Phase.STREAMING);
                increment(a, 500);
                Pair.drain(rollback.link(), a);
                assertThat(b.call("GET", "counter")).isEqualTo("" + counter);
                LOG.info("{} round {}: cutover {}, rollback {}", pair, round, cutover.took(), rollback.took());

                assertThat(cutover.heard().breaks).isEmpty();
                assertThat(rollback.heard().breaks).isEmpty();
                link = rollback.link();
            }
            assertThat(b.keys()).isEqualTo(a.keys());
            assertThat(a.fullSyncs()).isEqualTo(1);
            assertThat(b.fullSyncs()).isZero();
        }
    }

    /** Each reply is the next number: nothing missed, nothing twice. */
    private void increment(Pair.Side side, int times) {
        for (int i = 0; i < times; i++) {
            assertThat(side.call("INCR", "counter")).isEqualTo("" + ++counter);
        }
    }
}
