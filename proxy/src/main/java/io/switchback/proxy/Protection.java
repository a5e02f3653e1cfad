package io.switchback.proxy;

import java.time.Duration;
import java.util.Set;

/**
 * How replies to writes are kept until the other fleet has the writes too.
 *
 * @param links what ROLE of the fleet in use calls the links to the other fleet: at each primary one of them
 * @param stall how long nothing may be confirmed before {@code onStall} holds
 */
public record Protection(Set<String> links, OnStall onStall, Duration stall) {
    /** Longer than a link takes to come again after a break, and shorter than clients wait for a reply. */
    public static final Duration STALL = Duration.ofSeconds(2);

    public Protection {
        links = Set.copyOf(links);
    }

    /** By one link: the fleet has one primary. */
    public Protection(String link, OnStall onStall, Duration stall) {
        this(Set.of(link), onStall, stall);
    }

    /** Whether it differs by nothing but the links. */
    boolean isLike(Protection other) {
        return onStall == other.onStall && stall.equals(other.stall);
    }
}
