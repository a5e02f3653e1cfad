package io.switchback.sync;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetException;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.InfoReport;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.ReservedKeys;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.Reply;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.source.CopyPace;
import io.switchback.sync.source.LagWatch;
import io.switchback.sync.source.SourceConnection;
import io.switchback.sync.source.SourceCopy;
import io.switchback.sync.source.StreamPosition;
import io.switchback.sync.source.WireInput;
import io.switchback.tls.TlsException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries one fleet's writes to the other: a replica to the source, a primary to the target (docs/relay.md).
 *
 * <p>Concurrency: a thread accepts on the face, each connection has one that serves its handshake and then pumps down, a
 * session has one more for acknowledgements, one watches both servers, and one confirms where that is to be done promptly. What they share is guarded by {@code lock}, or is
 * a volatile with one writer: the thread that pumps down. Public methods may be called by any thread.
 *
 * <p>Invariants:
 *
 * <ul>
 *   <li>Both sides or none: there is a connection to the source exactly while the target is attached. No backlog is kept.
 *   <li>A link with a base never answers FULLRESYNC: a former primary would throw its data away.
 *   <li>It answers CONTINUE only to its target's id and a place that this link has handed out, only after the source has said
 *       CONTINUE to the same place, and with the very id that the target asked with.
 *   <li>"Not yet" is NOMASTERLINK, at once.
 * </ul>
 */
public final class RelayLink implements Link {
    private static final Logger LOG = LoggerFactory.getLogger(RelayLink.class);

    /** What the target waits at most while the source is asked; Redis 6.0 reads the answer while it serves nobody. */
    private static final Duration SOURCE_ANSWER_MAX = Duration.ofMillis(300);

    /** As the servers' repl-timeout: a live source sends a PING every ten seconds, a live target an ACK every second. */
    private static final Duration SILENCE_MAX = Duration.ofSeconds(60);

    /** In a handshake a server answers at once, and closes the connection once it was refused. */
    private static final Duration HANDSHAKE_SILENCE_MAX = Duration.ofSeconds(5);

    private static final Duration ADMINISTRATION_MAX = Duration.ofSeconds(2);
    private static final Duration CLOSE_MAX = Duration.ofSeconds(3);
    private static final Duration CLOSE_POLL = Duration.ofNanos(200_000);
    private static final Duration DRAIN_POLL = Duration.ofNanos(100_000);
    private static final Duration CONFIRM_POLL = Duration.ofNanos(50_000);
    /** Who waits for the stream to go on looks at this interval whether the link is still wanted. */
    private static final Duration CONFIRM_IDLE = Duration.ofMillis(20);
    /** After a target did not say how far it is. */
    private static final Duration CONFIRM_RETRY = Duration.ofMillis(100);

    private static final Duration MAP_POLL = Duration.ofMillis(1);
    private static final int FACE_CONNECTIONS_MAX = 16;
    private static final int CHUNK_BYTES = 64 * 1024;
    private static final String ANNOUNCED_PREFIX = "switchback-";
    private static final int ANNOUNCED_BYTES = 16;

    private final LinkSettings settings;
    private final Environment environment;
    private final LinkListener listener;
    private final ServerSocket face;
    private final LagWatch watch;
    private final Semaphore faceConnections = new Semaphore(FACE_CONNECTIONS_MAX);
    private final List<Thread> threads = new CopyOnWriteArrayList<>();

    private final Object lock = new Object();
    // Guarded by lock.
    private boolean admitted;
    private boolean closed;
    private boolean frozen;
    private @Nullable String brokenBecause;
    private boolean targetIsForeign;
    private @Nullable RelaySession session;
    private @Nullable LinkBase base;
    private String detail = "";
    private long lastSourceClientId = -1;
    private boolean confirmsPromptly;

    /** The thread that confirms; null as long as nobody has asked for it. */
    private volatile @Nullable Thread confirming;

    // Written by the thread that pumps down (and, before there is one, under lock); read by any.
    private volatile OffsetMap offsets = new OffsetMap.Constant(0);
    private volatile boolean numbered;
    private volatile long receivedSource;
    private volatile long sentTarget = -1;
    private volatile long copiedBytes;
    private volatile long copyBytesTotal = -1;
    private volatile long copyBytesAtMost = -1;
    private volatile @Nullable CopyPace copyPace;

    // What the target has applied, in its own offsets; only grows while the link lives, except when the target has
    // restarted.
    private volatile long appliedTarget = -1;

    private final Object administrationLock = new Object();
    private @Nullable ServerConnection targetAdministration; // guarded by administrationLock
    private @Nullable ServerConnection sourceAdministration; // guarded by administrationLock

    private RelayLink(LinkSettings settings, Environment environment, LinkListener listener, ServerSocket face) {
        this.settings = settings;
        this.environment = environment;
        this.listener = listener;
        this.face = face;
        this.watch = new LagWatch(settings.source(), Optional.of(settings.target()), environment, new WatchOwner());
        if (settings.start() instanceof LinkStart.From(LinkBase from)) {
            number(from);
        }
    }

