package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.RequestScanner;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A session's commands that were sent and not answered, and are to be sent again or named, in their order: those whose connection broke, and those
 * of which the server has said that it is no primary any more ({@link NotPrimary}).
 *
 * <p>Four kinds, and no command is ever both sent again and told lost:
 *
 * <ul>
 *   <li>What has certainly not run, as the server said, is sent again to whoever is the primary then; where there is none for {@link
 *       ProxyLimits#failoverWait}, the client is told that it has not run.
 *   <li>So is what only reads and stands behind such a command, however often the former primary answers it meanwhile.
 *   <li>What else only reads is sent again, {@link ProxyLimits#attemptsPerReadMax} times in all.
 *   <li>Of the rest nobody knows whether it has run, and the client is told so. So it is with a write behind one that has not run whose own answer was
 *       another one: the server has become a primary again in between, say, and it may not run twice; nor may its answer come before that
 *       of the earlier one, which is still to be sent.
 * </ul>
 *
 * <p>Order: the session sends nothing new while there is anything here, and the first here is sent over another connection than it was, which {@link
 * ClientSession#upstream} gives only once the former one has answered, or lost, all that this session had sent over it. So what is added later was also
 * sent later, and each client's commands reach the primary in the order in which the client sent them. What a command that may have run has done before an earlier one that is sent again, stands in the
 * history as what its client was told: nobody knows when, or whether, it ran.
 *
 * <p>What a server of a cluster has not run ({@link NotExecuted}) comes here as well. To a cluster all is sent one after the other, each once the one before it is
 * answered: so none can be run before another one that has to be sent elsewhere again.
 */
final class LostCommands {
    private final ClientSession session;
    private final ArrayDeque<Lost> lost = new ArrayDeque<>(1);

    /**
     * What is to be sent, as which attempt; without commands it is a reply whose turn has not come.
     *
     * @param sinceNanos since when it has certainly not run, as a server said that is no primary; {@link #MAY_HAVE_RUN} where that is not so
     * @param retries how often no server of a cluster has run it; null where that is not known of any
     * @param losses of a reply to a write: {@link Confirmations#losses} as of when it came
     */
    record Lost(
            ByteBuf bytes,
            int commands,
            int attempt,
            boolean silent,
            boolean writes,
            long sinceNanos,
            @Nullable Retries retries,
            int losses) {
        static Lost reply(ByteBuf bytes) {
            return reply(bytes, false, 0);
        }

        /** {@code writes}: of a server to a write, which has to be confirmed, and came when that much had been lost. */
        static Lost reply(ByteBuf bytes, boolean writes, int losses) {
            return new Lost(bytes, 0, 1, false, writes, MAY_HAVE_RUN, null, losses);
        }

        /** One that goes to a cluster again. */
        static Lost again(ByteBuf bytes, int attempt, boolean silent, boolean writes, @Nullable Retries retries) {
            return new Lost(bytes, 1, attempt, silent, writes, MAY_HAVE_RUN, retries, 0);
        }

        boolean hasNotRun() {
            return sinceNanos != MAY_HAVE_RUN;
        }
    }

    private static final long MAY_HAVE_RUN = Long.MIN_VALUE;

    LostCommands(ClientSession session) {
        this.session = session;
    }

    boolean isEmpty() {
        return lost.isEmpty();
    }

    /** What of the run has not been answered. */
    void add(Run run, String why) {
        if (run.isLocal()) {
            lost.add(Lost.reply(run.request.retain()));
            return;
        }
        RequestScanner each = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        int index = 0;
        for (int i = 0; i < run.commands; i++) {
            each.next(run.request, index);
            CommandRule rule = CommandTable.find(run.request, index + each.nameOffset(), each.nameLength());
            if (i >= run.answered) {
                ByteBuf bytes = run.request.slice(index, each.end() - index);
                boolean writes = rule == null || !rule.repeatable();
                if (hasNotRun(run, i) || (run.notRun != null && mayRunTwice(run, rule))) {
                    // Not an attempt: nothing but the wait is limited.
                    long since = run.notRunSinceNanos == 0 ? session.loop().nanoTime() : run.notRunSinceNanos;
                    lost.add(new Lost(bytes.retain(), 1, run.attempt, run.silent, writes, since, null, 0));
                } else if (mayRunTwice(run, rule) && mayTryAgain(run.attempt)) {
                    lost.add(new Lost(bytes.retain(), 1, run.attempt + 1, run.silent, writes, MAY_HAVE_RUN, null, 0));
                } else {
                    session.loop().routeTraffic().notAnswered(1);
                    if (!run.silent) {
                        lost.add(Lost.reply(Wire.error(session.lostMessage(why))));
                    }
                }
            }
            index = each.end();
        }
    }

    private static boolean hasNotRun(Run run, int command) {
        BitSet known = run.notRun;
        return known != null && known.get(command);
    }

    private boolean mayRunTwice(Run run, @Nullable CommandRule rule) {
        return rule != null
                && rule.repeatable()
                && !run.inPieces
                && !session.tracking.isOn(); // what was said of it by CLIENT CACHING is gone
    }

    /** Whether a read of which this attempt was lost is to be sent again. */
    boolean mayTryAgain(int attempt) {
        if (attempt < session.loop().limits().attemptsPerReadMax()) {
            return true;
        }
        session.loop().reached(Limit.READ_ATTEMPTS);
        return false;
    }

    /** What was sent before all that is here. */
    void addFirst(List<Lost> before) {
        for (Lost one : before.reversed()) {
            lost.addFirst(one);
        }
    }

    /** Who was to be asked for what was not run is of another fleet. */
    void routeChanged() {
        for (Lost one : lost) {
            if (one.retries() != null) {
                one.retries().forgetNext();
            }
        }
    }

    /** Sends the next one, or gives its reply; false where it has to wait. */
    boolean next() {
        Lost next = lost.element();
        if (next.commands() == 0) {
            if (next.writes() && !session.isQuiet()) {
                return false;
            }
            lost.remove();
            if (next.writes()) {
                session.replyToWriteNow(next.bytes(), next.losses());
            } else {
                session.replyInTurn(next.bytes());
            }
            return true;
        }
        return session.loop().isSharded() ? sendToShard(next) : send(next);
    }

    private boolean send(Lost next) {
        String refusal = refusal(next);
        boolean mayWrite = !next.writes() || session.loop().confirmations().mayWrite(session);
        BackendConnection connection = refusal == null && mayWrite ? session.upstream() : null;
        if (connection == null) {
            String failure = mayWrite
                    ? session.failure()
                    : session.loop().confirmations().failure();
            return answer(next, refusal == null ? failure : refusal);
        }
        lost.remove();
        Run again = new Run(
                session,
                next.bytes(),
                next.commands(),
                session,
                session.loop().nanoTime(),
                next.attempt(),
                next.writes());
        again.silent = next.silent();
        again.notRunSinceNanos = next.hasNotRun() ? next.sinceNanos() : 0;
        session.send(connection, again);
        return true;
    }

    private boolean sendToShard(Lost next) {
        Retries retries = next.retries();
        if (!session.isQuiet() || (retries != null && !retries.isTime())) {
            return false;
        }
        String refusal = refusal(next);
        if (refusal != null) {
            return answer(next, refusal);
        }
        ClusterLane lane = session.lane();
        Endpoint asked = retries == null ? null : retries.next();
        Endpoint server = asked != null ? asked : lane.server(lane.slot(next.bytes(), 0, rule(next)));
        boolean mayWrite = !next.writes() || session.loop().confirmations().mayWrite(session);
        BackendConnection connection = mayWrite ? lane.connection(server) : null;
        if (connection == null) {
            return answer(
                    next,
                    mayWrite
                            ? lane.failure(server)
                            : session.loop().confirmations().failure());
        }
        lost.remove();
        lane.sendAgain(connection, next.bytes(), next.writes(), next.silent(), next.attempt(), retries);
        if (session.shardTracking.isOn()) {
            session.shardTracking.forgetEverything(); // what CLIENT CACHING said of it is not said again
        }
        return true;
    }

    /** False where nothing speaks against it yet, or others are to be answered before. */
    private boolean answer(Lost next, @Nullable String failure) {
        if (failure == null || !session.isQuiet()) {
            return false;
        }
        lost.remove();
        next.bytes().release();
        session.loop().routeTraffic().notAnswered(next.commands());
        if (!next.silent()) {
            session.replyInTurn(Wire.error(failure));
        }
        return true;
    }

    private static @Nullable CommandRule rule(Lost next) {
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        scanner.next(next.bytes(), 0);
        return CommandTable.find(next.bytes(), scanner.nameOffset(), scanner.nameLength());
    }

    /** What the client of a command that has not run is told, where it is not sent again; null where it is. */
    private @Nullable String refusal(Lost next) {
        ProxyLoop loop = session.loop();
        if (next.hasNotRun()) {
            Duration limit = loop.limits().failoverWait();
            if (loop.nanoTime() - next.sinceNanos() >= limit.toNanos()) {
                loop.reached(Limit.FAILOVER_WAIT);
                return "ERR switchback: fleet " + loop.route().fleet().name()
                        + " has had no primary that takes commands for " + limit.toMillis()
                        + " ms; the command has not run";
            }
        }
        CommandGuard guard = next.writes() ? loop.guard() : null; // it may have been set since
        return guard == null ? null : guard.refusal(RequestScanner.copyArguments(next.bytes(), 0));
    }

    /** Nobody waits for them any more. */
    void discard() {
        lost.forEach(one -> one.bytes().release());
        lost.clear();
    }
}
