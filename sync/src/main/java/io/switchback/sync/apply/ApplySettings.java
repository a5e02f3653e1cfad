package io.switchback.sync.apply;

import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.LinkStart;
import io.switchback.sync.source.CopyLimits;
import java.util.Optional;

/**
 * What an apply link is to do.
 *
 * @param name         of the link, in messages, in the keys that it keeps at its target and in the names of its connections; the same after a restart
 * @param announcement what the name that it announces to its source is made of, beside its own ({@link io.switchback.sync.RelayLink#announcedName})
 * @param owner        who runs it: an older owner never opens a link that a newer one has had
 * @param source       one server, one that sentinels watch, or a shard of a cluster: of a cluster, each shard has a link
 * @param target       of any kind
 * @param slots        of a shard, all that it has: the link's are these slots' keys alone, and others fill the rest of its target. Empty where the source is no cluster's.
 * @param copy         how fast it may copy
 * @param keys         which of the source's keys it carries, and by which names its target has them
 */
public record ApplySettings(
        String name,
        String announcement,
        Token owner,
        FleetSpec source,
        FleetSpec target,
        LinkStart start,
        Optional<SlotSet> slots,
        CopyLimits copy,
        CarriedKeys.Way keys) {
    /** Of a link that carries all keys by their own names. */
    public ApplySettings(
            String name,
            String announcement,
            Token owner,
            FleetSpec source,
            FleetSpec target,
            LinkStart start,
            Optional<SlotSet> slots,
            CopyLimits copy) {
        this(name, announcement, owner, source, target, start, slots, copy, CarriedKeys.Way.ALL);
    }

    /** Of one that copies as fast as both sides can, too. */
    public ApplySettings(
            String name,
            String announcement,
            Token owner,
            FleetSpec source,
            FleetSpec target,
            LinkStart start,
            Optional<SlotSet> slots) {
        this(name, announcement, owner, source, target, start, slots, CopyLimits.NONE);
    }

    @Override
    public String toString() {
        return "ApplySettings[" + name + ", " + source.name() + " to " + target.name() + ", " + start + "]";
    }
}
