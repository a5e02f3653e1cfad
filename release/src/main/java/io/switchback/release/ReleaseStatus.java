package io.switchback.release;

import io.switchback.proxy.ProtectionState;
import io.switchback.release.GateJudge.Judgement;
import io.switchback.release.ReleaseState.Baseline;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A release at one moment, for people and programs. Immutable.
 *
 * @param progress of the step, between 0 and 1; -1 where it cannot be told
 * @param detail what the step does or waits for
 */
public record ReleaseStatus(
        String release,
        ReleaseState.Status status,
        Step step,
        ReleaseState.Side side,
        double progress,
        String detail,
        List<CacheStatus> caches,
        List<Judgement> gates,
        List<SwitchStatus> switches,
        List<String> warnings) {

    /**
     * One cache of the release.
     *
     * @param link what the links do; "none" while there are none
     * @param choice the kind of the links; absent until the check has chosen
     * @param wayBack none before the cutover; then opening, open, closed or copying
     * @param wayBackDetail why it is closed, and what a rollback would cost; or how far the copy is
     * @param protection whether a write that the leading node acknowledges is on both fleets
     * @param before how the old fleet answered before the cutover
     * @param now how the fleet in use answers
     */
    public record CacheStatus(
            String cache,
            String from,
            String to,
            String inUse,
            String link,
            @Nullable LinkChoice choice,
            long lagBytes,
            long lagMillis,
            WayBack wayBack,
            String wayBackDetail,
            ProtectionState protection,
            @Nullable Baseline before,
            Baseline now,
            @Nullable String backup) {}

    /** Whether the old fleet can take over again without loss. */
    public enum WayBack {
        NOT_NEEDED,
        OPENING,
        OPEN,
        /** It cannot, as it stands. */
        CLOSED,
        /** It was closed, and the old fleet is filled again: until that is done it is not whole. */
        COPYING
    }

    /**
     * One switch that was tried.
     *
     * @param at when clients began to be held, in UTC (ISO 8601)
     * @param heldMillis for how long they were
     */
    public record SwitchStatus(
            String id,
            String at,
            ReleaseState.Side to,
            String verdict,
            String reason,
            double heldMillis,
            Map<String, Double> tookMillis) {}
}
