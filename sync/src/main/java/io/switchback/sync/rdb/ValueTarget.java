package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;

/** What a target takes, by its version: which forms of values RESTORE loads there, and which commands rebuild the others. */
public record ValueTarget(ServerVersion version) {
    /** The last millisecond that Redis takes for a field of a hash; Valkey has no such limit. */
    static final long REDIS_FIELD_EXPIRY_MAX = (1L << 46) - 1;

    /** A listpack up to this size holds no element whose length servers write in different ways. */
    static final int LISTPACK_BYTES_SURE = 16_383;

    /** The length of the element of which that is so: with its header it takes as much. */
    public static final int ELEMENT_READ_OTHERWISE_BYTES = 16_378;

    /**
     * Whether a listpack of {@code source} in which an element takes 16,383 bytes is another one to the target: Valkey 9 writes and expects that length in two bytes, all others in three.
     * Seen on 9.1: it refuses theirs ("Bad data format"), and the process of each of the others ends when it is sent one of 9.1.
     */
    public boolean readsListpacksOtherwise(ServerVersion source) {
        return isValkey9(version) != isValkey9(source);
    }

    private static boolean isValkey9(ServerVersion version) {
        return version.product() == Product.VALKEY && version.isAtLeast(9, 0);
    }

    private boolean redis() {
        return version.product() == Product.REDIS;
    }

    /** Every Valkey was forked from a Redis that knew what 7.2 knows. */
    private boolean knowsOfRedis(int major, int minor) {
        return !redis() || version.isAtLeast(major, minor);
    }

    /** Whether RESTORE loads this type, which {@code source} wrote; modules' types are asked for by {@link #loadsVectorSetOf}. */
    boolean loads(Product source, int type) {
        if (type == RdbTypes.MODULE_2) {
            return false;
        }
        if (type <= RdbTypes.STREAM) {
            return true;
        }
        if (type <= RdbTypes.STREAM_2) {
            return knowsOfRedis(7, 0);
        }
        if (type <= RdbTypes.COMMON_MAX) {
            return knowsOfRedis(7, 2);
        }
        if (version.product() != source) {
            return false;
        }
        if (source == Product.VALKEY) {
            return type == RdbTypes.VALKEY_HASH_2 && version.isAtLeast(9, 0);
        }
        if (type <= RdbTypes.HASH_LISTPACK_TIMES) {
            return version.isAtLeast(7, 4);
        }
        return type == RdbTypes.STREAM_4 ? version.isAtLeast(8, 6) : version.isAtLeast(8, 8);
    }

    /** The form of vector sets has no version of its own, so that only the same or a newer server is sure to read it. */
    boolean loadsVectorSetOf(ServerVersion source) {
        return redis()
                && source.product() == Product.REDIS
                && version.isAtLeast(8, 0)
                && version.isAtLeast(source.major(), source.minor());
    }

    /** The newest type of a stream that it loads and that does not carry what only the newest Redis has. */
    int streamType() {
        return knowsOfRedis(7, 2) ? RdbTypes.STREAM_3 : knowsOfRedis(7, 0) ? RdbTypes.STREAM_2 : RdbTypes.STREAM;
    }

    boolean knowsStreamCounters() {
        return knowsOfRedis(7, 0);
    }

    boolean knowsCreateConsumer() {
        return knowsOfRedis(6, 2);
    }

    /** Whether it has libraries of functions. */
    public boolean knowsFunctions() {
        return knowsOfRedis(7, 0);
    }

    /** Whether fields of hashes may have times to live there. */
    public boolean knowsFieldExpiry() {
        return redis() ? version.isAtLeast(7, 4) : version.isAtLeast(9, 0);
    }

    boolean takesFieldExpiry(long expiresAtMillis) {
        return knowsFieldExpiry() && (!redis() || expiresAtMillis <= REDIS_FIELD_EXPIRY_MAX);
    }
}
