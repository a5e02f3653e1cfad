package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.release.ApplyLinks.ShardLink;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.ProbeResult;
import io.switchback.sync.RelayLink;
import io.switchback.sync.apply.ApplyLink;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A switch between fleets that are joined by links that apply: no server changes its role, so the fence is that nobody who should not can still write to A.
 *
 * <p>Who could: clients of nodes that take part are held. Connections of nodes that do not are killed at all of A's servers, in one transaction with the <em>note</em> that A is
 * left ({@link ApplyLink#leave}); a connection that such a node opens later asks the ledger first, which knows by then that a switch is under way without it ({@link
 * LedgerRouteCheck}).
 *
 * <p>The note stands in A's stream behind everything that A's clients have written, and before whatever A does by itself afterwards (keys whose time is over). The links
 * end there by themselves, whoever runs them: so B has exactly what A had, and nothing of the links comes to B once clients do, neither from a leader that was cut off and wakes up
 * later. Then it is read where B's own stream stands: there the links of the way back will begin.
 *
 * <p>After an abort a newer note than that of this switch stands at A, so a fence that comes late is refused, and the links are opened again by a newer owner than
 * the note's, which goes on over it.
 *
 * <p>Subscribers: links carry no messages. What is published at A before the mark is for them, and so is all that is published at B ever: so the mark is published at both, and
 * is at all of B's nodes before anybody may publish there.
 */
final class ApplySwitch implements CacheSwitch {
    private static final Logger LOG = LoggerFactory.getLogger(ApplySwitch.class);
    /** How long clients wait for the last bytes that links have of a fleet that is gone. */
    private static final Duration LAST_BYTES_LIMIT = Duration.ofMillis(200);

    private final SwitchPart part;
    private final MovingCache cache;
    private final ApplyLinks links;
    private final Side from;
    private final boolean nodesAreMissing;
    private final Environment environment;
    private final LeftFleet left;
    private final Map<String, Duration> took = new LinkedHashMap<>();
    private final List<ServerConnection> primariesOfB = new ArrayList<>();
    private List<String> shardsOfB = List.of();
    private @Nullable SwitchMark markA;
    private @Nullable SwitchMark markB;
    private final boolean fromIsDead;
    private boolean fromDoesNotAnswer;
    private boolean canPublish;
    private boolean hasRoles = true;
    private String unconfirmed = "";

    /** A switch that is about to begin, or one that was found in the ledger. */
    ApplySwitch(SwitchPart part, MovingCache cache, ApplyLinks links, Known known, Environment environment) {
        this.part = part;
        this.cache = cache;
        this.links = links;
        this.from = part.to().other();
        this.nodesAreMissing = known.nodesAreMissing();
        this.fromIsDead = known.fromIsDead();
        this.fromDoesNotAnswer = fromIsDead;
        this.environment = environment;
        this.left = new LeftFleet(part, cache.fleet(from));
    }

    @Override
    public MovingCache cache() {
        return cache;
    }

    @Override
    public SwitchPart part() {
        return part;
    }

    @Override
    public Map<String, Duration> took() {
        return took;
    }

    @Override
    public boolean fromAnswers() {
        return !fromDoesNotAnswer;
    }

    @Override
    public String mark() {
        return canPublish ? part.id().toString() : "";
    }

    @Override
    public void prepare(Deadline deadline) {
        cache.token(part.token());
        if (part.acceptLoss()) {
            prepareWithLoss();
            return;
        }
        left.connect();
        FleetSpec b = cache.fleet(part.to());
        Topology topologyOfB = b.topologyNow();
        demandStill(cache.fleet(from));
        demandStill(b);
        shardsOfB = ApplyLinks.shards(topologyOfB);
        topologyOfB.primaries().forEach(primary -> primariesOfB.add(MovingCache.connect(b, primary)));
        SwitchMark atA = new SwitchMark(cache.fleet(from), left.topology(), left.primaries(), environment);
        markA = atA;
        SwitchMark atB = new SwitchMark(b, topologyOfB, primariesOfB, environment);
        markB = atB;
        canPublish = atA.canPublish() && atB.canPublish();
        left.demandWritable();
        List<ShardLink> open = demandLinks();
        for (int shard = 0; shard < open.size(); shard++) {
            ShardLink one = open.get(shard);
            LinkStatus status = one.link().status();
            if (status.phase() != LinkStatus.Phase.STREAMING) {
                throw failed(named(one) + " does not stream: " + status.phase() + " " + status.detail());
            }
            if (!one.link().awaitApplied(primaryOffset(left.primaries().get(shard)), deadline)) {
                throw failed(named(one) + " is " + one.link().status().lagBytes()
                        + " bytes behind and did not catch up; nothing was held");
            }
        }
        proveWayBack(b, topologyOfB);
    }

    private static void demandStill(FleetSpec fleet) {
        Optional<String> moving = ApplyLink.slotsMoving(fleet);
        if (moving.isPresent()) {
            throw new ReleaseException(
                    ReleaseException.Code.STEP_FAILED, moving.get() + "; a switch waits until they stand still");
        }
    }

