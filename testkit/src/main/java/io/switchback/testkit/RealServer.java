package io.switchback.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisException;

/**
 * A real server process with a folder and a port of its own, on the loopback address only.
 *
 * <p>By default it keeps nothing on disk ({@code save ""}, {@code appendonly no}); the caller's arguments come after the
 * defaults and win over them. It has the users of {@link SwitchbackUser} beside its own. For one thread at a time, except that {@link #call} and the accessors may be used by any. It
 * is killed when this process ends, whatever happens.
 *
 * <p>Invariant: while {@code process} is alive and {@code start} has returned, the server behind {@code port} is that process and
 * nobody else's: it said so itself by its process id.
 */
public final class RealServer implements AutoCloseable {
    private static final String HOST = "127.0.0.1";
    private static final String LOG_FILE = "server.log";

    private static final int START_ATTEMPTS_MAX = 20;
    private static final Duration READY_LIMIT = Duration.ofSeconds(30);
    private static final Duration PORT_LIMIT = Duration.ofSeconds(3);
    private static final Duration GRACE_LIMIT = Duration.ofSeconds(5);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(20);
    private static final int CALL_TIMEOUT_MS = 20_000;
    private static final int READY_TIMEOUT_MS = 2_000;
    private static final long POLL_MS = 5;

    private final ServerBinary binary;
    private final Path folder;
    private final List<String> extraArguments;
    private final boolean withConfigFile;
    /** It watches servers instead of being one that keeps data. */
    private final boolean sentinel;

    private final @Nullable String password;
    private final @Nullable ServerTls tls;
    private final @Nullable SSLContext tlsOfClients;
    private volatile int port;
    private volatile Process process;

