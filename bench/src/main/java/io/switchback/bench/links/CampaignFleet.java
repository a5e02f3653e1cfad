package io.switchback.bench.links;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Topology;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.EveryForm;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** One side of a round: a server, or a cluster without replicas whose slots stand still. For one thread. */
final class CampaignFleet implements AutoCloseable {
    private static final Duration ANSWER_MAX = Duration.ofSeconds(20);

    private final String name;
    private final ServerBinary binary;
    private final @Nullable RealCluster cluster;
    private final List<RealServer> servers;

    /**
     * What one link reads.
     *
     * @param slots as a link's settings take them; empty where the fleet is no cluster
     */
    record Shard(RealServer primary, String slots, int firstSlot) {}

    private CampaignFleet(String name, ServerBinary binary, @Nullable RealCluster cluster, List<RealServer> servers) {
        this.name = name;
        this.binary = binary;
        this.cluster = cluster;
        this.servers = servers;
    }

    /** @param primaries 1: a server that is no cluster's */
    static CampaignFleet start(String name, ServerBinary binary, int primaries, Path folder, RoundPlan plan) {
        List<String> options = new ArrayList<>(List.of(
                "--repl-backlog-size",
                "128mb",
                "--repl-diskless-sync",
                plan.diskless() ? "yes" : "no",
                "--repl-diskless-sync-delay",
                "0",
                "--masterauth",
                LinkProcess.SECRET));
        if (EveryForm.knows(binary, 7, 0)) {
            options.addAll(List.of("--enable-debug-command", "yes"));
        }
        if (plan.restarts()) {
            options.addAll(List.of("--appendonly", "yes"));
        }
        if (primaries > 1) {
            // Nobody takes over, and on a busy machine a node may be silent for a while.
            options.addAll(List.of("--cluster-node-timeout", "15000"));
        }
        String[] words = options.toArray(String[]::new);
        if (primaries == 1) {
            RealServer server = RealServer.start(binary, folder.resolve(name), words);
            return new CampaignFleet(name, binary, null, List.of(server));
        }
        RealCluster cluster = RealCluster.start(binary, folder.resolve(name), primaries, 0, words);
        return new CampaignFleet(name, binary, cluster, cluster.nodes());
    }

    String name() {
        return name;
    }

    ServerBinary binary() {
        return binary;
    }

    List<RealServer> servers() {
        return servers;
    }

    boolean isCluster() {
        return cluster != null;
    }

    /** @param oneDatabase where it is to go to a cluster, which has no other */
    void fill(boolean oneDatabase) {
        if (cluster != null) {
            EveryForm.fill(cluster);
        } else if (oneDatabase) {
            EveryForm.fillOneDatabase(servers.getFirst());
        } else {
            EveryForm.fill(servers.getFirst());
        }
    }

    /** So that every key of a client belongs to one shard; "" where that does not matter. */
    String tagOn(RealServer server) {
        return cluster == null ? "" : "{" + cluster.keyOn(server, "tag") + "}";
    }

    RealServer ownerOf(String key) {
        return cluster == null ? servers.getFirst() : cluster.primaryOf(RealCluster.slotOf(key));
    }

    FleetSpec spec() {
        return cluster == null
                ? new FleetSpec(name, endpoint(servers.getFirst()), Optional.empty())
                : new FleetSpec(
                        name,
                        new FleetAddress.Cluster(
                                servers.stream().map(CampaignFleet::endpoint).toList()),
                        Optional.empty());
    }

    List<Shard> shards() {
        return switch (spec().topologyNow()) {
            case Topology.Replicated _ -> List.of(new Shard(servers.getFirst(), "", -1));
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
        order.setProperty(
                which, servers.stream().map(one -> endpoint(one).toString()).collect(Collectors.joining(" ")));
        if (cluster != null) {
            order.setProperty(which + ".cluster", "yes");
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
        if (cluster == null) {
            servers.forEach(RealServer::close);
        } else {
            cluster.close();
        }
    }

    @Override
    public String toString() {
        return binary.name() + (cluster == null ? "" : " cluster of " + servers.size());
    }
}
