package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.release.ApplyLinks.ShardLink;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.apply.ApplyLink;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
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
 * <p>Links that scan ({@link LinkKind#SCAN}) come to the note as a key that they are told of; those of the way back listen at B before anybody is held, and are admitted once B has what A had.
 *
 * <p>Subscribers: links carry no messages. What is published at A before the mark is for them, and so is all that is published at B ever: so the mark is published at both, and
 * is at all of B's nodes before anybody may publish there.
 */
final class ApplySwitch extends CacheSwitch {
    private static final Logger LOG = LoggerFactory.getLogger(ApplySwitch.class);
    private final ApplyLinks links;
    private final LeftFleet left;
    private final List<ServerConnection> primariesOfB = new ArrayList<>();
    private List<String> shardsOfB = List.of();
    private @Nullable SwitchMark markA;
    private @Nullable SwitchMark markB;

    ApplySwitch(SwitchPart part, MovingCache cache, ApplyLinks links, Known known, Environment environment) {
        super(part, cache, known, environment);
        this.links = links;
        this.left = new LeftFleet(part, cache.fleet(from));
    }

    @Override
    void prepare(Deadline deadline) {
        cache.token(part.token());
        if (part.acceptLoss()) {
            prepareWithLoss();
            return;
        }
        left.connectAhead();
        FleetSpec b = cache.fleet(part.to());
        Topology topologyOfB = b.topologyNow();
        demandStill(cache.fleet(from));
        demandStill(b);
        shardsOfB = ApplyLinks.shards(topologyOfB);
        topologyOfB.primaries().forEach(primary -> primariesOfB.add(MovingCache.connect(b, primary)));
        SwitchMark atA = new SwitchMark(cache.fleet(from), left.primaries(), environment);
        markA = atA;
        atA.listen(left.topology());
        SwitchMark atB = new SwitchMark(b, primariesOfB, environment);
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
                throw failed(
                        named(one) + " is " + behind(one.link().status()) + " and did not catch up; nothing was held");
            }
        }
        if (links.scan()) {
            links.openAhead(part.to(), shardsOfB, deadline);
            return;
        }
        // One that came since the release began, or was started again, keeps none yet.
        topologyOfB.primaries().forEach(primary -> ApplyLinks.keepStream(b, primary));
        for (int shard = 0; shard < primariesOfB.size(); shard++) {
            demandContinues(primariesOfB.get(shard), ApplyLinks.shard(b, shardsOfB.get(shard)));
        }
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

    private static String behind(LinkStatus status) {
        String lag = status.lagBytes() < 0 ? status.lagMillis() + " ms behind" : status.lagBytes() + " bytes behind";
        return status.detail().isEmpty() ? lag : lag + " (" + status.detail() + ")";
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

    @Override
    CacheEvidence fence(Deadline deadline) {
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
            if (!one.link().awaitEnd(part.token(), ends.get(shard), deadline)) {
                throw failed("the drain took too long: " + named(one) + " is still "
                        + behind(one.link().status()));
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
        String back = cache.linkName(part.to());
        List<Integer> shards = IntStream.range(0, primariesOfB.size()).boxed().toList();
        List<SourceBase> begins = AtOnce.ask(shards, shard -> {
            String slots = shardsOfB.get(shard);
            return new SourceBase(slots, ApplyLink.begin(primariesOfB.get(shard), ApplyLinks.name(back, slots)), false);
        });
        if (links.scan() && !links.admitAhead(begins, deadline)) {
            cache.linkNote("the links of the way back may have missed something: they look at every key of fleet "
                    + cache.fleet(part.to()).name() + " again, and until they have there is no way back");
        }
        lap("freeze", began);
        return evidence(begins);
    }

    /** One that takes no note is left all the same, as long as everybody who might write there is held. */
    private List<Long> leaveWithLoss() {
        try {
            return left.leave(part.token(), othersAtFence());
        } catch (FleetException e) {
            if (known.nodesAreMissing()) {
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
            String slots = one.slots().equals(SourceBase.ALL) ? "" : "of slots " + one.slots() + " ";
            ranges.add(slots
                    + (links.scan()
                            ? "and told of, but for the last " + last.lagMillis() + " ms"
                            : "up to offset " + last.appliedSourceOffset() + " of its stream ("
                                    + Math.max(0, last.lagBytes()) + " bytes after it were seen)"));
        }
        if (!ranges.isEmpty()) {
            unconfirmed = "fleet " + cache.fleet(part.to()).name() + " has everything that "
                    + cache.fleet(from).name() + " wrote " + String.join(", ", ranges)
                    + "; not confirmed there is what came after";
            cache.linkNote(unconfirmed);
        }
    }

    /** B takes writes all the time. */
    @Override
    void commit(CacheEvidence evidence) {
        cache.token(part.token());
    }

    @Override
    void openWayBack(CacheEvidence evidence) {
        if (!links.scan() || evidence.bases().isEmpty()) {
            links.close();
        }
        if (evidence.bases().isEmpty()) {
            closeWayBack(lossAccepted());
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
    void abort() {
        links.closeAhead();
        cache.token(part.token().close());
        try {
            left.abort();
        } catch (FleetException e) {
            if (!part.acceptLoss() && !known.fromIsDead()) {
                throw e;
            }
            hasRoles = false;
            cache.linkNote("a late end of this switch may still come to "
                    + cache.fleet(from).where() + ": " + e.getMessage());
        }
    }

    @Override
    void goOnWhereItWas() {
        if (hasRoles) { // else what the links have of A may be all that is left of it
            cache.reopenLinkIfItAnswers(from);
        }
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
