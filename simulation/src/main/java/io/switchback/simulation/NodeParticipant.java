package io.switchback.simulation;

import io.switchback.commit.Durability;
import io.switchback.commit.Participant;
import io.switchback.commit.ParticipantAction;
import io.switchback.commit.ParticipantEvent;
import io.switchback.commit.ParticipantState;
import io.switchback.commit.ProtocolViolation;
import io.switchback.commit.Seat;
import io.switchback.commit.Standing;
import io.switchback.commit.Step;
import io.switchback.commit.SwitchId;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Route;
import io.switchback.ledger.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A node as a participant: the real machine, and around it what holds, logs, settles, changes roles and lets go. */
final class NodeParticipant {
    /** For so long a node that was made ready waits to be asked; who made it ready may be gone. */
    private static final long READY_MICROS_KEPT = 30_000_000;

    private static final long DISK_MICROS_MAX = 3_000;
    private static final long VERDICT_MICROS_MAX = 2_500_000;
    private static final long RETRY_MICROS = 100_000;

    private final World world;
    private final SimNode node;
    private final int process;
    private final DataPlane plane;
    private ParticipantState state;
    private @Nullable Part part;
    private final Deque<Task> tasks = new ArrayDeque<>();
    private boolean acting;
    private long timer;
    /** For a mistake: what this participant must not remember. */
    private final Map<SwitchId, Part> over = new HashMap<>();

    private final Map<SwitchId, List<Consumer<String>>> votes = new HashMap<>();
    private final Map<SwitchId, List<Consumer<Boolean>>> preCommits = new HashMap<>();
    private final Map<SwitchId, List<Runnable>> acknowledgements = new HashMap<>();

    /** Something that takes a while, and then says so. */
    private interface Task {
        void start(Runnable done);
    }

    private static final class Part {
        final Records.Pending of;
        final Seat seat;
        final long readyAt;
        SimServer.@Nullable TokenWatch watchB;
        boolean rolesChanged;
        Records.@Nullable Evidence evidence;

        /** {@code readyAt}: on the node's clock. */
        Part(Records.Pending of, Seat seat, long readyAt) {
            this.of = of;
            this.seat = seat;
            this.readyAt = readyAt;
        }
    }

    NodeParticipant(World world, SimNode node, DataPlane plane) {
        this.world = world;
        this.node = node;
        this.process = node.incarnation();
        this.plane = plane;
        this.state = node.logged();
    }

    boolean isInSwitch() {
        Part of = part;
        boolean waits =
                of != null && (node.clock() - of.readyAt < READY_MICROS_KEPT || world.has(PlantedBug.READY_FOR_EVER));
        return waits || state instanceof ParticipantState.Open;
    }

    // ---- what is asked of it

    /** On the worker: connects, logs that it may have voted yes from now on, and answers "" or why not. */
    void makeReady(Records.Pending asked, Consumer<String> answer) {
        if (state instanceof ParticipantState.Open open) {
            answer.accept("still in " + open.seat().id());
            return;
        }
        if (plane.route().epoch() != asked.epoch()) {
            answer.accept("at epoch " + plane.route().epoch());
            return;
        }
        if (isOver(asked)) {
            answer.accept("it is over here");
            return;
        }
        Part made = new Part(asked, asked.terms().seat(node.name()), node.clock());
        new Work(() -> answer.accept("it could not connect")) {
            @Override
            void work() {
                SimServer b = world().fleet(asked.toB());
                ask(b.name(), () -> {
                    made.watchB = b.watch(Leader.token(asked));
                    plane.openAhead(b);
                });
                pause(world().between(100, DISK_MICROS_MAX));
                then(() -> {
                    if (state instanceof ParticipantState.Open || isOver(asked)) {
                        answer.accept("it is in another switch");
                        return;
                    }
                    node().log(new ParticipantState.Prepared(made.seat), null);
                    part = made;
                    answer.accept("");
                });
            }
        }.start();
    }

