package io.switchback.fleet;

import io.switchback.environment.Environment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps an eye on how far the replicas of a fleet in use have come: asks each primary for its offset, then each of its replicas for what it has
 * applied ({@link PrimaryOffsets} says what follows from that). A cluster has several primaries, each with offsets and a history of its own, which
 * have nothing to do with those of the others; what is told is told of one primary and its replicas.
 *
 * <p>Which replicas there are, the sentinels or the cluster's nodes say; of a single server it says so itself (INFO replication). Links have no
 * address there (port 0) and never count. Each is believed only if it says itself that it is a replica in the same history as its primary: an
 * address may lead to another server than the primary means. And a primary is believed only if it says that it is one.
 *
 * <p>One platform thread says when it is time, and a virtual thread each asks a primary or a replica, so that a silent one keeps nobody waiting. The
 * listener is told after each answer, by whichever thread has it, one at a time; it must not block. Who lags, or is of no use for another reason,
 * is said once in the log, and once more that it is over. While the fleet is not in use nobody is asked, and what was known is forgotten.
 */
public final class ReplicaWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicaWatch.class);

    /** Two looks are never closer together, however many clients wait for one. */
    private static final Duration BETWEEN = Duration.ofMillis(2);
    /** How often is looked where nobody asks for it: so many times within the greatest lag that is allowed. */
    private static final int LOOKS_PER_LAG = 20;

    private static final Duration EVERY_MIN = Duration.ofMillis(5);
    private static final Duration EVERY_MAX = Duration.ofMillis(100);

    /** More replicas of one primary are not asked. */
    static final int REPLICAS_MAX = 32;

    /** More primaries of a cluster are not asked: reads of the others' slots go to primaries. */
    static final int PRIMARIES_MAX = 128;

    /** One that is named no longer is asked for so long: so its name stands in the log with why. */
    private static final Duration ASKED_ON = Duration.ofMinutes(1);

    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(5);

    private final String cache;
    private final FleetSpec fleet;
    private final Duration lagMax;
    private final Duration every;
    private final Environment environment;
    private final BooleanSupplier isInUse;
    private final Supplier<Optional<Topology>> topology;
    private final Consumer<ReplicaReport> listener;
    private final Semaphore asked = new Semaphore(0);
    private final Thread thread;
    private final ExecutorService threads;
    private volatile boolean closed;

    /** Guards what is below it, and what is in it. */
    private final Object lock = new Object();

    private final Map<Endpoint, Followed> primaries = new HashMap<>();

    /** A primary whose offsets are asked for, and its replicas. */
    private static final class Followed {
        final Endpoint primary;
        /** Of the thread that asks, of which there is one at a time. */
        @Nullable
        ServerConnection connection;

        boolean isBeingAsked;
        boolean isGone;
        final PrimaryOffsets offsets = new PrimaryOffsets();
        final Map<Endpoint, Asked> replicas = new HashMap<>();
        String history = "";
        boolean isSilent;
        long answeredNanos;

        Followed(Endpoint primary) {
            this.primary = primary;
        }
    }

    /** A replica that is asked, and what it has said. */
    private static final class Asked {
        final Followed of;
        final Endpoint server;
        /** Of the thread that asks, of which there is one at a time. */
        @Nullable
        ServerConnection connection;

        boolean isBeingAsked;
        boolean isGone;
        /** Whether, and when, it was named for the last time. */
        boolean isNamed = true;

        long namedNanos;
        ReplicaReport.Replica last;
        /** Since when it is of no use; {@link Long#MIN_VALUE} where it is. */
        long uselessSinceNanos = Long.MIN_VALUE;

        boolean isSaid;

        Asked(Followed of, Endpoint server, long nowNanos) {
            this.of = of;
            this.server = server;
            this.namedNanos = nowNanos;
            this.last = new ReplicaReport.Replica(
                    server, nowNanos, OptionalLong.empty(), false, -1, "it has not answered yet");
        }
    }

    /** What a primary has said. */
    private record Said(ReplicationState state, List<Endpoint> replicas) {}

    private ReplicaWatch(
            String cache,
            FleetSpec fleet,
            Duration lagMax,
            Environment environment,
            BooleanSupplier isInUse,
            Supplier<Optional<Topology>> topology,
            Consumer<ReplicaReport> listener) {
        this.cache = cache;
        this.fleet = fleet;
        this.lagMax = lagMax;
        Duration often = lagMax.dividedBy(LOOKS_PER_LAG);
        this.every = often.compareTo(EVERY_MIN) < 0 ? EVERY_MIN : often.compareTo(EVERY_MAX) > 0 ? EVERY_MAX : often;
        this.environment = environment;
        this.isInUse = isInUse;
        this.topology = topology;
        this.listener = listener;
        this.threads = Executors.newThreadPerTaskExecutor(
                Thread.ofVirtual().name("asks a server ", 1).factory());
        this.thread = Thread.ofPlatform()
                .daemon()
                .name("replicas of fleet " + fleet.name())
                .unstarted(this::watch);
    }

    /**
     * Begins to watch.
     *
     * @param cache for messages
     * @param lagMax from where on a replica is said to lag
     * @param isInUse whether clients are served by this fleet; asked before each look
     * @param topology where the fleet's servers are
     */
    public static ReplicaWatch start(
            String cache,
            FleetSpec fleet,
            Duration lagMax,
            Environment environment,
            BooleanSupplier isInUse,
            Supplier<Optional<Topology>> topology,
            Consumer<ReplicaReport> listener) {
        ReplicaWatch watch = new ReplicaWatch(cache, fleet, lagMax, environment, isInUse, topology, listener);
        watch.thread.start();
        return watch;
    }

    /** Somebody waits for the replicas to catch up. Returns at once; several that ask in short order are answered by one look. */
    public void lookSoon() {
        if (asked.availablePermits() == 0) {
            asked.release();
        }
    }

    private void watch() {
        try {
            while (!closed) {
                follow(isInUse.getAsBoolean() ? shards(topology.get().orElse(null)) : List.of());
                environment.sleep(BETWEEN);
                var _ = asked.tryAcquire(every.toMillis(), TimeUnit.MILLISECONDS);
            }
        } catch (InterruptedException e) {
            // It is closed.
        } finally {
            follow(List.of());
        }
    }

    /** The primaries with those that are said to follow them. */
    private static List<Topology.Shard> shards(@Nullable Topology topology) {
        return switch (topology) {
            case Topology.Replicated(Endpoint primary, List<Endpoint> replicas) ->
                List.of(new Topology.Shard(primary, replicas));
            case Topology.Sharded(List<Topology.Shard> shards, int[] _) ->
                shards.size() <= PRIMARIES_MAX ? shards : shards.subList(0, PRIMARIES_MAX);
            case null -> List.of();
        };
    }

    /** Asks these, and forgets what the others have said. */
    private void follow(List<Topology.Shard> shards) {
        synchronized (lock) {
            Set<Endpoint> named = new HashSet<>();
            shards.forEach(shard -> named.add(shard.primary()));
            primaries.values().removeIf(one -> {
                one.isGone = !named.contains(one.primary);
                if (one.isGone) {
                    keepOnly(one, List.of(), Duration.ZERO);
                    if (!one.isBeingAsked) {
                        closeConnection(one);
                    }
                }
                return one.isGone;
            });
            for (Topology.Shard shard : shards) {
                Followed one = primaries.computeIfAbsent(shard.primary(), Followed::new);
                if (!one.isBeingAsked) {
                    one.isBeingAsked = true;
                    threads.execute(() -> look(one, shard));
                }
            }
        }
    }

    private void look(Followed one, Topology.Shard shard) {
        long before = environment.nanoTime();
        Said said = askPrimary(one);
        synchronized (lock) {
            one.isBeingAsked = false;
            if (one.isGone || closed) {
                closeConnection(one);
                return;
            }
            one.isSilent = said == null;
            if (said != null && said.state().role() == ReplicationState.Role.PRIMARY) {
                if (!said.state().id().equals(one.history)) {
                    one.history = said.state().id();
                    one.offsets.forget();
                }
                one.offsets.seen(said.state().offset(), before);
                one.answeredNanos = before;
                // Whom a silent primary had, it has still.
                keepOnly(one, isSingle() ? said.replicas() : shard.replicas(), ASKED_ON);
            }
            for (Asked replica : one.replicas.values()) {
                if (!replica.isBeingAsked) {
                    replica.isBeingAsked = true;
                    threads.execute(() -> ask(replica));
                }
            }
            tell(one);
        }
    }

    /** Nobody but the primary itself knows its replicas. */
    private boolean isSingle() {
        return fleet.address() instanceof FleetAddress.Standalone;
    }

    private void keepOnly(Followed primary, List<Endpoint> servers, Duration askedOn) {
        List<Endpoint> kept = servers.stream().limit(REPLICAS_MAX).toList();
        Map<Endpoint, Asked> replicas = primary.replicas;
        long now = environment.nanoTime();
        replicas.values().removeIf(one -> {
            one.isNamed = kept.contains(one.server);
            one.namedNanos = one.isNamed ? now : one.namedNanos;
            boolean isAskedOn = now - one.namedNanos < askedOn.toNanos() && replicas.size() <= REPLICAS_MAX;
            one.isGone = !one.isNamed && !isAskedOn;
            if (one.isGone && !one.isBeingAsked) {
                closeConnection(one);
            }
            return one.isGone;
        });
        kept.forEach(server -> replicas.computeIfAbsent(server, any -> new Asked(primary, server, now)));
    }

    private static void closeConnection(Asked one) {
        ServerConnection known = one.connection;
        if (known != null) {
            known.close();
            one.connection = null;
        }
    }

    private static void closeConnection(Followed one) {
        ServerConnection known = one.connection;
        if (known != null) {
            known.close();
            one.connection = null;
        }
    }

    private @Nullable Said askPrimary(Followed one) {
        try {
            ServerConnection known = one.connection;
            if (known != null) {
                try {
                    return said(known);
                } catch (FleetException e) {
                    known.close(); // it may have broken since, which says nothing about the server
                }
            }
            one.connection = null;
            ServerConnection made = open(one.primary);
            one.connection = made;
            return said(made);
        } catch (FleetException e) {
            closeConnection(one);
            return null;
        }
    }

    private ServerConnection open(Endpoint server) {
        return ServerConnection.open(server, fleet.credential(), fleet.tls(), FleetSight.ANSWER_LIMIT);
    }

    private static Said said(ServerConnection connection) {
        InfoReport info = InfoReport.read(connection, "replication");
        ReplicationState state = ReplicationState.of(info);
        return new Said(state, addressable(info, state.attachedReplicas()));
    }

    /** {@code slave0:ip=10.0.0.6,port=6379,state=online,…}; a link that has no port, or cannot be reached from here, is none. */
    static List<Endpoint> addressable(InfoReport info, int attached) {
        List<Endpoint> servers = new ArrayList<>();
        for (int i = 0; i < attached; i++) {
            Map<String, String> fields = new HashMap<>();
            for (String field : info.text("slave" + i, "").split(",", -1)) {
                int equals = field.indexOf('=');
                if (equals > 0) {
                    fields.put(field.substring(0, equals), field.substring(equals + 1));
                }
            }
            String port = fields.getOrDefault("port", "0");
            boolean isOnline = "online".equals(fields.get("state"));
            String host = fields.getOrDefault("ip", "");
            if (isOnline && !host.isEmpty() && port.matches("[1-9][0-9]{0,4}")) {
                servers.add(new Endpoint(host, Integer.parseInt(port)));
            }
        }
        servers.sort(Comparator.comparing(Endpoint::toString));
        return servers;
    }

    private void ask(Asked one) {
        long before = environment.nanoTime();
        ReplicationState state = null;
        String failure = "";
        try {
            state = stateOf(one);
        } catch (FleetException e) {
            closeConnection(one);
            failure = String.valueOf(e.getMessage());
        }
        synchronized (lock) {
            one.isBeingAsked = false;
            if (one.isGone || closed) {
                closeConnection(one);
                return;
            }
            one.last = seen(one, before, state, failure);
            judge(one);
            tell(one.of);
        }
    }

    private ReplicationState stateOf(Asked one) {
        ServerConnection known = one.connection;
        if (known != null) {
            try {
                return ReplicationState.read(known);
            } catch (FleetException e) {
                known.close();
                one.connection = null;
            }
        }
        ServerConnection made = open(one.server);
        one.connection = made;
        return ReplicationState.read(made);
    }

    private ReplicaReport.Replica seen(Asked one, long before, @Nullable ReplicationState state, String failure) {
        Endpoint server = one.server;
        OptionalLong unknown = OptionalLong.empty();
        if (state == null) {
            return new ReplicaReport.Replica(server, before, unknown, false, -1, failure);
        }
        if (state.role() != ReplicationState.Role.REPLICA) {
            return new ReplicaReport.Replica(server, before, unknown, false, -1, "it says that it is a primary");
        }
        PrimaryOffsets offsets = one.of.offsets;
        if (!state.id().equals(one.of.history)) {
            return new ReplicaReport.Replica(
                    server, before, unknown, state.linkUp(), -1, "it follows another primary, or this one not yet");
        }
        if (!one.isNamed && !isSingle()) {
            return new ReplicaReport.Replica(
                    server, before, unknown, state.linkUp(), -1, "those who watch its fleet do not count on it");
        }
        OptionalLong until = offsets.hasAllUntil(state.offset());
        long behind = offsets.last().isEmpty() ? -1 : Math.max(0, offsets.last().getAsLong() - state.offset());
        String problem = "";
        if (!state.linkUp()) {
            problem = "its link to the primary is down";
        } else if (until.isEmpty()) {
            problem = "it is " + behind + " bytes behind, since before it was first looked at";
        } else if (environment.nanoTime() - until.getAsLong() > lagMax.toNanos()) {
            problem = "it is " + behind + " bytes and "
                    + TimeUnit.NANOSECONDS.toMillis(environment.nanoTime() - until.getAsLong())
                    + " ms behind, and may be " + lagMax.toMillis() + " ms";
        }
        return new ReplicaReport.Replica(server, before, until, state.linkUp(), behind, problem);
    }

    /** Says who is of no use for longer than a moment. */
    private void judge(Asked one) {
        if (one.last.problem().isEmpty()) {
            one.uselessSinceNanos = Long.MIN_VALUE;
            if (one.isSaid) {
                one.isSaid = false;
                LOG.info("cache {}: replica {} of fleet {} is of use again", cache, one.server, fleet.name());
            }
            return;
        }
        long now = environment.nanoTime();
        if (one.uselessSinceNanos == Long.MIN_VALUE) {
            one.uselessSinceNanos = now;
        } else if (!one.isSaid && now - one.uselessSinceNanos > lagMax.toNanos()) {
            one.isSaid = true;
            LOG.warn(
                    "cache {}: nothing is read from replica {} of fleet {}: {}",
                    cache,
                    one.server,
                    fleet.name(),
                    one.last.problem());
        }
    }

    private void tell(Followed one) {
        if (!one.isGone && !closed) {
            listener.accept(new ReplicaReport(
                    one.primary,
                    one.isSilent,
                    one.answeredNanos,
                    one.replicas.values().stream()
                            .map(replica -> replica.last)
                            .sorted(Comparator.comparing(
                                    replica -> replica.server().toString()))
                            .toList()));
        }
    }

    @Override
    public void close() {
        closed = true;
        thread.interrupt();
        try {
            if (!thread.join(CLOSE_LIMIT)) {
                LOG.warn("the watch of the replicas of fleet {} did not end in time", fleet.name());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        synchronized (lock) { // who holds it may have one more begin
            threads.shutdown();
        }
    }
}
