package io.switchback.release;

import io.switchback.commit.SwitchId;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import io.switchback.release.ReleaseState.PendingSwitch;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus.SwitchStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
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
    /** How long clients are held by a switch that was found after a restart while its servers do not answer. */
    private static final Duration RECOVERY_HOLD = Duration.ofSeconds(5);
    /** How long the link may take to catch up before a switch, when nobody is held yet. */
    private static final Duration CATCH_UP = Duration.ofSeconds(10);

    private final ReleaseFile file;
    private final String node;
    private final Ledger ledger;
    private final List<MovingCache> caches;
    private final Standing standing;
    private final Orders orders;
    private final Environment environment;
    private final List<SwitchStatus> tried = new CopyOnWriteArrayList<>();

    Switching(
            ReleaseFile file,
            String node,
            Ledger ledger,
            List<MovingCache> caches,
            Standing standing,
            Orders orders,
            Environment environment) {
        this.file = file;
        this.node = node;
        this.ledger = ledger;
        this.caches = caches;
        this.standing = standing;
        this.orders = orders;
        this.environment = environment;
    }

    /** The switches that this process has tried. */
    List<SwitchStatus> tried() {
        return List.copyOf(tried);
    }

    /**
     * Moves the traffic; tries again where an attempt was given up before its decision. True once the traffic is there; false
     * where the attempts are used up, and then the release stands still.
     */
    boolean to(Side side, List<String> lossAccepted, String why) throws InterruptedException {
        String reason = "";
        for (int attempt = 1; attempt <= file.holdAttempts() && !orders.stopping(); attempt++) {
            ReleaseState now = standing.state();
            reason = attempt(new SwitchId(file.name(), now.switches() + 1L), side, lossAccepted, why);
            if (standing.state().side() == side) {
                return true;
            }
            standing.say("attempt " + attempt + " of " + file.holdAttempts() + " was given up: " + reason);
            environment.sleep(RETRY.multipliedBy(attempt));
        }
        ReleaseState now = standing.state();
        standing.save(now.at(
                Status.PAUSED,
                now.step(),
                "the switch was given up " + file.holdAttempts()
                        + " times, and clients stay where they were; the last time: " + reason));
        return false;
    }

    private String attempt(SwitchId id, Side to, List<String> lossAccepted, String why) throws InterruptedException {
        PendingSwitch begun = new PendingSwitch(id.toString(), to, lossAccepted, why);
        List<CacheSwitch> parts = parts(begun, 0);
        standing.save(standing.state().beginning(begun));
        standing.say("moves all traffic to the " + (to == Side.OLD ? "old" : "new") + " fleet"
                + (why.isEmpty() ? "" : ": " + why));
        standing.journal(
                "switch", begun.id() + " begins", Map.of("to", begun.to().name()));
        try {
            Deadline catchUp = Deadline.in(environment, CATCH_UP);
            parts.forEach(part -> part.prepare(catchUp));
            SwitchRun.Report report = new SwitchRun(id, ledger, node, file.holdLimit(), parts, environment).run();
            tried.add(shown(begun, report));
            if (report.failure() == null) {
                closed(begun, report.verdict(), report.held());
            }
            return report.reason();
        } catch (ReleaseException | FleetException e) {
            LOG.warn("switch {} was given up before anybody was held", begun.id(), e);
            return String.valueOf(e.getMessage());
        } finally {
            parts.forEach(CacheSwitch::close);
            closePending();
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

    /** One part for each cache; {@code epochsSince} is how many epochs the decision has moved the route on already. */
    private List<CacheSwitch> parts(PendingSwitch of, int epochsSince) {
        Routes routes = new Routes(ledger);
        List<CacheSwitch> parts = new ArrayList<>();
        for (MovingCache cache : caches) {
            long epoch = routes.current(cache.name()).map(Route::epoch).orElseThrow() - epochsSince;
            boolean acceptLoss = of.lossAccepted().contains(cache.name());
            parts.add(new CacheSwitch(of.id(), cache, of.to().other(), epoch, acceptLoss, environment));
        }
        return parts;
    }

    private void closed(PendingSwitch pending, Verdict verdict, Duration held) {
        standing.save(standing.state().closed(pending, verdict == Verdict.COMMIT));
        standing.journal(
                "switch",
                pending.id() + ": " + verdict.name().toLowerCase(Locale.ROOT),
                Map.of("held", held.toNanos() / 1_000_000.0 + " ms"));
    }

    /**
     * Brings a switch that was begun to its end: what its register says, or abort where nothing is there. Tries until the
     * servers have done it; clients that are held meanwhile are let go after {@link #RECOVERY_HOLD} all the same.
     */
    void closePending() throws InterruptedException {
        PendingSwitch pending = standing.state().pendingSwitch();
        Deadline holdEnds = Deadline.in(environment, RECOVERY_HOLD);
        while (pending != null && !orders.stopping()) {
            List<CacheSwitch> parts = List.of();
            try {
                Optional<Decision> decision = new Decisions(ledger).read(pending.id());
                boolean commit = decision.filter(found -> found.verdict() == Verdict.COMMIT)
                        .isPresent();
                parts = parts(pending, commit ? 1 : 0);
                if (decision.isEmpty()) {
                    settleWithAbort(pending);
                }
                for (CacheSwitch part : parts) {
                    if (commit) {
                        part.commit(SwitchRun.evidenceIn(
                                decision.get(), part.cache().name()));
                    } else {
                        part.abort();
                    }
                }
                closed(pending, commit ? Verdict.COMMIT : Verdict.ABORT, Duration.ZERO);
                return;
            } catch (FleetException | ReleaseException | LedgerException e) {
                standing.say("waits to close switch " + pending.id() + ": " + e.getMessage());
                LOG.warn("release {}: switch {} is not closed yet", file.name(), pending.id(), e);
                boolean knowsNothing = e instanceof LedgerException ledgerFailure
                        && ledgerFailure.code() == LedgerException.Code.BROKEN;
                if (holdEnds.passed() && !knowsNothing) {
                    letGoAsTheLedgerSays();
                }
                environment.sleep(RETRY);
            } finally {
                parts.forEach(CacheSwitch::close);
            }
        }
    }

    /**
     * Writes abort where nothing was decided. Where the ledger takes no writes (a full disk) the register stays empty, which
     * means the same: this thread was the only coordinator and will not write a commit any more, and whoever reads an empty
     * register after a restart settles it with abort. So clients are let go on the old fleet now, not when the disk has room.
     * A ledger that is broken (a force that failed) is another matter: what it wrote last may be there. Then clients wait until
     * the node has been started again.
     */
    private void settleWithAbort(PendingSwitch pending) {
        try {
            Decision settled = SwitchRun.decide(
                    ledger, pending.id(), Verdict.ABORT, "found without a decision", List.of(), List.of());
            if (settled.verdict() != Verdict.ABORT) {
                throw new IllegalStateException(
                        "the register of " + pending.id() + " was empty, and then it was not: " + settled);
            }
        } catch (LedgerException e) {
            if (e.code() == LedgerException.Code.BROKEN) {
                // What was written last may be on disk or not; only a reopened ledger can tell, so nothing is presumed.
                throw e;
            }
            LOG.warn("switch {}: the abort is not written down yet", pending.id(), e);
        }
    }

    /** Lets all caches go to where their routes are. */
    void letGoAsTheLedgerSays() {
        Routes routes = new Routes(ledger);
        for (MovingCache cache : caches) {
            Route route = routes.current(cache.name()).orElseThrow();
            Side side = cache.fleet(Side.NEW).name().equals(route.fleet()) ? Side.NEW : Side.OLD;
            cache.proxy().letGo(cache.route(side, route.epoch())).join();
        }
    }
}
