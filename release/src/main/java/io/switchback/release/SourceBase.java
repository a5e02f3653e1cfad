package io.switchback.release;

import io.switchback.fleet.SlotSet;
import io.switchback.sync.LinkBase;
import java.util.Optional;

/**
 * Where the link of one shard of the fleet in use begins.
 *
 * @param noted whether the link is known to have left its mark at its target: then one without it has lost its data
 * @param slots of the shard, as {@link SlotSet} writes them; {@link #ALL} where the fleet is no cluster
 */
public record SourceBase(String slots, LinkBase base, boolean noted) {
    /** The fleet has one primary, and it all. */
    static final String ALL = "";

    /** Of a fleet that has one primary. */
    static SourceBase whole(LinkBase base) {
        return new SourceBase(ALL, base, false);
    }

    /** The slots of a shard; empty where the fleet is no cluster. */
    static Optional<SlotSet> parse(String slots) {
        return slots.equals(ALL) ? Optional.empty() : Optional.of(SlotSet.parse(slots));
    }
}
