package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Lease;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.ZooKeeperLedger;
import io.switchback.peers.PeerHandler;
import io.switchback.peers.PeerSecret;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ManagedCache;
import io.switchback.release.Nodes;
import io.switchback.release.ReleaseEngine;
import io.switchback.server.NodeFile.CacheSettings;
import io.switchback.server.NodeFile.LedgerAddress;
import io.switchback.tls.TlsContexts;
import io.switchback.tls.TlsException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One Switchback process: the ledger, a proxy for each cache, the release engine and the admin API, wired together.
 *
 * <p>Start order, and why: the ledger first, because it knows the routes. Then this node is registered, before it reads any route: a switch
 * that is decided after that counts it, and of one that was decided before it reads the result. Then the proxies, each on the route that the
 * ledger has, and held where a switch of its cache was under way; then the engine, which closes such a switch and lets go; the admin
 * API last, when there is something to administer. Stopping goes the other way round and undoes nothing of a release.
 */
public final class Node implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Node.class);
    private static final int INCARNATION_BYTES = 8;
    private static final int SECRET_BYTES = 32;
    private static final String SECRET = "nodes/secret";

    private final NodeFile file;
    private final Map<String, ManagedCache> caches;
    private final ReleaseEngine engine;
    private final @Nullable AdminApi admin;
    private final List<AutoCloseable> opened;
    private final CompletableFuture<String> ended;

    private Node(
            NodeFile file,
            Map<String, ManagedCache> caches,
            ReleaseEngine engine,
            @Nullable AdminApi admin,
            List<AutoCloseable> opened,
            CompletableFuture<String> ended) {
        this.ended = ended;
        this.file = file;
        this.caches = caches;
        this.engine = engine;
        this.admin = admin;
        this.opened = opened;
    }

    /** Starts a node; when this returns it serves. */
    public static Node start(NodeFile file, Environment environment) {
        return start(file, environment, EmbeddedLedger.open(file.dataFolder(), environment));
    }

    /** As {@link #start(NodeFile, Environment)}, on a ledger of its own that is open already, and that the node will close. */
    static Node start(NodeFile file, Environment environment, Ledger own) {
        List<AutoCloseable> opened = new ArrayList<>();
        try {
            opened.add(own);
            Ledger ledger = own;
            if (file.ledger() instanceof LedgerAddress.ZooKeeper(String connect)) {
                ledger = openShared(connect, environment);
                opened.add(ledger);
                KnownLedger.demandSame(own, ledger, connect);
            }
            return start(file, environment, own, ledger, opened);
        } catch (RuntimeException e) {
            closeAll(opened);
            throw e;
        }
    }

    /** Waits for it: a node that starts cannot know where its clients belong. */
    private static Ledger openShared(String connect, Environment environment) {
        while (true) {
            try {
                return ZooKeeperLedger.open(connect, environment);
            } catch (LedgerException e) {
                if (e.code() != LedgerException.Code.UNREACHABLE) {
                    throw e;
                }
                LOG.warn("the node waits for its ledger: {}", e.getMessage());
            }
        }
    }

    private static Node start(
            NodeFile file, Environment environment, Ledger own, Ledger ledger, List<AutoCloseable> opened) {
        AtomicReference<@Nullable ReleaseEngine> answering = new AtomicReference<>();
        PeerHandler handler = (node, subject, question) -> {
            ReleaseEngine engine = answering.get();
            return engine == null
                    ? CompletableFuture.failedStage(new IllegalStateException("it is starting"))
                    : engine.answer(subject, question);
        };
        CompletableFuture<String> ended = new CompletableFuture<>();
        Membership membership = join(file, environment, ledger, handler, ended, opened);
        Nodes nodes = membership.nodes();
        boolean holds = nodes.self().holdsWithoutLedger();
        opened.add(TlsContexts.watch(environment));
        Map<String, ManagedCache> caches = new LinkedHashMap<>();
        for (CacheSettings cache : file.caches()) {
            boolean held = holds || ReleaseEngine.mustBeginHeld(ledger, environment, cache.name());
            CacheProxy proxy = openProxy(file, cache, ledger, held);
            opened.add(proxy);
            opened.add(FleetWatches.start(cache, proxy, environment));
            caches.put(cache.name(), new ManagedCache(cache.name(), proxy, cache.fleets()));
            if (nodes.isShared() && cache.announce().isPresent()) {
                opened.add(PresentedNodes.watch(cache.name(), proxy, ledger));
            }
        }
        ReleaseEngine engine =
                new ReleaseEngine(nodes, ledger, own, caches, file.dataFolder().resolve("backups"), environment);
        opened.add(engine);
        if (holds) {
            engine.serveOnlyWith(membership.lease());
        }
        answering.set(engine);
        engine.resume();
        AdminApi admin = file.admin()
                .map(settings -> AdminApi.start(settings, file.node(), ledger, caches, engine))
                .orElse(null);
        if (admin != null) {
            opened.add(admin);
        }
        Node node = new Node(file, caches, engine, admin, opened, ended);
        // Whoever finds out may hold what closing waits for.
        Thread.ofVirtual().name("end of node " + file.node()).start(() -> node.closeBecause(ended.join()));
        return node;
    }

    /** That this process is a member, and for how long the ledger shows it to the others. */
    private record Membership(Nodes nodes, Lease lease) {}

    /** Registers this process as a member, visible to the others. */
    private static Membership join(
            NodeFile file,
            Environment environment,
            Ledger ledger,
            PeerHandler handler,
            CompletableFuture<String> ended,
            List<AutoCloseable> opened) {
        String incarnation = HexFormat.of().formatHex(environment.randomBytes(INCARNATION_BYTES));
        List<String> caches = file.caches().stream().map(CacheSettings::name).toList();
        Nodes nodes;
        if (file.ledger() instanceof LedgerAddress.ZooKeeper(String connect)) {
            PeerNodes peers = PeerNodes.open(
                    file.node(),
                    incarnation,
                    caches,
                    announced(file),
                    file.onLedgerLoss() == NodeFile.OnLedgerLoss.HOLD,
                    peerAddress(file, connect),
                    secret(ledger, environment),
                    ledger,
                    handler,
                    () -> ended.complete("another process has taken the name of node \"" + file.node()
                            + "\"; two nodes need two names"),
                    environment);
            opened.add(peers);
            nodes = peers;
        } else {
            nodes = new LoneNode(new Member(file.node(), incarnation, "", caches), handler);
        }
        Members members = new Members(ledger);
        Lease lease = ledger.announce(file.node(), incarnation.getBytes(UTF_8));
        opened.add(lease);
        opened.add(() -> members.leave(nodes.self()));
        try {
            members.join(nodes.self());
        } catch (LedgerException e) {
            if (nodes.isShared()) {
                throw e;
            }
            // Nobody else is there to know of it: it serves all the same, and registers when the disk has room.
            LOG.warn("the node is not registered yet: {}", e.getMessage());
        }
        ledger.catchUp();
        return new Membership(nodes, lease);
    }

    /** Where clients are told to find this node, by the names of the caches that have that. */
    private static Map<String, String> announced(NodeFile file) {
        Map<String, String> announced = new LinkedHashMap<>();
        file.caches()
                .forEach(cache ->
                        cache.announce().ifPresent(address -> announced.put(cache.name(), address.toString())));
        return announced;
    }

    /** Where the file says, or at the address of this machine that leads to the ledger. */
    private static InetSocketAddress peerAddress(NodeFile file, String connect) {
        if (file.peers().isPresent()) {
            Endpoint peers = file.peers().get();
            return new InetSocketAddress(peers.host(), peers.port());
        }
        String first = connect.split("[,/]", 2)[0];
        int colon = first.lastIndexOf(':');
        try (DatagramSocket socket = new DatagramSocket()) {
            // Sends nothing: it only asks the system for the way there.
            socket.connect(
                    new InetSocketAddress(first.substring(0, colon), Integer.parseInt(first.substring(colon + 1))));
            return new InetSocketAddress(socket.getLocalAddress(), 0);
        } catch (IOException | UncheckedIOException e) {
            throw new NodeException(
                    "no address of this machine leads to the ledger at " + first + ": " + e.getMessage()
                            + "; name one at \"peers\": { listen: HOST:PORT }",
                    e);
        }
    }

    /** What all nodes of this ledger know: the first one draws it. */
    private static PeerSecret secret(Ledger ledger, Environment environment) {
        ledger.transact(List.of(new Operation.Create(SECRET, environment.randomBytes(SECRET_BYTES))));
        ledger.catchUp();
        return new PeerSecret(ledger.read(SECRET).orElseThrow().value());
    }

    private static CacheProxy openProxy(NodeFile file, CacheSettings cache, Ledger ledger, boolean held) {
        Route route = route(cache, ledger);
        FleetSpec fleet = cache.fleets().get(route.fleet());
        if (fleet == null) {
            throw new NodeException("cache \"" + cache.name() + "\" is routed to fleet \"" + route.fleet()
                    + "\", which " + file.file() + " does not name; name it again, or the node cannot serve the cache");
        }
        CacheProxy proxy = listen(
                new ProxySettings(
                        cache.name(),
                        file.node(),
                        cache.listen(),
                        cache.eventLoops(),
                        ProxyLimits.DEFAULT.withClientsMax(cache.clientsMax()),
                        cache.tls(),
                        cache.socketMode(),
                        cache.announce(),
                        primaryNames(cache)),
                new BackendRoute(fleet, route.epoch()),
                held);
        cache.memory().ifPresent(proxy::remember);
        LOG.info(
                "cache {} listens on {} and goes to fleet {} ({}), epoch {}{}",
                cache.name(),
                proxy.addresses(),
                fleet.name(),
                fleet.address(),
                route.epoch(),
                held ? "; held until the node has looked where its releases stand" : "");
        return proxy;
    }

    /** By which the sentinels of its fleets know their primaries: of all fleets, so that a switch changes nothing. */
    private static SortedSet<String> primaryNames(CacheSettings cache) {
        SortedSet<String> names = new TreeSet<>();
        for (FleetSpec fleet : cache.fleets().values()) {
            if (fleet.address() instanceof FleetAddress.Sentinel sentinel) {
                names.add(sentinel.primary());
            }
        }
        return names;
    }

    private static CacheProxy listen(ProxySettings settings, BackendRoute route, boolean held) {
        try {
            return CacheProxy.open(settings, route, held);
        } catch (IOException e) {
            throw new NodeException(
                    "cache \"" + settings.cache() + "\" cannot listen on " + settings.listen() + ": " + e.getMessage()
                            + "; is another process there, or is the address not this machine's?",
                    e);
        } catch (TlsException e) {
            throw new NodeException("cache \"" + settings.cache() + "\" cannot speak TLS: " + e.getMessage(), e);
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
        FleetSpec active = cache.fleets().get(cache.active());
        if (active != null) {
            FirstStart.demandInUse(cache.name(), active);
        }
        return routes.begin(cache.name(), cache.active());
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

    private void closeBecause(String why) {
        if (!why.isEmpty()) {
            LOG.error("node {} ends: {}", file.node(), why);
            closeAll(opened);
        }
    }

    /** Completes with the reason when this node has to end by itself. */
    public CompletableFuture<String> ended() {
        return ended.copy();
    }

    @Override
    public void close() {
        ended.complete("");
        closeAll(opened);
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
