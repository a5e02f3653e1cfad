package io.switchback.sync.apply;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ServerStream;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.resp.ReplyReader;
import io.switchback.resp.UnlockedInput;
import io.switchback.sync.BrokenLinkException;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PushbackInputStream;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The connection over which a source tells which keys are changed: of every key of every database, by clients, by their times and by the memory's limit, in the words of server-assisted client
 * side caching (CLIENT TRACKING with BCAST, in RESP3). What it does not tell of is in docs/scan.md.
 *
 * <p>One thread of its own reads; any may ask and close.
 *
 * <p>The barrier. A server collects the names that are changed within one turn of its event loop, and tells them at the turn's end, before it writes any reply of that turn to a socket; so nobody has a
 * reply before its change is on the way here. In <em>this</em> connection's order a reply of the same turn stands in front of them, though. So a first PING is answered: all of earlier turns is told by then, that of its own turn is right behind. The second PING
 * is sent only when the first answer has come, after the first one's turn has ended, and so its own answer stands behind all that the first one's turn has told. When both are answered, everything that had run before
 * the barrier was asked for has been heard.
 */
final class Tracking implements AutoCloseable {
    private static final Duration CONNECT_MAX = Duration.ofSeconds(5);
    /** The link asks something once a second; a server that gives a large value away says nothing for seconds. */
    private static final Duration SILENCE_MAX = Duration.ofSeconds(60);

    private static final long NONE = Long.MAX_VALUE;
    private static final Pattern SWAPS = Pattern.compile("(?m)^cmdstat_swapdb:calls=(\\d+)");

    private static final Duration BARRIER_POLL = Duration.ofNanos(50_000);
    /** A name that is longer is read over: then any key may be meant. */
    private static final int NAME_BYTES_MAX = 1024 * 1024;
    /** Errors that would come again: the server does not know the command, or does not let this user run it. */
    private static final Set<String> NOT_OFFERED = Set.of("ERR", "NOPERM", "NOPROTO");

    static final String CLIENT_NAME = "switchback-scan-";
    private static final byte[] PING = CommandEncoder.encode("PING");

    private final Endpoint server;
    private final DirtyKeys dirty;
    private final int attachment;
    private final ServerStream stream;
    private final PushbackInputStream in;
    private final ReplyReader replies;
    private final OutputStream out;
    private final SourceIdentity identity;
    private final long swaps;
    private final Environment environment;

    private final Object sending = new Object();
    private long asked; // guarded by sending
    private volatile long answered; // written under sending, by the reader
    private volatile long silentSinceNanos = NONE; // written under sending
    private volatile @Nullable IOException failure;

    private Tracking(
            Endpoint server,
            FleetSpec source,
            String link,
            DirtyKeys dirty,
            ServerStream stream,
            Environment environment)
            throws IOException, BrokenLinkException {
        this.server = server;
        this.dirty = dirty;
        this.environment = environment;
        this.stream = stream;
        this.in = new PushbackInputStream(new UnlockedInput(stream.input()));
        this.replies = new ReplyReader(in);
        this.out = stream.output();
        if (source.credential().isPresent()) {
            Credential credential = source.credential().get();
            demand("AUTH", credential.user(), credential.password());
        }
        demand("HELLO", "3");
        demand("CLIENT", "SETNAME", clientName(link));
        this.identity = identity(InfoReport.parse(server.toString(), demand("INFO")));
        this.swaps = swaps(demand("INFO", "commandstats"));
        this.attachment = dirty.attach();
        demand("CLIENT", "TRACKING", "ON", "BCAST");
        stream.silenceMax(SILENCE_MAX);
        Thread.ofPlatform().daemon().name("link-" + link + "-tracking").start(this::read);
    }

