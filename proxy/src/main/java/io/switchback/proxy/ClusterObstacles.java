package io.switchback.proxy;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/**
 * What clients of a cache do that a cluster in its fleet's place would not do for them: as one node's traffic has shown it since {@link
 * CacheProxy#watchForCluster}.
 *
 * @param commands the one that was counted most first
 * @param databases those other than 0 that clients use, by number
 * @param notKept how often there was something that is not among {@code commands} or {@code databases}, since as many as are kept were there already
 */
public record ClusterObstacles(List<Obstacle> commands, List<DatabaseUse> databases, long notKept) {
    /** What a cluster has against a command. */
    public enum Why {
        /** Its keys are of several slots, and it cannot be split. */
        SEVERAL_SLOTS("its keys are of several slots"),
        /** It is queued in MULTI, or stands behind WATCH, and its keys are of another slot than those before it. */
        TRANSACTION("the keys of its transaction are of several slots"),
        /** It is queued in MULTI, and is about every shard. */
        EVERY_SHARD_IN_TRANSACTION("it is about every shard, and stands in a transaction"),
        /** It is refused by its name: it is about one server. */
        ONE_SERVER("it is about one server"),
        /** It leads to another database. */
        DATABASE("it is about another database"),
        /** SORT with keys that are made of a pattern. */
        PATTERN("it reads keys that a pattern makes, which may be of any slot"),
        /** A script or function that names no keys: where it uses some, it fails. */
        NO_KEYS("it names no keys; where it uses some all the same, it fails");

        private final String words;

        Why(String words) {
            this.words = words;
        }

        /** Whether a cluster refuses it; else it depends on what the script does. */
        public boolean isCertain() {
            return this != NO_KEYS;
        }

        /** As it is said of a command. */
        public String words() {
            return words;
        }
    }

    /**
     * One command, and one thing that a cluster has against it.
     *
     * @param command as a person writes it, with its subcommand
     * @param times how often it was sent
     * @param keys of which it was about when it was seen first, two at the most; a long one's beginning, and what is no printable text as {@code \xNN}
     * @param secondsAgo when it was last seen
     */
    public record Obstacle(String command, Why why, long times, List<String> keys, long secondsAgo) {
        public Obstacle {
            keys = List.copyOf(keys);
        }
    }

    /**
     * One database that a cluster does not have, as a rule.
     *
     * @param clients that are in it now
     * @param selected how often clients have selected it since the watch began
     */
    public record DatabaseUse(int number, int clients, long selected) {}

    public ClusterObstacles {
        commands = List.copyOf(commands);
        databases = List.copyOf(databases);
    }

    /** Nothing was seen, which is no proof that there is nothing. */
    public boolean isEmpty() {
        return commands.isEmpty() && databases.isEmpty() && notKept == 0;
    }

    static ClusterObstacles of(Collection<ObstacleWatch.Seen> loops, long nowNanos) {
        Map<String, Map<Why, ObstacleWatch.Entry>> sums = new HashMap<>();
        SortedMap<Integer, DatabaseUse> databases = new TreeMap<>();
        long notKept = 0;
        for (ObstacleWatch.Seen loop : loops) {
            loop.entries()
                    .forEach(one -> sums.computeIfAbsent(one.command(), any -> new EnumMap<>(Why.class))
                            .merge(one.why(), one, ObstacleWatch.Entry::plus));
            loop.selected()
                    .forEach((number, times) ->
                            databases.merge(number, new DatabaseUse(number, 0, times), ClusterObstacles::sum));
            loop.clients()
                    .forEach((number, clients) ->
                            databases.merge(number, new DatabaseUse(number, clients, 0), ClusterObstacles::sum));
            notKept += loop.notKept();
        }
        List<Obstacle> commands = new ArrayList<>();
        sums.values().stream()
                .flatMap(byWhy -> byWhy.values().stream())
                .map(one -> new Obstacle(
                        one.command(),
                        one.why(),
                        one.times(),
                        one.keys(),
                        TimeUnit.NANOSECONDS.toSeconds(Math.max(0, nowNanos - one.lastNanos()))))
                .sorted(Comparator.comparingLong(Obstacle::times)
                        .reversed()
                        .thenComparing(Obstacle::command)
                        .thenComparing(Obstacle::why))
                .forEach(commands::add);
        return new ClusterObstacles(commands, List.copyOf(databases.values()), notKept);
    }

    private static DatabaseUse sum(DatabaseUse a, DatabaseUse b) {
        return new DatabaseUse(a.number(), a.clients() + b.clients(), a.selected() + b.selected());
    }
}
