package io.switchback.proxy;

import io.switchback.resp.Protocol;
import org.jspecify.annotations.Nullable;

/**
 * A connection that a session has to itself, while something of the session lives on one: MULTI, WATCH, a command that
 * blocks; or while its replies are large. Owned by the session's event loop.
 *
 * <p>What lives there is the session's to keep: when the connection is gone, by a fault or because the route has changed, another
 * one is got by asking again.
 *
 * <p>One that others have shared until now ({@link Backends#keepFromOthers}) is given to nothing that lives on it, blocks it or may end it
 * before what they sent over it is answered.
 */
final class OwnConnection {
    private final ClientSession session;
    private @Nullable BackendConnection connection;
    private boolean opening;
    private boolean over;
    private @Nullable String failure;

    OwnConnection(ClientSession session) {
        this.session = session;
    }

    /** It, where it is there. */
    @Nullable
    BackendConnection current() {
        return connection;
    }

    /** Neither there nor on its way. */
    boolean isNone() {
        return connection == null && !opening;
    }

    boolean is(BackendConnection other) {
        return connection == other;
    }

    /** It, in the client's own protocol unless there is one already. */
    @Nullable
    BackendConnection get() {
        BackendConnection now = connection;
        return get(now == null ? session.identity.protocol() : now.key.protocol());
    }

    /** It; where it cannot be had now the session is resumed when it can, or {@link #takeFailure} says why not. One of another protocol is left. */
    @Nullable
    BackendConnection get(Protocol protocol) {
        ConnectionKey wanted = session.ownKey(protocol);
        if (connection != null && (connection.key.protocol() != protocol || !session.isOwnWhereItHasToBe(connection))) {
            session.leaveForAnother();
        }
        return get(wanted);
    }

    /** As {@link #get(Protocol)}, where there is none opened with this key. */
    @Nullable
    BackendConnection get(ConnectionKey key) {
        if (connection == null && !opening && failure == null) {
            opening = true;
            session.loop().backends().dedicate(session, key, this);
        }
        return connection == null || connection.carriesOthers() || connection.isLeft() ? null : connection;
    }

    /** Whether there is still somebody who waits for it. */
    boolean isWanted() {
        return !over && !session.isClosed();
    }

    void opened(BackendConnection made) {
        opening = false;
        connection = made;
        session.loop().resumeLater(session);
    }

    /** The route has changed meanwhile: if one is still needed, it is asked for anew. */
    void notOpened() {
        opening = false;
        session.loop().resumeLater(session);
    }

    void failed(String error) {
        opening = false;
        failure = error;
        session.loop().resumeLater(session);
    }

    /** Why the connection asked for cannot be had; said once. */
    @Nullable
    String takeFailure() {
        String said = failure;
        failure = null;
        return said;
    }

    /** Gives it back, or closes it where others must not use it. Nothing on it may be unanswered. */
    void leave(boolean clean) {
        BackendConnection left = gone();
        if (left == null) {
            return;
        }
        left.own(null);
        if (clean && !left.isSpoiled()) {
            session.loop().backends().giveBack(left);
        } else {
            left.closeOnceQuiet(); // others may have sent something over it before it was this session's own
        }
    }

    /** The route is another one: it is closed with those of the former route. */
    void routeChanged() {
        failure = null;
        discard();
    }

    /**
     * It will not be needed again. With EXEC unanswered it stays until the answer: until then the commands count as sent. What the server
     * pushes meanwhile is still the session's, which knows what of it is an answer.
     */
    void clientGone() {
        over = true;
        BackendConnection left = gone();
        if (left != null) {
            left.closeOnceQuiet();
        }
    }

    /** Closes it, whatever is unanswered on it; but where that is what others have sent, once that is answered. */
    void discard() {
        BackendConnection left = gone();
        if (left != null && left.carriesOthers()) {
            left.own(null);
            left.closeOnceQuiet();
        } else if (left != null) {
            left.own(null);
            left.close();
        }
    }

    /** Gives it back, and whatever is still to come. */
    void leaveForGood() {
        over = true;
        leave(true);
    }

    /** It is not there any more; what it was. */
    @Nullable
    BackendConnection gone() {
        BackendConnection was = connection;
        connection = null;
        return was;
    }
}
