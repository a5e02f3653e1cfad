package io.switchback.clients;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.switchback.server.TwoFleets;
import io.switchback.testkit.Await;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A library of another language at the same work: {@code work.js} or {@code work.py} in a process of its own, which says on its output how it gets on, and in
 * the end what it found.
 */
final class ScriptAtWork implements Clients {
    private static final String FOLDER_VARIABLE = "SWITCHBACK_NODE_CLIENTS";
    private static final Path SCRIPTS = Path.of("src/test/resources/node").toAbsolutePath();
    private static final Path PYTHON = Path.of("src/test/resources/python").toAbsolutePath();
    private static final String DEBIANS_PYTHON = "/usr/bin/python3";
    private static final Path DEBIANS_REDIS_PY = Path.of("/usr/lib/python3/dist-packages/redis");
    private static final JsonMapper JSON = new JsonMapper();
    private static final Pattern VERSION = Pattern.compile("^v(\\d+)\\.");
    private static final long TURNS_MORE = 20;
    private static final long SLOW_TURNS_MORE = 4;
    /** As the scripts name those whose turns have many steps. */
    private static final Set<String> SLOW = Set.of("cache", "late watch");

    private static final long END_LIMIT_SECONDS = 20;

    private final String name;
    private final Process process;
    private final Thread reading;
    private volatile @Nullable JsonNode progress;
    private volatile @Nullable Findings findings;
    private volatile @Nullable String broken;

    /**
     * Starts it where Node.js and the libraries are there; without them the test is skipped, in continuous integration failed.
     *
     * @param packageName as {@code package.json} names it
     * @param adapter the script that speaks to it
     */
    static ScriptAtWork node(String packageName, String adapter, int protocol, int port) {
        return node(packageName, adapter, protocol, port, Mode.ONE_SERVER);
    }

    /** Likewise, where the library takes the node for something else. */
    static ScriptAtWork node(String packageName, String adapter, int protocol, int port, Mode mode) {
        Path folder = folder();
        String missing = missing(folder, packageName);
        if (missing != null) {
            skip(missing + "; scripts/fetch-node-clients fetches the libraries");
        }
        String name = packageName + "-resp" + protocol + mode.suffix();
        return start(
                name,
                "node",
                SCRIPTS.resolve("work.js").toString(),
                folder.toString(),
                packageName,
                adapter,
                Integer.toString(port),
                Integer.toString(protocol),
                name,
                word(mode));
    }

    /** Starts redis-py where Debian's Python has it; else the test is skipped, in continuous integration failed. */
    static ScriptAtWork redisPy(int port, Mode mode) {
        if (!Files.isDirectory(DEBIANS_REDIS_PY)) {
            skip("redis-py is not there; it is Debian's package python3-redis");
        }
        String name = "redis-py" + mode.suffix();
        return start(
                name, DEBIANS_PYTHON, PYTHON.resolve("work.py").toString(), Integer.toString(port), name, word(mode));
    }

    private static String word(Mode mode) {
        return mode.name().toLowerCase(Locale.ROOT);
    }

    /** Whether a library that is not there is a reason to skip, or to fail. */
    private static void skip(String message) {
        assumeTrue(System.getenv("CI") != null, message);
        throw new AssertionError(message);
    }

    private static ScriptAtWork start(String name, String... command) {
        try {
            return new ScriptAtWork(
                    name,
                    new ProcessBuilder(command)
                            .redirectError(ProcessBuilder.Redirect.INHERIT)
                            .start());
        } catch (IOException e) {
            throw new UncheckedIOException(name + " cannot be started", e);
        }
    }

    private ScriptAtWork(String name, Process process) {
        this.name = name;
        this.process = process;
        this.reading = Thread.ofPlatform().daemon().name(name).start(this::read);
    }

    private static Path folder() {
        String named = System.getenv(FOLDER_VARIABLE);
        return named != null
                ? Path.of(named)
                : Path.of(System.getProperty("user.home"), ".cache/switchback/node-clients");
    }

    /** What is missing, or null. The libraries are those of this checkout's lock file, or none. */
    private static @Nullable String missing(Path folder, String packageName) {
        try {
            if (majorVersion() == 0) {
                return "node is not there";
            }
            Path lock = folder.resolve("package-lock.json");
            if (!Files.exists(lock) || Files.mismatch(lock, SCRIPTS.resolve("package-lock.json")) != -1) {
                return "the libraries of " + SCRIPTS.resolve("package-lock.json") + " are not in " + folder;
            }
            return Files.isDirectory(folder.resolve("node_modules").resolve(packageName))
                    ? null
                    : packageName + " is not in " + folder;
        } catch (IOException e) {
            throw new UncheckedIOException("the libraries in " + folder + " cannot be read", e);
        }
    }

    /** Of Node.js; 0 where there is none. */
    static int majorVersion() {
        try {
            Process node = new ProcessBuilder("node", "--version")
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String said = new String(node.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            Matcher version = VERSION.matcher(said);
            return node.waitFor() == 0 && version.find() ? Integer.parseInt(version.group(1)) : 0;
        } catch (IOException e) {
            return 0;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while looking for node", e);
        }
    }

    private void read() {
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode said = JSON.readTree(line);
                if (said.has("findings")) {
                    findings = JSON.treeToValue(said.get("findings"), Findings.class);
                } else {
                    progress = said;
                }
            }
            broken = "it ended";
        } catch (IOException e) {
            broken = e.toString();
        }
    }

    @Override
    public void awaitMore() {
        Map<String, Long> before = turns();
        Await.until(TwoFleets.STEP_LIMIT, name + " gets on; it stands at " + before, () -> {
            Map<String, Long> now = turns();
            return !now.isEmpty()
                    && now.entrySet().stream()
                            .allMatch(one -> one.getValue()
                                    >= before.getOrDefault(one.getKey(), 0L)
                                            + (SLOW.contains(one.getKey()) ? SLOW_TURNS_MORE : TURNS_MORE));
        });
    }

    private Map<String, Long> turns() {
        JsonNode said = progress;
        if (broken != null || (said != null && !said.get("failures").isEmpty())) {
            throw new AssertionError(name + ": " + broken + ", " + said);
        }
        Map<String, Long> turns = new HashMap<>();
        if (said != null) {
            said.get("turns")
                    .properties()
                    .forEach(one -> turns.put(one.getKey(), one.getValue().asLong()));
        }
        return turns;
    }

    @Override
    public Findings stop() {
        try {
            process.getOutputStream().write('\n');
            process.getOutputStream().flush();
        } catch (IOException e) {
            throw new UncheckedIOException(name + " cannot be told to stop", e);
        }
        Await.until(TwoFleets.STEP_LIMIT, name + " says what it found", () -> findings != null || broken != null);
        Findings found = findings;
        if (found == null) {
            throw new AssertionError(name + " said nothing: " + broken);
        }
        return found;
    }

    @Override
    public void close() {
        try {
            process.getOutputStream().close();
            if (!process.waitFor(END_LIMIT_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
            reading.join();
        } catch (IOException e) {
            process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
