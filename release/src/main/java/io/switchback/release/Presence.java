package io.switchback.release;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.Member;

/** Which processes are there: each announces its incarnation under its node's name. */
final class Presence {
    private final Ledger ledger;

    Presence(Ledger ledger) {
        this.ledger = ledger;
    }

    /** Whether that very process can be heard of, as far as the ledger knows. Says nothing of safety: a stopped one may wake up. */
    boolean isThere(String node, String incarnation) {
        byte[] announced = ledger.announced().get(node);
        return announced != null && incarnation.equals(new String(announced, UTF_8));
    }

    boolean isThere(Member member) {
        return isThere(member.node(), member.incarnation());
    }

    /**
     * Whether that process, by its own clock, holds its clients: the ledger hears of nobody of its name, so its lease has run out there
     * already ({@link ServingLease}); where another process has taken the name, it may not know yet. Before it serves again it registers anew, so a decision that expects the membership as it was
     * read <em>before</em> this look does not overlook it.
     */
    boolean certainlyHolds(Member member) {
        return member.holdsWithoutLedger() && !ledger.announced().containsKey(member.node());
    }
}
