package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandRule;
import io.switchback.resp.KeySlot;
import io.switchback.resp.Reply;
import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.util.List;

/**
 * The SCAN family in front of a cluster. SCAN walks one shard after the other, and its cursors say which; HSCAN, SSCAN and ZSCAN are sent to the shard of
 * their key. Cursors are those of a layout of the cluster ({@link ScanCursor}): where a slot is at another server meanwhile, the walk begins again.
 */
final class ClusterScan extends ScatteredOperation {
    private final byte[][] command;
    private final boolean walksShards;
    private final int cursorIndex;
    private int shard;
    private int shards = 1;
    private long tag;

    ClusterScan(ClientSession session, CommandRule rule, byte[][] command) {
        super(session, true);
        this.command = command;
        this.walksShards = rule.name().equals("scan");
        this.cursorIndex = walksShards ? 1 : 2;
    }

    @Override
    List<Piece> pieces() {
        ProxyLoop loop = session.loop();
        ClusterMap map = loop.cluster();
        tag = ScanCursor.tag(loop.route().epoch(), map == null ? 0 : map.layout());
        shards = map == null || !walksShards
                ? 1
                : Math.max(1, map.slotOfEachShard().size());
        byte[][] asked = command.clone();
        shard = 0;
        String cursor = Wire.text(command[cursorIndex]);
        if (cursor.matches("[0-9]{1,18}")) {
            long known = ScanCursor.positionOf(Long.parseLong(cursor), tag);
            shard = ScanCursor.shard(known, shards);
            long position = ScanCursor.positionInShard(known, shards);
            if (shard >= shards) {
                shard = 0;
                position = 0;
            }
            asked[cursorIndex] = Long.toString(position).getBytes(US_ASCII);
        } else if (cursor.matches("[0-9]{19,20}") && new BigInteger(cursor).bitLength() <= Long.SIZE) {
            asked[cursorIndex] = new byte[] {'0'}; // no proxy made it
        }
        int slot = !walksShards
                ? KeySlot.of(command[1])
                : map == null || map.slotOfEachShard().isEmpty()
                        ? -1
                        : map.slotOfEachShard().get(shard);
        return List.of(piece(slot, asked));
    }

    @Override
    ByteBuf joined(List<ByteBuf> replies) {
        ByteBuf reply = replies.getFirst();
        if (AskingOperation.isError(reply)
                || !(JoinedReplies.read(reply) instanceof Reply.Array(List<Reply> parts))
                || parts.size() != 2
                || !(parts.get(1) instanceof Reply.Array(List<Reply> elements))) {
            return reply.retainedDuplicate();
        }
        String cursor = parts.get(0).text();
        if (!cursor.matches("[0-9]{1,18}") || !ScanCursor.fits(Long.parseLong(cursor), shards)) {
            return Wire.error("ERR switchback: the server's cursor " + cursor + " is larger than is supported");
        }
        long position = Long.parseLong(cursor);
        boolean ends = position == 0 && shard == shards - 1;
        int next = position == 0 ? shard + 1 : shard;
        long shown = ends ? 0 : ScanCursor.withTag(ScanCursor.inShard(position, next, shards), tag);
        ByteArrayOutputStream out = new ByteArrayOutputStream(reply.readableBytes() + 32);
        out.writeBytes("*2\r\n".getBytes(US_ASCII));
        KeysOperation.writeBulk(out, Long.toString(shown).getBytes(US_ASCII));
        if (walksShards) {
            KeysOperation.writeArray(
                    out, elements.stream().filter(KeysOperation::isVisible).toList());
            return Unpooled.wrappedBuffer(out.toByteArray());
        }
        ByteBuf second = JoinedReplies.elements(reply).get(1);
        return Unpooled.wrappedBuffer(Unpooled.wrappedBuffer(out.toByteArray()), second.retainedDuplicate());
    }
}
