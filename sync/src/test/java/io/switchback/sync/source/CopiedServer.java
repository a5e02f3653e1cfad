package io.switchback.sync.source;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import redis.clients.jedis.Jedis;

/** A server with so much data that a copy of it at {@link #SLOWLY} has to wait many times, and what can be seen of the copy there. */
public final class CopiedServer {
    public static final long SLOWLY_BYTES_PER_SECOND = 4L << 20;

    public static final CopyLimits SLOWLY =
            new CopyLimits(OptionalLong.of(SLOWLY_BYTES_PER_SECOND), OptionalLong.empty(), Optional.empty());

    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int VALUES = 400;
    private static final int VALUE_CHARACTERS = 32 * 1024;
    private static final long UNSENT_BYTES_MAX = 1 << 20;

    private CopiedServer() {}

    /** The kinds of servers that can send a snapshot over a connection of its own, as far as they are there. */
    public static List<ServerBinary> withTwoChannels() {
        return List.of("valkey-9.1", "valkey-8.1", "redis-8.0").stream()
                .flatMap(name -> ServerBinary.named(name).stream())
                .toList();
    }

    /** What such a server is started with. */
    public static String[] options(ServerBinary binary, boolean twoChannels, String... more) {
        List<String> options = new ArrayList<>(
                List.of("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--rdbcompression", "no"));
        if (withTwoChannels().contains(binary)) {
            options.add(binary.isValkey() ? "--dual-channel-replication-enabled" : "--repl-rdb-channel");
            options.add(twoChannels ? "yes" : "no");
        }
        options.addAll(List.of(more));
        return options.toArray(String[]::new);
    }

    /** Fills it with what no server makes smaller. */
    public static void fill(RealServer server) {
        write(server, "before", VALUES);
    }

    /** Writes about so many mebibytes. */
    public static void writeMebibytes(RealServer server, String name, int mebibytes) {
        write(server, name, mebibytes * (1 << 20) / VALUE_CHARACTERS);
    }

    private static void write(RealServer server, String name, int values) {
        Random random = new Random(name.hashCode());
        try (Jedis client = server.client()) {
            for (int i = 0; i < values; i++) {
                StringBuilder value = new StringBuilder(VALUE_CHARACTERS);
                while (value.length() < VALUE_CHARACTERS) {
                    value.append(Long.toHexString(random.nextLong() | Long.MIN_VALUE));
                }
                client.set(name + i, value.toString());
                client.incr("writes");
                client.rpush("names", name + i);
            }
        }
    }

    /** The connections that the server takes for replicas. */
    public static List<String> replicas(RealServer server) {
        return server.text("CLIENT", "LIST", "TYPE", "replica")
                .lines()
                .filter(line -> !line.isBlank())
                .toList();
    }

    /** Writes some mebibytes, and sees that the server has sent them all, so that it holds nothing of them for the link. */
    public static void writeAndSeeThemSent(RealServer server, int mebibytes) {
        for (int i = 0; i < mebibytes; i++) {
            writeMebibytes(server, "during" + i + "-", 1);
            Await.until(LIMIT, "what was written is sent at once", () -> unsentBytes(server) < UNSENT_BYTES_MAX);
        }
    }

    /** What it holds for those that it takes for replicas. */
    public static long unsentBytes(RealServer server) {
        return replicas(server).stream()
                .mapToLong(line -> Long.parseLong(line.replaceFirst(".* omem=([0-9]+).*", "$1")))
                .sum();
    }

    /** Ends all connections that it takes for replicas. */
    public static void killReplicas(RealServer server) {
        server.call("CLIENT", "KILL", "TYPE", "replica");
    }

    public static long fullCopies(RealServer server) {
        return Long.parseLong(server.info("stats", "sync_full"));
    }
}
