package io.switchback.proxy;

/**
 * SCAN cursors that know on which route they were made.
 *
 * <p>A server's cursor is a position in a hash table, less than the table's size (2<sup>bits</sup>): on a standalone server
 * it stays below 2<sup>40</sup> for any number of keys that fits into memory. Above it, in bits 40 to 51, stands the
 * route's epoch modulo 4095, plus one; so what a client sees stays below 2<sup>52</sup> and survives clients that keep
 * cursors in a signed or a floating-point number. 0 is 0 on both sides, since it means the beginning or the end.
 *
 * <p>A cursor of another epoch begins again at 0: SCAN may tell a key twice, and must not miss one. A cursor that no proxy
 * made likewise. What relies on the limit is checked: a server's cursor past it becomes an error, not a wrong cursor.
 *
 * <p>In front of a cluster the tag is that of the cluster's layout as well: which server has which slot. A walk over shards that change meanwhile begins again. The
 * upper bits of the position then say which shard is walked: as many as its number needs.
 */
final class ScanCursor {
    static final int POSITION_BITS = 40;

    private static final long POSITION_MASK = (1L << POSITION_BITS) - 1;
    private static final long EPOCHS = 4095;

    private ScanCursor() {}

    /** Whether a server's cursor is small enough for {@link #toClient}. */
    static boolean fits(long position) {
        return (position & ~POSITION_MASK) == 0;
    }

    static long toClient(long position, long epoch) {
        return position == 0 ? 0 : tag(epoch) << POSITION_BITS | position;
    }

    static long toServer(long cursor, long epoch) {
        return cursor >>> POSITION_BITS == tag(epoch) ? cursor & POSITION_MASK : 0;
    }

    // --- in front of a cluster

    /** What cursors of this layout are known by. Another layout has the same one by accident once in 4,095 times. */
    static long tag(long epoch, long layout) {
        return tag(epoch * 31 + Long.hashCode(layout));
    }

    static long withTag(long position, long tag) {
        return tag << POSITION_BITS | position;
    }

    /** The beginning where the cursor is another one's. */
    static long positionOf(long cursor, long tag) {
        return cursor >>> POSITION_BITS == tag ? cursor & POSITION_MASK : 0;
    }

    private static int bitsInShard(int shards) {
        return POSITION_BITS - (Integer.SIZE - Integer.numberOfLeadingZeros(shards - 1));
    }

    static boolean fits(long position, int shards) {
        return position >>> bitsInShard(shards) == 0;
    }

    static long inShard(long position, int shard, int shards) {
        return (long) shard << bitsInShard(shards) | position;
    }

    static int shard(long position, int shards) {
        return (int) (position >>> bitsInShard(shards));
    }

    static long positionInShard(long position, int shards) {
        return position & ((1L << bitsInShard(shards)) - 1);
    }

    private static long tag(long epoch) {
        return Math.floorMod(epoch, EPOCHS) + 1;
    }
}
