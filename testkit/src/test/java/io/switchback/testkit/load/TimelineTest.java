package io.switchback.testkit.load;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class TimelineTest {
    private static final long MS = 1_000_000;
    private final Timeline timeline = new Timeline(0);

    @Test
    void aPauseIsTheWaitForAnAnswerAndNotTheTimeInWhichNothingWasAsked() {
        operation(100, 101);
        operation(5_000, 5_003);
        assertThat(window(0, 10_000).longestPauseMicros()).isEqualTo(3_000);
        assertThat(window(0, 10_000).answers()).isEqualTo(2);
    }

    @Test
    void aPauseGoesOnOverFailedAttemptsUntilTheNextAnswer() {
        timeline.asked(100 * MS);
        timeline.failed(150 * MS);
        operation(160, 200);
        assertThat(window(0, 1_000).longestPauseMicros()).isEqualTo(100_000);
        assertThat(window(0, 1_000).errors()).isEqualTo(1);
        assertThat(timeline.snapshot(0).latencyMicros().getMaxValue()).isBetween(40_000L, 40_100L);
    }

    @Test
    void aPauseThatBeganInTheWindowCountsThoughItEndedLater() {
        operation(100, 900);
        assertThat(window(150, 200).longestPauseMicros()).isEqualTo(800_000);
        assertThat(window(0, 50).longestPauseMicros()).isZero();
        assertThat(window(950, 990).longestPauseMicros()).isZero();
    }

    @Test
    void aPauseThatIsNotOverYetCounts() {
        timeline.asked(100 * MS);
        assertThat(timeline.window(new TimeWindow(0, 200 * MS), 700 * MS).longestPauseMicros())
                .isEqualTo(600_000);
    }

    @Test
    void outsideTheWindowsTheNextLongestPauseIsTheLongest() {
        operation(100, 150);
        operation(500, 530);
        operation(900, 901);
        TimeWindow first = new TimeWindow(90 * MS, 160 * MS);
        TimeWindow second = new TimeWindow(520 * MS, 540 * MS);
        assertThat(timeline.pauseMicrosOutside(List.of(), 1_000 * MS)).isEqualTo(50_000);
        assertThat(timeline.pauseMicrosOutside(List.of(first), 1_000 * MS)).isEqualTo(30_000);
        assertThat(timeline.pauseMicrosOutside(List.of(first, second), 1_000 * MS))
                .isEqualTo(1_000);
    }

    @Test
    void whatIsOlderThanTheWindowsThatAreKeptIsNotMistakenForNew() {
        operation(100, 150);
        long later = Timeline.WINDOW_NANOS / MS;
        operation(later + 149, later + 150);
        assertThat(window(0, 1_000).answers()).isZero();
        assertThat(window(later, later + 1_000).longestPauseMicros()).isEqualTo(1_000);
        assertThat(timeline.snapshot(0).answers()).isEqualTo(2);
    }

    @Test
    void theDifferenceOfTwoSnapshotsIsWhatHappenedInBetween() {
        operation(100, 110);
        LoadSnapshot before = timeline.snapshot(0);
        operation(200, 202);
        operation(300, 304);
        LoadSnapshot between = timeline.snapshot(0).since(before);
        assertThat(between.answers()).isEqualTo(2);
        assertThat(between.art().toMillis()).isEqualTo(3);
        assertThat(between.percentile(100).toMillis()).isEqualTo(4);
    }

    private void operation(long askedMs, long answeredMs) {
        timeline.asked(askedMs * MS);
        timeline.answered(askedMs * MS, answeredMs * MS);
    }

    private LoadWindow window(long fromMs, long toMs) {
        return timeline.window(new TimeWindow(fromMs * MS, toMs * MS), toMs * MS + 1_000 * MS);
    }
}
