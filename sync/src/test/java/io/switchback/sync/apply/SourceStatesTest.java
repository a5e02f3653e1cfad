package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ServerVersion;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is asked of a source together, and of one that breaks off. */
class SourceStatesTest {
    private static final int MIB = 1024 * 1024;

    @TempDir
    Path folder;

    @Test
    void largeStatesAreReadFewAtATimeAndSmallOnesTogether() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder);
                SourceStates states = states(source)) {
            List<Key> small = keys("small", 2 * SourceStates.AT_ONCE);
            List<Key> large = keys("large", SourceStates.AT_ONCE);
            small.forEach(key -> source.call("SET", key.toString(), "x"));
            large.forEach(key -> source.call("SET", key.toString(), "x".repeat(10 * MIB)));
            assertThat(heldTogether(source, states, small)).isEqualTo(SourceStates.AT_ONCE);
            assertThat(heldTogether(source, states, large)).isBetween(1L, SourceStates.TOGETHER_BYTES_MAX / (10 * MIB));
        }
    }

    /** How many states had been read, at most, that had not been taken; each of them once. */
    private static long heldTogether(RealServer source, SourceStates states, List<Key> keys) throws Exception {
        long before = dumps(source);
        List<Key> taken = new ArrayList<>();
        long[] most = new long[1];
        states.read(keys, state -> {
            most[0] = Math.max(most[0], dumps(source) - before - taken.size());
            taken.add(state.key());
        });
        assertThat(taken).isEqualTo(keys);
        return most[0];
    }

    private static long dumps(RealServer source) {
        String calls = source.info("commandstats").getOrDefault("cmdstat_dump", "calls=0,");
        return Long.parseLong(calls.substring("calls=".length(), calls.indexOf(',')));
    }

    @Test
    void aConnectionThatWasKilledIsOpenedAgain() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder);
                SourceStates states = states(source)) {
            List<Key> keys = keys("key", 3);
            source.call("SET", "key0", "x");
            for (int round = 0; round < 3; round++) {
                List<Key> found = new ArrayList<>();
                states.read(keys, state -> {
                    if (state.payload() != null) {
                        found.add(state.key());
                    }
                });
                assertThat(found).containsExactly(keys.getFirst());
                source.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            }
        }
    }

    private static List<Key> keys(String prefix, int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> new Key(0, (prefix + i).getBytes(UTF_8)))
                .toList();
    }

    private static SourceStates states(RealServer source) {
        return new SourceStates(
                Links.endpoint(source),
                Optional.empty(),
                Optional.empty(),
                ServerVersion.parse(ServerVersion.Product.REDIS, source.binary().version()));
    }
}
