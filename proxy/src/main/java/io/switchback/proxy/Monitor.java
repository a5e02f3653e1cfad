package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * MONITOR: the server's lines, over a connection of the session's own, on which nothing else is sent any more. Owned by the session's event
 * loop.
 *
 * <p>To the connection the lines are the replies to a run that has no end and belongs to no client, so no hold waits for it. Only whole
 * lines are passed on: where the route changes those of the other fleet follow, and the client hears of nothing.
 *
 * <p>In front of a cluster there is such a connection to the primary of every shard, and the client gets the lines of all of them as they come; to those of a primary that is new to the cluster as soon as it is known.
 */
final class Monitor {
    private static final Logger LOG = LoggerFactory.getLogger(Monitor.class);

    private final ClientSession session;
    private boolean on;
    /** The session's own connection has been asked; in front of a cluster, all of {@link #shards}. */
    private boolean placed;
    /** In front of a cluster, by their primaries. */
    private final Map<Endpoint, Shard> shards = new HashMap<>(0);
    /** Of the cluster, when they were asked. */
    private int version;

    Monitor(ClientSession session) {
        this.session = session;
    }

    boolean isOn() {
        return on;
    }

    boolean mustBeAsked() {
        ClusterMap map = on && placed ? session.loop().cluster() : null;
        return on && (!placed || (map != null && map.version() != version));
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
        discardShards();
    }

    /** Those of the former one are of no further use. */
    void routeChanged() {
        placed = false;
        discardShards();
    }

    private void discardShards() {
        shards.values().forEach(shard -> shard.place.discard());
        shards.clear();
    }

    /** A connection of the session's is gone; whether it monitored over it. */
    boolean closed(BackendConnection connection) {
        for (Shard shard : shards.values()) {
            if (shard.place.is(connection)) {
                shard.place.gone();
                return true;
            }
        }
        return false;
    }

    void pauseReading(boolean isFull) {
        for (Shard shard : shards.values()) {
            BackendConnection connection = shard.place.current();
            if (connection != null) {
                connection.pauseReading(isFull);
            }
        }
    }

    void readOn() {
        for (Shard shard : shards.values()) {
            BackendConnection connection = shard.place.current();
            if (connection != null) {
                connection.readOn();
            }
        }
    }

    /** {@code again} where the client has had its answer. */
    Operation asking(boolean again) {
        return session.loop().isSharded() ? new AskingShards(session, again) : new Asking(session, again);
    }

    /** Who has said MONITOR to a server. */
    private interface Asked {
        /** The reply, which is the caller's. */
        void answered(ByteBuf reply);

        /** There will be none. */
        void unanswered();
    }

    private static void send(ClientSession session, BackendConnection connection, ReplySink lines) {
        connection.send(new Run(
                null,
                Wire.command("MONITOR"),
                Integer.MAX_VALUE,
                lines,
                session.loop().nanoTime(),
                1));
    }

    /** One primary of a cluster. */
    private final class Shard implements Asked {
        private final OwnConnection place = new OwnConnection(session);
        private boolean isAsked;
        private boolean isAnswered;
        /** What it has said against it. */
        private @Nullable ByteBuf error;

        @Override
        public void answered(ByteBuf reply) {
            isAnswered = true;
            error = AskingOperation.isError(reply) ? reply.copy() : null;
            session.loop().resumeLater(session);
        }

        @Override
        public void unanswered() {
            isAsked = false;
            session.loop().resumeLater(session);
        }
    }

    private final class AskingShards extends Operation {
        private final boolean again;
        private boolean done;

        AskingShards(ClientSession session, boolean again) {
            super(session);
            this.again = again;
        }

        @Override
        boolean proceed() {
            if (done) {
                return true;
            }
            if (!session.isQuiet()) {
                return false;
            }
            ClusterMap map = session.loop().cluster();
            if (map == null) {
                return handOver();
            }
            List<Endpoint> primaries = map.primaries();
            shards.entrySet().removeIf(entry -> {
                boolean leaves = !primaries.contains(entry.getKey());
                if (leaves) {
                    entry.getValue().place.discard();
                }
                return leaves;
            });
            boolean all = !primaries.isEmpty();
            for (Endpoint server : primaries) {
                Shard shard = shards.computeIfAbsent(server, any -> new Shard());
                String failure = ask(server, shard);
                if (failure != null) {
                    return failed(failure);
                }
                all &= shard.isAnswered;
            }
            return all ? succeeded(map) : waits(primaries.isEmpty());
        }

        /** The fleet in use is one server now. */
        private boolean handOver() {
            if (!again) {
                session.perform(asking(false));
                session.loop().resumeLater(session);
            }
            return again;
        }

        private boolean waits(boolean nobodyIsKnown) {
            if (nobodyIsKnown) {
                session.loop().lookAgain();
                Retries.resumeInAMoment(session);
            }
            return false;
        }

        /** Why it cannot be asked; null where it has been, or can be in a moment. */
        private @Nullable String ask(Endpoint server, Shard shard) {
            ByteBuf error = shard.error;
            if (error != null) {
                shard.error = null;
                String said =
                        error.toString(StandardCharsets.UTF_8).substring(1).strip();
                error.release();
                return said;
            }
            BackendConnection connection = shard.place.get(session.key(server));
            if (connection == null) {
                return shard.place.takeFailure();
            }
            if (!shard.isAsked) {
                shard.isAsked = true;
                send(session, connection, new Lines(shard));
            }
            return null;
        }

        private boolean succeeded(ClusterMap map) {
            on = true;
            placed = true;
            version = map.version();
            done = true;
            if (!again) {
                session.reply(Wire.ok());
            }
            return true;
        }

        private boolean failed(String failure) {
            discardShards();
            done = true;
            if (again) {
                LOG.warn("client {} is closed: it cannot monitor any more: {}", session.address(), failure);
                session.close();
            } else {
                session.loop().routeTraffic().notAnswered(1);
                session.refuse(failure, 1);
            }
            return true;
        }

        @Override
        void clientGone() {
            done = true;
            discardShards();
        }

        @Override
        void replied(Run run, ByteBuf reply) {
            throw new IllegalStateException("the lines are not collected");
        }

        @Override
        void lost(String why) {
            throw new IllegalStateException("the lines are not collected");
        }
    }

    private final class Asking extends AskingOperation implements Asked {
        private final boolean again;

        Asking(ClientSession session, boolean again) {
            super(session);
            this.again = again;
        }

        @Override
        @Nullable
        BackendConnection connection() {
            if (session.loop().isSharded()) { // a switch has led there
                if (again) {
                    finish();
                } else {
                    session.perform(asking(false));
                    session.loop().resumeLater(session);
                }
                return null;
            }
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
            Monitor.send(session, connection, new Lines(this));
        }

        @Override
        void clientGone() {
            session.own().discard(); // lines would come over it without end
        }

        @Override
        public void answered(ByteBuf reply) {
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

        @Override
        public void unanswered() {
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
        private final Asked asking;
        private boolean answered;
        private @Nullable ByteBuf part;

        Lines(Asked asking) {
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
