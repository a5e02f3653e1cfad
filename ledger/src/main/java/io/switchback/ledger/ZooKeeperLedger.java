package io.switchback.ledger;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.ledger.LogFormat.Change;
import io.switchback.ledger.ZooKeeperSession.Answer;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.jspecify.annotations.Nullable;

/**
 * A ledger in an ensemble of ZooKeeper, for several processes at once. Where things lie: {@link ZooKeeperLayout}; how the connection
 * is kept: {@link SessionKeeper}; reading many at one instant: {@link ZooKeeperReads}; who is there: {@link ZooKeeperPresence}.
 *
 * <h2>Threads</h2>
 * Any thread may call. Transactions of one object go one after the other ({@code writing}); reads wait for nobody. Nothing waits longer than the
 * operation limit. Interrupts neither break nor shorten anything: the thread stays interrupted, and is answered.
 *
 * <h2>What if it ends here?</h2>
 * A transaction is one request, which the ensemble makes whole or not at all, durably on a quorum before it is answered. A process that
 * dies before sending has done nothing (folders may have been made; they are not entries, and empty ones go away by themselves). One
 * that dies after it does not know, as with any answer that is lost. What a server or the connection takes with it:
 *
 * <p>Each transaction moves the fence of its session from the version that this object knows to the next, and leaves its number there.
 * When the answer is lost, nobody sends the transaction again. First the fence is moved from that same version
 * by a request of its own. If that succeeds, the transaction has not taken effect, and never will: it needs a version that is gone, wherever it still
 * waits. So it can be tried anew. If it is refused, the number in the fence tells whether it was the transaction that came first. So the
 * death of a server is no more than a delay. If no quorum answers within the limit, the caller is told UNREACHABLE, and the
 * same question is settled before anything else is answered, reads included. If the session ends meanwhile, its fence goes with it, by the
 * ensemble or by the next session's beginning: a transaction that has not taken effect by then never will, and whether it has is to be read.
 * That is why UNREACHABLE never means "later".
 *
 * <p>A conflict is told only after the ensemble itself has refused the transaction, never from what was read alone, which may lag.
 *
 * <p>Access is not restricted: whoever reaches the ensemble can change the ledger. It belongs into a network of its own.
 *
 * <p>Invariant: at most one transaction of this object is unanswered at the ensemble, and none when {@code writing} is free and the session settled.
 */
public final class ZooKeeperLedger implements Ledger {
    /** What is asked of the ensemble, which may grant more or less. */
    public static final Duration SESSION_TIMEOUT = Duration.ofSeconds(6);
    /** How long an operation may take altogether: longer than an ensemble needs to choose a new leader. */
    public static final Duration OPERATION_LIMIT = Duration.ofSeconds(10);

    /** Each lost attempt means that somebody else has changed something meanwhile, or that a connection was lost. */
    private static final int ATTEMPTS_MAX = 1_000;
    /** Folders that are remembered as being there; past it all are forgotten, and looked for again. */
    private static final int KNOWN_FOLDERS_MAX = 10_000;

    private static final byte[] NOTHING = new byte[0];

    private final ZooKeeperLayout layout;
    private final Environment environment;
    private final Duration operationLimit;
    private final Watches watches = new Watches();
    private final SessionKeeper keeper;
    private final ZooKeeperReads reads;
    private final ZooKeeperPresence presence;
    private final Set<String> knownFolders = ConcurrentHashMap.newKeySet();
    private final ReentrantLock writing = new ReentrantLock(true);

    private ZooKeeperLedger(
            ZooKeeperLayout layout, Environment environment, Duration sessionTimeout, Duration operationLimit) {
        this.layout = layout;
        this.environment = environment;
        this.operationLimit = operationLimit;
        this.reads = new ZooKeeperReads(layout);
        this.presence = new ZooKeeperPresence(layout, environment, reads);
        this.keeper = new SessionKeeper(layout, environment, sessionTimeout, watches, presence::tend);
    }

    /**
     * Opens the ledger in an ensemble; makes it where there is none.
     *
     * @param connect {@code host:port,host:port/folder}
     * @throws LedgerException UNREACHABLE, DAMAGED, NEWER_VERSION
     */
    public static ZooKeeperLedger open(String connect, Environment environment) {
        return open(connect, environment, SESSION_TIMEOUT, OPERATION_LIMIT);
    }

    /** As {@link #open(String, Environment)}, with limits of the caller's own. */
    public static ZooKeeperLedger open(
            String connect, Environment environment, Duration sessionTimeout, Duration operationLimit) {
        ZooKeeperLedger ledger =
                new ZooKeeperLedger(ZooKeeperLayout.of(connect), environment, sessionTimeout, operationLimit);
        try {
            ledger.keeper.start();
            var _ = ledger.keeper.session(ledger.deadline(), "the ledger could not be opened");
            return ledger;
        } catch (RuntimeException | Error e) {
            ledger.close();
            throw e;
        }
    }

    @Override
    public String id() {
        return keeper.id(deadline());
    }

