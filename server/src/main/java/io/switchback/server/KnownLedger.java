package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.Operation;
import java.util.List;

/** Which common ledger this node has used, in its own: another one, or one that was wiped, would tell it nothing of what it has done. */
final class KnownLedger {
    private static final String PATH = "common-ledger";

    private KnownLedger() {}

    /** Refuses a common ledger that is not the one that this node knows; the first one is remembered. */
    static void demandSame(Ledger own, Ledger common, String connect) {
        String known = own.read(PATH).map(entry -> entry.text()).orElse("");
        if (known.isEmpty()) {
            own.transact(List.of(new Operation.Create(PATH, common.id().getBytes(UTF_8))));
        } else if (!known.equals(common.id())) {
            throw new NodeException("the ledger at zookeeper://" + connect + " is " + common.id()
                    + ", and this node has used " + known
                    + " until now: it was wiped, or the address leads to another one. Nothing is guessed: restore the"
                    + " ledger, or, if no release is open and the caches are where this node's file says, start this"
                    + " node with an empty data folder");
        }
    }
}
