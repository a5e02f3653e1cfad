package io.switchback.release;

import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What people ask of one release, as its leader sees it: at most one order at a time, which is in the ledger, whichever node took it. The
 * release's thread looks here between its actions; {@link #pause} ends early when somebody has asked for something.
 */
final class Orders {
    private final String release;
    private final ReleaseStore store;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private volatile @Nullable Order order;
    private volatile boolean stopping;

    /** Thrown within a step that must give way to an order, or to the node's stop; never leaves {@link ReleaseRun}. */
    static final class GiveWay extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    Orders(String release, ReleaseStore store) {
        this.release = release;
        this.store = store;
        this.order = store.order(release).orElse(null);
    }

    /** The order that waits to be carried out. */
    @Nullable
    Order waiting() {
        return order;
    }

    /** Whether the node stops: the release is left as it is, and goes on when the node starts again. */
    boolean stopping() {
        return stopping;
    }

    /** Looks into the ledger, where any node may have left an order. */
    void look() {
        Order now = store.order(release).orElse(null);
        lock.lock();
        try {
            order = now;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** As {@link #refusal}, as an exception. */
    static void demandFits(String release, Order asked, ReleaseState now) {
        String refusal = refusal(asked, now);
        if (refusal != null) {
            throw new ReleaseException(
                    ReleaseException.Code.NOT_NOW,
                    "release \"" + release + "\" cannot " + asked.kind().title() + ": " + refusal);
        }
    }

    /** Why an order does not fit where a release stands; null where it does. */
    static @Nullable String refusal(Order asked, ReleaseState now) {
        if (now.status().ended()) {
            return "it has ended: " + now.status().title();
        }
        return switch (asked.kind()) {
            case FINISH ->
                now.side() == Side.NEW
                        ? null
                        : "the new fleet is not in use, so there is no way back to give up; abort ends it on the old fleet";
            case PAUSE ->
                now.status() == Status.RUNNING
                        ? null
                        : "it stands still already: " + now.status().title();
            case RESUME ->
                now.status() == Status.PAUSED || now.status() == Status.ROLLED_BACK ? null : "it is under way";
            case ROLLBACK -> now.status() == Status.ROLLED_BACK ? "it is rolled back already" : null;
            case ABORT -> null;
        };
    }

    /** It is about to be carried out in a way that cannot be undone; false where another one has taken its place. */
    boolean take(Order waiting) {
        boolean taken = waiting.taken() || store.orderTaken(release, waiting);
        look();
        return taken;
    }

    /** The order has been carried out. One that came meanwhile stays. */
    void done(Order carriedOut) {
        store.orderDone(release, carriedOut);
        look();
    }

    /** Has the release's thread leave everything as it is, and end. */
    void stop() {
        lock.lock();
        try {
            stopping = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits, and gives way to an order or to the node's stop as soon as there is one. */
    void pause(Duration time) throws InterruptedException {
        wait(time, this::somethingElse);
    }

    private void wait(Duration time, BooleanSupplier giveWay) throws InterruptedException {
        lock.lock();
        try {
            long left = time.toNanos();
            while (left > 0 && !giveWay.getAsBoolean()) {
                left = changed.awaitNanos(left);
            }
            if (giveWay.getAsBoolean()) {
                throw new GiveWay();
            }
        } finally {
            lock.unlock();
        }
    }

    /** As {@link #pause}, while {@code known} is being carried out: only another order, or the node's stop, ends it. */
    void pauseWithin(@Nullable Order known, Duration time) throws InterruptedException {
        wait(time, () -> stopping || !Objects.equals(order, known));
    }

    /** Leaves the step when there is an order, or the node stops. */
    void giveWay() {
        if (somethingElse()) {
            throw new GiveWay();
        }
    }

    boolean somethingElse() {
        return stopping || order != null;
    }
}
