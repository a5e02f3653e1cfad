package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.TokenWatch;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.RelayLink;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A switch between two single servers that are joined by relays: it changes which of them is the primary.
 *
 * <p>The order, and why: the token is on both servers before anything happens, so every later change of role is refused once
 * somebody else has taken over. The link drains to equality <em>before</em> A is demoted, because a 6.0 server cuts its
 * replicas when it is. The link is frozen <em>before</em> B's offset is read and B is promoted: from then on nothing but clients
 * writes to B, and nobody has to wait until its connections are closed. B is promoted <em>before</em> any node lets go, or
 * clients would meet a read-only server. A's way back is opened after the nodes have let go, because nobody has to wait for it:
 * B's backlog holds what A misses meanwhile.
 */
final class RelaySwitch extends CacheSwitch {
    private final RelayLinks links;
    private final SwitchServers servers;
    private @Nullable SwitchMark atA;
    private @Nullable TokenWatch watchA;
    private @Nullable RelayLink ahead;
    private @Nullable String unequalBecause;
    private @Nullable ReplicationState promoted;

    RelaySwitch(SwitchPart part, MovingCache cache, RelayLinks links, Known known, Environment environment) {
        super(part, cache, known, environment);
        this.links = links;
        this.servers = new SwitchServers(part.token(), cache.fleet(from), cache.fleet(part.to()));
    }

    @Override
    void prepare(Deadline deadline) {
        cache.token(part.token());
        if (part.acceptLoss()) {
            prepareWithLoss();
            return;
        }
        ServerConnection b = servers.b();
        ServerConnection a = servers.a();
        takeToken(a);
        SwitchMark mark = new SwitchMark(cache.fleet(from), List.of(a), environment);
        atA = mark;
        canPublish = mark.canPublish();
        // It is a primary, so this changes nothing; it shows that this user may change roles: an abort will need it.
        RelayLinks.demandChanged(RoleCommands.promote(a, part.token()));
        watchA = RoleCommands.watch(a, part.token());
        RelayLink link = links.link().orElseThrow(() -> failed("there is no link to " + b.endpoint()));
        LinkStatus status = link.status();
        if (status.phase() != LinkStatus.Phase.STREAMING) {
            throw failed("the link to " + b.endpoint() + " does not stream: " + status.phase() + " " + status.detail());
        }
        if (!link.awaitApplied(ReplicationState.read(a).offset(), deadline)) {
            throw failed("the link to " + b.endpoint() + " is " + link.status().lagBytes()
                    + " bytes behind and did not catch up; nothing was held");
        }
        servers.watchB();
        demandContinues(b, cache.fleet(part.to()));
        ahead = links.openAhead(part.to(), a);
    }

    private void takeToken(ServerConnection a) {
        if (ReplicationState.read(a).role() != Role.PRIMARY) {
            throw failed(a.endpoint() + " is no primary; somebody has changed its role");
        }
        RoleCommands.writeToken(a, part.token());
        servers.connectForAbort();
    }

    /** A may be what is left behind because it is gone: then nobody is served there, and there is nothing to fence. */
    private void prepareWithLoss() {
        if (fromDoesNotAnswer) {
            return;
        }
        try {
            ServerConnection a = servers.a();
            takeToken(a);
            ahead = links.openAhead(part.to(), a);
        } catch (FleetException e) {
            fromDoesNotAnswer = e.code() == FleetException.Code.UNREACHABLE;
            cache.linkNote(
                    "goes on without " + cache.fleet(from).where() + ", which cannot be fenced: " + e.getMessage());
        }
    }

    @Override
    CacheEvidence fence(Deadline deadline) {
        if (part.acceptLoss()) {
            RelayLink unserved = ahead;
            if (unserved != null) {
                RelayLinks.demandChanged(
                        RoleCommands.follow(servers.a(), unserved.face(), part.token(), othersAtFence()));
            }
            takeWhatTheLinkHas(deadline);
            stopLink(deadline);
            return evidence(List.of());
        }
        ServerConnection a = servers.a();
        ServerConnection b = servers.b();
        RelayLink waiting = Objects.requireNonNull(ahead, "prepare comes before fence");
        RelayLink link = links.link().orElseThrow(() -> failed("the link is gone"));
        long began = environment.nanoTime();
        if (canPublish) {
            Objects.requireNonNull(atA, "prepare comes before fence").publish(mark());
        }
        long offset = ReplicationState.read(a).offset();
        demandApplied(link, offset, deadline);
        began = lap("drain", began);
        // A refuses writes from then on, but not all that a node may send which does not know it: reads would be stale,
        // scripts that catch their errors would answer as if they
        // had written. So the connections of missing nodes go in the same instant, and no client ever hears READONLY.
        RoleChange.Changed fenced = RelayLinks.demandChanged(
                Objects.requireNonNull(watchA, "prepare comes before fence").follow(waiting.face(), othersAtFence()));
        began = lap("fence", began);
        if (fenced.offsetAtChange() != offset) {
            // Writers from outside, an expiry or a PING came in between. A 7.0 server goes on feeding the link; a 6.0
            // one has
            // cut it, and the switch is given up when the deadline has passed.
            demandApplied(link, fenced.offsetAtChange(), deadline);
        }
        long expected = link.targetOffsetOf(fenced.offsetAtChange());
        if (!link.freeze(deadline)) {
            throw failed("the link to " + b.endpoint() + " did not come to rest");
        }
        ReplicationState equal = ReplicationState.read(b);
        if (equal.role() != Role.REPLICA || equal.offset() != expected) {
            throw failed(b.endpoint() + " stands at offset " + equal.offset() + " as a " + equal.role()
                    + ", expected a replica at " + expected + ": something else than the link has written to it");
        }
        lap("freeze", began);
        return evidence(List.of(SourceBase.whole(
                new LinkBase(equal.id(), equal.offset(), fenced.after().id(), fenced.offsetAtChange()))));
    }

