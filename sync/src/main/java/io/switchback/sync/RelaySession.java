package io.switchback.sync;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.source.SourceConnection;
import io.switchback.sync.source.WireInput;
import java.io.IOException;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One attachment of the target to the source, from CONTINUE or the copy until either side breaks; then both are closed.
 *
 * <p>Two threads: the one that attached pumps down (source to target), a second one pumps acknowledgements up. Nothing else
 * writes to either connection. {@link #close} may be called by any thread.
 */
final class RelaySession {
    private static final Logger LOG = LoggerFactory.getLogger(RelaySession.class);

    private final SourceConnection source;
    private final TargetConnection target;
    private final AtomicBoolean closed = new AtomicBoolean();
    private final CountDownLatch ended = new CountDownLatch(1);
    private boolean answered; // guarded by this
    private volatile Phase phase = Phase.WAITING_FOR_TARGET;

    /** Told of every acknowledgement, in the target's offsets; gives what to acknowledge to the source, -1 for nothing. */
    interface Acknowledgements {
        long acknowledged(long targetOffset);
    }

    /** What goes down, until the source's stream ends. */
    interface Pump {
        void run() throws IOException, BrokenLinkException;
    }

    RelaySession(SourceConnection source, TargetConnection target) {
        this.source = source;
        this.target = target;
    }

    SourceConnection source() {
        return source;
    }

    TargetConnection target() {
        return target;
    }

    /** What the session is doing; set by the thread that pumps down. */
    Phase phase() {
        return phase;
    }

    void phase(Phase next) {
        phase = next;
    }

    /** To be said by the thread that pumped down, once it will touch nothing more. */
    void ended() {
        ended.countDown();
    }

    /** Whether it has ended within the limit; it does at once after {@link #close}. */
    boolean awaitEnd(Duration limit) {
        try {
            return ended.await(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    boolean isClosed() {
        return closed.get();
    }

    /** Runs both pumps; returns when both have ended and both connections are closed. */
    IOException run(Thread.Builder upThread, Acknowledgements acknowledgements, Pump down) throws BrokenLinkException {
        Thread up = upThread.start(() -> up(acknowledgements));
        try {
            down.run();
            return new IOException("the source closed the connection");
        } catch (IOException e) {
            return e;
        } finally {
            close();
            join(up);
        }
    }

    private static void join(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void up(Acknowledgements acknowledgements) {
        try {
            WireInput input = target.input();
            byte @Nullable [][] command = input.readCommand();
            while (command != null) {
                if (command.length == 0) {
                    // The target loads a snapshot; the source must not take it for dead meanwhile.
                    source.keepAlive();
                } else if (isAck(command)) {
                    long offset = Long.parseLong(new String(command[2], US_ASCII));
                    long applied = acknowledgements.acknowledged(offset);
                    if (applied >= 0) {
                        source.acknowledge(applied);
                    } else {
                        source.keepAlive();
                    }
                }
                command = input.readCommand();
            }
        } catch (IOException | NumberFormatException e) {
            if (!closed.get()) {
                LOG.debug("the target's side of the link ended", e);
            }
        } finally {
            close();
        }
    }

    // REPLCONF ACK 1234, or REPLCONF ACK 1234 FACK 1200.
    private static boolean isAck(byte[][] command) {
        return command.length >= 3 && is(command[0], "REPLCONF") && is(command[1], "ACK");
    }

    private static boolean is(byte[] word, String expected) {
        return new String(word, US_ASCII).toUpperCase(Locale.ROOT).equals(expected);
    }

    /**
     * Answers the target's PSYNC, unless the session is closed already or frozen. An answer is whole before a close cuts the connection:
     * up to 6.2, a server whose PSYNC is cut instead of answered loses its place for good.
     */
    synchronized boolean answer(String line) throws IOException {
        answered = !closed.get() && target.accept(line);
        return answered;
    }

    /**
     * Closes both connections: from now on nothing is sent to either. A target that waits for the answer to its PSYNC keeps
     * its connection, to be refused by the thread that serves it.
     */
    synchronized void close() {
        if (closed.compareAndSet(false, true)) {
            // The target first: what is still read from the source must not reach it any more.
            if (answered) {
                closeOne(target);
            }
            closeOne(source);
        }
    }

    private static void closeOne(AutoCloseable connection) {
        try {
            connection.close();
        } catch (Exception e) {
            LOG.debug("closing {} failed; its descriptor is released all the same", connection, e);
        }
    }
}
