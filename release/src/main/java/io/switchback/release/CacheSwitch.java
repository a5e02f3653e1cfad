package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerSettings;
import io.switchback.fleet.TokenWatch;
import io.switchback.proxy.HoldOutcome;
import io.switchback.release.ReleaseState.Side;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.ProbeResult;
import io.switchback.sync.RelayLink;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * One cache's part in a switch from fleet {@code A}, in use, to fleet {@code B}: {@link #prepare} before the hold, {@link #fence}
 * within it, and after the decision {@link #commit} or {@link #abort}.
 *
 * <p>The order, and why: the token is on both servers before anything happens, so every later change of role is refused once
 * somebody else has taken over. The link drains to equality <em>before</em> A is demoted, because a 6.0 server cuts its
 * replicas when it is. The link is frozen <em>before</em> B's offset is read and B is promoted: from then on nothing but clients
 * writes to B, and nobody has to wait until its connections are closed. B is promoted <em>before</em> the proxy lets go, or
 * clients would meet a read-only server. A's way back is opened after the proxy has let go, because nobody has to wait for it:
 * B's backlog holds what A misses meanwhile.
 *
 * <p>{@code commit} and {@code abort} need nothing but the ledger's evidence, may be repeated, and may be run by whoever finds
 * the switch after a crash. For one thread at a time.
 */
final class CacheSwitch implements AutoCloseable {
    private final String id;
    private final MovingCache cache;
    private final Side from;
    private final long epoch;
    private final boolean acceptLoss;
    private final Environment environment;
    private final Map<String, Duration> took = new LinkedHashMap<>();
    private @Nullable ServerConnection serverA;
    private @Nullable ServerConnection serverB;
    /** For an abort alone: a fence that overran the hold limit may still be waiting on the other one. */
    private @Nullable ServerConnection spareA;

    private @Nullable TokenWatch watchA;
    private @Nullable TokenWatch watchB;
    private @Nullable RelayLink ahead;
    private boolean fromDoesNotAnswer;
    private @Nullable String unequalBecause;
    private volatile long letGoAtNanos;

    /**
     * What the decision remembers of one cache.
     *
     * @param epoch the epoch of the route that a commit sets
     * @param base where the link from B to A begins; null where the switch accepted a loss and no link can begin
     */
    record Evidence(
            String cache, Side to, long epoch, @Nullable LinkBase base) {}

    /**
     * A switch that is about to begin, or one that was found in the ledger.
     *
     * @param id the switch's id, which is its token as well
     * @param epoch the epoch of the route until now
     */
    CacheSwitch(String id, MovingCache cache, Side from, long epoch, boolean acceptLoss, Environment environment) {
        this.id = id;
        this.cache = cache;
        this.from = from;
        this.epoch = epoch;
        this.acceptLoss = acceptLoss;
        this.environment = environment;
    }

    MovingCache cache() {
        return cache;
    }

    /** The route that a commit sets. */
    io.switchback.ledger.Route routeAfterCommit() {
        return cache.ledgerRoute(from.other(), epoch + 1);
    }

    /** When the proxy let go, on the monotonic clock; 0 before that. */
    long letGoAtNanos() {
        return letGoAtNanos;
    }

    /** How long each part took, in the order in which they happened. */
    Map<String, Duration> took() {
        return took;
    }

    /** Everything that can be done, or can fail, while clients are still served: nobody is held yet. */
    void prepare(Deadline deadline) {
        ServerConnection b = b();
        if (acceptLoss) {
            prepareWithLoss();
            return;
        }
        ServerConnection a = a();
        takeToken(a);
        // It is a primary, so this changes nothing; it shows that this user may change roles: an abort will need it.
        MovingCache.demandChanged(RoleCommands.promote(a, id));
        watchA = RoleCommands.watch(a, id);
        RelayLink link = cache.link().orElseThrow(() -> failed("there is no link to " + b.endpoint()));
        LinkStatus status = link.status();
        if (status.phase() != LinkStatus.Phase.STREAMING) {
            throw failed("the link to " + b.endpoint() + " does not stream: " + status.phase() + " " + status.detail());
        }
        if (!link.awaitApplied(ReplicationState.read(a).offset(), deadline)) {
            throw failed("the link to " + b.endpoint() + " is " + link.status().lagBytes()
                    + " bytes behind and did not catch up; nothing was held");
        }
        watchB = RoleCommands.watch(b, id);
        proveWayBack(b);
        for (Credential credential : cache.proxy().credentialsInUse()) {
            ServerConnection.open(b.endpoint(), java.util.Optional.of(credential), MovingCache.SERVER_TIMEOUT)
                    .close();
        }
        cache.guardWayBack(from.other() == Side.NEW ? Side.NEW : from);
        openConnectionsAhead(deadline);
        ahead = cache.openAhead(from.other(), a);
    }

    private void takeToken(ServerConnection a) {
        if (ReplicationState.read(a).role() != Role.PRIMARY) {
            throw failed(a.endpoint() + " is no primary; somebody has changed its role");
        }
        RoleCommands.writeToken(a, id);
        spareA = cache.connect(from);
    }

    /** What clients will need on B; where B refuses them their connections, it is known before anybody is held. */
    private void openConnectionsAhead(Deadline deadline) {
        try {
            cache.proxy()
                    .openAhead(cache.route(from.other(), epoch + 1))
                    .orTimeout(deadline.remaining().toMillis(), TimeUnit.MILLISECONDS)
                    .join();
        } catch (CompletionException e) {
            cache.proxy().closeAhead();
            throw failed("connections for clients cannot be opened to fleet "
                    + cache.fleet(from.other()).name() + ": "
                    + (e.getCause() instanceof TimeoutException ? "it took too long" : String.valueOf(e.getCause())));
        }
    }

    /** A may be what is left behind because it is gone: then nobody is served there, and there is nothing to fence. */
    private void prepareWithLoss() {
        try {
            ServerConnection a = a();
            takeToken(a);
            ahead = cache.openAhead(from.other(), a);
        } catch (FleetException e) {
            fromDoesNotAnswer = e.code() == FleetException.Code.UNREACHABLE;
            cache.linkNote(
                    "goes on without " + cache.fleet(from).endpoint() + ", which cannot be fenced: " + e.getMessage());
        }
    }

    /** Asks B whether it will let the other direction's link begin where this one ends; a way back must be proven first. */
    private void proveWayBack(ServerConnection b) {
        ReplicationState state = ReplicationState.read(b);
        String why = switch (RelayLink.probe(
                cache.fleet(from.other()), state.id(), state.offset(), MovingCache.SERVER_TIMEOUT)) {
            case ProbeResult.Continues continues -> "";
            case ProbeResult.NeedsCopy(String reason) -> reason;
            case ProbeResult.Unknown(String reason) -> reason;
        };
        if (!why.isEmpty()) {
            throw failed("the way back cannot be opened: " + b.endpoint()
                    + " does not continue its stream for a link that asks for " + state.id() + " from offset "
                    + state.offset() + ": " + why);
        }
    }

    /** Holds the clients of this cache; where A is gone, without waiting for what it will not answer. */
    CompletableFuture<HoldOutcome> hold(Duration limit) {
        CompletableFuture<HoldOutcome> holding = cache.proxy().hold(limit);
        if (fromDoesNotAnswer) {
            cache.proxy().giveUpUnanswered();
        }
        return holding;
    }

    /** Makes A refuse writes, and B equal to it. When this returns, A's and B's offsets are final and no link flows. */
    Evidence fence(Deadline deadline) {
        if (acceptLoss) {
            RelayLink unserved = ahead;
            if (unserved != null) {
                MovingCache.demandChanged(RoleCommands.follow(a(), unserved.face(), id));
            }
            cache.closeLink();
            return new Evidence(cache.name(), from.other(), epoch + 1, null);
        }
        ServerConnection a = a();
        ServerConnection b = b();
        RelayLink waiting = java.util.Objects.requireNonNull(ahead, "prepare comes before fence");
        RelayLink link = cache.link().orElseThrow(() -> failed("the link is gone"));
        long began = environment.nanoTime();
        long offset = ReplicationState.read(a).offset();
        demandApplied(link, offset, deadline);
        began = lap("drain", began);
        RoleChange.Changed fenced =
                MovingCache.demandChanged(java.util.Objects.requireNonNull(watchA, "prepare comes before fence")
                        .follow(waiting.face()));
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
        return new Evidence(
                cache.name(),
                from.other(),
                epoch + 1,
                new LinkBase(equal.id(), equal.offset(), fenced.after().id(), fenced.offsetAtChange()));
    }

    private void demandApplied(RelayLink link, long offset, Deadline deadline) {
        if (!link.awaitApplied(offset, deadline)) {
            throw failed("the drain took too long: the link is still "
                    + link.status().lagBytes() + " bytes behind");
        }
    }

    /** After the decision: B becomes a primary, the proxy lets go there, and A follows B. Repeatable. */
    void commit(Evidence evidence) {
        long began = environment.nanoTime();
        LinkBase decided = evidence.base();
        ReplicationState promoted = promote(decided);
        began = lap("promote", began);
        cache.proxy().letGo(cache.route(evidence.to(), evidence.epoch())).join();
        letGoAtNanos = lap("let go", began);
        openWayBack(evidence, promoted);
    }

    private ReplicationState promote(@Nullable LinkBase decided) {
        TokenWatch standing = watchB;
        watchB = null;
        if (standing != null) {
            // This connection was open when B's offset was read, so B is what the decision speaks of.
            return MovingCache.demandChanged(standing.promote()).after();
        }
        ServerConnection b = b();
        ReplicationState found = ReplicationState.read(b);
        if (decided != null && !isAt(found, decided)) {
            unequalBecause = another(found, decided);
        }
        if (found.role() == Role.PRIMARY) {
            return found;
        }
        String token = acceptLoss ? RoleCommands.token(b).orElse("") : id;
        return MovingCache.demandChanged(RoleCommands.promote(b, token)).after();
    }

    /**
     * Whoever finds the decision after a crash may find another B: one that was restarted meanwhile, with older data or none. The
     * decision stands, and clients go there; that is said, because A still has everything up to the switch.
     */
    private String another(ReplicationState found, LinkBase decided) {
        return cache.fleet(from.other()).endpoint() + " was decided for at offset " + decided.sourceOffset()
                + " of " + decided.sourceId() + " and is now a " + found.role() + " at offset " + found.offset()
                + " of " + found.id() + ": it was restarted or changed in the middle of switch " + id
                + " and may have lost data; fleet " + cache.fleet(from).name()
                + " has everything up to the switch, and rollback --accept-loss goes back to it";
    }

    private static boolean isAt(ReplicationState found, LinkBase decided) {
        return found.role() == Role.REPLICA
                ? found.id().equals(decided.sourceId()) && found.offset() == decided.sourceOffset()
                : found.id().equals(decided.sourceId()) || found.secondId().equals(decided.sourceId());
    }

    private void openWayBack(Evidence evidence, ReplicationState promoted) {
        LinkBase decided = evidence.base();
        String unequal = decided == null
                ? "this switch accepted a loss: what " + cache.fleet(from).name()
                        + " had and the other fleet had not is given up, so the fleets are not equal at any offset"
                : unequalBecause;
        if (decided == null || unequal != null) {
            String why = java.util.Objects.requireNonNull(unequal);
            closeAhead();
            cache.closeLink();
            cache.remember(record -> record.withoutBase(why));
            cache.linkIsBroken(why);
            return;
        }
        LinkBase base = afterPromotion(decided, promoted);
        cache.remember(record -> record.withBase(base));
        RelayLink back = ahead;
        ahead = null;
        if (back == null) {
            cache.reopenLinkIfItAnswers(evidence.to());
        } else {
            cache.closeLink(); // the frozen one; clients are served already
            cache.adopt(back, evidence.to());
            back.admit(base);
        }
        try {
            ServerSettings.makeLasting(b());
            ServerSettings.makeLasting(a());
        } catch (FleetException e) {
            // A may be the reason for this switch; the link shows that it is gone, and the way back says so.
            cache.linkNote(String.valueOf(e.getMessage()));
        }
        cache.guardWayBackIfItAnswers(evidence.to());
    }

    /** After the decision, or before it was asked for: A is, or becomes again, a primary, and the proxy lets go there. Repeatable. */
    void abort() {
        closeAhead();
        try {
            ReplicationState promoted = takeBack();
            cache.remember(record -> {
                LinkBase base = record.base();
                return base == null ? record : record.withBase(afterPromotion(base, promoted));
            });
        } catch (FleetException e) {
            if (!acceptLoss) {
                throw e;
            }
            cache.linkNote(cache.fleet(from).endpoint() + " may have been left read-only: " + e.getMessage());
        } finally {
            cache.proxy().letGo(cache.route(from, epoch)).join();
            letGoAtNanos = environment.nanoTime();
        }
        cache.reopenLinkIfItAnswers(from);
        cache.guardWayBackIfItAnswers(from);
    }

    /**
     * Makes A a primary, and a fence of this switch that is still on its way one that A itself refuses. The token comes first: once
     * A has taken it no fence can come any more; where A does not take it, being a replica, the fence has come already.
     */
    private ReplicationState takeBack() {
        ServerConnection a = spareA;
        if (a == null) {
            a = cache.connect(from);
            spareA = a;
        }
        String closed = id + ":closed";
        if (!RoleCommands.offerToken(a, closed)) {
            MovingCache.demandChanged(RoleCommands.promote(a, id));
            RoleCommands.writeToken(a, closed);
        }
        ReplicationState state = ReplicationState.read(a);
        // A replica that takes writes (replica-read-only no) took the token as well.
        return state.role() == Role.PRIMARY
                ? state
                : MovingCache.demandChanged(RoleCommands.promote(a, closed)).after();
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

    private ServerConnection a() {
        if (serverA == null) {
            serverA = cache.connect(from);
        }
        return serverA;
    }

    private ServerConnection b() {
        if (serverB == null) {
            serverB = cache.connect(from.other());
        }
        return serverB;
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
        closeAhead();
        if (serverA != null) {
            serverA.close();
        }
        if (serverB != null) {
            serverB.close();
        }
        if (spareA != null) {
            spareA.close();
        }
    }
}
