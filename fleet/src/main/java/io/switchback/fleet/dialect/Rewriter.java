package io.switchback.fleet.dialect;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Puts single commands into words that an older target knows, to the same effect. Immutable, for any thread.
 *
 * <p>Invariant: the same command gives the same number of bytes, always.
 *
 * <p>A time that is relative counts from this machine's wall clock at the moment of the rewriting; that is late by as long as
 * the command was on its way.
 */
final class Rewriter {
    /** Times to live below this (some 120 years) end, added to any clock of this century, in a number of 13 digits. */
    private static final long RELATIVE_MS_MAX = 3_800_000_000_000L;

    /** 2026-01-01 UTC: longer times to live count from here, so that their length does not depend on when they are rewritten. */
    private static final long FIXED_CLOCK_MS = 1_767_225_600_000L;

    private static final byte[] PXAT = Words.bytes("PXAT");
    private static final byte[] ABSTTL = Words.bytes("ABSTTL");
    private static final byte[] ZERO = Words.bytes("0");
    private static final byte[] NOTHING = new byte[0];

    private final Dialect target;
    private final boolean knowsPxat;
    private final boolean knowsFieldExpiry;
    private final boolean knowsScripts;

    Rewriter(Dialect target) {
        this.target = target;
        this.knowsPxat = Since.REDIS_6_2.knows(target.version());
        this.knowsFieldExpiry = Since.FIELD_EXPIRY.knows(target.version());
        this.knowsScripts = target.commands().shape("eval").isPresent();
    }

    /** What goes out in place of {@code command}, which the source ran at {@code ranAtMs}: relative times count from there. */
    Translation rewrite(Rewriting rewriting, byte[][] command, boolean insideTransaction, LongSupplier ranAtMs) {
        try {
            @Nullable List<byte[][]> commands = commands(rewriting, command, ranAtMs);
            if (commands == null) {
                return Translation.Unchanged.INSTANCE;
            }
            return new Translation.Rewritten(
                    commands.size() > 1 && !insideTransaction ? transaction(commands) : commands);
        } catch (NotPossible e) {
            return new Translation.Impossible(Words.text(command[0]) + ": " + e.why);
        }
    }

    private @Nullable List<byte[][]> commands(Rewriting rewriting, byte[][] c, LongSupplier ranAtMs)
            throws NotPossible {
        return switch (rewriting) {
            case NONE -> throw new NotPossible("it is unknown to " + target.version());
            case NOTHING -> List.of();
            case SET -> set(c, ranAtMs);
            case SETEX ->
                setWithTime(
                        need(c, 1), need(c, 3), time(Words.is(c[0], "SETEX") ? "EX" : "PX", c[2], ranAtMs), List.of());
            case EXPIRE -> expire(c, ranAtMs);
            case RESTORE -> restore(c, ranAtMs);
            case FUNCTION_RESTORE -> {
                checkPayload(need(c, 2));
                yield null;
            }
            case MSETEX -> msetex(c, ranAtMs);
            case DEL -> one("DEL", need(c, 1));
            case HDEL -> hdel(c);
            case HSETEX -> hsetex(c, ranAtMs);
            case POP_COUNT -> popCount(c);
            case LMOVE -> lmove(c);
            case COPY -> copy(c);
            case ZADD -> zadd(c);
            case ZRANGESTORE -> zrangestore(c);
            case ZDIFFSTORE -> zdiffstore(c);
            case GEORADIUS -> georadius(c);
            case GEOSEARCHSTORE -> geosearchstore(c);
            case XTRIM -> xtrim(c, 2, c[1]);
            case XADD -> xadd(c);
            case XCLAIM -> xclaim(c);
            case XDELEX -> xdelex(c);
            case CREATECONSUMER ->
                one("XREADGROUP", "GROUP", need(c, 3), need(c, 4), "COUNT", "1", "STREAMS", c[2], "0");
        };
    }

    // Strings and times

