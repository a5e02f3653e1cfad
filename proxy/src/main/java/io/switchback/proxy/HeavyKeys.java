package io.switchback.proxy;

import io.netty.buffer.ByteBuf;
import io.switchback.resp.CommandRule;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The keys that are named most, counted in memory that does not grow: no more than {@link #KEYS_MAX} of them are known at a time, and of any key so
 * much is counted as was named, less {@link #missed()} at the most. Whoever has more than that is among them.
 *
 * <p>It is the sketch of Misra and Gries ("Finding repeated elements", 1982) with weights and with room made for many at once, as in Anderson et al.,
 * "A High-Performance Algorithm for Identifying Frequent Items in Data Streams" (IMC 2017): where there is no room, the median of all counts is taken from
 * each, and who has nothing left is forgotten. {@link #missed()} is then never more than the weight of everything divided by {@code KEYS_MAX / 2}.
 * Older weights fade, all by the same factor, and the bound with them.
 *
 * <p>Owned by one event loop. Invariant: the entries stand in {@link #table} where a search from their hash on finds them, without a gap between.
 */
final class HeavyKeys {
    static final int KEYS_MAX = 1024;
    private static final int SLOTS = 2 * KEYS_MAX;
    /** Of what has faded below this nobody wants to hear: about ten minutes after a key was last seen. */
    private static final double WEIGHT_MIN = 1e-3;

    /**
     * What is known of one key at a moment.
     *
     * @param command the one that names it most, where one does in more than half of all cases
     * @param weight so many commands have named it, as far as they have not faded
     * @param squares of the weights that were added up
     * @param writes of {@code weight}, commands that may write
     * @param bytes the larger of a command and its reply, when that was last measured; 0 where it was not
     */
    record Heavy(KeyName key, CommandRule command, double weight, double squares, double writes, long bytes) {}

    /** As {@link Heavy}, while it is counted. */
    static final class Entry {
        final KeyName key;
        private CommandRule command;
        /** By how much that leads before the others. */
        private double lead;

        private double weight;
        private double squares;
        private double writes;
        long bytes;

        Entry(KeyName key, CommandRule command) {
            this.key = key;
            this.command = command;
        }
    }

    private final long secret;
    private @Nullable Entry[] table = new Entry[SLOTS];
    private int count;
    private double missed;

    /** {@code secret}: what hashes start at; no client knows it. */
    HeavyKeys(long secret) {
        this.secret = secret;
    }

    /** A command, which stands for {@code weight} of them, has named the key of {@code length} bytes at {@code index}. */
    Entry named(int database, ByteBuf in, int index, int length, CommandRule command, double weight) {
        Entry entry = entry(database, in, index, length, command);
        entry.weight += weight;
        entry.squares += weight * weight;
        if (!command.repeatable()) {
            entry.writes += weight;
        }
        // Boyer and Moore's vote.
        if (entry.command.equals(command)) {
            entry.lead += weight;
        } else {
            entry.lead -= weight;
            if (entry.lead < 0) {
                entry.command = command;
                entry.lead = -entry.lead;
            }
        }
        return entry;
    }

    private Entry entry(int database, ByteBuf in, int index, int length, CommandRule command) {
        long hash = KeyName.hash(secret, database, in, index, length);
        int slot = slot(hash);
        for (Entry found = table[slot]; found != null; found = table[slot]) {
            if (found.key.hash() == hash && found.key.isAt(database, in, index, length)) {
                return found;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
        Entry made = new Entry(KeyName.copy(database, in, index, length, hash), command);
        if (count == KEYS_MAX) {
            makeRoom();
        }
        put(made);
        return made;
    }

    private static int slot(long hash) {
        return (int) hash & (SLOTS - 1);
    }

    private void put(Entry entry) {
        int slot = slot(entry.key.hash());
        while (table[slot] != null) {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = entry;
        count++;
    }

    private void makeRoom() {
        double[] weights = all().mapToDouble(entry -> entry.weight).toArray();
        Arrays.sort(weights);
        double median = weights[weights.length / 2];
        missed += median;
        keepAbove(1, median, 0);
    }

    /** Everything that was counted so far is worth only {@code factor} of it. */
    void fade(double factor) {
        missed *= factor;
        keepAbove(factor, 0, WEIGHT_MIN);
    }

    private void keepAbove(double factor, double less, double least) {
        @Nullable Entry[] before = table;
        table = new Entry[SLOTS];
        count = 0;
        for (Entry entry : before) {
            if (entry == null) {
                continue;
            }
            double left = entry.weight * factor - less;
            if (left > least) {
                entry.writes *= left / entry.weight;
                entry.squares *= factor * factor;
                entry.lead *= left / entry.weight;
                entry.weight = left;
                put(entry);
            }
        }
    }

    /** So much of any key's weight may not be counted, or was taken from it. */
    double missed() {
        return missed;
    }

    /** What is known now, for whoever asks. */
    List<Heavy> counted() {
        return all().map(entry ->
                        new Heavy(entry.key, entry.command, entry.weight, entry.squares, entry.writes, entry.bytes))
                .toList();
    }

    private Stream<Entry> all() {
        return Arrays.stream(table).filter(Objects::nonNull);
    }
}
