package io.switchback.bench.chaos;

import com.fasterxml.jackson.databind.JsonNode;
import io.switchback.bench.ChildNode;
import io.switchback.cli.admin.AdminClient;
import io.switchback.testkit.Await;
import io.switchback.testkit.NodeNetworks;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.MessageLoad;
import io.switchback.testkit.load.QueueLoad;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;

/**
 * One round: three nodes between two real servers, clients on every node, a release that is sent forward and back, and faults at random
 * moments until the time is over. Then everything is healed, the release has to come to rest and to its end, and every
 * acknowledged write has to be where the clients are.
 *
 * <p>What the round does follows from its seed; when exactly it hits what, only the machine knows.
 */
final class ChaosRound implements AutoCloseable {
    static final int NODES = 3;
    /** Quickly there again after each kill. */
    private static final List<String> JVM = List.of("-XX:+UseSerialGC", "-Xmx256m", "-XX:TieredStopAtLevel=1");

    private static final String RELEASE = "r";
    private static final Duration SETTLE_LIMIT = Duration.ofMinutes(2);
    private static final Duration CLIENT_TIMEOUT = Duration.ofSeconds(20);

    private static final int DUMP_MILLIS = 1_000;
    private static final int PROBLEMS_SHOWN_MAX = 5;

    private final long seed;
    private final SplittableRandom random;
    private final ZooKeeperEnsemble ensemble;
    /** Of each node; null where nodes share the network of this process. */
    private final @Nullable NodeNetworks networks;

    private final RealServer blue;
    private final RealServer green;
    private final List<ChildNode> nodes = new ArrayList<>();
    private final List<Load> loads = new ArrayList<>();
    private @Nullable MessageLoad messages;
    private @Nullable QueueLoad queues;
    private final List<String> events = new ArrayList<>();
    private final long beganNanos = System.nanoTime();
    private int orders;

    /**
     * How a round ended.
     *
     * @param problem empty where all that it promises held
     */
    record Outcome(
            long seed,
            String protocol,
            String problem,
            int faults,
            int orders,
            long switches,
            long answers,
            long errors,
            long checked,
            long messages,
            long elements,
            double seconds,
            List<String> events) {}

    /** @param apply whether the first move is to the older version, which can follow no relay */
    ChaosRound(long seed, boolean apply, ZooKeeperEnsemble ensemble, @Nullable NodeNetworks networks, Path folder) {
        this.seed = seed;
        this.random = new SplittableRandom(seed);
        this.ensemble = ensemble;
        this.networks = networks;
        this.blue = RealServer.startWithConfigFile(server(apply ? "valkey-9.1" : "redis-7.0"), folder.resolve("blue"));
        this.green =
                RealServer.startWithConfigFile(server(apply ? "redis-7.0" : "valkey-9.1"), folder.resolve("green"));
        for (int number = 1; number <= NODES; number++) {
            String ledger = "zookeeper://" + ensemble.connect() + "/chaos-" + seed;
            ChildNode.Place place = networks == null
                    ? ChildNode.Place.HERE
                    : new ChildNode.Place(networks.address(number), networks.entering(number));
            nodes.add(new ChildNode(number, place, folder, ledger, blue.port(), green.port(), JVM));
        }
    }

