package io.switchback.sync;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.sync.source.CopyPace;
import io.switchback.sync.source.WireInput;
import java.io.EOFException;
import java.io.IOException;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Passes a snapshot from the source to the target and, where wanted, into a backup; for one thread.
 *
 * <p>Invariant: the last byte goes to the target only when the backup is complete, checked and on the disk. A copy that is
 * broken off is thus one that the target never takes for whole.
 */
final class SnapshotPass {
    private static final int CHUNK_BYTES = 64 * 1024;
    private static final int MARK_BYTES = 40;
    private static final String MARK_PREFIX = "$EOF:";

    private final WireInput source;
    private final TargetConnection target;
    private final @Nullable BackupWriter backup;
    private final LongConsumer progressBytes;
    private final CopyPace pace;
    private final byte[] chunk = new byte[CHUNK_BYTES];
    private long passed;

    SnapshotPass(
            WireInput source,
            TargetConnection target,
            @Nullable BackupWriter backup,
            CopyPace pace,
            LongConsumer progressBytes) {
        this.source = source;
        this.target = target;
        this.backup = backup;
        this.pace = pace;
        this.progressBytes = progressBytes;
    }

    /** The line that announces the snapshot; the keep-alives before it are passed on. */
    static String header(WireInput source, TargetConnection target) throws IOException {
        String line = source.readLine();
        while (line.isEmpty()) {
            target.send(new byte[] {'\n'}, 0, 1);
            line = source.readLine();
        }
        if (!line.startsWith("$")) {
            throw new IOException("the source broke off the copy: " + line);
        }
        return line;
    }

    /** Bytes of the snapshot by its header; -1 where only its end will tell. */
    static long announcedBytes(String header) throws IOException {
        if (header.startsWith(MARK_PREFIX)) {
            return -1;
        }
        try {
            return Long.parseLong(header.substring(1));
        } catch (NumberFormatException e) {
            throw new IOException("expected the size of a snapshot, found \"" + header + "\"", e);
        }
    }

    /** Passes all of it, header included. */
    Optional<BackupManifest> run(String header) throws IOException, BrokenLinkException {
        target.sendLine(header);
        return header.startsWith(MARK_PREFIX)
                ? untilMark(header.substring(MARK_PREFIX.length()).getBytes(ISO_8859_1))
                : exactly(announcedBytes(header));
    }

    private Optional<BackupManifest> exactly(long bytes) throws IOException, BrokenLinkException {
        while (passed < bytes) {
            int count = source.read(chunk, (int) Math.min(CHUNK_BYTES, bytes - passed));
            if (count < 0) {
                throw endedEarly();
            }
            save(chunk, 0, count);
            passed += count;
            Optional<BackupManifest> manifest = passed == bytes ? finishBackup() : Optional.empty();
            target.send(chunk, 0, count);
            progressBytes.accept(passed);
            if (passed == bytes) {
                return manifest;
            }
            pace.bytes(count);
        }
        return Optional.empty();
    }

    /**
     * A diskless snapshot ends with the mark that its header named. Nothing follows it until the target's first
     * acknowledgement, so it ends a read: the mark is looked for there, as servers do.
     */
    private Optional<BackupManifest> untilMark(byte[] mark) throws IOException, BrokenLinkException {
        if (mark.length != MARK_BYTES) {
            throw new IOException("expected a mark of " + MARK_BYTES + " bytes, found " + mark.length);
        }
        byte[] window = new byte[MARK_BYTES + CHUNK_BYTES];
        int held = 0;
        while (true) {
            int count = source.read(chunk, CHUNK_BYTES);
            if (count < 0) {
                throw endedEarly();
            }
            System.arraycopy(chunk, 0, window, held, count);
            int length = held + count;
            // The last 40 bytes may be the mark: they are held back from both until it is known.
            int free = Math.max(0, length - MARK_BYTES);
            save(window, 0, free);
            target.send(window, 0, free);
            passed += free;
            progressBytes.accept(passed);
            System.arraycopy(window, free, window, 0, length - free);
            held = length - free;
            if (held == MARK_BYTES && Arrays.equals(window, 0, MARK_BYTES, mark, 0, MARK_BYTES)) {
                Optional<BackupManifest> manifest = finishBackup();
                target.send(mark, 0, MARK_BYTES);
                return manifest;
            }
            pace.bytes(count);
        }
    }

    private EOFException endedEarly() {
        return new EOFException("the source closed the connection after " + passed + " bytes of the snapshot");
    }

    private void save(byte[] bytes, int offset, int length) throws BrokenLinkException {
        if (backup != null && length > 0) {
            try {
                backup.write(bytes, offset, length);
            } catch (IOException e) {
                throw new BrokenLinkException(
                        "the backup cannot be written: " + e.getMessage()
                                + "; the copy is broken off, the source is as it was; make room or name another folder",
                        e);
            }
        }
    }

    private Optional<BackupManifest> finishBackup() throws BrokenLinkException {
        if (backup == null) {
            return Optional.empty();
        }
        try {
            return Optional.of(backup.finish());
        } catch (IOException e) {
            throw new BrokenLinkException(
                    "the backup cannot be completed: " + e.getMessage()
                            + "; the copy is broken off, the source is as it was",
                    e);
        }
    }
}