    /** No slot has begun to move, or has moved, since the switch was prepared. */
    private void demandStood(FleetSpec fleet, List<String> before) {
        if (fleet.isCluster()) {
            demandStill(fleet);
            if (!ApplyLinks.shards(fleet.topologyNow()).equals(before)) {
                throw failed("slots of fleet " + fleet.name() + " have moved in the middle of the switch");
            }
        }
    }

    private static String named(ShardLink one) {
        return one.slots().equals(SourceBase.ALL) ? "the link" : "the link of slots " + one.slots();
    }

    private long primaryOffset(ServerConnection server) {
        ReplicationState state = ReplicationState.read(server);
        if (state.role() != Role.PRIMARY) {
            throw failed(server.endpoint() + " is no primary any more");
        }
        return state.offset();
    }

    /** The links that are there, each from the shard of A at the same place. */
    private List<ShardLink> demandLinks() {
        List<ShardLink> open = links.open();
        List<String> linked = open.stream().map(ShardLink::slots).toList();
        if (!linked.equals(left.shards())) {
            throw failed(
                    open.isEmpty()
                            ? "there is no link between the fleets"
                            : "slots of fleet " + cache.fleet(from).name()
                                    + " have moved since its links were opened: these carry " + linked
                                    + ", and its shards have " + left.shards());
        }
        return open;
    }

    /** A may be what is left behind because it is gone: then nobody is served there, and there is nothing to fence. */
    private void prepareWithLoss() {
        if (fromDoesNotAnswer) {
            return;
        }
        try {
            fromDoesNotAnswer = !left.connectToWhatAnswers();
        } catch (FleetException e) {
            fromDoesNotAnswer = true;
            cache.linkNote(
                    "goes on without " + cache.fleet(from).where() + ", which cannot be fenced: " + e.getMessage());
        }
    }

    /** Asks each primary of B whether it will let a link begin where it stands; a way back must be proven first. */
    private void proveWayBack(FleetSpec b, Topology topology) {
        for (int shard = 0; shard < primariesOfB.size(); shard++) {
            ServerConnection server = primariesOfB.get(shard);
            ReplicationState state = ReplicationState.read(server);
            FleetSpec asked = topology instanceof Topology.Sharded
                    ? b.shard(
                            SourceBase.parse(shardsOfB.get(shard)).orElseThrow().first())
                    : b;
            String why = switch (RelayLink.probe(asked, state.id(), state.offset(), MovingCache.SERVER_TIMEOUT)) {
                case ProbeResult.Continues _ -> "";
                case ProbeResult.NeedsCopy(String reason) -> reason;
                case ProbeResult.Unknown(String reason) -> reason;
            };
            if (!why.isEmpty()) {
                throw failed("the way back cannot be opened: " + server.endpoint()
                        + " does not continue its stream for a link that asks for " + state.id() + " from offset "
                        + state.offset() + ": " + why);
            }
        }
    }

    @Override
    public CacheEvidence fence(Deadline deadline) {
        if (part.acceptLoss()) {
            List<Long> ends = fromDoesNotAnswer ? List.of() : leaveWithLoss();
            takeWhatTheLinksHave(ends, deadline);
            shutOutWhatDoesNotRest(deadline.orIn(LAST_BYTES_LIMIT));
            return evidence(List.of());
        }
        List<ShardLink> open = demandLinks();
        long began = environment.nanoTime();
        if (canPublish && markA != null && markB != null) {
            markA.settle(mark());
            markA.publish(mark());
            markB.publish(mark());
            began = lap("mark", began);
        }
        List<Long> ends = left.leave(part.token(), othersAtFence());
        began = lap("fence", began);
        for (int shard = 0; shard < open.size(); shard++) {
            ShardLink one = open.get(shard);
            if (!one.link().awaitApplied(ends.get(shard), deadline)) {
                throw failed("the drain took too long: " + named(one) + " is still "
                        + one.link().status().lagBytes() + " bytes behind");
            }
        }
        began = lap("drain", began);
        if (!freeze(deadline)) {
            throw failed("a link did not come to rest");
        }
        for (ShardLink one : open) {
            // An offset alone may be one of another history: that of a primary that has been replaced.
            if (!one.link().endedBy().equals(Optional.of(part.token()))) {
                throw failed(named(one) + " has not come to the note that ends it: "
                        + one.link().status().detail());
            }
        }
        demandStood(cache.fleet(from), left.shards());
        demandStood(cache.fleet(part.to()), shardsOfB);
        List<SourceBase> begins = new ArrayList<>();
        String back = cache.linkName(part.to());
        for (int shard = 0; shard < primariesOfB.size(); shard++) {
            String slots = shardsOfB.get(shard);
            ServerConnection server = primariesOfB.get(shard);
            begins.add(new SourceBase(slots, ApplyLink.begin(server, ApplyLinks.name(back, slots)), false));
        }
        lap("freeze", began);
        return evidence(begins);
    }

