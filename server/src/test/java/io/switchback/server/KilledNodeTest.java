package io.switchback.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.release.ReleaseStatus;
import io.switchback.testkit.ServerBinary;
import io.switchback.testkit.load.CheckReport;
import io.switchback.testkit.load.HistoryChecker;
import io.switchback.testkit.load.Load;
import io.switchback.testkit.load.LoadHistory;
import io.switchback.testkit.load.LoadSettings;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.Jedis;

/**
 * A node that dies by SIGKILL under load, in the middle of a release, and is started again where clients look for it: the data
 * folder alone tells where the traffic was, the release goes on by itself, and every acknowledged write is there.
 */
final class KilledNodeTest {
    private static final String RELEASE = "r";
    // Below the range from which the system takes the ports of outgoing connections, so that none takes it meanwhile.
    private static final int PORT_MIN = 10_240;
    private static final int PORT_MAX = 32_700;

    @TempDir
    private Path folder;

    @Test
    void aNodeThatIsKilledWhileItObservesGoesOnObservingWithTheWayBackOpen() throws IOException {
        ServerBinary server = server();
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            int port = freePort();
            Path nodeFile = fleets.writeNodeFile(port);
            ServingNode first = ServingNode.start(nodeFile, TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
            try (first;
                    Load load = load(port)) {
                first.begin();
                first.awaitSaid("at OBSERVE on NEW, way back OPEN");
                load.awaitAnswers(200, TwoFleets.STEP_LIMIT);
                first.kill();
                LastRoute route = LastRoute.read(fleets.nodeFile()).getFirst();
                assertThat(route.fleet()).isEqualTo("green");
                assertThat(route.server()).isEqualTo("127.0.0.1:" + fleets.green.port());
                assertThat(route.fromLedger()).isTrue();
                assertThat(fleets.green.info("replication", "role")).isEqualTo("master");

                fleets.startNode();
                fleets.awaitObserving(RELEASE);
                load.awaitAnswers(200, TwoFleets.STEP_LIMIT);
                everyAcknowledgedWriteIsThere(fleets, load.stop());
            }
            assertThat(fleets.blue.info("stats", "sync_full")).as("copies made").isEqualTo("1");
            assertThat(fleets.green.info("stats", "sync_full"))
                    .as("copies made on the way back")
                    .isEqualTo("0");
        }
    }

    @Test
    void aNodeThatIsKilledWhileItCopiesBeginsTheCopyAgainAndReachesTheNewFleet() throws IOException {
        ServerBinary server = server();
        try (TwoFleets fleets = TwoFleets.start(server, server, folder)) {
            int port = freePort();
            Path nodeFile = fleets.writeNodeFile(port);
            OrdersTest.slowCopy(fleets.blue);
            ServingNode first = ServingNode.start(nodeFile, TwoFleets.release(RELEASE, "hold: { limit: 5s }"));
            try (first;
                    Load load = load(port)) {
                load.awaitAnswers(200, TwoFleets.STEP_LIMIT);
                first.begin();
                first.awaitSaid("at MIGRATE on OLD, way back NOT_NEEDED, link copying");
                first.kill();
                LastRoute route = LastRoute.read(fleets.nodeFile()).getFirst();
                assertThat(route.fleet()).isEqualTo("blue");
                assertThat(fleets.blue.info("replication", "role")).isEqualTo("master");

                fleets.blue.call("CONFIG", "SET", "rdb-key-save-delay", "0");
                fleets.startNode();
                ReleaseStatus observing = fleets.awaitObserving(RELEASE);
                assertThat(observing.caches().getFirst().backup()).isNotNull();
                load.awaitAnswers(200, TwoFleets.STEP_LIMIT);
                everyAcknowledgedWriteIsThere(fleets, load.stop());
            }
            assertThat(fleets.green.text("GET", "key:0")).isEqualTo("value:0");
        }
    }

    /** Up to 6.2 a server throws its place away where its primary dies within its PSYNC: the way back may close then. */
    private static ServerBinary server() {
        return ServerBinary.named("redis-7.0").orElseGet(ServerBinary::any);
    }

    private static Load load(int port) {
        return Load.start(LoadSettings.on("127.0.0.1", port)
                .withClients(8)
                .withOperationsPerSecond(800)
                .withKeys(400));
    }

    /** What clients saw as errors while the node was away may have been done or not; what they were told was done, was. */
    private static void everyAcknowledgedWriteIsThere(TwoFleets fleets, LoadHistory history) {
        try (Jedis client = fleets.client()) {
            CheckReport check = HistoryChecker.check(history, client);
            assertThat(check.clean()).as("%s", check).isTrue();
            assertThat(check.checked()).isGreaterThan(50);
        }
    }

    private static int freePort() throws IOException {
        while (true) {
            int candidate = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX);
            try (ServerSocket socket = new ServerSocket()) {
                socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), candidate));
                return candidate;
            } catch (java.net.BindException taken) {
                // Another one, then.
            }
        }
    }
}
