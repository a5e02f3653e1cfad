package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Hold and let go, as a switch uses them. */
class HoldTest {
    static final String SLOW_WRITE = "local t=redis.call('TIME'); local e=t[1]*1000000+t[2]+tonumber(ARGV[1])*1000;"
            + " repeat t=redis.call('TIME') until t[1]*1000000+t[2] > e; return redis.call('SET',KEYS[1],'slow')";

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

    private BackendRoute next() {
        return ProxyFixture.route("new", second, 2);
    }

    @Test
    void commandsSentWhileHeldAreAnsweredByTheNewFleetInOrder() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("SET", "k", "old")).isEqualTo("OK");
            assertThat(ProxyFixture.hold(proxy, 1000)).isInstanceOf(HoldOutcome.Held.class);
            client.send("SET", "k", "1");
            client.send("APPEND", "k", "2");
            client.send("GET", "k");
            assertThat(client.hasReplyWithin(100)).isFalse();
            assertThat(first.text("GET", "k")).isEqualTo("old");
            assertThat(second.number("DBSIZE")).isZero();

            proxy.letGo(next()).join();
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).isEqualTo("2");
            assertThat(client.reply().text()).isEqualTo("12");
            assertThat(first.text("GET", "k")).isEqualTo("old");
            assertThat(second.text("GET", "k")).isEqualTo("12");
        }
    }

    @Test
    void anAbortedSwitchGoesOnWhereItWas() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "old");
            ProxyFixture.hold(proxy, 1000);
            client.send("GET", "k");
            proxy.letGo(ProxyFixture.route("old", first, 1)).join();
            assertThat(client.reply().text()).isEqualTo("old");
            proxy.letGo(ProxyFixture.route("old", first, 1)).join();
        }
    }

    @Test
    void aHoldWaitsForWhatWasSentToBeAnswered() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("EVAL", SLOW_WRITE, "1", "k", "300");
            awaitSlowCommand();
            CompletableFuture<HoldOutcome> hold = proxy.hold(Duration.ofSeconds(5));
            assertThat(hold).isNotDone();
            assertThat(hold.join()).isInstanceOf(HoldOutcome.Held.class);
            assertThat(first.text("GET", "k")).isEqualTo("slow");
            assertThat(client.reply().text()).isEqualTo("OK");
            proxy.letGo(next()).join();
        }
    }

    @Test
    void aHoldThatFailsNamesTheClientAndItsCommandAndIsUndone() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            client.send("EVAL", SLOW_WRITE, "1", "k", "700");
            awaitSlowCommand();
            HoldOutcome outcome = ProxyFixture.hold(proxy, 100);
            assertThat(outcome)
                    .isInstanceOfSatisfying(
                            HoldOutcome.Failed.class,
                            failed -> assertThat(failed.why())
                                    .contains("127.0.0.1:" + client.localPort())
                                    .contains("EVAL")
                                    .contains("100 ms"));
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(other.text("GET", "k")).isEqualTo("slow");
        }
    }

    @Test
    void aCommandOfAClientThatLeftStillCounts() throws Exception {
        RawClient client = ProxyFixture.client(proxy);
        client.send("EVAL", SLOW_WRITE, "1", "k", "500");
        awaitSlowCommand();
        client.leave();
        Await.until(Duration.ofSeconds(5), "the client is gone", () -> proxy.clients() == 0);
        assertThat(ProxyFixture.hold(proxy, 50)).isInstanceOf(HoldOutcome.Failed.class);
        assertThat(ProxyFixture.hold(proxy, 5000)).isInstanceOf(HoldOutcome.Held.class);
        assertThat(first.text("GET", "k")).isEqualTo("slow");
    }

    @Test
    void aRouteIsChangedOnlyWhileHeldAndEpochsOnlyGrow() {
        assertThatThrownBy(() -> proxy.letGo(next()).join()).hasMessageContaining("not held");
        ProxyFixture.hold(proxy, 1000);
        proxy.letGo(next()).join();
        ProxyFixture.hold(proxy, 1000);
        assertThatThrownBy(
                        () -> proxy.letGo(ProxyFixture.route("old", first, 1)).join())
                .hasMessageContaining("epochs only grow");
        proxy.letGo(next()).join();
    }

    @Test
    void aNodeThatStartsHeldTakesClientsAndSendsNothing(@TempDir Path folder) {
        try (CacheProxy late = ProxyFixture.proxy(
                        ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, ProxyFixture.LOOPS, true);
                RawClient client = ProxyFixture.client(late)) {
            client.send("SET", "k", "v");
            assertThat(client.hasReplyWithin(100)).isFalse();
            assertThat(first.number("DBSIZE")).isZero();
            late.letGo(next()).join();
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(second.number("DBSIZE")).isOne();
        }
    }

    /** The server answers nobody else while it runs the script, so it is asked by the proxy's own count. */
    private void awaitSlowCommand() throws Exception {
        Await.until(Duration.ofSeconds(5), "the command was sent", () -> proxy.commandsUnanswered() > 0);
    }
}
