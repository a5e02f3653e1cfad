package io.switchback.sync.source;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How fast one copy goes, and may go ({@link CopyLimits}): whoever copies says what it has taken and is made to wait. What is not read is not sent, so that a copy that waits
 * holds its source back.
 *
 * <p>One thread copies, any may read. Where the source's latency is a limit, a thread of its own asks for it, until {@link #close}.
 */
public final class CopyPace implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(CopyPace.class);

    private static final Duration LATENCY_EVERY = Duration.ofMillis(100);
    /** Whatever takes longer is too long, and is asked again over a new connection. */
    private static final Duration ANSWER_MAX = Duration.ofSeconds(1);
    /** Debts below it are paid together: no wait is that exact. */
    private static final long WAIT_NANOS_MIN = 1_000_000;

    /** The speed is that of the last ten seconds. */
    private static final int MARKS_MAX = 10;

    private static final long MARK_EVERY_NANOS = 1_000_000_000;

    private final CopyLimits limits;
    private final Environment environment;
    private final @Nullable CopyRate steered;
    private final TokenBucket byteBucket = new TokenBucket();
    private final TokenBucket keyBucket = new TokenBucket();
    private @Nullable Thread looking;
    private volatile boolean closed;

    private final Deque<Mark> marks = new ArrayDeque<>(); // guarded by this
    private long copiedBytes; // guarded by this

    /** So much was copied by then. */
    private record Mark(long atNanos, long bytes) {}

    private CopyPace(CopyLimits limits, Environment environment) {
        this.limits = limits;
        this.environment = environment;
        long most = limits.bytesPerSecond().orElse(CopyRate.BYTES_PER_SECOND_MAX);
        this.steered = limits.sourceLatency()
                .map(latency -> new CopyRate(latency, most))
                .orElse(null);
        marks.add(new Mark(environment.nanoTime(), 0));
    }

    /** Of a copy that begins now. */
    public static CopyPace begin(
            CopyLimits limits, FleetSpec source, Environment environment, Thread.Builder.OfPlatform thread) {
        CopyPace pace = new CopyPace(limits, environment);
        if (pace.steered != null) {
            CopyRate rate = pace.steered;
            pace.looking = thread.start(() -> pace.look(source, rate));
        }
        return pace;
    }

    /** So many bytes more were taken; waits where that is too fast. */
    public void bytes(long count) throws IOException {
        long now = environment.nanoTime();
        copied(count, now);
        long perSecond = bytesPerSecondMax();
        if (perSecond < CopyRate.BYTES_PER_SECOND_MAX) {
            await(byteBucket.take(now, count, perSecond));
        }
    }

    /** One key more was taken; waits where that is too fast. */
    public void key() throws IOException {
        if (limits.keysPerSecond().isPresent()) {
            await(keyBucket.take(
                    environment.nanoTime(), 1, limits.keysPerSecond().getAsLong()));
        }
    }

    /** So many bytes and keys more were taken at once; how many nanoseconds to wait before the next ones are, for who has something else to do meanwhile. */
    public long taken(long bytes, long keys) {
        long now = environment.nanoTime();
        copied(bytes, now);
        long perSecond = bytesPerSecondMax();
        long wait = perSecond < CopyRate.BYTES_PER_SECOND_MAX ? byteBucket.take(now, bytes, perSecond) : 0;
        if (limits.keysPerSecond().isPresent()) {
            wait = Math.max(
                    wait, keyBucket.take(now, keys, limits.keysPerSecond().getAsLong()));
        }
        return Math.max(0, wait);
    }

    private void await(long nanos) throws IOException {
        if (nanos < WAIT_NANOS_MIN) {
            return;
        }
        try {
            environment.sleep(Duration.ofNanos(nanos));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("stopped", e);
        }
    }

    private synchronized void copied(long count, long now) {
        copiedBytes += count;
        if (now - marks.getLast().atNanos() >= MARK_EVERY_NANOS) {
            marks.add(new Mark(now, copiedBytes));
            if (marks.size() > MARKS_MAX) {
                marks.removeFirst();
            }
        }
    }

    /** As many as the limits let it be now. */
    public long bytesPerSecondMax() {
        return steered != null
                ? steered.bytesPerSecond()
                : limits.bytesPerSecond().orElse(CopyRate.BYTES_PER_SECOND_MAX);
    }

    /** As many as they were lately. */
    public synchronized long bytesPerSecond() {
        Mark since = marks.getFirst();
        long nanos = environment.nanoTime() - since.atNanos();
        return nanos <= 0 ? 0 : (long) ((copiedBytes - since.bytes()) * 1e9 / nanos);
    }

    // ----------------------------------------------------------------------------------------------------- latency

    private void look(FleetSpec source, CopyRate rate) {
        @Nullable ServerConnection connection = null;
        try {
            while (!closed) {
                connection = ask(source, connection, rate);
                environment.sleep(LATENCY_EVERY);
            }
        } catch (InterruptedException e) {
            // It is closed.
        } finally {
            if (connection != null) {
                connection.close();
            }
        }
    }

    private @Nullable ServerConnection ask(FleetSpec source, @Nullable ServerConnection open, CopyRate rate) {
        @Nullable ServerConnection connection = open;
        try {
            if (connection == null) {
                connection = ServerConnection.open(source, ANSWER_MAX);
            }
            long asked = environment.nanoTime();
            connection.call("PING");
            rate.answered(environment.nanoTime() - asked);
            return connection;
        } catch (FleetException e) {
            LOG.debug("the source does not say how long it takes to answer", e);
            rate.answered(ANSWER_MAX.toNanos());
            if (connection != null) {
                connection.close();
            }
            return null;
        }
    }

    @Override
    public void close() {
        end();
    }

    /** The snapshot was taken to its end: nobody is asked any more. */
    public void end() {
        closed = true;
        Thread asking = looking;
        if (asking != null) {
            asking.interrupt();
        }
    }
}
