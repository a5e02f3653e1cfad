package io.switchback.bench.links;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealSentinels;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.EveryForm;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** One side of a round: a server, a cluster without replicas, or a primary with a replica under sentinels. For one thread. */
final class CampaignFleet implements AutoCloseable {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(20);

    private final String name;
    private final ServerBinary binary;
    private final FleetShape shape;
    private final @Nullable RealCluster cluster;
    private final @Nullable RealSentinels watched;
    private final List<RealServer> servers;
    private int failedOver;

    /**
     * What one link reads.
     *
     * @param slots as a link's settings take them; empty where the fleet is no cluster
     */
    record Shard(RealServer primary, String slots, int firstSlot) {}

    private CampaignFleet(
            String name,
            ServerBinary binary,
            FleetShape shape,
            @Nullable RealCluster cluster,
            @Nullable RealSentinels watched,
            List<RealServer> servers) {
        this.name = name;
        this.binary = binary;
        this.shape = shape;
        this.cluster = cluster;
        this.watched = watched;
        this.servers = servers;
    }

    static CampaignFleet start(String name, ServerBinary binary, FleetShape shape, Path folder, RoundPlan plan) {
        List<String> options = new ArrayList<>(List.of(
                "--repl-backlog-size",
                "128mb",
                "--repl-diskless-sync",
                plan.diskless() ? "yes" : "no",
                "--repl-diskless-sync-delay",
                "0"));
        if (EveryForm.knows(binary, 7, 0)) {
            options.addAll(List.of("--enable-debug-command", "yes"));
        }
        if (plan.restarts()) {
            options.addAll(List.of("--appendonly", "yes"));
        }
        Path own = folder.resolve(name);
        if (shape.watched()) {
            // So that nothing but what clients write is in the stream: who takes over has all of it.
            options.addAll(List.of("--repl-ping-replica-period", "3600"));
            RealSentinels watched = RealSentinels.start(binary, own, 1, options.toArray(String[]::new));
            return new CampaignFleet(name, binary, shape, null, watched, watched.servers());
        }
        options.addAll(List.of("--masterauth", LinkProcess.SECRET));
        if (shape.isCluster()) {
            // Nobody takes over, and on a busy machine a node may be silent for a while.
            options.addAll(List.of("--cluster-node-timeout", "15000"));
            RealCluster cluster = RealCluster.start(binary, own, shape.primaries(), 0, options.toArray(String[]::new));
            return new CampaignFleet(name, binary, shape, cluster, null, cluster.nodes());
        }
        RealServer server = RealServer.start(binary, own, options.toArray(String[]::new));
        return new CampaignFleet(name, binary, shape, null, null, List.of(server));
    }

    String name() {
        return name;
    }

    ServerBinary binary() {
        return binary;
    }

    /** All of them, a replica too. */
    List<RealServer> servers() {
        return servers;
    }

    /** Those that clients write to. */
    List<RealServer> primaries() {
        return watched == null ? servers : List.of(watched.primary());
    }

    boolean isWatched() {
        return watched != null;
    }

    /** How often sentinels have made another server the primary. */
    int failedOver() {
        return failedOver;
    }

    /**
     * The primary is killed, and sentinels make its replica the primary. Nobody writes meanwhile, and the replica has all: so nothing is lost that a link has seen. (One that is replaced
     * while it lives goes on: what sentinels themselves publish there reaches links, and not its successor, and the links cannot go on then.)
     */
    void failOver() {
        RealSentinels sentinels = Objects.requireNonNull(watched);
        RealServer primary = sentinels.primary();
        sentinels.awaitFollowing();
        Await.until(
                ANSWER_MAX,
                "the replica has what the primary has",
                () -> sentinels.replicas().stream().allMatch(replica -> offset(replica) == offset(primary)));
        primary.kill();
        sentinels.awaitSuccessor(primary);
        primary.restart();
        sentinels.awaitFollowing();
        failedOver++;
    }

