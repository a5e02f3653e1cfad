package io.switchback.commit;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Holds the transition tables of docs/commit.md against the code, cell by cell: the document says exactly what the machines do. */
class TransitionTableTest {
    private static final Path DOCUMENT = Path.of("..", "docs", "commit.md");
    private static final SwitchId OLDER = new SwitchId("r", 6);
    private static final SwitchId THIS = new SwitchId("r", 7);
    private static final SwitchId NEWER = new SwitchId("r", 8);
    private static final Set<String> ALL = Set.of("n1", "n2");

    private record Named<T>(String name, T value) {}

    @Test
    void theDocumentSaysWhatTheCoordinatorDoes() throws IOException {
        holds("coordinator", coordinatorTable());
    }

    @Test
    void theDocumentSaysWhatTheParticipantDoes() throws IOException {
        holds("participant", participantTable());
    }

    private static void holds(String name, String table) throws IOException {
        String document = Files.readString(DOCUMENT);
        String begin = "<!-- table: " + name + " -->\n";
        String end = "<!-- end -->";
        int from = document.indexOf(begin);
        assertThat(from).as("docs/commit.md has the marker %s", begin).isNotNegative();
        String written = document.substring(from + begin.length(), document.indexOf(end, from));
        assertThat(written)
                .as("the %s's table in docs/commit.md; it should read\n%s", name, table)
                .isEqualTo(table);
    }

    private static String coordinatorTable() {
        List<Named<CoordinatorState>> states = List.of(
                new Named<>("Initial", new CoordinatorState.Initial(THIS, ALL)),
                new Named<>("Preparing, no vote yet", new CoordinatorState.Preparing(THIS, ALL, Set.of())),
                new Named<>("Preparing, one vote missing", new CoordinatorState.Preparing(THIS, ALL, Set.of("n2"))),
                new Named<>("Fencing", new CoordinatorState.Fencing(THIS, ALL)),
                new Named<>("Deciding (wants COMMIT)", new CoordinatorState.Deciding(THIS, ALL, Verdict.COMMIT, "…")),
                new Named<>("Deciding (wants ABORT)", new CoordinatorState.Deciding(THIS, ALL, Verdict.ABORT, "…")),
                new Named<>("Finishing COMMIT", new CoordinatorState.Finishing(THIS, ALL, Verdict.COMMIT, Set.of())),
                new Named<>(
                        "Finishing COMMIT, one acknowledgement missing",
                        new CoordinatorState.Finishing(THIS, ALL, Verdict.COMMIT, Set.of("n2"))),
                new Named<>("Done with COMMIT", new CoordinatorState.Done(THIS, ALL, Verdict.COMMIT)));
        List<Named<CoordinatorEvent>> events = List.of(
                new Named<>("Begin", new CoordinatorEvent.Begin()),
                new Named<>("VotedYes(n1)", new CoordinatorEvent.VotedYes("n1")),
                new Named<>("VotedNo(n1)", new CoordinatorEvent.VotedNo("n1", "…")),
                new Named<>("Fenced", new CoordinatorEvent.Fenced()),
                new Named<>("FenceFailed", new CoordinatorEvent.FenceFailed("…")),
                new Named<>("TimedOut", new CoordinatorEvent.TimedOut("…")),
                new Named<>("Decided(COMMIT)", new CoordinatorEvent.Decided(Verdict.COMMIT)),
                new Named<>("Decided(ABORT)", new CoordinatorEvent.Decided(Verdict.ABORT)),
                new Named<>("Acknowledged(n1)", new CoordinatorEvent.Acknowledged("n1")),
                new Named<>("Restarted, register empty", new CoordinatorEvent.Restarted(Optional.empty())),
                new Named<>(
                        "Restarted, register says COMMIT", new CoordinatorEvent.Restarted(Optional.of(Verdict.COMMIT))),
                new Named<>(
                        "Restarted, register says ABORT", new CoordinatorEvent.Restarted(Optional.of(Verdict.ABORT))));
        return table(states, events, Coordinator::next, TransitionTableTest::text, TransitionTableTest::text);
    }

