package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.GateJudge.Judgement;
import io.switchback.release.GateJudge.Outcome;
import io.switchback.release.ReleaseState.Baseline;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

/** What the gates say of measurements. */
final class GateJudgeTest {
    private static final Gates GATES = new Gates(
            Optional.of(1.2), Optional.of(1.5), Optional.of(0.001), OptionalLong.of(0), Duration.ofMillis(100), 1000);
    private static final Baseline BEFORE = new Baseline(5_000, 100, 400, 0);

    @Test
    void whatIsAsBeforeHoldsEveryGate() {
        assertThat(judge(BEFORE, BEFORE, 10))
                .allMatch(one -> one.outcome() == Outcome.HOLDS)
                .hasSize(4);
    }

    @Test
    void eachGateIsBreachedByItsOwnMeasurementAlone() {
        assertThat(breached(new Baseline(5_000, 121, 400, 0), 10)).containsExactly("art");
        assertThat(breached(new Baseline(5_000, 100, 601, 0), 10)).containsExactly("p99");
        assertThat(breached(new Baseline(5_000, 100, 400, 0.0011), 10)).containsExactly("errors");
        assertThat(breached(BEFORE, 101)).containsExactly("lag");
    }

    @Test
    void exactlyTheLimitIsNoBreach() {
        assertThat(breached(new Baseline(5_000, 120, 600, 0.001), 100)).isEmpty();
    }

    @Test
    void tooFewSamplesProveNothingOnEitherSide() {
        Baseline few = new Baseline(999, 1_000_000, 1_000_000, 1);
        assertThat(judge(BEFORE, few, 10))
                .filteredOn(one -> !one.gate().equals("lag"))
                .allMatch(one -> one.outcome() == Outcome.TOO_FEW_SAMPLES);
        assertThat(judge(few, new Baseline(5_000, 9_000_000, 9_000_000, 0), 10))
                .filteredOn(one -> one.gate().equals("art") || one.gate().equals("p99"))
                .allMatch(one -> one.outcome() == Outcome.TOO_FEW_SAMPLES);
    }

    @Test
    void withoutAStreamingLinkTheLagIsNotJudged() {
        assertThat(GateJudge.judge(GATES, BEFORE, BEFORE, OptionalLong.empty()))
                .noneMatch(one -> one.gate().equals("lag"));
    }

    private static List<Judgement> judge(Baseline before, Baseline now, long lagMillis) {
        return GateJudge.judge(GATES, before, now, OptionalLong.of(lagMillis));
    }

    private static List<String> breached(Baseline now, long lagMillis) {
        return judge(BEFORE, now, lagMillis).stream()
                .filter(one -> one.outcome() == Outcome.BREACHED)
                .map(Judgement::gate)
                .toList();
    }
}
