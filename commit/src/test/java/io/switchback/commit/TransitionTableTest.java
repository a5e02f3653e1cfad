package io.switchback.commit;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Holds the tables of docs/commit.md against the code, cell by cell: the document says exactly what the machines do. */
class TransitionTableTest {
    private static final Path DOCUMENT = Path.of("..", "docs", "commit.md");
    private static final SwitchId OLDER = new SwitchId("r", 6);
    private static final SwitchId THIS = new SwitchId("r", 7);
    private static final SwitchId NEWER = new SwitchId("r", 8);
    private static final Set<String> PEERS = Set.of("n2", "n3");
    /** Of a table of rules, what the machines know; the rest of a row is for people. */
    private static final int CHECKED_COLUMNS = 4;

    private record Named<T>(String name, T value) {}

    private record Machine<S, E, A>(
            BiFunction<S, E, Step<S, A>> next, Function<S, String> state, Function<A, String> action) {}

    private static final Machine<CoordinatorState, CoordinatorEvent, CoordinatorAction> COORDINATOR =
            new Machine<>(Coordinator::next, Words::text, Words::text);
    private static final Machine<ParticipantState, ParticipantEvent, ParticipantAction> PARTICIPANT =
            new Machine<>(Participant::next, TransitionTableTest::text, TransitionTableTest::text);

    @Test
    void theDocumentSaysWhatTheCoordinatorDoes() throws IOException {
        holds("coordinator", coordinatorTable());
    }

    @Test
    void theDocumentSaysWhatTheParticipantOfTwoPhaseCommitDoes() throws IOException {
        Seat seat = new Seat(THIS, Protocol.TWO_PHASE, PEERS);
        holds(
                "participant, two-phase",
                participantTable(List.of(
                        new ParticipantState.Initial(OLDER.number()),
                        new ParticipantState.Holding(seat),
                        new ParticipantState.Prepared(seat),
                        new ParticipantState.Settling(seat, Verdict.ABORT),
                        new ParticipantState.Finished(THIS, Verdict.COMMIT, true),
                        new ParticipantState.Finished(THIS, Verdict.ABORT, true),
                        new ParticipantState.Finished(THIS, Verdict.ABORT, false))));
    }

    @Test
    void theDocumentSaysWhatTheParticipantOfThreePhaseCommitDoesOnceItHasVoted() throws IOException {
        Seat seat = new Seat(THIS, Protocol.THREE_PHASE, PEERS);
        holds(
                "participant, three-phase",
                participantTable(List.of(
                        new ParticipantState.Prepared(seat),
                        new ParticipantState.Inquiring(seat, PEERS),
                        new ParticipantState.Inquiring(seat, Set.of("n2")),
                        new ParticipantState.PreCommitted(seat),
                        new ParticipantState.BringingAlong(seat, PEERS),
                        new ParticipantState.BringingAlong(seat, Set.of("n2")),
                        new ParticipantState.Settling(seat, Verdict.COMMIT),
                        new ParticipantState.Settling(seat, Verdict.ABORT))));
    }

    @Test
    void theDocumentSaysWhatTheCoordinatorLogsAndWhatItDoesOnATimeOutAndAfterARestart() throws IOException {
        CoordinatorEvent begin = new CoordinatorEvent.Begin();
        CoordinatorEvent yes1 = new CoordinatorEvent.VotedYes("n1");
        CoordinatorEvent yes2 = new CoordinatorEvent.VotedYes("n2");
        CoordinatorEvent no1 = new CoordinatorEvent.VotedNo("n1", "…");
        CoordinatorEvent fenced = new CoordinatorEvent.Fenced();
        CoordinatorEvent there1 = new CoordinatorEvent.PreCommitAcknowledged("n1");
        CoordinatorEvent there2 = new CoordinatorEvent.PreCommitAcknowledged("n2");
        CoordinatorEvent commit = new CoordinatorEvent.Decided(Verdict.COMMIT);
        CoordinatorEvent abort = new CoordinatorEvent.Decided(Verdict.ABORT);
        CoordinatorEvent ended1 = new CoordinatorEvent.Acknowledged("n1");
        CoordinatorEvent ended2 = new CoordinatorEvent.Acknowledged("n2");
        rulesHold(
                "rules of the coordinator",
                List.of(
                        coordinatorRule("", Protocol.TWO_PHASE, Optional.empty(), begin),
                        coordinatorRule("", Protocol.TWO_PHASE, Optional.empty(), begin, yes1, yes2),
                        coordinatorRule(", two-phase", Protocol.TWO_PHASE, Optional.empty(), begin, yes1, yes2, fenced),
                        coordinatorRule("", Protocol.THREE_PHASE, Optional.empty(), begin, yes1, yes2, fenced),
                        coordinatorRule(
                                ", three-phase",
                                Protocol.THREE_PHASE,
                                Optional.empty(),
                                begin,
                                yes1,
                                yes2,
                                fenced,
                                there1,
                                there2),
                        coordinatorRule("", Protocol.TWO_PHASE, Optional.empty(), begin, no1),
                        coordinatorRule(
                                "", Protocol.TWO_PHASE, Optional.of(Verdict.COMMIT), begin, yes1, yes2, fenced, commit),
                        coordinatorRule("", Protocol.TWO_PHASE, Optional.of(Verdict.ABORT), begin, no1, abort),
                        coordinatorRule(
                                "",
                                Protocol.TWO_PHASE,
                                Optional.of(Verdict.COMMIT),
                                begin,
                                yes1,
                                yes2,
                                fenced,
                                commit,
                                ended1,
                                ended2)));
    }

