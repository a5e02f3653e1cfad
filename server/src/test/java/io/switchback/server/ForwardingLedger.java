package io.switchback.server;

import io.switchback.ledger.Entry;
import io.switchback.ledger.Ledger;
import java.util.List;
import java.util.Optional;

/** A ledger that is another one, but for the writes that a test gets between. */
interface ForwardingLedger extends Ledger {
    /** The other one. */
    Ledger ledger();

    @Override
    default Optional<Entry> read(String path) {
        return ledger().read(path);
    }

    @Override
    default List<Entry> list(String prefix) {
        return ledger().list(prefix);
    }

    @Override
    default void close() {
        ledger().close();
    }
}
