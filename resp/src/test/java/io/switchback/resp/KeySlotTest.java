package io.switchback.resp;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class KeySlotTest {

    /** The specification's own: CRC16 of 123456789 is 31C3; the others are what a server answers to CLUSTER KEYSLOT. */
    @Test
    void aKeyHasTheSlotThatTheSpecificationSays() {
        assertThat(slot("123456789")).isEqualTo(0x31c3);
        assertThat(slot("")).isZero();
        assertThat(slot("foo")).isEqualTo(12182);
        assertThat(slot("bar")).isEqualTo(5061);
        assertThat(slot("\0\377\r\n")).isEqualTo(KeySlot.of("\0\377\r\n".getBytes(ISO_8859_1)));
    }

    @Test
    void aHashTagCountsAloneAndAnEmptyOneDoesNot() {
        assertThat(slot("{user1000}.following")).isEqualTo(slot("user1000"));
        assertThat(slot("a{user1000}b{c}")).isEqualTo(slot("user1000"));
        assertThat(slot("foo{{bar}}zap")).isEqualTo(slot("{bar"));
        assertThat(slot("foo{bar}{zap}")).isEqualTo(slot("bar"));
        assertThat(slot("foo{}{bar}")).isEqualTo(crcOfAll("foo{}{bar}")).isNotEqualTo(slot("bar"));
        assertThat(slot("}{")).isEqualTo(crcOfAll("}{"));
        assertThat(slot("{bar")).isEqualTo(crcOfAll("{bar"));
    }

    /** CRC16 as its definition has it, bit by bit. */
    private static int crcOfAll(String key) {
        int crc = 0;
        for (byte b : key.getBytes(ISO_8859_1)) {
            for (int bit = 7; bit >= 0; bit--) {
                boolean carry = ((crc >>> 15) & 1) != ((b >>> bit) & 1);
                crc = ((crc << 1) & 0xffff) ^ (carry ? 0x1021 : 0);
            }
        }
        return crc % KeySlot.SLOTS;
    }

    private static int slot(String key) {
        ByteBuf in = Unpooled.copiedBuffer("ab" + key + "}cd", ISO_8859_1);
        int slot = KeySlot.of(in, 2, key.length());
        assertThat(KeySlot.of(key.getBytes(ISO_8859_1))).isEqualTo(slot);
        return slot;
    }

    @Test
    void theKeysOfACommandAreThoseOfTheServers() {
        assertThat(keys("GET", "a")).containsExactly("a");
        assertThat(keys("GET")).isEmpty();
        assertThat(keys("MSET", "a", "1", "b", "2")).containsExactly("a", "b");
        assertThat(keys("BLPOP", "a", "b", "0")).containsExactly("a", "b");
        assertThat(keys("EVAL", "return 1", "2", "a", "b", "c")).containsExactly("a", "b");
        assertThat(keys("EVAL", "return 1", "0", "c")).isEmpty();
        assertThat(keys("EVAL", "return 1", "3", "a", "b")).isEmpty();
        assertThat(keys("EVAL", "return 1", "x", "a", "b")).isEmpty();
        assertThat(keys("ZUNIONSTORE", "d", "2", "a", "b", "WEIGHTS", "1", "2")).containsExactly("d", "a", "b");
        assertThat(keys("XREAD", "COUNT", "1", "block", "0", "STREAMS", "a", "b", "0", "$"))
                .containsExactly("a", "b");
        assertThat(keys("XREADGROUP", "GROUP", "streams", "c", "NOACK", "STREAMS", "a", ">"))
                .containsExactly("a");
        assertThat(keys("XREAD", "STREAMS", "a", "b", "0")).isEmpty();
        assertThat(keys("SORT", "a", "BY", "store", "GET", "store", "STORE", "b", "STORE", "c"))
                .containsExactly("a", "c");
        assertThat(keys("GEORADIUS", "a", "1", "1", "1", "m", "STORE", "b", "STOREDIST", "c"))
                .containsExactly("a", "b", "c");
        assertThat(keys("EVAL", "return 1", " +1.5", "a")).containsExactly("a");
        assertThat(keys("EVAL", "return 1", "-1", "a")).isEmpty();
        assertThat(keys("MIGRATE", "h", "1", "", "0", "1", "AUTH", "keys", "KEYS", "a", "b"))
                .containsExactly("a", "b");
        assertThat(keys("MIGRATE", "h", "1", "k", "0", "1")).containsExactly("k");
        assertThat(keys("OBJECT", "ENCODING", "a")).containsExactly("a");
        assertThat(keys("OBJECT", "HELP")).isEmpty();
        assertThat(keys("XGROUP", "CREATE", "a", "g", "$")).containsExactly("a");
        assertThat(keys("MEMORY", "usage", "a")).containsExactly("a");
        assertThat(keys("MEMORY", "STATS")).isEmpty();
        assertThat(keys("STRALGO", "LCS", "IDX", "KEYS", "a", "b")).containsExactly("a", "b");
        assertThat(keys("PING", "a")).isEmpty();
    }

    @Test
    void theSlotOfACommandIsThatOfAllItsKeysOrNone() {
        assertThat(slotOf("GET", "{a}1")).isEqualTo(slot("a"));
        assertThat(slotOf("MGET", "{a}1", "{a}2")).isEqualTo(slot("a"));
        assertThat(slotOf("MGET", "a", "b")).isEqualTo(CommandKeys.SEVERAL_SLOTS);
        assertThat(slotOf("GET")).isEqualTo(CommandKeys.NO_SLOT);
        assertThat(slotOf("PING")).isEqualTo(CommandKeys.NO_SLOT);
    }

    private static List<String> keys(String... command) {
        ByteBuf in = Unpooled.wrappedBuffer("xx".getBytes(ISO_8859_1), CommandEncoder.encode(command));
        CommandKeys found = new CommandKeys();
        CommandRule rule = CommandTable.find(command[0]);
        int count = found.find(in, 2, rule == null ? KeyPlaces.NONE : rule.keys());
        return IntStream.range(0, count)
                .mapToObj(i -> new String(found.key(in, i), ISO_8859_1))
                .toList();
    }

    private static int slotOf(String... command) {
        ByteBuf in = Unpooled.wrappedBuffer("xx".getBytes(ISO_8859_1), CommandEncoder.encode(command));
        RequestScanner scanner = new RequestScanner(Integer.MAX_VALUE, "reserved:");
        scanner.next(in, 2);
        CommandRule rule = CommandTable.find(command[0]);
        return new CommandKeys().slot(in, 2, scanner, rule == null ? KeyPlaces.NONE : rule.keys());
    }
}
