package io.switchback.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.ledger.JournalEntry;
import io.switchback.release.Order;
import io.switchback.release.ReleaseEngine.NodeStatus;
import io.switchback.release.ReleaseFile;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.ZooKeeperEnsemble;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import redis.clients.jedis.Connection;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol.Command;
import redis.clients.jedis.Response;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.resps.ScanResult;

/**
 * The traps that the design names, each sprung over three nodes, a ledger in a real ensemble and two real servers: a DEL that comes late, a
 * node that wakes up late, two points at which a switch could be decided, a key that runs out early on one side, an
 * increment that is repeated. Each test says what would go wrong there.
 */
class KnownTrapsTest {
    private static final String RELEASE = "r";
    private static final int NODES = 3;
    private static final int CLIENTS = 2 * NODES;
    private static final Duration EQUAL_LIMIT = Duration.ofSeconds(20);
    private static final String OF_SWITCHBACK = "switchback:reserved:";

    @TempDir
    private static Path ensembleFolder;

    private static ZooKeeperEnsemble ensemble;

    @TempDir
    private Path folder;

    @BeforeAll
    static void startEnsemble() {
        ensemble = ZooKeeperEnsemble.start(1, ensembleFolder);
    }

    @AfterAll
    static void stopEnsemble() {
        ensemble.close();
    }

    /** The two servers, with no node yet. */
    private SeveralNodes start() {
        SeveralNodes nodes = SeveralNodes.start(old(), fresh(), ensemble, 0, folder);
        set(nodes.blue);
        set(nodes.green);
        return nodes;
    }

    /** What is set at each of the servers before there is a node. */
    void set(RealServer server) {}

    ServerBinary old() {
        return ServerBinary.named("redis-7.0").orElseGet(ServerBinary::embedded);
    }

    ServerBinary fresh() {
        return ServerBinary.named("valkey-9.1").orElseGet(ServerBinary::embedded);
    }

    /** Whether a fleet that follows never shows, for a moment, what is put right before anybody counts on it. */
    boolean followerIsRightAtEveryMoment() {
        return true;
    }

    private SeveralNodes startThree() {
        SeveralNodes nodes = start();
        IntStream.rangeClosed(1, NODES).forEach(nodes::startNode);
        return nodes;
    }

    private static ReleaseFile release(String hold) {
        return TwoFleets.release(RELEASE, "hold: " + hold);
    }

    // ---- late DEL

    /**
     * A server writes the DEL of a key that has run out when somebody touches the key or its cycle comes to it. One that it writes,
     * or that arrives, after clients have begun to write on the new fleet would delete what they have just written there.
     */
    @Test
    void aKeyThatRunsOutAroundASwitchAndIsWrittenAfterItDoesNotVanish() {
        try (SeveralNodes nodes = startThree()) {
            // So that the DEL is written by whoever touches the key, most of the time.
            nodes.blue.call("CONFIG", "SET", "hz", "1");
            nodes.green.call("CONFIG", "SET", "hz", "1");
            List<ReusingClient> clients = IntStream.range(0, CLIENTS)
                    .mapToObj(i -> new ReusingClient("reused-" + i, nodes.port(i % NODES + 1)))
                    .toList();
            thereAndBack(nodes, clients);
            bothFleetsHoldTheSame(nodes);
            Map<String, String> held = contents(nodes.green);
            for (ReusingClient client : clients) {
                assertThat(client.rewritten).hasSizeGreaterThan(500);
                assertThat(client.rewritten.stream().filter(key -> !held.containsKey(key)))
                        .as("keys that vanished")
                        .isEmpty();
            }
        }
    }

    /** Gives keys a short time to live, writes them again without one at about the time when they run out, and looks whether they stay. */
    private static final class ReusingClient extends Turns {
        private static final int TOGETHER = 10;
        /** A key is written again after so many turns. */
        private static final int BEHIND = 2;

        private static final long TIME_TO_LIVE_MS_MAX = 30;
        private static final Duration PAUSE = Duration.ofMillis(10);

