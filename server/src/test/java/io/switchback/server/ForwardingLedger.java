package io.switchback.server;

import io.switchback.ledger.Entry;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Watch;
import java.util.List;
import java.util.Map;
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
    default String id() {
        return ledger().id();
    }

    @Override
    default void catchUp() {
        ledger().catchUp();
    }

    @Override
    default Watch watch(String path, Runnable changed) {
        return ledger().watch(path, changed);
    }

    @Override
    default Lease announce(String name, byte[] value) {
        return ledger().announce(name, value);
    }

    @Override
    default Map<String, byte[]> announced() {
        return ledger().announced();
    }

    @Override
    default void close() {
        ledger().close();
    }
}
