package io.switchback.release;

import io.switchback.environment.PrivateFolder;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerInfo;
import io.switchback.release.ReleaseState.Side;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Whether the snapshot that is about to pass can be kept in a folder. */
final class BackupRoom {
    /** A snapshot is smaller than the data in memory, but never count on how much. */
    private static final double SHARE_OF_MEMORY = 1.0;

    private BackupRoom() {}

    /** Makes the folder and demands that the cache's snapshot has room there. */
    static void demand(MovingCache cache, Path folder) {
        long wanted = 0;
        FleetSpec fleet = cache.fleet(Side.OLD);
        for (Endpoint primary : fleet.topologyNow().primaries()) {
            try (ServerConnection old = MovingCache.connect(fleet, primary)) {
                wanted += (long) (ServerInfo.read(old).usedMemoryBytes() * SHARE_OF_MEMORY);
            }
        }
        try {
            PrivateFolder.create(folder);
            Path probe = Files.createTempFile(folder, "room", ".probe");
            Files.delete(probe);
            long free = Files.getFileStore(folder).getUsableSpace();
            if (free < wanted) {
                throw new ReleaseException(
                        ReleaseException.Code.STEP_FAILED,
                        "the backup of " + cache.name() + " may need " + wanted + " bytes, and " + folder + " has "
                                + free + " left; make room, or move the node's data folder");
            }
        } catch (IOException e) {
            throw new ReleaseException(
                    ReleaseException.Code.STEP_FAILED,
                    "the backup of " + cache.name() + " cannot be written to " + folder + ": " + e
                            + "; make the folder writable, or move the node's data folder");
        }
    }
}
