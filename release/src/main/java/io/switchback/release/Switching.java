package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.release.ReleaseState.PendingSwitch;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus.SwitchStatus;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.release.SwitchMessages.Readiness;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The switches of one release: begins them, tries them again, and brings to its end whatever was begun, also what an earlier
 * process has left behind. For the release's own thread.
 */
final class Switching {
    private static final Logger LOG = LoggerFactory.getLogger(Switching.class);

    /** How long after a failure a server or the ledger is asked again. */
    private static final Duration RETRY = Duration.ofMillis(500);
    /** How long the link may take to catch up before a switch, when nobody is held yet. */
    private static final Duration CATCH_UP = Duration.ofSeconds(10);

    /** How long a node may take to get ready for a switch, and to acknowledge that it knows of the release. */
    private static final Duration READY_LIMIT = Duration.ofSeconds(10);
    /** How often it is asked whether nodes are there that were not. */
    private static final Duration TURN = Duration.ofMillis(100);

    private final ReleaseFile file;
    private final Nodes nodes;
    private final Ledger ledger;
    private final ReleaseStore store;
    private final Presence presence;
    private final List<MovingCache> caches;
    private final Standing standing;
    private final Orders orders;
    /** The caches whose fleet on a side, in use there, is dead, with how that was found. */
    private final Function<Side, Map<String, String>> lostFleets;

    private final Environment environment;
    private final List<SwitchStatus> tried = new CopyOnWriteArrayList<>();

    /** For the switches of one release; {@code ledger} is that of the claim, so nothing is written by whoever leads no more. */
    Switching(
            ReleaseFile file,
            Nodes nodes,
            Ledger ledger,
            List<MovingCache> caches,
            Standing standing,
            Orders orders,
            Function<Side, Map<String, String>> lostFleets,
            Environment environment) {
        this.file = file;
        this.nodes = nodes;
        this.ledger = ledger;
        this.store = new ReleaseStore(ledger, environment);
        this.presence = new Presence(ledger);
        this.caches = caches;
        this.standing = standing;
        this.orders = orders;
        this.lostFleets = lostFleets;
        this.environment = environment;
    }

    /** The switches that this process has tried. */
    List<SwitchStatus> tried() {
        return List.copyOf(tried);
    }

    /**
     * Moves the traffic; tries again where an attempt was given up before its decision. True once the traffic is there; false
     * where the attempts are used up, and then the release stands still.
     *
     * @throws FleetLost where the fleet in use has died in the middle of it
     */
    boolean to(Side side, List<String> lossAccepted, String why) throws InterruptedException {
        return to(side, lossAccepted, Set.of(), why);
    }

    /** As {@link #to(Side, List, String)}, where the fleets in use of the caches {@code dead} are not asked for anything any more. */
    boolean to(Side side, List<String> lossAccepted, Set<String> dead, String why) throws InterruptedException {
        String reason = "";
        Order carriedOut = orders.waiting();
        for (int attempt = 1; attempt <= file.holdAttempts() && !orders.stopping(); attempt++) {
            reason = attempt(side, lossAccepted, dead, why);
            if (isOpenNowhere() && standing.state().side() == side) {
                return true;
            }
            String givenUp = "attempt " + attempt + " of " + file.holdAttempts() + " was given up: " + reason;
            standing.say(givenUp);
            LOG.warn("release {}: {}", file.name(), givenUp);
            // Who has something else in mind is not kept waiting by the attempts that are left.
            orders.pauseWithin(carriedOut, RETRY.multipliedBy(attempt));
        }
        ReleaseState now = standing.state();
        standing.save(now.at(
                Status.PAUSED,
                now.step(),
                "the switch was given up " + file.holdAttempts()
                        + " times, and clients stay where they were; the last time: " + reason));
        return false;
    }

    private boolean isOpenNowhere() {
        return standing.state().pendingSwitch() == null;
    }

