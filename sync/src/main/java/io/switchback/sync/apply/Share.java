package io.switchback.sync.apply;

import io.switchback.fleet.SlotSet;
import io.switchback.sync.CarriedKeys;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Which part of its target's data is a link's own: all of it, or what becomes there of the keys that are carried, and of those, where its source is a shard, of the keys of the shard's slots.
 *
 * <p>A name at the target has one name at the source at most ({@link CarriedKeys}), and that has one slot: so each key of the target is of one link, or of none, also where it has another slot by its
 * other name. Slots are always those of the source's names.
 *
 * @param slots empty for all
 */
record Share(Optional<SlotSet> slots, CarriedKeys.Way keys) {
    /** Whether the target holds nothing else: then it can be emptied at one stroke. */
    boolean isWhole() {
        return slots.isEmpty() && hasAllKeys();
    }

    /** Whether all of the source's keys are carried, by their own names. */
    boolean hasAllKeys() {
        return keys.keys().isAll();
    }

    /** Whether a key of that slot, by the source's name of it, can be in the source. */
    boolean hasSlotOf(Key atSource) {
        return slots.isEmpty() || slots.get().contains(atSource.slot());
    }

    boolean hasDatabase(int database) {
        return keys.keys().hasDatabase(database);
    }

    /** Whether a key of the source is carried. */
    boolean carries(Key atSource) {
        return target(atSource) != null;
    }

    /** What a key of the source is at the target; null where it is not carried. */
    @Nullable
    Key target(Key atSource) {
        if (hasAllKeys()) {
            return atSource.isReserved() ? null : atSource;
        }
        byte @Nullable [] name = keys.target(atSource.database(), atSource.name());
        return name == null ? null : new Key(atSource.database(), name);
    }

    /** What a key of the target is at the source; null where it is none of the link's. */
    @Nullable
    Key source(Key atTarget) {
        byte @Nullable [] name = keys.source(atTarget.database(), atTarget.name());
        if (name == null) {
            return null;
        }
        Key atSource = new Key(atTarget.database(), name);
        boolean ofShard = slots.isEmpty() || (atSource.database() == 0 && hasSlotOf(atSource));
        return ofShard ? atSource : null;
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
