package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.RealServer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the guard refuses is answered in its turn and never sent. */
class GuardTest {
    private static final CommandGuard NO_APPEND = command ->
            new String(command[0], StandardCharsets.UTF_8).equalsIgnoreCase("APPEND") ? "ERR not now: APPEND" : null;

    private RealServer server;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder);
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1));
    }

    @AfterEach
    void stop() {
        proxy.close();
        server.close();
    }

    @Test
    void aRefusedCommandIsAnsweredInItsTurnAndNeverSent() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("APPEND", "k", "a")).isEqualTo("1");
            proxy.guard(NO_APPEND);
            client.send("APPEND", "k", "b");
            client.send("GET", "k");
            client.send("append", "k", "b");
            client.send("GET", "k");
            client.sendRaw("APPEND k c\r\n");
            assertThat(client.reply().text()).isEqualTo("ERR not now: APPEND");
            assertThat(client.reply().text()).isEqualTo("a");
            assertThat(client.reply().text()).isEqualTo("ERR not now: APPEND");
            assertThat(client.reply().text()).isEqualTo("a");
            assertThat(client.reply().text()).isEqualTo("ERR not now: APPEND");
            proxy.guard(null);
            assertThat(client.text("APPEND", "k", "d")).isEqualTo("2");
        }
    }

    @Test
    void aTransactionWithARefusedCommandDoesNotRun() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            proxy.guard(NO_APPEND);
            client.text("MULTI");
            client.text("SET", "k", "v");
            assertThat(client.text("APPEND", "k", "b")).isEqualTo("-ERR not now: APPEND");
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
            assertThat(server.number("DBSIZE")).isZero();
        }
    }

    @Test
    void aTransactionThatWasQueuedBeforeTheGuardDoesNotRunUnderIt() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            client.text("APPEND", "k", "b");
            proxy.guard(NO_APPEND);
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
            assertThat(server.number("DBSIZE")).isZero();
        }
    }

    @Test
    void commandsThatWaitWhileHeldMeetTheGuardThatWasSetMeanwhile() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            ProxyFixture.hold(proxy, 1000);
            client.send("APPEND", "k", "b");
            assertThat(client.hasReplyWithin(50)).isFalse();
            proxy.guard(NO_APPEND);
            proxy.letGo(ProxyFixture.route("old", server, 1)).join();
            assertThat(client.reply().text()).isEqualTo("ERR not now: APPEND");
        }
    }
}
