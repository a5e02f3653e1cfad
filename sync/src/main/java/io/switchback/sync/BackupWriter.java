package io.switchback.sync;

import io.switchback.environment.PrivateFolder;
import io.switchback.fleet.ServerVersion;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Writes a snapshot that passes through into a file; for one thread.
 *
 * <p>Invariant: a file without {@code .part} at its end is complete, checked and on the disk.
 */
public final class BackupWriter implements AutoCloseable {
    // So that the last sync, for which the target waits, has little left to do.
    private static final long SYNC_EVERY_BYTES = 64L << 20;
    private static final DateTimeFormatter STAMP =
            DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss").withZone(ZoneOffset.UTC);

    private final Path part;
    private final Path file;
    private final String serverVersion;
    private final String replicationId;
    private final long offset;
    private final Instant takenAt;
    private final FileChannel channel;
    private final RdbCheck check = new RdbCheck();
    private final MessageDigest digest = Backup.sha256();
    private long syncedBytes;

    private BackupWriter(Path part, Path file, String serverVersion, String replicationId, long offset, Instant takenAt)
            throws IOException {
        this.part = part;
        this.file = file;
        this.serverVersion = serverVersion;
        this.replicationId = replicationId;
        this.offset = offset;
        this.takenAt = takenAt;
        this.channel = FileChannel.open(
                part, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING);
    }

    /**
     * Begins the file that a link which starts like this writes beside its copy; null where it writes none.
     *
     * @throws BrokenLinkException where there is no place for it
     */
    public static @Nullable BackupWriter begin(
            LinkStart start, ServerVersion version, String replicationId, long offset, Instant takenAt)
            throws BrokenLinkException {
        if (!(start instanceof LinkStart.FullCopy(Optional<Path> folder)) || folder.isEmpty()) {
            return null;
        }
        try {
            return begin(folder.get(), version.toString(), replicationId, offset, takenAt);
        } catch (IOException e) {
            throw new BrokenLinkException("no backup can be written to " + folder.get() + ": " + e, e);
        }
    }

    /** Begins a file in {@code folder}, which is made where it is not there. */
    static BackupWriter begin(Path folder, String serverVersion, String replicationId, long offset, Instant takenAt)
            throws IOException {
        PrivateFolder.create(folder);
        Path file = folder.resolve("dump-" + STAMP.format(takenAt) + "-" + offset + ".rdb");
        Path part = folder.resolve(file.getFileName() + ".part");
        return new BackupWriter(part, file, serverVersion, replicationId, offset, takenAt);
    }

    /** Appends. */
    public void write(byte[] bytes, int start, int length) throws IOException {
        check.update(bytes, start, length);
        digest.update(bytes, start, length);
        ByteBuffer buffer = ByteBuffer.wrap(bytes, start, length);
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
        if (check.bytes() - syncedBytes >= SYNC_EVERY_BYTES) {
            channel.force(false);
            syncedBytes = check.bytes();
        }
    }

    /** Checks it and makes it last. */
    public BackupManifest finish() throws IOException {
        check.finish("the snapshot");
        channel.force(true);
        channel.close();
        Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
        Backup.syncFolder(file);
        BackupManifest manifest = new BackupManifest(
                file,
                check.bytes(),
                HexFormat.of().formatHex(digest.digest()),
                serverVersion,
                replicationId,
                offset,
                takenAt);
        Backup.write(manifest);
        return manifest;
    }

    /** What is not finished is removed. */
    @Override
    public void close() throws IOException {
        channel.close();
        Files.deleteIfExists(part);
    }
}
