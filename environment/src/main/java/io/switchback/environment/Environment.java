package io.switchback.environment;

import java.time.Duration;
import java.time.Instant;

/**
 * What a process takes from outside and a simulation must be able to own: time, waiting, randomness.
 *
 * <p>Nothing else in Switchback reads a clock, sleeps or draws a random number; the module {@code architecture} checks it.
 * Every method may be called from any thread.
 */
public interface Environment {

    /** The monotonic clock in nanoseconds, for durations and deadlines; its zero means nothing. */
    long nanoTime();

    /** The wall clock, for what a person reads and for absolute times in the servers' protocol. */
    Instant now();

    /** Waits. Interrupting the waiting thread ends the wait. */
    void sleep(Duration duration) throws InterruptedException;

    /** Bytes from a cryptographically strong source, for ids and secrets. */
    byte[] randomBytes(int count);

    /** The machine's own. */
    static Environment system() {
        return SystemEnvironment.INSTANCE;
    }
}
