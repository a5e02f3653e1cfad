package io.switchback.sync.rdb;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.IOException;

/**
 * What stands in a stream behind its entries. Ids are pairs of unsigned numbers.
 *
 * @param lengthIsAll the source kept no counters (below 7.0), so that the others are what a server makes of such a stream
 */
record StreamState(
        long length,
        long lastMs,
        long lastSeq,
        long firstMs,
        long firstSeq,
        long deletedMs,
        long deletedSeq,
        long added,
        boolean lengthIsAll) {
    /** In place of a number of entries that a group has read: nobody knows. */
    static final long UNKNOWN = -1;

    /** Reads it; the first entry's id is what the entries showed, where the source did not write it. */
    static StreamState read(RdbInput in, int type, long firstMs, long firstSeq) throws IOException {
        long length = in.length();
        long lastMs = in.number();
        long lastSeq = in.number();
        if (type < RdbTypes.STREAM_2) {
            return new StreamState(length, lastMs, lastSeq, firstMs, firstSeq, 0, 0, length, true);
        }
        return new StreamState(
                length, lastMs, lastSeq, in.number(), in.number(), in.number(), in.number(), in.number(), false);
    }

    /** How many entries a group has read that stands there, as servers from 7.0 on find it for a stream of an older one. */
    long entriesRead(long ms, long seq) {
        if (added == 0) {
            return 0;
        }
        int beforeLast = compare(ms, seq, lastMs, lastSeq);
        if (beforeLast == 0 || (length == 0 && beforeLast < 0)) {
            return added;
        }
        if (beforeLast > 0) {
            return UNKNOWN;
        }
        int beforeFirst = compare(ms, seq, firstMs, firstSeq);
        boolean noGap = (deletedMs == 0 && deletedSeq == 0) || compare(deletedMs, deletedSeq, firstMs, firstSeq) < 0;
        if (noGap && beforeFirst <= 0) {
            return beforeFirst < 0 ? added - length : added - length + 1;
        }
        return UNKNOWN;
    }

    /** Whether a server below 7.0, which has no counters, loses something by that. */
    boolean hasCounters() {
        return added != length || deletedMs != 0 || deletedSeq != 0;
    }

    /** Whether that a group has read so much could not be found out from where it stands. */
    boolean isLoss(long read, long ms, long seq) {
        return read != UNKNOWN && read != entriesRead(ms, seq);
    }

    static int compare(long ms, long seq, long otherMs, long otherSeq) {
        int byTime = Long.compareUnsigned(ms, otherMs);
        return byTime != 0 ? byTime : Long.compareUnsigned(seq, otherSeq);
    }

    static byte[] id(long ms, long seq) {
        return (Long.toUnsignedString(ms) + "-" + Long.toUnsignedString(seq)).getBytes(US_ASCII);
    }
}