    /** A question that comes late: nobody would end what it begins. */
    private boolean isOver(Records.Pending asked) {
        long over = switch (state) {
            case ParticipantState.Initial(long upTo) -> upTo;
            case ParticipantState.Finished finished -> finished.id().number();
            case ParticipantState.Open open -> open.seat().id().number() - 1;
        };
        return asked.number() <= over;
    }

    void prepare(SwitchId id, Consumer<String> vote) {
        Part before = over.get(id);
        if (world.has(PlantedBug.LATE_PREPARE_ACCEPTED) && before != null) {
            part = before;
        }
        Part ready = part;
        if (ready == null || !ready.of.id().equals(id)) {
            vote.accept("not made ready");
            return;
        }
        if (!isInSwitch()) {
            vote.accept("made ready too long ago");
            return;
        }
        votes.computeIfAbsent(id, any -> new ArrayList<>()).add(vote);
        on(new ParticipantEvent.PrepareAsked(ready.seat));
    }

    void preCommit(SwitchId id, Records.Evidence evidence, Consumer<Boolean> heard) {
        keep(id, evidence);
        preCommits.computeIfAbsent(id, any -> new ArrayList<>()).add(heard);
        on(new ParticipantEvent.PreCommitAsked(id));
    }

    void tell(SwitchId id, Verdict verdict, Records.@Nullable Evidence evidence, Runnable acknowledged) {
        Part of = part;
        if (of != null && of.of.id().equals(id)) {
            of.rolesChanged = true;
        }
        keep(id, evidence);
        acknowledgements.computeIfAbsent(id, any -> new ArrayList<>()).add(acknowledged);
        on(new ParticipantEvent.Told(id, verdict));
    }

    private void peerAsks(SwitchId id, String peer, Standing standing, Records.@Nullable Evidence evidence) {
        keep(id, evidence);
        on(new ParticipantEvent.PeerAsks(id, peer, standing));
    }

    private void peerSays(SwitchId id, String peer, Standing standing, Records.@Nullable Evidence evidence) {
        keep(id, evidence);
        on(new ParticipantEvent.PeerSays(id, peer, standing));
    }

    private void keep(SwitchId id, Records.@Nullable Evidence evidence) {
        Part of = part;
        if (evidence != null && of != null && of.of.id().equals(id)) {
            of.evidence = evidence;
        }
    }

    void resume(
            Records.@Nullable Pending open,
            Optional<Verdict> registered,
            Records.@Nullable Evidence evidence,
            long lastNumber) {
        Optional<Seat> seat = Optional.empty();
        if (open != null) {
            seat = Optional.of(open.terms().seat(node.name()));
            Part known = new Part(open, seat.get(), node.clock());
            known.evidence = evidence != null ? evidence : node.loggedEvidence();
            part = known;
        }
        on(new ParticipantEvent.Restarted(seat, registered, lastNumber));
    }

    // ---- the machine

    private Step<ParticipantState, ParticipantAction> next(ParticipantEvent event) {
        if (world.has(PlantedBug.LATE_PREPARE_ACCEPTED)
                && state instanceof ParticipantState.Finished
                && event instanceof ParticipantEvent.PrepareAsked(Seat seat)) {
            return new Step<>(
                    new ParticipantState.Holding(seat),
                    Durability.NONE,
                    List.of(new ParticipantAction.Hold(seat.id())));
        }
        Step<ParticipantState, ParticipantAction> step = Participant.next(state, event);
        return world.has(PlantedBug.SECOND_COMMIT_POINT)
                        && step.state() instanceof ParticipantState.Settling(Seat seat, Verdict wish)
                ? Participant.next(step.state(), new ParticipantEvent.RegisterSays(seat.id(), wish))
                : step;
    }

