package io.switchback.sync.verify;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.switchback.environment.Environment;
import io.switchback.resp.Reply;
import io.switchback.sync.verify.Difference.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Compares one key on both sides, chunk by chunk in step, so that neither side's value is ever held whole. For one thread.
 *
 * <p>Memory: one chunk of each side: {@link #CHUNK_ELEMENTS} elements of a collection, or {@link #CHUNK_BYTES} of a string. Of a vector set, the names of all its elements beside, which no command
 * gives piece by piece; a link carries none of more than 32 MiB.
 */
final class KeyComparison {
    static final int CHUNK_ELEMENTS = 1000;
    static final int CHUNK_BYTES = 1 << 20;

    /** Two commands in one round trip see times that are at most this far apart, beside what the round trip took. */
    private static final long CLOCK_TICK_MS = 2;

    /** As TYPE says it. */
    static final String VECTOR_SET = "vectorset";

    private static final int VECTORS_AT_ONCE = 100;
    /** Of VINFO, what does not depend on how the graph came about. */
    private static final List<String> VECTOR_SHAPE =
            List.of("quant-type", "vector-dim", "projection-input-dim", "hnsw-m");

    private static final List<String> STREAM_COUNTERS =
            List.of("last-generated-id", "max-deleted-entry-id", "entries-added");

    private final Side source;
    private final Side target;
    private final long toleranceMs;
    private final Environment environment;
    private final SortedSet<String> notes;
    private final CRC32C sourceDigest = new CRC32C();

    /**
     * What came out.
     *
     * @param kind null: the same
     * @param comparable false: of a type that only servers of the same version can compare
     * @param sourceDigest of the source's whole value where the sides differ, so that a caller sees whether it changes
     */
    record Result(@Nullable Kind kind, String what, boolean comparable, long sourceDigest, String type) {}

    KeyComparison(Side source, Side target, long toleranceMs, Environment environment, SortedSet<String> notes) {
        this.source = source;
        this.target = target;
        this.toleranceMs = toleranceMs;
        this.environment = environment;
        this.notes = notes;
    }

    /** Both sides have the key's database selected. */
    Result compare(byte[] key) {
        Result result = compareUpToTheFirstDifference(key);
        if (result.kind() == null) {
            return result;
        }
        return new Result(result.kind(), result.what(), true, digestOfSource(key, result.type()), result.type());
    }

    private long digestOfSource(byte[] key, String type) {
        sourceDigest.reset();
        digest(type);
        switch (type) {
            case "string" -> digestWindows("STRLEN", "GETRANGE", key, CHUNK_BYTES);
            case "list" -> digestWindows("LLEN", "LRANGE", key, CHUNK_ELEMENTS);
            case "zset" -> digestWindows("ZCARD", "ZRANGE", key, CHUNK_ELEMENTS, "WITHSCORES");
            case "set" -> digestScan("SSCAN", key);
            case "hash" -> digestScan("HSCAN", key);
            case "stream" -> {
                // An id is never used again, so that what was added or removed shows here.
                fields(source.ask(new byte[][] {"XINFO".getBytes(UTF_8), "STREAM".getBytes(UTF_8), key}))
                        .forEach((name, value) -> {
                            if (STREAM_COUNTERS.contains(name) || name.equals("length")) {
                                digest(value);
                            }
                        });
                byName(source, key).values().forEach(group -> group.values().forEach(this::digest));
            }
            case VECTOR_SET -> digestVectors(key);
            case "none" -> {}
            default -> digest(source.ask("DUMP", key));
        }
        if (exactExpiry()) {
            digest(source.ask("PEXPIRETIME", key));
        }
        return sourceDigest.getValue();
    }

    private void digestWindows(String sizeCommand, String command, byte[] key, int window, String... more) {
        long size = source.ask(sizeCommand, key) instanceof Reply.Int(long count) ? count : 0;
        for (long from = 0; from < size; from += window) {
            List<String> range = new ArrayList<>(List.of(Long.toString(from), Long.toString(from + window - 1)));
            range.addAll(List.of(more));
            digest(source.ask(command, key, range.toArray(String[]::new)));
        }
    }

    private void digestScan(String command, byte[] key) {
        String cursor = "0";
        do {
            List<Reply> page = elements(source.ask(command, key, cursor, "COUNT", Integer.toString(CHUNK_ELEMENTS)));
            if (page.isEmpty()) {
                return; // it is of another type by now
            }
            cursor = page.getFirst().text();
            digest(page.get(1));
        } while (!cursor.equals("0"));
    }

    private Result compareUpToTheFirstDifference(byte[] key) {
        long beforeNanos = environment.nanoTime();
        List<Reply> here = source.askAll(typeAndExpiry(source, key));
        List<Reply> there = target.askAll(typeAndExpiry(target, key));
        long tookMs = (environment.nanoTime() - beforeNanos) / 1_000_000;
        String type = here.getFirst().text();
        String otherType = there.getFirst().text();
        if (type.equals("none") || otherType.equals("none") || !type.equals(otherType)) {
            return unlikeTypes(type, otherType);
        }
        long expiry = ((Reply.Int) here.get(1)).value();
        long otherExpiry = ((Reply.Int) there.get(1)).value();
        @Nullable String expiryDiffers = expiryDifference(expiry, otherExpiry, tookMs);
        if (!isKnown(type)) {
            return opaque(key, type);
        }
        @Nullable String value = valueDifference(key, type);
        if (value != null) {
            return new Result(Kind.VALUE, type + ": " + value, true, 0, type);
        }
        return new Result(
                expiryDiffers == null ? null : Kind.TIME_TO_LIVE,
                expiryDiffers == null ? "" : expiryDiffers,
                true,
                sourceDigest.getValue(),
                type);
    }

    private Result unlikeTypes(String type, String otherType) {
        if (type.equals(otherType)) {
            return new Result(null, "", true, 0, type);
        }
        if (otherType.equals("none")) {
            return new Result(
                    Kind.MISSING,
                    "the target has no such key; the source has a " + type,
                    true,
                    sourceDigest.getValue(),
                    type);
        }
        if (type.equals("none")) {
            return new Result(Kind.EXTRA, "only the target has it, a " + otherType, true, 0, type);
        }
        return new Result(
                Kind.TYPE,
                type + " at the source, " + otherType + " at the target",
                true,
                sourceDigest.getValue(),
                type);
    }

    static boolean isKnown(String type) {
        return switch (type) {
            case "string", "list", "set", "hash", "zset", "stream", VECTOR_SET -> true;
            default -> false;
        };
    }

    // Times to live

    private boolean exactExpiry() {
        return source.knowsExpireTime && target.knowsExpireTime;
    }

    List<byte[][]> typeAndExpiry(Side side, byte[] key) {
        return List.of(Side.command("TYPE", key), Side.command(exactExpiry() ? "PEXPIRETIME" : "PTTL", key));
    }

    /** {@code tookMs}: between the first question and the last answer. */
    @Nullable
    String expiryDifference(long here, long there, long tookMs) {
        if ((here < 0) != (there < 0)) {
            return here < 0
                    ? "no time to live at the source, one at the target"
                    : "a time to live at the source, none at the target";
        }
        if (exactExpiry()) {
            return here == there ? null : "expires at " + here + " ms at the source, at " + there + " ms at the target";
        }
        long apartMs = Math.abs(here - there);
        return apartMs <= toleranceMs + tookMs + CLOCK_TICK_MS
                ? null
                : "a time to live of " + here + " ms at the source, of " + there + " ms at the target";
    }

    // Values

    private Result opaque(byte[] key, String type) {
        Reply here = source.ask("DUMP", key);
        Reply there = target.ask("DUMP", key);
        if (here.equals(there)) {
            return new Result(null, "", true, 0, type);
        }
        boolean sameLine = source.version.product() == target.version.product()
                && source.version.major() == target.version.major()
                && source.version.minor() == target.version.minor();
        return new Result(sameLine ? Kind.VALUE : null, type + ": another content", sameLine, 0, type);
    }

    private @Nullable String valueDifference(byte[] key, String type) {
        return switch (type) {
            case "string" -> windows("STRLEN", "GETRANGE", key, CHUNK_BYTES, "byte");
            case "list" -> windows("LLEN", "LRANGE", key, CHUNK_ELEMENTS, "element");
            case "zset" -> zset(key);
            case "set" -> scanned("SCARD", "SSCAN", key, 1);
            case "hash" -> scanned("HLEN", "HSCAN", key, 2);
            case VECTOR_SET -> vectors(key);
            default -> stream(key);
        };
    }

    private @Nullable String sizes(String command, byte[] key, long[] size) {
        Reply here = source.ask(command, key);
        Reply there = target.ask(command, key);
        size[0] = here instanceof Reply.Int(long count) ? count : 0;
        return here.text().equals(there.text())
                ? null
                : "a size of " + here.text() + " at the source, of " + there.text() + " at the target";
    }

    private @Nullable String windows(String sizeCommand, String command, byte[] key, int window, String unit) {
        long[] size = new long[1];
        @Nullable String unlike = sizes(sizeCommand, key, size);
        for (long from = 0; unlike == null && from < size[0]; from += window) {
            String[] range = {Long.toString(from), Long.toString(from + window - 1)};
            Reply here = source.ask(command, key, range);
            Reply there = target.ask(command, key, range);
            if (!here.equals(there)) {
                unlike = unit + "s from " + from + " on differ: " + firstUnlike(here, there);
            }
        }
        return unlike;
    }

    private @Nullable String zset(byte[] key) {
        long[] size = new long[1];
        @Nullable String unlike = sizes("ZCARD", key, size);
        for (long from = 0; unlike == null && from < size[0]; from += CHUNK_ELEMENTS) {
            String[] range = {Long.toString(from), Long.toString(from + CHUNK_ELEMENTS - 1), "WITHSCORES"};
            Reply here = source.ask("ZRANGE", key, range);
            Reply there = target.ask("ZRANGE", key, range);
            unlike = scoresDiffer(here, there);
        }
        return unlike;
    }

    /**
     * Members exactly, scores as the numbers that they are: versions write the same double with 16 or 17 digits. Only 6.x
     * shows the sign of a zero, so that -0 and 0 are one.
     */
    static @Nullable String scoresDiffer(Reply here, Reply there) {
        if (!(here instanceof Reply.Array(List<Reply> mine))
                || !(there instanceof Reply.Array(List<Reply> others))
                || mine.size() != others.size()) {
            return "members differ";
        }
        for (int i = 0; i + 1 < mine.size(); i += 2) {
            if (!mine.get(i).equals(others.get(i))) {
                return "members differ: " + shown(mine.get(i)) + " and " + shown(others.get(i));
            }
            if (score(mine.get(i + 1)) != score(others.get(i + 1))) {
                return "the score of " + shown(mine.get(i)) + " is "
                        + mine.get(i + 1).text() + " at the source, "
                        + others.get(i + 1).text() + " at the target";
            }
        }
        return null;
    }

    private static double score(Reply reply) {
        String text = reply.text();
        return switch (text) {
            case "inf" -> Double.POSITIVE_INFINITY;
            case "-inf" -> Double.NEGATIVE_INFINITY;
            default -> Double.parseDouble(text);
        };
    }

    /** Equal in size, and all that the source has is at the target: then they are the same. */
    private @Nullable String scanned(String sizeCommand, String command, byte[] key, int width) {
        long[] size = new long[1];
        @Nullable String unlike = sizes(sizeCommand, key, size);
        String cursor = "0";
        do {
            if (unlike != null
                    || !(source.ask(command, key, cursor, "COUNT", Integer.toString(CHUNK_ELEMENTS))
                            instanceof Reply.Array(List<Reply> page))
                    || !(page.get(1) instanceof Reply.Array(List<Reply> elements))) {
                return unlike == null ? "it changed" : unlike;
            }
            cursor = page.getFirst().text();
            unlike = elements.isEmpty()
                    ? null
                    : width == 1 ? membersMissing(key, elements) : fieldsDiffer(key, elements);
        } while (!cursor.equals("0"));
        return unlike;
    }

    private @Nullable String membersMissing(byte[] key, List<Reply> members) {
        List<byte[][]> questions = members.stream()
                .map(member -> new byte[][] {"SISMEMBER".getBytes(UTF_8), key, bytes(member)})
                .toList();
        List<Reply> answers = target.askAll(questions);
        for (int i = 0; i < members.size(); i++) {
            if (!answers.get(i).text().equals("1")) {
                return "the target lacks " + shown(members.get(i));
            }
        }
        return null;
    }

    private @Nullable String fieldsDiffer(byte[] key, List<Reply> pairs) {
        List<byte[]> fields = new ArrayList<>();
        for (int i = 0; i < pairs.size(); i += 2) {
            fields.add(bytes(pairs.get(i)));
        }
        List<byte[]> hmget = new ArrayList<>(List.of("HMGET".getBytes(UTF_8), key));
        hmget.addAll(fields);
        List<Reply> values = elements(target.ask(hmget.toArray(byte[][]::new)));
        for (int i = 0; i < fields.size(); i++) {
            if (i >= values.size() || !pairs.get(2 * i + 1).equals(values.get(i))) {
                return "field " + shown(pairs.get(2 * i)) + " differs";
            }
        }
        return fieldExpiriesDiffer(key, fields);
    }

    /** HPEXPIRETIME of these fields on both sides, where both know it. */
    private @Nullable String fieldExpiriesDiffer(byte[] key, List<byte[]> fields) {
        if (!source.knowsFieldExpiry) {
            return null;
        }
        List<Reply> here = elements(source.ask(fieldExpiry(key, fields)));
        if (!target.knowsFieldExpiry) {
            if (here.stream().anyMatch(at -> at instanceof Reply.Int(long ms) && ms >= 0)) {
                return "fields have a time to live, which the target does not know";
            }
            return null;
        }
        List<Reply> there = elements(target.ask(fieldExpiry(key, fields)));
        return here.equals(there) ? null : "times to live of its fields differ";
    }

    static byte[][] fieldExpiry(byte[] key, List<byte[]> fields) {
        List<byte[]> words = new ArrayList<>(List.of(
                "HPEXPIRETIME".getBytes(UTF_8),
                key,
                "FIELDS".getBytes(UTF_8),
                Integer.toString(fields.size()).getBytes(UTF_8)));
        words.addAll(fields);
        return words.toArray(byte[][]::new);
    }

    // Vector sets

    /**
     * Element by element: the graph that links them is the server's own, and is not written the same twice. Compared are vectors as they are quantized, their lengths and attributes.
     */
    private @Nullable String vectors(byte[] key) {
        long[] size = new long[1];
        @Nullable String unlike = sizes("VCARD", key, size);
        if (unlike == null) {
            unlike = shapesDiffer(fields(source.ask("VINFO", key)), fields(target.ask("VINFO", key)));
        }
        if (unlike != null) {
            return unlike;
        }
        List<Reply> names = vectorNames(key);
        if (names.size() != size[0]) {
            return "it changed";
        }
        for (int from = 0; unlike == null && from < names.size(); from += VECTORS_AT_ONCE) {
            List<Reply> some = names.subList(from, Math.min(names.size(), from + VECTORS_AT_ONCE));
            List<byte[][]> questions = vectorQuestions(key, some);
            List<Reply> here = source.askAll(questions);
            List<Reply> there = target.askAll(questions);
            for (int i = 0; unlike == null && i < questions.size(); i++) {
                if (!here.get(i).equals(there.get(i))) {
                    String what = i % 2 == 0 ? "the vector of " : "what is said (VGETATTR) of ";
                    unlike = what
                            + shown(some.get(i / 2))
                            + (there.get(i) instanceof Reply.Nil ? " is not at the target" : " differs");
                }
            }
        }
        return unlike;
    }

    private static @Nullable String shapesDiffer(Map<String, Reply> here, Map<String, Reply> there) {
        for (String name : VECTOR_SHAPE) {
            if (!Objects.equals(here.get(name), there.get(name))) {
                return name + " is " + here.get(name) + " at the source, " + there.get(name) + " at the target";
            }
        }
        return null;
    }

    /** All of them: as many at random as there are, none of them twice. No command walks through them. */
    private List<Reply> vectorNames(byte[] key) {
        return elements(source.ask("VRANDMEMBER", key, Integer.toString(Integer.MAX_VALUE)));
    }

    private static List<byte[][]> vectorQuestions(byte[] key, List<Reply> names) {
        List<byte[][]> questions = new ArrayList<>();
        for (Reply name : names) {
            questions.add(new byte[][] {"VEMB".getBytes(UTF_8), key, bytes(name), "RAW".getBytes(UTF_8)});
            questions.add(new byte[][] {"VGETATTR".getBytes(UTF_8), key, bytes(name)});
        }
        return questions;
    }

    /** Whatever the order in which their names come. */
    private void digestVectors(byte[] key) {
        List<Reply> names = vectorNames(key).stream()
                .sorted((one, other) -> Arrays.compareUnsigned(bytes(one), bytes(other)))
                .toList();
        for (int from = 0; from < names.size(); from += VECTORS_AT_ONCE) {
            List<Reply> some = names.subList(from, Math.min(names.size(), from + VECTORS_AT_ONCE));
            some.forEach(this::digest);
            source.askAll(vectorQuestions(key, some)).forEach(this::digest);
        }
    }

    // Streams

    private @Nullable String stream(byte[] key) {
        long[] size = new long[1];
        @Nullable String unlike = sizes("XLEN", key, size);
        if (unlike == null) {
            unlike = streamCounters(key);
        }
        String from = "-";
        while (unlike == null) {
            String[] range = {from, "+", "COUNT", Integer.toString(CHUNK_ELEMENTS)};
            Reply here = source.ask("XRANGE", key, range);
            Reply there = target.ask("XRANGE", key, range);
            List<Reply> entries = elements(here);
            if (!here.equals(there)) {
                unlike = "entries from " + from + " on differ";
            } else if (entries.size() < CHUNK_ELEMENTS) {
                break;
            } else {
                from = after(elements(entries.getLast()).getFirst().text());
            }
        }
        return unlike != null ? unlike : groups(key);
    }

    private @Nullable String streamCounters(byte[] key) {
        Map<String, Reply> here =
                fields(source.ask(new byte[][] {"XINFO".getBytes(UTF_8), "STREAM".getBytes(UTF_8), key}));
        Map<String, Reply> there =
                fields(target.ask(new byte[][] {"XINFO".getBytes(UTF_8), "STREAM".getBytes(UTF_8), key}));
        for (String name : STREAM_COUNTERS) {
            @Nullable Reply mine = here.get(name);
            @Nullable Reply other = there.get(name);
            if (mine == null || other == null) {
                notes.add("streams: " + name + " is not compared, one side does not know it");
            } else {
                if (!mine.equals(other)) {
                    return name + " is " + mine.text() + " at the source, " + other.text() + " at the target";
                }
            }
        }
        return null;
    }

    private @Nullable String groups(byte[] key) {
        notes.add("streams: how often a pending entry was delivered, and consumers without pending entries, are not"
                + " compared: the servers' own replication does not carry them all");
        Map<String, Map<String, Reply>> here = byName(source, key);
        Map<String, Map<String, Reply>> there = byName(target, key);
        if (!here.keySet().equals(there.keySet())) {
            return "groups " + here.keySet() + " at the source, " + there.keySet() + " at the target";
        }
        for (Map.Entry<String, Map<String, Reply>> group : here.entrySet()) {
            for (String field : List.of("last-delivered-id", "pending")) {
                Reply mine = group.getValue().getOrDefault(field, new Reply.Nil());
                Reply other = there.getOrDefault(group.getKey(), Map.of()).getOrDefault(field, new Reply.Nil());
                if (!mine.equals(other)) {
                    return "group " + group.getKey() + ": " + field + " is " + mine.text() + " at the source, "
                            + other.text() + " at the target";
                }
            }
            @Nullable String pending = pendingDiffers(key, group.getKey());
            if (pending != null) {
                return "group " + group.getKey() + ": " + pending;
            }
        }
        return null;
    }

    private static Map<String, Map<String, Reply>> byName(Side side, byte[] key) {
        Map<String, Map<String, Reply>> groups = new TreeMap<>();
        for (Reply group : elements(side.ask(new byte[][] {"XINFO".getBytes(UTF_8), "GROUPS".getBytes(UTF_8), key}))) {
            Map<String, Reply> fields = fields(group);
            if (fields.get("name") instanceof Reply.Bulk(byte[] name)) {
                groups.put(new String(name, ISO_8859_1), fields);
            }
        }
        return groups;
    }

    private @Nullable String pendingDiffers(byte[] key, String group) {
        String from = "-";
        while (true) {
            List<List<Reply>> here = pending(source, key, group, from);
            List<List<Reply>> there = pending(target, key, group, from);
            if (!here.equals(there)) {
                return "pending entries from " + from + " on differ";
            }
            if (here.size() < CHUNK_ELEMENTS) {
                return null;
            }
            from = after(here.getLast().getFirst().text());
        }
    }

    /** Id and consumer of each. */
    private static List<List<Reply>> pending(Side side, byte[] key, String group, String from) {
        Reply reply = side.ask(new byte[][] {
            "XPENDING".getBytes(UTF_8),
            key,
            group.getBytes(ISO_8859_1),
            from.getBytes(UTF_8),
            "+".getBytes(UTF_8),
            Integer.toString(CHUNK_ELEMENTS).getBytes(UTF_8)
        });
        return elements(reply).stream()
                .map(entry -> elements(entry).subList(0, 2))
                .toList();
    }

    /** The id after this one: 6.0 has no exclusive ranges. */
    private static String after(String id) {
        int dash = id.indexOf('-');
        long sequence = Long.parseUnsignedLong(id.substring(dash + 1));
        return sequence == -1L
                ? Long.toUnsignedString(Long.parseUnsignedLong(id.substring(0, dash)) + 1) + "-0"
                : id.substring(0, dash + 1) + Long.toUnsignedString(sequence + 1);
    }

    // Small things

    /** Whether two replies hold the same elements, in whatever order. */
    static boolean sameElements(Reply here, Reply there, int width) {
        List<Reply> mine = elements(here);
        List<Reply> others = elements(there);
        if (mine.size() != others.size()) {
            return false;
        }
        return mine.equals(others) || groups(mine, width).equals(groups(others, width));
    }

    private static Set<List<Reply>> groups(List<Reply> elements, int width) {
        Set<List<Reply>> groups = new HashSet<>();
        for (int i = 0; i + width <= elements.size(); i += width) {
            groups.add(elements.subList(i, i + width));
        }
        return groups;
    }

    static List<Reply> elements(Reply reply) {
        return reply instanceof Reply.Array(List<Reply> elements) ? elements : Collections.emptyList();
    }

    private static Map<String, Reply> fields(Reply reply) {
        Map<String, Reply> fields = new TreeMap<>();
        List<Reply> words = elements(reply);
        for (int i = 0; i + 1 < words.size(); i += 2) {
            fields.put(words.get(i).text(), words.get(i + 1));
        }
        return fields;
    }

    static byte[] bytes(Reply reply) {
        return reply instanceof Reply.Bulk(byte[] bytes) ? bytes : reply.text().getBytes(UTF_8);
    }

    private static String firstUnlike(Reply here, Reply there) {
        List<Reply> mine = elements(here);
        List<Reply> others = elements(there);
        for (int i = 0; i < Math.min(mine.size(), others.size()); i++) {
            if (!mine.get(i).equals(others.get(i))) {
                return shown(mine.get(i)) + " at the source, " + shown(others.get(i)) + " at the target";
            }
        }
        return here instanceof Reply.Bulk && there instanceof Reply.Bulk
                ? "at byte " + Arrays.mismatch(bytes(here), bytes(there))
                : "one side has more";
    }

    private static String shown(Reply reply) {
        return "\"" + KeyText.of(bytes(reply)) + "\"";
    }

    private void digest(Reply reply) {
        switch (reply) {
            case Reply.Bulk(byte[] bytes) -> sourceDigest.update(bytes);
            case Reply.Array(List<Reply> elements) -> elements.forEach(this::digest);
            default -> digest(reply.text());
        }
    }

    private void digest(String text) {
        sourceDigest.update(text.getBytes(UTF_8));
    }
}
