package io.switchback.sync.apply;

/**
 * Keys that were once added: says of each of them that it was, and of few others. A Bloom filter (B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors",
 * Communications of the ACM 13, 1970), with double hashing. For one thread.
 *
 * <p>Bounded: {@link #BYTES}, taken with the first key. Ten million keys are told apart from others 99 times of 100; with more it errs more often, on the side that is safe.
 */
final class KeyFilter {
    static final int BYTES = 16 * 1024 * 1024;
    private static final int HASHES = 4;
    private static final int INDEX_BITS = Integer.numberOfTrailingZeros(BYTES) + 3;
    private static final long FNV_BASIS = 0xcbf29ce484222325L;
    private static final long FNV_PRIME = 0x100000001b3L;

    private long[] words = new long[0];

    void add(byte[] key) {
        if (words.length == 0) {
            words = new long[BYTES / Long.BYTES];
        }
        long hash = hash(key);
        for (int i = 0; i < HASHES; i++) {
            int bit = bit(hash, i);
            words[bit >>> 6] |= 1L << bit;
        }
    }

    boolean mayContain(byte[] key) {
        if (words.length == 0) {
            return false;
        }
        long hash = hash(key);
        for (int i = 0; i < HASHES; i++) {
            int bit = bit(hash, i);
            if ((words[bit >>> 6] & 1L << bit) == 0) {
                return false;
            }
        }
        return true;
    }

    private static int bit(long hash, int number) {
        return (int) ((hash + number * (Long.rotateLeft(hash, 32) | 1)) >>> (Long.SIZE - INDEX_BITS));
    }

    /** FNV-1a, and then mixed, since its high bits alone are poor. */
    private static long hash(byte[] key) {
        long hash = FNV_BASIS;
        for (byte b : key) {
            hash = (hash ^ (b & 0xff)) * FNV_PRIME;
        }
        hash ^= hash >>> 32;
        hash *= 0x9e3779b97f4a7c15L;
        return hash ^ hash >>> 29;
    }
}
