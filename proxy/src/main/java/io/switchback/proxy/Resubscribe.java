package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.fleet.Endpoint;
import io.switchback.resp.Protocol;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Subscribes to everything anew that no connection brings (any more): over the session's own connection, and in front of a cluster at the shards of its shard channels, one after the other and to wherever their slots are by now.
 * The client gets no answer; where it cannot be done, it is closed.
 */
final class Resubscribe extends AskingOperation {
    private static final Logger LOG = LoggerFactory.getLogger(Resubscribe.class);

    private Retries retries;

    Resubscribe(ClientSession session) {
        super(session);
        this.retries = new Retries(session);
    }

    /** What waits at the server over the session's own connection (BLPOP) keeps no shard channel from its messages. */
    @Override
    boolean waitsForQuiet() {
        return isOfOwn();
    }

    private boolean isOfOwn() {
        return session.subscriptions.areMissingOn(session.own().current());
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (!retries.isTime()) {
            return null;
        }
        if (isOfOwn()) {
            return session.own().get(Protocol.RESP3);
        }
        ByteBuffer channel = session.subscriptions.loose();
        if (channel == null) {
            session.subscriptions.leaveUnused(true);
            finish();
            return null;
        }
        Endpoint server = session.subscriptions.server(channel);
        return server == null ? null : session.subscriptions.connection(server);
    }

    @Override
    @Nullable
    String failure() {
        ByteBuffer channel = session.subscriptions.loose();
        if (isOfOwn() || channel == null) {
            return session.own().takeFailure();
        }
        return session.subscriptions.server(channel) == null
                ? "CLUSTERDOWN Hash slot not served"
                : session.subscriptions.takeFailure();
    }

    @Override
    void send(BackendConnection connection) {
        if (isOfOwn()) {
            session.subscriptions.subscribe(connection, refusal -> answered(connection, refusal));
        } else {
            session.subscriptions.subscribeLoose(
                    connection.server, connection, refusal -> answered(connection, refusal));
        }
    }

    /** Goes on with the next server, or the same once more where it has not done it. */
    private void answered(BackendConnection connection, String refusal) {
        if (refusal.isEmpty()) {
            retries = new Retries(session);
            askNext();
        } else if (isToBeSentAgain(connection, refusal)) {
            askNext();
        } else {
            finish();
            failed(refusal);
        }
        session.loop().resumeLater(session);
    }

    private boolean isToBeSentAgain(BackendConnection connection, String refusal) {
        ByteBuf line = Wire.error(refusal);
        NotExecuted answer = session.loop().isSharded() ? NotExecuted.read(line, connection.server) : null;
        line.release();
        return answer != null && retries.again(answer);
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
