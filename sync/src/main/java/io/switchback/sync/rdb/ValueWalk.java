package io.switchback.sync.rdb;

import io.switchback.fleet.ServerVersion.Product;
import java.io.IOException;

/** Goes over values without decoding them, so that what lies behind them is found; for one thread. */
final class ValueWalk {
    private static final int ID_BYTES = 16;
    private static final int TIME_BYTES = 8;
    private static final int DOUBLE_BYTES = 8;
    private static final int FLOAT_BYTES = 4;

    /** A score in text of this length is one of three that have no digits: not a number, and the two infinities. */
    private static final int SCORE_WITHOUT_DIGITS_MIN = 253;

    private final RdbInput in;
    private final Product source;

    ValueWalk(RdbInput in, Product source) {
        this.in = in;
        this.source = source;
    }

    /** Skips a value of this type. False: it holds nothing, which no server means to write, and which all of them leave out. */
    boolean skip(int type) throws IOException {
        return switch (type) {
            case RdbTypes.STRING -> {
                in.skipString();
                yield true;
            }
            case RdbTypes.HASH_ZIPMAP,
                    RdbTypes.LIST_ZIPLIST,
                    RdbTypes.SET_INTSET,
                    RdbTypes.ZSET_ZIPLIST,
                    RdbTypes.HASH_ZIPLIST,
                    RdbTypes.HASH_LISTPACK,
                    RdbTypes.ZSET_LISTPACK,
                    RdbTypes.SET_LISTPACK -> {
                in.skipString();
                yield true;
            }
            case RdbTypes.LIST, RdbTypes.SET, RdbTypes.LIST_QUICKLIST -> strings(1);
            case RdbTypes.HASH -> strings(2);
            case RdbTypes.LIST_QUICKLIST_2 -> nodes();
            case RdbTypes.ZSET -> scoresInText();
            case RdbTypes.ZSET_2 -> stringsWith(DOUBLE_BYTES);
            case RdbTypes.STREAM, RdbTypes.STREAM_2, RdbTypes.STREAM_3 -> stream(type);
            case RdbTypes.MODULE_2 -> {
                in.skipNumber();
                moduleData();
                yield true;
            }
            default -> source == Product.VALKEY ? ofValkey(type) : ofRedis(type);
        };
    }

    private boolean ofValkey(int type) throws IOException {
        if (type != RdbTypes.VALKEY_HASH_2) {
            throw unknown(type);
        }
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.skipString();
            in.skipString();
            in.skip(TIME_BYTES);
        }
        return count > 0;
    }

    private boolean ofRedis(int type) throws IOException {
        return switch (type) {
            case RdbTypes.HASH_FIELD_TIMES_BEFORE_RELEASE -> timedFields();
            case RdbTypes.HASH_FIELD_TIMES -> {
                in.skip(TIME_BYTES);
                yield timedFields();
            }
            case RdbTypes.HASH_LISTPACK_TIMES_BEFORE_RELEASE -> {
                in.skipString();
                yield true;
            }
            case RdbTypes.HASH_LISTPACK_TIMES -> {
                in.skip(TIME_BYTES);
                in.skipString();
                yield true;
            }
            case RdbTypes.STREAM_4, RdbTypes.STREAM_5 -> stream(type);
            case RdbTypes.ARRAY -> array();
            case RdbTypes.RATE_LIMIT -> {
                in.skipNumber();
                yield true;
            }
            default -> throw unknown(type);
        };
    }

    private boolean timedFields() throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.skipNumber();
            in.skipString();
            in.skipString();
        }
        return count > 0;
    }

    RdbFormatException unknown(int type) {
        return in.malformed("a value of type " + type
                + ", which is not known here; was it written by a newer server, or by a" + " server of modules?");
    }

    private boolean strings(int each) throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            for (int j = 0; j < each; j++) {
                in.skipString();
            }
        }
        return count > 0;
    }

    private boolean stringsWith(int bytes) throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.skipString();
            in.skip(bytes);
        }
        return count > 0;
    }

    private boolean nodes() throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.length();
            in.skipString();
        }
        return count > 0;
    }

    private boolean scoresInText() throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.skipString();
            int length = in.unsignedByte();
            in.skip(length >= SCORE_WITHOUT_DIGITS_MIN ? 0 : length);
        }
        return count > 0;
    }

    // Streams

    private boolean stream(int type) throws IOException {
        strings(2);
        numbers(3);
        if (type >= RdbTypes.STREAM_2) {
            numbers(5);
        }
        long groups = in.length();
        for (long i = 0; i < groups; i++) {
            group(type);
        }
        if (type >= RdbTypes.STREAM_4) {
            producers();
        }
        return true;
    }

    private void numbers(int count) throws IOException {
        for (int i = 0; i < count; i++) {
            in.skipNumber();
        }
    }

    private void group(int type) throws IOException {
        in.skipString();
        numbers(type >= RdbTypes.STREAM_2 ? 3 : 2);
        long pending = in.length();
        for (long i = 0; i < pending; i++) {
            in.skip(ID_BYTES + TIME_BYTES);
            in.skipNumber();
        }
        long consumers = in.length();
        for (long i = 0; i < consumers; i++) {
            in.skipString();
            in.skip(type >= RdbTypes.STREAM_3 ? 2 * TIME_BYTES : TIME_BYTES);
            ids();
        }
        if (type >= RdbTypes.STREAM_5) {
            ids();
        }
    }

    private void ids() throws IOException {
        long count = in.length();
        for (long i = 0; i < count; i++) {
            in.skip(ID_BYTES);
        }
    }

    /** What a stream remembers of those who add to it once and no more (Redis 8.6); how many of them. */
    long producers() throws IOException {
        numbers(2);
        long producers = in.length();
        for (long i = 0; i < producers; i++) {
            in.skipString();
            long count = in.length();
            for (long j = 0; j < count; j++) {
                in.skipString();
                numbers(2);
            }
        }
        numbers(2);
        return producers;
    }

    // Others

    private boolean array() throws IOException {
        long count = in.length();
        long hasPlace = in.length();
        if (hasPlace > 1) {
            throw in.malformed("an array that is none");
        }
        numbers((int) hasPlace);
        for (long i = 0; i < count; i++) {
            in.skipNumber();
            long tag = in.length();
            switch ((int) Math.min(tag, Integer.MAX_VALUE)) {
                case 0, 3 -> in.skipString();
                case 1, 2 -> in.skip(DOUBLE_BYTES);
                default -> throw in.malformed("an array's element with the tag " + tag);
            }
        }
        return true;
    }

    /** What a module has written of one value, up to its end. */
    void moduleData() throws IOException {
        while (true) {
            long what = in.length();
            switch ((int) Math.min(what, Integer.MAX_VALUE)) {
                case RdbTypes.MODULE_EOF -> {
                    return;
                }
                case RdbTypes.MODULE_SIGNED, RdbTypes.MODULE_UNSIGNED -> in.skipNumber();
                case RdbTypes.MODULE_FLOAT -> in.skip(FLOAT_BYTES);
                case RdbTypes.MODULE_DOUBLE -> in.skip(DOUBLE_BYTES);
                case RdbTypes.MODULE_STRING -> in.skipString();
                default -> throw in.malformed("a module's value with the mark " + what);
            }
        }
    }
}
