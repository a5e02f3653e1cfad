package io.switchback.release;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.ledger.Ledger;

/** Which processes are there: each announces its incarnation under its node's name. */
final class Presence {
    private Presence() {}

    /** Whether that very process can be heard of, as far as the ledger knows. Says nothing of safety: a stopped one may wake up. */
    static boolean isThere(Ledger ledger, String node, String incarnation) {
        byte[] announced = ledger.announced().get(node);
        return announced != null && incarnation.equals(new String(announced, UTF_8));
    }
}
