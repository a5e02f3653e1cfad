package io.switchback.sync.rdb;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Rebuilds a stream by commands: one XADD an entry, XSETID for its counters, and its groups with what is pending. For one value.
 *
 * <p>What commands cannot do: when a consumer was last seen (it counts from now on), and an entry that is pending but gone from the stream, which
 * no XCLAIM makes again. The latter are counted and reported. Memory: one entry, the pending entries of one group, and the ids of all
 * entries in short form.
 */
final class StreamCommands {
    static final String COUNTERS =
            "what a stream counts (entries-added, max-deleted-entry-id, entries-read of groups), which servers"
                    + " below 7.0 do not";
    static final String PRODUCERS = "what a stream remembers of producers, so that they add an entry once";

    private static final byte[] XADD = KeyCommands.word("XADD");
    private static final byte[] MAXLEN = KeyCommands.word("MAXLEN");
    private static final byte[] ZERO = KeyCommands.word(0);
    private static final byte[] ANY = KeyCommands.word("x");
    private static final byte[] XSETID = KeyCommands.word("XSETID");
    private static final byte[] ENTRIESADDED = KeyCommands.word("ENTRIESADDED");
    private static final byte[] MAXDELETEDID = KeyCommands.word("MAXDELETEDID");
    private static final byte[] XGROUP = KeyCommands.word("XGROUP");
    private static final byte[] CREATE = KeyCommands.word("CREATE");
    private static final byte[] CREATECONSUMER = KeyCommands.word("CREATECONSUMER");
    private static final byte[] ENTRIESREAD = KeyCommands.word("ENTRIESREAD");
    private static final byte[] XREADGROUP = KeyCommands.word("XREADGROUP");
    private static final byte[] GROUP = KeyCommands.word("GROUP");
    private static final byte[] STREAMS = KeyCommands.word("STREAMS");
    private static final byte[] XCLAIM = KeyCommands.word("XCLAIM");
    private static final byte[] TIME = KeyCommands.word("TIME");
    private static final byte[] RETRYCOUNT = KeyCommands.word("RETRYCOUNT");
    private static final byte[] FORCE = KeyCommands.word("FORCE");
    private static final byte[] JUSTID = KeyCommands.word("JUSTID");

    private static final int NODE_KEY_BYTES = 16;
    private static final int CLAIM_IDS_MAX = 512;
    private static final int DELETED = 1;
    private static final int SAME_FIELDS = 2;

    private final RdbInput in;
    private final ValueWalk walk;
    private final int type;
    private final ValueTarget target;
    private final KeyCommands commands;
    private final StreamIds ids = new StreamIds(RdbLimits.LIVE_IDS_BYTES_MAX);
    private boolean empty = true;
    private long firstMs;
    private long firstSeq;
    private boolean counters;
    private long gone;
    private boolean goneUnknown;
    private long unowned;

    StreamCommands(RdbInput in, ValueWalk walk, int type, ValueTarget target, KeyCommands commands) {
        this.in = in;
        this.walk = walk;
        this.type = type;
        this.target = target;
        this.commands = commands;
    }

    void rebuild(long expiresAtMillis) throws IOException {
        long nodes = in.length();
        for (long i = 0; i < nodes; i++) {
            node();
        }
        StreamState state = StreamState.read(in, type, firstMs, firstSeq);
        state(state);
        long groups = in.length();
        for (long i = 0; i < groups; i++) {
            group(state);
        }
        long producers = type >= RdbTypes.STREAM_4 ? walk.producers() : 0;
        commands.finish(expiresAtMillis);
        report(producers);
    }

    private void report(long producers) {
        if (counters) {
            commands.inexpressible(COUNTERS);
        }
        if (producers > 0) {
            commands.inexpressible(PRODUCERS);
        }
        if (unowned > 0) {
            commands.inexpressible(unowned + " pending entries of a stream that no consumer has");
        }
        if (gone > 0) {
            commands.inexpressible(gone + " pending entries of a stream that are gone from it");
        }
        if (goneUnknown) {
            commands.inexpressible(
                    "pending entries of a stream that are gone from it, if there are any: it is too long to tell");
        }
    }

    // Entries

