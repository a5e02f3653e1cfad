package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion.Product;

/**
 * The numbers of the format, as the servers' rdb.h has them. From 22 on the two products gave the same numbers to different
 * things.
 */
final class RdbTypes {
    static final int STRING = 0;
    static final int LIST = 1;
    static final int SET = 2;
    static final int ZSET = 3;
    static final int HASH = 4;
    static final int ZSET_2 = 5;
    static final int MODULE_BEFORE_RELEASE = 6;
    static final int MODULE_2 = 7;
    static final int HASH_ZIPMAP = 9;
    static final int LIST_ZIPLIST = 10;
    static final int SET_INTSET = 11;
    static final int ZSET_ZIPLIST = 12;
    static final int HASH_ZIPLIST = 13;
    static final int LIST_QUICKLIST = 14;
    static final int STREAM = 15;
    static final int HASH_LISTPACK = 16;
    static final int ZSET_LISTPACK = 17;
    static final int LIST_QUICKLIST_2 = 18;
    static final int STREAM_2 = 19;
    static final int SET_LISTPACK = 20;
    static final int STREAM_3 = 21;

    /** The last one that means the same in both products. */
    static final int COMMON_MAX = STREAM_3;

    static final int VALKEY_HASH_2 = 22;

    static final int HASH_FIELD_TIMES_BEFORE_RELEASE = 22;
    static final int HASH_LISTPACK_TIMES_BEFORE_RELEASE = 23;
    static final int HASH_FIELD_TIMES = 24;
    static final int HASH_LISTPACK_TIMES = 25;
    static final int STREAM_4 = 26;
    static final int STREAM_5 = 27;
    static final int ARRAY = 28;
    static final int RATE_LIMIT = 33;

    static final int OPCODE_243 = 243;
    static final int OPCODE_SLOT_INFO = 244;
    static final int OPCODE_FUNCTION = 245;
    static final int OPCODE_FUNCTION_BEFORE_RELEASE = 246;
    static final int OPCODE_MODULE_AUX = 247;
    static final int OPCODE_IDLE = 248;
    static final int OPCODE_FREQ = 249;
    static final int OPCODE_AUX = 250;
    static final int OPCODE_RESIZEDB = 251;
    static final int OPCODE_EXPIRETIME_MS = 252;
    static final int OPCODE_EXPIRETIME = 253;
    static final int OPCODE_SELECTDB = 254;
    static final int OPCODE_EOF = 255;

    static final int MODULE_EOF = 0;
    static final int MODULE_SIGNED = 1;
    static final int MODULE_UNSIGNED = 2;
    static final int MODULE_FLOAT = 3;
    static final int MODULE_DOUBLE = 4;
    static final int MODULE_STRING = 5;

    /** The first that ends in a checksum. */
    static final int REDIS_VERSION_MIN = 5;

    static final int REDIS_VERSION_MAX = 15;
    static final int VALKEY_VERSION_MIN = 80;
    static final int VALKEY_VERSION_MAX = 80;

    private RdbTypes() {}

    static boolean isStream(Product source, int type) {
        return type == STREAM
                || type == STREAM_2
                || type == STREAM_3
                || (source == Product.REDIS && (type == STREAM_4 || type == STREAM_5));
    }

    /** Of a kind that no commands rebuild as it was. */
    static boolean isOpaque(Product source, int type) {
        return type == MODULE_2 || (source == Product.REDIS && (type == ARRAY || type == RATE_LIMIT));
    }

    /** The version of the format that brought the type, so that any server which knows the type takes a payload of it. */
    static int versionOf(Product source, int type) {
        if (type == MODULE_2) {
            return 12; // the only module type that is passed on is that of vector sets, which came with Redis 8.0
        }
        if (type <= STREAM) {
            return 9;
        }
        if (type <= STREAM_2) {
            return 10;
        }
        if (type <= COMMON_MAX) {
            return 11;
        }
        if (source == Product.VALKEY) {
            return VALKEY_VERSION_MIN;
        }
        return type <= HASH_LISTPACK_TIMES ? 12 : type == STREAM_4 ? 13 : 14;
    }
}
