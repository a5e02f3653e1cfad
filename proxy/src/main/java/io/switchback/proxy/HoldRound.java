package io.switchback.proxy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * One attempt to hold on all loops. Any thread; each loop reports once, and exactly one end is reached: all were quiet, or
 * it was given up.
 */
final class HoldRound {
    private enum End {
        HELD,
        GIVEN_UP
    }

    final CompletableFuture<HoldOutcome> outcome = new CompletableFuture<>();
    final long begunAtNanos;

    private final AtomicReference<@Nullable End> end = new AtomicReference<>();
    private final AtomicInteger loopsBusy;
    private final Runnable held;

    HoldRound(int loops, long begunAtNanos, Runnable held) {
        this.loopsBusy = new AtomicInteger(loops);
        this.begunAtNanos = begunAtNanos;
        this.held = held;
    }

    /** A loop sends nothing and has everything answered. */
    void loopIsQuiet() {
        if (loopsBusy.decrementAndGet() == 0 && end.compareAndSet(null, End.HELD)) {
            held.run();
        }
    }

    /** True for the one caller that ends the round without success; it must undo the hold on every loop. */
    boolean giveUp() {
        return end.compareAndSet(null, End.GIVEN_UP);
    }

    /** Lets every loop go on {@code route}, and then completes the outcome with what {@code why} and the loops say. */
    void undo(List<ProxyLoop> loops, BackendRoute route, String why, Runnable undone) {
        List<String> reasons = new ArrayList<>();
        AtomicInteger left = new AtomicInteger(loops.size());
        for (ProxyLoop loop : loops) {
            loop.execute(() -> {
                String reason = loop.unanswered();
                loop.letGo(route);
                synchronized (reasons) {
                    if (reason != null) {
                        reasons.add(reason);
                    }
                }
                if (left.decrementAndGet() == 0) {
                    undone.run();
                    outcome.complete(new HoldOutcome.Failed(why + said(reasons)));
                }
            });
        }
    }

    private static String said(List<String> reasons) {
        synchronized (reasons) {
            return reasons.isEmpty() ? "" : ": " + String.join("; ", reasons);
        }
    }
}
