package io.switchback.proxy;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says in the log when a fleet cannot be reached any more, or new connections are not allowed, and when that is over: once each, however many
 * clients ask. Thread-safe: one for all loops of a proxy.
 */
final class Reachability {
    private static final Logger LOG = LoggerFactory.getLogger(Reachability.class);

    private final String cache;
    private final Set<String> unreachable = ConcurrentHashMap.newKeySet();
    private final AtomicBoolean notAllowed = new AtomicBoolean();

    Reachability(String cache) {
        this.cache = cache;
    }

    void failed(BackendRoute route, String why) {
        if (unreachable.add(route.fleet().name())) {
            LOG.warn(
                    "cache {}: fleet {} ({}) cannot be reached, and clients get errors: {}",
                    cache,
                    route.fleet().name(),
                    route.fleet().address(),
                    why);
        }
    }

    void reached(BackendRoute route) {
        if (unreachable.remove(route.fleet().name())) {
            LOG.info(
                    "cache {}: fleet {} can be reached again",
                    cache,
                    route.fleet().name());
        }
    }

    void notAllowed(BackendRoute route, String why) {
        if (notAllowed.compareAndSet(false, true)) {
            LOG.warn(
                    "cache {}: new connections to fleet {} wait, and with them the clients that need one: {}",
                    cache,
                    route.fleet().name(),
                    why);
        }
    }

    void allowed() {
        if (notAllowed.get() && notAllowed.compareAndSet(true, false)) {
            LOG.info("cache {}: new connections are allowed again", cache);
        }
    }

    /** The fleets that could not be reached when they were last tried. */
    Set<String> unreachable() {
        return Set.copyOf(unreachable);
    }
}
