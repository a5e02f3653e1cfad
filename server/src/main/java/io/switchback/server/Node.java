package io.switchback.server;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Outcome;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ManagedCache;
import io.switchback.release.ReleaseEngine;
import io.switchback.server.NodeFile.CacheSettings;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One Switchback process: the ledger, a proxy for each cache, the release engine and the admin API, wired together.
 *
 * <p>Start order, and why: the ledger first, because it knows the routes; then the proxies, each on the route that the ledger
 * has, and held where a switch of its cache was under way; then the engine, which closes such a switch and lets go; the admin
 * API last, when there is something to administer. Stopping goes the other way round and undoes nothing of a release.
 */
public final class Node implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Node.class);

    private final NodeFile file;
    private final Ledger ledger;
    private final Map<String, ManagedCache> caches;
    private final ReleaseEngine engine;
    private final @Nullable AdminApi admin;

    private Node(
            NodeFile file,
            Ledger ledger,
            Map<String, ManagedCache> caches,
            ReleaseEngine engine,
            @Nullable AdminApi admin) {
        this.file = file;
        this.ledger = ledger;
        this.caches = caches;
        this.engine = engine;
        this.admin = admin;
    }

    /** Starts a node; when this returns it serves. */
    public static Node start(NodeFile file, Environment environment) {
        return start(file, environment, EmbeddedLedger.open(file.ledgerFolder(), environment));
    }

    /** As {@link #start(NodeFile, Environment)}, on a ledger that is open already, and that the node will close. */
    static Node start(NodeFile file, Environment environment, Ledger ledger) {
        List<AutoCloseable> opened = new ArrayList<>();
        try {
            opened.add(ledger);
            Map<String, ManagedCache> caches = new LinkedHashMap<>();
            for (CacheSettings cache : file.caches()) {
                CacheProxy proxy = openProxy(file, cache, ledger, environment);
                opened.add(proxy);
                caches.put(cache.name(), new ManagedCache(cache.name(), proxy, cache.fleets()));
            }
            ReleaseEngine engine = new ReleaseEngine(
                    file.node(), ledger, caches, file.ledgerFolder().resolve("backups"), environment);
            opened.add(engine);
            engine.resume();
            AdminApi admin = file.admin()
                    .map(settings -> AdminApi.start(settings, file.node(), ledger, caches, engine))
                    .orElse(null);
            return new Node(file, ledger, caches, engine, admin);
        } catch (RuntimeException e) {
            closeAll(opened);
            throw e;
        }
    }

    private static CacheProxy openProxy(NodeFile file, CacheSettings cache, Ledger ledger, Environment environment) {
        Route route = route(cache, ledger);
        FleetSpec fleet = cache.fleets().get(route.fleet());
        if (fleet == null) {
            throw new NodeException("cache \"" + cache.name() + "\" is routed to fleet \"" + route.fleet()
                    + "\", which " + file.file() + " does not name; name it again, or the node cannot serve the cache");
        }
        boolean held = ReleaseEngine.mustBeginHeld(ledger, environment, cache.name());
        CacheProxy proxy = listen(
                new ProxySettings(cache.name(), file.node(), cache.listen()),
                new BackendRoute(fleet, route.epoch()),
                held);
        LOG.info(
                "cache {} listens on {} and goes to fleet {} ({}), epoch {}{}",
                cache.name(),
                proxy.addresses(),
                fleet.name(),
                fleet.endpoint(),
                route.epoch(),
                held ? "; held until its release has looked" : "");
        return proxy;
    }

    private static CacheProxy listen(ProxySettings settings, BackendRoute route, boolean held) {
        try {
            return CacheProxy.open(settings, route, held);
        } catch (IOException e) {
            throw new NodeException(
                    "cache \"" + settings.cache() + "\" cannot listen on " + settings.listen() + ": " + e.getMessage()
                            + "; is another process there, or is the address not this machine's?",
                    e);
        }
    }

    /** The route that the ledger knows; the very first time, the one that the file names. */
    private static Route route(CacheSettings cache, Ledger ledger) {
        Routes routes = new Routes(ledger);
        Optional<Route> known = routes.current(cache.name());
        if (known.isPresent()) {
            if (!known.get().fleet().equals(cache.active())) {
                LOG.info(
                        "cache {}: the file says active: {}, the ledger knows that releases have moved it to {} since",
                        cache.name(),
                        cache.active(),
                        known.get().fleet());
            }
            return known.get();
        }
        Route first = new Route(cache.active(), 1);
        if (ledger.transact(routes.next(cache.name(), first)) instanceof Outcome.Conflict conflict) {
            throw new NodeException("the first route of cache \"" + cache.name() + "\" was not taken: " + conflict);
        }
        return first;
    }

    /** Where clients of a cache connect, as bound. */
    public List<Endpoint> addresses(String cache) {
        ManagedCache managed = caches.get(cache);
        return managed == null ? List.of() : managed.proxy().addresses();
    }

    /** Where the admin API listens, as bound. */
    public Optional<Endpoint> adminAddress() {
        return Optional.ofNullable(admin).map(AdminApi::address);
    }

    /** The release engine of this node. */
    public ReleaseEngine releases() {
        return engine;
    }

    /** The node's proxy for a cache. */
    public CacheProxy proxy(String cache) {
        return Optional.ofNullable(caches.get(cache))
                .orElseThrow(() -> new NodeException("no cache \"" + cache + "\" in " + file.file()))
                .proxy();
    }

    @Override
    public void close() {
        List<AutoCloseable> inOrder = new ArrayList<>();
        inOrder.add(ledger);
        caches.values().forEach(cache -> inOrder.add(cache.proxy()));
        inOrder.add(engine);
        if (admin != null) {
            inOrder.add(admin);
        }
        closeAll(inOrder);
    }

    private static void closeAll(List<AutoCloseable> opened) {
        for (AutoCloseable one : opened.reversed()) {
            try {
                one.close();
            } catch (Exception e) {
                LOG.warn("closing {} failed; the rest is closed all the same", one, e);
            }
        }
    }
}
