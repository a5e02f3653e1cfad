package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.proxy.SessionCommands.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * CLIENT TRACKING and CLIENT CACHING: asked on the session's own connection, over which its commands go as long as it tracks. In front of a cluster it is {@link ShardTracking.Asking}.
 */
final class ClientTracking extends AskingOperation {
    private final TrackingCommand command;

    private ClientTracking(ClientSession session, byte[][] words) {
        super(session);
        this.command = new TrackingCommand(session, words);
    }

    static Verdict judge(ClientSession session, byte[][] words) {
        boolean tracks = SessionCommands.word(words, 1).equals("TRACKING");
        if (tracks && session.tracking.isFull()) {
            return new SessionCommands.Refuse("ERR switchback: CLIENT TRACKING was said " + Tracking.COMMANDS_MAX
                    + " times; turn it off before you turn it on anew");
        }
        if (tracks && session.tracking.isTooLong(words)) {
            session.loop().reached(Limit.TRACKING_BYTES);
            return new SessionCommands.Refuse(
                    "ERR switchback: what one client says to CLIENT TRACKING may have no more than "
                            + session.loop().limits().trackingBytesMax() + " bytes together, with 32 for each word");
        }
        return new SessionCommands.Perform(asking(session, words));
    }

    private static Operation asking(ClientSession session, byte[][] words) {
        return session.loop().isSharded()
                ? new ShardTracking.Asking(session, words)
                : new ClientTracking(session, words);
    }

    /** A switch has led from or to a cluster: it is asked as one asks there. */
    static void handOver(ClientSession session, TrackingCommand command) {
        command.abandon();
        session.tracking.wants(null);
        session.perform(asking(session, command.words()));
        session.loop().resumeLater(session);
    }

    @Override
    @Nullable
    BackendConnection connection() {
        if (session.loop().isSharded()) {
            handOver(session, command);
            return null;
        }
        if (!command.knowsTarget()) {
            return null;
        }
        BackendConnection own = session.own().get();
        Redirect to = command.redirect();
        return own != null && (to == null || to.isReady(null)) ? own : null;
    }

    @Override
    void clientGone() {
        command.abandon();
    }

    @Override
    @Nullable
    String failure() {
        String failure = session.own().takeFailure();
        Redirect to = command.redirect();
        return failure == null && to != null ? to.takeFailure(null) : failure;
    }

    @Override
    void failed(String failure) {
        session.tracking.wants(null);
        super.failed(failure);
    }

    // --- the server

    @Override
    void send(BackendConnection connection) {
        session.subscriptions.feed(connection); // what is invalidated comes over it
        session.ask(connection, this, Wire.command(command.asTheServerKnowsIt(null)), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)) {
            session.tracking.wants(null);
        } else if (command.turnsOff()) {
            session.tracking.off();
        } else if (command.tracks()) {
            session.tracking.on(command.withoutRedirect());
        } else {
            session.tracking.ofNext(command.words());
        }
        if (!session.needsOwnConnection()) {
            session.leaveOwnConnection(true);
        }
        finish(reply.retain());
    }

    @Override
    void lost(String why) {
        if (!repeat()) {
            session.tracking.wants(null);
            super.lost(why);
        }
    }
}
