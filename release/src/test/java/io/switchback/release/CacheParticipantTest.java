package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.commit.Protocol;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Member;
import io.switchback.ledger.Verdict;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.release.SwitchMessages.Prepare;
import io.switchback.release.SwitchMessages.Readiness;
import io.switchback.release.SwitchMessages.Tell;
import io.switchback.release.SwitchMessages.Vote;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** What comes late: questions of a leader that was stopped and woke up, and a time-out of a switch that is over. */
class CacheParticipantTest {
    private static final String CACHE = "sessions";
    private static final String NODE = "node-1";
    private static final String PARTICIPANT = SwitchMessages.participant(NODE, CACHE);
    private static final FleetSpec GREEN = new FleetSpec("green", new Endpoint("127.0.0.1", 2), Optional.empty());

    private final AtomicLong laterNanos = new AtomicLong();
    private RealServer server;
    private FleetSpec blue;
    private EmbeddedLedger ledger;
    private CacheProxy proxy;
    private KeptTasks clock;
    private CacheParticipant participant;

    @BeforeEach
    void open(@TempDir Path folder) throws IOException {
        Environment environment = new LaterEnvironment(laterNanos);
        server = RealServer.start(ServerBinary.any(), folder.resolve("server"));
        blue = new FleetSpec("blue", new Endpoint(server.host(), server.port()), Optional.empty());
        ledger = EmbeddedLedger.open(folder.resolve("ledger"), environment);
        proxy = CacheProxy.open(
                new ProxySettings(NODE, CACHE, List.of(new Endpoint("127.0.0.1", 0)), 1, ProxyLimits.DEFAULT),
                new BackendRoute(blue, 1),
                false);
        clock = new KeptTasks();
        participant = new CacheParticipant(
                new ManagedCache(CACHE, proxy, Map.of("blue", blue, "green", GREEN)),
                new OneNode(),
                ledger,
                ledger,
                environment,
                clock);
    }

    @AfterEach
    void close() {
        participant.close();
        clock.shutdownNow();
        proxy.close();
        ledger.close();
        server.close();
    }

    @Test
    void aQuestionToHoldThatComesTooLateIsRefusedAndANodeThatHasGoneElsewhereHoldsNobody() {
        madeReady(7);
        laterNanos.set(Duration.ofSeconds(29).toNanos());
        assertThat(participant.isInSwitch()).isTrue();
        laterNanos.set(Duration.ofSeconds(31).toNanos());

        assertThat(participant.adopt(new BackendRoute(GREEN, 2), Duration.ofSeconds(5)))
                .as("it follows the route, as nobody asks any more")
                .isTrue();
        assertThat(vote(7).join().no()).contains("more than 30 s ago");
        assertThat(participant.isInSwitch()).isFalse();
        assertThat(proxy.route()).isEqualTo(new BackendRoute(GREEN, 2));
    }

    @Test
    void aQuestionToHoldThatComesInTimeIsAYes() {
        madeReady(7);
        laterNanos.set(Duration.ofSeconds(29).toNanos());
        assertThat(vote(7).join()).isEqualTo(new Vote(""));
        laterNanos.set(Duration.ofMinutes(5).toNanos());
        assertThat(participant.isInSwitch())
                .as("whoever has voted yes waits for the decision")
                .isTrue();
    }

    @Test
    void theTimeOutOfAVoteDoesNotEndTheHoldOfTheNextSwitch() {
        madeReady(7);
        assertThat(vote(7).join()).isEqualTo(new Vote(""));
        Runnable timeOut = clock.kept.getLast();
        participant
                .tell(new Tell("r", 7, CACHE, Verdict.ABORT, true, null))
                .toCompletableFuture()
                .join();
        madeReady(8);
        CompletableFuture<String> read;
        CompletableFuture<Vote> vote;
        try (Jedis client = new Jedis("127.0.0.1", proxy.addresses().getFirst().port(), 60_000)) {
            client.ping(); // what it says of itself is answered only once the server has let it in
            server.stop();
            try {
                // What is not answered yet keeps the hold from being complete.
                read = CompletableFuture.supplyAsync(() -> String.valueOf(client.get("key")));
                Await.until(
                        Duration.ofSeconds(20), "the command to be on its way", () -> proxy.commandsUnanswered() > 0);
                vote = vote(8);
                timeOut.run();
                // The same thread answers this, after it.
                assertThat(ready(9).problem()).contains("still in switch r.8");
                assertThat(vote.isDone()).as("nobody has given up").isFalse();
            } finally {
                server.resume();
            }
            assertThat(vote.join()).isEqualTo(new Vote(""));
            participant
                    .tell(new Tell("r", 8, CACHE, Verdict.ABORT, true, null))
                    .toCompletableFuture()
                    .join();
            assertThat(read.join()).isEqualTo("null");
        }
    }

    private void madeReady(long number) {
        assertThat(ready(number)).isEqualTo(new Readiness(""));
    }

    private Readiness ready(long number) {
        // It accepts a loss, so no server is asked for anything.
        SwitchPart part = new SwitchPart("r", number, CACHE, "blue", "green", Side.NEW, 1, LinkKind.RELAY, true);
        MakeReady asked = new MakeReady(part, Protocol.TWO_PHASE, Set.of(PARTICIPANT), 5_000, 60_000, true, "");
        return participant.makeReady(asked).toCompletableFuture().join();
    }

    private CompletableFuture<Vote> vote(long number) {
        return participant.prepare(new Prepare("r", number, CACHE)).toCompletableFuture();
    }

    /** Keeps what is to be done later, for the test to do it. */
    private static final class KeptTasks extends ScheduledThreadPoolExecutor {
        private final List<Runnable> kept = new CopyOnWriteArrayList<>();

        KeptTasks() {
            super(1);
        }

        @Override
        public ScheduledFuture<?> schedule(Runnable task, long delay, TimeUnit unit) {
            kept.add(task);
            return super.schedule(() -> {}, 0, unit);
        }
    }

    private record LaterEnvironment(AtomicLong laterNanos) implements Environment {
        @Override
        public long nanoTime() {
            return Environment.system().nanoTime() + laterNanos.get();
        }

        @Override
        public Instant now() {
            return Environment.system().now();
        }

        @Override
        public void sleep(Duration duration) throws InterruptedException {
            Environment.system().sleep(duration);
        }

        @Override
        public byte[] randomBytes(int count) {
            return Environment.system().randomBytes(count);
        }
    }

    private static final class OneNode implements Nodes {
        @Override
        public Member self() {
            return new Member(NODE, NODE, "", List.of(CACHE));
        }

        @Override
        public boolean isShared() {
            return false;
        }

        @Override
        public void superseded() {
            throw new AssertionError("nobody has taken the name");
        }

        @Override
        public CompletableFuture<byte[]> ask(String node, String subject, byte[] question, Duration limit) {
            throw new AssertionError("nobody is asked: " + subject);
        }
    }
}
