package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.Reply;
import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.util.List;

/** SCAN, HSCAN, SSCAN, ZSCAN: the cursor is rewritten in both directions, SCAN's reserved keys are left out. */
final class ScanOperation extends FilteringOperation {
    private final byte[][] command;
    private final int cursorIndex;

    ScanOperation(ClientSession session, byte[][] command, int cursorIndex) {
        super(session);
        this.command = command;
        this.cursorIndex = cursorIndex;
    }

    @Override
    void send(BackendConnection connection) {
        byte[][] asked = command.clone();
        String cursor = Wire.text(asked[cursorIndex]);
        if (cursor.matches("[0-9]{1,18}")) {
            long position = ScanCursor.toServer(Long.parseLong(cursor), connection.route.epoch());
            asked[cursorIndex] = Long.toString(position).getBytes(US_ASCII);
        } else if (cursor.matches("[0-9]{19,20}") && new BigInteger(cursor).bitLength() <= Long.SIZE) {
            asked[cursorIndex] = new byte[] {'0'}; // no proxy made it
        }
        session.ask(connection, this, Wire.command(asked), 1);
    }

    @Override
    void replied(Run run, ByteBuf reply) {
        if (isError(reply)
                || !(read(reply, 1)[0] instanceof Reply.Array(List<Reply> parts))
                || parts.size() != 2
                || !(parts.get(1) instanceof Reply.Array(List<Reply> elements))) {
            finish(reply.retain());
            return;
        }
        String cursor = parts.get(0).text();
        if (!cursor.matches("[0-9]{1,18}") || !ScanCursor.fits(Long.parseLong(cursor))) {
            finish(Wire.error("ERR switchback: the server's cursor " + cursor + " is larger than is supported"));
            return;
        }
        long shown = ScanCursor.toClient(
                Long.parseLong(cursor), session.loop().route().epoch());
        ByteArrayOutputStream out = new ByteArrayOutputStream(reply.readableBytes() + 32);
        out.writeBytes("*2\r\n".getBytes(US_ASCII));
        KeysOperation.writeBulk(out, Long.toString(shown).getBytes(US_ASCII));
        if (cursorIndex == 1) {
            KeysOperation.writeArray(
                    out, elements.stream().filter(KeysOperation::isVisible).toList());
            finish(Unpooled.wrappedBuffer(out.toByteArray()));
        } else {
            int elementsAt = endOfCursor(reply);
            finish(Unpooled.wrappedBuffer(
                    Unpooled.wrappedBuffer(out.toByteArray()),
                    reply.retainedSlice(elementsAt, reply.writerIndex() - elementsAt)));
        }
    }

    /** Behind {@code *2}, the cursor's length and the cursor: the third line. */
    private static int endOfCursor(ByteBuf reply) {
        int index = reply.readerIndex();
        for (int line = 0; line < 3; line++) {
            index = reply.indexOf(index, reply.writerIndex(), (byte) '\n') + 1;
        }
        return index;
    }
}
