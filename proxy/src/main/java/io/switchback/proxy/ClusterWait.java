package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyScanner;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * WAIT and WAITAOF in front of a cluster: every shard is asked, since the client may have written at any, and the least of what they say is the answer.
 *
 * <p>A server speaks of what the asking connection itself has written last. So each shard is asked over a connection of this command's own, of the fleet's own user, over which something is
 * written first, behind everything that was answered before: in one transaction a reserved key of one of the shard's slots is set and deleted. (To a single server a message is
 * published for that; a cluster does not bring those to replicas.) Whether the client may WAIT is asked over a connection of its user.
 *
 * <p>A hold cannot wait for it, so a server is never let wait for longer than {@link #SLICE_MS}, and then asked again while there is time. Where the cluster changes meanwhile everything is asked
 * anew; where a switch leads to a single server, {@link BlockingCommand} goes on with the time that is left.
 *
 * <p>Owned by its session's event loop. Steps: until all before it is answered; whether the client may; then each shard for itself ({@link Shard}), until all have enough or the time is over.
 */
final class ClusterWait extends Operation implements Waiting {
    /** How long a hold may have to wait for it. */
    private static final long SLICE_MS = 10;

    private static final double SLICE_NANOS = TimeUnit.MILLISECONDS.toNanos(SLICE_MS);
    /** MULTI, SET, DEL, EXEC. */
    private static final int MARK_COMMANDS = 4;

    private final CommandRule rule;
    private final byte[][] command;
    private final Blocking blocking;
    private final double nanosMax;
    private final long startedAtNanos;
    private final long[] wanted;

    private final List<Shard> shards = new ArrayList<>();
    private final Retries findingServers;
    private int version;
    private long epoch = Long.MIN_VALUE;
    private boolean begun;
    private boolean mayWait;
    private boolean asksWhetherItMay;
    private boolean timeIsOver;
    /** What its client is told in place of an answer. */
    private @Nullable ByteBuf end;

    private boolean watchesClient;
    private boolean done;
    private boolean gone;

    ClusterWait(ClientSession session, CommandRule rule, byte[][] command, Blocking blocking) {
        super(session);
        this.rule = rule;
        this.command = command;
        this.blocking = blocking;
        this.nanosMax = blocking.nanos(command);
        this.startedAtNanos = session.loop().nanoTime();
        this.wanted = LongStream.range(1, blocking.index())
                .map(i -> number(command[(int) i]))
                .toArray();
        this.findingServers = new Retries(session);
        this.mayWait =
                session.loop().route().fleet().credential().equals(Optional.ofNullable(session.identity.credential()));
    }

    /** 0 where it is none, which the servers say. */
    private static long number(byte[] word) {
        String text = Wire.text(word);
        return text.matches("-?[0-9]{1,18}") ? Long.parseLong(text) : 0;
    }

    @Override
    boolean proceed() {
        if (done) {
            return true;
        }
        ProxyLoop loop = session.loop();
        if (!begun && !session.isQuiet()) {
            return false;
        }
        begun = true;
        if (watchesClient && session.hasLeft()) {
            session.close();
            return false;
        }
        watchesClient = false;
        ByteBuf ended = end;
        if (ended != null) {
            return session.isQuiet() && finish(takeEnd());
        }
        ClusterMap map = loop.cluster();
        if (map == null) {
            return handOver();
        }
        if (!mayWait) {
            return askWhetherItMay();
        }
        if (version != map.version() || epoch != loop.route().epoch()) {
            if (!session.isQuiet() || !begin(map)) {
                return done;
            }
        }
        for (Shard shard : shards) {
            shard.proceed();
        }
        return isOver();
    }

    /** The fleet in use is one server now. */
    private boolean handOver() {
        if (!session.isQuiet()) {
            return false;
        }
        leave();
        byte[][] rest = nanosMax > 0 ? blocking.with(command, nanosMax - elapsedNanos()) : command;
        if (BlockingCommand.judge(session, rule, rest, blocking) instanceof SessionCommands.Perform(Operation next)) {
            session.perform(next);
            session.loop().resumeLater(session);
        }
        return false;
    }

    // --- whether the client may

    private boolean askWhetherItMay() {
        if (asksWhetherItMay) {
            return false;
        }
        Endpoint any = session.lane().server(-1);
        BackendConnection connection = session.lane().connection(any);
        if (connection == null) {
            String failure = session.lane().failure(any);
            return failure != null && finish(Wire.error(failure));
        }
        asksWhetherItMay = true;
        session.ask(connection, this, BlockingCommand.waitingForNothing(rule), 1);
        return false;
    }

    /** Other errors are the command's as well, which says them in its own words. */
    @Override
    void replied(Run run, ByteBuf reply) {
        asksWhetherItMay = false;
        mayWait = true;
        String said = reply.toString(US_ASCII);
        if (said.startsWith("-NOAUTH") || said.startsWith("-NOPERM")) {
            endsBy(reply.retain());
        }
    }

    @Override
    void lost(String why) {
        asksWhetherItMay = false; // it is asked again
    }

    // --- the shards

    /** Whether there is somebody to ask. */
    private boolean begin(ClusterMap map) {
        List<Endpoint> primaries = map.primaries();
        if (primaries.isEmpty()) {
            NotExecuted nobody = new NotExecuted(
                    NotExecuted.Kind.DOWN,
                    -1,
                    null,
                    "ERR switchback: no server of fleet "
                            + session.loop().route().fleet().name() + " is known");
            if (findingServers.isTime() && !findingServers.again(nobody)) {
                finish(Wire.error(nobody.error()));
            }
            return false;
        }
        version = map.version();
        epoch = session.loop().route().epoch();
        leaveShards();
        primaries.forEach(server -> shards.add(new Shard(server)));
        return true;
    }

    private double elapsedNanos() {
        return session.loop().nanoTime() - startedAtNanos;
    }

    private boolean isTimeOver() {
        return timeIsOver || (nanosMax > 0 && elapsedNanos() >= nanosMax);
    }

    private byte[][] slice() {
        if (Double.isNaN(nanosMax) || nanosMax < 0) {
            return command; // the server says what is wrong
        }
        double left = isTimeOver() ? 0 : nanosMax == 0 ? SLICE_NANOS : nanosMax - elapsedNanos();
        return blocking.with(command, Math.min(left, SLICE_NANOS));
    }

    /** One shard, over a connection to its primary: first the mark is written, then it is asked. */
    private final class Shard implements ReplySink {
        private final Endpoint server;
        private final OwnConnection place = new OwnConnection(session);
        private Retries retries = new Retries(session);
        private @Nullable BackendConnection markedOver;
        private boolean marks;
        private boolean isUnderWay;
        private int attempts = 1;
        private int marked;
        private @Nullable ByteBuf coming;
        /** What it has said last. */
        private long @Nullable [] numbers;

        private @Nullable ByteBuf error;

        Shard(Endpoint server) {
            this.server = server;
        }

        private ConnectionKey key() {
            return new ConnectionKey(
                    server,
                    session.loop().route().fleet().credential().orElse(null),
                    0,
                    Protocol.RESP2,
                    false,
                    false,
                    false);
        }

        boolean hasEnough() {
            long[] said = numbers;
            if (said == null || said.length < wanted.length) {
                return false;
            }
            for (int i = 0; i < wanted.length; i++) {
                if (said[i] < wanted[i]) {
                    return false;
                }
            }
            return true;
        }

        void proceed() {
            boolean isAnswered = hasEnough() || (numbers != null && isTimeOver());
            if (isUnderWay || error != null || isAnswered || !retries.isTime()) {
                return;
            }
            BackendConnection current = place.current();
            if (current != null && !current.isOpen()) {
                place.gone();
            }
            BackendConnection over = place.get(key());
            ClusterMap map = session.loop().cluster();
            if (over == null || map == null) {
                String failure = place.takeFailure();
                if (failure != null) {
                    again(new NotExecuted(NotExecuted.Kind.DOWN, -1, null, failure));
                }
                return;
            }
            isUnderWay = true;
            marks = markedOver != over;
            Run run;
            if (marks) {
                byte[] key = map.reservedKey(server, marked++);
                run = new Run(
                        session, mark(key), MARK_COMMANDS, this, session.loop().nanoTime(), 1);
                markedOver = over;
            } else {
                run = new Run(
                        session, Wire.command(slice()), 1, this, session.loop().nanoTime(), 1);
            }
            run.timed = false;
            session.ask(over, run);
        }

        private ByteBuf mark(byte[] key) {
            return Unpooled.wrappedBuffer(
                    Wire.command("MULTI"),
                    Wire.command("SET".getBytes(US_ASCII), key, new byte[0]),
                    Wire.command("DEL".getBytes(US_ASCII), key),
                    Wire.command("EXEC"));
        }

        /** Its slot is elsewhere, or it is no primary, or cannot be reached: in a moment, or never. */
        private void again(NotExecuted answer) {
            markedOver = null;
            if (!retries.again(answer)) {
                error = Wire.error(answer.error());
            }
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
            ByteBuf so = coming;
            coming = null;
            if (so != null && !gone) {
                attempts = 1;
                if (marks) {
                    markCame(so);
                } else {
                    answerCame(so);
                }
            }
            if (so != null) {
                so.release();
            }
        }

        private void markCame(ByteBuf replies) {
            ReplyScanner scanner = new ReplyScanner();
            int from = replies.readerIndex();
            for (int i = 0; i < MARK_COMMANDS; i++) {
                int end = scanner.scan(replies, from, replies.writerIndex(), 1);
                ByteBuf reply = replies.slice(from, end - from);
                if (AskingOperation.isError(reply)) {
                    NotExecuted answer = NotExecuted.read(reply, server);
                    if (answer == null) {
                        error = reply.copy();
                    } else {
                        again(answer);
                    }
                    return;
                }
                from = end;
            }
            retries = new Retries(session);
        }

        private void answerCame(ByteBuf reply) {
            switch (JoinedReplies.read(reply)) {
                case Reply.Int(long number) -> numbers = new long[] {number};
                case Reply.Array(List<Reply> each) ->
                    numbers = each.stream()
                            .mapToLong(one -> one instanceof Reply.Int(long number) ? number : 0)
                            .toArray();
                case Reply.Failure(String said) -> {
                    if (said.contains("replica instances") || said.startsWith("LOADING")) {
                        again(new NotExecuted(NotExecuted.Kind.DOWN, -1, null, said)); // it was the primary
                    } else {
                        error = reply.copy();
                    }
                }
                default -> error = reply.copy();
            }
        }

        @Override
        public void lost(Run run, String why) {
            isUnderWay = false;
            markedOver = null;
            session.operationRepliedTo(run);
            ByteBuf so = coming;
            coming = null;
            if (so != null) {
                so.release();
            }
            if (gone) {
                return;
            }
            session.loop().lookAgain();
            if (!session.lostCommands().mayTryAgain(attempts)) {
                error = Wire.error(session.lostMessage(why));
            }
            attempts++;
        }

        void leave() {
            place.leaveForGood();
            release();
        }

        private void release() {
            ByteBuf had = error;
            error = null;
            if (had != null) {
                had.release();
            }
        }
    }

    // --- the end

    private boolean isOver() {
        boolean all = true;
        for (Shard shard : shards) {
            ByteBuf error = shard.error;
            if (error != null) {
                return session.isQuiet() && finish(error.retain());
            }
            all &= shard.hasEnough() || (shard.numbers != null && isTimeOver());
        }
        return all && session.isQuiet() && finish(least());
    }

    private ByteBuf least() {
        long[] least = new long[wanted.length];
        for (int i = 0; i < least.length; i++) {
            least[i] = Long.MAX_VALUE;
            for (Shard shard : shards) {
                long[] said = shard.numbers;
                least[i] = Math.min(least[i], said == null || said.length <= i ? 0 : said[i]);
            }
        }
        return least.length == 1
                ? Wire.number(least[0])
                : JoinedReplies.array(
                        LongStream.of(least).mapToObj(Wire::number).toList());
    }

    /** Takes the reply over. */
    private boolean finish(ByteBuf reply) {
        leave();
        done = true;
        session.reply(reply);
        return true;
    }

    private void leave() {
        session.forgetUpstream();
        leaveShards();
    }

    private void leaveShards() {
        shards.forEach(Shard::leave);
        shards.clear();
    }

    private void endsBy(ByteBuf reply) {
        ByteBuf former = end;
        end = reply;
        if (former != null) {
            former.release();
        }
        session.loop().resumeLater(session);
    }

    private ByteBuf takeEnd() {
        ByteBuf ended = end;
        end = null;
        return ended == null ? Wire.number(0) : ended;
    }

    @Override
    public void unblockFor(boolean byError, Consumer<ByteBuf> caller) {
        boolean ends = done || end != null || timeIsOver || !mayWait || !begun;
        caller.accept(Wire.number(ends ? 0 : 1));
        if (ends) {
            return;
        }
        if (byError) {
            endsBy(Wire.error(BlockingCommand.UNBLOCKED));
        } else {
            timeIsOver = true;
            session.loop().resumeLater(session);
        }
    }

    @Override
    public void watchClient() {
        watchesClient = true;
    }

    @Override
    void clientGone() {
        gone = true;
        ByteBuf ended = end;
        end = null;
        if (ended != null) {
            ended.release();
        }
        for (Shard shard : shards) {
            shard.place.clientGone();
            shard.release();
        }
    }
}
