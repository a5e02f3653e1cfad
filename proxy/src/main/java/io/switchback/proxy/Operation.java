package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/**
 * A command that the session sees to itself. While one is under way the session reads no further command.
 *
 * <p>Owned by the session's event loop. {@link #proceed} is called again whenever something happened that it may wait for,
 * and never while the loop holds, so it may send whenever it is called.
 */
abstract class Operation {
    final ClientSession session;

    Operation(ClientSession session) {
        this.session = session;
    }

    /** Does what can be done now; true once the client has its reply. */
    abstract boolean proceed();

    /** The whole reply to what {@link ClientSession#ask} sent. The buffer is the caller's. */
    abstract void replied(Run run, ByteBuf reply);

    /** Whether no server is asked, and so none says that it wants a password first ({@link Admission}). */
    boolean isWithoutServer() {
        return false;
    }

    /** Whether the server would say in other words than this client waits for that it wants a password first. */
    boolean needsAdmission() {
        return isWithoutServer();
    }

    /** Nobody waits for the reply any more. */
    void clientGone() {}

    /** The connection broke before that reply had come in whole. */
    abstract void lost(String why);
}
