package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Clients that ask for much and read little: neither do they fill the proxy, nor does anybody wait for them, nor are they closed. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LargeRepliesTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int LARGE_BYTES = 1024 * 1024;
    private static final int ASKED = 100;
    private static final int OUTPUT_BYTES_MAX = 24 * LARGE_BYTES;

    private RealServer server;
    private RealServer next;

    @BeforeAll
    void start(@TempDir Path folder) {
        server = ProxyFixture.server(folder);
        next = ProxyFixture.server(folder);
    }

    @AfterAll
    void stop() {
        server.close();
        next.close();
    }

    @BeforeEach
    void fill() {
        for (RealServer one : List.of(server, next)) {
            one.call("FLUSHALL");
            one.call("SET", "large", "x".repeat(LARGE_BYTES));
        }
    }

    private CacheProxy proxy() {
        return ProxyFixture.proxy(
                ProxyFixture.route("old", server, 1),
                new Limits().outputBytesPerClient(LARGE_BYTES, OUTPUT_BYTES_MAX).build(),
                1);
    }

    private static void askForMuch(RawClient lazy) {
        lazy.sendRaw("*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n".repeat(ASKED));
    }

    private static void readAll(RawClient lazy) {
        for (int i = 0; i < ASKED; i++) {
            assertThat(lazy.reply().text()).hasSize(LARGE_BYTES);
        }
    }

    private static void othersGoOn(RawClient other) {
        for (int i = 0; i < 200; i++) {
            assertThat(other.text("ECHO", "m" + i)).isEqualTo("m" + i);
        }
    }

    private static long answered(CacheProxy proxy) {
        return proxy.traffic().of("old").requests();
    }

    /** The connections over which the last command was {@code command}, by the server's own numbers. */
    private List<String> connectionsThatSent(String command) {
        return server.text("CLIENT", "LIST")
                .lines()
                .filter(line -> line.contains("cmd=" + command + " "))
                .map(line -> line.substring(0, line.indexOf(" ")))
                .toList();
    }

    @Test
    void whatAClientDoesNotReadStaysAtTheServer() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            askForMuch(lazy);
            othersGoOn(other);
            othersGoOn(other);
            assertThat(answered(proxy)).isLessThan(400 + OUTPUT_BYTES_MAX / LARGE_BYTES);
            readAll(lazy);
            assertThat(answered(proxy)).isEqualTo(400 + ASKED);
        }
    }

    @Test
    void aReplyThatIsLargerThanTheProxyMayHoldIsPassedOnToAClientThatTakesItsTime() {
        int huge = 3 * OUTPUT_BYTES_MAX;
        server.call("SETRANGE", "huge", String.valueOf(huge - 1), "x");
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            lazy.send("GET", "huge");
            Await.until(LIMIT, "the reply begins", () -> lazy.hasReplyWithin(10));
            othersGoOn(other);
            othersGoOn(other);
            assertThat(lazy.reply().text()).hasSize(huge);
        }
    }

    /** What they ask for behind it they ask again over another connection. */
    @Test
    void aClientThatTakesItsTimeIsNotClosedForWhatOthersHaveAskedForBehind() {
        int huge = 3 * OUTPUT_BYTES_MAX;
        int asked = 10;
        server.call("SETRANGE", "huge", String.valueOf(huge - 1), "x");
        server.call("SET", "small", "value");
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            assertThat(other.text("PING")).isEqualTo("PONG");
            assertThat(lazy.text("PING")).isEqualTo("PONG");
            server.stop();
            try {
                lazy.send("GET", "huge");
                Await.until(LIMIT, "it is sent", () -> proxy.commandsUnanswered() == 1);
                other.sendRaw("*2\r\n$3\r\nGET\r\n$5\r\nsmall\r\n".repeat(asked));
                Await.until(LIMIT, "these are sent behind it", () -> proxy.commandsUnanswered() == 1 + asked);
            } finally {
                server.resume();
            }
            for (int i = 0; i < asked; i++) {
                assertThat(other.reply().text()).isEqualTo("value");
            }
            othersGoOn(other);
            assertThat(lazy.reply().text()).hasSize(huge);
            othersGoOn(lazy);
            assertThat(proxy.load().limitsReached().get(Limit.OUTPUT_BYTES)).isZero();
        }
    }

    @Test
    void aHoldDoesNotWaitForIt() {
        // So much may have been asked for before the size of the replies is known, and a hold reads half of what a
        // client is closed at.
        ProxyLimits limits = new Limits()
                .outputBytesPerClient(LARGE_BYTES, 2 * OUTPUT_BYTES_MAX)
                .build();
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("old", server, 1), limits, 1);
                RawClient other = ProxyFixture.client(proxy);
                RawClient lazy = ProxyFixture.client(proxy)) {
            for (int epoch = 2; epoch < 6; epoch++) {
                askForMuch(lazy);
                Await.until(LIMIT, "replies begin", () -> lazy.hasReplyWithin(10));
                othersGoOn(other);
                assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
                proxy.letGo(ProxyFixture.route("old", epoch % 2 == 0 ? next : server, epoch))
                        .join();
                othersGoOn(other);
                readAll(lazy);
            }
        }
    }

    @Test
    void itSharesAConnectionAgainOnceItsRepliesAreSmall() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy);
                RawClient once = ProxyFixture.client(proxy)) {
            askForMuch(once);
            readAll(once);
            once.text("ECHO", "a");
            other.text("PING", "b");
            assertThat(connectionsThatSent("echo")).hasSize(1);
            assertThat(connectionsThatSent("ping")).hasSize(1);
            othersGoOn(once);
            String shared = connectionsThatSent("echo").getLast();
            other.text("STRLEN", "large");
            assertThat(connectionsThatSent("strlen")).containsExactly(shared);
        }
    }

    @Test
    void oneThatLeavesTakesNobodysRepliesAlong() {
        try (CacheProxy proxy = proxy();
                RawClient other = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 20; i++) {
                try (RawClient lazy = ProxyFixture.client(proxy)) {
                    askForMuch(lazy);
                    other.sendRaw("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n".repeat(100));
                    if (i % 2 == 0) {
                        Await.until(LIMIT, "replies begin", () -> lazy.hasReplyWithin(10));
                    }
                }
                for (int reply = 0; reply < 100; reply++) {
                    assertThat(other.reply().text()).isEqualTo("a");
                }
            }
            Await.until(LIMIT, "they are gone", () -> proxy.clients() == 1);
            othersGoOn(other);
        }
    }
}
