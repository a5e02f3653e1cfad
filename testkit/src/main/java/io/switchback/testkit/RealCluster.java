package io.switchback.testkit;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.util.JedisClusterCRC16;

/**
 * A real cluster of server processes on the loopback address: primaries that share the slots evenly, each with its replicas.
 *
 * <p>For one thread at a time, as its {@link RealServer}s are. Verbs return once the nodes themselves say that it is done; where they do not within
 * {@link #LIMIT}, they fail and say what the nodes say. Who has which slot is always asked, never remembered.
 */
public final class RealCluster implements AutoCloseable {
    /** The hash slots of a cluster. */
    public static final int SLOTS = 16_384;

    /** Silence after which a node is taken for dead; a replica stands for election up to a second later. */
    public static final Duration NODE_TIMEOUT = Duration.ofSeconds(1);

    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final int START_ATTEMPTS_MAX = 5;
    private static final int MIGRATE_KEYS = 100;
    private static final String MIGRATE_TIMEOUT_MS = "5000";

    private final ServerBinary binary;
    private final Path folder;
    private final List<String> extraArguments;
    private final List<RealServer> nodes = new ArrayList<>();

    /** One line of CLUSTER NODES. */
    private record Line(String id, int port, List<String> flags, String primaryId, String epoch, List<String> slots) {
        static Line parse(String line) {
            String[] words = line.split(" ", -1);
            String address = words[1].substring(0, words[1].indexOf('@'));
            return new Line(
                    words[0],
                    Integer.parseInt(address.substring(address.lastIndexOf(':') + 1)),
                    List.of(words[2].split(",", -1)),
                    words[3],
                    words[6],
                    List.of(words).subList(8, words.length));
        }

        boolean isPrimary() {
            return flags.contains("master");
        }

        boolean isDown() {
            return flags.contains("fail") || flags.contains("fail?") || flags.contains("handshake");
        }

        boolean isMyself() {
            return flags.contains("myself");
        }

        boolean has(int slot) {
            return slots.stream().filter(range -> !range.startsWith("[")).anyMatch(range -> {
                int dash = range.indexOf('-');
                int first = Integer.parseInt(dash < 0 ? range : range.substring(0, dash));
                int last = Integer.parseInt(dash < 0 ? range : range.substring(dash + 1));
                return first <= slot && slot <= last;
            });
        }
    }

    private RealCluster(ServerBinary binary, Path folder, List<String> extraArguments) {
        this.binary = binary;
        this.folder = folder;
        this.extraArguments = extraArguments;
    }

    /**
     * Starts the nodes and returns once each of them says that the cluster is well.
     *
     * @param folder its own: each node has a folder in it
     * @param extraArguments for each node, as on the server's command line
     */
    public static RealCluster start(
            ServerBinary binary, Path folder, int primaries, int replicasEach, String... extraArguments) {
        RealCluster cluster = new RealCluster(binary, folder, List.of(extraArguments));
        try {
            cluster.form(primaries, replicasEach);
            return cluster;
        } catch (RuntimeException | Error e) {
            cluster.close();
            throw e;
        }
    }

    private void form(int primaries, int replicasEach) {
        for (int i = 0; i < primaries * (1 + replicasEach); i++) {
            nodes.add(startNode());
        }
        for (int i = 0; i < primaries; i++) {
            int first = firstSlot(i, primaries);
            String[] slots = IntStream.range(first, firstSlot(i + 1, primaries))
                    .mapToObj(Integer::toString)
                    .toArray(String[]::new);
            // Different ones from the start: else the nodes settle it among themselves, one at a time.
            nodes.get(i).call("CLUSTER", "SET-CONFIG-EPOCH", Integer.toString(i + 1));
            nodes.get(i).call(words(Stream.concat(Stream.of("CLUSTER", "ADDSLOTS"), Stream.of(slots))));
        }
        for (RealServer node : nodes.subList(1, nodes.size())) {
            meet(node);
        }
        awaitNodes("each node knows the others", node -> {
            List<Line> lines = lines(node);
            return lines.size() == nodes.size() && lines.stream().noneMatch(Line::isDown);
        });
        for (int i = primaries; i < nodes.size(); i++) {
            follow(nodes.get(i), nodes.get((i - primaries) % primaries));
        }
        awaitOk();
    }

    private static int firstSlot(int primary, int primaries) {
        return primary * SLOTS / primaries;
    }

