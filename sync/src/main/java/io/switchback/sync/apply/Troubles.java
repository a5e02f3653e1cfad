package io.switchback.sync.apply;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.jspecify.annotations.Nullable;

/**
 * What lanes have found wrong and the link has not yet put right. Any thread.
 *
 * <p>Invariant: from the moment that something is added until {@link #settled} nothing behind its place counts as applied.
 *
 * <p>Bounded by what lanes may have unanswered.
 */
final class Troubles {
    private final Queue<Trouble> waiting = new ArrayDeque<>();
    private @Nullable Place earliest;

    synchronized void add(Trouble trouble) {
        waiting.add(trouble);
        earliest = earliest == null ? trouble.from() : earliest.earlierOf(trouble.from());
    }

    /** All that wait, for whoever puts them right; they go on to hold back what counts as applied. */
    synchronized List<Trouble> take() {
        List<Trouble> taken = new ArrayList<>(waiting);
        waiting.clear();
        return taken;
    }

    /** What was taken is put right, and answered. */
    synchronized void settled() {
        earliest = waiting.stream().map(Trouble::from).reduce(Place::earlierOf).orElse(null);
    }

    synchronized boolean isEmpty() {
        return waiting.isEmpty();
    }

    synchronized Place earliest(Place otherwise) {
        return earliest == null ? otherwise : earliest.earlierOf(otherwise);
    }
}