        /** Read once the client has ended. */
        final List<String> rewritten = new ArrayList<>();

        private final String name;
        private final Jedis client;

        ReusingClient(String name, int port) {
            this.name = name;
            this.client = new Jedis("127.0.0.1", port, 30_000);
        }

        @Override
        void turn(int turn) throws InterruptedException {
            Pipeline pipeline = client.pipelined();
            keys(turn)
                    .forEach(key ->
                            pipeline.set(key, "old", SetParams.setParams().px(timeToLiveMs(key))));
            keys(turn - BEHIND).forEach(key -> pipeline.set(key, "new"));
            List<Response<String>> seen = new ArrayList<>();
            keys(turn - 2 * BEHIND).forEach(key -> seen.add(pipeline.get(key)));
            pipeline.sync();
            rewritten.addAll(keys(turn - BEHIND));
            for (Response<String> one : seen) {
                assertThat(one.get()).as("one of %s", keys(turn - 2 * BEHIND)).isEqualTo("new");
            }
            Thread.sleep(PAUSE);
        }

        private static long timeToLiveMs(String key) {
            return 1 + Math.floorMod(key.hashCode(), TIME_TO_LIVE_MS_MAX);
        }

        private List<String> keys(int ofTurn) {
            return IntStream.range(0, ofTurn < 0 ? 0 : TOGETHER)
                    .mapToObj(i -> name + "-" + ofTurn + "-" + i)
                    .toList();
        }

        @Override
        void ended() {
            client.close();
        }
    }

    // ---- woken node

    /**
     * A node that was stopped knows nothing of the switch when it wakes up. What its clients had asked for meanwhile would go to the fleet
     * that was left: refused there where it is a plain write, answered as if it had been done where a script catches the refusal.
     */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aNodeThatWakesUpAfterASwitchBringsNothingToTheFleetThatWasLeft(boolean releaseHasEnded) {
        try (SeveralNodes nodes = start();
                ServingNode sleeper = nodes.startProcess(1, release("{ limit: 5s }"))) {
            nodes.startNode(2);
            nodes.startNode(3);
            nodes.begin(2, release("{ limit: 5s }"));
            nodes.awaitObserving(2, RELEASE);
            List<SleepersClient> clients = new ArrayList<>();
            try {
                for (int i = 0; i < 4; i++) {
                    clients.add(new SleepersClient("sleeper-" + i, sleeper.port()));
                }
                sleeper.stop();
                try {
                    clients.forEach(SleepersClient::sendAhead);
                    Await.until(TwoFleets.STEP_LIMIT, "the stopped node to be missed", () -> !isThere(nodes, "node-1"));
                    nodes.order(2, RELEASE, Order.Kind.ROLLBACK);
                    nodes.awaitStatus(3, RELEASE, Status.ROLLED_BACK);
                    if (releaseHasEnded) {
                        // Then the fleet that was left takes writes again, from whoever still goes there.
                        nodes.order(2, RELEASE, Order.Kind.ABORT);
                        nodes.awaitStatus(3, RELEASE, Status.ABORTED);
                    }
                    try (Jedis other = nodes.client(3)) {
                        clients.forEach(client -> other.set(client.seen, "after"));
                    }
                    String before = askedByClients(nodes.green);
                    sleeper.resume();
                    clients.forEach(SleepersClient::readAfterwards);
                    assertThat(askedByClients(nodes.green))
                            .as("what reached the fleet that was left")
                            .isEqualTo(before);
                } finally {
                    sleeper.resume();
                }
                clients.forEach(client -> client.check(nodes.blue));
                clients.forEach(client -> assertThat(nodes.green.call("EXISTS", client.counter))
                        .as("the increments on the fleet that was left")
                        .isEqualTo(releaseHasEnded ? 0L : 1L));
            } finally {
                clients.forEach(SleepersClient::close);
            }
            if (!releaseHasEnded) {
                bothFleetsHoldTheSame(nodes);
            }
        }
    }

