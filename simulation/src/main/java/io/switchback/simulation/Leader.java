package io.switchback.simulation;

import io.switchback.commit.Coordinator;
import io.switchback.commit.CoordinatorAction;
import io.switchback.commit.CoordinatorEvent;
import io.switchback.commit.CoordinatorState;
import io.switchback.commit.Durability;
import io.switchback.commit.ProtocolViolation;
import io.switchback.commit.Step;
import io.switchback.fleet.Token;
import io.switchback.ledger.Claim;
import io.switchback.ledger.Decision;
import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Numbers;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The node that leads the release: closes what was begun, takes the servers over, keeps the link, and switches as often as was ordered. The
 * real coordinator machine decides within a switch; what is done to the servers is here, step by step as the code does it.
 */
final class Leader extends Script {
    private static final long RETRY_MICROS = 100_000;
    private static final long READY_MICROS_MAX = 800_000;
    private static final long CATCH_UP_MICROS_MAX = 800_000;
    private static final int ATTEMPTS_MAX = 4;
    private static final int TAKE_BACK_ATTEMPTS_MAX = 10;

    private final Claim claim;
    private final Ledger ledger;
    private Token token;
    private Records.@Nullable State state;
    private @Nullable Base base;
    private boolean tookOver;
    private @Nullable SimLink link;
    private @Nullable SimLink ahead;
    /** What comes next although a server does not answer; null where that is a failure. */
    private @Nullable Runnable anyway;

    // Of the switch that is under way.
    private int run;
    private @Nullable CoordinatorState at;
    private final Deque<CoordinatorEvent> inbox = new ArrayDeque<>();
    private SimServer.@Nullable TokenWatch watchA;
    private SimServer.@Nullable TokenWatch watchB;
    private Records.@Nullable Evidence evidence;
    private boolean told;
    private long deadline;
    private long offset;
    private SimServer.@Nullable Changed fenced;
    private @Nullable Base read;

    Leader(World world, SimNode node, Claim claim) {
        super(world, node);
        this.claim = claim;
        this.ledger = world.has(PlantedBug.CLAIM_NOT_CHECKED) ? node.ledger() : claim.ledger();
        this.token = Token.open(claim.holder().term(), "term of " + node.name());
        if (world.has(PlantedBug.TAKEOVER_KEEPS_TOKEN)) {
            this.token = Token.open(1, "r");
        }
        then(this::load);
    }

    Claim.Holder holder() {
        return claim.holder();
    }

    @Nullable
    SimLink link() {
        return link;
    }

    static Token token(Records.Pending of) {
        return Token.open(of.number(), of.id().toString());
    }

    private Token tokenOf(Records.Pending of) {
        return world().has(PlantedBug.TAKEOVER_KEEPS_TOKEN) ? Token.open(1, "r") : token(of);
    }

    String where() {
        return "(" + (link == null ? "no link" : link.where()) + (ended() ? ", stopped" : "") + ")";
    }

    private Records.State state() {
        return Objects.requireNonNull(state);
    }

    private void load() {
        askLedger(() -> {
            state = SimNode.state(node().ledger(), world());
            base = world().ledger()
                    .value(node().ledger().read(Records.BASE).orElseThrow().value(), Base.class);
        });
        then(this::turn);
    }

    private void turn() {
        Records.Pending pending = state().pending();
        if (pending != null) {
            closePending(pending);
            return;
        }
        if (!tookOver) {
            SimServer inUse = world().fleet(state().onB());
            ask(inUse.name(), () -> inUse.offerToken(token));
            then(() -> tookOver = true);
        }
        then(() -> reopenLink(state().onB()));
        then(this::carryOutAnOrder);
    }

    private void carryOutAnOrder() {
        if (state().switchesDone() >= world().orders()) {
            pause(RETRY_MICROS);
            then(this::turn);
            return;
        }
        pause(world().between(1_000, world().calm() ? 50_000 : 400_000));
        then(() -> attempt(!state().onB()));
    }