    private OtherClients othersAtFence() {
        return nodesAreMissing ? OtherClients.KILLED : OtherClients.KEPT;
    }

    /** One that takes no note is left all the same, as long as everybody who might write there is held. */
    private List<Long> leaveWithLoss() {
        try {
            return left.leave(part.token(), othersAtFence());
        } catch (FleetException e) {
            if (nodesAreMissing) {
                throw e;
            }
            cache.linkNote("fleet " + cache.fleet(from).name() + " is left without a note: " + e.getMessage());
            return List.of();
        }
    }

    private void shutOutWhatDoesNotRest(Deadline deadline) {
        if (!freeze(deadline)) {
            String whole = cache.linkName(from);
            links.open()
                    .forEach(one -> ApplyLink.shutOut(
                            cache.fleet(part.to()), ApplyLinks.name(whole, one.slots()), part.token()));
        }
    }

    /** Nothing of the links reaches B once clients do; false where that cannot be said in time. */
    private boolean freeze(Deadline deadline) {
        boolean still = true;
        for (ShardLink one : links.open()) {
            still &= one.link().freeze(deadline);
        }
        return still;
    }

    /** What the links have received of a fleet that is gone, B shall have; what they have not received, nobody can confirm. */
    private void takeWhatTheLinksHave(List<Long> ends, Deadline deadline) {
        if (cache.linkBroken() != null) {
            return;
        }
        List<String> ranges = new ArrayList<>();
        for (ShardLink one : links.open()) {
            int shard = left.shards().indexOf(one.slots());
            boolean isLeft = shard >= 0 && shard < ends.size();
            long end = isLeft ? ends.get(shard) : one.link().status().sourceOffset();
            one.link().awaitApplied(end, isLeft ? deadline : deadline.orIn(LAST_BYTES_LIMIT));
            LinkStatus last = one.link().status();
            ranges.add((one.slots().equals(SourceBase.ALL) ? "" : "of slots " + one.slots() + " ") + "up to offset "
                    + last.appliedSourceOffset() + " of its stream (" + Math.max(0, last.lagBytes())
                    + " bytes after it were seen)");
        }
        if (!ranges.isEmpty()) {
            unconfirmed = "fleet " + cache.fleet(part.to()).name() + " has everything that "
                    + cache.fleet(from).name() + " wrote " + String.join(", ", ranges)
                    + "; not confirmed there is what came after";
            cache.linkNote(unconfirmed);
        }
    }

    @Override
    public String unconfirmed() {
        return unconfirmed;
    }

    private CacheEvidence evidence(List<SourceBase> bases) {
        return new CacheEvidence(cache.name(), part.to(), part.toFleet(), part.epoch() + 1, bases);
    }

    @Override
    public boolean hasRoles() {
        return hasRoles;
    }

    /** B takes writes all the time. */
    @Override
    public void commit(CacheEvidence evidence) {
        cache.token(part.token());
    }

    @Override
    public void openWayBack(CacheEvidence evidence) {
        links.close();
        if (evidence.bases().isEmpty()) {
            String why =
                    "this switch accepted a loss: what " + cache.fleet(from).name()
                            + " had and the other fleet had not is given up, so the fleets are not equal at any offset";
            cache.remember(record -> record.withoutBases(why));
            cache.linkIsBroken(why);
            return;
        }
        cache.remember(record -> record.withBases(evidence.bases()));
        cache.reopenLinkIfItAnswers(evidence.to());
        try {
            ApplyLinks.offerToken(cache.fleet(evidence.to()), cache);
        } catch (FleetException e) {
            LOG.warn("cache {}: {}", cache.name(), e.getMessage());
        }
    }

    @Override
    public void abort() {
        cache.token(part.token().close());
        try {
            left.abort();
        } catch (FleetException e) {
            if (!part.acceptLoss() && !fromIsDead) {
                throw e;
            }
            hasRoles = false;
            cache.linkNote("a late end of this switch may still come to "
                    + cache.fleet(from).where() + ": " + e.getMessage());
        }
    }

    @Override
    public void goOnWhereItWas() {
        if (hasRoles) { // else what the links have of A may be all that is left of it
            cache.reopenLinkIfItAnswers(from);
        }
    }

    private long lap(String what, long began) {
        long now = environment.nanoTime();
        took.merge(what, Duration.ofNanos(now - began), Duration::plus);
        return now;
    }

    private ReleaseException failed(String why) {
        return new ReleaseException(ReleaseException.Code.STEP_FAILED, "cache " + cache.name() + ": " + why);
    }

    @Override
    public void close() {
        SwitchMark atA = markA;
        SwitchMark atB = markB;
        if (atA != null) {
            atA.close();
        }
        if (atB != null) {
            atB.close();
        }
        primariesOfB.forEach(ServerConnection::close);
        left.close();
    }
}
