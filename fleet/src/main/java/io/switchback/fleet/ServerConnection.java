package io.switchback.fleet;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A blocking connection to one server for administration, never for clients' commands.
 *
 * <p>For one thread at a time. After a {@link FleetException.Code#UNREACHABLE} it is closed and of no further use, because
 * what was asked may or may not have happened.
 */
public final class ServerConnection implements AutoCloseable {
    private static final String PASSWORD_REMEDY =
            "; its user and password are those of this fleet in the node's file (user, password)";

    private final Endpoint endpoint;
    private final Socket socket;
    private final ReplyReader replies;
    private final OutputStream out;

    private ServerConnection(Endpoint endpoint, Socket socket) throws IOException {
        this.endpoint = endpoint;
        this.socket = socket;
        this.replies = new ReplyReader(new BufferedInputStream(socket.getInputStream(), 64 * 1024));
        this.out = socket.getOutputStream();
    }

    /** Connects and authenticates. {@code timeout} bounds the connect and, from then on, the wait for each reply. */
    public static ServerConnection open(Endpoint endpoint, Optional<Credential> credential, Duration timeout) {
        Socket socket = new Socket();
        ServerConnection connection;
        try {
            int timeoutMs = Math.toIntExact(Math.max(1, timeout.toMillis()));
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(timeoutMs);
            socket.connect(new InetSocketAddress(endpoint.host(), endpoint.port()), timeoutMs);
            connection = new ServerConnection(endpoint, socket);
        } catch (IOException e) {
            closeQuietly(socket);
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    endpoint + " cannot be reached: " + e.getMessage()
                            + "; is the server running and the address right?",
                    e);
        }
        credential.ifPresent(connection::authenticate);
        return connection;
    }

    /** As {@link #open(Endpoint, Optional, Duration)}, to a fleet's server. */
    public static ServerConnection open(FleetSpec fleet, Duration timeout) {
        return open(fleet.endpoint(), fleet.credential(), timeout);
    }

    private void authenticate(Credential credential) {
        Reply reply = call("AUTH", credential.user(), credential.password());
        if (reply instanceof Reply.Failure(String message)) {
            close();
            throw new FleetException(
                    FleetException.Code.UNAUTHORIZED,
                    endpoint + " does not accept user \"" + credential.user() + "\": " + message + PASSWORD_REMEDY);
        }
    }

    /** Sends one command and waits for its reply, which may be an error. */
    public Reply call(String... arguments) {
        return call(CommandEncoder.bytes(arguments));
    }

    /** Sends one command and waits for its reply, which may be an error. */
    public Reply call(byte[]... arguments) {
        return pipeline(List.<byte[][]>of(arguments)).getFirst();
    }

    /** Sends one command; its reply if that is none of the errors, else a {@link FleetException} that says what was refused. */
    public Reply demand(String... arguments) {
        Reply reply = call(arguments);
        if (reply instanceof Reply.Failure(String message)) {
            String remedy = message.startsWith("NOAUTH") ? PASSWORD_REMEDY : "";
            throw new FleetException(
                    FleetException.Code.REFUSED,
                    endpoint + " refused " + String.join(" ", arguments) + ": " + message + remedy);
        }
        return reply;
    }

    /** Sends all commands at once and waits for all replies, in order. */
    public List<Reply> pipeline(List<byte[][]> commands) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        commands.forEach(command -> CommandEncoder.encode(bytes, command));
        try {
            out.write(bytes.toByteArray());
            List<Reply> answers = new ArrayList<>(commands.size());
            for (int i = 0; i < commands.size(); i++) {
                answers.add(replies.read());
            }
            return answers;
        } catch (IOException e) {
            close();
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    endpoint + " broke the connection or did not answer: " + e.getMessage(),
                    e);
        }
    }

    /** The server's address. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** This end's address: the one by which the server can reach this machine, where no address is translated between. */
    public InetAddress localAddress() {
        return socket.getLocalAddress();
    }

    @Override
    public void close() {
        closeQuietly(socket);
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // Closing is all that was wanted; the descriptor is released even when close reports an error.
        }
    }
}
