package io.switchback.testkit;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisException;

/**
 * A real primary with replicas, watched by three real sentinels, all of them processes on the loopback address.
 *
 * <p>For one thread at a time, as its {@link RealServer}s are. Verbs return once the processes themselves say that it is done. Who is the primary is
 * always asked, never remembered.
 */
public final class RealSentinels implements AutoCloseable {
    /** By which name the sentinels know the primary. */
    public static final String PRIMARY_NAME = "cache";

    /** Silence after which a sentinel takes a server for dead. */
    public static final Duration DOWN_AFTER = Duration.ofSeconds(1);

    private static final int SENTINELS = 3;
    private static final String QUORUM = "2";
    private static final String FAILOVER_TIMEOUT_MS = "3000";
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final List<RealServer> servers = new ArrayList<>();
    private final List<RealServer> sentinels = new ArrayList<>();

    private RealSentinels() {}

    /**
     * Starts all and returns once each sentinel knows the replicas and the other sentinels.
     *
     * @param folder its own: each process has a folder in it
     * @param extraArguments for each server, not for the sentinels, as on the server's command line; a {@code --requirepass} is told to all
     */
    public static RealSentinels start(ServerBinary binary, Path folder, int replicas, String... extraArguments) {
        RealSentinels fleet = new RealSentinels();
        try {
            fleet.form(binary, folder, replicas, List.of(extraArguments));
            return fleet;
        } catch (RuntimeException | Error e) {
            fleet.close();
            throw e;
        }
    }

    private void form(ServerBinary binary, Path folder, int replicas, List<String> extraArguments) {
        int passwordAt = extraArguments.lastIndexOf("--requirepass");
        List<String> password =
                passwordAt < 0 ? List.of() : List.of("--masterauth", extraArguments.get(passwordAt + 1));
        List<String> base = Stream.of(List.of("--repl-diskless-sync-delay", "0"), password, extraArguments)
                .flatMap(List::stream)
                .toList();
        // With a file: sentinels have the servers write down what they have told them.
        RealServer primary = RealServer.startWithConfigFile(binary, folder.resolve("server-0"), words(base.stream()));
        servers.add(primary);
        for (int i = 1; i <= replicas; i++) {
            Stream<String> follow = Stream.of("--replicaof", primary.host(), Integer.toString(primary.port()));
            servers.add(RealServer.startWithConfigFile(
                    binary, folder.resolve("server-" + i), words(Stream.concat(base.stream(), follow))));
        }
        Await.until(
                LIMIT,
                "all replicas follow",
                () -> primary.info("replication", "connected_slaves").equals(Integer.toString(replicas))
                        && servers.stream().skip(1).allMatch(RealSentinels::isFollowing));
        for (int i = 0; i < SENTINELS; i++) {
            sentinels.add(RealServer.startSentinel(
                    binary, folder.resolve("sentinel-" + i), words(sentinelSettings(primary, password))));
        }
        Await.until(
                LIMIT,
                "the sentinels know each other and the replicas",
                () -> sentinels.stream()
                        .allMatch(sentinel ->
                                field(sentinel, "num-other-sentinels").equals(Integer.toString(SENTINELS - 1))
                                        && field(sentinel, "num-slaves").equals(Integer.toString(replicas))
                                        && field(sentinel, "flags").equals("master")));
    }

    private static Stream<String> sentinelSettings(RealServer primary, List<String> password) {
        Stream<String> monitor = Stream.of(
                "--sentinel", "monitor", PRIMARY_NAME, primary.host(), Integer.toString(primary.port()), QUORUM);
        Stream<String> credential =
                password.stream().skip(1).flatMap(secret -> Stream.of("--sentinel", "auth-pass", PRIMARY_NAME, secret));
        String downAfter = Long.toString(DOWN_AFTER.toMillis());
        Stream<String> times = Stream.of(
                "--sentinel",
                "down-after-milliseconds",
                PRIMARY_NAME,
                downAfter,
                "--sentinel",
                "failover-timeout",
                PRIMARY_NAME,
                FAILOVER_TIMEOUT_MS);
        return Stream.of(monitor, credential, times).flatMap(part -> part);
    }

    private static String[] words(Stream<String> words) {
        return words.toArray(String[]::new);
    }

