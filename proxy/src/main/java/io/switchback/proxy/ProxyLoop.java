package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.channel.EventLoop;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandKeys;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What one event loop knows and owns: its clients, its connections to servers, the route, whether it holds.
 *
 * <p>Everything here is touched by that loop's thread alone, so nothing is volatile or locked; other threads reach it by a
 * task ({@link #execute}). At the end of each turn in which something happened, one task resumes the sessions that can go
 * on and flushes each channel once.
 *
 * <p>Invariant: {@link #commandsUnanswered} is the number of commands that were sent for clients, whether they are still
 * there or not, and neither answered nor given up.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close, write or task is told by other events
final class ProxyLoop {
    /** Whoever looks needs a moment. */
    private static final long LOOK_AGAIN_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private final EventLoop executor;
    private final ProxySettings settings;
    private final Transport transport;
    private final Environment environment;
    private final Reachability reachability;
    private final Scripts scripts;
    private final AllSessions all;
    private final TrafficRecorder traffic = new TrafficRecorder();
    private final KeyTraffic keyTraffic;
    private final Backends backends;
    private final Confirmations confirmations;
    private final LargeCommands largeCommands = new LargeCommands(this);
    private final Runs runs = new Runs();
    private final ShardBatch shardBatch = new ShardBatch();
    private final Outages outages = new Outages(this);
    private final Set<ClientSession> sessions = Collections.newSetFromMap(new IdentityHashMap<>());
    private final ArrayDeque<ClientSession> resumable = new ArrayDeque<>();
    private final List<Flushable> flushable = new ArrayList<>();
    private final Runnable endOfTurn = this::endTurn;

    /** Where the servers of fleets are that are not one server, by the fleet's name. */
    private final Map<String, Topology> topologies = new HashMap<>();
    /** Null where the fleet in use is no cluster. */
    private @Nullable ClusterMap cluster;

    /** What cluster clients are told of; empty for this node alone. */
    private List<PresentedNode> presented = List.of();

    private int nextShard;
    private final CommandKeys keys = new CommandKeys();
    private long lookedAtNanos = Long.MIN_VALUE;

    private BackendRoute route;
    private boolean holding;
    private @Nullable HoldRound round;
    private @Nullable CommandGuard guard;
    private @Nullable RouteCheck routeCheck;
    private @Nullable Memory memory;
    private @Nullable WrittenLately writtenLately;
    private @Nullable Replicas replicas;
    /** Where the fleet in use is a cluster; null exactly where {@link #replicas} is. */
    private @Nullable ShardReplicas shardReplicas;

    private @Nullable ObstacleWatch obstacles;
    private byte[][] existsReserved = {};
    private int commandsUnanswered;
    /** Of those, as far as they have been sent. */
    private long bytesUnanswered;
    /** Until less is unanswered. */
    private final Set<ClientSession> waitingForRoom = new LinkedHashSet<>();

    private int bringing;
    private final Set<BackendOpening> openings = new LinkedHashSet<>();
    private final Set<BackendOpening> openingsWaitingForRoute = new LinkedHashSet<>();
    /** In the order in which they came: so they are sent again after a hold. */
    private final Set<BlockingCommand> blocking = new LinkedHashSet<>();

    private final Map<Limit, Long> limitsReached = new EnumMap<>(Limit.class);

    private long receivingBytes;
    private long performedBytes;
    private long queuedBytes;
    private boolean turnEnds;
    /** {@link Long#MAX_VALUE}, to be compared as it is, where that has no end. */
    private long serveUntilNanos = Long.MAX_VALUE;

    private boolean lapsed;
    /** Connections with commands or replies that were not let through. */
    private final Set<BackendConnection> suspended = new LinkedHashSet<>();
    /** Connections that are not read from, since their clients do not keep up. */
    private final Set<BackendConnection> paused = new LinkedHashSet<>();

    ProxyLoop(
            EventLoop executor,
            ProxySettings settings,
            Transport transport,
            Environment environment,
            Reachability reachability,
            Scripts scripts,
            AllSessions all,
            BackendRoute route,
            boolean holding,
            long secret) {
        this.executor = executor;
        this.settings = settings;
        this.transport = transport;
        this.environment = environment;
        this.reachability = reachability;
        this.scripts = scripts;
        this.all = all;
        this.route = route;
        this.holding = holding;
        this.backends = new Backends(this);
        this.confirmations = new Confirmations(this);
        this.keyTraffic = new KeyTraffic(this, secret);
        reservedKeys(List.of());
        mapCluster();
    }

    EventLoop executor() {
        return executor;
    }

    Transport transport() {
        return transport;
    }

    ProxySettings settings() {
        return settings;
    }

    ProxyLimits limits() {
        return settings.limits();
    }

    Reachability reachability() {
        return reachability;
    }

    long nanoTime() {
        return environment.nanoTime();
    }

    AllSessions all() {
        return all;
    }

    Scripts scripts() {
        return scripts;
    }

    Backends backends() {
        return backends;
    }

    Confirmations confirmations() {
        return confirmations;
    }

    Outages outages() {
        return outages;
    }

    ShardBatch shardBatch() {
        return shardBatch;
    }

    Runs runs() {
        return runs;
    }

    LargeCommands largeCommands() {
        return largeCommands;
    }

    BackendRoute route() {
        return route;
    }

    @Nullable
    CommandGuard guard() {
        return guard;
    }

    boolean isHolding() {
        return holding;
    }

    void execute(Runnable task) {
        executor.execute(task);
    }

    // --- where servers are

    /** Where the fleet's servers are; null where nobody has said so yet. */
    @Nullable
    Topology topology(FleetSpec fleet) {
        Topology seen = topologies.get(fleet.name());
        return seen == null ? Topology.ofItself(fleet).orElse(null) : seen;
    }

    /** Somebody has looked. */
    void topology(String fleet, Topology seen) {
        Topology before = topologies.put(fleet, seen);
        ClusterMap map = cluster;
        if (map != null && route.fleet().name().equals(fleet)) {
            int version = map.version();
            map.seen(seen);
            if (version != map.version()) {
                clusterChanged();
            }
        }
        if (seen instanceof Topology.Replicated(Endpoint primary, var _) && !isPrimary(before, primary)) {
            outages.over(fleet);
            backends.primaryIs(fleet, primary);
            if (route.fleet().name().equals(fleet)) {
                confirmations.primaryIs(primary);
            }
            Replicas former = replicas;
            if (former != null && route.fleet().name().equals(fleet)) {
                former.primaryChanged();
            }
            List.copyOf(openings).forEach(opening -> opening.primaryIs(fleet, primary));
        }
    }

    /** A slot is at another server: some of those may not have been told what clients want of each. */
    void clusterChanged() {
        ShardReplicas known = shardReplicas;
        ClusterMap map = cluster;
        if (known != null && map != null) {
            known.mapChanged(map);
        }
        confirmations.clusterChanged();
        sessions.stream()
                .filter(session ->
                        session.shardTracking.isOn() || session.monitor.isOn() || !session.subscriptions.isEmpty())
                .forEach(this::resumeLater);
    }

    private static boolean isPrimary(@Nullable Topology topology, Endpoint server) {
        return topology instanceof Topology.Replicated(Endpoint primary, var _) && primary.equals(server);
    }

    private void mapCluster() {
        cluster = null;
        if (route.fleet().address() instanceof FleetAddress.Cluster) {
            ClusterMap map = new ClusterMap();
            map.seen(topology(route.fleet()));
            cluster = map;
        }
    }

    /** Whether the fleet in use is a cluster. */
    boolean isSharded() {
        return cluster != null;
    }

    /** Who has which slot; null where the fleet in use is no cluster. */
    @Nullable
    ClusterMap cluster() {
        return cluster;
    }

    /** The nodes that clients are told of beside this one. */
    List<PresentedNode> otherNodes() {
        return presented.stream()
                .filter(node -> !node.name().equals(settings.node()))
                .toList();
    }

    void present(List<PresentedNode> nodes) {
        presented = nodes;
    }

    CommandKeys keys() {
        return keys;
    }

    /** Another one each time, so that no shard is asked more often than the others. */
    int nextShard() {
        return nextShard++;
    }

    /** Somebody should look at the fleet in use, where there is somebody who can; not more often than every {@link #LOOK_AGAIN_NANOS}. */
    void lookAgain() {
        long now = nanoTime();
        if (lookedAtNanos == Long.MIN_VALUE || now - lookedAtNanos >= LOOK_AGAIN_NANOS) {
            lookedAtNanos = now;
            outages.doubt(route.fleet());
        }
    }

    // --- turns

    /** The session is pumped before this turn ends. */
    void resumeLater(ClientSession session) {
        if (session.markResumable()) {
            resumable.add(session);
            endTurnSoon();
        }
    }

    /** The channel is flushed before this turn ends. */
    void flushLater(Flushable channel) {
        flushable.add(channel);
        endTurnSoon();
    }

    void endTurnSoon() {
        if (!turnEnds) {
            turnEnds = true;
            executor.execute(endOfTurn);
        }
    }

    private void endTurn() {
        turnEnds = false;
        for (ClientSession session = resumable.poll(); session != null; session = resumable.poll()) {
            session.resume();
        }
        confirmations.endOfTurn();
        for (int i = 0; i < flushable.size(); i++) {
            flushable.get(i).flushNow();
        }
        flushable.clear();
        reportQuiet();
    }

    // --- for how long this node may serve

    /** Whether the time is over; then nothing is sent to a fleet, and nothing that comes from one is believed. */
    boolean hasLapsed() {
        if (!lapsed && serveUntilNanos != Long.MAX_VALUE && serveUntilNanos - nanoTime() <= 0) {
            lapsed = true;
        }
        return lapsed;
    }

    /** Only where it is not over yet: what may have happened since, somebody has to look at first. */
    void serveUntil(long nanos) {
        if (!hasLapsed()) {
            serveUntilNanos = nanos;
        }
    }

    /** It was looked at. */
    void serveAgainUntil(long nanos) {
        serveUntilNanos = nanos;
        lapsed = false;
        for (BackendConnection waiting : List.copyOf(suspended)) {
            if (hasLapsed()) {
                return;
            }
            suspended.remove(waiting);
            waiting.goOn();
        }
        sessions.forEach(this::resumeLater);
    }

    void suspended(BackendConnection connection) {
        suspended.add(connection);
    }

    void pausedReading(BackendConnection connection) {
        paused.add(connection);
    }

    void readsOn(BackendConnection connection) {
        paused.remove(connection);
    }

    void noLongerSuspended(BackendConnection connection) {
        suspended.remove(connection);
    }

    // --- clients

    void opened(ClientSession session) {
        sessions.add(session);
    }

    void closed(ClientSession session) {
        sessions.remove(session);
        largeCommands.forget(session);
        backends.forget(session);
        Replicas known = replicas;
        if (known != null) {
            known.forget(session);
        }
        ShardReplicas ofShards = shardReplicas;
        if (ofShards != null) {
            ofShards.forget(session);
        }
        waitingForRoom.remove(session);
    }

    Set<ClientSession> sessions() {
        return sessions;
    }

    void receivingBytesChanged(int by) {
        receivingBytes += by;
    }

    long receivingBytes() {
        return receivingBytes;
    }

    /** Long commands are kept until they are answered, or not any more. */
    void performedBytesChanged(int by) {
        performedBytes += by;
    }

    boolean mayPerform(int bytes) {
        return performedBytes + bytes <= limits().performedBytesPerLoopMax();
    }

    /** The long queues of MULTI have grown or gone. */
    void queuedBytesChanged(int by) {
        queuedBytes += by;
    }

    boolean mayQueue(int more) {
        return more <= 0 || queuedBytes + more <= limits().queuedBytesPerLoopMax();
    }

    /** Too much is being received: whoever holds most of it has to go. */
    void closeLargestReceiverIfTooMuch() {
        if (receivingBytes > limits().receivingBytesPerLoopMax()) {
            reached(Limit.RECEIVING_BYTES);
            sessions.stream()
                    .max(Comparator.comparingInt(ClientSession::receivingBytes))
                    .ifPresent(ClientSession::closeAsLargestReceiver);
        }
    }

    // --- what is unanswered

    void sent(int commands, int bytes) {
        if (holding) {
            throw new IllegalStateException("a command is sent while the loop holds");
        }
        commandsUnanswered += commands;
        bytesUnanswered += bytes;
    }

    void settled(int commands, int bytes) {
        if (commands > commandsUnanswered) {
            throw new IllegalStateException("more commands are answered than were sent");
        }
        commandsUnanswered -= commands;
        bytesUnanswered -= bytes;
        if (!waitingForRoom.isEmpty() && bytesUnanswered < limits().unansweredBytesPerLoopMax() / 2 + 1) {
            waitingForRoom.forEach(this::resumeLater);
            waitingForRoom.clear();
        }
        if (holding) {
            endTurnSoon();
        }
    }

    /** Whether more may be sent over connections that clients have to themselves. */
    boolean hasRoom() {
        return bytesUnanswered < limits().unansweredBytesPerLoopMax();
    }

    /** The session is resumed once there is room. */
    void awaitRoom(ClientSession session) {
        reached(Limit.UNANSWERED_BYTES);
        waitingForRoom.add(session);
    }

    /** The command waits at its server, which a hold has to end. */
    void blocks(BlockingCommand command) {
        blocking.add(command);
    }

    void blocksNoLonger(BlockingCommand command) {
        blocking.remove(command);
    }

    /** Something is being brought where a switch leads, and a hold waits for it. */
    void bringingBegan() {
        bringing++;
    }

    void bringingEnded() {
        bringing--;
        if (holding) {
            endTurnSoon();
        }
    }

    void openingStarted(BackendOpening opening) {
        openings.add(opening);
    }

    /** It stands, and must not be used yet: a hold does not wait for it any more. */
    void openingWaitsForRoute(BackendOpening opening) {
        openingsWaitingForRoute.add(opening);
        openings.remove(opening);
        if (holding) {
            endTurnSoon();
        }
    }

    void openingEnded(BackendOpening opening) {
        openingsWaitingForRoute.remove(opening);
        openings.remove(opening);
        if (holding) {
            endTurnSoon();
        }
    }

    int commandsUnanswered() {
        return commandsUnanswered;
    }

    private boolean isQuiet() {
        return commandsUnanswered == 0 && bringing == 0 && openings.isEmpty();
    }

    // --- hold and let go

    /** From now on nothing is sent; the round hears of it once everything sent has been answered. */
    void hold(HoldRound begun) {
        holding = true;
        round = begun;
        forgetReads();
        Replicas known = replicas;
        if (known != null) {
            known.hold();
        }
        ShardReplicas ofShards = shardReplicas;
        if (ofShards != null) {
            ofShards.hold();
        }
        blocking.forEach(BlockingCommand::unblock);
        List.copyOf(paused).stream()
                .filter(connection ->
                        !connection.isQuiet()) // clients' commands, and what a switch has asked for itself
                .forEach(BackendConnection::readOn);
        reportQuiet();
    }

    /** Waits no longer for a fleet that does not answer: what was sent to it is lost. */
    void giveUpUnanswered() {
        confirmations.lose("it does not answer and is being left");
        backends.giveUpUnanswered();
        List.copyOf(openings).forEach(BackendOpening::giveUp);
    }

    private void reportQuiet() {
        HoldRound waiting = round;
        if (waiting != null && isQuiet()) {
            round = null;
            waiting.loopIsQuiet();
        }
    }

    /** What keeps this loop from being quiet; null where nothing does. */
    @Nullable
    String unanswered() {
        if (isQuiet()) {
            return null;
        }
        if (commandsUnanswered > 0) {
            return backends.describeOldest();
        }
        return openings.isEmpty()
                ? "subscriptions or scripts are not confirmed"
                : openings.iterator().next().describe();
    }

    /** Commands flow again, to {@code next}. */
    void letGo(BackendRoute next) {
        round = null;
        boolean changed = next.epoch() != route.epoch();
        if (changed) {
            forgetReads();
            route = next;
            Replicas known = replicas;
            if (known != null) {
                known.routeChanged();
            }
            ShardReplicas ofShards = shardReplicas;
            if (ofShards != null) {
                ofShards.routeChanged();
            }
            mapCluster();
            confirmations.routeChanged(next);
            sessions.forEach(ClientSession::routeChanged);
        }
        holding = false;
        largeCommands.switchIsOver();
        blocking.forEach(command -> resumeLater(command.session));
        sessions.forEach(this::resumeLater);
        if (changed) {
            backends.routeChanged();
            List.copyOf(openingsWaitingForRoute).forEach(BackendOpening::supersede);
        } else {
            backends.closeAhead();
        }
    }

    /** EXISTS of every reserved key whose name is known. */
    byte[][] existsReserved() {
        return existsReserved;
    }

    void reservedKeys(List<String> keys) {
        existsReserved = Stream.concat(Stream.of("EXISTS", ReservedKeys.TOKEN), keys.stream())
                .map(name -> name.getBytes(UTF_8))
                .toArray(byte[][]::new);
    }

    void guard(@Nullable CommandGuard next) {
        guard = next;
    }

    @Nullable
    RouteCheck routeCheck() {
        return routeCheck;
    }

    void routeCheck(@Nullable RouteCheck next) {
        routeCheck = next;
    }

    // --- reading from memory

    /** From now on reads may be answered from memory; {@code written} is the same for all loops. */
    void remember(Memory reads, WrittenLately written) {
        memory = reads;
        writtenLately = written;
    }

    @Nullable
    Memory memory() {
        return memory;
    }

    /** Replies to a run that may write have come, and have not been passed on. */
    void writesAnswered(Run run) {
        WrittenLately written = writtenLately;
        if (written != null) {
            written.answered(run);
        }
    }

    private void forgetReads() {
        Memory reads = memory;
        if (reads != null) {
            reads.forgetEverything();
        }
    }

    // --- reading from replicas

    /** From now on reads may be answered by replicas. */
    void readFrom(Replicas ofFleet, ShardReplicas ofShards) {
        replicas = ofFleet;
        shardReplicas = ofShards;
    }

    /** Null where the cache does not want it. */
    @Nullable
    Replicas replicas() {
        return replicas;
    }

    /** As {@link #replicas}, of each shard where the fleet in use is a cluster. */
    @Nullable
    ShardReplicas shardReplicas() {
        return shardReplicas;
    }

    /** The replica of the fleet in use to which connections with that key lead; null where they lead to none. */
    @Nullable
    Replica replica(ConnectionKey key, BackendRoute of) {
        Replicas known = replicas;
        ShardReplicas ofShards = shardReplicas;
        if (!key.reads() || known == null || ofShards == null || of.epoch() != route.epoch()) {
            return null;
        }
        return isSharded() ? ofShards.at(key.server()) : known.at(key.server());
    }

    // --- what a cluster would not do

    /** It is looked for from now on, or not any more. */
    void watchForCluster(boolean on) {
        if (!on) {
            obstacles = null;
        } else if (obstacles == null) {
            obstacles = new ObstacleWatch(this);
        }
    }

    /** Null where nobody wants to know, or the fleet in use is a cluster. */
    @Nullable
    ObstacleWatch obstacles() {
        return cluster == null ? obstacles : null;
    }

    /** What was seen; null where it is not looked for. */
    ObstacleWatch.@Nullable Seen obstaclesSeen() {
        ObstacleWatch watch = obstacles;
        return watch == null ? null : watch.seen();
    }

    // --- traffic

    KeyTraffic keyTraffic() {
        return keyTraffic;
    }

    void reached(Limit limit) {
        limitsReached.merge(limit, 1L, Long::sum);
    }

    long timesReached(Limit limit) {
        return limitsReached.getOrDefault(limit, 0L);
    }

    TrafficRecorder.Counts trafficOf(String fleet) {
        return traffic.of(fleet);
    }

    /** What counts for the fleet of the route. */
    TrafficRecorder.Counts routeTraffic() {
        return traffic.of(route.fleet().name());
    }

    void addTrafficTo(Map<String, FleetTraffic> sums) {
        traffic.addTo(sums);
    }

    /** Closes what this loop owns. */
    void close() {
        List.copyOf(sessions).forEach(ClientSession::close);
        confirmations.close();
        backends.close();
        forgetReads();
    }
}
