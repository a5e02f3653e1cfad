package io.switchback.sync;

import java.nio.file.Path;
import java.time.Instant;

/**
 * What a backup is: a standard .rdb file that any server of its version can be started with.
 *
 * @param sha256        of the file, in hexadecimal
 * @param serverVersion of the server that wrote it, such as {@code redis 7.0.15}
 * @param replicationId the source's, at {@code offset}
 * @param offset        up to where the source's stream is in it
 */
public record BackupManifest(
        Path file,
        long bytes,
        String sha256,
        String serverVersion,
        String replicationId,
        long offset,
        Instant takenAt) {}
