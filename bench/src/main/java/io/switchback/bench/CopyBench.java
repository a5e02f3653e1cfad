package io.switchback.bench;

import com.sun.management.OperatingSystemMXBean;
import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Token;
import io.switchback.sync.BackupManifest;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkListener;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.sync.apply.ApplyLink;
import io.switchback.sync.apply.ApplySettings;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** {@code bench/run copy}: how long an apply link takes for a full copy and for a stream of writes, beside the servers' own replication. */
@Command(
        name = "bench/run copy",
        description =
                "How long an apply link takes for a full copy, and how far it is behind a stream of writes, beside the servers' own REPLICAOF.",
        mixinStandardHelpOptions = true)
final class CopyBench implements Callable<Integer> {
    private static final int MISTAKE = 2;
    private static final Duration LIMIT = Duration.ofMinutes(10);
    private static final int ELEMENTS = 10;
    private static final int BATCH = 1_000;
    private static final double NANOS = 1e9;
    private static final int WRITES = 2_000_000;

    private final PrintStream out = System.out;
    private final Map<String, Object> results = new LinkedHashMap<>();

    @Option(names = "--keys", paramLabel = "N", description = "default ${DEFAULT-VALUE}", defaultValue = "1000000")
    private int keys;

    @Option(names = "--json", paramLabel = "FILE", description = "writes the figures for a program as well")
    private @Nullable Path json;

    @Override
    public Integer call() throws IOException {
        if (keys < 1) {
            out.println("bench/run copy: --keys is at least 1");
            return MISTAKE;
        }
        Machine.description().forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        results.put("machine", Machine.description());
        Path folder = Files.createTempDirectory("switchback-copy-");
        ServerBinary older = Bench.older();
        ServerBinary newer = Bench.newer();
        try (RealServer source = RealServer.start(
                        older,
                        folder.resolve("source"),
                        "--repl-diskless-sync-delay",
                        "0",
                        "--repl-backlog-size",
                        "512mb",
                        "--client-output-buffer-limit",
                        "replica 0 0 0");
                RealServer replica = RealServer.start(newer, folder.resolve("replica"));
                RealServer target = RealServer.start(newer, folder.resolve("target"))) {
            out.printf("%-10s %s to %s%n%n", "servers", older, newer);
            fill(source);
            out.printf("%,d keys, %s in memory%n%n", keys, source.info("memory", "used_memory_human"));
            nativeCopy(source, replica);
            applyCopy(source, target);
        } finally {
            Bench.delete(folder);
        }
        if (json != null) {
            Bench.write(json, results, out);
        }
        return 0;
    }

    /** Of ten keys six are strings, and one each a list, a set, a hash and a sorted set of ten elements; every tenth has a time to live. */
    private void fill(RealServer source) {
        try (Jedis client = source.client()) {
            for (int from = 0; from < keys; from += BATCH) {
                Pipeline pipeline = client.pipelined();
                for (int i = from; i < Math.min(keys, from + BATCH); i++) {
                    one(pipeline, i);
                }
                pipeline.sync();
            }
        }
    }

    private static void one(Pipeline pipeline, int number) {
        String key = "key:" + number;
        String value = "value-of-" + number + "-".repeat(40);
        switch (number % 10) {
            case 6 -> {
                for (int i = 0; i < ELEMENTS; i++) {
                    pipeline.rpush(key, value + i);
                }
            }
            case 7 -> {
                for (int i = 0; i < ELEMENTS; i++) {
                    pipeline.sadd(key, value + i);
                }
            }
            case 8 -> {
                for (int i = 0; i < ELEMENTS; i++) {
                    pipeline.hset(key, "field" + i, value);
                }
            }
            case 9 -> {
                for (int i = 0; i < ELEMENTS; i++) {
                    pipeline.zadd(key, i, value + i);
                }
            }
            case 0 -> pipeline.setex(key, 100_000, value);
            default -> pipeline.set(key, value);
        }
    }

