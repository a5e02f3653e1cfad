package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets the caches of this node serve for as long as its lease with the ledger certainly lasts ({@code on-ledger-loss: hold}), so that the
 * others may move away from a fleet that cannot be fenced without asking this node, once the ledger hears no more of it.
 *
 * <p>As long as the lease has not ended in between, each later end of it is simply passed on. Once it has, others may have moved the traffic, or may be
 * about to: so this node registers anew, which takes the ground from every decision that was prepared without it, then reads the routes and
 * follows them, and only then serves again, where the lease has not ended once more in the meantime.
 */
final class ServingLease implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ServingLease.class);
    private static final Duration BETWEEN = Duration.ofMillis(200);

    private final Lease lease;
    private final Ledger ledger;
    private final Nodes nodes;
    private final Collection<ManagedCache> caches;
    private final ScheduledExecutorService clock;
    private final Environment environment;
    private boolean reported;

    // Guarded by this object's lock.
    private long unbrokenUntil;
    private boolean isUnbroken;

    /** Limits the caches at once; they must be held, or not opened to clients yet. */
    ServingLease(Lease lease, Ledger ledger, Nodes nodes, Collection<ManagedCache> caches, Environment environment) {
        this.environment = environment;
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

    private synchronized void extend() {
        long until = lease.heldUntilNanos();
        if (isPassed(unbrokenUntil)) {
            isUnbroken = false;
        } else {
            unbrokenUntil = until;
        }
        caches.forEach(cache -> cache.proxy().serveUntil(until));
    }

    private boolean isPassed(long nanos) {
        return nanos != Long.MAX_VALUE && nanos - environment.nanoTime() <= 0;
    }

    /** From now on the lease is watched for a gap. */
    private synchronized void watch() {
        unbrokenUntil = lease.heldUntilNanos();
        isUnbroken = lease.held();
    }

    /** Up to when the lease lasts, if it has not ended since {@link #watch}. */
    private synchronized OptionalLong unbroken() {
        return isUnbroken && !isPassed(unbrokenUntil) ? OptionalLong.of(unbrokenUntil) : OptionalLong.empty();
    }

    /**
     * Looks whether clients wait, and lets those go on that may. Blocks.
     *
     * @param follow leads a cache where the ledger says that it is; whether it is there
     */
    void look(Predicate<String> follow) {
        List<ManagedCache> waiting =
                caches.stream().filter(cache -> cache.proxy().hasLapsed()).toList();
        if (waiting.isEmpty()) {
            return;
        }
        if (!reported) {
            reported = true;
            LOG.warn("the ledger may not count this node any more; clients wait until it does (on-ledger-loss: hold)");
        }
        watch();
        Optional<Member> registered = Optional.empty();
        if (unbroken().isPresent()) {
            registered = new Members(ledger)
                    .returned(nodes.self())
                    .member(nodes.self().node());
        }
        if (lease.superseded()
                || registered
                        .filter(one -> !one.incarnation().equals(nodes.self().incarnation()))
                        .isPresent()) {
            nodes.superseded();
            return;
        }
        ledger.catchUp();
        int resumed = 0;
        for (ManagedCache cache : waiting) {
            resumed += resume(cache, follow) ? 1 : 0;
        }
        if (resumed == waiting.size()) {
            reported = false;
            LOG.info("the ledger counts this node; its clients go on");
        }
    }

    private boolean resume(ManagedCache cache, Predicate<String> follow) {
        try {
            boolean isThere = follow.test(cache.name());
            OptionalLong until = unbroken();
            if (!isThere || until.isEmpty()) {
                return false;
            }
            cache.proxy().serveAgainUntil(until.getAsLong());
            return true;
        } catch (FleetException | ReleaseException e) {
            LOG.warn("cache {}: its clients wait: {}", cache.name(), e.getMessage());
            return false;
        }
    }

    @Override
    public void close() {
        clock.shutdownNow();
    }
}
