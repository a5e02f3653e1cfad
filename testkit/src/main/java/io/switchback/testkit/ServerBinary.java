package io.switchback.testkit;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import redis.embedded.core.ExecutableProvider;

/**
 * A Redis or Valkey server program that this machine can run.
 *
 * <p>It is named after what it says of itself: product, major and minor version, such as {@code redis-7.0}. Where several
 * programs say the same, the first of these sources wins: the environment variables {@value #REDIS_VARIABLE} and {@value
 * #VALKEY_VARIABLE}, the folder that {@code scripts/fetch-servers} fills, PATH, and the program that the artifact
 * embedded-redis ships, which is always there. All methods may be called from any thread; the machine is looked through
 * once per process.
 *
 * @param version as the program prints it, such as {@code 7.0.15}
 */
public record ServerBinary(String name, Path path, String version) {
    /** The path of a redis-server program to use. */
    public static final String REDIS_VARIABLE = "SWITCHBACK_REDIS_SERVER";

    /** The path of a valkey-server program to use. */
    public static final String VALKEY_VARIABLE = "SWITCHBACK_VALKEY_SERVER";

    /** The folder that {@code scripts/fetch-servers} fills, where it is not {@code ~/.cache/switchback/servers}. */
    public static final String FOLDER_VARIABLE = "SWITCHBACK_SERVERS";

    /** What {@code scripts/fetch-servers} fetches: the versions that the tests of the matrix want. */
    public static final List<String> MATRIX_NAMES =
            List.of("redis-6.0", "redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1");

    private static final Logger LOG = LoggerFactory.getLogger(ServerBinary.class);
    private static final List<String> PROGRAMS = List.of("redis-server", "valkey-server");
    private static final Duration VERSION_LIMIT = Duration.ofSeconds(20);

    // Redis server v=7.0.15 sha=...   Valkey server v=9.1.2 sha=...
    private static final Pattern VERSION_LINE = Pattern.compile("(Redis|Valkey) server v=(\\d+)\\.(\\d+)(\\S*)");

    /** Every server that is there, each name once, Redis before Valkey, older before newer. Never empty. */
    public static List<ServerBinary> found() {
        return Machine.FOUND;
    }

    /** Those of {@link #MATRIX_NAMES} that are there, in that order. May be empty. */
    public static List<ServerBinary> matrix() {
        return MATRIX_NAMES.stream().flatMap(name -> named(name).stream()).toList();
    }

    /** The server of that name, such as {@code redis-6.0}. */
    public static Optional<ServerBinary> named(String name) {
        return found().stream().filter(binary -> binary.name().equals(name)).findFirst();
    }

    /** The server for tests that do not care which: the one that a person named, else the first on PATH, else the embedded. */
    public static ServerBinary any() {
        return Machine.ANY;
    }

    /** The server that comes with a Maven artifact, so that nothing but Java is needed. */
    public static ServerBinary embedded() {
        return Machine.EMBEDDED;
    }

    /** Whether this is Valkey rather than Redis. */
    public boolean isValkey() {
        return name.startsWith("valkey-");
    }

    /** A tool of the same release beside the server, such as {@code benchmark} or {@code cli}. */
    public Optional<Path> tool(String tool) {
        Path beside = path.resolveSibling((isValkey() ? "valkey-" : "redis-") + tool);
        return Optional.of(beside).filter(Files::isExecutable);
    }

    @Override
    public String toString() {
        return name + " (" + version + ")";
    }

    /** Asks the program at that path for its version. Empty, with a line in the log, where it cannot be used. */
    static Optional<ServerBinary> at(Path program) {
        if (!Files.isExecutable(program)) {
            LOG.debug("{} is not an executable file", program);
            return Optional.empty();
        }
        try {
            String line = versionLine(program);
            Matcher matcher = VERSION_LINE.matcher(line);
            if (!matcher.find()) {
                LOG.warn("{} is not used: --version does not look like a Redis or Valkey server: {}", program, line);
                return Optional.empty();
            }
            String product = "Valkey".equals(matcher.group(1)) ? "valkey" : "redis";
            String name = product + "-" + matcher.group(2) + "." + matcher.group(3);
            String version = matcher.group(2) + "." + matcher.group(3) + matcher.group(4);
            return Optional.of(new ServerBinary(name, program.toAbsolutePath(), version));
        } catch (IOException e) {
            LOG.warn("{} is not used: it does not run: {}", program, e.getMessage());
            return Optional.empty();
        }
    }

