package io.switchback.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import io.switchback.fleet.ReservedKeys;
import io.switchback.resp.Reply;
import io.switchback.testkit.RealServer;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Switchback's own keys are not there for clients; SCAN misses nothing over a switch. */
class ReservedKeysTest {
    private RealServer first;
    private RealServer second;
    private CacheProxy proxy;

    @BeforeEach
    void start(@TempDir Path one, @TempDir Path two) {
        first = ProxyFixture.server(one);
        second = ProxyFixture.server(two);
        for (RealServer server : List.of(first, second)) {
            server.call("SET", ReservedKeys.TOKEN, "7");
        }
        proxy = ProxyFixture.proxy(ProxyFixture.route("old", first, 1));
    }

    @AfterEach
    void stop() {
        proxy.close();
        first.close();
        second.close();
    }

    @Test
    void theyAreNotShown() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(client.text("DBSIZE")).isEqualTo("0");
            assertThat(client.call("RANDOMKEY")).isEqualTo(new Reply.Nil());
            client.text("SET", "sw", "1");
            assertThat(client.text("KEYS", "*")).isEqualTo("[sw]");
            assertThat(client.text("KEYS", "s*")).isEqualTo("[sw]");
            assertThat(client.text("KEYS", "x*")).isEqualTo("[]");
            assertThat(client.text("KEYS")).startsWith("-ERR wrong number");
            assertThat(client.text("RANDOMKEY")).isEqualTo("sw");
            assertThat(client.text("DBSIZE")).isEqualTo("1");
            first.call("SET", ReservedKeys.marker("reverse"), "1:2");
            proxy.reservedKeys(List.of(ReservedKeys.marker("forward"), ReservedKeys.marker("reverse")));
            assertThat(client.text("DBSIZE")).isEqualTo("1");
            assertThat(client.text("SCAN", "0", "COUNT", "1000")).isEqualTo("[0, [sw]]");
        }
    }

    @Test
    void noArgumentMayNameThem() {
        try (RawClient client = ProxyFixture.client(proxy)) {
            for (String[] command : new String[][] {
                {"GET", ReservedKeys.TOKEN},
                {"DEL", "a", ReservedKeys.TOKEN, "b"},
                {"RENAME", ReservedKeys.TOKEN, "mine"},
                {"EVAL", "return redis.call('GET', KEYS[1])", "1", ReservedKeys.marker("x")}
            }) {
                assertThat(client.text(command)).contains("are Switchback's own");
            }
            client.sendRaw("GET " + ReservedKeys.TOKEN + "\r\n");
            assertThat(client.reply().text()).contains("are Switchback's own");
            assertThat(client.text("SET", "k", "about " + ReservedKeys.TOKEN)).isEqualTo("OK");
            assertThat(first.text("GET", ReservedKeys.TOKEN)).isEqualTo("7");
        }
    }

    @Test
    void scanTellsEveryKeyWithSmallCursors() {
        fill(first, 2000);
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(walk(client, -1)).hasSize(2000);
        }
    }

    @Test
    void aScanThatIsOverrunByASwitchStartsAgainAndMissesNothing() {
        fill(first, 2000);
        fill(second, 2000);
        try (RawClient client = ProxyFixture.client(proxy)) {
            assertThat(walk(client, 20)).hasSize(2000);
        }
    }

    @Test
    void aHashIsWalkedOverASwitchToo() {
        for (RealServer server : List.of(first, second)) {
            for (int i = 0; i < 1000; i++) {
                server.call("HSET", "h", "f" + i, "v");
            }
        }
        Set<String> fields = new HashSet<>();
        try (RawClient client = ProxyFixture.client(proxy)) {
            String cursor = "0";
            int steps = 0;
            do {
                if (steps++ == 10) {
                    switchOver();
                }
                Reply.Array reply = (Reply.Array) client.call("HSCAN", "h", cursor);
                cursor = reply.elements().get(0).text();
                List<Reply> pairs = ((Reply.Array) reply.elements().get(1)).elements();
                for (int i = 0; i < pairs.size(); i += 2) {
                    fields.add(pairs.get(i).text());
                }
            } while (!cursor.equals("0"));
        }
        assertThat(fields).hasSize(1000);
    }

    private static void fill(RealServer server, int count) {
        server.call("EVAL", "for i=1,tonumber(ARGV[1]) do redis.call('SET','k'..i,i) end", "0", "" + count);
    }

    private Set<String> walk(RawClient client, int switchAfter) {
        Set<String> keys = new HashSet<>();
        String cursor = "0";
        int steps = 0;
        do {
            if (steps++ == switchAfter) {
                switchOver();
            }
            Reply.Array reply = (Reply.Array) client.call("SCAN", cursor);
            cursor = reply.elements().get(0).text();
            assertThat(Long.parseLong(cursor)).isLessThan(1L << 53);
            ((Reply.Array) reply.elements().get(1)).elements().forEach(key -> keys.add(key.text()));
            assertThat(steps).isLessThan(10_000);
        } while (!cursor.equals("0"));
        return keys;
    }

    private void switchOver() {
        assertThat(ProxyFixture.hold(proxy, 2000)).isInstanceOf(HoldOutcome.Held.class);
        proxy.letGo(ProxyFixture.route("new", second, 2)).join();
    }

    @Test
    void cursorsOfAnotherEpochOrOfNobodyBeginAtTheBeginning() {
        assertThat(ScanCursor.toServer(ScanCursor.toClient(17, 3), 3)).isEqualTo(17);
        assertThat(ScanCursor.toServer(ScanCursor.toClient(17, 3), 4)).isZero();
        assertThat(ScanCursor.toServer(17, 3)).isZero();
        assertThat(ScanCursor.toClient(0, 3)).isZero();
        long greatest = (1L << ScanCursor.POSITION_BITS) - 1;
        for (long epoch : new long[] {0, 1, 4094, 4095, 4096, Long.MAX_VALUE}) {
            assertThat(ScanCursor.toClient(greatest, epoch)).isBetween(1L, (1L << 53) - 1);
            assertThat(ScanCursor.toServer(ScanCursor.toClient(greatest, epoch), epoch))
                    .isEqualTo(greatest);
        }
        assertThat(ScanCursor.fits(greatest)).isTrue();
        assertThat(ScanCursor.fits(greatest + 1)).isFalse();
    }
}
