package io.switchback.sync.apply;

import java.util.List;
import java.util.Optional;

/**
 * What an apply link notes among its target's data, once at each primary, so that whoever goes on with it knows what is in the data.
 *
 * <p>Everything of the source's stream up to {@code applied} is in; nothing behind {@code untilAtMost} is; what lies between may be in, in part. It stands in
 * the same server's history as the data that it speaks of, before the first of what lies behind the former window and after the last of what it calls applied:
 * a replica that takes over has the checkpoint that fits what it has.
 *
 * @param sourceId    the source's replication id
 * @param untilAtMost the end of the window
 */
record Checkpoint(String sourceId, Place applied, long untilAtMost) {
    private static final String VERSION = "1";
    private static final int WORDS = 5;
    private static final String COPYING = VERSION + " copying";

    /** The words for a target that is being filled from a snapshot: what it holds is no state that the source ever had. */
    static String copying() {
        return COPYING;
    }

    static boolean isCopying(String text) {
        return text.equals(COPYING);
    }

    String text() {
        return String.join(
                " ",
                VERSION,
                sourceId,
                Long.toString(applied.offset()),
                Integer.toString(applied.database()),
                Long.toString(untilAtMost));
    }

    /** What {@link #text} has made; empty for anything else. */
    static Optional<Checkpoint> of(String text) {
        String[] words = text.split(" ", -1);
        if (words.length != WORDS || !words[0].equals(VERSION)) {
            return Optional.empty();
        }
        try {
            Place applied = new Place(Long.parseLong(words[2]), Integer.parseInt(words[3]));
            return Optional.of(new Checkpoint(words[1], applied, Long.parseLong(words[4])));
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    /** What is true of a target whose primaries say this: applied up to the least of them, and touched up to the furthest. */
    static Optional<Checkpoint> together(List<Checkpoint> all) {
        return all.stream()
                .reduce((one, other) -> new Checkpoint(
                        one.sourceId,
                        one.applied.earlierOf(other.applied),
                        Math.max(one.untilAtMost, other.untilAtMost)));
    }
}
