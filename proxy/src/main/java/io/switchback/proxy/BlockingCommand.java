package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandRule;
import io.switchback.resp.Protocol;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A command that its server lets wait: BLPOP and its like, XREAD with BLOCK, WAIT. It has the session's own connection, and nothing
 * is sent behind it.
 *
 * <p>A hold cannot wait for it: {@link #unblock} has the server end the waiting by an error (CLIENT UNBLOCK), which the
 * client does not get. If something else had come first, that is the reply. Afterwards the command is sent again, to
 * whichever fleet it is then, with what is left of its time.
 *
 * <p>XREAD's {@code $}, the last entry there is, becomes that entry's id before the command is sent: said again after a hold it
 * would skip what was added meanwhile.
 *
 * <p>Another client may end the waiting as well ({@link #unblockFor}); then the server's answer is the client's. Who of
 * the two an answer goes back to is told by the replies to the CLIENT UNBLOCKs: of those one is answered by 1. Where the command waits in
 * the proxy, for a hold to end, it is answered here.
 *
 * <p>Steps: the connection's id, the ids for {@code $}, the command; from an unblocking back to the first.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a task is told by other events
final class BlockingCommand extends AskingOperation implements ReplySink {
    private static final Logger LOG = LoggerFactory.getLogger(BlockingCommand.class);

    /** An unblocking that came before the command itself is asked for again after so long. */
    private static final long UNBLOCK_AGAIN_MS = 1;

    private static final long UNKNOWN_ID = -1;

    private final CommandRule rule;
    private final Blocking blocking;
    private final double nanosMax;
    private final long startedAtNanos;
    private byte[][] command;
    private boolean lastIdsKnown;
    /** How many are being asked for. */
    private int lastIdsAsked;

    private boolean sentBefore;
    /** Sent and not answered. */
    private boolean waiting;

    private boolean unblocking;
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

    BlockingCommand(ClientSession session, CommandRule rule, byte[][] command, Blocking blocking) {
        super(session);
        this.rule = rule;
        this.command = command;
        this.blocking = blocking;
        this.nanosMax = blocking.nanos(command);
        this.startedAtNanos = session.loop().nanoTime();
        this.lastIdsKnown = !rule.name().equals("xread");
    }

    /** Over which the server is told to unblock, and asked for last ids: as the fleet's own user, who may do that. */
    private ConnectionKey controlKey() {
        return ConnectionKey.of(
                session.loop().route().fleet().credential().orElse(null), session.identity.database(), Protocol.RESP2);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        ProxyLoop loop = session.loop();
        if (!rule.repeatable() && !loop.confirmations().mayWrite(session)) {
            return null;
        }
        BackendConnection own =
                asksForItsOwnWrites() ? connectionThatWrote() : session.own().get();
        boolean controlIsComing = loop.backends().shared(controlKey(), session) == null
                && loop.backends().failure(controlKey()) == null;
        return controlIsComing ? null : own;
    }

    private boolean asksForItsOwnWrites() {
        return rule.name().startsWith("wait");
    }

    /**
     * WAIT speaks of what its own connection wrote last. So the session gets the one that its writes went over, which was shared until now:
     * what others have written there is waited for as well.
     */
    private @Nullable BackendConnection connectionThatWrote() {
        OwnConnection own = session.own();
        if (own.current() == null && session.loop().backends().shared(session.key(), session) != null) {
            own.opened(session.loop().backends().takeShared(session));
        }
        return own.current();
    }

    @Override
    @Nullable
    String failure() {
        if (asksForItsOwnWrites()) {
            return session.own().current() != null
                    ? null
                    : session.loop().backends().failure(session.key());
        }
        String failure =
                rule.repeatable() ? null : session.loop().confirmations().failure();
        return failure != null ? failure : session.own().takeFailure();
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
        if (connection.clientId() == 0) {
            session.ask(connection, this, Wire.command("CLIENT", "ID"), 1);
            return;
        }
        if (!lastIdsKnown) {
            lastIdsKnown = true;
            if (askLastIds()) {
                return;
            }
        }
        unblocking = false;
        error = null;
        Run run = new Run(
                session, Wire.command(inTheTimeLeft()), 1, this, session.loop().nanoTime(), 1, !rule.repeatable());
        run.timed = false;
        sentBefore = true;
        waiting = true;
        session.loop().blocks(this);
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
        BackendConnection own = session.own().current();
        if (lastIdsAsked > 0) {
            lastIdsAsked = 0;
            lastIdsCame(reply);
        } else if (own != null) {
            Reply id = FilteringOperation.read(reply, 1)[0];
            // Who may not ask for it cannot be unblocked by it: then a hold waits, and says for whom.
            own.clientId(id instanceof Reply.Int(long number) ? number : UNKNOWN_ID);
        }
        askNext();
    }

    @Override
    void lost(String why) {
        lastIdsKnown = lastIdsAsked == 0 && lastIdsKnown;
        lastIdsAsked = 0;
        if (!repeat()) {
            super.lost(why);
        }
    }

    // --- XREAD's $

    /** Where the keys begin; the ids are in the second half behind STREAMS. */
    private int firstKey() {
        int i = 1;
        while (i < command.length && !SessionCommands.word(command, i).equals("STREAMS")) {
            i++;
        }
        return i + 1;
    }

    private boolean askLastIds() {
        int keys = (command.length - firstKey()) / 2;
        BackendConnection control = session.loop().backends().shared(controlKey(), session);
        if (control == null || keys == 0 || (command.length - firstKey()) % 2 != 0) {
            return false;
        }
        ByteBuf commands = Unpooled.buffer();
        for (int key = firstKey(); key < firstKey() + keys; key++) {
            if (isDollar(key + keys)) {
                ByteBuf one = Wire.command("XINFO".getBytes(UTF_8), "STREAM".getBytes(UTF_8), command[key]);
                commands.writeBytes(one);
                one.release();
                lastIdsAsked++;
            }
        }
        if (lastIdsAsked > 0) {
            session.ask(control, this, commands, lastIdsAsked);
        } else {
            commands.release();
        }
        return lastIdsAsked > 0;
    }

    private boolean isDollar(int index) {
        return command[index].length == 1 && command[index][0] == '$';
    }

    private void lastIdsCame(ByteBuf replies) {
        session.forgetUpstream();
        byte[][] changed = command.clone();
        int keys = (command.length - firstKey()) / 2;
        int asked = 0;
        for (int id = firstKey() + keys; id < command.length; id++) {
            asked += isDollar(id) ? 1 : 0;
        }
        Reply[] streams = FilteringOperation.read(replies, asked);
        int next = 0;
        for (int id = firstKey() + keys; id < command.length; id++) {
            if (isDollar(id)) {
                String last = lastId(streams[next++]);
                changed[id] = last == null ? command[id] : last.getBytes(US_ASCII);
            }
        }
        command = changed;
    }

    /** Null where the server has to say what is wrong. */
    private static @Nullable String lastId(Reply stream) {
        if (stream instanceof Reply.Failure(String message)) {
            return message.startsWith("ERR no such key") ? "0-0" : null;
        }
        if (stream instanceof Reply.Array(List<Reply> fields)) {
            for (int i = 0; i + 1 < fields.size(); i += 2) {
                if (fields.get(i).text().equals("last-generated-id")) {
                    return fields.get(i + 1).text();
                }
            }
        }
        return null;
    }

    // --- the command itself

    /** A hold has begun: the server is to answer now. Repeated until it has, since this may overtake the command. */
    void unblock() {
        BackendConnection own = session.own().current();
        ProxyLoop loop = session.loop();
        if (!loop.isHolding()) {
            keptAreAskedForNow();
            return;
        }
        if (!waiting || own == null || own.clientId() <= 0) {
            return;
        }
        unblocking = true;
        BackendConnection control = loop.backends().shared(controlKey(), session);
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

    /** Another client wants the waiting to end, as if its time were over, or by an error. */
    void unblockFor(boolean byError, Consumer<ByteBuf> caller) {
        Wish wish = new Wish(byError, caller);
        BackendConnection own = session.own().current();
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
        BackendConnection own = session.own().current();
        BackendConnection control = session.loop().backends().shared(controlKey(), session);
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
        end = wish.byError()
                ? Wire.error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
                : Wire.nilArray(session.identity.protocol());
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
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        boolean begins = !run.begun && error == null;
        if (begins && unblocking && in.getByte(index) == '-') {
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
        if (kept != null && kept.toString(US_ASCII).startsWith("-UNBLOCKED")) {
            unblocked();
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
    }

    @Override
    public void lost(Run run, String why) {
        waiting = false;
        session.operationRepliedTo(run);
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

    /** It may not go on waiting: it would take elements for nobody. */
    @Override
    void clientGone() {
        keptAreTooLate();
        session.loop().blocksNoLonger(this);
        session.own().discard();
    }
}