    private RealServer startNode() {
        List<String> arguments = new ArrayList<>(List.of(
                "--cluster-enabled", "yes",
                "--cluster-config-file", "nodes.conf",
                "--cluster-node-timeout", Long.toString(NODE_TIMEOUT.toMillis()),
                "--cluster-replica-validity-factor", "0",
                "--repl-diskless-sync-delay", "0"));
        arguments.addAll(extraArguments);
        for (int attempt = 1; ; attempt++) {
            List<String> all = new ArrayList<>(arguments);
            all.addAll(List.of("--port", Integer.toString(Ports.freeWithBus())));
            try {
                return RealServer.start(binary, folder.resolve("node-" + nodes.size()), words(all.stream()));
            } catch (IllegalStateException e) {
                // Somebody may have taken one of the two ports meanwhile.
                if (attempt == START_ATTEMPTS_MAX) {
                    throw e;
                }
            }
        }
    }

    private void meet(RealServer node) {
        nodes.getFirst().call("CLUSTER", "MEET", node.host(), Integer.toString(node.port()));
    }

    private void follow(RealServer replica, RealServer primary) {
        replica.call("CLUSTER", "REPLICATE", id(primary));
    }

    private static String[] words(Stream<String> words) {
        return words.toArray(String[]::new);
    }

    /** Every node, those that were killed too; at first the primaries in the order of their slots, then the replicas in the order of theirs. */
    public List<RealServer> nodes() {
        return List.copyOf(nodes);
    }

    /** Where every node listens. */
    public List<HostAndPort> endpoints() {
        return nodes.stream()
                .map(node -> new HostAndPort(node.host(), node.port()))
                .toList();
    }

    /** The slot of a key. */
    public static int slotOf(String key) {
        return JedisClusterCRC16.getSlot(key);
    }

    /** The primary that has the slot, as it says itself. */
    public RealServer primaryOf(int slot) {
        return findPrimaryOf(slot).orElseThrow(() -> new IllegalStateException("nobody has slot " + slot + describe()));
    }

    private Optional<RealServer> findPrimaryOf(int slot) {
        return running()
                .filter(node -> {
                    Line own = own(node);
                    return own.isPrimary() && own.has(slot);
                })
                .findFirst();
    }

    /** Those that follow this primary, as they say themselves. */
    public List<RealServer> replicasOf(RealServer primary) {
        String id = id(primary);
        return running().filter(node -> own(node).primaryId().equals(id)).toList();
    }

