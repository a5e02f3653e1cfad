package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * After an EXEC that ran SELECT: which database the client has now. The replies have gone to the client as they came; but a SELECT that
 * succeeded then succeeds again, so the last one is asked for once more, and the one before where that fails.
 *
 * <p>Over the own connection if it is still there, else by whether there can be a connection with that database. So it does not
 * matter whether a switch comes in between.
 */
final class DatabaseAfterTransaction extends AskingOperation {
    private static final String NO_SUCH_DATABASE = "DB index";

    /** Those that may have been selected, the last first. */
    private final Deque<Integer> candidates;

    DatabaseAfterTransaction(ClientSession session, Deque<Integer> candidates) {
        super(session);
        this.candidates = candidates;
    }

    private ConnectionKey key() {
        return ConnectionKey.of(session.identity.credential(), candidates.element(), session.identity.protocol());
    }

    @Override
    @Nullable
    BackendConnection connection() {
        BackendConnection own = session.own().current();
        if (own != null) {
            return own;
        }
        while (!candidates.isEmpty()) {
            if (session.loop().backends().shared(key(), session) != null) {
                session.selected(candidates.element());
                break;
            }
            String failure = session.loop().backends().failure(key());
            if (failure == null || !failure.contains(NO_SUCH_DATABASE)) {
                return null;
            }
            candidates.remove();
        }
        finish();
        return null;
    }

    @Override
    @Nullable
    String failure() {
        return session.loop().backends().failure(key());
    }

    /** What the client sends next must not run in another database. */
    @Override
    void failed(String failure) {
        session.closeAfterReplies();
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command("SELECT", Integer.toString(candidates.element())), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (!isError(reply)) {
            session.selected(candidates.element());
            finish();
            return;
        }
        candidates.remove();
        if (candidates.isEmpty()) {
            finish();
        } else {
            askNext();
        }
    }

    @Override
    void lost(String why) {
        askNext(); // the connection is gone, and another one will tell
    }
}
