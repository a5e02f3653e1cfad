package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A coordinator or two, participants and a register in one thread, under a seed that loses, repeats and reorders what they send, fails
 * holds and fences, and crashes and restarts them, over several switches in a row. After every event it checks: <ul>
 * <li>no two parties apply different verdicts to one switch, and none applies what the register does not say (L5);
 * <li>a recorded verdict never changes (L5);
 * <li>all participants that serve do so on one route (L3, as far as the decision goes: fences are not simulated).
 * </ul>
 * In the end messages arrive again and nobody crashes; then every switch must end (L7).
 */
final class CommitSimulation {
    interface CoordinatorMachine {
        Step<CoordinatorState, CoordinatorAction> next(CoordinatorState state, CoordinatorEvent event);
    }

    interface ParticipantMachine {
        Step<ParticipantState, ParticipantAction> next(ParticipantState state, ParticipantEvent event);
    }

    enum RegisterRule {
        WRITE_ONCE,
        /** A mistake to be found. */
        LAST_WRITE_WINS
    }

    /** One of the laws does not hold. */
    static final class LawBroken extends AssertionError {
        private static final long serialVersionUID = 1;

        LawBroken(String message) {
            super(message);
        }
    }

    private static final int STORM_EVENTS = 250;
    private static final int CALM_EVENTS_MAX = 20_000;
    private static final int IN_FLIGHT_MAX = 200;
    private static final int TRACE_LINES_MAX = 400;

    /** What is on its way to somebody; {@code deliver} does nothing if the process it was for is another by now. */
    private record InFlight(Supplier<String> what, boolean canBeLost, Runnable deliver) {}

    private final Random random;
    private final CoordinatorMachine coordinatorMachine;
    private final ParticipantMachine participantMachine;
    private final RegisterRule rule;
    private final double lost;
    private final double repeated;
    private final double crashing;
    private final List<InFlight> inFlight = new ArrayList<>();
    private final List<Node> nodes = new ArrayList<>();
    private final Deque<Supplier<String>> trace = new ArrayDeque<>();

    // The ledger: what survives everything.
    private final Map<SwitchId, Verdict> register = new HashMap<>();
    private @Nullable SwitchId armed;
    private long lastNumber;
    private long routeEpoch;

    /** What was seen to be applied or recorded, to hold everything later against. */
    private final Map<SwitchId, Verdict> firstRecorded = new HashMap<>();

    private final Map<SwitchId, Map<String, Verdict>> applied = new HashMap<>();
    private final List<Leader> leaders = new ArrayList<>();
    private boolean calm;
    private int crashes;

    CommitSimulation(long seed, CoordinatorMachine coordinator, ParticipantMachine participant, RegisterRule rule) {
        this.random = new Random(seed * 0x9E3779B97F4A7C15L);
        this.coordinatorMachine = coordinator;
        this.participantMachine = participant;
        this.rule = rule;
        // Each seed has a weather of its own: a storm everywhere would never let a switch commit.
        this.lost = random.nextInt(3) * 0.12;
        this.repeated = random.nextInt(3) * 0.12;
        this.crashing = random.nextInt(3) * 0.008;
        int count = 1 + random.nextInt(4);
        for (int i = 1; i <= count; i++) {
            nodes.add(new Node("n" + i));
        }
    }

    void run() {
        for (int event = 0; event < STORM_EVENTS; event++) {
            step();
            check();
        }
        calm = true;
        trace(() -> "-- calm");
        for (int event = 0; event < CALM_EVENTS_MAX && !finished(); event++) {
            step();
            check();
        }
        if (!finished()) {
            throw new LawBroken("L7: a switch does not end: " + leaders + ", " + nodes);
        }
    }

    String trace() {
        return trace.stream().map(Supplier::get).collect(Collectors.joining("\n"));
    }

    int count(Verdict verdict) {
        return (int) register.values().stream().filter(verdict::equals).count();
    }

