package io.switchback.sync.rdb;

import java.util.Arrays;

/**
 * The ids of a stream's entries in two to four bytes each, to find out which pending entries are gone. Added and asked for in ascending
 * order; for one thread.
 */
final class StreamIds {
    /** Each so many ids one is kept whole, so that a search need not go through all of those before. */
    private static final int BLOCK_IDS = 1024;

    private static final int NUMBER_BYTES_MAX = 10;

    private final int bytesMax;
    private byte[] bytes = new byte[64];
    private int length;
    private long count;
    private long lastMs;
    private long lastSeq;

    /** Of each block's first id: the id, and where the next one stands. */
    private long[] blockMs = new long[16];

    private long[] blockSeq = new long[16];
    private int[] blockAt = new int[16];
    private int blocks;
    private boolean complete = true;

    // A search

    private int at;
    private int block;
    private long ms;
    private long seq;

    StreamIds(int bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** False: there were too many, and {@link #has} is of no use. */
    boolean isComplete() {
        return complete;
    }

    void add(long idMs, long idSeq) {
        if (!complete) {
            return;
        }
        if (length > bytesMax) {
            complete = false;
            bytes = new byte[0];
            return;
        }
        if (count % BLOCK_IDS == 0) {
            if (blocks == blockMs.length) {
                blockMs = Arrays.copyOf(blockMs, 2 * blocks);
                blockSeq = Arrays.copyOf(blockSeq, 2 * blocks);
                blockAt = Arrays.copyOf(blockAt, 2 * blocks);
            }
            blockMs[blocks] = idMs;
            blockSeq[blocks] = idSeq;
            blockAt[blocks] = length;
            blocks++;
        } else {
            put(idMs - lastMs);
            put(idMs == lastMs ? idSeq - lastSeq : idSeq);
        }
        count++;
        lastMs = idMs;
        lastSeq = idSeq;
    }

    private void put(long number) {
        long left = number;
        if (length + NUMBER_BYTES_MAX > bytes.length) {
            bytes = Arrays.copyOf(bytes, (int) Math.min(2L * bytes.length, bytesMax + 3L * NUMBER_BYTES_MAX));
        }
        while ((left & ~0x7fL) != 0) {
            bytes[length++] = (byte) (left | 0x80);
            left >>>= 7;
        }
        bytes[length++] = (byte) left;
    }

    private long take() {
        long number = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            number |= (next & 0x7fL) << shift;
            if (next >= 0) {
                return number;
            }
        }
    }

    /** Before the first question of a series. */
    void rewind() {
        enter(0);
    }

    private void enter(int nextBlock) {
        block = nextBlock;
        if (nextBlock < blocks) {
            ms = blockMs[nextBlock];
            seq = blockSeq[nextBlock];
            at = blockAt[nextBlock];
        }
    }

    /** Whether the stream has it; it must not be before what was asked last. */
    boolean has(long idMs, long idSeq) {
        int target = block;
        while (target + 1 < blocks
                && StreamState.compare(blockMs[target + 1], blockSeq[target + 1], idMs, idSeq) <= 0) {
            target++;
        }
        if (target != block) {
            enter(target);
        }
        if (block >= blocks) {
            return false;
        }
        int end = block + 1 < blocks ? blockAt[block + 1] : length;
        while (StreamState.compare(ms, seq, idMs, idSeq) < 0 && at < end) {
            long step = take();
            long next = take();
            seq = step == 0 ? seq + next : next;
            ms += step;
        }
        return ms == idMs && seq == idSeq;
    }
}
