package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.cluster;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static io.switchback.sync.apply.Links.withoutPsync;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.sync.CarriedKeys;
import io.switchback.sync.CarriedKeys.Rename;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkStart;
import io.switchback.sync.source.CopyLimits;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.values.RandomWrites;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.Jedis;

/**
 * Links that carry some keys, and some of them by other names, while clients write everything: RENAME, SUNIONSTORE, MSET and transactions go between keys that are carried and keys that are not. The others of
 * both sides stay as they are.
 */
class CarriedKeysByLinkTest {
    private static final int CLIENTS = 3;
    private static final int ROUNDS = 3;
    private static final long BETWEEN = 2_000;

    /** Of {@link RandomWrites}, whose keys end in a number, those with an even one; counters and sets have other names. */
    private static final CarriedKeys EVEN = new CarriedKeys(
            List.of("*[02468]"),
            List.of("group-*", "x8"),
            Set.of(0, 5),
            List.of(new Rename("c", "counter-"), new Rename("set", "group-")));

    /** The same for keys with a hash tag. */
    private static final CarriedKeys EVEN_IN_SHARDS = new CarriedKeys(
            List.of("*[02468]"),
            List.of("{other}*"),
            Set.of(),
            List.of(new Rename("c", "cc{other}-"), new Rename("set", "{other}-")));

    /** What is the target's own: names that are not carried, old names of some that are, and another database. */
    private static final List<String> OWN = List.of("mine", "l1", "c4", "set2", "counter-3", "group-", "x8");

    @TempDir
    Path folder;

    private final List<ClientLink> links = new ArrayList<>();
    private final Heard heard = new Heard();

    // ---------------------------------------------------------------------------------------------- one server, one
    // way

