package io.switchback.sync.apply;

import io.switchback.fleet.InfoReport;
import java.util.Optional;

/**
 * Which process a source is, and which history its data has. One that was started again without its data must not be taken for the same source, in which everything was deleted.
 *
 * @param runId   of the process
 * @param history its replication id
 * @param former  the id of the history that it came from when it was promoted last; "" where there is none, or it is not known
 */
record SourceIdentity(String runId, String history, String former) {
    private static final String MARK = "1 scan ";
    private static final int MARK_WORDS = 4;

    static SourceIdentity of(InfoReport info) {
        return new SourceIdentity(info.text("run_id"), info.text("master_replid"), info.text("master_replid2", ""));
    }

    /** One of which only the history is known. */
    static SourceIdentity ofHistory(String history) {
        return new SourceIdentity("", history, "");
    }

    /** Whether this one's data is what became of the other's: it is the same process, or has the same history, or was promoted in it. */
    boolean goesOnFrom(SourceIdentity earlier) {
        return runId.equals(earlier.runId) || history.equals(earlier.history) || former.equals(earlier.history);
    }

    /** As it is noted at a target that holds all that this source has. */
    String mark() {
        return MARK + runId + " " + history;
    }

    /** What {@link #mark} has made; empty for anything else. */
    static Optional<SourceIdentity> ofMark(String text) {
        String[] words = text.split(" ", -1);
        return text.startsWith(MARK) && words.length == MARK_WORDS
                ? Optional.of(new SourceIdentity(words[2], words[3], ""))
                : Optional.empty();
    }
}
