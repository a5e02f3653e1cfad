package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.RequestScanner;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * A session's commands that were sent and not answered, and are to be sent again or named, in their order: those whose connection broke, and those
 * of which the server has said that it is no primary any more ({@link NotPrimary}).
 *
 * <p>Three kinds, and no command is ever both sent again and told lost:
 *
 * <ul>
 *   <li>What has certainly not run, as the server said, is sent again to whoever is the primary then; where there is none for {@link
 *       ProxyLimits#failoverWait}, the client is told that it has not run.
 *   <li>What only reads is sent again, {@link ProxyLimits#attemptsPerReadMax} times in all.
 *   <li>Of the rest nobody knows whether it has run, and the client is told so. So it is with a write behind one that has not run whose own answer was
 *       another one: the server has become a primary again in between, say, and it may not run twice; nor may its answer come before that
 *       of the earlier one, which is still to be sent.
 * </ul>
 *
 * <p>Order: the session sends nothing new while there is anything here, and the first here is sent over another connection than it was, which {@link
 * ClientSession#upstream} gives only once the former one has answered, or lost, all that this session had sent over it. So what is added later was also
 * sent later, and each client's commands reach the primary in the order in which the client sent them. What a command that may have run has done before an earlier one that is sent again, stands in the
 * history as what its client was told: nobody knows when, or whether, it ran.
 */
final class LostCommands {
    private final ClientSession session;
    private final ArrayDeque<Lost> lost = new ArrayDeque<>(1);

    /**
     * What is to be sent, as which attempt; without commands it is a reply whose turn has not come.
     *
     * @param sinceNanos since when it has certainly not run; {@link #MAY_HAVE_RUN} where that is not so
     */
    private record Lost(ByteBuf bytes, int commands, int attempt, boolean silent, boolean writes, long sinceNanos) {
        static Lost reply(ByteBuf bytes, Run run) {
            return new Lost(bytes, 0, run.attempt, false, false, MAY_HAVE_RUN);
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
            lost.add(Lost.reply(run.request.retain(), run));
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
                if (hasNotRun(run, i)) {
                    // Not an attempt: nothing but the wait is limited.
                    long since = run.notRunSinceNanos == 0 ? session.loop().nanoTime() : run.notRunSinceNanos;
                    lost.add(new Lost(bytes.retain(), 1, run.attempt, run.silent, writes, since));
                } else if (mayRunTwice(run, rule) && mayTryAgain(run)) {
                    lost.add(new Lost(bytes.retain(), 1, run.attempt + 1, run.silent, writes, MAY_HAVE_RUN));
                } else {
                    session.loop().routeTraffic().notAnswered(1);
                    if (!run.silent) {
                        lost.add(Lost.reply(Wire.error(session.lostMessage(why)), run));
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

    private boolean mayTryAgain(Run run) {
        if (run.attempt < session.loop().limits().attemptsPerReadMax()) {
            return true;
        }
        session.loop().reached(Limit.READ_ATTEMPTS);
        return false;
    }

    /** Sends the next one, or gives its reply; false where it has to wait. */
    boolean next() {
        Lost next = lost.element();
        if (next.commands() == 0) {
            lost.remove();
            session.replyInTurn(next.bytes());
            return true;
        }
        String refusal = refusal(next);
        boolean mayWrite = !next.writes() || session.loop().confirmations().mayWrite(session);
        BackendConnection connection = refusal == null && mayWrite ? session.upstream() : null;
        if (connection == null) {
            if (refusal == null) {
                refusal = mayWrite
                        ? session.loop().backends().failure(session.key())
                        : session.loop().confirmations().failure();
            }
            if (refusal == null || !session.isQuiet()) {
                return false;
            }
            lost.remove();
            next.bytes().release();
            session.loop().routeTraffic().notAnswered(next.commands());
            if (!next.silent()) {
                session.replyInTurn(Wire.error(refusal));
            }
            return true;
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

    /** What the client of a command that has not run is told, where it is not sent again; null where it is. */
    private @Nullable String refusal(Lost next) {
        if (!next.hasNotRun()) {
            return null;
        }
        ProxyLoop loop = session.loop();
        Duration limit = loop.limits().failoverWait();
        if (loop.nanoTime() - next.sinceNanos() >= limit.toNanos()) {
            loop.reached(Limit.FAILOVER_WAIT);
            return "ERR switchback: fleet " + loop.route().fleet().name()
                    + " has had no primary that takes commands for " + limit.toMillis()
                    + " ms; the command has not run";
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
