package io.switchback.sync.apply;

import static io.switchback.sync.apply.Links.LIMIT;
import static io.switchback.sync.apply.Links.cluster;
import static io.switchback.sync.apply.Links.drain;
import static io.switchback.sync.apply.Links.endpoint;
import static io.switchback.sync.apply.Links.equal;
import static io.switchback.sync.apply.Links.spec;
import static io.switchback.sync.apply.Links.streams;
import static io.switchback.sync.apply.Links.withoutPsync;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.environment.Environment;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.RoleCommands.OtherClients;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.SlotSet;
import io.switchback.fleet.Token;
import io.switchback.fleet.Topology;
import io.switchback.sync.LinkBase;
import io.switchback.sync.LinkStart;
import io.switchback.sync.LinkStatus.Phase;
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
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** What a link by scan brings to its target, from sources that let nobody follow them, and what it does when it has missed something. */
class ScanLinkTest {
    private static final int CLIENTS = 3;
    private static final long BETWEEN = 2_000;
    private static final int ROUNDS = 4;
    private static final String NAME = "link";
    private static final String LIBRARY = "#!lua name=%s\nredis.register_function('%s', function() return 1 end)";

    @TempDir
    Path folder;

    static Stream<String> pairs() {
        return Stream.of("redis-7.0 redis-6.0", "redis-6.0 redis-7.0", "valkey-9.1 redis-7.0", "redis-8.0 valkey-9.1")
                .filter(pair -> Stream.of(pair.split(" ", -1))
                        .allMatch(name -> ServerBinary.named(name).isPresent()));
    }

