package io.switchback.sync.source;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ServerConnection;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Looks at both servers of a link several times a second, over connections of its own: how far the target is behind, whether
 * one of them has restarted, whether the target has refused something of the stream. Where the link itself knows what its target has applied, it looks at the
 * source alone.
 *
 * <p>One thread runs {@link #turn}; the rest may be read by any.
 */
public final class LagWatch implements AutoCloseable {
    public static final Duration EVERY = Duration.ofMillis(100);
    private static final Duration ANSWER_MAX = Duration.ofSeconds(1);

    private final Environment environment;
    private final Watched source;
    private final @Nullable Watched target;
    private final Owner owner;

    private final OffsetTimes sourceTimes = new OffsetTimes();

    private volatile Lag lag;

    /** What the link answers, and is told. */
    public interface Owner {
        /**
         * Up to where the target has applied, in source offsets, or -1.
         *
         * @param target what it says of itself; empty where it is not looked at
         */
        long applied(Optional<InfoReport> target);

        /** The target has answered commands of the stream with errors. Only where it is looked at. */
        void refused(String why);

        /** One of the servers is another process than before: the target's, or the source's. */
        void restarted(boolean isTarget, String which);
    }

    /** As of the turn that ended at {@code asOfNanos}; {@code behindSinceNanos} counts where {@code bytes} is above 0. */
    private record Lag(long bytes, long behindSinceNanos, long asOfNanos, long sourceOffset) {}

    /** @param target empty where the link itself knows what is applied */
    public LagWatch(FleetSpec source, Optional<FleetSpec> target, Environment environment, Owner owner) {
        this.environment = environment;
        this.owner = owner;
        this.source = new Watched(source);
        this.target = target.map(Watched::new).orElse(null);
        // Nothing is known until the first look, and that is no sign of being up to date.
        long now = environment.nanoTime();
        this.lag = new Lag(0, now, now, -1);
    }

    /** What the source has written and the target had not applied at the last look; -1 where the source does not count what it writes. */
    public long lagBytes() {
        return lag.bytes();
    }

    /** For how long the target has been behind; 0 where it was not at the last look, and that is recent. */
    public long lagMillis() {
        Lag now = lag;
        long since = now.bytes() > 0 ? now.behindSinceNanos() : now.asOfNanos();
        long millis = (environment.nanoTime() - since) / 1_000_000;
        // A look that hangs is no proof that nothing is behind.
        return now.bytes() == 0 && millis < 3 * EVERY.toMillis() ? 0 : Math.max(1, millis);
    }

    /** Looks once at both. The source first: a target that then has all of it is not behind. */
    public void turn() {
        Optional<InfoReport> atSource = source.look();
        long offset =
                atSource.map(info -> info.number("master_repl_offset", -1)).orElse(lag.sourceOffset());
        if (atSource.isPresent()) {
            sourceTimes.seen(offset, environment.nanoTime());
        }
        Optional<InfoReport> atTarget = target == null ? Optional.empty() : target.look();
        long now = environment.nanoTime();
        long applied = target != null && atTarget.isEmpty() ? -1 : owner.applied(atTarget);
        if (applied < 0 || atSource.isEmpty()) {
            return; // and the time of the last look grows old
        }
        sourceTimes.forgetBefore(applied);
        long behindSince = sourceTimes.reached(applied + 1).orElse(now);
        // With neither a backlog nor replicas a server's offset stands still, whatever is written.
        boolean counted = atSource.get().number("repl_backlog_active", 0) == 1;
        lag = new Lag(counted ? Math.max(0, offset - applied) : -1, behindSince, now, offset);
    }

    /**
     * When the source ran the command that ends at {@code sourceOffset}, in milliseconds since 1970 by this machine's clock:
     * late by at most the time between two looks at the source, however long the command was on its way. Any thread.
     */
    public long ranAtMs(long sourceOffset) {
        long now = environment.nanoTime();
        long ranAt = sourceTimes.reached(sourceOffset).orElse(now);
        return environment.now().toEpochMilli() - Math.max(0, now - ranAt) / 1_000_000;
    }

    @Override
    public void close() {
        source.close();
        if (target != null) {
            target.close();
        }
    }

    /** One server, over a connection that is opened again when it breaks. */
    private final class Watched {
        private final FleetSpec fleet;
        private volatile @Nullable ServerConnection connection;
        private String runId = "";
        private long unexpectedErrors = -1;
        private volatile boolean closed;

        Watched(FleetSpec fleet) {
            this.fleet = fleet;
        }

        Optional<InfoReport> look() {
            try {
                ServerConnection current = connection;
                if (current == null) {
                    current = ServerConnection.open(fleet, ANSWER_MAX);
                    connection = current;
                    if (closed) {
                        current.close();
                    }
                }
                InfoReport info = InfoReport.read(current);
                if (mayFailOver() && info.text("role").equals("slave")) {
                    current.close();
                    connection = null;
                    return Optional.empty(); // another server of the fleet is the primary, or about to be
                }
                compare(info);
                return Optional.of(info);
            } catch (FleetException e) {
                close(connection);
                connection = null;
                return Optional.empty();
            }
        }

        private boolean mayFailOver() {
            return this == source && !(fleet.address() instanceof FleetAddress.Standalone);
        }

        private void compare(InfoReport info) {
            String now = info.text("run_id");
            if (!runId.isEmpty() && !runId.equals(now)) {
                unexpectedErrors = -1;
                owner.restarted(
                        this == target,
                        fleet.name() + " (" + fleet.where() + ") "
                                + (mayFailOver() ? "has another primary, or it was restarted" : "was restarted"));
            }
            runId = now;
            long errors = info.number("unexpected_error_replies", -1);
            if (this == target && unexpectedErrors >= 0 && errors > unexpectedErrors) {
                owner.refused("the target " + fleet.where() + " answered " + (errors - unexpectedErrors)
                        + " commands of the stream with an error (unexpected_error_replies): it has not all of the data;"
                        + " its log names them");
            }
            unexpectedErrors = Math.max(unexpectedErrors, errors);
        }

        void close() {
            closed = true;
            close(connection);
        }

        private static void close(@Nullable ServerConnection one) {
            if (one != null) {
                one.close();
            }
        }
    }
}
