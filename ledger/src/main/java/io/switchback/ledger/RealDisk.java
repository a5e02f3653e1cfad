package io.switchback.ledger;

import io.switchback.environment.PrivateFolder;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/** The machine's file system. Files are RandomAccessFiles, since a FileChannel is closed by an interrupt. */
final class RealDisk implements Disk {
    static final RealDisk INSTANCE = new RealDisk();

    private RealDisk() {}

    @Override
    public void createFolder(Path folder) throws IOException {
        PrivateFolder.create(folder);
    }

    @Override
    public boolean exists(Path file) {
        return Files.exists(file);
    }

    @Override
    public byte[] read(Path file, long bytesMax) throws IOException {
        try (RandomAccessFile reader = new RandomAccessFile(file.toFile(), "r")) {
            long length = reader.length();
            if (length > bytesMax) {
                throw new IOException(
                        file + " is " + length + " bytes long, more than the " + bytesMax + " that are read");
            }
            byte[] bytes = new byte[Math.toIntExact(length)];
            int read = 0;
            // A writer beside may cut the file shorter meanwhile (a read-only view takes no lock): what is left counts.
            while (read < bytes.length) {
                int more = reader.read(bytes, read, bytes.length - read);
                if (more < 0) {
                    return Arrays.copyOf(bytes, read);
                }
                read += more;
            }
            return bytes;
        }
    }

    @Override
    public WritableFile open(Path file) throws IOException {
        RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw");
        return new WritableFile() {
            @Override
            public void write(long position, byte[] bytes) throws IOException {
                opened.seek(position);
                opened.write(bytes);
            }

            @Override
            public void truncate(long length) throws IOException {
                opened.setLength(length);
            }

            @Override
            public void force() throws IOException {
                opened.getFD().sync();
            }

            @Override
            public void close() throws IOException {
                opened.close();
            }
        };
    }

    @Override
    public void delete(Path file) throws IOException {
        Files.deleteIfExists(file);
    }

    @Override
    public void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    @Override
    public void forceFolder(Path folder) throws IOException {
        // A folder can be opened only as a channel, and an interrupt closes channels: put it off until this is done.
        boolean interrupted = false;
        try {
            while (true) {
                interrupted |= Thread.interrupted();
                try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                    channel.force(true);
                    return;
                } catch (ClosedByInterruptException again) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
