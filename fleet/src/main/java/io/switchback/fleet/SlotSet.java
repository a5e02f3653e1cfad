package io.switchback.fleet;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/** Some of a cluster's slots. Immutable; its text form is that of CLUSTER NODES with commas: {@code 0-5460,6000}. */
public final class SlotSet {
    private final BitSet slots;

    SlotSet(BitSet slots) {
        this.slots = (BitSet) slots.clone();
    }

    /** Those that {@link #toString} has named; an {@link IllegalArgumentException} for anything else. */
    public static SlotSet parse(String text) {
        BitSet slots = new BitSet(Topology.SLOTS);
        for (String range : text.split(",", -1)) {
            if (!range.matches("[0-9]{1,5}(-[0-9]{1,5})?")) {
                throw new IllegalArgumentException("no range of slots: \"" + range + "\"");
            }
            String[] ends = range.split("-", -1);
            int first = Integer.parseInt(ends[0]);
            int last = Integer.parseInt(ends[ends.length - 1]);
            if (first > last || last >= Topology.SLOTS) {
                throw new IllegalArgumentException("no range of slots: \"" + range + "\"");
            }
            slots.set(first, last + 1);
        }
        return new SlotSet(slots);
    }

    /** Whether the slot is one of these. */
    public boolean contains(int slot) {
        return slots.get(slot);
    }

    /** The least one; -1 where there is none. */
    public int first() {
        return slots.nextSetBit(0);
    }

    /** Those from {@code from} on, in order; to be walked by {@code next(slot + 1)} until it is -1. */
    public int next(int from) {
        return slots.nextSetBit(from);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SlotSet set && slots.equals(set.slots);
    }

    @Override
    public int hashCode() {
        return slots.hashCode();
    }

    @Override
    public String toString() {
        List<String> ranges = new ArrayList<>();
        for (int first = slots.nextSetBit(0); first >= 0; ) {
            int last = slots.nextClearBit(first) - 1;
            ranges.add(first == last ? Integer.toString(first) : first + "-" + last);
            first = slots.nextSetBit(last + 1);
        }
        return String.join(",", ranges);
    }
}
