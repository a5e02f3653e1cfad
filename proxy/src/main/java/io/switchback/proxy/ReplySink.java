package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/** Who is told of the replies to a run. Called on the event loop of the connection. */
interface ReplySink {
    /** Bytes of the replies have come: {@code length} of them at {@code index}. The buffer is the caller's. */
    void receive(Run run, ByteBuf in, int index, int length);

    /** All replies have come in whole. */
    void answered(Run run);

    /**
     * The reply says that the command, the only one of the run, has not run, since its server is no primary any more. True where it is sent again to the
     * one that is; false where the client is to get the reply.
     */
    default boolean notRun(Run run) {
        return false;
    }

    /** The connection broke before that; {@link Run#answered} replies had come, {@link Run#partial} says whether part of one more. */
    void lost(Run run, String why);
}
