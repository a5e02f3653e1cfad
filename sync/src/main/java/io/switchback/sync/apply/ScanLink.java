package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.Keyspace;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.Token;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.BrokenLinkException;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.rdb.ValueTarget;
import io.switchback.sync.source.CopyPace;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries a source's keys to a target by asking for them: for sources that let nobody follow their stream (no PSYNC, as managed services offer none). The source tells which keys change ({@link Tracking}), and
 * the link puts their states in the place of what the target has, until nothing is left to be asked for (docs/scan.md, which says as well what is weaker than in the other kinds).
 *
 * <p>Concurrency: one thread does everything but listen to the source ({@link Tracking}), read the target's replies ({@link Lane}) and look where the source is (the watch). Public methods may be called by any thread;
 * what they share with the link's thread is volatile with one writer, or guarded by {@code lock}.
 *
 * <p>Invariants:
 *
 * <ul>
 *   <li>A key that has changed at the source is told and not taken, or taken and its state not yet sent, or its newer state is on the way in its lane; or else a walk over all keys is under way, or still to be begun. So
 *       where nothing is told, nothing on the way and no walk owed, the target has what the source had when it was last asked.
 *   <li>A name is taken before its state is asked for, and states of a key are sent in the order in which they were read.
 *   <li>What was told over a connection that broke is worth nothing: a session begins with a walk, unless both sides were said to be equal while it listened already ({@link #admit}).
 *   <li>Once {@link #freeze} has said true, nothing is sent; nor after a newer owner's note.
 * </ul>
 */
public final class ScanLink extends ClientLink {
    private static final Logger LOG = LoggerFactory.getLogger(ScanLink.class);

    /** States that are asked for together. */
    static final int BATCH_KEYS = 256;
    /** A key that is written all the time is copied no more often than this. */
    static final Duration BETWEEN_COPIES = Duration.ofMillis(5);

    private static final Duration SOURCE_ANSWER_MAX = Duration.ofSeconds(30);
    private static final Duration BARRIER_MAX = Duration.ofSeconds(5);
    private static final Duration IDLE_WAIT = Duration.ofMillis(100);
    /** How often it is looked for what the source does not tell of, and asked whether everybody is still there. */
    private static final Duration LOOK_EVERY = Duration.ofSeconds(1);
    /** Looking takes no more than a tenth of the time. */
    private static final int LOOK_PAUSE_FACTOR = 10;

    private static final long NONE = Long.MAX_VALUE;

    private final DirtyKeys dirty;
    private final long beganAtNanos;

    private volatile long copiedBytes;
    /** Of the walk over all keys that is under way. */
    private volatile @Nullable CopyPace copyPace;

    private volatile @Nullable Tracking tracking;
    private volatile boolean endedWhole;
    /** Since when the states of keys that were taken are asked for; {@link #NONE} where none are. */
    private volatile long inHandSinceNanos = NONE;
    /** Since when a walk is owed or under way; {@link #NONE} where none is. */
    private volatile long walkingSinceNanos = NONE;

    /** How often it was asked to be caught up, and up to which of these it is. */
    private final AtomicLong wanted = new AtomicLong();

    private volatile long caughtUp;
    /** How often the target has come to hold all of the source. */
    private final AtomicInteger completions = new AtomicInteger();

    private volatile @Nullable String sourceMoved;
    private volatile boolean begun;

    private @Nullable LinkBase admittedAt; // guarded by lock
    private @Nullable ServerConnection openSource; // guarded by lock

    // The link's own thread.
    /** What the target came to hold all of, or was equal to; null where nothing is known to be. */
    private @Nullable SourceIdentity known;

    private boolean owesBase = true;

    /** The keys of the marks that the target is known to have held. */
    private Set<String> markedKeys = Set.of();
    /** Whether the target had been marked before this link was opened. */
    private boolean expectsMark;

    private ScanLink(ApplySettings settings, long dirtyBytesMax, Environment environment, LinkListener listener) {
        super("scan", settings, environment, listener);
        this.beganAtNanos = environment.nanoTime();
        this.dirty = new DirtyKeys(environment, settings.name(), dirtyBytesMax, settings.keys()::mayCarry);
        this.expectsMark = settings.start() instanceof LinkStart.Again;
        this.begun = !(settings.start() instanceof LinkStart.Later);
        this.known = switch (settings.start()) {
            case LinkStart.From(LinkBase base) -> SourceIdentity.ofHistory(base.sourceId());
            case LinkStart.Again(LinkBase base) -> SourceIdentity.ofHistory(base.sourceId());
            case LinkStart.FullCopy _, LinkStart.Later _ -> null;
        };
    }

    /**
     * Begins at once. With {@link LinkStart.Later} it listens at once, and does nothing else until {@link #begin}; with every other start it walks over all keys first. No backup is written: there is no snapshot.
     */
    public static ScanLink open(ApplySettings settings, Environment environment, LinkListener listener) {
        return open(settings, DirtyKeys.BYTES_MAX, environment, listener);
    }

    /** As above, with another limit of what is remembered to be changed. */
    static ScanLink open(ApplySettings settings, long dirtyBytesMax, Environment environment, LinkListener listener) {
        ScanLink link = new ScanLink(settings, dirtyBytesMax, environment, listener);
        link.start();
        return link;
    }

    /**
     * For a link that was opened with {@link LinkStart.Later}: both sides are equal now, and nobody writes at the source until this returns. What was told before is forgotten, and what is told from now on is copied,
     * once it is to {@link #begin}.
     *
     * @return false where something may have been missed: the link then walks over all keys before it holds all
     */
    public boolean admit(LinkBase base, Deadline deadline) {
        Tracking listening = tracking;
        boolean equal = listening != null && listening.barrier(deadline) && dirty.forget(listening.attachment());
        synchronized (lock) {
            admittedAt = base;
        }
        return equal;
    }

    /**
     * For a link that was opened with {@link LinkStart.Later}: from here on it writes to its target. (Whoever admits it does not know yet whether it is wanted; one that was left behind by a switch that was given up must not
     * carry anything.)
     */
    public void begin() {
        begun = true;
        dirty.wake();
    }

    /** Whether a client of a server that has this name (CLIENT SETNAME) is a link that listens or asks there. */
    public static boolean isOfLink(String clientName) {
        return clientName.startsWith(Tracking.CLIENT_NAME);
    }

    /** Offsets are unknown. The lag in time is that of the oldest change that was told and is not known to be at the target, since it was told; or of a walk, since it was owed. */
    @Override
    public LinkStatus status() {
        return new LinkStatus(
                phase, -1, -1, -1, lagMillis(), copiedBytes, -1, words(), LinkStatus.Speed.of(copyPace, -1));
    }

    private String words() {
        String what = detail.isEmpty() ? leftOut.words() : detail;
        int changed = dirty.size();
        String lag = changed == 0 ? "" : changed + " keys are to be copied";
        return what.isEmpty() || lag.isEmpty() ? what + lag : what + "; " + lag;
    }

    private long lagMillis() {
        // In the order in which a change passes from one to the other, so that none is missed in between.
        OptionalLong told = dirty.sinceNanos();
        long now = environment.nanoTime();
        long since = Math.min(told.isPresent() ? told.getAsLong() - beganAtNanos : NONE, offset(inHandSinceNanos));
        @Nullable Lanes lanes = openLanes();
        if (lanes != null) {
            long onTheWay = lanes.applied(at(now)).offset();
            since = onTheWay < 0 ? since : Math.min(since, onTheWay); // below 0: the link's own notes
        }
        Tracking listening = tracking;
        if (listening != null) {
            since = Math.min(since, offset(listening.silentSinceNanos()));
        }
        since = Math.min(since, offset(walkingSinceNanos));
        return Math.max(
                0,
                Duration.ofNanos(now - beganAtNanos - Math.min(since, now - beganAtNanos))
                        .toMillis());
    }

    private long offset(long nanos) {
        return nanos == NONE ? NONE : nanos - beganAtNanos;
    }

    /** By which the lanes know when what they send was told. */
    private Place at(long nanos) {
        return new Place(nanos - beganAtNanos, Place.UNKNOWN);
    }

    /** How often the target has come to hold all of the source: once for each walk. */
    int completions() {
        return completions.get();
    }

    /** It ends where it is told of the note. */
    @Override
    public boolean awaitEnd(Token by, long end, Deadline deadline) {
        while (!frozen) {
            if (isOver(deadline)) {
                return false;
            }
            LockSupport.parkNanos(DRAIN_POLL.toNanos());
        }
        return endedWhole && endedBy().equals(Optional.of(by));
    }

    /** Whether the source tells it of changes now: what {@link #admit} needs. */
    public boolean isListening() {
        return tracking != null;
    }

    /** Waits until the target has everything that the source had written when this was called; true once it has. */
    public boolean awaitCaughtUp(Deadline deadline) {
        while (!isOver(deadline) && !frozen) {
            Tracking listening = tracking;
            if (listening == null || !listening.barrier(deadline)) {
                LockSupport.parkNanos(DRAIN_POLL.toNanos());
                continue;
            }
            // All that was written is told. Should the connection break now, then the next session walks before it is
            // caught up.
            long number = wanted.incrementAndGet();
            dirty.wake();
            while (caughtUp < number) {
                if (isOver(deadline) || frozen) {
                    return false;
                }
                LockSupport.parkNanos(DRAIN_POLL.toNanos());
            }
            return true;
        }
        return false;
    }

    /** The offset must be one that the source has come to: what was written up to there was written before this was called. */
    @Override
    public boolean awaitApplied(long sourceOffset, Deadline deadline) {
        return frozen ? endedWhole : awaitCaughtUp(deadline);
    }

    /** Nothing is confirmed to the source. */
    @Override
    public void confirmPromptly(boolean promptly) {}

    // -----------------------------------------------------------------------------------------------------------
    // sessions

    @Override
    long progress() {
        return completions();
    }

    /** From the beginning of listening to the end of any of the connections. */
    @Override
    void session() throws IOException, BrokenLinkException, InterruptedException {
        phase = begun ? Phase.WAITING_FOR_TARGET : Phase.CLOSED_TO_TARGET;
        sourceMoved = null;
        if (shard != null) {
            slotsMoved = shard.moved().orElse(null);
            throwIfSlotsMoved();
        }
        try (Tracking listening = Tracking.open(settings.source(), settings.name(), dirty, environment)) {
            tracking = listening;
            if (listen(listening)) {
                work(listening);
            }
        } finally {
            tracking = null;
        }
    }

    /** Waits until it is to begin; false where it is closed before. */
    private boolean listen(Tracking listening) throws IOException, BrokenLinkException, InterruptedException {
        while (!begun) {
            if (closed || frozenWanted) {
                return false;
            }
            throwIfMoved();
            listening.throwIfFailed();
            dirty.await(IDLE_WAIT);
        }
        phase = Phase.WAITING_FOR_TARGET;
        synchronized (lock) {
            if (admittedAt != null && known == null) {
                known = SourceIdentity.ofHistory(admittedAt.sourceId());
            }
        }
        return true;
    }

    private void work(Tracking listening) throws IOException, BrokenLinkException, InterruptedException {
        try (Lanes lanes = Lanes.open(settings.name(), settings.owner(), settings.target(), new Troubles())) {
            keep(lanes);
            throwIfEnding();
            demandStanding();
            List<SourceIdentity> earlier = new ArrayList<>();
            if (known != null) {
                earlier.add(known);
            }
            Collection<String> marks = lanes.notes().values();
            demandMarked(lanes, marks.isEmpty());
            if (marks.isEmpty() && !(settings.start() instanceof LinkStart.FullCopy)) {
                demandTargetIsAsItWas();
            }
            for (String mark : marks) {
                earlier.add(SourceIdentity.ofMark(mark)
                        .orElseThrow(() -> new BrokenLinkException(
                                "the target has a note of this link that is none of a link by scan: \"" + mark
                                        + "\"")));
            }
            demandGoesOn(listening, earlier);
            lanes.begin();
            if (lanes.hasOutdated()) {
                // Until they are written anew there may be fewer.
                markedKeys = Set.of();
                expectsMark = false;
            }
            lanes.dropOutdated(Lanes.NOWHERE);
            try (ServerConnection source = connect(listening)) {
                new Session(listening, lanes, source).run();
            }
        } finally {
            forget();
        }
    }

    /**
     * A walk would fill a target that has lost its data. But until it has, nobody would know that the target is not what it was: so whoever opened the link is to know.
     */
    private void demandMarked(Lanes lanes, boolean isUnmarked) throws BrokenLinkException {
        if ((expectsMark && isUnmarked) || !lanes.foundKeys().containsAll(markedKeys)) {
            throw new BrokenLinkException(
                    LinkBreak.TARGET_LOST,
                    "the link's mark is gone from its target "
                            + settings.target().where()
                            + ": a server of it was emptied, or has come back without its data");
        }
    }

    /** What is known may be older than what is noted, or the other way round: from one of them it must go on. */
    private static void demandGoesOn(Tracking listening, List<SourceIdentity> earlier) throws BrokenLinkException {
        if (!earlier.isEmpty() && earlier.stream().noneMatch(listening.identity()::goesOnFrom)) {
            throw new BrokenLinkException(
                    LinkBreak.OUT_OF_STEP,
                    "the source " + listening.server() + " has another history ("
                            + listening.identity().history() + ") than the one that the target was copied from ("
                            + earlier.getFirst().history()
                            + "): it was started again, or replaced, and what it has lost would be deleted at the target");
        }
    }

    private ServerConnection connect(Tracking listening) throws IOException {
        ServerConnection source;
        try {
            source = ServerConnection.open(
                    listening.server(),
                    settings.source().credential(),
                    settings.source().tls(),
                    SOURCE_ANSWER_MAX);
        } catch (FleetException e) {
            throw new IOException(e.getMessage(), e);
        }
        try {
            source.demand("CLIENT", "SETNAME", Tracking.clientName(settings.name()));
            String runId = InfoReport.read(source, "server").text("run_id");
            if (!runId.equals(listening.identity().runId())) {
                throw new IOException("two connections to " + listening.server()
                        + " have come to two servers: one is asked for what the other tells of");
            }
            synchronized (lock) {
                openSource = source;
            }
            if (closed) {
                throw new IOException("closed");
            }
            return source;
        } catch (FleetException | IOException e) {
            source.close();
            throw new IOException(e.getMessage(), e);
        }
    }

    private void forget() {
        dirty.everything(); // of what was in hand or on the way, nothing is known
        inHandSinceNanos = NONE;
        synchronized (lock) {
            openSource = null;
        }
    }

    private void throwIfMoved() throws IOException, BrokenLinkException {
        throwIfSlotsMoved();
        String moved = sourceMoved;
        if (moved != null) {
            throw new IOException(moved);
        }
    }

    /** What belongs to one session. */
    private final class Session {
        private final Tracking listening;
        private final Lanes lanes;
        private final ServerConnection source;
        private final StateCopy copy;
        private final SourceStreams streams = new SourceStreams();
        private final SourceFunctions functions;
        private final ShareRemoval stillness;
        private final TreeSet<Integer> databases = new TreeSet<>();

        private @Nullable ScanWalk walk;
        /** Its next page is not asked for before, so that it keeps to the limits of a copy. What was told is copied meanwhile. */
        private long nextPageAtNanos;
        /** Keys of the page that was found last. */
        private int keysOfPage;

        /** Whether the target has all but what is told, is on the way, or is never told. */
        private boolean equal;
        /** Whether that has been noted. */
        private boolean whole;

        private long swaps;
        private long lookedAtNanos;
        private long lookPauseNanos = LOOK_EVERY.toNanos();
        private long keptAliveAtNanos;
        private long bytesBefore;

        Session(Tracking listening, Lanes lanes, ServerConnection source) throws IOException {
            this.listening = listening;
            this.lanes = lanes;
            this.source = source;
            ServerVersion from = ServerVersion.read(source);
            ValueTarget to = new ValueTarget(targetVersion());
            this.copy =
                    new StateCopy(lanes, share, new SourceStates(source, from, BATCH_KEYS), from, to, leftOut, streams);
            this.functions =
                    new SourceFunctions(!share.hasAllKeys(), source, from, lanes, settings.target(), to, leftOut);
            this.stillness = new ShareRemoval(lanes, settings.target(), share, () -> {});
            this.swaps = listening.swaps();
            this.lookedAtNanos = environment.nanoTime();
            this.keptAliveAtNanos = lookedAtNanos;
            this.bytesBefore = copiedBytes;
        }

        private ServerVersion targetVersion() throws IOException {
            FleetSpec target = settings.target();
            try (ServerConnection server = ServerConnection.open(
                    lanes.all().getFirst().server(), target.credential(), target.tls(), BARRIER_MAX)) {
                return ServerVersion.read(server);
            } catch (FleetException e) {
                throw new IOException(e.getMessage(), e);
            }
        }

        void run() throws IOException, BrokenLinkException, InterruptedException {
            for (Lane lane : lanes.all()) {
                for (int database : ScanWalk.databasesOf(lane, settings.target())) {
                    if (!source.call("SELECT", Integer.toString(database)).isError()) {
                        databases.add(database); // what the source does not have, a walk removes
                    }
                }
            }
            if (dirty.isEverything()) {
                leftOut.clear();
            } else {
                // Equal since it was admitted; only which streams there are is not known.
                equal = true;
                walk = ScanWalk.ofStreams(share, settings.target(), source, stillness);
                walkingSinceNanos = environment.nanoTime();
            }
            Optional<Token> by = newerNote();
            if (by.isPresent()) {
                stopAt(by.get(), false);
                return;
            }
            try {
                while (!frozenWanted && !closed) {
                    long begunAtNanos = environment.nanoTime();
                    if (turn()) {
                        return;
                    }
                    rest(begunAtNanos);
                }
            } finally {
                if (walk != null) {
                    walk.close();
                }
                endPace();
            }
            lanes.flush();
            awaitAnswers();
            frozen = true;
        }

        /** Does what there is to do; true where the link has ended. */
        private boolean turn() throws IOException, BrokenLinkException, InterruptedException {
            lanes.throwIfFailed();
            listening.throwIfFailed();
            throwIfMoved();
            if (dirty.takeNoteTold() && endsByNote()) {
                return true;
            }
            long number = wanted.get();
            if (walk == null && dirty.isEverything()) {
                beginWalk();
            }
            ScanWalk walking = walk;
            boolean over = walking != null && nanosToNextPage() <= 0 && page(walking);
            if (over) {
                walk = null;
                endPace();
            }
            boolean draining = walk == null && (over || number > caughtUp);
            if (draining) {
                drain();
                if (!dirty.isEverything()) {
                    equal = true;
                    walkingSinceNanos = NONE;
                    nowWhole();
                    caughtUp = number;
                }
            } else {
                copyDirty(BATCH_KEYS);
                look();
            }
            lanes.flush();
            if (streams.tooMany()) {
                throw new BrokenLinkException("the source has more than " + SourceStreams.KEYS_MAX
                        + " streams, whose groups a link by scan would have to look at again and again");
            }
            copiedBytes = bytesBefore + copy.bytes();
            return false;
        }

        private void beginWalk() throws IOException {
            walkingSinceNanos = Math.min(walkingSinceNanos, dirty.sinceNanos().orElse(environment.nanoTime()));
            dirty.beginWalk();
            phase = Phase.COPYING;
            say(
                    whole || completions.get() > 0
                            ? "every key is looked at again, since any may have changed: until that is done the target is behind"
                            : "");
            equal = false;
            whole = false;
            walk = ScanWalk.ofAll(lanes, share, settings.target(), source, stillness);
            endPace();
            nextPageAtNanos = environment.nanoTime();
            copyPace = CopyPace.begin(settings.copy(), settings.source(), environment, thread("latency"));
        }

        private long nanosToNextPage() {
            return copyPace == null ? 0 : nextPageAtNanos - environment.nanoTime();
        }

        /** Does one page; true once the walk is over. */
        private boolean page(ScanWalk of) throws IOException {
            long before = copy.bytes();
            keysOfPage = 0;
            boolean over = of.step(new Found());
            CopyPace pace = copyPace;
            if (pace != null) {
                nextPageAtNanos = environment.nanoTime() + pace.taken(copy.bytes() - before, keysOfPage);
            }
            return over;
        }

        private void endPace() {
            CopyPace pace = copyPace;
            if (pace != null) {
                pace.close();
            }
            copyPace = null;
        }

        /** Has the target all that was told by now, and all that is never told. */
        private void drain() throws IOException, InterruptedException {
            lookForSwaps();
            int count = dirty.size();
            while (count > 0 && !dirty.isEverything()) {
                count -= copyDirty(Math.min(count, BATCH_KEYS));
            }
            lookAtWhatIsNotTold();
            lanes.flush();
            awaitAnswers();
        }

        private void nowWhole() throws IOException, InterruptedException {
            if (whole) {
                return;
            }
            whole = true;
            completions.incrementAndGet();
            SourceIdentity now = listening.identity();
            boolean renamed = known != null && !known.history().equals(now.history());
            known = now;
            lanes.mark(now.mark());
            awaitAnswers();
            markedKeys = lanes.checkpointKeys();
            tell(now, renamed);
            say("");
            phase = Phase.STREAMING;
        }

        /** What the owner cannot remember now ends this session, and is told again by the next one. */
        private void tell(SourceIdentity now, boolean renamed) throws IOException {
            try {
                if (owesBase) {
                    listener.based(new LinkBase(now.history(), 0, "", -1));
                }
                owesBase = false;
                if (renamed) {
                    listener.sourceIdChanged(now.history());
                }
            } catch (RuntimeException e) {
                throw new IOException("the link's owner cannot take it down: " + e.getMessage(), e);
            }
        }

        /** Copies some of those that were told first; how many names were taken. */
        private int copyDirty(int max) throws IOException {
            OptionalLong since = dirty.sinceNanos();
            if (since.isEmpty() || max == 0) {
                return 0;
            }
            inHandSinceNanos = since.getAsLong();
            List<byte[]> names = dirty.take(max);
            List<Key> keys = new ArrayList<>();
            if (!names.isEmpty()) {
                databases.addAll(Keyspace.keysByDatabase(source)
                        .keySet()); // of behind the taking: whatever was told of is in one of these
            }
            for (byte[] name : names) {
                Key named = new Key(0, name);
                if (!named.isReserved()) {
                    demandOurs(named);
                    databases.stream()
                            .map(database -> new Key(database, name))
                            .filter(share::carries)
                            .forEach(keys::add);
                }
            }
            copy.copy(keys, at(since.getAsLong()));
            inHandSinceNanos = NONE;
            return Math.max(1, names.size());
        }

        private void demandOurs(Key key) throws IOException {
            if (!share.hasSlotOf(key)) {
                throw new IOException("the source has told of " + key + " of slot " + key.slot()
                        + ", which is none of the shard's: are slots being moved?");
            }
        }

        /** What a walk finds. */
        private final class Found implements ScanWalk.Finding {
            @Override
            public void atTarget(List<Key> keys) throws IOException {
                keysOfPage += keys.size();
                long now = environment.nanoTime();
                List<byte[][]> commands = new ArrayList<>();
                for (Key key : keys) {
                    commands.add(CommandEncoder.bytes("SELECT", Integer.toString(key.database())));
                    commands.add(new byte[][] {Lanes.word("EXISTS"), key.name()});
                }
                List<Reply> replies = source.pipeline(commands);
                for (int i = 0; i < keys.size(); i++) {
                    Reply reply = replies.get(2 * i + 1);
                    boolean gone = replies.get(2 * i) instanceof Reply.Failure // the source has no such database
                            || (reply instanceof Reply.Int(long count) && count == 0);
                    if (gone) {
                        copy.remove(keys.get(i), at(now));
                    } else if (reply.isError()) {
                        throw new IOException("the source does not say whether it has a key: " + reply.text());
                    }
                }
            }

            @Override
            public void atSource(List<Key> keys) throws IOException {
                keysOfPage += keys.size();
                long now = environment.nanoTime();
                if (equal) {
                    keys.stream().filter(share::carries).forEach(streams::found); // that is all that is walked for
                    return;
                }
                for (Key key : keys) {
                    demandOurs(key);
                }
                copy.copy(keys, at(now));
            }
        }

        // ---------------------------------------------------------------------------------------- what is never told

        private void look() throws IOException, InterruptedException {
            long now = environment.nanoTime();
            if (now - keptAliveAtNanos >= KEEP_ALIVE_EVERY.toNanos()) {
                keptAliveAtNanos = now;
                lanes.keepAlive();
            }
            if (now - lookedAtNanos < lookPauseNanos) {
                return;
            }
            lookForSwaps();
            if (walk == null) {
                lookAtWhatIsNotTold();
            }
            lookedAtNanos = environment.nanoTime();
            lookPauseNanos = Math.max(LOOK_EVERY.toNanos(), LOOK_PAUSE_FACTOR * (lookedAtNanos - now));
        }

        private void lookAtWhatIsNotTold() throws IOException {
            Place now = at(environment.nanoTime());
            streams.look(source, copy, now);
            if (share.hasWhatIsOfNoSlot()) {
                functions.look(now);
            }
        }

        /** Databases that were swapped are not told of; but how often that was done can be asked. Also whether it is a primary still. */
        private void lookForSwaps() throws IOException {
            long now = Tracking.swaps(source.demand("INFO", "commandstats"));
            if (now != swaps) {
                dirty.everything();
            }
            swaps = now;
            if (!InfoReport.read(source, "replication").text("role").equals("master")) {
                throw new IOException("the source " + source.endpoint() + " is no primary any more");
            }
        }

        // ------------------------------------------------------------------------------------------------- the end

        private Optional<Token> newerNote() {
            String key = LinkKeys.of(settings.name(), share.sourceSlot()).left();
            Reply note = source.pipeline(List.of(
                            CommandEncoder.bytes("SELECT", "0"), new byte[][] {Lanes.word("GET"), key.getBytes(UTF_8)}))
                    .getLast();
            return Token.parse(note.text()).filter(settings.owner()::isOlderThan);
        }

        /** All that stood before a newer owner's note is told once the barrier is passed. Whatever is not whole by then will not be. */
        private boolean endsByNote() throws IOException, InterruptedException {
            Optional<Token> by = newerNote();
            if (by.isEmpty()) {
                return false;
            }
            if (!listening.barrier(Deadline.in(environment, BARRIER_MAX))) {
                throw new IOException("the source has not told in time what was changed before it was left");
            }
            while (equal && walk != null) {
                walk = walk.step(new Found()) ? null : walk;
            }
            boolean complete = equal && !dirty.isEverything();
            if (complete) {
                drain();
                complete = !dirty.isEverything() && !streams.tooMany();
            }
            stopAt(by.get(), complete);
            return true;
        }

        /** Waits until all that was sent is answered. */
        private void awaitAnswers() throws IOException, InterruptedException {
            lanes.flush();
            while (!lanes.isIdle()) {
                lanes.throwIfFailed();
                LockSupport.parkNanos(DRAIN_POLL.toNanos());
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
            }
            lanes.throwIfFailed();
        }

        /** Until there is something to do: what is written all the time is not asked for all the time. */
        private void rest(long begunAtNanos) throws InterruptedException {
            long toNextPage = walk == null ? 0 : nanosToNextPage();
            if (toNextPage > 0 && dirty.size() < BATCH_KEYS) {
                LockSupport.parkNanos(Math.min(toNextPage, BETWEEN_COPIES.toNanos()));
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
            }
            if (walk != null || dirty.size() >= BATCH_KEYS) {
                return;
            }
            while (environment.nanoTime() - begunAtNanos < BETWEEN_COPIES.toNanos() && !isUrgent()) {
                LockSupport.parkNanos(DRAIN_POLL.toNanos());
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
            }
            if (dirty.size() == 0 && !isUrgent()) {
                dirty.await(IDLE_WAIT);
            }
        }

        private boolean isUrgent() {
            return wanted.get() > caughtUp || frozenWanted || closed;
        }
    }

    private void stopAt(Token by, boolean complete) {
        endedWhole = complete;
        stoppedBy(by, complete ? "" : "; the target did not have all by then");
    }

    // ----------------------------------------------------------------------------------------------------- the rest

    /** Looks whether the source is still where, and what, it was. */
    @Override
    void watch() {
        try {
            while (!closed) {
                if (shard != null) {
                    shard.moved().ifPresent(moved -> slotsMoved = moved);
                }
                Tracking listening = tracking;
                if (listening != null) {
                    keepAlive(listening);
                    lookForAnotherPrimary(listening);
                }
                environment.sleep(LOOK_EVERY);
            }
        } catch (InterruptedException e) {
            // It is closed.
        } finally {
            if (shard != null) {
                shard.close();
            }
        }
    }

    private void keepAlive(Tracking listening) {
        try {
            listening.keepAlive();
        } catch (IOException e) {
            LOG.debug("link {}: the source is not to be asked", settings.name(), e); // its reader says so too
        }
    }

    private void lookForAnotherPrimary(Tracking listening) {
        if (settings.source().address() instanceof FleetAddress.Standalone) {
            return;
        }
        try {
            Endpoint now = settings.source().primaryNow();
            if (!now.equals(listening.server())) {
                sourceMoved = "the source's primary is " + now + " now";
            }
        } catch (FleetException e) {
            LOG.debug("link {}: where the source is now cannot be said", settings.name(), e);
        }
    }

    @Override
    void wake() {
        dirty.wake();
    }

    @Override
    void closeSource() {
        Tracking listening = tracking;
        if (listening != null) {
            listening.close();
        }
        synchronized (lock) {
            if (openSource != null) {
                openSource.close();
            }
        }
    }
}
