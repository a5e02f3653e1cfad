package io.switchback.testkit.load;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.BitSet;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;

/** Those who listen and those who wait: what is right is found right, also where connections break, and each kind of wrong is found. */
class WaitingLoadTest {
    private static final Duration TIMEOUT = Duration.ofSeconds(10);

    private static BitSet acknowledged(int... numbers) {
        BitSet set = new BitSet();
        IntStream.of(numbers).forEach(set::set);
        return set;
    }

    @Test
    void aSubscriberMissesNothingAndHearsNothingTwice() {
        BitSet published = acknowledged(0, 1, 2, 4, 5);
        assertThat(MessageLoad.problem(published, List.of())).isEmpty();
        assertThat(MessageLoad.problem(published, List.of(1, 2, 4))).isEmpty();
        assertThat(MessageLoad.problem(published, List.of(1, 2, 3, 4, 5)))
                .as("the third may have been published")
                .isEmpty();
        assertThat(MessageLoad.problem(published, List.of(0, 2, 4)))
                .containsExactly("message 1 was not heard, between 0 and 2");
        assertThat(MessageLoad.problem(published, List.of(0, 1, 1, 2))).containsExactly("message 1 was heard twice");
        assertThat(MessageLoad.problem(published, List.of(0, 2, 1, 4)))
                .containsExactly(
                        "message 1 was not heard, between 0 and 2",
                        "message 1 was heard after 2",
                        "message 2 was not heard, between 1 and 4");
    }

    @Test
    void anElementIsPoppedOnce() {
        List<String> pushed = List.of("a", "b", "c");
        assertThat(QueueLoad.ofQueue(pushed, List.of("a", "b"), List.of("c"), 0))
                .isEmpty();
        assertThat(QueueLoad.ofQueue(pushed, List.of("a", "b", "x"), List.of("c"), 0))
                .as("one whose push was not answered")
                .isEmpty();
        assertThat(QueueLoad.ofQueue(pushed, List.of("a"), List.of("c"), 1)).isEmpty();
        assertThat(QueueLoad.ofQueue(pushed, List.of("a"), List.of("c"), 0))
                .singleElement()
                .asString()
                .contains("[b]");
        assertThat(QueueLoad.ofQueue(pushed, List.of("a", "b", "a"), List.of("c"), 5))
                .singleElement()
                .asString()
                .contains("element a");
        assertThat(QueueLoad.ofQueue(pushed, List.of("a", "b", "c"), List.of("c"), 0))
                .singleElement()
                .asString()
                .contains("element c");
    }

    @Test
    void aReaderReadsWhatTheStreamHas() {
        List<String> entries = List.of("1-0 a", "2-0 b", "3-0 c");
        assertThat(QueueLoad.ofReader(entries, List.of("1-0 a", "2-0 b"))).isEmpty();
        assertThat(QueueLoad.ofReader(entries, List.of("1-0 a", "3-0 c"))).hasSize(1);
        assertThat(QueueLoad.ofReader(entries, List.of("1-0 a", "1-0 a"))).hasSize(1);
        assertThat(QueueLoad.ofReader(entries, List.of("1-0 a", "2-0 b", "3-0 c", "4-0 d")))
                .hasSize(1);
    }

    @Test
    void aServerThatKillsConnectionsKeepsThePromises(@TempDir Path folder) {
        try (RealServer server = RealServer.start(ServerBinary.any(), folder)) {
            List<HostAndPort> addresses = List.of(new HostAndPort(server.host(), server.port()));
            try (MessageLoad messages = MessageLoad.start(addresses, TIMEOUT);
                    QueueLoad queues = QueueLoad.start(addresses, TIMEOUT)) {
                for (String type : List.of("pubsub", "normal", "pubsub", "normal")) {
                    long before = Long.parseLong(server.info("stats", "total_commands_processed"));
                    Await.until(
                            TIMEOUT,
                            "some traffic",
                            () -> Long.parseLong(server.info("stats", "total_commands_processed")) > before + 300);
                    server.call("CLIENT", "KILL", "TYPE", type);
                }
                MessageLoad.Result heard = messages.stop();
                assertThat(heard.problems()).isEmpty();
                assertThat(heard.published()).isGreaterThan(20);
                assertThat(heard.stays()).isGreaterThan(2);
                try (Jedis client = server.client()) {
                    QueueLoad.Result popped = queues.stop(client);
                    assertThat(popped.problems()).isEmpty();
                    assertThat(popped.popped()).isGreaterThan(20);
                }
            }
        }
    }
}
