package io.switchback.testkit.load;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;

/**
 * What a client was told about the lists that it appends to: list {@code generation} holds the elements 0, 1, 2 and so on.
 *
 * <p>A list that has its full length is kept for a while and then deleted. Owned as {@link Registers} are.
 */
final class Lists {
    static final int LENGTH_MAX = 500;
    private static final int KEPT_MAX = 20;
    private static final int DELETED_KEPT_MAX = 1_000;
    private static final int RETIRED_MAX = 10_000;

    private final Deque<Expectation> full = new ArrayDeque<>();
    private final Deque<Integer> deleted = new ArrayDeque<>();
    private final List<Expectation> retired = new ArrayList<>();
    private int generation;
    private int length;
    private long forgotten;

    /** The list must hold 0 to {@code acknowledged - 1}, each once and in this order; element {@code acknowledged} may be there if {@code oneUnknown}. */
    record Expectation(int generation, int acknowledged, boolean oneUnknown) {}

    int generation() {
        return generation;
    }

    int length() {
        return length;
    }

    void acknowledge() {
        length++;
        if (length == LENGTH_MAX) {
            full.addLast(new Expectation(generation, length, false));
            next();
        }
    }

    /** Leaves the list as it is for the final check and goes on with another. */
    void retire(boolean oneUnknown) {
        if (retired.size() < RETIRED_MAX) {
            retired.add(new Expectation(generation, length, oneUnknown));
        } else {
            forgotten++;
        }
        next();
    }

    private void next() {
        generation++;
        length = 0;
    }

    /** Whether it is time to delete {@link #oldestFull}. */
    boolean tooMany() {
        return full.size() > KEPT_MAX;
    }

    int oldestFull() {
        return full.getFirst().generation();
    }

    /** Where it is not known whether the list was deleted, nothing can be said about it any more. */
    void deletedOldest(boolean acknowledged) {
        int gone = full.removeFirst().generation();
        if (acknowledged) {
            deleted.addLast(gone);
            if (deleted.size() > DELETED_KEPT_MAX) {
                deleted.removeFirst();
            }
        }
    }

    void forEach(Consumer<Expectation> visitor) {
        retired.forEach(visitor);
        full.forEach(visitor);
        visitor.accept(new Expectation(generation, length, false));
    }

    void forEachDeleted(Consumer<Integer> visitor) {
        deleted.forEach(visitor);
    }

    long forgotten() {
        return forgotten;
    }
}
