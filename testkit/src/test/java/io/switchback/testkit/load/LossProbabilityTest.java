package io.switchback.testkit.load;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

class LossProbabilityTest {

    @Test
    void withNothingLostTheBoundIsTheRuleOfThree() {
        assertThat(new LossProbability(0, 1_000_000).estimate()).isZero();
        assertThat(new LossProbability(0, 1_000_000).upperBound95()).isCloseTo(2.9957e-6, within(1e-9));
    }

    /** Values of the F distribution's tables: 1 of 10 is 0.3942, 5 of 100 is 0.1023, 2 of 20 is 0.2826. */
    @Test
    void withSomeLostTheBoundIsThatOfClopperAndPearson() {
        assertThat(new LossProbability(1, 10).upperBound95()).isCloseTo(0.3942, within(1e-4));
        assertThat(new LossProbability(2, 20).upperBound95()).isCloseTo(0.2826, within(1e-4));
        assertThat(new LossProbability(5, 100).upperBound95()).isCloseTo(0.1023, within(1e-4));
    }

    @Test
    void theExactSumAndTheApproximationForManyMeet() {
        double exact = new LossProbability(10_000, 1_000_000).upperBound95();
        double approximate = new LossProbability(10_001, 1_000_000).upperBound95();
        assertThat(approximate / exact).isCloseTo(1, within(1e-3));
    }

    @Test
    void nothingCheckedProvesNothing() {
        assertThat(new LossProbability(0, 0).upperBound95()).isEqualTo(1);
        assertThat(new LossProbability(7, 7).upperBound95()).isEqualTo(1);
        assertThatThrownBy(() -> new LossProbability(2, 1)).isInstanceOf(IllegalArgumentException.class);
    }
}
