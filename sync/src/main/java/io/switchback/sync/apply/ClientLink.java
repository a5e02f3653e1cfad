package io.switchback.sync.apply;

import io.switchback.environment.Deadline;
import io.switchback.fleet.Token;
import io.switchback.sync.Link;
import java.util.Optional;

/** A link that writes to its target as a client of it, and that a note at its source ends ({@link ApplyLink#leave}). Any thread may call it. */
public sealed interface ClientLink extends Link permits ApplyLink, ScanLink {
    /** By whose note at its source it has ended; empty where it has not. */
    Optional<Token> endedBy();

    /**
     * Waits until the target has everything that stands before this owner's note at the source; true once it has. Whether the link has ended by that note and not by another's, {@link #endedBy} says.
     *
     * @param end what {@link ApplyLink#leave} has said
     */
    boolean awaitEnd(Token by, long end, Deadline deadline);
}
