package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.environment.Environment;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A node may serve until some time; after that clients wait, without an error, until it is told that it may again. */
class LapseTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private RealServer first;
    private RealServer second;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path two) {
        first = ProxyFixture.server(one);
        second = ProxyFixture.server(two);
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1));
    }

    @AfterEach
    void stop() {
        proxy.close();
        first.close();
        second.close();
    }

    private static long now() {
        return Environment.system().nanoTime();
    }

    private void lapse() {
        proxy.serveUntil(now());
        Await.until(LIMIT, "the time to be over", proxy::hasLapsed);
    }

    private static @Nullable Object onServer(RealServer server, String key) {
        return server.call("EXISTS", key);
    }

    @Test
    void nothingIsSentOnceTheTimeIsOverUntilItMayServeAgain() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "before", "1")).isEqualTo("OK");
            lapse();
            client.send("SET", "k", "1");
            // Another client's whole path, so that the command above has certainly been looked at.
            try (RawClient other = ProxyFixture.client(proxy)) {
                other.send("SET", "o", "1");
                assertThat(other.hasReplyWithin(300)).isFalse();
            }
            assertThat(onServer(first, "k")).isEqualTo(0L);
            // A later end does not help by itself: what has happened since, somebody has to look at first.
            proxy.serveUntil(Long.MAX_VALUE);
            assertThat(client.hasReplyWithin(300)).isFalse();

            proxy.serveAgainUntil(Long.MAX_VALUE);
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(onServer(first, "k")).isEqualTo(1L);
        }
    }

    @Test
    void anAnswerThatComesAfterwardsIsNotBelievedUntilThen() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "1");
            first.call("CLIENT", "PAUSE", "30000", "WRITE");
            client.send("INCR", "k");
            Await.until(LIMIT, "the command to be sent", () -> proxy.commandsUnanswered() == 1);
            lapse();
            first.call("CLIENT", "UNPAUSE");
            Await.until(LIMIT, "the server to have done it", () -> "2".equals(first.call("GET", "k")));
            assertThat(client.hasReplyWithin(300)).isFalse();

            proxy.serveAgainUntil(Long.MAX_VALUE);
            assertThat(client.reply().text()).isEqualTo("2");
            assertThat(client.text("GET", "k")).isEqualTo("2");
        }
    }

    @Test
    void whoHadSentToAFleetThatOthersHaveLeftIsToldSo() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "1");
            first.call("CLIENT", "PAUSE", "30000", "WRITE");
            client.send("INCR", "k");
            Await.until(LIMIT, "the command to be sent", () -> proxy.commandsUnanswered() == 1);
            lapse();
            first.call("CLIENT", "UNPAUSE");

            var holding = proxy.hold(Duration.ofSeconds(5));
            proxy.giveUpUnanswered();
            assertThat(holding.join()).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
            proxy.serveAgainUntil(Long.MAX_VALUE);
            assertThat(client.reply().isError()).isTrue();
            assertThat(client.text("SET", "n", "1")).isEqualTo("OK");
            assertThat(onServer(second, "n")).isEqualTo(1L);
        }
    }
}