    @Override
    void failed(RuntimeException failure) {
        Runnable next = anyway;
        anyway = null;
        if (next != null && failure instanceof Failure) {
            then(next);
            return;
        }
        run++;
        closeAhead();
        watchA = null;
        watchB = null;
        world().trace(node().name(), () -> "leader: " + failure.getMessage());
        if (failure instanceof LedgerException e && e.code() == LedgerException.Code.SUPERSEDED) {
            stop();
            return;
        }
        if (!(failure instanceof LedgerException || failure instanceof Failure)) {
            world().trace(node().name(), () -> "leader stops over a mistake: " + failure);
            closeLinks();
            end();
            return;
        }
        if (state == null) {
            pause(RETRY_MICROS);
            then(this::load);
            return;
        }
        pause(state().pending() == null ? RETRY_MICROS : world().between(0, RETRY_MICROS));
        then(this::turn);
    }

    void stop() {
        end();
        closeLinks();
        node().leads(null);
        world().trace(node().name(), () -> "leads no more");
    }

    private void closeLinks() {
        closeAhead();
        closeLink();
    }

    private void closeAhead() {
        SimLink unused = ahead;
        ahead = null;
        if (unused != null) {
            unused.close();
        }
    }

    private void closeLink() {
        SimLink closing = link;
        link = null;
        if (closing != null) {
            closing.close();
        }
    }

    private void save(Records.State next) {
        askLedger(() -> ledger.transact(
                List.of(new Operation.Put(Records.STATE, world().ledger().keep(next)))));
        then(() -> state = next);
    }

    private void remember(Base next) {
        askLedger(() -> ledger.transact(
                List.of(new Operation.Put(Records.BASE, world().ledger().keep(next)))));
        then(() -> base = next);
    }

    // ---- the link between switches

    private void reopenLink(boolean onB) {
        SimServer source = world().fleet(onB);
        SimServer target = world().fleet(!onB);
        SimLink present = link;
        SimLink face;
        if (present != null && present.source() == source && !present.frozen()) {
            if (present.streaming() || world().has(PlantedBug.LINK_NOT_POINTED_AGAIN)) {
                return;
            }
            face = present;
        } else {
            closeLink();
            face = new SimLink(world(), node(), source, target);
            link = face;
            face.admit(Objects.requireNonNull(base));
        }
        // Also where it was told before: a late command of the leader before may have come in between.
        ask(target.name(), () -> {
            if (target.primary()) {
                throw new Failure(Failure.Code.STEP_FAILED, target.name() + " is a primary, although it should follow");
            }
            if (!face.isFollowed()) {
                target.follow(face, token);
            }
        });
    }

    // ---- one attempt

    private Set<String> participants = Set.of();
    private long membership;
    private boolean somebodyIsMissing;
    private boolean allArmed;
    private long number;
    private long epoch;

    private void attempt(boolean toB) {
        long until = node().clock() + READY_MICROS_MAX;
        attend(until);
        then(() -> {
            askLedger(() -> number = new Numbers(ledger, SimNode.NUMBERS).next());
            askLedger(() -> epoch =
                    new Routes(ledger).current(Records.CACHE).map(Route::epoch).orElseThrow());
            then(() -> begin(toB));
        });
    }

    private void attend(long until) {
        askLedger(() -> {
            ledger.catchUp();
            Members.Roster roster = new Members(ledger).roster();
            Set<String> there = new TreeSet<>();
            allArmed = true;
            somebodyIsMissing = false;
            for (Member member : roster.members()) {
                boolean armed = ledger.read(SimNode.armed(member.node()))
                        .map(entry -> world().ledger().value(entry.value(), String.class))
                        .filter(member.incarnation()::equals)
                        .isPresent();
                if (!armed) {
                    allArmed = false;
                } else if (SimNode.isThere(node().ledger(), member.node(), member.incarnation())) {
                    there.add(member.node());
                } else {
                    somebodyIsMissing = true;
                }
            }
            participants = there;
            membership = roster.version();
        });
        then(() -> {
            if (!allArmed || participants.isEmpty()) {
                if (node().clock() >= until) {
                    throw new Failure(Failure.Code.STEP_FAILED, "not every registered node has acknowledged");
                }
                pause(30_000);
                then(() -> attend(until));
            }
        });
    }