    private String attempt(Side to, List<String> lossAccepted, Set<String> dead, String why)
            throws InterruptedException {
        List<CacheSwitch> parts = List.of();
        try {
            Attendance attendance = attendance(dead);
            long number = ReleaseStore.switchNumbers(ledger).next();
            PendingSwitch begun = new PendingSwitch(
                    file.name(),
                    number,
                    to,
                    why,
                    parts(number, to, lossAccepted),
                    file.commit(),
                    attendance.participants(),
                    attendance.membership(),
                    null);
            standing.save(settled().beginning(begun));
            standing.say("moves all traffic to the " + (to == Side.OLD ? "old" : "new") + " fleet"
                    + (why.isEmpty() ? "" : ": " + why));
            standing.journal(
                    "switch",
                    begun.id() + " begins",
                    Map.of("to", to.name(), "participants", String.join(", ", attendance.participants())));
            parts = open(begun, attendance.isSomebodyMissing(), dead, Set.of());
            parts.stream()
                    .filter(part -> !part.part().acceptLoss())
                    .forEach(part -> part.cache().lookAfterTarget(to.other()));
            Deadline catchUp = Deadline.in(environment, CATCH_UP);
            parts.forEach(part -> part.prepare(catchUp));
            if (tried.isEmpty()) {
                Rehearsal.ask(nodes, begun.participants(), environment);
            }
            makeReady(begun, parts);
            SwitchRun.Report report = run(begun, parts).begin();
            tried.add(shown(begun, report));
            if (parts.stream().allMatch(CacheSwitch::hasRoles)) {
                end(begun, parts, report);
            }
            return report.reason();
        } catch (ReleaseException | FleetException e) {
            LOG.warn("a switch of release {} was given up", file.name(), e);
            return String.valueOf(e.getMessage());
        } finally {
            parts.forEach(CacheSwitch::close);
            closePending();
        }
    }

    private List<SwitchPart> parts(long number, Side to, List<String> lossAccepted) {
        Routes routes = new Routes(ledger);
        return caches.stream()
                .map(cache -> new SwitchPart(
                        file.name(),
                        number,
                        cache.name(),
                        cache.fleet(Side.OLD).name(),
                        cache.fleet(Side.NEW).name(),
                        to,
                        routes.current(cache.name()).map(Route::epoch).orElseThrow(),
                        cache.kind(),
                        lossAccepted.contains(cache.name())))
                .toList();
    }

    private List<CacheSwitch> open(
            PendingSwitch begun, boolean somebodyIsMissing, Set<String> deadA, Set<String> deadB) {
        return caches.stream()
                .map(cache -> cache.links()
                        .toSwitch(
                                begun.part(cache.name()).orElseThrow(),
                                new CacheSwitch.Known(
                                        somebodyIsMissing, deadA.contains(cache.name()), deadB.contains(cache.name()))))
                .toList();
    }

    private SwitchRun run(PendingSwitch begun, List<CacheSwitch> parts) {
        SwitchRun.Hooks hooks = new SwitchRun.Hooks(
                evidence -> standing.save(standing.state().preCommitted(begun.with(evidence))),
                node -> new Members(ledger)
                        .roster()
                        .member(node)
                        .filter(presence::isThere)
                        .isPresent(),
                orders::stopping);
        return new SwitchRun(begun, nodes, new SwitchRegister(ledger), file.holdLimit(), parts, hooks, environment);
    }

    // ---- the nodes ----

    /**
     * Who takes part in a switch.
     *
     * @param membership the version from which they were taken
     */
    private record Attendance(Set<String> participants, long membership, boolean isSomebodyMissing) {}

