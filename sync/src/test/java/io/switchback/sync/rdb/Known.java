package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;

/** What servers of which version know; every Valkey knows what Redis 7.2 does. */
final class Known {
    private Known() {}

    static boolean since(ServerVersion version, int redisMajor, int redisMinor) {
        return version.product() == Product.VALKEY || version.isAtLeast(redisMajor, redisMinor);
    }

    static boolean fieldExpiry(ServerVersion version) {
        return version.product() == Product.VALKEY ? version.isAtLeast(9, 0) : version.isAtLeast(7, 4);
    }

    static boolean vectorSets(ServerVersion version) {
        return version.product() == Product.REDIS && version.isAtLeast(8, 0);
    }
}
