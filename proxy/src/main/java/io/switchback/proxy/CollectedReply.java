package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Keeps a reply until it is whole, up to a limit, and gives it to the operation that asked for it. */
final class CollectedReply implements ReplySink {
    private static final Logger LOG = LoggerFactory.getLogger(CollectedReply.class);

    private final Operation operation;
    private final int bytesMax;
    private @Nullable ByteBuf collected;
    private boolean tooBig;

    CollectedReply(Operation operation, int bytesMax) {
        this.operation = operation;
        this.bytesMax = bytesMax;
    }

    @Override
    public void receive(Run run, ByteBuf in, int index, int length) {
        ByteBuf so = collected;
        if (so == null) {
            so = in.alloc().buffer(length);
            collected = so;
        }
        if (tooBig || so.readableBytes() + length > bytesMax) {
            if (!tooBig) {
                operation.session.loop().reached(Limit.FILTERED_REPLY_BYTES);
            }
            tooBig = true;
            so.clear();
            return;
        }
        if (so.writableBytes() < length) {
            // By doubling, whatever the size: the allocator's own steps would copy a long reply many times.
            so.capacity((int) Math.min(bytesMax, 2L * (so.readableBytes() + length)));
        }
        so.writeBytes(in, index, length);
    }

    @Override
    public void answered(Run run) {
        ByteBuf reply = tooBig || collected == null ? errors(run.commands) : collected;
        operation.session.operationRepliedTo(run);
        try {
            operation.replied(run, reply);
        } catch (RuntimeException e) {
            // Not of those who share the connection that it came over.
            LOG.error("a mistake in Switchback ends the connection of client {}", operation.session.address(), e);
            operation.session.close();
        } finally {
            release();
        }
    }

    /** One in place of each reply. */
    private ByteBuf errors(int count) {
        ByteBuf one = Wire.error("ERR switchback: the reply has more than " + bytesMax
                + " bytes, and must be looked through as a whole; ask for less at a time");
        if (count == 1) {
            return one;
        }
        ByteBuf all = one.alloc().buffer(count * one.readableBytes());
        for (int i = 0; i < count; i++) {
            all.writeBytes(one, one.readerIndex(), one.readableBytes());
        }
        one.release();
        release();
        collected = all;
        return all;
    }

    @Override
    public void lost(Run run, String why) {
        release();
        operation.session.operationRepliedTo(run);
        operation.lost(why);
    }

    private void release() {
        if (collected != null) {
            collected.release();
            collected = null;
        }
    }
}
