package io.switchback.ledger;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The right to write in a folder, held by one opener in one process, and the mark that the folder once held a ledger.
 *
 * <p>The system gives locks on files to processes and takes all of a process' locks on a file away as soon as the process closes <em>any</em>
 * opening of it. So this process keeps its own list of folders, and never opens the lock file of one that it has locked.
 */
final class FolderLock {
    private static final Logger LOG = LoggerFactory.getLogger(FolderLock.class);
    private static final String NAME = "ledger.lock";
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path folder;
    private final RandomAccessFile file;
    private boolean released;

    private FolderLock(Path folder, RandomAccessFile file) {
        this.folder = folder;
        this.file = file;
    }

    static FolderLock take(Path given) throws IOException {
        Path folder = given.toRealPath();
        if (!HELD.add(folder)) {
            throw locked(folder, "this process");
        }
        RandomAccessFile file = null;
        try {
            file = new RandomAccessFile(folder.resolve(NAME).toFile(), "rw");
            FileLock lock = file.getChannel().tryLock();
            if (lock == null) {
                throw locked(folder, holder(file));
            }
            return new FolderLock(folder, file);
        } catch (IOException | RuntimeException e) {
            if (file != null) {
                file.close();
            }
            HELD.remove(folder);
            throw e;
        }
    }

    /** Whether a ledger was made here at some time. */
    boolean marked() throws IOException {
        return file.length() > 0;
    }

    /** Says that a ledger is here, durably, and which process has it open. */
    void mark() throws IOException {
        boolean first = !marked();
        try {
            file.seek(0);
            // Of one length whatever the process, so that writing it again never leaves a half.
            String line = String.format(
                    Locale.ROOT,
                    "Switchback ledger, last opened by process %-12d%n",
                    ProcessHandle.current().pid());
            file.write(line.getBytes(StandardCharsets.US_ASCII));
            if (first) {
                file.getFD().sync();
            }
        } catch (IOException e) {
            if (first) {
                throw e;
            }
            LOG.warn("{} still names the process that had the ledger before", folder.resolve(NAME), e);
        }
    }

    /** Gives the folder up; twice is as good as once. */
    synchronized void release() {
        if (released) {
            return;
        }
        released = true;
        try {
            file.close();
        } catch (IOException e) {
            LOG.warn("{} could not be closed", folder.resolve(NAME), e);
        } finally {
            HELD.remove(folder);
        }
    }

    private static String holder(RandomAccessFile file) throws IOException {
        String line = file.readLine();
        return line == null ? "another process" : "another process (" + line.strip() + ")";
    }

    private static LedgerException locked(Path folder, String by) {
        return new LedgerException(
                LedgerException.Code.LOCKED,
                "The ledger in " + folder + " is in use by " + by
                        + ". A folder serves one node: stop the other one, or give this one"
                        + " a folder of its own (\"data\" in the node's file, or the path behind \"ledger: embedded:\").");
    }
}