    int crashes() {
        return crashes;
    }

    private boolean finished() {
        return armed == null && inFlight.isEmpty() && nodes.stream().allMatch(node -> node.up && node.serving != null);
    }

    private void step() {
        if (!calm && random.nextDouble() < crashing) {
            crashSomething();
            return;
        }
        if (armed == null && leaders.isEmpty() && !calm) {
            begin();
            return;
        }
        List<Node> down = nodes.stream().filter(node -> !node.up).toList();
        if (!down.isEmpty() && random.nextInt(4) == 0) {
            down.get(random.nextInt(down.size())).restart();
            return;
        }
        // With nobody left, or out of impatience while the first still works: another takes the switch up.
        if (armed != null && (leaders.isEmpty() || (!calm && leaders.size() == 1 && random.nextInt(40) == 0))) {
            takeUp();
            return;
        }
        if (inFlight.isEmpty() || random.nextInt(20) == 0) {
            timeOutSomebody();
        } else {
            deliver(random.nextInt(inFlight.size()));
        }
    }

    private void begin() {
        SwitchId id = new SwitchId("r", ++lastNumber);
        armed = id;
        trace(() -> "begin " + id);
        TreeSet<String> names = nodes.stream().map(node -> node.name).collect(Collectors.toCollection(TreeSet::new));
        Leader leader = new Leader(new CoordinatorState.Initial(id, names));
        leaders.add(leader);
        leader.on(new CoordinatorEvent.Begin());
    }

    private void takeUp() {
        SwitchId id = Objects.requireNonNull(armed);
        trace(() -> "take up " + id);
        TreeSet<String> names = nodes.stream().map(node -> node.name).collect(Collectors.toCollection(TreeSet::new));
        Leader leader = new Leader(new CoordinatorState.Initial(id, names));
        leaders.add(leader);
        leader.on(new CoordinatorEvent.Restarted(Optional.ofNullable(register.get(id))));
    }

    private void crashSomething() {
        crashes++;
        if (!leaders.isEmpty() && random.nextBoolean()) {
            Leader leader = leaders.remove(random.nextInt(leaders.size()));
            leader.up = false;
            trace(() -> "crash coordinator of " + leader.state.id());
        } else {
            nodes.get(random.nextInt(nodes.size())).crash();
        }
    }

    private void timeOutSomebody() {
        int who = random.nextInt(nodes.size() + leaders.size());
        if (who < nodes.size()) {
            Node node = nodes.get(who);
            if (node.up) {
                node.on(new ParticipantEvent.TimedOut());
            }
        } else {
            Leader leader = leaders.get(who - nodes.size());
            if (!(leader.state instanceof CoordinatorState.Initial)) {
                leader.on(new CoordinatorEvent.TimedOut("too long"));
            }
        }
    }

    private void deliver(int index) {
        InFlight next = inFlight.get(index);
        double chance = random.nextDouble();
        if (!calm && next.canBeLost && chance < lost) {
            trace(() -> "lost: " + next.what.get());
            inFlight.remove(index);
            return;
        }
        boolean again = !calm && next.canBeLost && chance > 1 - repeated && inFlight.size() < IN_FLIGHT_MAX;
        if (!again) {
            inFlight.remove(index);
        }
        next.deliver.run();
    }

    private void send(Supplier<String> what, Runnable deliver) {
        if (inFlight.size() >= IN_FLIGHT_MAX) {
            // A network may lose anything; this keeps the storm bounded.
            inFlight.remove(0);
        }
        inFlight.add(new InFlight(what, true, deliver));
    }

    private Verdict write(SwitchId id, Verdict verdict) {
        Verdict before = register.get(id);
        if (before != null && rule == RegisterRule.WRITE_ONCE) {
            return before;
        }
        register.put(id, verdict);
        // The route changes in the same transaction.
        if (verdict == Verdict.COMMIT) {
            routeEpoch = id.number();
        }
        trace(() -> "register: " + id + " " + verdict);
        return verdict;
    }

