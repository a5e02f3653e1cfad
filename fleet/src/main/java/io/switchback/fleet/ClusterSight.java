package io.switchback.fleet;

import io.switchback.fleet.AskedServers.Answers;
import io.switchback.fleet.Topology.Shard;
import io.switchback.fleet.Topology.Sharded;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Finds the nodes of a cluster and who has which slot (Redis Cluster specification, "Configuration epochs" and "Slots configuration").
 *
 * <p>All nodes that are known are asked, and those that they name. What a node says of itself counts; what others say of it counts only where it does
 * not answer, since gossip lags (a replica of 6.0 was seen to have a slot with its former owner for ever). Of several that claim a
 * slot the one with the greatest configuration epoch has it, as among the nodes themselves. So a primary that was cut off and has been replaced
 * leads nobody astray when it comes back.
 *
 * <p>A node that does not answer stays what it was. Nodes of another cluster are left out, with a problem: known are those that are connected, by
 * who names whom, with the ones from before, at first with most of the seeds.
 *
 * <p>For one thread at a time. Bounded: {@link #NODES_MAX} nodes, {@link #ROUNDS_MAX} rounds of questions.
 */
final class ClusterSight implements FleetSight {
    /** As many as a cluster should have at most, by its specification. */
    static final int NODES_MAX = 1_000;

    /** The seeds, those that they name, those that these name. */
    private static final int ROUNDS_MAX = 3;

    private final FleetSpec fleet;
    private final FleetAddress.Cluster address;
    private final AskedServers servers;
    /** The cluster from before, by id; at first nobody. */
    private Map<String, ClusterNode> known = Map.of();

    /** One node's answer. */
    record Word(ClusterNode myself, List<ClusterNode> nodes, boolean isWell) {
        boolean names(Word other) {
            return nodes.stream()
                    .anyMatch(node -> node.id().equals(other.myself().id()));
        }
    }

    ClusterSight(FleetSpec fleet, FleetAddress.Cluster address) {
        this.fleet = fleet;
        this.address = address;
        this.servers = new AskedServers(fleet.credential(), fleet.tls());
    }

    @Override
    public Sighting look() {
        List<String> problems = new ArrayList<>();
        Map<Endpoint, Word> words = ask(problems);
        List<Word> ours = ours(words, problems);
        if (ours.isEmpty()) {
            return new Sighting(Optional.empty(), problems);
        }
        Map<String, ClusterNode> nodes = merged(ours, known);
        known = nodes;
        ours.stream()
                .filter(word -> !word.isWell())
                .forEach(word -> problems.add("its node " + name(word.myself()) + " says cluster_state:fail"));
        Set<String> answered = new HashSet<>();
        ours.forEach(word -> answered.add(word.myself().id()));
        return new Sighting(Optional.of(topology(nodes, answered, problems)), problems);
    }

    private static String name(ClusterNode node) {
        return node.server().map(Endpoint::toString).orElse(node.id());
    }

    private Map<Endpoint, Word> ask(List<String> problems) {
        Map<Endpoint, Word> words = new LinkedHashMap<>();
        Set<Endpoint> asked = new HashSet<>();
        Set<Endpoint> next = new LinkedHashSet<>(address.seeds());
        known.values().forEach(node -> node.server().ifPresent(next::add));
        for (int round = 0; round < ROUNDS_MAX && !next.isEmpty(); round++) {
            List<Endpoint> now = next.stream().limit(NODES_MAX - asked.size()).toList();
            if (now.size() < next.size()) {
                problems.add("it has more than " + NODES_MAX + " nodes, and the others are not asked");
            }
            asked.addAll(now);
            next.clear();
            Answers<Word> answers = servers.ask(now, ClusterSight::word);
            words.putAll(answers.answers());
            answers.failures().forEach((server, why) -> problems.add("its node " + server + " is no help: " + why));
            answers.answers().values().stream()
                    .flatMap(word -> word.nodes().stream())
                    .filter(node -> !node.isStranger())
                    .flatMap(node -> node.server().stream())
                    .filter(server -> !asked.contains(server))
                    .forEach(next::add);
        }
        servers.keepOnly(asked);
        return words;
    }

    private static Word word(ServerConnection server) {
        String nodes = server.demand("CLUSTER", "NODES").text();
        return word(server.endpoint(), nodes, server.demand("CLUSTER", "INFO").text());
    }

    static Word word(Endpoint server, String lines, String info) {
        List<ClusterNode> nodes = ClusterNode.parse(server, lines);
        ClusterNode myself = nodes.stream()
                .filter(ClusterNode::isMyself)
                .findFirst()
                .orElseThrow(() -> new FleetException(
                        FleetException.Code.REFUSED, server + " does not name itself in CLUSTER NODES"));
        return new Word(myself, nodes, info.contains("cluster_state:ok"));
    }

    /** The answers of the nodes of this cluster, each node's once. */
    private List<Word> ours(Map<Endpoint, Word> words, List<String> problems) {
        Map<String, Word> byId = new LinkedHashMap<>();
        words.values().forEach(word -> byId.putIfAbsent(word.myself().id(), word));
        List<List<Word>> clusters = new ArrayList<>();
        Set<Word> left = new LinkedHashSet<>(byId.values());
        while (!left.isEmpty()) {
            List<Word> cluster = connected(left.iterator().next(), left);
            left.removeAll(cluster);
            clusters.add(cluster);
        }
        clusters.sort(Comparator.comparingLong((List<Word> cluster) -> knownOf(cluster))
                .thenComparingInt(List::size)
                .reversed());
        if (clusters.isEmpty()) {
            return List.of();
        }
        List<Word> first = clusters.getFirst();
        if (clusters.size() > 1 && known.isEmpty() && clusters.get(1).size() == first.size()) {
            problems.add("the nodes that the file names belong to different clusters: " + names(first) + " to one, "
                    + names(clusters.get(1)) + " to another");
            return List.of();
        }
        if (!known.isEmpty() && knownOf(first) == 0) {
            problems.add("the nodes that answer belong to another cluster than before: " + names(first)
                    + "; restart the node if that is meant");
            return List.of();
        }
        clusters.stream()
                .skip(1)
                .forEach(cluster -> problems.add(
                        names(cluster) + " belongs to another cluster and is left out; is the address right?"));
        return first;
    }

    private static List<String> names(List<Word> cluster) {
        return cluster.stream().map(word -> name(word.myself())).toList();
    }

    private long knownOf(List<Word> cluster) {
        return cluster.stream()
                .filter(word -> known.containsKey(word.myself().id()))
                .count();
    }

    private static List<Word> connected(Word start, Collection<Word> all) {
        List<Word> cluster = new ArrayList<>(List.of(start));
        for (int i = 0; i < cluster.size(); i++) {
            Word here = cluster.get(i);
            all.stream()
                    .filter(other -> !cluster.contains(other) && (here.names(other) || other.names(here)))
                    .forEach(cluster::add);
        }
        return cluster;
    }

    /** Each node by its own word, else by that of the others, else as it was before. */
    static Map<String, ClusterNode> merged(List<Word> words, Map<String, ClusterNode> known) {
        Map<String, ClusterNode> nodes = new HashMap<>();
        for (Word word : words) {
            for (ClusterNode node : word.nodes()) {
                if (!node.isStranger()) {
                    nodes.merge(node.id(), node, (one, other) -> other.epoch() > one.epoch() ? other : one);
                }
            }
        }
        // Those that nobody names any more have been forgotten; the others stay what they were.
        known.forEach(
                (id, before) -> nodes.computeIfPresent(id, (any, now) -> now.epoch() > before.epoch() ? now : before));
        words.forEach(word -> nodes.put(word.myself().id(), word.myself()));
        return nodes;
    }

    static Sharded topology(Map<String, ClusterNode> nodes, Set<String> answered, List<String> problems) {
        @Nullable ClusterNode[] owners = new ClusterNode[Topology.SLOTS];
        nodes.values().stream()
                .filter(node -> node.isPrimary() && node.server().isPresent())
                .sorted(Comparator.comparing(ClusterNode::id))
                .forEach(node -> node.slots().forEach(range -> {
                    for (int slot = range[0]; slot <= range[1]; slot++) {
                        ClusterNode other = owners[slot];
                        if (other == null || other.epoch() < node.epoch()) {
                            owners[slot] = node;
                        }
                    }
                }));
        Map<String, Integer> places = new HashMap<>();
        List<Shard> shards = new ArrayList<>();
        int[] shardOfSlot = new int[Topology.SLOTS];
        Arrays.fill(shardOfSlot, -1);
        int missing = 0;
        int firstMissing = -1;
        for (int slot = 0; slot < Topology.SLOTS; slot++) {
            ClusterNode owner = owners[slot];
            if (owner == null) {
                firstMissing = missing == 0 ? slot : firstMissing;
                missing++;
                continue;
            }
            Integer place = places.get(owner.id());
            if (place == null) {
                place = shards.size();
                places.put(owner.id(), place);
                shards.add(new Shard(owner.server().orElseThrow(), replicas(owner, nodes, answered)));
            }
            shardOfSlot[slot] = place;
        }
        if (missing > 0) {
            problems.add(missing + " of its slots belong to nobody, such as " + firstMissing);
        }
        return new Sharded(shards, shardOfSlot);
    }

    /** Those that answer and say that they follow it. */
    private static List<Endpoint> replicas(ClusterNode primary, Map<String, ClusterNode> nodes, Set<String> answered) {
        return nodes.values().stream()
                .filter(node -> node.primaryId().equals(primary.id()) && answered.contains(node.id()))
                .flatMap(node -> node.server().stream())
                .sorted(Comparator.comparing(Endpoint::toString))
                .toList();
    }

    /** In the words of a person. */
    @Override
    public String toString() {
        return "fleet " + fleet.name() + ", " + address;
    }

    @Override
    public void close() {
        servers.close();
    }
}
