package io.switchback.fleet;

import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import io.switchback.resp.UnlockedInput;
import io.switchback.tls.TlsFailure;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
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
    private final ServerStream stream;
    private final ReplyReader replies;
    private final OutputStream out;

    private ServerConnection(Endpoint endpoint, ServerStream stream) throws IOException {
        this.endpoint = endpoint;
        this.stream = stream;
        this.replies = new ReplyReader(new UnlockedInput(stream.input()));
        this.out = stream.output();
    }

    /** As {@link #open(Endpoint, Optional, Optional, Duration)}, in the clear. */
    public static ServerConnection open(Endpoint endpoint, Optional<Credential> credential, Duration timeout) {
        return open(endpoint, credential, Optional.empty(), timeout);
    }

    /** Connects and authenticates. {@code timeout} bounds the connect and, from then on, the wait for each reply. */
    public static ServerConnection open(
            Endpoint endpoint, Optional<Credential> credential, Optional<FleetTls> tls, Duration timeout) {
        ServerConnection connection;
        try {
            ServerStream stream = ServerStream.open(endpoint, tls, timeout);
            connection = new ServerConnection(endpoint, stream);
        } catch (IOException e) {
            boolean saysWhatToDo = e instanceof ServerStream.TlsRefused;
            throw new FleetException(
                    FleetException.Code.UNREACHABLE,
                    endpoint + " cannot be reached: " + e.getMessage()
                            + (saysWhatToDo ? "" : "; is the server running and the address right?"),
                    e);
        }
        credential.ifPresent(connection::authenticate);
        return connection;
    }

    /**
     * As {@link #open(Endpoint, Optional, Optional, Duration)}, to the server that is the fleet's primary now; where sentinels watch it, they are asked.
     */
    public static ServerConnection open(FleetSpec fleet, Duration timeout) {
        return open(fleet.primaryNow(), fleet.credential(), fleet.tls(), timeout);
    }

    /**
     * Whether somebody takes connections there and keeps one: a server that answers nothing, but is there. Of use where it did not answer;
     * looks for as long as {@code timeout} at the most, twice.
     */
    public static boolean isTaken(Endpoint endpoint, Duration timeout) {
        if (endpoint.isUnix()) {
            try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(endpoint.host()))) {
                return channel.isConnected();
            } catch (IOException e) {
                return false;
            }
        }
        int timeoutMs = Math.toIntExact(Math.max(1, timeout.toMillis()));
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(endpoint.host(), endpoint.port()), timeoutMs);
            socket.setSoTimeout(timeoutMs);
            return keeps(socket);
        } catch (IOException e) {
            return false;
        }
    }

    /** Nothing comes where nothing is asked: but the end, from a process that is going. */
    private static boolean keeps(Socket socket) throws IOException {
        try {
            return socket.getInputStream().read() >= 0;
        } catch (SocketTimeoutException e) {
            return true;
        }
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

    /** Waits for one more reply, which nobody asked for: a message to a subscriber. */
    public Reply next() {
        try {
            return replies.read();
        } catch (IOException e) {
            throw broken(e);
        }
    }

    private FleetException broken(IOException e) {
        close();
        return new FleetException(
                FleetException.Code.UNREACHABLE,
                endpoint + " broke the connection or did not answer: " + TlsFailure.wordsOrMessage(e),
                e);
    }

    /** Sends all commands at once and waits for all replies, in order. */
    public List<Reply> pipeline(List<byte[][]> commands) {
        send(commands);
        return receive(commands.size());
    }

    /** Sends all commands at once; their replies are to be fetched by {@link #receive} before anything else is asked. */
    public void send(List<byte[][]> commands) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        commands.forEach(command -> CommandEncoder.encode(bytes, command));
        try {
            out.write(bytes.toByteArray());
        } catch (IOException e) {
            throw broken(e);
        }
    }

    /** Waits for the replies to so many commands that were sent, in order. */
    public List<Reply> receive(int count) {
        try {
            List<Reply> answers = new ArrayList<>(count);
            for (int i = 0; i < count; i++) {
                answers.add(replies.read());
            }
            return answers;
        } catch (IOException e) {
            throw broken(e);
        }
    }

    /** The server's address. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** This end's address: the one by which the server can reach this machine, where no address is translated between. */
    public InetAddress localAddress() {
        return stream.localAddress();
    }

    @Override
    public void close() {
        try {
            stream.close();
        } catch (IOException e) {
            // Closing is all that was wanted; the descriptor is released even when close reports an error.
        }
    }
}