    @Test
    void theDocumentSaysWhatAParticipantLogsAndWhatItDoesOnATimeOutAndAfterARestart() throws IOException {
        Seat two = new Seat(THIS, Protocol.TWO_PHASE, PEERS);
        Seat three = new Seat(THIS, Protocol.THREE_PHASE, PEERS);
        ParticipantEvent askedTwo = new ParticipantEvent.PrepareAsked(two);
        ParticipantEvent askedThree = new ParticipantEvent.PrepareAsked(three);
        ParticipantEvent held = new ParticipantEvent.Held(THIS);
        ParticipantEvent late = new ParticipantEvent.TimedOut();
        ParticipantEvent preCommit = new ParticipantEvent.PreCommitAsked(THIS);
        ParticipantEvent commit = new ParticipantEvent.Told(THIS, Verdict.COMMIT);
        ParticipantEvent abort = new ParticipantEvent.Told(THIS, Verdict.ABORT);
        rulesHold(
                "rules of a participant",
                List.of(
                        participantRule("", two, Optional.empty()),
                        participantRule("", two, Optional.empty(), askedTwo),
                        participantRule("", two, Optional.empty(), askedTwo, late),
                        participantRule(", two-phase", two, Optional.empty(), askedTwo, held),
                        participantRule(", two-phase", two, Optional.empty(), askedTwo, held, late),
                        participantRule(", three-phase", three, Optional.empty(), askedThree, held),
                        participantRule("", three, Optional.empty(), askedThree, held, late),
                        participantRule(", three-phase", three, Optional.empty(), askedThree, held, late, late),
                        participantRule("", three, Optional.empty(), askedThree, held, preCommit),
                        participantRule("", three, Optional.empty(), askedThree, held, preCommit, late),
                        participantRule("", three, Optional.empty(), askedThree, held, preCommit, late, late),
                        participantRule("", two, Optional.of(Verdict.COMMIT), askedTwo, held, commit),
                        participantRule("", two, Optional.of(Verdict.ABORT), askedTwo, held, abort)));
    }

    private static String coordinatorRule(
            String suffix, Protocol protocol, Optional<Verdict> registered, CoordinatorEvent... path) {
        return rule(
                COORDINATOR,
                new CoordinatorState.Initial(new Terms(THIS, protocol, Set.of("n1", "n2"))),
                suffix,
                List.of(path),
                new CoordinatorEvent.TimedOut("…"),
                new CoordinatorEvent.Restarted(registered));
    }

    private static String participantRule(
            String suffix, Seat seat, Optional<Verdict> registered, ParticipantEvent... path) {
        return rule(
                PARTICIPANT,
                new ParticipantState.Initial(OLDER.number()),
                suffix,
                List.of(path),
                new ParticipantEvent.TimedOut(),
                new ParticipantEvent.Restarted(Optional.of(seat), registered, THIS.number()));
    }

