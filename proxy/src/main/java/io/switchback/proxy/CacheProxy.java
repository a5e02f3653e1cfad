package io.switchback.proxy;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.handler.ssl.SslHandler;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReplicaReport;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.Topology;
import io.switchback.tls.TlsContext;
import io.switchback.tls.TlsContexts;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One cache's proxy on this node: takes clients' connections, sends their commands to the fleet of the route, and can hold
 * them all while a switch moves the route.
 *
 * <p>Any thread may call it; what it does to the data plane it does by tasks on the event loops, each of which owns its
 * clients and its connections to servers. Futures are completed on event loops: what hangs on them must not block.
 *
 * <p>Invariant: between the completion of a {@link #hold} with {@link HoldOutcome.Held} and {@link #letGo}, no command of any
 * client is sent, and none that was sent is unanswered.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
public final class CacheProxy implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(CacheProxy.class);
    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(5);
    private static final int ACCEPT_QUEUE = 1024;
    /** Most of the work is the kernel's, which needs processors too. */
    private static final int PROCESSORS_PER_LOOP = 2;

    private final ProxySettings settings;
    private final Environment environment;
    private final Transport transport;
    private final Reachability reachability;
    private final Scripts scripts;
    private final EventLoopGroup group;
    private final List<ProxyLoop> loops = new ArrayList<>();
    private final IdentityHashMap<EventLoop, ProxyLoop> loopOf = new IdentityHashMap<>();
    private final List<Channel> listeners = new ArrayList<>();
    private final List<Endpoint> addresses = new ArrayList<>();
    private final FailedHandshakes handshakes;
    private final AtomicInteger clients = new AtomicInteger();
    private final AtomicLong clientIds;

    /** Guards the three fields below it, which say how far the loops have been told to go. */
    private final Object control = new Object();

    private BackendRoute route;
    private @Nullable HoldRound holding;
    private boolean held;

    private CacheProxy(ProxySettings settings, BackendRoute route, boolean startHeld, Environment environment) {
        this.settings = settings;
        this.environment = environment;
        this.clientIds = new AtomicLong(ClientId.first(environment));
        this.transport = Transport.choose();
        this.handshakes = new FailedHandshakes(settings.cache(), environment);
        this.reachability = new Reachability(settings.cache());
        AllSessions all = new AllSessions();
        this.scripts = new Scripts(settings.limits().scriptBytesMax());
        this.route = route;
        this.held = startHeld;
        int processors = Runtime.getRuntime().availableProcessors();
        int count = settings.loops() > 0 ? settings.loops() : Math.max(1, processors / PROCESSORS_PER_LOOP);
        this.group = new MultiThreadIoEventLoopGroup(count, transport.handlers());
        long secret = ByteBuffer.wrap(environment.randomBytes(Long.BYTES)).getLong();
        group.forEach(executor -> {
            EventLoop loop = (EventLoop) executor;
            ProxyLoop made = new ProxyLoop(
                    loop, settings, transport, environment, reachability, scripts, all, route, startHeld, secret);
            all.add(made);
            loops.add(made);
            loopOf.put(loop, made);
        });
    }

    /**
     * Listens, and serves unless {@code startHeld}: then clients are taken and wait until {@link #letGo}, as on a node that
     * starts in the middle of a switch.
     *
     * @throws IOException where an address cannot be listened on; nothing is left running then
     */
    public static CacheProxy open(ProxySettings settings, BackendRoute route, boolean startHeld) throws IOException {
        CacheProxy proxy = new CacheProxy(settings, route, startHeld, Environment.system());
        try {
            proxy.listen();
        } catch (IOException | RuntimeException e) {
            proxy.close();
            throw e;
        }
        LOG.debug(
                "cache {} is served at {} by {} event loops over {}, on fleet {}{}",
                settings.cache(),
                proxy.addresses,
                proxy.loops.size(),
                proxy.transport.label(),
                route.fleet().name(),
                startHeld ? ", held" : "");
        return proxy;
    }

    private void listen() throws IOException {
        Optional<ListenerTls> tls = settings.tls();
        boolean allOverTls = tls.isPresent() && tls.get().listen().isEmpty();
        Welcome clear = new Welcome(null);
        Welcome encrypted = tls.isPresent() ? new Welcome(tls.get()) : clear;
        for (Endpoint endpoint : settings.listen()) {
            listen(endpoint, allOverTls ? encrypted : clear);
        }
        for (Endpoint endpoint : tls.map(ListenerTls::listen).orElse(List.of())) {
            listen(endpoint, encrypted);
        }
    }

    private void listen(Endpoint endpoint, Welcome welcome) throws IOException {
        if (endpoint.isUnix()) {
            listenAtSocket(endpoint, welcome);
            return;
        }
        ChannelOption<Boolean> reusePort = transport.reusePort();
        if (reusePort == null) {
            addresses.add(bound(bind(internet(welcome).group(group), endpoint)));
            return;
        }
        // Where ports are shared, a second node on the same one would not be told; so it is asked for alone first.
        try (ServerSocket alone = new ServerSocket()) {
            alone.setReuseAddress(true);
            alone.bind(new InetSocketAddress(endpoint.host(), endpoint.port()));
        } catch (IOException e) {
            throw new IOException(cannotListen(endpoint, e.getMessage()), e);
        }
        Endpoint shared = endpoint;
        for (ProxyLoop loop : loops) {
            ServerBootstrap own = internet(welcome).group(loop.executor()).option(reusePort, true);
            shared = bound(bind(own, shared));
        }
        addresses.add(shared);
    }

    /** One loop accepts for all there: a Unix socket cannot be shared. */
    private void listenAtSocket(Endpoint endpoint, Welcome welcome) throws IOException {
        Path path = Path.of(endpoint.host());
        Optional<String> taken = UnixSocketFile.clear(path);
        if (taken.isPresent()) {
            throw new IOException(cannotListen(endpoint, taken.get()));
        }
        ServerBootstrap bootstrap =
                bootstrap(welcome).channel(transport.unixServerChannel()).group(group);
        bind(bootstrap, endpoint, transport.unixAddress(endpoint.host()));
        UnixSocketFile.restrict(path, settings.socketMode());
        addresses.add(endpoint);
    }

    private ServerBootstrap internet(Welcome welcome) {
        return bootstrap(welcome)
                .channel(transport.serverChannel())
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.SO_KEEPALIVE, true);
    }

    private ServerBootstrap bootstrap(Welcome welcome) {
        int pause = settings.limits().outputBytesPerClientPause();
        return new ServerBootstrap()
                .option(ChannelOption.SO_BACKLOG, ACCEPT_QUEUE)
                .childOption(ChannelOption.ALLOCATOR, Transport.ALLOCATOR)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(pause / 2, pause))
                .childHandler(welcome);
    }

    private Channel bind(ServerBootstrap bootstrap, Endpoint endpoint) throws IOException {
        return bind(bootstrap, endpoint, new InetSocketAddress(endpoint.host(), endpoint.port()));
    }

    private Channel bind(ServerBootstrap bootstrap, Endpoint endpoint, SocketAddress address) throws IOException {
        var bound = bootstrap.bind(address).awaitUninterruptibly();
        if (!bound.isSuccess()) {
            throw new IOException(cannotListen(endpoint, bound.cause().getMessage()), bound.cause());
        }
        listeners.add(bound.channel());
        return bound.channel();
    }

    private String cannotListen(Endpoint endpoint, @Nullable String why) {
        return "cache " + settings.cache() + " cannot listen on " + endpoint + ": " + why;
    }

    private static Endpoint bound(Channel listener) {
        InetSocketAddress address = (InetSocketAddress) listener.localAddress();
        return new Endpoint(address.getAddress().getHostAddress(), address.getPort());
    }

    /** Makes a session of each connection that a client opens; over TLS where it is made with some. */
    @ChannelHandler.Sharable
    private final class Welcome extends ChannelInitializer<Channel> {
        private final @Nullable TlsContext tls;
        private final boolean demandsCertificates;

        Welcome(@Nullable ListenerTls tls) {
            this.tls = tls == null ? null : TlsContexts.of(tls.files());
            this.demandsCertificates = tls != null && tls.demandsCertificates();
        }

        @Override
        protected void initChannel(Channel channel) {
            ProxyLoop loop = loopOf.get(channel.eventLoop());
            if (loop == null) {
                throw new IllegalStateException("a connection on a loop that is none of ours");
            }
            int count = clients.incrementAndGet();
            channel.closeFuture().addListener(closed -> clients.decrementAndGet());
            if (count > settings.limits().clientsMax()) {
                loop.reached(Limit.CLIENTS);
                refuse(channel);
                return;
            }
            if (tls != null) {
                encrypt(tls, channel);
            }
            ClientSession session = new ClientSession(loop, channel, clientIds.incrementAndGet());
            channel.pipeline().addLast(session);
            loop.opened(session);
        }

        /** Over TLS without a word, as servers do: it would cost a handshake. */
        private void refuse(Channel channel) {
            if (tls == null) {
                channel.writeAndFlush(Wire.error("ERR max number of clients reached"))
                        .addListener(ChannelFutureListener.CLOSE);
            } else {
                channel.close();
            }
        }

        private void encrypt(TlsContext context, Channel channel) {
            SslHandler encryption =
                    Encryption.handler(context.accepting(demandsCertificates), Encryption.CLIENT_HANDSHAKE_LIMIT);
            channel.pipeline().addLast(encryption);
            encryption.handshakeFuture().addListener(done -> {
                if (!done.isSuccess()) {
                    handshakes.failed(channel.remoteAddress(), done.cause());
                }
            });
        }
    }

    /** Where clients connect, as bound. */
    public List<Endpoint> addresses() {
        return List.copyOf(addresses);
    }

    /** Where commands go, or will go once they are let go. */
    public BackendRoute route() {
        synchronized (control) {
            return route;
        }
    }

    /**
     * Says where the servers of a fleet are that is not one server. New connections go there; those to a server that was the primary before are
     * closed once it has answered, or after a moment.
     */
    public void topology(String fleet, Topology seen) {
        onAllLoops(loop -> loop.topology(fleet, seen)).join();
    }

    /** {@code lookSoon} is called, by event loops, whenever that fleet seems to have changed; it must not block. */
    public void watchedBy(String fleet, Runnable lookSoon) {
        onAllLoops(loop -> loop.outages().watchedBy(fleet, lookSoon)).join();
    }

    /** Cluster clients are told of these nodes and of this one, in front of a cluster; none: of this one alone. Each of them has to serve this cache. */
    public void present(Collection<PresentedNode> nodes) {
        List<PresentedNode> copy = List.copyOf(nodes);
        onAllLoops(loop -> loop.present(copy)).join();
    }

    /** From now on clients' reads may be answered from memory. To be said once. */
    public void remember(MemorySettings settings) {
        WrittenLately written = new WrittenLately(environment);
        long bytesMax = Math.max(1, settings.bytesMax() / loops.size());
        onAllLoops(loop -> loop.remember(
                        new Memory(loop, bytesMax, settings.ageMax().toNanos(), written), written))
                .join();
    }

    /** What reading from memory has done since the proxy was opened; all zero where it is off. */
    public MemoryCounts memoryCounts() {
        MemoryCounts[] sum = {MemoryCounts.NONE};
        onEachLoop(loop -> {
            Memory memory = loop.memory();
            if (memory != null) {
                sum[0] = sum[0].plus(memory.counts());
            }
        });
        return sum[0];
    }

    /**
     * From now on reads may be answered by the replicas of the fleet in use, as far as they are known by {@link #replicas}. To be said once. {@code
     * lookSoon} is called, by event loops, with the fleet's name, whenever clients wait to hear more of them; it must not block.
     */
    public void readFromReplicas(ReplicaSettings settings, Consumer<String> lookSoon) {
        onAllLoops(loop -> {
                    long seed =
                            ByteBuffer.wrap(environment.randomBytes(Long.BYTES)).getLong() | 1;
                    Runnable look = () -> lookSoon.accept(loop.route().fleet().name());
                    loop.readFrom(
                            new Replicas(loop, settings, seed, look), new ShardReplicas(loop, settings, seed, look));
                })
                .join();
    }

    /** Somebody has asked the replicas of that fleet. Returns at once. */
    public void replicas(String fleet, ReplicaReport seen) {
        loops.forEach(loop -> loop.execute(() -> {
            Replicas replicas = loop.replicas();
            if (replicas != null) {
                replicas.seen(fleet, seen);
            }
            ShardReplicas ofShards = loop.shardReplicas();
            if (ofShards != null) {
                ofShards.seen(fleet, seen);
            }
        }));
    }

    /** What reading from replicas has done since the proxy was opened; nothing where it is off. */
    public ReplicaCounts replicaCounts() {
        Map<Endpoint, ReplicaCounts.One> each = new HashMap<>();
        long[] atPrimary = new long[2];
        onEachLoop(loop -> {
            List<ReplicaCounts> all = new ArrayList<>();
            Replicas replicas = loop.replicas();
            if (replicas != null) {
                all.add(replicas.counts());
            }
            ShardReplicas ofShards = loop.shardReplicas();
            if (ofShards != null) {
                all.addAll(ofShards.counts());
            }
            for (ReplicaCounts counts : all) {
                counts.replicas().forEach((server, one) -> each.merge(server, one, ReplicaCounts.One::plus));
                atPrimary[0] += counts.atPrimaryForOwn();
                atPrimary[1] += counts.atPrimaryForNone();
            }
        });
        return new ReplicaCounts(each, atPrimary[0], atPrimary[1]);
    }

    // --- hold and let go

    /**
     * Stops sending commands, and completes once everything sent has been answered in full; past the limit it undoes
     * itself. New commands wait, in order, in the clients' own connections. Held already: completes at once.
     */
    public CompletableFuture<HoldOutcome> hold(Duration limit) {
        synchronized (control) {
            if (holding != null) {
                return holding.outcome;
            }
            if (held) {
                return CompletableFuture.completedFuture(new HoldOutcome.Held(Duration.ZERO));
            }
            HoldRound round = new HoldRound(loops.size(), environment.nanoTime(), this::nowHeld);
            holding = round;
            loops.forEach(loop -> loop.execute(() -> loop.hold(round)));
            loops.getFirst().executor().schedule(() -> passed(round, limit), limit.toNanos(), TimeUnit.NANOSECONDS);
            return round.outcome;
        }
    }

    /**
     * Makes a {@link #hold} that has begun come true although the fleet in use answers nothing, neither yes nor no: clients that
     * wait for it are told that their connection to it was lost. Only for a fleet that is left because it is gone.
     */
    public void giveUpUnanswered() {
        loops.forEach(loop -> loop.execute(loop::giveUpUnanswered));
    }

    private void nowHeld() {
        HoldRound round;
        synchronized (control) {
            round = holding;
            holding = null;
            held = true;
        }
        if (round != null) {
            round.outcome.complete(new HoldOutcome.Held(Duration.ofNanos(environment.nanoTime() - round.begunAtNanos)));
        }
    }

    private void passed(HoldRound round, Duration limit) {
        undo(round, "not everything was answered within " + limit.toMillis() + " ms");
    }

    private void undo(HoldRound round, String why) {
        if (round.giveUp()) {
            BackendRoute same;
            synchronized (control) {
                same = route;
            }
            round.undo(loops, same, why, () -> {
                synchronized (control) {
                    holding = null;
                }
            });
        }
    }

    /**
     * Ends a hold: commands flow to {@code next}, which is the route as it was (abort) or one with a greater epoch. Without a
     * hold, the route as it is changes nothing, and another one is refused, since a switch without a hold would lose writes.
     */
    public CompletableFuture<Void> letGo(BackendRoute next) {
        synchronized (control) {
            boolean same = next.epoch() == route.epoch();
            if (next.epoch() < route.epoch() || (same && !next.equals(route))) {
                return CompletableFuture.failedFuture(new IllegalStateException("cache " + settings.cache()
                        + " has the route " + route + " and was told " + next + ": epochs only grow"));
            }
            HoldRound round = holding;
            if (round != null) {
                if (!same) {
                    return notHeld(next);
                }
                undo(round, "it was let go before everything was answered");
                return round.outcome.thenApply(ended -> null);
            }
            if (!held) {
                return same ? CompletableFuture.completedFuture(null) : notHeld(next);
            }
            held = false;
            route = next;
            return onAllLoops(loop -> loop.letGo(next));
        }
    }

    /**
     * Opens connections to where a switch is about to lead, for the clients that are here, while they are still served: {@link
     * #letGo} there finds them. From now until then no client begins to send a large command, and those that are being sent are waited for. Fails with what the fleet answered where one cannot be opened; then, and where it takes too
     * long, the rest is to be given up by {@link #closeAhead}. To be complete before {@link #hold}, which waits for openings.
     */
    public CompletableFuture<Void> openAhead(BackendRoute next) {
        return openAhead(next, "");
    }

    /**
     * As {@link #openAhead(BackendRoute)}, of a switch that will publish {@code mark} to {@link ReservedKeys#SWITCH_CHANNEL} at the fleet
     * in use once all nodes hold; empty where it will not.
     */
    public CompletableFuture<Void> openAhead(BackendRoute next, String mark) {
        List<CompletableFuture<Void>> each = new ArrayList<>();
        for (ProxyLoop loop : loops) {
            CompletableFuture<Void> done = new CompletableFuture<>();
            each.add(done);
            loop.execute(() -> loop.backends().openAhead(next, mark, done));
        }
        // What a client of any loop loads from then on, that loop brings.
        return CompletableFuture.allOf(each.toArray(CompletableFuture<?>[]::new))
                .thenCompose(ready -> {
                    CompletableFuture<Void> brought = new CompletableFuture<>();
                    ProxyLoop first = loops.getFirst();
                    first.execute(() -> first.backends().bringScripts(brought));
                    return brought;
                });
    }

    /** What {@link #openAhead} waits for where a client is sending a large command, in words; empty where none is. */
    public Optional<String> largeCommandUnderWay() {
        String[] any = {null};
        onEachLoop(loop -> any[0] = any[0] == null ? loop.largeCommands().describe() : any[0]);
        return Optional.ofNullable(any[0]);
    }

    /** Closes what {@link #openAhead} has opened, and gives up what it has not. */
    public void closeAhead() {
        loops.forEach(loop -> loop.execute(() -> loop.backends().closeAhead()));
    }

    private CompletableFuture<Void> notHeld(BackendRoute next) {
        return CompletableFuture.failedFuture(new IllegalStateException(
                "cache " + settings.cache() + " is not held and cannot change its route to " + next));
    }

    private CompletableFuture<Void> onAllLoops(Consumer<ProxyLoop> task) {
        CompletableFuture<?>[] done = loops.stream()
                .map(loop -> CompletableFuture.runAsync(() -> task.accept(loop), loop.executor()))
                .toArray(CompletableFuture<?>[]::new);
        return CompletableFuture.allOf(done);
    }

    // --- for how long this node may serve

    /**
     * Clients are served until then, on the environment's monotonic clock ({@link Long#MAX_VALUE}: without end). Every turn of every loop looks at
     * it before anything is sent, and every answer of a fleet is looked at before it is passed on; a process that is stopped between the look and the
     * sending is what remains. Where the time is over already, only {@link #serveAgainUntil} helps. Returns at once.
     */
    public void serveUntil(long nanos) {
        loops.forEach(loop -> loop.execute(() -> loop.serveUntil(nanos)));
    }

    /** Whether the time of {@link #serveUntil} is over: clients wait, without an error. */
    public boolean hasLapsed() {
        boolean[] any = {false};
        onEachLoop(loop -> any[0] |= loop.hasLapsed());
        return any[0];
    }

    /** Goes on serving after the time was over, on the route as it is: whoever says so knows that it is still the right one. */
    public void serveAgainUntil(long nanos) {
        onAllLoops(loop -> loop.serveAgainUntil(nanos)).join();
    }

    // --- what the control plane asks

    /** Sets or, by null, removes the guard. When it returns, every command that is taken from now on is looked at by it. */
    public void guard(@Nullable CommandGuard guard) {
        onAllLoops(loop -> loop.guard(guard)).join();
    }

    /**
     * Sets or, by null, removes what has the last word on new connections. When this returns, every connection that clients do not use yet
     * is looked at by it before they do.
     */
    public void routeCheck(@Nullable RouteCheck check) {
        onAllLoops(loop -> loop.routeCheck(check)).join();
    }

    /**
     * From when {@code route} is in use on, replies to writes are given out once the other fleet has the writes too. Completes once
     * every loop can ask for that, so that nobody waits for it when the route has come; fails where the route's fleet does not answer, and is set all the
     * same: no write is sent there before it does. Another protection for another route replaces it.
     */
    public CompletableFuture<Void> protect(BackendRoute route, Protection protection) {
        List<CompletableFuture<Void>> each = new ArrayList<>();
        for (ProxyLoop loop : loops) {
            CompletableFuture<Void> done = new CompletableFuture<>();
            each.add(done);
            loop.execute(() -> loop.confirmations().set(route, protection, done));
        }
        return CompletableFuture.allOf(each.toArray(CompletableFuture<?>[]::new));
    }

    /** Undoes {@link #protect} for that route, where it is set for it: what is kept is given out. */
    public void unprotect(BackendRoute route) {
        onAllLoops(loop -> loop.confirmations().lift(route)).join();
    }

    /** Undoes {@link #protect}: what is kept is given out. */
    public void unprotect() {
        onAllLoops(loop -> loop.confirmations().lift()).join();
    }

    /**
     * What is kept when clients are let go elsewhere counts as confirmed, since a switch waits until the other fleet has
     * everything. Where that is not so, this comes first: those clients hear that nobody knows.
     */
    public void giveUpKept() {
        onAllLoops(loop -> loop.confirmations().lose("it was left before the other fleet had everything"));
    }

    /** Whether acknowledged writes are on both fleets: what the worst loop says. */
    public ProtectionState protection() {
        ProtectionState[] worst = {ProtectionState.OFF};
        onEachLoop(loop -> {
            ProtectionState state = loop.confirmations().state();
            if (state.compareTo(worst[0]) > 0) {
                worst[0] = state;
            }
        });
        return worst[0];
    }

    /** Names the reserved keys that there may be on the fleets beside the token, so that DBSIZE does not count them. */
    public void reservedKeys(Collection<String> keys) {
        List<String> copy = List.copyOf(keys);
        onAllLoops(loop -> loop.reservedKeys(copy)).join();
    }

    /** The users that connected clients have proven to be, with their passwords; none for those that gave none. */
    public Set<Credential> credentialsInUse() {
        Set<Credential> credentials = new HashSet<>();
        onEachLoop(loop -> loop.sessions().forEach(session -> {
            Credential credential = session.identity.credential();
            if (credential != null) {
                credentials.add(credential);
            }
        }));
        return Set.copyOf(credentials);
    }

    /** What was answered since the proxy was opened. */
    public Traffic traffic() {
        Map<String, FleetTraffic> sums = new HashMap<>();
        onEachLoop(loop -> loop.addTrafficTo(sums));
        return new Traffic(sums);
    }

    /** Which keys clients name most, and which are large, as far as that has passed here: told from a few of the commands. */
    public KeyReport keys() {
        List<KeyTraffic.Counted> counted = new ArrayList<>();
        onEachLoop(loop -> counted.add(loop.keyTraffic().counted()));
        return KeyReport.of(counted, environment.nanoTime());
    }

    /**
     * From now on, or no longer, it is noticed what clients do that a cluster would not do for them ({@link #clusterObstacles}), while the fleet in use is none. What was
     * seen before is forgotten when it is turned off. Off at first: it costs a look at each command. When it returns, every command that is taken from now on is looked at.
     */
    public void watchForCluster(boolean on) {
        onAllLoops(loop -> loop.watchForCluster(on)).join();
    }

    /**
     * What of this node's traffic a cluster would refuse, as seen since {@link #watchForCluster} is on; nothing where it is off. Returns at once; it is completed on an event
     * loop.
     */
    public CompletableFuture<ClusterObstacles> clusterObstacles() {
        List<CompletableFuture<Optional<ObstacleWatch.Seen>>> each = loops.stream()
                .map(loop ->
                        CompletableFuture.supplyAsync(() -> Optional.ofNullable(loop.obstaclesSeen()), loop.executor()))
                .toList();
        return CompletableFuture.allOf(each.toArray(CompletableFuture<?>[]::new))
                .thenApply(all -> ClusterObstacles.of(
                        each.stream()
                                .map(CompletableFuture::join)
                                .flatMap(Optional::stream)
                                .toList(),
                        environment.nanoTime()));
    }

    /** What there is to do, and which limits were met. */
    public ProxyLoad load() {
        int[] counts = new int[3];
        long[] receiving = {0};
        Map<Limit, Long> reached = new EnumMap<>(Limit.class);
        for (Limit limit : Limit.values()) {
            reached.put(limit, limit == Limit.SCRIPT_BYTES ? scripts.forgotten() : 0L);
        }
        onEachLoop(loop -> {
            counts[0] += loop.commandsUnanswered();
            counts[1] += loop.backends().count();
            counts[2] += loop.largeCommands().count();
            receiving[0] += loop.receivingBytes();
            reached.replaceAll((limit, times) -> times + loop.timesReached(limit));
        });
        return new ProxyLoad(clients(), counts[0], counts[1], receiving[0], counts[2], reached);
    }

    /** One loop after the other, so that the task needs no lock. */
    private void onEachLoop(Consumer<ProxyLoop> task) {
        for (ProxyLoop loop : loops) {
            CompletableFuture.runAsync(() -> task.accept(loop), loop.executor()).join();
        }
    }

    /** Commands that were sent and are neither answered nor given up, at some moment of the call. */
    public int commandsUnanswered() {
        int[] sum = {0};
        onEachLoop(loop -> sum[0] += loop.commandsUnanswered());
        return sum[0];
    }

    /** The fleets that could not be reached when clients last needed a connection there. */
    public Set<String> unreachableFleets() {
        return reachability.unreachable();
    }

    /** Connections of clients that are open. */
    public int clients() {
        return clients.get();
    }

    /** Stops listening, closes all connections, ends the loops. */
    @Override
    public void close() {
        listeners.forEach(listener -> listener.close().awaitUninterruptibly());
        addresses.stream().filter(Endpoint::isUnix).forEach(socket -> UnixSocketFile.delete(Path.of(socket.host())));
        onAllLoops(ProxyLoop::close)
                .orTimeout(CLOSE_LIMIT.toSeconds(), TimeUnit.SECONDS)
                .exceptionally(e -> {
                    LOG.warn("cache {}: a loop did not close its connections in time", settings.cache(), e);
                    return null;
                })
                .join();
        group.shutdownGracefully(0, CLOSE_LIMIT.toSeconds(), TimeUnit.SECONDS).awaitUninterruptibly();
    }
}