    @ParameterizedTest
    @ValueSource(strings = {"apply", "scan"})
    void aServerHasWhatIsCarriedAndKeepsItsOwn(String kind) throws Exception {
        Random random = new Random(9);
        boolean scans = kind.equals("scan");
        try (RealServer source =
                        RealServer.start(ServerBinary.any(), folder.resolve("source"), "--repl-backlog-size", "64mb");
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            FleetSpec from = scans ? withoutPsync("source", source) : spec("source", source);
            fillWithItsOwn(target);
            in(target, 0, "SET", "counter-2", "left over");
            in(target, 5, "SET", "group-4", "left over");
            in(source, 5, "SADD", "set4", "a");
            in(source, 5, "SET", "l3", "x");
            in(source, 3, "SET", "s2", "x");
            try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                for (int round = 1; round <= ROUNDS; round++) {
                    ClientLink link = open(from, spec("target", target), round, EVEN.there(), scans);
                    streams(link);
                    writeOn(writes, BETWEEN);
                    betweenDatabases(source, round);
                    in(source, 0, round == 2 ? "FLUSHALL" : "FLUSHDB");
                    in(source, 3, "FLUSHDB");
                    betweenDatabases(source, round);
                    writeOn(writes, random.nextInt(300));
                    link.stop(); // as if the process were killed
                    writeOn(writes, random.nextInt(300));
                }
                ClientLink link = open(from, spec("target", target), ROUNDS + 1, EVEN.there(), scans);
                streams(link);
                writeOn(writes, 4 * BETWEEN); // past the window, within which everything goes as state
                in(source, 5, "SET", "s2", "late");
                in(source, 5, "SET", "c6", "late");
            }
            ClientLink link = links.getLast();
            drain(source, link);
            same(List.of(source), List.of(target), EVEN);
            keepsItsOwn(target);
            assertThat(in(target, 5, "GET", "s2")).isEqualTo("late");
            assertThat(in(target, 5, "GET", "counter-6")).isEqualTo("late");
            assertThat(heard.broken).isNull();
            if (!scans) {
                assertThat(source.info("stats", "sync_full")).isEqualTo("1");
            }
            link.close();
        }
    }

    /** Out of what is carried and into it, by MOVE and COPY too. */
    private static void betweenDatabases(RealServer server, int round) {
        String value = "round " + round;
        in(server, 0, "SET", "s" + 100, value);
        in(server, 0, "MOVE", "s" + 100, "3");
        in(server, 3, "SET", "s" + 102, value);
        in(server, 3, "MOVE", "s" + 102, "5");
        in(server, 3, "RPUSH", "l" + 104, value, "b", "a");
        in(server, 3, "COPY", "l" + 104, "l" + 106, "DB", "0", "REPLACE");
        in(server, 0, "COPY", "l" + 106, "l" + 107, "DB", "5", "REPLACE");
        in(server, 0, "SORT", "l" + 106, "ALPHA", "STORE", "l" + 108);
        in(server, 0, "SORT", "l" + 106, "ALPHA", "STORE", "l" + 109);
        in(server, 0, "RPUSH", "l" + 111, value);
        in(server, 0, "RPOPLPUSH", "l" + 111, "l" + 112);
        in(server, 0, "MSET", "s" + 113, value, "s" + 114, value, "c" + 116, "7", "set" + 115, value);
        in(server, 0, "RENAME", "s" + 113, "s" + 118);
        in(server, 0, "RENAME", "s" + 114, "s" + 119);
        in(server, 0, "DEL", "s" + 119, "c" + 116, "set" + 115);
    }

    // ---------------------------------------------------------------------------------------------------- there and
    // back

    @ParameterizedTest
    @ValueSource(strings = {"apply", "scan"})
    void whatWasCarriedComesBackByItsOldNamesAndTheOthersStay(String kind) throws Exception {
        boolean scans = kind.equals("scan");
        ServerBinary exact = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        try (RealServer old = RealServer.start(exact, folder.resolve("old"));
                RealServer fresh = RealServer.start(ServerBinary.any(), folder.resolve("fresh"))) {
            FleetSpec oldFleet = scans ? withoutPsync("old", old) : spec("old", old);
            FleetSpec freshFleet = scans ? withoutPsync("fresh", fresh) : spec("fresh", fresh);
            fillWithItsOwn(fresh);
            in(old, 0, "SET", "stays1", "old");
            in(old, 3, "SET", "s2", "old");
            if (!scans) {
                io.switchback.sync.source.Backlog.begin(freshFleet, Duration.ofSeconds(10));
            }
            ClientLink there = open(oldFleet, freshFleet, 1, EVEN.there(), scans);
            try (RandomWrites writes = new RandomWrites(old, CLIENTS, "")) {
                streams(there);
                writeOn(writes, BETWEEN);
            }
            drain(old, there);
            same(List.of(old), List.of(fresh), EVEN);
            assertThat(there.freeze(Deadline.in(Environment.system(), LIMIT))).isTrue();
            LinkBase base;
            try (ServerConnection server = connect(fresh)) {
                base = ApplyLink.begin(server, "back");
            }
            there.close();
            Map<String, String> stayed = notCarried(List.of(old), EVEN.there());
            ClientLink back = open("back", freshFleet, oldFleet, 2, EVEN.back(), scans, new LinkStart.From(base));
            // The application has changed: it writes by the new names, among them some that look like old ones.
            try (RandomWrites writes = new RandomWrites(fresh, CLIENTS, "")) {
                streams(back);
                for (int i = 0; i < 60; i++) {
                    in(fresh, 0, "INCR", "counter-" + i);
                    in(fresh, 0, "SADD", "group-" + i, "x" + i);
                    in(fresh, 5, "RENAME", "group-" + i, "group-" + (i + 1));
                    in(fresh, 0, "SUNIONSTORE", "group-" + i, "set" + i, "group-" + (i + 2));
                    in(fresh, 0, "RENAME", "counter-" + i, "c" + (i + 2));
                    in(fresh, 0, "INCR", "counter-" + (i + 1));
                }
                in(fresh, 5, "FLUSHDB");
                in(fresh, 5, "SADD", "group-2", "last");
                writeOn(writes, BETWEEN);
            }
            drain(fresh, back);
            same(List.of(old), List.of(fresh), EVEN);
            assertThat(in(old, 5, "SMEMBERS", "set2")).isEqualTo(List.of("last"));
            assertThat(notCarried(List.of(old), EVEN.there())).isEqualTo(stayed);
            in(fresh, 0, "FLUSHALL");
            in(fresh, 0, "SET", "counter-2", "1");
            drain(fresh, back);
            same(List.of(old), List.of(fresh), EVEN);
            assertThat(in(old, 0, "GET", "c2")).isEqualTo("1");
            assertThat(notCarried(List.of(old), EVEN.there())).isEqualTo(stayed);
            assertThat(heard.broken).isNull();
            back.close();
        }
    }

    // ------------------------------------------------------------------------------------------------------- clusters

    /** A key's slot at the target is another than at its source, so that links of several shards write to each of its primaries. */
    @ParameterizedTest
    @ValueSource(strings = {"apply", "scan"})
    void shardsEachHaveWhatTheirKeysBecomeInAnotherCluster(String kind) throws Exception {
        boolean scans = kind.equals("scan");
        try (RealCluster source = RealCluster.start(
                        ServerBinary.any(), folder.resolve("source"), 3, 0, "--repl-backlog-size", "64mb");
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 2, 0)) {
            List<RandomWrites> writes = new ArrayList<>();
            FleetSpec from = scans ? withoutPsync("source", source) : cluster("source", source);
            FleetSpec to = cluster("target", target);
            try {
                for (RealServer node : target.nodes()) {
                    node.call("SET", "{" + target.keyOn(node, "m") + "}mine", "own");
                }
                for (RealServer node : source.nodes()) {
                    node.call("SET", "{" + source.keyOn(node, "early") + "}0", "x");
                    writes.add(new RandomWrites(node, CLIENTS - 1, "{" + source.keyOn(node, "tag") + "}"));
                }
                for (int round = 1; round <= ROUNDS; round++) {
                    openShards(from, to, round, scans);
                    writes.forEach(one -> writeOn(one, BETWEEN / 2));
                    source.nodes().get(round % 3).call("FLUSHALL");
                    writes.forEach(one -> writeOn(one, BETWEEN / 4));
                    links.forEach(ClientLink::stop);
                    links.clear();
                    writes.forEach(one -> writeOn(one, BETWEEN / 10));
                }
                openShards(from, to, ROUNDS + 1, scans);
                for (RealServer node : source.nodes()) {
                    node.call("SET", "{" + source.keyOn(node, "late") + "}0", "x");
                }
                writes.forEach(one -> writeOn(one, BETWEEN));
                source.nodes().getFirst().call("FLUSHALL");
                writes.forEach(one -> writeOn(one, BETWEEN / 4));
            } finally {
                writes.forEach(RandomWrites::close);
            }
            for (int i = 0; i < links.size(); i++) {
                drain(source.nodes().get(i), links.get(i));
            }
            same(source.nodes(), target.nodes(), EVEN_IN_SHARDS);
            for (RealServer node : target.nodes()) {
                assertThat(node.call("GET", "{" + target.keyOn(node, "m") + "}mine"))
                        .isEqualTo("own");
            }
            assertThat(heard.broken).isNull();
            links.forEach(ClientLink::close);
        }
    }

    /** Others of its databases are nothing of a cluster's. */
    @Test
    void oneDatabaseOfAServerBecomesACluster() throws Exception {
        CarriedKeys keys = new CarriedKeys(List.of(), List.of("n:*"), Set.of(0), List.of(new Rename("c", "n:")));
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealCluster target = RealCluster.start(ServerBinary.any(), folder.resolve("target"), 2, 0)) {
            in(source, 3, "SET", "three", "x");
            ClientLink link = open(spec("source", source), cluster("target", target), 1, keys.there(), false);
            streams(link);
            try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                writeOn(writes, BETWEEN);
                in(source, 3, "SET", "three", "y");
                in(source, 3, "SWAPDB", "3", "4");
                in(source, 4, "MOVE", "three", "0");
                writeOn(writes, BETWEEN);
            }
            drain(source, link);
            same(List.of(source), target.nodes(), keys);
            assertThat(in(source, 0, "GET", "three")).isEqualTo("y");
            assertThat(heard.broken).isNull();
            link.close();
        }
    }

    /** What has met a key there that was let go already is put right from the source, which has it by another name. */
    @Test
    void anEffectBehindTheTimeOfItsKeyIsPutRightByTheSourcesName() {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            ClientLink link = open(spec("source", source), spec("target", target), 1, EVEN.there(), false);
            streams(link);
            source.call("SET", "c2", "5", "PX", "2500");
            source.call("SET", "c4", "5", "PX", "2500");
            drain(source, link);
            target.stop();
            source.call("INCR", "c2");
            source.call("PERSIST", "c2");
            assertThat(source.call("GET", "c2"))
                    .as("the test was too slow to come before the key's time")
                    .isEqualTo("6");
            Await.until(LIMIT, "its time is over", () -> source.number("EXISTS", "c4") == 0);
            target.resume();
            drain(source, link);
            same(List.of(source), List.of(target), EVEN);
            assertThat(target.call("GET", "counter-2")).isEqualTo("6");
            assertThat(heard.broken).isNull();
            link.close();
        }
    }

    // ----------------------------------------------------------------------------------------- functions, scripts

    @ParameterizedTest
    @ValueSource(strings = {"apply", "scan"})
    void librariesComeAndThoseOfTheTargetStay(String kind) {
        String library = "#!lua name=%s\nredis.register_function('%s', function() return 1 end)";
        ServerBinary binary = ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
        boolean scans = kind.equals("scan");
        try (RealServer source = RealServer.start(binary, folder.resolve("source"));
                RealServer target = RealServer.start(binary, folder.resolve("target"))) {
            target.call("FUNCTION", "LOAD", library.formatted("own", "own"));
            source.call("FUNCTION", "LOAD", library.formatted("early", "early"));
            FleetSpec from = scans ? withoutPsync("source", source) : spec("source", source);
            ClientLink link = open(from, spec("target", target), 1, EVEN.there(), scans);
            streams(link);
            source.call("FUNCTION", "FLUSH");
            source.call("FUNCTION", "LOAD", library.formatted("late", "late"));
            drain(source, link);
            assertThat(String.valueOf(target.call("FUNCTION", "LIST"))).contains("own", "late");
            source.call("FUNCTION", "DELETE", "late");
            drain(source, link);
            assertThat(String.valueOf(target.call("FUNCTION", "LIST")))
                    .contains("own")
                    .doesNotContain("late");
            assertThat(heard.broken).isNull();
            link.close();
        }
    }

    /** Which keys a script changes is not in its words. */
    @Test
    void scriptsInTheStreamBreakALinkThatDoesNotCarryAllKeys() {
        Optional<ServerBinary> binary = ServerBinary.named("redis-6.0");
        org.assertj.core.api.Assumptions.assumeThat(binary)
                .as("only Redis 6 sends scripts")
                .isPresent();
        try (RealServer source =
                        RealServer.start(binary.get(), folder.resolve("source"), "--lua-replicate-commands", "no");
                RealServer target = RealServer.start(binary.get(), folder.resolve("target"))) {
            ClientLink link = open(spec("source", source), spec("target", target), 1, EVEN.there(), false);
            streams(link);
            source.call("EVAL", "redis.call('SET', 's2', 'x') redis.call('SET', KEYS[1], 'x')", "1", "s4");
            Await.until(LIMIT, "the link is broken", () -> heard.broken != null);
            assertThat(heard.broken).contains("EVAL came down the stream itself", "lua-replicate-commands yes");
            link.close();
        }
    }

    // --------------------------------------------------------------------------------------------------------- the
    // rest

    private static void fillWithItsOwn(RealServer target) {
        OWN.forEach(name -> in(target, 0, "SET", name, "own"));
        in(target, 3, "SET", "counter-2", "own");
        in(target, 5, "SET", "c2", "own");
    }

    private static void keepsItsOwn(RealServer target) {
        OWN.forEach(name -> assertThat(in(target, 0, "GET", name)).as(name).isEqualTo("own"));
        assertThat(in(target, 3, "GET", "counter-2")).isEqualTo("own");
        assertThat(in(target, 5, "GET", "c2")).isEqualTo("own");
    }

    /** Of everything that both sides hold, what is carried is the same. */
    private static void same(List<RealServer> old, List<RealServer> fresh, CarriedKeys keys) {
        boolean exact = old.stream().allMatch(Contents::saysWhenItEnds)
                && fresh.stream().allMatch(Contents::saysWhenItEnds);
        try {
            Await.until(
                    Duration.ofSeconds(10),
                    "both sides are equal",
                    () -> there(old, keys, exact).equals(ofTarget(fresh, keys, exact)));
        } catch (AssertionError e) {
            assertThat(ofTarget(fresh, keys, exact)).containsExactlyInAnyOrderEntriesOf(there(old, keys, exact));
        }
    }

    private static Map<String, String> there(List<RealServer> old, CarriedKeys keys, boolean exact) {
        Map<String, String> contents = new TreeMap<>();
        Contents.of(old, exact).forEach((name, value) -> {
            String there = named(name, keys.there(), true);
            if (there != null) {
                contents.put(there, value);
            }
        });
        return contents;
    }

    private static Map<String, String> ofTarget(List<RealServer> fresh, CarriedKeys keys, boolean exact) {
        Map<String, String> contents = new TreeMap<>(Contents.of(fresh, exact));
        contents.keySet().removeIf(name -> named(name, keys.there(), false) == null);
        return contents;
    }

    /** Of those that live for ever. */
    private static Map<String, String> notCarried(List<RealServer> source, CarriedKeys.Way way) {
        Map<String, String> contents = new TreeMap<>(Contents.of(source, true));
        contents.keySet().removeIf(name -> named(name, way, true) != null);
        contents.values().removeIf(value -> !value.endsWith(" until -1"));
        return contents;
    }

    /** As {@link Contents} names it. */
    private static @Nullable String named(String text, CarriedKeys.Way way, boolean atSource) {
        int slash = text.indexOf('/');
        int database = slash < 0 ? 0 : Integer.parseInt(text.substring(0, slash));
        byte[] name = text.substring(slash + 1).getBytes(UTF_8);
        byte[] other = atSource ? way.target(database, name) : way.source(database, name);
        return other == null ? null : text.substring(0, slash + 1) + new String(other, UTF_8);
    }

    private static @Nullable Object in(RealServer server, int database, String... words) {
        try (Jedis client = server.client()) {
            client.select(database);
            try {
                return io.switchback.testkit.Replies.call(client, words);
            } catch (redis.clients.jedis.exceptions.JedisDataException e) {
                return e.getMessage(); // of what is not there
            }
        }
    }

    private static void writeOn(RandomWrites writes, long count) {
        long until = writes.written() + count;
        Await.until(LIMIT, "clients write on", () -> writes.written() > until);
    }

    private static ServerConnection connect(RealServer server) {
        return ServerConnection.open(
                new Endpoint(server.host(), server.port()), Optional.empty(), Duration.ofSeconds(10));
    }

    private void openShards(FleetSpec source, FleetSpec target, long owner, boolean scans) {
        if (!(source.topologyNow() instanceof Topology.Sharded sharded)) {
            throw new AssertionError("no cluster: " + source);
        }
        for (int shard = 0; shard < sharded.shards().size(); shard++) {
            SlotSet slots = sharded.slotsOf(shard);
            ApplySettings settings = new ApplySettings(
                    "link-" + slots.first(),
                    "secret",
                    Token.open(owner, "owner"),
                    source.shard(slots.first()),
                    target,
                    new LinkStart.FullCopy(Optional.empty()),
                    Optional.of(slots),
                    CopyLimits.NONE,
                    EVEN_IN_SHARDS.there());
            ClientLink link = begin(settings, scans);
            links.add(link);
            streams(link);
        }
    }

    private ClientLink open(FleetSpec source, FleetSpec target, long owner, CarriedKeys.Way keys, boolean scans) {
        return open("link", source, target, owner, keys, scans, new LinkStart.FullCopy(Optional.empty()));
    }

    private ClientLink open(
            String name,
            FleetSpec source,
            FleetSpec target,
            long owner,
            CarriedKeys.Way keys,
            boolean scans,
            LinkStart start) {
        ClientLink link = begin(
                new ApplySettings(
                        name,
                        "secret",
                        Token.open(owner, "owner"),
                        source,
                        target,
                        start,
                        Optional.empty(),
                        CopyLimits.NONE,
                        keys),
                scans);
        links.add(link);
        return link;
    }

    private ClientLink begin(ApplySettings settings, boolean scans) {
        return scans
                ? ScanLink.open(settings, Environment.system(), heard)
                : ApplyLink.open(settings, Environment.system(), heard);
    }
}
