package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandInPieces;
import io.switchback.resp.CommandRule;
import io.switchback.resp.RequestScanner;
import org.jspecify.annotations.Nullable;

/**
 * A command with a large argument, which goes to the server as it comes from the client, over a connection of the session's own: the
 * proxy holds a piece of it at a time, and nobody else waits for a client that sends slowly.
 *
 * <p>The server runs it once it has its last byte, and forgets it if the connection closes before. So whatever speaks against it (a
 * reserved name or what the guard refuses in a later argument, a client that leaves, a protocol error) ends it by closing the connection, before the
 * last piece is sent. What the client still sends of it is swallowed, and answered by the error in its turn.
 *
 * <p>It cannot be sent again, since nobody has it. Therefore it does not begin while a switch is being prepared or a hold is on, and a
 * switch is prepared, and a hold complete, only when those under way have ended ({@link LargeCommands}).
 *
 * <p>Owned by its session's event loop. States: waiting for its connection, passing on, swallowing, over.
 */
final class LargeCommand implements ReplySink {
    /** From so many bytes of one argument on a command is large. A server may take 1 MiB at the most, and ends the connection where there is more. */
    static final int ARGUMENT_BYTES = 256 * 1024;
    /** What the guard may have to see of one: the arguments beside the large ones. */
    private static final int GUARDED_BYTES_MAX = 1024 * 1024;
    /** Where EVAL and its like have the script. */
    private static final int SCRIPT_ARGUMENT = 1;

    /** Whether one that has been collected is none for a connection that others use. */
    static boolean isLarge(byte[][] command) {
        for (byte[] argument : command) {
            if (argument.length >= ARGUMENT_BYTES) {
                return true;
            }
        }
        return false;
    }

    /** What becomes of the session after a step. */
    enum Outcome {
        /** Something was done, and more may be. */
        ON,
        /** The client has to send more. */
        NEEDS_BYTES,
        /** Something else must happen; then the session is resumed. */
        WAITS,
        /** The client's next command may be taken. */
        OVER,
        /** It has not begun, and is to be collected as others are. */
        COLLECT
    }

    private enum State {
        WAITING,
        PASSING,
        SWALLOWING,
        OVER
    }

    private final ClientSession session;
    private final CommandInPieces command;
    private final boolean writes;
    /** The script that it runs, to be remembered for switches; null where it runs none from its text. */
    private final byte @Nullable [] script;
    /** The guard would look into its large arguments too. */
    private final boolean guardSeesAll;

    private State state = State.WAITING;
    /** Whether the guard has to see it: one that is set later does not, as it is for what is taken from then on. */
    private boolean guarded;

    private boolean sent;

    private @Nullable BackendConnection connection;
    private String refusal = "";

    private LargeCommand(
            ClientSession session,
            CommandInPieces command,
            boolean writes,
            byte @Nullable [] script,
            boolean guardSeesAll) {
        this.session = session;
        this.command = command;
        this.writes = writes;
        this.script = script;
        this.guardSeesAll = guardSeesAll;
    }

    /** Whether the command, of which {@code scanner} has found the beginning, may be passed on in pieces. */
    static boolean mayBePassedOn(ProxyLoop loop, CommandRule rule, RequestScanner scanner) {
        return switch (rule.treatment()) {
            case PLAIN -> loop.guard() == null || !guardSeesAll(rule);
            // Its text has to be remembered, so that has to be there.
            case SCRIPT -> rule.name().startsWith("eval") && scanner.wholeArguments() > SCRIPT_ARGUMENT;
            case FILTERED, SESSION, BLOCKING, BY_SUBCOMMAND, REFUSED -> false;
        };
    }

    /** A payload is looked into, since another server may not load it. */
    private static boolean guardSeesAll(CommandRule rule) {
        return rule.name().equals("restore");
    }

    /** One that {@link #mayBePassedOn may be passed on}. */
    static LargeCommand passedOn(
            ClientSession session, CommandRule rule, RequestScanner scanner, ByteBuf in, int from) {
        boolean writes = !rule.repeatable();
        byte[] script = rule.treatment() == CommandRule.Treatment.SCRIPT
                ? RequestScanner.copyArguments(in, from, SCRIPT_ARGUMENT + 1)[SCRIPT_ARGUMENT]
                : null;
        return new LargeCommand(
                session,
                scanner.inPieces(in, from, writes ? GUARDED_BYTES_MAX : 0),
                writes,
                script,
                guardSeesAll(rule));
    }

    /** One that is to be refused. */
    static LargeCommand refused(ClientSession session, RequestScanner scanner, ByteBuf in, int from, String refusal) {
        LargeCommand refused = new LargeCommand(session, scanner.inPieces(in, from, 0), false, null, false);
        refused.swallow(refusal);
        return refused;
    }

    /** The client's bytes of it must be taken also while the loop holds. */
    boolean hasBegun() {
        return state != State.WAITING;
    }

    /** Goes on with what the client has sent, whose reader index it moves. */
    Outcome proceed(ByteBuf in) {
        return switch (state) {
            case WAITING -> begin(in);
            case PASSING -> pass(in);
            case SWALLOWING -> swallow(in);
            case OVER -> Outcome.OVER;
        };
    }

