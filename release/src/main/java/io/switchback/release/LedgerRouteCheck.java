package io.switchback.release;

import io.switchback.ledger.Ledger;
import io.switchback.ledger.LedgerException;
import io.switchback.ledger.Route;
import io.switchback.ledger.Routes;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.RouteCheck;
import io.switchback.release.ReleaseState.PendingSwitch;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/**
 * Whether a new connection of this node for one cache may carry commands: the ledger shows its route, and no undecided switch away from it
 * that leaves this node out.
 *
 * <p>Why that is enough. Let a switch fence the fleet at some instant: the connections of nodes that it leaves out are killed there, together with
 * the change of role. One that stands later has asked here later, and {@link Ledger#catchUp} shows it that the switch was begun,
 * since that is recorded before the fence. So it waits until the switch is decided, and then it is allowed where the route is still the same. What
 * is read in which order matters: the switch, its decision, the route. Read the other way round, the decision could fall in
 * between, and an old route would be found beside a switch that is over. A node that takes part holds its clients before it votes, so
 * nothing of it needs to wait.
 *
 * <p>Any thread. Questions that come together are answered by one look.
 */
final class LedgerRouteCheck implements RouteCheck, AutoCloseable {
    private record Question(BackendRoute route, CompletableFuture<String> answer) {}

    private final String node;
    private final String cache;
    private final Ledger ledger;
    private final ReleaseStore store;
    private final Worker worker;
    // Guarded by this object's lock.
    private List<Question> waiting = new ArrayList<>();
    private boolean closed;

    LedgerRouteCheck(String node, String cache, Ledger ledger, ReleaseStore store) {
        this.node = node;
        this.cache = cache;
        this.ledger = ledger;
        this.store = store;
        this.worker = new Worker("route check " + cache);
    }

    @Override
    public CompletionStage<String> mayCarry(BackendRoute route) {
        Question question = new Question(route, new CompletableFuture<>());
        synchronized (this) {
            if (closed) {
                return CompletableFuture.completedStage("this node is stopping");
            }
            if (waiting.isEmpty()) {
                worker.execute(this::answer);
            }
            waiting.add(question);
        }
        return question.answer();
    }

    private void answer() {
        List<Question> questions;
        synchronized (this) {
            questions = waiting;
            waiting = new ArrayList<>();
        }
        Map<BackendRoute, String> answers = new HashMap<>();
        for (Question question : questions) {
            try {
                question.answer().complete(answers.computeIfAbsent(question.route(), this::whyNot));
            } catch (RuntimeException e) {
                question.answer().completeExceptionally(e);
            }
        }
    }

    private String whyNot(BackendRoute route) {
        try {
            ledger.catchUp();
            Optional<String> without = undecidedWithoutThisNode(route);
            if (without.isPresent()) {
                return "switch " + without.get() + " is under way without this node";
            }
            Route known = new Routes(ledger).current(cache).orElseThrow();
            return known.epoch() == route.epoch()
                    ? ""
                    : "the route is fleet " + known.fleet() + " now, epoch " + known.epoch();
        } catch (LedgerException e) {
            return "the ledger does not say where the cache is: " + e.getMessage();
        }
    }

    private Optional<String> undecidedWithoutThisNode(BackendRoute route) {
        return store.owner(cache)
                .flatMap(store::state)
                .map(ReleaseState::pendingSwitch)
                .filter(pending -> leavesOut(pending, route))
                .map(pending -> pending.id().toString())
                .filter(id -> new SwitchRegister(ledger).read(id).isEmpty());
    }

    private boolean leavesOut(PendingSwitch pending, BackendRoute route) {
        return pending.part(cache).filter(part -> part.epoch() == route.epoch()).isPresent()
                && !pending.participants().contains(SwitchMessages.participant(node, cache));
    }

    @Override
    public void close() {
        synchronized (this) {
            closed = true;
        }
        worker.close();
    }
}
