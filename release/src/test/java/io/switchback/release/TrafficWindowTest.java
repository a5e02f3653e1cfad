package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.FleetTraffic;
import org.HdrHistogram.Histogram;
import org.junit.jupiter.api.Test;

/** What a window of cumulative snapshots says of the time between its ends. */
final class TrafficWindowTest {
    private final TrafficWindow window = new TrafficWindow(3);
    private final Histogram latencies = new Histogram(1_000_000, 3);

    private void answered(long requestsSoFar, long micros) {
        latencies.recordValueWithCount(micros, requestsSoFar - latencies.getTotalCount());
        window.add(new FleetTraffic(requestsSoFar, 0, requestsSoFar * micros * 1000, latencies.copy()));
    }

    @Test
    void itIsFullOnceItCoversAllTheTimeThatItCanAndNoLongerOnceItIsCleared() {
        answered(10, 100);
        answered(20, 100);
        assertThat(window.isFull()).isFalse();
        answered(30, 100);
        assertThat(window.isFull()).isTrue();
        answered(40, 100);
        assertThat(window.isFull()).isTrue();
        window.clear();
        assertThat(window.isFull()).isFalse();
    }

    @Test
    void itForgetsWhatWasBeforeItsOldestSnapshot() {
        answered(1_000, 100);
        answered(1_000, 100);
        answered(1_010, 100);
        assertThat(window.measured().samples()).isEqualTo(10);
        answered(1_015, 100);
        assertThat(window.measured().samples()).isEqualTo(15);
        answered(1_015, 100);
        assertThat(window.measured().samples()).isEqualTo(5);
        assertThat(window.measured().p99Micros()).isEqualTo(100);
        window.clear();
        assertThat(window.measured().samples()).isZero();
    }
}
