package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.Protocol;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Subscribes to everything anew, on another connection. The client gets no answer; where it cannot be done, it is closed. */
final class Resubscribe extends AskingOperation {
    private static final Logger LOG = LoggerFactory.getLogger(Resubscribe.class);

    Resubscribe(ClientSession session) {
        super(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        return session.own().get(Protocol.RESP3);
    }

    @Override
    @Nullable
    String failure() {
        return session.own().takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        session.subscriptions.subscribe(session.subscriptions.feed(connection), session, refusal -> {
            finish();
            if (!refusal.isEmpty()) {
                failed(refusal);
            }
        });
    }

    @Override
    void failed(String failure) {
        LOG.warn(
                "client {} is closed: what it is subscribed to cannot be had any more: {}", session.address(), failure);
        session.close();
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("it is answered by push messages");
    }
}