    private List<byte[][]> set(byte[][] c, LongSupplier ranAtMs) throws NotPossible {
        long atMs = 0;
        boolean timed = false;
        List<byte[]> others = new ArrayList<>();
        for (int i = 3; i < c.length; i++) {
            if (isTime(c[i])) {
                atMs = time(Words.text(c[i]), need(c, i + 1), ranAtMs);
                timed = true;
                i++;
            } else {
                others.add(c[i]);
                if (isComparison(c[i])) {
                    others.add(need(c, ++i));
                }
            }
        }
        if (!timed) {
            List<Object> words = new ArrayList<>(List.of("SET", c[1], c[2]));
            words.addAll(others);
            return List.<byte[][]>of(command(words));
        }
        return setWithTime(c[1], c[2], atMs, others);
    }

    /** Below 6.2 conditions are left out: they held, and PEXPIREAT must not run without its SET. */
    private List<byte[][]> setWithTime(byte[] key, byte[] value, long atMs, List<byte[]> others) {
        byte[] at = Words.bytes(atMs);
        if (!knowsPxat) {
            return List.of(command(List.of("SET", key, value)), command(List.of("PEXPIREAT", key, at)));
        }
        List<Object> words = new ArrayList<>(List.of("SET", key, value));
        words.addAll(others);
        words.add(PXAT);
        words.add(at);
        return List.<byte[][]>of(command(words));
    }

    private static boolean isTime(byte[] word) {
        return Words.is(word, "EX") || Words.is(word, "PX") || Words.is(word, "EXAT") || Words.is(word, "PXAT");
    }

    private static boolean isComparison(byte[] word) {
        return Words.is(word, "IFEQ") || Words.is(word, "IFNE") || Words.is(word, "IFDEQ") || Words.is(word, "IFDNE");
    }

    /** The point in time, in milliseconds, that a word of this kind names. */
    private long time(String kind, byte[] word, LongSupplier ranAtMs) throws NotPossible {
        long number = Words.number(word);
        if (number == Long.MIN_VALUE || Math.abs(number) > Long.MAX_VALUE / 4000) {
            throw new NotPossible("\"" + Words.text(word) + "\" is no time");
        }
        return switch (kind) {
            case "EX" -> absolute(number * 1000, ranAtMs);
            case "PX" -> absolute(number, ranAtMs);
            case "EXAT" -> number * 1000;
            default -> number;
        };
    }

    private static long absolute(long inMs, LongSupplier ranAtMs) {
        return inMs < RELATIVE_MS_MAX && inMs > -FIXED_CLOCK_MS / 2
                ? ranAtMs.getAsLong() + inMs
                : FIXED_CLOCK_MS + inMs;
    }

    private List<byte[][]> expire(byte[][] c, LongSupplier ranAtMs) throws NotPossible {
        long atMs = time(Words.is(c[0], "EXPIRE") ? "EX" : "PX", need(c, 2), ranAtMs);
        List<Object> words = new ArrayList<>(List.of("PEXPIREAT", c[1], Words.bytes(atMs)));
        words.addAll(Arrays.asList(c).subList(3, c.length));
        return List.<byte[][]>of(command(words));
    }

    private @Nullable List<byte[][]> restore(byte[][] c, LongSupplier ranAtMs) throws NotPossible {
        checkPayload(need(c, 3));
        boolean absolute = false;
        for (int i = 4; i < c.length; i++) {
            absolute |= Words.is(c[i], "ABSTTL");
        }
        if (absolute || Words.number(c[2]) == 0) {
            return null;
        }
        List<Object> words = new ArrayList<>(Arrays.asList(c));
        words.set(2, Words.bytes(time("PX", c[2], ranAtMs)));
        words.add(ABSTTL);
        return List.<byte[][]>of(command(words));
    }

    private void checkPayload(byte[] payload) throws NotPossible {
        @Nullable String refusal = Payload.refusal(payload, target.version());
        if (refusal != null) {
            throw new NotPossible(refusal);
        }
    }

    private List<byte[][]> msetex(byte[][] c, LongSupplier ranAtMs) throws NotPossible {
        int pairs = count(c, 1, 2);
        long atMs = 0;
        boolean timed = false;
        boolean keepsTime = false;
        for (int i = 2 + 2 * pairs; i < c.length; i++) {
            keepsTime |= Words.is(c[i], "KEEPTTL");
            if (isTime(c[i])) {
                atMs = time(Words.text(c[i]), need(c, i + 1), ranAtMs);
                timed = true;
                i++;
            }
        }
        List<byte[][]> commands = new ArrayList<>();
        if (!timed && !keepsTime) {
            List<Object> words = new ArrayList<>(List.of("MSET"));
            words.addAll(Arrays.asList(c).subList(2, 2 + 2 * pairs));
            return List.<byte[][]>of(command(words));
        }
        for (int i = 2; i < 2 + 2 * pairs; i += 2) {
            if (timed) {
                commands.addAll(setWithTime(c[i], c[i + 1], atMs, List.of()));
            } else {
                commands.add(command(List.of("SET", c[i], c[i + 1], "KEEPTTL")));
            }
        }
        return commands;
    }

