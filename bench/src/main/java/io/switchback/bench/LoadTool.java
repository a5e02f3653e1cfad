package io.switchback.bench;

import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * The servers' own redis-benchmark: a load that this project has no hand in. Different commands in one pipeline only Valkey's of 9.0 and later
 * can send.
 *
 * @param mixing that one, where it is there
 */
record LoadTool(Path program, Optional<Path> mixing) {
    /** What an application's cache may see: 11 of 16 read. */
    private static final List<String> MIX = List.of(
            "8 GET key:__rand_int__",
            "2 SET key:__rand_int__ __data__",
            "1 MGET key:__rand_int__ key:__rand_int__",
            "1 EXISTS key:__rand_int__",
            "1 HSET hash:__rand_int__ field __data__",
            "1 HGET hash:__rand_int__ field",
            "1 INCR counter:__rand_int__",
            "1 EXPIRE key:__rand_int__ 1000");

    /** How many commands that is. */
    static final int MIX_COMMANDS = 16;

    /** How many keys a command of {@link Case#MGET} or {@link Case#MSET} names; of the latter it is the tool's own number. */
    private static final int KEYS_OF_ONE_COMMAND = 10;

    private static final String KEY = "key:__rand_int__";
    /** Of a slot that belongs to the server to which a connection of a cluster client goes; the tool knows one for each. */
    private static final String KEY_OF_A_SHARD = "key:{tag}:__rand_int__";

    private static final int CONNECTIONS = 50;
    private static final long RUN_LIMIT_SECONDS = 120;

    /**
     * How clients come to the data.
     *
     * @param asClusterClient each connection goes to one of the primaries, and names keys of a slot that this one has
     * @param keys how many there are, or of a cluster client how many for each primary
     * @param options of the tool besides, such as those of TLS
     */
    record Way(int port, boolean asClusterClient, int keys, List<String> options) {
        static Way plain(int port, int keys) {
            return new Way(port, false, keys, List.of());
        }
    }

    /** As the tool reports it; times in milliseconds, each of a whole pipeline. */
    record Figures(double requestsPerSecond, double p50Ms, double p99Ms, List<String> command) {}

    /** That of the fetched servers, of Redis 7.0 if there is a choice. */
    static LoadTool find() {
        return ServerBinary.named("redis-7.0")
                .flatMap(binary -> binary.tool("benchmark"))
                .or(() -> ServerBinary.found().stream()
                        .flatMap(binary -> binary.tool("benchmark").stream())
                        .findFirst())
                .or(LoadTool::onPath)
                .map(program -> new LoadTool(program, mixer()))
                .orElseThrow(() -> new IllegalStateException(
                        "No redis-benchmark is there; fetch one with: scripts/fetch-servers redis-7.0"));
    }

    private static Optional<Path> mixer() {
        return ServerBinary.named("valkey-9.1").flatMap(binary -> binary.tool("benchmark"));
    }

    private static Optional<Path> onPath() {
        return List.of(System.getenv().getOrDefault("PATH", "").split(":")).stream()
                .map(folder -> Path.of(folder, "redis-benchmark"))
                .filter(path -> path.toFile().canExecute())
                .findFirst();
    }

    /** Runs so many requests; of a {@link Case#MIXED} case, whose pipeline is a multiple of {@link #MIX_COMMANDS}, so many commands. */
    Figures run(int port, Case what, int keys, long requests) {
        return run(Way.plain(port, keys), what, requests);
    }

    /** As {@link #run(int, Case, int, long)}, by that way. */
    Figures run(Way way, Case what, long requests) {
        Path tool = what.isMixed() ? mixing.orElseThrow() : program;
        int batches = what.isMixed() ? what.pipeline() / MIX_COMMANDS : what.pipeline();
        List<String> command = new ArrayList<>(List.of(tool.toString(), "-h", "127.0.0.1", "--csv"));
        command.addAll(List.of("-p", Integer.toString(way.port()), "-c", Integer.toString(CONNECTIONS)));
        command.addAll(List.of("-n", Long.toString(requests), "-P", Integer.toString(batches)));
        command.addAll(List.of("-d", Integer.toString(what.valueBytes()), "-r", Integer.toString(way.keys())));
        command.addAll(way.options());
        if (way.asClusterClient()) {
            command.addAll(List.of("--cluster", "--threads", "1")); // as many threads as the others have
        }
        if (what.isMixed()) {
            command.add("--");
            command.addAll(List.of(String.join(" ; ", MIX).split(" ")));
        } else if (what.operation().equals(Case.MGET)) {
            command.add("MGET");
            command.addAll(Collections.nCopies(KEYS_OF_ONE_COMMAND, way.asClusterClient() ? KEY_OF_A_SHARD : KEY));
        } else {
            command.addAll(List.of("-t", what.operation()));
        }
        String title = what.isMixed() ? MIX.getFirst() : what.operation();
        String output = run(command);
        return output.lines()
                .map(line -> line.replace("\"", "").split(",", -1))
                .filter(fields -> fields.length >= 8
                        && fields[0].toLowerCase(Locale.ROOT).startsWith(title.toLowerCase(Locale.ROOT)))
                .map(fields -> new Figures(
                        Double.parseDouble(fields[1]),
                        Double.parseDouble(fields[4]),
                        Double.parseDouble(fields[6]),
                        command))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(String.join(" ", command) + " said: " + output));
    }

    private static String run(List<String> command) {
        Process process;
        try {
            process = new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException e) {
            throw new UncheckedIOException(command.getFirst() + " does not run", e);
        }
        try {
            // The tool writes a few lines only, which fit into the pipe: waiting first cannot block it.
            if (!process.waitFor(RUN_LIMIT_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException(String.join(" ", command) + " does not end");
            }
            return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(command.getFirst() + " cannot be read", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted", e);
        } finally {
            process.destroyForcibly();
        }
    }
}
