package io.switchback.testkit.load;

import org.jspecify.annotations.Nullable;

/**
 * The keys and values of one client: nobody else writes the keys, and no value is written twice.
 *
 * <p>A name carries a generation: where it is not known whether a write was executed, the client goes on with the next
 * generation, because a write that is still on its way could otherwise overtake a later one.
 */
record Names(String run, int client, int valueBytes) {
    private static final int MEMBERS_PER_KEY = 100;

    String string(int slot, int generation) {
        return prefix() + "string:" + slot + "." + generation;
    }

    String expiring(int slot, int generation) {
        return prefix() + "expiring:" + slot + "." + generation;
    }

    /** The braces keep both of a pair in one slot of a cluster. */
    String pairFirst(int slot, int generation) {
        return prefix() + "pair:{" + client + "." + slot + "." + generation + "}:first";
    }

    String pairSecond(int slot, int generation) {
        return prefix() + "pair:{" + client + "." + slot + "." + generation + "}:second";
    }

    String hash(int slot) {
        return prefix() + "hash:" + slot / MEMBERS_PER_KEY;
    }

    String sortedSet(int slot) {
        return prefix() + "zset:" + slot / MEMBERS_PER_KEY;
    }

    /** A field of {@link #hash} or a member of {@link #sortedSet}. */
    String member(int slot, int generation) {
        return slot + "." + generation;
    }

    String counter(int slot, int generation) {
        return prefix() + "counter:" + slot + "." + generation;
    }

    String list(int generation) {
        return prefix() + "list:" + generation;
    }

    private String prefix() {
        return run + ":" + client + ":";
    }

    /** The value of a write, by its number. */
    String value(long sequence) {
        String head = client + "." + sequence + ".";
        return head + "v".repeat(valueBytes - head.length());
    }

    /** The number of the write that left this value; {@link Registers#NONE} for nil, {@link Registers#FOREIGN} for what this client never wrote. */
    long sequenceOf(@Nullable String value) {
        if (value == null) {
            return Registers.NONE;
        }
        int first = value.indexOf('.');
        int second = value.indexOf('.', first + 1);
        if (first < 0 || second < 0) {
            return Registers.FOREIGN;
        }
        try {
            long sequence = Long.parseLong(value.substring(first + 1, second));
            return value.equals(value(sequence)) ? sequence : Registers.FOREIGN;
        } catch (NumberFormatException e) {
            return Registers.FOREIGN;
        }
    }
}
