package io.switchback.testkit;

import java.time.Duration;
import java.util.function.BooleanSupplier;

/** Bounded waiting by polling, instead of sleeping for a time that is hoped to be enough. */
public final class Await {
    private static final long POLL_MS = 2;

    private Await() {}

    /** Returns as soon as the condition holds; an {@link AssertionError} that names {@code what} once the limit has passed. */
    public static void until(Duration limit, String what, BooleanSupplier condition) {
        long giveUpAt = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - giveUpAt > 0) {
                throw new AssertionError("Not within " + limit.toMillis() + " ms: " + what);
            }
            try {
                Thread.sleep(POLL_MS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("Interrupted while waiting for " + what, e);
            }
        }
    }
}
