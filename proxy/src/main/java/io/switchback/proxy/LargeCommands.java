package io.switchback.proxy;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The large commands of one loop's clients that are on their way, and who waits to begin with one. Owned by its event loop.
 *
 * <p>Since they cannot be sent again, a switch needs a moment in which there are none: while one is being prepared, none begins, and it
 * is prepared once those under way have ended. Other commands go on meanwhile.
 */
final class LargeCommands {
    private final ProxyLoop loop;
    private final Set<LargeCommand> underWay = new LinkedHashSet<>();
    private final Set<ClientSession> waiting = new LinkedHashSet<>();
    private boolean switchIsPrepared;
    private @Nullable Runnable onceNone;

    LargeCommands(ProxyLoop loop) {
        this.loop = loop;
    }

    /** Whether so many are under way that one more is to be collected in the proxy instead. */
    boolean areMany() {
        return underWay.size() >= loop.limits().largeCommandsPerLoopMax();
    }

    int count() {
        return underWay.size();
    }

    /** If not, the session is resumed later. */
    boolean mayBegin(ClientSession session) {
        if (switchIsPrepared) {
            waiting.add(session);
            return false;
        }
        return !loop.isHolding() && !loop.hasLapsed();
    }

    void began(LargeCommand command) {
        underWay.add(command);
    }

    void ended(LargeCommand command) {
        underWay.remove(command);
        resumeWaiting();
        Runnable next = onceNone;
        if (underWay.isEmpty() && next != null) {
            onceNone = null;
            next.run();
        }
    }

    void forget(ClientSession session) {
        waiting.remove(session);
    }

    /** From now on none begins; {@code then} is run once there is none. */
    void prepareSwitch(Runnable then) {
        switchIsPrepared = true;
        if (underWay.isEmpty()) {
            onceNone = null;
            then.run();
        } else {
            onceNone = then;
        }
    }

    /** The switch has come, or does not come. */
    void switchIsOver() {
        switchIsPrepared = false;
        onceNone = null;
        resumeWaiting();
    }

    private void resumeWaiting() {
        if (!switchIsPrepared && !waiting.isEmpty()) {
            List.copyOf(waiting).forEach(loop::resumeLater);
            waiting.clear();
        }
    }

    /** What a switch waits for; null where it waits for none. */
    @Nullable
    String describe() {
        return underWay.isEmpty() ? null : underWay.iterator().next().describe();
    }
}
