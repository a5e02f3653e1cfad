package io.switchback.resp;

import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Where the keys of a command stand among its words, of which the name is number 0: what the servers' COMMAND says, and for movable keys
 * what COMMAND GETKEYS does. The channels of sharded publish and subscribe count as keys, since they have slots as those have.
 *
 * <p>Immutable.
 */
public sealed interface KeyPlaces {
    /** It has none. */
    KeyPlaces NONE = new None();

    /** Its first argument, and nothing else. */
    KeyPlaces FIRST = new First();

    /** No keys. */
    record None() implements KeyPlaces {}

    /** The word behind the name. */
    record First() implements KeyPlaces {}

    /**
     * Every {@code step}th word from {@code first} to {@code last}.
     *
     * @param last counted from the end where it is negative: -1 is the last word
     */
    record Range(int first, int last, int step) implements KeyPlaces {}

    /**
     * Their number stands at {@code count}, and they follow it, each at a distance of {@code step}.
     *
     * @param also one more key at this place; 0 for none
     */
    record Counted(int count, int step, int also) implements KeyPlaces {}

    /** The first half of what follows STREAMS (XREAD, XREADGROUP). */
    record Streams() implements KeyPlaces {}

    /** The first word, and what follows STORE or STOREDIST from word {@code from} on (GEORADIUS); where there are several, the servers do not agree which counts. */
    record GeoStore(int from) implements KeyPlaces {}

    /** The first word, and what follows the last STORE (SORT). */
    record SortStore() implements KeyPlaces {}

    /** The third word, or all that follow KEYS where that is empty. */
    record Migrate() implements KeyPlaces {}

    /** The second argument, behind one of these subcommands; behind others there is none. */
    record Behind(Pattern subcommands) implements KeyPlaces {}

    /** Two, behind the word KEYS (STRALGO). */
    record TwoBehindKeys() implements KeyPlaces {}

    /** Of the commands that have another place for their keys than {@link #FIRST}. */
    Map<String, KeyPlaces> OTHERS = others();

    private static Map<String, KeyPlaces> others() {
        Map<String, KeyPlaces> places = new HashMap<>();
        put(places, NONE, """
                acl asking auth bgrewriteaof bgsave client cluster clusterscan command commandlog config dbsize debug discard echo exec
                failover flushall flushdb function hello host: info keys lastsave latency lolwut module monitor multi pfselftest ping post
                psubscribe psync publish pubsub punsubscribe quit randomkey readonly readwrite replconf replicaof reset role save scan
                script select sentinel shutdown slaveof slowlog subscribe swapdb sync syncslots time unsubscribe unwatch wait waitaof
                """);
        put(places, new Range(1, -1, 1), """
                del exists mget pfcount pfmerge sdiff sdiffstore sinter sinterstore ssubscribe sunsubscribe sunion sunionstore touch
                unlink watch
                """);
        put(places, new Range(1, 2, 1), """
                blmove brpoplpush copy geosearchstore lcs lmove rename renamenx rpoplpush smove zrangestore
                """);
        put(places, new Range(1, -2, 1), "blpop brpop bzpopmax bzpopmin");
        put(places, new Range(1, -1, 2), "mset msetnx");
        put(places, new Range(2, -1, 1), "bitop");
        put(places, new Range(2, 2, 1), "pfdebug");
        put(places, new Counted(1, 1, 0), "lmpop sintercard zdiff zinter zintercard zmpop zunion");
        put(places, new Counted(1, 2, 0), "msetex");
        put(places, new Counted(2, 1, 0), "blmpop bzmpop eval eval_ro evalsha evalsha_ro fcall fcall_ro");
        put(places, new Counted(2, 1, 1), "zdiffstore zinterstore zunionstore");
        put(places, new Streams(), "xread xreadgroup");
        put(places, new GeoStore(5), "georadius georadiusbymember");
        put(places, new SortStore(), "sort");
        put(places, new Migrate(), "migrate");
        put(places, new TwoBehindKeys(), "stralgo");
        put(places, new Behind(Pattern.compile("usage")), "memory");
        put(places, new Behind(Pattern.compile("encoding|freq|idletime|refcount")), "object");
        put(places, new Behind(Pattern.compile("create|createconsumer|delconsumer|destroy|setid")), "xgroup");
        put(places, new Behind(Pattern.compile("consumers|groups|stream")), "xinfo");
        return Map.copyOf(places);
    }

    private static void put(Map<String, KeyPlaces> places, KeyPlaces place, String names) {
        Pattern.compile("\\s+").splitAsStream(names.strip()).forEach(name -> {
            if (places.put(name, place) != null) {
                throw new IllegalStateException("two places for the keys of " + name);
            }
        });
    }

    /** Of the command of that name, or of the container of that subcommand ({@code name|subcommand}). */
    static KeyPlaces of(String name) {
        int bar = name.indexOf('|');
        return OTHERS.getOrDefault(bar < 0 ? name : name.substring(0, bar), FIRST);
    }
}
