package io.switchback.sync.verify;

import io.switchback.environment.Environment;
import io.switchback.resp.Reply;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * Compares many small keys at once, in a few round trips over connections of its own; those that are not small one by one ({@link KeyComparison}). Whoever is unlike here is only
 * a suspect. For one thread.
 *
 * <p>Memory: of each key of a batch up to {@link #SMALL_ELEMENTS} elements or {@link #SMALL_BYTES} bytes on each side, and one chunk of a big value.
 */
final class BatchComparison implements AutoCloseable {
    static final int SMALL_ELEMENTS = 128;
    static final int SMALL_BYTES = 16 * 1024;

    final Side source;
    final Side target;
    final KeyComparison comparison;
    private final Environment environment;
    private final SortedSet<String> notes = new TreeSet<>();
    private final Map<String, Long> notComparable = new HashMap<>();

    BatchComparison(Side source, Side target, VerificationSettings settings, Environment environment) {
        this.source = source;
        this.target = target;
        this.environment = environment;
        this.comparison =
                new KeyComparison(source, target, settings.timeToLiveTolerance().toMillis(), environment, notes);
    }

    /** What could not be looked at. */
    SortedSet<String> notes() {
        return notes;
    }

    /** How many keys of which types could not be compared between these versions. */
    Map<String, Long> notComparable() {
        return notComparable;
    }

    void select(int database) {
        source.select(database);
        target.select(database);
    }

    /** Of keys that the target has: those that the source has not. */
    void findExtras(List<byte[]> keys, Consumer<byte[]> suspect) {
        if (source.hasAll(keys)) {
            return;
        }
        List<Reply> here = source.askAll(
                keys.stream().map(key -> Side.command("EXISTS", key)).toList());
        for (int i = 0; i < keys.size(); i++) {
            if (here.get(i).text().equals("0")) {
                suspect.accept(keys.get(i));
            }
        }
    }

    /** Of keys that the source has: those that are not the same at the target. */
    void compare(List<byte[]> keys, Consumer<byte[]> suspect) {
        List<byte[][]> types = new ArrayList<>();
        keys.forEach(key -> types.addAll(comparison.typeAndExpiry(source, key)));
        long beforeNanos = environment.nanoTime();
        Side.Both both = Side.askBoth(source, target, types);
        long tookMs = (environment.nanoTime() - beforeNanos) / 1_000_000;
        List<byte[]> alike = new ArrayList<>();
        List<String> typeOf = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            String type = both.here().get(2 * i).text();
            long expiry = ((Reply.Int) both.here().get(2 * i + 1)).value();
            long otherExpiry = ((Reply.Int) both.there().get(2 * i + 1)).value();
            if (!type.equals(both.there().get(2 * i).text())
                    || comparison.expiryDifference(expiry, otherExpiry, tookMs) != null) {
                suspect.accept(keys.get(i));
            } else if (!type.equals("none")) {
                alike.add(keys.get(i));
                typeOf.add(type);
            }
        }
        compareValues(alike, typeOf, suspect);
    }

    /** A value is read up to where it is no small one any more, so that its size need not be asked for before. */
    private void compareValues(List<byte[]> keys, List<String> types, Consumer<byte[]> suspect) {
        List<byte[]> read = new ArrayList<>();
        List<String> typeOf = new ArrayList<>();
        List<byte[][]> reads = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
            if (isSimple(types.get(i))) {
                read.add(keys.get(i));
                typeOf.add(types.get(i));
                reads.add(read(types.get(i), keys.get(i)));
            } else {
                compareOne(keys.get(i), suspect);
            }
        }
        Side.Both both = Side.askBoth(source, target, reads);
        List<byte[]> hashes = new ArrayList<>();
        List<byte[][]> expiries = new ArrayList<>();
        for (int i = 0; i < read.size(); i++) {
            String type = typeOf.get(i);
            byte[] key = read.get(i);
            Reply here = both.here().get(i);
            Reply there = both.there().get(i);
            if (here.isError() || there.isError()) {
                suspect.accept(key); // it has become something else meanwhile
            } else if (!isWhole(type, here) || !isWhole(type, there)) {
                compareOne(key, suspect);
            } else if (!sameValue(type, here, there)) {
                suspect.accept(key);
            } else if (type.equals("hash") && source.knowsFieldExpiry) {
                List<byte[]> fields = names(scanned(here));
                if (!fields.isEmpty()) { // else all of them have run out, and no server takes a question about none
                    hashes.add(key);
                    expiries.add(KeyComparison.fieldExpiry(key, fields));
                }
            }
        }
        compareFieldExpiries(hashes, expiries, suspect);
    }

    private void compareOne(byte[] key, Consumer<byte[]> suspect) {
        KeyComparison.Result result = comparison.compare(key);
        if (!result.comparable()) {
            notComparable.merge(result.type(), 1L, Long::sum);
        } else if (result.kind() != null) {
            suspect.accept(key);
        }
    }

    private void compareFieldExpiries(List<byte[]> keys, List<byte[][]> questions, Consumer<byte[]> suspect) {
        Side.Both both = target.knowsFieldExpiry
                ? Side.askBoth(source, target, questions)
                : new Side.Both(source.askAll(questions), List.of());
        for (int i = 0; i < keys.size(); i++) {
            boolean same = target.knowsFieldExpiry
                    ? both.here().get(i).equals(both.there().get(i))
                    : KeyComparison.elements(both.here().get(i)).stream()
                            .noneMatch(at -> at instanceof Reply.Int(long ms) && ms >= 0);
            if (!same) {
                suspect.accept(keys.get(i));
            }
        }
    }

    private static List<byte[]> names(Reply hash) {
        List<Reply> words = KeyComparison.elements(hash);
        List<byte[]> names = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            names.add(KeyComparison.bytes(words.get(i)));
        }
        return names;
    }

    private static boolean isSimple(String type) {
        return KeyComparison.isKnown(type) && !type.equals("stream") && !type.equals(KeyComparison.VECTOR_SET);
    }

    /** One element, or byte, more than a small value has. Of sets and hashes a first page, which holds all of those that a server keeps packed. */
    private static byte[][] read(String type, byte[] key) {
        return switch (type) {
            case "string" -> Side.command("GETRANGE", key, "0", Integer.toString(SMALL_BYTES));
            case "list" -> Side.command("LRANGE", key, "0", Integer.toString(SMALL_ELEMENTS));
            case "set" -> Side.command("SSCAN", key, "0", "COUNT", Integer.toString(SMALL_ELEMENTS));
            case "hash" -> Side.command("HSCAN", key, "0", "COUNT", Integer.toString(SMALL_ELEMENTS));
            default -> Side.command("ZRANGE", key, "0", Integer.toString(SMALL_ELEMENTS), "WITHSCORES");
        };
    }

    private static boolean isWhole(String type, Reply read) {
        return switch (type) {
            case "string" -> KeyComparison.bytes(read).length <= SMALL_BYTES;
            case "list" -> KeyComparison.elements(read).size() <= SMALL_ELEMENTS;
            case "set", "hash" -> KeyComparison.elements(read).getFirst().text().equals("0");
            default -> KeyComparison.elements(read).size() <= 2 * SMALL_ELEMENTS;
        };
    }

    private static Reply scanned(Reply page) {
        return KeyComparison.elements(page).get(1);
    }

    private static boolean sameValue(String type, Reply here, Reply there) {
        return switch (type) {
            case "set" -> KeyComparison.sameElements(scanned(here), scanned(there), 1);
            case "hash" -> KeyComparison.sameElements(scanned(here), scanned(there), 2);
            case "zset" -> KeyComparison.scoresDiffer(here, there) == null;
            default -> here.equals(there);
        };
    }

    @Override
    public void close() {
        source.close();
        target.close();
    }
}
