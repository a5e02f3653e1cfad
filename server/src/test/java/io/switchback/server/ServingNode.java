package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Environment;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.Await;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * A node in a process of its own that serves, begins a release, and says where that stands, until it is killed.
 *
 * <p>Arguments of the process: node file, release file.
 */
final class ServingNode implements AutoCloseable {
    private static final Duration WHOLE_TEST = Duration.ofMinutes(5);

    private final Process process;
    private final Path output;

    private ServingNode(Process process, Path output) {
        this.process = process;
        this.output = output;
    }

    public static void main(String[] arguments) {
        try (Node node = Node.start(NodeFile.read(Path.of(arguments[0])), Environment.system())) {
            say("serves");
            String release = ReleaseFile.read(Path.of(arguments[1])).name();
            Await.until(WHOLE_TEST, "the word to begin", () -> Files.exists(Path.of(arguments[1] + ".begin")));
            node.releases().start(ReleaseFile.read(Path.of(arguments[1])), "test");
            String[] last = {""};
            Await.until(WHOLE_TEST, "being killed", () -> {
                String now = line(node.releases().status(release).orElseThrow());
                if (!now.equals(last[0])) {
                    say(now);
                    last[0] = now;
                }
                return false;
            });
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

    static ServingNode start(TwoFleets fleets, ReleaseFile release) {
        Path file = fleets.write("release.yaml", release.sourceText());
        Path output = fleets.folder.resolve("node.log");
        try {
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
                            fleets.folder.resolve("node.yaml").toString(),
                            file.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            ServingNode node = new ServingNode(process, output);
            node.awaitSaid("serves");
            return node;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Has it begin its release. */
    void begin(TwoFleets fleets) {
        fleets.write("release.yaml.begin", "");
    }

    /** Waits until it has said something; fails at once where it has ended. */
    void awaitSaid(String what) {
        Await.until(TwoFleets.STEP_LIMIT, "the node to say: " + what, () -> {
            if (!process.isAlive()) {
                throw new AssertionError("the node has ended; it said:\n" + said());
            }
            return said().contains(what);
        });
    }

    private String said() {
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

    @Override
    public void close() {
        kill();
    }
}
