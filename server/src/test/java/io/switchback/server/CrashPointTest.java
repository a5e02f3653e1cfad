package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/**
 * L7: a node dies at every write to its ledger, just before it and just after it, in a release that goes forward, back, forward
 * and finishes. Started again, it always reaches the end by itself, and no server is left read-only.
 *
 * <p>Every build tries the decision of each switch, and each {@link #STRIDE}th point of the rest (of releases whose links apply each {@link #STRIDE_OF_APPLY}th);
 * {@code -Dswitchback.crash-points=all} tries them all. They mostly wait, so two run at a time.
 */
final class CrashPointTest {
    private static final int STRIDE = 12;
    private static final int STRIDE_OF_APPLY = 24;
    private static final int PROCESS_LIMIT_S = 120;

    @TempDir
    private Path folder;

    @TestFactory
    @Execution(ExecutionMode.CONCURRENT)
    List<DynamicTest> aNodeThatDiesAtAnyWriteReachesTheEndWhenItIsStartedAgain() throws Exception {
        return points("relay", server(), server(), STRIDE);
    }

    /** The first move is to an older version, which can follow no relay. */
    @TestFactory
    @Execution(ExecutionMode.CONCURRENT)
    List<DynamicTest> soItDoesWhereTheLinksApply() throws Exception {
        Optional<ServerBinary> newer = ServerBinary.named("valkey-9.1");
        return newer.isPresent() ? points("apply", newer.get(), server(), STRIDE_OF_APPLY) : List.of();
    }

    private List<DynamicTest> points(String kind, ServerBinary old, ServerBinary fresh, int stride) throws Exception {
        Path own = Files.createDirectory(folder.resolve(kind));
        String whole = aWholeRelease(old, fresh, own);
        int writes = writes(whole);
        Set<Integer> decisions = numbers(whole, NodeProcess.DECISION).collect(Collectors.toSet());
        assertThat(decisions).as("switches that were decided").hasSize(3);
        boolean all = System.getProperty("switchback.crash-points", "").equals("all");
        // The first point moves from build to build no more than the code does: a failure is found again.
        return IntStream.rangeClosed(1, writes)
                .filter(write -> all || write % stride == 0 || decisions.contains(write))
                .boxed()
                .flatMap(write -> List.of("before", "after").stream()
                        .map(when -> DynamicTest.dynamicTest(
                                kind + " dies " + when + " write " + write + " of " + writes,
                                () -> diesAt(write, when, old, fresh, own))))
                .toList();
    }

    /**
     * A server of 7.0 or later, where there is one. Up to 6.2 a server throws its place in the stream away when its primary is
     * killed between its PSYNC and the answer, so that a killed node can close the way back, which is then said, and not tested here.
     */
    private static ServerBinary server() {
        return ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
    }

    /** What a node says that leads a release through and is not killed. */
    private static String aWholeRelease(ServerBinary old, ServerBinary fresh, Path folder) throws Exception {
        Path own = Files.createDirectory(folder.resolve("counting"));
        try (TwoFleets fleets = TwoFleets.start(old, fresh, own)) {
            return run(fleets, 0, "before").demand(0);
        }
    }

    private static int writes(String said) {
        return numbers(said, "writes ").findFirst().orElseThrow();
    }

    private static Stream<Integer> numbers(String output, String before) {
        return output.lines()
                .filter(line -> line.startsWith(before))
                .map(line -> Integer.valueOf(line.substring(before.length())));
    }

    private static void diesAt(int write, String when, ServerBinary old, ServerBinary fresh, Path folder)
            throws Exception {
        Path own = Files.createDirectory(folder.resolve(write + when));
        try (TwoFleets fleets = TwoFleets.start(old, fresh, own)) {
            fleets.blue.call("SET", "before", "1");
            Outcome first = run(fleets, write, when);
            if (first.exit() == 0) {
                // One run makes a few writes less than another: it has reached its end before that point.
                assertThat(writes(first.said())).isLessThan(write);
            } else {
                first.demand(NodeProcess.DIED);
                run(fleets, 0, when).demand(0);
            }
            assertThat(fleets.green.info("replication", "role")).isEqualTo("master");
            assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");
            assertThat(fleets.green.text("GET", "before")).isEqualTo("1");
            assertThat(String.valueOf(fleets.green.call("KEYS", "switchback:reserved:*")))
                    .isEqualTo("[]");
            assertThat(String.valueOf(fleets.blue.call("CONFIG", "GET", "min-replicas-to-write")))
                    .contains("0");
        }
    }

    /** How a node ended, and what it said. */
    private record Outcome(int exit, String said) {
        String demand(int expectedExit) {
            assertThat(exit).as("exit code; it said:\n%s", said).isEqualTo(expectedExit);
            return said;
        }
    }

    /** Runs the node until it ends. */
    private static Outcome run(TwoFleets fleets, int write, String when) throws IOException, InterruptedException {
        Path release = fleets.write(
                "release.yaml", TwoFleets.release("r", "hold: { limit: 5s }").sourceText());
        Path output = fleets.folder.resolve("node-" + write + when + ".log");
        Process process = new ProcessBuilder(
                        ProcessHandle.current().info().command().orElse("java"),
                        "-XX:+UseSerialGC",
                        "-Xmx256m",
                        "-XX:TieredStopAtLevel=1",
                        "--enable-native-access=ALL-UNNAMED",
                        "--sun-misc-unsafe-memory-access=allow",
                        "-cp",
                        System.getProperty("java.class.path"),
                        NodeProcess.class.getName(),
                        fleets.folder.resolve("node.yaml").toString(),
                        release.toString(),
                        Integer.toString(write),
                        when)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertThat(process.waitFor(PROCESS_LIMIT_S, TimeUnit.SECONDS))
                    .as("the node ended; it said:\n%s", Files.readString(output, UTF_8))
                    .isTrue();
            return new Outcome(process.exitValue(), Files.readString(output, UTF_8));
        } finally {
            process.destroyForcibly();
        }
    }
}
