package io.switchback.sync.apply;

import io.switchback.fleet.Credential;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetTls;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads keys' states at the source, each together with the offset at which it was true: in one transaction, so that nothing of the stream lies between. For one thread.
 *
 * <p>Bounded: {@link #AT_ONCE} states, or as many as were said, are held together, and no more of them than the source takes for {@link #TOGETHER_BYTES_MAX}, or one.
 */
final class SourceStates implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SourceStates.class);

    static final int AT_ONCE = 16;
    static final long TOGETHER_BYTES_MAX = 32L * 1024 * 1024;
    private static final Duration ANSWER_MAX = Duration.ofSeconds(30);
    /** Redis 7.0 and all of Valkey say when a key's time ends; before them it is told from how long it has left. */
    private static final int ABSOLUTE_TIMES_SINCE = 7;

    private static final int TRIES_MAX = 10;

    /** Opens a connection in place of one that broke; null where another would not do. */
    private final @Nullable Supplier<ServerConnection> opener;

    private final int atOnce;
    private final boolean saysWhenItEnds;
    private @Nullable ServerConnection connection;

    /**
     * What the source holds.
     *
     * @param payload     as DUMP gives it; null where there is no such key
     * @param expiresAtMs in milliseconds since 1970; -1 for a key that lives for ever
     * @param offset      of the source's stream: everything up to it is in this
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record State(Key key, byte @Nullable [] payload, long expiresAtMs, long offset) {}

    SourceStates(Endpoint server, Optional<Credential> credential, Optional<FleetTls> tls, ServerVersion version) {
        this.opener = () -> ServerConnection.open(server, credential, tls, ANSWER_MAX);
        this.atOnce = AT_ONCE;
        this.saysWhenItEnds = version.isAtLeast(ABSOLUTE_TIMES_SINCE, 0);
    }

    /** Over this connection and no other: where it breaks, so does the reading. */
    SourceStates(ServerConnection open, ServerVersion version, int atOnce) {
        this.opener = null;
        this.connection = open;
        this.atOnce = atOnce;
        this.saysWhenItEnds = version.isAtLeast(ABSOLUTE_TIMES_SINCE, 0);
    }

    /** Takes one state after another; may send it somewhere. */
    @FunctionalInterface
    interface Taker {
        void take(State state) throws IOException;
    }

    /** Reads the state of each key. */
    void read(List<Key> keys, Taker taker) throws IOException {
        for (int from = 0; from < keys.size(); from += atOnce) {
            for (List<Key> together : bySize(keys.subList(from, Math.min(keys.size(), from + atOnce)))) {
                for (State state : twice(() -> readTogether(together))) {
                    taker.take(state);
                }
            }
        }
    }

    /** Those of which the states are small enough to be held together. */
    private List<List<Key>> bySize(List<Key> keys) throws IOException {
        if (keys.size() == 1) {
            return List.of(keys);
        }
        List<Long> sizes = twice(() -> sizes(keys));
        List<List<Key>> groups = new ArrayList<>();
        int first = 0;
        long bytes = 0;
        for (int i = 0; i < keys.size(); i++) {
            if (i > first && sizes.get(i) > TOGETHER_BYTES_MAX - bytes) {
                groups.add(keys.subList(first, i));
                first = i;
                bytes = 0;
            }
            bytes += sizes.get(i);
        }
        groups.add(keys.subList(first, keys.size()));
        return groups;
    }

    /** What the source estimates; where it does not, as if it were too much. */
    private List<Long> sizes(List<Key> keys) {
        List<byte[][]> commands = new ArrayList<>();
        for (Key key : keys) {
            commands.add(CommandEncoder.bytes("SELECT", Integer.toString(key.database())));
            commands.add(new byte[][] {Lanes.word("MEMORY"), Lanes.word("USAGE"), key.name()});
        }
        List<Reply> replies = connected().pipeline(commands);
        List<Long> sizes = new ArrayList<>(keys.size());
        for (int i = 1; i < replies.size(); i += 2) {
            sizes.add(
                    switch (replies.get(i)) {
                        case Reply.Int(long bytes) -> bytes;
                        case Reply.Nil() -> 0L;
                        default -> TOGETHER_BYTES_MAX;
                    });
        }
        return sizes;
    }

    private ServerConnection connected() {
        ServerConnection open = connection;
        if (open == null) {
            if (opener == null) {
                throw new FleetException(
                        FleetException.Code.UNREACHABLE,
                        "the source's connection was closed, and another would not do");
            }
            open = opener.get();
            connection = open;
        }
        return open;
    }

    /** Asks the source something. */
    @FunctionalInterface
    private interface Asking<T> {
        T ask() throws IOException;
    }

    /** A connection that breaks may have been killed together with clients': the source is asked once again. */
    private <T> T twice(Asking<T> asking) throws IOException {
        try {
            return asking.ask();
        } catch (FleetException e) {
            close();
            if (opener == null) {
                throw new IOException("the source does not give the state of a key: " + e.getMessage(), e);
            }
            LOG.debug("the source broke off while it was asked for states, and is asked again", e);
        }
        try {
            return asking.ask();
        } catch (FleetException e) {
            close();
            throw new IOException("the source does not give the state of a key: " + e.getMessage(), e);
        }
    }

    private List<State> readTogether(List<Key> keys) throws IOException {
        ServerConnection open = connected();
        List<byte[][]> commands = new ArrayList<>();
        keys.forEach(key -> ask(key, commands::add));
        List<Reply> replies = open.pipeline(commands);
        List<State> states = new ArrayList<>(keys.size());
        int each = commands.size() / keys.size();
        for (int i = 0; i < keys.size(); i++) {
            Key key = keys.get(i);
            Optional<State> state = state(key, replies.get((i + 1) * each - 1));
            for (int tries = 1; state.isEmpty() && tries < TRIES_MAX; tries++) {
                List<byte[][]> again = new ArrayList<>();
                ask(key, again::add);
                state = state(key, open.pipeline(again).getLast());
            }
            states.add(state.orElseThrow(
                    () -> new IOException("the source's clock does not stand still long enough to read " + key)));
        }
        return states;
    }

    private void ask(Key key, Consumer<byte[][]> into) {
        into.accept(CommandEncoder.bytes("SELECT", Integer.toString(key.database())));
        into.accept(CommandEncoder.bytes("MULTI"));
        into.accept(new byte[][] {Lanes.word("DUMP"), key.name()});
        if (saysWhenItEnds) {
            into.accept(new byte[][] {Lanes.word("PEXPIRETIME"), key.name()});
        } else {
            into.accept(CommandEncoder.bytes("TIME"));
            into.accept(new byte[][] {Lanes.word("PTTL"), key.name()});
            into.accept(CommandEncoder.bytes("TIME"));
        }
        into.accept(CommandEncoder.bytes("ROLE"));
        into.accept(CommandEncoder.bytes("EXEC"));
    }

    /** Empty where the clock moved on to another millisecond in between. */
    private Optional<State> state(Key key, Reply exec) throws IOException {
        if (!(exec instanceof Reply.Array(List<Reply> answers))) {
            throw new IOException("the source did not run the reading of " + key + ": " + exec.text());
        }
        for (Reply answer : answers) {
            if (answer instanceof Reply.Failure(String message)) {
                throw new IOException("the source does not give the state of " + key + ": " + message);
            }
        }
        long expiresAtMs;
        if (saysWhenItEnds) {
            expiresAtMs = number(answers.get(1));
        } else {
            long left = number(answers.get(2));
            long before = millis(answers.get(1));
            if (left >= 0 && before != millis(answers.get(3))) {
                return Optional.empty();
            }
            expiresAtMs = left < 0 ? left : before + left;
        }
        byte @Nullable [] payload = answers.getFirst() instanceof Reply.Bulk(byte[] bytes) ? bytes : null;
        return Optional.of(new State(key, payload, Math.max(-1, expiresAtMs), offset(answers.getLast())));
    }

    private static long number(Reply reply) throws IOException {
        if (reply instanceof Reply.Int(long value)) {
            return value;
        }
        throw new IOException("expected a number, the source answered " + reply.text());
    }

    private static long millis(Reply time) throws IOException {
        if (time instanceof Reply.Array(List<Reply> parts) && parts.size() == 2) {
            return Long.parseLong(parts.get(0).text()) * 1000
                    + Long.parseLong(parts.get(1).text()) / 1000;
        }
        throw new IOException("expected a time, the source answered " + time.text());
    }

    private static long offset(Reply role) throws IOException {
        if (role instanceof Reply.Array(List<Reply> parts)
                && parts.size() > 1
                && parts.getFirst().text().equals("master")) {
            return number(parts.get(1));
        }
        throw new IOException("the source is no primary any more");
    }

    @Override
    public void close() {
        ServerConnection open = connection;
        if (open != null) {
            open.close();
        }
        connection = null;
    }
}