    // Hashes

    private List<byte[][]> hdel(byte[][] c) throws NotPossible {
        int at = fields(c, 2);
        List<Object> words = new ArrayList<>(List.of("HDEL", c[1]));
        words.addAll(Arrays.asList(c).subList(at + 1, at + 1 + count(c, at, 1)));
        return List.<byte[][]>of(command(words));
    }

    private List<byte[][]> hsetex(byte[][] c, LongSupplier ranAtMs) throws NotPossible {
        int at = fields(c, 2);
        int pairs = count(c, at, 2);
        List<Object> hset = new ArrayList<>(List.of("HSET", c[1]));
        List<Object> names = new ArrayList<>();
        for (int i = at + 1; i < at + 1 + 2 * pairs; i += 2) {
            hset.add(c[i]);
            hset.add(c[i + 1]);
            names.add(c[i]);
        }
        byte[] atMs = NOTHING;
        for (int i = 2; i < at - 1; i++) {
            if (isTime(c[i])) {
                atMs = Words.bytes(time(Words.text(c[i]), need(c, i + 1), ranAtMs));
                i++;
            } else if (Words.is(c[i], "KEEPTTL") && knowsFieldExpiry) {
                throw new NotPossible("KEEPTTL of hash fields is unknown to " + target.version());
            }
        }
        if (atMs.length == 0) {
            return List.<byte[][]>of(command(hset));
        }
        List<Object> expiry = new ArrayList<>(List.of("HPEXPIREAT", c[1], atMs, "FIELDS", Words.bytes(pairs)));
        expiry.addAll(names);
        return List.of(command(hset), command(expiry));
    }

    /** The index after the word FIELDS, where their count stands. */
    private static int fields(byte[][] c, int from) throws NotPossible {
        for (int i = from; i < c.length - 1; i++) {
            if (Words.is(c[i], "FIELDS")) {
                return i + 1;
            }
        }
        throw new NotPossible("no FIELDS in it");
    }

    // Lists and keys

    private List<byte[][]> popCount(byte[][] c) throws NotPossible {
        long count = Words.number(need(c, 2));
        if (count < 0) {
            throw new NotPossible("\"" + Words.text(c[2]) + "\" is no count");
        }
        return Words.is(c[0], "LPOP")
                ? one("LTRIM", c[1], Words.bytes(count), "-1")
                : one("LTRIM", c[1], "0", Words.bytes(-count - 1));
    }

    private List<byte[][]> lmove(byte[][] c) throws NotPossible {
        boolean fromLeft = Words.is(need(c, 3), "LEFT");
        boolean toLeft = Words.is(need(c, 4), "LEFT");
        if (!fromLeft && toLeft) {
            return one("RPOPLPUSH", c[1], c[2]);
        }
        return script(
                Scripts.LMOVE,
                List.of(c[1], c[2]),
                List.of(fromLeft ? "0" : "-1", toLeft ? "LPUSH" : "RPUSH", fromLeft ? "LPOP" : "RPOP"));
    }

    private List<byte[][]> copy(byte[][] c) throws NotPossible {
        List<Object> database = new ArrayList<>();
        for (int i = 3; i < c.length; i++) {
            if (Words.is(c[i], "DB")) {
                database.add(need(c, ++i));
            }
        }
        return script(Scripts.COPY, List.of(need(c, 1), need(c, 2)), database);
    }

    // Sorted sets

