package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;

/** What a target takes, by its version: which forms of values RESTORE loads there, and which commands rebuild the others. */
public record ValueTarget(ServerVersion version) {
    /** The last millisecond that Redis takes for a field of a hash; Valkey has no such limit. */
    static final long REDIS_FIELD_EXPIRY_MAX = (1L << 46) - 1;

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
