package io.switchback.sync.source;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

/** What a copy makes of its source's latency. */
class CopyRateTest {
    private static final long IN_TIME = Duration.ofMillis(5).toNanos();
    private static final long LATE = IN_TIME + 1;
    private static final long MOST = 256L << 20;

    private final CopyRate rate = new CopyRate(Duration.ofMillis(5), MOST);

    @Test
    void twoLateAnswersInARowHalveIt() {
        long before = rate.bytesPerSecond();
        rate.answered(LATE);
        assertThat(rate.bytesPerSecond()).isEqualTo(before);
        rate.answered(LATE);
        assertThat(rate.bytesPerSecond()).isEqualTo(before / 2);
        rate.answered(LATE);
        rate.answered(LATE);
        assertThat(rate.bytesPerSecond()).isEqualTo(before / 4);
    }

    @Test
    void oneLateAnswerAmongOthersDoesNothing() {
        long before = rate.bytesPerSecond();
        for (int i = 0; i < 100; i++) {
            rate.answered(LATE);
            rate.answered(IN_TIME);
        }
        assertThat(rate.bytesPerSecond()).isGreaterThan(before);
    }

    @Test
    void itRisesSlowlyUpToWhatElseLimitsIt() {
        long before = rate.bytesPerSecond();
        rate.answered(IN_TIME);
        assertThat(rate.bytesPerSecond()).isBetween(before + 1, before + before / 10);
        for (int i = 0; i < 1_000; i++) {
            rate.answered(IN_TIME);
        }
        assertThat(rate.bytesPerSecond()).isEqualTo(MOST);
    }

    @Test
    void itNeverFallsBelowWhatKeepsTheCopyAlive() {
        for (int i = 0; i < 1_000; i++) {
            rate.answered(LATE);
        }
        assertThat(rate.bytesPerSecond()).isEqualTo(CopyLimits.BYTES_PER_SECOND_MIN);
        rate.answered(IN_TIME);
        assertThat(rate.bytesPerSecond()).isGreaterThan(CopyLimits.BYTES_PER_SECOND_MIN);
    }
}
