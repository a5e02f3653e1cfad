package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Deadline;
import io.switchback.fleet.FleetTls;
import io.switchback.sync.source.WireInput;
import io.switchback.tls.TlsContexts;
import io.switchback.tls.TlsException;
import io.switchback.tls.TlsFailure;
import io.switchback.tls.TlsFiles;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PushbackInputStream;
import java.net.Socket;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import org.jspecify.annotations.Nullable;

/**
 * A server that has connected to the face: first its handshake, then the stream to it and its acknowledgements.
 *
 * <p>One thread reads, one writes, any may close or freeze. What servers are sensitive to (each was seen): an answer must come whole
 * and at once; "not yet" must be {@code -NOMASTERLINK}, since {@code -ERR} makes every version fall back to SYNC, and any other
 * error in answer to PSYNC makes it forget its place.
 */
final class TargetConnection implements AutoCloseable {
    /** A record of TLS that begins a handshake (RFC 8446, section 5.1); no command begins so. */
    private static final int TLS_HANDSHAKE = 0x16;

    private static final int HANDSHAKE_COMMANDS_MAX = 32;
    private static final int HANDSHAKE_BYTES_MAX = 64 * 1024;
    private static final int PENDING_BYTES_MAX = 64 * 1024;

    // Others (dual-channel, rdb-channel-repl, ...) announce second connections, which a link does not offer.
    private static final Set<String> CAPABILITIES_PASSED = Set.of("eof", "psync2");
    private static final byte[] NOT_YET = line("-NOMASTERLINK the link is not ready to serve this server");

    /** What the system knows; what goes over it may be encrypted. Closing it waits for nobody. */
    private final Socket beneath;

    private final WireInput input;
    private final OutputStream out;
    private final ByteArrayOutputStream pending = new ByteArrayOutputStream();
    private final List<String> capabilities = new ArrayList<>();
    private Optional<String> version = Optional.empty();
    private final ReentrantLock writing = new ReentrantLock();
    private boolean frozen; // guarded by writing
    private boolean authenticated;

    /** What the server asks for. {@code id} "?" and {@code firstByte} -1: a copy. */
    record Request(String id, long firstByte) {}

    private TargetConnection(Socket beneath, InputStream in, OutputStream out) {
        this.beneath = beneath;
        this.input = new WireInput(in, HANDSHAKE_BYTES_MAX);
        this.out = out;
    }

    /**
     * Takes a connection over; by its first byte it says whether it is TLS, which is the server's own choice (tls-replication). What it is shown then is the
     * certificate that is shown to it elsewhere too.
     *
     * @throws TlsException where it speaks TLS, and there is no certificate, or it does not take it
     */
    static TargetConnection accept(Socket beneath, Optional<FleetTls> tls, Duration silenceMax) throws IOException {
        try {
            beneath.setTcpNoDelay(true);
            beneath.setSoTimeout(Math.toIntExact(silenceMax.toMillis()));
            PushbackInputStream in = new PushbackInputStream(beneath.getInputStream(), 1);
            int first = in.read();
            if (first == TLS_HANDSHAKE) {
                return encrypted(beneath, (byte) first, tls);
            }
            if (first >= 0) {
                in.unread(first);
            }
            return new TargetConnection(beneath, in, beneath.getOutputStream());
        } catch (IOException | TlsException e) {
            beneath.close();
            throw e;
        }
    }

    private static TargetConnection encrypted(Socket beneath, byte first, Optional<FleetTls> tls) throws IOException {
        String from = String.valueOf(beneath.getRemoteSocketAddress());
        TlsFiles files = tls.map(FleetTls::files)
                .filter(known -> known.identity().isPresent())
                .orElseThrow(
                        () -> new TlsException(from + " came to the face over TLS (tls-replication yes), and the node"
                                + " has no certificate to show it: the fleet's \"tls\" needs \"cert\" and \"key\""));
        try {
            SSLSocket socket = TlsContexts.of(files).accepting(beneath, new ByteArrayInputStream(new byte[] {first}));
            socket.startHandshake();
            return new TargetConnection(beneath, socket.getInputStream(), socket.getOutputStream());
        } catch (SSLException e) {
            throw new TlsException(
                    from + " came to the face over TLS and was not understood: " + TlsFailure.wordsOrMessage(e)
                            + " (on the server: tls-ca-cert-file)",
                    e);
        }
    }

