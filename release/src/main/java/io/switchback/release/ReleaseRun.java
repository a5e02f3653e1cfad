package io.switchback.release;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.Token;
import io.switchback.ledger.Claim;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Members;
import io.switchback.release.GateJudge.Judgement;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus.CacheStatus;
import io.switchback.release.ReleaseStatus.WayBack;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.verify.Verification;
import io.switchback.sync.verify.VerificationProgress;
import io.switchback.sync.verify.VerificationReport;
import io.switchback.sync.verify.VerificationSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One release, from its file to its end, on one thread, in straight lines: its steps, and the orders that people give.
 *
 * <p>What survives a kill is in the ledger: the state ({@link ReleaseState}), the caches ({@link CacheRecord}), the order that
 * is not carried out yet, and the register of each switch. Everything here may be lost at any instruction. After a restart
 * {@link #work} begins at the top: it closes the switch that was under way, opens the link, and enters the step again. So
 * every step is written to be entered again.
 *
 * <p>A server or the ledger that does not answer stops the release where it is; its status says what it waits for.
 */
final class ReleaseRun {
    private static final Logger LOG = LoggerFactory.getLogger(ReleaseRun.class);

    /** How often a wait looks around. */
    private static final Duration TURN = Duration.ofMillis(100);
    /** How long after a failure a server or the ledger is asked again. */
    private static final Duration RETRY = Duration.ofMillis(500);
    /** How many windows in a row must breach a gate: one slow second is no verdict. */
    private static final int BREACHES = 3;
    /** How long a rollback that accepts a loss waits for ways back that are opening, and need none. */
    private static final Duration OPENING_LIMIT = Duration.ofSeconds(5);
    /** How long the lag must stay under its gate before the release goes on. */
    private static final Duration LAG_STAYS = Duration.ofSeconds(1);

    /**
     * How far a time to live may be off that a source below 7.0 streamed as a relative one: the link knows to within some looks
     * at the source when it counts from. From 7.0 on times to live are compared exactly.
     */
    private static final Duration RELATIVE_TIME_TOLERANCE = Duration.ofSeconds(2);

    /** For how long the check looks at what clients send to a fleet that is to become a cluster; that goes on until the cutover. */
    private static final Duration CLIENTS_WATCHED = Duration.ofSeconds(3);

    /** How often it is looked whether a copy that is to be made again can begin. */
    private static final Duration COPY_LOOK = Duration.ofSeconds(1);

    /** How often it is looked whether the followers are told to follow the links. */
    private static final Duration POINTING = Duration.ofSeconds(2);

    private final ReleaseFile file;
    private final Claim claim;
    private final List<MovingCache> caches;
    private final Path backupFolder;
    private final Environment environment;
    private final Standing standing;
    private final Orders orders;
    private final TrafficWatch traffic;
    private final FleetPulse pulse;
    private final Switching switching;
    private final FleetPreparation preparation;
    private final ClusterUse clusterUse;
    private final Map<MovingCache, Reopening> reopenings = new LinkedHashMap<>();
    /** The caches at whose fleet in use this leader's term is known. */
    private final Set<String> tookOver = new HashSet<>();

    private Deadline nextPointing;
    private Deadline nextCopyLook;
    private volatile List<Judgement> judgements = List.of();

    ReleaseRun(
            ReleaseFile file,
            Nodes nodes,
            Claim claim,
            ReleaseStore store,
            List<MovingCache> caches,
            Path backupFolder,
            Environment environment) {
        this.file = file;
        this.caches = caches;
        this.backupFolder = backupFolder;
        this.environment = environment;
        this.nextPointing = Deadline.in(environment, POINTING);
        this.nextCopyLook = Deadline.in(environment, COPY_LOOK);
        this.standing = new Standing(store, store.state(file.name()).orElseThrow());
        this.orders = new Orders(file.name(), store);
        this.claim = claim;
        this.traffic = new TrafficWatch(caches, nodes, new Members(claim.ledger()), environment);
        this.pulse = new FleetPulse(
                caches,
                file.fleetLossAfter(),
                file.fleetHungAfter(),
                nodes,
                new Members(claim.ledger()),
                new Presence(claim.ledger()),
                environment);
        this.switching =
                new Switching(file, nodes, claim.ledger(), caches, standing, orders, this::lostFleets, environment);
        this.preparation = new FleetPreparation(file, standing);
        this.clusterUse = new ClusterUse(nodes, new Members(claim.ledger()));
        caches.forEach(cache -> reopenings.put(cache, new Reopening(cache, preparation, environment)));
    }

    /** Thrown within a step before the cutover whose links have broken, where a copy mends that; never leaves this class. */
    private static final class OutOfStep extends RuntimeException {
        private static final long serialVersionUID = 1;

        OutOfStep(String why) {
            super(why);
        }
    }

    private Reopening reopening(MovingCache cache) {
        return Objects.requireNonNull(reopenings.get(cache));
    }

    // ---- for other threads ----

    /** Under which claim this process leads the release. */
    Claim.Holder leader() {
        return claim.holder();
    }

    /** Somebody may have given an order. */
    void lookForOrders() {
        orders.look();
    }

    /** Has {@link #work} end soon, with everything left as it is. */
    void stop() {
        orders.stop();
    }

    ReleaseStatus status() {
        ReleaseState now = standing.state();
        return new ReleaseStatus(
                file.name(),
                now.status(),
                now.step(),
                now.side(),
                standing.progress(),
                standing.detail(),
                caches.stream().map(cache -> status(cache, now)).toList(),
                judgements,
                switching.tried(),
                standing.warnings());
    }

    private CacheStatus status(MovingCache cache, ReleaseState now) {
        LinkStatus link = cache.linkStatus().orElse(null);
        CacheRecord record = cache.remembered();
        WayBack wayBack = wayBack(cache, now);
        return new CacheStatus(
                cache.name(),
                record.from(),
                record.to(),
                cache.fleet(now.side()).name(),
                link == null ? "none" : words(link.phase()),
                record.choice(),
                link == null ? -1 : link.lagBytes(),
                link == null ? -1 : link.lagMillis(),
                wayBack,
                switch (wayBack) {
                    case CLOSED -> closedBecause(cache, link);
                    case COPYING -> copiedAgain(cache, link);
                    case NOT_NEEDED, OPENING, OPEN -> "";
                },
                cache.protection(),
                now.baselines().get(cache.name()),
                traffic.lately(cache),
                record.backups().isEmpty() ? null : String.join(", ", record.backups()));
    }

    private String copiedAgain(MovingCache cache, @Nullable LinkStatus link) {
        String waits = reopening(cache).waitsFor();
        String how = link == null
                ? waits.isEmpty() ? "it is about to begin" : waits
                : CopyProgress.of(link).words() + (link.detail().isEmpty() ? "" : "; " + link.detail());
        return "fleet " + cache.fleet(Side.OLD).name() + " is filled again (" + how
                + "); until that is done it is not whole, and no rollback goes there";
    }

    private String closedBecause(MovingCache cache, @Nullable LinkStatus link) {
        String waits = reopening(cache).waitsFor();
        String next = waits.isEmpty() ? "" : ": " + waits;
        if (cache.isMendable(Side.NEW)) {
            next = (reopening(cache).needsPerson()
                            ? "; it is not opened again by itself"
                            : "; it is opened again by a new copy")
                    + next;
        }
        if (cache.remembered().hollow()) {
            return cache.linkBroken() + "; fleet " + cache.fleet(Side.OLD).name()
                    + " is not whole, and no rollback goes there" + next;
        }
        return cache.linkBroken() + "; a rollback now would lose " + cost(cache, link)
                + " (rollback --accept-loss does it)" + next;
    }

    private static String cost(MovingCache cache, @Nullable LinkStatus link) {
        String cost;
        if (link == null) {
            cost = "what was written since the cutover";
        } else if (link.lagBytes() < 0) {
            cost = "all that " + cache.fleet(Side.OLD).name()
                    + " does not hold, which may be everything: look there first";
        } else {
            cost = "the last " + link.lagBytes() + " bytes of the stream of writes";
        }
        return cost;
    }

    private static WayBack wayBack(MovingCache cache, ReleaseState now) {
        if (now.side() == Side.OLD || now.status().ended()) {
            return WayBack.NOT_NEEDED;
        }
        if (cache.linkBroken() != null) {
            return WayBack.CLOSED;
        }
        if (cache.remembered().again() != null) {
            return WayBack.COPYING;
        }
        return cache.linkStatus()
                        .filter(link -> link.phase() == LinkStatus.Phase.STREAMING)
                        .isPresent()
                ? WayBack.OPEN
                : WayBack.OPENING;
    }

    // ---- the release's own thread ----

    /** Runs the release until it ends, the node stops, or another node leads it. */
    void work() {
        try {
            while (!orders.stopping() && !standing.state().status().ended()) {
                try {
                    turnOrWait();
                } catch (LedgerException e) {
                    if (e.code() == LedgerException.Code.SUPERSEDED) {
                        LOG.info("release {}: {}", file.name(), e.getMessage());
                        return;
                    }
                    // Also where a failure could not be written down: what was to be said is found again.
                    LOG.warn("release {}: {}", file.name(), e.getMessage());
                    standing.say("waits: " + e.getMessage());
                    environment.sleep(RETRY);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            // Nothing that a server, a network or a disk may do ends up here: it is a mistake of ours, so nothing is
            // tried on.
            LOG.error(
                    "release {} stopped in step {}",
                    file.name(),
                    standing.state().step().title(),
                    e);
            standing.say("stopped by a mistake in Switchback (" + e + "); the node's log says more, and a node that is"
                    + " started again goes on where this stands");
        } finally {
            caches.forEach(MovingCache::close);
        }
    }

    private void turnOrWait() throws InterruptedException {
        try {
            turn();
        } catch (Orders.GiveWay e) {
            standing.say("");
        } catch (FleetLost e) {
            leave(e);
        } catch (OutOfStep e) {
            beginWithTheCopy(String.valueOf(e.getMessage()));
        } catch (FleetException e) {
            doesNotAnswer(String.valueOf(e.getMessage()));
        } catch (ReleaseException e) {
            stepFailed(String.valueOf(e.getMessage()));
        }
    }

    /**
     * After a pending switch is closed, which is done under its own token: whoever led before can do nothing at the servers any more. A server
     * that does not answer is asked again at the next turn. Before the copy there is nothing that it could do to the fleet in use, and no
     * key of ours belongs into the backup; what it does to the other one until then is put right ({@link RelayLinks#lookAfterTarget}).
     */
    private void takeOver() {
        caches.forEach(this::takeOver);
    }

    private void takeOver(MovingCache cache) {
        if ((cache.copied() || cache.remembered().hollow()) && !tookOver.contains(cache.name())) {
            long number = ReleaseStore.switchNumbers(claim.ledger()).next();
            cache.takeOver(
                    standing.state().side(),
                    Token.open(number, file.name() + " led by " + claim.holder().node()));
            tookOver.add(cache.name());
        }
    }

    private void turn() throws InterruptedException {
        switching.closePending();
        Order order = orders.waiting();
        if (order != null) {
            carryOut(order);
            return;
        }
        takeOver();
        caches.forEach(cache -> cache.reopenLink(standing.state().side()));
        switch (standing.state().status()) {
            case RUNNING -> step(standing.state().step());
            case PAUSED, ROLLED_BACK -> standStill();
            case FINISHED, ABORTED, FAILED -> {}
        }
    }

    private void step(Step step) throws InterruptedException {
        switch (step) {
            case CHECK -> check();
            case BACKUP -> backup();
            case MIGRATE -> migrate();
            case SYNC -> sync();
            case VERIFY -> verify();
            case CUTOVER -> cutover();
            case OBSERVE -> observe();
            case FINISH -> awaitFinish();
        }
    }

    private void doesNotAnswer(String what) throws InterruptedException {
        ReleaseState now = standing.state();
        if (now.step() == Step.CHECK) {
            stepFailed(what);
            return;
        }
        standing.say("waits: " + what);
        LOG.warn("release {} waits in step {}: {}", file.name(), now.step().title(), what);
        environment.sleep(RETRY);
        Map<String, String> lost = now.pendingSwitch() == null ? lostFleets(now.side()) : Map.of();
        if (!lost.isEmpty()) {
            leave(new FleetLost(now.side(), lost, false));
        }
    }

    // ---- the fleet in use dies ----

    /** The caches whose fleet on that side, the one in use, is dead while the other one has its data, with how that was found. */
    private Map<String, String> lostFleets(Side inUse) {
        boolean otherHasTheData = caches.stream()
                .allMatch(cache -> inUse == Side.NEW ? !cache.remembered().hollow() : cache.copied());
        if (file.onFleetLoss() == OnFleetLoss.WAIT || (!otherHasTheData && inUse == Side.OLD)) {
            return Map.of();
        }
        FleetPulse.Findings found = pulse.look(inUse);
        if (!otherHasTheData) {
            found.caches()
                    .values()
                    .forEach(dead -> standing.say(dead + "; and the old fleet is not whole, so nobody is led there"));
            return Map.of();
        }
        found.doubts().forEach(standing::say);
        found.busy().forEach(standing::warn);
        return found.caches();
    }

    private void demandAlive(Side inUse) {
        Map<String, String> lost = lostFleets(inUse);
        if (!lost.isEmpty()) {
            throw new FleetLost(inUse, lost, false);
        }
    }

    /**
     * Moves everybody to the fleet that lives and ends the release there. Where both are silent there is nowhere to go: the release goes
     * on to wait.
     */
    private void leave(FleetLost lost) throws InterruptedException {
        Side to = lost.inUse().other();
        String why = String.valueOf(lost.getMessage());
        LOG.error("release {}: {}", file.name(), why);
        if (!caches.stream().allMatch(cache -> cache.answers(to))) {
            standing.say(why + "; and the other fleet does not answer either");
            return;
        }
        standing.journal("fleet loss", why, Map.of());
        boolean moved;
        try {
            Set<String> dead = lost.isAccepted() ? Set.of() : lost.caches().keySet();
            moved = switching.to(to, List.copyOf(lost.caches().keySet()), dead, why);
        } catch (FleetLost again) {
            // The attempt was given up, and what it left cannot be put in order at a fleet that is dead: the next turn
            // tries again.
            LOG.warn("release {}: {}", file.name(), again.getMessage());
            return;
        }
        if (moved) {
            traffic.clear();
            judgements = List.of();
            Order accepted = lost.isAccepted() ? orders.waiting() : null;
            if (accepted != null) {
                orders.done(accepted);
            }
            end(to == Side.NEW ? Status.FINISHED : Status.ABORTED, why);
        }
    }

    private void stepFailed(String why) throws InterruptedException {
        ReleaseState now = standing.state();
        LOG.error("release {}: step {} failed: {}", file.name(), now.step().title(), why);
        try {
            standing.journal(now.step().title(), "failed: " + why, Map.of());
            if (now.side() == Side.NEW || now.step() == Step.CUTOVER) {
                standing.save(now.at(Status.PAUSED, now.step(), why));
            } else {
                end(Status.FAILED, why);
            }
            if (orders.waiting() != null) {
                environment.sleep(RETRY); // it is tried again, and may fail again
            }
        } catch (LedgerException e) {
            standing.say("waits: " + e.getMessage() + " (after: " + why + ")");
            environment.sleep(RETRY);
        }
    }

    // ---- steps ----

    private void check() throws InterruptedException {
        standing.say("compares versions, roles, rights, memory and settings of both fleets");
        List<String> problems = new ArrayList<>();
        for (MovingCache cache : caches) {
            FleetCheck.Findings found = FleetCheck.of(cache, file);
            problems.addAll(found.problems());
            found.warnings().forEach(standing::warn);
            found.choice().ifPresent(choice -> choose(cache, choice));
        }
        problems.addAll(clusterObstacles(problems.isEmpty() ? CLIENTS_WATCHED : Duration.ZERO, false));
        if (!problems.isEmpty()) {
            throw failure("check failed, nothing has changed: " + String.join("; ", problems));
        }
        standing.advance(Step.BACKUP);
    }

    /** What clients do that the new fleets would refuse, being clusters; empty where that shall only be reported. Nodes go on watching them until the release ends. */
    private List<String> clusterObstacles(Duration watching, boolean afresh) throws InterruptedException {
        List<MovingCache> concerned =
                caches.stream().filter(ClusterUse::isOfInterest).toList();
        if (concerned.isEmpty()) {
            return List.of();
        }
        if (!watching.isZero()) {
            concerned.forEach(cache -> clusterUse.look(file.name(), cache.name(), false));
            standing.say("watches for " + watching.toSeconds() + " s whether clients send what a cluster would refuse");
            orders.pause(watching);
        }
        List<String> found = new ArrayList<>();
        for (MovingCache cache : concerned) {
            ClusterUse.Findings seen = clusterUse.look(file.name(), cache.name(), afresh);
            seen.possible().forEach(what -> standing.warn("cache " + cache.name() + ": " + what));
            for (String what : seen.certain()) {
                String sentence = "cache " + cache.name() + ": " + what;
                if (file.onObstacle() == OnObstacle.REFUSE) {
                    found.add(sentence);
                } else {
                    standing.warn(sentence);
                }
            }
        }
        return found;
    }

    private void choose(MovingCache cache, LinkChoice choice) {
        cache.remember(record -> record.withChoice(choice));
        standing.journal(
                "check",
                cache.name() + ": the fleets are joined by links of kind "
                        + choice.kind().title() + ": " + choice.because(),
                Map.of());
    }

    private void backup() {
        standing.say("sees that there is room for the backup in " + backupFolder);
        caches.stream()
                .filter(cache -> cache.kind() != LinkKind.SCAN) // nothing passes that could be saved
                .forEach(cache -> BackupRoom.demand(cache, backupFolder));
        standing.advance(Step.MIGRATE);
    }

    private void migrate() throws InterruptedException {
        for (MovingCache cache : caches) {
            preparation.prepare(cache);
            if (!isCopied(cache)) {
                standing.say("copies " + cache.name());
                if (!cache.remembered().wasCopied() && !cache.isBrokenNow()) {
                    cache.links().startCopy();
                }
                awaitCopy(cache);
                cache.links().copied();
                takeOver(cache);
            }
        }
        standing.advance(Step.SYNC);
    }

    private static boolean isCopied(MovingCache cache) {
        return cache.copied() && !cache.isBrokenNow();
    }

    private void awaitCopy(MovingCache cache) throws InterruptedException {
        while (!isCopied(cache)) {
            if (cache.isMendable(Side.OLD)) {
                Reopening reopening = reopening(cache);
                reopening.look(Side.OLD, Reopening.OtherFleet.NOT_USED_YET);
                if (reopening.isGivenUp()) {
                    throw failure("the link of " + cache.name() + " is broken: " + cache.linkBroken() + "; "
                            + reopening.waitsFor());
                }
            } else {
                demandNotBroken(cache);
            }
            LinkStatus link = cache.linkStatus().orElse(null);
            if (link == null || cache.isBrokenNow()) {
                standing.say("waits to copy " + cache.name() + " again: "
                        + reopening(cache).waitsFor() + " (" + cache.linkBroken() + ")");
                pause(COPY_LOOK);
                continue;
            }
            CopyProgress progress = CopyProgress.of(link);
            // Why it has begun again is what a person wants to know most.
            String why = link.detail().isEmpty() ? "" : "; " + link.detail();
            standing.say(
                    "copies " + cache.name() + ": " + progress.words() + "; " + words(link.phase()) + why,
                    progress.share());
            pause(TURN);
        }
    }

    private void sync() throws InterruptedException {
        long lagMillisMax = file.gates().lagMax().toMillis();
        Deadline stays = Deadline.in(environment, LAG_STAYS);
        while (!stays.passed()) {
            for (MovingCache cache : caches) {
                demandInStep(cache);
                demandNotBroken(cache);
                // What was said of it does not outlast the process; that there is nothing to link them by does.
                LinkStatus link = cache.linkStatus()
                        .orElseThrow(
                                () -> failure(
                                        "the fleets of " + cache.name() + " are not linked any more: a rollback"
                                                + " accepted a loss, so they are not equal at any offset; start a new release"));
                standing.say(cache.name() + ": " + (link.lagBytes() < 0 ? "" : link.lagBytes() + " bytes, ")
                        + link.lagMillis() + " ms behind, at most " + lagMillisMax + "; " + words(link.phase()));
                if (link.phase() != LinkStatus.Phase.STREAMING || link.lagMillis() > lagMillisMax) {
                    stays = Deadline.in(environment, LAG_STAYS);
                }
            }
            pause(TURN);
        }
        standing.advance(Step.VERIFY);
    }

    private void verify() throws InterruptedException {
        for (MovingCache cache : caches) {
            VerificationReport report = Verification.run(
                    VerificationSettings.defaults()
                            .withTimeToLiveTolerance(
                                    cache.reopened()
                                            ? file.outage().plus(RELATIVE_TIME_TOLERANCE)
                                            : RELATIVE_TIME_TOLERANCE),
                    cache.fleet(Side.OLD),
                    cache.fleet(Side.NEW),
                    cache.carriedKeys().there(),
                    environment,
                    now -> verifying(cache, now),
                    () -> orders.somethingElse() || caches.stream().anyMatch(one -> one.isMendable(Side.OLD)));
            orders.giveWay();
            caches.forEach(this::demandInStep);
            standing.journal(
                    "verify",
                    cache.name() + ": " + report.keysChecked() + " keys compared, " + report.differenceCount()
                            + " differ",
                    Map.of());
            verified(cache, report);
            if (report.differenceCount() > 0) {
                throw failure(report.differenceCount() + " keys of " + cache.name() + " differ, the first: "
                        + report.differences().stream()
                                .limit(3)
                                .map(Object::toString)
                                .collect(Collectors.joining("; ")));
            }
        }
        standing.advance(Step.CUTOVER);
    }

    private void verifying(MovingCache cache, VerificationProgress now) {
        standing.say(
                "compares the fleets of " + cache.name() + ": " + now.keysSeen() + " of " + now.keysTotal() + " keys"
                        + now.left()
                                .map(left -> ", " + left.toSeconds() + " s left")
                                .orElse(""),
                now.keysTotal() == 0 ? -1 : Math.min(1, now.keysSeen() / (double) now.keysTotal()));
        traffic.sample(standing.state().side());
        lookAfterFollowers();
    }

    /** What the comparison could not say for sure is told, not kept. */
    private void verified(MovingCache cache, VerificationReport report) {
        if (report.keysMoving() > 0) {
            standing.warn(report.keysMoving() + " keys of " + cache.name()
                    + " changed faster than they could be compared, among them " + report.movingKeys());
        }
        if (!report.keysNotComparable().isEmpty()) {
            standing.warn("keys of " + cache.name() + " that cannot be compared between these versions, by type: "
                    + report.keysNotComparable());
        }
        report.notes().forEach(standing::warn);
    }

    private void cutover() throws InterruptedException {
        List<String> refused = clusterObstacles(Duration.ZERO, true);
        if (!refused.isEmpty()) {
            throw failure("clients send what the new fleet would refuse: " + String.join("; ", refused)
                    + "; change them and say release resume, or cluster-obstacles: report in a new release's file");
        }
        measureOldFleet();
        caches.forEach(this::demandInStep);
        prepareForClients(Side.NEW);
        standing.save(standing.state().with(traffic.lately()));
        if (switching.to(Side.NEW, List.of(), "")) {
            traffic.clear();
            standing.journal("cutover", "the new fleet is in use", Map.of());
        } else if (!orders.stopping()) {
            caches.forEach(this::demandInStep);
        }
    }

    /** Servers of the fleet that clients go to which came since, or were started again, have not got the settings by which the next links will follow them. */
    private void prepareForClients(Side to) {
        caches.stream()
                .filter(cache -> cache.kind() != LinkKind.RELAY)
                .forEach(cache -> preparation.prepare(cache, to));
    }

    /** Gives the gates something to compare with: a whole window, where there is traffic at all. */
    private void measureOldFleet() throws InterruptedException {
        Deadline window = Deadline.in(environment, TrafficWatch.SAMPLE.multipliedBy(TrafficWatch.WINDOW_SAMPLES));
        Deadline silence = Deadline.in(environment, TrafficWatch.SAMPLE.multipliedBy(2));
        while (!window.passed() && !traffic.isFull()) {
            boolean silent = traffic.lately().values().stream().allMatch(one -> one.samples() == 0);
            if (silent && silence.passed()) {
                return;
            }
            standing.say("measures how the old fleet answers, for the gates");
            pause(TURN);
        }
    }

    private void observe() throws InterruptedException {
        Deadline end = Deadline.in(environment, file.observe());
        Map<String, Integer> breaches = new LinkedHashMap<>();
        while (!end.passed()) {
            pause(TrafficWatch.SAMPLE);
            judgements = traffic.judge(file.gates(), standing.state().baselines());
            standing.say(
                    "observes; " + end.remaining().toSeconds() + " s left",
                    1
                            - end.remaining().toMillis()
                                    / (double) Math.max(1, file.observe().toMillis()));
            for (Judgement judgement : judgements) {
                if (judgement.outcome() != GateJudge.Outcome.BREACHED) {
                    breaches.remove(judgement.gate());
                } else if (breaches.merge(judgement.gate(), 1, Integer::sum) >= BREACHES) {
                    breached(judgement);
                    return;
                }
            }
        }
        standing.advance(Step.FINISH);
    }

    private void breached(Judgement gate) throws InterruptedException {
        String what = "gate " + gate.gate() + " breached: " + gate.text();
        LOG.warn("release {}: {}", file.name(), what);
        standing.journal("observe", what, Map.of("on-breach", file.onBreach().name()));
        switch (file.onBreach()) {
            case ROLLBACK -> rollback(what, false);
            case PAUSE -> standing.save(standing.state().at(Status.PAUSED, Step.OBSERVE, what));
            case REPORT -> {
                standing.warn(what);
                standing.advance(Step.FINISH);
            }
        }
    }

    private void awaitFinish() throws InterruptedException {
        standing.say("observed; the way back stays open until somebody says finish", 1);
        while (true) {
            pause(TrafficWatch.SAMPLE);
            judgements = traffic.judge(file.gates(), standing.state().baselines());
        }
    }

    private void standStill() throws InterruptedException {
        standing.say(standing.state().reason());
        while (true) {
            pause(TrafficWatch.SAMPLE);
        }
    }

    // ---- orders ----

    private void carryOut(Order order) throws InterruptedException {
        ReleaseState now = standing.state();
        String refusal =
                Orders.refusal(order, now); // it stood elsewhere when the order was given, or it is done already
        if (refusal != null) {
            standing.journal("order", order.kind().title() + " is dropped: " + refusal, Map.of());
            orders.done(order);
            return;
        }
        switch (order.kind()) {
            case PAUSE -> standing.save(now.at(Status.PAUSED, now.step(), "paused by " + order.who()));
            case RESUME -> {
                boolean forwardAgain = now.side() == Side.OLD && now.step().compareTo(Step.SYNC) > 0;
                traffic.clear();
                reopenings.values().forEach(Reopening::isAskedFor);
                standing.save(now.at(Status.RUNNING, forwardAgain ? Step.SYNC : now.step(), ""));
            }
            case ROLLBACK -> {
                if (now.side() == Side.NEW) {
                    rollback("asked by " + order.who(), order.acceptLoss());
                } else if (now.status() != Status.ROLLED_BACK) {
                    if (!orders.take(order)) {
                        return;
                    }
                    end(Status.ABORTED, "rolled back before the cutover, by " + order.who());
                }
            }
            case ABORT -> {
                if (now.side() == Side.NEW) {
                    rollback("aborted by " + order.who(), order.acceptLoss());
                }
                if (standing.state().side() == Side.OLD) {
                    if (!orders.take(order)) {
                        return;
                    }
                    end(Status.ABORTED, "aborted by " + order.who());
                }
            }
            case FINISH -> {
                if (!orders.take(order)) {
                    return;
                }
                end(Status.FINISHED, "finished by " + order.who());
            }
        }
        orders.done(order);
    }

    /** Goes back to the old fleet; waits while the way back is not open, unless a loss is accepted. */
    private void rollback(String why, boolean acceptLoss) throws InterruptedException {
        Order order = orders.waiting();
        Deadline opening = Deadline.in(environment, OPENING_LIMIT);
        while (standing.state().side() == Side.NEW) {
            reopenLinksThatCan();
            copyAgainWhatIsOutOfStep(!acceptLoss && standing.state().status() != Status.PAUSED);
            boolean isWhole =
                    caches.stream().noneMatch(cache -> cache.remembered().hollow());
            List<MovingCache> notOpen = caches.stream()
                    .filter(cache -> wayBack(cache, standing.state()) != WayBack.OPEN
                            || (acceptLoss && !cache.answers(Side.NEW)))
                    .toList();
            boolean closed = notOpen.stream().allMatch(cache -> wayBack(cache, standing.state()) == WayBack.CLOSED);
            if (notOpen.isEmpty() || (acceptLoss && isWhole && (closed || opening.passed()))) {
                if (notOpen.isEmpty()) {
                    prepareForClients(Side.OLD);
                }
                if (!switching.to(
                        Side.OLD, notOpen.stream().map(MovingCache::name).toList(), why)) {
                    return;
                }
            } else {
                standing.say("the rollback (" + why + ") waits for the way back: " + waysBack());
                traffic.sample(Side.NEW);
                orders.pauseWithin(order, TURN);
            }
        }
        traffic.clear();
        judgements = List.of();
        standing.journal("rollback", "the old fleet is in use: " + why, Map.of());
    }

    private void reopenLinksThatCan() {
        for (MovingCache cache : caches) {
            try {
                cache.reopenLink(standing.state().side());
                cache.lookAfterTarget(standing.state().side());
            } catch (FleetException e) {
                LOG.warn("release {}: the link of {} is not open: {}", file.name(), cache.name(), e.getMessage());
            }
        }
    }

    private String waysBack() {
        return caches.stream()
                .map(cache -> {
                    String broken = cache.linkBroken();
                    if (broken != null) {
                        return cache.name() + ": "
                                + closedBecause(cache, cache.linkStatus().orElse(null));
                    }
                    return cache.name() + ": "
                            + (cache.remembered().again() == null
                                    ? opening(cache)
                                    : copiedAgain(cache, cache.linkStatus().orElse(null)));
                })
                .collect(Collectors.joining("; "));
    }

    private static String opening(MovingCache cache) {
        return "it is opening"
                + cache.linkStatus()
                        .map(LinkStatus::detail)
                        .filter(detail -> !detail.isEmpty())
                        .map(detail -> " (" + detail + ")")
                        .orElse("")
                + "; --accept-loss does not wait for it longer than " + OPENING_LIMIT.toSeconds() + " s";
    }

    /** Undoes what the release set on the fleets, writes the last state, and lets the caches free. */
    private void end(Status status, String why) {
        standing.say(status == Status.FINISHED ? "gives up the way back" : "puts everything back");
        for (MovingCache cache : caches) {
            cache.closeLink();
            preparation.undo(cache, standing.state().side());
        }
        standing.journal(status.title(), why, Map.of());
        standing.end(
                standing.state().at(status, standing.state().step(), why),
                caches.stream().map(MovingCache::name).toList());
    }

    // ---- small things ----

    /** Waits, samples the traffic, and gives way to an order. */
    private void pause(Duration time) throws InterruptedException {
        orders.pause(time);
        Side inUse = standing.state().side();
        traffic.sample(inUse);
        demandAlive(inUse);
        lookAfterFollowers();
    }

    private void lookAfterFollowers() {
        if (nextPointing.passed()) {
            nextPointing = Deadline.in(environment, POINTING);
            caches.forEach(cache -> cache.lookAfterTarget(standing.state().side()));
            ReleaseState now = standing.state();
            if (now.side() == Side.NEW || now.status() != Status.RUNNING) { // else the step begins again with the copy
                copyAgainWhatIsOutOfStep(now.status() != Status.PAUSED);
            }
        }
    }

    /** {@code mayThrowAway}: what a fleet has that is not in use, though it is whole. */
    private void copyAgainWhatIsOutOfStep(boolean mayThrowAway) {
        if (nextCopyLook.passed()) {
            nextCopyLook = Deadline.in(environment, COPY_LOOK);
            Reopening.OtherFleet other = mayThrowAway ? Reopening.OtherFleet.LEFT : Reopening.OtherFleet.WANTED;
            reopenings.values().forEach(one -> one.look(standing.state().side(), other));
        }
    }

    /** Before the cutover: the links are broken, and a copy mends that. */
    private void demandInStep(MovingCache cache) {
        if (cache.isMendable(Side.OLD)) {
            throw new OutOfStep(cache.name() + ": " + cache.linkBroken());
        }
    }

    /** What was compared, or was about to, is compared again behind it. */
    private void beginWithTheCopy(String why) {
        ReleaseState now = standing.state();
        LOG.warn(
                "release {} goes back from {} to the copy: {}",
                file.name(),
                now.step().title(),
                why);
        standing.journal(now.step().title(), "goes back to the copy: " + why, Map.of());
        standing.save(now.at(Status.RUNNING, Step.MIGRATE, ""));
    }

    private static void demandNotBroken(MovingCache cache) {
        String broken = cache.linkBroken();
        if (broken != null) {
            throw failure("the link of " + cache.name() + " is broken: " + broken);
        }
    }

    private static ReleaseException failure(String why) {
        return new ReleaseException(ReleaseException.Code.STEP_FAILED, why);
    }

    private static String words(LinkStatus.Phase phase) {
        return phase.name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
}
