package io.switchback.simulation;

import io.switchback.commit.ParticipantState;
import io.switchback.ledger.Claim;
import io.switchback.ledger.Decisions;
import io.switchback.ledger.Member;
import io.switchback.ledger.Members;
import io.switchback.ledger.Numbers;
import io.switchback.ledger.Operation;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.ledger.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** One Switchback process after another under one name: its clock, its log, its way to the ledger, and what runs in it. */
final class SimNode {
    private static final long LOOK_MICROS = 100_000;
    private static final long HEARTBEAT_MICROS = 120_000;
    static final String NUMBERS = "switches";

    private final World world;
    private final String name;
    private final List<Runnable> deferred = new ArrayList<>();
    private boolean up;
    private boolean stopped;
    private int incarnation;
    private double rate = 1;
    private SimLedger.View ledger;
    private @Nullable DataPlane plane;
    private @Nullable NodeParticipant participant;
    private @Nullable Leader leader;
    /** A verdict could not be carried out at the servers for too long, and clients were let go all the same. */
    private boolean gaveUp;

    /** The last term that this process began to lead in. */
    private long termLed;

    // On the node's disk: what survives the process.
    private ParticipantState logged = new ParticipantState.Initial(0);
    private Records.@Nullable Evidence loggedEvidence;

    SimNode(World world, String name) {
        this.world = world;
        this.name = name;
        this.ledger = world.ledger().new View();
    }

    String name() {
        return name;
    }

    boolean up() {
        return up;
    }

    boolean stopped() {
        return stopped;
    }

    boolean gaveUp() {
        return gaveUp;
    }

    void giveUp() {
        gaveUp = true;
    }

    SimLedger.View ledger() {
        return ledger;
    }

    String process() {
        return Integer.toString(incarnation);
    }

    long epoch() {
        return plane == null ? 0 : plane.route().epoch();
    }

    @Nullable
    DataPlane plane() {
        return plane;
    }

    @Nullable
    NodeParticipant participant() {
        return participant;
    }

    @Nullable
    Leader leader() {
        return leader;
    }

    void leads(@Nullable Leader one) {
        leader = one;
    }

    void log(ParticipantState state, Records.@Nullable Evidence evidence) {
        logged = state;
        loggedEvidence = evidence;
    }

    ParticipantState logged() {
        return logged;
    }

    Records.@Nullable Evidence loggedEvidence() {
        return loggedEvidence;
    }

    /** Something that this process does in a while: never if it has died by then, and when it wakes if it is stopped. */
    void later(long micros, Runnable what) {
        later(incarnation, micros, what);
    }

    /** The same, of a certain process. */
    void later(int process, long micros, Runnable what) {
        world.at(micros, () -> now(process, what));
    }

    int incarnation() {
        return incarnation;
    }

    private void now(int mine, Runnable what) {
        if (mine != incarnation) {
            return;
        }
        if (stopped) {
            deferred.add(what);
        } else {
            what.run();
        }
    }

    /** By its own clock, which may be fast or slow. */
    long clock() {
        return (long) (world.now() * rate);
    }

    /** How long it takes until that much has passed by its clock. */
    long byItsClock(long micros) {
        return (long) (micros / rate);
    }

    void rate(double next) {
        rate = next;
    }

    // ---- its life

    void start() {
        up = true;
        incarnation++;
        gaveUp = false;
        termLed = 0;
        ledger = world.ledger().new View();
        world.trace(name, () -> "starts, process " + incarnation);
        heartbeat();
        new Boot().begin();
    }

    void crash() {
        world.trace(name, () -> "dies" + (leader == null ? "" : ", the leader"));
        up = false;
        stopped = false;
        incarnation++;
        deferred.clear();
        plane = null;
        participant = null;
        leader = null;
    }

    void stop() {
        world.trace(name, () -> "is stopped" + (leader == null ? "" : ", the leader"));
        stopped = true;
    }

    void wake() {
        if (stopped) {
            world.trace(name, () -> "wakes");
            stopped = false;
            List<Runnable> all = List.copyOf(deferred);
            deferred.clear();
            all.forEach(one -> later(world.between(0, 300), one));
        }
    }

    private void heartbeat() {
        String process = process();
        world.network().carry(name, SimLedger.NAME, () -> {
            if (process.equals(process())) {
                world.ledger().heard(this, process);
            }
        });
        later(byItsClock(HEARTBEAT_MICROS), this::heartbeat);
    }

    private Member member() {
        return new Member(name, process(), "", List.of(Records.CACHE));
    }

    static Records.State state(SimLedger.View ledger, World world) {
        return world.ledger().value(ledger.read(Records.STATE).orElseThrow().value(), Records.State.class);
    }

    static String armed(String node) {
        return "armed/" + node;
    }

    /** Registers, and only then reads the routes; closes a switch that it was in; then serves, and looks into the ledger. */
    private final class Boot extends Script {
        private @Nullable Route route;
        private Records.@Nullable State state;
        private long lastNumber;
        private Optional<Verdict> registered = Optional.empty();
        private Records.@Nullable Evidence evidence;

        Boot() {
            super(SimNode.this.world, SimNode.this);
            steps();
        }

        private void steps() {
            askLedger(() -> {
                new Members(ledger).join(member());
                ledger.catchUp();
            });
            askLedger(() -> {
                route = new Routes(ledger).current(Records.CACHE).orElseThrow();
                state = state(ledger, world());
                lastNumber = new Numbers(ledger, NUMBERS).last();
            });
            askLedger(this::readDecision);
            then(this::resume);
        }

