package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.RequestScanner;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * A session's commands whose connection broke before they were answered, in their order. What only reads is sent again, {@link
 * ProxyLimits#attemptsPerReadMax} times in all; of the rest nobody knows whether it has run, and the client is told so.
 */
final class LostCommands {
    private final ClientSession session;
    private final ArrayDeque<Lost> lost = new ArrayDeque<>(1);

    /** What is to be sent, as which attempt; without commands it is a reply whose turn has not come. */
    private record Lost(ByteBuf bytes, int commands, int attempt, boolean silent) {
        static Lost reply(ByteBuf bytes, Run run) {
            return new Lost(bytes, 0, run.attempt, false);
        }
    }

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
                if (mayRunTwice(run, rule) && mayTryAgain(run)) {
                    ByteBuf bytes = run.request.retainedSlice(index, each.end() - index);
                    lost.add(new Lost(bytes, 1, run.attempt + 1, run.silent));
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
        BackendConnection connection = session.upstream();
        if (connection == null) {
            String failure = session.loop().backends().failure(session.key());
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
        lost.remove();
        Run again = new Run(
                session, next.bytes(), next.commands(), session, session.loop().nanoTime(), next.attempt());
        again.silent = next.silent();
        session.send(connection, again);
        return true;
    }

    /** Nobody waits for them any more. */
    void discard() {
        lost.forEach(one -> one.bytes().release());
        lost.clear();
    }
}
