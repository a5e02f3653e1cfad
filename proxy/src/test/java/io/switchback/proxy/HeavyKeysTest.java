package io.switchback.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.switchback.resp.CommandRule;
import io.switchback.resp.CommandTable;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The sketch of hot keys against exact counts, and that neither it nor the list of big keys grows. */
class HeavyKeysTest {
    private static final CommandRule GET = rule("get");
    private static final CommandRule SET = rule("set");
    private static final long SECRET = 42;

    private static CommandRule rule(String name) {
        return Objects.requireNonNull(CommandTable.find(name));
    }

    private static void name(HeavyKeys keys, String key, CommandRule command, double weight) {
        ByteBuf bytes = Unpooled.copiedBuffer(key, UTF_8);
        keys.named(0, bytes, 0, bytes.readableBytes(), command, weight);
    }

    private static Map<String, HeavyKeys.Heavy> counted(HeavyKeys keys) {
        return keys.counted().stream().collect(Collectors.toMap(one -> one.key().toString(), one -> one));
    }

    private static HeavyKeys.Heavy counted(HeavyKeys keys, String key) {
        return Objects.requireNonNull(counted(keys).get(key));
    }

    /** Weights as they come of a rate that goes up and down; fading now and then; a million keys that come once. */
    @Test
    void noCountIsTooHighOrTooLowByMoreThanTheBoundAmongAMillionKeys() {
        Random random = new Random(7);
        HeavyKeys keys = new HeavyKeys(SECRET);
        Map<String, Double> exact = new HashMap<>();
        double total = 0;
        for (int i = 0; i < 1_000_000; i++) {
            int weight = 1 + random.nextInt(50);
            String hot = "hot:" + Math.min(19, (int) (-Math.log(random.nextDouble()) * 5));
            String key = random.nextInt(10) == 0 ? hot : "once:" + i;
            name(keys, key, GET, weight);
            total += weight;
            if (key.equals(hot)) {
                exact.merge(key, (double) weight, Double::sum);
            }
            if (i % 50_000 == 49_999) {
                keys.fade(0.9);
                exact.replaceAll((any, so) -> so * 0.9);
                total *= 0.9;
                assertThat(keys.counted()).hasSizeLessThanOrEqualTo(HeavyKeys.KEYS_MAX);
            }
        }
        assertThat(keys.counted()).hasSizeLessThanOrEqualTo(HeavyKeys.KEYS_MAX);
        assertThat(keys.missed()).isPositive().isLessThanOrEqualTo(total / (HeavyKeys.KEYS_MAX / 2));
        Map<String, HeavyKeys.Heavy> found = counted(keys);
        exact.forEach((key, so) -> {
            if (so > keys.missed()) {
                assertThat(found).containsKey(key);
            }
            HeavyKeys.Heavy one = found.get(key);
            double counted = one == null ? 0 : one.weight();
            assertThat(counted).as(key).isBetween(so - keys.missed() - 1e-6, so + 1e-6);
        });
        assertThat(exact.get("hot:0")).isGreaterThan(keys.missed());
    }

    @Test
    void whatIsNotNamedAnyMoreIsForgotten() {
        HeavyKeys keys = new HeavyKeys(SECRET);
        name(keys, "k", GET, 1_000);
        keys.fade(0.5);
        assertThat(counted(keys, "k").weight()).isEqualTo(500);
        for (int i = 0; i < 20; i++) {
            keys.fade(0.5);
        }
        assertThat(keys.counted()).isEmpty();
    }

    @Test
    void theCommandIsTheOneThatNamesItMost() {
        HeavyKeys keys = new HeavyKeys(SECRET);
        for (int i = 0; i < 300; i++) {
            name(keys, "k", i % 3 == 0 ? GET : SET, 1);
        }
        HeavyKeys.Heavy counted = counted(keys, "k");
        assertThat(counted.command()).isEqualTo(SET);
        assertThat(counted.writes() / counted.weight()).isBetween(0.6, 0.7);
    }

    @Test
    void keysAreToldApartByDatabaseAndByWhatIsBehindTheirBeginning() {
        HeavyKeys keys = new HeavyKeys(SECRET);
        String head = "x".repeat(KeyName.BYTES_MAX);
        name(keys, head + "a", GET, 1);
        name(keys, head + "b", GET, 1);
        name(keys, head, GET, 1);
        ByteBuf other = Unpooled.copiedBuffer(head, UTF_8);
        keys.named(1, other, 0, other.readableBytes(), GET, 1);
        assertThat(keys.counted()).hasSize(4);
        assertThat(keys.counted().stream().map(one -> one.key().toString()))
                .containsExactlyInAnyOrder(head, head, head + "... (257 bytes)", head + "... (257 bytes)");
    }

    @Test
    void whatIsNoTextIsShownAsBytes() {
        ByteBuf binary = Unpooled.wrappedBuffer(new byte[] {'a', 0, (byte) 0xff, '\\', '\n'});
        assertThat(KeyName.copy(SECRET, 0, binary, 0, 5)).hasToString("a\\x00\\xff\\\\\\x0a");
        ByteBuf text = Unpooled.copiedBuffer("größe\r", UTF_8);
        assertThat(KeyName.copy(SECRET, 0, text, 0, text.readableBytes())).hasToString("größe\\x0d");
    }

    @Test
    void ofThousandsOfBigKeysTheBiggestAreKept() {
        BigKeys keys = new BigKeys();
        Random random = new Random(3);
        int[] sizes = random.ints(5_000, 1, 1_000_000).toArray();
        for (int i = 0; i < sizes.length; i++) {
            ByteBuf key = Unpooled.copiedBuffer("big:" + i, UTF_8);
            keys.saw(KeyName.copy(SECRET, 0, key, 0, key.readableBytes()), GET, sizes[i], i);
        }
        long[] biggest = Arrays.stream(sizes)
                .sorted()
                .skip(sizes.length - BigKeys.KEYS_MAX)
                .asLongStream()
                .toArray();
        assertThat(keys.seen(sizes.length).stream()
                        .mapToLong(BigKeys.Seen::bytes)
                        .sorted()
                        .toArray())
                .isEqualTo(biggest);
        assertThat(keys.seen(sizes.length + BigKeys.KEPT_NANOS + TimeUnit.SECONDS.toNanos(1)))
                .isEmpty();
    }
}