    private SourceIdentity identity(InfoReport info) throws IOException {
        try {
            if (!info.text("role").equals("master")) {
                throw new IOException("the source " + server + " is no primary any more");
            }
            return SourceIdentity.of(info);
        } catch (FleetException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Connects to the source's primary. From here on its changes go to {@code dirty}.
     *
     * @throws BrokenLinkException where the server does not offer it
     */
    static Tracking open(FleetSpec source, String link, DirtyKeys dirty, Environment environment)
            throws IOException, BrokenLinkException {
        Endpoint server;
        try {
            server = source.primaryNow();
        } catch (FleetException e) {
            throw new IOException(e.getMessage(), e);
        }
        try {
            ServerStream stream = ServerStream.open(server, source.tls(), CONNECT_MAX);
            try {
                return new Tracking(server, source, link, dirty, stream, environment);
            } catch (IOException | BrokenLinkException e) {
                stream.close();
                throw e;
            }
        } catch (IOException e) {
            throw new IOException("the source " + server + " does not tell its changes: " + e.getMessage(), e);
        }
    }

    /** What the connections of a link are called at its source. */
    static String clientName(String link) {
        return CLIENT_NAME + link;
    }

    private Reply demand(String... words) throws IOException, BrokenLinkException {
        out.write(CommandEncoder.encode(words));
        Reply reply = replies.read();
        if (reply instanceof Reply.Failure failed) {
            String command = words[0].equals("CLIENT") ? "CLIENT " + words[1] : words[0];
            String what = "the source " + server + " refused " + command + ": " + failed.message();
            if (NOT_OFFERED.contains(failed.code()) && !words[0].equals("AUTH")) {
                throw new BrokenLinkException(what + "; a link by scan needs CLIENT TRACKING in RESP3 (Redis 6.0)");
            }
            throw new IOException(what);
        }
        return reply;
    }

    Endpoint server() {
        return server;
    }

    /** Of the server when it was connected to. */
    SourceIdentity identity() {
        return identity;
    }

    /** The number by which {@link DirtyKeys} knows what is heard here. */
    int attachment() {
        return attachment;
    }

    /** How often databases had been swapped there when this began to listen: of that nothing is told. */
    long swaps() {
        return swaps;
    }

    /** The same, from a reply to INFO commandstats. */
    static long swaps(Reply statistics) {
        Matcher calls = SWAPS.matcher(statistics.text());
        return calls.find() ? Long.parseLong(calls.group(1)) : 0;
    }

    /** Since when the server has not answered what it was asked; {@link Long#MAX_VALUE} where it has. */
    long silentSinceNanos() {
        return silentSinceNanos;
    }

    /** Asks something, so that a connection that is dead is noticed. */
    void keepAlive() throws IOException {
        ask();
    }

    private long ask() throws IOException {
        synchronized (sending) {
            out.write(PING);
            if (answered == asked) {
                silentSinceNanos = environment.nanoTime();
            }
            return ++asked;
        }
    }

    /** Waits until everything that had run at the source before this was called has been heard; false where it was not by then, and nothing is known. */
    boolean barrier(Deadline deadline) {
        boolean first = answeredBy(deadline);
        return first && answeredBy(deadline);
    }

    private boolean answeredBy(Deadline deadline) {
        try {
            long number = ask();
            while (answered < number) {
                if (failure != null
                        || deadline.passed()
                        || Thread.currentThread().isInterrupted()) {
                    return false;
                }
                LockSupport.parkNanos(BARRIER_POLL.toNanos());
            }
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    void throwIfFailed() throws IOException {
        IOException why = failure;
        if (why != null) {
            throw new IOException(why.getMessage(), why);
        }
    }

    // --------------------------------------------------------------------------------------------------- reader thread

    private void read() {
        try {
            while (true) {
                int type = in.read();
                if (type < 0) {
                    throw new EOFException("the server closed the connection");
                }
                if (type == '>') {
                    push();
                    continue;
                }
                in.unread(type);
                Reply reply = replies.read();
                if (!(reply instanceof Reply.Simple)) {
                    throw new IOException("PING was answered by " + reply.text());
                }
                synchronized (sending) {
                    answered = answered + 1;
                    if (answered == asked) {
                        silentSinceNanos = NONE;
                    }
                }
            }
        } catch (IOException e) {
            failure = new IOException("the source " + server + " broke off telling its changes: " + e.getMessage(), e);
            dirty.wake();
        }
    }

    /** What was not asked for: names are given on one by one, since a turn of the server may change any number of keys. */
    private void push() throws IOException {
        long elements = number(replies.readLine());
        Reply kind = replies.read();
        if (elements == 2 && kind.text().equals("invalidate")) {
            names();
            return;
        }
        for (long i = 1; i < elements; i++) {
            replies.read();
        }
    }

    private void names() throws IOException {
        int type = in.read();
        String line = replies.readLine();
        long count = type == '*' ? number(line) : -1;
        if (count < 0) {
            dirty.everything(); // a null: a database was flushed, or all
            return;
        }
        for (long i = 0; i < count; i++) {
            name();
        }
    }

    private void name() throws IOException {
        int type = in.read();
        String line = replies.readLine();
        long length = type == '$' ? number(line) : -1;
        if (length < 0) {
            dirty.everything();
        } else if (length > NAME_BYTES_MAX) {
            in.skipNBytes(length + 2);
            dirty.everything();
        } else {
            byte[] name = in.readNBytes((int) length);
            in.skipNBytes(2);
            dirty.add(name);
        }
    }

    private static long number(String line) throws IOException {
        try {
            return Long.parseLong(line);
        } catch (NumberFormatException e) {
            throw new IOException("expected a number, got \"" + line + "\"", e);
        }
    }

    /** At once. */
    @Override
    public void close() {
        if (failure == null) {
            failure = new IOException("the connection to the source " + server + " was closed");
        }
        try {
            stream.close();
        } catch (IOException e) {
            // The descriptor is released all the same, and nothing else was wanted.
        }
    }
}
