package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.Endpoint;
import io.switchback.fleet.FleetAddress;
import io.switchback.fleet.FleetSpec;
import io.switchback.fleet.Topology;
import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A fleet's primary becomes a replica, and another server the primary, step by step: the test itself says what sentinels would.
 */
class FormerPrimaryTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final String FLEET = "watched";

    @TempDir
    Path folder;

    private RealServer former;
    private RealServer next;
    private final AtomicInteger looks = new AtomicInteger();

    @BeforeEach
    void start() {
        former = ProxyFixture.server(folder.resolve("former"));
        next = ProxyFixture.server(folder.resolve("next"));
    }

    @AfterEach
    void stop() {
        former.close();
        next.close();
    }

    private CacheProxy open(ProxyLimits limits) {
        FleetAddress nobody =
                new FleetAddress.Sentinel(List.of(new Endpoint("127.0.0.1", 1)), "cache", Optional.empty());
        CacheProxy proxy =
                ProxyFixture.proxy(new BackendRoute(new FleetSpec(FLEET, nobody, Optional.empty()), 1), limits, 1);
        proxy.watchedBy(FLEET, looks::incrementAndGet);
        return proxy;
    }

    private CacheProxy open() {
        return open(new Limits().failoverWait(Duration.ofMinutes(1)).build());
    }

    private static void primaryIs(CacheProxy proxy, RealServer server) {
        proxy.topology(FLEET, new Topology.Replicated(ProxyFixture.endpoint(server), List.of()));
    }

    private void demote() {
        former.call("REPLICAOF", next.host(), Integer.toString(next.port()));
        Await.until(
                LIMIT,
                "the former primary follows",
                () -> former.info("replication", "master_link_status").equals("up"));
    }

    @Test
    void whatTheFormerPrimaryHasNotRunIsSentToTheNextOneInOrder() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text("PING")).isEqualTo("PONG");
            assertThat(other.text("PING")).isEqualTo("PONG");
            next.call("SET", "n", "41");
            demote();
            client.sendRaw("SET a 1\r\nGET a\r\nINCR n\r\nLPUSH l x\r\nECHO end\r\n");
            other.sendRaw("APPEND a 2\r\nGET a\r\n");
            Await.until(LIMIT, "somebody is asked to look", () -> looks.get() > 0);
            assertThat(client.hasReplyWithin(700)).isFalse(); // the former one has been asked several times by then
            assertThat(next.call("GET", "a")).isNull();

            primaryIs(proxy, next);
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).startsWith("1");
            assertThat(client.reply()).isEqualTo(new Reply.Int(42));
            assertThat(client.reply()).isEqualTo(new Reply.Int(1));
            assertThat(client.reply().text()).isEqualTo("end");
            assertThat(other.reply()).isInstanceOf(Reply.Int.class);
            assertThat(other.reply().text()).contains("2");
            assertThat(next.text("GET", "n")).isEqualTo("42");
            assertThat(next.number("LLEN", "l")).isEqualTo(1);
            assertThat(proxy.commandsUnanswered()).isZero();
            Await.until(
                    LIMIT,
                    "nothing is left at the former primary",
                    () -> !former.text("CLIENT", "LIST").contains("cmd=append"));
        }
    }

    /** Over a connection that it shares, and over one of its own; the answers to the others come after the client has been told to wait. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatWasSentPieceByPieceArrivesInOrder(boolean own) {
        int commands = 8; // fewer than a client may have in flight whose replies are hardly known yet
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text(own ? "WATCH" : "GET", "w")).isEqualTo(own ? "OK" : "");
            demote();
            former.call("CLIENT", "PAUSE", "60000", "WRITE");
            former.stop();
            for (int i = 0; i < commands; i++) {
                // The second waits for the end of the pause, and all behind it with it.
                client.send(i == 1 ? new String[] {"PUBLISH", "c", "m"} : new String[] {"APPEND", "log", i + ","});
                int sent = i + 1;
                Await.until(LIMIT, sent + " are sent", () -> proxy.commandsUnanswered() == sent);
            }
            former.resume();
            Await.until(LIMIT, "the first is answered", () -> looks.get() > 0);
            former.call("CLIENT", "UNPAUSE");
            Await.until(LIMIT, "all are answered or lost", () -> proxy.commandsUnanswered() == 0);
            primaryIs(proxy, next);
            StringBuilder expected = new StringBuilder();
            for (int i = 0; i < commands; i++) {
                Reply reply = client.reply();
                if (i != 1 && reply instanceof Reply.Int) {
                    expected.append(i).append(',');
                } else {
                    // The message, and on a slow machine what came too late.
                    assertThat(i).isPositive();
                    assertThat(reply.text()).endsWith("the command may or may not have run");
                }
            }
            assertThat(next.text("GET", "log")).isEqualTo(expected.toString());
        }
    }

    /** What is behind a command that has not run, and may have run itself, runs no second time, and its reply comes in its turn. */
    @Test
    void aServerThatIsThePrimaryAgainInBetweenRunsNothingTwice() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text("PING")).isEqualTo("PONG");
            demote();
            former.call("CLIENT", "PAUSE", "60000", "WRITE");
            // A replica takes messages; this one waits for the end of the pause, and the write behind it with it.
            client.sendRaw("SET a 1\r\nPUBLISH c m\r\nINCR n\r\nGET a\r\n");
            Await.until(
                    LIMIT,
                    "the message waits",
                    () -> former.info("clients", "blocked_clients").equals("1"));
            former.call("REPLICAOF", "NO", "ONE");
            former.call("CLIENT", "UNPAUSE");
            Await.until(LIMIT, "the write behind ran", () -> "1".equals(former.call("GET", "n")));

            primaryIs(proxy, next);
            assertThat(client.reply().text()).isEqualTo("OK");
            assertThat(client.reply().text()).contains("fleet watched", "the command may or may not have run");
            assertThat(client.reply().text()).contains("fleet watched", "the command may or may not have run");
            assertThat(client.reply().text()).isEqualTo("1");
            assertThat(next.call("GET", "n")).isNull();
            assertThat(next.text("GET", "a")).isEqualTo("1");
            assertThat(former.call("GET", "a")).isNull();
        }
    }

    /** Over the connection that tracks what it has been asked for. */
    @Test
    void aReadThatIsToBeKeptIsAskedForAgainAtTheNextPrimary() {
        former.call("CONFIG", "SET", "replica-serve-stale-data", "no");
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            proxy.remember(new MemorySettings(1024 * 1024, Duration.ofMinutes(1)));
            primaryIs(proxy, former);
            former.call("SET", "before", "1");
            assertThat(client.text("GET", "before")).isEqualTo("1");
            assertThat(proxy.memoryCounts().misses()).isEqualTo(1);
            next.call("SET", "k", "of the next one");
            former.call("REPLICAOF", "127.0.0.1", "1"); // where nobody is: from now on it answers MASTERDOWN
            client.send("GET", "k");
            client.send("GET", "k");
            client.send("ECHO", "end");
            other.send("GET", "k");
            Await.until(LIMIT, "somebody is asked to look", () -> looks.get() > 0);
            primaryIs(proxy, next);
            assertThat(client.reply().text()).isEqualTo("of the next one");
            assertThat(client.reply().text()).isEqualTo("of the next one");
            assertThat(client.reply().text()).isEqualTo("end");
            assertThat(other.reply().text()).isEqualTo("of the next one");
        }
    }

    @Test
    void aTransactionIsBroughtToTheNextPrimaryAndWhatWasWatchedIsNotWatchedThere() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy);
                RawClient watching = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("INCR", "n")).isEqualTo("QUEUED");
            assertThat(watching.text("WATCH", "w")).isEqualTo("OK");
            assertThat(watching.text("MULTI")).isEqualTo("OK");
            assertThat(watching.text("INCR", "w")).isEqualTo("QUEUED");
            demote();
            client.send("EXEC");
            watching.send("EXEC");
            Await.until(LIMIT, "somebody is asked to look", () -> looks.get() > 0);
            primaryIs(proxy, next);
            assertThat(client.reply()).isEqualTo(new Reply.Array(List.of(new Reply.Int(1))));
            assertThat(watching.reply()).isEqualTo(new Reply.Nil());
            assertThat(next.text("GET", "n")).isEqualTo("1");
            assertThat(next.call("GET", "w")).isNull();
        }
    }

    @Test
    void whatIsQueuedInATransactionAfterTheChangeIsQueuedAtTheNextPrimary() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("INCR", "n")).isEqualTo("QUEUED");
            demote();
            client.send("INCR", "n");
            Await.until(LIMIT, "somebody is asked to look", () -> looks.get() > 0);
            primaryIs(proxy, next);
            assertThat(client.reply().text()).isEqualTo("QUEUED");
            assertThat(client.call("EXEC")).isEqualTo(new Reply.Array(List.of(new Reply.Int(1), new Reply.Int(2))));
        }
    }

    @Test
    void aCommandThatWaitsWaitsOnAtTheNextPrimary() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            client.send("BLPOP", "queue", "0");
            Await.until(
                    LIMIT,
                    "it waits",
                    () -> former.info("clients", "blocked_clients").equals("1"));
            demote();
            primaryIs(proxy, next);
            Await.until(
                    LIMIT,
                    "it waits at the next one",
                    () -> next.info("clients", "blocked_clients").equals("1"));
            next.call("RPUSH", "queue", "x");
            assertThat(client.reply().text()).isEqualTo("[queue, x]");
        }
    }

    @Test
    void withoutAPrimaryCommandsWaitAndThenHearThatTheyHaveNotRun() {
        try (CacheProxy proxy =
                        open(new Limits().failoverWait(Duration.ofMillis(300)).build());
                RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.call("SET", "k", "v").text())
                    .isEqualTo(
                            "ERR switchback: fleet watched at cache of the sentinels [127.0.0.1:1] cannot be reached:"
                                    + " nobody says which server is its primary");
            primaryIs(proxy, former);
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            demote();
            assertThat(client.call("SET", "k", "w").text())
                    .isEqualTo("ERR switchback: fleet watched has had no primary that takes commands for 300 ms; the"
                            + " command has not run");
            assertThat(proxy.load().limitsReached().get(Limit.FAILOVER_WAIT)).isPositive();
            former.call("REPLICAOF", "NO", "ONE");
            assertThat(client.text("SET", "k", "x")).isEqualTo("OK");
        }
    }

    /** It is cut off, say: nothing comes any more, no end either. */
    @Test
    void aFormerPrimaryThatAnswersNothingIsNotWaitedForLong() {
        try (CacheProxy proxy = open();
                RawClient client = ProxyFixture.client(proxy)) {
            primaryIs(proxy, former);
            assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
            next.call("SET", "k", "next");
            former.stop();
            client.sendRaw("GET k\r\nINCR n\r\nGET k\r\n");
            Await.until(LIMIT, "all are sent", () -> proxy.commandsUnanswered() == 3);
            primaryIs(proxy, next);
            assertThat(client.reply().text()).isEqualTo("next");
            assertThat(client.reply().text()).contains("the command may or may not have run");
            assertThat(client.reply().text()).isEqualTo("next");
        }
    }

    @Test
    void ofASingleServerTheClientGetsWhatItSays() {
        try (CacheProxy proxy = ProxyFixture.proxy(ProxyFixture.route("single", former, 1));
                RawClient client = ProxyFixture.client(proxy)) {
            demote();
            assertThat(client.call("SET", "k", "v").text()).startsWith("READONLY ");
        }
    }
}
