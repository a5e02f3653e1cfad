package io.switchback.commit;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.commit.CommitSimulation.CoordinatorMachine;
import io.switchback.commit.CommitSimulation.ParticipantMachine;
import io.switchback.commit.CommitSimulation.RegisterRule;
import io.switchback.commit.CommitSimulation.Scenario;
import io.switchback.commit.CommitSimulation.Setting;
import io.switchback.commit.CommitSimulation.TakeOver;
import io.switchback.commit.CoordinatorAction.Fence;
import io.switchback.commit.CoordinatorAction.Tell;
import io.switchback.commit.CoordinatorAction.WriteDecision;
import io.switchback.commit.CoordinatorEvent.Decided;
import io.switchback.commit.CoordinatorState.Deciding;
import io.switchback.commit.CoordinatorState.Fencing;
import io.switchback.commit.CoordinatorState.Finishing;
import io.switchback.commit.CoordinatorState.PreCommitting;
import io.switchback.commit.CoordinatorState.Preparing;
import io.switchback.commit.ParticipantAction.AcknowledgePreCommit;
import io.switchback.commit.ParticipantAction.Apply;
import io.switchback.commit.ParticipantAction.TellPeer;
import io.switchback.commit.ParticipantAction.VoteYes;
import io.switchback.commit.ParticipantEvent.PeerAsks;
import io.switchback.commit.ParticipantEvent.PeerSays;
import io.switchback.commit.ParticipantEvent.PreCommitAsked;
import io.switchback.commit.ParticipantEvent.PrepareAsked;
import io.switchback.commit.ParticipantEvent.RegisterSays;
import io.switchback.commit.ParticipantEvent.Restarted;
import io.switchback.commit.ParticipantEvent.TimedOut;
import io.switchback.commit.ParticipantState.Finished;
import io.switchback.commit.ParticipantState.Holding;
import io.switchback.commit.ParticipantState.Initial;
import io.switchback.commit.ParticipantState.PreCommitted;
import io.switchback.commit.ParticipantState.Prepared;
import io.switchback.commit.ParticipantState.Settling;
import io.switchback.commit.ParticipantState.Voted;
import io.switchback.ledger.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Runs {@link CommitSimulation} over many seeds; and over machines with a mistake in them, which it must find. */
class CommitSimulationTest {
    private static final int SEEDS = 3_000;
    private static final int SEEDS_TO_FIND_A_MISTAKE_MAX = 4_000;

    /** Set to replay one: {@code -Dswitchback.seed=17}. */
    private static final Optional<Long> SEED = Optional.ofNullable(Long.getLong("switchback.seed"));

    @ParameterizedTest
    @EnumSource
    void allPartiesReachTheSameDecisionWhateverIsLostRepeatedReorderedPartedAndRestarted(Protocol protocol) {
        int commits = 0;
        int aborts = 0;
        int crashes = 0;
        int settledByParticipants = 0;
        int toldByPeers = 0;
        int goneOnWith = 0;
        for (long seed : seeds()) {
            CommitSimulation simulation = run(seed, Setting.storm(protocol));
            commits += simulation.count(Verdict.COMMIT);
            aborts += simulation.count(Verdict.ABORT);
            crashes += simulation.crashes();
            settledByParticipants += simulation.settledByParticipants();
            toldByPeers += simulation.toldByPeers();
            goneOnWith += simulation.goneOnWith();
        }
        if (SEED.isEmpty()) {
            // A simulation in which nothing happens proves nothing.
            assertThat(commits).isGreaterThan(SEEDS / 2);
            assertThat(aborts).isGreaterThan(SEEDS / 2);
            assertThat(crashes).isGreaterThan(SEEDS / 2);
            assertThat(settledByParticipants).isGreaterThan(SEEDS / 4);
            assertThat(toldByPeers).isGreaterThan(SEEDS / 20);
            if (protocol == Protocol.THREE_PHASE) {
                assertThat(goneOnWith).isGreaterThan(SEEDS / 20);
            }
        }
    }

    @Test
    void withTheCoordinatorGoneForEverThePreCommittedFinishWithCommitByThemselves() {
        int orphaned = 0;
        for (long seed : seeds()) {
            CommitSimulation simulation = run(
                    seed,
                    new Setting(
                            Protocol.THREE_PHASE, Scenario.ORPHANED, RegisterRule.WRITE_ONCE, TakeOver.FROM_THE_LOG));
            if (simulation.orphaned()) {
                orphaned++;
                assertThat(simulation.verdicts()).as("seed %s", seed).containsExactly(Verdict.COMMIT);
            }
        }
        if (SEED.isEmpty()) {
            assertThat(orphaned).isGreaterThan(SEEDS / 10);
        }
    }