    private void node() throws IOException {
        byte[] nodeKey = in.string();
        if (nodeKey.length != NODE_KEY_BYTES) {
            throw in.malformed("a stream's node whose key has " + nodeKey.length + " bytes");
        }
        long ms = bigEndian(nodeKey, 0);
        long seq = bigEndian(nodeKey, 8);
        Listpack elements = new Listpack(in.open());
        long count = elements.demandNumber();
        long deleted = elements.demandNumber();
        long fieldCount = elements.demandNumber();
        if (count < 0 || deleted < 0 || fieldCount < 0) {
            throw in.malformed("a stream's node that holds less than nothing");
        }
        List<byte[]> fields = new ArrayList<>();
        for (long i = 0; i < fieldCount; i++) {
            fields.add(elements.demand());
        }
        elements.demandNumber(); // the end of what the entries share
        for (long i = 0; i < count + deleted; i++) {
            entry(elements, ms, seq, fields);
        }
        if (elements.next() != null) {
            throw in.malformed("a stream's node that holds more than it says");
        }
    }

    private static long bigEndian(byte[] bytes, int from) {
        long value = 0;
        for (int i = 0; i < 8; i++) {
            value = value << 8 | (bytes[from + i] & 0xff);
        }
        return value;
    }

    private void entry(Listpack elements, long nodeMs, long nodeSeq, List<byte[]> nodeFields) throws IOException {
        long flags = elements.demandNumber();
        long ms = nodeMs + elements.demandNumber();
        long seq = nodeSeq + elements.demandNumber();
        List<byte[]> words = new ArrayList<>();
        words.add(XADD);
        words.add(commands.key());
        words.add(StreamState.id(ms, seq));
        if ((flags & SAME_FIELDS) != 0) {
            for (byte[] field : nodeFields) {
                words.add(field);
                words.add(elements.demand());
            }
        } else {
            long count = elements.demandNumber();
            for (long i = 0; i < count; i++) {
                words.add(elements.demand());
                words.add(elements.demand());
            }
        }
        elements.demandNumber(); // how many elements to go back
        if ((flags & DELETED) == 0) {
            if (empty) {
                firstMs = ms;
                firstSeq = seq;
                empty = false;
            }
            ids.add(ms, seq);
            commands.send(words.toArray(byte[][]::new));
        }
    }

    /** Counters, and an empty stream's being there at all. */
    private void state(StreamState state) throws IOException {
        byte[] last = StreamState.id(state.lastMs(), state.lastSeq());
        if (empty) {
            // Added and at once cut off, which does not count as deleted. No entry has the id 0-0; XSETID puts that
            // right.
            boolean none = state.lastMs() == 0 && state.lastSeq() == 0;
            commands.send(XADD, commands.key(), MAXLEN, ZERO, none ? StreamState.id(0, 1) : last, ANY, ANY);
        }
        if (target.knowsStreamCounters()) {
            commands.send(
                    XSETID,
                    commands.key(),
                    last,
                    ENTRIESADDED,
                    KeyCommands.word(state.added()),
                    MAXDELETEDID,
                    StreamState.id(state.deletedMs(), state.deletedSeq()));
        } else {
            commands.send(XSETID, commands.key(), last);
            counters = state.hasCounters();
        }
    }

    // Groups

    private void group(StreamState state) throws IOException {
        byte[] name = in.string();
        long ms = in.number();
        long seq = in.number();
        long read = type >= RdbTypes.STREAM_2 ? in.number() : state.entriesRead(ms, seq);
        byte[] last = StreamState.id(ms, seq);
        if (target.knowsStreamCounters() && read != StreamState.UNKNOWN) {
            commands.send(XGROUP, CREATE, commands.key(), name, last, ENTRIESREAD, KeyCommands.word(read));
        } else {
            commands.send(XGROUP, CREATE, commands.key(), name, last);
            counters |= !target.knowsStreamCounters() && state.isLoss(read, ms, seq);
        }
        Pending pending = new Pending();
        long consumers = in.length();
        for (long i = 0; i < consumers; i++) {
            consumer(name, pending);
        }
        if (type >= RdbTypes.STREAM_5) {
            long count = in.length();
            unowned += count;
            for (long i = 0; i < count; i++) {
                in.skip(NODE_KEY_BYTES);
            }
        }
    }

