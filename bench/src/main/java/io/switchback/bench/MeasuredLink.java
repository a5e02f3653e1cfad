package io.switchback.bench;

import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.fleet.dialect.Dialect;
import io.switchback.fleet.dialect.StreamTranslator;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.Link;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkBreak;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkSettings;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.RelayLink;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ApplySettings;
import io.switchback.sync.source.CopyLimits;
import io.switchback.testkit.Await;
import io.switchback.testkit.ChildProcesses;
import io.switchback.testkit.RealServer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/** One link in a process of its own, so that its heap is bounded and its processor time is nobody else's. For one thread. */
final class MeasuredLink implements AutoCloseable {
    private static final String SECRET = "face-of-the-bench";
    private static final String STREAMS = "streams";
    private static final Duration LIMIT = Duration.ofMinutes(10);

    /** How the writes get there. */
    enum Kind {
        RELAY,
        APPLY;

        String title() {
            return name().toLowerCase(Locale.ROOT) + " link";
        }
    }

    private final Process process;
    private final BufferedReader said;
    private final Path log;

    private MeasuredLink(Process process, Path log) {
        this.process = process;
        this.log = log;
        this.said = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /** Begins a full copy. Of the limits, bytes and latency are passed on. */
    static MeasuredLink start(
            Kind kind, RealServer source, RealServer target, int heapMib, CopyLimits copy, Path folder) {
        Path log = folder.resolve(kind + "-" + target.port() + ".log");
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "-XX:+UseSerialGC",
                "-Xmx" + heapMib + "m",
                "-cp",
                System.getProperty("java.class.path"),
                MeasuredLink.class.getName(),
                kind.name(),
                Integer.toString(source.port()),
                Integer.toString(target.port()),
                Long.toString(copy.bytesPerSecond().orElse(0)),
                Long.toString(copy.sourceLatency().orElse(Duration.ZERO).toMillis())));
        try {
            Process started =
                    new ProcessBuilder(command).redirectError(log.toFile()).start();
            ChildProcesses.started(started);
            return new MeasuredLink(started, log);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    long processId() {
        return process.pid();
    }

    /** Waits until the copy is complete. */
    void awaitStreaming() {
        try {
            String line = said.readLine();
            if (!STREAMS.equals(line)) {
                throw new IllegalStateException("the link does not stream, see " + log + ": " + line);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
        try {
            process.waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        ChildProcesses.ended(process);
    }

    /** Arguments: the kind, the source's port and the target's, bytes a second and milliseconds of latency, where 0 is no limit. Runs until it is killed. */
    public static void main(String[] arguments) throws InterruptedException {
        FleetSpec source = spec("source", Integer.parseInt(arguments[1]));
        FleetSpec target = spec("target", Integer.parseInt(arguments[2]));
        long bytes = Long.parseLong(arguments[3]);
        long millis = Long.parseLong(arguments[4]);
        CopyLimits copy = new CopyLimits(
                bytes == 0 ? OptionalLong.empty() : OptionalLong.of(bytes),
                OptionalLong.empty(),
                millis == 0 ? Optional.empty() : Optional.of(Duration.ofMillis(millis)));
        Link link = switch (Kind.valueOf(arguments[0])) {
            case RELAY -> relay(source, target, copy);
            case APPLY ->
                ApplyLink.open(
                        new ApplySettings(
                                "copy",
                                "bench",
                                Token.open(1, "bench"),
                                source,
                                target,
                                new LinkStart.FullCopy(Optional.empty()),
                                Optional.empty(),
                                copy),
                        Environment.system(),
                        new Ends());
        };
        Await.until(LIMIT, "the link streams", () -> link.status().phase() == Phase.STREAMING);
        System.out.println(STREAMS);
        Thread.sleep(LIMIT);
    }

    private static Link relay(FleetSpec source, FleetSpec target, CopyLimits copy) {
        try (ServerConnection from = ServerConnection.open(source, LIMIT);
                ServerConnection to = ServerConnection.open(target, LIMIT)) {
            RelayLink link = RelayLink.open(
                    new LinkSettings(
                            "copy",
                            source,
                            target,
                            InetAddress.getLoopbackAddress(),
                            0,
                            SECRET,
                            new LinkStart.FullCopy(Optional.empty()),
                            StreamTranslator.between(Dialect.read(from), Dialect.read(to)),
                            copy),
                    Environment.system(),
                    new Ends());
            link.admit();
            to.demand("CONFIG", "SET", "masterauth", SECRET);
            to.demand(
                    "REPLICAOF",
                    link.face().host(),
                    Integer.toString(link.face().port()));
            return link;
        }
    }

    static FleetSpec spec(String name, int port) {
        return new FleetSpec(name, new Endpoint("127.0.0.1", port), Optional.empty());
    }

    /** A link that breaks ends the process: the figure would be none. */
    private static final class Ends implements LinkListener {
        @Override
        public void based(LinkBase base) {}

        @Override
        public void sourceIdChanged(String id) {}

        @Override
        public void copied(BackupManifest manifest) {}

        @Override
        public void broken(LinkBreak kind, String why) {
            System.out.println("broken: " + why);
            Runtime.getRuntime().halt(1);
        }
    }
}
