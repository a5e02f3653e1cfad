package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ReservedKeys;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealServer;
import io.switchback.testkit.ServerBinary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Subscribers: as at the server, and through a switch without losing a message or getting one twice. */
class SubscriptionTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final String MARK = "r.7";

    /** Two servers of one version, the second one a replica of the first, the proxy in front of them. */
    private record Setup(ServerBinary binary, RealServer first, RealServer second, CacheProxy proxy)
            implements AutoCloseable {
        static Setup of(ServerBinary binary, Path folder) {
            RealServer first = RealServer.start(binary, folder.resolve("first"), "--repl-diskless-sync-delay", "0");
            RealServer second = RealServer.start(binary, folder.resolve("second"));
            return new Setup(
                    binary,
                    first,
                    second,
                    ProxyFixture.proxy(ProxyFixture.route("old", first, 1), ProxyLimits.DEFAULT, 1));
        }

        void replicate() {
            second.call("REPLICAOF", first.host(), Integer.toString(first.port()));
            Await.until(
                    LIMIT,
                    "the replica follows",
                    () -> second.text("INFO", "replication").contains("link_status:up"));
        }

        BackendRoute next() {
            return ProxyFixture.route("new", second, 2);
        }

        void hold() {
            assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        }

        void mark() {
            first.call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, MARK);
        }

        /** What a link's other direction does: the second has everything, and from now on the first follows it. */
        void turnAround() {
            long offset = offset(first);
            Await.until(LIMIT, "the replica has everything", () -> offset(second) >= offset);
            second.call("REPLICAOF", "NO", "ONE");
            first.call("REPLICAOF", second.host(), Integer.toString(second.port()));
        }

        private static long offset(RealServer server) {
            return Long.parseLong(
                    server.text("INFO", "replication").replaceAll("(?s).*\\nmaster_repl_offset:(\\d+).*", "$1"));
        }

        @Override
        public void close() {
            proxy.close();
            first.close();
            second.close();
        }
    }

    private interface Body {
        void run(Setup setup) throws Exception;
    }

    private static List<DynamicTest> onEveryServer(Path folder, Body body) {
        List<DynamicTest> tests = new ArrayList<>();
        for (ServerBinary binary : ServerBinary.found()) {
            tests.add(DynamicTest.dynamicTest(binary.name(), () -> {
                try (Setup setup = Setup.of(binary, folder.resolve(binary.name()))) {
                    body.run(setup);
                }
            }));
        }
        return tests;
    }

    /** A conversation of a subscriber; another client publishes in between. */
    private static String conversation(RawClient client, RawClient other, String protocol, boolean knowsShards) {
        List<String> said = new ArrayList<>();
        client.text("HELLO", protocol);
        said.add(client.raw("UNSUBSCRIBE"));
        said.add(client.raw("PUNSUBSCRIBE", "none"));
        said.add(client.raw("SUBSCRIBE"));
        client.send("SUBSCRIBE", "a", "b", "a");
        for (int i = 0; i < 3; i++) {
            said.add(client.rawReply());
        }
        said.add(client.raw("PSUBSCRIBE", "a*"));
        other.text("PUBLISH", "a", "m\r\n1");
        said.add(client.rawReply());
        said.add(client.rawReply());
        said.add(client.raw("PING"));
        said.add(client.raw("PING", "x"));
        said.add(client.raw("SET", "k", "v").replaceAll("only .*", "only"));
        said.add(client.raw("GET", "k").replaceAll("only .*", "only"));
        said.add(client.raw("UNSUBSCRIBE", "b"));
        if (knowsShards) {
            said.add(client.raw("SSUBSCRIBE", "s"));
            other.text("SPUBLISH", "s", "m2");
            said.add(client.rawReply());
            said.add(client.raw("SUNSUBSCRIBE"));
        }
        client.send("UNSUBSCRIBE");
        said.add(client.rawReply());
        said.add(client.raw("PUNSUBSCRIBE"));
        said.add(client.raw("GET", "none"));
        said.add(client.raw("SUBSCRIBE", "a"));
        said.add(client.raw("RESET"));
        said.add(client.raw("GET", "none"));
        return String.join("\n", said);
    }

    @TestFactory
    List<DynamicTest> aSubscriberHearsWhatItWouldHearFromTheServer(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            boolean old = setup.binary.version().startsWith("6.");
            for (String protocol : List.of("2", "3")) {
                try (RawClient client = ProxyFixture.client(setup.proxy);
                        RawClient other = ProxyFixture.client(setup.proxy);
                        RawClient direct = new RawClient(ProxyFixture.endpoint(setup.second));
                        RawClient otherDirect = new RawClient(ProxyFixture.endpoint(setup.second))) {
                    String through = conversation(client, other, protocol, !old);
                    assertThat(through).contains("m\r\n1");
                    if (!old) { // 6.0 knows no RESET
                        assertThat(through).isEqualTo(conversation(direct, otherDirect, protocol, true));
                    }
                }
            }
        });
    }

    @TestFactory
    List<DynamicTest> noMessageIsLostOrTwiceAndTheirOrderIsKeptThroughASwitch(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            setup.replicate();
            try (RawClient two = ProxyFixture.client(setup.proxy);
                    RawClient three = ProxyFixture.client(setup.proxy);
                    RawClient late = ProxyFixture.client(setup.proxy)) {
                two.text("SUBSCRIBE", "news");
                three.text("HELLO", "3");
                three.text("PSUBSCRIBE", "*");
                setup.first.call("PUBLISH", "news", "1");
                setup.proxy.openAhead(setup.next(), MARK).join();
                setup.first.call("PUBLISH", "news", "2");
                late.text("SUBSCRIBE", "other", "news");
                late.text("UNSUBSCRIBE", "other");
                late.reply();
                setup.first.call("PUBLISH", "news", "3");
                setup.hold();
                setup.first.call("PUBLISH", "news", "4");
                setup.mark();
                // From outside, behind the mark: the next fleet has it as well, through the link.
                setup.first.call("PUBLISH", "news", "5");
                Await.until(
                        LIMIT,
                        "the replica has it all",
                        () -> setup.first
                                .info("replication", "master_repl_offset")
                                .equals(setup.second.info("replication", "slave_repl_offset")));
                setup.turnAround();
                // Another node has let its clients go already.
                setup.second.call("PUBLISH", "news", "6");
                setup.proxy.letGo(setup.next()).join();
                setup.second.call("PUBLISH", "news", "7");
                for (RawClient client : List.of(two, three, late)) {
                    List<String> heard = new ArrayList<>();
                    for (int i = client == late ? 3 : 1; i <= 7; i++) {
                        assertThat(client.hasReplyWithin(20_000))
                                .as(
                                        "%s heard %s, and number %d does not come",
                                        client == two ? "two" : client == three ? "three" : "late", heard, i)
                                .isTrue();
                        heard.add(client.reply().text());
                    }
                    List<String> expected = new ArrayList<>();
                    for (int i = client == late ? 3 : 1; i <= 7; i++) {
                        expected.add(client == three ? "[pmessage, *, news, " + i + "]" : "[message, news, " + i + "]");
                    }
                    assertThat(heard).isEqualTo(expected);
                    assertThat(client.hasReplyWithin(50)).isFalse();
                }
                assertThat(three.text("SET", "k", "v")).isEqualTo("OK");
                assertThat(setup.second.text("GET", "k")).isEqualTo("v");
                assertThat(late.text("UNSUBSCRIBE")).isEqualTo("[unsubscribe, news, 0]");
                assertThat(late.text("GET", "k")).isEqualTo("v");
            }
        });
    }

    /** To them the mark comes twice, by its channel and by their pattern; here it comes after the clients were let go. */
    @TestFactory
    List<DynamicTest> whoListensToEverythingHearsOnWhereTheMarkComesLate(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                client.text("PSUBSCRIBE", "*");
                setup.proxy.openAhead(setup.next(), MARK).join();
                setup.hold();
                setup.mark();
                setup.proxy.letGo(ProxyFixture.route("old", setup.first, 1)).join(); // it is given up
                setup.first.call("PUBLISH", "news", "given up");
                assertThat(client.reply().text()).isEqualTo("[pmessage, *, news, given up]");
                setup.proxy.openAhead(setup.next(), MARK).join();
                setup.hold();
                setup.mark();
                setup.first.call("PUBLISH", "news", "the other fleet will bring it");
                assertThat(client.hasReplyWithin(50)).isFalse();
                setup.proxy.letGo(setup.next()).join();
                setup.second.call("PUBLISH", "news", "the fleet that was left has brought it");
                setup.second.call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, MARK);
                setup.second.call("PUBLISH", "news", "behind the mark");
                assertThat(client.reply().text()).isEqualTo("[pmessage, *, news, behind the mark]");
            }
        });
    }

    /** As clients do whose passwords are tokens that run out. */
    @TestFactory
    List<DynamicTest> aSubscriberProvesAnewWhoItIsAndMissesNothing(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            for (RealServer server : List.of(setup.first, setup.second)) {
                server.call("ACL", "SETUSER", "bob", "on", ">one", ">two", ">three", "~*", "+@all");
                server.call("ACL", "SETUSER", "eve", "on", ">one", "~*", "+@all");
                if (!setup.binary.version().startsWith("6.0")) {
                    server.call("ACL", "SETUSER", "bob", "allchannels");
                }
            }
            setup.replicate();
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                client.text("HELLO", "3", "AUTH", "bob", "one");
                client.text("SUBSCRIBE", "news");
                assertThat(client.text("AUTH", "bob", "wrong")).startsWith("-WRONGPASS");
                assertThat(client.text("HELLO", "3", "AUTH", "bob", "wrong")).startsWith("-WRONGPASS");
                assertThat(client.text("AUTH", "eve", "one")).startsWith("-ERR switchback: AUTH as another user");
                assertThat(client.text("HELLO", "3", "AUTH", "eve", "one"))
                        .startsWith("-ERR switchback: HELLO as another user");
                assertThat(client.text("AUTH", "bob", "two")).isEqualTo("OK");
                setup.first.call("ACL", "SETUSER", "bob", "<one");
                setup.second.call("ACL", "SETUSER", "bob", "<one");
                setup.first.call("PUBLISH", "news", "1");
                assertThat(client.reply().text()).isEqualTo("[message, news, 1]");
                assertThat(client.text("ACL", "WHOAMI")).isEqualTo("bob");
                setup.proxy.openAhead(setup.next(), MARK).join();
                assertThat(client.text("HELLO", "3", "AUTH", "bob", "three")).contains("proto, 3");
                setup.first.call("ACL", "SETUSER", "bob", "<two");
                setup.second.call("ACL", "SETUSER", "bob", "<two");
                setup.first.call("PUBLISH", "news", "2");
                setup.hold();
                setup.first.call("PUBLISH", "news", "3");
                setup.mark();
                setup.turnAround();
                setup.second.call("PUBLISH", "news", "4");
                setup.proxy.letGo(setup.next()).join();
                for (int i = 2; i <= 4; i++) {
                    assertThat(client.reply().text()).isEqualTo("[message, news, " + i + "]");
                }
                assertThat(client.text("ACL", "WHOAMI")).isEqualTo("bob");
                assertThat(client.hasReplyWithin(50)).isFalse();
            }
        });
    }

    @TestFactory
    List<DynamicTest> aSwitchThatIsGivenUpLosesNoMessageEither(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            setup.replicate();
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                client.text("SUBSCRIBE", "news");
                for (int round = 0; round < 3; round++) {
                    setup.proxy.openAhead(setup.next(), MARK).join();
                    setup.first.call("PUBLISH", "news", "a" + round);
                    setup.hold();
                    setup.mark();
                    setup.first.call("PUBLISH", "news", "b" + round);
                    setup.proxy.letGo(ProxyFixture.route("old", setup.first, 1)).join();
                    setup.first.call("PUBLISH", "news", "c" + round);
                    for (String expected : List.of("a", "b", "c")) {
                        assertThat(client.reply().text()).isEqualTo("[message, news, " + expected + round + "]");
                    }
                }
                assertThat(client.hasReplyWithin(50)).isFalse();
            }
        });
    }

    @TestFactory
    List<DynamicTest> withoutAMarkOrAConnectionAheadASubscriberIsSubscribedAgain(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy);
                    RawClient other = ProxyFixture.client(setup.proxy)) {
                client.text("SUBSCRIBE", "news");
                setup.hold();
                setup.proxy.letGo(setup.next()).join();
                Await.until(LIMIT, "it is subscribed", () -> setup.second.number("PUBLISH", "news", "1") == 1);
                assertThat(client.reply().text()).isEqualTo("[message, news, 1]");
                setup.proxy.openAhead(ProxyFixture.route("old", setup.first, 3)).join();
                setup.hold();
                setup.proxy.letGo(ProxyFixture.route("old", setup.first, 3)).join();
                assertThat(other.text("PUBLISH", "news", "2")).isEqualTo("1");
                assertThat(client.reply().text()).isEqualTo("[message, news, 2]");
            }
        });
    }

    @TestFactory
    List<DynamicTest> subscribersThatComeAndGoWhileASwitchIsPreparedAreNoReasonToGiveItUp(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            setup.replicate();
            try (RawClient gone = ProxyFixture.client(setup.proxy);
                    RawClient stays = ProxyFixture.client(setup.proxy);
                    RawClient unsubscribes = ProxyFixture.client(setup.proxy)) {
                for (RawClient client : List.of(gone, stays, unsubscribes)) {
                    client.text("SUBSCRIBE", "news");
                }
                setup.second.stop();
                CompletableFuture<Void> ready = setup.proxy.openAhead(setup.next(), MARK);
                gone.leave();
                unsubscribes.text("UNSUBSCRIBE");
                setup.second.resume();
                ready.join();
                setup.hold();
                setup.mark();
                Await.until(
                        LIMIT,
                        "the replica has it all",
                        () -> setup.first
                                .info("replication", "master_repl_offset")
                                .equals(setup.second.info("replication", "slave_repl_offset")));
                setup.turnAround();
                setup.proxy.letGo(setup.next()).join();
                assertThat(unsubscribes.text("GET", "none")).isEmpty();
                setup.second.call("PUBLISH", "news", "1");
                assertThat(stays.reply().text()).isEqualTo("[message, news, 1]");
                Await.until(
                        LIMIT,
                        "one subscriber",
                        () -> setup.second
                                        .text("CLIENT", "LIST", "TYPE", "pubsub")
                                        .lines()
                                        .count()
                                == 1);
            }
        });
    }

    @TestFactory
    List<DynamicTest> aSubscriberWhoseConnectionBreaksIsClosedAsTheServersEndWouldCloseIt(@TempDir Path folder) {
        return onEveryServer(folder, setup -> {
            try (RawClient client = ProxyFixture.client(setup.proxy)) {
                client.text("SUBSCRIBE", "news");
                setup.first.call("CLIENT", "KILL", "TYPE", "pubsub");
                assertThat(client.readToEnd()).isEmpty();
            }
        });
    }
}
