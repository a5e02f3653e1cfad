package io.switchback.ledger;

import java.time.Instant;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One line of a release's journal.
 *
 * @param seq its number, from 1 in each release; 0 before the journal has given it one
 * @param at when
 * @param who the person or node
 * @param step of the release
 * @param what happened, in words
 * @param details figures and names to go with it, in this order
 */
public record JournalEntry(long seq, Instant at, String who, String step, String what, Map<String, String> details) {
    public JournalEntry {
        details = Collections.unmodifiableMap(new LinkedHashMap<>(details));
    }

    /** An entry to append. */
    public static JournalEntry of(Instant at, String who, String step, String what, Map<String, String> details) {
        return new JournalEntry(0, at, who, step, what, details);
    }
}