    private void begin(boolean toB) {
        Records.Pending begun = new Records.Pending(
                number, toB, epoch, world().protocol(), participants, membership, somebodyIsMissing, null);
        Records.State now = state();
        world().trace(
                        node().name(),
                        () -> "begins " + begun.id() + " to "
                                + world().fleet(toB).name() + " with " + participants
                                + (somebodyIsMissing ? ", somebody is missing" : ""));
        save(new Records.State(now.onB(), now.switchesDone(), now.attempts() + 1, begun));
        then(() -> prepare(begun));
    }

    private void prepare(Records.Pending of) {
        Token by = tokenOf(of);
        if (token.isOlderThan(by)) {
            token = by;
        }
        SimServer a = world().fleet(!of.toB());
        SimServer b = world().fleet(of.toB());
        ask(a.name(), () -> {
            if (!a.primary()) {
                throw new Failure(Failure.Code.STEP_FAILED, a.name() + " is no primary");
            }
        });
        ask(a.name(), () -> a.offerToken(by));
        ask(a.name(), () -> watchA = a.watch(by));
        ask(a.name(), () -> offset = a.offset());
        SimLink flowing = link;
        if (flowing == null) {
            throw new Failure(Failure.Code.STEP_FAILED, "there is no link");
        }
        long catchUp = node().clock() + CATCH_UP_MICROS_MAX;
        await(() -> flowing.streaming() && flowing.applied(offset), catchUp, "the link did not catch up");
        ask(b.name(), () -> watchB = b.watch(by));
        then(() -> ahead = new SimLink(world(), node(), b, a));
        then(() -> makeReady(of));
    }

    private void makeReady(Records.Pending of) {
        List<String> problems = new ArrayList<>();
        int[] ready = new int[1];
        int mine = run;
        for (String participant : sorted(of.participants())) {
            world().question(
                            node().name(),
                            participant,
                            to -> to.makeReady(of, answer(participant, why -> {
                                if (mine == run) {
                                    ready[0]++;
                                    if (!why.isEmpty()) {
                                        problems.add(participant + ": " + why);
                                    }
                                }
                            })));
        }
        await(
                () -> ready[0] == of.participants().size(),
                node().clock() + READY_MICROS_MAX,
                "a node did not get ready");
        then(() -> {
            if (!problems.isEmpty()) {
                throw new Failure(Failure.Code.STEP_FAILED, String.join("; ", problems));
            }
            coordinate(of, new CoordinatorState.Initial(of.terms()), new CoordinatorEvent.Begin());
        });
    }

    /** The way back of an answer. */
    private <T> Consumer<T> answer(String from, Consumer<T> then) {
        return value -> world().network()
                .carryPerhapsTwice(from, node().name(), () -> node().later(0, () -> then.accept(value)));
    }

    private static List<String> sorted(Set<String> names) {
        return names.stream().sorted().toList();
    }

    // ---- the agreement

    private Optional<Decision> found = Optional.empty();

    /** What was begun, by whomever, is brought to its end. */
    private void closePending(Records.Pending of) {
        if (token.isOlderThan(tokenOf(of))) {
            token = tokenOf(of);
        }
        SimRegister register = new SimRegister(world(), ledger, true);
        askLedger(() -> found = register.read(of.id()));
        then(() -> {
            evidence = of.preCommitted();
            found.ifPresent(this::decided);
            coordinate(
                    of,
                    of.preCommitted() == null
                            ? new CoordinatorState.Initial(of.terms())
                            : new CoordinatorState.PreCommitting(of.terms(), Set.of()),
                    new CoordinatorEvent.Restarted(found.map(Decision::verdict)));
        });
    }

    private void decided(Decision recorded) {
        if (recorded.verdict() == Verdict.COMMIT) {
            evidence = world().ledger().value(recorded.evidenceJson(), Records.Evidence.class);
        }
    }

    private void coordinate(Records.Pending of, CoordinatorState from, CoordinatorEvent first) {
        run++;
        inbox.clear();
        told = false;
        fenced = null;
        read = null;
        deadline = node().clock() + world().holdLimitMicros() * 8 / 10;
        at = from;
        on(of, first);
    }