    @Test
    void theSameSeedIsTheSameRun() {
        assertThat(run(42, Setting.storm(Protocol.THREE_PHASE)).trace())
                .isEqualTo(run(42, Setting.storm(Protocol.THREE_PHASE)).trace());
    }

    @Test
    void itFindsACoordinatorThatTellsCommitBeforeTheRegisterHasSpoken() {
        coordinatorIsFound((state, event) -> {
            Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
            List<CoordinatorAction> actions = new ArrayList<>(step.actions());
            if (actions.stream()
                    .anyMatch(action -> action instanceof WriteDecision write && write.wanted() == Verdict.COMMIT)) {
                state.participants().forEach(participant -> actions.add(new Tell(participant, Verdict.COMMIT)));
            }
            return new Step<>(step.state(), step.durability(), actions);
        });
    }

    @Test
    void itFindsACoordinatorThatTellsWhatItWantedAndNotWhatTheRegisterSays() {
        coordinatorIsFound((state, event) -> event instanceof Decided && state instanceof Deciding deciding
                ? Coordinator.next(state, new Decided(deciding.wanted()))
                : Coordinator.next(state, event));
    }

    @Test
    void itFindsACoordinatorThatGoesOnWithoutTheLastVote() {
        coordinatorIsFound(CommitSimulationTest::withoutTheLastVote);
    }

    @Test
    void itFindsACoordinatorThatPresumesAbortWithoutWritingIt() {
        coordinatorIsFound((state, event) -> {
            if (event instanceof CoordinatorEvent.Restarted(Optional<Verdict> registered)
                    && registered.isEmpty()
                    && !(state instanceof PreCommitting)) {
                List<CoordinatorAction> tell = new ArrayList<>();
                state.participants().forEach(participant -> tell.add(new Tell(participant, Verdict.ABORT)));
                return new Step<>(new Finishing(state.terms(), Verdict.ABORT, Set.of()), Durability.LAZY, tell);
            }
            return Coordinator.next(state, event);
        });
    }

    @Test
    void itFindsOneThatTakesOverUnderTheOldNumberAndBeginsAnew() {
        isFound(
                new Setting(
                        Protocol.THREE_PHASE,
                        Scenario.STORM,
                        RegisterRule.WRITE_ONCE,
                        TakeOver.ANEW_WITH_THE_OLD_NUMBER),
                Coordinator::next,
                Participant::next);
    }

    @Test
    void itFindsACoordinatorThatSendsThePreCommitBeforeItIsLogged() {
        threePhaseIsFound(
                (state, event) -> {
                    Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
                    return step.state() instanceof PreCommitting
                            ? new Step<>(step.state(), Durability.NONE, step.actions())
                            : step;
                },
                Participant::next);
    }

    @Test
    void itFindsACoordinatorThatIsRestartedAndPresumesAbortOfWhatWasPreCommitted() {
        threePhaseIsFound(
                (state, event) -> event instanceof CoordinatorEvent.Restarted && state instanceof PreCommitting
                        ? Coordinator.next(new Preparing(state.terms(), Set.of()), event)
                        : Coordinator.next(state, event),
                Participant::next);
    }

    @Test
    void itFindsARegisterThatTakesASecondWord() {
        for (Protocol protocol : Protocol.values()) {
            isFound(
                    new Setting(protocol, Scenario.STORM, RegisterRule.LAST_WRITE_WINS, TakeOver.FROM_THE_LOG),
                    Coordinator::next,
                    Participant::next);
        }
    }

