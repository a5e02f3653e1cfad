package io.switchback.proxy;

/**
 * What reading from memory does.
 *
 * @param hits reads that were answered from memory; so many the fleet was spared
 * @param hitBytes of these answers
 * @param misses reads that asked the fleet, to be kept
 * @param joined reads that waited for another client's, since they asked the same
 * @param invalidations keys that a server said are not so any more
 * @param bytes that are kept now
 * @param keys of which something is kept now
 */
public record MemoryCounts(
        long hits, long hitBytes, long misses, long joined, long invalidations, long bytes, long keys) {
    static final MemoryCounts NONE = new MemoryCounts(0, 0, 0, 0, 0, 0, 0);

    MemoryCounts plus(MemoryCounts other) {
        return new MemoryCounts(
                hits + other.hits,
                hitBytes + other.hitBytes,
                misses + other.misses,
                joined + other.joined,
                invalidations + other.invalidations,
                bytes + other.bytes,
                keys + other.keys);
    }
}
