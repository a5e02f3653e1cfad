package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What has the last word on a new connection, before it carries a command. */
class RouteCheckTest {
    private static final int CONNECTIONS_OF_THIS_TEST = 1;

    private RealServer first;
    private RealServer second;
    private CacheProxy proxy;
    private final LinkedBlockingQueue<CompletableFuture<String>> asked = new LinkedBlockingQueue<>();

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path two) {
        first = ProxyFixture.server(one);
        second = ProxyFixture.server(two);
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1);
        proxy.routeCheck(route -> {
            CompletableFuture<String> answer = new CompletableFuture<>();
            asked.add(answer);
            return answer;
        });
    }

    @AfterEach
    void stop() {
        proxy.close();
        first.close();
        second.close();
    }

    private CompletableFuture<String> question() throws InterruptedException {
        CompletableFuture<String> question = asked.poll(10, TimeUnit.SECONDS);
        assertThat(question).as("the check is asked").isNotNull();
        return question;
    }

    @Test
    void itIsAskedOnceTheConnectionStandsAndNothingIsSentBefore() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("SET", "k", "1");
            CompletableFuture<String> question = question();
            assertThat(first.info("clients", "connected_clients"))
                    .isEqualTo(Integer.toString(1 + CONNECTIONS_OF_THIS_TEST));
            assertThat(first.call("EXISTS", "k")).isEqualTo(0L);

            question.complete("");
            assertThat(client.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aNoIsNoErrorForClientsAndIsAskedAgain() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("SET", "k", "1");
            question().complete("not now");
            question().completeExceptionally(new IllegalStateException("the ledger is gone"));
            CompletableFuture<String> third = question();
            assertThat(first.call("EXISTS", "k")).isEqualTo(0L);
            third.complete("");
            assertThat(client.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void aHoldDoesNotWaitForItAndTheNextRouteTakesTheClientsAlong() throws Exception {
        try (RawClient plain = ProxyFixture.client(proxy);
                RawClient transaction = ProxyFixture.client(proxy)) {
            plain.send("SET", "k", "1");
            CompletableFuture<String> forPlain = question();
            transaction.send("MULTI");
            CompletableFuture<String> forTransaction = question();

            ProxyFixture.hold(proxy, 1000);
            proxy.routeCheck(null);
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
            assertThat(plain.reply().text()).isEqualTo("OK");
            assertThat(transaction.reply().text()).isEqualTo("OK");
            assertThat(transaction.text("SET", "t", "1")).isEqualTo("QUEUED");
            forPlain.complete("");
            forTransaction.complete("");

            assertThat(second.call("EXISTS", "k")).isEqualTo(1L);
            assertThat(first.call("EXISTS", "k")).isEqualTo(0L);
            Await.until(
                    Duration.ofSeconds(10),
                    "no connection to the fleet that was left",
                    () -> first.info("clients", "connected_clients")
                            .equals(Integer.toString(CONNECTIONS_OF_THIS_TEST)));
        }
    }

    @Test
    void aConnectionThatIsKilledWhileItWaitsIsOpenedAnew() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("SET", "k", "1");
            CompletableFuture<String> question = question();
            first.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            String withAnotherConnection = Integer.toString(1 + CONNECTIONS_OF_THIS_TEST);
            while (!first.info("clients", "connected_clients").equals(withAnotherConnection)) {
                question.complete("not now");
                question = question();
            }
            question.complete("");
            assertThat(client.reply().text()).isEqualTo("OK");
        }
    }

    @Test
    void connectionsThatClientsUseAlreadyGoOn() throws Exception {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.send("SET", "k", "1");
            question().complete("");
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.text("SET", "k", "2")).isEqualTo("OK");
            assertThat(asked).isEmpty();
        }
    }
}
