package io.switchback.commit;

import java.util.Set;

/**
 * One participant's place in a switch.
 *
 * @param peers the names of the other participants
 */
public record Seat(SwitchId id, Protocol protocol, Set<String> peers) {
    public Seat {
        peers = Set.copyOf(peers);
    }
}