    private RealServer(
            ServerBinary binary,
            Path folder,
            boolean withConfigFile,
            boolean sentinel,
            @Nullable ServerTls tls,
            List<String> extraArguments) {
        this.tls = tls;
        this.tlsOfClients = tls == null
                ? null
                : tls.authority().clientThatTrustsAnybody(tls.authority().issue("operator"));
        this.binary = binary;
        this.folder = folder;
        this.withConfigFile = withConfigFile;
        this.sentinel = sentinel;
        this.extraArguments = extraArguments;
        this.password = argumentAfter("--requirepass").orElse(null);
        Optional<String> fixedPort = argumentAfter("--port");
        this.port = fixedPort.map(Integer::parseInt).orElse(0);
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new UncheckedIOException("The server's folder " + folder + " cannot be made", e);
        }
        if (fixedPort.isPresent() && withConfigFile) {
            writeConfigFile();
        }
        this.process = fixedPort.isPresent() ? launchOnItsPort() : launchOnAFreePort();
    }

    /**
     * Starts a server and returns once it answers.
     *
     * @param folder its own: it holds the log and what the server writes
     * @param extraArguments as on the server's command line, such as {@code "--maxmemory", "10mb"}
     */
    public static RealServer start(ServerBinary binary, Path folder, String... extraArguments) {
        return new RealServer(binary, folder, false, false, null, List.of(extraArguments));
    }

    /** As {@link #start}, with all settings in a file {@code server.conf} in its folder, which CONFIG REWRITE can rewrite. */
    public static RealServer startWithConfigFile(ServerBinary binary, Path folder, String... extraArguments) {
        return new RealServer(binary, folder, true, false, null, List.of(extraArguments));
    }

    /** As {@link #start}, speaking TLS and nothing else on its port. */
    public static RealServer startWithTls(ServerBinary binary, Path folder, ServerTls tls, String... extraArguments) {
        return new RealServer(binary, folder, false, false, tls, List.of(extraArguments));
    }

    /** As {@link #startWithConfigFile}, of a sentinel, which rewrites the file with all that it learns. */
    static RealServer startSentinel(ServerBinary binary, Path folder, String... extraArguments) {
        return new RealServer(binary, folder, true, true, null, List.of(extraArguments));
    }

    /** The program that runs. */
    public ServerBinary binary() {
        return binary;
    }

    /** Always the loopback address. */
    public String host() {
        return HOST;
    }

    /** The same over restarts. */
    public int port() {
        return port;
    }

    /** The server's own folder. */
    public Path folder() {
        return folder;
    }

    /** The running process; another one after {@link #restart}. */
    public Process process() {
        return process;
    }

    /** The process id of {@link #process}. */
    public long pid() {
        return process.pid();
    }

    /** What the server has logged since it was first started. */
    public String log() {
        try {
            return Files.readString(folder.resolve(LOG_FILE), StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException("The server's log cannot be read", e);
        }
    }

    /** A client of its own for the caller, who closes it. Authenticated where the server was started with a password. */
    public Jedis client() {
        return client(CALL_TIMEOUT_MS);
    }

    private Jedis client(int timeoutMs) {
        DefaultJedisClientConfig.Builder settings = DefaultJedisClientConfig.builder()
                .connectionTimeoutMillis(timeoutMs)
                .socketTimeoutMillis(timeoutMs);
        if (password != null) {
            settings.password(password);
        }
        if (tlsOfClients != null) {
            settings.ssl(true).sslSocketFactory(tlsOfClients.getSocketFactory());
        }
        return new Jedis(new HostAndPort(HOST, port), settings.build());
    }

    /**
     * Sends one command over a connection of its own. A status or bulk string comes back as String (UTF-8), a number as Long,
     * nil as null, an array as List; an error is thrown as {@link JedisDataException}.
     */
    public @Nullable Object call(String... arguments) {
        try (Jedis client = client()) {
            return Replies.call(client, arguments);
        }
    }

    /** As {@link #call}, for a reply that is a string; fails on anything else. */
    public String text(String... arguments) {
        @Nullable Object reply = call(arguments);
        if (reply instanceof String text) {
            return text;
        }
        throw new IllegalStateException(unexpected("a string", reply, arguments));
    }

    /** As {@link #call}, for a reply that is a number; fails on anything else. */
    public long number(String... arguments) {
        @Nullable Object reply = call(arguments);
        if (reply instanceof Long number) {
            return number;
        }
        throw new IllegalStateException(unexpected("a number", reply, arguments));
    }

    private String unexpected(String wanted, @Nullable Object reply, String... arguments) {
        return "Expected " + wanted + " in reply to " + String.join(" ", arguments) + " from " + this + ", got "
                + reply;
    }

    /** One section of INFO by field, such as {@code info("replication").get("master_repl_offset")}. */
    public Map<String, String> info(String section) {
        Map<String, String> fields = new LinkedHashMap<>();
        text("INFO", section).lines().filter(line -> line.indexOf(':') > 0).forEach(line -> {
            int colon = line.indexOf(':');
            fields.put(line.substring(0, colon), line.substring(colon + 1).strip());
        });
        return fields;
    }

    /** One field of INFO, which must be there. */
    public String info(String section, String field) {
        @Nullable String value = info(section).get(field);
        if (value == null) {
            throw new IllegalStateException(this + " has no field " + field + " in INFO " + section);
        }
        return value;
    }

    /** Ends the process with SIGKILL, as a crash does, and waits until it is gone. */
    public void kill() {
        process.destroyForcibly();
        awaitEnd(KILL_LIMIT);
        ChildProcesses.ended(process);
    }

    /** Stops the process with SIGSTOP: its connections stay, and nothing is answered until {@link #resume}. */
    public void stop() {
        Signals.send("STOP", process);
    }

    /** Lets a stopped process go on. */
    public void resume() {
        Signals.send("CONT", process);
    }

    /** Ends the process as an operator would (SIGTERM), waits until it is gone. */
    public void shutdown() {
        if (process.isAlive()) {
            resume(); // a stopped process would not hear the signal
            process.destroy();
            if (!awaitEnd(GRACE_LIMIT)) {
                process.destroyForcibly();
                awaitEnd(KILL_LIMIT);
            }
        }
        ChildProcesses.ended(process);
    }

    /** Starts it again with the same folder, port and arguments; ends it first where it still runs. */
    public void restart() {
        shutdown();
        process = launchOnItsPort();
    }

    @Override
    public void close() {
        shutdown();
    }

    @Override
    public String toString() {
        return binary.name() + " at " + HOST + ":" + port;
    }

    private Optional<String> argumentAfter(String option) {
        int at = extraArguments.lastIndexOf(option);
        return at >= 0 && at + 1 < extraArguments.size() ? Optional.of(extraArguments.get(at + 1)) : Optional.empty();
    }

    private Process launchOnAFreePort() {
        String last = "";
        for (int attempt = 0; attempt < START_ATTEMPTS_MAX; attempt++) {
            port = Ports.free();
            if (withConfigFile) {
                writeConfigFile(); // by the first start only: later ones find what the server itself has rewritten
            }
            Process launched = launch();
            String why = awaitReady(launched);
            if (why.isEmpty()) {
                return launched;
            }
            end(launched);
            last = why;
            if (!log().contains("Address already in use")) {
                break; // another port would not help
            }
        }
        throw new IllegalStateException(binary + " did not start in " + folder + ": " + last + "\n" + log());
    }

    private Process launchOnItsPort() {
        long giveUpAt = System.nanoTime() + PORT_LIMIT.toNanos();
        while (true) {
            Process launched = launch();
            String why = awaitReady(launched);
            if (why.isEmpty()) {
                return launched;
            }
            end(launched);
            // Somebody may have taken the port while the server was down; a short-lived one goes away again.
            if (System.nanoTime() - giveUpAt > 0 || !log().contains("Address already in use")) {
                throw new IllegalStateException(
                        binary + " did not start on port " + port + " in " + folder + ": " + why + "\n" + log());
            }
            pause();
        }
    }

    private Process launch() {
        List<String> command = new ArrayList<>();
        command.add(binary.path().toString());
        if (withConfigFile) {
            command.add(configFile().toString());
            if (sentinel) {
                command.add("--sentinel");
            }
        } else {
            command.addAll(arguments());
        }
        try {
            Process launched = new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .redirectInput(ProcessBuilder.Redirect.from(nullDevice().toFile()))
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(
                            folder.resolve(LOG_FILE).toFile()))
                    .start();
            ChildProcesses.started(launched);
            return launched;
        } catch (IOException e) {
            throw new UncheckedIOException(binary + " could not be started", e);
        }
    }

    private static Path nullDevice() {
        return Path.of("/dev/null");
    }

    private List<String> arguments() {
        List<String> arguments = new ArrayList<>(List.of(
                "--port", Integer.toString(port),
                "--bind", HOST,
                "--dir", folder.toAbsolutePath().toString(),
                "--protected-mode", "no",
                "--daemonize", "no",
                "--save", "",
                "--appendonly", "no"));
        if (tls != null) {
            arguments.addAll(tls.arguments(port));
        }
        if (!sentinel && !binary.version().matches("[1-5]\\..*")) {
            arguments.addAll(SwitchbackUser.RELAY.arguments(binary));
            arguments.addAll(SwitchbackUser.APPLY.arguments(binary));
            arguments.addAll(SwitchbackUser.RELAY_OR_APPLY.arguments(binary));
            arguments.addAll(SwitchbackUser.SCAN.arguments(binary));
        }
        arguments.addAll(extraArguments);
        return arguments;
    }

    private Path configFile() {
        return folder.resolve("server.conf");
    }

    private void writeConfigFile() {
        StringBuilder text = new StringBuilder();
        for (String argument : arguments()) {
            if (argument.startsWith("--")) {
                text.append(text.isEmpty() ? "" : "\n").append(argument.substring(2));
            } else {
                text.append(" \"")
                        .append(argument.replace("\\", "\\\\").replace("\"", "\\\""))
                        .append('"');
            }
        }
        try {
            Files.writeString(configFile(), text.append('\n'));
        } catch (IOException e) {
            throw new UncheckedIOException("The server's configuration cannot be written", e);
        }
    }

    /** Waits until the launched process itself answers; what went wrong, or an empty string. */
    private String awaitReady(Process launched) {
        long giveUpAt = System.nanoTime() + READY_LIMIT.toNanos();
        String last = "no answer";
        while (System.nanoTime() - giveUpAt < 0) {
            if (!launched.isAlive()) {
                return "it ended with exit code " + launched.exitValue();
            }
            try (Jedis client = client(READY_TIMEOUT_MS)) {
                client.ping();
                String server = client.info("server");
                // Somebody else may have taken the port between our look and our start.
                if (server.contains("process_id:" + launched.pid() + "\r\n")) {
                    return "";
                }
                last = "another server answers on port " + port;
            } catch (JedisConnectionException e) {
                last = String.valueOf(e.getMessage());
            } catch (JedisDataException e) {
                last = String.valueOf(e.getMessage());
                if (!last.startsWith("LOADING") && !last.startsWith("BUSY")) {
                    return ""; // it answers, and what it refuses the caller has asked for
                }
            } catch (JedisException e) {
                last = String.valueOf(e.getMessage());
            }
            pause();
        }
        return "not ready within " + READY_LIMIT.toSeconds() + " s: " + last;
    }

    private static void end(Process launched) {
        launched.destroyForcibly();
        try {
            launched.waitFor(KILL_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        ChildProcesses.ended(launched);
    }

    private boolean awaitEnd(Duration limit) {
        try {
            return process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            return false;
        }
    }

    private static void pause() {
        try {
            Thread.sleep(POLL_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while waiting for a server", e);
        }
    }
}
