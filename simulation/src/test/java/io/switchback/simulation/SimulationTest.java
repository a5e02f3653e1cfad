package io.switchback.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.commit.Protocol;
import io.switchback.simulation.Simulation.Result;
import io.switchback.simulation.Simulation.Setting;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SimulationTest {
    private static final Optional<Long> SEED =
            Optional.ofNullable(System.getProperty("switchback.seed")).map(Long::valueOf);
    private static final long SEEDS = 2_000;
    private static final long SEEDS_TO_FIND_A_MISTAKE_MAX = 2_000;

    @Test
    void theLawsHoldOverManySeeds() {
        long first = SEED.orElse(1L);
        long last = SEED.orElse(SEEDS);
        int commits = 0;
        int aborts = 0;
        int takeovers = 0;
        for (long seed = first; seed <= last; seed++) {
            Result result = Simulation.run(seed, Setting.bySeed());
            assertHeld(result, Setting.bySeed());
            commits += result.commits();
            aborts += result.aborts();
            takeovers += result.takeovers();
        }
        if (SEED.isEmpty()) {
            // Against a simulation in which nothing happens.
            assertThat(commits).isGreaterThan((int) SEEDS);
            assertThat(aborts).isGreaterThan((int) SEEDS / 2);
            assertThat(takeovers).isGreaterThan((int) SEEDS);
        }
    }

    /** Two are rarer than that (docs/simulation.md). */
    @ParameterizedTest
    @EnumSource(
            mode = EnumSource.Mode.EXCLUDE,
            names = {"READY_FOR_EVER", "UNDECIDED_SWITCH_NOT_SEEN"})
    void aPlantedBugIsFound(PlantedBug bug) {
        Setting setting = Setting.bySeed().with(bug);
        for (long seed = 1; seed <= SEEDS_TO_FIND_A_MISTAKE_MAX; seed++) {
            if (!Simulation.run(seed, setting).held()) {
                return;
            }
        }
        throw new AssertionError(bug + " was not found in " + SEEDS_TO_FIND_A_MISTAKE_MAX + " seeds");
    }

    @Test
    void aSeedReplaysExactly() {
        Result once = Simulation.traced(7, Setting.bySeed());
        assertThat(Simulation.traced(7, Setting.bySeed())).isEqualTo(once);
        assertThat(once.trace()).isNotEmpty();
    }

    @ParameterizedTest
    @EnumSource
    void aSwitchOverManyNodesEnds(Protocol protocol) {
        assertThat(Simulation.holdMicros(1, protocol, 100)).isPositive();
    }

    private static void assertHeld(Result result, Setting setting) {
        if (!result.held()) {
            throw new AssertionError("seed " + result.seed() + " (replay: -Dswitchback.seed=" + result.seed() + "): "
                    + result.broken() + "\n"
                    + String.join(
                            "\n", Simulation.traced(result.seed(), setting).trace()));
        }
    }
}