    /** What a group has delivered and nobody has acknowledged, in the order of ids. */
    private final class Pending {
        private long[] ms = new long[16];
        private long[] seq = new long[16];
        private long[] deliveredAt = new long[16];
        private int[] deliveries = new int[16];
        private int count;

        Pending() throws IOException {
            long size = in.length();
            if (size > RdbLimits.PENDING_ENTRIES_MAX) {
                throw in.malformed(
                        "a group with " + size + " pending entries; the limit is " + RdbLimits.PENDING_ENTRIES_MAX);
            }
            while (count < size) {
                if (count == ms.length) {
                    ms = Arrays.copyOf(ms, 2 * count);
                    seq = Arrays.copyOf(seq, 2 * count);
                    deliveredAt = Arrays.copyOf(deliveredAt, 2 * count);
                    deliveries = Arrays.copyOf(deliveries, 2 * count);
                }
                ms[count] = Long.reverseBytes(in.littleEndian(8));
                seq[count] = Long.reverseBytes(in.littleEndian(8));
                deliveredAt[count] = Math.max(0, in.littleEndian(8));
                deliveries[count] = Math.clamp(in.number(), 0, Integer.MAX_VALUE);
                if (count > 0 && StreamState.compare(ms[count - 1], seq[count - 1], ms[count], seq[count]) >= 0) {
                    throw in.malformed("pending entries that are not in order");
                }
                count++;
            }
        }

        int find(long idMs, long idSeq) {
            int low = 0;
            int high = count - 1;
            while (low <= high) {
                int middle = (low + high) >>> 1;
                int order = StreamState.compare(ms[middle], seq[middle], idMs, idSeq);
                if (order == 0) {
                    return middle;
                }
                if (order < 0) {
                    low = middle + 1;
                } else {
                    high = middle - 1;
                }
            }
            return -1;
        }
    }

    private void consumer(byte[] group, Pending pending) throws IOException {
        byte[] name = in.string();
        in.littleEndian(8); // when it was last seen, which no command sets
        if (type >= RdbTypes.STREAM_3) {
            in.littleEndian(8); // and was last given something
        }
        if (target.knowsCreateConsumer()) {
            commands.send(XGROUP, CREATECONSUMER, commands.key(), group, name);
        } else {
            // It reads its own history, which is empty: that makes a consumer, and nothing else.
            commands.send(XREADGROUP, GROUP, group, name, STREAMS, commands.key(), ZERO);
        }
        Claim claim = new Claim(group, name);
        ids.rewind();
        long count = in.length();
        for (long i = 0; i < count; i++) {
            long ms = Long.reverseBytes(in.littleEndian(8));
            long seq = Long.reverseBytes(in.littleEndian(8));
            int at = pending.find(ms, seq);
            if (at < 0) {
                throw in.malformed("a consumer's pending entry that its group does not have");
            }
            goneUnknown |= !ids.isComplete();
            if (ids.isComplete() && !ids.has(ms, seq)) {
                gone++;
            } else {
                claim.add(StreamState.id(ms, seq), pending.deliveredAt[at], pending.deliveries[at]);
            }
        }
        claim.flush();
    }

    /** Entries of one consumer that were delivered at the same time as often. */
    private final class Claim {
        private final byte[] group;
        private final byte[] consumer;
        private final List<byte[]> claimed = new ArrayList<>();
        private long deliveredAt;
        private long deliveries;

        Claim(byte[] group, byte[] consumer) {
            this.group = group;
            this.consumer = consumer;
        }

        void add(byte[] id, long at, long times) throws IOException {
            if (at != deliveredAt || times != deliveries || claimed.size() == CLAIM_IDS_MAX) {
                flush();
            }
            deliveredAt = at;
            deliveries = times;
            claimed.add(id);
        }

        void flush() throws IOException {
            if (claimed.isEmpty()) {
                return;
            }
            List<byte[]> words = new ArrayList<>(List.of(XCLAIM, commands.key(), group, consumer, ZERO));
            words.addAll(claimed);
            words.addAll(List.of(
                    TIME, KeyCommands.word(deliveredAt), RETRYCOUNT, KeyCommands.word(deliveries), FORCE, JUSTID));
            claimed.clear();
            commands.send(words.toArray(byte[][]::new));
        }
    }
}
