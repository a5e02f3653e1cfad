package io.switchback.release;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.Ledger;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.Protection;
import io.switchback.proxy.ProtectionState;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.RelayLink;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What this node's clients of a cache are promised with {@code protect: sync}: an acknowledged write is on both fleets. Thread-safe.
 *
 * <p>A way back that is closed, or is being filled again, cannot confirm anything, and no rollback without a loss is left that the promise could serve: it is given up
 * then, loudly, so that clients do not wait for ever, and holds again once the way back is open.
 */
final class Protecting {
    private static final Logger LOG = LoggerFactory.getLogger(Protecting.class);

    private final ManagedCache cache;
    private final ReleaseStore store;
    /** First slots of the shards of a fleet to which a switch was to lead: their links have no place in the record before they flow. */
    private final Set<Integer> slotsAhead = ConcurrentHashMap.newKeySet();

    private ProtectionState told = ProtectionState.OFF;
    private boolean closed;

    Protecting(ManagedCache cache, Ledger ledger, Environment environment) {
        this.cache = cache;
        this.store = new ReleaseStore(ledger, environment);
    }

    /**
     * For a switch that leads to the new fleet: set before anybody is held, in force from the first write there. Completes once nobody would have to wait
     * for it.
     */
    CompletableFuture<Void> setAhead(String release, BackendRoute next) {
        if (store.file(release).protect() == Protect.ASYNC) {
            return CompletableFuture.completedFuture(null);
        }
        try {
            ApplyLinks.shards(next.fleet().topologyNow()).stream()
                    .map(ApplyLinks::firstSlot)
                    .forEach(slotsAhead::add);
        } catch (FleetException e) {
            return CompletableFuture.failedFuture(e);
        }
        return wanted(release, store.cache(release, cache.name()))
                .map(protection -> cache.proxy().protect(next, protection))
                .orElseGet(() -> CompletableFuture.completedFuture(null));
    }

    /** As the ledger says, for clients that are or are about to be led to {@code route}. */
    synchronized void set(String release, BackendRoute route) {
        CacheRecord record = store.cache(release, cache.name());
        if (!route.fleet().name().equals(record.to())) {
            return;
        }
        Optional<Protection> wanted = wanted(release, record);
        boolean closedNow = wanted.isPresent() && record.isWayBackClosed();
        if (closedNow != closed) {
            closed = closedNow;
            tell(
                    release,
                    closedNow
                            ? "the way back is closed: writes are acknowledged although they are on the new fleet alone"
                            : "the way back is open again: writes are acknowledged once they are on both fleets");
        }
        if (wanted.isPresent() && !closedNow) {
            CacheProxy proxy = cache.proxy();
            // Where the fleet does not answer yet, writes wait for it.
            proxy.protect(route, wanted.get()).exceptionally(failure -> {
                LOG.warn("cache {}: writes cannot be confirmed yet: {}", cache.name(), failure.getMessage());
                return null;
            });
        } else {
            cache.proxy().unprotect(route);
        }
        tellChange(release);
    }

    private Optional<Protection> wanted(String release, CacheRecord record) {
        ReleaseFile file = store.file(release);
        if (file.protect() == Protect.ASYNC) {
            return Optional.empty();
        }
        String whole = MovingCache.linkName(release, cache.name(), Side.NEW);
        Stream<Integer> known = Stream.concat(slotsAhead.stream(), record.namedBefore().stream());
        Stream<Integer> begun = record.bases().stream().map(base -> ApplyLinks.firstSlot(base.slots()));
        Set<String> links = Stream.concat(known, begun)
                .map(slot -> RelayLink.announcedName(ApplyLinks.name(whole, slot), record.secret()))
                .collect(Collectors.toSet());
        return Optional.of(new Protection(links, file.onStall(), Protection.STALL));
    }

    private void tellChange(String release) {
        ProtectionState now = cache.proxy().protection();
        if (now == told) {
            return;
        }
        ProtectionState before = told;
        told = now;
        switch (now) {
            case WAITING ->
                tell(
                        release,
                        "the old fleet confirms nothing: replies to writes are kept, and clients wait (on-stall: hold)");
            case SUSPENDED ->
                tell(
                        release,
                        "the old fleet confirms nothing: writes are acknowledged although they are on the new fleet alone"
                                + " (on-stall: async)");
            case ON -> {
                if (before != ProtectionState.OFF) {
                    tell(release, "the old fleet confirms writes again: what is acknowledged is on both fleets");
                }
            }
            case OFF -> {}
        }
    }

    private void tell(String release, String what) {
        LOG.warn("release {}, cache {}: {}", release, cache.name(), what);
        store.journal(release, "switchback", "protect", cache.name() + ": " + what, Map.of());
    }

    /** The cache is in no release any more. */
    synchronized void lift() {
        cache.proxy().unprotect();
        told = ProtectionState.OFF;
        closed = false;
        slotsAhead.clear();
    }
}
