package io.switchback.proxy;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Which fleets have no primary that takes commands, and since when, as one loop has found by using them. Only of fleets whose primary can change: of a
 * single server the client gets what it says.
 *
 * <p>Owned by its event loop. An outage begins where a connection cannot be opened or a server says that it is no primary (any more); whoever
 * watches the fleet is asked to look. It ends where another primary is named, where the same one can be connected to again, and where it answers again
 * after it had denied being the primary. What waits, waits until {@link ProxyLimits#failoverWait} after its beginning: so a fleet that stays down
 * costs that wait once, not once for each command.
 */
final class Outages {
    /** A server that has said that it is no primary is not asked for so long, unless it is named anew. */
    private static final long DENIED_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    private final ProxyLoop loop;
    private final Map<String, Outage> outages = new HashMap<>();
    private final Map<String, Runnable> watches = new HashMap<>();

    private static final class Outage {
        final long sinceNanos;
        long metNanos;
        /** Which server has denied being the primary, and when. */
        @Nullable
        Endpoint denied;

        long deniedNanos;

        Outage(long nowNanos) {
            sinceNanos = nowNanos;
            metNanos = nowNanos;
        }
    }

    Outages(ProxyLoop loop) {
        this.loop = loop;
    }

    /** Whether another of its servers can become the primary. */
    static boolean canChange(FleetSpec fleet) {
        return fleet.address() instanceof FleetAddress.Sentinel;
    }

    /** {@code lookSoon} is called from now on where the fleet may have changed; it must not block. */
    void watchedBy(String fleet, Runnable lookSoon) {
        watches.put(fleet, lookSoon);
    }

    /** The fleet may have changed: whoever watches it is to look. */
    void doubt(FleetSpec fleet) {
        Runnable lookSoon = watches.get(fleet.name());
        if (lookSoon != null) {
            lookSoon.run();
        }
    }

    /** No connection to its primary can be opened. */
    void met(FleetSpec fleet) {
        at(fleet);
        doubt(fleet);
    }

    /** That server has said that it is no primary (yet, or any more). */
    void denied(FleetSpec fleet, Endpoint server) {
        Outage outage = at(fleet);
        outage.denied = server;
        outage.deniedNanos = loop.nanoTime();
        doubt(fleet);
    }

    private Outage at(FleetSpec fleet) {
        long now = loop.nanoTime();
        Outage outage = outages.get(fleet.name());
        // One that nobody has met for so long was another one.
        if (outage == null
                || now - outage.metNanos > loop.limits().failoverWait().toNanos()) {
            outage = new Outage(now);
            outages.put(fleet.name(), outage);
        }
        outage.metNanos = now;
        return outage;
    }

    /** Whether this server has just denied being the primary. */
    boolean isDenied(FleetSpec fleet, Endpoint server) {
        Outage outage = outages.get(fleet.name());
        return outage != null && server.equals(outage.denied) && loop.nanoTime() - outage.deniedNanos < DENIED_NANOS;
    }

    /** Whether what waits has waited long enough. */
    boolean isTooLong(FleetSpec fleet) {
        Outage outage = outages.get(fleet.name());
        return outage != null
                && loop.nanoTime() - outage.sinceNanos
                        >= loop.limits().failoverWait().toNanos();
    }

    /** A connection to its primary was opened. */
    void reached(FleetSpec fleet) {
        Outage outage = outages.get(fleet.name());
        if (outage != null && outage.denied == null) {
            outages.remove(fleet.name());
        }
    }

    /** A server has answered over a connection that was opened then. */
    void answered(FleetSpec fleet, long openedNanos) {
        Outage outage = outages.isEmpty() ? null : outages.get(fleet.name());
        if (outage != null && (outage.denied == null || openedNanos - outage.deniedNanos > 0)) {
            outages.remove(fleet.name());
        }
    }

    /** Another primary is named. */
    void over(String fleet) {
        outages.remove(fleet);
    }
}