    private void on(Records.Pending of, CoordinatorEvent event) {
        Step<CoordinatorState, CoordinatorAction> step;
        try {
            step = Coordinator.next(Objects.requireNonNull(at), event);
        } catch (ProtocolViolation e) {
            throw new LawBroken("L5: " + e.getMessage());
        }
        at = step.state();
        world().trace(
                        node().name(),
                        () -> "leader: " + Words.of(event) + " -> " + Words.of(step.state())
                                + Words.of(step.actions()));
        if (step.state() instanceof CoordinatorState.PreCommitting && step.durability() == Durability.FORCED) {
            Records.Pending known = of.with(Objects.requireNonNull(evidence));
            save(state().with(known));
        }
        for (CoordinatorAction action : step.actions()) {
            then(() -> act(of, action));
        }
        then(() -> goOn(of, event));
    }

    private boolean nobodyIsLeft;

    private void goOn(Records.Pending of, CoordinatorEvent event) {
        switch (Objects.requireNonNull(at)) {
            case CoordinatorState.Done done -> finish(of, done.verdict());
            case CoordinatorState.Finishing now
            when event instanceof CoordinatorEvent.TimedOut -> {
                askLedger(() -> {
                    Members.Roster roster = new Members(ledger).roster();
                    nobodyIsLeft = of.participants().stream()
                            .filter(one -> !now.acknowledged().contains(one))
                            .noneMatch(one -> roster.member(one)
                                    .filter(member -> SimNode.isThere(node().ledger(), one, member.incarnation()))
                                    .isPresent());
                });
                then(() -> {
                    if (nobodyIsLeft) {
                        finish(of, now.verdict());
                    } else {
                        listen(of);
                    }
                });
            }
            default -> listen(of);
        }
    }

    private void listen(Records.Pending of) {
        boolean undecided = !(at instanceof CoordinatorState.Finishing);
        long until = undecided ? deadline : node().clock() + world().holdLimitMicros();
        await(() -> !inbox.isEmpty() || node().clock() >= until, Long.MAX_VALUE, "");
        then(() -> {
            CoordinatorEvent event = inbox.poll();
            on(of, event != null ? event : new CoordinatorEvent.TimedOut("too long"));
        });
    }

    private <T> Consumer<T> heard(String from, java.util.function.Function<T, CoordinatorEvent> event) {
        int mine = run;
        return answer(from, value -> {
            if (mine == run) {
                inbox.add(event.apply(value));
            }
        });
    }

    private void act(Records.Pending of, CoordinatorAction action) {
        String me = node().name();
        switch (action) {
            case CoordinatorAction.AskToPrepare(String participant) -> {
                Consumer<String> vote = heard(
                        participant,
                        why -> why.isEmpty()
                                ? new CoordinatorEvent.VotedYes(participant)
                                : new CoordinatorEvent.VotedNo(participant, why));
                world().tell(me, participant, to -> to.prepare(of.id(), vote));
            }
            case CoordinatorAction.Fence() -> fence(of);
            case CoordinatorAction.PreCommit(String participant) -> {
                Consumer<Boolean> heard = heard(
                        participant,
                        over -> over
                                ? new CoordinatorEvent.Acknowledged(participant)
                                : new CoordinatorEvent.PreCommitAcknowledged(participant));
                Records.Evidence known = Objects.requireNonNull(evidence);
                world().tell(me, participant, to -> to.preCommit(of.id(), known, heard));
            }
            case CoordinatorAction.WriteDecision(Verdict wanted, String why) -> decide(of, wanted, why);
            case CoordinatorAction.Tell(String participant, Verdict verdict) -> {
                if (!told && !world().has(PlantedBug.LET_GO_BEFORE_PROMOTION)) {
                    changeRoles(of, verdict);
                }
                then(() -> send(of, participant, verdict));
            }
            case CoordinatorAction.Forget() -> {}
        }
    }

    private void changeRoles(Records.Pending of, Verdict verdict) {
        switch (verdict) {
            case COMMIT -> promote(this, of, watchB);
            case ABORT -> abort(of);
        }
        watchB = null;
        then(() -> told = true);
    }

    private void send(Records.Pending of, String participant, Verdict verdict) {
        int mine = run;
        Consumer<Boolean> heard = answer(participant, any -> {
            if (mine == run) {
                inbox.add(new CoordinatorEvent.Acknowledged(participant));
            }
        });
        Records.Evidence known = verdict == Verdict.COMMIT ? evidence : null;
        world().tell(node().name(), participant, to -> to.tell(of.id(), verdict, known, () -> heard.accept(true)));
    }

    private @Nullable Decision decision;

