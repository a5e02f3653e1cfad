package io.switchback.fleet;

import io.switchback.tls.TlsException;
import io.switchback.tls.TlsFailure;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.Optional;
import javax.net.ssl.SSLSocket;

/**
 * A blocking connection to a server, in the clear or over TLS, by TCP or a Unix socket: what is written is read there, no more is known of it here.
 *
 * <p>One thread may read while another writes; any may close, and closing waits for nobody: over TLS there is no last word, for which a server that does
 * not read would have to be waited for.
 */
public final class ServerStream implements AutoCloseable {
    /** What the system knows; what goes over it may be encrypted. */
    private final Socket beneath;

    private final Socket socket;

    /** TLS is why there is no connection; the message says what to do. */
    static final class TlsRefused extends IOException {
        private static final long serialVersionUID = 1;

        TlsRefused(String message, Exception cause) {
            super(message, cause);
        }
    }

    private ServerStream(Socket beneath, Socket socket) {
        this.beneath = beneath;
        this.socket = socket;
    }

    /**
     * Connects, and over TLS makes the handshake. {@code limit} bounds the connect and, until {@link #silenceMax} says otherwise, each read.
     *
     * @throws IOException with a message that a person can read: what did not work, and where TLS is to blame, why
     */
    public static ServerStream open(Endpoint server, Optional<FleetTls> tls, Duration limit) throws IOException {
        int limitMs = Math.toIntExact(Math.max(1, limit.toMillis()));
        Socket beneath = server.isUnix() ? UnixSocket.connect(server.host()) : new Socket();
        try {
            beneath.setTcpNoDelay(true);
            beneath.setSoTimeout(limitMs);
            if (!server.isUnix()) {
                beneath.connect(new InetSocketAddress(server.host(), server.port()), limitMs);
            }
            return new ServerStream(
                    beneath, tls.isPresent() ? handshake(tls.get(), beneath, server, limitMs) : beneath);
        } catch (IOException e) {
            beneath.close();
            throw e;
        }
    }

    private static Socket handshake(FleetTls tls, Socket beneath, Endpoint server, int limitMs) throws IOException {
        try {
            SSLSocket socket = tls.over(beneath, server);
            socket.startHandshake();
            return socket;
        } catch (TlsException e) {
            throw new TlsRefused(String.valueOf(e.getMessage()), e);
        } catch (IOException e) {
            tls.look();
            throw new TlsRefused(TlsFailure.ofHandshake(e, limitMs), e);
        }
    }

    public InputStream input() throws IOException {
        return socket.getInputStream();
    }

    public OutputStream output() throws IOException {
        return socket.getOutputStream();
    }

    /** How long a read may wait from now on. */
    public void silenceMax(Duration limit) throws IOException {
        beneath.setSoTimeout(Math.toIntExact(limit.toMillis()));
    }

    /** This end's address; the loopback one over a Unix socket. */
    public InetAddress localAddress() {
        return beneath.getLocalAddress();
    }

    @Override
    public void close() throws IOException {
        beneath.close();
    }
}
