package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.cluster;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.sync.LinkStart;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.RandomWrites;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.params.SortingParams;

/** A source that is a cluster: a link for each of its shards, all with one target. */
class ShardLinksTest {
    private static final int CLIENTS = 2;
    private static final int ROUNDS = 4;
    private static final long BETWEEN = 3_000;
    private static final String LIBRARY = "#!lua name=%s\nredis.register_function('%s', function() return 1 end)";

    @TempDir
    Path folder;

    private final List<ApplyLink> links = new ArrayList<>();
    private final List<Heard> heard = new ArrayList<>();

    @Test
    void oneServerHasAllOfACluster() throws Exception {
        ServerBinary binary = ServerBinary.named("redis-8.0").orElseGet(ServerBinary::any);
        try (RealServer target = RealServer.start(binary, folder.resolve("target"))) {
            target.call("SET", "left over", "x");
            target.call("FUNCTION", "LOAD", LIBRARY.formatted("leftover", "leftover"));
            try (var client = target.client()) {
                client.select(3);
                client.set("left over", "x");
            }
            carries(spec("target", target), List.of(target));
            assertThat(target.info("keyspace")).containsOnlyKeys("db0");
        }
    }

    @Test
    void anotherClusterHasAllOfACluster() throws Exception {
        ServerBinary binary = ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any);
        try (RealCluster target = RealCluster.start(binary, folder.resolve("target"), 2, 0)) {
            target.nodes().forEach(node -> node.call("SET", target.keyOn(node, "left over"), "x"));
            carries(cluster("target", target), target.nodes());
        }
    }

    /** Clients write to every shard and empty all of them now and then, and links are killed at any time, and others go on. */
    private void carries(FleetSpec target, List<RealServer> targets) throws Exception {
        Random random = new Random(11);
        try (RealCluster source = RealCluster.start(
                ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any),
                folder.resolve("source"),
                3,
                0,
                "--repl-backlog-size",
                "64mb")) {
            List<RandomWrites> writes = new ArrayList<>();
            try {
                for (RealServer node : source.nodes()) {
                    node.call("SET", source.keyOn(node, "early"), "x");
                    String name = "on" + node.port();
                    node.call("FUNCTION", "LOAD", LIBRARY.formatted(name, name));
                    writes.add(new RandomWrites(node, CLIENTS, "{" + source.keyOn(node, "tag") + "}"));
                }
                open(cluster("source", source), target, 1);
                links.forEach(Links::streams);
                assertThat(keys(targets, "early"))
                        .as("what was there before, and nobody touches")
                        .hasSize(3);
                assertThat(keys(targets, "left over")).isEmpty();
                for (int i = 0; i < ROUNDS; i++) {
                    links.forEach(Links::streams);
                    writeOn(writes, BETWEEN);
                    for (RealServer node : source.nodes()) {
                        node.call(i % 2 == 0 ? "FLUSHALL" : "FLUSHDB");
                    }
                    writeOn(writes, random.nextInt(300));
                    links.forEach(ApplyLink::stop); // as if the process were killed
                    links.clear();
                    writeOn(writes, random.nextInt(300));
                    open(cluster("source", source), target, i + 2);
                }
                links.forEach(Links::streams);
                // Of keys that are written on, a link finds out that they are gone; of these nobody would.
                for (int i = 0; i < links.size(); i++) {
                    RealServer node = source.nodes().get(i);
                    node.call("SET", source.keyOn(node, "kept"), "x");
                    drain(node, links.get(i));
                }
                source.nodes().getFirst().call("FLUSHALL");
                source.nodes().getLast().call("FUNCTION", "FLUSH");
                writeOn(writes, BETWEEN);
            } finally {
                writes.forEach(RandomWrites::close);
            }
            for (int i = 0; i < links.size(); i++) {
                drain(source.nodes().get(i), links.get(i));
            }
            equal(source.nodes(), targets, true);
            assertThat(keys(targets, "kept")).hasSize(2);
            assertThat(heard).allMatch(one -> one.broken == null);
            assertThat(heard.stream().mapToInt(one -> one.copies.get()).sum()).isEqualTo(3);
            for (RealServer server : targets) {
                String first = "on" + source.nodes().getFirst().port();
                assertThat(String.valueOf(server.call("FUNCTION", "LIST")))
                        .contains(first)
                        .doesNotContain("on" + source.nodes().getLast().port())
                        .doesNotContain("leftover");
            }
            links.forEach(ApplyLink::close);
        }
    }

    @Test
    void whatCameJustBeforeAFlushIsGoneAndWhatCameBehindItIsNot() throws Exception {
        try (RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"));
                RealCluster source = RealCluster.start(
                        ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder.resolve("source"), 1, 0)) {
            RealServer node = source.nodes().getFirst();
            open(cluster("source", source), spec("target", target), 1);
            links.forEach(Links::streams);
            for (int round = 0; round < ROUNDS; round++) {
                try (var client = node.client();
                        var pipeline = client.pipelined()) {
                    pipeline.set("before", "x");
                    pipeline.rpush("{a}list", "3", "1", "2");
                    // Its state goes to the target, and is what the source has by then: of behind the flush.
                    pipeline.sort("{a}list", new SortingParams(), "{a}sorted");
                    pipeline.sendCommand(Protocol.Command.FLUSHALL, new byte[0][]);
                    pipeline.rpush("{a}sorted", "behind");
                    pipeline.sync();
                }
                drain(node, links.getFirst());
                equal(List.of(node), List.of(target), false);
                assertThat(target.call("LRANGE", "{a}sorted", "0", "-1")).isEqualTo(List.of("behind"));
            }
            assertThat(heard.getFirst().broken).isNull();
            links.forEach(ApplyLink::close);
        }
    }

    @Test
    void aShardWhosePrimaryChangesIsFollowedToTheNextOne() throws Exception {
        ServerBinary binary = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"));
                RealCluster source =
                        RealCluster.start(binary, folder.resolve("source"), 3, 1, "--repl-backlog-size", "64mb")) {
            open(cluster("source", source), spec("target", target), 1);
            int slot = 0;
            String tag = "{" + source.keyOn(source.primaryOf(slot), "tag") + "}";
            links.forEach(Links::streams);
            try (RandomWrites writes = new RandomWrites(() -> source.primaryOf(slot), CLIENTS, tag)) {
                writeOn(List.of(writes), BETWEEN);
                source.failover(source.replicasOf(source.primaryOf(slot)).getFirst());
                writeOn(List.of(writes), BETWEEN);
            }
            drain(source.primaryOf(slot), links.getFirst());
            RealServer killed = source.primaryOf(slot);
            // What a replica had not got by then would be lost, and the link would be right to break.
            Await.until(
                    LIMIT,
                    "the replica has all",
                    () -> source.replicasOf(killed)
                            .getFirst()
                            .info("replication", "slave_repl_offset")
                            .equals(killed.info("replication", "master_repl_offset")));
            killed.kill();
            RealServer next = source.awaitSuccessor(slot, killed);
            try (RandomWrites writes = new RandomWrites(() -> source.primaryOf(slot), CLIENTS, tag)) {
                writeOn(List.of(writes), BETWEEN);
            }
            drain(next, links.getFirst());
            equal(
                    List.of(next, source.primaryOf(RealCluster.SLOTS / 2), source.primaryOf(RealCluster.SLOTS - 1)),
                    List.of(target),
                    false);
            assertThat(heard).allMatch(one -> one.broken == null).allMatch(one -> one.copies.get() == 1);
            links.forEach(ApplyLink::close);
        }
    }

    @Test
    void linksOfShardsBetweenWhichASlotMovesAreBrokenAndSayWhich() throws Exception {
        ServerBinary binary = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"));
                RealCluster source = RealCluster.start(binary, folder.resolve("source"), 3, 0)) {
            FleetSpec fleet = cluster("source", source);
            open(fleet, spec("target", target), 1);
            links.forEach(Links::streams);
            assertThat(ApplyLink.slotsMoving(fleet)).isEmpty();
            RealServer from = source.nodes().getFirst();
            RealServer to = source.nodes().get(1);
            String key = source.keyOn(from, "key");
            int slot = RealCluster.slotOf(key);
            from.call("SET", key, "x");
            source.beginMove(slot, to);
            assertThat(ApplyLink.slotsMoving(fleet).orElseThrow())
                    .contains("slot " + slot + " away from " + from.host());
            source.moveKeys(slot, to, Integer.MAX_VALUE);
            Await.until(LIMIT, "who gets a key notices", () -> heard.get(1).broken != null);
            assertThat(heard.get(1).broken).contains("slots are being moved");
            source.finishMove(slot, from, to);
            Await.until(LIMIT, "who has lost the slot notices", () -> heard.get(0).broken != null);
            assertThat(heard.get(0).broken).contains("the shard's slots have moved", "slot " + slot + " has gone to");
            assertThat(ApplyLink.slotsMoving(fleet)).isEmpty();
            assertThat(heard.get(2).broken).isNull();
            // Neither opens again as if nothing had been.
            Heard again = new Heard();
            try (ApplyLink link = open(fleet, spec("target", target), 2, links(from, source), again)) {
                Await.until(LIMIT, "it is noticed at once", () -> again.broken != null);
                assertThat(link.name()).isEqualTo("link-0");
                assertThat(again.broken).contains("the shard's slots have moved");
            }
            links.forEach(ApplyLink::close);
        }
    }

    @Test
    void slotsThatMoveAsAWholeAreSeenOnTheirWay() throws Exception {
        Optional<ServerBinary> binary = ServerBinary.named("valkey-9.1");
        assumeThat(binary).as("only Valkey 9 moves slots as a whole").isPresent();
        try (RealCluster cluster = RealCluster.start(binary.get(), folder.resolve("cluster"), 2, 0)) {
            FleetSpec fleet = cluster("source", cluster);
            RealServer from = cluster.nodes().getFirst();
            RealServer to = cluster.nodes().get(1);
            String tag = cluster.keyOn(from, "tag");
            String slot = Integer.toString(RealCluster.slotOf(tag));
            for (int i = 0; i < 100; i++) {
                from.call("SET", "{" + tag + "}" + i, "x");
            }
            from.call(
                    "CONFIG", "SET", "rdb-key-save-delay", "1000000"); // the snapshot of the slot takes a second a key
            from.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.text("CLUSTER", "MYID"));
            assertThat(ApplyLink.slotsMoving(fleet).orElseThrow())
                    .contains("slots " + slot + "-" + slot + " away from");
            from.call("CLUSTER", "CANCELSLOTMIGRATIONS");
            Await.until(LIMIT, "it is over", () -> ApplyLink.slotsMoving(fleet).isEmpty());
            from.call("CONFIG", "SET", "rdb-key-save-delay", "0");
            from.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.text("CLUSTER", "MYID"));
            Await.until(
                    LIMIT,
                    "it is done",
                    () -> cluster.primaryOf(Integer.parseInt(slot)) == to
                            && ApplyLink.slotsMoving(fleet).isEmpty());
        }
    }

    private static List<Object> keys(List<RealServer> servers, String prefix) {
        List<Object> keys = new ArrayList<>();
        for (RealServer server : servers) {
            keys.addAll((List<?>) Objects.requireNonNull(server.call("KEYS", prefix + "*")));
        }
        return keys;
    }

    private static void writeOn(List<RandomWrites> all, long count) {
        for (RandomWrites writes : all) {
            long until = writes.written() + count;
            Await.until(LIMIT, "clients write on", () -> writes.written() > until);
        }
    }

    /** The slots that this node of a cluster of three had at the beginning. */
    private static SlotSet links(RealServer node, RealCluster cluster) {
        int shard = cluster.nodes().indexOf(node);
        int first = shard * RealCluster.SLOTS / 3;
        int last = (shard + 1) * RealCluster.SLOTS / 3 - 1;
        return SlotSet.parse(first + "-" + last);
    }

    private void open(FleetSpec source, FleetSpec target, long owner) {
        if (!(source.topologyNow() instanceof Topology.Sharded sharded)) {
            throw new AssertionError("no cluster: " + source);
        }
        for (int shard = 0; shard < sharded.shards().size(); shard++) {
            Heard one = new Heard();
            heard.add(one);
            ApplyLink link = open(source, target, owner, sharded.slotsOf(shard), one);
            links.add(link);
            if (owner == 1) {
                streams(link); // so that each finds what the one before it has copied
            }
        }
    }

    private static ApplyLink open(FleetSpec source, FleetSpec target, long owner, SlotSet slots, Heard heard) {
        return ApplyLink.open(
                new ApplySettings(
                        "link-" + slots.first(),
                        "secret",
                        Token.open(owner, "owner"),
                        source.shard(slots.first()),
                        target,
                        new LinkStart.FullCopy(Optional.empty()),
                        Optional.of(slots)),
                Environment.system(),
                heard);
    }
}
