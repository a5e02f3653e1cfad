package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.ArrayDeque;

/** Answered runs of one loop, to be used again, so that a command that is passed on makes no garbage. Owned by its event loop. */
final class Runs {
    /** As many as are in flight at a time, on a busy loop. */
    private static final int KEPT_MAX = 1024;

    private final ArrayDeque<Run> answered = new ArrayDeque<>();

    /** Plain commands of a client. */
    Run plain(ClientSession session, ByteBuf commands, int count, long nowNanos, boolean writes) {
        Run known = answered.poll();
        return known == null
                ? new Run(session, commands, count, session, nowNanos, 1, writes)
                : known.again(session, commands, count, nowNanos, writes);
    }

    /** It was answered and released, and nobody has it any more. */
    void giveBack(Run run) {
        if (answered.size() < KEPT_MAX) {
            answered.push(run);
        }
    }
}
