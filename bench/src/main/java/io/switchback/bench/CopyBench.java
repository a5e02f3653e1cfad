package io.switchback.bench;

import io.switchback.bench.MeasuredLink.Kind;
import io.switchback.environment.Environment;
import io.switchback.sync.source.CopyLimits;
import io.switchback.sync.verify.Verification;
import io.switchback.sync.verify.VerificationReport;
import io.switchback.sync.verify.VerificationSettings;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** {@code bench/run copy}: what a full copy by links takes, and how far they are behind a stream of writes, beside the servers' own replication. */
@Command(
        name = "bench/run copy",
        description = {
            "A full copy by a relay link and by an apply link, each in a process with a bounded heap, beside the servers' own REPLICAOF and beside"
                    + " a file written by redis-cli --rdb that the target loads; how long it takes to verify the copy; what a client of the source feels of each way"
                    + " to copy it; then how late writes at several rates arrive at the target, by the links and by the servers' own replication.",
            "Takes about eleven minutes, with --quick one."
        },
        mixinStandardHelpOptions = true)
final class CopyBench implements Callable<Integer> {
    private static final int MISTAKE = 2;
    private static final Duration LIMIT = Duration.ofMinutes(10);
    private static final int KEYS = 5_000_000;
    private static final int QUICK_KEYS = 200_000;
    private static final int ELEMENTS = 3;
    private static final int BATCH = 1_000;
    private static final double NANOS = 1e9;
    private static final double MIB = 1024;

    private static final List<Integer> RATES = List.of(20_000, 50_000, 100_000, 150_000, 200_000);
    private static final List<Integer> QUICK_RATES = List.of(20_000, 100_000);
    private static final Duration AT_A_RATE = Duration.ofSeconds(6);
    private static final Duration QUICK_AT_A_RATE = Duration.ofSeconds(2);
    private static final int WRITES_AT_ONCE = 100;
    private static final Duration QUIET = Duration.ofSeconds(10);
    private static final long FELT_PACE_NANOS = 1_000_000;
    private static final long SLOW_BYTES = 4L << 20;

    private final PrintStream out = System.out;
    private final Map<String, Object> results = new LinkedHashMap<>();

    @Option(names = "--keys", paramLabel = "N", description = "default 5,000,000; 200,000 with --quick")
    private int keys;

    @Option(
            names = "--heap",
            paramLabel = "MIB",
            description = "of a link; default ${DEFAULT-VALUE}",
            defaultValue = "256")
    private int heapMib;

