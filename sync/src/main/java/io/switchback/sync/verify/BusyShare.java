package io.switchback.sync.verify;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import java.time.Duration;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Leaves the servers to their clients alone for a share of the time: nobody asks them anything then. For several threads, each of which says when it begins and ends to ask.
 */
final class BusyShare {
    /** They are left alone after so long at the soonest: else the threads would wait for each other behind every page. */
    private static final long BUSY_NANOS_MIN = 40_000_000;

    private final double share;
    private final Environment environment;
    /** Held for reading by those that ask, for writing by the one that sleeps. Fair, so that he gets it. */
    private final ReentrantReadWriteLock asking = new ReentrantReadWriteLock(true);

    private volatile long busySinceNanos; // written while nobody asks

    /** {@code share}: above 0, in which they may be asked; 1: all of it. */
    BusyShare(double share, Environment environment) {
        this.share = share;
        this.environment = environment;
    }

    /** Nobody has asked up to now. */
    void start() {
        busySinceNanos = environment.nanoTime();
    }

    void begin() {
        asking.readLock().lock();
    }

    void end() {
        asking.readLock().unlock();
        if (share < 1 && busyNanos() >= BUSY_NANOS_MIN) {
            rest();
        }
    }

    private long busyNanos() {
        return environment.nanoTime() - busySinceNanos;
    }

    private void rest() {
        asking.writeLock().lock();
        try {
            long busy = busyNanos();
            if (busy >= BUSY_NANOS_MIN) { // else another one has rested for all meanwhile
                sleep(environment, Duration.ofNanos((long) (busy * (1 / share - 1))));
                start();
            }
        } finally {
            asking.writeLock().unlock();
        }
    }

    static void sleep(Environment environment, Duration duration) {
        try {
            environment.sleep(duration);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    "the verification was interrupted, nothing is known of the rest",
                    e);
        }
    }
}