    private static String versionLine(Path program) throws IOException {
        Process process = new ProcessBuilder(program.toString(), "--version")
                .redirectErrorStream(true)
                .start();
        try {
            process.getOutputStream().close();
            byte[] output = process.getInputStream().readNBytes(4096);
            if (!process.waitFor(VERSION_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new IOException("no answer to --version within " + VERSION_LIMIT.toSeconds() + " s");
            }
            return new String(output, StandardCharsets.UTF_8).strip();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for --version", e);
        } finally {
            process.destroyForcibly();
        }
    }

    /** What was found on this machine, looked up when it is first asked for. */
    private static final class Machine {
        static final ServerBinary EMBEDDED = unpackEmbedded();
        static final List<ServerBinary> FOUND;
        static final ServerBinary ANY;

        static {
            List<ServerBinary> named = named(System.getenv(REDIS_VARIABLE), System.getenv(VALKEY_VARIABLE));
            List<ServerBinary> onPath = onPath(System.getenv("PATH"));
            FOUND = ordered(Stream.of(named, inFolder(serversFolder()), onPath, List.of(EMBEDDED))
                    .flatMap(List::stream)
                    .toList());
            ANY = Stream.concat(named.stream(), onPath.stream()).findFirst().orElse(EMBEDDED);
        }

        private Machine() {}
    }

    private static Path serversFolder() {
        @Nullable String folder = System.getenv(FOLDER_VARIABLE);
        return folder != null && !folder.isBlank()
                ? Path.of(folder)
                : Path.of(System.getProperty("user.home"), ".cache", "switchback", "servers");
    }

    private static List<ServerBinary> named(@Nullable String... paths) {
        List<ServerBinary> binaries = new ArrayList<>();
        for (@Nullable String path : paths) {
            if (path != null && !path.isBlank()) {
                // A person who names a program wants that one: another in its place would be a silent lie.
                binaries.add(at(Path.of(path))
                        .orElseThrow(() -> new IllegalStateException("The server program " + path + ", named in "
                                + REDIS_VARIABLE + " or " + VALKEY_VARIABLE
                                + ", cannot be run; name another, or unset the variable.")));
            }
        }
        return binaries;
    }

    static List<ServerBinary> inFolder(Path folder) {
        List<Path> programs = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> servers = Files.newDirectoryStream(folder)) {
                for (Path server : servers) {
                    PROGRAMS.forEach(program -> programs.add(server.resolve(program)));
                }
            } catch (IOException e) {
                throw new UncheckedIOException("The folder of servers " + folder + " cannot be read", e);
            }
        }
        return programs.stream()
                .sorted()
                .filter(Files::exists)
                .flatMap(program -> at(program).stream())
                .toList();
    }

    private static List<ServerBinary> onPath(@Nullable String searchPath) {
        return Stream.of((searchPath == null ? "" : searchPath).split(Pattern.quote(File.pathSeparator), -1))
                .filter(folder -> !folder.isBlank())
                .flatMap(folder -> PROGRAMS.stream().map(program -> Path.of(folder, program)))
                .filter(Files::exists)
                .flatMap(program -> at(program).stream())
                .toList();
    }

    static List<ServerBinary> ordered(List<ServerBinary> binaries) {
        Map<String, ServerBinary> byName = new LinkedHashMap<>();
        binaries.forEach(binary -> byName.putIfAbsent(binary.name(), binary));
        return byName.values().stream()
                .sorted(Comparator.comparing(ServerBinary::isValkey)
                        .thenComparing(binary -> Runtime.Version.parse(
                                binary.name().substring(binary.name().indexOf('-') + 1) + ".1")))
                .toList();
    }

    private static ServerBinary unpackEmbedded() {
        try {
            // Into a folder of this process, gone when it ends: nothing is left on the machine by a demo.
            Path folder = Files.createTempDirectory("switchback-server-");
            ChildProcesses.deleteAtExit(folder);
            Path program = ExecutableProvider.newJarResourceProvider(folder.toFile())
                    .get()
                    .toPath();
            return at(program)
                    .orElseThrow(
                            () -> new IllegalStateException("The server of the artifact embedded-redis, unpacked as "
                                    + program
                                    + ", does not run on this machine (on Linux it needs OpenSSL 3). Install redis or"
                                    + " valkey, or name a server in " + REDIS_VARIABLE + "."));
        } catch (IOException e) {
            throw new UncheckedIOException("The server of the artifact embedded-redis could not be unpacked", e);
        }
    }
}