    /**
     * Every registered node that is there takes part. One that is not may have connections of clients all the same: it has to
     * have acknowledged the release, because then it follows the stricter rules by which it can be fenced; and where the fleet is {@code
     * dead}, there is no fence, so everybody has to be there. A node that certainly holds its clients does no harm in either case.
     */
    private Attendance attendance(Set<String> dead) throws InterruptedException {
        Deadline deadline = Deadline.in(environment, READY_LIMIT);
        while (true) {
            ledger.catchUp();
            Members.Roster roster = new Members(ledger).roster();
            List<String> unarmed = new ArrayList<>();
            List<String> unasked = new ArrayList<>();
            Set<String> participants = new TreeSet<>();
            boolean somebodyIsMissing = false;
            for (Member member : roster.members()) {
                List<MovingCache> served = caches.stream()
                        .filter(cache -> member.caches().contains(cache.name()))
                        .toList();
                if (presence.certainlyHolds(member)) {
                    somebodyIsMissing |= !served.isEmpty();
                } else if (!served.stream().allMatch(cache -> store.isArmed(file.name(), cache.name(), member))) {
                    unarmed.add(member.node());
                } else if (presence.isThere(member)) {
                    served.forEach(cache -> participants.add(SwitchMessages.participant(member.node(), cache.name())));
                } else {
                    somebodyIsMissing |= !served.isEmpty();
                    if (served.stream().anyMatch(cache -> dead.contains(cache.name()))) {
                        unasked.add(member.node());
                    }
                }
            }
            if (!unasked.isEmpty()) {
                throw new ReleaseException(
                        ReleaseException.Code.STEP_FAILED,
                        "the fleet in use does not answer and cannot be fenced, and these nodes may still serve their"
                                + " clients there: " + String.join(", ", unasked)
                                + "; bring them back, remove them (switchback node remove NAME), or say rollback"
                                + " --accept-loss");
            }
            if (unarmed.isEmpty() && !participants.isEmpty()) {
                return new Attendance(participants, roster.version(), somebodyIsMissing);
            }
            if (deadline.passed()) {
                throw new ReleaseException(
                        ReleaseException.Code.STEP_FAILED,
                        "not every registered node has acknowledged this release: " + String.join(", ", unarmed)
                                + " has not; bring it back, or, if it will never serve again, remove it (switchback"
                                + " node remove NAME)");
            }
            standing.say("waits for nodes to acknowledge the release: " + String.join(", ", unarmed));
            orders.pauseWithin(orders.waiting(), TURN);
        }
    }

    /** Asks every participant at once, and waits for all. */
    private void makeReady(PendingSwitch begun, List<CacheSwitch> parts) throws InterruptedException {
        Map<String, CompletableFuture<byte[]>> asked = new LinkedHashMap<>();
        for (String participant : begun.participants()) {
            CacheSwitch part = parts.stream()
                    .filter(one -> one.part().cache().equals(SwitchMessages.cacheOf(participant)))
                    .findFirst()
                    .orElseThrow();
            MakeReady question = new MakeReady(
                    part.part(),
                    begun.protocol(),
                    begun.participants(),
                    READY_LIMIT.toMillis(),
                    file.holdLimit().toMillis(),
                    part.fromAnswers(),
                    part.mark());
            asked.put(
                    participant,
                    nodes.ask(
                            SwitchMessages.nodeOf(participant),
                            SwitchMessages.READY,
                            ReleaseStore.bytes(question),
                            READY_LIMIT));
        }
        List<String> problems = new ArrayList<>();
        for (Map.Entry<String, CompletableFuture<byte[]>> one : asked.entrySet()) {
            try {
                String problem = ReleaseStore.value(one.getValue().get(), Readiness.class)
                        .problem();
                if (!problem.isEmpty()) {
                    problems.add(problem);
                }
            } catch (ExecutionException e) {
                problems.add(one.getKey() + " did not get ready: " + e.getCause());
            }
        }
        if (!problems.isEmpty()) {
            throw new ReleaseException(ReleaseException.Code.STEP_FAILED, String.join("; ", problems));
        }
    }

    // ---- the end ----

    /** What comes once clients are served again: the way back opens, or everything goes on as it was; then the books are closed. */
    private void end(PendingSwitch begun, List<CacheSwitch> parts, SwitchRun.Report report) {
        goOnAfter(parts, report);
        closed(begun, report);
    }

    private void goOnAfter(List<CacheSwitch> parts, SwitchRun.Report report) {
        parts.stream()
                .map(CacheSwitch::unconfirmed)
                .filter(what -> !what.isEmpty())
                .forEach(standing::warn);
        for (CacheSwitch part : parts) {
            if (report.verdict() == Verdict.COMMIT) {
                part.openWayBack(java.util.Objects.requireNonNull(report.evidence())
                        .of(part.part().cache()));
            } else {
                part.goOnWhereItWas();
            }
        }
    }

    private static SwitchStatus shown(PendingSwitch begun, SwitchRun.Report report) {
        Map<String, Double> took = new LinkedHashMap<>();
        report.took().forEach((what, time) -> took.put(what, time.toNanos() / 1e6));
        return new SwitchStatus(
                begun.id(),
                report.at().toString(),
                begun.to(),
                report.verdict().name().toLowerCase(Locale.ROOT),
                report.reason(),
                report.held().toNanos() / 1e6,
                took);
    }

