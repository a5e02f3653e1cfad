package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/** Something the session does by itself once everything before it is answered. */
final class LocalOperation extends Operation {
    private final Runnable action;

    LocalOperation(ClientSession session, Runnable action) {
        super(session);
        this.action = action;
    }

    static LocalOperation quit(ClientSession session) {
        return new LocalOperation(session, () -> {
            session.reply(Wire.ok());
            session.closeAfterReplies();
        });
    }

    static LocalOperation reset(ClientSession session) {
        return new LocalOperation(session, () -> {
            session.transaction.ended();
            session.subscriptions.clear();
            session.tracking.off();
            session.modes.off();
            session.monitor.off();
            session.leaveOwnConnection(false);
            session.resetIdentity();
            session.replies(true);
            session.reply(Wire.status("RESET"));
        });
    }

    @Override
    boolean proceed() {
        if (!session.isQuiet()) {
            return false;
        }
        action.run();
        return true;
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        throw new IllegalStateException("nothing was asked");
    }

    @Override
    void lost(String why) {
        throw new IllegalStateException("nothing was asked");
    }
}
