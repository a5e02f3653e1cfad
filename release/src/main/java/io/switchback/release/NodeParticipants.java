package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.Topology;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.FleetTraffic;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.sync.apply.ApplyLink;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All caches of this node as participants of switches, and what keeps this node in step with the ledger: a cache that is in a release is armed, one
 * whose route has changed without this node is led there.
 *
 * <p>{@link #resume} and {@link #look} are for one thread at a time, which may block; questions come from any thread.
 */
final class NodeParticipants implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(NodeParticipants.class);
    /** How long a node that has missed a switch holds its clients for their last replies from the fleet that was left. */
    private static final Duration ADOPTION_HOLD_MAX = Duration.ofSeconds(2);
    /** How often a cache in a release that has to do with a cluster is looked at for other shards. */
    private static final Duration SHARD_LOOK = Duration.ofSeconds(5);

    private final Map<String, ManagedCache> caches;
    private final Nodes nodes;
    private final Ledger ledger;
    /** Keeps a copy of the routes, for a person who has nothing but this node's data folder left. */
    private final Ledger ownLedger;

    private final ReleaseStore store;
    private final Environment environment;
    private final ScheduledExecutorService clock;
    private final Map<String, CacheParticipant> participants = new LinkedHashMap<>();
    private final Map<String, LedgerRouteCheck> routeChecks = new LinkedHashMap<>();
    /** The release that each cache is armed for. */
    private final Map<String, String> armedFor = new LinkedHashMap<>();
    /** The keys of links that the proxy was told of, by caches that are armed. */
    private final Map<String, List<String>> reservedFor = new LinkedHashMap<>();

    private final Map<String, Deadline> nextShardLook = new LinkedHashMap<>();
    /** The release for which each cache's clients are looked at for what a cluster would refuse. */
    private final Map<String, String> watchedFor = new ConcurrentHashMap<>();

    NodeParticipants(
            Map<String, ManagedCache> caches, Nodes nodes, Ledger ledger, Ledger ownLedger, Environment environment) {
        this.caches = caches;
        this.nodes = nodes;
        this.ledger = ledger;
        this.ownLedger = ownLedger;
        this.store = new ReleaseStore(ledger, environment);
        this.environment = environment;
        this.clock = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().daemon().name("switch clock").factory());
        for (ManagedCache cache : caches.values()) {
            participants.put(cache.name(), new CacheParticipant(cache, nodes, ledger, ownLedger, environment, clock));
            routeChecks.put(cache.name(), new LedgerRouteCheck(nodes.self().node(), cache.name(), ledger, store));
        }
    }

    // ---- questions

    CompletionStage<byte[]> answer(String subject, byte[] question) {
        return switch (subject) {
            case SwitchMessages.READY -> {
                MakeReady asked = ReleaseStore.value(question, MakeReady.class);
                yield bytes(participant(asked.part().cache()).makeReady(asked));
            }
            case SwitchMessages.PREPARE ->
                of(
                        question,
                        SwitchMessages.Prepare.class,
                        asked -> participant(asked.cache()).prepare(asked));
            case SwitchMessages.PRE_COMMIT ->
                of(
                        question,
                        SwitchMessages.PreCommit.class,
                        asked -> participant(asked.cache()).preCommit(asked));
            case SwitchMessages.TELL ->
                of(
                        question,
                        SwitchMessages.Tell.class,
                        asked -> participant(asked.cache()).tell(asked));
            case SwitchMessages.PEER ->
                of(
                        question,
                        SwitchMessages.PeerQuestion.class,
                        asked -> participant(SwitchMessages.cacheOf(asked.asked()))
                                .peer(asked));
            case NodeTraffic.SUBJECT ->
                of(
                        question,
                        NodeTraffic.Question.class,
                        asked -> Answering.waiting(() -> NodeTraffic.Answer.of(traffic(asked))));
            case ClusterUse.SUBJECT -> of(question, ClusterUse.Question.class, this::clusterUse);
            case FleetPulse.SUBJECT ->
                of(
                        question,
                        FleetPulse.Question.class,
                        asked -> Answering.waiting(() -> new FleetPulse.Answer(
                                FleetPulse.sign(cache(asked.cache()).fleet(asked.fleet())))));
            default ->
                CompletableFuture.failedStage(
                        new IllegalArgumentException("this node does not know the question \"" + subject + "\""));
        };
    }

    private static <Q, A> CompletionStage<byte[]> of(
            byte[] question, Class<Q> type, Function<Q, CompletionStage<A>> answering) {
        return bytes(answering.apply(ReleaseStore.value(question, type)));
    }

    private static <A> CompletionStage<byte[]> bytes(CompletionStage<A> answer) {
        return answer.thenApply(ReleaseStore::bytes);
    }

    private CacheParticipant participant(String cache) {
        CacheParticipant participant = participants.get(cache);
        if (participant == null) {
            throw new ReleaseException(
                    ReleaseException.Code.UNKNOWN,
                    "node " + nodes.self().node() + " serves no cache \"" + cache + "\"");
        }
        return participant;
    }

    private CompletionStage<ClusterUse.Answer> clusterUse(ClusterUse.Question asked) {
        CacheProxy proxy = cache(asked.cache()).proxy();
        return Answering.waiting(() -> {
            String before = watchedFor.put(asked.cache(), asked.release());
            if (before != null && !before.equals(asked.release())) {
                // It ended so shortly before this one began that no look came between.
                proxy.watchForCluster(false);
            }
            proxy.watchForCluster(true);
            ClusterUse.Answer answer =
                    new ClusterUse.Answer(proxy.clusterObstacles().join());
            if (asked.afresh()) {
                proxy.watchForCluster(false);
                proxy.watchForCluster(true);
            }
            return answer;
        });
    }

    private FleetTraffic traffic(NodeTraffic.Question asked) {
        return cache(asked.cache()).proxy().traffic().of(asked.fleet());
    }

    private ManagedCache cache(String name) {
        return Optional.ofNullable(caches.get(name))
                .orElseThrow(() -> new ReleaseException(
                        ReleaseException.Code.UNKNOWN,
                        "node " + nodes.self().node() + " serves no cache \"" + name + "\""));
    }

    // ---- in step with the ledger

    /** Goes on where this node stood when it ended: closes a switch that it was in, guards the way back, and lets go. */
    void resume() {
        long lastNumber = ReleaseStore.switchNumbers(ledger).last();
        for (CacheParticipant participant : participants.values()) {
            Optional<ReleaseState> state = state(participant.cacheName());
            Optional<MakeReady> open = state.map(ReleaseState::pendingSwitch)
                    .flatMap(pending -> pending.readiness(participant.cacheName()));
            participant.resume(open, lastNumber);
            if (!participant.isInSwitch()) {
                serve(participant, state);
            }
        }
    }

    /** No client may write to the new fleet what the way back could not carry; an old fleet that does not answer is not waited for. */
    private void serve(CacheParticipant participant, Optional<ReleaseState> state) {
        ManagedCache cache = cache(participant.cacheName());
        state.filter(known -> known.side() == Side.NEW).ifPresent(known -> {
            guard(participant, known.release());
            participant.protecting().set(known.release(), cache.proxy().route());
        });
        try {
            promoteWhatIsDecided(cache, state);
        } catch (FleetException | ReleaseException e) {
            LOG.warn("cache {}: {}; its release goes on with it", cache.name(), e.getMessage());
        }
        cache.proxy().letGo(cache.proxy().route()).join();
    }

    private Optional<ReleaseState> state(String cache) {
        return store.owner(cache)
                .flatMap(store::state)
                .filter(state -> !state.status().ended());
    }

    /** Does what the ledger asks for and this node has not done yet; what cannot be done now is done at a later look. */
    void look() {
        for (CacheParticipant participant : participants.values()) {
            try {
                look(participant);
            } catch (FleetException | ReleaseException e) {
                LOG.warn("cache {}: {}", participant.cacheName(), e.getMessage());
            }
        }
    }

    private void look(CacheParticipant participant) {
        String name = participant.cacheName();
        Optional<ReleaseState> state = state(name);
        state.ifPresent(open -> arm(participant, open.release()));
        boolean isThere = follow(participant, state);
        if (state.isEmpty() && isThere) {
            // Not before: a node that has missed the last switch would use its connections to the fleet that was left.
            disarm(participant);
        }
        state.filter(now -> now.side() == Side.NEW && !participant.isInSwitch()).ifPresent(now -> {
            guard(participant, now.release());
            participant.protecting().set(now.release(), cache(name).proxy().route());
        });
        if (!ownLedger.equals(ledger)) {
            BackendRoute route = cache(name).proxy().route();
            new Routes(ownLedger).copy(name, new Route(route.fleet().name(), route.epoch()));
        }
        state.ifPresent(open -> followShards(name, open.release())); // the last: it asks fleets, which may not answer
    }

    /** Leads one cache where the ledger says that it is, if no switch does; whether it is there now. */
    boolean follow(String cache) {
        return follow(participant(cache), state(cache));
    }

    private boolean follow(CacheParticipant participant, Optional<ReleaseState> state) {
        String name = participant.cacheName();
        Route known = new Routes(ledger).current(name).orElseThrow();
        if (known.epoch() > cache(name).proxy().route().epoch() && !participant.isInSwitch()) {
            adopt(participant, known, state);
        }
        return known.epoch() == cache(name).proxy().route().epoch();
    }

    private void adopt(CacheParticipant participant, Route known, Optional<ReleaseState> state) {
        ManagedCache cache = cache(participant.cacheName());
        promoteWhatIsDecided(cache, state);
        BackendRoute route = new BackendRoute(cache.fleet(known.fleet()), known.epoch());
        state.ifPresent(now -> participant.protecting().set(now.release(), route));
        participant.adopt(route, ADOPTION_HOLD_MAX);
    }

    /** What is decided may not be carried out yet: clients would meet a fleet that still follows. */
    private void promoteWhatIsDecided(ManagedCache cache, Optional<ReleaseState> state) {
        Optional<SwitchPart> part =
                state.map(ReleaseState::pendingSwitch).flatMap(pending -> pending.part(cache.name()));
        Optional<Decision> decision = part.flatMap(
                        one -> new SwitchRegister(ledger).read(one.id().toString()))
                .filter(one -> one.verdict() == Verdict.COMMIT);
        if (part.isPresent() && decision.isPresent()) {
            SwitchPart of = part.get();
            try (SwitchRoles roles = SwitchRoles.of(of, cache.fleet(of.fromFleet()), cache.fleet(of.toFleet()))) {
                roles.commit(
                        SwitchRegister.evidence(decision.get()).of(cache.name()).bases());
            }
        }
    }

    private void arm(CacheParticipant participant, String release) {
        String name = participant.cacheName();
        String before = armedFor.get(name);
        if (release.equals(before)) {
            return;
        }
        if (before != null) {
            // It ended so shortly before this one began that no look came between. Check and keys are replaced, so that
            // there is no moment without.
            participant.guarding().lift();
            participant.protecting().lift();
        }
        Rehearsal.once(environment);
        List<String> keys =
                keysOfLinks(store.cache(release, name), release, cache(name)).keys();
        cache(name).proxy().reservedKeys(keys);
        reservedFor.put(name, keys);
        nextShardLook.put(name, Deadline.in(environment, SHARD_LOOK));
        // Before anybody counts on it.
        cache(name).proxy().routeCheck(routeChecks.get(name));
        store.arm(release, name, nodes.self());
        armedFor.put(name, release);
        LOG.info("cache {} is armed for release {}", name, release);
    }

    /** Shards come and go while a release is open, and links with them: their keys have names of the shards'. */
    private void followShards(String name, String release) {
        Deadline next = nextShardLook.get(name);
        if (next != null && !next.passed()) {
            return;
        }
        ManagedCache cache = cache(name);
        CacheRecord record = store.cache(release, name);
        if (cache.fleet(record.from()).isCluster() || cache.fleet(record.to()).isCluster()) {
            KeysOfLinks found = keysOfLinks(record, release, cache);
            if (found.isComplete() && !found.keys().equals(reservedFor.put(name, found.keys()))) {
                cache.proxy().reservedKeys(found.keys());
            }
        }
        nextShardLook.put(name, Deadline.in(environment, SHARD_LOOK));
    }

    /** {@code isComplete}: whether both fleets have said where they are. */
    private record KeysOfLinks(List<String> keys, boolean isComplete) {}

    /** Of either kind: which of them the check will choose is not known yet. Of a fleet that does not answer, none; DBSIZE is a few too many then. */
    private static KeysOfLinks keysOfLinks(CacheRecord record, String release, ManagedCache cache) {
        List<FleetSpec> fleets = List.of(cache.fleet(record.from()), cache.fleet(record.to()));
        List<String> keys = new ArrayList<>();
        for (Side source : Side.values()) {
            keys.add(ReservedKeys.marker(MovingCache.linkName(release, cache.name(), source)));
        }
        List<Topology> topologies = new ArrayList<>();
        for (FleetSpec fleet : fleets) {
            try {
                topologies.add(fleet.topologyNow());
            } catch (FleetException e) {
                LOG.info("cache {}: {}", cache.name(), e.getMessage());
            }
        }
        List<String> names = ApplyLinks.names(record, release, topologies);
        topologies.forEach(topology -> keys.addAll(ApplyLink.keys(topology, record.namedBefore(), names)));
        return new KeysOfLinks(keys.stream().distinct().toList(), topologies.size() == fleets.size());
    }

    private void disarm(CacheParticipant participant) {
        String name = participant.cacheName();
        if (watchedFor.remove(name) != null) {
            cache(name).proxy().watchForCluster(false);
        }
        reservedFor.remove(name);
        nextShardLook.remove(name);
        if (armedFor.remove(name) != null) {
            participant.guarding().lift();
            participant.protecting().lift();
            cache(name).proxy().routeCheck(null);
            cache(name).proxy().reservedKeys(List.of());
            LOG.info("cache {} is in no release any more", name);
        }
    }

    private void guard(CacheParticipant participant, String release) {
        ManagedCache cache = cache(participant.cacheName());
        CacheRecord record = store.cache(release, cache.name());
        Guarding guarding = participant.guarding();
        if (!guarding.isSetFor(cache.fleet(record.to()))) {
            guarding.setIfTheyAnswer(cache.fleet(record.to()), cache.fleet(record.from()));
        }
    }

    @Override
    public void close() {
        participants.values().forEach(CacheParticipant::close);
        routeChecks.values().forEach(LedgerRouteCheck::close);
        clock.shutdownNow();
    }
}
