package io.switchback.bench;

import io.switchback.cli.admin.AdminClient;
import io.switchback.fleet.Endpoint;
import io.switchback.testkit.Await;
import io.switchback.testkit.ChildProcesses;
import io.switchback.testkit.Ports;
import io.switchback.testkit.Signals;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A node in a process of its own, on ports that stay the same when it is started again. For one thread at a time. */
public final class ChildNode implements AutoCloseable {
    /** The cache that every node serves. */
    public static final String CACHE = "sessions";

    private static final Duration READY_LIMIT = Duration.ofSeconds(90);
    private static final String TOKEN = "token-of-the-bench";

    private final int number;
    private final Place place;
    private final Path folder;
    private final Path file;
    private final List<String> jvm;
    private final int port = Ports.free();
    private final int adminPort = Ports.free();
    private @Nullable Process process;
    private boolean stopped;
    private int starts;

    /**
     * Where a node is.
     *
     * @param address where it listens
     * @param entering what to put before a command so that it runs there
     */
    public record Place(String address, List<String> entering) {
        /** In the network of this process. */
        public static final Place HERE = new Place("127.0.0.1", List.of());

        public Place {
            entering = List.copyOf(entering);
        }
    }

    /**
     * Does not start it yet.
     *
     * @param folder that of all nodes; each has one of its own in it
     * @param ledger as a node's file says it
     * @param jvm options of its JVM
     */
    public ChildNode(
            int number, Place place, Path folder, String ledger, int bluePort, int greenPort, List<String> jvm) {
        this.number = number;
        this.place = place;
        this.folder = folder.resolve("node-" + number);
        this.file = this.folder.resolve("node.yaml");
        this.jvm = List.copyOf(jvm);
        try {
            Files.createDirectories(this.folder);
            Files.writeString(file, """
                    node: node-%1$d
                    admin: { listen: "%9$s:%2$d", token: %3$s }
                    ledger: %4$s
                    caches:
                      %5$s:
                        listen: "%9$s:%6$d"
                        active: blue
                        fleets:
                          blue: { standalone: "127.0.0.1:%7$d" }
                          green: { standalone: "127.0.0.1:%8$d" }
                    """.formatted(
                            number, adminPort, TOKEN, ledger, CACHE, port, bluePort, greenPort, place.address()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public int number() {
        return number;
    }

    public String address() {
        return place.address();
    }

    public int port() {
        return port;
    }

    public AdminClient admin() {
        return new AdminClient(new Endpoint(place.address(), adminPort), TOKEN);
    }

    /** Whether it runs and is not stopped. */
    public boolean isUp() {
        Process running = process;
        return running != null && running.isAlive() && !stopped;
    }

    public void start() {
        starts++;
        List<String> command = new ArrayList<>(place.entering());
        command.add(ProcessHandle.current().info().command().orElse("java"));
        command.addAll(jvm);
        command.addAll(List.of(
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-cp",
                System.getProperty("java.class.path"),
                "io.switchback.cli.Main",
                "serve",
                file.toString()));
        try {
            Process started = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(log(starts))
                    .start();
            ChildProcesses.started(started);
            process = started;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private File log(int start) {
        return folder.resolve("node." + start + ".log").toFile();
    }

    /** Waits until its admin API answers: then it serves. */
    public void awaitReady() {
        Await.until(READY_LIMIT, "node " + number + " to be ready", () -> {
            if (!Objects.requireNonNull(process).isAlive()) {
                throw new AssertionError("node " + number + " has ended: see " + log(starts));
            }
            try {
                admin().read("/v1/node");
                return true;
            } catch (AdminClient.Unreachable | AdminClient.Refused e) {
                return false;
            }
        });
    }

    public void kill() {
        Process running = process;
        if (running != null) {
            running.destroyForcibly();
            Await.until(READY_LIMIT, "node " + number + " to be gone", () -> !running.isAlive());
            ChildProcesses.ended(running);
        }
        stopped = false;
    }

    public void stop() {
        if (isUp()) {
            Signals.send("STOP", Objects.requireNonNull(process));
            stopped = true;
        }
    }

    public void resume() {
        if (stopped) {
            Signals.send("CONT", Objects.requireNonNull(process));
            stopped = false;
        }
    }

    /** Has it write what all its threads do into its log. */
    public void dumpThreads() {
        Process running = process;
        if (running != null && isUp()) {
            Signals.send("QUIT", running);
        }
    }

    /** Whatever was done to it, it runs again. */
    public void heal() {
        resume();
        if (!isUp()) {
            start();
        }
    }

    @Override
    public void close() {
        kill();
    }
}
