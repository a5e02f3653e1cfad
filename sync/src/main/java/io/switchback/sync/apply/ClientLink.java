package io.switchback.sync.apply;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.Token;
import io.switchback.sync.BrokenLinkException;
import io.switchback.sync.Link;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStatus.Phase;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A link that writes to its target as a client of it, and that a note at its source ends ({@link ApplyLink#leave}). Any thread may call what is public.
 *
 * <p>Here is what its kinds have in common: a thread of its own that has one session after the other until it is broken, frozen or closed; and a watch beside it. What they share with other
 * threads is volatile with one writer, or guarded by {@code lock}. Once {@link #freeze} has said true, nothing is sent.
 */
public abstract sealed class ClientLink implements Link permits ApplyLink, ScanLink {
    /** Between two looks at whether something has come about that is waited for. */
    static final Duration DRAIN_POLL = Duration.ofNanos(100_000);
    /** Each primary of the target is asked something this often, since one that is silent for long is given up. */
    static final Duration KEEP_ALIVE_EVERY = Duration.ofSeconds(10);

    private static final Duration BETWEEN_SESSIONS = Duration.ofMillis(200);
    private static final Duration BETWEEN_SESSIONS_MAX = Duration.ofSeconds(5);
    private static final Duration CLOSE_MAX = Duration.ofSeconds(5);
    /** Sessions that end by an error of the target without getting any further. */
    private static final int VAIN_SESSIONS_MAX = 5;

    final ApplySettings settings;
    final Share share;
    /** Null where the source is no shard of a cluster. */
    final @Nullable ShardWatch shard;

    final Environment environment;
    final LinkListener listener;
    final LeftOut leftOut = new LeftOut();

    volatile Phase phase = Phase.WAITING_FOR_TARGET;
    volatile String detail = "";
    volatile boolean frozenWanted;
    volatile boolean frozen;
    volatile boolean closed;
    volatile @Nullable Token endedBy;
    /** What the watch has seen of the source's slots. */
    volatile @Nullable String slotsMoved;

    final Object lock = new Object();

    private final Logger log = LoggerFactory.getLogger(getClass());
    private final Thread thread;
    private final Thread watchThread;
    private @Nullable Lanes openLanes; // guarded by lock

    /** {@code kind}: by which its thread is named. */
    ClientLink(String kind, ApplySettings settings, Environment environment, LinkListener listener) {
        this.settings = settings;
        this.share = new Share(settings.slots(), settings.keys());
        this.shard = shardWatch(settings);
        this.environment = environment;
        this.listener = listener;
        this.thread = thread(kind).unstarted(this::run);
        this.watchThread = thread("watch").unstarted(this::watch);
    }

    private static @Nullable ShardWatch shardWatch(ApplySettings settings) {
        if (settings.slots().isEmpty()) {
            return null;
        }
        if (settings.source().address() instanceof FleetAddress.Shard(FleetAddress.Cluster cluster, int _)) {
            return new ShardWatch(settings.source(), cluster, settings.slots().get());
        }
        throw new IllegalArgumentException(
                "only a shard's link has slots, and " + settings.source().where() + " is none");
    }

    final Thread.Builder.OfPlatform thread(String what) {
        return Thread.ofPlatform().daemon().name("link-" + settings.name() + "-" + what);
    }

    final void start() {
        thread.start();
        watchThread.start();
    }

    // ------------------------------------------------------------------------------------------------ of each kind

    /** Waits for whatever has to be before the first session. */
    void awaitBeginning() throws InterruptedException {}

    /** From the opening of connections to the first of them that breaks, or to an end that is wanted. */
    abstract void session() throws IOException, BrokenLinkException, InterruptedException;

    /** A number that has grown where a session got further. */
    abstract long progress();

    /** How long the link waits before its next session, of which {@code pause} is as long as any waits. */
    Duration pauseBeforeNext(Duration pause) throws BrokenLinkException {
        return pause;
    }

    /** Looks after the source until the link is closed. */
    abstract void watch();

    /** Whoever waits in the link's own thread shall look whether it is to end. */
    abstract void wake();

    /** Closes the connections to the source. */
    abstract void closeSource();

    // ---------------------------------------------------------------------------------------------------- sessions

    private void run() {
        Duration pause = BETWEEN_SESSIONS;
        int vain = 0;
        try {
            awaitBeginning();
            while (!isEnding()) {
                long before = progress();
                boolean refused = false;
                try {
                    session();
                } catch (IOException | FleetException e) {
                    say("interrupted: " + e.getMessage());
                    refused = e instanceof Lane.RefusedException;
                }
                boolean further = progress() > before;
                pause = further ? BETWEEN_SESSIONS : min(pause.multipliedBy(2), BETWEEN_SESSIONS_MAX);
                vain = further || !refused ? 0 : vain + 1;
                if (vain == VAIN_SESSIONS_MAX) {
                    throw new BrokenLinkException(detail);
                }
                pause = pauseBeforeNext(pause);
                if (!isEnding()) {
                    environment.sleep(pause);
                }
            }
        } catch (BrokenLinkException e) {
            breakLink(e.kind(), String.valueOf(e.getMessage()));
        } catch (InterruptedException e) {
            // It is closed.
        } catch (RuntimeException | OutOfMemoryError e) {
            log.error("link {}: an error of Switchback's own", settings.name(), e);
            breakLink(LinkBreak.FINAL, "an error of Switchback's own: " + e);
        } finally {
            rest();
        }
    }

    private boolean isEnding() {
        return closed || frozenWanted;
    }

    private void breakLink(LinkBreak kind, String why) {
        log.warn("link {} is broken: {}", settings.name(), why);
        detail = why;
        phase = Phase.BROKEN;
        listener.broken(kind, why);
    }

    /** Nothing is sent any more once the servers have said so. */
    private void rest() {
        @Nullable Lanes lanes = openLanes();
        frozen = frozen || (!closed && (lanes == null || lanes.closeAndConfirm()));
    }

    private static Duration min(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }

    /** Those of the last session. */
    final @Nullable Lanes openLanes() {
        synchronized (lock) {
            return openLanes;
        }
    }

    final void keep(Lanes lanes) {
        synchronized (lock) {
            openLanes = lanes;
        }
    }

    final void throwIfEnding() throws IOException {
        if (isEnding()) {
            throw new IOException("closed");
        }
    }

    /**
     * Whether whoever runs this link may do so still, asked once it has claimed its target and before anything is sent: what comes later than the claim of a later owner finds that
     * one's, or, once all is over and the claims are gone, the answer of who keeps account of owners.
     */
    final void demandStanding() throws IOException, BrokenLinkException {
        String why;
        try {
            why = listener.whyNotStanding();
        } catch (RuntimeException e) {
            throw new IOException("whether this owner may go on cannot be said now: " + e.getMessage(), e);
        }
        if (!why.isEmpty()) {
            throw new BrokenLinkException(why);
        }
    }

    /** As {@link LinkListener#whyTargetLost}. */
    final void demandTargetIsAsItWas() throws IOException, BrokenLinkException {
        String why;
        try {
            why = listener.whyTargetLost();
        } catch (RuntimeException e) {
            throw new IOException("whether the target is what it was cannot be said now: " + e.getMessage(), e);
        }
        if (!why.isEmpty()) {
            throw new BrokenLinkException(LinkBreak.TARGET_LOST, why);
        }
    }

    final void throwIfSlotsMoved() throws BrokenLinkException {
        String moved = slotsMoved;
        if (moved != null) {
            throw new BrokenLinkException(LinkBreak.OUT_OF_STEP, moved);
        }
    }

    /** Nothing is sent any more, and all that was is answered. */
    final void stoppedBy(Token by, String what) {
        say("ended by " + by + ", which is newer than " + settings.owner() + what);
        endedBy = by;
        phase = Phase.CLOSED;
        frozenWanted = true;
        frozen = true;
    }

    final void say(String what) {
        if (!what.isEmpty() && !what.equals(detail)) {
            log.info("link {}: {}", settings.name(), what);
        }
        detail = what;
    }

    // ------------------------------------------------------------------------------------------------- from outside

    @Override
    public final String name() {
        return settings.name();
    }

    /** By whose note at its source it has ended; empty where it has not. */
    public final Optional<Token> endedBy() {
        return Optional.ofNullable(endedBy);
    }

    /**
     * Waits until the target has everything that stands before this owner's note at the source; true once it has. Whether the link has ended by that note and not by another's, {@link #endedBy} says.
     *
     * @param end what {@link ApplyLink#leave} has said
     */
    public abstract boolean awaitEnd(Token by, long end, Deadline deadline);

    /** Nothing more is to be waited for. */
    final boolean isOver(Deadline deadline) {
        return closed
                || phase == Phase.BROKEN
                || deadline.passed()
                || Thread.currentThread().isInterrupted();
    }

    @Override
    public final boolean freeze(Deadline deadline) {
        frozenWanted = true;
        wake();
        while (!frozen && thread.isAlive() && !deadline.passed()) {
            LockSupport.parkNanos(DRAIN_POLL.toNanos());
        }
        return frozen;
    }

    @Override
    public final boolean isFrozen() {
        return frozen;
    }

    @Override
    public final void close() {
        freeze(Deadline.in(environment, CLOSE_MAX));
        stop();
        @Nullable Lanes lanes = openLanes();
        if (lanes != null && !lanes.closeAndConfirm()) {
            log.warn("link {}: closed, but not confirmed by every server of its target", settings.name());
        }
    }

    /** Closes everything at once, as the end of the process would: nothing is confirmed. */
    final void stop() {
        closed = true;
        @Nullable Lanes lanes = openLanes();
        if (lanes != null) {
            lanes.close();
        }
        closeSource();
        thread.interrupt();
        watchThread.interrupt();
        if (phase != Phase.BROKEN) {
            phase = Phase.CLOSED;
        }
    }
}