    private void on(ParticipantEvent event) {
        Step<ParticipantState, ParticipantAction> step;
        try {
            step = next(event);
        } catch (ProtocolViolation e) {
            throw new LawBroken("L5: " + node.name() + ": " + e.getMessage());
        }
        boolean changed = !step.state().equals(state);
        state = step.state();
        if (changed) {
            world.trace(
                    node.name(), () -> Words.of(event) + " -> " + Words.of(step.state()) + Words.of(step.actions()));
        }
        if (state instanceof ParticipantState.Voted && (changed || event instanceof ParticipantEvent.TimedOut)) {
            startTimer();
        }
        boolean logged = false;
        for (ParticipantAction action : step.actions()) {
            if (!logged && !(action instanceof ParticipantAction.Apply)) {
                logged = true;
                tasks.add(done -> write(step, done));
            }
            tasks.add(done -> act(action, done));
        }
        if (!logged) {
            tasks.add(done -> write(step, done));
        }
        carryOut();
    }

    private void carryOut() {
        if (acting) {
            return;
        }
        Task task = tasks.pollFirst();
        if (task != null) {
            acting = true;
            task.start(() -> later(world.between(0, 60), () -> {
                acting = false;
                carryOut();
            }));
        }
    }

    private void write(Step<ParticipantState, ParticipantAction> step, Runnable done) {
        boolean has = node.logged().equals(step.state());
        if (step.durability() == Durability.NONE || has) {
            done.run();
            return;
        }
        Records.Evidence evidence = part == null ? null : part.evidence;
        later(world.between(100, DISK_MICROS_MAX), () -> {
            node.log(step.state(), evidence);
            done.run();
        });
    }

    private void startTimer() {
        long mine = ++timer;
        later(node.byItsClock(world.holdLimitMicros()), () -> {
            if (mine == timer) {
                on(new ParticipantEvent.TimedOut());
            }
        });
    }

    private void act(ParticipantAction action, Runnable done) {
        switch (action) {
            case ParticipantAction.Hold(SwitchId id) -> {
                hold(id);
                done.run();
            }
            case ParticipantAction.VoteYes(SwitchId id) -> answer(votes, id, "", done);
            case ParticipantAction.VoteNo(SwitchId id, String reason) ->
                answer(votes, id, node.name() + ": " + reason, done);
            case ParticipantAction.AcknowledgePreCommit(SwitchId id) -> answer(preCommits, id, false, done);
            case ParticipantAction.AskPeers(SwitchId id, var asked, Standing own) -> {
                Records.Evidence evidence = part == null ? null : part.evidence;
                asked.stream().sorted().forEach(peer -> askPeer(id, peer, own, evidence));
                done.run();
            }
            case ParticipantAction.TellPeer(SwitchId id, String peer, Standing own) -> {
                Records.Evidence evidence = part == null ? null : part.evidence;
                world.tell(node.name(), peer, to -> to.peerSays(id, node.name(), own, evidence));
                done.run();
            }
            case ParticipantAction.Settle(SwitchId id, Verdict wish) -> settle(id, wish, done);
            case ParticipantAction.Apply(SwitchId id, Verdict verdict) -> apply(id, verdict, done);
            case ParticipantAction.Acknowledge(SwitchId id) -> {
                acknowledge(id);
                done.run();
            }
        }
    }

    private <T> void answer(Map<SwitchId, List<Consumer<T>>> waiting, SwitchId id, T with, Runnable done) {
        List<Consumer<T>> all = waiting.remove(id);
        if (all != null) {
            all.forEach(one -> one.accept(with));
        }
        done.run();
    }

    private void hold(SwitchId id) {
        Part of = part;
        if (of == null || !of.of.id().equals(id)) {
            later(0, () -> on(new ParticipantEvent.HoldFailed(id, "it was not made ready")));
            return;
        }
        world.holds(node);
        plane.hold(
                world.holdLimitMicros(),
                why -> on(why.isEmpty() ? new ParticipantEvent.Held(id) : new ParticipantEvent.HoldFailed(id, why)));
    }

    private void askPeer(SwitchId id, String peer, Standing own, Records.@Nullable Evidence evidence) {
        world.tell(node.name(), peer, to -> to.peerAsks(id, node.name(), own, evidence));
    }