    /** Everything is written, flushed and swapped while the link's connections are killed at any time. */
    @ParameterizedTest
    @MethodSource("pairs")
    void aTargetHasAllOfASourceThatLetsNobodyFollow(String pair) throws Exception {
        String[] names = pair.split(" ", -1);
        Random random = new Random(5);
        try (RealServer source =
                        RealServer.start(ServerBinary.named(names[0]).orElseThrow(), folder.resolve("source"));
                RealServer target =
                        RealServer.start(ServerBinary.named(names[1]).orElseThrow(), folder.resolve("target"))) {
            boolean functions = !pair.contains("redis-6.0");
            target.call("SET", "left over", "x");
            in(3, target, "SET", "left over", "x");
            in(3, source, "SET", "three", "x");
            if (functions) {
                target.call("FUNCTION", "LOAD", LIBRARY.formatted("leftover", "leftover"));
                source.call("FUNCTION", "LOAD", LIBRARY.formatted("early", "early"));
            }
            Heard heard = new Heard();
            try (ScanLink link = open(withoutPsync("source", source), spec("target", target), 1, heard)) {
                try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                    writeOn(writes);
                    streams(link);
                    assertThat(target.call("GET", "left over")).isNull();
                    assertThat(in(3, target, "GET", "left over")).isNull();
                    assertThat(in(3, target, "GET", "three")).isEqualTo("x");
                    for (int i = 0; i < ROUNDS; i++) {
                        source.call("SET", "kept" + i, "x");
                        in(5, source, "SET", "five" + i, "x");
                        drain(source, link);
                        assertThat(target.call("GET", "kept" + i)).isEqualTo("x");
                        assertThat(in(5, target, "GET", "five" + i)).isEqualTo("x");
                        writeOn(writes, random.nextInt(500));
                        killTracking(source);
                        source.call("DEL", "kept" + i); // while nobody listens, or soon after
                        if (i == 1) {
                            source.call("FLUSHALL");
                        }
                        writeOn(writes, random.nextInt(500));
                    }
                    streams(link);
                    source.call("SET", "flushed", "x");
                    drain(source, link);
                    source.call("FLUSHALL");
                    in(5, source, "SET", "last", "x");
                    drain(source, link);
                    assertThat(target.call("GET", "flushed")).isNull();
                    source.call("SWAPDB", "5", "6");
                    drain(source, link);
                    int walks = link.completions();
                    writeOn(writes, 3 * BETWEEN);
                    writes.end();
                    drain(source, link);
                    assertThat(link.completions())
                            .as("no walk has hidden anything")
                            .isEqualTo(walks);
                }
                assertThat(in(5, target, "GET", "last")).isNull();
                assertThat(in(6, target, "GET", "last")).isEqualTo("x");
                boolean exact = Contents.saysWhenItEnds(source) && Contents.saysWhenItEnds(target);
                equal(List.of(source), List.of(target), exact);
                if (functions) {
                    assertThat(String.valueOf(target.call("FUNCTION", "LIST")))
                            .contains("early")
                            .doesNotContain("leftover");
                    source.call("FUNCTION", "DELETE", "early");
                    source.call("FUNCTION", "LOAD", LIBRARY.formatted("late", "late"));
                    drain(source, link);
                    assertThat(String.valueOf(target.call("FUNCTION", "LIST")))
                            .contains("late")
                            .doesNotContain("early");
                }
                assertThat(link.completions()).isGreaterThan(ROUNDS);
                assertThat(heard.broken).isNull();
                assertThat(heard.copies).hasValue(1);
            }
            assertThat(source.info("commandstats"))
                    .doesNotContainKeys("cmdstat_psync", "cmdstat_sync", "cmdstat_replconf");
        }
    }

    @Test
    void moreThanIsRememberedIsLookedForAgain() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"));
                ScanLink link = ScanLink.open(
                        settings(withoutPsync("source", source), spec("target", target), 1, copy()),
                        4 * 1024,
                        Environment.system(),
                        new Heard())) {
            streams(link);
            for (int round = 1; round <= ROUNDS; round++) {
                try (Jedis client = source.client()) {
                    for (int i = 0; i < 100; i++) {
                        client.set("gone" + i, "x");
                    }
                    drain(source, link);
                    String[] keys = new String[200];
                    for (int i = 0; i < 100; i++) {
                        keys[i] = "gone" + i;
                        keys[100 + i] = "never" + i;
                    }
                    client.del(keys); // at one stroke
                    int now = round;
                    client.eval("for i = 1, 1000 do redis.call('SET', 'many' .. i, '" + now + "') end");
                }
                drain(source, link);
                equal(List.of(source), List.of(target), false);
            }
            assertThat(link.completions()).isGreaterThan(ROUNDS);
        }
    }

    @Test
    void whoeverStopsAtANoteHasAllThatStandsBeforeIt() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            FleetSpec from = withoutPsync("source", source);
            FleetSpec to = spec("target", target);
            Heard heard = new Heard();
            for (int i = 1; i <= ROUNDS; i++) {
                String behind = i == 1 ? null : Integer.toString(i - 1);
                try (ScanLink link = open(from, to, i, heard)) {
                    try (RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                        streams(link);
                        writeOn(writes);
                    }
                    source.call("SET", "before", Integer.toString(i));
                    leave(source, i + 1);
                    Token by = Token.open(i + 1, "switch");
                    assertThat(link.awaitEnd(by, 0, soon()))
                            .as("%s", link.status())
                            .isTrue();
                    assertThat(link.isFrozen()).isTrue();
                    assertThat(link.status().phase()).isEqualTo(Phase.CLOSED);
                    equal(List.of(source), List.of(target), false);
                    source.call("SET", "behind", Integer.toString(i));
                    assertThat(link.awaitCaughtUp(soon())).isFalse();
                    assertThat(link.awaitEnd(Token.open(i + 2, "other"), 0, soon()))
                            .isFalse();
                }
                // Whoever has the token of then does nothing, and does not say that all is there.
                try (ScanLink again = open(from, to, i, heard)) {
                    Await.until(LIMIT, "it stops again", again::isFrozen);
                    assertThat(again.endedBy()).contains(Token.open(i + 1, "switch"));
                    assertThat(again.awaitEnd(Token.open(i + 1, "switch"), 0, soon()))
                            .isFalse();
                    assertThat(target.call("GET", "before")).isEqualTo(Integer.toString(i));
                    assertThat(target.call("GET", "behind")).isEqualTo(behind);
                }
            }
            assertThat(heard.broken).isNull();
        }
    }

    /** One that was stopped between its claim and its first word wakes up when another has taken over. */
    @Test
    void theLaterOfTwoOwnersShutsOutTheFormer() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            FleetSpec from = withoutPsync("source", source);
            FleetSpec to = spec("target", target);
            CountDownLatch asked = new CountDownLatch(1);
            CountDownLatch awake = new CountDownLatch(1);
            Heard formerHeard = new Heard() {
                @Override
                public String whyNotStanding() {
                    asked.countDown();
                    try {
                        assertThat(awake.await(LIMIT.toSeconds(), TimeUnit.SECONDS))
                                .isTrue();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                    return "";
                }
            };
            source.call("SET", "key", "old");
            ScanLink former = open(from, to, 1, formerHeard);
            assertThat(asked.await(LIMIT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            Heard laterHeard = new Heard();
            try (ScanLink later = open(from, to, 2, laterHeard);
                    RandomWrites writes = new RandomWrites(source, CLIENTS, "")) {
                streams(later);
                source.call("SET", "key", "new");
                drain(source, later);
                later.freeze(soon());
                awake.countDown();
                Await.until(LIMIT, "the former owner hears of it", () -> formerHeard.broken != null);
                assertThat(formerHeard.broken).contains("a newer owner has taken the link over (\"2 open ");
                assertThat(target.call("GET", "key")).isEqualTo("new");
                assertThat(writes.written()).isPositive();
            } finally {
                former.stop();
            }
            assertThat(laterHeard.broken).isNull();
        }
    }

    /** There and back without a copy: each time the link back listens before anybody writes there. */
    @ParameterizedTest
    @MethodSource("pairs")
    void clientsGoThereAndBackAndNothingIsMissedOrDoneTwice(String pair) throws Exception {
        String[] names = pair.split(" ", -1);
        try (RealServer old = RealServer.start(ServerBinary.named(names[0]).orElseThrow(), folder.resolve("old"));
                RealServer fresh =
                        RealServer.start(ServerBinary.named(names[1]).orElseThrow(), folder.resolve("fresh"))) {
            RealServer from = old;
            RealServer to = fresh;
            Heard heard = new Heard();
            ScanLink forth = open("to-" + to.port(), from, to, 1, copy(), heard);
            streams(forth);
            AtomicLong count = new AtomicLong();
            for (int i = 1; i <= ROUNDS; i++) {
                ScanLink back = open("to-" + from.port(), to, from, i + 1, new LinkStart.Later(), heard);
                try (RandomWrites writes = new RandomWrites(from, CLIENTS, "")) {
                    countOn(from, count);
                    writeOn(writes);
                    countOn(from, count);
                }
                drain(from, forth);
                leave(from, forth.name(), i + 1);
                assertThat(forth.awaitEnd(Token.open(i + 1, "switch"), 0, soon()))
                        .as("%s", forth.status())
                        .isTrue();
                equal(List.of(from), List.of(to), false);
                Await.until(LIMIT, "it listens", back::isListening);
                assertThat(back.status().phase()).isEqualTo(Phase.CLOSED_TO_TARGET);
                assertThat(back.admit(base(to), soon())).isTrue();
                to.call("SET", "first" + i, "x"); // at once
                if (i == 1) {
                    Deadline moment = Deadline.in(Environment.system(), Duration.ofMillis(300));
                    assertThat(back.awaitCaughtUp(moment))
                            .as("before it begins")
                            .isFalse();
                }
                assertThat(from.call("GET", "first" + i)).isNull();
                back.begin();
                forth.close();
                streams(back);
                forth = back;
                RealServer left = from;
                from = to;
                to = left;
                countOn(from, count);
                drain(from, forth);
                assertThat(to.call("GET", "first" + i)).isEqualTo("x");
                assertThat(to.call("GET", "count")).isEqualTo(Long.toString(count.get()));
            }
            equal(List.of(from), List.of(to), false);
            assertThat(heard.broken).isNull();
            forth.close();
        }
    }

    @Test
    void aLinkBackThatHasMissedSomethingSaysSoAndWalks() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            source.call("SET", "key", "x");
            target.call("SET", "other", "x");
            try (ScanLink link = open(NAME, source, target, 1, new LinkStart.Later(), new Heard())) {
                Await.until(LIMIT, "it listens", link::isListening);
                LinkBase base = base(source);
                source.stop();
                assertThat(link.admit(base, Deadline.in(Environment.system(), Duration.ofMillis(50))))
                        .isFalse();
                source.resume();
                link.begin();
                streams(link);
                equal(List.of(source), List.of(target), false);
            }
        }
    }

    @Test
    void aSourceThatHasLostItsDataIsNotTakenForOneInWhichAllWasDeleted() throws Exception {
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            source.call("SET", "key", "x");
            FleetSpec from = withoutPsync("source", source);
            Heard heard = new Heard();
            try (ScanLink link = open(from, spec("target", target), 1, heard)) {
                streams(link);
                source.kill();
                source.restart();
                Await.until(LIMIT, "it is noticed", () -> heard.broken != null);
                assertThat(heard.broken).contains("has another history");
            }
            // Nor by the next one.
            Heard next = new Heard();
            try (ScanLink link = open(from, spec("target", target), 2, next)) {
                Await.until(LIMIT, "it is noticed", () -> next.broken != null);
                assertThat(link.status().phase()).isEqualTo(Phase.BROKEN);
                assertThat(target.call("GET", "key")).isEqualTo("x");
            }
        }
    }

    @Test
    void anotherClusterHasAllOfACluster() throws Exception {
        try (RealCluster source = RealCluster.start(
                        ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any), folder.resolve("source"), 2, 0);
                RealCluster target = RealCluster.start(
                        ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::any),
                        folder.resolve("target"),
                        3,
                        0)) {
            target.nodes().forEach(node -> node.call("SET", target.keyOn(node, "left over"), "x"));
            FleetSpec fleet = withoutPsync("source", source);
            List<ScanLink> links = new ArrayList<>();
            List<RandomWrites> writes = new ArrayList<>();
            try {
                for (RealServer node : source.nodes()) {
                    writes.add(new RandomWrites(node, CLIENTS, "{" + source.keyOn(node, "tag") + "}"));
                }
                if (!(fleet.topologyNow() instanceof Topology.Sharded sharded)) {
                    throw new AssertionError("no cluster: " + fleet);
                }
                for (int shard = 0; shard < sharded.shards().size(); shard++) {
                    SlotSet slots = sharded.slotsOf(shard);
                    links.add(ScanLink.open(
                            new ApplySettings(
                                    NAME + "-" + slots.first(),
                                    "",
                                    Token.open(1, "owner"),
                                    fleet.shard(slots.first()),
                                    cluster("target", target),
                                    copy(),
                                    Optional.of(slots)),
                            Environment.system(),
                            new Heard()));
                }
                links.forEach(Links::streams);
                for (RandomWrites one : writes) {
                    writeOn(one);
                }
                source.nodes().getFirst().call("FLUSHALL");
                killTracking(source.nodes().getLast());
                for (RandomWrites one : writes) {
                    writeOn(one);
                }
            } finally {
                writes.forEach(RandomWrites::close);
            }
            links.forEach(link -> assertThat(link.awaitCaughtUp(soon()))
                    .as("%s", link.status())
                    .isTrue());
            equal(source.nodes(), target.nodes(), true);
            links.forEach(ScanLink::close);
        }
    }

    /** A client that is sure of what the next number is. */
    private static void countOn(RealServer server, AtomicLong count) {
        try (Jedis client = server.client()) {
            for (int i = 0; i < 200; i++) {
                assertThat(client.incr("count")).isEqualTo(count.incrementAndGet());
            }
        }
    }

    private static @Nullable Object in(int database, RealServer server, String... words) {
        try (Jedis client = server.client()) {
            client.select(database);
            return words[0].equals("GET") ? client.get(words[1]) : client.set(words[1], words[2]);
        }
    }

    private static void killTracking(RealServer source) {
        for (String line : source.text("CLIENT", "LIST").lines().toList()) {
            if (line.contains("name=switchback-scan-")) {
                source.call("CLIENT", "KILL", "ID", line.replaceFirst("^id=(\\d+) .*", "$1"));
            }
        }
    }

    private static void leave(RealServer source, long by) {
        leave(source, NAME, by);
    }

    private static void leave(RealServer source, String name, long by) {
        try (ServerConnection connection =
                ServerConnection.open(endpoint(source), Optional.empty(), Duration.ofSeconds(10))) {
            ApplyLink.leave(connection, ApplyLink.NO_SLOT, name, Token.open(by, "switch"), OtherClients.KEPT);
        }
    }

    private static LinkBase base(RealServer source) {
        return new LinkBase(source.info("replication", "master_replid"), 0, "", -1);
    }

    private static Deadline soon() {
        return Deadline.in(Environment.system(), LIMIT);
    }

    private static void writeOn(RandomWrites writes) {
        writeOn(writes, BETWEEN);
    }

    private static void writeOn(RandomWrites writes, long count) {
        long until = writes.written() + count;
        Await.until(LIMIT, "clients write on", () -> writes.written() > until);
    }

    private static LinkStart copy() {
        return new LinkStart.FullCopy(Optional.empty());
    }

    /** A walk that keeps to a rate of keys takes its time; what clients write meanwhile does not wait for it. */
    @Test
    void aWalkKeepsToTheLimitsOfACopyAndWhatIsWrittenDoesNot() {
        int keys = 60_000;
        CopyLimits slow = new CopyLimits(OptionalLong.empty(), OptionalLong.of(1_000), Optional.empty());
        try (RealServer source = RealServer.start(ServerBinary.any(), folder.resolve("source"));
                RealServer target = RealServer.start(ServerBinary.any(), folder.resolve("target"))) {
            try (Jedis client = source.client()) {
                Pipeline pipeline = client.pipelined();
                for (int i = 0; i < keys; i++) {
                    pipeline.set("key:" + i, "value");
                }
                pipeline.sync();
            }
            ApplySettings settings = new ApplySettings(
                    NAME,
                    "",
                    Token.open(1, "owner"),
                    withoutPsync("source", source),
                    spec("target", target),
                    copy(),
                    Optional.empty(),
                    slow);
            try (ScanLink link = ScanLink.open(settings, Environment.system(), new Heard())) {
                Await.until(LIMIT, "it walks", () -> target.number("DBSIZE") > 500);
                long before = target.number("DBSIZE");
                long beganAtNanos = System.nanoTime();
                for (int i = 0; i < 20; i++) {
                    String value = Integer.toString(i);
                    source.call("SET", "written", value);
                    Await.until(LIMIT, "it is there", () -> value.equals(target.call("GET", "written")));
                }
                long walked = target.number("DBSIZE") - before;
                double seconds = (System.nanoTime() - beganAtNanos) / 1e9;
                assertThat(walked)
                        .as("keys in %.2f s, pages of 500 among them", seconds)
                        .isLessThan((long) (2 * 1_000 * seconds) + 1_500);
                assertThat(link.status().phase()).isEqualTo(Phase.COPYING);
            }
        }
    }

    private static ScanLink open(FleetSpec source, FleetSpec target, long owner, Heard heard) {
        return ScanLink.open(settings(source, target, owner, copy()), Environment.system(), heard);
    }

    private static ScanLink open(
            String name, RealServer source, RealServer target, long owner, LinkStart start, Heard heard) {
        return ScanLink.open(
                new ApplySettings(
                        name,
                        "",
                        Token.open(owner, "owner"),
                        withoutPsync("source", source),
                        spec("target", target),
                        start,
                        Optional.empty()),
                Environment.system(),
                heard);
    }

    private static ApplySettings settings(FleetSpec source, FleetSpec target, long owner, LinkStart start) {
        return new ApplySettings(NAME, "", Token.open(owner, "owner"), source, target, start, Optional.empty());
    }
}
