package io.switchback.server;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** A small file system in memory that can really be filled; a test is skipped where this process may not mount one. */
final class SmallDisk implements AutoCloseable {
    private static final int COMMAND_LIMIT_S = 20;
    private static final String BALLAST = "ballast";

    private final Path folder;

    private SmallDisk(Path folder) {
        this.folder = folder;
    }

    static SmallDisk mount(Path folder, int kibibytes) {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        assumeTrue(
                run("mount", "-t", "tmpfs", "-o", "size=" + kibibytes + "k", "switchback-test", folder.toString()),
                "skipped: mounting a small file system is not allowed here, so that no disk can be filled");
        return new SmallDisk(folder);
    }

    /** Leaves no page free. */
    void fill() {
        try (OutputStream ballast = Files.newOutputStream(folder.resolve(BALLAST))) {
            byte[] page = new byte[4096];
            while (folder.toFile().getUsableSpace() > 0) {
                ballast.write(page);
            }
        } catch (IOException full) {
            // As it should be.
        }
    }

    /** Takes away what {@link #fill} has written. */
    void empty() {
        try {
            Files.delete(folder.resolve(BALLAST));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        run("umount", "-l", folder.toString());
    }

    private static boolean run(String... command) {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            return process.waitFor(COMMAND_LIMIT_S, TimeUnit.SECONDS) && process.exitValue() == 0;
        } catch (IOException noSuchCommand) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
