package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.Reply;

/** DBSIZE less the reserved keys, as far as their names are known. */
final class DatabaseSizeOperation extends FilteringOperation {
    DatabaseSizeOperation(ClientSession session) {
        super(session);
    }

    @Override
    void send(BackendConnection connection) {
        ByteBuf commands = Unpooled.wrappedBuffer(
                Wire.command("DBSIZE"), Wire.command(session.loop().existsReserved()));
        session.ask(connection, this, commands, 2);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        Reply[] replies = read(reply, 2);
        if (!(replies[0] instanceof Reply.Int(long size))) {
            finish(Wire.error(replies[0].text()));
            return;
        }
        long reserved = replies[1] instanceof Reply.Int(long count) ? count : 0;
        finish(Wire.number(size - reserved));
    }
}
