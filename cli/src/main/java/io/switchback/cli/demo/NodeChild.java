package io.switchback.cli.demo;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A node in a process of its own, as a user would run it: {@code switchback serve}. */
final class NodeChild implements AutoCloseable {
    private static final int START_LIMIT_S = 30;
    private static final int STOP_LIMIT_S = 10;

    private final Process process;
    private final Path log;

    private NodeChild(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    static NodeChild start(Path nodeFile, Path log) throws InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-cp",
                System.getProperty("java.class.path"),
                "io.switchback.cli.Main",
                "serve",
                nodeFile.toString()));
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            // Also when this process is interrupted: a node would go on for ever.
            Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(process::destroyForcibly));
            NodeChild child = new NodeChild(process, log);
            child.awaitServing();
            return child;
        } catch (IOException e) {
            throw new UncheckedIOException("the node could not be started", e);
        }
    }

    private void awaitServing() throws InterruptedException {
        long giveUpAt = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_LIMIT_S);
        while (!said().contains(" serves")) {
            if (!process.isAlive() || System.nanoTime() > giveUpAt) {
                close();
                throw new IllegalStateException("the node did not start; it said:\n" + said());
            }
            Thread.sleep(20);
        }
    }

    /** Everything that the node has said. */
    String said() {
        try {
            return Files.readString(log, UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("the node's log cannot be read", e);
        }
    }

    /** Where the clients of the demo's cache connect. */
    int port() {
        String line = said().lines()
                .filter(one -> one.startsWith("cache "))
                .findFirst()
                .orElseThrow();
        return Integer.parseInt(line.replaceAll(".*:(\\d+)]?$", "$1"));
    }

    /** Where the admin API listens. */
    int adminPort() {
        String line = said().lines()
                .filter(one -> one.startsWith("admin API on "))
                .findFirst()
                .orElseThrow();
        return Integer.parseInt(line.replaceAll(".*:(\\d+)$", "$1"));
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(STOP_LIMIT_S, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