    /** A key that begins with {@code prefix} and belongs to this primary. */
    public String keyOn(RealServer primary, String prefix) {
        Line own = own(primary);
        return IntStream.range(0, SLOTS * 10)
                .mapToObj(i -> prefix + i)
                .filter(key -> own.has(slotOf(key)))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(primary + " has no slots"));
    }

    /** One more primary, without slots; returns once all know it. */
    public RealServer addPrimary() {
        RealServer node = startNode();
        nodes.add(node);
        meet(node);
        awaitOk();
        return node;
    }

    /** One more replica of a primary; returns once it follows. */
    public RealServer addReplica(RealServer primary) {
        RealServer node = addPrimary();
        follow(node, primary);
        awaitOk();
        return node;
    }

    // --- slots that move

    /** Moves a slot with its keys. */
    public void moveSlot(int slot, RealServer to) {
        RealServer from = primaryOf(slot);
        beginMove(slot, to);
        moveKeys(slot, to, Integer.MAX_VALUE);
        finishMove(slot, from, to);
    }

    /** From now on the one that has the slot answers ASK for keys that it does not have. */
    public void beginMove(int slot, RealServer to) {
        RealServer from = primaryOf(slot);
        to.call("CLUSTER", "SETSLOT", Integer.toString(slot), "IMPORTING", id(from));
        from.call("CLUSTER", "SETSLOT", Integer.toString(slot), "MIGRATING", id(to));
    }

    /** Moves keys of a slot whose move has begun, at most so many; how many it were. */
    public int moveKeys(int slot, RealServer to, int keysMax) {
        RealServer from = primaryOf(slot);
        int moved = 0;
        while (moved < keysMax) {
            int wanted = Math.min(MIGRATE_KEYS, keysMax - moved);
            @Nullable
            Object reply = from.call("CLUSTER", "GETKEYSINSLOT", Integer.toString(slot), Integer.toString(wanted));
            List<?> keys = (List<?>) Objects.requireNonNull(reply);
            if (keys.isEmpty()) {
                return moved;
            }
            Stream<String> credential = password().stream().flatMap(password -> Stream.of("AUTH", password));
            Stream<String> head =
                    Stream.of("MIGRATE", to.host(), Integer.toString(to.port()), "", "0", MIGRATE_TIMEOUT_MS);
            Stream<String> names =
                    Stream.concat(Stream.of("KEYS"), keys.stream().map(String::valueOf));
            from.call(words(Stream.of(head, credential, names).flatMap(part -> part)));
            moved += keys.size();
        }
        return moved;
    }

    /** The slot belongs to the other one now; its keys must all have been moved. */
    public void finishMove(int slot, RealServer from, RealServer to) {
        String owner = id(to);
        List<RealServer> others = running()
                .filter(node -> node != from && node != to && own(node).isPrimary())
                .toList();
        // The new owner first: should this stop here, the former one still sends clients there.
        Stream.concat(Stream.of(to, from), others.stream())
                .forEach(node -> node.call("CLUSTER", "SETSLOT", Integer.toString(slot), "NODE", owner));
        // Replicas are told by gossip, and believe whoever has the greater epoch, were it the former owner (seen on
        // 6.0).
        to.call("CLUSTER", "BUMPEPOCH");
        awaitNodes(
                "slot " + slot + " belongs to " + to,
                node -> lines(node).stream().anyMatch(line -> line.id().equals(owner) && line.has(slot))
                        && agreesOnEpochs(node));
    }

    private Optional<String> password() {
        int at = extraArguments.lastIndexOf("--requirepass");
        return at < 0 ? Optional.empty() : Optional.of(extraArguments.get(at + 1));
    }

    // --- primaries that change

    /** The replica takes its primary's place with its consent: nothing is lost. Returns once all know. */
    public void failover(RealServer replica) {
        failover(replica, "CLUSTER", "FAILOVER");
    }

    /** As {@link #failover}, without asking the primary, which may be dead. */
    public void forceFailover(RealServer replica) {
        failover(replica, "CLUSTER", "FAILOVER", "FORCE");
    }

    private void failover(RealServer replica, String... command) {
        replica.call(command);
        Await.until(
                LIMIT,
                replica + " is a primary" + describe(),
                () -> own(replica).isPrimary());
        awaitOk();
    }

    /** Waits until somebody else has the slot, after its primary was killed; who it is. Returns once the cluster is well without it. */
    public RealServer awaitSuccessor(int slot, RealServer killed) {
        Await.until(
                LIMIT,
                "somebody has slot " + slot + " after " + killed,
                () -> findPrimaryOf(slot).filter(node -> node != killed).isPresent());
        awaitOk();
        return primaryOf(slot);
    }

    // --- what the nodes say

    /** Waits until each running node says that the cluster is well, sees those that run as running, and follows or is followed as it should. */
    public void awaitOk() {
        int running = (int) running().count();
        awaitNodes(
                "the cluster is well",
                node -> node.text("CLUSTER", "INFO").contains("cluster_state:ok")
                        && lines(node).stream().filter(line -> !line.isDown()).count() == running
                        && (own(node).isPrimary() || isFollowing(node))
                        && agreesOnRoles(node));
    }

    private static boolean isFollowing(RealServer node) {
        return "up".equals(node.info("replication").get("master_link_status"));
    }

    /** Whether this node thinks of each other one as that one does of itself. */
    private boolean agreesOnRoles(RealServer node) {
        List<Line> seen = lines(node);
        return running()
                .map(RealCluster::own)
                .allMatch(own -> seen.stream()
                        .anyMatch(line -> line.id().equals(own.id())
                                && line.isPrimary() == own.isPrimary()
                                && line.primaryId().equals(own.primaryId())));
    }

    /** Whether this node knows each other one's epoch: who has not heard of it claims the next slot with one that is too small, and then nobody has it. */
    private boolean agreesOnEpochs(RealServer node) {
        List<Line> seen = lines(node);
        return running()
                .map(RealCluster::own)
                .allMatch(own -> seen.stream()
                        .anyMatch(line ->
                                line.id().equals(own.id()) && line.epoch().equals(own.epoch())));
    }

    private interface Question {
        boolean answer(RealServer node);
    }

    private void awaitNodes(String what, Question question) {
        try {
            Await.until(LIMIT, what, () -> {
                try {
                    return running().allMatch(question::answer);
                } catch (JedisException e) {
                    return false; // such as one that is loading what its primary has sent
                }
            });
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + describe(), e);
        }
    }

    private Stream<RealServer> running() {
        return nodes.stream().filter(node -> node.process().isAlive());
    }

    private static String id(RealServer node) {
        return node.text("CLUSTER", "MYID");
    }

    private static List<Line> lines(RealServer node) {
        return node.text("CLUSTER", "NODES").lines().map(Line::parse).toList();
    }

    private static Line own(RealServer node) {
        return lines(node).stream().filter(Line::isMyself).findFirst().orElseThrow();
    }

    private String describe() {
        StringBuilder text = new StringBuilder();
        running().forEach(node -> {
            text.append('\n').append(node).append(" says\n");
            try {
                text.append(node.text("CLUSTER", "INFO").lines().findFirst().orElse(""))
                        .append('\n')
                        .append(node.text("CLUSTER", "NODES"));
            } catch (JedisException e) {
                text.append(e.getMessage());
            }
        });
        return text.toString();
    }

    /** Ends every node. */
    @Override
    public void close() {
        nodes.forEach(RealServer::kill); // it has nothing to lose, and a node that says goodbye makes the others elect
    }
}
