package io.switchback.cli.demo;

import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Which two servers the demo moves between: an old and a new one where two can be had, else twice the one that ships with it. */
record DemoServers(ServerBinary old, ServerBinary fresh, String why) {
    /** The pairs that tell most, best first: each is one that native replication cannot take back. */
    private static final List<List<String>> PAIRS = List.of(
            List.of("redis-7.0", "valkey-9.1"),
            List.of("redis-6.0", "valkey-9.1"),
            List.of("redis-7.0", "redis-8.0"),
            List.of("redis-6.0", "redis-7.0"),
            List.of("redis-7.0", "valkey-8.1"));

    private static final int FETCH_LIMIT_S = 45;

    static DemoServers choose(PrintStream out) {
        Optional<DemoServers> found = pair();
        if (found.isPresent()) {
            return found.get();
        }
        if (fetched(out)) {
            found = pair();
        }
        return found.orElseGet(
                () -> new DemoServers(
                        ServerBinary.embedded(),
                        ServerBinary.embedded(),
                        "no two servers of different versions are here (scripts/fetch-servers fetches some on Debian), so both are the one that ships with the demo"));
    }

    private static Optional<DemoServers> pair() {
        for (List<String> pair : PAIRS) {
            Optional<ServerBinary> old = ServerBinary.named(pair.getFirst());
            Optional<ServerBinary> fresh = ServerBinary.named(pair.getLast());
            if (old.isPresent() && fresh.isPresent()) {
                return Optional.of(new DemoServers(
                        old.get(), fresh.get(), "native replication cannot go back from " + pair.getLast()));
            }
        }
        return Optional.empty();
    }

    /** Has the project's script fetch a pair, where there is a script and it can; the demo goes on without, if not. */
    private static boolean fetched(PrintStream out) {
        Path script = Path.of(System.getProperty("switchback.home", "."), "scripts", "fetch-servers");
        if (!Files.isExecutable(script) || !Files.isExecutable(Path.of("/usr/bin/apt-get"))) {
            return false;
        }
        out.println("Fetching two servers of different versions (once, into a cache folder, nothing is installed) ...");
        try {
            Process process = new ProcessBuilder(script.toString(), "redis-7.0", "valkey-9.1")
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!process.waitFor(FETCH_LIMIT_S, TimeUnit.SECONDS)) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
                out.println("That took more than " + FETCH_LIMIT_S + " s; going on without.");
                return false;
            }
            return process.exitValue() == 0;
        } catch (IOException e) {
            out.println("That did not work (" + e.getMessage() + "); going on without.");
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }
}