    @Option(names = "--quick", description = "for a first look")
    private boolean quick;

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description =
                    "of ${COMPLETION-CANDIDATES}: copies and verification, what clients feel, how late writes arrive; default all")
    private List<Part> only = List.of(Part.values());

    /** What is measured. */
    private enum Part {
        copies,
        clients,
        writes
    }

    @Option(names = "--json", paramLabel = "FILE", description = "writes the figures for a program as well")
    private @Nullable Path json;

    /** What a copy took: seconds of the clock, and of the processor by whom. */
    private record Copy(String way, double seconds, double ofSource, double ofTarget, double ofLink, double linkMib) {}

    /** What a client's commands took, in microseconds. */
    private record Felt(
            String beside, double seconds, long commands, double p50, double p99, double p999, double worst) {}

    /** How late writes arrived, in milliseconds, and what the link used meanwhile. */
    private record Late(String way, int asked, double written, double p50, double p99, double worst, double ofLink) {}

    @Override
    public Integer call() throws IOException {
        if (keys < 0 || heapMib < 64) {
            out.println("bench/run copy: --keys is at least 1, --heap at least 64");
            return MISTAKE;
        }
        if (keys == 0) {
            keys = quick ? QUICK_KEYS : KEYS;
        }
        Machine.description().forEach((name, text) -> out.printf("%-10s %s%n", name, text));
        results.put("machine", Machine.description());
        Path folder = Files.createTempDirectory("switchback-copy-");
        ServerBinary older = Bench.older();
        ServerBinary newer = Bench.newer();
        try {
            out.printf("%-10s %s to %s%n", "servers", older, newer);
            try (RealServer source = source(older, folder.resolve("source"))) {
                fill(source);
                out.printf(
                        Locale.ROOT,
                        "%-10s %,d keys, %s in memory%n%n",
                        "data",
                        keys,
                        source.info("memory", "used_memory_human"));
                if (only.contains(Part.copies)) {
                    copies(source, newer, folder);
                }
                if (only.contains(Part.clients)) {
                    disturbances(source, newer, folder);
                }
            }
            if (only.contains(Part.writes)) {
                try (RealServer source = source(older, folder.resolve("stream"))) {
                    streams(source, newer, folder);
                }
            }
        } finally {
            Bench.delete(folder);
        }
        if (json != null) {
            Bench.write(json, results, out);
        }
        return 0;
    }

    private static RealServer source(ServerBinary binary, Path folder) {
        return RealServer.start(
                binary,
                folder,
                "--repl-diskless-sync-delay",
                "0",
                "--repl-backlog-size",
                "512mb",
                "--client-output-buffer-limit",
                "replica 0 0 0");
    }

    // ---- full copies ----

    /** Of ten keys six are strings, and one each a list, a set, a hash and a sorted set of three elements; every tenth has a time to live. */
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
        String value = "value-of-" + number + "-".repeat(20);
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

    private void copies(RealServer source, ServerBinary newer, Path folder) {
        List<Copy> taken = new ArrayList<>();
        try (RealServer target = RealServer.start(newer, folder.resolve("replica"))) {
            taken.add(timed("REPLICAOF", source, target, () -> {
                follow(source, target);
                return Optional.empty();
            }));
        }
        for (Kind kind : Kind.values()) {
            try (RealServer target = RealServer.start(newer, folder.resolve("by-" + kind.name()))) {
                taken.add(timed(kind.title(), source, target, () -> {
                    MeasuredLink link = MeasuredLink.start(kind, source, target, heapMib, CopyLimits.NONE, folder);
                    link.awaitStreaming();
                    return Optional.of(link);
                }));
                demandAll(source, target);
                if (kind == Kind.APPLY) {
                    verify(source, target);
                }
            }
        }
        file(source, newer, folder).ifPresent(taken::add);
        out.println(
                "| full copy by | s | CPU s of the link | CPU s of the source | CPU s of the target | the link's memory, MiB |");
        out.println("| --- | --- | --- | --- | --- | --- |");
        for (Copy one : taken) {
            out.printf(
                    Locale.ROOT,
                    "| %s | %.1f | %s | %.1f | %.1f | %s |%n",
                    one.way(),
                    one.seconds(),
                    one.linkMib() == 0 ? "" : String.format(Locale.ROOT, "%.1f", one.ofLink()),
                    one.ofSource(),
                    one.ofTarget(),
                    one.linkMib() == 0 ? "" : String.format(Locale.ROOT, "%.0f", one.linkMib()));
        }
        out.println();
        results.put("copies", taken);
    }

    /** As fast as it goes, and with the quarter of the time that a release leaves to clients. */
    private void verify(RealServer source, RealServer target) {
        Map<String, Double> perMillion = new LinkedHashMap<>();
        for (double share : new double[] {1, VerificationSettings.defaults().busyShareMax()}) {
            long began = System.nanoTime();
            VerificationReport report = Verification.run(
                    VerificationSettings.defaults().withBusyShareMax(share),
                    MeasuredLink.spec("source", source.port()),
                    MeasuredLink.spec("target", target.port()),
                    Environment.system(),
                    progress -> {},
                    () -> false);
            double seconds = (System.nanoTime() - began) / NANOS;
            if (report.differenceCount() > 0) {
                throw new IllegalStateException("the copy is none: " + report.differences());
            }
            double ofAMillion = seconds * 1e6 / report.keysChecked();
            out.printf(
                    Locale.ROOT,
                    "verified   %,d keys, types, values and times to live in %.1f s with the servers asked %.0f %% of the time: a million keys in %.1f s%n",
                    report.keysChecked(),
                    seconds,
                    share * 100,
                    ofAMillion);
            perMillion.put("asked " + share, ofAMillion);
        }
        out.println();
        results.put("secondsToVerifyAMillion", perMillion);
    }

    // ---- what clients feel of a copy ----

    /**
     * The source's clients alone, then beside each way to copy it. Link and target give way to the source and its client, as if they were on machines of their own: what is to be seen is what the
     * copy costs the source.
     */
    private void disturbances(RealServer source, ServerBinary newer, Path folder) {
        List<Felt> all = new ArrayList<>();
        all.add(feels("no copy", source, QUIET));
        try (RealServer target = RealServer.start(newer, folder.resolve("felt-replica"))) {
            Machine.giveWay(target.pid());
            all.add(feelsUntil("REPLICAOF", source, () -> follow(source, target)));
        }
        CopyLimits gentle =
                new CopyLimits(OptionalLong.empty(), OptionalLong.empty(), Optional.of(Duration.ofMillis(1)));
        CopyLimits slow = new CopyLimits(OptionalLong.of(SLOW_BYTES), OptionalLong.empty(), Optional.empty());
        Map<String, CopyLimits> ways = new LinkedHashMap<>();
        ways.put("as fast as it goes", CopyLimits.NONE);
        ways.put("source-latency: 1ms", gentle);
        ways.put("mib-per-second: " + (SLOW_BYTES >> 20), slow);
        for (Kind kind : Kind.values()) {
            ways.forEach((name, limits) -> {
                try (RealServer target = RealServer.start(newer, folder.resolve("felt-" + all.size()));
                        MeasuredLink link = MeasuredLink.start(kind, source, target, heapMib, limits, folder)) {
                    Machine.giveWay(target.pid());
                    Machine.giveWay(link.processId());
                    all.add(feelsUntil(kind.title() + ", " + name, source, link::awaitStreaming));
                }
            });
        }
        all.add(feels("no copy, again", source, QUIET));
        out.println(
                "| a client's commands beside | s | commands | p50, us | p99, us | p99.9, us | worst, ms | p99 over that without |");
        out.println("| --- | --- | --- | --- | --- | --- | --- | --- |");
        for (Felt one : all) {
            out.printf(
                    Locale.ROOT,
                    "| %s | %.1f | %,d | %.0f | %.0f | %.0f | %.1f | %.2f |%n",
                    one.beside(),
                    one.seconds(),
                    one.commands(),
                    one.p50(),
                    one.p99(),
                    one.p999(),
                    one.worst() / 1e3,
                    one.p99() / all.getFirst().p99());
        }
        out.println();
        results.put("disturbances", all);
    }

    private static Felt feels(String beside, RealServer source, Duration how) {
        return feelsUntil(beside, source, () -> Pause.of(how));
    }

    /** One client that reads and writes by turns, a thousand commands a second, until the action ends. */
    private static Felt feelsUntil(String beside, RealServer source, Runnable action) {
        Histogram micros = new Histogram(3);
        Thread client = Thread.ofPlatform().daemon().start(() -> {
            try (Jedis commands = source.client()) {
                for (int i = 0; !Thread.currentThread().isInterrupted(); i++) {
                    String key = "key:" + (i % 1_000 * 10 + 1);
                    long began = System.nanoTime();
                    if (i % 2 == 0) {
                        commands.get(key);
                    } else {
                        commands.set(key, "value-of-" + i);
                    }
                    micros.recordValue((System.nanoTime() - began) / 1_000);
                    LockSupport.parkNanos(FELT_PACE_NANOS);
                }
            }
        });
        long began = System.nanoTime();
        action.run();
        double seconds = (System.nanoTime() - began) / NANOS;
        client.interrupt();
        try {
            client.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return new Felt(
                beside,
                seconds,
                micros.getTotalCount(),
                micros.getValueAtPercentile(50),
                micros.getValueAtPercentile(99),
                micros.getValueAtPercentile(99.9),
                micros.getMaxValue());
    }

    private static void follow(RealServer source, RealServer target) {
        target.call("REPLICAOF", source.host(), Integer.toString(source.port()));
        Await.until(
                LIMIT,
                "the replica has the copy",
                () -> "up".equals(target.info("replication").get("master_link_status")));
    }

    /** The source's child that writes the snapshot is among its processor time once it has ended. */
    private Copy timed(String way, RealServer source, RealServer target, Supplier<Optional<MeasuredLink>> copy) {
        double ofSource = processorSeconds(source);
        double ofTarget = Machine.processSeconds(target.pid());
        long began = System.nanoTime();
        Optional<MeasuredLink> link = copy.get();
        double seconds = (System.nanoTime() - began) / NANOS;
        try {
            return new Copy(
                    way,
                    seconds,
                    processorSeconds(source) - ofSource,
                    Machine.processSeconds(target.pid()) - ofTarget,
                    link.map(one -> Machine.processSeconds(one.processId())).orElse(0.0),
                    link.map(one -> Machine.memoryKib(one.processId(), "VmHWM") / MIB)
                            .orElse(0.0));
        } finally {
            link.ifPresent(MeasuredLink::close);
        }
    }

    private static double processorSeconds(RealServer server) {
        Map<String, String> used = server.info("cpu");
        return List.of("used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children").stream()
                .mapToDouble(field -> Double.parseDouble(used.getOrDefault(field, "0")))
                .sum();
    }

    private void demandAll(RealServer source, RealServer target) {
        long expected = source.number("DBSIZE");
        long there = target.number("DBSIZE");
        if (there < expected) { // keys of the link's own may be there beside
            throw new IllegalStateException("the target has " + there + " of " + expected + " keys");
        }
    }

    /** What people do who have no replication between the two: a snapshot as a file, which the target loads as it starts. */
    private Optional<Copy> file(RealServer source, ServerBinary newer, Path folder) {
        Optional<Path> tool = source.binary().tool("cli");
        if (tool.isEmpty()) {
            out.println("redis-cli is not there beside the server, so its way is left out");
            return Optional.empty();
        }
        Path there = folder.resolve("from-a-file");
        double ofSource = processorSeconds(source);
        long began = System.nanoTime();
        try {
            Files.createDirectories(there);
            Process dump = new ProcessBuilder(
                            tool.get().toString(),
                            "-p",
                            Integer.toString(source.port()),
                            "--rdb",
                            there.resolve("dump.rdb").toString())
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve("redis-cli.log").toFile())
                    .start();
            if (dump.waitFor() != 0) {
                throw new IllegalStateException(
                        "redis-cli --rdb failed: " + Files.readString(folder.resolve("redis-cli.log")));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        try (RealServer target = RealServer.start(newer, there)) {
            double seconds = (System.nanoTime() - began) / NANOS;
            demandAll(source, target);
            return Optional.of(new Copy(
                    "redis-cli --rdb, then loaded at start",
                    seconds,
                    processorSeconds(source) - ofSource,
                    Machine.processSeconds(target.pid()),
                    0,
                    0));
        }
    }

    // ---- the stream ----

    private void streams(RealServer source, ServerBinary newer, Path folder) {
        List<Late> all = new ArrayList<>();
        try (RealServer target = RealServer.start(newer, folder.resolve("stream-replica"))) {
            follow(source, target);
            all.addAll(lateness("REPLICAOF", source, target, Optional.empty()));
        }
        for (Kind kind : Kind.values()) {
            source.call("FLUSHALL");
            try (RealServer target = RealServer.start(newer, folder.resolve("stream-" + kind.name()));
                    MeasuredLink link = MeasuredLink.start(kind, source, target, heapMib, CopyLimits.NONE, folder)) {
                link.awaitStreaming();
                all.addAll(lateness(kind.title(), source, target, Optional.of(link)));
            }
        }
        out.println(
                "| by | SETs/s asked for | written | late by, ms: p50 | p99 | worst | CPU s of the link per million |");
        out.println("| --- | --- | --- | --- | --- | --- | --- |");
        for (Late one : all) {
            out.printf(
                    Locale.ROOT,
                    "| %s | %,d | %,.0f | %.1f | %.1f | %.1f | %s |%n",
                    one.way(),
                    one.asked(),
                    one.written(),
                    one.p50(),
                    one.p99(),
                    one.worst(),
                    one.ofLink() == 0 ? "" : String.format(Locale.ROOT, "%.2f", one.ofLink()));
        }
        out.println();
        results.put("streams", all);
    }

    private List<Late> lateness(String way, RealServer source, RealServer target, Optional<MeasuredLink> link) {
        List<Late> all = new ArrayList<>();
        written(source, QUICK_AT_A_RATE, RATES.getLast()); // compiled before it counts
        for (int rate : quick ? QUICK_RATES : RATES) {
            Pause.of(Duration.ofMillis(500)); // what the rate before has left behind
            double used =
                    link.map(one -> Machine.processSeconds(one.processId())).orElse(0.0);
            List<Double> late = new ArrayList<>();
            Thread probe = Thread.ofPlatform().daemon().start(() -> probe(source, target, late));
            long count = written(source, quick ? QUICK_AT_A_RATE : AT_A_RATE, rate);
            probe.interrupt();
            try {
                probe.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            double ofLink =
                    link.map(one -> Machine.processSeconds(one.processId())).orElse(0.0) - used;
            List<Double> sorted = late.stream().sorted().toList();
            all.add(new Late(
                    way,
                    rate,
                    count / ((quick ? QUICK_AT_A_RATE : AT_A_RATE).toMillis() / 1e3),
                    sorted.get(sorted.size() / 2),
                    sorted.get(sorted.size() * 99 / 100),
                    sorted.getLast(),
                    ofLink * 1e6 / count));
        }
        return all;
    }

    /** SETs of 64 bytes, a hundred at once, at that rate; how many there were. */
    private static long written(RealServer source, Duration how, int rate) {
        String value = "x".repeat(64);
        long count = 0;
        long began = System.nanoTime();
        try (Jedis client = source.client()) {
            while (System.nanoTime() - began < how.toNanos()) {
                Pipeline pipeline = client.pipelined();
                for (int i = 0; i < WRITES_AT_ONCE; i++) {
                    pipeline.set("stream:" + (count + i) % 100_000, value);
                }
                pipeline.sync();
                count += WRITES_AT_ONCE;
                long due = began + (long) (count * NANOS / rate);
                LockSupport.parkNanos(due - System.nanoTime());
            }
        }
        return count;
    }

    /** Writes the time to a key and waits until the target has it, again and again. The asking itself is among what it finds, a fraction of a millisecond. */
    private static void probe(RealServer source, RealServer target, List<Double> late) {
        try (Jedis from = source.client();
                Jedis to = target.client()) {
            for (long number = 1; !Thread.currentThread().isInterrupted(); number++) {
                String value = Long.toString(number);
                from.set("probe", value);
                long written = System.nanoTime();
                while (!value.equals(to.get("probe"))) {
                    if (System.nanoTime() - written > LIMIT.toNanos()) {
                        throw new IllegalStateException("a write does not arrive at " + target);
                    }
                    LockSupport.parkNanos(50_000);
                }
                late.add((System.nanoTime() - written) / 1e6);
                LockSupport.parkNanos(2_000_000);
            }
        }
    }
}
