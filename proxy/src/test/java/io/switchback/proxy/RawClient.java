package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.fleet.Endpoint;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import javax.net.SocketFactory;

/** A client that sends the bytes it is told and shows the bytes it gets. */
final class RawClient implements AutoCloseable {
    private static final int TIMEOUT_MS = 20_000;

    private final Socket socket;
    private final InputStream in;
    private final OutputStream out;
    private final ReplyReader replies;
    private final ByteArrayOutputStream read = new ByteArrayOutputStream();

    RawClient(Endpoint endpoint) {
        this(endpoint, SocketFactory.getDefault());
    }

    /** Over sockets of this kind, such as those of TLS. */
    RawClient(Endpoint endpoint, SocketFactory sockets) {
        try {
            socket = sockets.createSocket(endpoint.host(), endpoint.port());
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(TIMEOUT_MS);
            in = new BufferedInputStream(socket.getInputStream());
            out = socket.getOutputStream();
            replies = new ReplyReader(new Recorder());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Sends bytes, each character one. */
    void sendRaw(String bytes) {
        sendRaw(bytes.getBytes(ISO_8859_1));
    }

    void sendRaw(byte[] bytes) {
        try {
            out.write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** As {@link #sendRaw(String)}; what comes behind the end of the connection is lost. */
    void sendAsFarAsItIsRead(String bytes) {
        try {
            out.write(bytes.getBytes(ISO_8859_1));
        } catch (IOException e) {
            // It was closed for what came before; what it has answered can be read.
        }
    }

    void send(String... command) {
        sendRaw(CommandEncoder.encode(command));
    }

    Reply reply() {
        read.reset();
        try {
            return replies.read();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    Reply call(String... command) {
        send(command);
        return reply();
    }

    /** The next reply's bytes, each one a character. */
    String rawReply() {
        reply();
        return read.toString(ISO_8859_1);
    }

    /** The bytes of what {@link #reply} gave last, each one a character. */
    String bytesOfReply() {
        return read.toString(ISO_8859_1);
    }

    /** All bytes up to and with these, or up to the end where the other side closes first. */
    String readUntil(String last) {
        StringBuilder all = new StringBuilder();
        try {
            while (all.length() < last.length()
                    || !all.substring(all.length() - last.length()).equals(last)) {
                int b = in.read();
                if (b < 0) {
                    return all.append("(closed)").toString();
                }
                all.append((char) b);
            }
            return all.toString();
        } catch (SocketException e) {
            return all.append("(closed)").toString();
        } catch (SocketTimeoutException e) {
            return all.append("(still open)").toString();
        } catch (IOException e) {
            throw new UncheckedIOException("after " + all, e);
        }
    }

    String raw(String... command) {
        send(command);
        return rawReply();
    }

    /** Keeps what is read. */
    private final class Recorder extends InputStream {
        @Override
        public int read() throws IOException {
            int b = in.read();
            if (b >= 0) {
                read.write(b);
            }
            return b;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int count = in.read(into, offset, length);
            if (count > 0) {
                read.write(into, offset, count);
            }
            return count;
        }
    }

    String text(String... command) {
        Reply reply = call(command);
        return (reply.isError() ? "-" : "") + reply.text();
    }

    /** Whether bytes can be read within {@code millis}. */
    boolean hasReplyWithin(int millis) {
        try {
            socket.setSoTimeout(Math.max(1, millis));
            boolean has = peek();
            socket.setSoTimeout(TIMEOUT_MS);
            return has;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private boolean peek() throws IOException {
        try {
            in.mark(1);
            int b = in.read();
            in.reset();
            return b >= 0;
        } catch (SocketTimeoutException e) {
            return false;
        }
    }

    /** All bytes until the other side closes. */
    String readToEnd() {
        try {
            return new String(in.readAllBytes(), ISO_8859_1);
        } catch (SocketException e) {
            return "(reset)";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    int localPort() {
        return socket.getLocalPort();
    }

    /** Leaves before the test is over. */
    void leave() {
        close();
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
