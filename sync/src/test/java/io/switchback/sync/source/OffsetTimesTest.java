package io.switchback.sync.source;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class OffsetTimesTest {
    private final OffsetTimes times = new OffsetTimes();

    @Test
    void anOffsetWasReachedWhenItOrALaterOneWasFirstSeen() {
        times.seen(100, 1);
        times.seen(100, 2);
        times.seen(250, 3);
        assertThat(times.reached(99)).hasValue(1);
        assertThat(times.reached(100)).hasValue(1);
        assertThat(times.reached(101)).hasValue(3);
        assertThat(times.reached(250)).hasValue(3);
        assertThat(times.reached(251)).isEmpty();
    }

    @Test
    void whatIsForgottenTakesTheRestNotWithIt() {
        for (int i = 1; i <= 10; i++) {
            times.seen(10L * i, i);
        }
        times.forgetBefore(55);
        assertThat(times.reached(56)).hasValue(6);
        assertThat(times.reached(100)).hasValue(10);
        times.forgetBefore(1000);
        assertThat(times.reached(100)).hasValue(10);
    }

    @Test
    void anotherHistoryBeginsAnew() {
        times.seen(500, 1);
        times.seen(20, 2);
        assertThat(times.reached(10)).hasValue(2);
        assertThat(times.reached(400)).isEmpty();
    }

    @Test
    void aLongTimeIsKeptAtACoarserResolutionAndNeverTooEarly() {
        int longer = 10;
        int seen = longer * OffsetTimes.SAMPLES_MAX;
        for (int i = 1; i <= seen; i++) {
            times.seen(i, i);
        }
        for (int offset = 1; offset <= seen; offset++) {
            assertThat(times.reached(offset).orElseThrow()).isBetween((long) offset, offset + 8L * longer);
        }
    }
}
