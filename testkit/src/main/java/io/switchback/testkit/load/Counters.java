package io.switchback.testkit.load;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** What a client was told about the counters that it increments. Owned as {@link Registers} are. */
final class Counters {
    private static final int RETIRED_MAX = 100_000;

    private final int[] generations;
    private final long[] acknowledged;
    private final List<Expectation> retired = new ArrayList<>();
    private long forgotten;

    Counters(int slots) {
        generations = new int[slots];
        acknowledged = new long[slots];
    }

    /** The counter must stand at {@code acknowledged} at least, and at {@code acknowledged + unknown} at most. */
    record Expectation(int slot, int generation, long acknowledged, long unknown) {}

    int slots() {
        return generations.length;
    }

    int generation(int slot) {
        return generations[slot];
    }

    long acknowledged(int slot) {
        return acknowledged[slot];
    }

    void acknowledge(int slot) {
        acknowledged[slot]++;
    }

    /** Leaves the counter as it is for the final check and goes on with another; {@code unknown} increments may still come. */
    void retire(int slot, long unknown) {
        if (retired.size() < RETIRED_MAX) {
            retired.add(new Expectation(slot, generations[slot], acknowledged[slot], unknown));
        } else {
            forgotten++;
        }
        generations[slot]++;
        acknowledged[slot] = 0;
    }

    void forEach(Consumer<Expectation> visitor) {
        retired.forEach(visitor);
        for (int slot = 0; slot < acknowledged.length; slot++) {
            visitor.accept(new Expectation(slot, generations[slot], acknowledged[slot], 0));
        }
    }

    long forgotten() {
        return forgotten;
    }
}
