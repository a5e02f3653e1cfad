package io.switchback.sync;

import io.switchback.fleet.InfoReport;
import java.util.Optional;

/**
 * Whether a source still has its stream from some point on, by what INFO says: the servers' own rule (masterTryPartialResync).
 * Asked before PSYNC, because a PSYNC that cannot be continued makes the source fork for a snapshot that nobody wants.
 */
final class StreamPosition {
    private StreamPosition() {}

    /** Whether the server is loading its data and does not know its own history yet. */
    static boolean isLoading(InfoReport info) {
        return info.number("loading", 0) == 1 || info.number("async_loading", 0) == 1;
    }

    /** Why the source cannot go on from behind {@code offset} of history {@code id}; empty where it can. */
    static Optional<String> whyGone(InfoReport info, String id, long offset) {
        long firstByte = offset + 1;
        String current = info.text("master_replid");
        boolean earlier = id.equals(info.text("master_replid2")) && firstByte <= info.number("second_repl_offset");
        if (!id.equals(current) && !earlier) {
            return Optional.of("its history is " + current + " now, the link's is " + id
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
}
