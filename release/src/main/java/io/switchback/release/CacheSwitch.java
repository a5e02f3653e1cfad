package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.ProbeResult;
import io.switchback.sync.RelayLink;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the leader of a switch does to one cache's fleets, from {@code A}, in use, to {@code B}: {@link #prepare} before the hold, {@link #fence} within it, and after
 * the decision {@link #commit} or {@link #abort}, and then {@link #openWayBack} or {@link #goOnWhereItWas}. What happens to clients is the nodes' ({@link
 * CacheParticipant}).
 *
 * <p>What comes after the decision needs nothing but the ledger's evidence, may be repeated, and may be run by whoever finds
 * the switch after a crash. For one thread at a time.
 */
abstract sealed class CacheSwitch implements AutoCloseable permits RelaySwitch, ApplySwitch {
    /** How long clients wait for the last bytes that a link has of a fleet that is gone. */
    static final Duration LAST_BYTES_LIMIT = Duration.ofMillis(200);

    final SwitchPart part;
    final MovingCache cache;
    final Side from;
    final Known known;
    final Environment environment;
    private final Map<String, Duration> took = new LinkedHashMap<>();

    /** Known after {@link #prepare}. */
    boolean fromDoesNotAnswer;
    /** Whether subscribers can be told where the switch is; known after {@link #prepare}. */
    boolean canPublish;
    /** Whether the fleets are as the verdict wants them; not where one is dead. */
    boolean hasRoles = true;
    /** What a switch that accepted a loss cannot confirm; empty where that is nothing, or nothing is known of it. */
    String unconfirmed = "";

    /**
     * What is known before it begins.
     *
     * @param nodesAreMissing whether there are nodes that do not take part and may still have connections to A
     * @param fromIsDead whether A is known not to answer, so that nobody waits for it once more
     * @param toIsDead whether B is
     */
    record Known(boolean nodesAreMissing, boolean fromIsDead, boolean toIsDead) {}

    /** A switch that is about to begin, or one that was found in the ledger. */
    CacheSwitch(SwitchPart part, MovingCache cache, Known known, Environment environment) {
        this.part = part;
        this.cache = cache;
        this.from = part.to().other();
        this.known = known;
        this.fromDoesNotAnswer = known.fromIsDead();
        this.environment = environment;
    }

    final MovingCache cache() {
        return cache;
    }

    final SwitchPart part() {
        return part;
    }

    /** How long each part took, in the order in which they happened. */
    final Map<String, Duration> took() {
        return took;
    }

    /** Whether A answers; known after {@link #prepare}. */
    final boolean fromAnswers() {
        return !fromDoesNotAnswer;
    }

    /** What is published at A once all nodes hold, for the subscribers among their clients; empty where it cannot be. */
    final String mark() {
        return canPublish ? part.id().toString() : "";
    }

    final boolean hasRoles() {
        return hasRoles;
    }

    final String unconfirmed() {
        return unconfirmed;
    }

    /** Everything that can be done at the fleets, or can fail there, while clients are still served. */
    abstract void prepare(Deadline deadline);

    /** Makes A's data final, and B equal to it: when this returns, nobody writes to either. */
    abstract CacheEvidence fence(Deadline deadline);

    /** After the decision: B takes writes, if it lives. Repeatable. */
    abstract void commit(CacheEvidence evidence);

    /** After {@link #commit}, and after the nodes have let go: A follows B. Repeatable. */
    abstract void openWayBack(CacheEvidence evidence);

    /** After the decision, or before it was asked for: A takes writes again, if it lives. Repeatable. */
    abstract void abort();

    /** After {@link #abort}, and after the nodes have let go: B follows A again. Repeatable. */
    abstract void goOnWhereItWas();

    @Override
    public abstract void close();

    // ---- what both kinds have in common

    final CacheEvidence evidence(List<SourceBase> bases) {
        return new CacheEvidence(cache.name(), part.to(), part.toFleet(), part.epoch() + 1, bases);
    }

    /** The connections of missing nodes go as A is left; a node uses a new one only as {@link LedgerRouteCheck} says. Nodes that take part hold, and lose nothing. */
    final OtherClients othersAtFence() {
        return known.nodesAreMissing() ? OtherClients.KILLED : OtherClients.KEPT;
    }

    /** Asks a primary of B whether it will let a link begin where it stands; a way back must be proven first. */
    final void demandContinues(ServerConnection primary, FleetSpec asked) {
        ReplicationState state = ReplicationState.read(primary);
        String why = switch (RelayLink.probe(asked, state.id(), state.offset(), MovingCache.SERVER_TIMEOUT)) {
            case ProbeResult.Continues _ -> "";
            case ProbeResult.NeedsCopy(String reason) -> reason;
            case ProbeResult.Unknown(String reason) -> reason;
        };
        if (!why.isEmpty()) {
            throw failed("the way back cannot be opened: " + primary.endpoint()
                    + " does not continue its stream for a link that asks for " + state.id() + " from offset "
                    + state.offset() + ": " + why);
        }
    }

    /** Why there is no way back from a switch that accepted a loss. */
    final String lossAccepted() {
        return "this switch accepted a loss: what " + cache.fleet(from).name()
                + " had and the other fleet had not is given up, so the fleets are not equal at any offset";
    }

    final void closeWayBack(String why) {
        cache.remember(record -> record.withoutBases(why));
        cache.linkIsBroken(LinkBreak.FINAL, why);
    }

    final long lap(String what, long began) {
        long now = environment.nanoTime();
        took.merge(what, Duration.ofNanos(now - began), Duration::plus);
        return now;
    }

    final ReleaseException failed(String why) {
        return new ReleaseException(ReleaseException.Code.STEP_FAILED, "cache " + cache.name() + ": " + why);
    }
}