    private static String participantTable() {
        List<Named<ParticipantState>> states = List.of(
                new Named<>("Initial", new ParticipantState.Initial(OLDER.number())),
                new Named<>("Holding this", new ParticipantState.Holding(THIS)),
                new Named<>("Prepared for this", new ParticipantState.Prepared(THIS)),
                new Named<>("Finished this, COMMIT", new ParticipantState.Finished(THIS, Verdict.COMMIT)),
                new Named<>("Finished this, ABORT", new ParticipantState.Finished(THIS, Verdict.ABORT)));
        List<Named<ParticipantEvent>> events = new ArrayList<>();
        for (Named<SwitchId> id :
                List.of(new Named<>("older", OLDER), new Named<>("this", THIS), new Named<>("newer", NEWER))) {
            events.add(new Named<>("PrepareAsked(" + id.name() + ")", new ParticipantEvent.PrepareAsked(id.value())));
        }
        events.add(new Named<>("Held(this)", new ParticipantEvent.Held(THIS)));
        events.add(new Named<>("HoldFailed(this)", new ParticipantEvent.HoldFailed(THIS, "…")));
        for (Verdict verdict : Verdict.values()) {
            for (Named<SwitchId> id :
                    List.of(new Named<>("older", OLDER), new Named<>("this", THIS), new Named<>("newer", NEWER))) {
                events.add(new Named<>(
                        "Told(" + id.name() + ", " + verdict + ")", new ParticipantEvent.Told(id.value(), verdict)));
            }
            events.add(new Named<>(
                    "RegisterSays(this, " + verdict + ")", new ParticipantEvent.RegisterSays(THIS, verdict)));
        }
        events.add(new Named<>("TimedOut", new ParticipantEvent.TimedOut()));
        events.add(new Named<>(
                "Restarted, nothing open", new ParticipantEvent.Restarted(Optional.empty(), Optional.empty(), 6)));
        events.add(new Named<>(
                "Restarted, this open, register empty",
                new ParticipantEvent.Restarted(Optional.of(THIS), Optional.empty(), 7)));
        for (Verdict verdict : Verdict.values()) {
            events.add(new Named<>(
                    "Restarted, this open, register says " + verdict,
                    new ParticipantEvent.Restarted(Optional.of(THIS), Optional.of(verdict), 7)));
        }
        return table(states, events, Participant::next, TransitionTableTest::text, TransitionTableTest::text);
    }

    private static <S, E, A> String table(
            List<Named<S>> states,
            List<Named<E>> events,
            BiFunction<S, E, Step<S, A>> machine,
            java.util.function.Function<S, String> stateText,
            java.util.function.Function<A, String> actionText) {
        StringBuilder table = new StringBuilder("| event \\ state |");
        states.forEach(state -> table.append(' ').append(state.name()).append(" |"));
        table.append("\n| --- |").append(" --- |".repeat(states.size())).append('\n');
        for (Named<E> event : events) {
            table.append("| ").append(event.name()).append(" |");
            for (Named<S> state : states) {
                table.append(' ')
                        .append(cell(state.value(), event.value(), machine, stateText, actionText))
                        .append(" |");
            }
            table.append('\n');
        }
        return table.toString();
    }

    private static <S, E, A> String cell(
            S state,
            E event,
            BiFunction<S, E, Step<S, A>> machine,
            java.util.function.Function<S, String> stateText,
            java.util.function.Function<A, String> actionText) {
        Step<S, A> step;
        try {
            step = machine.apply(state, event);
        } catch (ProtocolViolation impossible) {
            return "**impossible**";
        }
        String actions = step.actions().stream().map(actionText).collect(Collectors.joining(", "));
        if (step.state().equals(state)) {
            return actions.isEmpty() ? "–" : "stays: " + actions;
        }
        return "→ " + stateText.apply(step.state()) + (actions.isEmpty() ? "" : ": " + actions);
    }

    private static String text(CoordinatorState state) {
        return switch (state) {
            case CoordinatorState.Initial _ -> "Initial";
            case CoordinatorState.Preparing _ -> "Preparing";
            case CoordinatorState.Fencing _ -> "Fencing";
            case CoordinatorState.Deciding deciding -> "Deciding (wants " + deciding.wanted() + ")";
            case CoordinatorState.Finishing finishing -> "Finishing " + finishing.verdict();
            case CoordinatorState.Done done -> "Done with " + done.verdict();
        };
    }

    private static String text(CoordinatorAction action) {
        return switch (action) {
            case CoordinatorAction.AskToPrepare(String participant) -> "AskToPrepare(" + participant + ")";
            case CoordinatorAction.Fence() -> "Fence";
            case CoordinatorAction.WriteDecision(Verdict wanted, String _) -> "WriteDecision(" + wanted + ")";
            case CoordinatorAction.Tell(String participant, Verdict verdict) ->
                "Tell(" + participant + ", " + verdict + ")";
            case CoordinatorAction.Forget() -> "Forget";
        };
    }

    private static String text(ParticipantState state) {
        return switch (state) {
            case ParticipantState.Initial _ -> "Initial";
            case ParticipantState.Holding(SwitchId id) -> "Holding " + text(id);
            case ParticipantState.Prepared(SwitchId id) -> "Prepared for " + text(id);
            case ParticipantState.Finished(SwitchId id, Verdict verdict) -> "Finished " + text(id) + ", " + verdict;
        };
    }

    private static String text(ParticipantAction action) {
        return switch (action) {
            case ParticipantAction.Hold(SwitchId id) -> "Hold(" + text(id) + ")";
            case ParticipantAction.VoteYes(SwitchId id) -> "VoteYes(" + text(id) + ")";
            case ParticipantAction.VoteNo(SwitchId id, String _) -> "VoteNo(" + text(id) + ")";
            case ParticipantAction.SettleWithAbort(SwitchId id) -> "SettleWithAbort(" + text(id) + ")";
            case ParticipantAction.Apply(SwitchId id, Verdict verdict) -> "Apply(" + text(id) + ", " + verdict + ")";
            case ParticipantAction.Acknowledge(SwitchId id) -> "Acknowledge(" + text(id) + ")";
        };
    }

    private static String text(SwitchId id) {
        return id.equals(OLDER) ? "older" : id.equals(THIS) ? "this" : "newer";
    }
}
