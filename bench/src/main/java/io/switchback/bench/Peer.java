package io.switchback.bench;

import io.switchback.bench.ThroughputBench.Target;
import io.switchback.testkit.Ports;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Another proxy in front of the same server, of those that Debian ships, with one thread and nothing configured that it can do without.
 * For one thread.
 */
final class Peer implements AutoCloseable {
    private static final Duration READY_LIMIT = Duration.ofSeconds(10);
    private static final Duration END_LIMIT = Duration.ofSeconds(10);
    private static final Duration POLL = Duration.ofMillis(20);
    private static final int CLIENTS_MAX = 9_000;

    private final Target target;
    private final Process process;

    private Peer(Target target, Process process) {
        this.target = target;
        this.process = process;
    }

    Target target() {
        return target;
    }

    /** twemproxy, which multiplexes commands as Switchback does; empty where it is not installed. */
    static Optional<Peer> nutcracker(Path folder, int serverPort) {
        int port = Ports.free();
        return installed("nutcracker")
                .map(program -> start(
                        "nutcracker",
                        port,
                        folder,
                        """
                cache:
                  listen: 127.0.0.1:%d
                  redis: true
                  distribution: ketama
                  hash: fnv1a_64
                  servers:
                   - 127.0.0.1:%d:1
                """.formatted(port, serverPort),
                        List.of(program, "-s", Integer.toString(Ports.free()), "-c")));
    }

    /** Passes bytes on, over a connection to the server for each of a client: a relay that understands nothing; empty where it is not installed. */
    static Optional<Peer> haproxy(Path folder, int serverPort) {
        int port = Ports.free();
        return installed("haproxy")
                .map(program -> start(
                        "haproxy",
                        port,
                        folder,
                        """
                global
                  nbthread 1
                  maxconn %d
                defaults
                  mode tcp
                  timeout connect 5s
                  timeout client 1h
                  timeout server 1h
                frontend clients
                  bind 127.0.0.1:%d
                  default_backend servers
                backend servers
                  server cache 127.0.0.1:%d
                """.formatted(CLIENTS_MAX, port, serverPort),
                        List.of(program, "-db", "-f")));
    }

    private static Optional<String> installed(String program) {
        return List.of("/usr/sbin", "/usr/bin", "/usr/local/bin").stream()
                .map(folder -> Path.of(folder, program))
                .filter(Files::isExecutable)
                .map(Path::toString)
                .findFirst();
    }

    private static Peer start(String name, int port, Path folder, String configuration, List<String> command) {
        Path file = folder.resolve(name + ".conf");
        Process process;
        try {
            Files.createDirectories(folder);
            Files.writeString(file, configuration);
            process = new ProcessBuilder(Stream.concat(command.stream(), Stream.of(file.toString()))
                            .toList())
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve(name + ".out").toFile())
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(name + " cannot be started", e);
        }
        Peer peer = new Peer(new Target(name, port, process.pid()), process);
        try {
            peer.awaitReady();
            return peer;
        } catch (RuntimeException e) {
            peer.close();
            throw e;
        }
    }

    private void awaitReady() {
        long giveUpAt = System.nanoTime() + READY_LIMIT.toNanos();
        while (System.nanoTime() - giveUpAt < 0 && process.isAlive()) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), target.port()), 1_000);
                return;
            } catch (IOException e) {
                Pause.of(POLL);
            }
        }
        throw new IllegalStateException(target.name() + " does not listen");
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(END_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
