package io.switchback.release;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.commit.Protocol;
import io.switchback.environment.Environment;
import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetSpec;
import io.switchback.ledger.EmbeddedLedger;
import io.switchback.ledger.Member;
import io.switchback.proxy.BackendRoute;
import io.switchback.proxy.CacheProxy;
import io.switchback.proxy.ProxyLimits;
import io.switchback.proxy.ProxySettings;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.SwitchMessages.MakeReady;
import io.switchback.release.SwitchMessages.Prepare;
import io.switchback.release.SwitchMessages.Readiness;
import io.switchback.release.SwitchMessages.Vote;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The question to hold comes from a leader that made the node ready, was stopped for half a minute, and woke up. */
class LatePrepareTest {
    private static final String CACHE = "sessions";
    private static final String NODE = "node-1";
    private static final String PARTICIPANT = SwitchMessages.participant(NODE, CACHE);
    private static final FleetSpec BLUE = new FleetSpec("blue", new Endpoint("127.0.0.1", 1), Optional.empty());
    private static final FleetSpec GREEN = new FleetSpec("green", new Endpoint("127.0.0.1", 2), Optional.empty());

    private final AtomicLong laterNanos = new AtomicLong();
    private EmbeddedLedger ledger;
    private CacheProxy proxy;
    private ScheduledExecutorService clock;
    private CacheParticipant participant;

    @BeforeEach
    void open(@TempDir Path folder) throws IOException {
        Environment environment = new LaterEnvironment(laterNanos);
        ledger = EmbeddedLedger.open(folder, environment);
        proxy = CacheProxy.open(
                new ProxySettings(NODE, CACHE, List.of(new Endpoint("127.0.0.1", 0)), 1, ProxyLimits.DEFAULT),
                new BackendRoute(BLUE, 1),
                false);
        clock = Executors.newSingleThreadScheduledExecutor();
        participant = new CacheParticipant(
                new ManagedCache(CACHE, proxy, Map.of("blue", BLUE, "green", GREEN)),
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
    }

    @Test
    void itIsRefusedAndANodeThatHasGoneElsewhereMeanwhileHoldsNobody() {
        madeReady();
        laterNanos.set(Duration.ofSeconds(29).toNanos());
        assertThat(participant.isInSwitch()).isTrue();
        laterNanos.set(Duration.ofSeconds(31).toNanos());

        assertThat(participant.adopt(new BackendRoute(GREEN, 2), Duration.ofSeconds(5)))
                .as("it follows the route, as nobody asks any more")
                .isTrue();
        assertThat(vote().join().no()).contains("more than 30 s ago");
        assertThat(participant.isInSwitch()).isFalse();
        assertThat(proxy.route()).isEqualTo(new BackendRoute(GREEN, 2));
    }

    @Test
    void oneThatComesInTimeIsAYes() {
        madeReady();
        laterNanos.set(Duration.ofSeconds(29).toNanos());
        assertThat(vote().join()).isEqualTo(new Vote(""));
        laterNanos.set(Duration.ofMinutes(5).toNanos());
        assertThat(participant.isInSwitch())
                .as("whoever has voted yes waits for the decision")
                .isTrue();
    }

    private void madeReady() {
        // It accepts a loss, so no server is asked for anything.
        SwitchPart part = new SwitchPart("r", 7, CACHE, "blue", "green", Side.NEW, 1, true);
        MakeReady asked = new MakeReady(part, Protocol.TWO_PHASE, Set.of(PARTICIPANT), 5_000, 60_000, true);
        assertThat(participant.makeReady(asked).toCompletableFuture().join()).isEqualTo(new Readiness(""));
    }

    private CompletableFuture<Vote> vote() {
        return participant.prepare(new Prepare("r", 7, CACHE)).toCompletableFuture();
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
