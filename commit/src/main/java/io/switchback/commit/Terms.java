package io.switchback.commit;

import java.util.HashSet;
import java.util.Set;

/** Who agrees on a switch, and how: the record in the ledger that opens it. */
public record Terms(SwitchId id, Protocol protocol, Set<String> participants) {
    public Terms {
        participants = Set.copyOf(participants);
        if (participants.isEmpty()) {
            throw new IllegalArgumentException("a switch has participants");
        }
    }

    /** What {@code participant} is given with its prepare, and again when it was restarted. */
    public Seat seat(String participant) {
        Set<String> peers = new HashSet<>(participants);
        if (!peers.remove(participant)) {
            throw new IllegalArgumentException(participant + " takes no part in " + this);
        }
        return new Seat(id, protocol, peers);
    }
}