    private void settle(SwitchId id, Verdict wish, Runnable done) {
        Part of = part;
        Records.Evidence evidence = of == null ? null : of.evidence;
        new Work(done) {
            private @Nullable Decision decision;

            @Override
            void work() {
                SimRegister register = new SimRegister(world(), node().ledger(), false);
                String why = node().name() + " held and heard nothing";
                if (wish == Verdict.COMMIT && evidence != null) {
                    askLedger(() -> {
                        node().ledger().catchUp();
                        decision = register.read(id).orElseGet(() -> register.commit(id, why, evidence));
                    });
                } else {
                    askLedger(() -> decision = register.abort(id, why));
                }
                then(() -> {
                    Decision found = java.util.Objects.requireNonNull(decision);
                    if (found.verdict() == Verdict.COMMIT) {
                        keep(id, world().ledger().value(found.evidenceJson(), Records.Evidence.class));
                    }
                    on(new ParticipantEvent.RegisterSays(id, found.verdict()));
                    done.run();
                });
            }
        }.start();
    }

    // ---- the verdict

    private void apply(SwitchId id, Verdict verdict, Runnable done) {
        Part of = part;
        if (of == null || !of.of.id().equals(id)) {
            done.run();
            return;
        }
        boolean mayBeAlone = state instanceof ParticipantState.Finished finished && !finished.recorded();
        world.laws().applies(node, id, verdict, mayBeAlone);
        if (of.rolesChanged) {
            letGo(of, verdict, done);
        } else {
            new RoleChange(of, verdict, node.clock() + VERDICT_MICROS_MAX, done).begin();
        }
    }

    private void letGo(Part of, Verdict verdict, Runnable done) {
        boolean commit = verdict == Verdict.COMMIT;
        String fleet = world.fleet(commit == of.of.toB()).name();
        plane.letGo(new Route(fleet, of.of.epoch() + (commit ? 1 : 0)), commit);
        world.laws().ended(node, of.of.id(), verdict);
        world.letGo(node, verdict);
        world.trace(node.name(), () -> "lets go on " + plane.route());
        done.run();
    }

    /** Sees to it that the fleet which clients are about to meet is a primary; gives up where that does not answer for too long. */
    private final class RoleChange extends Script {
        private final Part of;
        private final Verdict verdict;
        private final long enough;
        private final Runnable done;

        RoleChange(Part of, Verdict verdict, long enough, Runnable done) {
            super(NodeParticipant.this.world, NodeParticipant.this.node);
            this.of = of;
            this.verdict = verdict;
            this.enough = enough;
            this.done = done;
            change();
        }

        private void change() {
            switch (verdict) {
                case COMMIT -> Leader.promote(this, of.of, of.watchB);
                case ABORT -> Leader.takeBack(this, of.of, () -> {});
            }
            then(() -> letGo(of, verdict, done));
        }

        @Override
        void failed(RuntimeException failure) {
            of.watchB = null;
            if (node().clock() >= enough) {
                world().trace(node().name(), () -> "gives up: " + failure.getMessage());
                node().giveUp();
                letGo(of, verdict, done);
                return;
            }
            pause(RETRY_MICROS);
            then(this::change);
        }
    }

    private void acknowledge(SwitchId id) {
        Part of = part;
        if (of != null && of.of.id().equals(id)) {
            over.put(id, of);
            part = null;
        }
        List<Runnable> all = acknowledgements.remove(id);
        if (all != null) {
            all.forEach(Runnable::run);
        }
        List<Consumer<Boolean>> late = preCommits.remove(id);
        if (late != null) {
            late.forEach(one -> one.accept(true));
        }
    }

    @Override
    public String toString() {
        return Words.of(state);
    }

    /** What the worker does for one action; where it fails the time-out asks again. */
    private abstract class Work extends Script {
        private final Runnable otherwise;

        Work(Runnable otherwise) {
            super(NodeParticipant.this.world, NodeParticipant.this.node);
            this.otherwise = otherwise;
        }

        abstract void work();

        final void start() {
            work();
            begin();
        }

        @Override
        void failed(RuntimeException failure) {
            otherwise.run();
        }
    }

    /** Of this process alone. */
    private void later(long micros, Runnable what) {
        node.later(process, micros, what);
    }
}
