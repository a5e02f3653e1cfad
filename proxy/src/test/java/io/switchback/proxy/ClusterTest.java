package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;

/** A cluster that stands still looks like one server to a plain client, and like a cluster of one node to a cluster client. */
class ClusterTest {
    private static RealCluster cluster;
    private static CacheProxy proxy;
    private static FleetWatch watch;

    @BeforeAll
    static void start(@TempDir Path folder) {
        cluster = RealCluster.start(ProxyFixture.binary(), folder, 3, 0);
        BackendRoute route = ClusterFixture.route("blue", cluster, 1);
        proxy = ProxyFixture.proxy(route);
        watch = ClusterFixture.watch(proxy, route);
    }

    @AfterAll
    static void stop() {
        watch.close();
        proxy.close();
        cluster.close();
    }

    @BeforeEach
    void flush() {
        cluster.nodes().forEach(node -> node.call("FLUSHALL"));
    }

    private static RawClient client() {
        return ProxyFixture.client(proxy);
    }

    @Test
    void aPipelineOverAllShardsIsAnsweredInOrder() {
        try (RawClient client = client()) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            for (int i = 0; i < 2_000; i++) {
                all.writeBytes(CommandEncoder.encode("SET", "k" + i, "v" + i));
                all.writeBytes(CommandEncoder.encode("APPEND", "k" + i, "!"));
                all.writeBytes(CommandEncoder.encode("PING", "p" + i));
                all.writeBytes(CommandEncoder.encode("GET", "k" + i));
            }
            client.sendRaw(all.toByteArray());
            for (int i = 0; i < 2_000; i++) {
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("" + (2 + ("" + i).length()));
                assertThat(client.reply().text()).isEqualTo("p" + i);
                assertThat(client.reply().text()).isEqualTo("v" + i + "!");
            }
        }
        assertThat(cluster.nodes())
                .allSatisfy(node -> assertThat(node.number("DBSIZE")).isGreaterThan(500));
    }

    /** A script that takes its time at the shard of the first key: what the others answer meanwhile must wait for it. */
    @Test
    void repliesOfLaterCommandsWaitForThoseBeforeThem() {
        String a = cluster.keyOn(cluster.nodes().get(0), "a");
        String b = cluster.keyOn(cluster.nodes().get(1), "b");
        String c = cluster.keyOn(cluster.nodes().get(2), "c");
        try (RawClient client = client()) {
            for (int i = 0; i < 5; i++) {
                client.send("EVAL", HoldTest.SLOW_WRITE, "1", a, "40");
                client.send("SET", b, "x".repeat(100_000) + i);
                client.send("INCR", c);
                client.send("GET", b);
                client.send("GET", a);
            }
            for (int i = 0; i < 5; i++) {
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("" + (i + 1));
                assertThat(client.reply().text()).isEqualTo("x".repeat(100_000) + i);
                assertThat(client.reply().text()).isEqualTo("slow");
            }
        }
    }

    /** Large replies come in parts while replies of other shards wait behind them, errors among them. */
    @Test
    void repliesOfAllSizesAndErrorsComeInTheClientsOrder() {
        Random random = new Random(7);
        List<String> values = new ArrayList<>();
        try (RawClient client = client()) {
            for (int i = 0; i < 60; i++) {
                values.add(("" + (char) ('a' + i % 26)).repeat(i % 6 == 0 ? 100_000 + i : i));
                client.send("SET", "k" + i, values.get(i));
                assertThat(client.reply().text()).isEqualTo("OK");
            }
            for (int round = 0; round < 20; round++) {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                List<String> expected = new ArrayList<>();
                for (int i = 0; i < 100; i++) {
                    int key = random.nextInt(values.size());
                    String name = "k" + key;
                    switch (random.nextInt(4)) {
                        case 0 -> {
                            all.writeBytes(CommandEncoder.encode("LPUSH", name, "x"));
                            expected.add("WRONGTYPE Operation against a key holding the wrong kind of value");
                        }
                        case 1 -> {
                            all.writeBytes(CommandEncoder.encode("STRLEN", name));
                            expected.add("" + values.get(key).length());
                        }
                        default -> {
                            all.writeBytes(CommandEncoder.encode("GET", name));
                            expected.add(values.get(key));
                        }
                    }
                }
                client.sendRaw(all.toByteArray());
                for (String one : expected) {
                    assertThat(client.reply().text()).isEqualTo(one);
                }
            }
        }
    }

    @Test
    void aPipelineCutAnywhereIsAnsweredAlike() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (String[] command : new String[][] {
            {"SET", "a", "1"},
            {"MSET", "b", "2", "c", "3"},
            {"GET", "d"},
            {"MGET", "a", "b", "c", "d"},
            {"DEL", "a", "b", "c"}
        }) {
            out.writeBytes(CommandEncoder.encode(command));
        }
        byte[] bytes = out.toByteArray();
        for (int cut = 1; cut < bytes.length; cut++) {
            try (RawClient client = client()) {
                client.sendRaw(Arrays.copyOf(bytes, cut));
                client.sendRaw(Arrays.copyOfRange(bytes, cut, bytes.length));
                List<String> replies = IntStream.range(0, 5)
                        .mapToObj(i -> client.reply().text())
                        .toList();
                assertThat(replies).as("cut at " + cut).containsExactly("OK", "OK", "", "[1, 2, 3, ]", "3");
            }
        }
    }

    @Test
    void whatAPlainClientWritesAClusterClientReads() {
        Random random = new Random(5);
        Map<String, String> expected = new HashMap<>();
        try (Jedis client = new Jedis(
                        proxy.addresses().getFirst().host(),
                        proxy.addresses().getFirst().port());
                JedisCluster direct = new JedisCluster(new HashSet<>(cluster.endpoints()))) {
            for (int round = 0; round < 20; round++) {
                Pipeline pipeline = client.pipelined();
                List<Response<String>> read = new ArrayList<>();
                List<String> wanted = new ArrayList<>();
                for (int i = 0; i < 200; i++) {
                    String key = "key:" + random.nextInt(1_000);
                    String value = "v" + round + "/" + i;
                    pipeline.set(key, value);
                    read.add(pipeline.get(key));
                    wanted.add(value);
                    expected.put(key, value);
                }
                pipeline.sync();
                assertThat(read.stream().map(Response::get)).containsExactlyElementsOf(wanted);
            }
            expected.forEach((key, value) -> assertThat(direct.get(key)).isEqualTo(value));
        }
    }

    @Test
    void keysOfSeveralSlotsAreSplitAndJoinedInOrder() {
        try (RawClient client = client()) {
            List<String> set = new ArrayList<>(List.of("MSET"));
            List<String> get = new ArrayList<>(List.of("MGET"));
            List<String> del = new ArrayList<>(List.of("DEL"));
            List<String> values = new ArrayList<>();
            for (int i = 0; i < 300; i++) {
                set.addAll(List.of("m" + i, "v" + i));
                get.addAll(List.of("m" + i, "none" + i));
                del.addAll(List.of("m" + i, "none" + i));
                values.addAll(List.of("v" + i, ""));
            }
            assertThat(client.text(set.toArray(String[]::new))).isEqualTo("OK");
            assertThat(client.text(get.toArray(String[]::new))).isEqualTo(values.toString());
            assertThat(client.text("EXISTS", "m1", "m2", "m3", "m1", "nothing")).isEqualTo("4");
            assertThat(client.text("TOUCH", "m1", "m2", "nothing")).isEqualTo("2");
            assertThat(client.text("UNLINK", "m1", "m2", "nothing")).isEqualTo("2");
            assertThat(client.text(del.toArray(String[]::new))).isEqualTo("298");
            client.text("LPUSH", "m1", "x");
            assertThat(client.text("MGET", "m0", "m1", "m2")).isEqualTo("[, , ]");
            assertThat(client.text("MSET", "m5", "1", "m6")).startsWith("-CROSSSLOT"); // as by the servers
            assertThat(client.text("MGET")).startsWith("-ERR wrong number of arguments");
        }
        assertThat(cluster.nodes().stream()
                        .mapToLong(node -> node.number("DBSIZE"))
                        .sum())
                .isEqualTo(1);
    }

    @Test
    void whatCannotBeSplitIsRefusedAsTheServerDoes() {
        String direct;
        try (RawClient server =
                new RawClient(ProxyFixture.endpoint(cluster.nodes().getFirst()))) {
            direct = server.text("RENAME", "foo", "bar");
        }
        assertThat(direct).startsWith("-CROSSSLOT");
        try (RawClient client = client()) {
            for (String[] command : new String[][] {
                {"RENAME", "foo", "bar"},
                {"SINTERSTORE", "foo", "bar", "baz"},
                {"EVAL", "return 1", "2", "foo", "bar"},
                {"MSETNX", "foo", "1", "bar", "2"},
                {"BLPOP", "foo", "bar", "1"},
                {"XREAD", "STREAMS", "foo", "bar", "0", "0"},
                {"SORT", "foo", "STORE", "bar"},
                {"WATCH", "foo", "bar"}
            }) {
                assertThat(client.text(command)).as(String.join(" ", command)).isEqualTo(direct);
            }
            assertThat(client.text("SET", "{foo}1", "x")).isEqualTo("OK");
            assertThat(client.text("RENAME", "{foo}1", "{foo}2")).isEqualTo("OK");
        }
    }

    @Test
    void whatIsAboutAllKeysIsAboutThoseOfAllShards() {
        try (RawClient client = client()) {
            Set<String> keys = new TreeSet<>();
            for (int i = 0; i < 500; i++) {
                client.send("SET", "s" + i, "x");
                keys.add("s" + i);
            }
            for (int i = 0; i < 500; i++) {
                client.reply();
            }
            cluster.nodes()
                    .getFirst()
                    .call("SET", cluster.keyOn(cluster.nodes().getFirst(), "switchback:reserved:"), "x");
            assertThat(client.text("DBSIZE")).isIn("500", "501"); // a key that is none of the known ones counts
            assertThat(texts(client.call("KEYS", "*"))).containsExactlyInAnyOrderElementsOf(keys);
            Set<String> scanned = new TreeSet<>();
            String cursor = "0";
            int steps = 0;
            do {
                List<Reply> reply = elements(client.call("SCAN", cursor, "COUNT", "20"));
                cursor = reply.getFirst().text();
                scanned.addAll(texts(reply.get(1)));
                steps++;
            } while (!cursor.equals("0"));
            assertThat(scanned).isEqualTo(keys);
            assertThat(steps).isGreaterThan(10);
            Set<String> shards = new HashSet<>();
            for (int i = 0; i < 30; i++) {
                String key = client.text("RANDOMKEY");
                assertThat(keys).contains(key);
                shards.add(cluster.primaryOf(RealCluster.slotOf(key)).toString());
            }
            assertThat(shards).hasSize(3);
            assertThat(client.text("FLUSHALL")).isEqualTo("OK");
            assertThat(client.text("DBSIZE")).isEqualTo("0");
            assertThat(client.call("RANDOMKEY")).isEqualTo(new Reply.Nil());
            assertThat(texts(client.call("KEYS", "*"))).isEmpty();
            client.text("HSET", "h", "f", "v");
            assertThat(client.text("HSCAN", "h", "0")).isEqualTo("[0, [f, v]]");
        }
    }

    @Test
    void scriptsAndFunctionsAreAtEveryShard() {
        try (RawClient client = client()) {
            String sha = client.text("SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])");
            for (RealServer node : cluster.nodes()) {
                assertThat(client.text("EVALSHA", sha, "1", cluster.keyOn(node, "n")))
                        .isEqualTo("1");
            }
            assertThat(client.text("SCRIPT", "EXISTS", sha, "0".repeat(40))).isEqualTo("[1, 0]");
            cluster.nodes().get(1).call("SCRIPT", "FLUSH");
            assertThat(client.text("SCRIPT", "EXISTS", sha)).isEqualTo("[0]");
            assertThat(client.text("SCRIPT", "FLUSH")).isEqualTo("OK");

            assertThat(
                            client.text(
                                    "FUNCTION",
                                    "LOAD",
                                    "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('INCR', keys[1]) end)"))
                    .isEqualTo("l");
            for (RealServer node : cluster.nodes()) {
                assertThat(client.text("FCALL", "f", "1", cluster.keyOn(node, "n")))
                        .isEqualTo("2");
            }
            assertThat(client.text("FUNCTION", "DELETE", "l")).isEqualTo("OK");
            assertThat(client.text("FUNCTION", "DELETE", "l")).startsWith("-ERR");
            assertThat(client.text("CONFIG", "SET", "slowlog-max-len", "77")).isEqualTo("OK");
            assertThat(cluster.nodes())
                    .allSatisfy(node -> assertThat(String.valueOf(node.call("CONFIG", "GET", "slowlog-max-len")))
                            .contains("77"));
        }
    }

    @Test
    void publishedIsHeardWhoeverSubscribesWhere() {
        try (RawClient subscriber = client();
                RawClient publisher = client()) {
            subscriber.send("SUBSCRIBE", "news");
            subscriber.reply();
            assertThat(publisher.text("PUBSUB", "NUMSUB", "news")).isEqualTo("[news, 1]");
            assertThat(texts(publisher.call("PUBSUB", "CHANNELS", "n*"))).containsExactly("news");
            publisher.text("PUBLISH", "news", "1");
            assertThat(subscriber.reply().text()).isEqualTo("[message, news, 1]");
            for (RealServer node : cluster.nodes()) {
                try (RawClient of = client()) {
                    String channel = cluster.keyOn(node, "c");
                    of.send("SSUBSCRIBE", channel);
                    assertThat(of.reply().text()).isEqualTo("[ssubscribe, " + channel + ", 1]");
                    assertThat(publisher.text("SPUBLISH", channel, "x")).isEqualTo("1");
                    assertThat(of.reply().text()).isEqualTo("[smessage, " + channel + ", x]");
                    assertThat(publisher.text("PUBSUB", "SHARDNUMSUB", channel)).isEqualTo("[" + channel + ", 1]");
                }
            }
        }
    }

    /** As from one server: one client, one connection, one count of what it is subscribed to. */
    @ParameterizedTest
    @ValueSource(strings = {"2", "3"})
    void oneClientHasShardChannelsOfEveryShard(String protocol) {
        List<String> channels =
                cluster.nodes().stream().map(node -> cluster.keyOn(node, "c")).toList();
        try (RawClient client = client();
                RawClient other = client()) {
            client.text("HELLO", protocol);
            assertThat(client.text("SSUBSCRIBE", channels.get(0), channels.get(1)))
                    .startsWith("-CROSSSLOT");
            assertThat(client.text("SUBSCRIBE", "news")).isEqualTo("[subscribe, news, 1]");
            channels.forEach(channel -> client.send("SSUBSCRIBE", channel));
            for (int i = 0; i < channels.size(); i++) {
                assertThat(client.reply().text()).isEqualTo("[ssubscribe, " + channels.get(i) + ", " + (i + 1) + "]");
            }
            assertThat(client.text("PSUBSCRIBE", "n*")).isEqualTo("[psubscribe, n*, 2]");
            for (String channel : channels) {
                assertThat(other.text("SPUBLISH", channel, "x")).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("[smessage, " + channel + ", x]");
            }
            other.text("PUBLISH", "news", "y");
            assertThat(List.of(client.reply().text(), client.reply().text()))
                    .containsExactlyInAnyOrder("[message, news, y]", "[pmessage, n*, news, y]");
            assertThat(client.text("SUNSUBSCRIBE", channels.get(1)))
                    .isEqualTo("[sunsubscribe, " + channels.get(1) + ", 2]");
            assertThat(other.text("SPUBLISH", channels.get(1), "x")).isEqualTo("0");
            assertThat(client.text("SUNSUBSCRIBE", channels.get(1)))
                    .isEqualTo("[sunsubscribe, " + channels.get(1) + ", 2]");
            client.send("SUNSUBSCRIBE");
            assertThat(client.reply().text()).matches("\\[sunsubscribe, c\\w+, 1]");
            assertThat(client.reply().text()).matches("\\[sunsubscribe, c\\w+, 0]");
            assertThat(client.text("SUNSUBSCRIBE")).isEqualTo("[sunsubscribe, , 0]");
            channels.forEach(
                    channel -> assertThat(other.text("SPUBLISH", channel, "x")).isEqualTo("0"));
            assertThat(client.text("PING")).containsIgnoringCase("pong");
            assertThat(client.hasReplyWithin(50)).isFalse();
        }
    }

    /** Where nothing else of the client's lives on a connection of its own, its commands go on as they would. */
    @Test
    void whatElseAClientDoesTakesNoShardChannelFromIt() {
        List<String> channels =
                cluster.nodes().stream().map(node -> cluster.keyOn(node, "c")).toList();
        try (RawClient client = client();
                RawClient other = client()) {
            client.text("HELLO", "3");
            channels.forEach(channel -> client.text("SSUBSCRIBE", channel));
            for (String channel : channels) {
                assertThat(client.text("WATCH", channel)).isEqualTo("OK");
                assertThat(client.text("MULTI")).isEqualTo("OK");
                assertThat(client.text("INCR", channel)).isEqualTo("QUEUED");
                assertThat(client.text("EXEC")).isEqualTo("[1]");
                assertThat(client.text("GET", channel)).isEqualTo("1");
                assertThat(client.text("MONITOR")).startsWith("-ERR switchback: MONITOR");
                other.text("RPUSH", channel + "l", "e");
                assertThat(client.text("BLPOP", channel + "l", "5")).isEqualTo("[" + channel + "l, e]");
            }
            assertThat(client.text("AUTH", "default", "any")).isEqualTo("OK");
            for (String channel : channels) {
                assertThat(other.text("SPUBLISH", channel, "x")).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("[smessage, " + channel + ", x]");
            }
            assertThat(client.text("RESET")).isEqualTo("RESET");
            assertNobodyHears(channels);
            client.text("HELLO", "3");
            channels.forEach(channel -> client.text("SSUBSCRIBE", channel));
        }
        assertNobodyHears(channels);
    }

    private static void assertNobodyHears(List<String> channels) {
        for (RealServer node : cluster.nodes()) {
            Await.until(
                    ClusterFixture.LIMIT,
                    "nobody is subscribed there",
                    () -> channels.stream()
                            .noneMatch(channel -> String.valueOf(node.call("PUBSUB", "SHARDCHANNELS"))
                                    .contains(channel)));
        }
    }

    @Test
    void transactionsGoWhereTheirKeysAre() {
        try (RawClient client = client()) {
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "t");
                client.send("SET", key, "1");
                client.send("MULTI");
                client.send("PING");
                client.send("INCR", key);
                client.send("GET", key);
                client.send("EXEC");
                client.send("GET", key);
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("[PONG, 2, 2]");
                assertThat(client.reply().text()).isEqualTo("2");
            }
            client.text("MULTI");
            assertThat(client.text("SET", "foo", "1")).isEqualTo("QUEUED");
            assertThat(client.text("SET", "bar", "1")).startsWith("-CROSSSLOT");
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
            client.text("MULTI");
            assertThat(client.text("EXEC")).isEqualTo("[]");
            client.text("MULTI");
            assertThat(client.text("DISCARD")).isEqualTo("OK");
            client.text("MULTI");
            assertThat(client.text("MGET", "foo", "bar")).startsWith("-CROSSSLOT");
            assertThat(client.text("DISCARD")).isEqualTo("OK");
            assertThat(client.text("WATCH", "foo")).isEqualTo("OK");
            client.text("MULTI");
            client.text("SET", "foo", "2");
            assertThat(client.text("EXEC")).isEqualTo("[OK]");
            assertThat(client.text("WATCH", "foo")).isEqualTo("OK");
            cluster.primaryOf(RealCluster.slotOf("foo")).call("SET", "foo", "3");
            client.text("MULTI");
            client.text("SET", "foo", "4");
            assertThat(client.call("EXEC")).isEqualTo(new Reply.Nil());
            assertThat(client.text("GET", "foo")).isEqualTo("3");
        }
    }

    @Test
    void aBlockingCommandWaitsAtItsShard() {
        for (RealServer node : cluster.nodes()) {
            String key = cluster.keyOn(node, "l");
            try (RawClient waiting = client();
                    RawClient other = client()) {
                waiting.send("BLPOP", key, "10");
                Await.until(
                        ClusterFixture.LIMIT,
                        "it waits",
                        () -> "1".equals(node.info("clients").get("blocked_clients")));
                assertThat(other.text("RPUSH", key, "x")).isEqualTo("1");
                assertThat(waiting.reply().text()).isEqualTo("[" + key + ", x]");
                assertThat(waiting.text("SET", "after", "1")).isEqualTo("OK");
            }
        }
    }

    @Test
    void largeValuesGoToTheirShardsAndComeFromThem() {
        String large = "x".repeat(3_000_000);
        try (RawClient client = client()) {
            for (RealServer node : cluster.nodes()) {
                String key = cluster.keyOn(node, "large");
                client.send("SET", key, large);
                client.send("STRLEN", key);
                client.send("GET", key);
                client.send("SET", "small", "y");
                client.send("GET", key);
                client.send("GET", "small");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("3000000");
                assertThat(client.reply().text()).isEqualTo(large);
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo(large);
                assertThat(client.reply().text()).isEqualTo("y");
            }
        }
    }

    @Test
    void whatIsAboutOneServerIsRefusedByName() {
        try (RawClient client = client()) {
            for (String[] command : new String[][] {{"CLIENT", "NO-TOUCH", "ON"}}) {
                assertThat(client.text(command)).contains("is not supported in front of a cluster");
            }
            assertThat(client.text("SELECT", "1")).startsWith("-ERR SELECT is not allowed in cluster mode");
            assertThat(client.text("INFO", "cluster")).contains("cluster_enabled:1");
        }
    }

    @Test
    void aClusterClientFindsAClusterOfOneNode() {
        HostAndPort address = new HostAndPort(
                proxy.addresses().getFirst().host(),
                proxy.addresses().getFirst().port());
        try (JedisCluster client = new JedisCluster(
                Set.of(address), DefaultJedisClientConfig.builder().build())) {
            for (int i = 0; i < 100; i++) {
                assertThat(client.set("c" + i, "v" + i)).isEqualTo("OK");
                assertThat(client.get("c" + i)).isEqualTo("v" + i);
            }
            assertThat(client.getClusterNodes()).containsOnlyKeys(address.toString());
        }
        try (RawClient client = client()) {
            assertThat(client.text("CLUSTER", "KEYSLOT", "foo")).isEqualTo("12182");
            String id = client.text("CLUSTER", "MYID");
            assertThat(id).matches("[0-9a-f]{40}");
            assertThat(client.text("CLUSTER", "SLOTS"))
                    .isEqualTo("[[0, 16383, [" + address.getHost() + ", " + address.getPort() + ", " + id + "]]]");
            assertThat(client.text("CLUSTER", "NODES"))
                    .startsWith(id + " " + address + "@")
                    .contains("0-16383");
            assertThat(client.text("CLUSTER", "INFO")).contains("cluster_state:ok");
            assertThat(client.text("CLUSTER", "SHARDS")).contains("[slots, [0, 16383], nodes, [[id, " + id);
            client.text("SET", "foo", "1");
            client.text("SET", "{foo}2", "1");
            assertThat(client.text("CLUSTER", "COUNTKEYSINSLOT", "12182")).isEqualTo("2");
            assertThat(texts(client.call("CLUSTER", "GETKEYSINSLOT", "12182", "10")))
                    .containsExactlyInAnyOrder("foo", "{foo}2");
            assertThat(client.text("READONLY")).isEqualTo("OK");
            assertThat(client.text("ASKING")).isEqualTo("OK");
            assertThat(client.text("CLUSTER", "RESET")).startsWith("-ERR switchback:");
        }
    }

    static List<Reply> elements(Reply reply) {
        return ServerManual.elements(reply);
    }

    static List<String> texts(Reply reply) {
        return elements(reply).stream().map(Reply::text).toList();
    }
}