    @Test
    void itFindsAParticipantThatVotedYesAndAbortsAlone() {
        participantIsFound((state, event) -> state instanceof Prepared(Seat seat) && event instanceof TimedOut
                ? Step.to(new Finished(seat.id(), Verdict.ABORT, false), new Apply(seat.id(), Verdict.ABORT))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatAbortsAloneAndSaysYesAllTheSame() {
        participantIsFound((state, event) -> state instanceof Holding(Seat seat) && event instanceof TimedOut
                ? Step.lazily(
                        new Finished(seat.id(), Verdict.ABORT, false),
                        new Apply(seat.id(), Verdict.ABORT),
                        new VoteYes(seat.id()))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatAcceptsALatePrepare() {
        participantIsFound((state, event) -> state instanceof Finished && event instanceof PrepareAsked(Seat seat)
                ? Step.to(new Holding(seat), new ParticipantAction.Hold(seat.id()))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatForgetsOverARestartThatItMayHaveVoted() {
        participantIsFound((state, event) -> event instanceof Restarted restarted
                ? Step.to(new Initial(restarted.lastNumber()))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatVotesOnceMoreAfterItsLogWasLost() {
        participantIsFound((state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            return event instanceof Restarted && step.state() instanceof Voted voted
                    ? Step.to(new Prepared(voted.seat()))
                    : step;
        });
    }

    @Test
    void itFindsAParticipantThatVotesBeforeItHolds() {
        participantIsFound((state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            if (step.state() instanceof Holding(Seat seat)
                    && step.actions().contains(new ParticipantAction.Hold(seat.id()))) {
                return Step.to(step.state(), new ParticipantAction.Hold(seat.id()), new VoteYes(seat.id()));
            }
            return step;
        });
    }

    @Test
    void itFindsParticipantsThatEndItByTheTerminationRulesWithoutTheRegister() {
        participantIsFound(CommitSimulationTest::withoutTheRegister);
    }

    @Test
    void itFindsAPreCommittedParticipantThatCommitsWithoutTheRegister() {
        threePhaseIsFound(
                Coordinator::next,
                (state, event) -> state instanceof Voted
                                && withoutTheRegister(state, event).state() instanceof Finished finished
                                && finished.verdict() == Verdict.COMMIT
                        ? withoutTheRegister(state, event)
                        : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatAcknowledgesAPreCommitBeforeItIsForced() {
        threePhaseIsFound(Coordinator::next, (state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            return step.state() instanceof PreCommitted
                    ? new Step<>(step.state(), Durability.LAZY, step.actions())
                    : step;
        });
    }

    @Test
    void itFindsAParticipantThatWishedAbortAndAcknowledgesAPreCommit() {
        threePhaseIsFound(
                Coordinator::next,
                (state, event) -> event instanceof PreCommitAsked(SwitchId id)
                                && state instanceof Settling(Seat seat, Verdict _)
                                && seat.id().equals(id)
                        ? Step.forced(new PreCommitted(seat), new AcknowledgePreCommit(id))
                        : Participant.next(state, event));
    }

    @Test
    void itFindsAPreCommittedParticipantThatWishesAbort() {
        threePhaseIsFound(Coordinator::next, (state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            return event instanceof TimedOut && step.state() instanceof Settling(Seat seat, Verdict _)
                    ? Step.to(new Settling(seat, Verdict.ABORT), new ParticipantAction.Settle(seat.id(), Verdict.ABORT))
                    : step;
        });
    }

    @Test
    void itFindsAParticipantThatForgetsOverARestartThatItIsPreCommitted() {
        threePhaseIsFound(
                Coordinator::next,
                (state, event) -> event instanceof Restarted && state instanceof Voted voted
                        ? Participant.next(new Prepared(voted.seat()), event)
                        : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatTellsItsPeersWhatItWishesAsIfItWereKnown() {
        participantIsFound((state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            if (event instanceof PeerAsks(SwitchId id, String peer, Standing _)
                    && step.state() instanceof Settling(Seat seat, Verdict wish)
                    && seat.id().equals(id)) {
                Standing told = wish == Verdict.COMMIT ? Standing.COMMITTED : Standing.ABORTED;
                return Step.to(step.state(), new TellPeer(id, peer, told));
            }
            return step;
        });
    }

    @Test
    void itFindsAParticipantThatTakesAPeersPreCommitForTheVerdict() {
        threePhaseIsFound(
                Coordinator::next,
                (state, event) -> event instanceof PeerSays(SwitchId id, String peer, Standing standing)
                                && standing == Standing.PRE_COMMITTED
                                && state instanceof Voted
                        ? Participant.next(state, new PeerSays(id, peer, Standing.COMMITTED))
                        : Participant.next(state, event));
    }

    private static void isHarmless(Setting setting, CoordinatorMachine coordinator, ParticipantMachine participant) {
        for (long seed = 1; seed <= SEEDS / 3; seed++) {
            run(seed, setting, coordinator, participant);
        }
    }

    /** Three-phase commit as the books have it: what a party would ask of the register it takes for granted. */
    private static Step<ParticipantState, ParticipantAction> withoutTheRegister(
            ParticipantState state, ParticipantEvent event) {
        Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
        return step.state() instanceof Settling(Seat seat, Verdict wish)
                ? Participant.next(step.state(), new RegisterSays(seat.id(), wish))
                : step;
    }

    /** The ledger knows that the switch is open, and who finds no yes in its log is treated as one that may have given it. */
    @ParameterizedTest
    @EnumSource
    void aYesThatIsNotForcedIsNoMistakeAsFarAsTheVerdictGoes(Protocol protocol) {
        isHarmless(Setting.storm(protocol), Coordinator::next, (state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            return step.state() instanceof Prepared ? new Step<>(step.state(), Durability.NONE, step.actions()) : step;
        });
    }

    /** It can only ask for votes that were given, and the register takes one word. */
    @Test
    void aTakeoverThatBeginsAnewInTwoPhaseIsNoMistakeAsFarAsTheVerdictGoes() {
        isHarmless(
                new Setting(
                        Protocol.TWO_PHASE, Scenario.STORM, RegisterRule.WRITE_ONCE, TakeOver.ANEW_WITH_THE_OLD_NUMBER),
                Coordinator::next,
                Participant::next);
    }

    /** Two mistakes, for one alone cannot come to it: the pre-commit needs a coordinator that has counted a yes too many. */
    @Test
    void itFindsAParticipantThatAbortedAloneAndAcceptsAPreCommit() {
        AtomicBoolean accepted = new AtomicBoolean();
        ParticipantMachine participant = (state, event) -> {
            if (event instanceof PreCommitAsked(SwitchId id)
                    && state instanceof Finished(SwitchId over, Verdict _, boolean recorded)
                    && !recorded
                    && over.equals(id)) {
                accepted.set(true);
                return Step.forced(
                        new PreCommitted(new Seat(id, Protocol.THREE_PHASE, Set.of())), new AcknowledgePreCommit(id));
            }
            return Participant.next(state, event);
        };
        for (long seed = 1; seed <= SEEDS_TO_FIND_A_MISTAKE_MAX; seed++) {
            accepted.set(false);
            try {
                new CommitSimulation(
                                seed,
                                Setting.storm(Protocol.THREE_PHASE),
                                CommitSimulationTest::withoutTheLastVote,
                                participant)
                        .run();
            } catch (CommitSimulation.LawBroken found) {
                if (accepted.get()) {
                    return;
                }
            } catch (ProtocolViolation found) {
                // Of the coordinator's mistake alone.
            }
        }
        throw new AssertionError("the mistake was not found in " + SEEDS_TO_FIND_A_MISTAKE_MAX + " seeds");
    }

    private static Step<CoordinatorState, CoordinatorAction> withoutTheLastVote(
            CoordinatorState state, CoordinatorEvent event) {
        Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
        return step.state() instanceof Preparing preparing
                        && preparing.votedYes().size()
                                == preparing.participants().size() - 1
                        && !preparing.votedYes().isEmpty()
                ? Step.to(new Fencing(state.terms()), new Fence())
                : step;
    }

    private static void coordinatorIsFound(CoordinatorMachine coordinator) {
        for (Protocol protocol : Protocol.values()) {
            isFound(Setting.storm(protocol), coordinator, Participant::next);
        }
    }

    private static void participantIsFound(ParticipantMachine participant) {
        for (Protocol protocol : Protocol.values()) {
            isFound(Setting.storm(protocol), Coordinator::next, participant);
        }
    }

    private static void threePhaseIsFound(CoordinatorMachine coordinator, ParticipantMachine participant) {
        isFound(Setting.storm(Protocol.THREE_PHASE), coordinator, participant);
    }

    private static void isFound(Setting setting, CoordinatorMachine coordinator, ParticipantMachine participant) {
        for (long seed = 1; seed <= SEEDS_TO_FIND_A_MISTAKE_MAX; seed++) {
            try {
                new CommitSimulation(seed, setting, coordinator, participant).run();
            } catch (CommitSimulation.LawBroken | ProtocolViolation found) {
                return;
            }
        }
        throw new AssertionError(
                "the mistake was not found in " + SEEDS_TO_FIND_A_MISTAKE_MAX + " seeds of " + setting);
    }

    private static List<Long> seeds() {
        return SEED.map(List::of)
                .orElseGet(() -> LongStream.rangeClosed(1, SEEDS).boxed().toList());
    }

    private static CommitSimulation run(long seed, Setting setting) {
        return run(seed, setting, Coordinator::next, Participant::next);
    }

    private static CommitSimulation run(
            long seed, Setting setting, CoordinatorMachine coordinator, ParticipantMachine participant) {
        CommitSimulation simulation = new CommitSimulation(seed, setting, coordinator, participant);
        try {
            simulation.run();
        } catch (Error | RuntimeException e) {
            throw new AssertionError(
                    setting + ", seed " + seed + " (replay: -Dswitchback.seed=" + seed + "): " + e.getMessage() + "\n"
                            + simulation.trace(),
                    e);
        }
        return simulation;
    }
}
