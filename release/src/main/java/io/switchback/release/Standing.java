package io.switchback.release;

import io.switchback.release.ReleaseState.Status;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where one release stands: the durable state, and beside it what is only shown. Written by the release's own thread (warnings
 * also by what runs on its behalf), read by anybody.
 *
 * <p>Invariant: {@link #state} is never newer than what the ledger has; it is saved first and shown then.
 */
final class Standing {
    private static final Logger LOG = LoggerFactory.getLogger(Standing.class);
    private static final String SELF = "switchback";

    private final ReleaseStore store;
    private final List<String> warnings = new CopyOnWriteArrayList<>();
    private volatile ReleaseState state;
    private volatile String detail;
    private volatile double progress = -1;

    Standing(ReleaseStore store, ReleaseState state) {
        this.store = store;
        this.state = state;
        this.detail = state.reason();
    }

    ReleaseState state() {
        return state;
    }

    /** What the step does, or waits for. */
    String detail() {
        return detail;
    }

    /** Of the step, between 0 and 1; -1 where it cannot be told. */
    double progress() {
        return progress;
    }

    List<String> warnings() {
        return List.copyOf(warnings);
    }

    void save(ReleaseState next) {
        store.save(next);
        log(next);
        state = next;
        say(next.reason());
    }

    /** The release's last state; its caches are free for others from here on. */
    void end(ReleaseState last, List<String> caches) {
        store.end(last, caches);
        log(last);
        state = last;
        say(last.reason());
    }

    /** Who reads the log sees where the release goes. */
    private void log(ReleaseState next) {
        if (next.step() != state.step() || next.status() != state.status()) {
            LOG.info(
                    "release {}: {}, {}{}",
                    next.release(),
                    next.status().title(),
                    next.step().title(),
                    next.reason().isEmpty() ? "" : ": " + next.reason());
        }
    }

    /** Goes on to the next step. */
    void advance(Step next) {
        save(state.at(Status.RUNNING, next, ""));
        say(next.purpose());
        journal(next.title(), "begins", Map.of());
    }

    void say(String what) {
        say(what, -1);
    }

    void say(String what, double howFar) {
        detail = what;
        progress = howFar;
    }

    /** Warns once: what is found again at each look is not said again. */
    void warn(String what) {
        if (warnings.contains(what)) {
            return;
        }
        warnings.add(what);
        LOG.warn("release {}: {}", state.release(), what);
        journal(state.step().title(), "warning: " + what, Map.of());
    }

    void journal(String step, String what, Map<String, String> details) {
        store.journal(state.release(), SELF, step, what, details);
    }
}
