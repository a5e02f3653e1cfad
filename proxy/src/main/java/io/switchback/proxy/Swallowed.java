package io.switchback.proxy;

import io.netty.buffer.ByteBuf;

/** Replies that the client does not get: it has had them, or has not asked for them. */
record Swallowed(ClientSession session) implements ReplySink {
    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {}

    @Override
    public void answered(Run run) {
        session.operationRepliedTo(run);
    }

    @Override
    public void lost(Run run, String why) {
        session.operationRepliedTo(run);
    }
}
