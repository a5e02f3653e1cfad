package io.switchback.fleet.dialect;

import java.util.List;

/** What becomes of one command of a stream on its way to another server. */
public sealed interface Translation {

    /** The target knows it as it stands. */
    record Unchanged() implements Translation {
        static final Unchanged INSTANCE = new Unchanged();
    }

    /**
     * These go out in its place, to the same effect. None: it has no effect on data. Several of them already come with
     * MULTI and EXEC around them where the command did not stand in a transaction; the caller adds none.
     */
    record Rewritten(List<byte[][]> commands) implements Translation {
        public Rewritten {
            commands = List.copyOf(commands);
        }
    }

    /** The target can have no command to this effect: the way back is closed. {@code why} names command, argument and target. */
    record Impossible(String why) implements Translation {}
}
