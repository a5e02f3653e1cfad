package io.switchback.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.ServerVersion;
import io.switchback.resp.CommandEncoder;
import io.switchback.sync.rdb.RdbLimits;
import io.switchback.sync.rdb.SnapshotReader;
import io.switchback.sync.rdb.SnapshotSink;
import io.switchback.sync.rdb.ValueTarget;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code bench/run snapshots}: how fast a snapshot is read, beside the server that loads it itself. */
@Command(
        name = "bench/run snapshots",
        description =
                "How fast a snapshot is read, as values stand and by commands, beside the server's own loading, in turn.",
        mixinStandardHelpOptions = true)
final class SnapshotReading implements Callable<Integer> {
    private static final int BATCH = 1000;
    private static final Duration LIMIT = Duration.ofMinutes(2);
    private static final RdbLimits COMMANDS_ONLY = new RdbLimits(0, 0, 1 << 20, 64 * 1024, 512);
    private static final double NANOS = 1e9;

    private final PrintStream out = System.out;

    @Option(names = "--keys", paramLabel = "N", description = "default ${DEFAULT-VALUE}", defaultValue = "1000000")
    private int keys;

    @Option(names = "--runs", paramLabel = "N", description = "default ${DEFAULT-VALUE}", defaultValue = "5")
    private int runs;

    /** Both in seconds: from beginning to end, and of the processor's time. */
    private record Taken(double wall, double processor) {}

    @Override
    public Integer call() throws IOException {
        Machine.description().forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        ServerBinary binary = Bench.older();
        Path folder = Files.createTempDirectory("switchback-snapshots-");
        Path snapshot = folder.resolve("dump.rdb");
        ServerVersion version = fill(binary, folder);
        double megabytes = Files.size(snapshot) / 1e6;
        out.printf("%-10s %s, %,d keys, %.0f MB%n%n", "snapshot", binary, keys, megabytes);
        ValueTarget target = new ValueTarget(version);
        List<Taken> loaded = new ArrayList<>();
        List<Taken> standing = new ArrayList<>();
        List<Taken> commands = new ArrayList<>();
        read(snapshot, target, RdbLimits.DEFAULT); // compiled before it counts
        read(snapshot, target, COMMANDS_ONLY);
        for (int run = 0; run < runs; run++) {
            loaded.add(load(binary, folder));
            standing.add(read(snapshot, target, RdbLimits.DEFAULT));
            commands.add(read(snapshot, target, COMMANDS_ONLY));
        }
        out.println("| medians of " + runs + " | seconds | MB/s | processor seconds |");
        out.println("| --- | --- | --- | --- |");
        print("the server loads it", loaded, megabytes);
        print("read, values as they stand", standing, megabytes);
        print("read, by commands alone", commands, megabytes);
        Bench.delete(folder);
        return 0;
    }

    private void print(String what, List<Taken> taken, double megabytes) {
        double wall = median(taken.stream().map(Taken::wall).toList());
        double processor = median(taken.stream().map(Taken::processor).toList());
        out.printf("| %s | %.2f | %.0f | %.2f |%n", what, wall, megabytes / wall, processor);
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get(values.size() / 2);
    }

    /** Of ten keys six strings of 100 bytes, two hashes, a list and a sorted set, by a fixed seed. */
    private ServerVersion fill(ServerBinary binary, Path folder) {
        Random random = new Random(1);
        try (RealServer server = RealServer.start(binary, folder);
                ServerConnection connection =
                        ServerConnection.open(new Endpoint(server.host(), server.port()), Optional.empty(), LIMIT)) {
            List<byte[][]> batch = new ArrayList<>();
            for (int i = 0; i < keys; i++) {
                batch.add(command(i, random));
                if (batch.size() == BATCH || i == keys - 1) {
                    connection.pipeline(batch);
                    batch.clear();
                }
            }
            connection.demand("SAVE");
            return ServerVersion.read(connection);
        }
    }

    private static byte[][] command(int i, Random random) {
        return switch (i % 10) {
            case 0, 1 ->
                CommandEncoder.bytes(
                        "HSET",
                        "user:" + i,
                        "name",
                        "name " + i,
                        "mail",
                        i + "@example.org",
                        "visits",
                        "" + random.nextInt(1000));
            case 2 -> CommandEncoder.bytes("RPUSH", "queue:" + i, "a" + i, "b", "" + i, "longer item " + i);
            case 3 ->
                CommandEncoder.bytes(
                        "ZADD", "rank:" + i, "" + random.nextDouble(), "m" + i, "" + random.nextInt(99), "n");
            default -> {
                byte[] value = new byte[100];
                random.nextBytes(value);
                yield new byte[][] {"SET".getBytes(UTF_8), ("session:" + i).getBytes(UTF_8), value};
            }
        };
    }

    /** By its own word, and by what its process had used when it was ready. */
    private static Taken load(ServerBinary binary, Path folder) {
        try (RealServer server = RealServer.start(binary, folder)) {
            String log = server.log();
            String mark = "DB loaded from disk: ";
            int at = log.lastIndexOf(mark) + mark.length();
            double wall = Double.parseDouble(log.substring(at, log.indexOf(' ', at)));
            Duration used = server.process().info().totalCpuDuration().orElse(Duration.ZERO);
            return new Taken(wall, used.toNanos() / NANOS);
        }
    }

    private static Taken read(Path snapshot, ValueTarget target, RdbLimits limits) throws IOException {
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long processor = threads.getCurrentThreadCpuTime();
        long start = System.nanoTime();
        try (InputStream in = Files.newInputStream(snapshot)) {
            new SnapshotReader(in, target, new Nowhere(), limits).read();
        }
        return new Taken((System.nanoTime() - start) / NANOS, (threads.getCurrentThreadCpuTime() - processor) / NANOS);
    }

    private static final class Nowhere implements SnapshotSink {
        @Override
        public void source(Map<String, String> facts) {}

        @Override
        public void command(int database, byte[] key, byte[][] words) {}

        @Override
        public void library(byte[] code) {}

        @Override
        public void inexpressible(int database, byte[] key, String what) {}
    }
}