    /** One slot goes to the next of the cluster's servers, with its keys, while everybody goes on. */
    void moveSlot(int slot) {
        RealCluster moving = Objects.requireNonNull(cluster);
        int owner = servers.indexOf(moving.primaryOf(slot));
        moving.moveSlot(slot, servers.get((owner + 1) % servers.size()));
    }

    boolean isCluster() {
        return cluster != null;
    }

    /** @param oneDatabase where it is to go to a cluster, which has no other */
    void fill(boolean oneDatabase) {
        if (cluster != null) {
            EveryForm.fill(cluster);
        } else if (oneDatabase) {
            EveryForm.fillOneDatabase(primaries().getFirst());
        } else {
            EveryForm.fill(primaries().getFirst());
        }
    }

    /** So that every key of a client belongs to one shard; "" where that does not matter. */
    String tagOn(RealServer server) {
        return cluster == null ? "" : "{" + cluster.keyOn(server, "tag") + "}";
    }

    RealServer ownerOf(String key) {
        return cluster == null ? primaries().getFirst() : cluster.primaryOf(RealCluster.slotOf(key));
    }

    FleetSpec spec() {
        FleetAddress address = watched != null
                ? new FleetAddress.Sentinel(sentinels(watched), watched.primaryName(), Optional.empty())
                : cluster != null
                        ? new FleetAddress.Cluster(
                                servers.stream().map(CampaignFleet::endpoint).toList())
                        : new FleetAddress.Standalone(endpoint(servers.getFirst()));
        return new FleetSpec(name, address, Optional.empty());
    }

    private static List<Endpoint> sentinels(RealSentinels watched) {
        return watched.sentinels().stream().map(CampaignFleet::endpoint).toList();
    }

    List<Shard> shards() {
        return switch (spec().topologyNow()) {
            case Topology.Replicated _ -> List.of(new Shard(primaries().getFirst(), "", -1));
            case Topology.Sharded sharded -> {
                List<Shard> shards = new ArrayList<>();
                for (int i = 0; i < sharded.shards().size(); i++) {
                    Endpoint primary = sharded.shards().get(i).primary();
                    RealServer server = servers.stream()
                            .filter(one -> one.port() == primary.port())
                            .findFirst()
                            .orElseThrow();
                    shards.add(new Shard(
                            server,
                            sharded.slotsOf(i).toString(),
                            sharded.slotsOf(i).first()));
                }
                yield shards;
            }
        };
    }

    void write(Properties order, String which) {
        List<Endpoint> where =
                watched == null ? servers.stream().map(CampaignFleet::endpoint).toList() : sentinels(watched);
        order.setProperty(which, where.stream().map(Endpoint::toString).collect(Collectors.joining(" ")));
        if (cluster != null) {
            order.setProperty(which + ".cluster", "yes");
        }
        if (watched != null) {
            order.setProperty(which + ".watched", watched.primaryName());
        }
    }

    static Endpoint endpoint(RealServer server) {
        return new Endpoint(server.host(), server.port());
    }

    static FleetSpec alone(RealServer server) {
        return new FleetSpec("server", endpoint(server), Optional.empty());
    }

    static ServerConnection connect(RealServer server) {
        return ServerConnection.open(endpoint(server), Optional.empty(), ANSWER_MAX);
    }

    /** Where its stream stands. */
    static long offset(RealServer server) {
        return Long.parseLong(server.info("replication", "master_repl_offset"));
    }

    /** How many snapshots it has been asked for since it was started. */
    static long snapshots(RealServer server) {
        return Long.parseLong(server.info("stats", "sync_full"));
    }

    @Override
    public void close() {
        if (cluster != null) {
            cluster.close();
        } else if (watched != null) {
            watched.close();
        } else {
            servers.forEach(RealServer::close);
        }
    }

    @Override
    public String toString() {
        return binary.name() + shape;
    }
}
