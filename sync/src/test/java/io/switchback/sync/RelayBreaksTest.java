package io.switchback.sync;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Deadline;
import io.switchback.fleet.ReplicationState;
import io.switchback.fleet.ReplicationState.Role;
import io.switchback.fleet.RoleChange;
import io.switchback.fleet.RoleCommands;
import io.switchback.fleet.ServerConnection;
import io.switchback.fleet.Token;
import io.switchback.resp.CommandEncoder;
import io.switchback.resp.Reply;
import io.switchback.sync.LinkStatus.Phase;
import io.switchback.testkit.Await;
import io.switchback.testkit.Ports;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What breaks, and what becomes of it: links, relays, servers. */
class RelayBreaksTest {
    private static final Duration MOMENT = Duration.ofMillis(20);

    @TempDir
    Path folder;

    /** Bytes pass untouched in the first, are translated in the others. */
    static Stream<String> pairs() {
        return Stream.of(
                "redis-7.0 to valkey-9.1", "valkey-9.1 to redis-6.0", "redis-6.0 to redis-7.0", "embedded to embedded");
    }

    /** Writes without a pause: plain, in transactions, large, with times to live, flushed now and then. */
    private static final class Load implements AutoCloseable {
        private final AtomicBoolean stop = new AtomicBoolean();
        private final AtomicLong written = new AtomicLong();
        private final Thread thread;
        private volatile String failure = "";

        Load(Pair.Side side, boolean flushes) {
            thread = Thread.ofPlatform().start(() -> {
                try (ServerConnection connection = side.connect()) {
                    for (long i = 1; !stop.get(); i++) {
                        write(connection, i, flushes);
                        written.set(i);
                        // Slow enough for the backlog to outlast the second in which a server comes again.
                        LockSupport.parkNanos(200_000);
                    }
                } catch (RuntimeException e) {
                    failure = e.toString();
                }
            });
        }

        private static void write(ServerConnection connection, long i, boolean flushes) {
            connection.demand("INCR", "counter");
            connection.demand("SET", "key" + i % 97, "v" + i, "EX", "1000");
            if (i % 7 == 0) {
                connection.demand("MULTI");
                connection.demand("INCR", "in-transaction");
                connection.demand("SET", "pair" + i % 13, "x" + i, "PX", "2000000");
                connection.demand("SELECT", "" + i % 3);
                connection.demand("LPUSH", "list", "" + i);
                connection.demand("SELECT", "0");
                connection.demand("EXEC");
            }
            if (i % 700 == 0) {
                connection.demand("SET", "large", ("" + i % 10).repeat(300_000));
            }
            if (flushes && i % 211 == 0) {
                connection.demand("FLUSHDB");
            }
            if (flushes && i % 503 == 0) {
                connection.demand("FLUSHALL");
            }
            if (flushes && i % 307 == 0) {
                connection.demand("SWAPDB", "0", "1");
            }
        }