    private void decide(Records.Pending of, Verdict wanted, String why) {
        SimRegister register = new SimRegister(world(), ledger, true);
        Records.Evidence known = evidence;
        askLedger(() -> decision = wanted == Verdict.COMMIT
                ? register.commit(of.id(), why, Objects.requireNonNull(known))
                : register.abort(of.id(), why));
        then(() -> {
            Decision recorded = Objects.requireNonNull(decision);
            decided(recorded);
            inbox.add(new CoordinatorEvent.Decided(recorded.verdict()));
        });
    }

    // ---- the fence

    /** What happens when a step of the fence fails: the coordinator hears of it, and the script goes on. */
    private void fence(Records.Pending of) {
        anyway = () -> {
            inbox.add(new CoordinatorEvent.FenceFailed("a step failed"));
            goOn(of, new CoordinatorEvent.FenceFailed(""));
        };
        for (FenceSequence.FenceStep step : FenceSequence.steps(world().bug())) {
            then(() -> fence(of, step));
        }
        then(() -> {
            anyway = null;
            Base equal = Objects.requireNonNull(read);
            evidence = new Records.Evidence(of.toB(), of.epoch() + 1, of.membership(), equal);
            inbox.add(
                    node().clock() >= deadline
                            ? new CoordinatorEvent.FenceFailed("too long")
                            : new CoordinatorEvent.Fenced());
        });
    }

    private void fence(Records.Pending of, FenceSequence.FenceStep step) {
        SimServer a = world().fleet(!of.toB());
        SimServer b = world().fleet(of.toB());
        SimLink flowing = Objects.requireNonNull(link);
        switch (step) {
            case DRAIN -> {
                ask(a.name(), () -> {
                    offset = a.offset();
                    fenced = new SimServer.Changed(offset, a.id());
                });
                await(() -> flowing.applied(offset), deadline, "the drain took too long");
            }
            case FOLLOW -> follow(of, a);
            case DRAIN_REST -> {
                long last = Objects.requireNonNull(fenced).offset();
                await(() -> flowing.applied(last), deadline, "the drain took too long");
            }
            case FREEZE -> {
                flowing.freeze();
                await(flowing::atRest, deadline, "the link did not come to rest");
            }
            case READ_TARGET -> readTarget(b, flowing);
            case PROMOTE -> ask(b.name(), () -> b.promote(token(of)));
        }
    }

    private void follow(Records.Pending of, SimServer a) {
        SimServer.TokenWatch watch = Objects.requireNonNull(watchA);
        SimLink face = Objects.requireNonNull(ahead);
        Token by = tokenOf(of);
        if (world().has(PlantedBug.FENCE_NOT_AWAITED)) {
            world().network().carry(node().name(), a.name(), () -> {
                try {
                    watch.follow(face, by);
                } catch (Failure late) {
                    world().trace(a.name(), () -> "refuses: " + late.getMessage());
                }
            });
            return;
        }
        ask(a.name(), () -> {
            SimServer.Changed changed = watch.follow(face, by);
            if (of.somebodyIsMissing() && !world().has(PlantedBug.MISSING_NOT_KILLED)) {
                a.killClients();
            }
            if (!world().has(PlantedBug.OFFSET_BEFORE_FENCE)) {
                fenced = changed;
            }
        });
    }

    private void readTarget(SimServer b, SimLink flowing) {
        SimServer.Changed last = Objects.requireNonNull(fenced);
        PlantedBug bug = world().bug();
        boolean unchecked = bug == PlantedBug.TARGET_READ_BEFORE_FREEZE || bug == PlantedBug.LINK_NOT_FROZEN;
        ask(b.name(), () -> {
            if (!unchecked && (b.primary() || b.offset() != flowing.targetOffsetOf(last.offset()))) {
                throw new Failure(Failure.Code.STEP_FAILED, b.name() + " is not where " + flowing + " ended");
            }
            Base equal = new Base(b.id(), b.offset(), last.idAfter(), last.offset());
            read = bug == PlantedBug.WAY_BACK_TOO_EARLY
                    ? equal.moved(-1)
                    : bug == PlantedBug.WAY_BACK_TOO_LATE ? equal.moved(1) : equal;
        });
    }

    // ---- the two changes of role that end a switch; whoever finds the decision may do them

