package io.switchback.ledger;

import java.util.List;
import java.util.Map;

/**
 * A node that serves caches, as the others know it.
 *
 * @param node its name
 * @param incarnation of this process alone, so that a node that was started again is another member of the same name
 * @param address where the other nodes reach it, as host:port; empty where there are no others
 * @param caches that it serves
 * @param announced of some of these caches, where clients can reach them, as host:port
 * @param holdsWithoutLedger whether it holds its clients where it cannot be sure that its lease lasts, so that nobody has to ask it then
 */
public record Member(
        String node,
        String incarnation,
        String address,
        List<String> caches,
        Map<String, String> announced,
        boolean holdsWithoutLedger) {
    public Member {
        caches = List.copyOf(caches);
        announced = Map.copyOf(announced);
    }

    /** One that goes on serving without the ledger. */
    public Member(String node, String incarnation, String address, List<String> caches) {
        this(node, incarnation, address, caches, Map.of(), false);
    }

    /** Whether this is another process of the same name. */
    public boolean isAnotherProcessOf(Member other) {
        return node.equals(other.node) && !incarnation.equals(other.incarnation);
    }
}
