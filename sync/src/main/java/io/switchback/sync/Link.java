package io.switchback.sync;

import io.switchback.environment.Deadline;

/** What carries one fleet's writes to another, whatever way it does so. Any thread may call it. */
public interface Link extends AutoCloseable {
    /** By which it is known, in messages and to the servers. */
    String name();

    /** Where it stands. */
    LinkStatus status();

    /** Waits until the target has applied the source's stream up to {@code sourceOffset}; true once it has. */
    boolean awaitApplied(long sourceOffset, Deadline deadline);

    /** Whether the source is told at once what has been applied, instead of once a second. */
    void confirmPromptly(boolean promptly);

    /**
     * From a true on nothing of this link reaches the target but what was sent before; nothing goes on after it but {@link #close}. False where that cannot be said
     * within the deadline.
     */
    boolean freeze(Deadline deadline);

    /** Whether nothing passes any more. */
    boolean isFrozen();

    /** Ends it: what was still under way has either been applied by then or never will be, as far as the servers answer. */
    @Override
    void close();
}
