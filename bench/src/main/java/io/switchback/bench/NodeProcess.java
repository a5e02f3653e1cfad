package io.switchback.bench;

import io.switchback.cli.admin.AdminClient;
import io.switchback.fleet.Endpoint;
import io.switchback.testkit.ChildProcesses;
import io.switchback.testkit.Ports;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisException;

/** A node in a process of its own, as a user starts it: {@code switchback serve node.yaml}. For one thread. */
final class NodeProcess implements AutoCloseable {
    private static final String TOKEN = "bench-token";
    private static final Duration READY_LIMIT = Duration.ofMinutes(3); // it may have to be built first
    private static final Duration END_LIMIT = Duration.ofSeconds(20);
    private static final Duration POLL = Duration.ofMillis(50);

    private final Path launcher;
    private final Path folder;
    private final Path nodeFile;
    private final int port;
    private final int adminPort;
    private final Process process;

    private NodeProcess(Path launcher, Path folder, String cache) {
        this.launcher = launcher;
        this.folder = folder;
        this.port = Ports.free();
        this.adminPort = Ports.free();
        this.nodeFile = folder.resolve("node.yaml");
        String text = """
                node: bench
                admin: { listen: 127.0.0.1:%d, token: %s }
                ledger: embedded:./data
                caches:
                  bench:
                    listen: 127.0.0.1:%d
                %s""".formatted(adminPort, TOKEN, port, cache.indent(4));
        try {
            Files.createDirectories(folder);
            Files.writeString(nodeFile, text);
            this.process = launch("serve", nodeFile.toString());
            ChildProcesses.started(process); // it is not to outlive this process, should that be interrupted
        } catch (IOException e) {
            throw new UncheckedIOException("The node cannot be started", e);
        }
    }

    /** Returns once the node serves the cache from the blue fleet. */
    static NodeProcess start(Path launcher, Path folder, RealServer blue, RealServer green) {
        return start(launcher, folder, """
                active: blue
                fleets:
                  blue: { standalone: 127.0.0.1:%d }
                  green: { standalone: 127.0.0.1:%d }
                """.formatted(blue.port(), green.port()));
    }

    /**
     * Returns once the node serves the cache.
     *
     * @param cache what its file says of the cache, but for the address at which {@link #port} listens
     */
    static NodeProcess start(Path launcher, Path folder, String cache) {
        NodeProcess node = new NodeProcess(launcher, folder, cache);
        try {
            node.awaitReady();
            return node;
        } catch (RuntimeException e) {
            node.close();
            throw e;
        }
    }

    int port() {
        return port;
    }

    /** The node's admin API. */
    AdminClient admin() {
        return new AdminClient(new Endpoint("127.0.0.1", adminPort), TOKEN);
    }

    long processId() {
        return process.pid();
    }

    /** A count of the page for Prometheus, over all that it is said of. */
    double count(String name) {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + adminPort + "/metrics"))
                .header("Authorization", "Bearer " + TOKEN)
                .build();
        try (HttpClient client = HttpClient.newHttpClient()) {
            return client.send(request, HttpResponse.BodyHandlers.ofString())
                    .body()
                    .lines()
                    .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
                    .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                    .sum();
        } catch (IOException e) {
            throw new UncheckedIOException("The node's counts cannot be read", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted", e);
        }
    }

    /** The folder that release files may be put into. */
    Path folder() {
        return folder;
    }

    /** Runs a short command of the launcher against this node and returns what it printed; throws where it fails. */
    String command(String... arguments) {
        try {
            Process command = launch(arguments);
            try {
                if (!command.waitFor(READY_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                    throw new IllegalStateException("switchback " + String.join(" ", arguments) + " does not end");
                }
            } finally {
                command.destroyForcibly();
            }
            String output = Files.readString(outputOf(arguments[0]));
            if (command.exitValue() != 0) {
                throw new IllegalStateException("switchback " + String.join(" ", arguments) + " ended with "
                        + command.exitValue() + ": " + output);
            }
            return output;
        } catch (IOException e) {
            throw new UncheckedIOException("switchback cannot be run", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted", e);
        }
    }

    private Process launch(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(launcher.toString()));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(outputOf(arguments[0]).toFile())
                .start();
    }

    private Path outputOf(String command) {
        return folder.resolve(command + ".out");
    }

    private void awaitReady() {
        long giveUpAt = System.nanoTime() + READY_LIMIT.toNanos();
        String last = "no answer";
        while (System.nanoTime() - giveUpAt < 0 && process.isAlive()) {
            try (Jedis client = new Jedis("127.0.0.1", port, 2_000)) {
                client.ping();
                return;
            } catch (JedisException e) {
                last = String.valueOf(e.getMessage());
            }
            Pause.of(POLL);
        }
        String why = process.isAlive() ? last : "it ended with exit code " + process.exitValue();
        throw new IllegalStateException("The node does not serve: " + why + "\n" + output());
    }

    private String output() {
        try {
            return Files.readString(outputOf("serve"), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "(its output cannot be read: " + e.getMessage() + ")";
        }
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(END_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
            }
            ChildProcesses.ended(process);
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