    @Override
    public Optional<Entry> read(String path) {
        String node = layout.entry(Limits.checkedPath(path));
        Deadline deadline = deadline();
        return reading(
                        "nothing was read of " + path,
                        deadline,
                        session -> reads.values(session, List.of(node), deadline))
                .stream()
                .flatMap(data -> Optional.ofNullable(data).stream())
                .findFirst()
                .map(data -> ZooKeeperReads.entry(path, data));
    }

    @Override
    public List<Entry> list(String prefix) {
        Limits.checkedPath(prefix);
        Deadline deadline = deadline();
        return reading("nothing was read below " + prefix, deadline, session -> reads.list(session, prefix, deadline));
    }

    /** {@inheritDoc} A write through the quorum: what a server that was cut off with a former leader would say is not asked. */
    @Override
    public void catchUp() {
        Deadline deadline = deadline();
        var _ = reading("it is not known what others have done", deadline, session -> {
            Answer answer = session.ask(List.of(session.stillMine()), deadline);
            return answer.ok() ? Optional.of(answer) : Optional.empty();
        });
    }

    @Override
    public Watch watch(String path, Runnable changed) {
        keeper.checkOpen();
        return watches.add(Limits.checkedWatch(path), changed);
    }

    @Override
    public Lease announce(String name, byte[] value) {
        Limits.checkAnnouncement(name, value);
        return presence.announce(keeper, name, value.clone(), deadline());
    }

    @Override
    public Map<String, byte[]> announced() {
        Deadline deadline = deadline();
        return reading("it is not known who is there", deadline, session -> presence.announced(session, deadline));
    }

