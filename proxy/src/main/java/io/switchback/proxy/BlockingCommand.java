package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A command that its server lets wait: BLPOP and its like, XREAD with BLOCK, WAIT. It has the session's own connection, or one of the
 * command's own, and nothing is sent behind it.
 *
 * <p>A hold cannot wait for it: {@link #unblock} has the server end the waiting by an error (CLIENT UNBLOCK), which the
 * client does not get. If something else had come first, that is the reply. Afterwards the command is sent again, to
 * whichever fleet it is then, with what is left of its time.
 *
 * <p>XREAD's {@code $}, the last entry there is, becomes that entry's id before the command is sent: said again after a hold it
 * would skip what was added meanwhile. It is asked for once a key, one after the other, over a connection that is the command's alone as long: the
 * answer says the whole entry as well, for which nobody else waits, and of which no more is kept than its beginning.
 *
 * <p>WAIT speaks of what its own connection wrote last, and what the client wrote went over others. So it has one of the fleet's own user,
 * over which something without effect is written first, behind everything that was answered before. For WAIT it is published: what the
 * servers bring to their replicas, if only a message, counts as written. WAITAOF waits for the file too, into which no message goes, and a
 * server that has no replica does not count one at all: for it a database is swapped with itself, which the servers write down as a change.
 * Whether the client may WAIT is asked over a connection of its user.
 *
 * <p>Another client may end the waiting as well ({@link #unblockFor}); then the server's answer is the client's. Who of
 * the two an answer goes back to is told by the replies to the CLIENT UNBLOCKs: of those one is answered by 1. Where the command waits in
 * the proxy, for a hold to end, it is answered here.
 *
 * <p>Steps ({@link Step}): what is not known yet of those before the last, then the command; from an unblocking back to the first.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class BlockingCommand extends AskingOperation implements ReplySink, Waiting {
    private static final Logger LOG = LoggerFactory.getLogger(BlockingCommand.class);

    /** An unblocking that came before the command itself is asked for again after so long. */
    private static final long UNBLOCK_AGAIN_MS = 1;

    /** Past {@link #READ_ON_BYTES_MAX} the system is asked so often. */
    private static final long LOOK_FOR_CLIENT_MS = 100;

    private static final long UNKNOWN_ID = -1;

    /** AUTH, CLIENT ID, AUTH. */
    private static final int ID_AS_FLEETS_USER_REPLIES = 3;

    /** XREAD's {@code $}: of so many streams the last entry is asked for. */
    private static final int LAST_IDS_MAX = 4_096;

    /** What is kept of what the server says of a stream: the last id comes before its entries. */
    private static final int LAST_ID_WITHIN_BYTES = 1_024;

    /** No mark of a switch: whoever looks for these leaves it out. */
    private static final String NO_MARK = "wait";

    /** In the servers' words. */
    static final String UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

    /** What the server is asked. */
    private enum Step {
        /** WAIT: whether the client may. */
        RIGHT,
        /** What the server calls the connection. */
        ID,
        /** The same, where the client's user may not ask for it. */
        ID_AS_FLEETS_USER,
        /** WAIT: something that takes the connection's offset behind what is waited for. */
        OFFSET,
        /** XREAD: what {@code $} stands for. */
        LAST_IDS,
        COMMAND
    }

    private final CommandRule rule;
    private final Blocking blocking;
    private final double nanosMax;
    private final long startedAtNanos;
    /** Over which it waits. */
    private final OwnConnection place;

    /** How often servers of a cluster have not run it. */
    private final Retries retries;

    private byte[][] command;
    private Step step = Step.RIGHT;
    private boolean mayWait;
    private boolean lastIdsKnown;
    /** Over which last ids are asked for; null where none are. */
    private final @Nullable OwnConnection lastIdsPlace;
    /** The keys whose last ids are still to be asked for, and which arguments these are. */
    private final Map<ByteBuffer, List<Integer>> lastIdsMissing = new LinkedHashMap<>(0);
    /** The client's user may not ask what the server calls its connection. */
    private boolean idIsRefused;
    /** The one whose offset is behind what is waited for. */
    private @Nullable BackendConnection offsetIsBehind;

    /** Somebody looks whether the client is still there. */
    private boolean watched;

    private boolean sentBefore;
    /** Sent and not answered. */
    private boolean waiting;

    private boolean unblocking;
    /** The server has said that it has not run. */
    private boolean notRun;
    /** What has come of a reply that may be that of an unblocking. */
    private @Nullable ByteBuf error;

    /** CLIENT UNBLOCKs of other clients that the server was sent and has not answered. */
    private int wishesSent;
    /** One of them it has granted. */
    private boolean wishGranted;
    /** The server has ended the waiting, and who made it is not known until it has answered those. */
    private boolean undecided;
    /** Those that came while a hold was ending the waiting. */
    private final List<Wish> wishesKept = new ArrayList<>(0);
    /** The command is not sent again: what its client is to be told. */
    private @Nullable ByteBuf end;
    /** As if the command's time were over. */
    private boolean timeIsOver;

    static SessionCommands.Verdict judge(ClientSession session, CommandRule rule, byte[][] command, Blocking blocking) {
        String refusal = rule.name().equals("xread") ? refusalOfLastIds(command) : null;
        return refusal != null
                ? new SessionCommands.Refuse(refusal)
                : new SessionCommands.Perform(new BlockingCommand(session, rule, command, blocking));
    }

    private BlockingCommand(ClientSession session, CommandRule rule, byte[][] command, Blocking blocking) {
        super(session);
        this.rule = rule;
        this.command = command;
        this.blocking = blocking;
        this.nanosMax = blocking.nanos(command);
        this.startedAtNanos = session.loop().nanoTime();
        this.retries = new Retries(session);
        this.lastIdsKnown = !rule.name().equals("xread") || dollars(command).length == 0;
        this.lastIdsPlace = lastIdsKnown ? null : new OwnConnection(session);
        if (!lastIdsKnown) {
            noteMissing();
        }
        this.place = asksForItsOwnWrites() ? new OwnConnection(session) : session.own();
        this.mayWait = !asksForItsOwnWrites()
                || session.loop()
                        .route()
                        .fleet()
                        .credential()
                        .equals(Optional.ofNullable(session.identity.credential()));
    }

    /** Over which the server is told to unblock, and asked for last ids: as the fleet's own user, who may do that. */
    private ConnectionKey controlKey() {
        BackendConnection own = session.loop().isSharded() ? place.current() : null;
        return new ConnectionKey(
                own == null ? null : own.server,
                session.loop().route().fleet().credential().orElse(null),
                session.identity.database(),
                Protocol.RESP2,
                false,
                false,
                false);
    }

    private @Nullable BackendConnection control() {
        return session.loop().backends().shared(controlKey(), session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        ProxyLoop loop = session.loop();
        if (!rule.repeatable() && !loop.confirmations().mayWrite(session)) {
            return null;
        }
        if (loop.isSharded() && asksForItsOwnWrites()) {
            handOver();
            return null;
        }
        if (loop.isSharded() && !findShard()) {
            return null;
        }
        if (!mayWait) {
            return loop.backends().shared(session.key(), session);
        }
        boolean lastIdsAreComing = lastIdsAreComing();
        BackendConnection own = asksForItsOwnWrites() ? ofFleetsUser(place) : place.get();
        boolean controlIsComing = control() == null && loop.backends().failure(controlKey()) == null;
        return controlIsComing || lastIdsAreComing ? null : own;
    }

    /** Whether the connection over which they are asked for is not there yet. */
    private boolean lastIdsAreComing() {
        OwnConnection over = lastIdsPlace;
        if (lastIdsKnown || over == null || ofFleetsUser(over) != null) {
            return false;
        }
        if (over.takeFailure() == null) {
            return true;
        }
        lastIdsKnown = true; // then $ is what it is when the server has the command
        return false;
    }

    /** Whether its shard can be asked now; the own connection leads there then. */
    private boolean findShard() {
        if (!retries.isTime()) {
            return false;
        }
        Endpoint asked = retries.next();
        session.ownAt(
                asked != null ? asked : session.lane().server(session.lane().slot(command, rule)));
        return place.get() != null;
    }

    /** A switch has led to a cluster, of which each shard has to be asked. */
    private void handOver() {
        ByteBuf ended = end;
        end = null;
        keptAreTooLate();
        noLongerWaits();
        if (ended != null) {
            finish(ended);
            return;
        }
        session.perform(new ClusterWait(session, rule, inTheTimeLeft(), blocking));
        session.loop().resumeLater(session);
    }

    private boolean asksForItsOwnWrites() {
        return rule.name().startsWith("wait");
    }

    /** Nobody but this command hears of it when the connection breaks, or the route changes. */
    private @Nullable BackendConnection ofFleetsUser(OwnConnection where) {
        BackendConnection current = where.current();
        if (current != null
                && (!current.isOpen() || !current.route.equals(session.loop().route()))) {
            where.gone();
        }
        return where.get(controlKey());
    }

    @Override
    @Nullable
    String failure() {
        if (session.loop().isSharded() && asksForItsOwnWrites()) {
            return null; // somebody else goes on with it
        }
        if (!mayWait) {
            return session.loop().backends().failure(session.key());
        }
        String failure =
                rule.repeatable() ? null : session.loop().confirmations().failure();
        return failure != null ? failure : place.takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        ByteBuf ended = end;
        if (ended != null) {
            end = null;
            finish(ended);
            noLongerWaits();
            return;
        }
        step = next(connection);
        switch (step) {
            case RIGHT -> session.ask(connection, this, waitingForNothing(rule), 1);
            case ID -> session.ask(connection, this, Wire.command("CLIENT", "ID"), 1);
            case ID_AS_FLEETS_USER ->
                session.ask(connection, this, idAsFleetsUser(connection), ID_AS_FLEETS_USER_REPLIES);
            case OFFSET -> session.ask(connection, this, writtenWithoutEffect(), 1);
            case LAST_IDS -> askLastId();
            case COMMAND -> sendCommand(connection);
        }
    }

    private Step next(BackendConnection connection) {
        if (!mayWait) {
            return Step.RIGHT;
        }
        if (connection.clientId() == 0) {
            return idIsRefused ? Step.ID_AS_FLEETS_USER : Step.ID;
        }
        if (asksForItsOwnWrites() && offsetIsBehind != connection) {
            return Step.OFFSET;
        }
        return lastIdsKnown ? Step.COMMAND : Step.LAST_IDS;
    }

    /** As the command, which is answered at once. */
    static ByteBuf waitingForNothing(CommandRule rule) {
        return rule.name().equals("wait") ? Wire.command("WAIT", "0", "0") : Wire.command("WAITAOF", "0", "0", "0");
    }

    private ByteBuf writtenWithoutEffect() {
        return rule.name().equals("wait")
                ? Wire.command("PUBLISH", ReservedKeys.SWITCH_CHANNEL, NO_MARK)
                : Wire.command("SWAPDB", "0", "0");
    }

    private void sendCommand(BackendConnection connection) {
        unblocking = false;
        error = null;
        Run run = new Run(
                session, Wire.command(inTheTimeLeft()), 1, this, session.loop().nanoTime(), 1, !rule.repeatable());
        run.timed = false;
        sentBefore = true;
        waiting = true;
        session.loop().blocks(this);
        if (session.loop().isSharded() && retries.asks()) {
            session.ask(connection, Wire.command("ASKING"), 1, new Swallowed(session));
        }
        session.ask(connection, run);
    }

    private byte[][] inTheTimeLeft() {
        if (timeIsOver) {
            return blocking.with(command, 0);
        }
        if (Double.isNaN(nanosMax) || nanosMax <= 0 || !sentBefore) {
            return command;
        }
        return blocking.with(command, nanosMax - (session.loop().nanoTime() - startedAtNanos));
    }

    // --- the answers to the first steps

    @Override
    void replied(Run run, ByteBuf reply) {
        session.forgetUpstream();
        ByteBuf failure = switch (step) {
            case RIGHT -> rightCame(reply);
            case ID -> idCame(reply);
            case ID_AS_FLEETS_USER -> idAsFleetsUserCame(reply);
            case OFFSET -> offsetCame(reply);
            case LAST_IDS, COMMAND -> throw new IllegalStateException("its reply is not collected");
        };
        if (failure == null) {
            askNext();
        } else {
            keptAreTooLate();
            noLongerWaits();
            finish(failure);
        }
    }

    /** Other errors are the command's as well, which says them in its own words. */
    private @Nullable ByteBuf rightCame(ByteBuf reply) {
        String said = reply.toString(US_ASCII);
        mayWait = true;
        return said.startsWith("-NOAUTH") || said.startsWith("-NOPERM") ? reply.retain() : null;
    }

    private @Nullable ByteBuf idCame(ByteBuf reply) {
        BackendConnection own = place.current();
        Reply id = FilteringOperation.read(reply, 1)[0];
        if (id instanceof Reply.Failure(String message) && message.startsWith("NOPERM")) {
            idIsRefused = true;
        } else if (own != null) {
            own.clientId(id instanceof Reply.Int(long number) ? number : UNKNOWN_ID);
        }
        return null;
    }

    /**
     * Nothing of the client's is on its way over the connection, and nothing is sent before it is the client's user again. By its address it
     * could not be told from others where something between here and the server translates addresses.
     */
    private ByteBuf idAsFleetsUser(BackendConnection connection) {
        return Unpooled.wrappedBuffer(
                authentication(session.loop().route().fleet().credential().orElse(null)),
                Wire.command("CLIENT", "ID"),
                authentication(connection.key.identity()));
    }

    /** Who gave no password is the default user, which then has none: any is right. */
    private static ByteBuf authentication(@Nullable Credential user) {
        return user == null
                ? Wire.command("AUTH", Credential.DEFAULT_USER, "none")
                : Wire.command("AUTH", user.user(), user.password());
    }

    private @Nullable ByteBuf idAsFleetsUserCame(ByteBuf replies) {
        idIsRefused = false;
        BackendConnection own = place.current();
        if (own != null) {
            Reply[] each = FilteringOperation.read(replies, ID_AS_FLEETS_USER_REPLIES);
            // Where the fleet's user may not ask either a hold waits, and says for whom.
            own.clientId(each[1] instanceof Reply.Int(long number) ? number : UNKNOWN_ID);
            if (each[2].isError()) {
                own.close(); // it is another user's, and the client's password has just been changed
            }
        }
        return null;
    }

    private @Nullable ByteBuf offsetCame(ByteBuf reply) {
        offsetIsBehind = place.current();
        return isError(reply) ? reply.retain() : null;
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            lastIdsOver();
            super.lost(why);
        }
    }

    @Override
    void failed(String failure) {
        lastIdsOver();
        super.failed(failure);
    }

    // --- XREAD's $

    /** Where the keys begin; the ids are in the second half behind STREAMS. */
    private static int firstKey(byte[][] command) {
        int i = 1;
        while (i < command.length && !SessionCommands.word(command, i).equals("STREAMS")) {
            i++;
        }
        return i + 1;
    }

    /** The arguments that are {@code $}; none where the command is not whole, which the server has to say. */
    private static int[] dollars(byte[][] command) {
        int first = firstKey(command);
        int keys = (command.length - first) / 2;
        return (command.length - first) % 2 != 0
                ? new int[0]
                : IntStream.range(first + keys, command.length)
                        .filter(id -> command[id].length == 1 && command[id][0] == '$')
                        .toArray();
    }

    /** Null where an XREAD can be served. */
    private static @Nullable String refusalOfLastIds(byte[][] command) {
        int[] dollars = dollars(command);
        int keys = (command.length - firstKey(command)) / 2;
        if (dollars.length > LAST_IDS_MAX) {
            return "ERR switchback: XREAD with BLOCK and more than " + LAST_IDS_MAX
                    + " times $ is refused: name the last ids, or wait for fewer streams at a time";
        }
        return IntStream.of(dollars).anyMatch(id -> command[id - keys].length >= LargeCommand.ARGUMENT_BYTES)
                ? "ERR switchback: XREAD with BLOCK and $ is refused for a key of " + LargeCommand.ARGUMENT_BYTES
                        + " bytes or more: name the last id"
                : null;
    }

    private void noteMissing() {
        int keys = (command.length - firstKey(command)) / 2;
        for (int id : dollars(command)) {
            lastIdsMissing
                    .computeIfAbsent(ByteBuffer.wrap(command[id - keys]), any -> new ArrayList<>(1))
                    .add(id);
        }
        command = command.clone();
    }

    private void askLastId() {
        OwnConnection over = lastIdsPlace;
        BackendConnection connection = over == null ? null : over.current();
        if (connection == null || lastIdsMissing.isEmpty()) {
            throw new IllegalStateException("last ids are asked for that nobody wants");
        }
        byte[] key = lastIdsMissing.keySet().iterator().next().array();
        ByteBuf asked = Wire.command("XINFO".getBytes(UTF_8), "STREAM".getBytes(UTF_8), key);
        session.ask(connection, asked, 1, new LastId());
    }

    /** The server's reply to the question for one; the beginning is kept. */
    private final class LastId implements ReplySink {
        private final StringBuilder beginning = new StringBuilder();

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            int kept = Math.min(length, LAST_ID_WITHIN_BYTES - beginning.length());
            beginning.append(in.toString(index, kept, ISO_8859_1));
        }

        @Override
        public void answered(Run run) {
            session.operationRepliedTo(run);
            if (isDone() || session.isClosed()) {
                return;
            }
            session.forgetUpstream();
            lastIdCame(lastId(beginning.toString()));
            askNext();
        }

        @Override
        public void lost(Run run, String why) {
            session.operationRepliedTo(run);
            BlockingCommand.this.lost(why);
        }
    }

    private void lastIdCame(@Nullable String last) {
        Iterator<List<Integer>> missing = lastIdsMissing.values().iterator();
        List<Integer> ids = missing.next();
        missing.remove();
        if (last != null) {
            ids.forEach(id -> command[id] = last.getBytes(US_ASCII));
        }
        if (lastIdsMissing.isEmpty()) {
            lastIdsOver();
        }
    }

    private void lastIdsOver() {
        lastIdsKnown = true;
        if (lastIdsPlace != null) {
            lastIdsPlace.leaveForGood();
        }
    }

    /** Null where the server has to say what is wrong. */
    private static @Nullable String lastId(String beginning) {
        if (beginning.startsWith("-")) {
            return beginning.startsWith("-ERR no such key") ? "0-0" : null;
        }
        String[] lines = beginning.split("\r\n", -1);
        for (int i = 0; i + 3 < lines.length; i++) {
            if (lines[i].equals("last-generated-id")) {
                return lines[i + 2];
            }
        }
        return null;
    }

    // --- the command itself

    /** A hold has begun: the server is to answer now. Repeated until it has, since this may overtake the command. */
    void unblock() {
        BackendConnection own = place.current();
        ProxyLoop loop = session.loop();
        if (!loop.isHolding()) {
            keptAreAskedForNow();
            return;
        }
        if (!waiting || own == null || own.clientId() <= 0) {
            return;
        }
        unblocking = true;
        BackendConnection control = control();
        if (control == null) {
            unblockLater();
            return;
        }
        control.send(new Run(
                null,
                Wire.command("CLIENT", "UNBLOCK", Long.toString(own.clientId()), "ERROR"),
                1,
                new Unblocking(),
                loop.nanoTime(),
                1));
    }

    private void unblockLater() {
        session.loop().executor().schedule(this::unblock, UNBLOCK_AGAIN_MS, TimeUnit.MILLISECONDS);
    }

    private final class Unblocking implements ReplySink {
        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            if (run.errors > 0) {
                LOG.warn(
                        "a waiting command of client {} cannot be unblocked: {}",
                        session.address(),
                        in.toString(index, length, UTF_8).strip());
            }
        }

        @Override
        public void answered(Run run) {
            unblockLater();
        }

        @Override
        public void lost(Run run, String why) {
            unblockLater();
        }
    }

    // --- CLIENT UNBLOCK of other clients

    /** What another client has asked for; {@code caller} takes the reply to that over. */
    private record Wish(boolean byError, Consumer<ByteBuf> caller) {
        void granted(boolean yes) {
            caller.accept(Wire.number(yes ? 1 : 0));
        }
    }

    @Override
    public void unblockFor(boolean byError, Consumer<ByteBuf> caller) {
        Wish wish = new Wish(byError, caller);
        BackendConnection own = place.current();
        boolean ends = isDone() || end != null || timeIsOver || undecided;
        if (ends || !sentBefore || (waiting && (own == null || own.clientId() <= 0))) {
            wish.granted(false);
        } else if (!waiting) {
            endHere(wish);
        } else if (session.loop().isHolding()) {
            wishesKept.add(wish);
        } else {
            askFor(wish);
        }
    }

    private void keptAreAskedForNow() {
        List<Wish> kept = List.copyOf(wishesKept);
        wishesKept.clear();
        kept.forEach(wish -> unblockFor(wish.byError(), wish.caller()));
    }

    private void keptAreTooLate() {
        wishesKept.forEach(wish -> wish.granted(false));
        wishesKept.clear();
    }

    private void askFor(Wish wish) {
        BackendConnection own = place.current();
        BackendConnection control = control();
        if (control == null || own == null) {
            session.loop()
                    .executor()
                    .schedule(() -> unblockFor(wish.byError(), wish.caller()), UNBLOCK_AGAIN_MS, TimeUnit.MILLISECONDS);
            return;
        }
        wishesSent++;
        control.send(new Run(
                null,
                Wire.command("CLIENT", "UNBLOCK", Long.toString(own.clientId()), wish.byError() ? "ERROR" : "TIMEOUT"),
                1,
                new WishSent(wish),
                session.loop().nanoTime(),
                1));
    }

    private final class WishSent implements ReplySink {
        private final Wish wish;
        private final StringBuilder said = new StringBuilder();

        WishSent(Wish wish) {
            this.wish = wish;
        }

        @Override
        public void receive(Run run, ByteBuf in, int index, int length) {
            said.append(in.toString(index, length, UTF_8));
        }

        @Override
        public void answered(Run run) {
            boolean error = said.charAt(0) == '-';
            wishGranted |= said.toString().equals(":1\r\n");
            wish.caller()
                    .accept(
                            error
                                    ? Wire.error(said.substring(1).strip())
                                    : Wire.number(said.toString().equals(":1\r\n") ? 1 : 0));
            ended();
        }

        @Override
        public void lost(Run run, String why) {
            wishGranted = true; // if its waiting has ended, a client hears of it once too often rather than never
            wish.caller().accept(Wire.error(session.lostMessage(why)));
            ended();
        }

        private void ended() {
            wishesSent--;
            if (undecided && wishesSent == 0) {
                undecided = false;
                unblocked();
                session.loop().resumeLater(session);
            }
        }
    }

    /** The server has ended the waiting by an error: for a hold, or since another client wanted it. */
    private void unblocked() {
        ByteBuf kept = error;
        if (wishesSent > 0) {
            undecided = true;
        } else if (wishGranted && kept != null) {
            error = null;
            keptAreTooLate();
            noLongerWaits();
            finish(kept);
        } else {
            askNext();
            if (!wishesKept.isEmpty()) {
                Wish first = wishesKept.removeFirst();
                keptAreTooLate();
                endHere(first);
            }
        }
    }

    /** The command is at no server. What its client is told in place of the server, it says in the same words. */
    private void endHere(Wish wish) {
        wish.granted(true);
        if (asksForItsOwnWrites() && !wish.byError()) {
            timeIsOver = true; // only the server knows what to answer
            return;
        }
        end = wish.byError() ? Wire.error(UNBLOCKED) : Wire.nilArray(session.identity.protocol());
        if (session.isQuiet()) {
            ByteBuf reply = end;
            end = null;
            noLongerWaits();
            finish(reply);
            session.loop().resumeLater(session);
        }
    }

    private void noLongerWaits() {
        session.loop().blocksNoLonger(this);
        if (asksForItsOwnWrites()) {
            session.forgetUpstream();
            place.leaveForGood();
        } else if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        boolean begins = !run.begun && error == null;
        if (begins && (unblocking || session.loop().isSharded()) && in.getByte(index) == '-') {
            error = Unpooled.buffer(length);
        }
        ByteBuf kept = error;
        if (kept == null) {
            session.receive(run, in, index, length);
        } else {
            kept.writeBytes(in, index, length);
        }
    }

    @Override
    public void answered(Run run) {
        waiting = false;
        session.operationRepliedTo(run);
        ByteBuf kept = error;
        if (kept != null && unblocking && kept.toString(US_ASCII).startsWith("-UNBLOCKED")) {
            unblocked();
            return;
        }
        if (kept != null && isNotRun(kept)) {
            error = null;
            kept.release();
            session.forgetUpstream();
            askNext();
            return;
        }
        keptAreTooLate();
        if (run.errors > 0) {
            session.loop().routeTraffic().failedAfterWaiting();
        }
        noLongerWaits();
        if (kept == null) {
            finish();
        } else {
            finish(kept);
        }
        if (session.shardTracking.isOn() && rule.repeatable()) {
            session.shardTracking.forgetEverything(); // of what was read here no server tells what becomes of it
        }
    }

    private boolean isNotRun(ByteBuf reply) {
        BackendConnection own = place.current();
        NotExecuted answer = own == null || !session.loop().isSharded() ? null : NotExecuted.read(reply, own.server);
        return answer != null && retries.again(answer);
    }

    /** Nothing was taken; it waits on at the new primary. */
    @Override
    public boolean notRun(Run run) {
        notRun = wishesSent == 0 && wishesKept.isEmpty();
        return notRun;
    }

    @Override
    public void lost(Run run, String why) {
        waiting = false;
        session.operationRepliedTo(run);
        if (notRun) {
            notRun = false;
            askNext();
            return;
        }
        keptAreTooLate();
        if (!run.partial && rule.repeatable() && repeat()) {
            return;
        }
        session.loop().blocksNoLonger(this);
        if (run.partial) {
            finish();
            session.close();
        } else {
            super.lost(why);
        }
    }

    @Override
    public void watchClient() {
        if (!watched) {
            watched = true;
            session.loop().executor().schedule(this::lookForClient, LOOK_FOR_CLIENT_MS, TimeUnit.MILLISECONDS);
        }
    }

    private void lookForClient() {
        watched = false;
        if (isDone() || session.isClosed()) {
            return;
        }
        if (session.hasLeft()) {
            session.close();
        } else {
            watchClient();
        }
    }

    /** It may not go on waiting: it would take elements for nobody. */
    @Override
    void clientGone() {
        keptAreTooLate();
        session.loop().blocksNoLonger(this);
        if (waiting) {
            place.discard();
        }
        if (lastIdsPlace != null) {
            lastIdsPlace.clientGone();
        }
        if (asksForItsOwnWrites()) {
            place.clientGone();
        }
    }
}
