package io.switchback.ledger;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The listeners of one ledger. Any thread; telling them of a change never waits for one of them.
 *
 * <p>Each listener has a virtual thread of its own, which waits for a signal, takes all that have come as one, and calls it: so it is
 * never called concurrently with itself, a slow one delays nobody else, and however much changes, no more than one call is owed to it.
 * A signal that comes during a call leads to one more call, since the listener may have read before the change.
 */
final class Watches implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Watches.class);

    private final List<Listener> listeners = new CopyOnWriteArrayList<>();

    Watch add(String path, Runnable changed) {
        Listener listener = new Listener(path, changed);
        listeners.add(listener);
        Thread.ofVirtual().name("ledger watch of " + path).start(listener::work);
        return () -> {
            listeners.remove(listener);
            listener.end();
        };
    }

    /** An entry at this path, or those who are present, may have changed. */
    void changed(String path) {
        for (Listener listener : listeners) {
            if (path.equals(listener.path) || path.startsWith(listener.path + "/")) {
                listener.owed.release();
            }
        }
    }

    /** Anything may have changed. */
    void anythingChanged() {
        listeners.forEach(listener -> listener.owed.release());
    }

    @Override
    public void close() {
        listeners.forEach(Listener::end);
        listeners.clear();
    }

    private static final class Listener {
        private final String path;
        private final Runnable changed;
        private final Semaphore owed = new Semaphore(0);
        private volatile boolean ended;

        Listener(String path, Runnable changed) {
            this.path = path;
            this.changed = changed;
        }

        void end() {
            ended = true;
            owed.release();
        }

        void work() {
            while (true) {
                // Nobody interrupts this thread but the listener itself, and that is no reason to end.
                owed.acquireUninterruptibly();
                owed.drainPermits();
                if (ended) {
                    return;
                }
                call();
            }
        }

        @SuppressWarnings(
                "CatchAndPrintStackTrace") // it is logged: whatever a listener throws, the next change is told to it
        private void call() {
            try {
                changed.run();
            } catch (RuntimeException | Error e) {
                LOG.error(
                        "A listener of the ledger's path {} has failed; it is called again at the next change",
                        path,
                        e);
            }
        }
    }
}
