package io.switchback.testkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * What this process has started and unpacked and must not leave behind: killed and deleted when it ends.
 *
 * <p>Any thread. A process that is itself killed with SIGKILL runs no such hook; nothing inside it could.
 */
public final class ChildProcesses {
    private static final long KILL_LIMIT_MS = 5_000;
    private static final Set<Process> RUNNING = ConcurrentHashMap.newKeySet();
    private static final Set<Path> FOLDERS = ConcurrentHashMap.newKeySet();

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(ChildProcesses::endAll, "testkit-ends-servers"));
    }

    private ChildProcesses() {}

    /** It is killed when this process ends. */
    public static void started(Process process) {
        RUNNING.add(process);
    }

    /** Somebody has ended it. */
    public static void ended(Process process) {
        RUNNING.remove(process);
    }

    static void deleteAtExit(Path folder) {
        FOLDERS.add(folder);
    }

    private static void endAll() {
        RUNNING.forEach(Process::destroyForcibly);
        try {
            for (Process process : RUNNING) {
                process.waitFor(KILL_LIMIT_MS, TimeUnit.MILLISECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        FOLDERS.forEach(ChildProcesses::delete);
    }

    static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            // The process is ending, loggers may be gone, and a folder in the system's temporary folder harms nobody.
        }
    }
}
