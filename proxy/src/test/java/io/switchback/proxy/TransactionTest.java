package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.resp.Reply;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** MULTI, EXEC, WATCH: as on a server, and across a switch. */
class TransactionTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private RealServer first;
    private RealServer second;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path two) {
        first = ProxyFixture.server(one);
        second = ProxyFixture.server(two);
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1);
    }

    @AfterEach
    void stop() {
        proxy.close();
        first.close();
        second.close();
    }

    private void switchOver() {
        assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(ProxyFixture.route("new", second, 2)).join();
    }

    @Test
    void aTransactionRunsAsAWholeAndLeavesNothingBehind() {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("SET", "k", "1")).isEqualTo("QUEUED");
            assertThat(other.call("GET", "k")).isEqualTo(new Reply.Nil());
            assertThat(client.text("INCR", "k")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[OK, 2]");
            assertThat(client.text("GET", "k")).isEqualTo("2");
            assertThat(client.text("EXEC")).isEqualTo("-ERR EXEC without MULTI");
            client.text("MULTI");
            client.text("SET", "k", "9");
            assertThat(client.text("DISCARD")).isEqualTo("OK");
            assertThat(client.text("GET", "k")).isEqualTo("2");
            client.text("MULTI");
            assertThat(client.text("SET", "k")).startsWith("-ERR wrong number");
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
            assertThat(client.text("MULTI")).isEqualTo("OK");
            assertThat(client.text("MULTI")).isEqualTo("-ERR MULTI calls can not be nested");
            assertThat(client.text("WATCH", "k")).isEqualTo("-ERR WATCH inside MULTI is not allowed");
            client.text("GET", "k");
            String direct = directly();
            assertThat(client.text("EXEC")).isEqualTo(direct);
        }
    }

    /** What the server itself says to the last transaction of the test above. */
    private String directly() {
        try (RawClient client = new RawClient(ProxyFixture.endpoint(first))) {
            client.text("MULTI");
            client.text("MULTI");
            client.text("WATCH", "k");
            client.text("GET", "k");
            return client.text("EXEC");
        }
    }

    @Test
    void aTransactionInOnePipelineIsAnsweredInOrder() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (int i = 0; i < 20; i++) {
                client.send("SET", "a", "x");
                client.send("MULTI");
                client.send("INCR", "n");
                client.send("GET", "a");
                client.send("EXEC");
                client.send("GET", "n");
            }
            for (int i = 1; i <= 20; i++) {
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("OK");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("QUEUED");
                assertThat(client.reply().text()).isEqualTo("[" + i + ", x]");
                assertThat(client.reply().text()).isEqualTo("" + i);
            }
        }
    }

    @Test
    void aRefusedCommandAbortsTheTransaction() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            client.text("SET", "k", "1");
            assertThat(client.text("SUBSCRIBE", "c")).contains("SUBSCRIBE is not supported inside MULTI");
            assertThat(client.text("CLIENT", "GETNAME")).contains("not supported inside MULTI");
            assertThat(client.text("EXEC")).isEqualTo("-EXECABORT Transaction discarded because of previous errors.");
            assertThat(client.call("GET", "k")).isEqualTo(new Reply.Nil());
        }
    }

    @Test
    void selectWithinATransactionHoldsFromThereOn() {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            other.text("SET", "k", "in 0");
            client.text("MULTI");
            assertThat(client.text("SELECT", "3")).isEqualTo("QUEUED");
            client.text("SET", "k", "in 3");
            assertThat(client.text("SELECT", "nothing")).isEqualTo("QUEUED");
            assertThat(client.text("SELECT", "9999")).isEqualTo("QUEUED");
            client.send("EXEC");
            client.send("GET", "k");
            client.send("CLIENT", "INFO");
            assertThat(client.reply().text())
                    .isEqualTo("[OK, OK, ERR value is not an integer or out of range, ERR DB index is out of range]");
            assertThat(client.reply().text()).isEqualTo("in 3");
            assertThat(client.reply().text()).contains(" db=3 ");
            assertThat(other.text("GET", "k")).isEqualTo("in 0");
            other.text("MULTI"); // over a connection that others have had before
            other.text("GET", "k");
            assertThat(other.text("EXEC")).isEqualTo("[in 0]");

            client.text("MULTI");
            client.text("SELECT", "4");
            client.text("DISCARD");
            assertThat(client.text("GET", "k")).isEqualTo("in 3");
            client.text("WATCH", "k");
            try (RawClient direct = in(first, "3")) {
                direct.text("SET", "k", "theirs");
            }
            client.text("MULTI");
            client.text("SELECT", "4");
            assertThat(client.call("EXEC")).isEqualTo(new Reply.Nil());
            assertThat(client.text("GET", "k")).isEqualTo("theirs");
        }
    }

    private static RawClient in(RealServer server, String database) {
        RawClient client = new RawClient(ProxyFixture.endpoint(server));
        client.text("SELECT", database);
        return client;
    }

    @Test
    void selectWithinATransactionHoldsForAClientThatHasAConnectionOfItsOwn() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("HELLO", "3");
            client.text("CLIENT", "TRACKING", "ON", "BCAST");
            client.text("MULTI");
            client.text("SELECT", "9999");
            client.text("SELECT", "2");
            client.text("SELECT", "9998");
            client.text("EXEC");
            client.text("MULTI");
            client.text("SET", "k", "in 2");
            client.text("EXEC");
            try (RawClient direct = in(first, "2")) {
                assertThat(direct.text("GET", "k")).isEqualTo("in 2");
            }
        }
    }

    @Test
    void selectWithinATransactionHoldsOnTheOtherFleetWhereverTheSwitchComes() {
        try (RawClient before = ProxyFixture.client(proxy);
                RawClient within = ProxyFixture.client(proxy)) {
            before.text("MULTI");
            before.text("SELECT", "3");
            within.text("MULTI");
            within.text("EVAL", HoldTest.SLOW_WRITE, "1", "slow", "300");
            within.text("SELECT", "4");
            within.text("SELECT", "5");
            within.text("SELECT", "9998");
            within.send("EXEC");
            Await.until(LIMIT, "EXEC is sent", () -> proxy.commandsUnanswered() == 1);
            within.send("SET", "k", "in 5"); // by then EXEC is answered, and nobody has found out what it selected
            switchOver();
            assertThat(within.reply().text()).endsWith("OK, OK, ERR DB index is out of range]");
            assertThat(within.reply().text()).isEqualTo("OK");
            before.text("SET", "k", "in 3");
            assertThat(before.text("EXEC")).isEqualTo("[OK, OK]");
            assertThat(before.text("APPEND", "k", "!")).isEqualTo("5");
            try (RawClient five = in(second, "5");
                    RawClient three = in(second, "3")) {
                assertThat(five.text("GET", "k")).isEqualTo("in 5");
                assertThat(three.text("GET", "k")).isEqualTo("in 3!");
            }
        }
    }

    @Test
    void whatTheServerRefusesToEndGoesOn() {
        try (RawClient admin = new RawClient(ProxyFixture.endpoint(first));
                RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            admin.text("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-discard", "-unwatch");
            client.text("AUTH", "u", "p");
            client.text("MULTI");
            assertThat(client.text("DISCARD")).startsWith("-NOPERM");
            assertThat(client.text("SET", "k", "1")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
            assertThat(client.call("GET", "k")).isEqualTo(new Reply.Nil());

            client.text("WATCH", "k");
            assertThat(client.text("UNWATCH")).startsWith("-NOPERM");
            other.text("SET", "k", "theirs");
            client.text("MULTI");
            client.text("SET", "k", "mine");
            assertThat(client.call("EXEC")).isEqualTo(new Reply.Nil());
        }
    }

    @Test
    void aScanWithinATransactionBegins() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("HSET", "h", "f", "v");
            client.text("MULTI");
            assertThat(client.text("HSCAN", "h", "0")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[[0, [f, v]]]");
            client.text("MULTI");
            assertThat(client.text("HSCAN", "h", "7"))
                    .isEqualTo("-ERR switchback: HSCAN with another cursor than 0 is not supported inside MULTI");
            assertThat(client.text("EXEC")).startsWith("-EXECABORT");
        }
    }

    @Test
    void aConflictOnAWatchedKeyIsSeenAndNoneIsInvented() {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient other = ProxyFixture.client(proxy)) {
            client.text("WATCH", "k");
            other.text("SET", "k", "theirs");
            client.text("MULTI");
            client.text("SET", "k", "mine");
            assertThat(client.call("EXEC")).isEqualTo(new Reply.Nil());
            assertThat(client.text("GET", "k")).isEqualTo("theirs");

            client.text("WATCH", "k");
            assertThat(client.text("UNWATCH")).isEqualTo("OK");
            other.text("SET", "k", "again");
            client.text("MULTI");
            client.text("SET", "k", "mine");
            assertThat(client.text("EXEC")).isEqualTo("[OK]");

            client.text("WATCH", "k");
            client.text("MULTI");
            client.text("APPEND", "k", "!");
            assertThat(client.text("EXEC")).isEqualTo("[5]");
        }
    }

    @Test
    void anOpenTransactionIsTakenToTheOtherFleet() {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient later = ProxyFixture.client(proxy)) {
            client.text("SELECT", "2");
            client.text("MULTI");
            client.text("SET", "k", "v");
            client.text("APPEND", "k", "w");
            switchOver();
            assertThat(client.text("GET", "k")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[OK, 2, vw]");
            assertThat(first.number("DBSIZE")).isZero();
            assertThat(later.text("SELECT", "2")).isEqualTo("OK");
            assertThat(later.text("GET", "k")).isEqualTo("vw");
            assertThat(client.text("GET", "k")).isEqualTo("vw");
        }
    }

    @Test
    void anExecThatWaitedThroughTheSwitchRunsOnTheOtherFleet() {
        try (RawClient client = ProxyFixture.client(proxy);
                RawClient giving = ProxyFixture.client(proxy);
                RawClient slow = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            client.text("SET", "k", "v");
            giving.text("MULTI");
            giving.text("SET", "k", "w");
            slow.send("EVAL", HoldTest.SLOW_WRITE, "1", "slow", "300");
            Await.until(Duration.ofSeconds(5), "the slow one is sent", () -> proxy.commandsUnanswered() == 1);
            // EXEC and DISCARD wait for the replies before them; by then the hold has begun.
            client.send("GET", "k");
            client.send("EXEC");
            giving.send("GET", "k");
            giving.send("DISCARD");
            Await.until(Duration.ofSeconds(5), "both GETs are sent", () -> proxy.commandsUnanswered() == 3);
            switchOver();
            assertThat(client.reply().text()).isEqualTo("QUEUED");
            assertThat(client.reply().text()).isEqualTo("[OK, v]");
            assertThat(giving.reply().text()).isEqualTo("QUEUED");
            assertThat(giving.reply().text()).isEqualTo("OK");
            assertThat(giving.text("GET", "k")).isEqualTo("v");
            assertThat(first.call("GET", "k")).isNull();
        }
    }

    @Test
    void aTransactionHeldInTheMiddleGoesOnWhereItWasWhenTheSwitchIsAborted() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            client.text("SET", "k", "v");
            ProxyFixture.hold(proxy, 2000);
            client.send("EXEC");
            assertThat(client.hasReplyWithin(50)).isFalse();
            proxy.letGo(ProxyFixture.route("old", first, 1)).join();
            assertThat(client.reply().text()).isEqualTo("[OK]");
            assertThat(first.text("GET", "k")).isEqualTo("v");
        }
    }

    @Test
    void aHoldThatBeginsWhileATransactionIsTakenOverWaitsForNoMoreThanWasSent() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            assertThat(client.text("INCR", "k")).isEqualTo("QUEUED");
            second.stop();
            switchOver();
            Await.until(LIMIT, "MULTI is sent to the new fleet", () -> proxy.commandsUnanswered() == 1);
            CompletableFuture<HoldOutcome> hold = proxy.hold(LIMIT);
            second.resume();
            assertThat(hold.join()).isInstanceOf(HoldOutcome.Held.class);
            proxy.letGo(ProxyFixture.route("new", second, 2)).join();
            assertThat(client.text("INCR", "k")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[1, 2]");
            assertThat(first.call("GET", "k")).isNull();
        }
    }

    @Test
    void aWatchIsLostByASwitchSoTheNextExecAnswersNilOnce() {
        try (RawClient before = ProxyFixture.client(proxy);
                RawClient within = ProxyFixture.client(proxy);
                RawClient freed = ProxyFixture.client(proxy)) {
            before.text("WATCH", "k");
            within.text("WATCH", "k");
            within.text("MULTI");
            within.text("SET", "k", "w");
            freed.text("WATCH", "k");
            switchOver();
            before.text("MULTI");
            assertThat(before.text("SET", "k", "b")).isEqualTo("QUEUED");
            assertThat(before.call("EXEC")).isEqualTo(new Reply.Nil());
            assertThat(within.text("SET", "k", "w")).isEqualTo("QUEUED");
            assertThat(within.call("EXEC")).isEqualTo(new Reply.Nil());
            assertThat(freed.text("UNWATCH")).isEqualTo("OK");
            freed.text("MULTI");
            freed.text("SET", "k", "f");
            assertThat(freed.text("EXEC")).isEqualTo("[OK]");
            before.text("MULTI");
            before.text("SET", "k", "b");
            assertThat(before.text("EXEC")).isEqualTo("[OK]");
        }
    }

    @Test
    void aTransactionSurvivesTheLossOfItsConnection() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            client.text("MULTI");
            client.text("SET", "k", "v");
            first.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
            assertThat(client.text("GET", "k")).isEqualTo("QUEUED");
            assertThat(client.text("EXEC")).isEqualTo("[OK, v]");
        }
    }
}
