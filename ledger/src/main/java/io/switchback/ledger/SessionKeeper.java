package io.switchback.ledger;

import static io.switchback.ledger.ZooKeeperSession.ANY_VERSION;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.ledger.ZooKeeperSession.Answer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.common.ZKConfig;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps a ledger in a session with its ensemble: makes the ledger where there is none, begins a next session when one has ended, and
 * shows by a write every quarter of the session timeout that the session lasts ({@link Tenure}).
 *
 * <p>Curator keeps the connection: it finds servers, and makes a new handle when a session has ended. It does nothing else here, and
 * retries nothing. That a session has ended is not always the ensemble's word: Curator gives up by itself
 * after a while without a server, and the ensemble may still hold a request of the old session then. So a session counts only once {@link #begin}
 * has gone through a quorum in it, which ends whatever was before ({@link ZooKeeperSession}). As that is a write, its server has seen by
 * then all that the ledger has ever seen: nobody reads backwards after a change of the session. (Within one session, servers refuse clients
 * that have seen more than they have.)
 *
 * <h2>Threads</h2>
 * One thread of its own does all that ({@link #keep}); Curator's threads only tell it; any thread asks for the {@link #session}. {@code lock} guards the
 * fields and is never held over a request.
 */
final class SessionKeeper implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SessionKeeper.class);

    static final int FORMAT = 1;
    /** Of what a client takes in one answer: a chunk of the largest values, and what stands around them. */
    static final int ANSWER_BYTES_MAX = (ZooKeeperReads.CHUNK_OPERATIONS + 1) * Ledger.VALUE_BYTES_MAX;

    private static final Duration RETRY_PAUSE = Duration.ofMillis(50);
    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(5);
    private static final int ID_BYTES = 16;
    private static final byte[] NOTHING = new byte[0];

    private final ZooKeeperLayout layout;
    private final Environment environment;
    private final Watches watches;
    private final Consumer<ZooKeeperSession> tend;
    private final CuratorFramework curator;
    private final long openedAt;
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private boolean connected;
    /** How often the connection was lost. */
    private long suspensions;
    /** The last one that has begun; it lasts while no other handle has taken its place. */
    private @Nullable ZooKeeperSession session;
    /** No ledger of ours is there: every call says so. */
    private @Nullable LedgerException refusal;

    private @Nullable String id;
    private boolean called;
    private volatile boolean closed;

    /** @param tend is called by the keeper's thread in every session and after every confirmed write of it */
    SessionKeeper(
            ZooKeeperLayout layout,
            Environment environment,
            Duration sessionTimeout,
            Watches watches,
            Consumer<ZooKeeperSession> tend) {
        this.layout = layout;
        this.environment = environment;
        this.watches = watches;
        this.tend = tend;
        ZKClientConfig client = new ZKClientConfig();
        client.setProperty(ZKConfig.JUTE_MAXBUFFER, Integer.toString(ANSWER_BYTES_MAX));
        int timeoutMs = Math.toIntExact(sessionTimeout.toMillis());
        ThreadFactory daemons =
                Thread.ofPlatform().daemon().name("ledger connection ", 1).factory();
        this.curator = CuratorFrameworkFactory.builder()
                .connectString(layout.hosts())
                .sessionTimeoutMs(timeoutMs)
                .connectionTimeoutMs(timeoutMs)
                .retryPolicy(new RetryOneTime(1))
                .ensembleTracker(false)
                .zkClientConfig(client)
                .threadFactory(daemons)
                .build();
        this.openedAt = environment.nanoTime();
        this.thread = Thread.ofPlatform().daemon().name("ledger keeper").unstarted(this::keep);
    }

    void start() {
        curator.getConnectionStateListenable().addListener((client, state) -> connectionIs(state));
        curator.start();
        thread.start();
    }

    /** The ledger's id; known once there has been a session. */
    String id(Deadline deadline) {
        var _ = session(deadline, "the ledger's id");
        return Objects.requireNonNull(id, "a session has begun");
    }

    /**
     * The present session, over a connection that seems to be there.
     *
     * @param what for whom, in words
     * @throws LedgerException CLOSED, DAMAGED, NEWER_VERSION; UNREACHABLE once the deadline has passed
     */
    ZooKeeperSession session(Deadline deadline, String what) {
        boolean interrupted = false;
        lock.lock();
        try {
            while (true) {
                checkOpen();
                if (deadline.passed()) {
                    throw unreachable(what);
                }
                if (connected && session != null) {
                    return session;
                }
                try {
                    var _ = changed.awaitNanos(deadline.remaining().toNanos());
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            lock.unlock();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** After an answer that was lost: lets the news of it arrive, for a moment, before it is tried again. */
    void pause(Deadline deadline) {
        Deadline end = deadline.orIn(RETRY_PAUSE);
        // Nobody completes it: this is a wait that an interrupt does not shorten.
        var _ = ZooKeeperSession.await(new CompletableFuture<>(), Boolean.FALSE, end);
    }

    LedgerException unreachable(String what) {
        return new LedgerException(
                LedgerException.Code.UNREACHABLE,
                "No quorum of the ledger's ensemble " + layout.hosts() + " has answered in time: " + what
                        + ". Are its servers running, and can they be reached from here?");
    }

    /** Something is to be tended now, not only with the next write. */
    void call() {
        lock.lock();
        try {
            called = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    void checkOpen() {
        lock.lock();
        try {
            if (closed) {
                throw new LedgerException(LedgerException.Code.CLOSED, "The ledger in " + this + " is closed");
            }
            if (refusal != null) {
                throw new LedgerException(refusal.code(), String.valueOf(refusal.getMessage()), refusal);
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            if (session != null) {
                session.tenure().suspended(environment.nanoTime());
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        // First the thread that asks, or it would be told of a handle that is gone; it ends with its request at the
        // latest.
        var _ = ZooKeeperSession.await(ended, Boolean.FALSE, Deadline.in(environment, CLOSE_LIMIT));
        // Ends the session, and with it all that is ephemeral.
        boolean interrupted = Thread.interrupted();
        curator.close();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private final CompletableFuture<Boolean> ended = new CompletableFuture<>();

    private void connectionIs(ConnectionState state) {
        lock.lock();
        try {
            connected = state == ConnectionState.CONNECTED || state == ConnectionState.RECONNECTED;
            if (!connected) {
                suspensions++;
            }
            if (session != null && connected) {
                session.tenure().reconnected();
            } else if (session != null) {
                session.tenure().suspended(environment.nanoTime());
            }
            called = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        LOG.debug("The connection to the ledger in {} is {}", this, state);
        watches.anythingChanged();
    }

    // The keeper's thread.

    private void keep() {
        try {
            while (!closed) {
                Duration pause = RETRY_PAUSE;
                try {
                    pause = round();
                } catch (LedgerException e) {
                    refuse(e);
                } catch (Exception e) {
                    LOG.error("The session with the ledger in {} could not be tended; it is tried again", this, e);
                }
                awaitCall(pause);
            }
        } finally {
            ended.complete(Boolean.TRUE);
        }
    }

    private void awaitCall(Duration pause) {
        Deadline end = Deadline.in(environment, pause);
        lock.lock();
        try {
            while (!called && !closed && !end.passed()) {
                var _ = changed.awaitNanos(end.remaining().toNanos());
            }
            called = false;
        } catch (InterruptedException e) {
            // Nobody interrupts this thread; if somebody does, the next round only comes early.
            LOG.debug("Interrupted", e);
        } finally {
            lock.unlock();
        }
    }

    /** Begins a session where it must, shows that it lasts. How long to wait for the next round. */
    private Duration round() throws Exception {
        if (!isConnected()) {
            return RETRY_PAUSE.multipliedBy(10);
        }
        ZooKeeper handle = curator.getZookeeperClient().getZooKeeper();
        if (handle.getState() != ZooKeeper.States.CONNECTED) {
            return RETRY_PAUSE;
        }
        ZooKeeperSession present = presentSession();
        if (present == null || !present.handle().equals(handle)) {
            present = begin(handle, present);
            if (present == null) {
                return RETRY_PAUSE;
            }
        }
        return showThatItLasts(present) ? beat(handle) : RETRY_PAUSE;
    }

    private static Duration beat(ZooKeeper handle) {
        return Duration.ofMillis(handle.getSessionTimeout()).dividedBy(Tenure.REPORT_DIVISOR);
    }

    /** Makes the ledger or finds it, ends the former session, and sets the watches; null where no answer came. */
    private @Nullable ZooKeeperSession begin(ZooKeeper handle, @Nullable ZooKeeperSession former) {
        Deadline deadline = Deadline.in(environment, Duration.ofMillis(handle.getSessionTimeout()));
        String fence = layout.session(handle.getSessionId());
        if (!findLedger(handle, deadline)
                || !beginFence(handle, fence, former, deadline)
                || !addWatch(handle, layout.entries(), deadline)
                || !addWatch(handle, layout.presence(), deadline)) {
            return null;
        }
        Duration timeout = Duration.ofMillis(handle.getSessionTimeout());
        ZooKeeperSession begun =
                new ZooKeeperSession(handle, fence, new Tenure(timeout, openedAt, environment.nanoTime()));
        lock.lock();
        try {
            session = begun;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        LOG.info(
                "The ledger in {} is open in session {} with a timeout of {}",
                this,
                Long.toHexString(begun.id()),
                timeout);
        watches.anythingChanged();
        return begun;
    }

    /** Whether the ledger is there; the first time, it is made if it is not. */
    private boolean findLedger(ZooKeeper handle, Deadline deadline) {
        boolean first = id == null;
        if (first && !makeRoot(handle, deadline)) {
            return false;
        }
        // A write in any case, so that what is read next is the present state.
        Answer written = ZooKeeperSession.ask(
                handle, first ? newLedger() : List.of(Op.check(layout.format(), ANY_VERSION)), deadline);
        if (written.lost()) {
            return false;
        }
        Answer read = ZooKeeperSession.ask(handle, List.of(Op.getData(layout.format())), deadline);
        if (read.lost()) {
            return false;
        }
        if (!read.ok()) {
            throw gone("its node " + layout.format() + " is not there (" + read.code() + ")");
        }
        String found = idOf((OpResult.GetDataResult) read.results().getFirst());
        if (id != null && !id.equals(found)) {
            throw gone("another ledger is in its place, " + found + " instead of " + id);
        }
        id = found;
        return true;
    }

    private boolean makeRoot(ZooKeeper handle, Deadline deadline) {
        for (String folder : layout.rootFolders()) {
            Answer made = ZooKeeperSession.ask(handle, List.of(persistent(folder, NOTHING)), deadline);
            if (made.lost()) {
                return false;
            }
            if (!made.ok() && made.code() != Code.NODEEXISTS) {
                throw new LedgerException(
                        LedgerException.Code.STORAGE,
                        "The ledger's folder " + folder + " could not be made in " + layout.hosts() + ": " + made.code()
                                + ". Nothing was changed.");
            }
        }
        return true;
    }

    /** All of a new ledger, in one transaction: it is refused as a whole where there is one. */
    private List<Op> newLedger() {
        String drawn = HexFormat.of().formatHex(environment.randomBytes(ID_BYTES));
        byte[] format = Json.bytes(Json.object().put("format", FORMAT).put("id", drawn));
        List<Op> all = new ArrayList<>();
        all.add(persistent(layout.format(), format));
        for (String folder :
                List.of(layout.changes(), layout.entries(), layout.presence(), layout.names(), layout.sessions())) {
            all.add(persistent(folder, NOTHING));
        }
        return all;
    }

    private static Op persistent(String path, byte[] value) {
        return Op.create(path, value, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    private String idOf(OpResult.GetDataResult result) {
        JsonNode format;
        long number;
        String found;
        try {
            format = Json.parse(result.getData());
            number = Json.integer(format, "format");
            found = Json.text(format, "id");
        } catch (IllegalArgumentException e) {
            throw new LedgerException(
                    LedgerException.Code.DAMAGED,
                    "The node " + layout.format() + " in " + layout.hosts() + " is not that of a ledger: "
                            + new String(result.getData(), StandardCharsets.UTF_8) + ". Nothing was changed.",
                    e);
        }
        if (number > FORMAT) {
            throw new LedgerException(
                    LedgerException.Code.NEWER_VERSION,
                    "The ledger in " + this + " is of format " + number
                            + ", and this version of Switchback knows only " + FORMAT
                            + ": run the version that wrote it, or a newer one. Nothing was changed.");
        }
        return found;
    }

    private LedgerException gone(String what) {
        return new LedgerException(
                LedgerException.Code.DAMAGED,
                "The ledger in " + this + " is gone: " + what
                        + ". Nothing is guessed. Put back the ensemble's data if there is a copy, and start the node again.");
    }

    /** This session's fence is there, and no request of the former session can take effect any more. */
    private boolean beginFence(ZooKeeper handle, String fence, @Nullable ZooKeeperSession former, Deadline deadline) {
        Op create = Op.create(fence, NOTHING, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        if (former != null) {
            Answer both =
                    ZooKeeperSession.ask(handle, List.of(create, Op.delete(former.fence(), ANY_VERSION)), deadline);
            if (both.ok() || both.lost()) {
                return both.ok();
            }
        }
        // There is no former fence: it has gone with its session, or this is asked for the second time.
        Answer alone = ZooKeeperSession.ask(handle, List.of(create), deadline);
        if (alone.code() == Code.NONODE) {
            throw gone("its node " + layout.sessions() + " is not there");
        }
        return alone.ok() || alone.code() == Code.NODEEXISTS;
    }

    private boolean addWatch(ZooKeeper handle, String path, Deadline deadline) {
        CompletableFuture<Code> answer = new CompletableFuture<>();
        handle.addWatch(
                path,
                this::changedAt,
                AddWatchMode.PERSISTENT_RECURSIVE,
                (code, given, context) -> answer.complete(Code.get(code)),
                null);
        return ZooKeeperSession.await(answer, Code.OPERATIONTIMEOUT, deadline) == Code.OK;
    }

    private void changedAt(WatchedEvent event) {
        if (event.getPath() == null) {
            return; // of the connection; Curator tells of that
        }
        layout.watchedPathOf(event.getPath()).ifPresent(path -> {
            watches.changed(path);
            if (path.equals(Ledger.PRESENCE)) {
                call();
            }
        });
    }

    /** Whether a quorum has confirmed the session; it is given up where its fence is gone. */
    private boolean showThatItLasts(ZooKeeperSession present) throws InterruptedException {
        long before = suspensions();
        long sent = environment.nanoTime();
        Answer answer = present.ask(
                List.of(present.stillMine()),
                Deadline.in(environment, beat(present.handle()).multipliedBy(2)));
        if (answer.lost()) {
            return false;
        }
        lock.lock();
        try {
            if (!answer.ok()) {
                // Somebody took it away, and perhaps the whole ledger with it: begin again in this session, which
                // looks.
                session = null;
                present.tenure().suspended(environment.nanoTime());
                return false;
            }
            if (connected && suspensions == before) {
                present.tenure().confirmed(sent, environment.nanoTime());
            }
        } finally {
            lock.unlock();
        }
        tend.accept(present);
        return true;
    }

    private boolean isConnected() {
        lock.lock();
        try {
            return connected && refusal == null;
        } finally {
            lock.unlock();
        }
    }

    private long suspensions() {
        lock.lock();
        try {
            return suspensions;
        } finally {
            lock.unlock();
        }
    }

    private @Nullable ZooKeeperSession presentSession() {
        lock.lock();
        try {
            return session;
        } finally {
            lock.unlock();
        }
    }

    private void refuse(LedgerException e) {
        LOG.error("The ledger in {} cannot be used", this, e);
        lock.lock();
        try {
            refusal = e;
            session = null;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public String toString() {
        return layout.hosts() + layout.root();
    }
}