        private void readDecision() {
            Records.Pending pending = Objects.requireNonNull(state).pending();
            if (pending != null) {
                new Decisions(ledger).read(pending.id().toString()).ifPresent(decision -> {
                    registered = Optional.of(decision.verdict());
                    if (decision.verdict() == Verdict.COMMIT) {
                        evidence = world().ledger().value(decision.evidenceJson(), Records.Evidence.class);
                    }
                });
            }
        }

        private void resume() {
            Records.State known = Objects.requireNonNull(state);
            Records.Pending pending = known.pending();
            DataPlane proxy = new DataPlane(world(), SimNode.this, Objects.requireNonNull(route), true);
            plane = proxy;
            NodeParticipant part = new NodeParticipant(world(), SimNode.this, proxy);
            participant = part;
            boolean takesPart = pending != null && pending.participants().contains(name);
            part.resume(takesPart ? pending : null, registered, evidence, lastNumber);
            if (!takesPart) {
                if (pending != null
                        && registered.equals(Optional.of(Verdict.COMMIT))
                        && !world().has(PlantedBug.STARTED_NODE_DOES_NOT_PROMOTE)) {
                    SimServer b = world().fleet(pending.toB());
                    ask(b.name(), () -> b.promote(Leader.token(pending)));
                }
                then(() -> {
                    proxy.letGo(proxy.route(), false);
                    world().laws().started(SimNode.this);
                });
            }
            then(() -> new Look().begin());
        }

        @Override
        void failed(RuntimeException failure) {
            pause(50_000);
            if (plane == null) {
                steps();
            } else {
                DataPlane proxy = plane;
                then(() -> proxy.letGo(proxy.route(), false));
                then(() -> new Look().begin());
            }
        }
    }

    /** What a node does again and again: arms, follows a route that has changed without it, leads where nobody does. */
    private final class Look extends Script {
        private boolean isArmed;
        private @Nullable Route known;
        private Records.@Nullable State state;
        private Optional<Claim.Holder> holder = Optional.empty();
        private boolean isLed;
        private long term;
        private @Nullable Claim claim;
        private Optional<Verdict> decided = Optional.empty();

        Look() {
            super(SimNode.this.world, SimNode.this);
            look();
        }

        private void look() {
            if (!isArmed) {
                askLedger(() -> ledger.transact(
                        List.of(new Operation.Put(armed(name), world().ledger().keep(process())))));
                then(() -> isArmed = true);
            }
            askLedger(() -> {
                known = new Routes(ledger).current(Records.CACHE).orElseThrow();
                state = state(ledger, world());
                holder = Claim.holder(ledger, Records.RELEASE);
                isLed = holder.filter(one -> isThere(ledger, one.node(), one.incarnation()))
                        .isPresent();
                Records.Pending pending = state.pending();
                decided = pending == null
                        ? Optional.empty()
                        : new Decisions(ledger).read(pending.id().toString()).map(one -> one.verdict());
            });
            then(this::adopt);
            then(this::lead);
            pause(LOOK_MICROS);
            then(this::look);
        }

        private void adopt() {
            DataPlane proxy = Objects.requireNonNull(plane);
            Route next = Objects.requireNonNull(known);
            if (next.epoch() <= proxy.route().epoch() || inSwitch()) {
                return;
            }
            Records.Pending pending = Objects.requireNonNull(state).pending();
            if (pending != null) {
                if (!decided.equals(Optional.of(Verdict.COMMIT))) {
                    return;
                }
                SimServer b = world().fleet(pending.toB());
                ask(b.name(), () -> b.promote(Leader.token(pending)));
            }
            boolean[] answered = new boolean[2];
            then(() -> {
                if (inSwitch()) {
                    answered[0] = true;
                    return;
                }
                proxy.hold(200_000, why -> {
                    answered[0] = true;
                    answered[1] = why.isEmpty();
                });
            });
            await(() -> answered[0], Long.MAX_VALUE, "");
            then(() -> {
                if (answered[1]) {
                    world().trace(name, () -> "goes to " + next + ", which it has missed");
                    proxy.letGo(next, false);
                }
            });
        }

        private boolean inSwitch() {
            return Objects.requireNonNull(participant).isInSwitch();
        }

        private void lead() {
            Leader mine = leader;
            if (mine != null) {
                if (!holder.equals(Optional.of(mine.holder())) && !world().has(PlantedBug.CLAIM_NOT_CHECKED)) {
                    mine.stop();
                }
                return;
            }
            // A claim of this very process whose answer was lost is not led by anybody; one whose leader stopped over a
            // mistake is.
            boolean answerWasLost = holder.filter(one ->
                            one.node().equals(name) && one.incarnation().equals(process()) && one.term() > termLed)
                    .isPresent();
            if (isLed && (!answerWasLost || world().has(PlantedBug.LOST_CLAIM_IS_BELIEVED))) {
                return;
            }
            Optional<Claim.Holder> former = holder;
            askLedger(() -> term = new Numbers(ledger, NUMBERS).next());
            askLedger(() -> claim = Claim.take(ledger, Records.RELEASE, former, new Claim.Holder(name, process(), term))
                    .orElse(null));
            then(() -> {
                Claim taken = claim;
                if (taken != null) {
                    world().trace(
                                    name,
                                    () -> "leads from now on, term "
                                            + taken.holder().term());
                    world().tookOver();
                    termLed = taken.holder().term();
                    leader = new Leader(world(), SimNode.this, taken);
                    leader.begin();
                }
            });
        }

        @Override
        void failed(RuntimeException failure) {
            claim = null;
            pause(LOOK_MICROS);
            then(this::look);
        }
    }

    static boolean isThere(SimLedger.View ledger, String node, String incarnation) {
        byte[] announced = ledger.announced().get(node);
        return announced != null && incarnation.equals(new String(announced, java.nio.charset.StandardCharsets.UTF_8));
    }
}