    /** Where a path leads, what has to be in the log for that, and what comes next; a restart meets what the log then says. */
    private static <S, E, A> String rule(
            Machine<S, E, A> machine, S initial, String suffix, List<E> path, E timedOut, E restarted) {
        S state = initial;
        S logged = initial;
        Durability durability = Durability.NONE;
        for (E event : path) {
            Step<S, A> step = machine.next().apply(state, event);
            state = step.state();
            durability = step.durability();
            if (durability != Durability.NONE) {
                logged = state;
            }
        }
        String log = switch (durability) {
            case NONE -> "–";
            case LAZY -> "lazily";
            case FORCED -> "forced";
        };
        return "| " + machine.state().apply(state) + suffix + " | " + log + " | " + cell(machine, state, timedOut)
                + " | " + cell(machine, logged, restarted, state);
    }

    private static void rulesHold(String name, List<String> rules) throws IOException {
        List<String> written = written(name)
                .lines()
                .skip(2)
                .map(row -> Arrays.stream(row.split(" \\| ", -1))
                        .limit(CHECKED_COLUMNS)
                        .collect(Collectors.joining(" | ")))
                .toList();
        assertThat(written)
                .as("%s in docs/commit.md; they should begin\n%s", name, String.join("\n", rules))
                .isEqualTo(rules);
    }

    private static void holds(String name, String table) throws IOException {
        assertThat(written(name))
                .as("the %s's table in docs/commit.md; it should read\n%s", name, table)
                .isEqualTo(table);
    }

    private static String written(String name) throws IOException {
        String document = Files.readString(DOCUMENT);
        String begin = "<!-- table: " + name + " -->\n";
        String end = "<!-- end -->";
        int from = document.indexOf(begin);
        assertThat(from).as("docs/commit.md has the marker %s", begin).isNotNegative();
        return document.substring(from + begin.length(), document.indexOf(end, from));
    }

    private static String coordinatorTable() {
        Terms two = new Terms(THIS, Protocol.TWO_PHASE, Set.of("n1", "n2"));
        Terms three = new Terms(THIS, Protocol.THREE_PHASE, Set.of("n1", "n2"));
        List<Named<CoordinatorState>> states = List.of(
                new Named<>("Initial", new CoordinatorState.Initial(two)),
                new Named<>("Preparing, no vote yet", new CoordinatorState.Preparing(two, Set.of())),
                new Named<>("Preparing, one vote missing", new CoordinatorState.Preparing(two, Set.of("n2"))),
                new Named<>("Fencing, two-phase", new CoordinatorState.Fencing(two)),
                new Named<>("Fencing, three-phase", new CoordinatorState.Fencing(three)),
                new Named<>("PreCommitting", new CoordinatorState.PreCommitting(three, Set.of())),
                new Named<>(
                        "PreCommitting, one acknowledgement missing",
                        new CoordinatorState.PreCommitting(three, Set.of("n2"))),
                new Named<>("Deciding (wants COMMIT)", new CoordinatorState.Deciding(three, Verdict.COMMIT, "…")),
                new Named<>("Deciding (wants ABORT)", new CoordinatorState.Deciding(three, Verdict.ABORT, "…")),
                new Named<>("Finishing COMMIT", new CoordinatorState.Finishing(three, Verdict.COMMIT, Set.of())),
                new Named<>(
                        "Finishing COMMIT, one acknowledgement missing",
                        new CoordinatorState.Finishing(three, Verdict.COMMIT, Set.of("n2"))),
                new Named<>("Done with COMMIT", new CoordinatorState.Done(three, Verdict.COMMIT)));
        List<Named<CoordinatorEvent>> events = new ArrayList<>();
        for (CoordinatorEvent event : List.of(
                new CoordinatorEvent.Begin(),
                new CoordinatorEvent.VotedYes("n1"),
                new CoordinatorEvent.VotedNo("n1", "…"),
                new CoordinatorEvent.Fenced(),
                new CoordinatorEvent.FenceFailed("…"),
                new CoordinatorEvent.PreCommitAcknowledged("n1"),
                new CoordinatorEvent.TimedOut("…"),
                new CoordinatorEvent.Decided(Verdict.COMMIT),
                new CoordinatorEvent.Decided(Verdict.ABORT),
                new CoordinatorEvent.Acknowledged("n1"),
                new CoordinatorEvent.Restarted(Optional.empty()),
                new CoordinatorEvent.Restarted(Optional.of(Verdict.COMMIT)),
                new CoordinatorEvent.Restarted(Optional.of(Verdict.ABORT)))) {
            events.add(new Named<>(Words.text(event), event));
        }
        return table(COORDINATOR, states, events);
    }

