package io.switchback.ledger;

import io.switchback.environment.Environment;
import java.util.Map;
import java.util.TreeMap;

/**
 * Who is present at a ledger that has one process: what this process has announced. In memory only, since it ends with the process.
 * Any thread; all state is guarded by the object itself.
 */
final class EmbeddedPresence implements AutoCloseable {
    private final Environment environment;
    private final Watches watches;
    private final Map<String, EmbeddedLease> leases = new TreeMap<>();

    EmbeddedPresence(Environment environment, Watches watches) {
        this.environment = environment;
        this.watches = watches;
    }

    synchronized Lease announce(String name, byte[] value) {
        EmbeddedLease lease = new EmbeddedLease(name, value.clone());
        EmbeddedLease before = leases.put(name, lease);
        if (before != null) {
            before.end(true);
        }
        watches.changed(Ledger.PRESENCE);
        return lease;
    }

    synchronized Map<String, byte[]> announced() {
        Map<String, byte[]> values = new TreeMap<>();
        leases.forEach((name, lease) -> values.put(name, lease.value.clone()));
        return values;
    }

    /** Nobody is present any more. */
    @Override
    public synchronized void close() {
        leases.values().forEach(lease -> lease.end(false));
        leases.clear();
    }

    private synchronized void withdraw(EmbeddedLease lease) {
        lease.end(false);
        if (leases.remove(lease.name, lease)) {
            watches.changed(Ledger.PRESENCE);
        }
    }

    private final class EmbeddedLease implements Lease {
        private final String name;
        private final byte[] value;
        private volatile boolean held = true;
        private volatile boolean superseded;
        private volatile long heldUntilNanos = Long.MAX_VALUE;

        EmbeddedLease(String name, byte[] value) {
            this.name = name;
            this.value = value;
        }

        private void end(boolean byANewerOne) {
            if (held) {
                superseded = byANewerOne;
                heldUntilNanos = environment.nanoTime();
                held = false;
            }
        }

        @Override
        public boolean held() {
            return held;
        }

        @Override
        public long heldUntilNanos() {
            return heldUntilNanos;
        }

        @Override
        public boolean superseded() {
            return superseded;
        }

        @Override
        public void close() {
            withdraw(this);
        }
    }
}
