package io.switchback.release;

import io.switchback.release.ReleaseState.Baseline;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Decides whether measurements hold the gates of a release. Pure.
 *
 * <p>A gate that has too few samples neither holds nor is breached: a quiet minute is no proof of anything.
 */
public final class GateJudge {
    private GateJudge() {}

    /** What one gate says of one window. */
    public record Judgement(String gate, Outcome outcome, String text) {}

    /** How a gate was met. */
    public enum Outcome {
        HOLDS,
        BREACHED,
        TOO_FEW_SAMPLES
    }

    /**
     * Judges every gate that the release has.
     *
     * @param baseline how the old fleet answered; without it the ratio gates have too few samples
     * @param now how the new fleet answered in the last window
     * @param lagMillis how far the old fleet is behind; empty while the way back is not streaming
     */
    public static List<Judgement> judge(
            Gates gates, @Nullable Baseline baseline, Baseline now, OptionalLong lagMillis) {
        List<Judgement> judgements = new ArrayList<>();
        boolean enough = now.samples() >= gates.samplesMin();
        Baseline before = enough && baseline != null && baseline.samples() >= gates.samplesMin() ? baseline : null;
        gates.artRatioMax()
                .ifPresent(max ->
                        judgements.add(ratio("art", before == null ? 0 : before.artMicros(), now.artMicros(), max)));
        gates.p99RatioMax()
                .ifPresent(max -> judgements.add(
                        ratio("p99", before == null ? 0 : (double) before.p99Micros(), (double) now.p99Micros(), max)));
        gates.errorRateMax()
                .ifPresent(max -> judgements.add(new Judgement(
                        "errors",
                        !enough ? Outcome.TOO_FEW_SAMPLES : now.errorRate() > max ? Outcome.BREACHED : Outcome.HOLDS,
                        String.format(
                                Locale.ROOT,
                                "%.3f %% of %d requests failed; at most %.3f %% may",
                                now.errorRate() * 100,
                                now.samples(),
                                max * 100))));
        if (lagMillis.isPresent()) {
            long lag = lagMillis.getAsLong();
            long max = gates.lagMax().toMillis();
            judgements.add(new Judgement(
                    "lag",
                    lag > max ? Outcome.BREACHED : Outcome.HOLDS,
                    "the other fleet is " + lag + " ms behind; at most " + max + " ms"));
        }
        return judgements;
    }

    private static Judgement ratio(String gate, double before, double now, double max) {
        if (before <= 0) {
            return new Judgement(gate, Outcome.TOO_FEW_SAMPLES, "there is nothing to compare yet");
        }
        double ratio = now / before;
        return new Judgement(
                gate,
                ratio > max ? Outcome.BREACHED : Outcome.HOLDS,
                String.format(
                        Locale.ROOT,
                        "%.0f us on the new fleet, %.0f us on the old: %.2f times; at most %.2f",
                        now,
                        before,
                        ratio,
                        max));
    }
}