    private Outcome begin(ByteBuf in) {
        ProxyLoop loop = session.loop();
        if (!session.isQuiet()) {
            return Outcome.WAITS;
        }
        if (loop.largeCommands().areMany()) {
            return Outcome.COLLECT; // those under way may be as slow as they like
        }
        if (guardSeesAll && loop.guard() != null) {
            return Outcome.COLLECT;
        }
        if (loop.isSharded()) {
            return Outcome.COLLECT; // it waited for a switch that has led to a cluster
        }
        if (!loop.largeCommands().mayBegin(session)) {
            return Outcome.WAITS;
        }
        boolean mayWrite = !writes || loop.confirmations().mayWrite(session);
        BackendConnection own = mayWrite ? session.own().get() : null;
        if (own == null) {
            String failure = mayWrite
                    ? session.own().takeFailure()
                    : loop.confirmations().failure();
            if (failure == null) {
                return Outcome.WAITS;
            }
            loop.routeTraffic().notAnswered(1);
            swallow(failure);
            return Outcome.ON;
        }
        if (!own.isWritable()) {
            return Outcome.WAITS;
        }
        connection = own;
        guarded = writes && loop.guard() != null;
        state = State.PASSING;
        loop.largeCommands().began(this);
        return pass(in);
    }

    /** Sends the first bytes, from which on the server owes a reply. */
    private void begin(BackendConnection own, ByteBuf first, boolean isAll) {
        Run run = new Run(session, first, 1, this, session.loop().nanoTime(), 1, writes);
        run.timed = false; // it is the client that takes its time
        run.inPieces = true;
        run.endIsMissing = !isAll;
        sent = true;
        if (script != null) {
            run.script = ScriptCommand.runs(script);
        }
        session.ask(own, run);
        session.tracking.nextIsSent();
    }

    private Outcome pass(ByteBuf in) {
        BackendConnection to = connection;
        if (to == null || session.loop().hasLapsed() || !to.isWritable()) {
            return Outcome.WAITS;
        }
        int length = command.next(in, in.readerIndex());
        if (length < 0) {
            abandon("");
            return malformed();
        }
        if (length == 0 && !command.isWhole()) {
            return Outcome.NEEDS_BYTES;
        }
        String why = refusalOfWhatCame();
        if (why != null) {
            in.skipBytes(length);
            abandon(why);
            return Outcome.ON;
        }
        boolean last = command.isWhole();
        if (last) {
            over();
        }
        ByteBuf piece = in.readRetainedSlice(length);
        if (sent) {
            to.sendPiece(piece, last);
        } else {
            begin(to, piece, last);
        }
        return last ? Outcome.OVER : Outcome.ON;
    }

    private @Nullable String refusalOfWhatCame() {
        if (command.marked()) {
            return SessionCommands.RESERVED_REFUSAL;
        }
        CommandGuard guard = session.loop().guard();
        if (!guarded || guard == null || !command.isWhole()) {
            return null;
        }
        return command.keepsTooMuch()
                ? "ERR switchback: while a way back is open, the arguments of a command beside its large ones may have no more than "
                        + GUARDED_BYTES_MAX + " bytes"
                : guard.refusal(command.arguments());
    }

    private Outcome malformed() {
        over();
        session.endWith(command.error());
        return Outcome.WAITS;
    }

    private Outcome swallow(ByteBuf in) {
        if (!command.isWhole()) {
            int length = command.next(in, in.readerIndex());
            if (length < 0) {
                return session.isQuiet() ? malformed() : Outcome.WAITS;
            }
            in.skipBytes(length);
            if (!command.isWhole()) {
                return Outcome.NEEDS_BYTES;
            }
        }
        if (!session.isQuiet()) {
            return Outcome.WAITS;
        }
        over();
        session.refuseLarge(refusal);
        return Outcome.OVER;
    }

    private void swallow(String why) {
        refusal = why;
        state = State.SWALLOWING;
    }

    /** It will not run: the server forgets it with its connection. */
    private void abandon(String why) {
        BackendConnection was = connection;
        connection = null;
        swallow(why);
        if (was != null) {
            session.loop().largeCommands().ended(this);
            was.close();
        }
    }

    private void over() {
        state = State.OVER;
        if (connection != null) {
            connection = null;
            session.loop().largeCommands().ended(this);
        }
    }

    /** The client is gone, and what it has not sent will not come. */
    void clientGone() {
        if (state == State.PASSING) {
            abandon("");
        }
        state = State.OVER;
    }

    String describe() {
        return "client " + session.address() + " is still sending a large command";
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        session.receive(run, in, index, length);
    }

    @Override
    public void answered(Run run) {
        session.answered(run);
        if (state == State.PASSING) {
            // Before it has all: a protocol error, after which the server closes.
            over();
            session.closeAfterReplies();
        }
    }

    @Override
    public void lost(Run run, String why) {
        switch (state) {
            case PASSING -> {
                connection = null;
                session.loop().largeCommands().ended(this);
                session.loop().routeTraffic().notAnswered(1);
                swallow("ERR switchback: the connection to fleet "
                        + session.loop().route().fleet().name() + " was lost (" + why
                        + ") before it had all of the command, which has not run");
                session.operationRepliedTo(run);
            }
            case OVER -> session.lost(run, why);
            case WAITING, SWALLOWING -> session.operationRepliedTo(run);
        }
    }
}