    /**
     * Binds the face and begins to answer there: "not yet" to everybody until {@link #admit()}.
     *
     * @throws UncheckedIOException if the address cannot be bound
     */
    public static RelayLink open(LinkSettings settings, Environment environment, LinkListener listener) {
        ServerSocket face;
        try {
            face = new ServerSocket();
            face.setReuseAddress(true);
            face.bind(new InetSocketAddress(settings.bindAddress(), settings.port()), FACE_CONNECTIONS_MAX);
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "link " + settings.name() + " cannot listen on "
                            + settings.bindAddress().getHostAddress() + ":" + settings.port() + ": " + e.getMessage()
                            + "; is the port taken?",
                    e);
        }
        RelayLink link = new RelayLink(settings, environment, listener, face);
        link.threads.add(link.thread("face").start(link::accept));
        link.threads.add(link.thread("watch").start(link::watch));
        return link;
    }

    /** As its settings say. */
    @Override
    public String name() {
        return settings.name();
    }

    /**
     * What ROLE and INFO of the source call a link where they would show a replica's address: the same for every session of the link,
     * and nobody else's. Short enough for 6.0, which takes 45 characters.
     */
    public static String announcedName(String link, String secret) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest((link + "\n" + secret).getBytes(UTF_8));
            return ANNOUNCED_PREFIX + HexFormat.of().formatHex(digest, 0, ANNOUNCED_BYTES);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    private String announcedName() {
        return announcedName(settings.name(), settings.secret());
    }

    /**
     * Whether what the target has applied is told to the source as soon as it can be known, instead of once a second: the target is asked
     * again and again as long as it has not everything that the source has sent. Costs that many questions.
     */
    @Override
    public void confirmPromptly(boolean promptly) {
        synchronized (lock) {
            confirmsPromptly = promptly;
            if (promptly && confirming == null && !closed) {
                Thread started = thread("confirm").unstarted(this::confirm);
                confirming = started;
                threads.add(started);
                started.start();
            }
        }
        wakeConfirming();
    }

    private void wakeConfirming() {
        Thread waiting = confirming;
        if (waiting != null) {
            LockSupport.unpark(waiting);
        }
    }

    /** Over a connection of its own, since a drain may be asking over the other one. */
    private void confirm() {
        @Nullable ServerConnection target = null;
        @Nullable RelaySession told = null;
        long acknowledged = -1;
        while (!face.isClosed()) {
            RelaySession streaming = confirmable();
            if (streaming == null) {
                LockSupport.parkNanos(CONFIRM_IDLE.toNanos());
                continue;
            }
            if (streaming != told) {
                told = streaming;
                acknowledged = -1;
            }
            long known = offsets.toSource(appliedTarget);
            if (known > acknowledged) {
                acknowledged = known;
                tell(streaming, known);
            } else if (known >= receivedSource) {
                LockSupport.parkNanos(CONFIRM_IDLE.toNanos());
            } else {
                target = ask(target, known);
            }
        }
        if (target != null) {
            target.close();
        }
    }

    /** The session whose source is to be told; null where there is none. */
    private @Nullable RelaySession confirmable() {
        synchronized (lock) {
            boolean streams = session != null && !session.isClosed() && session.phase() == Phase.STREAMING;
            return confirmsPromptly && numbered && streams ? session : null;
        }
    }

    private static void tell(RelaySession streaming, long sourceOffset) {
        try {
            streaming.source().acknowledge(sourceOffset);
        } catch (IOException e) {
            LOG.debug("the source's side of the link ended", e);
            LockSupport.parkNanos(CONFIRM_RETRY.toNanos());
        }
    }

    /** Asks the target once how far it is, and pauses where that is no further than it was. */
    private @Nullable ServerConnection ask(@Nullable ServerConnection target, long before) {
        ServerConnection connection = target;
        try {
            if (connection == null) {
                connection = ServerConnection.open(settings.target(), ADMINISTRATION_MAX);
            }
            applied(ReplicationState.read(connection));
            if (offsets.toSource(appliedTarget) <= before) {
                LockSupport.parkNanos(CONFIRM_POLL.toNanos());
            }
            return connection;
        } catch (FleetException e) {
            LOG.debug("link {}: the target does not say how far it is", settings.name(), e);
            if (connection != null) {
                connection.close();
            }
            LockSupport.parkNanos(CONFIRM_RETRY.toNanos());
            return null;
        }
    }

    /** Where the target must be told to find its primary. */
    public Endpoint face() {
        return new Endpoint(settings.bindAddress().getHostAddress(), face.getLocalPort());
    }

    /** From now on the target may attach. */
    public void admit() {
        if (settings.start() instanceof LinkStart.Later) {
            throw new IllegalStateException(
                    "link " + settings.name() + " was opened without a base: admit it with one");
        }
        synchronized (lock) {
            admitted = true;
        }
    }

    /** From now on the target may attach, from {@code from} on; for a link that was opened with {@link LinkStart.Later}. */
    public void admit(LinkBase from) {
        synchronized (lock) {
            if (!(settings.start() instanceof LinkStart.Later) || (base != null && !base.equals(from))) {
                throw new IllegalStateException("link " + settings.name() + " has a base already");
            }
            number(from);
            admitted = true;
        }
    }

    private void number(LinkBase from) {
        synchronized (lock) {
            if (base == null) {
                base = from;
                // Translated, only the base itself is known until the stream has been read again from a marker on.
                offsets = settings.translator().passesUntouched()
                        ? new OffsetMap.Constant(from.targetOffset() - from.sourceOffset())
                        : new SegmentMap(from.sourceOffset(), from.targetOffset());
                receivedSource = from.sourceOffset();
                appliedTarget = from.targetOffset();
                numbered = true;
            }
        }
    }

    /** Where the link stands. */
    @Override
    public LinkStatus status() {
        synchronized (lock) {
            long applied = numbered ? offsets.toSource(appliedTarget) : -1;
            return new LinkStatus(
                    phase(),
                    receivedSource,
                    applied,
                    targetIsForeign ? -1 : watch.lagBytes(),
                    watch.lagMillis(),
                    copiedBytes,
                    copyBytesTotal,
                    brokenBecause != null ? brokenBecause : detail,
                    LinkStatus.Speed.of(copyPace, copyBytesAtMost));
        }
    }

    private Phase phase() {
        if (closed) {
            return Phase.CLOSED;
        }
        if (brokenBecause != null) {
            return Phase.BROKEN;
        }
        if (!admitted) {
            return Phase.CLOSED_TO_TARGET;
        }
        if (session == null || session.isClosed()) {
            return Phase.WAITING_FOR_TARGET;
        }
        return session.phase();
    }

    /** What the target will call {@code sourceOffset} once it has applied everything up to it; -1 where that is not known yet. */
    public long targetOffsetOf(long sourceOffset) {
        return numbered ? offsets.toTarget(sourceOffset) : OffsetMap.NOT_YET;
    }

    /**
     * Waits until the target has applied the source's stream up to {@code sourceOffset}; true once it has. It asks the target
     * again and again, over a connection of its own, and so neither waits for the once-a-second acknowledgement nor adds
     * anything to the stream.
     */
    @Override
    public boolean awaitApplied(long sourceOffset, Deadline deadline) {
        while (true) {
            long applied = applied();
            long wanted = targetOffsetOf(sourceOffset);
            if (wanted != OffsetMap.NOT_YET && applied >= wanted) {
                return true;
            }
            synchronized (lock) {
                if (closed || brokenBecause != null) {
                    return false;
                }
            }
            if (deadline.passed()) {
                return false;
            }
            LockSupport.parkNanos(DRAIN_POLL.toNanos());
            if (Thread.currentThread().isInterrupted()) {
                return false;
            }
        }
    }

    /** Asks the target how far it is, in its own offsets; -1 where it does not say, or counts in another history. */
    private long applied() {
        synchronized (administrationLock) {
            try {
                return applied(ReplicationState.read(targetAdministration()));
            } catch (FleetException e) {
                dropAdministration();
                return -1;
            }
        }
    }

    /** The caller holds administrationLock. */
    private ServerConnection targetAdministration() {
        ServerConnection connection = targetAdministration;
        if (connection == null) {
            connection = ServerConnection.open(settings.target(), ADMINISTRATION_MAX);
            targetAdministration = connection;
        }
        return connection;
    }

    /** The caller holds administrationLock. */
    private ServerConnection sourceAdministration() {
        ServerConnection connection = sourceAdministration;
        if (connection == null) {
            connection = ServerConnection.open(settings.source(), ADMINISTRATION_MAX);
            sourceAdministration = connection;
        }
        return connection;
    }

    private void dropAdministration() {
        synchronized (administrationLock) {
            if (targetAdministration != null) {
                targetAdministration.close();
                targetAdministration = null;
            }
            if (sourceAdministration != null) {
                sourceAdministration.close();
                sourceAdministration = null;
            }
        }
    }

    /** Opens beforehand what a switch will need while clients wait. */
    private void openAdministration() {
        synchronized (administrationLock) {
            try {
                targetAdministration();
                sourceAdministration();
            } catch (FleetException e) {
                LOG.debug("link {}: a server does not answer yet", settings.name(), e);
            }
        }
    }

    private long applied(ReplicationState target) {
        synchronized (lock) {
            if (!numbered || base == null) {
                return -1;
            }
            boolean ours = target.id().equals(base.targetId())
                    // Promoted since: what it had applied of ours until then is still in it.
                    || (target.secondId().equals(base.targetId()) && target.role() == Role.PRIMARY);
            if (!ours) {
                return -1;
            }
            long offset = target.id().equals(base.targetId()) ? target.offset() : target.secondOffset() - 1;
            applied(offset);
            return offset;
        }
    }

    private void applied(long targetOffset) {
        synchronized (lock) {
            appliedTarget = Math.max(appliedTarget, targetOffset);
            if (offsets instanceof SegmentMap map) {
                map.trim(appliedTarget);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- the face

    private void accept() {
        while (true) {
            try {
                Socket socket = face.accept();
                if (faceConnections.tryAcquire()) {
                    thread("target").start(() -> {
                        try {
                            serve(socket);
                        } finally {
                            faceConnections.release();
                        }
                    });
                } else {
                    socket.close();
                }
            } catch (IOException e) {
                if (face.isClosed()) {
                    return;
                }
                LOG.warn("link {}: accepting a connection failed", settings.name(), e);
            }
        }
    }

    private void serve(Socket socket) {
        try (TargetConnection target =
                TargetConnection.accept(socket, settings.target().tls(), HANDSHAKE_SILENCE_MAX)) {
            try {
                TargetConnection.Request request = target.handshake(settings.secret());
                while (request != null) {
                    // After a refusal a server closes the connection; until it does, it may ask again.
                    attach(target, request);
                    request = target.handshake(settings.secret());
                }
            } finally {
                if (!target.authenticated()) {
                    say(target.from() + " came to the face without the link's password (masterauth)");
                }
            }
        } catch (TlsException e) {
            say(String.valueOf(e.getMessage()));
        } catch (IOException | NumberFormatException e) {
            LOG.debug("link {}: a connection to the face ended", settings.name(), e);
        }
    }

    /** Answers PSYNC, and where that opens a session, returns when it has ended. */
    private void attach(TargetConnection target, TargetConnection.Request request) throws IOException {
        @Nullable RelaySession opened = null;
        try {
            opened = open(target);
            LinkBase from = base();
            if (from == null) {
                copy(opened);
            } else {
                resume(opened, request, from);
            }
        } catch (NotYetException e) {
            say(String.valueOf(e.getMessage()));
            target.refuse();
        } catch (BrokenLinkException e) {
            if (opened == null || opened.phase() == Phase.WAITING_FOR_TARGET) {
                target.refuse();
            }
            breakLink(e.kind(), String.valueOf(e.getMessage()));
        } finally {
            if (opened != null) {
                forget(opened);
            }
        }
    }

    /** Connects to the source for this target, in place of any earlier session. */
    private RelaySession open(TargetConnection target) throws NotYetException {
        RelaySession earlier;
        synchronized (lock) {
            if (closed || frozen || brokenBecause != null || !admitted) {
                throw new NotYetException(admitted ? "" : "the target may not attach yet");
            }
            earlier = session;
        }
        if (earlier != null) {
            // The target has come again: of its old connection it knows no more.
            earlier.close();
            if (!earlier.awaitEnd(SOURCE_ANSWER_MAX)) {
                throw new NotYetException("the target came again while its last session was still ending");
            }
        }
        try {
            RelaySession opened = new RelaySession(SourceConnection.open(settings.source(), SOURCE_ANSWER_MAX), target);
            synchronized (lock) {
                if (closed || frozen || session != null) {
                    opened.source().close();
                    throw new NotYetException("the target came twice at the same time");
                }
                session = opened;
                lastSourceClientId = opened.source().clientId();
            }
            return opened;
        } catch (NotYetException e) {
            throw e;
        } catch (IOException e) {
            throw new NotYetException(String.valueOf(e.getMessage()));
        }
    }

    /** The session is over. A target that was refused closes its connection itself. */
    private void forget(RelaySession opened) {
        opened.close();
        synchronized (lock) {
            if (session == opened) {
                session = null;
            }
        }
        opened.ended();
    }

    // ------------------------------------------------------------------------------------------------ the partial
    // resync

    private void resume(RelaySession opened, TargetConnection.Request request, LinkBase from)
            throws IOException, BrokenLinkException {
        Optional<String> foreign = whyForeign(request, from);
        if (foreign.isPresent()) {
            synchronized (lock) {
                targetIsForeign = true;
            }
            throw new BrokenLinkException(LinkBreak.OUT_OF_STEP, foreign.get());
        }
        long applied = request.firstByte() - 1;
        Optional<Marker> marker = markerAt(applied, from);
        Optional<StreamRewriter> rewriter = rewriter(opened, marker, from, applied);
        long sourceOffset = rewriter.isPresent()
                ? rewriter.get().map().endSource()
                : applied - from.targetOffset() + from.sourceOffset();
        String sourceId = askToContinue(opened, from.sourceId(), sourceOffset);
        if (!sourceId.equals(from.sourceId())) {
            listener.sourceIdChanged(sourceId); // first where it lasts, as in begin
            synchronized (lock) {
                base = from.withSourceId(sourceId);
            }
        }
        receivedSource = sourceOffset;
        sentTarget = applied;
        appliedTarget = applied;
        rewriter.ifPresent(one -> offsets = one.map());
        opened.phase(Phase.STREAMING);
        say("");
        // With its own id the target changes nothing about itself, and the same answer is right again after the next
        // break.
        opened.target().silenceMax(SILENCE_MAX);
        if (!opened.answer("+CONTINUE " + request.id())) {
            opened.phase(Phase.WAITING_FOR_TARGET);
            throw new NotYetException("the link was closed meanwhile");
        }
        say("the link was interrupted: "
                + opened.run(
                                thread("acks"),
                                this::acknowledged,
                                () -> pass(opened, rewriter, opened.source().input()))
                        .getMessage());
    }

    /** Why this is not a place that the link has handed out to its target. */
    private Optional<String> whyForeign(TargetConnection.Request request, LinkBase from) {
        String asked = "the target " + settings.target().where() + " asks for ";
        if (request.id().equals("?")) {
            return Optional.of(asked + "a full copy: it has lost its place, by a restart or by an answer cut short");
        }
        if (!request.id().equals(from.targetId())) {
            return Optional.of(asked + "history " + request.id() + ", the link knows it as " + from.targetId()
                    + ": it was restarted, or has been a primary or another server's replica in between");
        }
        if (request.firstByte() <= from.targetOffset()) {
            return Optional.of(asked + "its stream from " + request.firstByte() + " on, the link begins behind "
                    + from.targetOffset() + ": it was restarted with an older snapshot");
        }
        long sent = offsets instanceof SegmentMap map ? Math.max(sentTarget, map.endTarget()) : sentTarget;
        if (sentTarget >= 0 && request.firstByte() > sent + 1) {
            return Optional.of(asked + "its stream from " + request.firstByte() + " on, but was sent only up to " + sent
                    + ": it has bytes that are not the link's");
        }
        return Optional.empty();
    }

    /** The id by which the source goes on from there. */
    private String askToContinue(RelaySession opened, String id, long offset) throws IOException, BrokenLinkException {
        String source = "the source " + settings.source().where();
        try {
            SourceConnection connection = opened.source();
            InfoReport info = connection.info();
            if (StreamPosition.isLoading(info)) {
                throw new NotYetException(source + " is loading its data");
            }
            Optional<String> gone = StreamPosition.whyGone(info, id, offset);
            if (gone.isPresent()) {
                throw new BrokenLinkException(
                        StreamPosition.isSetBack(info, id, offset) ? LinkBreak.SOURCE_SET_BACK : LinkBreak.OUT_OF_STEP,
                        source + " cannot go on from offset " + offset + ": " + gone.get());
            }
            Optional<String> ahead = StreamPosition.whyAhead(info, id, Math.max(offset, receivedSource));
            if (ahead.isPresent()) {
                throw new BrokenLinkException(
                        LinkBreak.SOURCE_SET_BACK, source + " cannot be followed: " + ahead.get());
            }
            connection.announce(announcedName());
            connection.psync(
                    id,
                    offset + 1,
                    opened.target().capabilities(),
                    opened.target().version());
            String answer = connection.input().readLine();
            if (answer.startsWith("+FULLRESYNC")) {
                throw new BrokenLinkException(
                        LinkBreak.OUT_OF_STEP, source + " offers only a full copy from offset " + offset);
            }
            if (!answer.startsWith("+CONTINUE")) {
                throw new NotYetException(source + " answered " + answer);
            }
            connection.silenceMax(SILENCE_MAX);
            String told = answer.substring("+CONTINUE".length()).strip();
            return told.isEmpty() ? id : told;
        } catch (NotYetException e) {
            throw e;
        } catch (IOException e) {
            throw new NotYetException(source + " broke off: " + e.getMessage());
        }
    }

    // ------------------------------------------------------------------------------------------------------- the full
    // copy

    private void copy(RelaySession opened) throws IOException, BrokenLinkException {
        SourceConnection source = opened.source();
        TargetConnection target = opened.target();
        ServerVersion version;
        SourceCopy begun;
        long dataBytes;
        try {
            InfoReport info = source.info();
            if (StreamPosition.isLoading(info)) {
                throw new NotYetException("the source is loading its data");
            }
            version = ServerVersion.of(info);
            dataBytes = SourceCopy.dataBytes(info);
            SourceCopy.Request request = new SourceCopy.Request(
                    announcedName(), target.capabilities(), target.version(), SOURCE_ANSWER_MAX, SILENCE_MAX);
            // The source gathers replicas for one snapshot (repl-diskless-sync-delay); the target must not give up.
            begun = SourceCopy.ask(
                    source, settings.source(), request, () -> target.send(new byte[] {'\n'}, 0, 1), thread("stream"));
        } catch (NotYetException e) {
            throw e;
        } catch (IOException e) {
            throw new NotYetException("the source broke off: " + e.getMessage());
        }
        String id = begun.sourceId();
        long offset = begun.offset();
        LinkBase copied = new LinkBase(id, offset, id, offset);
        Optional<StreamRewriter> rewriter = rewriter(opened, Optional.empty(), copied, offset);
        offsets = rewriter.<OffsetMap>map(StreamRewriter::map).orElse(new OffsetMap.Constant(0));
        receivedSource = offset;
        sentTarget = offset;
        copiedBytes = 0;
        copyBytesTotal = -1;
        // The target hears of the copy only when there is somewhere to put the backup.
        try (BackupWriter backup = BackupWriter.begin(settings.start(), version, id, offset, environment.now());
                CopyPace pace = CopyPace.begin(settings.copy(), settings.source(), environment, thread("latency"))) {
            copyPace = pace;
            copyBytesAtMost = dataBytes;
            opened.phase(Phase.COPYING);
            say("");
            target.silenceMax(SILENCE_MAX);
            if (!opened.answer("+FULLRESYNC " + id + " " + offset)) {
                opened.phase(Phase.WAITING_FOR_TARGET);
                throw new NotYetException("the link was closed meanwhile");
            }
            IOException end = opened.run(
                    thread("acks"),
                    applied -> {
                        begin(opened, copied);
                        return acknowledged(applied);
                    },
                    () -> {
                        passSnapshot(opened, begun, backup, pace);
                        pace.end();
                        copyPace = null;
                        if (begun.hasTwoChannels()) {
                            awaitLoaded(opened);
                            begun.loaded();
                        }
                        pass(opened, rewriter, begun.stream());
                    });
            say(
                    numbered
                            ? "the link was interrupted: " + end.getMessage()
                            : "the copy was interrupted and begins again: " + begun.whyEnded(end));
        } finally {
            copyPace = null;
        }
    }

    /** The stream is there already, but a target looks for the end of a snapshot at the end of what it reads: nothing may follow before it has found that. */
    private void awaitLoaded(RelaySession opened) throws IOException {
        while (!numbered) {
            if (opened.isClosed()) {
                throw new IOException("closed while the target was loading the snapshot");
            }
            LockSupport.parkNanos(MAP_POLL.toNanos());
        }
    }

    private void passSnapshot(RelaySession opened, SourceCopy begun, @Nullable BackupWriter backup, CopyPace pace)
            throws IOException, BrokenLinkException {
        WireInput source = begun.snapshot();
        String header = SnapshotPass.header(source, opened.target());
        copyBytesTotal = SnapshotPass.announcedBytes(header);
        new SnapshotPass(source, opened.target(), backup, pace, bytes -> copiedBytes = bytes)
                .run(header)
                .ifPresent(listener::copied);
    }

    /** The target's first acknowledgement says that it has loaded all of the snapshot: now the link has a base. */
    private void begin(RelaySession opened, LinkBase copied) {
        if (!numbered) {
            // First where it lasts: an owner that cannot remember the base ends this session, and the copy begins
            // again.
            listener.based(copied);
            synchronized (lock) {
                base = copied;
                appliedTarget = copied.targetOffset();
                numbered = true;
            }
            opened.phase(Phase.STREAMING);
        }
    }

    // ---------------------------------------------------------------------------------------------------------- the
    // stream

    /** Empty where bytes pass untouched. */
    private Optional<StreamRewriter> rewriter(
            RelaySession opened, Optional<Marker> marker, LinkBase from, long resumeAt) {
        if (settings.translator().passesUntouched()) {
            return Optional.empty();
        }
        return Optional.of(new StreamRewriter(
                settings.translator(),
                settings.name(),
                marker,
                from,
                resumeAt,
                watch::ranAtMs,
                opened.target()::sendLater));
    }

    /**
     * The marker that a target which stands at {@code applied} has; empty where it needs none. It is asked while it waits for
     * the answer to its PSYNC, which every version can do.
     */
    private Optional<Marker> markerAt(long applied, LinkBase from) throws NotYetException, BrokenLinkException {
        if (settings.translator().passesUntouched() || applied == from.targetOffset()) {
            return Optional.empty();
        }
        try (ServerConnection connection = ServerConnection.open(settings.target(), SOURCE_ANSWER_MAX)) {
            Reply reply = connection.demand("GET", ReservedKeys.marker(settings.name()));
            Optional<Marker> marker = Marker.of(reply.text(), from);
            if (marker.isPresent() && marker.get().target() > applied) {
                throw new BrokenLinkException("the target " + settings.target().where() + " stands at " + applied
                        + " and has a marker for " + marker.get().target()
                        + ": it does not have what this link has sent");
            }
            return marker;
        } catch (FleetException e) {
            throw new NotYetException("the marker at the target cannot be read: " + e.getMessage());
        }
    }

    private void pass(RelaySession opened, Optional<StreamRewriter> rewriter, WireInput stream)
            throws IOException, BrokenLinkException {
        if (rewriter.isPresent()) {
            translate(opened, rewriter.get(), stream);
        } else {
            passUntouched(opened, stream);
        }
    }

    /** Passes bytes one to one until the source's stream ends. */
    private void passUntouched(RelaySession opened, WireInput source) throws IOException {
        byte[] chunk = new byte[CHUNK_BYTES];
        long sent = sentTarget;
        long received = receivedSource;
        TargetConnection target = opened.target();
        for (int count = source.read(chunk, chunk.length); count >= 0; count = source.read(chunk, chunk.length)) {
            sent += count;
            received += count;
            // Before it is sent: what the target may already have must never seem unsent.
            sentTarget = sent;
            receivedSource = received;
            target.send(chunk, 0, count);
            wakeConfirming();
        }
    }

    /** Passes commands, each in the target's words, until the source's stream ends. */
    private void translate(RelaySession opened, StreamRewriter rewriter, WireInput source)
            throws IOException, BrokenLinkException {
        TargetConnection target = opened.target();
        SegmentMap map = rewriter.map();
        // Commands are sent together, but never kept while waiting for the next.
        source.beforeWaiting(() -> {
            long received = map.endSource();
            sentTarget = Math.max(sentTarget, map.endTarget());
            receivedSource = received;
            target.flush();
            wakeConfirming();
        });
        long before = source.consumed();
        byte @Nullable [][] command = source.readCommand();
        while (command != null) {
            long after = source.consumed();
            rewriter.next(command, Math.toIntExact(after - before), source::copyCommandTo);
            before = after;
            while (map.isFull()) {
                awaitRoom(opened, target);
            }
            command = source.readCommand();
        }
    }

    /** Nothing is read from the source while the target is too far behind for the map to hold what lies between. */
    private void awaitRoom(RelaySession opened, TargetConnection target) throws IOException {
        target.flush();
        if (opened.isClosed()) {
            throw new IOException("closed while the target was behind");
        }
        LockSupport.parkNanos(MAP_POLL.toNanos());
    }

    private long acknowledged(long applied) {
        applied(applied);
        return offsets.toSource(applied);
    }

    // ------------------------------------------------------------------------------------------------------------ the
    // rest

    private @Nullable LinkBase base() {
        synchronized (lock) {
            return base;
        }
    }

    private void say(String what) {
        synchronized (lock) {
            if (!what.equals(detail) && !what.isEmpty()) {
                LOG.info("link {}: {}", settings.name(), what);
            }
            detail = what;
        }
    }

    private void breakLink(LinkBreak kind, String why) {
        @Nullable RelaySession open;
        synchronized (lock) {
            if (closed || frozen || brokenBecause != null) {
                return;
            }
            brokenBecause = why;
            open = session;
        }
        LOG.warn("link {} is broken: {}", settings.name(), why);
        if (open != null) {
            open.close();
        }
        listener.broken(kind, why);
    }

    private void watch() {
        try {
            openAdministration();
            while (!face.isClosed()) {
                watch.turn();
                environment.sleep(LagWatch.EVERY);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            watch.close();
        }
    }

    private boolean mayAttach() {
        synchronized (lock) {
            return admitted && numbered && !closed;
        }
    }

    private final class WatchOwner implements LagWatch.Owner {
        /** A look may be older than the change of role that comes before a link; two in a row are not. */
        private static final int LOOKS_AS_PRIMARY = 2;

        // The watch's thread alone:
        private int looksAsPrimary;
        /** Since it was a replica last. */
        private boolean targetWasRestarted;

        @Override
        public long applied(Optional<InfoReport> target) {
            ReplicationState state = ReplicationState.of(target.orElseThrow());
            long applied = RelayLink.this.applied(state);
            looksAsPrimary = state.role() == Role.PRIMARY && mayAttach() ? looksAsPrimary + 1 : 0;
            targetWasRestarted &= state.role() == Role.PRIMARY;
            if (looksAsPrimary == LOOKS_AS_PRIMARY) {
                // It will not come to the face again, so that nothing else would ever tell.
                synchronized (lock) {
                    targetIsForeign = applied < 0;
                }
                breakLink(
                        targetWasRestarted ? LinkBreak.OUT_OF_STEP : LinkBreak.LED_AWAY,
                        "the target " + settings.target().where() + " is a primary, although it should follow: "
                                + (targetWasRestarted
                                        ? "it was restarted, and its role was not in its config file"
                                        : "somebody changed its role, or it was restarted and its role was not in its config file"));
            }
            return applied < 0 ? -1 : offsets.toSource(applied);
        }

        @Override
        public void refused(String why) {
            if (numbered) {
                breakLink(LinkBreak.FINAL, why);
            }
        }

        @Override
        public void restarted(boolean isTarget, String which) {
            LOG.warn("link {}: {}", settings.name(), which);
            targetWasRestarted |= isTarget;
            say(which);
        }
    }

    private Thread.Builder.OfPlatform thread(String what) {
        return Thread.ofPlatform().daemon().name("link-" + settings.name() + "-" + what);
    }

    // ----------------------------------------------------------------------------------------------------------------
    // close

    /**
     * From a true on nothing of this link reaches the target but what was sent before, and no session begins; nothing goes on
     * after it but {@link #close}, which may take its time then. False where a write to the target has not ended within the
     * deadline.
     */
    @Override
    public boolean freeze(Deadline deadline) {
        @Nullable RelaySession open;
        synchronized (lock) {
            frozen = true;
            open = session;
        }
        return open == null || open.target().freeze(deadline);
    }

    /** Whether nothing passes any more. */
    @Override
    public boolean isFrozen() {
        synchronized (lock) {
            return frozen;
        }
    }

    /**
     * Closes both sides, and returns when both servers have confirmed that these connections are gone: what was still under
     * way has either been applied by then or never will be. A server that does not answer is not waited for longer than
     * three seconds.
     */
    @Override
    public void close() {
        RelaySession open = stop();
        if (open != null) {
            open.awaitEnd(CLOSE_MAX);
        }
        Deadline deadline = Deadline.in(environment, CLOSE_MAX);
        synchronized (administrationLock) {
            try {
                confirmGone(deadline);
            } catch (FleetException stale) {
                dropAdministration();
                try {
                    confirmGone(deadline);
                } catch (FleetException e) {
                    LOG.warn("link {}: closed, but not confirmed: {}", settings.name(), e.getMessage());
                }
            }
            dropAdministration();
        }
    }

    /** Closes everything at once, as the end of the process would: nothing is confirmed. */
    @Nullable
    RelaySession stop() {
        @Nullable RelaySession open;
        synchronized (lock) {
            closed = true;
            open = session;
        }
        closeOne(face);
        if (open != null) {
            open.close();
        }
        threads.forEach(Thread::interrupt);
        return open;
    }

    /**
     * The reply to CLIENT KILL is a barrier, whether or not the connection was still there. The target may still apply what
     * it had received, until it has read the end of its connection. The caller holds administrationLock.
     */
    private void confirmGone(Deadline deadline) {
        long client;
        synchronized (lock) {
            client = lastSourceClientId;
        }
        if (client >= 0) {
            sourceAdministration().call("CLIENT", "KILL", "ID", Long.toString(client));
        }
        while (sentTarget >= 0 && follows(ReplicationState.read(targetAdministration()))) {
            if (deadline.passed()) {
                LOG.warn("link {}: closed, but the target still reports it as up", settings.name());
                return;
            }
            LockSupport.parkNanos(CLOSE_POLL.toNanos());
        }
    }

    private boolean follows(ReplicationState target) {
        return target.linkUp() && target.primary().map(Endpoint::port).orElse(-1) == face.getLocalPort();
    }

    private static void closeOne(AutoCloseable one) {
        try {
            one.close();
        } catch (Exception e) {
            LOG.debug("closing {} failed; its descriptor is released all the same", one, e);
        }
    }

    // ----------------------------------------------------------------------------------------------------------------
    // probe

    /**
     * Whether {@code source} would go on with its stream from behind {@code offset} of history {@code id}. It is tried, as a
     * replica that attaches and leaves at once, but only where INFO says that it will succeed: nothing is changed there.
     */
    public static ProbeResult probe(FleetSpec source, String id, long offset, Duration timeout) {
        try (SourceConnection connection = SourceConnection.open(source, timeout)) {
            InfoReport info = connection.info();
            if (StreamPosition.isLoading(info)) {
                return new ProbeResult.Unknown(source.where() + " is loading its data");
            }
            Optional<String> gone = StreamPosition.whyGone(info, id, offset);
            if (gone.isPresent()) {
                return new ProbeResult.NeedsCopy(gone.get());
            }
            connection.psync(id, offset + 1, List.of("eof", "psync2"), Optional.empty());
            String answer = connection.input().readLine();
            if (answer.startsWith("+CONTINUE")) {
                String told = answer.substring("+CONTINUE".length()).strip();
                return new ProbeResult.Continues(told.isEmpty() ? id : told);
            }
            return answer.startsWith("+FULLRESYNC")
                    ? new ProbeResult.NeedsCopy(source.where() + " answered " + answer)
                    : new ProbeResult.Unknown(source.where() + " answered " + answer);
        } catch (IOException e) {
            return new ProbeResult.Unknown(String.valueOf(e.getMessage()));
        }
    }
}
