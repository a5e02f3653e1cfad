package io.switchback.sync.apply;

import io.switchback.fleet.SlotSet;
import java.util.Optional;

/**
 * Which part of its target's data is a link's own: all of it, or the keys of the slots that its source, a shard, has.
 *
 * @param slots empty for all
 */
record Share(Optional<SlotSet> slots) {
    boolean isWhole() {
        return slots.isEmpty();
    }

    boolean has(Key key) {
        return slots.isEmpty() || slots.get().contains(key.slot());
    }

    /** Whether what is of no slot passes by this link: of a cluster's shards, by that of the one that has slot 0. */
    boolean hasWhatIsOfNoSlot() {
        return slots.isEmpty() || slots.get().contains(0);
    }

    /** The slot by which the source's own notes of the link are tagged. */
    int sourceSlot() {
        return slots.map(SlotSet::first).orElse(LinkKeys.NO_SLOT);
    }
}
