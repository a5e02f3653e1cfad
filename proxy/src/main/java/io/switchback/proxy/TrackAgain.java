package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.Reply;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Asks for tracking anew, on another connection. The client gets no answer; where it is refused, it is closed, and so caches nothing. */
final class TrackAgain extends AskingOperation {
    private static final Logger LOG = LoggerFactory.getLogger(TrackAgain.class);

    TrackAgain(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.tracking.connection();
    }

    @Override
    @Nullable
    String failure() {
        return session.tracking.takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        session.subscriptions.feed(connection);
        session.ask(connection, this, session.tracking.again(), session.tracking.count());
    }

    @Override
    void replied(Run run, ByteBuf replies) {
        for (Reply reply : FilteringOperation.read(replies, run.commands)) {
            if (reply.isError()) {
                failed(reply.text());
            }
        }
        session.tracking.askedAgain();
        finish();
    }

    @Override
    void failed(String failure) {
        LOG.warn("client {} is closed: what it has read cannot be tracked any more: {}", session.address(), failure);
        session.close();
    }

    @Override
    void lost(String why) {
        finish(); // the session finds that it is on no connection, and begins another one
    }
}
