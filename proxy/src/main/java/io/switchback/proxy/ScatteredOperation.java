package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.ReplyScanner;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A command that several shards of a cluster have a part in, or one shard of which the reply has to be changed: each is sent its piece, and the
 * client gets one reply out of theirs. Pieces that were not run ({@link NotExecuted}) are sent again; so are those whose connection broke, where they
 * change nothing.
 *
 * <p>Where a switch comes between two pieces, everything is asked anew of the fleet that is in use then ({@link #pieces}); a piece that
 * stands for itself stays answered where {@link #stands} says so.
 *
 * <p>Owned by its session's event loop. States: waiting until all before it is answered, asking, done.
 */
abstract class ScatteredOperation extends Operation {
    private final boolean repeatable;
    private List<Piece> pieces = List.of();
    private long epoch;
    private long bytes;
    /** CLIENT CACHING, said of this command. */
    private @Nullable ByteBuf caching;

    private boolean begun;
    private boolean done;
    private boolean gone;

    /** {@code repeatable}: it changes nothing. */
    ScatteredOperation(ClientSession session, boolean repeatable) {
        super(session);
        this.repeatable = repeatable;
    }

    /** What is to be asked of the fleet in use. */
    abstract List<Piece> pieces();

    /** The client's reply, which the caller takes over; null where something else was asked for ({@link #askAlso}). The replies stay this operation's. */
    abstract @Nullable ByteBuf joined(List<ByteBuf> replies);

    /** Whether what was answered by the fleet that was left is part of the whole all the same: it is about keys, not about servers. */
    boolean stands() {
        return false;
    }

    /** For the primary that has the slot, whichever that is; for any server where it is negative. */
    final Piece piece(int slot, byte[]... command) {
        return new Piece(slot, command);
    }

    /** One such piece for each shard. */
    final List<Piece> eachShard(byte[]... command) {
        ClusterMap map = session.loop().cluster();
        if (map == null || map.slotOfEachShard().isEmpty()) {
            return List.of(piece(-1, command));
        }
        return map.slotOfEachShard().stream().map(slot -> piece(slot, command)).toList();
    }

    /** Goes on asking. */
    final void askAlso(List<Piece> more) {
        releaseReplies();
        pieces = more;
    }

    /** One question. */
    final class Piece implements ReplySink {
        private final int slot;
        private final byte[][] command;
        private final Retries retries = new Retries(session);
        private int attempts;
        private boolean isUnderWay;
        /** So many replies before its own. */
        private int repliesToSkip;

        private @Nullable Endpoint server;
        /** {@link Confirmations#losses} as of when its reply came. */
        private int losses;

        private @Nullable ByteBuf coming;
        private boolean isTooLong;
        private @Nullable ByteBuf reply;

        private Piece(int slot, byte[][] command) {
            this.slot = slot;
            this.command = command;
        }

        /** Sends it, or leaves it to be sent together with others for the same connection. */
        private void proceed(Map<BackendConnection, Together> together) {
            if (reply != null || isUnderWay || !retries.isTime()) {
                return;
            }
            ProxyLoop loop = session.loop();
            Endpoint asked = loop.isSharded() ? retries.next() : null;
            Endpoint to =
                    asked != null ? asked : loop.isSharded() ? session.lane().server(slot) : null;
            boolean mayAsk = repeatable || loop.confirmations().mayWrite(session);
            BackendConnection connection =
                    !mayAsk ? null : loop.isSharded() ? session.lane().connection(to) : session.upstream();
            if (connection == null) {
                String failure = !mayAsk
                        ? loop.confirmations().failure()
                        : loop.isSharded() ? session.lane().failure(to) : session.failure();
                if (failure != null) {
                    loop.routeTraffic().notAnswered(1);
                    reply = Wire.error(failure);
                    losses = loop.confirmations().losses();
                }
                return;
            }
            attempts++;
            isUnderWay = true;
            server = connection.server;
            repliesToSkip = 0;
            if (asked == null && caching == null && loop.isSharded()) {
                together.computeIfAbsent(connection, any -> new Together())
                        .pieces
                        .add(this);
                return;
            }
            ByteBuf bytesToSend = Wire.command(command);
            if (asked != null && retries.asks()) {
                bytesToSend = Unpooled.wrappedBuffer(Wire.command("ASKING"), bytesToSend);
                repliesToSkip++;
            }
            if (caching != null && loop.isSharded()) {
                bytesToSend = Unpooled.wrappedBuffer(caching.copy(), bytesToSend);
                repliesToSkip++;
            }
            session.ask(connection, bytesToSend, 1 + repliesToSkip, this, !repeatable);
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            int max = session.loop().limits().filteredReplyBytesMax();
            ByteBuf so = coming;
            if (so == null) {
                so = in.alloc().buffer(length);
                coming = so;
                losses = session.loop().confirmations().losses();
            }
            bytes += length;
            if (isTooLong || bytes > max) {
                if (!isTooLong) {
                    session.loop().reached(Limit.FILTERED_REPLY_BYTES);
                }
                isTooLong = true;
                so.clear();
                return;
            }
            so.writeBytes(in, index, length);
        }

        @Override
        public void answered(Run run) {
            session.operationRepliedTo(run);
            isAnswered();
        }

        private void isAnswered() {
            isUnderWay = false;
            ByteBuf so = coming;
            coming = null;
            if (so == null || gone) {
                if (so != null) {
                    so.release();
                }
                return;
            }
            if (isTooLong) {
                so.release();
                reply = Wire.error("ERR switchback: the replies of the shards have more than "
                        + session.loop().limits().filteredReplyBytesMax()
                        + " bytes together, and must be joined; ask for less at a time");
                return;
            }
            for (int i = 0; i < repliesToSkip; i++) {
                ReplyScanner scanner = new ReplyScanner();
                so.readerIndex(scanner.scan(so, so.readerIndex(), so.writerIndex(), 1));
            }
            Endpoint from = server;
            NotExecuted answer = from == null || !session.loop().isSharded() ? null : NotExecuted.read(so, from);
            if (answer != null && retries.again(answer)) {
                so.release();
            } else {
                reply = so;
            }
        }

        @Override
        public void lost(Run run, String why) {
            session.operationRepliedTo(run);
            isLost(why);
        }

        private void isLost(String why) {
            isUnderWay = false;
            ByteBuf so = coming;
            coming = null;
            if (so != null) {
                so.release();
            }
            if (gone) {
                return;
            }
            if (repeatable && session.lostCommands().mayTryAgain(attempts)) {
                retries.forgetNext();
                return;
            }
            session.loop().routeTraffic().notAnswered(1);
            reply = Wire.error(session.lostMessage(why));
            losses = session.loop().confirmations().losses();
        }

        private void release() {
            ByteBuf had = reply;
            reply = null;
            if (had != null) {
                had.release();
            }
        }
    }

    /** Pieces that are sent at once over one connection. */
    private final class Together implements ReplySink {
        private final List<Piece> pieces = new ArrayList<>();
        /** So many have been answered. */
        private int answered;

        private void send(BackendConnection connection) {
            ByteBuf commands = Unpooled.buffer();
            for (Piece piece : pieces) {
                commands.writeBytes(CommandEncoder.encode(piece.command));
            }
            Run run = new Run(
                    session, commands, pieces.size(), this, session.loop().nanoTime(), 1, !repeatable);
            run.oneByOne = true;
            session.ask(connection, run);
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            pieces.get(answered).receive(run, in, index, length);
            if (!run.partial) {
                answered++;
            }
        }

        @Override
        public void answered(Run run) {
            session.operationRepliedTo(run);
            pieces.forEach(Piece::isAnswered);
        }

        @Override
        public void lost(Run run, String why) {
            session.operationRepliedTo(run);
            pieces.subList(0, answered).forEach(Piece::isAnswered);
            pieces.subList(answered, pieces.size()).forEach(piece -> piece.isLost(why));
        }
    }

    @Override
    final boolean proceed() {
        if (done) {
            return true;
        }
        ProxyLoop loop = session.loop();
        if (!begun) {
            if (!session.isQuiet()) {
                return false;
            }
            begun = true;
            epoch = loop.route().epoch();
            caching = loop.isSharded() ? session.tracking.takeOfNext() : null;
            pieces = pieces();
        } else if (epoch != loop.route().epoch()) {
            epoch = loop.route().epoch();
            pieces.forEach(piece -> piece.retries.forgetNext());
            if (!stands()) {
                releaseReplies();
                pieces = pieces();
            }
        }
        while (true) {
            List<Piece> now = pieces;
            Map<BackendConnection, Together> together = new LinkedHashMap<>();
            now.forEach(piece -> piece.proceed(together));
            together.forEach((connection, some) -> some.send(connection));
            List<ByteBuf> replies = new ArrayList<>();
            for (Piece piece : now) {
                if (piece.reply == null) {
                    return false;
                }
                replies.add(piece.reply);
            }
            ByteBuf whole = joined(replies);
            if (whole != null) {
                releaseReplies();
                releaseCaching();
                done = true;
                if (repeatable) {
                    session.reply(whole);
                } else {
                    session.replyToWrite(
                            whole,
                            now.stream().mapToInt(piece -> piece.losses).min().orElseThrow());
                }
                return true;
            }
        }
    }

    private void releaseReplies() {
        pieces.forEach(Piece::release);
        bytes = 0;
    }

    private void releaseCaching() {
        ByteBuf had = caching;
        caching = null;
        if (had != null) {
            had.release();
        }
    }

    @Override
    void clientGone() {
        gone = true;
        releaseReplies();
        releaseCaching();
    }

    @Override
    final void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("each piece has its own reply");
    }

    @Override
    final void lost(String why) {
        throw new IllegalStateException("each piece is lost for itself");
    }
}
