package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import io.switchback.resp.ReplyScanner;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What was said of scripts within a transaction: each {@link ScriptCommand} is given its own reply out of that to EXEC. Where that has not as
 * many as there are commands, nothing is remembered or forgotten. Owned by its session's event loop.
 */
final class TransactionScripts {
    private enum State {
        LENGTH,
        REPLIES,
        OVER
    }

    /** {@code *} and a number. */
    private static final int LENGTH_BYTES_MAX = 12;

    private final List<@Nullable ScriptCommand> commands = new ArrayList<>();
    private final ReplyScanner scanner = new ReplyScanner();
    private final StringBuilder length = new StringBuilder();
    private State state = State.LENGTH;
    private int answered;

    /** {@code queue}: what the client sent within MULTI. */
    TransactionScripts(List<byte[][]> queue) {
        for (byte[][] command : queue) {
            CommandRule rule = CommandTable.find(command);
            // These are answered at once, by an error.
            boolean isQueued = rule == null
                    || (!rule.name().equals("multi") && !rule.name().equals("watch"));
            if (isQueued) {
                commands.add(rule == null ? null : ScriptCommand.of(rule, command));
            }
        }
    }

    /** Part of the reply to EXEC. */
    void receive(ByteBuf in, int index, int bytes) {
        int at = index;
        int end = index + bytes;
        while (state == State.LENGTH && at < end) {
            readLength(in.getByte(at++));
        }
        while (state == State.REPLIES && at < end && answered < commands.size()) {
            int next = scanner.scan(in, at, end, 1);
            if (next == ReplyScanner.MALFORMED || next == at) {
                state = State.OVER;
                return;
            }
            ScriptCommand command = commands.get(answered);
            if (command != null) {
                command.receive(in, at, next - at);
            }
            answered += scanner.completed();
            at = next;
        }
    }

    private void readLength(byte next) {
        if (next == '\n') {
            state = length.toString().equals("*" + commands.size() + "\r") ? State.REPLIES : State.OVER;
        } else if (length.length() > LENGTH_BYTES_MAX) {
            state = State.OVER;
        } else {
            length.append((char) next);
        }
    }

    /** The reply is whole. */
    void answered(ProxyLoop loop) {
        if (state == State.REPLIES && answered == commands.size()) {
            for (ScriptCommand command : commands) {
                if (command != null) {
                    command.answered(loop);
                }
            }
        }
    }
}