    /** What the link has received of a fleet that is gone, B shall have; what it has not received, nobody can confirm. */
    private void takeWhatTheLinkHas(Deadline deadline) {
        RelayLink link = links.link().orElse(null);
        if (link == null || cache.linkBroken() != null) {
            return;
        }
        link.awaitApplied(link.status().sourceOffset(), deadline.orIn(LAST_BYTES_LIMIT));
        LinkStatus last = link.status();
        String range = "fleet " + cache.fleet(part.to()).name() + " has everything that "
                + cache.fleet(from).name() + " wrote up to offset " + last.appliedSourceOffset()
                + " of its stream; not confirmed there is what came after, of which "
                + Math.max(0, last.lagBytes()) + " bytes were seen";
        unconfirmed = range;
        cache.linkNote(range);
    }

    /** Nothing of the link reaches B once clients do. Closing it is more than that, and waits for A as well. */
    private void stopLink(Deadline deadline) {
        boolean still = links.link()
                .map(link -> link.freeze(deadline.orIn(LAST_BYTES_LIMIT)))
                .orElse(true);
        if (!still) {
            links.close();
        }
    }

    private static @Nullable LinkBase decided(CacheEvidence evidence) {
        return evidence.bases().isEmpty() ? null : evidence.bases().getFirst().base();
    }

    private void demandApplied(RelayLink link, long offset, Deadline deadline) {
        if (!link.awaitApplied(offset, deadline)) {
            throw failed("the drain took too long: the link is still "
                    + link.status().lagBytes() + " bytes behind");
        }
    }

    @Override
    void commit(CacheEvidence evidence) {
        cache.token(part.token());
        long began = environment.nanoTime();
        SwitchServers.Promoted made;
        try {
            made = servers.promote(decided(evidence));
        } catch (FleetException e) {
            if (!known.toIsDead()) {
                throw e;
            }
            hasRoles = false;
            unequalBecause = cache.fleet(part.to()).where() + " died in the middle of switch " + part.id()
                    + ": fleet " + cache.fleet(from).name()
                    + " has everything up to the switch; not confirmed there is what came after it";
            unconfirmed = unequalBecause;
            return;
        }
        if (!made.asDecided()) {
            unequalBecause = another(made.before(), Objects.requireNonNull(decided(evidence)));
        }
        promoted = made.after();
        lap("promote", began);
    }

    /**
     * Whoever finds the decision after a crash may find another B: one that was restarted meanwhile, with older data or none. The
     * decision stands, and clients go there; that is said, because A still has everything up to the switch.
     */
    private String another(ReplicationState found, LinkBase decided) {
        return cache.fleet(part.to()).where() + " was decided for at offset " + decided.sourceOffset() + " of "
                + decided.sourceId() + " and is now a " + found.role() + " at offset " + found.offset() + " of "
                + found.id() + ": it was restarted or changed in the middle of switch " + part.id()
                + " and may have lost data; fleet " + cache.fleet(from).name()
                + " has everything up to the switch, and rollback --accept-loss goes back to it";
    }

    @Override
    void openWayBack(CacheEvidence evidence) {
        LinkBase decided = decided(evidence);
        String unequal = decided == null ? lossAccepted() : unequalBecause;
        if (decided == null || unequal != null) {
            closeAhead();
            links.close();
            closeWayBack(Objects.requireNonNull(unequal));
            return;
        }
        LinkBase base = afterPromotion(decided, Objects.requireNonNull(promoted, "commit comes before openWayBack"));
        cache.remember(record -> record.withBases(List.of(SourceBase.whole(base))));
        RelayLink back = ahead;
        ahead = null;
        if (back == null) {
            cache.reopenLinkIfItAnswers(evidence.to());
        } else {
            links.close(); // the frozen one; clients are served already
            links.adopt(back, evidence.to());
            back.admit(base);
        }
        try {
            ServerSettings.makeLasting(servers.b());
            ServerSettings.makeLasting(servers.a());
        } catch (FleetException e) {
            // A may be the reason for this switch; the link shows that it is gone, and the way back says so.
            cache.linkNote(String.valueOf(e.getMessage()));
        }
    }

    @Override
    void abort() {
        closeAhead();
        cache.token(part.token().close());
        try {
            promoted = servers.takeBack();
        } catch (FleetException e) {
            if (!part.acceptLoss() && !known.fromIsDead()) {
                throw e;
            }
            hasRoles = false;
            cache.linkNote(cache.fleet(from).where() + " may have been left read-only: " + e.getMessage());
        }
    }

    @Override
    void goOnWhereItWas() {
        if (!hasRoles) {
            return; // what the link has of A may be all that is left of it
        }
        ReplicationState inUse = promoted;
        if (inUse != null) {
            cache.remember(record -> record.bases().isEmpty()
                    ? record
                    : record.withBases(record.bases().stream()
                            .map(one -> SourceBase.whole(afterPromotion(one.base(), inUse)))
                            .toList()));
        }
        cache.reopenLinkIfItAnswers(from);
    }

    /** The base under the id that its source has now, if that is the one base knows under a newer name, and not a stranger. */
    private static LinkBase afterPromotion(LinkBase base, ReplicationState source) {
        return source.secondId().equals(base.sourceId())
                ? new LinkBase(source.id(), base.sourceOffset(), base.targetId(), base.targetOffset())
                : base;
    }

    private void closeAhead() {
        RelayLink unused = ahead;
        ahead = null;
        if (unused != null) {
            unused.close();
        }
    }

    @Override
    public void close() {
        closeAhead();
        servers.close();
    }
}
