package io.switchback.proxy;

import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Which keys of a cache are hot and which are big, as one node's traffic shows it.
 *
 * @param requestsPerSecond all commands, lately
 * @param hot the hottest first; at most {@link #KEYS_MAX}
 * @param big the biggest first; at most {@link #KEYS_MAX}
 */
public record KeyReport(double requestsPerSecond, List<HotKey> hot, List<BigKey> big) {
    public static final int KEYS_MAX = 100;

    /** Standard deviations on both sides, between which 95 of 100 lie. */
    private static final double DEVIATIONS = 1.96;

    public KeyReport {
        hot = List.copyOf(hot);
        big = List.copyOf(big);
    }

    static KeyReport of(List<KeyTraffic.Counted> loops, long nowNanos) {
        double perSecond = 0;
        double missedPerSecond = 0;
        Map<KeyName, HotKeySum> sums = new HashMap<>();
        Map<KeyName, BigKeys.Seen> largest = new HashMap<>();
        for (KeyTraffic.Counted loop : loops) {
            double rate = TimeUnit.SECONDS.toNanos(1) / loop.lifeNanos();
            perSecond += loop.total() * rate;
            missedPerSecond += loop.missed() * rate;
            loop.heavy()
                    .forEach(one ->
                            sums.computeIfAbsent(one.key(), HotKeySum::new).add(one, rate));
            loop.big().forEach(one -> largest.merge(one.key(), one, KeyReport::largerOf));
        }
        return new KeyReport(
                perSecond, hot(sums.values(), perSecond, missedPerSecond), big(largest.values(), nowNanos));
    }

    private static List<HotKey> hot(Collection<HotKeySum> sums, double perSecond, double missedPerSecond) {
        return sums.stream()
                .sorted(Comparator.comparingDouble((HotKeySum sum) -> sum.perSecond)
                        .reversed())
                .limit(KEYS_MAX)
                .map(sum -> sum.shown(perSecond, missedPerSecond))
                .toList();
    }

    private static List<BigKey> big(Collection<BigKeys.Seen> seen, long nowNanos) {
        return seen.stream()
                .sorted(Comparator.comparingLong(BigKeys.Seen::bytes).reversed())
                .limit(KEYS_MAX)
                .map(one -> new BigKey(
                        one.key().toString(),
                        one.key().database(),
                        one.command().words(),
                        one.bytes(),
                        TimeUnit.NANOSECONDS.toSeconds(nowNanos - one.lastAtNanos())))
                .toList();
    }

    private static BigKeys.Seen largerOf(BigKeys.Seen a, BigKeys.Seen b) {
        return a.bytes() < b.bytes() ? b : a;
    }

    /** One key of all loops. */
    private static final class HotKeySum {
        private final KeyName key;
        private String command = "";
        private double commandPerSecond;
        private double perSecond;
        private double writesPerSecond;
        private double variance;
        private long bytes;

        HotKeySum(KeyName key) {
            this.key = key;
        }

        void add(HeavyKeys.Heavy one, double rate) {
            perSecond += one.weight() * rate;
            writesPerSecond += one.writes() * rate;
            variance += one.squares() * rate * rate;
            bytes = Math.max(bytes, one.bytes());
            if (one.weight() * rate >= commandPerSecond) {
                command = one.command().words();
                commandPerSecond = one.weight() * rate;
            }
        }

        HotKey shown(double allPerSecond, double missedPerSecond) {
            return new HotKey(
                    key.toString(),
                    key.database(),
                    command,
                    perSecond,
                    missedPerSecond + DEVIATIONS * Math.sqrt(variance),
                    allPerSecond > 0 ? Math.min(1, perSecond / allPerSecond) : 0,
                    perSecond > 0 ? writesPerSecond / perSecond : 0,
                    bytes);
        }
    }
}
