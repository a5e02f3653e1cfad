package io.switchback.proxy;

import java.time.Duration;

/**
 * How replies to writes are kept until the other fleet has the writes too.
 *
 * @param link what ROLE of the fleet in use calls the link to the other fleet
 * @param stall how long nothing may be confirmed before {@code onStall} holds
 */
public record Protection(String link, OnStall onStall, Duration stall) {
    /** Longer than a link takes to come again after a break, and shorter than clients wait for a reply. */
    public static final Duration STALL = Duration.ofSeconds(2);
}