        @Override
        public void close() {
            stop.set(true);
            try {
                thread.join(30_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            assertThat(failure).isEmpty();
            assertThat(thread.isAlive()).isFalse();
        }

        void await(long more) {
            long until = written.get() + more;
            Await.until(Pair.LIMIT, "the load has gone on", () -> written.get() >= until || !failure.isEmpty());
        }
    }

    private static void assertSame(Pair.Side source, Pair.Side target) {
        for (String database : new String[] {"2", "1", "0"}) {
            source.call("SELECT", database);
            target.call("SELECT", database);
            Map<String, String> expected = source.keys();
            assertThat(target.keys()).isEqualTo(expected);
            for (String key : expected.keySet()) {
                long at = Long.parseLong(source.call("PTTL", key));
                long too = Long.parseLong(target.call("PTTL", key));
                assertThat(too).isBetween(at - 1000, at + 1000);
            }
        }
    }

    /** A byte that came twice or not at all between two commands need not harm the data, only all that is counted. */
    private static void assertCountedAlike(RelayLink link, Pair servers) {
        Await.until(
                Pair.LIMIT,
                "the target stands where the link says",
                () -> link.targetOffsetOf(servers.a.state().offset())
                        == servers.b.state().offset());
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aLinkThatIsCutAtAnyMomentResumesWithoutACopy(String pair) {
        long seed = 20261122;
        Random random = new Random(seed);
        try (Following f = Following.start(folder, pair, "--repl-backlog-size", "256mb")) {
            long copies = f.servers().a.fullSyncs() + f.servers().b.fullSyncs();
            try (Load load = new Load(f.servers().a, true)) {
                for (int i = 0; i < 12; i++) {
                    load.await(1 + random.nextInt(60));
                    if (random.nextBoolean()) {
                        f.servers().a.call("CLIENT", "KILL", "TYPE", "replica");
                    } else {
                        f.servers().b.call("CLIENT", "KILL", "TYPE", "master");
                    }
                    Pair.awaitPhase(f.link(), Phase.STREAMING);
                }
            }
            Pair.drain(f.link(), f.servers().a);
            assertSame(f.servers().a, f.servers().b);
            assertThat(f.servers().a.fullSyncs() + f.servers().b.fullSyncs()).isEqualTo(copies);
            assertThat(f.heard().breaks).as("seed " + seed).isEmpty();
            assertCountedAlike(f.link(), f.servers());
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aRelayThatWasKilledGoesOnFromItsBaseAlone(String pair) {
        long seed = 4711;
        Random random = new Random(seed);
        try (Following f = Following.start(folder, pair, "--repl-backlog-size", "256mb")) {
            long copies = f.servers().a.fullSyncs() + f.servers().b.fullSyncs();
            RelayLink link = f.link();
            Pair.Heard heard = new Pair.Heard();
            try (Load load = new Load(f.servers().a, true)) {
                for (int i = 0; i < 8; i++) {
                    load.await(1 + random.nextInt(400));
                    int port = link.face().port();
                    link.stop();
                    link = f.servers()
                            .open(
                                    f.link().name(),
                                    f.servers().a,
                                    f.servers().b,
                                    new LinkStart.From(f.base()),
                                    heard,
                                    port);
                    link.admit();
                    Pair.awaitPhase(link, Phase.STREAMING);
                }
            }
            Pair.drain(link, f.servers().a);
            assertSame(f.servers().a, f.servers().b);
            assertThat(f.servers().a.fullSyncs() + f.servers().b.fullSyncs()).isEqualTo(copies);
            assertThat(heard.breaks).as("seed " + seed).isEmpty();
            assertCountedAlike(link, f.servers());
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aBacklogThatIsOverrunBreaksTheLinkAndTheTargetKeepsItsData(String pair) {
        try (Following f = Following.start(folder, pair, "--repl-backlog-size", "16kb")) {
            f.servers().a.call("SET", "kept", "yes");
            Pair.drain(f.link(), f.servers().a);
            long copies = f.servers().a.fullSyncs();
            f.servers().b.server.stop();
            f.servers().a.call("CLIENT", "KILL", "TYPE", "replica");
            for (int i = 0; i < 2000; i++) {
                f.servers().a.call("SET", "overrun", "x".repeat(100));
            }
            f.servers().b.server.resume();

            f.heard().awaitBroken();
            assertThat(f.link().status().phase()).isEqualTo(Phase.BROKEN);

            assertThat(f.heard().breaks).hasSize(1);
            assertThat(f.link().status().detail()).contains("backlog");
            assertThat(f.servers().b.call("GET", "kept")).isEqualTo("yes");
            assertThat(f.servers().b.state().role()).isEqualTo(Role.REPLICA);
            assertThat(f.servers().b.state().linkUp()).isFalse();
            // It is not even asked for a copy that nobody wants.
            assertThat(f.servers().a.fullSyncs()).isEqualTo(copies);
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aSwitchThatIsGivenUpAfterTheFenceLetsTheForwardLinkGoOn(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            RoleCommands.writeToken(a.connection, Token.open(9, "r.9"));
            a.call("INCR", "counter");
            Pair.drain(f.link(), a);
            long copies = a.fullSyncs() + b.fullSyncs();
            RelayLink reverse = f.servers().open("given-up", b, a, new LinkStart.Later(), new Pair.Heard(), 0);
            RoleCommands.follow(a.connection, reverse.face(), Token.open(9, "r.9"));
            Await.until(
                    Pair.LIMIT,
                    "it was refused",
                    () -> !reverse.status().detail().isEmpty());

            RoleChange.Changed back = (RoleChange.Changed) RoleCommands.promote(a.connection, Token.open(9, "r.9"));
            reverse.close();

            assertThat(back.before()).isEqualTo(Role.REPLICA);
            a.call("INCR", "counter");
            Pair.awaitPhase(f.link(), Phase.STREAMING);
            Pair.drain(f.link(), a);
            assertThat(b.call("GET", "counter")).isEqualTo("2");
            assertThat(a.fullSyncs() + b.fullSyncs()).isEqualTo(copies);
            Await.until(
                    Pair.LIMIT,
                    "the new id is told",
                    () -> f.heard().ids.contains(back.after().id()));
            assertThat(f.heard().breaks).isEmpty();
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aTargetWithAnotherHistoryIsRefusedAndKeepsItsData(String pair) {
        try (Following f = Following.start(folder, pair)) {
            f.servers().a.call("SET", "kept", "yes");
            Pair.drain(f.link(), f.servers().a);
            long copies = f.servers().a.fullSyncs();
            // Somebody makes it a primary, writes, and lets it follow again: it has what the source has not.
            f.servers().b.call("REPLICAOF", "NO", "ONE");
            f.servers().b.call("SET", "own", "write");
            f.servers().b.call("REPLICAOF", "127.0.0.1", "" + f.link().face().port());

            f.heard().awaitBroken();
            assertThat(f.link().status().phase()).isEqualTo(Phase.BROKEN);

            assertThat(f.link().status().detail()).contains("history");
            assertThat(f.servers().b.call("GET", "kept")).isEqualTo("yes");
            assertThat(f.servers().b.call("GET", "own")).isEqualTo("write");
            assertThat(f.servers().a.fullSyncs()).isEqualTo(copies);
        }
    }

    /** Up to 6.2 a server whose PSYNC is cut instead of answered forgets its place; 6.2 comes again at once after a cut. */
    @ParameterizedTest
    @MethodSource("pairs")
    void aLinkThatIsClosedJustWhenTheTargetComesAgainDoesNotCostItItsPlace(String pair) {
        long seed = 99;
        Random random = new Random(seed);
        try (Following f = Following.start(folder, pair)) {
            RelayLink link = f.link();
            Pair.Heard heard = new Pair.Heard();
            for (int i = 0; i < 40; i++) {
                int port = link.face().port();
                f.servers().a.call("CLIENT", "KILL", "TYPE", "replica");
                LockSupport.parkNanos(random.nextInt(3_000_000));
                link.close();
                link = f.servers()
                        .open(f.link().name(), f.servers().a, f.servers().b, new LinkStart.From(f.base()), heard, port);
                if (random.nextBoolean()) {
                    link.admit();
                    LockSupport.parkNanos(random.nextInt(3_000_000));
                    link.close();
                    link = f.servers()
                            .open(
                                    f.link().name(),
                                    f.servers().a,
                                    f.servers().b,
                                    new LinkStart.From(f.base()),
                                    heard,
                                    port);
                }
                link.admit();
                if (i % 4 == 0) {
                    Pair.awaitPhase(link, Phase.STREAMING);
                }
            }
            f.servers().a.call("SET", "last", "seen");
            Pair.awaitPhase(link, Phase.STREAMING);
            Pair.drain(link, f.servers().a);
            assertThat(f.servers().b.call("GET", "last")).isEqualTo("seen");
            assertThat(heard.breaks).as("seed " + seed).isEmpty();
        }
    }

    @Test
    void aWrongPasswordAtTheFaceLetsNobodyInAndCostsTheTargetNothing() {
        try (Following f = Following.start(folder, "embedded to embedded")) {
            f.servers().a.call("SET", "kept", "yes");
            Pair.drain(f.link(), f.servers().a);
            for (String password : new String[] {"wrong", ""}) {
                f.servers().b.call("CONFIG", "SET", "masterauth", password);
                f.servers().b.call("CLIENT", "KILL", "TYPE", "master");
                Pair.awaitPhase(f.link(), Phase.WAITING_FOR_TARGET);
                f.servers().a.call("INCR", "unseen");
                Await.until(
                        Pair.LIMIT,
                        "the attempt is said",
                        () -> f.link().status().detail().contains("password"));
                assertThat(f.servers().b.state().linkUp()).isFalse();
                assertThat(f.servers().b.call("GET", "kept")).isEqualTo("yes");
            }
            f.servers().b.call("CONFIG", "SET", "masterauth", Pair.SECRET);
            Pair.awaitPhase(f.link(), Phase.STREAMING);
            Pair.drain(f.link(), f.servers().a);
            assertThat(f.servers().b.call("GET", "unseen")).isEqualTo("2");
        }
    }

    @Test
    void commandsThatTheTargetAnswersWithAnErrorBreakTheLink() {
        try (Following f = Following.start(folder, "redis-7.0 to valkey-9.1")) {
            f.servers().b.call("CONFIG", "SET", "replica-read-only", "no");
            f.servers().b.call("SET", "key", "not a list");
            f.servers().a.call("RPUSH", "key", "element");
            f.heard().awaitBroken();
            assertThat(f.link().status().phase()).isEqualTo(Phase.BROKEN);
            assertThat(f.heard().breaks.getFirst()).contains("unexpected_error_replies");
        }
    }

    @Test
    void theMarkerThatSomebodyRemovedIsMissedLoudly() {
        try (Following f = Following.start(folder, "embedded to embedded")) {
            f.servers().a.call("SET", "key", "value", "EX", "100");
            Pair.drain(f.link(), f.servers().a);
            f.servers().b.call("CONFIG", "SET", "replica-read-only", "no");
            assertThat(f.servers()
                            .b
                            .call(
                                    "DEL",
                                    io.switchback.fleet.ReservedKeys.marker(
                                            f.link().name())))
                    .isEqualTo("1");
            f.servers().b.call("CLIENT", "KILL", "TYPE", "master");
            f.heard().awaitBroken();
            assertThat(f.link().status().phase()).isEqualTo(Phase.BROKEN);
            assertThat(f.link().status().detail()).contains("marker");
            assertThat(f.servers().b.call("GET", "key")).isEqualTo("value");
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aClosedLinkIsGoneFromBothServers(String pair) {
        try (Following f = Following.start(folder, pair)) {
            assertThat(f.servers().a.state().attachedReplicas()).isEqualTo(1);
            f.link().close();
            assertThat(f.servers().a.state().attachedReplicas()).isZero();
            assertThat(f.servers().b.state().linkUp()).isFalse();
            assertThat(f.link().status().phase()).isEqualTo(Phase.CLOSED);
            assertThat(f.link().awaitApplied(Long.MAX_VALUE, Deadline.in(Pair.ENVIRONMENT, Pair.LIMIT)))
                    .isFalse();
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void nothingCountsAsAppliedBeforeTheTargetHasAppliedIt(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            f.servers().b.server.stop();
            a.call("SET", "key", "value");
            long written = a.state().offset();
            Await.until(
                    Pair.LIMIT,
                    "the link has passed it on",
                    () -> f.link().status().sourceOffset() >= written);
            assertThat(f.link().awaitApplied(written, Deadline.in(Pair.ENVIRONMENT, MOMENT)))
                    .isFalse();
            f.servers().b.server.resume();
            Pair.drain(f.link(), a);
            // Not even a PING may be missing; by itself the source writes none of two so soon.
            assertThat(f.link().awaitApplied(a.state().offset() + 15, Deadline.in(Pair.ENVIRONMENT, MOMENT)))
                    .isFalse();
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void whoWaitsAtTheSourceForItsReplicasHearsOfTheTargetAndOfNobodyElse(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            a.call("SET", "key", "value");
            assertThat(a.call("WAIT", "1", "20000")).isEqualTo("1");
            f.servers().b.server.stop();
            a.call("SET", "key", "other");
            assertThat(a.call("WAIT", "1", "50")).isEqualTo("0");
            f.servers().b.server.resume();
            assertThat(a.call("WAIT", "1", "20000")).isEqualTo("1");
            assertThat(f.servers().b.call("GET", "key")).isEqualTo("other");
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aFrozenLinkLetsNothingPassAndNoSessionBegin(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            a.call("SET", "before", "1");
            Pair.drain(f.link(), a);
            assertThat(f.link().freeze(Deadline.in(Pair.ENVIRONMENT, Pair.LIMIT)))
                    .isTrue();
            long frozenAt = b.state().offset();
            a.call("SET", "after", "1");
            b.call("CLIENT", "KILL", "TYPE", "master"); // it comes again, and is not let in
            Await.until(Pair.LIMIT, "its connection is gone", () -> !b.state().linkUp());
            f.link().close();
            assertThat(b.state().offset()).isEqualTo(frozenAt);
            assertThat(b.call("EXISTS", "before", "after")).isEqualTo("1");
            assertThat(f.heard().breaks).isEmpty();
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void howMuchIsMissingIsNotKnownOfASourceThatKeepsNoBacklog(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.drain(f.link(), a);
            f.servers().b.call("REPLICAOF", "127.0.0.1", Integer.toString(Ports.free()));
            a.call("CONFIG", "SET", "repl-backlog-ttl", "1");
            Await.until(
                    Pair.LIMIT,
                    "the source has forgotten its stream",
                    () -> a.server.info("replication", "repl_backlog_active").equals("0"));
            a.call("SET", "key", "value");
            Await.until(
                    Pair.LIMIT,
                    "the link knows that it does not know",
                    () -> f.link().status().lagBytes() == -1);
        }
    }

    /** Up to 6.2, one that is not answered loses its place and its backlog, and a switch promotes it without them. */
    @ParameterizedTest
    @ValueSource(strings = {"redis-6.0", "embedded", "valkey-9.1"})
    void aTargetThatHasAskedForItsPlaceWhenTheLinkIsFrozenKeepsIt(String name) throws Exception {
        ServerBinary binary = RelayCycleTest.binary(name);
        AtomicReference<RelayLink> toFreeze = new AtomicReference<>();
        CountDownLatch frozen = new CountDownLatch(1);
        Runnable freeze = () -> {
            RelayLink link = toFreeze.get();
            if (link != null) {
                link.freeze(Deadline.in(Pair.ENVIRONMENT, Pair.LIMIT));
                frozen.countDown();
            }
        };
        try (Pair servers = new Pair(binary, binary, folder);
                WatchedWire wire = WatchedWire.before(servers.a.fleet.endpoint(), "switchback-", freeze)) {
            RelayLink link = servers.copied(
                    "forward", servers.a.behind(wire.endpoint()), servers.b, new Pair.Heard(), Optional.empty());
            Await.until(
                    Pair.LIMIT, "the target follows", () -> servers.b.state().linkUp());
            toFreeze.set(link);
            servers.b.call("CLIENT", "KILL", "TYPE", "master");
            assertThat(frozen.await(Pair.LIMIT.toSeconds(), TimeUnit.SECONDS)).isTrue();
            Await.until(
                    Pair.LIMIT,
                    "the target comes again",
                    () -> link.status().detail().isEmpty());
            assertThat(servers.b.server.info("replication", "repl_backlog_active"))
                    .isEqualTo("1");
        }
    }

    /** The target's new clients must not meet writes of a link that is closed. */
    @ParameterizedTest
    @MethodSource("pairs")
    void whatIsUnderWayWhenALinkIsClosedHasArrivedByThenOrNeverWill(String pair) throws Exception {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            Pair.Side b = f.servers().b;
            long before = a.state().offset();
            b.server.stop();
            a.connection.pipeline(Collections.nCopies(30_000, CommandEncoder.bytes("INCR", "counter")));
            Await.until(Pair.LIMIT, "much is under way", () -> f.link().status().sourceOffset() - before > 100_000);
            CompletableFuture<ReplicationState> whenClosed = CompletableFuture.supplyAsync(() -> {
                f.link().close();
                return b.state();
            });
            Await.until(Pair.LIMIT, "the source is rid of it", () -> a.state().attachedReplicas() == 0);
            b.server.resume();
            ReplicationState closed = whenClosed.get(Pair.LIMIT.toSeconds(), TimeUnit.SECONDS);
            assertThat(closed.linkUp()).isFalse();
            Await.until(Pair.LIMIT, "the target is rid of it", () -> !b.state().linkUp());
            assertThat(b.state().offset()).isEqualTo(closed.offset());
        }
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void aProbeTellsWhetherTheSourceWouldGoOnAndLeavesNothingBehind(String pair) {
        try (Following f = Following.start(folder, pair)) {
            Pair.Side a = f.servers().a;
            String id = a.state().id();
            long offset = a.state().offset();
            long copies = a.fullSyncs();
            assertThat(RelayLink.probe(a.fleet, id, offset, Pair.LIMIT)).isEqualTo(new ProbeResult.Continues(id));
            assertThat(RelayLink.probe(a.fleet, id, offset + 100_000, Pair.LIMIT))
                    .isInstanceOf(ProbeResult.NeedsCopy.class);
            assertThat(RelayLink.probe(a.fleet, "0".repeat(40), offset, Pair.LIMIT))
                    .isInstanceOf(ProbeResult.NeedsCopy.class);
            assertThat(a.fullSyncs()).isEqualTo(copies);
            Await.until(Pair.LIMIT, "the probe has left", () -> a.state().attachedReplicas() == 1);
        }
    }

    @Test
    void lagIsSeenWhileTheTargetStandsStillAndIsGoneAfterwards() {
        try (Following f = Following.start(folder, "embedded to embedded")) {
            f.servers().b.server.stop();
            f.servers().a.call("SET", "key", "value");
            Await.until(Pair.LIMIT, "lag is seen", () -> f.link().status().lagMillis() > 300);
            f.servers().b.server.resume();
            Await.until(
                    Pair.LIMIT,
                    "lag is gone",
                    () -> f.link().status().lagMillis() == 0
                            && f.link().status().lagBytes() == 0);
            assertThat(f.servers().b.connection.demand("GET", "key")).isInstanceOf(Reply.Bulk.class);
        }
    }
}