    private List<byte[][]> zadd(byte[][] c) throws NotPossible {
        String compare = "";
        String exists = "";
        boolean increments = false;
        int at = 2;
        for (; at < c.length; at++) {
            if (Words.is(c[at], "GT") || Words.is(c[at], "LT")) {
                compare = Words.text(c[at]);
            } else if (Words.is(c[at], "XX")) {
                exists = "XX";
            } else if (Words.is(c[at], "INCR")) {
                increments = true;
            } else if (!Words.is(c[at], "CH")) {
                break;
            }
        }
        if (c.length - at == 2) {
            // It took effect, so the comparison held.
            List<Object> words = new ArrayList<>(List.of("ZADD", c[1]));
            if (increments) {
                words.add("INCR");
            }
            words.add(c[at]);
            words.add(c[at + 1]);
            return List.<byte[][]>of(command(words));
        }
        List<Object> arguments = new ArrayList<>(List.of(compare, exists));
        arguments.addAll(Arrays.asList(c).subList(at, c.length));
        return script(Scripts.ZADD, List.of(c[1]), arguments);
    }

    private List<byte[][]> zrangestore(byte[][] c) throws NotPossible {
        String by = "RANK";
        String rev = "";
        byte[] offset = ZERO;
        byte[] count = Words.bytes("-1");
        for (int i = 5; i < c.length; i++) {
            if (Words.is(c[i], "BYSCORE")) {
                by = "SCORE";
            } else if (Words.is(c[i], "BYLEX")) {
                by = "LEX";
            } else if (Words.is(c[i], "REV")) {
                rev = "REV";
            } else if (Words.is(c[i], "LIMIT")) {
                offset = need(c, i + 1);
                count = need(c, i + 2);
                i += 2;
            }
        }
        return script(
                Scripts.ZRANGESTORE,
                List.of(need(c, 1), need(c, 2)),
                List.of(c[3], need(c, 4), by, rev, offset, count));
    }

    private List<byte[][]> zdiffstore(byte[][] c) throws NotPossible {
        int keys = count(c, 2, 1);
        List<Object> names = new ArrayList<>(List.of(c[1]));
        names.addAll(Arrays.asList(c).subList(3, 3 + keys));
        return script(Scripts.ZDIFFSTORE, names, List.of());
    }

    private @Nullable List<byte[][]> georadius(byte[][] c) {
        int storeAt = -1;
        for (int i = Words.is(c[0], "GEORADIUS") ? 6 : 5; i < c.length - 1; i++) {
            if (Words.is(c[i], "COUNT")) {
                i++;
            } else if (Words.is(c[i], "STORE") || Words.is(c[i], "STOREDIST")) {
                storeAt = ++i;
            }
        }
        if (storeAt < 0 || Arrays.equals(c[storeAt], c[1])) {
            return null;
        }
        return List.of(command(List.of("DEL", c[storeAt])), c);
    }

    private List<byte[][]> geosearchstore(byte[][] c) throws NotPossible {
        List<Object> from = new ArrayList<>();
        List<Object> radius = new ArrayList<>();
        List<Object> rest = new ArrayList<>();
        String name = "";
        String store = "STORE";
        for (int i = 3; i < c.length; i++) {
            if (Words.is(c[i], "FROMMEMBER")) {
                name = "GEORADIUSBYMEMBER";
                from.add(need(c, ++i));
            } else if (Words.is(c[i], "FROMLONLAT")) {
                name = "GEORADIUS";
                from.add(need(c, ++i));
                from.add(need(c, ++i));
            } else if (Words.is(c[i], "BYRADIUS")) {
                radius.add(need(c, ++i));
                radius.add(need(c, ++i));
            } else if (Words.is(c[i], "STOREDIST")) {
                store = "STOREDIST";
            } else {
                rest.add(c[i]);
            }
        }
        if (name.isEmpty() || radius.isEmpty()) {
            throw new NotPossible("only a circle is known to " + target.version());
        }
        List<Object> words = new ArrayList<>(List.of(name, c[2]));
        words.addAll(from);
        words.addAll(radius);
        words.addAll(rest);
        words.add(store);
        words.add(c[1]);
        byte[][] search = command(words);
        return Arrays.equals(c[1], c[2]) ? List.<byte[][]>of(search) : List.of(command(List.of("DEL", c[1])), search);
    }

    // Streams

    private List<byte[][]> xtrim(byte[][] c, int from, byte[] key) throws NotPossible {
        for (int i = from; i < c.length; i++) {
            if (Words.is(c[i], "MINID")) {
                boolean marked = need(c, i + 1).length == 1 && (c[i + 1][0] == '=' || c[i + 1][0] == '~');
                return script(Scripts.XTRIM, List.of(key), List.of(withSequence(need(c, marked ? i + 2 : i + 1))));
            }
        }
        return List.<byte[][]>of(c);
    }

