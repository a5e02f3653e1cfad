package io.switchback.sync.source;

import io.switchback.fleet.InfoReport;
import java.util.Optional;

/**
 * Whether a source still has its stream from some point on, by what INFO says: the servers' own rule (masterTryPartialResync).
 * Asked before PSYNC, because a PSYNC that cannot be continued makes the source fork for a snapshot that nobody wants.
 */
public final class StreamPosition {
    private StreamPosition() {}

    /** Whether the server is loading its data and does not know its own history yet. */
    public static boolean isLoading(InfoReport info) {
        return info.number("loading", 0) == 1 || info.number("async_loading", 0) == 1;
    }

    /** Why the source cannot go on from behind {@code offset} of history {@code id}; empty where it can. */
    public static Optional<String> whyGone(InfoReport info, String id, long offset) {
        long firstByte = offset + 1;
        if (!isOfItsHistory(info, id, offset)) {
            return Optional.of("its history is " + info.text("master_replid") + " now, the link's is " + id
                    + "; was it restarted, or promoted more than once?");
        }
        long written = info.number("master_repl_offset");
        if (info.number("repl_backlog_active", 0) == 0) {
            return Optional.of("it keeps no backlog (repl-backlog-ttl); nothing was attached to it for a while");
        }
        long backlogFirst = info.number("repl_backlog_first_byte_offset");
        long backlogEnd = backlogFirst + info.number("repl_backlog_histlen");
        if (firstByte < backlogFirst) {
            return Optional.of("its backlog begins at " + backlogFirst
                    + ": more was written during the interruption than it holds (repl-backlog-size)");
        }
        if (firstByte > backlogEnd) {
            return Optional.of("it has written only up to " + written);
        }
        return Optional.empty();
    }

    /** Whether a source that cannot go on from there has another history, or less of this one: then its target may have what it has not. */
    public static boolean isSetBack(InfoReport info, String id, long offset) {
        return !isOfItsHistory(info, id, offset) || info.number("master_repl_offset") < offset;
    }

    /** That of now, or up to there the one before it. */
    private static boolean isOfItsHistory(InfoReport info, String id, long offset) {
        return id.equals(info.text("master_replid"))
                || (id.equals(info.text("master_replid2")) && offset + 1 <= info.number("second_repl_offset"));
    }

    /**
     * Why a target that was given history {@code id} up to {@code received} has more of it than the source, which was promoted since; empty where it has not.
     * To be asked beside {@link #whyGone}, which looks at where the source is asked to go on: that can be well before what was received.
     */
    public static Optional<String> whyAhead(InfoReport info, String id, long received) {
        boolean isCurrent = id.equals(info.text("master_replid"));
        long shared = info.number("second_repl_offset") - 1;
        return isCurrent || received <= shared
                ? Optional.empty()
                : Optional.of(
                        "another server has become its primary, which has the history of the former one up to " + shared
                                + ", and the link was sent it up to " + received
                                + ": the target may have what the source has not");
    }
}