    private void nativeCopy(RealServer source, RealServer replica) {
        long began = System.nanoTime();
        replica.call("REPLICAOF", source.host(), Integer.toString(source.port()));
        Await.until(
                LIMIT,
                "the replica has the copy",
                () -> "up".equals(replica.info("replication").get("master_link_status")));
        double seconds = (System.nanoTime() - began) / NANOS;
        out.printf("REPLICAOF    full copy %6.2f s%n", seconds);
        results.put("nativeSeconds", seconds);
        replica.call("REPLICAOF", "NO", "ONE");
        replica.kill();
    }

    private void applyCopy(RealServer source, RealServer target) {
        OperatingSystemMXBean machine = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = machine.getProcessCpuTime();
        long began = System.nanoTime();
        ApplyLink link = ApplyLink.open(
                new ApplySettings(
                        "copy",
                        "bench",
                        Token.open(1, "bench"),
                        spec("source", source),
                        spec("target", target),
                        new LinkStart.FullCopy(Optional.empty()),
                        Optional.empty()),
                Environment.system(),
                new Silent());
        try (link) {
            Await.until(LIMIT, "the link streams", () -> link.status().phase() == Phase.STREAMING);
            double seconds = (System.nanoTime() - began) / NANOS;
            double processor = (machine.getProcessCpuTime() - cpu) / NANOS;
            out.printf("apply link   full copy %6.2f s, %.2f s of processor time%n%n", seconds, processor);
            results.put("applySeconds", seconds);
            results.put("applyProcessorSeconds", processor);
            stream(source, link, machine);
        }
    }

    /** SETs of 64 bytes in pipelines of a thousand, as fast as the source takes them. */
    private void stream(RealServer source, ApplyLink link, OperatingSystemMXBean machine) {
        AtomicLong lagBytes = new AtomicLong();
        Thread looking = Thread.ofPlatform().daemon().start(() -> {
            while (!Thread.currentThread().isInterrupted()) {
                lagBytes.accumulateAndGet(link.status().lagBytes(), Math::max);
                try {
                    Thread.sleep(10);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
        long cpu = machine.getProcessCpuTime();
        long began = System.nanoTime();
        String value = "x".repeat(64);
        try (Jedis client = source.client()) {
            for (int from = 0; from < WRITES; from += BATCH) {
                Pipeline pipeline = client.pipelined();
                for (int i = 0; i < BATCH; i++) {
                    pipeline.set("stream:" + (from + i) % 100_000, value);
                }
                pipeline.sync();
            }
        }
        double written = (System.nanoTime() - began) / NANOS;
        long end = Long.parseLong(source.info("replication", "master_repl_offset"));
        boolean applied = link.awaitApplied(end, Deadline.in(Environment.system(), LIMIT));
        double drained = (System.nanoTime() - began) / NANOS;
        looking.interrupt();
        double processor = (machine.getProcessCpuTime() - cpu) / NANOS;
        out.printf(
                "stream       %,d SETs written in %.2f s (%,.0f a second), applied%s after %.2f s (%,.0f a second); %,d bytes behind at most; %.2f s of processor time, the writer's included%n",
                WRITES,
                written,
                WRITES / written,
                applied ? "" : " NOT",
                drained,
                WRITES / drained,
                lagBytes.get(),
                processor);
        results.put("streamWritesPerSecond", WRITES / written);
        results.put("streamAppliedPerSecond", WRITES / drained);
        results.put("streamLagBytesMax", lagBytes.get());
    }

    private static FleetSpec spec(String name, RealServer server) {
        return new FleetSpec(name, new Endpoint(server.host(), server.port()), Optional.empty());
    }

    private static final class Silent implements LinkListener {
        @Override
        public void based(LinkBase base) {}

        @Override
        public void sourceIdChanged(String id) {}

        @Override
        public void copied(BackupManifest manifest) {}

        @Override
        public void broken(String why) {
            throw new IllegalStateException(why);
        }
    }
}