    static void promote(Script script, Records.Pending of, SimServer.@Nullable TokenWatch watch) {
        SimServer b = script.world().fleet(of.toB());
        Token by = script.world().has(PlantedBug.TAKEOVER_KEEPS_TOKEN) ? Token.open(1, "r") : token(of);
        script.ask(b.name(), () -> {
            if (watch != null) {
                watch.promote(script.node().name());
            } else if (!b.primary()) {
                b.promote(by);
            }
        });
    }

    /** A is a primary, and has the closed token: no fence of this switch can come any more. */
    static void takeBack(Script script, Records.Pending of, Runnable done) {
        SimServer a = script.world().fleet(!of.toB());
        Token by = script.world().has(PlantedBug.TAKEOVER_KEEPS_TOKEN) ? Token.open(1, "r") : token(of);
        if (script.world().has(PlantedBug.ABORT_LEAVES_TOKEN_OPEN)) {
            script.ask(a.name(), () -> a.promote(by));
            script.then(done);
            return;
        }
        takeBack(script, a, by.close(), done, TAKE_BACK_ATTEMPTS_MAX);
    }

    private static void takeBack(Script script, SimServer a, Token closed, Runnable done, int attempts) {
        boolean[] taken = new boolean[1];
        script.ask(a.name(), () -> taken[0] = a.offerToken(closed) && a.primary());
        script.then(() -> {
            if (taken[0]) {
                done.run();
            } else if (attempts == 0) {
                throw new Failure(Failure.Code.STEP_FAILED, "made a replica again each time");
            } else {
                script.ask(a.name(), () -> a.promote(closed));
                script.then(() -> takeBack(script, a, closed, done, attempts - 1));
            }
        });
    }

    private void abort(Records.Pending of) {
        closeAhead();
        Token closed = tokenOf(of).close();
        if (token.isOlderThan(closed) && !world().has(PlantedBug.ABORT_LEAVES_TOKEN_OPEN)) {
            token = closed;
        }
        SimServer a = world().fleet(!of.toB());
        Base[] renamed = new Base[1];
        takeBack(this, of, () -> {
            ask(a.name(), () -> renamed[0] = Objects.requireNonNull(base).afterPromotion(a));
            then(() -> remember(renamed[0]));
        });
    }

    // ---- the end of a switch

    private void finish(Records.Pending of, Verdict verdict) {
        run++;
        if (world().has(PlantedBug.LET_GO_BEFORE_PROMOTION) && !told) {
            changeRoles(of, verdict);
        }
        if (verdict == Verdict.COMMIT) {
            openWayBack(of);
        } else {
            then(() -> reopenIfItAnswers(!of.toB(), () -> close(of, verdict)));
        }
    }

    private void close(Records.Pending of, Verdict verdict) {
        Records.State now = state();
        boolean committed = verdict == Verdict.COMMIT;
        boolean over = committed || now.attempts() >= ATTEMPTS_MAX;
        save(new Records.State(
                committed == of.toB(), now.switchesDone() + (over ? 1 : 0), over ? 0 : now.attempts(), null));
        then(() -> {
            watchA = null;
            watchB = null;
            closeAhead();
            world().trace(node().name(), () -> of.id() + " is closed: " + verdict);
            pause(committed ? 0 : RETRY_MICROS);
            then(this::turn);
        });
    }

    /** What nobody waits for where a server does not answer: the next turn does it. */
    private void reopenIfItAnswers(boolean onB, Runnable next) {
        anyway = next;
        then(() -> reopenLink(onB));
        then(() -> {
            anyway = null;
            next.run();
        });
    }

    private void openWayBack(Records.Pending of) {
        SimServer b = world().fleet(of.toB());
        Base decided = Objects.requireNonNull(evidence).base();
        Base[] renamed = new Base[1];
        ask(b.name(), () -> renamed[0] = decided.afterPromotion(b));
        then(() -> remember(renamed[0]));
        then(() -> {
            SimLink back = ahead;
            ahead = null;
            closeLink();
            if (back == null) {
                reopenIfItAnswers(of.toB(), () -> close(of, Verdict.COMMIT));
            } else {
                link = back;
                back.admit(renamed[0]);
                close(of, Verdict.COMMIT);
            }
        });
    }
}