    private static String participantTable(List<ParticipantState> states) {
        Seat seat = states.stream()
                .filter(ParticipantState.Open.class::isInstance)
                .map(state -> ((ParticipantState.Open) state).seat())
                .findFirst()
                .orElseThrow();
        List<Named<ParticipantEvent>> events = new ArrayList<>();
        for (SwitchId id : List.of(OLDER, THIS, NEWER)) {
            add(events, id, new ParticipantEvent.PrepareAsked(new Seat(id, seat.protocol(), PEERS)));
        }
        add(events, THIS, new ParticipantEvent.Held(THIS));
        add(events, THIS, new ParticipantEvent.HoldFailed(THIS, "…"));
        for (SwitchId id : List.of(OLDER, THIS, NEWER)) {
            add(events, id, new ParticipantEvent.PreCommitAsked(id));
        }
        for (Verdict verdict : Verdict.values()) {
            for (SwitchId id : List.of(OLDER, THIS, NEWER)) {
                add(events, id, new ParticipantEvent.Told(id, verdict));
            }
            add(events, THIS, new ParticipantEvent.RegisterSays(THIS, verdict));
        }
        add(events, THIS, new ParticipantEvent.TimedOut());
        for (Standing standing : List.of(Standing.PREPARED, Standing.PRE_COMMITTED)) {
            for (SwitchId id : List.of(OLDER, THIS, NEWER)) {
                add(events, id, new ParticipantEvent.PeerAsks(id, "n2", standing));
            }
        }
        for (Standing standing : Standing.values()) {
            add(events, THIS, new ParticipantEvent.PeerSays(THIS, "n2", standing));
        }
        add(events, THIS, new ParticipantEvent.Restarted(Optional.empty(), Optional.empty(), THIS.number()));
        for (Optional<Verdict> registered :
                List.of(Optional.<Verdict>empty(), Optional.of(Verdict.COMMIT), Optional.of(Verdict.ABORT))) {
            add(events, THIS, new ParticipantEvent.Restarted(Optional.of(seat), registered, THIS.number()));
        }
        return table(
                PARTICIPANT,
                states.stream().map(state -> new Named<>(text(state), state)).toList(),
                events);
    }

    private static void add(List<Named<ParticipantEvent>> events, SwitchId id, ParticipantEvent event) {
        events.add(new Named<>(Words.text(event) + of(id), event));
    }

    private static <S, E, A> String table(Machine<S, E, A> machine, List<Named<S>> states, List<Named<E>> events) {
        StringBuilder table = new StringBuilder("| event \\ state |");
        states.forEach(state -> table.append(' ').append(state.name()).append(" |"));
        table.append("\n| --- |").append(" --- |".repeat(states.size())).append('\n');
        for (Named<E> event : events) {
            table.append("| ").append(event.name()).append(" |");
            for (Named<S> state : states) {
                table.append(' ')
                        .append(cell(machine, state.value(), event.value()))
                        .append(" |");
            }
            table.append('\n');
        }
        return table.toString();
    }

    private static <S, E, A> String cell(Machine<S, E, A> machine, S state, E event) {
        return cell(machine, state, event, state);
    }

    private static <S, E, A> String cell(Machine<S, E, A> machine, S state, E event, S before) {
        Step<S, A> step;
        try {
            step = machine.next().apply(state, event);
        } catch (ProtocolViolation impossible) {
            return "**impossible**";
        }
        String actions = step.actions().stream().map(machine.action()).collect(Collectors.joining(", "));
        String log = switch (step.durability()) {
            case NONE -> "";
            case LAZY -> " (lazily)";
            case FORCED -> " (forced)";
        };
        if (step.state().equals(before)) {
            return actions.isEmpty() ? "–" : "stays" + log + ": " + actions;
        }
        return "→ " + machine.state().apply(step.state()) + log + (actions.isEmpty() ? "" : ": " + actions);
    }

    private static String text(ParticipantState state) {
        return Words.text(state)
                + switch (state) {
                    case ParticipantState.Initial _ -> "";
                    case ParticipantState.Open open -> of(open.seat().id());
                    case ParticipantState.Finished finished -> of(finished.id());
                };
    }

    private static String text(ParticipantAction action) {
        return Words.text(action) + of(Words.id(action));
    }

    private static String of(SwitchId id) {
        return id.equals(OLDER) ? " of an older one" : id.equals(THIS) ? "" : " of a newer one";
    }
}
