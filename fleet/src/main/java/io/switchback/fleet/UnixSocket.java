package io.switchback.fleet;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketImpl;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/**
 * A connection over a Unix socket that waits as a {@link Socket} does: a read no longer than {@link #setSoTimeout} says, and nothing any more once it is
 * closed. Java has Unix sockets as channels only, whose blocking reads wait for ever.
 *
 * <p>One thread may read while another writes; any may close.
 */
final class UnixSocket extends Socket {
    private final SocketChannel channel;
    private final Selector readable;
    private final Selector writable;
    private volatile int readTimeoutMs;

    private UnixSocket(SocketChannel channel, Selector readable, Selector writable) throws SocketException {
        super((SocketImpl) null);
        this.channel = channel;
        this.readable = readable;
        this.writable = writable;
    }

    /** Connects, which a Unix socket does at once or not at all. */
    static Socket connect(String path) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        @Nullable Selector readable = null;
        @Nullable Selector writable = null;
        try {
            channel.configureBlocking(false);
            if (!channel.connect(UnixDomainSocketAddress.of(path))) {
                throw new SocketException("it takes no more connections");
            }
            readable = Selector.open();
            channel.register(readable, SelectionKey.OP_READ);
            writable = Selector.open();
            channel.register(writable, SelectionKey.OP_WRITE);
            return new UnixSocket(channel, readable, writable);
        } catch (IOException e) {
            channel.close();
            if (readable != null) {
                readable.close();
            }
            if (writable != null) {
                writable.close();
            }
            throw e;
        }
    }

    private final class Input extends InputStream {
        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            if (length == 0) {
                return 0;
            }
            ByteBuffer buffer = ByteBuffer.wrap(into, offset, length);
            int count = channel.read(buffer);
            while (count == 0) {
                if (!await(readable, readTimeoutMs)) {
                    throw new SocketTimeoutException("Read timed out");
                }
                count = channel.read(buffer);
            }
            return count;
        }
    }

    private final class Output extends OutputStream {
        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            ByteBuffer buffer = ByteBuffer.wrap(bytes, offset, length);
            while (buffer.hasRemaining()) {
                if (channel.write(buffer) == 0) {
                    await(writable, 0);
                }
            }
        }
    }

    /** Whether the channel is ready before {@code timeoutMs} are over, 0 being without end. */
    private boolean await(Selector selector, int timeoutMs) throws IOException {
        try {
            int ready = selector.select(timeoutMs);
            selector.selectedKeys().clear();
            if (!channel.isOpen()) {
                throw new SocketException("Socket closed");
            }
            if (Thread.currentThread().isInterrupted()) {
                throw new SocketException("interrupted");
            }
            return ready > 0;
        } catch (ClosedSelectorException e) {
            throw new SocketException("Socket closed", e);
        }
    }

    @Override
    public InputStream getInputStream() {
        return new Input();
    }

    @Override
    public OutputStream getOutputStream() {
        return new Output();
    }

    @Override
    public void setSoTimeout(int timeoutMs) {
        readTimeoutMs = timeoutMs;
    }

    @Override
    public void setTcpNoDelay(boolean on) {
        // Nothing is delayed here.
    }

    /** Who listens at a Unix socket is on this machine. */
    @Override
    public InetAddress getLocalAddress() {
        return InetAddress.getLoopbackAddress();
    }

    @Override
    public boolean isClosed() {
        return !channel.isOpen();
    }

    @Override
    public void close() throws IOException {
        channel.close();
        readable.close();
        writable.close();
    }
}
