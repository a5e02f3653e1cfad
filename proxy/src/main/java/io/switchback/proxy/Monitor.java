package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * MONITOR: the server's lines, over a connection of the session's own, on which nothing else is sent any more. Owned by the session's event
 * loop.
 *
 * <p>To the connection the lines are the replies to a run that has no end and belongs to no client, so no hold waits for it. Only whole
 * lines are passed on: where the route changes those of the other fleet follow, and the client hears of nothing.
 */
final class Monitor {
    private static final Logger LOG = LoggerFactory.getLogger(Monitor.class);

    private final ClientSession session;
    private boolean on;
    /** The session's own connection has been asked. */
    private boolean placed;

    Monitor(ClientSession session) {
        this.session = session;
    }

    boolean isOn() {
        return on;
    }

    boolean mustBeAsked() {
        return on && !placed;
    }

    void connectionGone() {
        placed = false;
    }

    /** The connection is of no further use. */
    void off() {
        if (on) {
            on = false;
            placed = false;
            session.own().discard();
        }
    }

    /** {@code again} where the client has had its answer. */
    Operation asking(boolean again) {
        return new Asking(session, again);
    }

    private final class Asking extends AskingOperation {
        private final boolean again;

        Asking(ClientSession session, boolean again) {
            super(session);
            this.again = again;
        }

        @Override
        @Nullable
        BackendConnection connection() {
            return session.own().get();
        }

        @Override
        @Nullable
        String failure() {
            return session.own().takeFailure();
        }

        @Override
        void failed(String failure) {
            if (again) {
                LOG.warn("client {} is closed: it cannot monitor any more: {}", session.address(), failure);
                session.close();
            } else {
                super.failed(failure);
            }
        }

        @Override
        void send(BackendConnection connection) {
            connection.send(new Run(
                    null,
                    Wire.command("MONITOR"),
                    Integer.MAX_VALUE,
                    new Lines(this),
                    session.loop().nanoTime(),
                    1));
        }

        @Override
        void clientGone() {
            session.own().discard(); // lines would come over it without end
        }

        void answered(ByteBuf reply) {
            if (!isError(reply)) {
                on = true;
                placed = true;
                if (again) {
                    finish();
                } else {
                    finish(reply.retain());
                }
            } else {
                session.own().discard();
                if (again) {
                    failed(reply.toString(StandardCharsets.UTF_8).strip());
                    finish();
                } else {
                    finish(reply.retain());
                }
            }
            session.loop().resumeLater(session);
        }

        void unanswered() {
            askNext();
            session.loop().resumeLater(session);
        }

        @Override
        void replied(Run run, ByteBuf reply) {
            throw new IllegalStateException("the lines are not collected");
        }
    }

    /** What comes: first the answer, then lines for as long as the connection lives. */
    private final class Lines implements ReplySink {
        private final Asking asking;
        private boolean answered;
        private @Nullable ByteBuf part;

        Lines(Asking asking) {
            this.asking = asking;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            run.answered = 0; // it has no end
            int from = index;
            int end = index + length;
            if (!answered) {
                int line = in.indexOf(from, end, (byte) '\n');
                if (line < 0) {
                    keep(in, from, end);
                    return;
                }
                keep(in, from, line + 1);
                from = line + 1;
                ByteBuf whole = takePart();
                answered = true;
                try {
                    asking.answered(whole);
                } finally {
                    whole.release();
                }
            }
            int last = endOfLastLine(in, from, end);
            if (on && last > from) {
                if (part != null) {
                    ByteBuf begun = takePart();
                    session.monitored(begun, begun.readerIndex(), begun.readableBytes());
                    begun.release();
                }
                session.monitored(in, from, last - from);
                from = last;
            }
            if (on && from < end) {
                keep(in, from, end);
            }
        }

        private static int endOfLastLine(ByteBuf in, int from, int end) {
            int last = end;
            while (last > from && in.getByte(last - 1) != '\n') {
                last--;
            }
            return last;
        }

        private void keep(ByteBuf in, int from, int end) {
            ByteBuf so = part;
            if (so == null) {
                so = Unpooled.buffer(end - from);
                part = so;
            }
            so.writeBytes(in, from, end - from);
            if (so.readableBytes() > session.loop().limits().outputBytesPerClientMax()) {
                LOG.warn(
                        "client {} is closed: one line that it monitors has more than {} bytes",
                        session.address(),
                        session.loop().limits().outputBytesPerClientMax());
                session.close();
            }
        }

        private ByteBuf takePart() {
            ByteBuf so = part;
            part = null;
            return so == null ? Unpooled.EMPTY_BUFFER : so;
        }

        @Override
        public void answered(Run run) {
            throw new IllegalStateException("it has no end");
        }

        @Override
        public void lost(Run run, String why) {
            takePart().release();
            if (!answered) {
                asking.unanswered();
            }
        }
    }

    /** What a client that monitors may still say; null where that is nothing. */
    static SessionCommands.@Nullable Verdict judge(ClientSession session, String name, byte[][] command) {
        return switch (name) {
            case "quit", "reset" -> null;
            case "ping" ->
                command.length > 2
                        ? new SessionCommands.Refuse("ERR wrong number of arguments for 'ping' command")
                        : new SessionCommands.Perform(new LocalOperation(
                                session,
                                () -> session.reply(
                                        command.length == 2 ? Wire.bulk(command[1]) : Wire.status("PONG"))));
            case "monitor" -> new SessionCommands.Perform(new LocalOperation(session, () -> {})); // as the servers
            default ->
                new SessionCommands.Refuse("ERR switchback: a client that monitors may use PING, RESET and QUIT only");
        };
    }
}
