package io.switchback.commit;

import io.switchback.ledger.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A coordinator or two, participants and a register in one thread, under a seed that loses, repeats and reorders what they send, parts
 * them from one another and from the register, fails holds and fences, times anybody out at any moment (clocks go as they like), and crashes
 * and restarts them, before and after they have logged, with and without their logs, over several switches in a row. After every
 * event it checks: <ul>
 * <li>no two parties apply different verdicts to one switch, and none applies what the register does not say; only who has not voted
 *     aborts alone (L5);
 * <li>a recorded verdict never changes (L5);
 * <li>COMMIT is applied only where every participant has voted yes in that switch;
 * <li>once all participants have logged a pre-commit, with their logs intact and no wish for ABORT on its way, ABORT is not recorded;
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
        LAST_WRITE_WINS,
        /** There is none: everybody is answered with what it wishes. That is three-phase commit as the books have it. */
        NONE
    }

    enum Scenario {
        /** Whatever can happen does. */
        STORM,
        /** The coordinator dies as soon as all participants are pre-committed, and nobody takes its place. */
        ORPHANED,
        /**
         * One switch of three participants, and a partition at some moment that stays for a while; nothing else goes wrong, and nobody
         * times out while anything is on its way.
         */
        PARTITION
    }

    enum TakeOver {
        FROM_THE_LOG,
        /** A mistake to be found: who takes over begins anew, under the number of the attempt that is under way. */
        ANEW_WITH_THE_OLD_NUMBER
    }

    record Setting(Protocol protocol, Scenario scenario, RegisterRule rule, TakeOver takeOver) {
        static Setting storm(Protocol protocol) {
            return new Setting(protocol, Scenario.STORM, RegisterRule.WRITE_ONCE, TakeOver.FROM_THE_LOG);
        }
    }

    /** One of the laws does not hold. */
    static final class LawBroken extends AssertionError {
        private static final long serialVersionUID = 1;

        LawBroken(String message) {
            super(message);
        }
    }

    private static final int STORM_EVENTS = 250;
    private static final int PARTITION_EVENTS = 60;
    private static final int CALM_EVENTS_MAX = 20_000;
    private static final int IN_FLIGHT_MAX = 200;
    private static final int TRACE_LINES_MAX = 400;
    private static final String REGISTER = "register";

    /** What is on its way to somebody; {@code deliver} does nothing if the process it was for is another by now. */
    private record InFlight(String what, String from, String to, boolean canBeLost, Runnable deliver) {}

    private final Random random;
    private final Setting setting;
    private final CoordinatorMachine coordinatorMachine;
    private final ParticipantMachine participantMachine;
    private final double lost;
    private final double repeated;
    private final double crashing;
    private final double parting;
    private final List<InFlight> inFlight = new ArrayList<>();
    private final List<Node> nodes = new ArrayList<>();
    private final Set<String> names;
    private final Deque<Supplier<String>> trace = new ArrayDeque<>();

    /** Who is on the other side of a partition; empty while there is none. */
    private final Set<String> farSide = new HashSet<>();
    /** Who cannot reach the register. */
    private final Set<String> cutOff = new HashSet<>();

    // The ledger: what survives everything.
    private final Map<SwitchId, Verdict> register = new HashMap<>();
    private final Map<SwitchId, CoordinatorState> coordinatorLog = new HashMap<>();
    private @Nullable SwitchId open;
    private long lastNumber;
    private long routeEpoch;

    // What was seen, to hold everything later against.
    private final Map<SwitchId, Verdict> firstRecorded = new HashMap<>();
    private final Map<SwitchId, Map<String, Verdict>> applied = new HashMap<>();
    private final Map<SwitchId, Set<String>> votedYes = new HashMap<>();
    private final Map<SwitchId, Set<String>> preCommitted = new HashMap<>();
    /** A coordinator, or a process that is no more, has asked the register for ABORT. */
    private final Set<SwitchId> abortWished = new HashSet<>();

    private final Set<SwitchId> logLost = new HashSet<>();
    private final Set<SwitchId> promised = new HashSet<>();

    private final List<Leader> leaders = new ArrayList<>();
    private boolean calm;
    private boolean orphaned;
    private int now;
    private int coordinators;
    private int crashes;
    private int settledByParticipants;
    private int toldByPeers;
    private int goneOnWith;

    CommitSimulation(long seed, Setting setting, CoordinatorMachine coordinator, ParticipantMachine participant) {
        this.random = new Random(seed * 0x9E3779B97F4A7C15L);
        this.setting = setting;
        this.coordinatorMachine = coordinator;
        this.participantMachine = participant;
        boolean bad = setting.scenario() != Scenario.PARTITION;
        // Each seed has a weather of its own: a storm everywhere would never let a switch commit.
        this.lost = bad ? random.nextInt(3) * 0.12 : 0;
        this.repeated = bad ? random.nextInt(3) * 0.12 : 0;
        this.crashing = bad ? random.nextInt(3) * 0.008 : 0;
        this.parting = bad ? random.nextInt(3) * 0.01 : 0.1;
        int count = bad ? 1 + random.nextInt(4) : 3;
        for (int i = 1; i <= count; i++) {
            nodes.add(new Node("n" + i));
        }
        this.names = nodes.stream().map(node -> node.name).collect(Collectors.toCollection(TreeSet::new));
    }

    void run() {
        int stormEvents = setting.scenario() == Scenario.PARTITION ? PARTITION_EVENTS : STORM_EVENTS;
        for (int event = 0; event < stormEvents; event++) {
            step();
            check();
        }
        calm = true;
        join();
        trace("--", () -> "calm");
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

    /** Whether the coordinator died for ever, and all participants were left pre-committed. */
    boolean orphaned() {
        return orphaned;
    }

    /** How often it was a participant's word that the register took. */
    int settledByParticipants() {
        return settledByParticipants;
    }

    /** How often a participant learned the verdict from a peer. */
    int toldByPeers() {
        return toldByPeers;
    }

    /** How often a coordinator took up a switch that was pre-committed and not decided. */
    int goneOnWith() {
        return goneOnWith;
    }

    /** What was applied, by participant, over all switches. */
    Set<Verdict> verdicts() {
        return applied.values().stream()
                .flatMap(byNode -> byNode.values().stream())
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private boolean finished() {
        if (orphaned) {
            return nodes.stream()
                    .allMatch(node -> node.up
                            && node.serving != null
                            && node.state instanceof ParticipantState.Finished finished
                            && finished.verdict() == Verdict.COMMIT);
        }
        return open == null && inFlight.isEmpty() && nodes.stream().allMatch(node -> node.up && node.serving != null);
    }

    private void step() {
        now++;
        if (!calm && random.nextDouble() < crashing) {
            crashSomething();
            return;
        }
        if (!calm && random.nextDouble() < parting) {
            partOrJoin();
            return;
        }
        boolean more = setting.scenario() == Scenario.STORM || lastNumber == 0;
        if (open == null && leaders.isEmpty() && !calm && more) {
            begin();
            return;
        }
        List<Node> down = nodes.stream().filter(node -> !node.up).toList();
        if (!down.isEmpty() && random.nextInt(4) == 0) {
            down.get(random.nextInt(down.size())).restart();
            return;
        }
        // With nobody left, or out of impatience while the first still works: another takes the switch up.
        if (open != null && !orphaned && anotherTakesUp()) {
            takeUp(open);
            return;
        }
        boolean clocksAreGood = setting.scenario() == Scenario.PARTITION;
        if (inFlight.isEmpty() || (random.nextInt(20) == 0 && !clocksAreGood)) {
            timeOutSomebody();
        } else {
            deliver(random.nextInt(inFlight.size()));
        }
        if (setting.scenario() == Scenario.ORPHANED) {
            orphan();
        }
    }

    private boolean anotherTakesUp() {
        if (leaders.isEmpty()) {
            return calm || random.nextInt(10) == 0;
        }
        return !calm && setting.scenario() == Scenario.STORM && leaders.size() == 1 && random.nextInt(40) == 0;
    }

    private void begin() {
        SwitchId id = new SwitchId("r", ++lastNumber);
        Leader leader = new Leader(new CoordinatorState.Initial(new Terms(id, setting.protocol(), names)));
        leader.on(new CoordinatorEvent.Begin());
    }

    private void takeUp(SwitchId id) {
        String name = "c" + (coordinators + 1);
        if (cutOff.contains(name)) {
            return;
        }
        CoordinatorState logged = Objects.requireNonNull(coordinatorLog.get(id));
        switch (setting.takeOver()) {
            case FROM_THE_LOG ->
                new Leader(logged).on(new CoordinatorEvent.Restarted(Optional.ofNullable(register.get(id))));
            case ANEW_WITH_THE_OLD_NUMBER ->
                new Leader(new CoordinatorState.Initial(logged.terms())).on(new CoordinatorEvent.Begin());
        }
    }

    private void crashSomething() {
        if (!leaders.isEmpty() && random.nextBoolean()) {
            leaders.get(random.nextInt(leaders.size())).crash();
        } else {
            nodes.get(random.nextInt(nodes.size())).crash();
        }
    }

    private void partOrJoin() {
        if (!farSide.isEmpty() || !cutOff.isEmpty()) {
            if (setting.scenario() != Scenario.PARTITION) {
                join();
                trace("--", () -> "joined");
            }
            return;
        }
        if (setting.scenario() == Scenario.PARTITION) {
            // Not before anybody has something to tell apart.
            if (nodes.stream().noneMatch(node -> node.state instanceof ParticipantState.Voted)) {
                return;
            }
            farSide.add("n" + (1 + random.nextInt(nodes.size())));
            cutOff.addAll(farSide);
        } else {
            Set<String> all = new TreeSet<>(names);
            for (int i = 1; i <= coordinators + 1; i++) {
                all.add("c" + i);
            }
            all.forEach(name -> {
                if (random.nextInt(3) == 0) {
                    farSide.add(name);
                }
                if (random.nextInt(3) == 0) {
                    cutOff.add(name);
                }
            });
        }
        Set<String> far = new TreeSet<>(farSide);
        Set<String> off = new TreeSet<>(cutOff);
        trace(
                "--",
                () -> "parted from the others: " + String.join(" ", far)
                        + (setting.rule() == RegisterRule.NONE ? "" : "; from the register: " + String.join(" ", off)));
    }

    private void join() {
        farSide.clear();
        cutOff.clear();
    }

    private boolean reaches(String from, String to) {
        if (from.equals(REGISTER) || to.equals(REGISTER)) {
            return setting.rule() == RegisterRule.NONE || !(cutOff.contains(from) || cutOff.contains(to));
        }
        return farSide.contains(from) == farSide.contains(to);
    }

    private void orphan() {
        if (!orphaned && open != null && promised.contains(open) && !register.containsKey(open)) {
            orphaned = true;
            List.copyOf(leaders).forEach(Leader::crash);
        }
    }

    private void timeOutSomebody() {
        int who = random.nextInt(nodes.size() + leaders.size());
        if (who < nodes.size()) {
            nodes.get(who).on(new ParticipantEvent.TimedOut());
        } else {
            leaders.get(who - nodes.size()).on(new CoordinatorEvent.TimedOut("too long"));
        }
    }

    private void deliver(int index) {
        InFlight next = inFlight.get(index);
        double chance = random.nextDouble();
        if (next.canBeLost && !calm && (chance < lost || !reaches(next.from, next.to))) {
            trace(next.from, () -> "lost on its way to " + next.to + ": " + next.what);
            inFlight.remove(index);
            return;
        }
        boolean again = !calm && next.canBeLost && chance > 1 - repeated && inFlight.size() < IN_FLIGHT_MAX;
        if (!again) {
            inFlight.remove(index);
        }
        next.deliver.run();
    }

    private void send(String what, String from, String to, Runnable deliver) {
        if (inFlight.size() >= IN_FLIGHT_MAX) {
            // A network may lose anything; this keeps the storm bounded.
            inFlight.remove(0);
        }
        inFlight.add(new InFlight(what, from, to, true, deliver));
    }

    private Verdict write(SwitchId id, Verdict verdict, String who) {
        if (setting.rule() == RegisterRule.NONE) {
            return verdict;
        }
        Verdict before = register.get(id);
        if (before != null && setting.rule() == RegisterRule.WRITE_ONCE) {
            return before;
        }
        if (before == null && verdict == Verdict.ABORT && promised.contains(id)) {
            throw new LawBroken("all were pre-committed, nobody wished ABORT, and the register took it from " + who);
        }
        if (before == null && names.contains(who)) {
            settledByParticipants++;
        }
        register.put(id, verdict);
        // The route changes in the same transaction.
        if (verdict == Verdict.COMMIT) {
            routeEpoch = id.number();
        }
        trace(REGISTER, () -> verdict + ", from " + who);
        return verdict;
    }

    private void check() {
        register.forEach((id, verdict) -> {
            Verdict first = firstRecorded.putIfAbsent(id, verdict);
            if (first != null && first != verdict) {
                throw new LawBroken("L5: the register said " + first + " for " + id + " and says " + verdict);
            }
        });
        applied.forEach(this::checkApplied);
        List<Long> epochs = nodes.stream()
                .filter(node -> node.up && node.serving != null)
                .map(node -> Objects.requireNonNull(node.serving))
                .distinct()
                .toList();
        if (epochs.size() > 1) {
            throw new LawBroken("L3: participants serve on the routes " + epochs + " at once: " + nodes);
        }
    }

    private void checkApplied(SwitchId id, Map<String, Verdict> byNode) {
        if (byNode.containsValue(Verdict.COMMIT) && byNode.containsValue(Verdict.ABORT)) {
            throw new LawBroken("L5: the switch " + id + " ended in two ways: " + byNode);
        }
        Set<String> yes = votedYes.getOrDefault(id, Set.of());
        if (byNode.containsValue(Verdict.COMMIT) && !yes.equals(names)) {
            throw new LawBroken("L5: the switch " + id + " was committed, and only " + yes + " had voted yes");
        }
        if (setting.rule() == RegisterRule.NONE) {
            return;
        }
        Verdict recorded = register.get(id);
        byNode.forEach((node, verdict) -> {
            // Who has not voted may abort alone; then nothing but an abort can be recorded later.
            if (verdict != recorded && !(verdict == Verdict.ABORT && recorded == null && !yes.contains(node))) {
                throw new LawBroken(
                        "L5: " + node + " applied " + verdict + " to " + id + ", and the register says " + recorded);
            }
        });
    }

    /** Written out only when somebody reads it. */
    private void trace(String who, Supplier<String> line) {
        if (trace.size() == TRACE_LINES_MAX) {
            trace.removeFirst();
        }
        int at = now;
        trace.add(() -> String.format("%3d  %-8s  %s", at, who, inWordsOfTheRule(line.get())));
    }

    /** What a machine would ask of the register, it concludes by itself where there is none. */
    private String inWordsOfTheRule(String line) {
        return setting.rule() == RegisterRule.NONE
                ? line.replaceAll("(Settle|WriteDecision)\\(", "Conclude(")
                        .replaceAll("(RegisterSays|Decided)\\(", "Concluded(")
                : line;
    }

    private <S, A> void trace(
            String who,
            S before,
            String event,
            Step<S, A> step,
            Function<S, String> state,
            Function<A, String> action) {
        if (setting.scenario() == Scenario.PARTITION
                && step.state().equals(before)
                && step.actions().isEmpty()) {
            return;
        }
        trace(who, () -> did(before, event, step, state, action));
    }

    private static <S, A> String did(
            S before, String event, Step<S, A> step, Function<S, String> state, Function<A, String> action) {
        String actions = step.actions().stream().map(action).collect(Collectors.joining(", "));
        String after = state.apply(step.state());
        return event + (step.state().equals(before) ? "" : " → " + after) + (actions.isEmpty() ? "" : ": " + actions);
    }

    /** After how many actions a process dies that has this many to do: -1 is before it has logged; never is {@code MAX_VALUE}. */
    private int diesAfter(int actions) {
        boolean dies = !calm && random.nextDouble() < crashing * 4;
        return dies ? random.nextInt(actions + 2) - 1 : Integer.MAX_VALUE;
    }

    /** A process that coordinates one switch. */
    private final class Leader {
        private final String name = "c" + ++coordinators;
        private CoordinatorState state;
        private boolean up = true;

        Leader(CoordinatorState state) {
            this.state = state;
            leaders.add(this);
        }

        void crash() {
            if (up) {
                crashes++;
                up = false;
                leaders.remove(this);
                trace(name, () -> "crashes");
            }
        }

        void on(CoordinatorEvent event) {
            if (!up) {
                return;
            }
            Step<CoordinatorState, CoordinatorAction> step = coordinatorMachine.next(state, event);
            CoordinatorState before = state;
            if (event instanceof CoordinatorEvent.Restarted && step.state() instanceof CoordinatorState.PreCommitting) {
                goneOnWith++;
            }
            trace(name, before, Words.text(event), step, Words::text, Words::text);
            state = step.state();
            int dies = diesAfter(step.actions().size());
            if (dies < 0) {
                crash();
                return;
            }
            log(step);
            for (int i = 0; i < step.actions().size() && i < dies; i++) {
                act(step.actions().get(i));
            }
            if (dies != Integer.MAX_VALUE) {
                crash();
            }
        }

        private void log(Step<CoordinatorState, CoordinatorAction> step) {
            switch (step.durability()) {
                case NONE -> {}
                case LAZY -> {
                    if (random.nextBoolean()) {
                        coordinatorLog.put(state.id(), state);
                    }
                }
                case FORCED -> {
                    if (state instanceof CoordinatorState.Preparing && !coordinatorLog.containsKey(state.id())) {
                        open = state.id();
                    }
                    coordinatorLog.put(state.id(), state);
                }
            }
        }

        private void act(CoordinatorAction action) {
            SwitchId id = state.id();
            String what = Words.text(action);
            switch (action) {
                case CoordinatorAction.AskToPrepare(String to) ->
                    sendTo(
                            what,
                            to,
                            new ParticipantEvent.PrepareAsked(state.terms().seat(to)));
                case CoordinatorAction.Fence() ->
                    send(
                            what,
                            name,
                            name,
                            () -> on(
                                    setting.scenario() == Scenario.STORM && random.nextInt(8) == 0
                                            ? new CoordinatorEvent.FenceFailed("made to fail")
                                            : new CoordinatorEvent.Fenced()));
                case CoordinatorAction.PreCommit(String to) ->
                    sendTo(what, to, new ParticipantEvent.PreCommitAsked(id));
                case CoordinatorAction.WriteDecision(Verdict wanted, String _) -> {
                    if (wanted == Verdict.ABORT) {
                        abortWished.add(id);
                    }
                    send(what, name, REGISTER, () -> {
                        Verdict recorded = write(id, wanted, name);
                        send("Decided", REGISTER, name, () -> on(new CoordinatorEvent.Decided(recorded)));
                    });
                }
                case CoordinatorAction.Tell(String to, Verdict verdict) ->
                    sendTo(what, to, new ParticipantEvent.Told(id, verdict));
                case CoordinatorAction.Forget() -> {
                    if (id.equals(open)) {
                        open = null;
                    }
                    up = false;
                    leaders.remove(this);
                }
            }
        }

        private void sendTo(String what, String to, ParticipantEvent event) {
            send(what, name, to, () -> node(to).on(event));
        }

        @Override
        public String toString() {
            return state.toString();
        }
    }

    private Node node(String name) {
        return nodes.stream().filter(node -> node.name.equals(name)).findFirst().orElseThrow();
    }

    /** A participant's process, with the driver around the machine. */
    private final class Node {
        private final String name;
        private ParticipantState state = new ParticipantState.Initial(0);
        /** What is on its disk for certain. */
        private ParticipantState logged = state;
        /** What was given to its disk since. */
        private @Nullable ParticipantState lazilyLogged;

        private boolean up = true;
        /** Whether this process has asked the register for ABORT, in its last switch that it asked for. */
        private boolean wishedAbort;
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
            if (!up) {
                return;
            }
            crashes++;
            up = false;
            serving = null;
            incarnation++;
            if (lazilyLogged != null && random.nextBoolean()) {
                logged = lazilyLogged;
            }
            lazilyLogged = null;
            if (wishedAbort && open != null) {
                abortWished.add(open);
            }
            wishedAbort = false;
            boolean disk = setting.scenario() == Scenario.STORM && random.nextInt(6) == 0;
            if (disk) {
                logged = new ParticipantState.Initial(0);
                if (open != null) {
                    logLost.add(open);
                    promised.remove(open);
                }
            }
            trace(name, () -> disk ? "crashes, and its log is lost" : "crashes");
        }

        void restart() {
            if (cutOff.contains(name)) {
                return;
            }
            up = true;
            state = logged;
            route = routeEpoch;
            Optional<SwitchId> id = Optional.ofNullable(open);
            Optional<Seat> seat = id.map(one ->
                    Objects.requireNonNull(coordinatorLog.get(one)).terms().seat(name));
            on(new ParticipantEvent.Restarted(seat, id.map(register::get), lastNumber));
            if (up && !(state instanceof ParticipantState.Open)) {
                serving = route;
            }
        }

        void on(ParticipantEvent event) {
            if (!up) {
                return;
            }
            Step<ParticipantState, ParticipantAction> step = participantMachine.next(state, event);
            ParticipantState before = state;
            if (event instanceof ParticipantEvent.PeerSays
                    && before instanceof ParticipantState.Voted
                    && step.state() instanceof ParticipantState.Finished) {
                toldByPeers++;
            }
            trace(name, before, Words.text(event), step, Words::text, Words::text);
            state = step.state();
            int dies = diesAfter(step.actions().size());
            if (dies < 0) {
                if (random.nextBoolean()) {
                    // This need not wait for the log.
                    step.actions().stream()
                            .filter(ParticipantAction.Apply.class::isInstance)
                            .forEach(this::act);
                }
                crash();
                return;
            }
            switch (step.durability()) {
                case NONE -> {}
                case LAZY -> lazilyLogged = state;
                case FORCED -> {
                    logged = state;
                    lazilyLogged = null;
                }
            }
            for (int i = 0; i < step.actions().size() && i < dies; i++) {
                act(step.actions().get(i));
            }
            if (dies != Integer.MAX_VALUE) {
                crash();
            }
        }

        private void act(ParticipantAction action) {
            int mine = incarnation;
            String what = Words.text(action);
            switch (action) {
                case ParticipantAction.Hold(SwitchId id) -> local(what, () -> hold(id));
                case ParticipantAction.VoteYes(SwitchId id) -> {
                    votedYes.computeIfAbsent(id, _ -> new TreeSet<>()).add(name);
                    toLeaders(what, id, new CoordinatorEvent.VotedYes(name));
                }
                case ParticipantAction.VoteNo(SwitchId id, String reason) ->
                    toLeaders(what, id, new CoordinatorEvent.VotedNo(name, reason));
                case ParticipantAction.AcknowledgePreCommit(SwitchId id) -> {
                    preCommitAcknowledged(id);
                    toLeaders(what, id, new CoordinatorEvent.PreCommitAcknowledged(name));
                }
                case ParticipantAction.AskPeers(SwitchId id, Set<String> peers, Standing own) ->
                    new TreeSet<>(peers)
                            .forEach(peer -> toPeer(
                                    "PeerAsks(" + name + ", " + own + ")",
                                    peer,
                                    new ParticipantEvent.PeerAsks(id, name, own)));
                case ParticipantAction.TellPeer(SwitchId id, String peer, Standing own) ->
                    toPeer("PeerSays(" + name + ", " + own + ")", peer, new ParticipantEvent.PeerSays(id, name, own));
                case ParticipantAction.Settle(SwitchId id, Verdict wish) -> {
                    wishedAbort = wish == Verdict.ABORT;
                    send(what, name, REGISTER, () -> {
                        Verdict recorded = write(id, wish, name);
                        send(
                                "RegisterSays",
                                REGISTER,
                                name,
                                () -> fresh(mine, () -> on(new ParticipantEvent.RegisterSays(id, recorded))));
                    });
                }
                case ParticipantAction.Apply(SwitchId id, Verdict verdict) -> apply(id, verdict);
                case ParticipantAction.Acknowledge(SwitchId id) ->
                    toLeaders(what, id, new CoordinatorEvent.Acknowledged(name));
            }
        }

        private void preCommitAcknowledged(SwitchId id) {
            Set<String> all = preCommitted.computeIfAbsent(id, _ -> new TreeSet<>());
            all.add(name);
            if (all.equals(names) && !abortWished.contains(id) && !logLost.contains(id)) {
                promised.add(id);
            }
        }

        private void toPeer(String what, String peer, ParticipantEvent event) {
            send(what, name, peer, () -> node(peer).on(event));
        }

        /** To every coordinator of the switch that is alive: who answers does not know which one asked. */
        private void toLeaders(String what, SwitchId id, CoordinatorEvent event) {
            List<String> to = leaders.stream()
                    .filter(leader -> leader.state.id().equals(id))
                    .map(leader -> leader.name)
                    .toList();
            to.forEach(leaderName -> send(
                    what,
                    name,
                    leaderName,
                    () -> List.copyOf(leaders).stream()
                            .filter(leader -> leader.name.equals(leaderName))
                            .forEach(leader -> leader.on(event))));
        }

        /** Parks traffic if the hold is still wanted by then, and answers a moment later. */
        private void hold(SwitchId id) {
            if (!(state instanceof ParticipantState.Holding(Seat wanted))
                    || !wanted.id().equals(id)) {
                return;
            }
            if (setting.scenario() == Scenario.STORM && random.nextInt(12) == 0) {
                on(new ParticipantEvent.HoldFailed(id, "a client did not answer"));
                return;
            }
            serving = null;
            local("Held", () -> on(new ParticipantEvent.Held(id)));
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
        private void local(String what, Runnable work) {
            int mine = incarnation;
            inFlight.add(new InFlight(what, name, name, false, () -> fresh(mine, work)));
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
