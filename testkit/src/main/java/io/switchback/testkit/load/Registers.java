package io.switchback.testkit.load;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;

/**
 * What a client was told about the values of one kind that it writes over and over: the last acknowledged write of each.
 *
 * <p>Owned by the client's thread; read by others only after that thread has ended. Invariant: on the generation in use, every
 * write so far was acknowledged, so exactly one value is right.
 */
final class Registers {
    /** Nothing was written, or nil was read. */
    static final long NONE = -1;

    /** Deleted. */
    static final long GONE = -2;

    /** A value that this client never wrote. */
    static final long FOREIGN = -3;

    private static final int RETIRED_MAX = 100_000;

    private final RegisterKind kind;
    private final int[] generations;
    private final long[] acknowledged;
    private final long[] expiresAtMs;
    private final List<Expectation> retired = new ArrayList<>();
    private long forgotten;

    Registers(RegisterKind kind, int slots) {
        this.kind = kind;
        generations = new int[slots];
        acknowledged = new long[slots];
        expiresAtMs = new long[slots];
        Arrays.fill(acknowledged, NONE);
    }

    /**
     * What the server must say of one register.
     *
     * @param acknowledged the last write that was acknowledged, or NONE, or GONE
     * @param unknown a later write of which it is not known whether it was executed, or NONE
     * @param expiresAtMs wall clock, 0 where it does not expire
     */
    record Expectation(
            RegisterKind kind, int slot, int generation, long acknowledged, long unknown, long expiresAtMs) {}

    RegisterKind kind() {
        return kind;
    }

    int slots() {
        return generations.length;
    }

    int generation(int slot) {
        return generations[slot];
    }

    long acknowledged(int slot) {
        return acknowledged[slot];
    }

    void acknowledge(int slot, long sequence) {
        acknowledged[slot] = sequence;
    }

    void acknowledge(int slot, long sequence, long expiresAt) {
        acknowledged[slot] = sequence;
        expiresAtMs[slot] = expiresAt;
    }

    /** The write got no answer, or an error: it may be executed now, later, or never. The register goes on under another name. */
    void unknown(int slot, long sequence) {
        if (retired.size() < RETIRED_MAX) {
            retired.add(new Expectation(kind, slot, generations[slot], acknowledged[slot], sequence, 0));
        } else {
            forgotten++;
        }
        generations[slot]++;
        acknowledged[slot] = NONE;
    }

    void forEach(Consumer<Expectation> visitor) {
        retired.forEach(visitor);
        for (int slot = 0; slot < acknowledged.length; slot++) {
            if (acknowledged[slot] != NONE) {
                visitor.accept(
                        new Expectation(kind, slot, generations[slot], acknowledged[slot], NONE, expiresAtMs[slot]));
            }
        }
    }

    /** Registers that were given up and not kept, since too many were. */
    long forgotten() {
        return forgotten;
    }
}
