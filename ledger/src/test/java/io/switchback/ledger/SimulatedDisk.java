package io.switchback.ledger;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;

/**
 * A disk in memory that forgets as a real one may: what was written since the last force may be there in any part after a power cut, and
 * renames that were not forced may not. It can end everything at any operation, and fail any operation half way.
 */
final class SimulatedDisk implements Disk {
    /** What a disk writes or does not write, as one. Small, so that records are torn in many ways. */
    private static final int SECTOR_BYTES = 16;

    /** The process or the machine stops here. */
    static final class Cut extends Error {
        private static final long serialVersionUID = 1;
    }

    private sealed interface Write {
        record Bytes(int position, byte[] bytes) implements Write {}

        record Length(int length) implements Write {}
    }

    private static final class File {
        /** What a program reads. */
        byte[] view = new byte[0];
        /** What the disk holds for certain. */
        byte[] durable = new byte[0];
        /** Between the two, in order. */
        List<Write> pending = new ArrayList<>();
    }

    /** One change of the folder, atomic also when the power is cut: a name that is given, a name that is taken away. */
    private record NameChange(Optional<Path> given, Optional<Path> taken, File file) {}

    private final Random random;
    private Map<Path, File> names = new HashMap<>();
    private Map<Path, File> durableNames = new HashMap<>();
    private List<NameChange> pendingNames = new ArrayList<>();

    /** Operations that change something, since the last arming. */
    private int operations;

    private int cutAt = Integer.MAX_VALUE;
    private int failAt = Integer.MAX_VALUE;
    private boolean cut;

    SimulatedDisk(Random random) {
        this.random = random;
    }

    /** Ends everything at the {@code n}th operation from now. */
    void cutAt(int n) {
        operations = 0;
        cutAt = n;
    }

    /** Fails the {@code n}th operation from now, once. */
    void failAt(int n) {
        operations = 0;
        failAt = n;
    }

    int operations() {
        return operations;
    }

    /** A new process on the same machine: the page cache is there. */
    void restartProcess() {
        cut = false;
        cutAt = Integer.MAX_VALUE;
        failAt = Integer.MAX_VALUE;
    }

    /** The machine after a power cut. */
    void restartMachine() {
        restartProcess();
        names = new HashMap<>(durableNames);
        int kept = random.nextInt(pendingNames.size() + 1);
        for (NameChange change : pendingNames.subList(0, kept)) {
            change.taken().ifPresent(names::remove);
            change.given().ifPresent(path -> names.put(path, change.file()));
        }
        durableNames = new HashMap<>(names);
        pendingNames = new ArrayList<>();
        for (File file : names.values()) {
            for (Write write : file.pending) {
                file.durable = torn(file.durable, write);
            }
            file.pending = new ArrayList<>();
            file.view = file.durable.clone();
        }
    }

    @Override
    public void createFolder(Path folder) throws IOException {
        Files.createDirectories(folder);
    }

    @Override
    public boolean exists(Path file) {
        checkRunning();
        return names.containsKey(file);
    }

    @Override
    public byte[] read(Path path, long bytesMax) throws IOException {
        checkRunning();
        File file = names.get(path);
        if (file == null) {
            throw new FileNotFoundException(path.toString());
        }
        return file.view.clone();
    }

    @Override
    public WritableFile open(Path path) throws IOException {
        File known = names.get(path);
        if (known == null) {
            known = new File();
            step(() -> {}, () -> {});
            names.put(path, known);
            pendingNames.add(new NameChange(Optional.of(path), Optional.empty(), known));
        }
        File file = known;
        return new WritableFile() {
            @Override
            public void write(long position, byte[] bytes) throws IOException {
                step(() -> apply(file, new Write.Bytes((int) position, bytes.clone())), () -> {
                    int part = random.nextInt(bytes.length + 1);
                    apply(file, new Write.Bytes((int) position, Arrays.copyOf(bytes, part)));
                });
            }

            @Override
            public void truncate(long length) throws IOException {
                step(() -> apply(file, new Write.Length((int) length)), () -> {});
            }

            @Override
            public void force() throws IOException {
                step(
                        () -> {
                            for (Write write : file.pending) {
                                file.durable = whole(file.durable, write);
                            }
                            file.pending = new ArrayList<>();
                        },
                        // A failed force marks the pages clean: they can be read, and will never be written.
                        () -> file.pending = new ArrayList<>());
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public void delete(Path path) throws IOException {
        if (exists(path)) {
            step(() -> remove(path), () -> {});
        }
    }

    @Override
    public void rename(Path from, Path to) throws IOException {
        File file = names.get(from);
        if (file == null) {
            throw new FileNotFoundException(from.toString());
        }
        step(
                () -> {
                    names.put(to, file);
                    names.remove(from);
                    pendingNames.add(new NameChange(Optional.of(to), Optional.of(from), file));
                },
                () -> {});
    }

    @Override
    public void forceFolder(Path folder) throws IOException {
        step(
                () -> {
                    durableNames = new HashMap<>(names);
                    pendingNames = new ArrayList<>();
                },
                () -> {});
    }

    private void remove(Path path) {
        File file = names.remove(path);
        if (file != null) {
            pendingNames.add(new NameChange(Optional.empty(), Optional.of(path), file));
        }
    }

    private void step(Runnable work, Runnable part) throws IOException {
        checkRunning();
        operations++;
        if (operations == cutAt) {
            cut = true;
            // Before it, in the middle of it, or right after it.
            switch (random.nextInt(3)) {
                case 0 -> work.run();
                case 1 -> part.run();
                default -> {}
            }
            throw new Cut();
        }
        if (operations == failAt) {
            part.run();
            throw new IOException("made to fail");
        }
        work.run();
    }

    private void checkRunning() {
        if (cut) {
            throw new Cut();
        }
    }

    private static void apply(File file, Write write) {
        file.view = whole(file.view, write);
        file.pending.add(write);
    }

    private static byte[] whole(byte[] content, Write write) {
        return switch (write) {
            case Write.Bytes(int position, byte[] bytes) -> {
                byte[] result = Arrays.copyOf(content, Math.max(content.length, position + bytes.length));
                System.arraycopy(bytes, 0, result, position, bytes.length);
                yield result;
            }
            case Write.Length(int length) -> Arrays.copyOf(content, length);
        };
    }

    /** What of a write that was not forced the disk may hold: any of its sectors, and perhaps the new length. */
    private byte[] torn(byte[] content, Write write) {
        switch (random.nextInt(4)) {
            case 0 -> {
                return content;
            }
            case 1 -> {
                return whole(content, write);
            }
            default -> {}
        }
        if (!(write instanceof Write.Bytes(int position, byte[] bytes))) {
            return content;
        }
        byte[] result = content;
        for (int at = 0; at < bytes.length; at += SECTOR_BYTES) {
            if (random.nextBoolean()) {
                byte[] sector = Arrays.copyOfRange(bytes, at, Math.min(bytes.length, at + SECTOR_BYTES));
                result = whole(result, new Write.Bytes(position + at, sector));
            }
        }
        return result;
    }
}
