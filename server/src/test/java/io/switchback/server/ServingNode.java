package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Environment;
import io.switchback.ledger.LedgerException;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.Await;
import io.switchback.testkit.Signals;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * A node in a process of its own that serves, begins a release when it is told to, and says where that stands, until it is killed.
 *
 * <p>Arguments of the process: node file, release file.
 */
final class ServingNode implements AutoCloseable {
    private static final Duration WHOLE_TEST = Duration.ofMinutes(5);

    private static final String SERVES = "serves on port ";

    private final Process process;
    private final Path output;
    private final Path begin;

    private ServingNode(Process process, Path output, Path begin) {
        this.process = process;
        this.output = output;
        this.begin = begin;
    }

    public static void main(String[] arguments) {
        try (Node node = Node.start(NodeFile.read(Path.of(arguments[0])), Environment.system())) {
            say(SERVES + node.addresses(TwoFleets.CACHE).getFirst().port());
            String release = ReleaseFile.read(Path.of(arguments[1])).name();
            Await.until(WHOLE_TEST, "the word to begin", () -> Files.exists(Path.of(arguments[1] + ".begin")));
            node.releases().start(ReleaseFile.read(Path.of(arguments[1])), "test");
            String[] last = {""};
            Await.until(WHOLE_TEST, "being killed", () -> {
                String now = line(node, release);
                if (!now.equals(last[0])) {
                    say(now);
                    last[0] = now;
                }
                return false;
            });
        }
    }

    private static String line(Node node, String release) {
        try {
            return line(node.releases().status(release).orElseThrow());
        } catch (LedgerException e) {
            return "without its ledger"; // as one that was stopped is for a while when it goes on
        }
    }

    private static void say(String what) {
        System.out.println(what);
    }

    private static String line(ReleaseStatus status) {
        ReleaseStatus.CacheStatus cache = status.caches().getFirst();
        return "at " + status.step() + " on " + status.side() + ", way back " + cache.wayBack() + ", link "
                + cache.link();
    }

    /** Starts a node and returns when it serves. */
    static ServingNode start(Path nodeFile, ReleaseFile release) {
        Path file = nodeFile.resolveSibling(nodeFile.getFileName() + ".release");
        Path output = nodeFile.resolveSibling(nodeFile.getFileName() + ".log");
        try {
            Files.writeString(file, release.sourceText());
            Process process = new ProcessBuilder(
                            ProcessHandle.current().info().command().orElse("java"),
                            "-XX:+UseSerialGC",
                            "-Xmx256m",
                            "-XX:TieredStopAtLevel=1",
                            "--enable-native-access=ALL-UNNAMED",
                            "--sun-misc-unsafe-memory-access=allow",
                            "-cp",
                            System.getProperty("java.class.path"),
                            ServingNode.class.getName(),
                            nodeFile.toString(),
                            file.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            ServingNode node = new ServingNode(process, output, Path.of(file + ".begin"));
            try {
                node.awaitSaid(SERVES);
            } catch (AssertionError e) {
                node.kill();
                throw e;
            }
            return node;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Has it begin its release. */
    void begin() {
        try {
            Files.writeString(begin, "");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Where clients connect. */
    int port() {
        return said().lines()
                .filter(line -> line.startsWith(SERVES))
                .mapToInt(line -> Integer.parseInt(line.substring(SERVES.length())))
                .findFirst()
                .orElseThrow();
    }

    /** Waits until it has said something; fails at once where it has ended. */
    void awaitSaid(String what) {
        try {
            Await.until(TwoFleets.STEP_LIMIT, "the node to say: " + what, () -> {
                if (!process.isAlive()) {
                    throw new AssertionError("the node has ended");
                }
                return said().contains(what);
            });
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + "; it said:\n" + said(), e);
        }
    }

    /** All that it has said and logged. */
    String said() {
        try {
            return Files.readString(output, UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** By SIGKILL; returns when it is gone. */
    void kill() {
        process.destroyForcibly();
        Await.until(TwoFleets.STEP_LIMIT, "the killed node to be gone", () -> !process.isAlive());
    }

    /** Stops it with SIGSTOP: its connections stay, and nothing of it moves until {@link #resume}. */
    void stop() {
        Signals.send("STOP", process);
    }

    /** Lets a stopped process go on. */
    void resume() {
        Signals.send("CONT", process);
    }

    @Override
    public void close() {
        kill();
    }
}
