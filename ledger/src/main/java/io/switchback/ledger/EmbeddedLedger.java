package io.switchback.ledger;

import io.switchback.environment.Environment;
import io.switchback.ledger.LogFormat.Change;
import io.switchback.ledger.LogFormat.Found;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A ledger in one folder of this machine: an append-only log, one record for each transaction, forced to the disk before the
 * transaction is answered, with all entries in memory.
 *
 * <h2>Files</h2>
 * {@code ledger.log} is the ledger ({@link LogFormat}); {@code ledger.log.new} a log that is being written and will
 * take its place; {@code ledger.lock} is locked while a process has the ledger open, and says that there was once a ledger here.
 *
 * <h2>Threads</h2>
 * Any thread may call. {@code writing} is held by the one that changes the log, for as long as the disk takes; readers wait only
 * for the map in memory ({@link State}). Interrupts neither break nor shorten anything.
 *
 * <h2>What if it ends here?</h2>
 * "It" is the process (SIGKILL, {@code D}) or the machine (power, {@code P}: of what was written since the last force any part may be
 * there, in any order, and names likewise). A transaction: <ol>
 * <li>check against memory, build the record. D, P: nothing has happened.
 * <li>write the record at the end of the log. D: a first part of it is there. P: any part, or a longer file with zeros. Opening takes
 *     a bad record with nothing behind it for a torn tail and cuts it off ({@link LogFormat#find}). Nobody was told Done. If all of it is
 *     there, it counts: nobody was told that it does not. It may only be in the page cache after D, and what a reader sees must be durable:
 *     opening therefore writes the last record once more, with the bytes it has, and forces the file, before it answers anything.
 *     (Only the last can be in this state. That a former process' force failed, which marks pages clean that are not on the disk, is
 *     covered by the same: they become dirty again.)
 * <li>force the file. D, P before it returns: as above. After: the record is there.
 * <li>apply it to memory, answer Done. From here on no crash loses it.
 * </ol>
 * If the write fails (disk full), the log is cut back to where it ended, and the cut is forced; then the transaction is answered with STORAGE,
 * is not there, and the ledger goes on. D, P before the cut is durable: a torn tail, as above. If the cut fails, or a force fails, nobody knows what
 * is on the disk: the ledger is BROKEN, and refuses every transaction until it is opened again, which finds out.
 *
 * <p>Compaction, when the log is many times what its entries need: <ol>
 * <li>write {@code ledger.log.new}, a header and all entries, force it. D, P: opening deletes it, the log is as it was. A failure: it is
 *     deleted, the log goes on to grow, and the next attempt comes when it has doubled; no transaction fails for it.
 * <li>rename it to {@code ledger.log}. D, P: the name means the old log or the new one; both hold the same entries.
 * <li>force the folder. D, P before that: as above, and the process that opens next forces the folder <em>before</em> it appends; else it would
 *     append to a log whose name a power cut could take back. If it fails: BROKEN, for the same reason.
 * </ol>
 * A new ledger is made in the same way, so {@code ledger.log} never has a torn header. Once it is durable, {@code ledger.lock} is marked;
 * a folder with the mark and without the log had a ledger that somebody took away, and is refused.
 *
 * <p>What is left: a last record that was acknowledged and has rotted since cannot be told from a torn one, and is cut off (the log says so). Damage
 * anywhere before it is refused.
 *
 * <p>Invariant: memory holds exactly what the records of the log say, up to {@code end}, and all of it was forced.
 */
public final class EmbeddedLedger implements Ledger {
    private static final Logger LOG = LoggerFactory.getLogger(EmbeddedLedger.class);

    /** Of all entries together: what a person's releases leave in years, and little enough to read at start. */
    static final long LIVE_BYTES_MAX = 64L << 20;
    /** A log below this is not worth compacting. */
    static final long COMPACTION_LOG_BYTES_MIN = 1L << 20;
    /** A log this many times its entries is. */
    static final int COMPACTION_FACTOR = 4;
    /** Reached only where compaction fails again and again. */
    static final long LOG_BYTES_MAX = 1L << 30;

    private static final String LOG_NAME = "ledger.log";
    private static final String NEW_LOG_NAME = "ledger.log.new";
    /** Where the id lies; no path that a caller could name. */
    private static final String ID_PATH = ".id";

    private static final int ID_BYTES = 16;

    private final Path folder;
    private final Environment environment;
    private final Disk disk;
    private final long compactionLogBytesMin;
    private final State state = new State();
    private final ReentrantLock writing = new ReentrantLock();
    private final Watches watches = new Watches();
    private final EmbeddedPresence presence;

    /** Null where this is a view for reading. */
    private final @Nullable FolderLock folderLock;

    // The rest is guarded by writing.
    private Disk.@Nullable WritableFile log;
    private long salt;
    private long end;
    private long compactionLogBytes;
    private @Nullable Throwable broken;
    private volatile boolean closed;

    private EmbeddedLedger(
            Path folder,
            Environment environment,
            Disk disk,
            long compactionLogBytesMin,
            @Nullable FolderLock folderLock) {
        this.folder = folder;
        this.environment = environment;
        this.disk = disk;
        this.compactionLogBytesMin = compactionLogBytesMin;
        this.compactionLogBytes = compactionLogBytesMin;
        this.folderLock = folderLock;
        this.presence = new EmbeddedPresence(environment, watches);
    }

    /**
     * Opens the ledger of a folder; makes both where they are not there.
     *
     * @throws LedgerException LOCKED, DAMAGED, NEWER_VERSION, or STORAGE if the folder cannot be used
     */
    public static EmbeddedLedger open(Path folder, Environment environment) {
        return open(folder, environment, RealDisk.INSTANCE, COMPACTION_LOG_BYTES_MIN);
    }

    static EmbeddedLedger open(Path folder, Environment environment, Disk disk, long compactionLogBytesMin) {
        FolderLock lock;
        try {
            disk.createFolder(folder);
            lock = FolderLock.take(folder);
        } catch (IOException e) {
            throw new LedgerException(
                    LedgerException.Code.STORAGE, "The folder " + folder + " of the ledger cannot be used: " + e, e);
        }
        EmbeddedLedger ledger = new EmbeddedLedger(folder, environment, disk, compactionLogBytesMin, lock);
        try {
            ledger.recover(lock);
            return ledger;
        } catch (IOException e) {
            ledger.close();
            throw new LedgerException(
                    LedgerException.Code.STORAGE,
                    "The ledger in " + folder + " cannot be opened: " + e + ". Nothing in it was changed.",
                    e);
        } catch (RuntimeException | Error e) {
            ledger.close();
            throw e;
        }
    }

    /**
     * Reads the ledger of a folder as it is at this moment, without a lock and without writing: beside a running node, and after a crash.
     *
     * @throws LedgerException DAMAGED, NEWER_VERSION, or STORAGE if there is no ledger or it cannot be read
     */
    public static EmbeddedLedger readOnly(Path folder) {
        EmbeddedLedger ledger =
                new EmbeddedLedger(folder, Environment.system(), RealDisk.INSTANCE, COMPACTION_LOG_BYTES_MIN, null);
        try {
            if (!ledger.disk.exists(ledger.logFile())) {
                throw new LedgerException(
                        LedgerException.Code.STORAGE,
                        "There is no ledger in " + folder + ": expected the file " + ledger.logFile()
                                + ". The folder is the one that the node's file names at \"ledger\".");
            }
            ledger.readLog();
            return ledger;
        } catch (IOException e) {
            throw new LedgerException(
                    LedgerException.Code.STORAGE, "The ledger in " + folder + " cannot be read: " + e, e);
        }
    }

    @Override
    public Optional<Entry> read(String path) {
        checkOpen();
        return state.read(Limits.checkedPath(path)).map(EmbeddedLedger::copy);
    }

    @Override
    public List<Entry> list(String prefix) {
        checkOpen();
        return state.list(Limits.checkedPath(prefix)).stream()
                .map(EmbeddedLedger::copy)
                .toList();
    }

    @Override
    public Outcome transact(List<Operation> operations) {
        Limits.check(operations);
        return make(operations);
    }

    private Outcome make(List<Operation> operations) {
        writing.lock();
        try {
            checkOpen();
            checkWritable();
            return switch (state.plan(operations)) {
                case State.Plan.Refusal(Outcome.Conflict conflict) -> conflict;
                case State.Plan.Effects(List<Change> changes, long bytesAfter) -> {
                    if (!changes.isEmpty()) {
                        checkSpace(bytesAfter);
                        write(changes);
                        changes.forEach(change -> watches.changed(change.path()));
                    }
                    yield new Outcome.Done();
                }
            };
        } finally {
            writing.unlock();
        }
    }

    /**
     * {@inheritDoc}
     *
     * <p>It is an entry that no caller can name, made when it is first asked for: older versions, which know nothing of it, keep it, and a
     * ledger of theirs gets one.
     *
     * @throws LedgerException as a transaction, where there is none yet
     */
    @Override
    public String id() {
        checkOpen();
        Optional<Entry> known = state.read(ID_PATH);
        if (known.isEmpty()) {
            byte[] drawn =
                    HexFormat.of().formatHex(environment.randomBytes(ID_BYTES)).getBytes(StandardCharsets.US_ASCII);
            // Of several who ask first, one draws it.
            var _ = make(List.of(new Operation.Create(ID_PATH, drawn)));
            known = state.read(ID_PATH);
        }
        return known.orElseThrow(() -> new AssertionError("the id was written and is not there"))
                .text();
    }

    /** {@inheritDoc} Nobody else writes, and what is answered is in memory: there is nothing to do. */
    @Override
    public void catchUp() {
        checkOpen();
    }

    @Override
    public Watch watch(String path, Runnable changed) {
        checkOpen();
        return watches.add(Limits.checkedWatch(path), changed);
    }

    /** {@inheritDoc} The only process that can ask is this one, so it lasts until it is closed or announced again. */
    @Override
    public Lease announce(String name, byte[] value) {
        Limits.checkAnnouncement(name, value);
        checkOpen();
        if (folderLock == null) {
            throw readOnly();
        }
        return presence.announce(name, value);
    }

    @Override
    public Map<String, byte[]> announced() {
        checkOpen();
        return presence.announced();
    }

    @Override
    public void close() {
        writing.lock();
        try {
            closed = true;
            presence.close();
            watches.close();
            if (log != null) {
                // All that was acknowledged is forced: closing has nothing to lose.
                closeQuietly(log);
                log = null;
            }
            if (folderLock != null) {
                folderLock.release();
            }
        } finally {
            writing.unlock();
        }
    }

    // Writing.

    private void write(List<Change> changes) {
        try {
            append(changes);
            state.apply(changes);
            compactIfWorthIt();
        } catch (LedgerException expected) {
            throw expected;
        } catch (RuntimeException | Error e) {
            // Out of memory, say. Memory and log may have parted ways.
            broken = e;
            throw e;
        }
    }

    private void append(List<Change> changes) {
        Disk.WritableFile file = openLog();
        byte[] record = LogFormat.record(salt, end, changes);
        try {
            file.write(end, record);
        } catch (IOException e) {
            cutBack(file, e);
            throw new LedgerException(
                    LedgerException.Code.STORAGE,
                    "The ledger in " + folder + " could not be written: " + e.getMessage()
                            + ". The transaction is not in it, and it goes on. Is the disk full?",
                    e);
        }
        try {
            file.force();
        } catch (IOException e) {
            throw breakWith("could not be forced to the disk", e);
        }
        end += record.length;
    }

    private void cutBack(Disk.WritableFile file, IOException cause) {
        try {
            file.truncate(end);
            file.force();
        } catch (IOException e) {
            e.addSuppressed(cause);
            throw breakWith("could not be cut back after a failed write", e);
        }
    }

    private LedgerException breakWith(String what, IOException e) {
        broken = e;
        LOG.error("The ledger in {} {}; it takes no transaction until it is opened again", folder, what, e);
        return new LedgerException(
                LedgerException.Code.BROKEN,
                "The ledger in " + folder + " " + what + ": " + e.getMessage()
                        + ". Whether the transaction is in it is not known. It takes no further one until it is opened again:"
                        + " check the disk, then start the node again.",
                e);
    }

    private void compactIfWorthIt() {
        long live = LogFormat.HEADER_BYTES + state.bytes();
        if (end < compactionLogBytes || end < COMPACTION_FACTOR * live) {
            return;
        }
        long before = end;
        Disk.WritableFile compacted;
        try {
            compacted = writeNewLog();
        } catch (IOException e) {
            putOffCompaction(e);
            return;
        }
        try {
            disk.rename(folder.resolve(NEW_LOG_NAME), logFile());
        } catch (IOException e) {
            closeQuietly(compacted);
            if (disk.exists(folder.resolve(NEW_LOG_NAME))) {
                putOffCompaction(e);
            } else {
                // The name may mean the new log now, and what is appended to the old one would be lost with it.
                var _ = breakWith("was compacted, and which log has its name is not known", e);
            }
            return;
        }
        closeQuietly(openLog());
        adopt(compacted);
        compactionLogBytes = compactionLogBytesMin;
        try {
            disk.forceFolder(folder);
        } catch (IOException e) {
            // The transaction that brought us here is durable in both logs: it is the next one that must not be taken.
            var _ = breakWith("was compacted, but its folder could not be forced to the disk", e);
        }
        LOG.debug("The ledger in {} was compacted from {} to {} bytes", folder, before, end);
    }

    private void putOffCompaction(IOException e) {
        try {
            disk.delete(folder.resolve(NEW_LOG_NAME));
        } catch (IOException undeleted) {
            e.addSuppressed(undeleted);
        }
        compactionLogBytes = 2 * end;
        LOG.warn("The ledger in {} could not be compacted; it goes on with its long log of {} bytes", folder, end, e);
    }

    /** What {@link #writeNewLog} has left in {@code newSalt} and {@code newEnd} becomes the log. */
    private void adopt(Disk.WritableFile file) {
        log = file;
        salt = newSalt;
        end = newEnd;
    }

    private long newSalt;
    private long newEnd;

    /** A log of all entries under its provisional name, forced. */
    private Disk.WritableFile writeNewLog() throws IOException {
        Path path = folder.resolve(NEW_LOG_NAME);
        disk.delete(path);
        Disk.WritableFile file = disk.open(path);
        try {
            newSalt = ByteBuffer.wrap(environment.randomBytes(Long.BYTES)).getLong();
            file.write(0, LogFormat.header(newSalt));
            newEnd = LogFormat.HEADER_BYTES;
            for (List<Change> changes : inRecords(state.all())) {
                byte[] record = LogFormat.record(newSalt, newEnd, changes);
                file.write(newEnd, record);
                newEnd += record.length;
            }
            file.force();
            return file;
        } catch (IOException | RuntimeException | Error e) {
            closeQuietly(file);
            throw e;
        }
    }

    private static List<List<Change>> inRecords(List<Entry> entries) {
        List<List<Change>> records = new ArrayList<>();
        List<Change> current = new ArrayList<>();
        long bytes = 0;
        for (Entry entry : entries) {
            int more = entry.path().length() + entry.value().length;
            if (!current.isEmpty()
                    && (bytes + more > TRANSACTION_BYTES_MAX || current.size() == TRANSACTION_OPERATIONS_MAX)) {
                records.add(current);
                current = new ArrayList<>();
                bytes = 0;
            }
            current.add(new Change.Set(entry));
            bytes += more;
        }
        if (!current.isEmpty()) {
            records.add(current);
        }
        return records;
    }

    // Opening.

    private void recover(FolderLock lock) throws IOException {
        disk.delete(folder.resolve(NEW_LOG_NAME));
        if (!disk.exists(logFile())) {
            if (lock.marked()) {
                throw new LedgerException(
                        LedgerException.Code.DAMAGED,
                        "There was a ledger in " + folder + ", and its file " + logFile()
                                + " is gone. Nothing is guessed. Put the file back."
                                + " If it is lost: ask both fleets for their ROLE to see which one takes writes, name that one as active"
                                + " in the node's file, and delete the folder; releases in it are forgotten.");
            }
            adopt(writeNewLog());
            disk.rename(folder.resolve(NEW_LOG_NAME), logFile());
        } else {
            Tail tail = readLog();
            Disk.WritableFile file = disk.open(logFile());
            log = file;
            if (tail.tornBytes > 0) {
                LOG.warn(
                        "The ledger in {} ends in {} bytes of a transaction that was not acknowledged; they are cut off at offset {}",
                        folder,
                        tail.tornBytes,
                        end);
                file.truncate(end);
            }
            file.write(tail.lastOffset, tail.lastBytes);
            file.force();
        }
        disk.forceFolder(folder);
        lock.mark();
    }

    /** What opening has to put right at the end of the log. */
    private record Tail(long tornBytes, long lastOffset, byte[] lastBytes) {}

    private Tail readLog() throws IOException {
        String name = logFile().toString();
        byte[] file = disk.read(logFile(), LOG_BYTES_MAX + LogFormat.PAYLOAD_BYTES_MAX);
        salt = LogFormat.saltOf(file, name);
        end = LogFormat.HEADER_BYTES;
        long last = 0;
        while (true) {
            switch (LogFormat.find(file, salt, end)) {
                case Found.Transaction(List<Change> changes, long nextOffset) -> {
                    state.apply(changes);
                    last = end;
                    end = nextOffset;
                }
                case Found.End() -> {
                    return new Tail(0, last, Arrays.copyOfRange(file, (int) last, (int) end));
                }
                case Found.TornTail(long bytes) -> {
                    return new Tail(bytes, last, Arrays.copyOfRange(file, (int) last, (int) end));
                }
                case Found.Damage(String what) -> throw LogFormat.damaged(name, end, what);
            }
        }
    }

    // Checks.

    private void checkOpen() {
        if (closed) {
            throw new LedgerException(LedgerException.Code.CLOSED, "The ledger in " + folder + " is closed");
        }
    }

    private void checkWritable() {
        if (folderLock == null) {
            throw readOnly();
        }
        if (broken != null) {
            throw new LedgerException(
                    LedgerException.Code.BROKEN,
                    "The ledger in " + folder + " takes no transaction since its disk failed (" + broken.getMessage()
                            + "). Nothing was changed now. Check the disk, then start the node again.",
                    broken);
        }
    }

    private LedgerException readOnly() {
        return new LedgerException(
                LedgerException.Code.READ_ONLY, "The ledger in " + folder + " was opened for reading only");
    }

    private void checkSpace(long bytesAfter) {
        if (bytesAfter > LIVE_BYTES_MAX && bytesAfter > state.bytes()) {
            throw Limits.limit("The ledger in " + folder + " would hold " + bytesAfter + " bytes, more than "
                    + LIVE_BYTES_MAX + ": forget old releases");
        }
        if (end > LOG_BYTES_MAX) {
            throw Limits.limit("The log of the ledger in " + folder + " is " + end + " bytes long, more than "
                    + LOG_BYTES_MAX + ", since it could not be compacted: make room on its disk");
        }
    }

    private static Entry copy(Entry entry) {
        return new Entry(entry.path(), entry.value().clone(), entry.version());
    }

    private Path logFile() {
        return folder.resolve(LOG_NAME);
    }

    private Disk.WritableFile openLog() {
        return Objects.requireNonNull(log, "an open ledger has its log");
    }

    private void closeQuietly(Disk.WritableFile file) {
        try {
            file.close();
        } catch (IOException e) {
            LOG.warn("A file of the ledger in {} could not be closed", folder, e);
        }
    }
}
