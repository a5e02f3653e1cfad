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
    private final Expiry[] expiries;
    private final List<Expectation> retired = new ArrayList<>();
    private long forgotten;

    Registers(RegisterKind kind, int slots) {
        this.kind = kind;
        generations = new int[slots];
        acknowledged = new long[slots];
        expiries = new Expiry[slots];
        Arrays.fill(acknowledged, NONE);
        Arrays.fill(expiries, Expiry.NEVER);
    }

    /**
     * When a value runs out, by the wall clock in milliseconds: its time to live after some moment between the question and the answer.
     */
    record Expiry(long fromMs, long untilMs) {
        static final Expiry NEVER = new Expiry(0, 0);

        /** How far a moment lies outside. */
        long distanceMs(long atMs) {
            return Math.max(0, Math.max(fromMs - atMs, atMs - untilMs));
        }
    }

    /**
     * What the server must say of one register.
     *
     * @param acknowledged the last write that was acknowledged, or NONE, or GONE
     * @param unknown a later write of which it is not known whether it was executed, or NONE
     * @param expiry of the acknowledged value
     */
    record Expectation(RegisterKind kind, int slot, int generation, long acknowledged, long unknown, Expiry expiry) {}

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

    void acknowledge(int slot, long sequence, Expiry expiry) {
        acknowledged[slot] = sequence;
        expiries[slot] = expiry;
    }

    /** The write got no answer, or an error: it may be executed now, later, or never. The register goes on under another name. */
    void unknown(int slot, long sequence) {
        if (retired.size() < RETIRED_MAX) {
            retired.add(new Expectation(kind, slot, generations[slot], acknowledged[slot], sequence, Expiry.NEVER));
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
                        new Expectation(kind, slot, generations[slot], acknowledged[slot], NONE, expiries[slot]));
            }
        }
    }

    /** Registers that were given up and not kept, since too many were. */
    long forgotten() {
        return forgotten;
    }
}
