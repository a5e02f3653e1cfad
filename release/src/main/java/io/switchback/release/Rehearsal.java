package io.switchback.release;

import io.switchback.commit.Coordinator;
import io.switchback.commit.CoordinatorAction;
import io.switchback.commit.CoordinatorEvent;
import io.switchback.commit.CoordinatorState;
import io.switchback.commit.Participant;
import io.switchback.commit.ParticipantAction;
import io.switchback.commit.ParticipantEvent;
import io.switchback.commit.ParticipantState;
import io.switchback.commit.Protocol;
import io.switchback.commit.SwitchId;
import io.switchback.commit.Terms;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.Decision;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchRegister.CacheEvidence;
import io.switchback.release.SwitchRegister.Evidence;
import io.switchback.sync.LinkBase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs, with nothing at stake, what a switch runs while clients wait: the agreement, the decision's write, a hold. What a
 * process does for the first time takes it many times as long (classes are loaded, code is interpreted), and the first switch
 * is the one that people watch: without this it held clients for 163 ms, with it for a usual switch's time.
 *
 * <p>It touches no fleet, no client and not the node's ledger, takes a few times {@link #PART_LIMIT} at most, and a release goes
 * on without it where it fails.
 */
final class Rehearsal {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);
    /** Often enough that the virtual machine compiles what is run. */
    private static final int ROUNDS = 300;
    /** How long each of its three parts may take; a slow disk rehearses less often. */
    private static final Duration PART_LIMIT = Duration.ofMillis(400);

    private static final String NAME = "rehearsal";

    private Rehearsal() {}

    static void run(Environment environment) {
        long began = environment.nanoTime();
        try {
            Deadline enough = Deadline.in(environment, PART_LIMIT);
            for (int round = 1; round <= ROUNDS && !enough.passed(); round++) {
                agree(new SwitchId("rehearsal", round));
            }
            decide(environment);
            hold(environment);
        } catch (IOException | RuntimeException e) {
            LOG.warn("a switch could not be rehearsed; clients may wait longer for the first one", e);
        }
        LOG.debug("rehearsed a switch in {} ms", (environment.nanoTime() - began) / 1_000_000);
    }

    /** The coordinator and one participant, from the first word to the last. */
    private static void agree(SwitchId id) {
        Terms terms = new Terms(id, Protocol.TWO_PHASE, Set.of(NAME));
        CoordinatorState coordinator = new CoordinatorState.Initial(terms);
        ParticipantState participant = new ParticipantState.Initial(id.number() - 1);
        ArrayDeque<CoordinatorEvent> toCoordinator = new ArrayDeque<>(List.of(new CoordinatorEvent.Begin()));
        ArrayDeque<ParticipantEvent> toParticipant = new ArrayDeque<>();
        while (!toCoordinator.isEmpty() || !toParticipant.isEmpty()) {
            if (toParticipant.isEmpty()) {
                var step = Coordinator.next(coordinator, toCoordinator.remove());
                coordinator = step.state();
                for (CoordinatorAction action : step.actions()) {
                    switch (action) {
                        case CoordinatorAction.AskToPrepare ask ->
                            toParticipant.add(new ParticipantEvent.PrepareAsked(terms.seat(NAME)));
                        case CoordinatorAction.Fence fence -> toCoordinator.add(new CoordinatorEvent.Fenced());
                        case CoordinatorAction.PreCommit preCommit ->
                            toParticipant.add(new ParticipantEvent.PreCommitAsked(id));
                        case CoordinatorAction.WriteDecision write ->
                            toCoordinator.add(new CoordinatorEvent.Decided(write.wanted()));
                        case CoordinatorAction.Tell tell ->
                            toParticipant.add(new ParticipantEvent.Told(id, tell.verdict()));
                        case CoordinatorAction.Forget forget -> {}
                    }
                }
            } else {
                var step = Participant.next(participant, toParticipant.remove());
                participant = step.state();
                for (ParticipantAction action : step.actions()) {
                    switch (action) {
                        case ParticipantAction.Hold hold -> toParticipant.add(new ParticipantEvent.Held(id));
                        case ParticipantAction.VoteYes yes -> toCoordinator.add(new CoordinatorEvent.VotedYes(NAME));
                        case ParticipantAction.VoteNo no ->
                            toCoordinator.add(new CoordinatorEvent.VotedNo(NAME, no.reason()));
                        case ParticipantAction.AcknowledgePreCommit acknowledge ->
                            toCoordinator.add(new CoordinatorEvent.PreCommitAcknowledged(NAME));
                        case ParticipantAction.Acknowledge acknowledge ->
                            toCoordinator.add(new CoordinatorEvent.Acknowledged(NAME));
                        case ParticipantAction.AskPeers _,
                                ParticipantAction.TellPeer _,
                                ParticipantAction.Settle _,
                                ParticipantAction.Apply _ -> {}
                    }
                }
            }
        }
    }

    /** Decisions and routes, in a ledger of its own that is deleted again. */
    private static void decide(Environment environment) throws IOException {
        Path folder = Files.createTempDirectory("switchback-rehearsal");
        try (EmbeddedLedger ledger = EmbeddedLedger.open(folder, environment)) {
            SwitchRegister register = new SwitchRegister(ledger);
            Deadline enough = Deadline.in(environment, PART_LIMIT);
            for (int round = 1; round <= ROUNDS && !enough.passed(); round++) {
                CacheEvidence found = new CacheEvidence(NAME, Side.NEW, NAME, round, new LinkBase("0", 0, "0", 0));
                Decision decision =
                        register.commit("rehearsal." + round, NAME, new Evidence(List.of(NAME), -1, List.of(found)));
                SwitchRegister.evidence(decision).of(NAME);
            }
        } finally {
            delete(folder);
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

    /** A proxy of its own, which nobody knows and which serves nobody. */
    private static void hold(Environment environment) throws IOException {
        Endpoint anywhere = new Endpoint("127.0.0.1", 0);
        FleetSpec nowhere = new FleetSpec(NAME, anywhere, Optional.empty());
        ProxySettings settings = new ProxySettings(NAME, NAME, List.of(anywhere), 1, ProxyLimits.DEFAULT);
        try (CacheProxy proxy = CacheProxy.open(settings, new BackendRoute(nowhere, 0), false)) {
            Deadline enough = Deadline.in(environment, PART_LIMIT);
            for (int round = 1; round <= ROUNDS && !enough.passed(); round++) {
                proxy.hold(Duration.ofSeconds(1)).join();
                proxy.letGo(new BackendRoute(nowhere, round)).join();
            }
        }
    }
}
