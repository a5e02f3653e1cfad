package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Connections that are opened before a switch, so that nobody waits for them within it. */
class OpenAheadTest {
    private RealServer first;
    private RealServer second;
    private CacheProxy proxy;
    private long asked;

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path two) {
        first = ProxyFixture.server(one);
        second = ProxyFixture.server(two);
        for (RealServer server : new RealServer[] {first, second}) {
            server.call("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all");
        }
        // One loop, so that the number of connections is known.
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1);
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

    /** Connections that the next fleet has taken, without those of this test itself. */
    private long opened() {
        asked++;
        return Long.parseLong(second.info("stats", "total_connections_received")) - asked;
    }

    private static void awaitConnected(RealServer server, int proxys) {
        // The one that asks is connected as well.
        String expected = Integer.toString(proxys + 1);
        Await.until(
                Duration.ofSeconds(10),
                proxys + " connections of the proxy",
                () -> server.info("clients", "connected_clients").equals(expected));
    }

    @Test
    void clientsFindThemAfterTheSwitch() {
        try (RawClient plain = ProxyFixture.client(proxy);
                RawClient app = ProxyFixture.client(proxy);
                RawClient transaction = ProxyFixture.client(proxy)) {
            plain.text("SET", "k", "1");
            app.text("AUTH", "app", "secret");
            app.text("SELECT", "3");
            app.text("SET", "k", "1");
            transaction.text("MULTI");
            transaction.text("DISCARD");

            long before = opened();
            proxy.openAhead(next()).join();
            long after = opened();
            // One that plain commands share, one of the user in database 3, one for transactions.
            assertThat(after - before).isEqualTo(3);

            ProxyFixture.hold(proxy, 1000);
            proxy.letGo(next()).join();
            assertThat(plain.text("SET", "k", "2")).isEqualTo("OK");
            assertThat(app.text("SET", "k", "3")).isEqualTo("OK");
            assertThat(transaction.text("MULTI")).isEqualTo("OK");
            assertThat(transaction.text("INCR", "n")).isEqualTo("QUEUED");
            transaction.send("EXEC");
            transaction.reply();
            assertThat(opened()).isEqualTo(after);
            assertThat(second.text("GET", "k")).isEqualTo("2");
            assertThat(app.text("GET", "k")).isEqualTo("3");
            awaitConnected(first, 0);
        }
    }

    @Test
    void theyAreClosedWhereTheSwitchIsGivenUp() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "1");
            proxy.openAhead(next()).join();
            awaitConnected(second, 1);
            proxy.openAhead(next()).join();
            ProxyFixture.hold(proxy, 1000);
            proxy.letGo(ProxyFixture.route("old", first, 1)).join();
            awaitConnected(second, 0);
            assertThat(client.text("GET", "k")).isEqualTo("1");
        }
    }

    @Test
    void whereTheServerRefusesItIsSaidBeforeAnybodyIsHeld() {
        second.call("ACL", "DELUSER", "app");
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("AUTH", "app", "secret");
            client.text("SET", "k", "1");
            assertThatThrownBy(() -> proxy.openAhead(next()).join()).hasMessageContaining("WRONGPASS");
            assertThat(client.text("GET", "k")).isEqualTo("1");
        }
    }

    @Test
    void oneThatTheServerClosesMeanwhileIsOpenedAgainWhenItIsNeeded() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("SET", "k", "1");
            proxy.openAhead(next()).join();
            second.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            awaitConnected(second, 0); // it closes them a moment after it has answered
            ProxyFixture.hold(proxy, 1000);
            proxy.letGo(next()).join();
            client.text("GET", "k"); // what only reads is sent again where the proxy had not heard of the end yet
            assertThat(client.text("SET", "k", "2")).isEqualTo("OK");
            assertThat(second.text("GET", "k")).isEqualTo("2");
        }
    }
}
