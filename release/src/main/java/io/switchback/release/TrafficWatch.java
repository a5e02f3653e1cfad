package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.release.GateJudge.Judgement;
import io.switchback.release.ReleaseState.Baseline;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.LinkStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;

/** How the fleets in use answered lately, sampled once a second, and what the gates say to it. Thread-safe. */
final class TrafficWatch {
    static final Duration SAMPLE = Duration.ofSeconds(1);
    /** How many samples make a window: it covers one second less than that. */
    static final int WINDOW_SAMPLES = 6;

    private final List<MovingCache> caches;
    private final Environment environment;
    private final Map<String, TrafficWindow> windows = new LinkedHashMap<>();
    private long sampledNanos;

    TrafficWatch(List<MovingCache> caches, Environment environment) {
        this.caches = caches;
        this.environment = environment;
        this.sampledNanos = environment.nanoTime() - SAMPLE.toNanos();
        caches.forEach(cache -> windows.put(cache.name(), new TrafficWindow(WINDOW_SAMPLES)));
    }

    /** Takes a sample, where the last one is a second old. */
    synchronized void sample(Side inUse) {
        long now = environment.nanoTime();
        if (now - sampledNanos < SAMPLE.toNanos() * 9 / 10) {
            return;
        }
        sampledNanos = now;
        for (MovingCache cache : caches) {
            window(cache).add(cache.proxy().traffic().of(cache.fleet(inUse).name()));
        }
    }

    /** Forgets the past: another fleet is in use. */
    synchronized void clear() {
        windows.values().forEach(TrafficWindow::clear);
    }

    synchronized Baseline lately(MovingCache cache) {
        return window(cache).measured();
    }

    synchronized Map<String, Baseline> lately() {
        Map<String, Baseline> measured = new LinkedHashMap<>();
        caches.forEach(cache -> measured.put(cache.name(), lately(cache)));
        return measured;
    }

    /** Whether every window covers all the time that it can. */
    synchronized boolean isFull() {
        return windows.values().stream().allMatch(TrafficWindow::isFull);
    }

    private synchronized boolean isFull(MovingCache cache) {
        return window(cache).isFull();
    }

    /**
     * What every gate says of the last window. Ratios are judged once the window is full: a fleet's first seconds, with cold
     * caches everywhere, say little. Errors are judged at once.
     */
    List<Judgement> judge(Gates gates, Map<String, Baseline> baselines) {
        List<Judgement> found = new ArrayList<>();
        for (MovingCache cache : caches) {
            OptionalLong lag = cache.linkStatus()
                    .filter(link -> link.phase() == LinkStatus.Phase.STREAMING)
                    .map(link -> OptionalLong.of(link.lagMillis()))
                    .orElse(OptionalLong.empty());
            Baseline before = isFull(cache) ? baselines.get(cache.name()) : null;
            found.addAll(GateJudge.judge(gates, before, lately(cache), lag));
        }
        return found;
    }

    private TrafficWindow window(MovingCache cache) {
        return Objects.requireNonNull(windows.get(cache.name()));
    }
}
