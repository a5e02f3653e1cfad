package io.switchback.proxy;

import java.util.Map;

/** What went through the proxy since it was opened, by the name of the fleet that answered. */
public record Traffic(Map<String, FleetTraffic> fleets) {
    public Traffic {
        fleets = Map.copyOf(fleets);
    }

    /** What that fleet answered: nothing where it was never sent anything. */
    public FleetTraffic of(String fleet) {
        FleetTraffic known = fleets.get(fleet);
        return known == null ? TrafficRecorder.nothing() : known;
    }
}
