package io.switchback.sync.rdb;

import io.switchback.sync.rdb.RdbInput.PastMark;
import java.io.IOException;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Makes a stream's value one of an older type, by leaving out what that type does not have. It carries groups, consumers and pending entries
 * exactly, also such as no commands make again: consumers without pending entries (6.0), entries that are pending and gone. For one value.
 */
final class StreamPayload {
    private static final int ID_BYTES = 16;
    private static final int TIME_BYTES = 8;

    private final RdbInput in;
    private final ValueWalk walk;
    private final int type;
    private final int older;
    private final KeyCommands commands;

    /** Places behind the mark, in pairs: from the first of each up to the second is left out. */
    private int[] cuts = new int[16];

    private int cutPlaces;
    private boolean counters;
    private long producers;

    StreamPayload(RdbInput in, ValueWalk walk, int type, int older, KeyCommands commands) {
        this.in = in;
        this.walk = walk;
        this.type = type;
        this.older = older;
        this.commands = commands;
    }

    /** The value of the older type between free bytes, or null: it is too large or cannot be had, and nothing was taken. */
    byte @Nullable [] rewritten(int bytesMax, int head, int tail) throws IOException {
        in.mark(bytesMax);
        try {
            if (!walk()) {
                in.reset();
                return null;
            }
        } catch (PastMark e) {
            in.reset();
            return null;
        }
        if (counters) {
            commands.inexpressible(StreamCommands.COUNTERS);
        }
        if (producers > 0) {
            commands.inexpressible(StreamCommands.PRODUCERS);
        }
        return copied(in.takeMarked(0, 0), head, tail);
    }

    private byte[] copied(byte[] value, int head, int tail) {
        byte[] copy = new byte[head + value.length + tail];
        int from = 0;
        int to = head;
        for (int i = 0; i < cutPlaces; i += 2) {
            int kept = cuts[i] - from;
            System.arraycopy(value, from, copy, to, kept);
            to += kept;
            from = cuts[i + 1];
        }
        System.arraycopy(value, from, copy, to, value.length - from);
        return Arrays.copyOf(copy, to + value.length - from + tail);
    }

    private void cutFrom() {
        if (cutPlaces + 2 > cuts.length) {
            cuts = Arrays.copyOf(cuts, 2 * cuts.length);
        }
        cuts[cutPlaces++] = in.sinceMark();
    }

    private void cutTo() {
        cuts[cutPlaces++] = in.sinceMark();
    }

    /** False: it holds pending entries without a consumer, which older types do not have. */
    private boolean walk() throws IOException {
        long nodes = in.length();
        for (long i = 0; i < nodes; i++) {
            in.skipString();
            in.skipString();
        }
        boolean cutCounters = type >= RdbTypes.STREAM_2 && older < RdbTypes.STREAM_2;
        long length = in.length();
        long lastMs = in.number();
        long lastSeq = in.number();
        StreamState state = new StreamState(length, lastMs, lastSeq, 0, 0, 0, 0, length, true);
        if (type >= RdbTypes.STREAM_2) {
            if (cutCounters) {
                cutFrom();
            }
            state = new StreamState(
                    length, lastMs, lastSeq, in.number(), in.number(), in.number(), in.number(), in.number(), false);
            if (cutCounters) {
                cutTo();
                counters = state.hasCounters();
            }
        }
        long groups = in.length();
        for (long i = 0; i < groups; i++) {
            if (!group(state, cutCounters)) {
                return false;
            }
        }
        if (type >= RdbTypes.STREAM_4 && older < RdbTypes.STREAM_4) {
            cutFrom();
            producers = walk.producers();
            cutTo();
        }
        return true;
    }

    private boolean group(StreamState state, boolean cutCounters) throws IOException {
        in.skipString();
        long ms = in.number();
        long seq = in.number();
        if (type >= RdbTypes.STREAM_2) {
            if (cutCounters) {
                cutFrom();
            }
            long read = in.number();
            if (cutCounters) {
                cutTo();
                counters |= state.isLoss(read, ms, seq);
            }
        }
        long pending = in.length();
        for (long i = 0; i < pending; i++) {
            in.skip(ID_BYTES + TIME_BYTES);
            in.skipNumber();
        }
        long consumers = in.length();
        for (long i = 0; i < consumers; i++) {
            consumer();
        }
        if (type < RdbTypes.STREAM_5) {
            return true;
        }
        cutFrom();
        long unowned = in.length();
        cutTo();
        return unowned == 0;
    }

    private void consumer() throws IOException {
        in.skipString();
        in.skip(TIME_BYTES);
        if (type >= RdbTypes.STREAM_3) {
            boolean cut = older < RdbTypes.STREAM_3;
            if (cut) {
                cutFrom();
            }
            in.skip(TIME_BYTES);
            if (cut) {
                cutTo();
            }
        }
        long pending = in.length();
        for (long i = 0; i < pending; i++) {
            in.skip(ID_BYTES);
        }
    }
}