    private void check() {
        register.forEach((id, verdict) -> {
            Verdict first = firstRecorded.putIfAbsent(id, verdict);
            if (first != null && first != verdict) {
                throw new LawBroken("L5: the register said " + first + " for " + id + " and says " + verdict);
            }
        });
        applied.forEach((id, byNode) -> byNode.forEach((node, verdict) -> {
            Verdict recorded = register.get(id);
            // Who has not voted may abort alone; then nothing but an abort can be recorded later.
            if (verdict != recorded && !(verdict == Verdict.ABORT && recorded == null)) {
                throw new LawBroken(
                        "L5: " + node + " applied " + verdict + " to " + id + ", and the register says " + recorded);
            }
        }));
        List<Long> epochs = nodes.stream()
                .filter(node -> node.up && node.serving != null)
                .map(node -> Objects.requireNonNull(node.serving))
                .distinct()
                .toList();
        if (epochs.size() > 1) {
            throw new LawBroken("L3: participants serve on the routes " + epochs + " at once: " + nodes);
        }
    }

    /** Written out only when somebody reads it. */
    private void trace(Supplier<String> line) {
        if (trace.size() == TRACE_LINES_MAX) {
            trace.removeFirst();
        }
        trace.add(line);
    }

    /** A process that coordinates one switch. */
    private final class Leader {
        private CoordinatorState state;
        private boolean up = true;

        Leader(CoordinatorState state) {
            this.state = state;
        }

        void on(CoordinatorEvent event) {
            if (!up) {
                return;
            }
            Step<CoordinatorState, CoordinatorAction> step = coordinatorMachine.next(state, event);
            CoordinatorState before = state;
            trace(() -> "coordinator " + before.getClass().getSimpleName() + " + " + event + " -> "
                    + step.state().getClass().getSimpleName() + " " + step.actions());
            state = step.state();
            step.actions().forEach(this::act);
        }

        private void act(CoordinatorAction action) {
            SwitchId id = state.id();
            switch (action) {
                case CoordinatorAction.AskToPrepare(String name) ->
                    send(
                            () -> "prepare " + id + " to " + name,
                            () -> node(name).on(new ParticipantEvent.PrepareAsked(id)));
                case CoordinatorAction.Fence() ->
                    send(
                            () -> "fence " + id,
                            () -> on(
                                    random.nextInt(8) == 0
                                            ? new CoordinatorEvent.FenceFailed("made to fail")
                                            : new CoordinatorEvent.Fenced()));
                case CoordinatorAction.WriteDecision(Verdict wanted, String _) ->
                    send(() -> "write " + wanted + " for " + id, () -> {
                        Verdict recorded = write(id, wanted);
                        send(() -> "decided " + id, () -> on(new CoordinatorEvent.Decided(recorded)));
                    });
                case CoordinatorAction.Tell(String name, Verdict verdict) ->
                    send(
                            () -> "tell " + verdict + " of " + id + " to " + name,
                            () -> node(name).on(new ParticipantEvent.Told(id, verdict)));
                case CoordinatorAction.Forget() -> {
                    if (id.equals(armed)) {
                        armed = null;
                    }
                    up = false;
                    leaders.remove(this);
                }
            }
        }

        @Override
        public String toString() {
            return state.toString();
        }
    }

    private Node node(String name) {
        return nodes.stream().filter(node -> node.name.equals(name)).findFirst().orElseThrow();
    }

    /** To every coordinator of the switch that is alive: who answers does not know which one asked. */
    private void toLeaders(Supplier<String> what, SwitchId id, CoordinatorEvent event) {
        send(
                what,
                () -> List.copyOf(leaders).stream()
                        .filter(leader ->
                                leader.state.id().equals(id) && !(leader.state instanceof CoordinatorState.Initial))
                        .forEach(leader -> leader.on(event)));
    }

