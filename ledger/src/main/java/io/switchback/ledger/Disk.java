package io.switchback.ledger;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;

/**
 * What the embedded ledger needs of a file system; a test stands between to fail, to cut power and to count.
 *
 * <p>Nothing here may end because the calling thread is interrupted: an interrupt that closed the log under a transaction
 * would be taken for a broken disk.
 */
interface Disk {
    void createFolder(Path folder) throws IOException;

    boolean exists(Path file);

    /** The whole file; refuses one that is longer than {@code bytesMax}. */
    byte[] read(Path file, long bytesMax) throws IOException;

    /** Opens a file for writing, creating it where there is none. */
    WritableFile open(Path file) throws IOException;

    /** Deletes the file if it is there. */
    void delete(Path file) throws IOException;

    /** Renames {@code from} to {@code to} atomically, replacing what was there. Durable once the folder is forced. */
    void rename(Path from, Path to) throws IOException;

    /** Makes the names in a folder durable. */
    void forceFolder(Path folder) throws IOException;

    /** An open file. A failed call may have done a part of its work. */
    interface WritableFile extends Closeable {
        void write(long position, byte[] bytes) throws IOException;

        void truncate(long length) throws IOException;

        /** Makes content and length durable. */
        void force() throws IOException;
    }
}
