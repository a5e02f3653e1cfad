package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * SCRIPT KILL, FUNCTION KILL, CLIENT PAUSE and UNPAUSE in front of a cluster: to the primary of every shard, over connections that nobody else uses. What is to be killed may run on one that is shared, where it would
 * be waited for; and a server that is told to pause has others wait behind that.
 *
 * <p>SCRIPT KILL goes in database 0 and by RESP2, as a connection is from its beginning: a server that is busy lets a connection authenticate, and nothing else.
 *
 * <p>Where a switch leads to a single server before all have answered, that is asked in their place. Owned by its session's event loop.
 */
final class AloneAtEachShard extends Operation {
    private final byte[][] command;
    private final boolean kills;
    private final List<Shard> shards = new ArrayList<>();
    private long epoch;
    private boolean begun;
    private boolean done;

    private AloneAtEachShard(ClientSession session, byte[][] command, boolean kills) {
        super(session);
        this.command = command;
        this.kills = kills;
    }

    static SessionCommands.Verdict kill(ClientSession session, byte[][] command) {
        return new SessionCommands.Perform(new AloneAtEachShard(session, command, true));
    }

    static SessionCommands.Verdict pause(ClientSession session, byte[][] command) {
        return new SessionCommands.Perform(new AloneAtEachShard(session, command, false));
    }

    @Override
    boolean proceed() {
        if (done) {
            return true;
        }
        if (!begun || epoch != session.loop().route().epoch()) {
            if (!session.isQuiet()) {
                return false;
            }
            begin();
        }
        boolean all = true;
        for (Shard shard : shards) {
            shard.proceed();
            all &= shard.reply != null;
        }
        return all && session.isQuiet() && finish();
    }

    private void begin() {
        begun = true;
        epoch = session.loop().route().epoch();
        leave();
        ClusterMap map = session.loop().cluster();
        List<Endpoint> primaries = map == null ? List.of() : map.primaries();
        if (primaries.isEmpty()) {
            shards.add(new Shard(null));
        } else {
            primaries.forEach(server -> shards.add(new Shard(server)));
        }
    }

    private boolean finish() {
        List<ByteBuf> replies = new ArrayList<>();
        for (Shard shard : shards) {
            ByteBuf reply = shard.reply;
            if (reply != null) {
                replies.add(reply);
            }
        }
        ByteBuf said = kills ? killed(replies).retainedDuplicate() : JoinedReplies.first(replies);
        leave();
        done = true;
        session.forgetUpstream();
        session.reply(said);
        return true;
    }

    /** One has been killed, if any has; else what is wrong, if that is more than that nothing runs there. */
    private static ByteBuf killed(List<ByteBuf> replies) {
        ByteBuf said = replies.getFirst();
        for (ByteBuf reply : replies) {
            if (!AskingOperation.isError(reply)) {
                return reply;
            }
            if (!reply.toString(US_ASCII).startsWith("-NOTBUSY")) {
                said = reply;
            }
        }
        return said;
    }

    private void leave() {
        shards.forEach(Shard::leave);
        shards.clear();
    }

    /** The primary of one; null for the one server that there is. */
    private final class Shard implements ReplySink {
        private final @Nullable Endpoint server;
        private final OwnConnection place = new OwnConnection(session);
        private boolean isUnderWay;
        private int attempts;
        private @Nullable ByteBuf coming;
        private @Nullable ByteBuf reply;

        Shard(@Nullable Endpoint server) {
            this.server = server;
        }

        private ConnectionKey key() {
            return kills
                    ? new ConnectionKey(server, session.identity.credential(), 0, Protocol.RESP2, false, false, false)
                    : session.key(server);
        }

        void proceed() {
            if (reply != null || isUnderWay) {
                return;
            }
            BackendConnection current = place.current();
            if (current != null && !current.isOpen()) {
                place.gone();
            }
            BackendConnection connection = place.get(key());
            if (connection == null) {
                String failure = place.takeFailure();
                if (failure != null) {
                    reply = Wire.error(failure);
                }
                return;
            }
            isUnderWay = true;
            attempts++;
            session.ask(connection, Wire.command(command), 1, this);
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            ByteBuf so = coming;
            if (so == null) {
                so = Unpooled.buffer(length);
                coming = so;
            }
            so.writeBytes(in, index, length);
        }

        @Override
        public void answered(Run run) {
            isUnderWay = false;
            session.operationRepliedTo(run);
            reply = coming;
            coming = null;
            if (done) {
                leave();
            }
        }

        @Override
        public void lost(Run run, String why) {
            isUnderWay = false;
            session.operationRepliedTo(run);
            if (coming != null) {
                coming.release();
                coming = null;
            }
            if (!done && !session.lostCommands().mayTryAgain(attempts)) {
                reply = Wire.error(session.lostMessage(why));
            }
        }

        void leave() {
            place.leaveForGood();
            ByteBuf had = reply;
            reply = null;
            if (had != null) {
                had.release();
            }
        }
    }

    @Override
    void clientGone() {
        done = true;
        for (Shard shard : shards) {
            shard.place.clientGone();
            if (!shard.isUnderWay) {
                shard.leave();
            }
        }
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("each shard has its own reply");
    }

    @Override
    void lost(String why) {
        throw new IllegalStateException("each shard is lost for itself");
    }
}