    private static boolean isThere(SeveralNodes nodes, String node) {
        return nodes.node(2).releases().nodes().stream()
                .filter(one -> one.node().equals(node))
                .anyMatch(NodeStatus::isThere);
    }

    /** What clients have asked a follower to write: run as a script, or refused; nothing of it comes down a link. */
    private static String askedByClients(RealServer follower) {
        Map<String, String> commands = follower.info("commandstats");
        return "scripts: " + figure(commands, "eval", "calls") + ", refused: "
                + figure(commands, "set", "rejected_calls") + " SET, " + figure(commands, "incr", "rejected_calls")
                + " INCR";
    }

    private static long figure(Map<String, String> commands, String command, String name) {
        return Stream.of(commands.getOrDefault("cmdstat_" + command, "").split(",", -1))
                .filter(one -> one.startsWith(name + "="))
                .mapToLong(one -> Long.parseLong(one.substring(name.length() + 1)))
                .sum();
    }

    /** A client that sends while nobody reads, looks at the answers when there are some, and asks on until it is served as before. */
    private static final class SleepersClient implements AutoCloseable {
        private static final int ROUNDS_AHEAD = 20;
        private static final int ROUNDS_MAX = 100_000;
        private static final int KINDS = 3;
        /** Such that a refusal is not noticed by who asks. */
        private static final String SWALLOWING_SCRIPT = "redis.pcall('INCR', KEYS[1]) return 'done'";

        final String seen;
        private final String counter;
        private final String scripted;
        private final int port;
        private int rounds;
        /** Of what was sent, in order, as far as there were any: a text, or what was thrown. */
        private final List<Object> answers = new ArrayList<>();

        private AheadConnection connection;

        /** Such that what has been sent is known to be with the node's system, if not yet with the node. */
        private static final class AheadConnection extends Connection {
            AheadConnection(int port) {
                super("127.0.0.1", port);
            }

            void push() {
                flush();
            }
        }

        SleepersClient(String name, int port) {
            this.seen = name + "-seen";
            this.counter = name + "-counter";
            this.scripted = name + "-scripted";
            this.port = port;
            this.connection = connected();
            connection.sendCommand(Command.SET, seen, "before");
            assertThat(connection.getStatusCodeReply()).isEqualTo("OK");
        }

        private AheadConnection connected() {
            AheadConnection made = new AheadConnection(port);
            made.setSoTimeout(30_000);
            return made;
        }

        private void sendRound() {
            connection.sendCommand(Command.INCR, counter);
            connection.sendCommand(Command.SET, counter + "-" + rounds, "value");
            connection.sendCommand(Command.EVAL, SWALLOWING_SCRIPT, "1", scripted);
            rounds++;
        }

        void sendAhead() {
            for (int i = 0; i < ROUNDS_AHEAD; i++) {
                sendRound();
            }
            connection.push();
        }

        /** Also what is asked from now on must not be answered by the fleet that was left. */
        void readAfterwards() {
            receive(ROUNDS_AHEAD);
            while (!isServed() && rounds < ROUNDS_MAX) {
                if (connection.isBroken()) {
                    connection.close();
                    connection = connected();
                }
                sendRound();
                receive(1);
            }
            connection.sendCommand(Command.GET, seen);
            assertThat(connection.getBulkReply()).isEqualTo("after");
        }

        private boolean isServed() {
            return answers.subList(answers.size() - KINDS, answers.size()).stream()
                    .noneMatch(RuntimeException.class::isInstance);
        }

        private void receive(int count) {
            for (int i = 0; i < count * KINDS; i++) {
                answers.add(answer());
            }
        }

        private Object answer() {
            try {
                Object reply = connection.getOne();
                return reply instanceof byte[] bytes ? new String(bytes, UTF_8) : String.valueOf(reply);
            } catch (JedisException e) {
                return e;
            }
        }

