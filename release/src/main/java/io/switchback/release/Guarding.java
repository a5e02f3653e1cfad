package io.switchback.release;

import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.dialect.Dialects;
import io.switchback.fleet.dialect.WayBackGuard;
import io.switchback.proxy.CacheProxy;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** This node's guard of a cache: refuses, while another fleet follows the one in use, what could not be carried there. Thread-safe. */
final class Guarding {
    private static final Logger LOG = LoggerFactory.getLogger(Guarding.class);

    private final CacheProxy proxy;
    private final Dialects dialects = new Dialects();
    /** The fleet in use that the guard was made for; empty where there is none. */
    private String guarded = "";

    Guarding(CacheProxy proxy) {
        this.proxy = proxy;
    }

    synchronized boolean isSetFor(FleetSpec inUse) {
        return guarded.equals(inUse.name());
    }

    synchronized void set(FleetSpec inUse, FleetSpec follower) {
        try (ServerConnection newer = MovingCache.connectToAny(inUse);
                ServerConnection older = MovingCache.connectToAny(follower)) {
            WayBackGuard guard = WayBackGuard.between(dialects.of(newer), dialects.of(older));
            proxy.guard(guard.refusesNothing() ? null : guard::refusal);
            guarded = inUse.name();
        }
    }

    /** As {@link #set}, where nobody may wait for a server that is not in use; false where it did not answer. */
    boolean setIfTheyAnswer(FleetSpec inUse, FleetSpec follower) {
        try {
            set(inUse, follower);
            return true;
        } catch (FleetException e) {
            LOG.warn("the guard of fleet {} stays as it is: {}", inUse.name(), e.getMessage());
            return false;
        }
    }

    synchronized void lift() {
        proxy.guard(null);
        guarded = "";
    }
}