    private static boolean isFollowing(RealServer server) {
        try {
            return "up".equals(server.info("replication").get("master_link_status"));
        } catch (JedisConnectionException e) {
            return false; // sentinels that lead a server elsewhere kill its clients
        }
    }

    /** One field of what a sentinel says about the primary. */
    private static String field(RealServer sentinel, String name) {
        @Nullable Object reply = sentinel.call("SENTINEL", "MASTER", PRIMARY_NAME);
        if (reply instanceof List<?> fields) {
            for (int i = 0; i + 1 < fields.size(); i += 2) {
                if (name.equals(fields.get(i))) {
                    return String.valueOf(fields.get(i + 1));
                }
            }
        }
        throw new IllegalStateException(sentinel + " says nothing of " + name + ": " + reply);
    }

    /** By which name the sentinels know the primary. */
    public String primaryName() {
        return PRIMARY_NAME;
    }

    /** Where the sentinels listen. */
    public List<HostAndPort> endpoints() {
        return sentinels.stream()
                .map(sentinel -> new HostAndPort(sentinel.host(), sentinel.port()))
                .toList();
    }

    /** The sentinels themselves, those that were killed too. */
    public List<RealServer> sentinels() {
        return List.copyOf(sentinels);
    }

    /** The servers, whichever of them is the primary, those that were killed too. */
    public List<RealServer> servers() {
        return List.copyOf(servers);
    }

    /** The server that the sentinels name as the primary; they must agree. */
    public RealServer primary() {
        List<Integer> named = named();
        if (named.size() != 1) {
            throw new IllegalStateException("the sentinels do not agree on the primary: ports " + named);
        }
        return servers.stream()
                .filter(server -> server.port() == named.getFirst())
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("the sentinels name a stranger: port " + named));
    }

    /** The ports that running sentinels name, each once. */
    private List<Integer> named() {
        return sentinels.stream()
                .filter(sentinel -> sentinel.process().isAlive())
                .map(sentinel ->
                        Integer.parseInt(address(sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME))))
                .distinct()
                .toList();
    }

    private static String address(@Nullable Object reply) {
        if (reply instanceof List<?> hostAndPort && hostAndPort.size() == 2) {
            return String.valueOf(hostAndPort.get(1));
        }
        throw new IllegalStateException("a sentinel names no primary: " + reply);
    }

    /** Those of the running servers that are replicas. */
    public List<RealServer> replicas() {
        RealServer primary = primary();
        return servers.stream()
                .filter(server -> server != primary && server.process().isAlive())
                .toList();
    }

    /** The sentinels make another server the primary at once; returns as {@link #awaitSuccessor} does. */
    public RealServer failover() {
        RealServer former = primary();
        beginFailover();
        return awaitSuccessor(former);
    }

    /** The sentinels begin to make another server the primary. */
    public void beginFailover() {
        Await.until(LIMIT, "a sentinel begins a failover", () -> {
            try {
                sentinels.stream()
                        .filter(sentinel -> sentinel.process().isAlive())
                        .findFirst()
                        .orElseThrow()
                        .call("SENTINEL", "FAILOVER", PRIMARY_NAME);
                return true;
            } catch (JedisException e) {
                return false; // NOGOODSLAVE, until it has heard from one; INPROG, until the one before is over
            }
        });
    }

    /** Waits until all sentinels name another server, which says that it is the primary; who it is. */
    public RealServer awaitSuccessor(RealServer former) {
        Await.until(LIMIT, "another server than " + former + " is the primary", () -> {
            List<Integer> named = named();
            return named.size() == 1
                    && named.getFirst() != former.port()
                    && "master".equals(primary().info("replication").get("role"));
        });
        return primary();
    }

    /** Waits until every running server but the primary follows it. */
    public void awaitFollowing() {
        Await.until(LIMIT, "all running servers follow the primary", () -> {
            String port = Integer.toString(primary().port());
            return replicas().stream()
                    .allMatch(replica -> isFollowing(replica)
                            && port.equals(replica.info("replication").get("master_port")));
        });
    }

    /** Ends every process. */
    @Override
    public void close() {
        sentinels.forEach(RealServer::kill); // before they see the servers die
        servers.forEach(RealServer::kill);
    }
}
