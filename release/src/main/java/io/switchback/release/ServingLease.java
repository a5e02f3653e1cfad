package io.switchback.release;

import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Members;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.proxy.CacheProxy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets the caches of this node serve for as long as its lease with the ledger certainly lasts ({@code on-ledger-loss: hold}), so that the
 * others may move away from a fleet that cannot be fenced without asking this node, once the ledger hears no more of it.
 *
 * <p>As long as the lease has not ended in between, each later end of it is simply passed on. Once it has, others may have moved the traffic, or may be
 * about to: so this node registers anew, which takes the ground from every decision that was prepared without it, then reads the routes and
 * follows them, and only then serves again. The end that counts then was read before all that.
 */
final class ServingLease implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ServingLease.class);
    private static final Duration BETWEEN = Duration.ofMillis(200);

    private final Lease lease;
    private final Ledger ledger;
    private final Nodes nodes;
    private final Collection<ManagedCache> caches;
    private final ScheduledExecutorService clock;
    private boolean reported;

    /** Limits the caches at once; they must be held, or not opened to clients yet. */
    ServingLease(Lease lease, Ledger ledger, Nodes nodes, Collection<ManagedCache> caches) {
        this.lease = lease;
        this.ledger = ledger;
        this.nodes = nodes;
        this.caches = List.copyOf(caches);
        this.clock = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().daemon().name("serving lease").factory());
        extend();
    }

    /** Passes later ends of the lease on from now on. */
    @SuppressWarnings("FutureReturnValueIgnored") // it goes on until the clock is stopped
    void begin() {
        clock.scheduleWithFixedDelay(this::extend, BETWEEN.toMillis(), BETWEEN.toMillis(), TimeUnit.MILLISECONDS);
    }

    private void extend() {
        long until = lease.heldUntilNanos();
        caches.forEach(cache -> cache.proxy().serveUntil(until));
    }

    /**
     * Looks whether clients wait, and lets those go on that may. Blocks.
     *
     * @param follow leads the caches where the ledger says that they are
     */
    void look(Runnable follow) {
        List<CacheProxy> waiting = new ArrayList<>();
        for (ManagedCache cache : caches) {
            if (cache.proxy().hasLapsed()) {
                waiting.add(cache.proxy());
            }
        }
        if (waiting.isEmpty()) {
            return;
        }
        if (!reported) {
            reported = true;
            LOG.warn("the ledger may not count this node any more; clients wait until it does (on-ledger-loss: hold)");
        }
        long until = lease.heldUntilNanos();
        if (!lease.held()) {
            return;
        }
        new Members(ledger).join(nodes.self());
        ledger.catchUp();
        follow.run();
        boolean all = true;
        for (ManagedCache cache : caches) {
            Route known = new Routes(ledger).current(cache.name()).orElseThrow();
            boolean there = known.epoch() == cache.proxy().route().epoch();
            all &= there;
            if (there && waiting.contains(cache.proxy())) {
                cache.proxy().serveAgainUntil(until);
            }
        }
        if (all) {
            reported = false;
            LOG.info("the ledger counts this node; its clients go on");
        }
    }

    @Override
    public void close() {
        clock.shutdownNow();
    }
}
