package io.switchback.sync.apply;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.BackupWriter;
import io.switchback.sync.BrokenLinkException;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.RelayLink;
import io.switchback.sync.rdb.SnapshotReader;
import io.switchback.sync.rdb.SnapshotSink;
import io.switchback.sync.rdb.ValueTarget;
import io.switchback.sync.source.CopyPace;
import io.switchback.sync.source.LagWatch;
import io.switchback.sync.source.SourceConnection;
import io.switchback.sync.source.SourceCopy;
import io.switchback.sync.source.StreamPosition;
import io.switchback.sync.source.WireInput;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries a source's writes to a target as a client of it: a replica to the source, to the target nobody whom it would have to follow (docs/apply.md). For targets that are
 * clusters, or that cannot be told whom to follow.
 *
 * <p>Concurrency: one thread does everything but read the source's stream ({@link StreamReading}), read the target's replies ({@link Lane}) and look at the source
 * ({@link LagWatch}). Public methods may be called by any thread; what they share with the link's thread is volatile with one writer, or guarded by {@code lock}.
 *
 * <p>Invariants:
 *
 * <ul>
 *   <li>What the target holds is what its checkpoint says ({@link Checkpoint}), at every instant, whoever is killed.
 *   <li>A target that has a checkpoint of this link is never emptied: a copy begins only where there is none, or where a copy was broken off.
 *   <li>Once {@link #freeze} has said true, nothing is sent.
 *   <li>Nothing behind a newer owner's note ({@link #leave}) is applied, and the target's checkpoint stays before it: an older owner that begins again stops there again.
 * </ul>
 */
public final class ApplyLink extends ClientLink {
    /** For a server that is no cluster's. */
    public static final int NO_SLOT = LinkKeys.NO_SLOT;

    private static final Logger LOG = LoggerFactory.getLogger(ApplyLink.class);

    private static final Duration SOURCE_ANSWER_MAX = Duration.ofSeconds(5);
    /** As the servers' repl-timeout: a live source sends a PING every ten seconds. */
    private static final Duration SILENCE_MAX = Duration.ofSeconds(60);

    private static final Duration POLL = Duration.ofMillis(10);
    /** How often the source is told what is applied, and the target's checkpoints are written again. */
    private static final Duration NOTE_EVERY = Duration.ofSeconds(1);

    /** How often it is looked whether the source, a shard, still has the slots that it had. */
    private static final Duration SLOTS_EVERY = Duration.ofSeconds(1);

    private static final int COPIES_BROKEN_OFF_MAX = 5;
    /** A copy makes the source fork, and empties the target: it does not begin again at once. */
    private static final Duration BETWEEN_COPIES = Duration.ofSeconds(10);
    /** A transaction of the source that is larger goes out in parts. */
    private static final long TRANSACTION_BYTES_MAX = 32L * 1024 * 1024;
    /** What a Valkey source writes its snapshot for; it withholds times of hash fields from what does not say that it knows them. */
    private static final String UNDERSTOOD_VERSION = "9.1.0";

    private static final List<String> CAPABILITIES = List.of("eof", "psync2");

    private final LagWatch watch;

    private volatile boolean prompt;
    private volatile long copiedBytes;
    private volatile long copyBytesTotal = -1;
    private volatile long copyBytesAtMost = -1;
    private volatile @Nullable CopyPace copyPace;
    private volatile @Nullable Applying applying;
    private volatile Place lastApplied = new Place(-1, Place.UNKNOWN);
    /** The end of a newer owner's note, where the link has stopped. */
    private volatile @Nullable Place leftAt;

    /** Whether a copy is complete and the owner was not told so yet; the link's own thread. */
    private boolean owesBase;

    private @Nullable LinkBase admitted; // guarded by lock
    private @Nullable SourceConnection openSource; // guarded by lock

    // The link's own thread.
    private LinkStart start;
    /** The keys of the checkpoints that the target is known to have held. */
    private Set<String> notedKeys = Set.of();

    private long notedOffset = -1;
    private long keptAliveAtNanos;
    private int copiesBrokenOff;
    private boolean copying;
    private long sentAtMost = -1;
    private long notedAtNanos;

    private ApplyLink(ApplySettings settings, Environment environment, LinkListener listener) {
        super("apply", settings, environment, listener);
        this.start = settings.start();
        this.watch = new LagWatch(settings.source(), Optional.empty(), environment, new WatchOwner());
    }

    /** Begins at once; with {@link LinkStart.Later}, when {@link #admit} says where. */
    public static ApplyLink open(ApplySettings settings, Environment environment, LinkListener listener) {
        ApplyLink link = new ApplyLink(settings, environment, listener);
        link.start();
        return link;
    }

    /**
     * Where a link of that name may begin later whose source is this server: now, while nobody writes there. To be asked before anybody does.
     *
     * <p>A stream goes on in the database that it has selected last, and does not say which. So the first thing behind the place is a write to database 0, in one transaction with
     * the reading of the place: if another database was selected, the stream says so there. A cluster has but one.
     */
    public static LinkBase begin(ServerConnection server, String name) {
        return LinkNotes.begin(server, name);
    }

    /**
     * Ends a link at a point of its source's stream: by a note there, which takes the place of older ones only, and at which an owner with an older token than {@code by} stops. What
     * stands before the note is applied then and noted; the link is frozen, and each older owner that opens it again stops there as well. An owner with this token or a newer one
     * goes on over it.
     *
     * <p>Effects behind the note may be in the target all the same where a key was copied as state meanwhile (docs/apply.md): nobody should write to the source by then.
     *
     * @param sourcePrimary of the link's source
     * @param slot the first one of the link's slots, or {@link #NO_SLOT}
     * @param others what becomes of the source's connections to clients, in the same transaction with the note
     * @return an offset that the link has applied ({@link #awaitApplied}) once, and only once, it has come to the note: the source's own behind it, unless others wrote in the same moment
     */
    public static long leave(ServerConnection sourcePrimary, int slot, String name, Token by, OtherClients others) {
        return LinkNotes.leave(sourcePrimary, slot, name, by, others);
    }

    /**
     * Whether a fleet that was left ({@link #leave}) still has the notes of that: each of its primaries one. One that has none has lost what it had. Blocks.
     *
     * @param names of the links that have ended there, by the first slots of the shards that they were about
     */
    public static boolean hasNotes(FleetSpec left, Map<Integer, String> names) {
        return LinkNotes.hasNotes(left, names);
    }

    /** Writes a reserved key to a primary of a link's source, as {@link #leave} will have to; a {@link FleetException} where it takes none. */
    public static void tryToWrite(ServerConnection sourcePrimary, int slot, String name) {
        sourcePrimary.demand("SELECT", "0");
        sourcePrimary.demand("SET", LinkKeys.of(name, slot).begin(), "");
    }

    /**
     * Makes {@code by} the owner of a link at every primary of its target, and has all connections of the link killed there. When it returns nothing of the link reaches the target any
     * more, whoever runs it, and nobody with an older token can open it again. Blocks.
     *
     * @throws FleetException REFUSED where a newer owner is there; where a server does not answer or refuses; then nothing is sure, and it may be done again
     */
    public static void shutOut(FleetSpec target, String name, Token by) {
        LinkNotes.shutOut(target, name, by);
    }

    /**
     * Removes all that links of these names keep at a fleet, at whichever end of them it was; they must be over, since what it removes shuts former owners out, too. Blocks.
     *
     * @throws FleetException where a server does not answer or refuses; then it may be done again
     */
    public static void forget(FleetSpec fleet, List<String> names) {
        LinkNotes.forget(fleet, names);
    }

    /**
     * The keys that links of these names may keep at a fleet whose servers are there, at whichever end of them it is.
     *
     * @param formerSlots the first slots that its shards have had before: keys by their names may still be there
     */
    public static List<String> keys(Topology topology, Collection<Integer> formerSlots, Collection<String> names) {
        return LinkNotes.keys(topology, formerSlots, names);
    }

    /** Which slots of a cluster are on their way to another shard now, as a sentence; empty where none are, or the fleet is no cluster. Blocks. */
    public static Optional<String> slotsMoving(FleetSpec cluster) {
        return MovingSlots.of(cluster);
    }

    /** For a link that was opened with {@link LinkStart.Later}: where both sides are equal. */
    public void admit(LinkBase base) {
        synchronized (lock) {
            admitted = base;
            lock.notifyAll();
        }
    }

    @Override
    public LinkStatus status() {
        Applying now = applying;
        long sent = now == null ? lastApplied.offset() : now.sent().offset();
        return new LinkStatus(
                phase,
                sent,
                applied().offset(),
                watch.lagBytes(),
                watch.lagMillis(),
                copiedBytes,
                copyBytesTotal,
                detail.isEmpty() ? leftOut.words() : detail,
                LinkStatus.Speed.of(copyPace, copyBytesAtMost));
    }

    /** The note's end is in the stream, at an offset. */
    @Override
    public boolean awaitEnd(Token by, long end, Deadline deadline) {
        return awaitApplied(end, deadline);
    }

    private Place applied() {
        Place left = leftAt;
        if (left != null && frozen) {
            return left;
        }
        Applying now = applying;
        return now == null ? lastApplied : now.applied();
    }

    @Override
    public boolean awaitApplied(long sourceOffset, Deadline deadline) {
        while (applied().offset() < sourceOffset) {
            if (frozen) {
                return applied().offset() >= sourceOffset;
            }
            if (isOver(deadline)) {
                return false;
            }
            LockSupport.parkNanos(DRAIN_POLL.toNanos());
        }
        return true;
    }

    @Override
    public void confirmPromptly(boolean promptly) {
        prompt = promptly;
    }

    // -----------------------------------------------------------------------------------------------------------
    // sessions

    @Override
    long progress() {
        return applied().offset();
    }

    @Override
    Duration pauseBeforeNext(Duration pause) throws BrokenLinkException {
        copiesBrokenOff = copying ? copiesBrokenOff + 1 : 0;
        if (copiesBrokenOff == COPIES_BROKEN_OFF_MAX) {
            throw new BrokenLinkException(LinkBreak.OUT_OF_STEP, detail);
        }
        Duration longer = copying ? BETWEEN_COPIES : pause;
        copying = false;
        return longer;
    }

    @Override
    void awaitBeginning() throws InterruptedException {
        if (!(start instanceof LinkStart.Later)) {
            return;
        }
        phase = Phase.CLOSED_TO_TARGET;
        synchronized (lock) {
            while (admitted == null && !frozenWanted && !closed) {
                lock.wait();
            }
            if (admitted == null) {
                throw new InterruptedException("closed before it was admitted");
            }
            start = new LinkStart.From(admitted);
        }
    }

    @Override
    void session() throws IOException, BrokenLinkException, InterruptedException {
        Troubles troubles = new Troubles();
        phase = Phase.WAITING_FOR_TARGET;
        if (shard != null) {
            slotsMoved = shard.moved().orElse(null);
            throwIfSlotsMoved();
        }
        try (Lanes lanes = Lanes.open(settings.name(), settings.owner(), settings.target(), troubles)) {
            keep(lanes);
            demandStanding();
            Lanes.Found found = lanes.found();
            if (!lanes.foundKeys().containsAll(notedKeys)) {
                throw new BrokenLinkException(
                        LinkBreak.TARGET_LOST,
                        "the link's checkpoint is gone from its target "
                                + settings.target().where()
                                + ": a server of it was emptied, or has come back without its data");
            }
            if (found instanceof Lanes.Found.Nothing && start instanceof LinkStart.From) {
                demandTargetIsAsItWas();
            }
            Dialect targetDialect = dialect(lanes.all().getFirst().server(), settings.target());
            try (SourceConnection source = SourceConnection.open(settings.source(), SOURCE_ANSWER_MAX)) {
                Dialect sourceDialect = dialect(source.server(), settings.source());
                session(lanes, found, troubles, source, sourceDialect, targetDialect);
            } finally {
                leave();
            }
        }
    }

    private void session(
            Lanes lanes,
            Lanes.Found found,
            Troubles troubles,
            SourceConnection source,
            Dialect sourceDialect,
            Dialect targetDialect)
            throws IOException, BrokenLinkException, InterruptedException {
        try (SourceStates states = new SourceStates(
                source.server(),
                settings.source().credential(),
                settings.source().tls(),
                sourceDialect.version())) {
            keep(source);
            lanes.begin();
            Session session = new Session(lanes, troubles, source, states, sourceDialect, targetDialect);
            Optional<Checkpoint> place = place(start, found, source.info());
            if (place.isPresent()) {
                session.resume(place.get());
            } else if (!hasLeft(source)) {
                session.copy();
            }
        }
    }

    /** Whether a newer owner has ended the link before it was ever begun: then the target stays as it is. */
    private boolean hasLeft(SourceConnection source) {
        Optional<Token> by = LinkNotes.left(source.server(), settings.source(), settings.name(), share.sourceSlot());
        if (by.filter(settings.owner()::isOlderThan).isEmpty()) {
            return false;
        }
        stopAt(lastApplied, by.get());
        return true;
    }

    private void stopAt(Place end, Token by) {
        leftAt = end;
        stoppedBy(by, "");
    }

    /** Where to go on; empty where the target is to be filled. */
    private static Optional<Checkpoint> place(LinkStart start, Lanes.Found found, InfoReport source)
            throws BrokenLinkException {
        if (start instanceof LinkStart.Again(LinkBase base)) {
            if (found instanceof Lanes.Found.At(Checkpoint checkpoint)
                    && checkpoint.applied().offset() >= base.sourceOffset()) {
                return Optional.of(checkpoint);
            }
            throw new BrokenLinkException(
                    LinkBreak.TARGET_LOST,
                    "the link's checkpoint is gone from its target: a server of it was emptied, or has"
                            + " come back without its data");
        }
        if (start instanceof LinkStart.From(LinkBase base)) {
            Checkpoint equal = new Checkpoint(base.sourceId(), new Place(base.sourceOffset(), 0), base.sourceOffset());
            // One that stands before the base, or in another history, is what the link has left from another time.
            return Optional.of(
                    found instanceof Lanes.Found.At(Checkpoint checkpoint)
                                    && checkpoint.applied().offset() >= base.sourceOffset()
                                    && StreamPosition.whyGone(
                                                    source,
                                                    checkpoint.sourceId(),
                                                    checkpoint.applied().offset())
                                            .isEmpty()
                            ? checkpoint
                            : equal);
        }
        return switch (found) {
            case Lanes.Found.At(Checkpoint checkpoint) -> Optional.of(checkpoint);
            case Lanes.Found.HalfCopied(), Lanes.Found.Nothing() -> Optional.empty();
        };
    }

    private static Dialect dialect(Endpoint server, FleetSpec fleet) {
        try (ServerConnection connection =
                ServerConnection.open(server, fleet.credential(), fleet.tls(), SOURCE_ANSWER_MAX)) {
            return Dialect.read(connection);
        }
    }

    private void keep(SourceConnection source) throws IOException {
        synchronized (lock) {
            openSource = source;
        }
        throwIfEnding();
    }

    private void leave() {
        Applying ended = applying;
        if (ended != null) {
            lastApplied = ended.applied();
            sentAtMost = Math.max(sentAtMost, ended.sent().offset());
        }
        applying = null;
        synchronized (lock) {
            openSource = null;
        }
    }

    /** What belongs to one session. */
    private final class Session {
        private final Lanes lanes;
        private final Troubles troubles;
        private final SourceConnection source;
        private final SourceStates states;
        private final StreamTranslator translator;
        private final ServerVersion version;
        private final ValueTarget target;
        private final ShareRemoval removal;
        private String sourceId = "";

        Session(
                Lanes lanes,
                Troubles troubles,
                SourceConnection source,
                SourceStates states,
                Dialect from,
                Dialect to) {
            this.lanes = lanes;
            this.troubles = troubles;
            this.source = source;
            this.states = states;
            this.translator = StreamTranslator.between(from, to);
            this.version = from.version();
            this.target = new ValueTarget(to.version());
            this.removal = new ShareRemoval(lanes, settings.target(), share, this::keepAlive);
        }

        // -------------------------------------------------------------------------------------------------------- copy

        void copy() throws IOException, BrokenLinkException, InterruptedException {
            phase = Phase.COPYING;
            copying = true;
            say("");
            leftOut.clear();
            copiedBytes = 0;
            if (!share.isWhole()) {
                emptyShare(); // before the source begins, since it would not wait so long
            }
            copyBytesAtMost = SourceCopy.dataBytes(source.info());
            SourceCopy.Request request = new SourceCopy.Request(
                    announcedName(), CAPABILITIES, Optional.of(UNDERSTOOD_VERSION), SOURCE_ANSWER_MAX, SILENCE_MAX);
            SourceCopy begun =
                    SourceCopy.ask(source, settings.source(), request, this::keepAlive, thread("stream-ahead"));
            sourceId = begun.sourceId();
            long offset = begun.offset();
            Expiring expiring = new Expiring(true, target.knowsFieldExpiry());
            if (share.isWhole()) {
                lanes.beginCopy(target.knowsFunctions());
            }
            @Nullable BackupManifest saved;
            try {
                saved = takeSnapshot(begun, expiring);
            } catch (IOException e) {
                throw e instanceof Lane.RefusedException ? e : new IOException(begun.whyEnded(e), e);
            } finally {
                copyPace = null;
            }
            begun.loaded();
            if (saved != null) {
                tell(() -> listener.copied(saved));
            }
            Place copied = new Place(offset, Place.UNKNOWN);
            owesBase = true;
            lanes.noteAll(sourceId, copied);
            awaitAnswers();
            noted(copied);
            throwIfSlotsMoved();
            copying = false;
            tellBase(offset);
            stream(begun.stream(), copied, offset, expiring);
        }

        private @Nullable BackupManifest takeSnapshot(SourceCopy begun, Expiring expiring)
                throws IOException, BrokenLinkException, InterruptedException {
            try (BackupWriter backup =
                            BackupWriter.begin(settings.start(), version, sourceId, begun.offset(), environment.now());
                    CopyPace pace =
                            CopyPace.begin(settings.copy(), settings.source(), environment, thread("latency"))) {
                copyPace = pace;
                SnapshotStream snapshot = SnapshotStream.begin(
                        begun.snapshot(), this::keepAlive, backup, pace, bytes -> copiedBytes = bytes);
                copyBytesTotal = snapshot.announcedBytes();
                SnapshotReader reader = new SnapshotReader(snapshot, target, new CopySink(expiring, pace));
                reader.read();
                snapshot.finish(reader.rest());
                awaitAnswers();
                return backup == null ? null : backup.finish();
            }
        }

        /** Empties the link's part of the target; where not all keys are carried, nothing but what they become there. */
        private void emptyShare() throws IOException, InterruptedException {
            lanes.noteCopying();
            if (share.hasWhatIsOfNoSlot() && share.hasAllKeys()) {
                removal.emptyOtherDatabases(Lanes.NOWHERE);
                if (target.knowsFunctions()) {
                    lanes.forgetFunctions();
                }
            }
            removal.run(database -> true, Lanes.NOWHERE);
            awaitAnswers();
        }

        /** The target holds the checkpoint of that place for sure. */
        private void noted(Place place) {
            notedOffset = place.offset();
            notedKeys = lanes.checkpointKeys();
        }

        private void keepAlive() throws IOException {
            long now = environment.nanoTime();
            if (now - keptAliveAtNanos >= KEEP_ALIVE_EVERY.toNanos()) {
                keptAliveAtNanos = now;
                lanes.keepAlive();
                Applying work = applying;
                if (work != null) {
                    // A source gives up who has said nothing for long, as while keys are removed one by one.
                    source.acknowledge(work.applied().offset());
                }
            }
        }

        private void awaitAnswers() throws IOException, InterruptedException {
            lanes.flush();
            while (!lanes.isIdle()) {
                lanes.throwIfFailed();
                environment.sleep(Duration.ofMillis(1));
            }
            lanes.throwIfFailed();
        }

        /** Sends what a snapshot becomes. */
        private final class CopySink implements SnapshotSink {
            private final Expiring expiring;
            private final CopyPace pace;
            /** Of the key whose commands come now. */
            private byte @Nullable [] begun;

            CopySink(Expiring expiring, CopyPace pace) {
                this.expiring = expiring;
                this.pace = pace;
            }

            @Override
            public void source(Map<String, String> facts) {}

            @Override
            public byte @Nullable [] rebuiltAs(int database, byte[] name) throws IOException {
                keepAlive();
                Key key = new Key(database, name);
                if (key.isReserved()) {
                    return null; // what another link keeps there is about the source
                }
                if (!share.hasSlotOf(key)) {
                    throw new IOException("the source has " + key + " of slot " + key.slot()
                            + ", which is none of the shard's: are slots being moved?");
                }
                @Nullable Key there = share.target(key);
                if (there != null && lanes.isSharded() && database != 0) {
                    throw new IOException("database " + database + " has keys, such as " + key
                            + ", and the target is a cluster, which has database 0 alone");
                }
                return there == null ? null : there.name();
            }

            @Override
            public void command(int database, byte[] name, byte[][] words) throws IOException {
                Key key = new Key(database, name);
                expiring.rebuilt(key, words);
                Lane lane = lanes.of(key);
                lane.select(database, Lane.Expected.SUCCESS, Lanes.NOWHERE);
                lane.send(Lane.Expected.SUCCESS, Lanes.NOWHERE, words);
                keepAlive();
                if (!Arrays.equals(name, begun)) {
                    begun = name;
                    pace.key();
                }
            }

            @Override
            public void library(byte[] code) throws IOException {
                if (!share.hasWhatIsOfNoSlot()) {
                    return;
                }
                for (Lane lane : lanes.all()) {
                    lane.send(
                            Lane.Expected.SUCCESS,
                            Lanes.NOWHERE,
                            Lanes.word("FUNCTION"),
                            Lanes.word("LOAD"),
                            Lanes.word("REPLACE"),
                            code);
                }
            }

            @Override
            public void inexpressible(int database, byte[] name, String what) {
                leftOut.add(new Key(database, name), what);
            }
        }

        // -------------------------------------------------------------------------------------------------------
        // stream

        void resume(Checkpoint checkpoint) throws IOException, BrokenLinkException, InterruptedException {
            long offset = checkpoint.applied().offset();
            sourceId = askToContinue(checkpoint.sourceId(), offset, checkpoint.untilAtMost());
            if (owesBase) {
                tellBase(offset); // the session that has copied ended before it was told
            }
            if (!sourceId.equals(checkpoint.sourceId())) {
                tell(() -> listener.sourceIdChanged(sourceId));
            }
            lanes.covered(checkpoint.untilAtMost());
            lanes.noteAll(sourceId, checkpoint.applied());
            lanes.dropOutdated(checkpoint.applied());
            awaitAnswers();
            noted(checkpoint.applied());
            stream(
                    source.input(),
                    checkpoint.applied(),
                    checkpoint.untilAtMost(),
                    new Expiring(false, target.knowsFieldExpiry()));
        }

        private void tellBase(long offset) throws IOException {
            tell(() -> listener.based(new LinkBase(sourceId, offset, "", -1)));
            owesBase = false;
        }

        /** What the owner cannot remember now ends this session, and is told again by the next one. */
        private void tell(Runnable what) throws IOException {
            try {
                what.run();
            } catch (RuntimeException e) {
                throw new IOException("the link's owner cannot take it down: " + e.getMessage(), e);
            }
        }

        /** Where another server takes a dead one's place, what that had not been sent yet is lost by design, and no reason to stand still. */
        private LinkBreak setBack() {
            return settings.source().address() instanceof FleetAddress.Standalone
                    ? LinkBreak.SOURCE_SET_BACK
                    : LinkBreak.OUT_OF_STEP;
        }

        private String askToContinue(String id, long offset, long untilAtMost) throws IOException, BrokenLinkException {
            String where = "the source " + settings.source().where();
            InfoReport info = source.info();
            if (StreamPosition.isLoading(info)) {
                throw new IOException(where + " is loading its data");
            }
            // A link that was just opened knows only how far the one before it may have come.
            Optional<String> ahead =
                    StreamPosition.whyAhead(info, id, sentAtMost < 0 ? untilAtMost : Math.max(offset, sentAtMost));
            Optional<String> gone = StreamPosition.whyGone(info, id, offset);
            if (gone.isPresent()) {
                boolean isSetBack = ahead.isPresent() || StreamPosition.isSetBack(info, id, offset);
                throw new BrokenLinkException(
                        isSetBack ? setBack() : LinkBreak.OUT_OF_STEP,
                        where + " cannot go on from offset " + offset + ": " + gone.get());
            }
            if (ahead.isPresent()) {
                throw new BrokenLinkException(setBack(), where + " cannot be followed: " + ahead.get());
            }
            source.announce(announcedName());
            source.psync(id, offset + 1, CAPABILITIES, Optional.of(UNDERSTOOD_VERSION));
            String answer = source.input().readLine();
            if (answer.startsWith("+FULLRESYNC")) {
                throw new BrokenLinkException(
                        LinkBreak.OUT_OF_STEP, where + " offers only a full copy from offset " + offset);
            }
            if (!answer.startsWith("+CONTINUE")) {
                throw new IOException(where + " answered " + answer);
            }
            source.silenceMax(SILENCE_MAX);
            String told = answer.substring("+CONTINUE".length()).strip();
            return told.isEmpty() ? id : told;
        }

        private void stream(WireInput input, Place from, long doubtfulUntil, Expiring expiring)
                throws IOException, BrokenLinkException, InterruptedException {
            Applying work = new Applying(
                    lanes,
                    share,
                    removal,
                    troubles,
                    sourceId,
                    from,
                    doubtfulUntil,
                    translator,
                    states,
                    version,
                    target,
                    watch::ranAtMs,
                    expiring,
                    leftOut);
            applying = work;
            phase = Phase.STREAMING;
            say("");
            source.acknowledge(from.offset()); // only then does a source that has copied diskless begin to stream
            StreamReading reading = new StreamReading(input, from.offset());
            Thread reader = thread("stream").start(reading::run);
            try {
                Units units = new Units(work, from, settings);
                while (!frozenWanted && !closed) {
                    StreamReading.@Nullable Batch batch = reading.next(POLL);
                    lanes.throwIfFailed();
                    throwIfSlotsMoved();
                    work.putRight();
                    if (batch != null) {
                        for (StreamCommand command : batch.commands()) {
                            units.take(command);
                            if (units.end() instanceof Units.End(Place behind, Token by)) {
                                settle(work);
                                stopAt(behind, by);
                                return;
                            }
                        }
                        lanes.flush();
                        if (batch.end() != null) {
                            throw new IOException(
                                    "the source broke off: " + batch.end().getMessage(), batch.end());
                        }
                    }
                    tell(units.asked(), work);
                }
                settle(work);
                frozen = true;
            } finally {
                reader.interrupt();
                source.close();
            }
        }

        /** Tells the source and the target how far the target is, where it is time to. */
        private void tell(boolean asked, Applying work) throws IOException {
            long now = environment.nanoTime();
            boolean due = now - notedAtNanos >= NOTE_EVERY.toNanos();
            Place applied = work.applied();
            if (due || asked || (prompt && applied.offset() > lastApplied.offset())) {
                source.acknowledge(applied.offset());
            }
            if (due && applied.offset() > notedOffset) {
                lanes.noteAll(sourceId, applied);
                lanes.flush();
                notedOffset = applied.offset();
            }
            keepAlive();
            if (due) {
                notedAtNanos = now;
            }
            lastApplied = applied;
        }

        /** The last words at an end that is wanted: all that was sent is answered, and noted. */
        private void settle(Applying work) throws IOException, InterruptedException {
            work.awaitAnswers();
            work.putRight();
            lanes.noteAll(sourceId, work.applied());
            work.awaitAnswers();
            lanes.throwIfFailed();
            lastApplied = work.applied();
        }
    }

    /** Puts commands together that belong together. */
    private static final class Units {
        private final Applying work;
        private final ApplySettings settings;
        private final List<StreamCommand> transaction = new ArrayList<>();
        private long transactionBytes;
        private boolean inTransaction;
        private int database;
        private int databaseBefore;
        private boolean asked;
        private @Nullable Token leaving;
        private @Nullable End end;

        /** A newer owner's note that the link ends there; the target stands before it. */
        record End(Place behind, Token by) {}

        Units(Applying work, Place from, ApplySettings settings) {
            this.work = work;
            this.settings = settings;
            this.database = from.database();
        }

        /** Set once nothing more is to be taken. */
        @Nullable
        End end() {
            return end;
        }

        /** Whether the source has asked since how far the target is. */
        boolean asked() {
            boolean was = asked;
            asked = false;
            return was;
        }

        void take(StreamCommand command) throws IOException, BrokenLinkException, InterruptedException {
            switch (command.name()) {
                case "", "PING" -> pass(command);
                case "REPLCONF" -> {
                    asked = true;
                    pass(command);
                }
                case "MULTI" -> {
                    inTransaction = true;
                    databaseBefore = database;
                }
                case "EXEC" -> {
                    inTransaction = false;
                    if (leaving == null) {
                        applyTransaction(command.end());
                    } else {
                        end = new End(new Place(command.end(), database), leaving);
                    }
                }
                case "SELECT" -> select(command);
                default -> effect(command);
            }
        }

        private void pass(StreamCommand command) {
            if (!inTransaction) {
                work.pass(command.end(), database);
            }
        }

        private void select(StreamCommand command) {
            database = Integer.parseInt(new String(command.words()[1], StandardCharsets.US_ASCII));
            if (inTransaction) {
                transaction.add(command);
            } else {
                work.pass(command.end(), database);
            }
        }

        /** The note stands alone, or in a transaction of its own. */
        private void leave(StreamCommand command) {
            byte[][] words = command.words();
            Optional<Token> by = words.length > 2 && LinkKeys.isLeft(words[1], settings.name())
                    ? Token.parse(new String(words[2], StandardCharsets.UTF_8)).filter(settings.owner()::isOlderThan)
                    : Optional.empty();
            if (by.isPresent()) {
                leaving = by.get();
                if (!inTransaction) {
                    end = new End(new Place(command.end(), database), leaving);
                }
            }
        }

        private void effect(StreamCommand command) throws IOException, BrokenLinkException, InterruptedException {
            if (command.name().equals("SET")) {
                leave(command);
                if (leaving != null) {
                    return;
                }
            }
            if (!inTransaction) {
                work.apply(List.of(command), database, new Place(command.end(), database));
                return;
            }
            transaction.add(command);
            for (byte[] word : command.words()) {
                transactionBytes += word.length;
            }
            if (transactionBytes > TRANSACTION_BYTES_MAX) {
                // The stream still stands before the transaction: a link that is killed here begins before it.
                work.applyPart(transaction, databaseBefore, command.end());
                databaseBefore = database;
                transaction.clear();
                transactionBytes = 0;
            }
        }

        private void applyTransaction(long behind) throws IOException, BrokenLinkException, InterruptedException {
            work.apply(transaction, databaseBefore, new Place(behind, database));
            transaction.clear();
            transactionBytes = 0;
        }
    }

    private String announcedName() {
        return RelayLink.announcedName(settings.name(), settings.announcement());
    }

    // ---------------------------------------------------------------------------------------------------------- the
    // rest

    @Override
    void watch() {
        try {
            long lookedAtNanos = environment.nanoTime();
            while (!closed) {
                watch.turn();
                if (shard != null && environment.nanoTime() - lookedAtNanos >= SLOTS_EVERY.toNanos()) {
                    shard.moved().ifPresent(moved -> slotsMoved = moved);
                    lookedAtNanos = environment.nanoTime();
                }
                environment.sleep(LagWatch.EVERY);
            }
        } catch (InterruptedException e) {
            // It is closed.
        } finally {
            watch.close();
            if (shard != null) {
                shard.close();
            }
        }
    }

    private final class WatchOwner implements LagWatch.Owner {
        @Override
        public long applied(Optional<InfoReport> target) {
            return ApplyLink.this.applied().offset();
        }

        @Override
        public void refused(String why) {
            throw new IllegalStateException("the target is not looked at");
        }

        @Override
        public void restarted(boolean isTarget, String which) {
            LOG.warn("link {}: {}", settings.name(), which);
        }
    }

    @Override
    void wake() {
        synchronized (lock) {
            lock.notifyAll();
        }
    }

    @Override
    void closeSource() {
        synchronized (lock) {
            if (openSource != null) {
                try {
                    openSource.close();
                } catch (IOException e) {
                    LOG.debug("closing the source's connection failed; its descriptor is released all the same", e);
                }
            }
        }
    }
}
