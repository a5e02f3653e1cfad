package io.switchback.release;

import io.switchback.commit.Protocol;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.Decision;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.Member;
import io.switchback.ledger.Verdict;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ReleaseState.PendingSwitch;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.release.SwitchMessages.Prepare;
import io.switchback.release.SwitchMessages.Readiness;
import io.switchback.release.SwitchMessages.Tell;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.release.SwitchRegister.Evidence;
import io.switchback.sync.LinkBase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs, with nothing at stake, what a switch runs while clients wait. What a process does for the first time takes it many times as long
 * (classes are loaded, code is interpreted), the first switch is the one that people watch, and no node ever makes so many that the virtual
 * machine would compile them by itself. What it saves is in bench/RESULTS.md.
 *
 * <p>A release goes on without it where it fails.
 */
final class Rehearsal {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);
    /** Often enough that the virtual machine compiles what is run. */
    private static final int ROUNDS = 300;
    /** How long each of its parts may take; a slow disk or network rehearses less often. */
    private static final Duration PART_LIMIT = Duration.ofMillis(400);

    private static final Duration WAIT_LIMIT = Duration.ofSeconds(2);
    private static final Duration ANSWER_LIMIT = Duration.ofSeconds(1);
    private static final String NAME = "rehearsal";
    /** What no release can be called. */
    private static final String NO_RELEASE = "(" + NAME + ")";

    private static final String PARTICIPANT = SwitchMessages.participant(NAME, NAME);
    private static final AtomicBoolean DONE = new AtomicBoolean();

    private Rehearsal() {}

    /**
     * Whole switches of a cache that nobody knows, by a node that nobody knows, in a ledger of their own that is deleted again; once in each
     * process. No fleet, no client and none of the node's ledgers is touched. Blocks, for {@link #WAIT_LIMIT} at most: on a disk that hangs
     * it goes on by itself.
     */
    static void once(Environment environment) {
        if (!DONE.compareAndSet(false, true)) {
            return;
        }
        Thread rehearsing = Thread.ofPlatform().daemon().name(NAME).start(() -> run(environment));
        try {
            if (!rehearsing.join(WAIT_LIMIT)) {
                LOG.info("switches are still being rehearsed; nobody waits for that any longer");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void run(Environment environment) {
        long began = environment.nanoTime();
        try {
            int switches = rehearse(environment);
            LOG.debug("rehearsed {} switches in {} ms", switches, (environment.nanoTime() - began) / 1_000_000);
        } catch (IOException | RuntimeException e) {
            LOG.warn("a switch could not be rehearsed; clients may wait longer for the first one", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** How many switches it has made. */
    static int rehearse(Environment environment) throws IOException, InterruptedException {
        Path folder = Files.createTempDirectory("switchback-rehearsal");
        try (EmbeddedLedger ledger = EmbeddedLedger.open(folder, environment)) {
            decide(ledger, environment);
            return switches(ledger, environment);
        } finally {
            delete(folder);
        }
    }

    /** Decisions and routes. */
    private static void decide(Ledger ledger, Environment environment) {
        SwitchRegister register = new SwitchRegister(ledger);
        Deadline enough = Deadline.in(environment, PART_LIMIT);
        for (int round = 1; round <= ROUNDS && !enough.passed(); round++) {
            CacheEvidence found = new CacheEvidence(
                    NAME, Side.NEW, NAME, round, List.of(SourceBase.whole(new LinkBase("0", 0, "0", 0))));
            Decision decision = register.commit(
                    "decision." + round,
                    NAME,
                    new Evidence(List.of(NAME), -1, List.of(found)),
                    register.lookAhead(List.of(NAME)));
            SwitchRegister.evidence(decision).of(NAME);
        }
    }

    /** Coordinator, participant and proxy, from the first word to the last. */
    private static int switches(Ledger ledger, Environment environment) throws IOException, InterruptedException {
        Endpoint nowhere = new Endpoint("127.0.0.1", 0);
        FleetSpec fleet = new FleetSpec(NAME, nowhere, Optional.empty());
        ProxySettings settings = new ProxySettings(NAME, NAME, List.of(nowhere), 1, ProxyLimits.DEFAULT);
        try (ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
                        Thread.ofPlatform().daemon().name(NAME).factory());
                CacheProxy proxy = CacheProxy.open(settings, new BackendRoute(fleet, 0), false)) {
            ManagedCache cache = new ManagedCache(NAME, proxy, Map.of(NAME, fleet));
            Alone node = new Alone();
            try (CacheParticipant participant = new CacheParticipant(cache, node, ledger, ledger, environment, clock)) {
                node.participant = Optional.of(participant);
                Deadline enough = Deadline.in(environment, PART_LIMIT);
                int made = 0;
                while (made < ROUNDS && !enough.passed()) {
                    made++;
                    switchOnce(made, participant, node, ledger, environment);
                }
                return made;
            } finally {
                clock.shutdownNow();
            }
        }
    }

    private static void switchOnce(
            int number, CacheParticipant participant, Nodes node, Ledger ledger, Environment environment)
            throws InterruptedException {
        // It accepts a loss, so no server is asked for anything.
        SwitchPart part = new SwitchPart(NAME, number, NAME, NAME, NAME, Side.OLD, number - 1, LinkKind.RELAY, true);
        PendingSwitch begun = new PendingSwitch(
                NAME, number, Side.OLD, "", List.of(part), Protocol.TWO_PHASE, Set.of(PARTICIPANT), -1, null);
        Readiness ready = participant
                .makeReady(new MakeReady(
                        part,
                        Protocol.TWO_PHASE,
                        Set.of(PARTICIPANT),
                        ANSWER_LIMIT.toMillis(),
                        ANSWER_LIMIT.toMillis(),
                        true,
                        ""))
                .toCompletableFuture()
                .join();
        // Nobody is waited for longer than a hold may last.
        SwitchRun.Hooks hooks = new SwitchRun.Hooks(evidence -> {}, any -> false, () -> false);
        SwitchRun.Report report = new SwitchRun(
                        begun, node, new SwitchRegister(ledger), ANSWER_LIMIT, List.of(), hooks, environment)
                .begin();
        if (!ready.problem().isEmpty() || report.verdict() != Verdict.COMMIT) {
            throw new IllegalStateException("a rehearsal failed: " + ready.problem() + " " + report.reason());
        }
    }

    /** The only node of a rehearsal. It is asked as the others of a real one are, but for the network. */
    private static final class Alone implements Nodes {
        private Optional<CacheParticipant> participant = Optional.empty();

        @Override
        public Member self() {
            return new Member(NAME, NAME, NAME, List.of(NAME));
        }

        @Override
        public boolean isShared() {
            return false;
        }

        @Override
        public void superseded() {
            throw new IllegalStateException("nobody has the name of a rehearsal's node");
        }

        @Override
        public CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit) {
            CacheParticipant asked = participant.orElseThrow();
            CompletionStage<?> answer = switch (subject) {
                case SwitchMessages.PREPARE -> asked.prepare(ReleaseStore.value(question, Prepare.class));
                case SwitchMessages.TELL -> asked.tell(ReleaseStore.value(question, Tell.class));
                default -> throw new IllegalArgumentException("nobody asks " + subject + " in a rehearsal");
            };
            return answer.thenApply(ReleaseStore::bytes).toCompletableFuture();
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    /**
     * Asks the nodes of a switch its first question, about one that nobody was made ready for: they refuse, and the way to them and back was
     * gone. Blocks, for {@link #PART_LIMIT} and an answer's time at most.
     */
    static void ask(Nodes nodes, Set<String> participants, Environment environment) throws InterruptedException {
        Deadline enough = Deadline.in(environment, PART_LIMIT);
        try {
            for (int round = 1; round <= ROUNDS && !enough.passed(); round++) {
                List<CompletableFuture<byte[]>> asked = new ArrayList<>();
                for (String participant : participants) {
                    Prepare question = new Prepare(NO_RELEASE, 1, SwitchMessages.cacheOf(participant));
                    asked.add(nodes.ask(
                            SwitchMessages.nodeOf(participant),
                            SwitchMessages.PREPARE,
                            ReleaseStore.bytes(question),
                            ANSWER_LIMIT));
                }
                asked.forEach(CompletableFuture::join);
            }
        } catch (CompletionException e) {
            LOG.info("a node does not answer before a switch: {}", String.valueOf(e.getCause()));
        }
    }
}
