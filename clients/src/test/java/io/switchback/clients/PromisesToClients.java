package io.switchback.clients;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.Order;
import io.switchback.release.ReleaseState.Status;
import io.switchback.release.ReleaseStatus;
import io.switchback.server.TwoFleets;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * What is promised to clients, held against one library in the middle of four switches: forward, back, forward and back.
 *
 * <p>The switches happen once, before the tests of a class; each test looks at one promise in what the clients were told.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class PromisesToClients {
    private static final int SWITCHES = 4;
    private static final Pattern CLIENT_ID = Pattern.compile("(?m)^id=(\\d+) ");

    List<Findings> findings = List.of();
    private @Nullable TwoFleets fleets;
    private final List<Clients> clients = new ArrayList<>();
    private Set<String> connectedBefore = Set.of();
    private Set<String> connectedAfter = Set.of();
    private List<ReleaseStatus.SwitchStatus> switches = List.of();

    /** Starts the library's clients, in each protocol that it speaks; adds to the list as soon as it must be closed. */
    abstract void start(int port, List<Clients> started) throws Exception;

    /** By its name in the matrix. */
    String oldServer() {
        return "redis-7.0";
    }

    String newServer() {
        return "valkey-9.1";
    }

    /** What the cache is moved between. */
    TwoFleets between(Path folder) {
        return TwoFleets.start(server(oldServer()), server(newServer()), folder);
    }

    static ServerBinary server(String name) {
        return ServerBinary.named(name).orElseGet(ServerBinary::any);
    }

    @BeforeAll
    void moveTheCacheThereAndBackTwiceUnderTheseClients(@TempDir Path folder) throws Exception {
        TwoFleets started = between(folder);
        fleets = started;
        started.startNode();
        start(started.port(), clients);
        awaitTraffic();
        connectedBefore = connections();
        started.begin(TwoFleets.release("r", "hold: { limit: 5s }"));
        started.awaitObserving("r");
        awaitTraffic();
        started.order("r", Order.Kind.ROLLBACK);
        started.awaitStatus("r", Status.ROLLED_BACK);
        awaitTraffic();
        started.order("r", Order.Kind.RESUME);
        started.awaitObserving("r");
        awaitTraffic();
        started.order("r", Order.Kind.ROLLBACK);
        switches = started.awaitStatus("r", Status.ROLLED_BACK).switches();
        awaitTraffic();
        connectedAfter = connections();
        findings = clients.stream().map(Clients::stop).toList();
    }

    @AfterAll
    void endEverything() {
        clients.forEach(Clients::close);
        if (fleets != null) {
            fleets.close();
        }
        endFleets();
    }

    /** What {@link #between} has started besides. */
    void endFleets() {}

    private void awaitTraffic() {
        clients.forEach(Clients::awaitMore);
    }

    /** As the node counts them: a client that connected again, however quietly, has another id. */
    private Set<String> connections() {
        try (Jedis client = client()) {
            String own = Long.toString(client.clientId());
            return CLIENT_ID
                    .matcher(client.clientList())
                    .results()
                    .map(line -> line.group(1))
                    .filter(id -> !id.equals(own))
                    .collect(Collectors.toSet());
        }
    }

    final Jedis client() {
        return new Jedis("127.0.0.1", requireNonNull(fleets).port(), 30_000);
    }

    private static List<Integer> upTo(int count) {
        return IntStream.range(0, count).boxed().toList();
    }

    @Test
    void thereWereAsManySwitchesAsWereOrdered() {
        assertThat(switches.stream().filter(one -> one.verdict().equals("commit")))
                .hasSize(SWITCHES);
    }

    @Test
    void noClientSawAnErrorOrLostItsConnection() {
        assertThat(connectedBefore).isNotEmpty();
        assertThat(connectedAfter).containsAll(connectedBefore);
        for (Findings found : findings) {
            assertThat(found.failures()).as(found.clients()).isEmpty();
            assertThat(found.disconnections()).as(found.clients()).isEmpty();
        }
    }

    @Test
    void everyAcknowledgedIncrementIsThereOnce() {
        try (Jedis client = client()) {
            for (Findings found : findings) {
                assertThat(found.acknowledged()).isNotEmpty();
                found.acknowledged()
                        .forEach((counter, count) ->
                                assertThat(client.get(counter)).as(counter).isEqualTo(Long.toString(count)));
            }
        }
    }

    @Test
    void everyMessageIsHeardOnceAndInOrder() {
        for (Findings found : findings) {
            assertThat(found.heard()).as(found.clients()).isEqualTo(upTo(found.published()));
            assertThat(found.heardByPattern())
                    .as("%s, by a pattern", found.clients())
                    .isEqualTo(upTo(found.published()));
        }
    }

    @Test
    void everyElementIsTakenOnce() {
        try (Jedis client = client()) {
            for (Findings found : findings) {
                assertThat(found.taken().stream().sorted()).as(found.clients()).isEqualTo(upTo(found.pushed()));
                assertThat(client.llen(found.key("queue"))).as(found.clients()).isZero();
            }
        }
    }

    @Test
    void noTransactionIsHalfThere() {
        try (Jedis client = client()) {
            for (Findings found : findings) {
                assertThat(found.halves()).as(found.clients()).isEmpty();
                assertThat(client.mget(found.key(Findings.LEFT), found.key(Findings.RIGHT)))
                        .as(found.clients())
                        .containsOnly(Long.toString(found.together()));
            }
        }
    }

    @Test
    void noWatchedTransactionSucceedsWrongly() {
        try (Jedis client = client()) {
            for (Findings found : findings) {
                assertThat(found.wronglyWon()).as(found.clients()).isEmpty();
                assertThat(client.get(found.key("watched")))
                        .as("%s, of which %d were refused", found.clients(), found.lost())
                        .isEqualTo(Long.toString(found.won()));
            }
        }
    }

    @Test
    void nothingOlderIsReadFromACacheOnceTheNewerWasSeen() {
        for (Findings found : findings) {
            assertThat(found.stale()).as(found.clients()).isEmpty();
            assertThat(found.lastCached()).as(found.clients()).isEqualTo(found.stored());
            if (!found.lastCached().isEmpty()) {
                assertThat(found.cachedReads())
                        .as("%s: reads that needed no server", found.clients())
                        .isPositive();
            }
        }
    }
}
