package io.switchback.fleet.dialect;

import io.switchback.fleet.ServerVersion;
import io.switchback.fleet.ServerVersion.Product;

/**
 * From which version of each product on something is known. Versions are written as major * 100 + minor. Valkey was forked
 * from Redis 7.2.4, so that everything up to 7.2 is known to every Valkey.
 */
record Since(int redis, int valkey) {
    static final int NEVER = Integer.MAX_VALUE;
    private static final int FORK = 702;

    /** Known to every server that Switchback knows (6.0 and later). */
    static final Since ALWAYS = new Since(0, 0);

    /** Never passed as it stands: a relative time, or what has done its work at the source. */
    static final Since NOWHERE = new Since(NEVER, NEVER);

    static final Since REDIS_6_2 = redis(602);
    static final Since REDIS_7_0 = redis(700);
    static final Since REDIS_8_0_ONLY = new Since(800, NEVER);
    static final Since REDIS_8_2_ONLY = new Since(802, NEVER);

    /** Hash fields with a time to live of their own. */
    static final Since FIELD_EXPIRY = new Since(704, 900);

    /** Since that version of Redis, and in Valkey if that was before the fork. */
    static Since redis(int version) {
        return new Since(version, version <= FORK ? 0 : NEVER);
    }

    boolean knows(ServerVersion version) {
        int number = version.major() * 100 + version.minor();
        return number >= (version.product() == Product.REDIS ? redis : valkey);
    }

    /** For the table in the documentation. */
    String text() {
        if (redis == 0) {
            return "always";
        }
        if (equals(NOWHERE)) {
            return "never passed as it stands";
        }
        String ofRedis = redis == NEVER ? "" : "Redis " + number(redis);
        String ofValkey = valkey == NEVER ? "" : "Valkey" + (valkey == 0 ? "" : " " + number(valkey));
        return ofRedis + (ofRedis.isEmpty() || ofValkey.isEmpty() ? "" : ", ") + ofValkey;
    }

    private static String number(int version) {
        return version / 100 + "." + version % 100;
    }
}
