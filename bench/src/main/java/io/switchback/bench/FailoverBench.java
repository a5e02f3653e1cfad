package io.switchback.bench;

import io.switchback.bench.FailoverClients.Seen;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisException;

/**
 * {@code bench/run failover}: when clients can write again after a primary was killed, and what errors they see.
 *
 * <p>All clients are at the same fleet at the same time, so that all see the same failover.
 */
@Command(
        name = "bench/run failover",
        description = {
            "Kills the primary of a shard of a cluster, and that of a fleet under sentinels, again and again under load: how long until the first"
                    + " write of clients of a node works, beside clients that go straight to the fleet, and how many errors each sees.",
            "Takes about six minutes, with --quick one."
        },
        mixinStandardHelpOptions = true)
final class FailoverBench extends Measurement {
    /** They report each attempt to connect. Kept here, since the JDK forgets what a logger was told that nobody has. */
    private static final List<Logger> LIBRARIES = Stream.of("io.lettuce", "io.netty", "redis.clients")
            .map(Logger::getLogger)
            .toList();

    private static final int PRIMARIES = 3;
    private static final int REPLICAS = 1;
    /** That of the first primary. */
    private static final int SLOT = 0;

    /** What is answered so soon after a primary died was answered by it: nobody takes its place within a tenth of the silence that it takes. */
    private static final Duration ON_ITS_WAY = Duration.ofMillis(50);

    private static final Duration RECOVERY_LIMIT = Duration.ofSeconds(60);
    /** Errors that come so long after all are served are still counted. */
    private static final Duration AFTERWARDS = Duration.ofSeconds(2);

    private static final Duration CALM = Duration.ofSeconds(2);
    private static final Duration PROBE_INTERVAL = Duration.ofMillis(5);
    private static final int PROBE_TIMEOUT_MS = 2_000;
    private static final double NANOS_PER_MILLI = 1e6;
    private static final int MISTAKE = 2;

    @Option(
            names = "--kills",
            paramLabel = "N",
            description = "of each fleet; default ${DEFAULT-VALUE}",
            defaultValue = "7")
    private int kills;

    @Option(
            names = "--timeout",
            paramLabel = "SECONDS",
            description =
                    "what all clients have for a command, and for all attempts at it; longer than a failover takes; default ${DEFAULT-VALUE}",
            defaultValue = "5")
    private int timeoutSeconds;

    FailoverBench(Path launcher) {
        super(launcher);
    }

    /** A primary that can die, with somebody to take its place. */
    private sealed interface Fleet {
        RealServer primary();

        List<RealServer> replicas();

        /** A key that this primary has. */
        String key(String prefix, int number);

        /** The one that was killed is there again, as a replica. */
        void mend(RealServer killed);

        /** The shard that has {@link #SLOT}. */
        record Shard(RealCluster cluster) implements Fleet {
            @Override
            public RealServer primary() {
                return cluster.primaryOf(SLOT);
            }

            @Override
            public List<RealServer> replicas() {
                return cluster.replicasOf(primary());
            }

            @Override
            public String key(String prefix, int number) {
                return cluster.keyOn(primary(), prefix + ":" + number + ":");
            }

            @Override
            public void mend(RealServer killed) {
                killed.restart();
                cluster.awaitOk();
            }
        }

        /** Under sentinels. */
        record Watched(RealSentinels fleet) implements Fleet {
            @Override
            public RealServer primary() {
                return fleet.primary();
            }

            @Override
            public List<RealServer> replicas() {
                return fleet.replicas();
            }

            @Override
            public String key(String prefix, int number) {
                return prefix + ":" + number;
            }

            @Override
            public void mend(RealServer killed) {
                killed.restart();
                fleet.awaitFollowing();
            }
        }
    }

    @Override
    public Integer call() throws IOException {
        if (kills < 1 || timeoutSeconds < 1) {
            say("bench/run failover: --kills and --timeout are at least 1");
            return MISTAKE;
        }
        return super.call();
    }

    private Duration limit() {
        return Duration.ofSeconds(timeoutSeconds);
    }

