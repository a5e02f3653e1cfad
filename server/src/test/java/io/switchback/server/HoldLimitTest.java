package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Side;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.release.Step;
import io.switchback.testkit.RequiresServers;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.SwitchbackUser;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadSettings;
import io.switchback.testkit.load.LoadSnapshot;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/** A switch that would have to hold its clients for longer than it may is given up; they see a pause and nothing else. */
final class HoldLimitTest {
    private static final String RELEASE = "r";

    /** Far longer than the hold limit of the release below. */
    private static final int SCRIPT_MS = 200;

    @TempDir
    private Path folder;

    @Test
    void aCommandThatIsNotAnsweredInTimeMakesTheSwitchGiveUpAndTheReleaseStandsStillUntilItIsGone() {
        try (TwoFleets fleets = TwoFleets.start(ServerBinary.any(), ServerBinary.any(), folder)) {
            fleets.startNode();
            try (Load load = Load.start(LoadSettings.on("127.0.0.1", fleets.port())
                    .withClients(4)
                    .withOperationsPerSecond(400)
                    .withKeys(200))) {
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 30ms, attempts: 2 }"));
                fleets.await(RELEASE, "sync", now -> now.step() == Step.SYNC);
                try (SlowScripts scripts = new SlowScripts(fleets)) {
                    ReleaseStatus paused = fleets.awaitStatus(RELEASE, Status.PAUSED);
                    assertThat(paused.step()).isEqualTo(Step.CUTOVER);
                    assertThat(paused.side()).isEqualTo(Side.OLD);
                    assertThat(paused.detail()).contains("given up 2 times").contains("clients stay where they were");
                    assertThat(paused.switches())
                            .hasSize(2)
                            .allMatch(one -> one.verdict().equals("abort"));
                    assertThat(scripts.failure.get()).isNull();
                }
                load.awaitAnswers(50, TwoFleets.STEP_LIMIT);
                assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");

                fleets.order(RELEASE, Order.Kind.RESUME);
                ReleaseStatus observing = fleets.awaitObserving(RELEASE);
                assertThat(observing.switches()).anyMatch(one -> one.verdict().equals("commit"));
                load.awaitAnswers(50, TwoFleets.STEP_LIMIT);
                LoadSnapshot seen = load.stop().total();
                assertThat(seen.errors()).isZero();
                assertThat(seen.reconnects()).isZero();
            }
        }
    }

    @Test
    @RequiresServers("redis-7.0") // before it a right to a subcommand cannot be taken away
    void theReleaseSaysWhoseCommandItWas() throws InterruptedException {
        ServerBinary seven = ServerBinary.named("redis-7.0").orElseThrow();
        try (TwoFleets fleets = TwoFleets.start(seven, seven, folder)) {
            // Nobody, not even the fleet's user, may end the waiting.
            for (String user : List.of("default", SwitchbackUser.RELAY.name())) {
                fleets.blue.call("ACL", "SETUSER", user, "-client|unblock");
            }
            fleets.startNode();
            try (Jedis client = fleets.client();
                    Jedis other = fleets.client()) {
                Thread waiting = Thread.ofPlatform().start(() -> client.blpop(0, "list"));
                fleets.begin(TwoFleets.release(RELEASE, "hold: { limit: 2s, attempts: 1 }"));
                ReleaseStatus paused = fleets.awaitStatus(RELEASE, Status.PAUSED);
                assertThat(paused.detail()).contains("waits for the reply to BLPOP");
                other.rpush("list", "a");
                waiting.join();
            }
        }
    }

    /**
     * Two clients that run one slow script after the other: while one of them is told what its script has done, that of the other begins. So whenever a switch holds them there is one that is not answered in time.
     */
    private static final class SlowScripts implements AutoCloseable {
        private static final String SCRIPT = """
                local function now()
                    local time = redis.call('TIME')
                    return time[1] * 1000 + time[2] / 1000
                end
                local ends = now() + ARGV[1]
                while now() < ends do end
                return 'done'
                """;

        private final AtomicReference<@Nullable RuntimeException> failure = new AtomicReference<>();
        private final List<Thread> threads;
        private volatile boolean ended;

        SlowScripts(TwoFleets fleets) {
            this.threads = Stream.of("first", "second")
                    .map(which ->
                            Thread.ofPlatform().name("slow scripts, " + which).start(() -> work(fleets)))
                    .toList();
        }

        private void work(TwoFleets fleets) {
            try (Jedis client = fleets.client()) {
                while (!ended) {
                    client.eval(SCRIPT, 0, Integer.toString(SCRIPT_MS));
                }
            } catch (RuntimeException e) {
                failure.set(e);
            }
        }

        @Override
        public void close() {
            ended = true;
            try {
                for (Thread thread : threads) {
                    thread.join();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