    @Override
    public Outcome transact(List<Operation> operations) {
        Limits.check(operations);
        List<Operation> taken = List.copyOf(operations);
        Deadline deadline = deadline();
        lockWriting(deadline);
        try {
            for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
                ZooKeeperSession session = keeper.session(deadline, "the transaction was not made");
                Optional<Outcome> outcome = attempt(session, taken, deadline);
                if (outcome.isPresent()) {
                    return outcome.get();
                }
            }
        } finally {
            writing.unlock();
        }
        throw new LedgerException(
                LedgerException.Code.CONFLICT,
                "A transaction found its entries changed in each of " + ATTEMPTS_MAX
                        + " attempts: others change them without end. Nothing was changed.");
    }

    /** Ends the session, and with it what was announced. A transaction that is under way is waited for. */
    @Override
    public void close() {
        writing.lock();
        try {
            presence.close();
            watches.close();
            keeper.close();
        } finally {
            writing.unlock();
        }
    }

    // Reading.

    /** Asks until there is an answer; the asker gives none where it was lost. */
    private <T> T reading(String what, Deadline deadline, Function<ZooKeeperSession, Optional<T>> asker) {
        while (true) {
            ZooKeeperSession session = keeper.session(deadline, what);
            if (!session.isUnsettled() || settleForReading(session, deadline)) {
                Optional<T> answer = asker.apply(session);
                if (answer.isPresent()) {
                    return answer.get();
                }
            }
            keeper.pause(deadline);
        }
    }

    private boolean settleForReading(ZooKeeperSession session, Deadline deadline) {
        lockWriting(deadline);
        try {
            return settle(session, deadline) != Settled.UNKNOWN;
        } finally {
            writing.unlock();
        }
    }

    // Writing: under the lock.

    /** One attempt; empty where nothing was changed and another may do. */
    private Optional<Outcome> attempt(ZooKeeperSession session, List<Operation> operations, Deadline deadline) {
        if (settle(session, deadline) == Settled.UNKNOWN) {
            keeper.pause(deadline);
            return Optional.empty();
        }
        List<String> puts = List.copyOf(ZooKeeperTransaction.putsToLookAt(operations));
        Optional<List<Boolean>> present =
                reads.present(session, puts.stream().map(layout::entry).toList(), deadline);
        if (present.isEmpty() || !makeFolders(session, operations, deadline)) {
            keeper.pause(deadline);
            return Optional.empty();
        }
        Map<String, Boolean> there = new HashMap<>();
        for (int i = 0; i < puts.size(); i++) {
            there.put(puts.get(i), present.get().get(i));
        }
        ZooKeeperTransaction transaction =
                ZooKeeperTransaction.of(layout, session, session.nextTransaction(), operations, there);
        session.unsettled();
        Answer answer = session.ask(transaction.request(), deadline);
        if (answer.lost()) {
            return afterALostAnswer(session, deadline);
        }
        if (answer.ok()) {
            session.fenceIsAt(session.fenceVersion() + 1);
            return Optional.of(new Outcome.Done());
        }
        return afterARefusal(session, operations, transaction, answer, deadline);
    }

    private Optional<Outcome> afterALostAnswer(ZooKeeperSession sent, Deadline deadline) {
        String what = "the transaction may have been made or not; read once the ledger answers again";
        while (true) {
            keeper.pause(deadline);
            ZooKeeperSession session = keeper.session(deadline, what);
            if (session != sent) {
                throw keeper.unreachable("the session has ended, and " + what);
            }
            switch (settle(session, deadline)) {
                case MADE -> {
                    return Optional.of(new Outcome.Done());
                }
                case NOT_MADE -> {
                    return Optional.empty();
                }
                case UNKNOWN -> {}
            }
        }
    }

    private Optional<Outcome> afterARefusal(
            ZooKeeperSession session,
            List<Operation> operations,
            ZooKeeperTransaction transaction,
            Answer answer,
            Deadline deadline) {
        return switch (transaction.refusal(answer.failed(), answer.code())) {
            case OF_THE_FENCE -> {
                // Another session has begun, or somebody has taken the ledger away: the keeper finds out.
                keeper.call();
                keeper.pause(deadline);
                yield Optional.empty();
            }
            case OF_THE_LEDGER ->
                throw new LedgerException(
                        LedgerException.Code.DAMAGED,
                        "The ledger in " + keeper + " is not whole (" + answer.code() + "): its node "
                                + layout.changes() + " is not there. Nothing was changed.");
            case OF_WHAT_WAS_BELIEVED -> {
                session.fenceIsAt(session.fenceVersion());
                knownFolders.clear();
                yield Optional.empty();
            }
            case CONFLICT -> {
                session.fenceIsAt(session.fenceVersion());
                yield conflict(session, operations, deadline);
            }
        };
    }

    /**
     * What the ensemble has refused, in words: by what is there now, which is at least as new as the refusal. Empty where that
     * would not be refused any more.
     */
    private Optional<Outcome> conflict(ZooKeeperSession session, List<Operation> operations, Deadline deadline) {
        List<String> paths = operations.stream().map(Operation::path).distinct().toList();
        Optional<List<OpResult.@Nullable GetDataResult>> values =
                reads.values(session, paths.stream().map(layout::entry).toList(), deadline);
        if (values.isEmpty()) {
            keeper.pause(deadline);
            return Optional.empty();
        }
        List<Change> found = new ArrayList<>();
        for (int i = 0; i < paths.size(); i++) {
            OpResult.GetDataResult data = values.get().get(i);
            if (data != null) {
                found.add(new Change.Set(ZooKeeperReads.entry(paths.get(i), data)));
            }
        }
        State state = new State();
        state.apply(found);
        return switch (state.plan(operations)) {
            case State.Plan.Refusal(Outcome.Conflict conflict) -> Optional.of(conflict);
            case State.Plan.Effects _ -> Optional.empty();
        };
    }

    private enum Settled {
        /** The transaction that was sent last has taken effect. */
        MADE,
        /** It has not and never will, or there is none. */
        NOT_MADE,
        /** No answer came. */
        UNKNOWN
    }

    /** Finds out what has become of the last transaction of a session, and makes sure that it stays so. */
    private Settled settle(ZooKeeperSession session, Deadline deadline) {
        if (!session.isUnsettled()) {
            return Settled.NOT_MADE;
        }
        Answer moved = session.ask(List.of(Op.setData(session.fence(), NOTHING, session.fenceVersion())), deadline);
        if (moved.ok()) {
            session.fenceIsAt(session.fenceVersion() + 1);
            return Settled.NOT_MADE;
        }
        if (moved.code() != Code.BADVERSION) {
            return Settled.UNKNOWN;
        }
        // The transaction has come first, or a settling before this one, whose answer was lost too.
        Optional<List<OpResult.@Nullable GetDataResult>> read =
                reads.values(session, List.of(session.fence()), deadline);
        OpResult.GetDataResult fence = read.isEmpty() ? null : read.get().getFirst();
        if (fence == null) {
            return Settled.UNKNOWN;
        }
        session.fenceIsAt(fence.getStat().getVersion());
        boolean made = fence.getData().length == Long.BYTES
                && ByteBuffer.wrap(fence.getData()).getLong() == session.lastTransaction();
        return made ? Settled.MADE : Settled.NOT_MADE;
    }

    /** Makes the folders in which entries may be created; whether all are there. */
    private boolean makeFolders(ZooKeeperSession session, List<Operation> operations, Deadline deadline) {
        for (Operation operation : operations) {
            boolean creates = switch (operation) {
                case Operation.Create _, Operation.Put _, Operation.ExpectAbsent _ -> true;
                case Operation.Replace _, Operation.Delete _, Operation.Expect _ -> false;
            };
            for (String folder : creates ? layout.foldersOf(operation.path()) : List.<String>of()) {
                if (!knownFolders.contains(folder) && !makeFolder(session, folder, deadline)) {
                    return false;
                }
            }
        }
        return true;
    }

    private boolean makeFolder(ZooKeeperSession session, String folder, Deadline deadline) {
        Answer made =
                session.ask(List.of(Op.create(folder, NOTHING, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER)), deadline);
        if (made.ok() || made.code() == Code.NODEEXISTS) {
            if (knownFolders.size() >= KNOWN_FOLDERS_MAX) {
                knownFolders.clear();
            }
            knownFolders.add(folder);
            return true;
        }
        // An empty one above it may have been removed just now.
        knownFolders.clear();
        return false;
    }

    private void lockWriting(Deadline deadline) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    if (writing.tryLock(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                        return;
                    }
                    throw keeper.unreachable("other transactions wait before this one, which was not made");
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private Deadline deadline() {
        return Deadline.in(environment, operationLimit);
    }
}
