package io.switchback.release;

import io.switchback.fleet.FleetSpec;
import io.switchback.proxy.CacheProxy;
import java.util.Map;

/** A cache as this node serves it: its proxy, and the fleets that its file names. */
public record ManagedCache(String name, CacheProxy proxy, Map<String, FleetSpec> fleets) {

    /** The fleet of that name; a {@link ReleaseException} that lists the names there are, where it is none of them. */
    public FleetSpec fleet(String fleet) {
        FleetSpec spec = fleets.get(fleet);
        if (spec == null) {
            throw new ReleaseException(
                    ReleaseException.Code.UNKNOWN,
                    "cache \"" + name + "\" has no fleet \"" + fleet + "\"; the node's file names "
                            + String.join(", ", fleets.keySet()));
        }
        return spec;
    }
}
