package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/** Something the session does by itself once everything before it is answered. */
final class LocalOperation extends Operation {
    private final Runnable action;
    private final boolean forTheAdmitted;

    /** A client whose server wants a password is not answered before it has given one ({@link Admission}). */
    LocalOperation(ClientSession session, Runnable action) {
        this(session, action, true);
    }

    private LocalOperation(ClientSession session, Runnable action, boolean forTheAdmitted) {
        super(session);
        this.action = action;
        this.forTheAdmitted = forTheAdmitted;
    }

    @Override
    boolean isWithoutServer() {
        return forTheAdmitted;
    }

    /** Answered also before a password was given. */
    static LocalOperation forAnybody(ClientSession session, Runnable action) {
        return new LocalOperation(session, action, false);
    }

    static LocalOperation quit(ClientSession session) {
        return forAnybody(session, () -> {
            session.reply(Wire.ok());
            session.closeAfterReplies();
        });
    }

    static LocalOperation reset(ClientSession session) {
        Runnable action = () -> {
            session.transaction.ended();
            session.subscriptions.clear();
            session.tracking.off();
            session.modes.off();
            session.monitor.off();
            session.leaveOwnConnection(false);
            session.resetIdentity();
            session.replies(true);
            session.reply(Wire.status("RESET"));
        };
        return forAnybody(session, action);
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
