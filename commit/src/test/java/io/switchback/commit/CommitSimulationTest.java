package io.switchback.commit;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.commit.CommitSimulation.CoordinatorMachine;
import io.switchback.commit.CommitSimulation.ParticipantMachine;
import io.switchback.commit.CommitSimulation.RegisterRule;
import io.switchback.commit.CoordinatorAction.Fence;
import io.switchback.commit.CoordinatorAction.Tell;
import io.switchback.commit.CoordinatorAction.WriteDecision;
import io.switchback.commit.CoordinatorEvent.Decided;
import io.switchback.commit.CoordinatorState.Deciding;
import io.switchback.commit.CoordinatorState.Fencing;
import io.switchback.commit.CoordinatorState.Finishing;
import io.switchback.commit.CoordinatorState.Preparing;
import io.switchback.commit.ParticipantAction.Apply;
import io.switchback.commit.ParticipantEvent.PrepareAsked;
import io.switchback.commit.ParticipantEvent.Restarted;
import io.switchback.commit.ParticipantEvent.TimedOut;
import io.switchback.commit.ParticipantState.Finished;
import io.switchback.commit.ParticipantState.Holding;
import io.switchback.commit.ParticipantState.Initial;
import io.switchback.commit.ParticipantState.Prepared;
import io.switchback.ledger.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** Runs {@link CommitSimulation} over many seeds; and over machines with a mistake in them, which it must find. */
class CommitSimulationTest {
    private static final int SEEDS = 3_000;
    private static final int SEEDS_TO_FIND_A_MISTAKE_MAX = 4_000;

    /** Set to replay one: {@code -Dswitchback.seed=17}. */
    private static final Optional<Long> SEED = Optional.ofNullable(Long.getLong("switchback.seed"));

    @Test
    void allPartiesReachTheSameDecisionWhateverIsLostRepeatedReorderedAndRestarted() {
        int commits = 0;
        int aborts = 0;
        int crashes = 0;
        for (long seed : SEED.map(List::of)
                .orElseGet(() -> LongStream.rangeClosed(1, SEEDS).boxed().toList())) {
            CommitSimulation simulation =
                    new CommitSimulation(seed, Coordinator::next, Participant::next, RegisterRule.WRITE_ONCE);
            try {
                simulation.run();
            } catch (Error | RuntimeException e) {
                throw new AssertionError(
                        "seed " + seed + " (replay: -Dswitchback.seed=" + seed + "): " + e.getMessage() + "\n"
                                + simulation.trace(),
                        e);
            }
            commits += simulation.count(Verdict.COMMIT);
            aborts += simulation.count(Verdict.ABORT);
            crashes += simulation.crashes();
        }
        if (SEED.isEmpty()) {
            // A simulation in which nothing happens proves nothing.
            assertThat(commits).isGreaterThan(SEEDS / 2);
            assertThat(aborts).isGreaterThan(SEEDS / 2);
            assertThat(crashes).isGreaterThan(SEEDS / 2);
        }
    }

    @Test
    void theSameSeedIsTheSameRun() {
        CommitSimulation one = new CommitSimulation(42, Coordinator::next, Participant::next, RegisterRule.WRITE_ONCE);
        CommitSimulation other =
                new CommitSimulation(42, Coordinator::next, Participant::next, RegisterRule.WRITE_ONCE);
        one.run();
        other.run();

        assertThat(one.trace()).isEqualTo(other.trace()).isNotEmpty();
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
            return new Step<>(step.state(), actions);
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
        coordinatorIsFound((state, event) -> {
            Step<CoordinatorState, CoordinatorAction> step = Coordinator.next(state, event);
            return step.state() instanceof Preparing preparing
                            && preparing.votedYes().size()
                                    == preparing.participants().size() - 1
                            && !preparing.votedYes().isEmpty()
                    ? Step.to(new Fencing(state.id(), state.participants()), new Fence())
                    : step;
        });
    }

    @Test
    void itFindsACoordinatorThatPresumesAbortWithoutWritingIt() {
        coordinatorIsFound((state, event) -> {
            if (event instanceof CoordinatorEvent.Restarted(Optional<Verdict> registered) && registered.isEmpty()) {
                List<CoordinatorAction> tell = new ArrayList<>();
                state.participants().forEach(participant -> tell.add(new Tell(participant, Verdict.ABORT)));
                return new Step<>(new Finishing(state.id(), state.participants(), Verdict.ABORT, Set.of()), tell);
            }
            return Coordinator.next(state, event);
        });
    }

    @Test
    void itFindsARegisterThatTakesASecondWord() {
        isFound(Coordinator::next, Participant::next, RegisterRule.LAST_WRITE_WINS);
    }

    @Test
    void itFindsAParticipantThatVotedYesAndAbortsAlone() {
        participantIsFound((state, event) -> state instanceof Prepared(SwitchId id) && event instanceof TimedOut
                ? Step.to(new Finished(id, Verdict.ABORT), new Apply(id, Verdict.ABORT))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatAcceptsALatePrepare() {
        participantIsFound((state, event) -> state instanceof Finished && event instanceof PrepareAsked(SwitchId id)
                ? Step.to(new Holding(id), new ParticipantAction.Hold(id))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatForgetsOverARestartThatItMayHaveVoted() {
        participantIsFound((state, event) -> event instanceof Restarted restarted
                ? Step.to(new Initial(restarted.lastNumber()))
                : Participant.next(state, event));
    }

    @Test
    void itFindsAParticipantThatVotesBeforeItHolds() {
        participantIsFound((state, event) -> {
            Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
            if (step.state() instanceof Holding(SwitchId id)
                    && step.actions().contains(new ParticipantAction.Hold(id))) {
                return Step.to(step.state(), new ParticipantAction.Hold(id), new ParticipantAction.VoteYes(id));
            }
            return step;
        });
    }

    private static void coordinatorIsFound(CoordinatorMachine coordinator) {
        isFound(coordinator, Participant::next, RegisterRule.WRITE_ONCE);
    }

    private static void participantIsFound(ParticipantMachine participant) {
        isFound(Coordinator::next, participant, RegisterRule.WRITE_ONCE);
    }

    private static void isFound(CoordinatorMachine coordinator, ParticipantMachine participant, RegisterRule rule) {
        for (long seed = 1; seed <= SEEDS_TO_FIND_A_MISTAKE_MAX; seed++) {
            try {
                new CommitSimulation(seed, coordinator, participant, rule).run();
            } catch (CommitSimulation.LawBroken | ProtocolViolation found) {
                return;
            }
        }
        throw new AssertionError("the mistake was not found in " + SEEDS_TO_FIND_A_MISTAKE_MAX + " seeds");
    }
}