    @Override
    void measure(Path folder) {
        LIBRARIES.forEach(logger -> logger.setLevel(Level.OFF));
        ofCluster(folder.resolve("cluster"));
        ofSentinels(folder.resolve("sentinels"));
    }

    private void ofCluster(Path folder) {
        try (RealCluster cluster = RealCluster.start(server(), folder, PRIMARIES, REPLICAS);
                NodeProcess node = node(folder.resolve("node"), """
                        active: blue
                        fleets:
                          blue: { cluster: [%s] }
                        """.formatted(addresses(cluster.endpoints())))) {
            Map<String, FailoverLibrary> libraries = new LinkedHashMap<>();
            libraries.put("Jedis through a node", FailoverLibrary.jedis(node.port(), limit()));
            libraries.put("JedisCluster", FailoverLibrary.jedisCluster(cluster.endpoints(), limit()));
            libraries.put("Lettuce through a node", FailoverLibrary.lettuce(node.port(), limit()));
            libraries.put("Lettuce's cluster client", FailoverLibrary.lettuceCluster(cluster.endpoints(), limit()));
            String title = "A shard of a cluster of %d primaries with a replica each, cluster-node-timeout %d ms"
                    .formatted(PRIMARIES, RealCluster.NODE_TIMEOUT.toMillis());
            killed("cluster", title, new Fleet.Shard(cluster), libraries);
        }
    }

    private void ofSentinels(Path folder) {
        try (RealSentinels sentinels = RealSentinels.start(server(), folder, REPLICAS);
                NodeProcess node = node(folder.resolve("node"), """
                        active: blue
                        fleets:
                          blue: { sentinel: { primary: %s, sentinels: [%s] } }
                        """.formatted(
                                RealSentinels.PRIMARY_NAME, addresses(sentinels.endpoints())))) {
            Map<String, FailoverLibrary> libraries = new LinkedHashMap<>();
            libraries.put("Jedis through a node", FailoverLibrary.jedis(node.port(), limit()));
            libraries.put("JedisSentineled", FailoverLibrary.jedisSentinel(sentinels.endpoints(), limit()));
            libraries.put("Lettuce through a node", FailoverLibrary.lettuce(node.port(), limit()));
            libraries.put("Lettuce, of sentinels", FailoverLibrary.lettuceSentinel(sentinels.endpoints(), limit()));
            String title = "A primary with a replica under three sentinels, down-after-milliseconds %d"
                    .formatted(RealSentinels.DOWN_AFTER.toMillis());
            killed("sentinel", title, new Fleet.Watched(sentinels), libraries);
        }
    }

    private static String addresses(List<HostAndPort> endpoints) {
        return endpoints.stream().map(HostAndPort::toString).collect(Collectors.joining(", "));
    }

    private void killed(String name, String title, Fleet fleet, Map<String, FailoverLibrary> libraries) {
        List<FailoverClients> ways = new ArrayList<>();
        Map<String, List<Seen>> seen = new LinkedHashMap<>();
        List<Double> earliest = new ArrayList<>();
        try {
            libraries.forEach((way, library) -> ways.add(new FailoverClients(way, library, fleet::key)));
            int rounds = isQuick() ? 1 : kills;
            for (int round = 1; round <= rounds; round++) {
                long now = System.nanoTime();
                awaitServed(ways, now);
                Pause.of(CALM);
                RealServer killed = kill(fleet, ways, seen, earliest);
                say(
                        "%s, kill %d of %d: the replica took a write after %.0f ms; %s",
                        name, round, rounds, earliest.getLast(), lastOf(seen));
                if (round < rounds) {
                    fleet.mend(killed);
                }
            }
        } finally {
            ways.forEach(FailoverClients::close);
        }
        note(name, seen);
        note(name + " replica itself", earliest);
        print(title, seen, earliest);
    }

    private static String lastOf(Map<String, List<Seen>> seen) {
        return seen.entrySet().stream()
                .map(way -> "%s %.0f ms, %d errors"
                        .formatted(
                                way.getKey(),
                                way.getValue().getLast().firstWriteMs(),
                                way.getValue().getLast().writeErrors()
                                        + way.getValue().getLast().readErrors()))
                .collect(Collectors.joining("; "));
    }

