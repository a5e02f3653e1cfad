package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.Reply;
import java.io.ByteArrayOutputStream;
import java.util.List;

/** KEYS with a pattern that could match a reserved key: those are left out. */
final class KeysOperation extends FilteringOperation {
    private final byte[][] command;

    KeysOperation(ClientSession session, byte[][] command) {
        super(session);
        this.command = command;
    }

    @Override
    void send(BackendConnection connection) {
        session.ask(connection, this, Wire.command(command), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply) || !(read(reply, 1)[0] instanceof Reply.Array(List<Reply> keys))) {
            finish(reply.retain());
            return;
        }
        List<Reply> visible = keys.stream().filter(KeysOperation::isVisible).toList();
        if (visible.size() == keys.size()) {
            finish(reply.retain());
            return;
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream(reply.readableBytes());
        writeArray(out, visible);
        finish(Unpooled.wrappedBuffer(out.toByteArray()));
    }

    static boolean isVisible(Reply key) {
        return !(key instanceof Reply.Bulk(byte[] bytes) && ReservedKeys.isReserved(bytes));
    }

    static void writeArray(ByteArrayOutputStream out, List<Reply> elements) {
        out.writeBytes(("*" + elements.size() + "\r\n").getBytes(US_ASCII));
        for (Reply element : elements) {
            if (element instanceof Reply.Bulk(byte[] bytes)) {
                writeBulk(out, bytes);
            } else {
                out.writeBytes("$-1\r\n".getBytes(US_ASCII));
            }
        }
    }

    static void writeBulk(ByteArrayOutputStream out, byte[] bytes) {
        out.writeBytes(("$" + bytes.length + "\r\n").getBytes(US_ASCII));
        out.writeBytes(bytes);
        out.writeBytes("\r\n".getBytes(US_ASCII));
    }
}