    /** A participant's process, with the driver around the machine. */
    private final class Node {
        private final String name;
        private ParticipantState state = new ParticipantState.Initial(0);
        private boolean up = true;
        /** Which process this is, so that what was meant for a former one does not reach this one from inside. */
        private int incarnation;
        /** The epoch of the route that it sends traffic to; null while it holds or is down. */
        private @Nullable Long serving = 0L;
        /** The route that it knows. */
        private long route;

        Node(String name) {
            this.name = name;
        }

        void crash() {
            if (up) {
                trace(() -> "crash " + name);
                up = false;
                serving = null;
                incarnation++;
            }
        }

        void restart() {
            trace(() -> "restart " + name);
            up = true;
            Optional<SwitchId> open = Optional.ofNullable(armed);
            on(new ParticipantEvent.Restarted(open, open.map(register::get), lastNumber));
            route = routeEpoch;
            boolean holds = state instanceof ParticipantState.Prepared;
            serving = holds ? null : Long.valueOf(route);
        }

        void on(ParticipantEvent event) {
            if (!up) {
                return;
            }
            Step<ParticipantState, ParticipantAction> step = participantMachine.next(state, event);
            ParticipantState before = state;
            trace(() -> name + " " + before + " + " + event + " -> " + step.state() + " " + step.actions());
            state = step.state();
            step.actions().forEach(this::act);
        }

        private void act(ParticipantAction action) {
            int mine = incarnation;
            switch (action) {
                case ParticipantAction.Hold(SwitchId id) -> local(() -> "hold of " + name, mine, () -> hold(id));
                case ParticipantAction.VoteYes(SwitchId id) ->
                    toLeaders(() -> "yes of " + name, id, new CoordinatorEvent.VotedYes(name));
                case ParticipantAction.VoteNo(SwitchId id, String reason) ->
                    toLeaders(() -> "no of " + name, id, new CoordinatorEvent.VotedNo(name, reason));
                case ParticipantAction.SettleWithAbort(SwitchId id) ->
                    send(() -> "settle " + id + " by " + name, () -> {
                        Verdict recorded = write(id, Verdict.ABORT);
                        send(
                                () -> "register to " + name,
                                () -> fresh(mine, () -> on(new ParticipantEvent.RegisterSays(id, recorded))));
                    });
                case ParticipantAction.Apply(SwitchId id, Verdict verdict) -> apply(id, verdict);
                case ParticipantAction.Acknowledge(SwitchId id) ->
                    toLeaders(() -> "ack of " + name, id, new CoordinatorEvent.Acknowledged(name));
            }
        }

        /** Parks traffic if the hold is still wanted by then, and answers a moment later. */
        private void hold(SwitchId id) {
            if (!(state instanceof ParticipantState.Holding(SwitchId wanted)) || !wanted.equals(id)) {
                return;
            }
            if (random.nextInt(12) == 0) {
                on(new ParticipantEvent.HoldFailed(id, "a client did not answer"));
                return;
            }
            serving = null;
            int mine = incarnation;
            local(() -> "held by " + name, mine, () -> on(new ParticipantEvent.Held(id)));
        }

        private void apply(SwitchId id, Verdict verdict) {
            Verdict before = applied.computeIfAbsent(id, _ -> new TreeMap<>()).put(name, verdict);
            if (before != null && before != verdict) {
                throw new LawBroken("L5: " + name + " applied " + before + " and then " + verdict + " to " + id);
            }
            if (verdict == Verdict.COMMIT) {
                route = id.number();
            }
            serving = route;
        }

        /** Inside one process: never lost, gone with the process. */
        private void local(Supplier<String> what, int mine, Runnable work) {
            inFlight.add(new InFlight(what, false, () -> fresh(mine, work)));
        }

        private void fresh(int mine, Runnable work) {
            if (up && mine == incarnation) {
                work.run();
            }
        }

        @Override
        public String toString() {
            return name + (up ? " " : " (down) ") + state + ", serves " + serving;
        }
    }
}
