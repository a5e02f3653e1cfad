package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.FleetWatch;
import io.switchback.fleet.ReservedKeys;
import io.switchback.testkit.Await;
import io.switchback.testkit.RealCluster;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.LongFunction;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * One client has shard channels of every shard, and channels beside, while switches lead from any kind of fleet to any other: each message is heard once, and those of a channel in
 * order.
 */
class ShardChannelSwitchTest {
    private static final int CHANNELS = 8;

    private static RealServer server;
    private static RealCluster three;
    private static RealCluster two;
    private static Map<String, Fleet> fleets;

    private CacheProxy proxy;
    private final List<FleetWatch> watches = new ArrayList<>();
    private long epoch;

    /** A fleet, and its primary for a channel. */
    private record Fleet(List<RealServer> primaries, LongFunction<BackendRoute> route) {
        RealServer of(String channel) {
            int size = primaries.size();
            int slot = RealCluster.slotOf(channel);
            return primaries.get(IntStream.range(0, size)
                    .filter(i -> slot < (i + 1) * RealCluster.SLOTS / size)
                    .findFirst()
                    .orElseThrow());
        }

        void publish(String channel, String message) {
            of(channel).call(channel.startsWith("all") ? "PUBLISH" : "SPUBLISH", channel, message);
        }

        void mark(String mark) {
            primaries.forEach(primary -> primary.call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, mark));
        }
    }

    @BeforeAll
    static void startFleets(@TempDir Path one, @TempDir Path more, @TempDir Path most) {
        server = ProxyFixture.server(one);
        two = RealCluster.start(ProxyFixture.binary(), more, 2, 0);
        three = RealCluster.start(ProxyFixture.binary(), most, 3, 0);
        fleets = new LinkedHashMap<>();
        fleets.put("server", new Fleet(List.of(server), epoch -> ProxyFixture.route("server", server, epoch)));
        fleets.put("two", new Fleet(two.nodes(), epoch -> ClusterFixture.route("two", two, epoch)));
        fleets.put("three", new Fleet(three.nodes(), epoch -> ClusterFixture.route("three", three, epoch)));
    }

    @AfterAll
    static void stopFleets() {
        three.close();
        two.close();
        server.close();
    }

    private static Fleet fleet(String name) {
        return Objects.requireNonNull(fleets.get(name));
    }

    @BeforeEach
    void start() {
        epoch = 1;
        proxy = ProxyFixture.proxy(fleet("server").route().apply(epoch), ProxyLimits.DEFAULT, 1);
        for (String name : List.of("two", "three")) {
            watches.add(ClusterFixture.watch(proxy, fleet(name).route().apply(epoch)));
        }
    }

    @AfterEach
    void stop() {
        watches.forEach(FleetWatch::close);
        proxy.close();
    }

    private String mark() {
        return "r." + epoch;
    }

    private void hold() {
        assertThat(ProxyFixture.hold(proxy, 5_000)).isInstanceOf(HoldOutcome.Held.class);
    }

    /** Without messages meanwhile, nor a mark. */
    private void switchTo(String to) {
        epoch++;
        proxy.openAhead(fleet(to).route().apply(epoch), mark()).join();
        hold();
        proxy.letGo(fleet(to).route().apply(epoch)).join();
    }

    private static List<String> channels(String prefix) {
        return IntStream.range(0, CHANNELS).mapToObj(i -> prefix + i).toList();
    }

    private static void subscribe(RawClient client, String channel) {
        client.send(channel.startsWith("all") ? "SUBSCRIBE" : "SSUBSCRIBE", channel);
        assertThat(client.reply().text()).contains("subscribe, " + channel);
    }

    /** Until the last messages have come: what each channel has brought. */
    private static Map<String, List<String>> heard(RawClient client, List<String> channels, String last) {
        Map<String, List<String>> heard = new LinkedHashMap<>();
        channels.forEach(channel -> heard.put(channel, new ArrayList<>()));
        while (heard.values().stream().anyMatch(messages -> !messages.contains(last))) {
            assertThat(client.hasReplyWithin(10_000))
                    .as("heard so far: %s", heard)
                    .isTrue();
            List<String> message =
                    List.of(client.reply().text().replaceAll("[\\[\\]]", "").split(", ", -1));
            assertThat(message).hasSize(3);
            heard.computeIfAbsent(message.get(1), none -> new ArrayList<>()).add(message.get(2));
        }
        assertThat(client.hasReplyWithin(50)).isFalse();
        return heard;
    }

    private static Map<String, List<String>> each(List<String> channels, String... messages) {
        Map<String, List<String>> each = new LinkedHashMap<>();
        channels.forEach(channel -> each.put(channel, List.of(messages)));
        return each;
    }

    /** One client's subscriptions come from the switch before, one's from between, and one subscribes to most while the next switch is prepared already. */
    @Test
    void everyMessageIsHeardOnceFromAnyFleetToAnyOther() {
        try (RawClient stays = ProxyFixture.client(proxy);
                RawClient anew = ProxyFixture.client(proxy);
                RawClient late = ProxyFixture.client(proxy)) {
            stays.text("HELLO", "3");
            List<String> ofShards = channels("c");
            List<String> all = new ArrayList<>(ofShards);
            all.addAll(List.of("all1", "all2"));
            all.forEach(channel -> subscribe(stays, channel));
            String from = "server";
            for (String to : List.of("three", "two", "server", "two", "three", "server")) {
                all.forEach(channel -> subscribe(anew, channel));
                subscribe(late, ofShards.getFirst());
                switchUnderMessages(fleet(from), fleet(to), Map.of(stays, all, anew, all, late, ofShards), late);
                unsubscribe(anew, all);
                unsubscribe(late, ofShards);
                from = to;
            }
            unsubscribe(stays, all);
        }
    }

    private static void unsubscribe(RawClient client, List<String> channels) {
        client.send("SUNSUBSCRIBE");
        for (int left = CHANNELS - 1; left >= 0; left--) {
            assertThat(client.reply().text()).matches("\\[sunsubscribe, \\w+, " + left + "]");
        }
        if (channels.contains("all1")) {
            assertThat(client.text("UNSUBSCRIBE", "all1")).isEqualTo("[unsubscribe, all1, 1]");
            assertThat(client.text("UNSUBSCRIBE", "all2")).isEqualTo("[unsubscribe, all2, 0]");
        }
        assertThat(client.text("SET", "k", "v")).isEqualTo("OK");
    }

    private void switchUnderMessages(Fleet from, Fleet to, Map<RawClient, List<String>> clients, RawClient late) {
        epoch++;
        Set<String> all = new TreeSet<>();
        clients.values().forEach(all::addAll);
        all.forEach(channel -> from.publish(channel, "1"));
        proxy.openAhead(to.route().apply(epoch), mark()).join();
        clients.forEach((client, channels) -> {
            List<String> some = client == late ? channels.subList(0, 1) : channels;
            assertThat(heard(client, some, "1")).isEqualTo(each(some, "1"));
        });
        List<String> others = channels("c").subList(1, CHANNELS);
        others.forEach(channel -> subscribe(late, channel));
        all.forEach(channel -> from.publish(channel, "2"));
        hold();
        all.forEach(channel -> from.publish(channel, "3"));
        // The cluster bus is awaited, as a switch awaits it; what is published to shard channels does not take it.
        clients.forEach(
                (client, channels) -> assertThat(heard(client, channels, "3")).isEqualTo(each(channels, "2", "3")));
        channels("c").forEach(channel -> {
            from.publish(channel, "3a");
            to.publish(channel, "3a"); // as a link brings it that has not come as far as the mark
        });
        from.mark(mark());
        all.forEach(channel -> from.publish(channel, "4"));
        to.mark(mark());
        all.forEach(channel -> to.publish(channel, "4"));
        proxy.letGo(to.route().apply(epoch)).join();
        all.forEach(channel -> to.publish(channel, "5"));
        clients.forEach((client, channels) -> {
            Map<String, List<String>> expected = each(channels, "3a", "4", "5");
            expected.replaceAll((channel, messages) -> channel.startsWith("all") ? List.of("4", "5") : messages);
            assertThat(heard(client, channels, "5")).isEqualTo(expected);
        });
    }

    @Test
    void aSwitchThatIsGivenUpLosesNoMessageEither() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            List<String> channels = channels("c");
            channels.forEach(channel -> subscribe(client, channel));
            switchTo("three");
            for (int round = 0; round < 3; round++) {
                long before = epoch;
                epoch++;
                channels.forEach(channel -> fleet("three").publish(channel, "1"));
                proxy.openAhead(fleet("two").route().apply(epoch), mark()).join();
                hold();
                channels.forEach(channel -> fleet("three").publish(channel, "2"));
                fleet("three").mark(mark());
                channels.forEach(channel -> fleet("three").publish(channel, "3"));
                fleet("two").mark(mark());
                epoch = before;
                proxy.letGo(fleet("three").route().apply(epoch)).join();
                channels.forEach(channel -> fleet("three").publish(channel, "4"));
                assertThat(heard(client, channels, "4")).isEqualTo(each(channels, "1", "2", "3", "4"));
            }
        }
    }

    /** A shard that lags brings what was published before the mark later than the next fleet brings what was published afterwards. */
    @Test
    void whatTheNextFleetBringsWaitsForEveryShardOfTheFormerOne() {
        List<RealServer> slow = three.nodes().subList(1, 3);
        List<String> channels =
                three.nodes().stream().map(node -> three.keyOn(node, "c")).toList();
        try (RawClient client = ProxyFixture.client(proxy)) {
            channels.forEach(channel -> subscribe(client, channel));
            switchTo("three");
            epoch++;
            proxy.openAhead(fleet("two").route().apply(epoch), mark()).join();
            hold();
            slow.forEach(RealServer::stop);
            try {
                three.nodes().getFirst().call("PUBLISH", ReservedKeys.SWITCH_CHANNEL, mark());
                fleet("two").mark(mark());
                proxy.letGo(fleet("two").route().apply(epoch)).join();
                channels.forEach(channel -> fleet("two").publish(channel, "5"));
                slow.getFirst().resume();
                Await.until(
                        ClusterFixture.LIMIT,
                        "the first of them has brought its mark",
                        () -> String.valueOf(slow.getFirst().call("PUBSUB", "NUMSUB", ReservedKeys.SWITCH_CHANNEL))
                                .contains(", 0]"));
                assertThat(client.hasReplyWithin(100)).isFalse();
            } finally {
                slow.forEach(RealServer::resume);
            }
            assertThat(heard(client, channels, "5")).isEqualTo(each(channels, "5"));
        }
        three.awaitOk();
    }

    /** Where nothing was opened ahead, all of it is subscribed to anew, wherever it belongs. */
    @Test
    void withoutConnectionsAheadAllIsSubscribedToAnew() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            List<String> channels = new ArrayList<>(channels("c"));
            channels.add("all");
            channels.forEach(channel -> subscribe(client, channel));
            for (String to : List.of("three", "two", "server")) {
                epoch++;
                hold();
                proxy.letGo(fleet(to).route().apply(epoch)).join();
                awaitSubscribers(fleet(to), channels);
                channels.forEach(channel -> fleet(to).publish(channel, "1"));
                assertThat(heard(client, channels, "1")).isEqualTo(each(channels, "1"));
            }
        }
    }

    private static void awaitSubscribers(Fleet fleet, List<String> channels) {
        for (String channel : channels) {
            String question = channel.startsWith("all") ? "NUMSUB" : "SHARDNUMSUB";
            Supplier<Stream<RealServer>> asked =
                    () -> channel.startsWith("all") ? fleet.primaries().stream() : Stream.of(fleet.of(channel));
            Await.until(
                    ClusterFixture.LIMIT,
                    "somebody has subscribed to " + channel,
                    () -> asked.get()
                            .anyMatch(node -> String.valueOf(node.call("PUBSUB", question, channel))
                                    .contains("1]")));
        }
    }
}
