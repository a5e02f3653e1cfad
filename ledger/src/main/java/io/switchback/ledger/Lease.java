package io.switchback.ledger;

/**
 * That this process is visible to all under a name ({@link Ledger#announce}), and for how long it may count on that. Any thread.
 *
 * <p>A lease that was lost with its session comes back by itself once the ledger is connected again, unless it is superseded or
 * closed. Whoever acts for the name looks at {@link #held} first, and again after everything that may have taken long.
 */
public interface Lease extends AutoCloseable {
    /** Whether, by this process' clock, the ledger certainly still shows this process under the name to all. */
    boolean held();

    /**
     * Until when {@link #held} stays true if nothing is heard any more: on the environment's monotonic clock, to be compared by
     * subtraction; {@link Long#MAX_VALUE}, which is to be compared as it is, where that has no end. Has passed where it is not held.
     */
    long heldUntilNanos();

    /** Whether a newer process has taken the name; this lease never comes back then. */
    boolean superseded();

    /** Withdraws the announcement. Where the ledger is not to be reached, it is withdrawn later, or goes with the session. */
    @Override
    void close();
}