    private static void awaitServed(List<FailoverClients> ways, long since) {
        Await.until(
                RECOVERY_LIMIT,
                "all clients are served",
                () -> ways.stream().allMatch(way -> way.isServedSince(since)));
    }

    private RealServer kill(
            Fleet fleet, List<FailoverClients> ways, Map<String, List<Seen>> seen, List<Double> earliest) {
        RealServer primary = fleet.primary();
        Probe probe = new Probe(fleet.replicas().getFirst(), fleet.key("probe", 0));
        ways.forEach(FailoverClients::forget);
        probe.start();
        primary.kill();
        long gone = System.nanoTime();
        long from = gone + ON_ITS_WAY.toNanos();
        try {
            awaitServed(ways, from);
        } catch (AssertionError e) {
            say("not all clients were served within %d s", RECOVERY_LIMIT.toSeconds());
        }
        Pause.of(AFTERWARDS);
        earliest.add((probe.end() - gone) / NANOS_PER_MILLI);
        ways.forEach(
                way -> seen.computeIfAbsent(way.way(), any -> new ArrayList<>()).add(way.seen(gone, from)));
        return primary;
    }

    /** Writes straight to the one that is to take the primary's place until it takes it: nobody can be sooner. */
    private static final class Probe {
        private final RealServer replica;
        private final String key;
        private final Thread thread = Thread.ofPlatform().daemon().unstarted(this::run);
        private volatile long tookNanos;

        Probe(RealServer replica, String key) {
            this.replica = replica;
            this.key = key;
        }

        void start() {
            thread.start();
        }

        private void run() {
            while (!Thread.currentThread().isInterrupted()) {
                try (Jedis client = new Jedis(replica.host(), replica.port(), PROBE_TIMEOUT_MS)) {
                    tryToWrite(client);
                    return;
                } catch (JedisException e) {
                    // It was too slow to answer: once more.
                }
            }
        }

        private void tryToWrite(Jedis client) {
            while (!Thread.currentThread().isInterrupted()) {
                try {
                    client.set(key, "taken");
                    tookNanos = System.nanoTime();
                    return;
                } catch (JedisDataException e) {
                    Pause.of(PROBE_INTERVAL); // READONLY, MOVED, CLUSTERDOWN
                }
            }
        }

        /** When the replica took the write; all clients had theirs taken before. */
        long end() {
            Await.until(RECOVERY_LIMIT, "the replica takes a write", () -> tookNanos != 0);
            return tookNanos;
        }
    }

    private void print(String title, Map<String, List<Seen>> seen, List<Double> earliest) {
        say(
                "%n%s; %d writers and %d readers each way, 100 a second each; %d s for a command; %d kill(s); times in ms after the primary was gone, median / worst.%n",
                title, FailoverClients.WRITERS, FailoverClients.READERS, timeoutSeconds, earliest.size());
        say(
                "| clients | first write | first write of the last writer | first read | errors of writes a kill | errors of reads a kill | writes done twice unseen, in all |");
        say("| --- | --- | --- | --- | --- | --- | --- |");
        say("| the replica itself, asked every 5 ms | %s | | | | | |", Spread.of(earliest, each -> each));
        seen.forEach((way, each) -> say(
                "| %s | %s | %s | %s | %s | %s | %d |",
                way,
                spread(each, Seen::firstWriteMs),
                spread(each, Seen::lastWriterMs),
                spread(each, Seen::firstReadMs),
                spread(each, Seen::writeErrors),
                spread(each, Seen::readErrors),
                each.stream().mapToLong(Seen::twice).sum()));
        say("");
        seen.forEach(
                (way, each) -> messages(each).forEach((message, count) -> say("%s: %d x %s", way, count, message)));
        say("");
    }

    private static Spread spread(List<Seen> each, ToDoubleFunction<Seen> figure) {
        return Spread.of(each, figure);
    }

    private static Map<String, Integer> messages(List<Seen> each) {
        Map<String, Integer> all = new TreeMap<>();
        each.forEach(one -> one.messages().forEach((message, count) -> all.merge(message, count, Integer::sum)));
        return all;
    }
}
