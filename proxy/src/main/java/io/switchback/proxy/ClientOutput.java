package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelOutboundBuffer;
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
    private boolean flushAsked;
    private boolean behind;
    private boolean ended;

    ClientOutput(ProxyLoop loop, Channel channel, String address) {
        this.loop = loop;
        this.channel = channel;
        this.address = address;
    }

    /** Whether the client reads what it is sent, within {@link ProxyLimits#outputBytesPerClientPause}. */
    boolean isReading() {
        return channel.isWritable();
    }

    /** Nothing is taken any more: the connection is closed, or will be once everything written is sent. */
    boolean hasEnded() {
        return ended;
    }

    /** Passes part of a server's reply on. The buffer is the caller's. */
    void pass(ByteBuf in, int index, int length) {
        if (behind && length < COPY_BYTES_MAX) {
            write(in.alloc().buffer(length).writeBytes(in, index, length));
        } else {
            write(in.retainedSlice(index, length));
        }
    }

    /** Takes the bytes over. */
    void write(ByteBuf bytes) {
        channel.write(bytes, channel.voidPromise());
        if (!flushAsked) {
            flushAsked = true;
            loop.flushLater(this);
        }
        long waiting = bytesWaiting();
        if (!ended && waiting > loop.limits().outputBytesPerClientMax()) {
            LOG.warn("client {} is closed: {} bytes of replies wait for it to read them", address, waiting);
            close();
        }
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
        channel.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
    }

    /** Closes without delay. */
    void close() {
        ended = true;
        channel.close();
    }
}