    /** Serves the handshake up to PSYNC, which is left for the caller to answer; null if it will never come. */
    @Nullable
    Request handshake(String secret) throws IOException {
        for (int i = 0; i < HANDSHAKE_COMMANDS_MAX; i++) {
            byte @Nullable [][] command = input.readCommand();
            if (command == null) {
                return null;
            }
            if (command.length == 0) {
                continue;
            }
            switch (text(command[0]).toUpperCase(Locale.ROOT)) {
                case "PSYNC" -> {
                    // Never -NOAUTH here: it would make the server forget its place.
                    if (authenticated && command.length >= 3) {
                        return new Request(text(command[1]), Long.parseLong(text(command[2])));
                    }
                    refuse();
                }
                case "SYNC" -> refuse();
                case "PING" -> say(line(authenticated ? "+PONG" : "-NOAUTH Authentication required."));
                case "AUTH" -> authenticate(command, secret);
                case "REPLCONF" -> {
                    remember(command);
                    say(line("+OK"));
                }
                default -> say(line("-ERR this is a replication link of Switchback, not a server"));
            }
        }
        return null;
    }

    private void authenticate(byte[][] command, String secret) throws IOException {
        authenticated = MessageDigest.isEqual(command[command.length - 1], secret.getBytes(UTF_8));
        say(line(authenticated ? "+OK" : "-WRONGPASS invalid username-password pair or user is disabled."));
    }

    private void remember(byte[][] command) {
        for (int i = 1; i + 1 < command.length; i += 2) {
            String value = text(command[i + 1]);
            switch (text(command[i]).toLowerCase(Locale.ROOT)) {
                case "capa" -> {
                    if (CAPABILITIES_PASSED.contains(value) && !capabilities.contains(value)) {
                        capabilities.add(value);
                    }
                }
                case "version" -> version = Optional.of(value);
                default -> {
                    // Its address and the like: the link talks to it by the fleet's own address.
                }
            }
        }
    }

    /** How long a read may wait from now on. */
    void silenceMax(Duration limit) throws IOException {
        beneath.setSoTimeout(Math.toIntExact(limit.toMillis()));
    }

    /** Whether it has shown the link's password. */
    boolean authenticated() {
        return authenticated;
    }

    /** What of its abilities the source may use. */
    List<String> capabilities() {
        return capabilities;
    }

    /** The version that it told, as Valkey does. */
    Optional<String> version() {
        return version;
    }

    /** Tells it to come again, also where nothing more of the stream may reach it: up to 6.2 it must be told. */
    void refuse() throws IOException {
        say(NOT_YET);
    }

    /** Lets the stream begin, by this answer to its PSYNC; false where it was frozen before, and then it is still to be refused. */
    boolean accept(String answer) throws IOException {
        writing.lock();
        try {
            if (frozen) {
                return false;
            }
            out.write(line(answer));
            return true;
        } finally {
            writing.unlock();
        }
    }

    /** Sends one line, whole. */
    void sendLine(String text) throws IOException {
        byte[] line = line(text);
        send(line, 0, line.length);
    }

    /** Sends bytes of the stream, or of the snapshot. */
    void send(byte[] bytes, int offset, int length) throws IOException {
        writing.lock();
        try {
            if (frozen) {
                throw new IOException("the link lets nothing pass any more");
            }
            out.write(bytes, offset, length);
        } finally {
            writing.unlock();
        }
    }

    /** From a true on nothing more of the stream is sent to it; false where a write has not ended within the deadline. */
    boolean freeze(Deadline deadline) {
        try {
            if (!writing.tryLock(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                return false;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
        frozen = true;
        writing.unlock();
        return true;
    }

    /** As {@link #send(byte[], int, int)}, but only once there is more of it, or {@link #flush}. */
    void sendLater(byte[] bytes, int offset, int length) throws IOException {
        if (pending.size() + length > PENDING_BYTES_MAX) {
            flush();
        }
        if (length > PENDING_BYTES_MAX) {
            send(bytes, offset, length);
        } else {
            pending.write(bytes, offset, length);
        }
    }

    /** Sends what was put off. */
    void flush() throws IOException {
        if (pending.size() > 0) {
            byte[] sent = pending.toByteArray();
            pending.reset();
            send(sent, 0, sent.length);
        }
    }

    /** What is no part of the stream. */
    private void say(byte[] line) throws IOException {
        writing.lock();
        try {
            out.write(line);
        } finally {
            writing.unlock();
        }
    }

    /** Its acknowledgements and keep-alives, once it is attached. */
    WireInput input() {
        return input;
    }

    /** Where it connected from. */
    String from() {
        return String.valueOf(beneath.getRemoteSocketAddress());
    }

    @Override
    public void close() throws IOException {
        beneath.close();
    }

    private static String text(byte[] bytes) {
        return new String(bytes, ISO_8859_1);
    }

    private static byte[] line(String text) {
        return (text + "\r\n").getBytes(ISO_8859_1);
    }
}