    private static byte[] withSequence(byte[] id) {
        String text = new String(id, java.nio.charset.StandardCharsets.ISO_8859_1);
        return text.indexOf('-') < 0 ? Words.bytes(text + "-0") : id;
    }

    private List<byte[][]> xadd(byte[][] c) throws NotPossible {
        int minId = -1;
        int at = 2;
        while (at < c.length && (Words.is(c[at], "MINID") || Words.is(c[at], "MAXLEN"))) {
            minId = Words.is(c[at], "MINID") ? at : minId;
            boolean marked = need(c, at + 1).length == 1 && (c[at + 1][0] == '=' || c[at + 1][0] == '~');
            at += marked ? 3 : 2;
        }
        if (minId < 0) {
            return List.<byte[][]>of(c);
        }
        List<Object> words = new ArrayList<>(List.of("XADD", c[1]));
        words.addAll(Arrays.asList(c).subList(at, c.length));
        List<byte[][]> commands = new ArrayList<>();
        commands.add(command(words));
        commands.addAll(xtrim(c, minId, c[1]));
        return commands;
    }

    /** In a stream each entry has an XCLAIM of its own, with all options written out. */
    private List<byte[][]> xclaim(byte[][] c) throws NotPossible {
        if (!Words.is(need(c, 6), "TIME")) {
            throw new NotPossible("not the form that a stream carries");
        }
        return script(
                Scripts.XCLAIM,
                List.of(c[1]),
                new ArrayList<Object>(Arrays.asList(c).subList(2, c.length)));
    }

    private List<byte[][]> xdelex(byte[][] c) throws NotPossible {
        for (int i = 2; i < c.length - 1; i++) {
            if (Words.is(c[i], "IDS")) {
                List<Object> words = new ArrayList<>(List.of("XDEL", c[1]));
                words.addAll(Arrays.asList(c).subList(i + 2, i + 2 + count(c, i + 1, 1)));
                return List.<byte[][]>of(command(words));
            }
        }
        throw new NotPossible("no IDS in it");
    }

    // Words

    private List<byte[][]> script(byte[] script, List<?> keys, List<?> arguments) throws NotPossible {
        if (!knowsScripts) {
            throw new NotPossible("it needs a script, and EVAL is not there on " + target.version());
        }
        List<Object> words = new ArrayList<>(List.of("EVAL", script, Words.bytes(keys.size())));
        words.addAll(keys);
        words.addAll(arguments);
        return List.<byte[][]>of(command(words));
    }

    private static List<byte[][]> one(Object... words) {
        return List.<byte[][]>of(command(Arrays.asList(words)));
    }

    /** Texts and bytes. */
    private static byte[][] command(List<?> words) {
        byte[][] command = new byte[words.size()][];
        for (int i = 0; i < command.length; i++) {
            command[i] = words.get(i) instanceof byte[] bytes ? bytes : Words.bytes((String) words.get(i));
        }
        return command;
    }

    private static List<byte[][]> transaction(List<byte[][]> commands) {
        List<byte[][]> all = new ArrayList<>(commands.size() + 2);
        all.add(command(List.of("MULTI")));
        all.addAll(commands);
        all.add(command(List.of("EXEC")));
        return all;
    }

    private static byte[] need(byte[][] c, int index) throws NotPossible {
        if (index >= c.length) {
            throw new NotPossible("it has too few words");
        }
        return c[index];
    }

    /** The count at {@code index}, where so many items of {@code width} words follow. */
    private static int count(byte[][] c, int index, int width) throws NotPossible {
        long count = Words.number(need(c, index));
        if (count < 1 || count > (c.length - index - 1) / width) {
            throw new NotPossible("\"" + Words.text(c[index]) + "\" is no count of what follows");
        }
        return (int) count;
    }

    /** Stays within this class: it becomes {@link Translation.Impossible}. */
    private static final class NotPossible extends Exception {
        private static final long serialVersionUID = 1;
        private final String why;

        NotPossible(String why) {
            super(why, null, false, false);
            this.why = why;
        }
    }
}
