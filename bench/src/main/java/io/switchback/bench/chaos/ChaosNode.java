package io.switchback.bench.chaos;

import io.switchback.cli.admin.AdminClient;
import io.switchback.fleet.Endpoint;
import io.switchback.testkit.Await;
import io.switchback.testkit.Signals;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/** A node in a process of its own, on ports that stay the same when it is started again. For one thread at a time. */
final class ChaosNode implements AutoCloseable {
    static final String CACHE = "sessions";

    private static final Duration READY_LIMIT = Duration.ofSeconds(90);
    // Below the range from which the system takes the ports of outgoing connections, so that none takes it meanwhile.
    private static final int PORT_MIN = 10_240;
    private static final int PORT_MAX = 32_700;
    private static final String TOKEN = "token-of-the-chaos";

    private final int number;
    private final Path folder;
    private final Path file;
    private final int port = freePort();
    private final int adminPort = freePort();
    private @Nullable Process process;
    private boolean stopped;
    private int starts;

    ChaosNode(int number, Path folder, String ledger, int bluePort, int greenPort) {
        this.number = number;
        this.folder = folder;
        this.file = folder.resolve("node-" + number + ".yaml");
        try {
            Files.writeString(file, """
                    node: node-%1$d
                    admin: { listen: "127.0.0.1:%2$d", token: %3$s }
                    ledger: zookeeper://%4$s
                    data: ./data-%1$d
                    caches:
                      sessions:
                        listen: "127.0.0.1:%5$d"
                        active: blue
                        fleets:
                          blue: { standalone: "127.0.0.1:%6$d" }
                          green: { standalone: "127.0.0.1:%7$d" }
                    """.formatted(number, adminPort, TOKEN, ledger, port, bluePort, greenPort));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    int number() {
        return number;
    }

    int port() {
        return port;
    }

    AdminClient admin() {
        return new AdminClient(new Endpoint("127.0.0.1", adminPort), TOKEN);
    }

    /** Whether it runs and is not stopped. */
    boolean isUp() {
        Process running = process;
        return running != null && running.isAlive() && !stopped;
    }

    void start() {
        starts++;
        try {
            process = new ProcessBuilder(
                            ProcessHandle.current().info().command().orElse("java"),
                            "-XX:+UseSerialGC",
                            "-Xmx256m",
                            "-XX:TieredStopAtLevel=1",
                            "--enable-native-access=ALL-UNNAMED",
                            "--sun-misc-unsafe-memory-access=allow",
                            "-cp",
                            System.getProperty("java.class.path"),
                            "io.switchback.cli.Main",
                            "serve",
                            file.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(log(starts))
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private File log(int start) {
        return folder.resolve("node-" + number + "." + start + ".log").toFile();
    }

    /** Waits until its admin API answers: then it serves. */
    void awaitReady() {
        Await.until(READY_LIMIT, "node " + number + " to be ready", () -> {
            if (!java.util.Objects.requireNonNull(process).isAlive()) {
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

    void kill() {
        Process running = process;
        if (running != null) {
            running.destroyForcibly();
            Await.until(READY_LIMIT, "node " + number + " to be gone", () -> !running.isAlive());
        }
        stopped = false;
    }

    void stop() {
        if (isUp()) {
            Signals.send("STOP", java.util.Objects.requireNonNull(process));
            stopped = true;
        }
    }

    void resume() {
        if (stopped) {
            Signals.send("CONT", java.util.Objects.requireNonNull(process));
            stopped = false;
        }
    }

    /** Has it write what all its threads do into its log. */
    void dumpThreads() {
        Process running = process;
        if (running != null && isUp()) {
            Signals.send("QUIT", running);
        }
    }

    /** Whatever was done to it, it runs again. */
    void heal() {
        resume();
        if (!isUp()) {
            start();
        }
    }

    @Override
    public void close() {
        kill();
    }

    private static int freePort() {
        while (true) {
            int candidate = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX);
            try (ServerSocket socket = new ServerSocket()) {
                socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), candidate));
                return candidate;
            } catch (java.net.BindException taken) {
                // Another one, then.
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
