package io.switchback.sync.apply;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import io.switchback.sync.BackupWriter;
import io.switchback.sync.source.CopyPace;
import io.switchback.sync.source.WireInput;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The snapshot that a source sends, as a stream of bytes that whoever reads a snapshot takes to its own end; for one thread.
 *
 * <p>A snapshot says itself where it ends, so the size or the mark that the source announces is only checked, by {@link #finish}.
 */
final class SnapshotStream extends InputStream {
    private static final String MARK_PREFIX = "$EOF:";
    private static final int MARK_BYTES = 40;

    private final WireInput source;
    private final LongConsumer progressBytes;
    private final CopyPace pace;
    private final long announcedBytes;
    private final byte[] mark;
    private final byte[] one = new byte[1];
    private final @Nullable BackupWriter backup;
    /** The last bytes that were taken, which may not be the snapshot's: only for the backup. */
    private final byte[] held = new byte[MARK_BYTES];

    private int heldBytes;
    private long taken;

    private SnapshotStream(
            WireInput source,
            long announcedBytes,
            byte[] mark,
            @Nullable BackupWriter backup,
            CopyPace pace,
            LongConsumer progressBytes) {
        this.pace = pace;
        this.source = source;
        this.announcedBytes = announcedBytes;
        this.mark = mark;
        this.backup = backup;
        this.progressBytes = progressBytes;
    }

    /**
     * Reads the line that announces a snapshot.
     *
     * @param backup where it is written beside; null for nowhere
     * @param waiting done whenever the source says that it is not so far yet
     */
    static SnapshotStream begin(
            WireInput source,
            WireInput.Waiting waiting,
            @Nullable BackupWriter backup,
            CopyPace pace,
            LongConsumer progressBytes)
            throws IOException {
        String line = source.readLine();
        while (line.isEmpty()) {
            waiting.run();
            line = source.readLine();
        }
        if (line.startsWith(MARK_PREFIX) && line.length() == MARK_PREFIX.length() + MARK_BYTES) {
            return new SnapshotStream(
                    source, -1, line.substring(MARK_PREFIX.length()).getBytes(ISO_8859_1), backup, pace, progressBytes);
        }
        if (!line.startsWith("$")) {
            throw new IOException("the source broke off the copy: " + line);
        }
        try {
            return new SnapshotStream(
                    source, Long.parseLong(line.substring(1)), new byte[0], backup, pace, progressBytes);
        } catch (NumberFormatException e) {
            throw new IOException("expected the size of a snapshot, found \"" + line + "\"", e);
        }
    }

    /** Of the snapshot; -1 where only its end will tell. */
    long announcedBytes() {
        return announcedBytes;
    }

    @Override
    public int read() throws IOException {
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
        int wanted = announcedBytes < 0 ? length : (int) Math.min(length, announcedBytes - taken);
        if (wanted == 0) {
            return length == 0 ? 0 : -1;
        }
        int count = source.read(into, offset, wanted);
        if (count > 0) {
            taken += count;
            save(into, offset, count);
            progressBytes.accept(taken);
            pace.bytes(count);
        }
        return count;
    }

    /** Writes all but the last bytes, as many as a mark has. */
    private void save(byte[] bytes, int offset, int count) throws IOException {
        if (backup == null) {
            return;
        }
        byte[] all = Arrays.copyOf(held, heldBytes + count);
        System.arraycopy(bytes, offset, all, heldBytes, count);
        int kept = Math.min(MARK_BYTES, all.length);
        backup.write(all, 0, all.length - kept);
        System.arraycopy(all, all.length - kept, held, 0, kept);
        heldBytes = kept;
    }

    /**
     * The snapshot was read to its end: what follows is the stream.
     *
     * @param unread bytes that were taken from here and are not of the snapshot: the beginning of the mark
     */
    void finish(byte[] unread) throws IOException {
        if (unread.length > heldBytes && backup != null) {
            throw new IOException("behind the snapshot there is more than the mark that the source announced");
        }
        if (backup != null) {
            backup.write(held, 0, heldBytes - unread.length);
        }
        if (announcedBytes >= 0) {
            if (taken != announcedBytes || unread.length > 0) {
                throw new IOException("the snapshot ends " + (announcedBytes - taken + unread.length)
                        + " bytes before the end that the source announced");
            }
            return;
        }
        byte[] found = Arrays.copyOf(unread, mark.length);
        for (int held = unread.length; held < mark.length; ) {
            int count = source.read(found, held, mark.length - held);
            if (count < 0) {
                throw new EOFException("the source ended the connection before the end of the copy");
            }
            held += count;
        }
        if (unread.length > mark.length || !Arrays.equals(found, mark)) {
            throw new IOException("behind the snapshot there is not the mark that the source announced");
        }
    }
}
