package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.Topology;
import io.switchback.resp.CommandEncoder;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Reads from memory in front of a cluster: what is kept of a slot is what the server says that has it, wherever the slot goes. */
class ClusterMemoryTest {
    private static final Duration LIMIT = ClusterFixture.LIMIT;
    /** Longer than a test takes: what is forgotten has been forgotten for another reason. */
    private static final Duration LONG = Duration.ofMinutes(10);
    /** More than a server takes at once of one connection, with long keys. */
    private static final int READS_AHEAD = 8;

    private static RealCluster cluster;
    private CacheProxy proxy;

    @BeforeAll
    static void startCluster(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 0);
    }

    @AfterAll
    static void stopCluster() {
        cluster.close();
    }

    @BeforeEach
    void start() {
        proxy = ClusterFixture.toldOnce(cluster);
        proxy.remember(new MemorySettings(1024 * 1024, LONG));
    }

    @AfterEach
    void stop() {
        proxy.close();
    }

    private RawClient client() {
        return ProxyFixture.client(proxy);
    }

    private static RealServer node(int i) {
        return cluster.nodes().get(i);
    }

    /** All slots as the cluster has them at first, but that the first node is found there. */
    private static Topology.Sharded firstAt(Endpoint first) {
        Topology.Sharded real = ClusterFixture.topology(cluster.nodes());
        List<Topology.Shard> shards = new ArrayList<>(real.shards());
        shards.set(0, new Topology.Shard(first, List.of()));
        return new Topology.Sharded(shards, real.shardOfSlot());
    }

    private static long readsAt(RealServer server, String command) {
        return server.info("commandstats")
                .getOrDefault("cmdstat_" + command, "calls=0,")
                .transform(line -> Long.parseLong(line.substring("calls=".length(), line.indexOf(','))));
    }

    private static long reads(String command) {
        return cluster.nodes().stream()
                .mapToLong(node -> readsAt(node, command))
                .sum();
    }

    /** Reads until the answer comes from memory. */
    static void remembered(CacheProxy proxy, RawClient client, String... command) {
        Await.until(LIMIT, "it is read from memory", () -> {
            long before = proxy.memoryCounts().hits();
            client.raw(command);
            return proxy.memoryCounts().hits() > before;
        });
    }

    private void withMoved(int slot, Runnable then) {
        cluster.moveSlot(slot, node(1));
        try {
            then.run();
        } finally {
            ClusterFixture.home(cluster, slot);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"2", "3"})
    void aKeptAnswerIsItsShardsAndNoServerIsAsked(String protocol) {
        List<String[]> kept = new ArrayList<>();
        try (RawClient client = client()) {
            client.call("HELLO", protocol);
            for (RealServer node : cluster.nodes()) {
                String string = cluster.keyOn(node, "string");
                String hash = cluster.keyOn(node, "hash");
                node.call("SET", string, "v of " + node.port());
                node.call("HSET", hash, "a", "1", "b", "2");
                kept.add(new String[] {"GET", string});
                kept.add(new String[] {"GETRANGE", string, "1", "3"});
                kept.add(new String[] {"HGET", hash, "a"});
                kept.add(new String[] {"HGET", hash, "none"});
                kept.add(new String[] {"HKEYS", hash});
            }
            for (String[] read : kept) {
                String first = client.raw(read);
                remembered(proxy, client, read);
                long before = reads(read[0].toLowerCase(Locale.ROOT));
                assertThat(client.raw(read)).as("%s", (Object) read).isEqualTo(first);
                assertThat(reads(read[0].toLowerCase(Locale.ROOT))).isEqualTo(before);
            }
            inOnePipeline(client, kept);
            // Not yet kept, several shards' at once.
            try (RawClient other = client()) {
                cluster.nodes().forEach(node -> node.call("CLIENT", "KILL", "TYPE", "normal"));
                Await.until(
                        LIMIT, "all is forgotten", () -> proxy.memoryCounts().keys() == 0);
                other.call("HELLO", protocol);
                inOnePipeline(other, kept);
            }
        }
    }

    /** From memory, to be kept, and neither: each answer stands in its place. */
    private static void inOnePipeline(RawClient client, List<String[]> kept) {
        Random random = new Random(7);
        List<String[]> all = new ArrayList<>();
        for (int i = 0; i < 400; i++) {
            String[] one = kept.get(random.nextInt(kept.size()));
            all.add(
                    switch (random.nextInt(12)) {
                        case 0 -> new String[] {"ECHO", "m" + i};
                        case 1 -> new String[] {"EXISTS", one[1]};
                        case 2 -> new String[] {"GET", "none" + i};
                        case 3 -> new String[] {"GETRANGE", one[1], "0", Integer.toString(i % 40)};
                        default -> one;
                    });
        }
        List<String> expected = all.stream().map(client::raw).toList();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        all.forEach(command -> bytes.writeBytes(CommandEncoder.encode(command)));
        client.sendRaw(bytes.toByteArray());
        for (int i = 0; i < all.size(); i++) {
            assertThat(client.rawReply()).as("%s", (Object) all.get(i)).isEqualTo(expected.get(i));
        }
    }

    @Test
    void whatIsWrittenByWhomeverIsForgotten() {
        try (RawClient client = client()) {
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "k");
                node.call("SET", key, "1");
                remembered(proxy, client, "GET", key);
                node.call("INCR", key);
                Await.until(
                        LIMIT, "it hears of it", () -> client.text("GET", key).equals("2"));
                remembered(proxy, client, "GET", key);
                node.call("FLUSHALL");
                Await.until(
                        LIMIT, "all is forgotten", () -> client.raw("GET", key).equals("$-1\r\n"));
            }
        }
    }

    /** A slot that leaves its server says nothing of keys that were not there: nobody would say that one has come to be elsewhere. */
    @Test
    void whatIsNotThereIsNotKept() {
        String tag = "{" + cluster.keyOn(node(0), "t") + "}";
        int slot = RealCluster.slotOf(tag);
        try (RawClient client = client();
                RawClient there = new RawClient(ProxyFixture.endpoint(node(1)))) {
            for (int i = 0; i < 5; i++) {
                assertThat(client.raw("GET", tag + "a")).isEqualTo("$-1\r\n");
                assertThat(client.text("HEXISTS", tag + "a", "f")).isEqualTo("0");
                assertThat(client.text("LLEN", tag + "a")).isEqualTo("0");
            }
            cluster.beginMove(slot, node(1));
            there.call("ASKING");
            assertThat(there.text("SET", tag + "a", "new")).isEqualTo("OK");
            assertThat(client.text("GET", tag + "a")).isEqualTo("new");
            there.call("ASKING");
            assertThat(there.text("SET", tag + "a", "newer")).isEqualTo("OK");
            assertThat(client.text("GET", tag + "a")).as("by ASK").isEqualTo("newer");
        } finally {
            cluster.moveKeys(slot, node(1), Integer.MAX_VALUE);
            cluster.finishMove(slot, node(0), node(1));
            ClusterFixture.home(cluster, slot);
        }
    }

    @Test
    void aSlotThatMovesIsReadWhereItIs() {
        String key = cluster.keyOn(node(0), "k");
        try (RawClient client = client();
                RawClient other = client()) {
            node(0).call("SET", key, "1");
            remembered(proxy, client, "GET", key);
            remembered(proxy, other, "GET", key);
            withMoved(RealCluster.slotOf(key), () -> {
                node(1).call("SET", key, "2");
                Await.until(
                        LIMIT, "it is read there", () -> client.text("GET", key).equals("2"));
                assertThat(other.text("GET", key)).isEqualTo("2");
                remembered(proxy, other, "GET", key);
                assertThat(client.text("INCR", key)).isEqualTo("3");
                assertThat(client.text("GET", key)).isEqualTo("3");
                assertThat(other.text("GET", key)).isEqualTo("3");
            });
            node(0).call("SET", key, "4");
            Await.until(
                    LIMIT,
                    "it is read there again",
                    () -> client.text("GET", key).equals("4"));
        }
    }

    /** What its former server says of the move comes late here. */
    @Test
    void whatWasKeptOfASlotIsNotUsedWhenItComesBack() {
        String key = cluster.keyOn(node(0), "k");
        int slot = RealCluster.slotOf(key);
        Topology.Sharded moved = ClusterFixture.topology(cluster.nodes());
        moved.shardOfSlot()[slot] = 1;
        try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(node(0)), "TRACKING");
                RawClient client = client();
                RawClient other = client()) {
            proxy.topology("blue", firstAt(wire.endpoint()));
            node(0).call("SET", key, "1");
            remembered(proxy, client, "GET", key);
            remembered(proxy, other, "GET", key);
            wire.hold();
            withMoved(slot, () -> {
                node(1).call("SET", key, "2");
                proxy.topology("blue", moved);
                assertThat(client.text("GET", key)).isEqualTo("2");
            });
            proxy.topology("blue", firstAt(wire.endpoint()));
            other.send("GET", key);
            assertThat(other.hasReplyWithin(100)).as("from memory").isFalse();
            wire.letGo();
            assertThat(other.reply().text()).isEqualTo("2");
        }
    }

    /** What a server says of changes comes late here: then a client must be ahead of its view by what it has seen or written there. */
    @Test
    void whoIsAheadOfAShardIsNotAnsweredFromItsView() {
        String key = cluster.keyOn(node(0), "k");
        String elsewhere = cluster.keyOn(node(1), "k");
        String[][] ahead = {
            {"MGET", key},
            {"MGET", key, elsewhere},
            {"SET", key, "3"},
            {"EVAL", "return redis.call('INCR', KEYS[1])", "1", key}
        };
        for (String[] command : ahead) {
            node(0).call("SET", key, "1");
            node(1).call("SET", elsewhere, "1");
            try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(node(0)), "TRACKING");
                    RawClient client = client();
                    RawClient other = client()) {
                proxy.topology("blue", firstAt(wire.endpoint()));
                remembered(proxy, client, "GET", key);
                remembered(proxy, client, "GET", elsewhere);
                wire.hold();
                node(0).call("SET", key, "2");
                assertThat(client.text("GET", key)).as("nobody knows better").isEqualTo("1");
                client.call(command);
                // What others are told by another shard says nothing of this one.
                other.text("GETRANGE", elsewhere, "0", "7");
                client.send("GET", key);
                assertThat(client.hasReplyWithin(100))
                        .as("%s from memory", (Object) command)
                        .isFalse();
                wire.letGo();
                assertThat(client.reply().text())
                        .isEqualTo(node(0).text("GET", key))
                        .isNotEqualTo("1");
            }
        }
    }

    /** As above, of what is not answered yet. */
    @Test
    void whoseCommandsAreUnansweredElsewhereIsNotAnsweredFromAView() {
        String key = cluster.keyOn(node(0), "k");
        node(0).call("SET", key, "before");
        try (RawClient client = client()) {
            remembered(proxy, client, "GET", key);
            client.send("EVAL", HoldTest.SLOW_WRITE, "1", key, "1000");
            Await.until(LIMIT, "it is sent", () -> proxy.commandsUnanswered() == 1);
            client.send("GET", key);
            assertThat(client.reply().isError()).isFalse();
            assertThat(client.reply().text()).isNotEqualTo("before");
            assertThat(node(0).text("GET", key)).isNotEqualTo("before");
        }
    }

    /** A read that another client has sent before may show less. */
    @Test
    void whoHasSeenSomethingSinceDoesNotJoinAnothersRead() {
        String key = cluster.keyOn(node(0), "k");
        String small = cluster.keyOn(node(0), "s");
        node(0).call("SET", key, "1");
        node(0).call("SET", small, "1");
        try (HeldWire wire = new HeldWire(ProxyFixture.endpoint(node(0)), "TRACKING");
                RawClient client = client();
                RawClient other = client()) {
            proxy.topology("blue", firstAt(wire.endpoint()));
            remembered(proxy, other, "GET", small);
            wire.hold();
            long before = readsAt(node(0), "get");
            other.send("GET", key);
            Await.until(LIMIT, "it has been read", () -> readsAt(node(0), "get") > before);
            node(0).call("SET", key, "2");
            assertThat(client.text("MGET", key)).isEqualTo("[2]");
            client.send("GET", key);
            assertThat(client.hasReplyWithin(50)).isFalse();
            wire.letGo();
            assertThat(other.reply().text()).isEqualTo("1");
            assertThat(client.reply().text()).isEqualTo("2");
        }
    }

    /** A client's commands for one key keep their order, though reads go over another connection than writes. */
    @Test
    void readsAndWritesOfOnePipelineKeepTheirOrder() {
        List<String> keys =
                cluster.nodes().stream().map(node -> cluster.keyOn(node, "k")).toList();
        try (RawClient client = client()) {
            keys.forEach(key -> client.text("SET", key, "0"));
            for (int i = 1; i <= 100; i++) {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                for (String key : keys) {
                    all.writeBytes(CommandEncoder.encode("GET", key));
                    all.writeBytes(CommandEncoder.encode("GETRANGE", key, "0", "9"));
                    all.writeBytes(CommandEncoder.encode("SET", key, "" + i));
                    all.writeBytes(CommandEncoder.encode("GET", key));
                }
                client.sendRaw(all.toByteArray());
                for (String key : keys) {
                    assertThat(client.reply().text()).as(key).isEqualTo("" + (i - 1));
                    assertThat(client.reply().text()).as(key).isEqualTo("" + (i - 1));
                    assertThat(client.reply().text()).as(key).isEqualTo("OK");
                    assertThat(client.reply().text()).as(key).isEqualTo("" + i);
                }
            }
        }
    }

    /** So much is asked in front of the read that the server comes to the write's connection first. */
    @Test
    void aWriteDoesNotOvertakeItsClientsReadThatIsToBeKept() {
        String key = cluster.keyOn(node(0), "k");
        String longKey = "{" + key + "}" + "x".repeat(8 * 1024);
        node(0).call("SET", key, "1");
        node(0).call("SET", "{" + key + "}", "1");
        try (RawClient client = client();
                RawClient other = client()) {
            remembered(proxy, other, "GET", "{" + key + "}");
            assertThat(client.text("EXISTS", key)).isEqualTo("1");
            node(0).stop();
            try {
                for (int i = 0; i < READS_AHEAD; i++) {
                    other.send("GET", longKey + i);
                }
                Await.until(LIMIT, "these are on their way", () -> proxy.commandsUnanswered() == READS_AHEAD);
                client.sendRaw(new String(CommandEncoder.encode("GET", key), UTF_8)
                        + new String(CommandEncoder.encode("SET", key, "2"), UTF_8));
                Await.until(LIMIT, "so is the read", () -> proxy.commandsUnanswered() > READS_AHEAD);
            } finally {
                node(0).resume();
            }
            assertThat(client.reply().text()).isEqualTo("1");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.text("GET", key)).isEqualTo("2");
        }
    }

    @Test
    void withTheConnectionToAShardWhatItSaidIsForgotten() {
        String lost = cluster.keyOn(node(0), "k");
        String kept = cluster.keyOn(node(1), "k");
        node(0).call("SET", lost, "v");
        node(1).call("SET", kept, "v");
        try (RawClient client = client()) {
            remembered(proxy, client, "GET", lost);
            remembered(proxy, client, "GET", kept);
            node(0).call("CLIENT", "KILL", "TYPE", "normal");
            Await.until(LIMIT, "it is forgotten", () -> proxy.memoryCounts().keys() == 1);
            node(0).call("SET", lost, "w");
            long before = proxy.memoryCounts().hits();
            assertThat(client.text("GET", kept)).isEqualTo("v");
            assertThat(proxy.memoryCounts().hits()).isEqualTo(before + 1);
            assertThat(client.text("GET", lost)).isEqualTo("w");
            remembered(proxy, client, "GET", lost);
        }
    }

    @Test
    void manyWhoMissTheSameAskItsShardOnce() {
        String key = cluster.keyOn(node(0), "k");
        String other = cluster.keyOn(node(0), "o");
        node(0).call("SET", key, "v");
        node(0).call("SET", other, "v");
        List<RawClient> clients = new ArrayList<>();
        try {
            for (int i = 0; i < 20; i++) {
                clients.add(client());
            }
            remembered(proxy, clients.getFirst(), "GET", other);
            long before = readsAt(node(0), "get");
            node(0).stop();
            try {
                clients.forEach(client -> client.send("GET", key));
                Await.until(LIMIT, "the others wait", () -> proxy.memoryCounts().joined() == clients.size() - 1);
            } finally {
                node(0).resume();
            }
            clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("v"));
            assertThat(readsAt(node(0), "get")).isEqualTo(before + 1);
        } finally {
            clients.forEach(RawClient::close);
        }
    }

    /** Those that wait for another client's read, which its server has not run, ask where the slot is. */
    @Test
    void whoHasJoinedAReadOfASlotThatHasMovedIsAnsweredToo() {
        String key = cluster.keyOn(node(0), "k");
        String other = cluster.keyOn(node(0), "o");
        node(0).call("SET", key, "v");
        node(0).call("SET", other, "v");
        List<RawClient> clients = new ArrayList<>();
        try {
            for (int i = 0; i < 5; i++) {
                clients.add(client());
            }
            remembered(proxy, clients.getFirst(), "GET", other);
            withMoved(RealCluster.slotOf(key), () -> {
                node(0).stop();
                try {
                    clients.forEach(client -> client.send("GET", key));
                    Await.until(
                            LIMIT, "the others wait", () -> proxy.memoryCounts().joined() == clients.size() - 1);
                } finally {
                    node(0).resume();
                }
                clients.forEach(client -> assertThat(client.reply().text()).isEqualTo("v"));
            });
        } finally {
            clients.forEach(RawClient::close);
        }
    }

    @Test
    void whatOneUserMayReadIsNotKeptForAnother() {
        String key = cluster.keyOn(node(1), "k");
        for (RealServer node : cluster.nodes()) {
            node.call("ACL", "SETUSER", "reader", "on", ">r", "~*", "+@all");
            node.call("ACL", "SETUSER", "stranger", "on", ">s", "~mine*", "+@all");
            node.call("ACL", "SETUSER", "plain", "on", ">p", "~*", "+@all", "-client|tracking");
        }
        node(1).call("SET", key, "secret");
        try (RawClient reader = client();
                RawClient stranger = client();
                RawClient plain = client()) {
            assertThat(reader.text("AUTH", "reader", "r")).isEqualTo("OK");
            assertThat(stranger.text("AUTH", "stranger", "s")).isEqualTo("OK");
            assertThat(plain.text("AUTH", "plain", "p")).isEqualTo("OK");
            remembered(proxy, reader, "GET", key);
            long before = proxy.memoryCounts().hits();
            assertThat(stranger.text("GET", key)).startsWith("-NOPERM");
            for (int i = 0; i < 5; i++) {
                assertThat(plain.text("GET", key)).isEqualTo("secret");
            }
            assertThat(proxy.memoryCounts().hits()).isEqualTo(before);
            // Who becomes another one on the same connection reads as that one.
            assertThat(reader.text("AUTH", "stranger", "s")).isEqualTo("OK");
            assertThat(reader.text("GET", key)).startsWith("-NOPERM");
        } finally {
            cluster.nodes().forEach(node -> node.call("ACL", "DELUSER", "reader", "stranger", "plain"));
        }
    }

    /** Its server has to know what it reads, so it is asked. */
    @Test
    void aClientThatTracksIsNotAnsweredFromMemory() {
        String key = cluster.keyOn(node(1), "k");
        node(1).call("SET", key, "1");
        try (RawClient client = client();
                RawClient tracking = client()) {
            remembered(proxy, client, "GET", key);
            tracking.call("HELLO", "3");
            assertThat(tracking.text("CLIENT", "TRACKING", "ON")).isEqualTo("OK");
            assertThat(tracking.text("GET", key)).isEqualTo("1");
            node(1).call("SET", key, "2");
            assertThat(tracking.reply().text()).isEqualTo("[invalidate, [" + key + "]]");
        }
    }

    @Test
    void nothingIsTakenAcrossASwitchEitherWay(@TempDir Path folder) {
        String key = cluster.keyOn(node(1), "k");
        node(1).call("SET", key, "cluster");
        try (RealServer server = ProxyFixture.server(folder);
                RawClient client = client()) {
            server.call("SET", key, "server");
            for (int epoch = 2; epoch < 6; epoch++) {
                boolean toServer = epoch % 2 == 0;
                remembered(proxy, client, "GET", key);
                BackendRoute next = toServer
                        ? ProxyFixture.route("green", server, epoch)
                        : ClusterFixture.route("blue", cluster, epoch);
                proxy.openAhead(next).join();
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                assertThat(proxy.memoryCounts().keys()).isZero();
                client.send("GET", key);
                assertThat(client.hasReplyWithin(20)).as("held").isFalse();
                proxy.letGo(next).join();
                assertThat(client.reply().text()).isEqualTo(toServer ? "server" : "cluster");
                remembered(proxy, client, "GET", key);
                assertThat(client.text("GET", key)).isEqualTo(toServer ? "server" : "cluster");
            }
        }
    }

    /** Of a primary whose place its replica has taken, what it has kept is of no use to who has seen something of the replica; though it hears of nothing any more, nor says anything. */
    @Test
    void whoHasSeenASuccessorIsNotAnsweredFromTheFormersView(@TempDir Path folder) {
        try (RealCluster doubled = RealCluster.start(ProxyFixture.binary(), folder, 3, 1);
                CacheProxy once =
                        ProxyFixture.proxy(ClusterFixture.route("green", doubled, 1), ProxyLimits.DEFAULT, 1)) {
            RealServer former = doubled.nodes().getFirst();
            once.topology("green", ClusterFixture.topology(doubled.nodes().subList(0, 3)));
            once.remember(new MemorySettings(1024 * 1024, LONG));
            String first = doubled.keyOn(former, "first");
            String second = doubled.keyOn(former, "second");
            String third = doubled.keyOn(former, "third");
            assertThat(RealCluster.slotOf(first)).isNotEqualTo(RealCluster.slotOf(second));
            try (RawClient client = ProxyFixture.client(once);
                    RawClient other = ProxyFixture.client(once)) {
                for (String key : List.of(first, second, third)) {
                    former.call("SET", key, "1");
                }
                remembered(once, client, "GET", first);
                RealServer successor = doubled.replicasOf(former).getFirst();
                doubled.failover(successor);
                former.call("CONFIG", "SET", "masterauth", "none-that-anybody-has");
                successor.call("CLIENT", "KILL", "TYPE", "replica");
                successor.call("SET", first, "2");
                successor.call("SET", second, "2");
                assertThat(client.text("MGET", second)).isEqualTo("[2]");
                assertThat(other.text("GET", third)).isEqualTo("1"); // by MOVED
                assertThat(client.text("GET", first)).isEqualTo("2");
            }
        }
    }

    /** A large answer makes an ordinary connection its client's own; not the one by which a server says to this node what has changed. */
    @Test
    void aLargeAnswerLeavesTheConnectionThatTellsOfChanges() {
        String large = cluster.keyOn(node(0), "large");
        String small = cluster.keyOn(node(0), "small");
        node(0).call("SET", large, "x".repeat(64 * ReplySizes.LARGE_BYTES));
        node(0).call("SET", small, "1");
        try (RawClient client = client();
                RawClient other = client()) {
            client.call("HELLO", "3");
            remembered(proxy, other, "GET", small);
            assertThat(client.text("GET", large)).hasSize(64 * ReplySizes.LARGE_BYTES);
            node(0).call("SET", large, "short");
            node(0).call("SET", small, "2");
            Await.until(LIMIT, "it hears of it", () -> other.text("GET", small).equals("2"));
            assertThat(client.text("GET", large)).isEqualTo("short");
            remembered(proxy, other, "GET", small);
        }
    }

    @Test
    void aReadWithoutAKeyIsTheServersMatter() {
        try (RawClient client = client()) {
            client.sendRaw("*1\r\n$3\r\nGET\r\n");
            assertThat(client.rawReply()).startsWith("-ERR wrong number of arguments");
            client.sendRaw("*1\r\n$4\r\nHGET\r\n*1\r\n$4\r\nPING\r\n");
            assertThat(client.rawReply()).startsWith("-ERR wrong number of arguments");
            assertThat(client.reply().text()).isEqualTo("PONG");
        }
    }
}
