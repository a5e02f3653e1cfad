package io.switchback.simulation;

import io.switchback.ledger.LedgerException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One thread of a node's process, as a queue of small steps. Between two steps time passes and anything may happen: the process may
 * stop, or die, and then nothing of the script runs any more. What a step adds comes before what was there.
 */
abstract class Script {
    private static final long LOCAL_MICROS_MAX = 150;
    private static final long POLL_MICROS_MIN = 500;
    private static final long POLL_MICROS_MAX = 3_000;

    /** How long an answer of a server or the ledger is waited for, by the node's clock. */
    static final long ANSWER_MICROS_MAX = 400_000;

    private final World world;
    private final SimNode node;
    private final int process;
    private final Deque<Runnable> steps = new ArrayDeque<>();
    private @Nullable List<Runnable> adding;
    private boolean ended;
    private boolean idle = true;
    private int waiting;

    Script(World world, SimNode node) {
        this.world = world;
        this.node = node;
        this.process = node.incarnation();
    }

    /** What to do after something was thrown in a step; what was left of the steps is gone. */
    abstract void failed(RuntimeException failure);

    /** A step within the process. */
    final void then(Runnable step) {
        add(() -> {
            if (run(step)) {
                later(world.between(0, LOCAL_MICROS_MAX), this::next);
            }
        });
    }

    /**
     * A question to a server or to the ledger: {@code effect} happens there, once and in one go, or not at all; what it throws is the
     * answer. An answer that does not come in time is UNREACHABLE, and the effect may come later.
     */
    final void ask(String place, Runnable effect) {
        add(() -> {
            int mine = ++waiting;
            later(node.byItsClock(ANSWER_MICROS_MAX), () -> {
                if (mine == waiting) {
                    fail(new Failure(Failure.Code.UNREACHABLE, place + " does not answer"));
                }
            });
            world.network().carry(node.name(), place, () -> {
                RuntimeException failure = tried(place, effect);
                world.network().carry(place, node.name(), () -> later(0, () -> answered(mine, failure)));
            });
        });
    }

    /** As {@link #ask}, of the ledger: what did not arrive before the answer was given up cannot come after a later call. */
    final void askLedger(Runnable effect) {
        add(() -> {
            SimLedger.View view = node.ledger();
            int generation = view.generation();
            int mine = ++waiting;
            later(node.byItsClock(ANSWER_MICROS_MAX), () -> {
                if (mine == waiting) {
                    view.giveUp(generation);
                    fail(new LedgerException(LedgerException.Code.UNREACHABLE, "no answer of the ledger"));
                }
            });
            world.network().carry(node.name(), SimLedger.NAME, () -> {
                if (!view.admits(generation)) {
                    return;
                }
                RuntimeException failure = tried(SimLedger.NAME, effect);
                world.network().carry(SimLedger.NAME, node.name(), () -> later(0, () -> answered(mine, failure)));
            });
        });
    }

    private @Nullable RuntimeException tried(String place, Runnable effect) {
        if (!world.answers(place)) {
            return new Failure(Failure.Code.UNREACHABLE, place + " is down");
        }
        try {
            effect.run();
            return null;
        } catch (LawBroken broken) {
            throw broken;
        } catch (RuntimeException e) {
            return e;
        }
    }

    private void answered(int mine, @Nullable RuntimeException failure) {
        if (mine != waiting || ended) {
            return;
        }
        waiting++;
        if (failure == null) {
            next();
        } else {
            fail(failure);
        }
    }

    /** Looks now and then, until it is so or the time is over; {@code otherwise} is thrown then. */
    final void await(BooleanSupplier done, long until, String otherwise) {
        add(() -> look(done, until, otherwise));
    }

    private void look(BooleanSupplier done, long until, String otherwise) {
        boolean[] is = new boolean[1];
        if (!run(() -> is[0] = done.getAsBoolean())) {
            return;
        }
        if (is[0]) {
            next();
        } else if (node.clock() >= until) {
            fail(new Failure(Failure.Code.STEP_FAILED, otherwise));
        } else {
            int mine = ++waiting;
            later(world.between(POLL_MICROS_MIN, POLL_MICROS_MAX), () -> {
                if (mine == waiting) {
                    look(done, until, otherwise);
                }
            });
        }
    }

    final void pause(long micros) {
        add(() -> later(node.byItsClock(micros), this::next));
    }

    final void begin() {
        if (idle) {
            idle = false;
            later(0, this::next);
        }
    }

    final void end() {
        ended = true;
        steps.clear();
    }

    final boolean ended() {
        return ended;
    }

    final World world() {
        return world;
    }

    final SimNode node() {
        return node;
    }

    private void add(Runnable step) {
        if (adding != null) {
            adding.add(step);
        } else {
            steps.addLast(step);
        }
    }

    private void next() {
        if (ended) {
            return;
        }
        Runnable step = steps.pollFirst();
        if (step == null) {
            idle = true;
            return;
        }
        step.run();
    }

    private boolean run(Runnable step) {
        List<Runnable> added = new ArrayList<>();
        adding = added;
        try {
            step.run();
        } catch (LawBroken broken) {
            throw broken;
        } catch (RuntimeException e) {
            adding = null;
            fail(e);
            return false;
        } finally {
            adding = null;
        }
        for (int i = added.size() - 1; i >= 0; i--) {
            steps.addFirst(added.get(i));
        }
        return true;
    }

    private void fail(RuntimeException failure) {
        if (ended) {
            return;
        }
        waiting++;
        steps.clear();
        failed(failure);
        if (!ended && !steps.isEmpty()) {
            later(world.between(0, LOCAL_MICROS_MAX), this::next);
        } else {
            idle = true;
        }
    }

    /** Of this process alone. */
    private void later(long micros, Runnable what) {
        node.later(process, micros, what);
    }
}
