package io.switchback.sync.source;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ServerStream;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The link as a replica of its source: an ordinary client until {@link #psync}, then a stream.
 *
 * <p>One thread reads, any may write or close: what is written is whole. It does not announce a port: INFO of the source shows it
 * with port 0, so that nobody reads from it or takes it for a replica to promote. In place of an address it announces a name, by
 * which ROLE tells it from the source's other replicas.
 */
public final class SourceConnection implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SourceConnection.class);

    public static final int COMMAND_BYTES_MAX = 256 * 1024 * 1024;

    private final FleetSpec source;
    /** The source's primary, when this was opened. */
    private final Endpoint server;

    private final ServerStream stream;
    private final ReplyReader replies;
    private final WireInput input;
    private final OutputStream out;
    private final long clientId;
    private final List<AutoCloseable> closedWith = new ArrayList<>(); // guarded by itself
    private volatile boolean closed;

    private SourceConnection(FleetSpec source, Endpoint server, ServerStream stream) throws IOException {
        this.source = source;
        this.server = server;
        this.stream = stream;
        BufferedInputStream in = new BufferedInputStream(stream.input(), 16 * 1024);
        this.replies = new ReplyReader(in);
        this.input = new WireInput(in, COMMAND_BYTES_MAX);
        this.out = stream.output();
        if (source.credential().isPresent()) {
            Credential credential = source.credential().get();
            demand(List.of("AUTH", credential.user(), credential.password()));
        }
        this.clientId = demand(List.of("CLIENT", "ID")) instanceof Reply.Int(long id) ? id : -1;
    }

    /**
     * Connects to the server that is the source's primary now: after a failover of the fleet's own that is another one, whose history goes on where
     * that of the former one ended, so that PSYNC succeeds there too. {@code limit} bounds the connect, and the wait for each answer until {@link
     * #psync} is done.
     */
    public static SourceConnection open(FleetSpec source, Duration limit) throws IOException {
        return open(source, primaryOf(source), limit);
    }

    /** Another connection to the same server, which is closed with this one. */
    SourceConnection beside(Duration limit) throws IOException {
        SourceConnection other = open(source, server, limit);
        closesWith(other);
        return other;
    }

    private static SourceConnection open(FleetSpec source, Endpoint server, Duration limit) throws IOException {
        try {
            ServerStream stream = ServerStream.open(server, source.tls(), limit);
            try {
                return new SourceConnection(source, server, stream);
            } catch (IOException e) {
                stream.close();
                throw e;
            }
        } catch (IOException e) {
            throw new IOException("the source " + server + " does not answer: " + e.getMessage(), e);
        }
    }

    private static Endpoint primaryOf(FleetSpec source) throws IOException {
        try {
            return source.primaryNow();
        } catch (FleetException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Where it leads: the source's primary when it was opened. */
    public Endpoint server() {
        return server;
    }

    /** What the source says of itself. */
    public InfoReport info() throws IOException {
        return InfoReport.parse(server.toString(), demand(List.of("INFO")));
    }

    /** The source's number for this connection; it can be named in CLIENT KILL. */
    public long clientId() {
        return clientId;
    }

    /**
     * Asks for the stream from {@code firstByte} of history {@code id} on ("?" and -1 for a copy). The answer comes by {@link
     * #input}: maybe empty lines, then one line.
     */
    public void psync(String id, long firstByte, List<String> capabilities, Optional<String> version)
            throws IOException {
        if (!capabilities.isEmpty()) {
            List<String> capa = new ArrayList<>(List.of("REPLCONF"));
            capabilities.forEach(capability -> capa.addAll(List.of("capa", capability)));
            demand(capa);
        }
        if (version.isPresent()) {
            // Only Valkey knows it, and the others may say so: it is for its own good.
            call(List.of("REPLCONF", "version", version.get()));
        }
        send(CommandEncoder.encode("PSYNC", id, Long.toString(firstByte)));
    }

    /** Tells the source something of this connection, in pairs of words. */
    void replconf(String... pairs) throws IOException {
        List<String> command = new ArrayList<>(List.of("REPLCONF"));
        command.addAll(List.of(pairs));
        demand(command);
    }

    /** Sends a command whose answer comes by {@link #input}. */
    void ask(String... command) throws IOException {
        send(CommandEncoder.encode(command));
    }

    /** Has {@code other} closed with this connection; at once where that is closed already. */
    void closesWith(AutoCloseable other) {
        synchronized (closedWith) {
            closedWith.add(other);
        }
        if (closed) {
            closeOthers();
        }
    }

    private void closeOthers() {
        List<AutoCloseable> others;
        synchronized (closedWith) {
            others = List.copyOf(closedWith);
        }
        for (AutoCloseable other : others) {
            try {
                other.close();
            } catch (Exception e) {
                LOG.debug("closing {} failed; its descriptor is released all the same", other, e);
            }
        }
    }

    /** What the source calls this replica from now on, where it would show its address; at most 45 characters (6.0). */
    public void announce(String name) throws IOException {
        demand(List.of("REPLCONF", "ip-address", name));
    }

    /** The stream, from the answer to {@link #psync} on. */
    public WireInput input() {
        return input;
    }

    /** How long a read may wait from now on. */
    public void silenceMax(Duration limit) throws IOException {
        stream.silenceMax(limit);
    }

    /** Tells the source what has been applied of its stream. */
    public void acknowledge(long offset) throws IOException {
        send(CommandEncoder.encode("REPLCONF", "ACK", Long.toString(offset)));
    }

    /** Tells the source that somebody is still there. */
    public void keepAlive() throws IOException {
        send(new byte[] {'\n'});
    }

    private synchronized void send(byte[] bytes) throws IOException {
        out.write(bytes);
    }

    private Reply call(List<String> command) throws IOException {
        byte[][] arguments = new byte[command.size()][];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = command.get(i).getBytes(UTF_8);
        }
        send(CommandEncoder.encode(arguments));
        return replies.read();
    }

    private Reply demand(List<String> command) throws IOException {
        Reply reply = call(command);
        if (reply instanceof Reply.Failure(String message)) {
            throw new IOException(server + " refused " + command.getFirst() + ": " + message);
        }
        return reply;
    }

    @Override
    public void close() throws IOException {
        closed = true;
        closeOthers();
        stream.close();
    }
}