    private void closed(PendingSwitch pending, SwitchRun.Report report) {
        boolean committed = report.verdict() == Verdict.COMMIT;
        LOG.info(
                "switch {}: {}; clients were held for {} ms",
                pending.id(),
                committed
                        ? "all traffic is on the " + pending.to().name().toLowerCase(Locale.ROOT) + " fleet"
                        : "given up, traffic stays where it was: " + report.reason(),
                report.held().toNanos() / 1e6);
        standing.save(standing.state().closed(pending, committed));
        Map<String, String> details = new LinkedHashMap<>();
        details.put("held", report.held().toNanos() / 1_000_000.0 + " ms");
        if (!committed) {
            details.put("because", report.reason());
        }
        standing.journal("switch", pending.id() + ": " + report.verdict().name().toLowerCase(Locale.ROOT), details);
    }

    /**
     * Brings a switch that was begun to its end: what its register says, or abort where nothing is there. Tries until the
     * servers have done it; clients that are held meanwhile are let go by their nodes after a while all the same.
     *
     * @throws FleetLost where the fleet that its verdict leads to is dead. Then it stays open, so that whoever finds it puts the roles in order should
     *     that fleet come back, until the switch away from there takes its place
     */
    void closePending() throws InterruptedException {
        PendingSwitch pending = standing.state().pendingSwitch();
        Map<String, String> lost = Map.of();
        boolean isAccepted = false;
        while (pending != null && !orders.stopping()) {
            boolean committed = isCommitted(pending);
            Set<String> none = Set.of();
            List<CacheSwitch> parts =
                    open(pending, false, committed ? none : lost.keySet(), committed ? lost.keySet() : none);
            try {
                SwitchRun.Report report = run(pending, parts).goOn();
                if (parts.stream().allMatch(CacheSwitch::hasRoles)) {
                    end(pending, parts, report);
                    return;
                }
                goOnAfter(parts, report);
                if (!lost.isEmpty()) {
                    throw new FleetLost(inUseAfter(pending, committed), lost, isAccepted);
                }
                standing.say("waits to close switch " + pending.id() + ": the fleet where clients are does not answer");
                environment.sleep(RETRY);
            } catch (FleetException | ReleaseException | LedgerException e) {
                if (e instanceof LedgerException failure && failure.code() == LedgerException.Code.SUPERSEDED) {
                    throw e;
                }
                standing.say("waits to close switch " + pending.id() + ": " + e.getMessage());
                LOG.warn("release {}: switch {} is not closed yet", file.name(), pending.id(), e);
                environment.sleep(RETRY);
            } finally {
                parts.forEach(CacheSwitch::close);
            }
            Side inUse = inUseAfter(pending, isCommitted(pending));
            lost = lostFleets.apply(inUse);
            isAccepted = lost.isEmpty();
            if (isAccepted) {
                lost = givenUp(inUse);
            }
        }
    }

    /**
     * The caches whose fleet in use does not answer, where a person accepts the loss: that order must not wait for this switch. It leads to the
     * old fleet, so it says nothing where that one is silent.
     */
    private Map<String, String> givenUp(Side inUse) {
        Order order = orders.waiting();
        Map<String, String> silent = new LinkedHashMap<>();
        if (order != null && order.acceptLoss() && inUse == Side.NEW) {
            for (MovingCache cache : caches) {
                if (!cache.answers(inUse)) {
                    silent.put(
                            cache.name(),
                            "fleet " + cache.fleet(inUse).name() + " does not answer, and " + order.who()
                                    + " accepts the loss");
                }
            }
        }
        return silent;
    }

    private boolean isCommitted(PendingSwitch pending) {
        return new SwitchRegister(ledger)
                .read(pending.id().toString())
                .filter(decision -> decision.verdict() == Verdict.COMMIT)
                .isPresent();
    }

    private static Side inUseAfter(PendingSwitch pending, boolean committed) {
        return committed ? pending.to() : pending.to().other();
    }

    /** As it will stand once the switch that is open is closed, if there is one: it is decided, and away from a dead fleet leads another one. */
    private ReleaseState settled() {
        ReleaseState now = standing.state();
        PendingSwitch open = now.pendingSwitch();
        return open == null ? now : now.closed(open, isCommitted(open));
    }
}