    private static ServerBinary server(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    Outcome run(Duration time) {
        String protocol = random.nextBoolean() ? "two-phase" : "three-phase";
        String problem;
        long[] counts = new long[6];
        try {
            begin(protocol);
            disturb(time);
            heal();
            settle();
            counts[0] = switches();
            finish();
            problem = check(counts);
        } catch (RuntimeException | AssertionError e) {
            note("it went wrong: " + e);
            problem = String.valueOf(e.getMessage());
            nodes.forEach(ChildNode::dumpThreads);
            pause(DUMP_MILLIS);
        }
        return new Outcome(
                seed,
                protocol,
                problem,
                (int) events.stream()
                        .filter(event -> event.contains(" fault: "))
                        .count(),
                orders,
                counts[0],
                counts[1],
                counts[2],
                counts[3],
                counts[4],
                counts[5],
                (System.nanoTime() - beganNanos) / 1e9,
                List.copyOf(events));
    }

    private void begin(String protocol) {
        nodes.forEach(ChildNode::start);
        nodes.forEach(ChildNode::awaitReady);
        for (ChildNode node : nodes) {
            loads.add(Load.start(LoadSettings.on(node.address(), node.port())
                    .withClients(4)
                    .withOperationsPerSecond(300)
                    .withKeys(400)
                    .withDatabases(node.number() - 1)
                    .withTimeout(CLIENT_TIMEOUT)
                    .withSeed(seed * NODES + node.number())
                    .withPreload(true)));
        }
        List<HostAndPort> addresses = nodes.stream()
                .map(node -> new HostAndPort(node.address(), node.port()))
                .toList();
        messages = MessageLoad.start(addresses, CLIENT_TIMEOUT);
        queues = QueueLoad.start(addresses, CLIENT_TIMEOUT);
        any().admin().post("/v1/releases", AdminClient.bytes("""
                release: r
                moves: [{ cache: %s, to: green }]
                commit: %s
                hold: { limit: 2s, attempts: 20 }
                gates: { art: off, p99: off, errors: off, dlp: off, lag: { max: 10m } }
                observe: 1h
                fleet-loss: { then: wait }
                """.formatted(ChildNode.CACHE, protocol)));
        note("released by " + protocol + " commit");
    }

    // ---- faults and orders, at random moments ----

    private void disturb(Duration time) {
        long end = System.nanoTime() + time.toNanos();
        while (System.nanoTime() - end < 0) {
            pause(random.nextInt(50, 1_000));
            if (random.nextInt(5) < 2) {
                order();
            } else {
                disturbOnce();
            }
        }
    }

    private void disturbOnce() {
        NodeNetworks cutting = networks;
        if (cutting != null && random.nextInt(3) == 0) {
            cut(cutting);
            return;
        }
        ChildNode node = nodes.get(random.nextInt(NODES));
        int member = random.nextInt(ensemble.size());
        RealServer server = random.nextBoolean() ? blue : green;
        switch (random.nextInt(8)) {
            case 0, 1 -> {
                fault("node " + node.number() + " is killed");
                node.kill();
                pause(random.nextInt(0, 2_000));
                node.start();
            }
            case 2, 3 -> {
                int millis = random.nextInt(100, 9_000);
                fault("node " + node.number() + " is stopped for " + millis + " ms");
                node.stop();
                pauseWithOrders(millis);
                node.resume();
            }
            case 4 -> {
                fault("member " + member + " of the ledger is killed");
                ensemble.kill(member);
                pauseWithOrders(random.nextInt(100, 3_000));
                ensemble.restart(member);
            }
            case 5 -> {
                int millis = random.nextInt(100, 5_000);
                fault("member " + member + " of the ledger is stopped for " + millis + " ms");
                ensemble.stop(member);
                pauseWithOrders(millis);
                ensemble.resume(member);
            }
            case 6 -> {
                fault("the links of " + name(server) + " are cut");
                server.call("CLIENT", "KILL", "TYPE", random.nextBoolean() ? "replica" : "master");
            }
            default -> {
                int millis = random.nextInt(50, 1_500);
                fault("fleet " + name(server) + " is stopped for " + millis + " ms");
                server.stop();
                pauseWithOrders(millis);
                server.resume();
            }
        }
        if (!node.isUp()) {
            node.heal();
        }
    }

    /** Somebody hears nothing of somebody else for a while, and no connection breaks. */
    private void cut(NodeNetworks cutting) {
        int node = random.nextInt(1, NODES + 1);
        int millis = random.nextInt(100, 9_000);
        String from = switch (random.nextInt(4)) {
            case 0 -> {
                cutting.cutOff(node);
                yield "everybody";
            }
            case 1 -> {
                RealServer server = random.nextBoolean() ? blue : green;
                cutting.cutFrom(node, server.port());
                yield "fleet " + name(server);
            }
            case 2 -> {
                for (int member = 0; member < ensemble.size(); member++) {
                    cutting.cutFrom(node, ensemble.port(member));
                }
                yield "the ledger";
            }
            default -> {
                int other = node % NODES + 1;
                cutting.cutBetween(other, node);
                yield "node " + other;
            }
        };
        fault("node " + node + " hears nothing of " + from + " for " + millis + " ms");
        pauseWithOrders(millis);
        cutting.heal();
    }

    private String name(RealServer server) {
        return server == blue ? "blue" : "green";
    }

    /** A fault lasts; sometimes an order comes in the middle of it. */
    private void pauseWithOrders(int millis) {
        int before = random.nextInt(0, millis + 1);
        pause(before);
        if (random.nextBoolean()) {
            order();
        }
        pause(millis - before);
    }

    /** What somebody would say who wants the release to go to and fro, to any node that is up. */
    private void order() {
        Optional<JsonNode> status = status();
        String wanted = status.map(ChaosRound::nextOrder).orElse("");
        if (wanted.isEmpty()) {
            return;
        }
        ChildNode node = any();
        try {
            node.admin().post("/v1/releases/" + RELEASE + "/" + wanted, new byte[0]);
            orders++;
            note("order: " + wanted + " to node " + node.number());
        } catch (AdminClient.Unreachable | AdminClient.Refused e) {
            note("order: " + wanted + " to node " + node.number() + " was not taken: " + e.getMessage());
        }
    }

    private static String nextOrder(JsonNode status) {
        return switch (status.path("status").asText()) {
            case "PAUSED", "ROLLED_BACK" -> "resume";
            case "RUNNING" -> status.path("side").asText().equals("NEW") ? "rollback" : "";
            default -> "";
        };
    }

    private void fault(String what) {
        note("fault: " + what);
    }

    private void note(String what) {
        events.add(String.format("%7.2f %s", (System.nanoTime() - beganNanos) / 1e9, what));
    }

    private ChildNode any() {
        List<ChildNode> up = nodes.stream().filter(ChildNode::isUp).toList();
        return up.isEmpty() ? nodes.getFirst() : up.get(random.nextInt(up.size()));
    }

    private Optional<JsonNode> status() {
        for (ChildNode node : nodes) {
            if (node.isUp()) {
                try {
                    return Optional.of(node.admin().read("/v1/releases/" + RELEASE));
                } catch (AdminClient.Unreachable | AdminClient.Refused e) {
                    // It may be starting; another one is asked.
                }
            }
        }
        return Optional.empty();
    }

    // ---- the end ----

    private void heal() {
        nodes.forEach(ChildNode::heal);
        ensemble.heal();
        nodes.forEach(ChildNode::awaitReady);
        note("healed");
    }

    /** L7: once everything answers again, the release comes to rest by itself. */
    private void settle() {
        Await.until(SETTLE_LIMIT, "the release to come to rest; it stands at " + status(), () -> {
            Optional<JsonNode> now = status();
            now.filter(status -> status.path("status").asText().equals("PAUSED"))
                    .ifPresent(paused -> order());
            return now.filter(ChaosRound::isAtRest).isPresent();
        });
        note("at rest: " + status().map(ChaosRound::shown).orElse(""));
    }

    private static boolean isAtRest(JsonNode status) {
        String wayBack = status.path("caches").path(0).path("wayBack").asText();
        return switch (status.path("status").asText()) {
            case "ROLLED_BACK", "FAILED", "ABORTED", "FINISHED" -> true;
            case "RUNNING" ->
                status.path("step").asText().equals("OBSERVE")
                        && !wayBack.equals("OPENING")
                        && !wayBack.equals("COPYING");
            default -> false;
        };
    }

    private static String shown(JsonNode status) {
        return status.path("status").asText() + " " + status.path("step").asText() + " "
                + status.path("side").asText() + " way back "
                + status.path("caches").path(0).path("wayBack").asText() + " "
                + status.path("detail").asText();
    }

    private long switches() {
        JsonNode journal = any().admin().read("/v1/releases/" + RELEASE + "/journal");
        long commits = 0;
        for (JsonNode entry : journal) {
            if (entry.path("what").asText().endsWith(": commit")) {
                commits++;
            }
        }
        return commits;
    }

    private void finish() {
        String[] said = {""};
        try {
            Await.until(
                    SETTLE_LIMIT,
                    "the release to end",
                    () -> status().filter(now -> hasEnded(now, said)).isPresent());
        } catch (AssertionError e) {
            throw new AssertionError(
                    e.getMessage() + "; it stands at "
                            + status().map(ChaosRound::shown).orElse("?") + ", last said: " + said[0],
                    e);
        }
        note("ended: " + status().map(ChaosRound::shown).orElse(""));
    }

    /** Says the last word as a person would: once more where the release went elsewhere meanwhile, by an order before or a gate. */
    private boolean hasEnded(JsonNode now, String[] said) {
        String status = now.path("status").asText();
        if (List.of("FINISHED", "ABORTED", "FAILED").contains(status)) {
            return true;
        }
        String side = now.path("side").asText();
        String word = side.equals("NEW") ? "finish" : "abort";
        String saying = word + " at " + status + " on " + side;
        if (!saying.equals(said[0])) {
            try {
                any().admin().post("/v1/releases/" + RELEASE + "/" + word, new byte[0]);
                said[0] = saying;
                note(saying);
            } catch (AdminClient.Unreachable | AdminClient.Refused e) {
                note(saying + ": " + e.getMessage());
            }
        }
        return false;
    }

    /** Every acknowledged write is where the clients are, all nodes lead there, and it is a primary. Fills in the counts. */
    private String check(long[] counts) {
        for (Load load : loads) {
            load.awaitAnswers(50, SETTLE_LIMIT);
        }
        List<LoadHistory> histories = loads.stream().map(Load::stop).toList();
        boolean isNew = status().orElseThrow().path("side").asText().equals("NEW");
        RealServer inUse = isNew ? green : blue;
        if (!inUse.info("replication", "role").equals("master")) {
            return "fleet " + name(inUse) + " is in use and no primary";
        }
        for (ChildNode node : nodes) {
            String fleet = node.admin()
                    .read("/v1/node")
                    .path("caches")
                    .path(0)
                    .path("fleet")
                    .asText();
            if (!fleet.equals(name(inUse))) {
                return "node " + node.number() + " leads to fleet " + fleet + ", expected " + name(inUse);
            }
        }
        String missing = checkWaiting(inUse, counts);
        if (!missing.isEmpty()) {
            return missing;
        }
        for (LoadHistory history : histories) {
            counts[1] += history.total().requests();
            counts[2] += history.total().errors();
            try (Jedis client = inUse.client()) {
                CheckReport report = HistoryChecker.check(history, client);
                counts[3] += report.checked();
                if (!report.clean()) {
                    return "clients of node " + (histories.indexOf(history) + 1) + ": " + report;
                }
            }
        }
        return "";
    }

    /** Of those who listen and those who wait. */
    private String checkWaiting(RealServer inUse, long[] counts) {
        List<String> problems = new ArrayList<>();
        MessageLoad listening = messages;
        if (listening != null) {
            MessageLoad.Result heard = listening.stop();
            counts[4] = heard.heard();
            problems.addAll(heard.problems());
        }
        QueueLoad waiting = queues;
        if (waiting != null) {
            try (Jedis client = inUse.client()) {
                QueueLoad.Result popped = waiting.stop(client);
                counts[5] = popped.popped();
                problems.addAll(popped.problems());
            }
        }
        return problems.isEmpty()
                ? ""
                : problems.size() + " of those who listen or wait: "
                        + String.join("; ", problems.subList(0, Math.min(PROBLEMS_SHOWN_MAX, problems.size())));
    }

    private static void pause(int millis) {
        LockSupport.parkNanos(Duration.ofMillis(millis).toNanos());
    }

    @Override
    public void close() {
        try {
            if (networks != null) {
                networks.heal();
            }
        } finally {
            if (messages != null) {
                messages.close();
            }
            if (queues != null) {
                queues.close();
            }
            loads.forEach(Load::close);
            nodes.forEach(ChildNode::close);
            blue.resume();
            green.resume();
            green.close();
            blue.close();
        }
    }
}