        void check(RealServer inUse) {
            int[] acknowledged = new int[KINDS];
            for (int i = 0; i < answers.size(); i++) {
                if (!(answers.get(i) instanceof RuntimeException)) {
                    acknowledged[i % KINDS]++;
                    if (i % KINDS == 1) {
                        assertThat(inUse.call("GET", counter + "-" + i / KINDS)).isEqualTo("value");
                    }
                }
            }
            assertThat(isServed()).as("%s", answers).isTrue();
            assertThat(number(inUse, counter))
                    .as("%s, of which was said: %s", counter, answers)
                    .isBetween(acknowledged[0], rounds);
            assertThat(number(inUse, scripted))
                    .as("%s, of which was said: %s", scripted, answers)
                    .isBetween(acknowledged[2], rounds);
        }

        private static int number(RealServer server, String key) {
            Object value = server.call("GET", key);
            return value == null ? 0 : Integer.parseInt(String.valueOf(value));
        }

        @Override
        public void close() {
            connection.close();
        }
    }

    // ---- two commit points

    /**
     * If what a leader has made up its mind to counted, and not the register alone, the nodes that have given it up would serve
     * on the old fleet while it promotes the new one.
     */
    @Test
    void aLeaderThatSleepsBeforeItDecidesFindsTheSwitchAbortedWhenItWakesUp() {
        AtomicReference<ServingNode> leader = new AtomicReference<>();
        try (SeveralNodes nodes = start();
                DecisionWire wire = new DecisionWire(
                        ensemble.connect(0),
                        () -> Objects.requireNonNull(leader.get()).stop(),
                        true);
                ServingNode first = nodes.startProcess(1, release("{ limit: 1s, attempts: 1 }"), wire.address())) {
            leader.set(first);
            nodes.startNode(2);
            nodes.startNode(3);
            try (CountingClients ofLeader = CountingClients.start("of-leader", first.port(), 2);
                    CountingClients ofSecond = CountingClients.start("of-second", nodes.port(2), 2);
                    CountingClients ofThird = CountingClients.start("of-third", nodes.port(3), 2)) {
                ofLeader.awaitMore(20);
                first.begin();
                Await.until(TwoFleets.STEP_LIMIT, "the leader to be about to decide", wire::hasArrived);
                // They hold, hear nothing, and settle it.
                ofSecond.awaitMore(20);
                ofThird.awaitMore(20);
                String begun = lastSwitch(nodes);
                assertThat(List.of(fleet(nodes, 2), fleet(nodes, 3))).containsOnly("blue");
                assertThat(nodes.blue.info("replication", "role")).isEqualTo("master");

                first.resume();
                wire.letThrough();
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "the switch to be closed",
                        () -> switchesOf(nodes).contains(begun + ": abort"));
                // It does not try again; but who has taken over because the leader slept for long, does.
                ReleaseStatus now = nodes.await(
                        2,
                        RELEASE,
                        "an end of the switch",
                        status -> status.status() == Status.PAUSED
                                || (status.step() == Step.OBSERVE && status.side() == Side.NEW));
                assertThat(switchesOf(nodes)).doesNotContain(begun + ": commit");
                RealServer inUse = now.side() == Side.OLD ? nodes.blue : nodes.green;
                assertThat(List.of(fleet(nodes, 2), fleet(nodes, 3)))
                        .containsOnly(now.side() == Side.OLD ? "blue" : "green");
                ofLeader.awaitMore(20);
                ofSecond.awaitMore(20);
                ofThird.awaitMore(20);
                for (CountingClients clients : List.of(ofLeader, ofSecond, ofThird)) {
                    clients.stop();
                    assertThat(clients.unknown())
                            .as("increments without a good answer")
                            .isZero();
                    clients.check(inUse);
                }
                bothFleetsHoldTheSame(nodes);
            } finally {
                first.resume();
            }
        }
    }

    /** The same the other way round: nodes that hear nothing and take that for an abort would serve on the fleet that is left. */
    @Test
    void aSwitchWhoseLeaderDiesOnceItIsDecidedIsCompletedByTheOthers() {
        AtomicReference<ServingNode> leader = new AtomicReference<>();
        try (SeveralNodes nodes = start();
                DecisionWire wire = new DecisionWire(
                        ensemble.connect(0),
                        () -> Objects.requireNonNull(leader.get()).stop(),
                        false);
                ServingNode first = nodes.startProcess(1, release("{ limit: 1s }"), wire.address())) {
            leader.set(first);
            nodes.startNode(2);
            nodes.startNode(3);
            try (CountingClients ofSecond = CountingClients.start("of-second", nodes.port(2), 2);
                    CountingClients ofThird = CountingClients.start("of-third", nodes.port(3), 2)) {
                ofSecond.awaitMore(20);
                first.begin();
                Await.until(TwoFleets.STEP_LIMIT, "the leader to have decided", wire::hasArrived);
                ofSecond.awaitMore(20);
                ofThird.awaitMore(20);
                assertThat(List.of(fleet(nodes, 2), fleet(nodes, 3))).containsOnly("green");
                assertThat(nodes.green.info("replication", "role")).isEqualTo("master");
                String begun = lastSwitch(nodes);
                first.kill();
                Await.until(
                        TwoFleets.STEP_LIMIT,
                        "another node to have closed the switch",
                        () -> switchesOf(nodes).contains(begun + ": commit"));
                nodes.awaitObserving(3, RELEASE);
                for (CountingClients clients : List.of(ofSecond, ofThird)) {
                    clients.stop();
                    assertThat(clients.unknown())
                            .as("increments without a good answer")
                            .isZero();
                    clients.check(nodes.green);
                }
                bothFleetsHoldTheSame(nodes);
            } finally {
                first.resume();
            }
        }
    }

    private static String fleet(SeveralNodes nodes, int number) {
        return nodes.node(number).proxy(SeveralNodes.CACHE).route().fleet().name();
    }

    private static List<String> switchesOf(SeveralNodes nodes) {
        return nodes.node(2).releases().journal(RELEASE).stream()
                .filter(entry ->
                        entry.step().equals("switch") || entry.toString().contains("switch"))
                .map(JournalEntry::what)
                .toList();
    }

    /** The id of the switch that was begun last. */
    private static String lastSwitch(SeveralNodes nodes) {
        return switchesOf(nodes).stream()
                .filter(what -> what.endsWith(" begins"))
                .map(what -> what.substring(0, what.length() - " begins".length()))
                .reduce((earlier, later) -> later)
                .orElseThrow();
    }

    // ---- early expiry

    /**
     * A counter is incremented just before its time is over, and the increment reaches the other fleet just after: where that fleet
     * has let the key run out by itself, it would now hold a counter that begins at 1 and never runs out.
     */
    @Test
    void aCounterThatIsIncrementedJustBeforeItRunsOutNeverStaysWithoutATimeToLive() {
        try (SeveralNodes nodes = startThree()) {
            List<RunningOut> clients = IntStream.range(0, CLIENTS)
                    .mapToObj(i -> new RunningOut("running-out-" + i, nodes.port(i % NODES + 1)))
                    .toList();
            EndlessWatch watch = new EndlessWatch(nodes);
            List<Turns> load = new ArrayList<>(clients);
            load.add(watch);
            thereAndBack(nodes, load);
            if (followerIsRightAtEveryMoment()) {
                assertThat(watch.endless).as("counters without a time to live").isEmpty();
            }
            for (RunningOut client : clients) {
                assertThat(client.beganAgain).isGreaterThan(20);
            }
            bothFleetsHoldTheSame(nodes);
            contents(nodes.green).values().forEach(held -> assertThat(held).doesNotContain("until -1"));
        }
    }

    /** Increments counters of its own, which are never without a time to live: most of them run out now and then, one does not. */
    private static final class RunningOut extends Turns {
        private static final String SCRIPT =
                "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('INCR', KEYS[1]) end "
                        + "redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) return 1";
        private static final int SHORT = 8;
        private static final int TIME_TO_LIVE_MS = 10;
        private static final int LONG_TIME_TO_LIVE_MS = 3_600_000;

        /** Read once the client has ended. */
        int beganAgain;

        private final List<String> keys;
        private final Map<String, Long> last = new LinkedHashMap<>();
        private final Jedis client;

        RunningOut(String name, int port) {
            this.keys = keys(name);
            this.client = new Jedis("127.0.0.1", port, 30_000);
        }

        static List<String> keys(String name) {
            return IntStream.rangeClosed(0, SHORT).mapToObj(i -> name + "-" + i).toList();
        }

        @Override
        void turn(int turn) {
            for (int number = 0; number < keys.size(); number++) {
                String key = keys.get(number);
                boolean isShort = number < SHORT;
                int timeToLiveMs = isShort ? TIME_TO_LIVE_MS + 3 * number : LONG_TIME_TO_LIVE_MS;
                long now = (Long) client.eval(SCRIPT, List.of(key), List.of(Integer.toString(timeToLiveMs)));
                long before = last.getOrDefault(key, 0L);
                last.put(key, now);
                if (now == 1 && isShort) {
                    beganAgain++;
                } else {
                    assertThat(now).as(key).isEqualTo(before + 1);
                }
            }
        }

        @Override
        void ended() {
            client.close();
        }
    }

    /** Looks at both fleets all the time for counters that would never run out: a later DEL may take them away again. */
    private static final class EndlessWatch extends Turns {
        /** Read once it has ended. */
        final List<String> endless = new ArrayList<>();

        private final SeveralNodes nodes;
        private final Jedis blue;
        private final Jedis green;
        private final List<String> keys = IntStream.range(0, CLIENTS)
                .boxed()
                .flatMap(i -> RunningOut.keys("running-out-" + i).stream())
                .toList();

        EndlessWatch(SeveralNodes nodes) {
            this.nodes = nodes;
            this.blue = nodes.blue.client();
            this.green = nodes.green.client();
        }

        @Override
        void turn(int turn) throws InterruptedException {
            look(nodes.blue, blue);
            look(nodes.green, green);
            Thread.sleep(1);
        }

        private void look(RealServer server, Jedis client) {
            Pipeline pipeline = client.pipelined();
            List<Response<Long>> left = keys.stream().map(pipeline::pttl).toList();
            pipeline.sync();
            for (int i = 0; i < left.size(); i++) {
                if (left.get(i).get() == -1) {
                    endless.add(keys.get(i) + " on " + server);
                }
            }
        }

        @Override
        void ended() {
            blue.close();
            green.close();
        }
    }

    /** Something that is done over and over by a thread of its own, until it is closed or finds something wrong. */
    private abstract static class Turns implements AutoCloseable {
        private static final int SOME = 20;

        final AtomicReference<@Nullable Throwable> problem = new AtomicReference<>();
        private final AtomicInteger turns = new AtomicInteger();
        private final Thread thread = Thread.ofVirtual().unstarted(this::run);
        private volatile boolean stopping;

        abstract void turn(int turn) throws InterruptedException;

        abstract void ended();

        void start() {
            thread.start();
        }

        private void run() {
            try {
                while (!stopping) {
                    turn(turns.get());
                    turns.incrementAndGet();
                }
            } catch (RuntimeException | AssertionError | InterruptedException e) {
                problem.set(e);
            } finally {
                ended();
            }
        }

        void awaitSomeMore() {
            int enough = turns.get() + SOME;
            Await.until(
                    TwoFleets.STEP_LIMIT, "the load to go on", () -> turns.get() >= enough || problem.get() != null);
        }

        @Override
        public void close() {
            stopping = true;
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Forward, back and forward again, each ordered at another node, with all of it going on before and after. */
    private static void thereAndBack(SeveralNodes nodes, List<? extends Turns> load) {
        try {
            load.forEach(Turns::start);
            nodes.begin(1, release("{ limit: 5s }"));
            nodes.awaitObserving(2, RELEASE);
            load.forEach(Turns::awaitSomeMore);
            nodes.order(2, RELEASE, Order.Kind.ROLLBACK);
            nodes.awaitStatus(2, RELEASE, Status.ROLLED_BACK);
            load.forEach(Turns::awaitSomeMore);
            nodes.order(3, RELEASE, Order.Kind.RESUME);
            nodes.awaitObserving(3, RELEASE);
            load.forEach(Turns::awaitSomeMore);
        } finally {
            load.forEach(Turns::close);
        }
        for (Turns one : load) {
            assertThat(one.problem.get()).isNull();
        }
    }

    // ---- repeated INCR

    /**
     * A link that goes on in another process at a place that is not exactly where the follower stands would repeat increments
     * there, or leave some out, and the next switch would make them everybody's.
     */
    @Test
    void aLinkWhoseOwnerIsKilledGoesOnElsewhereWithoutRepeatingAnIncrement() {
        try (SeveralNodes nodes = start();
                ServingNode owner = nodes.startProcess(1, release("{ limit: 5s }"))) {
            nodes.startNode(2);
            nodes.startNode(3);
            try (CountingClients ofOwner = CountingClients.start("of-owner", owner.port(), 2);
                    CountingClients ofSecond = CountingClients.start("of-second", nodes.port(2), 2);
                    CountingClients ofThird = CountingClients.start("of-third", nodes.port(3), 2)) {
                owner.begin();
                nodes.awaitObserving(2, RELEASE);
                ofOwner.awaitMore(50);
                ofSecond.awaitMore(50);
                ofThird.awaitMore(50);
                owner.kill();
                ofOwner.stop();
                ofSecond.awaitMore(200);
                ofThird.awaitMore(200);
                nodes.order(3, RELEASE, Order.Kind.ROLLBACK);
                nodes.awaitStatus(3, RELEASE, Status.ROLLED_BACK);
                ofSecond.awaitMore(50);
                ofThird.awaitMore(50);
                ofSecond.stop();
                ofThird.stop();
                assertThat(ofSecond.unknown() + ofThird.unknown())
                        .as("increments without a good answer at nodes that live")
                        .isZero();
                bothFleetsHoldTheSame(nodes);
                for (CountingClients clients : List.of(ofOwner, ofSecond, ofThird)) {
                    clients.check(nodes.blue);
                    clients.check(nodes.green);
                }
            }
        }
    }

    // ---- both fleets

    /** Waits until the one that follows has caught up; nobody writes any more. */
    private static void bothFleetsHoldTheSame(SeveralNodes nodes) {
        try {
            Await.until(
                    EQUAL_LIMIT,
                    "both fleets to hold the same",
                    () -> contents(nodes.blue).equals(contents(nodes.green)));
        } catch (AssertionError e) {
            assertThat(contents(nodes.blue)).as("what blue holds").isEqualTo(contents(nodes.green));
        }
    }

    /** Each key with its value and when it runs out, in ms since the epoch, -1 where it does not. */
    private static Map<String, String> contents(RealServer server) {
        Map<String, String> contents = new TreeMap<>();
        try (Jedis client = server.client()) {
            String cursor = ScanParams.SCAN_POINTER_START;
            do {
                ScanResult<String> page = client.scan(cursor, new ScanParams().count(1_000));
                Pipeline pipeline = client.pipelined();
                Map<String, Response<String>> values = new LinkedHashMap<>();
                Map<String, Response<Long>> ends = new LinkedHashMap<>();
                for (String key : page.getResult()) {
                    if (!key.startsWith(OF_SWITCHBACK)) {
                        values.put(key, pipeline.get(key));
                        ends.put(key, pipeline.pexpireTime(key));
                    }
                }
                pipeline.sync();
                values.forEach((key, value) -> {
                    if (value.get() != null) {
                        contents.put(
                                key,
                                value.get() + " until "
                                        + Objects.requireNonNull(ends.get(key)).get());
                    }
                });
                cursor = page.getCursor();
            } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
        }
        return contents;
    }
}
