package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.proxy.FleetTraffic;
import io.switchback.release.ReleaseState.Baseline;
import java.util.List;
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

    private Baseline measured() {
        return TrafficWindow.measured(List.of(window));
    }

    @Test
    void theWindowsOfSeveralNodesAreOne() {
        TrafficWindow other = new TrafficWindow(3);
        Histogram latenciesOfOther = new Histogram(1_000_000, 3);
        other.add(new FleetTraffic(0, 0, 0, latenciesOfOther.copy()));
        latenciesOfOther.recordValueWithCount(5_000, 30);
        other.add(new FleetTraffic(30, 3, 30 * 5_000_000L, latenciesOfOther.copy()));
        answered(10, 100);
        answered(20, 100);
        Baseline both = TrafficWindow.measured(List.of(window, other));
        assertThat(both.samples()).isEqualTo(40);
        assertThat(both.artMicros()).isEqualTo((10 * 100 + 30 * 5_000) / 40.0);
        assertThat(both.p99Micros()).isBetween(4_990L, 5_010L);
        assertThat(both.errorRate()).isEqualTo(3 / 40.0);
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
        assertThat(measured().samples()).isEqualTo(10);
        answered(1_015, 100);
        assertThat(measured().samples()).isEqualTo(15);
        answered(1_015, 100);
        assertThat(measured().samples()).isEqualTo(5);
        assertThat(measured().p99Micros()).isEqualTo(100);
        window.clear();
        assertThat(measured().samples()).isZero();
    }
}
