package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.RequestScanner;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * EXEC. Passed on, except where it must not succeed: after something was refused in the transaction, after a watch that was
 * lost, or with a command in the queue that has since come under a guard.
 */
final class Execute extends AskingOperation implements ReplySink {
    private static final int LENGTH = 2;

    private final byte[] begin = new byte[LENGTH];
    private int beginLength;
    private Deque<Integer> selected = new ArrayDeque<>();
    /** In front of a cluster: an error, which may say that the slot is elsewhere. */
    private @Nullable ByteBuf error;
    /** The server has said that it has not run. */
    private boolean sentAgain;

    private @Nullable TransactionScripts scripts;

    Execute(ClientSession session) {
        super(session);
        session.transaction.wanted = true;
    }

    @Override
    @Nullable
    BackendConnection connection() {
        Transaction transaction = session.transaction;
        if (transaction.refused || transaction.watchLost || queueIsGuarded()) {
            boolean aborted = transaction.failed || transaction.refused || !transaction.watchLost;
            transaction.ended();
            session.transactionOver(false); // the server discards the queue with it
            finish(
                    aborted
                            ? Wire.error("EXECABORT Transaction discarded because of previous errors.")
                            : Wire.nilArray(session.identity.protocol()));
            return null;
        }
        return session.loop().confirmations().mayWrite(session) ? session.own().current() : null;
    }

    private boolean queueIsGuarded() {
        CommandGuard guard = session.loop().guard();
        return guard != null && queue().stream().anyMatch(command -> guard.refusal(command) != null);
    }

    private List<byte[][]> queue() {
        ByteBuf queue = session.transaction.queue();
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, SessionCommands.RESERVED);
        List<byte[][]> commands = new ArrayList<>();
        int index = queue.readerIndex();
        for (int i = 0; i < session.transaction.commands; i++) {
            scanner.next(queue, index);
            commands.add(RequestScanner.copyArguments(queue, index));
            index = scanner.end();
        }
        return commands;
    }

    /** The databases that the queue may select, the last first. */
    private Deque<Integer> databases() {
        Deque<Integer> found = new ArrayDeque<>();
        for (byte[][] command : queue()) {
            if (command.length == 2 && Wire.text(command[0]).equalsIgnoreCase("select")) {
                SelectDatabase.number(command[1]).ifPresent(found::addFirst);
            }
        }
        return found;
    }

    @Override
    @Nullable
    String failure() {
        // Without its connection the session replays the transaction first.
        return session.own().current() == null
                ? null
                : session.loop().confirmations().failure();
    }

    @Override
    void send(BackendConnection connection) {
        if (session.transaction.selects) {
            selected = databases();
            connection.spoil();
        }
        scripts = session.transaction.hasScripts ? new TransactionScripts(queue()) : null;
        session.ask(connection, Wire.command("EXEC"), 1, this, true);
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        boolean begins = beginLength == 0;
        for (int i = 0; beginLength < LENGTH && i < length; i++) {
            begin[beginLength++] = in.getByte(index + i);
        }
        if (begins && begin[0] == '-' && session.loop().isSharded()) {
            error = in.alloc().buffer(length);
        }
        ByteBuf kept = error;
        if (kept != null) {
            kept.writeBytes(in, index, length);
            return;
        }
        if (scripts != null) {
            scripts.receive(in, index, length);
        }
        session.receive(run, in, index, length);
    }

    @Override
    public void answered(Run run) {
        ByteBuf kept = error;
        error = null;
        if (kept != null) {
            boolean isPlacedAnew = isPlacedAnew(kept);
            if (!isPlacedAnew) {
                if (scripts != null) {
                    scripts.receive(kept, kept.readerIndex(), kept.readableBytes());
                }
                session.receive(run, kept, kept.readerIndex(), kept.readableBytes());
            }
            kept.release();
            if (isPlacedAnew) {
                session.operationRepliedTo(run);
                beginLength = 0;
                askNext();
                return;
            }
        }
        session.operationRepliedTo(run);
        if (scripts != null) {
            scripts.answered(session.loop());
        }
        session.transaction.ended();
        // Whatever it was that the server refused, the connection is not given to anybody else.
        session.transactionOver(begin[0] != '-');
        boolean ran = begin[0] == '*' && begin[1] != '-';
        if (ran && !selected.isEmpty()) {
            session.databaseIsOneOf(selected);
        }
        if (session.shardTracking.isOn()) {
            session.shardTracking.forgetEverything(); // of what was read here no server tells what becomes of it
        }
        finish();
    }

    /** Nothing of the transaction has been run: it is brought to where its slot is. What was watched cannot be, and the next try answers nil. */
    private boolean isPlacedAnew(ByteBuf reply) {
        BackendConnection own = session.own().current();
        NotExecuted answer = own == null ? null : NotExecuted.read(reply, own.server);
        Transaction transaction = session.transaction;
        if (answer == null || !transaction.retries(session).again(answer)) {
            return false;
        }
        transaction.misplaced = true;
        transaction.placed = false;
        return true;
    }

    /** Nothing of it has run: the queue is brought to the new primary, and EXEC said again. What was watched is not watched there. */
    @Override
    public boolean notRun(Run run) {
        sentAgain = true;
        return true;
    }

    @Override
    public void lost(Run run, String why) {
        ByteBuf kept = error;
        error = null;
        if (kept != null) {
            kept.release();
        }
        session.operationRepliedTo(run);
        if (sentAgain) {
            sentAgain = false;
            askNext(); // once the session has brought the transaction to another connection
            return;
        }
        session.transaction.ended();
        if (run.partial) {
            finish();
            session.close();
        } else {
            lost(why);
        }
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("the reply goes to the client as it comes");
    }
}
