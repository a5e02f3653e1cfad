package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelOutboundBuffer;
import java.util.ArrayDeque;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one client is being answered: bytes written, flushed once per turn of the loop, bounded.
 *
 * <p>Owned by its session's event loop. A client that does not read is first not asked for ({@link #isReading}), then, past
 * {@link ProxyLimits#outputBytesPerClientMax}, closed.
 */
@SuppressWarnings("FutureReturnValueIgnored") // what becomes of a close or write is told by other events
final class ClientOutput implements Flushable {
    private static final Logger LOG = LoggerFactory.getLogger(ClientOutput.class);

    /** Replies shorter than this are copied for a client that does not keep up, lest each hold a whole buffer. */
    private static final int COPY_BYTES_MAX = 16 * 1024;
    /** A client with more than this still to read after a flush does not keep up. */
    private static final int BEHIND_BYTES = 64 * 1024;

    private final ProxyLoop loop;
    private final Channel channel;
    private final String address;
    private final KeptReplies kept = new KeptReplies();
    private final Runnable resume;
    private boolean endsAfterKept;
    private boolean flushAsked;
    private boolean behind;
    private boolean ended;
    /** What was passed on last ends inside a reply. */
    private boolean insideReply;
    /** Wait for the end of that reply, since others than who sends it brought them. */
    private final ArrayDeque<ByteBuf> pushes = new ArrayDeque<>(0);

    private long pushBytes;

    /** {@code resume} is run when less is kept. */
    ClientOutput(ProxyLoop loop, Channel channel, String address, Runnable resume) {
        this.resume = resume;
        this.loop = loop;
        this.channel = channel;
        this.address = address;
    }

    /** Whether the client reads what it is sent, and no more is kept from it, within {@link ProxyLimits#outputBytesPerClientPause}. */
    boolean isReading() {
        return channel.isWritable()
                && !kept.isFull()
                && kept.bytes() < loop.limits().outputBytesPerClientPause();
    }

    /** So much waits that no more is read for this client, even if a hold waits for that. Well below what it is closed at. */
    boolean isFull() {
        return waiting() > loop.limits().outputBytesPerClientMax() / 2;
    }

    /** Nothing is taken any more: the connection is closed, or will be once everything written is sent. */
    boolean hasEnded() {
        return ended;
    }

    // --- replies that must be confirmed

    /**
     * Keeps part of replies to writes until the loop's next look is confirmed, and with it all that comes behind. The buffer is the
     * caller's.
     *
     * @param replies how many replies end in these bytes
     * @param endsInside whether the last reply in them has not come in whole
     */
    void keep(ByteBuf in, int index, int length, int replies, boolean endsInside) {
        if (kept.isEmpty()) {
            loop.confirmations().keeping(this);
        }
        kept.keep(loop.confirmations().nextLook(), in, index, length, replies, endsInside);
        loop.endTurnSoon();
        replyGoesOn(endsInside);
        closeWherePastLimit();
    }

    /** Gives out what {@code look} confirms. */
    void release(long look) {
        kept.release(look, this::writeNow);
        emptied();
    }

    /** Gives out errors in place of what was to be confirmed. */
    void lose(String error) {
        ByteBuf bytes = Wire.error(error);
        KeptReplies.Lost lost = kept.lose(bytes, this::writeNow);
        bytes.release();
        loop.routeTraffic().notAnswered(lost.replies());
        if (lost.cutShort()) {
            LOG.info("client {} is closed: part of a reply to a write is lost", address);
            close();
        }
        emptied();
    }

    /** Nobody reads it any more. */
    void discardKept() {
        kept.discard();
        pushes.forEach(ByteBuf::release);
        pushes.clear();
        loop.confirmations().keepsNothing(this);
    }

    private void emptied() {
        if (kept.isEmpty()) {
            loop.confirmations().keepsNothing(this);
            if (endsAfterKept) {
                endsAfterKept = false;
                endNow();
            }
        }
        resume.run();
    }

    // --- what is sent

    /** Passes part of a server's reply on. The buffer is the caller's. */
    void pass(ByteBuf in, int index, int length, boolean endsInside) {
        if (!kept.isEmpty()) {
            kept.queue(in, index, length);
            closeWherePastLimit();
        } else if (behind && length < COPY_BYTES_MAX) {
            write(in.alloc().buffer(length).writeBytes(in, index, length));
        } else {
            write(in.retainedSlice(index, length));
        }
        replyGoesOn(endsInside);
    }

    private void replyGoesOn(boolean endsInside) {
        insideReply = endsInside;
        if (!endsInside && !pushes.isEmpty()) {
            pushBytes = 0;
            for (ByteBuf push = pushes.poll(); push != null; push = pushes.poll()) {
                write(push);
            }
        }
    }

    /** A push message, which is taken over; not before the end of a reply of which a part has been passed on. */
    void push(ByteBuf message) {
        if (insideReply) {
            pushes.add(message);
            pushBytes += message.readableBytes();
            closeWherePastLimit();
        } else {
            write(message);
        }
    }

    /** Takes the bytes over. */
    void write(ByteBuf bytes) {
        if (kept.isEmpty()) {
            writeNow(bytes);
            return;
        }
        kept.queue(bytes, bytes.readerIndex(), bytes.readableBytes());
        bytes.release();
        closeWherePastLimit();
    }

    private void writeNow(ByteBuf bytes) {
        channel.write(bytes, channel.voidPromise());
        if (!flushAsked) {
            flushAsked = true;
            loop.flushLater(this);
        }
        closeWherePastLimit();
    }

    private void closeWherePastLimit() {
        long waiting = waiting();
        if (!ended && waiting > loop.limits().outputBytesPerClientMax()) {
            loop.reached(Limit.OUTPUT_BYTES);
            LOG.warn("client {} is closed: {} bytes of replies wait for it", address, waiting);
            close();
        }
    }

    private long waiting() {
        return bytesWaiting() + kept.bytes() + pushBytes;
    }

    private long bytesWaiting() {
        ChannelOutboundBuffer waiting = channel.unsafe().outboundBuffer();
        return waiting == null ? 0 : waiting.totalPendingWriteBytes();
    }

    @Override
    public void flushNow() {
        flushAsked = false;
        channel.flush();
        behind = bytesWaiting() > BEHIND_BYTES;
    }

    /** Sends what is written, then closes. */
    void endAfterReplies() {
        ended = true;
        if (kept.isEmpty()) {
            endNow();
        } else {
            endsAfterKept = true;
        }
    }

    private void endNow() {
        channel.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
    }

    /** Closes without delay. */
    void close() {
        ended = true;
        Encryption.closeNow(channel);
    }
}
