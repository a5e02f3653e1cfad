package io.switchback.environment;

import java.time.Duration;

/** A point on the monotonic clock by which something must be done. */
public record Deadline(Environment environment, long atNanos) {

    /** The deadline that lies {@code limit} ahead. */
    public static Deadline in(Environment environment, Duration limit) {
        return new Deadline(environment, environment.nanoTime() + limit.toNanos());
    }

    /** What is left; zero once it has passed, never negative. */
    public Duration remaining() {
        return Duration.ofNanos(Math.max(0, atNanos - environment.nanoTime()));
    }

    /** Whether nothing is left. */
    public boolean passed() {
        return environment.nanoTime() - atNanos >= 0;
    }

    /** The earlier of this deadline and the one that lies {@code limit} ahead. */
    public Deadline orIn(Duration limit) {
        Deadline other = in(environment, limit);
        return other.atNanos - atNanos < 0 ? other : this;
    }
}
